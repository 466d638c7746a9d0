"""A guest's memory: nodes, zones and zonelists, with the allocator's public face (``alloc_pages`` and its family)."""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from functools import partial
from operator import index
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pagehint.errors import AllocationError, BusyError, InputError
from pagehint.kernel.gfp import Gfp, ZoneType, format_gfp, gfp_migratetype, gfp_zone
from pagehint.kernel.profiles import LINUX_6_1, KernelProfile
from pagehint.mm.guest.show import show_free_areas
from pagehint.mm.guest.snapshot import snapshot_zones
from pagehint.mm.guest.watermarks import watermark_ok
from pagehint.mm.guest.zones import GuestZone, build_zones, zonelists
from pagehint.mm.zone import Zone
from pagehint.units import integer, parse_size, shown, whole_number

__all__ = ["GuestMemory", "PageCounts"]

_MOST_GFP = (1 << 32) - 1

_Part = tuple[Zone, int, int]  # of a zone, so many pages from a pfn on


class PageCounts(NamedTuple):
    """Where a guest's pages are. ``free``: on the zones' lists but the ISOLATE ones, whose pages are ``isolated``."""

    allocated: int
    free: int
    isolated: int
    per_cpu: int
    in_flight: int
    offline: int

    @property
    def span(self) -> int:
        """All pages."""
        return sum(self)

    @property
    def present(self) -> int:
        """Pages that are online."""
        return self.span - self.offline


# What flags mean on a node: kept for each pair, because an allocation is cheaper than finding it out.
class _Wish(NamedTuple):
    migratetype: int
    high: bool
    atomic: bool
    zones: list[tuple[GuestZone, int]]  # in the order in which they are tried, with their protection
    whole_first: list[tuple[GuestZone, int]]  # those tried before another migratetype's pageblock is broken up in one


class _Request(NamedTuple):
    order: int
    cpu: int
    wish: _Wish


