"""Why an allocation failed, or the OOM killer came: which order was short, in which zone, at which watermark."""

from dataclasses import dataclass, field
from typing import Any

from pagehint.diagnosis.memory_report import MemoryReport, ReportedZone
from pagehint.diagnosis.zones import ZoneState, reported_zone
from pagehint.kernel.gfp import GFP_BY_NAME, Gfp

__all__ = ["Failure", "ZoneVerdict", "explain_failures"]

_PLACES = ("DMA", "DMA32", "Normal", "HighMem", "Movable", "Device")
_RANKS = ("none", "fragmentation", "boost", "reserve", "watermark", "lowmem", "unknown")
_OF_BLOCKS = _RANKS.index("fragmentation") + 0.5
_WEIGHTY = 1 / 8
_RESERVES = {"__GFP_HIGH", "GFP_ATOMIC", "__GFP_ATOMIC", "__GFP_MEMALLOC"}
_NO_WAIT = {"GFP_ATOMIC", "GFP_NOWAIT", "__GFP_ATOMIC"}
_WAITING = {
    "GFP_KERNEL",
    "GFP_KERNEL_ACCOUNT",
    "GFP_USER",
    "GFP_HIGHUSER",
    "GFP_HIGHUSER_MOVABLE",
    "GFP_NOFS",
    "GFP_NOIO",
    "GFP_TRANSHUGE",
    "__GFP_RECLAIM",
    "__GFP_DIRECT_RECLAIM",
    # Before 4.14 and 4.4.
    "GFP_TEMPORARY",
    "__GFP_WAIT",
}


