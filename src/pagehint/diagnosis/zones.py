"""The zones of a machine as far as they are known, whatever told of them."""

import itertools
from dataclasses import dataclass

from pagehint.diagnosis.evidence import Evidence, ZoneKey
from pagehint.diagnosis.memory_report import ReportedZone, zone_label
from pagehint.kernel.profiles import Pcp, recorded_profile
from pagehint.proc.zoneinfo import ZoneInfo

__all__ = ["LISTS_SHARE", "ZoneState", "reported_zone", "zone_states"]

LISTS_SHARE = 8
"""Per-CPU lists never hold more than that part of the memory."""
_ISOLATED = "Isolate"
_EVERY_TYPE = frozenset(("Unmovable", "Movable", "Reclaimable", "HighAtomic"))


@dataclass
class ZoneState:
    """A zone, in pages; None: not known. `min`, `low` and `high` hold `boost` already.

    `free` is what lies on lists: what a confidential guest has not accepted yet, `unaccepted`, is no part of it.
    `counts` are its free blocks by order, those from order `exact_from` on (None: of no order) exact, others at the
    least; `isolated` pages of them are neither free nor reported. `free_most` is what `free` is at the most, where
    that alone is told. `reserve` is the part of free that is kept for atomic allocations, `lists_room` how many
    pages more may lie on the lists of the `cpus` CPUs, `lists_keep` the share of all that they can hold that is
    left when they overflow, `lists` how they are drained; `is_early` that it is of a kernel before 6.12; `whole`
    what lies in free blocks of pageblock order and more.
    """

    node: int
    name: str
    free: int | None = None
    unaccepted: int = 0
    managed: int | None = None
    present: int | None = None
    min: int | None = None
    low: int | None = None
    high: int | None = None
    boost: int | None = None
    counts: list[int] | None = None
    exact_from: int | None = 0
    isolated: int = 0
    free_most: int | None = None
    reserve: int = 0
    free_cma: int = 0
    per_cpu: int | None = None
    lists_room: int = 0
    cpus: int = 1
    lists_keep: float = 0.22
    lists: Pcp = "one after the other"
    is_early: bool = False
    whole: int | None = None
    begin: int | None = None
    end: int | None = None

    @property
    def label(self) -> str:
        """How a report names it."""
        return zone_label(self.node, self.name)

    @property
    def is_lower_bound(self) -> bool:
        """Whether some of `counts` may be more."""
        return self.exact_from != 0

    def free_from(self, order: int) -> int | None:
        """Pages in free blocks of `order` and more that `counts` has; None where the zone's blocks are not known."""
        if self.counts is None:
            return None
        return sum(count << above for above, count in enumerate(self.counts) if above >= order)

    @property
    def least_free(self) -> int:
        """Pages that are free at the least."""
        return (self.free_from(0) or 0) if self.free is None else self.free

    @property
    def most_free(self) -> int | None:
        """Pages that are free at the most."""
        return self.free_most if self.free is None else self.free

    def gate(self, order: int, capacity: int) -> int | None:
        """Free pages that reporting at `order` needs the zone to have more of; `capacity`: blocks a batch."""
        return None if self.low is None else self.low + (capacity << order)


def zone_states(evidence: Evidence) -> list[ZoneState]:
    """The zones that have pages: of /proc where it told of them, else of the log's last report, which also tells the
    watermarks where /proc/zoneinfo is missing.
    """
    states: dict[ZoneKey, ZoneState] = {}
    for zone in evidence.zones:
        states[zone.node, zone.name] = _of_zoneinfo(zone, evidence.kernel)
    for key, counts in evidence.buddy.items():
        states.setdefault(key, ZoneState(*key)).counts = counts
    types = _EVERY_TYPE.union(*evidence.types.free.values())
    for key, kinds in evidence.types.free.items():
        state = states.setdefault(key, ZoneState(*key))
        isolated = kinds.get(_ISOLATED, ())
        if state.counts is not None:
            state.counts = [
                max(count - apart, 0) for count, apart in itertools.zip_longest(state.counts, isolated, fillvalue=0)
            ]
        elif kinds:
            columns = max(map(len, kinds.values()))
            rows = [row + [0] * (columns - len(row)) for kind, row in kinds.items() if kind != _ISOLATED]
            state.counts = [sum(column) for column in zip(*rows, strict=True)]
            lists = evidence.types.at_least.get(key, ())
            state.exact_from = max((order + 1 for _, order in lists), default=0) if types <= kinds.keys() else None
        if not state.reserve and "HighAtomic" in kinds:
            state.reserve = sum(count << order for order, count in enumerate(kinds["HighAtomic"]))
    report = evidence.last_report
    if report is not None and not evidence.reports_are_past:
        page_size = report.page_size or evidence.page_size
        reported = {key: reported_zone(zone, page_size) for key, zone in report.zones.items()}
        for key in states.keys() & reported.keys():
            _complete(states[key], reported[key])
        states = states or reported
    for state in states.values():
        if state.free is None and state.counts is not None and not state.is_lower_bound:
            state.free = state.free_from(0)
        if state.whole is not None and state.free is not None:
            state.whole = min(state.whole, state.free)
    _bound(states, evidence)
    return [
        state
        for state in states.values()
        if state.least_free or state.managed or state.present or _is_open(state, evidence)
    ]