class GuestMemory:
    """A guest of ``size`` (bytes, or ``"64GiB"``), all free; pages of 4 KiB, numbered from 0 on, without holes.

    Zones as on 64 bit x86: DMA below 16 MiB, DMA32 below 4 GiB, Normal, and Movable: ``movable`` bytes, from the ends
    of the nodes. Each of ``cpus`` has lists of each zone; CPU c is on node c * nodes // cpus. ``min_free_kbytes``: None
    computes it. Safe to call from any thread. Memory: 10 bytes a page, 4 to 10 of them resident. Raises InputError.
    """

    def __init__(
        self,
        size: int | str,
        *,
        nodes: int = 1,
        cpus: int = 1,
        movable: int | str = 0,
        profile: KernelProfile = LINUX_6_1,
        min_free_kbytes: int | None = None,
    ) -> None:
        self._adopt(build_zones(parse_size(size), nodes, cpus, parse_size(movable), profile, min_free_kbytes))

    @classmethod
    def from_snapshot(
        cls,
        zoneinfo: str,
        kpageflags: NDArray[np.uint64],
        pagetypeinfo: str | None = None,
        profile: KernelProfile = LINUX_6_1,
    ) -> "GuestMemory":
        """A guest as its own /proc/zoneinfo, kpageflags (a word for each pfn) and pagetypeinfo tell it.

        Zones, watermarks, protection and free blocks are as there. Every other page is in use, those on the CPUs'
        lists too; no file tells in which blocks, so that they are freed with ``free_pages_exact``. A pageblock's type
        is guessed by how many free blocks of each type pagetypeinfo counts; without it all are MOVABLE. O(pages).
        Raises InputError.
        """
        memory = cls.__new__(cls)
        memory._adopt(snapshot_zones(zoneinfo, kpageflags, pagetypeinfo, profile))
        return memory

    def _adopt(self, guest_zones: Sequence[GuestZone]) -> None:
        self.guest_zones = tuple(guest_zones)
        self.zones = tuple(guest_zone.zone for guest_zone in guest_zones)
        self._starts = [zone.start_pfn for zone in self.zones]
        self._zonelists = zonelists(guest_zones)
        self._cpus = len(guest_zones[0].pcps)
        self._wishes: dict[tuple[int, int], _Wish] = {}

    def __repr__(self) -> str:
        zones = ", ".join(f"{zone.node}:{zone.name} {zone.pages}" for zone in self.zones)
        return f"<GuestMemory: {zones} pages>"

    # Blocks

    def alloc_pages(self, order: int, gfp: int, node: int = 0, cpu: int = 0) -> int:
        """The pfn of a block of ``2**order`` pages, from the first zone of ``node``'s zonelist that can spare it.

        Zones are tried down to their low watermarks, then to their min ones (half of it for __GFP_HIGH, and a quarter
        less for __GFP_ATOMIC). Where the first is Normal, and its node has DMA32, the zones of that node are tried once
        before that, without breaking up another migratetype's pageblocks (NOFRAGMENT). Before it fails, the CPUs' lists
        are drained and blocks in flight waited for. Raises AllocationError, or InputError for bad arguments. O(zones),
        and an allocation of the zone's.
        """
        request = self._request(order, gfp, node, cpu)
        wish = request.wish
        pfn = self._scan(request, wish.whole_first, low=True, whole=True) if wish.whole_first else -1
        if pfn < 0:
            pfn = self._scan(request, wish.zones, low=True)
        if pfn < 0:
            pfn = self._scan(request, wish.zones, low=False)
        if pfn < 0:
            pfn = self._retry(request)
        if pfn < 0:
            raise AllocationError(
                f"page allocation failure: order:{order}, mode:{format_gfp(gfp)}, node:{node}, cpu:{cpu}\n"
                + show_free_areas(self.guest_zones)
            )
        return pfn

    def free_pages(self, pfn: int, order: int, cpu: int = 0) -> None:
        """Free a block that ``alloc_pages`` gave, through a CPU's lists. Raises InputError if it isn't allocated."""
        guest_zone = self._guest_zone_of(pfn)
        guest_zone.zone.free(pfn, order, guest_zone.pcps[self._cpu(cpu)])

    def _cpu(self, cpu: int) -> int:
        if not 0 <= (place := integer("cpu", cpu)) < self._cpus:
            raise InputError(f"cpu {shown(cpu)}: expected 0 to {self._cpus - 1}")
        return place

    def _request(self, order: int, gfp: int, node: int, cpu: int) -> _Request:
        most = self.zones[0].max_order - 1
        try:
            if not 0 <= (wanted := index(order)) <= most:
                raise InputError(f"order {shown(order)}: expected 0 to {most}")
            if node not in self._zonelists:
                raise InputError(f"node {shown(node)}: expected one of {', '.join(map(str, self._zonelists))}")
            wish = self._wishes.get((gfp, node))
            if wish is None:
                wish = self._wishes[gfp, node] = self._wish(gfp, node)
            return _Request(wanted, self._cpu(cpu), wish)
        except TypeError:
            told = f"order {shown(order)}, gfp {shown(gfp)}, node {shown(node)}, cpu {shown(cpu)}"
            raise InputError(f"{told}: expected whole numbers") from None

    def _wish(self, gfp: int, node: int) -> _Wish:
        gfp = whole_number("gfp", gfp, 0, _MOST_GFP)
        highest = gfp_zone(gfp)
        zones = [
            (guest_zone, guest_zone.protection[highest])
            for guest_zone in self._zonelists[node]
            if guest_zone.type <= highest and (guest_zone.zone.node == node or not gfp & Gfp.THISNODE)
        ]
        whole_first = [each for each in zones if each[0].zone.node == zones[0][0].zone.node]
        if [guest_zone.type for guest_zone, _ in whole_first[:2]] != [ZoneType.NORMAL, ZoneType.DMA32]:
            whole_first = []
        return _Wish(gfp_migratetype(gfp), bool(gfp & Gfp.HIGH), bool(gfp & Gfp.ATOMIC), zones, whole_first)

    def _scan(self, request: _Request, zones: list[tuple[GuestZone, int]], low: bool, whole: bool = False) -> int:
        order, cpu, wish = request
        for guest_zone, protection in zones:
            zone = guest_zone.zone
            mark = zone.watermarks.low if low else zone.watermarks.min
            if not low:
                mark -= mark // 2 if wish.high else 0
                mark -= mark // 4 if wish.atomic else 0
            if watermark_ok(zone, order, mark + protection):
                pfn = zone.alloc_nowait(order, wish.migratetype, guest_zone.pcps[cpu], whole)
                if pfn >= 0:
                    return pfn
        return -1

    def _retry(self, request: _Request) -> int:
        def attempt() -> int:
            return self._scan(request, request.wish.zones, low=False)

        self.drain_all_pages()
        pfn = attempt()
        for guest_zone, _ in request.wish.zones:
            if pfn < 0 and guest_zone.zone.in_flight_pages:
                pfn = guest_zone.zone.settle(attempt)
        return pfn

    def drain_all_pages(self) -> None:
        """Empty all CPUs' lists into the zones. O(pages on them)."""
        for guest_zone in self.guest_zones:
            for pcp in guest_zone.pcps:
                guest_zone.zone.drain_pcp(pcp)

    def decay_pcp_high(self) -> None:
        """What each CPU does once a second where its lists tune themselves (Linux 6.7 and later): shorten idle ones.

        Nothing else knows the time here. See ``Zone.decay_pcp``. O(pages that go back).
        """
        for guest_zone in self.guest_zones:
            for pcp in guest_zone.pcps:
                guest_zone.zone.decay_pcp(pcp)

    # Ranges

    def alloc_pages_exact(self, pages: int, gfp: int, node: int = 0, cpu: int = 0) -> int:
        """The pfn of ``pages`` contiguous pages: a block whose tail is given back at once. Raises as alloc_pages."""
        most = 1 << (self.zones[0].max_order - 1)
        pages = whole_number("pages", pages, 1, most)
        order = (pages - 1).bit_length()
        pfn = self.alloc_pages(order, gfp, node, cpu)
        if rest := (1 << order) - pages:
            self.zone_of(pfn).free_surplus(pfn + pages, rest)
        return pfn

    def free_pages_exact(self, pfn: int, pages: int) -> None:
        """Free contiguous pages of one zone, however allocated. Raises InputError if any of them isn't allocated."""
        self.zone_of(pfn).free_exact(pfn, pages)

    def alloc_contig_range(self, pfn: int, pages: int, migratetype: int = 1) -> None:
        """Allocate these very pages, of one zone. CPUs' lists are drained and blocks in flight waited for. O(pages).

        Raises BusyError, and changes no block, if one of them is not free; InputError if the zone lacks one.
        """
        zone = self.zone_of(pfn)
        self._without_lists(zone, partial(zone.alloc_range, pfn, pages, migratetype))

    def offline(self, pfn: int, pages: int) -> None:
        """Take pages away (memory hotplug), of as many zones as they lie in. Waits as ``alloc_contig_range`` does.

        Raises BusyError, and takes none, if one of them is not free; InputError if the guest lacks one.
        """

        def take(zone: Zone, begin: int, count: int) -> None:
            self._without_lists(zone, partial(zone.offline, begin, count))

        self._do_all(self._parts(pfn, pages), take, Zone.online)

    def online(self, pfn: int, pages: int) -> None:
        """Bring back pages that are offline, of as many zones as they lie in. O(pages).

        Raises BusyError, and brings none, if one of them is online; InputError if the guest lacks one.
        """
        self._do_all(self._parts(pfn, pages), Zone.online, Zone.offline)

    def _do_all(
        self, parts: list[_Part], do: Callable[[Zone, int, int], None], undo: Callable[[Zone, int, int], None]
    ) -> None:
        for place, part in enumerate(parts):
            try:
                do(*part)
            except BaseException:
                for done in parts[:place]:
                    undo(*done)
                raise

    def _without_lists(self, zone: Zone, take: Callable[[], None]) -> None:
        def attempt() -> int:
            try:
                take()
            except BusyError:
                return -1
            return 0

        self.drain_all_pages()
        if zone.in_flight_pages and zone.settle(attempt) >= 0:
            return
        take()

    def _parts(self, pfn: int, pages: int) -> list[_Part]:
        pages = whole_number("pages", pages, 1, sum(zone.pages for zone in self.zones))
        pfn = integer("pfn", pfn)
        parts, end = [], pfn + pages
        while pfn < end:
            zone = self.zone_of(pfn)
            count = min(end, zone.start_pfn + zone.pages) - pfn
            parts.append((zone, pfn, count))
            pfn += count
        return parts

    # What can be read

    def _guest_zone_of(self, pfn: int) -> GuestZone:
        wanted = integer("pfn", pfn)  # a NumPy integer would overflow
        place = bisect_right(self._starts, wanted) - 1
        if place >= 0 and wanted < self._starts[place] + self.zones[place].pages:
            return self.guest_zones[place]
        raise InputError(f"pfn {shown(pfn)}: no zone of this guest has it")

    def zone_of(self, pfn: int) -> Zone:
        """The zone that a page lies in. O(log zones). Raises InputError if none has it."""
        return self._guest_zone_of(pfn).zone

    @property
    def counts(self) -> PageCounts:
        """Where the pages are now; exact while no other thread changes anything. O(zones * cpus)."""
        free = sum(zone.free_pages for zone in self.zones)
        isolated = sum(sum(n << order for order, n in enumerate(zone.nr_free)) for zone in self.zones) - free
        per_cpu = sum(guest_zone.per_cpu_pages for guest_zone in self.guest_zones)
        in_flight = sum(zone.in_flight_pages for zone in self.zones)
        present = sum(zone.present_pages for zone in self.zones)
        offline = sum(zone.pages for zone in self.zones) - present
        return PageCounts(present - free - isolated - per_cpu - in_flight, free, isolated, per_cpu, in_flight, offline)
