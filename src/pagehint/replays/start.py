"""Where a replay starts: the recorded guest's zones as they were before its first event."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from pagehint.errors import InputError
from pagehint.hinting.designs.reporting import PageReporting, timer_step
from pagehint.host.backing import AREA_PAGES, Backing
from pagehint.host.blocks import PAGE_BYTES
from pagehint.kernel.orders import MAX_PAGE_ORDER, PAGEBLOCK_ORDER
from pagehint.kernel.profiles import Evidence, KernelProfile
from pagehint.kernel.ticks import TICK
from pagehint.mm.guest.zones import DMA32_END, DMA_END, pcp_limits
from pagehint.mm.page import FREE, HINTED, KIND, ORDER
from pagehint.mm.pcp import PerCpuLists, pcp_batch
from pagehint.mm.zone import Watermarks, Zone
from pagehint.replays.balloon import Inflations
from pagehint.replays.columns import COLUMNS
from pagehint.replays.engine import Engine
from pagehint.replays.first_types import types_at_start
from pagehint.replays.hotplug import Hotplug, Onlinings
from pagehint.replays.on_lists import OnLists, find_on_lists
from pagehint.replays.pages import waiting
from pagehint.replays.refills import FoundRefills, Refills, RefillScan
from pagehint.replays.scan import FREE_AT_START, UNSEEN, USED_AT_START, Scan
from pagehint.replays.states import (
    NO_MEMORY,
    SNAPSHOT_BEGUN,
    SNAPSHOT_READ,
    Named,
    PageStates,
    is_late,
    mark_time,
    pageblock_order,
    pages_at_start,
)
from pagehint.replays.timer import LEAST_LATE, recorded_passes, steady_passes, timer_phase, timer_tick
from pagehint.replays.told_blocks import departures
from pagehint.trace.bundle import Trace
from pagehint.trace.events import Event
from pagehint.trace.meta import MAX_CPUS, ZoneLayout
from pagehint.units import LONGEST_TIME, format_time, shown

__all__ = [
    "MOST_PAGES",
    "Start",
    "check_replayable",
    "check_trace",
    "device_load",
    "first_request",
    "guest_reporting",
]

MOST_PAGES = 1 << 28
"""Of a guest that is replayed: 1 TiB."""
_MOST_UNZONED = 1 << 23  # 32 GiB: one event may name any page
# 64 GiB, and the hole that machines have below 4 GiB: a few bytes of zoneinfo may claim any size.
_MOST_WITHOUT_FLAGS = (1 << 24) + (1 << 20)
# A CPU's lists of a zone take 10 KiB and some 40 bytes for each page that they may hold: together that is a part of the
# guest's pages, but on remote nodes' CPUs.
_MOST_LISTS = 1 << 16
_MOST_ON_LISTS = 16
_LEAST_PAGES = 1 << 20
_FIRST_PASS = "the first pass"


def check_trace(trace: object) -> None:
    """Raise InputError unless it is a Trace."""
    if not isinstance(trace, Trace):
        raise InputError(f"{shown(trace)} is no recording: expected a Trace, such as Trace.open(path)")


def guest_reporting(trace: Trace) -> PageReporting:
    """The recorded guest's own reporting (its order and delay, and its timer's phase), or mainline's defaults."""
    check_trace(trace)
    known = trace.meta.known_reporting
    delay = known.usual_delay
    order = PAGEBLOCK_ORDER if known.order is None else known.order
    tick, passes = timer_tick(trace).ns, steady_passes(trace)
    step = timer_step(delay, tick)
    if not len(passes):
        # The delay, and then the wheel's next step: half a step, where nobody knows its phase.
        return PageReporting(order, delay + step // 2)
    # A timer set just before a step ends with the next: what a pass takes to its first batch decides which step it was.
    phase = (timer_phase(passes, step) - LEAST_LATE) % step
    return PageReporting(order, delay, phase, None if tick == TICK else tick)


def device_load(trace: Trace) -> int:
    """When the device comes (ns): as in the recording, else with its first event.

    What says that it came was written before or after: the first pass tells, as coming asks for one. Not so where
    another could have come before it, which found nothing to tell, or which was not recorded.
    """
    written, delay = trace.meta.known_reporting.device_load_ns, trace.meta.known_reporting.delay_ns
    if written is None:
        return trace.meta.first_ns
    passes = recorded_passes(trace)
    if not len(passes) or delay is None or written < trace.meta.first_ns or passes[0] - written >= 2 * delay:
        return written
    return _request_of(trace, passes, delay)


def first_request(trace: Trace) -> int | None:
    """When the first recorded pass was asked for (ns), where the guest's device was there before the recording began.

    Until then nothing is told: a device that comes asks for a pass, one that is there waits for a free. None: the
    device came later, or no pass tells.
    """
    known, passes = trace.meta.known_reporting, recorded_passes(trace)
    if known.delay_ns is None or not len(passes):
        return None
    came, asked = known.device_load_ns, _request_of(trace, passes, known.delay_ns)
    # A driver that is built into the kernel was there, whatever says that it came.
    return asked if came is None or min(came, asked) < trace.meta.first_ns else None


def _request_of(trace: Trace, passes: NDArray[np.int64], delay: int) -> int:
    step = timer_step(delay, timer_tick(trace).ns)
    return int(passes[0] - (passes[0] - timer_phase(steady_passes(trace), step)) % step) - delay - step // 2


def _layouts(trace: Trace) -> list[ZoneLayout]:
    if trace.meta.zones:
        return sorted(trace.meta.zones, key=lambda zone: zone.start_pfn)
    end = trace.meta.pfn_end
    borders = [0, DMA_END, DMA32_END, max(end, DMA32_END)]
    layouts = []
    for name, begin, stop in zip(("DMA", "DMA32", "Normal"), borders, borders[1:], strict=False):
        if begin < end:
            pages = min(stop, end) - begin
            layouts.append(ZoneLayout(0, name, begin, pages, pages, pages, 0, 0, 0))
    return layouts


def _pages(trace: Trace, layouts: list[ZoneLayout]) -> int:
    """How many pages a replay is of. Raises InputError where the recording can't be replayed."""
    meta = trace.meta
    for key, order in (("pageblock_order", meta.pageblock_order), ("reporting.order", meta.known_reporting.order)):
        if order is not None and order > MAX_PAGE_ORDER:
            raise InputError(f"{trace.path / 'meta.json'}: {key} is {order}: replays go up to order {MAX_PAGE_ORDER}")
    cpus = meta.cpus or MAX_CPUS
    if cpus * len(layouts) > _MOST_LISTS:
        raise InputError(
            f"{trace.path / 'meta.json'}: {cpus} CPUs and {len(layouts)} zones: replays go up to {_MOST_LISTS} CPUs' "
            "lists of a zone"
        )
    if meta.last_ns - meta.first_ns > LONGEST_TIME:
        raise InputError(f"{trace.path}: lasts {format_time(meta.last_ns - meta.first_ns)}: too long")
    if not layouts:
        raise InputError(f"{trace.path}: no event names a page, and there is no snapshot: nothing to replay")
    # Whole huge pages: the host's last one may reach beyond the last zone.
    pages = -(-max(layout.end_pfn for layout in layouts) // AREA_PAGES) * AREA_PAGES
    if meta.page_size != PAGE_BYTES:
        raise InputError(f"{trace.path}: its pages have {meta.page_size} bytes: replays are of {PAGE_BYTES} only")
    if not meta.zones and pages > _MOST_UNZONED:
        raise InputError(
            f"{trace.path}: an event names pfn {meta.pfn_end - 1}, and no snapshot tells where the guest's memory "
            "lies: import it with --snapshot"
        )
    if pages > MOST_PAGES:
        raise InputError(f"{trace.path}: its zones end at pfn {pages}: replays go up to {MOST_PAGES} pages (1 TiB)")
    if pages > _MOST_WITHOUT_FLAGS and (trace.snapshot is None or trace.snapshot.known_pages < pages - AREA_PAGES):
        raise InputError(
            f"{trace.path}: its zones end at pfn {pages}, and no kpageflags tell what is there: guests of more "
            "than 64GiB need them: import it with --snapshot"
        )
    return pages


def _check_room(trace: Trace, pages: int, room: int) -> None:
    if room > _MOST_ON_LISTS * max(pages, _LEAST_PAGES):
        raise InputError(
            f"{trace.path}: its CPUs' lists may hold {room} pages, and its zones end at pfn {pages}: their high and "
            "batch are no guest's: take the snapshot again"
        )


def check_replayable(trace: Trace) -> None:
    """Raise InputError where a whole recording is of a guest that can't be replayed: too large, or of other pages."""
    _pages(trace, _layouts(trace))


@dataclass(frozen=True)
class Seen:
    """What a first look at the whole recording found: its replays share it."""

    at_start: PageStates
    first_left: NDArray[np.uint32]
    types: NDArray[np.uint8]
    cpus: list[int]
    boot_end: int
    verdicts: tuple[NDArray[np.int64], NDArray[np.uint8], NDArray[np.int64]]
    ties: NDArray[np.int64]
    in_bulk: NDArray[np.int64]
    last_freed: NDArray[np.int64]
    given_back: NDArray[np.int64]
    evidence: Evidence
    on_lists: OnLists | None
    """Without zone events: what lies on CPUs' lists."""
    refills: FoundRefills | None
    """Small allocations and frees were not recorded: what refills brought to CPUs' lists."""
    hotplug: Hotplug
    balloon: int
    """Allocations that are the balloon's."""
    least_told: int
    """The least order of a block that the recorded guest told; above the largest: events tell of none."""


@dataclass
class Start:
    """The zones of one replay, and what all replays of the recording have seen."""

    zones: list[Zone]
    pages: int
    pcps: dict[tuple[int, int], PerCpuLists]
    grows: list[tuple[PerCpuLists, tuple[int, int, int]]]
    load: int
    """When the device comes (ns)."""
    seen: Seen

    @classmethod
    def of(cls, trace: Trace, profile: KernelProfile, progress: Callable[[int], None] | None = None) -> "Start":
        """Reads the whole recording, once for all its replays. Raises InputError."""
        meta, layouts = trace.meta, _layouts(trace)
        pages = _pages(trace, layouts)
        load = device_load(trace)
        looked = False

        def look() -> Seen:
            nonlocal looked
            looked = True
            return _look(trace, layouts, pages, profile, load, progress)

        seen = trace.once(profile, look)
        if progress is not None and not looked:
            progress(trace.num_events)
        found = seen.at_start
        zones, pcps, grows, room = [], {}, [], 0
        for index, layout in enumerate(layouts):
            zone = _zone(layout, profile, pageblock_order(trace), seen)
            zones.append(zone)
            if not meta.has(Event.ZONE_ALLOC):
                limits = pcp_limits(layout, profile, layout.cpus or max(meta.cpus, len(seen.cpus)))
                room += len(seen.cpus) * min(limits[2] + 2 * limits[0], layout.spanned)
                _check_room(trace, pages, room)
                coming = int(found.coming[layout.start_pfn : layout.end_pfn].sum()) if found.booting else 0
                for cpu in seen.cpus:
                    pcps[index, cpu] = PerCpuLists(zone, cpu, *limits)
                    if coming:
                        # Until boot has freed it all, a zone's batch is as for what it had before.
                        pcps[index, cpu].limit(min(pcp_batch(layout.managed - coming), limits[0]), *limits[1:])
                        grows.append((pcps[index, cpu], limits))
        return cls(zones, pages, pcps, grows, load, seen)

    def boot_ended(self) -> None:
        """All memory is there: per-CPU lists get their limits."""
        for pcp, limits in self.grows:
            pcp.limit(*limits)

    def decay(self) -> bool:
        """A second is over: CPUs' lists that tune themselves decay. Whether any did."""
        before = [(pcp.high, pcp.count) for pcp in self.pcps.values()]
        for (index, _), pcp in self.pcps.items():
            self.zones[index].decay_pcp(pcp)
        return before != [(pcp.high, pcp.count) for pcp in self.pcps.values()]

    def memory_of_areas(self, areas: int) -> NDArray[np.int64]:
        """How many pages of each of `areas` equal areas are memory at all; see `Engine.map_row`."""
        words = (self.pages + 63) >> 6
        edges = [min(row * words // areas * 64, self.pages) for row in range(areas + 1)]
        return np.array([np.count_nonzero(self.seen.at_start.states[a:b]) for a, b in pairwise(edges)], np.int64)

    def assumed_backed(self, free_backed: bool, largest_backed: bool) -> NDArray[np.bool_]:
        """Which pages are backed, where the recording doesn't tell: bool, one a page.

        All used memory; free memory if `free_backed`, in blocks of the largest order if `largest_backed`; but not what
        the guest had given back already or gets later.
        """
        states = self.seen.at_start.states
        backed = states >= (FREE_AT_START if free_backed else USED_AT_START)
        backed[self.seen.at_start.coming] = False
        for zone in self.zones:
            state = zone.page_state
            free = state & KIND == FREE
            out = free & (state & HINTED != 0)
            if not largest_backed:
                out |= free & (state & ORDER == MAX_PAGE_ORDER)
            heads = np.flatnonzero(out)
            for head, order in zip(heads.tolist(), (state[heads] & ORDER).tolist(), strict=True):
                backed[zone.start_pfn + head : zone.start_pfn + head + (1 << order)] = False
        return backed

    def lay_untouched(self, engine: Engine, backed: NDArray[np.bool_]) -> None:
        """At zone level, lay on CPUs' lists what was drained from there, unless it is `backed` (bool a page, as
        recorded): nobody has used it yet."""
        if self.seen.refills is not None:
            untouched = ~backed[self.seen.refills.at_start]
            engine.lay_used(self.seen.refills.at_start[untouched], self.seen.refills.at_start_on[untouched])

    def engine(self, backing: Backing, recorded: bool, follows: bool = False) -> Engine:
        """An engine over these zones, which nobody has used yet."""
        # Without zone events nothing tells which came first; and what stays where it was needs no order.
        ties = self.seen.ties[: 0 if recorded or self.pcps else None]
        engine = Engine(self.zones, backing, self.pages, recorded, self.pcps, self.seen.verdicts, ties, follows)
        if self.seen.refills is not None:
            engine.at_zone_level(Refills(self.pages, self.seen.refills))
        if engine.zone_events:
            for zone in self.zones:
                zone.count_per_cpu_by(
                    partial(waiting, engine.taken, engine.used, zone.start_pfn, zone.start_pfn + zone.pages)
                )
        engine.start_from(self.seen.at_start.states)
        engine.may_come_straight(self.seen.last_freed)
        engine.moves_to(self.seen.given_back)
        engine.go_offline(self.seen.hotplug.gone)
        engine.several_cpus = len(self.seen.cpus) > 1
        if self.seen.on_lists is not None:
            self._lay_on_lists(engine, self.seen.on_lists)
        return engine

    def _lay_on_lists(self, engine: Engine, on: OnLists) -> None:
        engine.lay_on_lists(on.pfns, on.lists)
        for (index, cpu), pcp in self.pcps.items():
            highs = on.highs.get((self.zones[index].node, self.zones[index].name), [])
            if cpu < len(highs):
                pcp.resume(highs[cpu])


def _look(
    trace: Trace,
    layouts: list[ZoneLayout],
    pages: int,
    profile: KernelProfile,
    load: int,
    progress: Callable[[int], None] | None,
) -> Seen:
    order, zone_level = pageblock_order(trace), trace.meta.level == "zone"
    batches = [layout.pcp_batch or pcp_batch(layout.managed) for layout in layouts]
    scan = Scan(pages, order, trace.meta.has(Event.ZONE_ALLOC), profile, load, zone_level, max(batches))
    refills = None
    if zone_level:
        refills = RefillScan(pages, [layout.end_pfn for layout in layouts], batches, profile, order)
    inflations, onlinings = Inflations(trace), Onlinings(load)
    named = _read(trace, layouts, scan, inflations, onlinings, refills, progress)
    flags = None if trace.snapshot is None else trace.snapshot.kpageflags()
    found = pages_at_start(trace, layouts, scan.at_start, flags, named)
    lower = None if flags is None else flags.astype(np.uint32)
    del flags  # half of the memory that a large guest's take
    on_lists = None
    if not scan.zone_events and not found.booting and not is_late(trace) and lower is not None and trace.snapshot:
        on_lists = find_on_lists(trace.snapshot, lower, found.states, layouts, named.begun, scan)
    balloon, hotplug = inflations.rows(), onlinings.found(trace, found.states)
    types = types_at_start(trace, layouts, scan.first_types, found, lower, scan.first_left, scan.first_order)
    tuned = any(layout.pcp_high_min is not None for layout in layouts)
    evidence = Evidence(
        scan.moves, scan.removals, scan.drained_order, tuned, scan.refilled, 0 if zone_level else scan.beyond_batch
    )
    found_refills = None
    if refills is not None:
        at_end = None if trace.final_snapshot is None else trace.final_snapshot.kpageflags()
        found_refills = refills.found(trace.meta.last_ns, at_end)
    return Seen(
        at_start=found,
        first_left=scan.first_left,
        types=types,
        cpus=scan.cpus(),
        boot_end=scan.boot_end(),
        verdicts=scan.verdicts(found.booting, balloon, hotplug.online),
        ties=scan.ties(),
        in_bulk=scan.in_bulk(),
        last_freed=scan.last_freed(),
        given_back=scan.given_back(),
        evidence=evidence,
        on_lists=on_lists,
        refills=found_refills,
        hotplug=hotplug,
        balloon=len(balloon[0]),
        least_told=scan.least_told,
    )


def _read(
    trace: Trace,
    layouts: list[ZoneLayout],
    scan: Scan,
    inflations: Inflations,
    onlinings: Onlinings,
    refills: RefillScan | None,
    progress: Callable[[int], None] | None,
) -> Named:
    named: dict[str, NDArray[np.bool_]] = {}
    told = [np.zeros(0, np.int64)]
    # Between two events: what was told, and left the lists for that; or a mark.
    between: list[tuple[int, NDArray[np.int64] | str]] = [*departures(trace, layouts)]
    marks = [(mark_time(trace, text), text) for text in (SNAPSHOT_BEGUN, SNAPSHOT_READ)]
    marks += [(int(time), _FIRST_PASS) for time in trace.report_times[:1]]
    between += [(time, text) for time, text in marks if time is not None]
    between.sort(key=lambda each: each[0])
    between.reverse()  # of one time the first comes first

    def go_on() -> None:
        _, what = between.pop()
        if isinstance(what, str):
            named[what] = scan.at_start != UNSEEN
        else:
            scan.told(what)
            if SNAPSHOT_READ not in named:
                told.append(what[:, 0])

    for batch in trace.batches(list(dict.fromkeys((*COLUMNS, *inflations.columns)))):
        inflations.add(batch)
        onlinings.add(batch)
        if refills is not None:
            refills.add(batch)
        times, begin = batch["time"], 0
        while begin < len(times):
            end = int(np.searchsorted(times, between[-1][0])) if between else len(times)
            if begin < end:
                part = {name: column[begin:end] for name, column in batch.items()}
                scan.add(part)
                if SNAPSHOT_READ not in named:
                    told.append(part["pfn"][part["event"] == Event.PUTBACK])
            if end < len(times):
                go_on()
            begin = max(begin, end)
        if progress is not None:
            progress(len(batch["event"]))
    while between:
        go_on()
    read = named.get(SNAPSHOT_READ)
    known = told[: None if marks[1][0] is not None else 1]
    return Named(named.get(SNAPSHOT_BEGUN), named.get(_FIRST_PASS), read, np.concatenate(known))


# What left its list first stood before what left it later; what never left, behind them (0 - 1 is the largest).
def _zone(layout: ZoneLayout, profile: KernelProfile, pageblock_order: int, seen: Seen) -> Zone:
    zone = Zone(
        layout.spanned,
        start_pfn=layout.start_pfn,
        pageblock_order=pageblock_order,
        profile=profile,
        name=layout.name,
        node=layout.node,
    )
    first = layout.start_pfn >> pageblock_order
    here = slice(layout.start_pfn, layout.end_pfn)
    states = seen.at_start.states[here]
    zone.load(
        states == FREE_AT_START,
        seen.types[first : first + len(zone.pageblock_types)],
        present=states != NO_MEMORY,
        reported=seen.at_start.reported[here],
        ranks=seen.first_left[here] - np.uint32(1),
    )
    # Beyond the zone where min_free_kbytes was raised: no more can be free either way.
    zone.watermarks = Watermarks(*(min(mark, layout.spanned) for mark in (layout.min, layout.low, layout.high)))
    return zone
