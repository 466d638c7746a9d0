"""A zone of a guest with what belongs to it there, and how a guest's memory is laid out in zones."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from pagehint.errors import InputError
from pagehint.kernel.gfp import ZoneType
from pagehint.kernel.profiles import KernelProfile, check_profile
from pagehint.mm.guest.watermarks import default_min_free_kbytes, lowmem_reserve, zone_watermarks
from pagehint.mm.pcp import PerCpuLists, pcp_batch, pcp_high, pcp_high_max
from pagehint.mm.zone import Zone
from pagehint.proc.zoneinfo import ZoneLayout
from pagehint.units import format_size, shown, whole_number

__all__ = ["DMA32_END", "DMA_END", "PAGE_SIZE", "GuestZone", "build_zones", "pcp_limits", "zonelists"]

PAGE_SIZE = 4096
DMA_END = (16 << 20) // PAGE_SIZE
"""One past the last pfn that zone DMA has on x86-64, at the most."""
DMA32_END = (4 << 30) // PAGE_SIZE
"""The same of DMA32."""
_LARGEST_BLOCK = 1024  # pages
_MOST_BYTES = 16 << 40
_MOST_NODES = 64
_MOST_CPUS = 1024


@dataclass(frozen=True, slots=True)
class GuestZone:
    """A zone, which of its node's it is, its *protection* (see ``lowmem_reserve``), and each CPU's lists of it."""

    zone: Zone
    type: ZoneType
    protection: tuple[int, ...]
    pcps: tuple[PerCpuLists, ...]

    @property
    def per_cpu_pages(self) -> int:
        """Pages on the CPUs' lists."""
        return sum(pcp.count for pcp in self.pcps)


class _Span(NamedTuple):
    node: int
    type: ZoneType
    begin: int
    end: int


def build_zones(
    size: int, nodes: int, cpus: int, movable: int, profile: KernelProfile, min_free_kbytes: int | None
) -> list[GuestZone]:
    """The zones of a guest from nothing, all free, in ascending pfn order. O(pages / 1024). Raises InputError."""
    nodes = whole_number("nodes", nodes, 1, _MOST_NODES)
    cpus = whole_number("cpus", cpus, 1, _MOST_CPUS)
    check_profile(profile)
    least = nodes * _LARGEST_BLOCK * PAGE_SIZE
    if not least <= size <= _MOST_BYTES or size % PAGE_SIZE:
        raise InputError(
            f"size {shown(size)} of a guest with {nodes} nodes: expected whole pages, "
            f"{format_size(least)} to {format_size(_MOST_BYTES)}"
        )
    spans = list(_lay_out(size // PAGE_SIZE, nodes, movable))
    managed = [span.end - span.begin for span in spans]
    if min_free_kbytes is None:
        below_movable = sum(span.end - span.begin for span in spans if span.type < ZoneType.MOVABLE)
        min_free_kbytes = default_min_free_kbytes(below_movable * PAGE_SIZE >> 10, profile)
    min_free_kbytes = whole_number("min_free_kbytes", min_free_kbytes, 0, size >> 11)
    marks = zone_watermarks(managed, (min_free_kbytes << 10) // PAGE_SIZE)
    zones = []
    for span, pages, watermarks in zip(spans, managed, marks, strict=True):
        of_node = [sum(s.end - s.begin for s in spans if s[:2] == (span.node, kind)) for kind in ZoneType]
        zone = Zone(
            pages,
            start_pfn=span.begin,
            page_size=PAGE_SIZE,
            profile=profile,
            watermarks=watermarks,
            name=span.type.title,
            node=span.node,
        )
        local = sum(cpu * nodes // cpus == span.node for cpu in range(cpus)) or cpus
        batch = pcp_batch(pages)
        high = pcp_high(profile, batch, watermarks.low, local)
        pcps = tuple(PerCpuLists(zone, cpu, batch, high, pcp_high_max(high, pages, local)) for cpu in range(cpus))
        zones.append(GuestZone(zone, span.type, lowmem_reserve(of_node, span.type), pcps))
    return zones


def pcp_limits(layout: ZoneLayout, profile: KernelProfile, cpus: int) -> tuple[int, int, int]:
    """A CPU's lists of a zone as zoneinfo tells them, else as computed: batch, high, and the most that high may become.

    What zoneinfo calls high is momentary where lists tune themselves: high here is the least that it may become.
    """
    batch = layout.pcp_batch or pcp_batch(layout.managed)
    told = layout.pcp_high_min
    if told is None and not profile.pcp_tunes:
        told = layout.pcp_high
    high = pcp_high(profile, batch, layout.low, cpus) if told is None else told
    return batch, high, layout.pcp_high_max or pcp_high_max(high, layout.managed, cpus)


# Nodes are slices of one size; each gives its part of ``movable`` bytes from its end.
def _lay_out(pages: int, nodes: int, movable: int) -> Iterator[_Span]:
    if movable < 0 or movable % PAGE_SIZE or movable // PAGE_SIZE > pages - nodes * _LARGEST_BLOCK:
        raise InputError(
            f"movable {shown(movable)}: expected whole pages, and a block of {format_size(_LARGEST_BLOCK * PAGE_SIZE)} "
            "of each node left"
        )
    edges = [pages * node // nodes // _LARGEST_BLOCK * _LARGEST_BLOCK for node in range(nodes)] + [pages]
    for node in range(nodes):
        begin, end = edges[node], edges[node + 1]
        split = _movable_start(begin, end, movable // PAGE_SIZE // nodes)
        borders = ((DMA_END, ZoneType.DMA), (DMA32_END, ZoneType.DMA32), (split, ZoneType.NORMAL))
        for border, kind in borders:
            if begin < (until := min(border, split)):
                yield _Span(node, kind, begin, until)
                begin = until
        if split < end:
            yield _Span(node, ZoneType.MOVABLE, split, end)


def _movable_start(begin: int, end: int, pages: int) -> int:
    if not pages:
        return end
    return max(begin + _LARGEST_BLOCK, (end - pages) // _LARGEST_BLOCK * _LARGEST_BLOCK)


def zonelists(zones: Sequence[GuestZone]) -> dict[int, tuple[GuestZone, ...]]:
    """For each node, all zones in the order in which they are tried: the node's own first, highest zones first."""
    nodes = sorted({zone.zone.node for zone in zones})
    return {
        node: tuple(sorted(zones, key=lambda z: ((z.zone.node - node) % (nodes[-1] + 1), -z.type))) for node in nodes
    }
