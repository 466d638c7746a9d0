"""What each page of a recorded guest is before the first event.

A page's own first event tells; else the snapshot's kpageflags do. Where there are none, zoneinfo tells how many pages
are no memory and how many are free: which ones is a guess.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from pagehint.host.blocks import PAGE_BYTES
from pagehint.kernel.orders import PAGEBLOCK_ORDER
from pagehint.proc.kpageflags import KPageFlag, page_states
from pagehint.proc.kpageflags import PageStates as FlaggedStates
from pagehint.replays.scan import (
    FREE_AT_START,
    FREED_WHOLE_AT_START,
    PER_CPU_AT_START,
    UNSEEN,
    USED_AT_START,
)
from pagehint.trace.bundle import Trace
from pagehint.trace.events import Event
from pagehint.trace.meta import ZoneLayout
from pagehint.trace.snapshot import Snapshot
from pagehint.units import format_size, format_time

__all__ = [
    "NO_MEMORY",
    "SNAPSHOT_BEGUN",
    "SNAPSHOT_READ",
    "Named",
    "PageStates",
    "is_late",
    "mark_time",
    "pageblock_order",
    "pages_at_start",
]

SNAPSHOT_BEGUN, SNAPSHOT_READ = "KPF-BEGIN init", "KPF-END init"
NO_MEMORY = UNSEEN
"""The state of a page that is no memory, once all that are memory have one."""
_SECTION = 1 << 15  # memory comes in sections of 128 MiB
_LATE = 10**9
_LEAST_OF_BOOT = 1 / 4
_LEAST_ON_LISTS = 1e-4  # of memory: what is in use is wrong by no more
_ALIKE, _NOTHING = 1.3, 1 << 12  # pages that two files count as free


@dataclass
class PageStates:
    """`states`: uint8 a page, NO_MEMORY, FREE_AT_START, USED_AT_START or PER_CPU_AT_START (taken, but not in use).

    `reported` (bool a page): the first pages of free blocks that the guest had reported to its host before. `coming`
    (bool a page): pages that only come later: offline at the start, and freed then, or freed by boot. `hole` (bool a
    page): no memory, as kpageflags tell. `booting`: the recording begins before boot has freed most of the memory.
    `doubts`: what all this does not rest on firmly.
    """

    states: NDArray[np.uint8]
    reported: NDArray[np.bool_]
    coming: NDArray[np.bool_]
    hole: NDArray[np.bool_]
    booting: bool = False
    doubts: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Named:
    """Which pages (bool) events name before reading the page flags began, before the first pass told its first batch,
    and before reading ended; None: nothing tells. `told`: the first pages (pfns) of the blocks told before that."""

    begun: NDArray[np.bool_] | None = None
    at_pass: NDArray[np.bool_] | None = None
    read: NDArray[np.bool_] | None = None
    told: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))


def pageblock_order(trace: Trace) -> int:
    """The order of the guest's pageblocks; where the recording doesn't tell, the usual one."""
    return trace.meta.pageblock_order or PAGEBLOCK_ORDER


def mark_time(trace: Trace, text: str) -> int | None:
    """The time of the last mark that begins with this text."""
    return max((time for time, marked in trace.mark_texts if marked.startswith(text)), default=None)


def is_late(trace: Trace) -> bool:
    """Whether the snapshot tells of another state than that before the first event."""
    begun = mark_time(trace, SNAPSHOT_BEGUN)
    return begun is not None and begun > trace.meta.first_ns + _LATE


def pages_at_start(
    trace: Trace,
    layouts: list[ZoneLayout],
    at_start: NDArray[np.uint8],
    flags: NDArray[np.uint64] | None,
    named: Named,
) -> PageStates:
    """Settle what a Scan left UNSEEN in `at_start`, which becomes the states. O(pages).

    `flags`: the snapshot's kpageflags. Raises InputError.
    """
    inside = np.zeros(len(at_start), np.bool_)
    for layout in layouts:
        inside[layout.start_pfn : layout.end_pfn] = True
    at_start[~inside] = NO_MEMORY
    reported, coming, hole = (np.zeros(len(at_start), np.bool_) for _ in range(3))
    found = PageStates(at_start, reported, coming, hole)
    _boot(layouts, found)
    snapshot = trace.snapshot
    if flags is not None:
        flags = flags[: len(at_start)]
        kinds = page_states(flags)
        order = trace.meta.known_reporting.order
        least = 1 << (pageblock_order(trace) if order is None else order)
        if named.read is not None and trace.meta.has(Event.ZONE_ALLOC):
            _not_yet_free(found, kinds, named.read, least)
        _settle_by_flags(found, layouts, flags, kinds, inside, named.begun)
        if named.at_pass is not None and named.read is not None:
            _stepped_over(found, kinds, named.read & ~named.at_pass, least)
        found.reported[named.told[(named.told >= 0) & (named.told < len(at_start))]] = False
        if snapshot is not None:
            found.doubts += _doubts_of_flags(snapshot, int(np.count_nonzero(kinds.free)))
    else:
        found.doubts += _guess(trace, layouts, at_start, inside & (at_start == UNSEEN))
    if snapshot is not None:
        found.doubts += _doubts_of_snapshot(trace, snapshot, at_start, flags is not None)
    return found


# Nothing but boot frees so much memory, in whole pageblocks, of which nothing is known before.
def _boot(layouts: list[ZoneLayout], found: PageStates) -> None:
    whole = found.states == FREED_WHOLE_AT_START
    least = _LEAST_OF_BOOT * sum(layout.present for layout in layouts)
    found.booting = int(whole.sum()) >= least
    found.states[whole] = PER_CPU_AT_START if found.booting else USED_AT_START
    if found.booting:
        found.coming = whole


# Free by its first event, which takes it off a list; but it was on none when the flags were read, and no event names it
# before: it came to one later, without an event. A larger block may just have been off it to be reported.
def _not_yet_free(found: PageStates, kinds: FlaggedStates, named: NDArray[np.bool_], least_reported: int) -> None:
    states = found.states[: len(kinds.free)]
    free = states == FREE_AT_START
    wrong = free & kinds.present & ~kinds.free & ~named[: len(free)] & ~_in_whole(free, least_reported)
    states[wrong] = PER_CPU_AT_START


# The first pass told what was free and not told before. Which it stepped over, flags that were read later can't say of
# what was allocated in between.
def _stepped_over(found: PageStates, kinds: FlaggedStates, since: NDArray[np.bool_], least_reported: int) -> None:
    free = found.states[: len(kinds.free)] == FREE_AT_START
    gone = since[: len(free)] & ~kinds.free & _in_whole(free, least_reported)
    found.reported[: len(free)] |= gone


def _settle_by_flags(
    found: PageStates,
    layouts: list[ZoneLayout],
    flags: NDArray[np.uint64],
    kinds: FlaggedStates,
    inside: NDArray[np.bool_],
    early: NDArray[np.bool_] | None,
) -> None:
    known = len(flags)
    part = found.states[:known]
    unseen = (part == UNSEEN) & inside[:known]
    part[unseen & kinds.free] = FREE_AT_START
    part[unseen & kinds.present & ~kinds.free] = USED_AT_START
    for layout in layouts:
        _leave_out_absent(layout, kinds.present, unseen, flags, part)
    offline = ~kinds.present & ~unseen & (part == USED_AT_START)
    found.reported[:known] = kinds.reported & (part == FREE_AT_START)
    if early is not None:
        offline &= ~early[:known]
        found.reported[early] = False
    part[offline] = PER_CPU_AT_START
    found.coming[:known] |= offline
    found.hole[:known] = ~kinds.present & (part == NO_MEMORY)


# Pages of a zone that zoneinfo doesn't count as present, and that have flags all the same, are reserved: firmware's, or
# what a section of memory lacks at its end.
def _leave_out_absent(
    layout: ZoneLayout,
    present: NDArray[np.bool_],
    unseen: NDArray[np.bool_],
    flags: NDArray[np.uint64],
    states: NDArray[np.uint8],
) -> None:
    here = slice(layout.start_pfn, layout.end_pfn)
    absent = layout.spanned - layout.present - int((~present[here]).sum())
    if absent > 0:
        reserved = np.flatnonzero(unseen[here] & (flags[here] & np.uint64(KPageFlag.RESERVED) != 0))
        states[here][reserved[max(len(reserved) - absent, 0) :]] = NO_MEMORY


def _guess(trace: Trace, layouts: list[ZoneLayout], states: NDArray[np.uint8], unseen: NDArray[np.bool_]) -> list[str]:
    if not trace.meta.zones:
        # The last section may end beyond the last page.
        left_out = _in_whole(np.pad(unseen, (0, _SECTION), constant_values=True), _SECTION)[: len(unseen)] & unseen
        states[unseen & ~left_out] = USED_AT_START
        used, out = int((unseen & ~left_out).sum()), int(left_out.sum())
        empty = f"; {_size(out)} in areas of 128MiB without any event are left out" if out else ""
        return [
            f"no snapshot: of {_size(used + out)} nothing tells what they are, as no event names them. {_size(used)} "
            f"count as in use, so that as much may be in use and resident too many{empty}. Record it with a snapshot "
            "(docs/tracers.md)"
        ]
    counts = {} if trace.snapshot is None else {(zone.node, zone.name): zone.free for zone in trace.snapshot.zoneinfo}
    told = bool(counts)
    used = free = 0
    for layout in layouts:
        here = slice(layout.start_pfn, layout.end_pfn)
        left = unseen[here]
        left &= ~_longest_runs(left, layout.spanned - layout.present)
        wanted = (counts.get((layout.node, layout.name)) or 0) - int((states[here] == FREE_AT_START).sum())
        chosen = _longest_runs(left, max(wanted, 0))
        states[here][chosen] = FREE_AT_START
        states[here][left & ~chosen] = USED_AT_START
        used, free = used + int((left & ~chosen).sum()), free + int(chosen.sum())
    if not told:
        return [
            f"no kpageflags: nothing tells what {_size(used)} are that no event names. They count as in use, so that "
            "as much may be in use and resident too many. Record it with a snapshot (docs/tracers.md)"
        ]
    return [
        f"no kpageflags: of {_size(used + free)} that no event names, zoneinfo tells that {_size(free)} are free, but "
        "not which: the longest stretches are taken. Blocks may be larger here than in the guest, and more come back"
    ]


# Which of these pages are in an aligned run of so many that has them all.
def _in_whole(pages: NDArray[np.bool_], size: int) -> NDArray[np.bool_]:
    whole = np.zeros(len(pages), np.bool_)
    runs = pages[: len(pages) // size * size].reshape(-1, size)
    whole[: runs.size] = np.repeat(runs.all(axis=1), size)
    return whole


# So many of these pages: whole runs of them, the longest first, and the last one's upper part.
def _longest_runs(pages: NDArray[np.bool_], count: int) -> NDArray[np.bool_]:
    edges = np.diff(np.concatenate([[False], pages, [False]]).astype(np.int8))
    begins, ends = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)
    order = np.argsort(begins - ends, kind="stable")
    before = np.cumsum((ends - begins)[order]) - (ends - begins)[order]
    taken = np.minimum(ends[order] - begins[order], count - before)
    order, taken = order[taken > 0], taken[taken > 0]
    steps = np.zeros(len(pages) + 1, np.int8)
    np.add.at(steps, ends[order] - taken, 1)
    np.add.at(steps, ends[order], -1)
    chosen: NDArray[np.bool_] = np.cumsum(steps[:-1], dtype=np.int8) > 0
    return chosen


def _doubts_of_flags(snapshot: Snapshot, free: int) -> list[str]:
    counted = [zone.free for zone in snapshot.zoneinfo if zone.free is not None]
    if not counted or max(free, sum(counted)) <= _ALIKE * min(free, sum(counted)) + _NOTHING:
        return []
    return [
        f"of the snapshot, kpageflags tell of {_size(free)} free and zoneinfo of {_size(sum(counted))}: they are not "
        "of one guest, or not of one moment, and what is in use at the start is as wrong"
    ]


def _doubts_of_snapshot(trace: Trace, snapshot: Snapshot, states: NDArray[np.uint8], flags: bool) -> list[str]:
    doubts = []
    read = mark_time(trace, SNAPSHOT_READ)
    if flags and read is None:
        doubts.append(
            "no marks tell when the snapshot was read (KPF-BEGIN and KPF-END): it counts as taken before the first "
            "event, and pages that came and went before it are wrong"
        )
    if read is not None and (ago := trace.meta.first_ns - read) > _LATE:
        doubts.append(
            f"the snapshot was read {format_time(ago)} before the first event: pages that came and went in between are "
            "wrong"
        )
    if not trace.meta.zones:
        doubts.append("no zoneinfo: zones are as x86 has them, without holes, and their watermarks are 0")
    types = snapshot.pagetypeinfo
    if (odd := snapshot.odd_types()) is not None:
        doubts.append(
            f"the snapshot's pagetypeinfo is of another guest, or of another moment ({odd}): it is left out, and "
            "pageblocks that no event tells of count as movable"
        )
    cma = sum(blocks.get("CMA", 0) for blocks in types.pageblocks.values())
    if cma and types.pageblock_order is not None and not trace.meta.has(Event.ZONE_ALLOC):
        doubts.append(
            f"{_size(cma << types.pageblock_order)} are CMA's (contiguous areas for devices, lent to movable pages): "
            "they count as movable, so that programs may get them sooner here than in the guest"
        )
    counts = [cpu.count or 0 for zone in snapshot.zoneinfo for cpu in zone.per_cpu]
    # Of zone level it is said of all that lies there.
    if not is_late(trace) and trace.meta.has(Event.ZONE_ALLOC) and trace.meta.level != "zone":
        left = sum(counts) - int((states == PER_CPU_AT_START).sum())
        if left > _LEAST_ON_LISTS * sum(layout.present for layout in trace.meta.zones):
            doubts.append(f"{_size(left)} lay on per-CPU lists at the start that no event names: they count as in use")
    return doubts


def _size(pages: int) -> str:
    return format_size(pages * PAGE_BYTES)