@dataclass(frozen=True)
class ZoneVerdict:
    """What refused the allocation in a zone; sizes in bytes.

    `reason` is ``"watermark"`` (too little is free above the mark), ``"boost"`` (enough without the boost),
    ``"reserve"`` (enough but for what is kept for other allocations: the atomic reserve, CMA), ``"lowmem"`` (enough but
    for what this zone keeps from allocations that may take higher zones: lowmem_reserve), ``"fragmentation"`` (enough
    is free, none of it in a block that large), ``"none"`` (it could have been served when this was printed: memory was
    freed since, or other limits hold), or ``"unknown"``. `managed` is what is present where the log tells no more.
    """

    zone: str
    reason: str
    managed: int | None
    free: int | None
    usable: int | None
    mark: int | None
    boost: int
    lowmem_reserve: int
    highatomic: int
    cma: int
    in_larger_blocks: int | None
    in_smaller_blocks: int | None
    largest_order: int | None

    def to_dict(self) -> dict[str, Any]:
        """In types that JSON has."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


@dataclass(frozen=True)
class Failure:
    """One failed allocation, and what each zone that it may use says to it, the preferred first."""

    kind: str
    process: str | None
    order: int | None
    size: int | None
    flags: tuple[str, ...]
    can_wait: bool | None
    may_use_reserves: bool
    verdicts: list[ZoneVerdict] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    """Zones that it may not use."""
    limit: int | None = None
    """Bytes that its cgroup may use, where that was reached and the log tells."""

    @property
    def reason(self) -> str:
        """The reason in the zone that came closest, small zones left out.

        ``"limit"``: its cgroup's was reached; ``"vmalloc"``: it failed before any page was asked for; ``"sysrq"``:
        somebody called the OOM killer by SysRq.
        """
        if self.kind == "cgroup oom":
            return "limit"
        if self.kind == "sysrq oom":
            return "sysrq"
        if self.size is not None and self.order is None:
            return "vmalloc"
        return "unknown" if self.closest is None else self.closest.reason

    @property
    def closest(self) -> ZoneVerdict | None:
        """That zone: the one with most free, of those with that reason; of what is short of memory, the preferred."""
        largest = max((verdict.managed or 0 for verdict in self.verdicts), default=0)
        served = [verdict for verdict in self.verdicts if verdict.reason == "none"]
        # Of a zone whose line is cut off nobody knows how large it is.
        weighty = [
            verdict for verdict in self.verdicts if verdict.managed is None or verdict.managed >= _WEIGHTY * largest
        ]
        return min(served or weighty, key=self._distance, default=None)

    def _distance(self, verdict: ZoneVerdict) -> tuple[float, int]:
        short = verdict.reason in ("watermark", "lowmem")
        place = self.verdicts.index(verdict) if short else -(verdict.free or 0)
        above = verdict.usable is not None and verdict.mark is not None and verdict.usable > verdict.mark
        # Of a zone with enough above its mark only the blocks are not known.
        return (_OF_BLOCKS if verdict.reason == "unknown" and above else _RANKS.index(verdict.reason)), place

    def to_dict(self) -> dict[str, Any]:
        """In types that JSON has."""
        return {
            "kind": self.kind,
            "process": self.process,
            "order": self.order,
            "size": self.size,
            "flags": list(self.flags),
            "reason": self.reason,
            "zone": None if self.closest is None else self.closest.zone,
            "can_wait": self.can_wait,
            "may_use_reserves": self.may_use_reserves,
            "limit": self.limit,
            "zones": [verdict.to_dict() for verdict in self.verdicts],
            "zones_not_allowed": self.skipped,
        }


def explain_failures(reports: list[MemoryReport], page_size: int) -> list[Failure]:
    """Each report of a failed allocation or of the OOM killer, explained."""
    return [_explain(report, report.page_size or page_size) for report in reports if report.kind != "report"]


def _explain(report: MemoryReport, page_size: int) -> Failure:
    flags = set(report.flags) or _low_flags(report.mode)
    # It takes precedence.
    if "__GFP_NOMEMALLOC" in flags:
        flags.discard("__GFP_MEMALLOC")
    order = report.order or 0
    can_wait = True if flags & _WAITING else None
    # What is no flag's name was damaged.
    if can_wait is None and report.flags and all(name.startswith(("GFP_", "__GFP_")) for name in report.flags):
        can_wait = False
    names = _zone_names(report, _highest_place(flags))
    verdicts: list[ZoneVerdict] = []
    skipped: list[str] = []
    nodes: list[int] = []
    asked = {} if report.order is None else report.zones
    for zone in sorted(asked.values(), key=lambda zone: (zone.node, -_place(zone.name))):
        state = reported_zone(zone, page_size)
        if _place(zone.name) > _highest_place(flags) or not _may_use(report, zone.node):
            if state.managed or state.free:
                skipped.append(state.label)
        elif state.managed != 0 or state.free:
            verdicts.append(_judge(zone, state, order, flags, names, page_size))
            nodes.append(zone.node)
    # It asked one node, which the log doesn't name: none that could have served it.
    able = {node for node, verdict in zip(nodes, verdicts, strict=True) if verdict.reason == "none"}
    if "__GFP_THISNODE" in flags and able != set(nodes):
        skipped += [verdict.zone for node, verdict in zip(nodes, verdicts, strict=True) if node in able]
        verdicts = [verdict for node, verdict in zip(nodes, verdicts, strict=True) if node not in able]
    return Failure(
        report.kind,
        report.process,
        report.order,
        report.vmalloc if report.order is None else page_size << min(order, 30),
        report.flags,
        can_wait,
        bool(flags & _RESERVES),
        verdicts,
        skipped,
        report.limit,
    )


# A cpuset binds processes' own memory; the kernel's own allocations may leave it.
def _may_use(report: MemoryReport, node: int) -> bool:
    bound = not report.flags or any(GFP_BY_NAME.get(name, 0) & Gfp.HARDWALL for name in report.flags)
    return all(nodes is None or node in nodes for nodes in (report.nodes, report.cpuset_nodes if bound else None))


# Where the log has no names: these bits mean the same in all kernels.
def _low_flags(mode: int | None) -> set[str]:
    names = ("__GFP_DMA", "__GFP_HIGHMEM", "__GFP_DMA32", "__GFP_MOVABLE", "__GFP_RECLAIMABLE", "__GFP_HIGH")
    return {name for bit, name in enumerate(names) if mode is not None and mode >> bit & 1}


def _place(name: str) -> int:
    return _PLACES.index(name) if name in _PLACES else 2


def _highest_place(flags: set[str]) -> int:
    if flags & {"GFP_DMA", "__GFP_DMA"}:
        return 0
    if flags & {"GFP_DMA32", "__GFP_DMA32"}:
        return 1
    if any("HIGHUSER_MOVABLE" in flag or "TRANSHUGE" in flag for flag in flags):
        return 4
    if any("HIGH" in flag and flag != "__GFP_HIGH" for flag in flags):
        return 4 if any("MOVABLE" in flag for flag in flags) else 3
    return 2


# Allocations that may use the reserves go half below min, those that also can't wait another quarter of the rest.
def _mark(least: int, flags: set[str]) -> int:
    if "__GFP_MEMALLOC" in flags:
        return 0
    if flags & _RESERVES:
        least -= least // 2
        if flags & _NO_WAIT:
            least -= least // 4
    return least


def _judge(
    zone: ReportedZone, state: ZoneState, order: int, flags: set[str], names: set[str], page_size: int
) -> ZoneVerdict:
    top = _highest_place(flags)
    movable = any("MOVABLE" in flag or "TRANSHUGE" in flag for flag in flags)
    may_use_reserves = bool(flags & _RESERVES)
    reserves = zone.reserve
    kept = reserves[_reserve_index(len(reserves), top, names)] if reserves else 0
    highatomic = 0 if may_use_reserves else state.reserve
    cma = 0 if movable else state.free_cma
    # The smallest allocations that may use the reserves don't look at the boost.
    ignored = (state.boost or 0) if order == 0 and may_use_reserves else 0
    boost = (state.boost or 0) - ignored
    larger = state.free_from(order) if zone.is_whole else None
    if larger is not None and state.isolated:
        larger = min(larger, state.free or 0)
    orders = [place for place, count in enumerate(state.counts or ()) if count]
    mark = None if state.min is None else _mark(max(state.min - ignored, 0), flags)
    usable = None if state.free is None else max(state.free - highatomic - cma - ((1 << order) - 1), 0)
    reason = "unknown"
    if usable is not None and state.free is not None and mark is not None:
        unboosted = _mark(max((state.min or 0) - ignored - boost, 0), flags)
        if usable > mark + kept:
            reason = _by_blocks(zone, order, movable, may_use_reserves)
            # What it keeps from allocations that may take higher zones is not printed.
            higher = not reserves and any(_place(zone.name) < _place(name) <= top for name in names)
            if reason == "none" and (higher or zone.is_cut):
                reason = "unknown"
        elif usable > unboosted + kept:
            reason = "boost"
        elif state.free - ((1 << order) - 1) > unboosted + kept:
            reason = "reserve"
        elif state.free - ((1 << order) - 1) > unboosted:
            reason = "lowmem"
        else:
            reason = "watermark"
    return ZoneVerdict(
        state.label,
        reason,
        _bytes(state.present if state.managed is None else state.managed, page_size),
        _bytes(state.free, page_size),
        _bytes(usable, page_size),
        _bytes(mark, page_size),
        boost * page_size,
        kept * page_size,
        highatomic * page_size,
        cma * page_size,
        _bytes(larger, page_size),
        None if larger is None or state.free is None else max(state.free - larger, 0) * page_size,
        max(orders, default=None),
    )


def _bytes(pages: int | None, page_size: int) -> int | None:
    return None if pages is None else pages * page_size


# From 6.1 on zones above the highest that it may use are not printed. What a zone keeps tells of HighMem: nothing is
# kept for the zone itself or one below it, nor for one without pages.
def _zone_names(report: MemoryReport, top: int) -> set[str]:
    names = {name for _, name in report.zones}
    for zone in report.zones.values():
        first = next((place for place, kept in enumerate(zone.reserve) if kept), None)
        kinds = _kinds(len(zone.reserve), names)
        if first is None or first >= len(kinds) or zone.name not in kinds:
            continue
        is_hidden = _PLACES.index(kinds[first]) > top or kinds[first] in names
        if first <= kinds.index(zone.name) or (report.pages.get("HighMem/MovableOnly") and not is_hidden):
            return names | {"HighMem"}
    return names


# lowmem_reserve has a place for each kind of zone that the kernel was built with; a log names only those with pages.
def _kinds(length: int, names: set[str]) -> list[str]:
    kinds = ["DMA", "DMA32", "Normal", "Movable", "Device"]
    if "HighMem" in names:
        kinds = ["DMA", *(["DMA32"] if "DMA32" in names else []), "Normal", "HighMem", "Movable"]
    for absent in ("Device", "DMA32", "DMA"):
        if len(kinds) > length and absent in kinds and absent not in names:
            kinds.remove(absent)
    return kinds


def _reserve_index(length: int, top: int, names: set[str]) -> int:
    kinds = _kinds(length, names)
    fitting = [index for index, kind in enumerate(kinds) if _PLACES.index(kind) <= top]
    return min(max(fitting, default=0), length - 1)


def _by_blocks(zone: ReportedZone, order: int, movable: bool, may_use_reserves: bool) -> str:
    if not zone.orders:
        return "none" if order == 0 else "unknown"
    wanted = set("UME") | (set("C") if movable else set()) | (set("H") if may_use_reserves else set())
    for count in zone.orders[order:]:
        if count.blocks and (not count.types or set(count.types) & wanted):
            return "none"
    return "fragmentation" if zone.is_whole else "unknown"