# Whether a zone may have pages, of which nothing is told.
def _is_open(state: ZoneState, evidence: Evidence) -> bool:
    return state.free is None and not evidence.buddy and None is state.managed is state.present


# What is free of a zone some of whose blocks are not counted: no more than it has, nor than the machine's free memory
# but for what other zones have.
def _bound(states: dict[ZoneKey, ZoneState], evidence: Evidence) -> None:
    unknown = {key: state for key, state in states.items() if state.free is None}
    if not unknown:
        return
    order = evidence.types.pageblock_order
    told = evidence.rounded().get("free", (0, evidence.memory().get("free")))[1]
    for key, state in unknown.items():
        blocks = evidence.types.pageblocks.get(key)
        most = [state.managed, None if order is None or blocks is None else (sum(blocks.values()) + 1) << order]
        if told is not None:
            others = sum(other.least_free for other in states.values() if other is not state)
            most.append(told // evidence.page_size - others)
        bounds = [pages for pages in most if pages is not None]
        state.free_most = max(min(bounds), state.least_free) if bounds else None


def _complete(state: ZoneState, reported: ZoneState) -> None:
    if state.low is None:
        for name in ("managed", "present", "min", "low", "high", "boost"):
            setattr(state, name, getattr(reported, name))
        state.reserve = state.reserve or reported.reserve
    if state.per_cpu is None:
        state.per_cpu, state.lists_room = reported.per_cpu, reported.lists_room


def _of_zoneinfo(zone: ZoneInfo, kernel: str | None) -> ZoneState:
    drained = _drained(zone) if kernel is None else recorded_profile(kernel).pcp
    lists = [cpu.count for cpu in zone.per_cpu if cpu.count is not None]
    return ZoneState(
        zone.node,
        zone.name,
        free=zone.listed,
        unaccepted=zone.stats.get("nr_unaccepted", 0),
        managed=zone.managed,
        present=zone.present,
        min=zone.min,
        low=zone.low,
        high=zone.high,
        boost=zone.boost,
        reserve=next((x for x in (zone.free_highatomic, zone.reserved_highatomic) if x is not None), 0),
        free_cma=zone.stats.get("nr_free_cma", 0),
        per_cpu=sum(lists) if lists or zone.managed == 0 else None,
        lists_room=sum(max((cpu.high or cpu.high_min or 0) - (cpu.count or 0), 0) for cpu in zone.per_cpu),
        cpus=max(len(zone.per_cpu), 1),
        lists_keep=_lists_keep(zone),
        lists=drained,
        is_early=zone.promo is None,
        whole=zone.stats.get("nr_free_pages_blocks"),
        begin=zone.start_pfn,
        end=None if zone.start_pfn is None or zone.spanned is None else zone.start_pfn + zone.spanned,
    )


# Seen seconds after much was freed: 0.06 to 0.29 on 6.1 (and once 0.72), 0.01 to 0.2 on 6.12, 0.54 to 0.94 on 6.18.
# What zoneinfo prints tells these apart: promo since 6.12, high_min since 6.13.
def _lists_keep(zone: ZoneInfo) -> float:
    if any(cpu.high_min is not None for cpu in zone.per_cpu):
        return 0.9
    return 0.22 if zone.promo is None else 0.16


# Where no version is known: promo is printed since 6.12, high_min since 6.13, and before 5.14 lists are six batches.
def _drained(zone: ZoneInfo) -> Pcp:
    if any(cpu.high_min is not None for cpu in zone.per_cpu):
        return "tuned, seldom"
    if zone.promo is not None:
        return "tuned"
    in_turn = all(cpu.high == 6 * (cpu.batch or 0) for cpu in zone.per_cpu)
    return "in turn" if in_turn else "one after the other"


def reported_zone(zone: ReportedZone, page_size: int) -> ZoneState:
    """A zone of a Mem-Info block."""

    def pages(name: str) -> int | None:
        return None if name not in zone.values else zone.values[name] // page_size

    reserve, managed, per_cpu = pages("free_highatomic"), pages("managed"), pages("free_pcp")
    counts = [0 if count.types == "I" else count.blocks for count in zone.orders]
    free, in_blocks = pages("free"), sum(count << order for order, count in enumerate(counts))
    some_isolated = free is not None and any("I" in count.types for count in zone.orders)
    return ZoneState(
        zone.node,
        zone.name,
        free=free,
        managed=managed,
        present=pages("present"),
        min=pages("min"),
        low=pages("low"),
        high=pages("high"),
        boost=pages("boost"),
        counts=counts or None,
        exact_from=0 if zone.is_whole else None,
        isolated=max(in_blocks - (free or 0), 0) if some_isolated else 0,
        reserve=reserve if reserve is not None else pages("reserved_highatomic") or 0,
        free_cma=pages("free_cma") or 0,
        per_cpu=None if zone.has_odd_lists else per_cpu,
        lists_room=max((managed or 0) // LISTS_SHARE - (per_cpu or 0), 0),
    )
