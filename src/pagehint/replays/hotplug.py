"""Memory that went offline while it was recorded, and what came online: no event tells that it went.

Memory comes and goes by whole sections. What comes is freed in blocks of the largest order, which nobody had allocated.
Between a block's last event and the time at which it went nobody took it either: it may be gone from that event on.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pagehint.kernel.orders import MAX_PAGE_ORDER
from pagehint.proc.kpageflags import KPageFlag
from pagehint.replays.scan import NO_ROWS
from pagehint.replays.states import NO_MEMORY
from pagehint.trace.bundle import Trace
from pagehint.trace.events import Event

__all__ = ["SECTION", "Hotplug", "Onlinings"]

_SECTION_ORDER = 15
SECTION = 1 << _SECTION_ORDER
"""Pages of a section, 128 MiB."""
_BLOCKS = SECTION >> MAX_PAGE_ORDER
_COLUMNS = ("time", "event", "pfn")
# Whose block has such an event last, it was taken.
_TAKES = np.array([Event.ALLOC, Event.ZONE_ALLOC, Event.EXTFRAG, Event.ISOLATE], np.uint8)
# A pass that told it comes at another time in a replay.
_PASSES_BY = 10**9
_TOLD_WITHIN = 5 * 10**8
_ROW, _TIME, _CPU, _PFN = range(4)


@dataclass(frozen=True)
class Hotplug:
    """`online`: the rows of the frees with which memory came online, ascending. `gone`: int64 (blocks, 4), the blocks
    that went, by the time from which each may be gone (ns): that, pfn, order, and whether its host took it then.
    `taken`: how many pages the host took. `came`: when sections came that had gone. `away`: the first pages of the
    sections that were away at the end."""

    online: NDArray[np.int64]
    gone: NDArray[np.int64]
    taken: int
    came: list[int]
    away: list[int]


class Onlinings:
    """Looks in batches of events for memory that comes online from the time `load` (ns) on: before, it is boot's."""

    def __init__(self, load: int) -> None:
        self._load = load
        self._first = 0
        self._found = [np.zeros((0, 4), np.int64)]

    def add(self, batch: Mapping[str, NDArray[Any]]) -> None:
        """Look at the next batch."""
        frees = np.flatnonzero((batch["order"] == MAX_PAGE_ORDER) & (batch["event"] == Event.FREE))
        frees = frees[batch["time"][frees] >= self._load]
        if len(frees):
            columns = [batch[name][frees].astype(np.int64) for name in ("time", "cpu", "pfn")]
            self._found.append(np.stack([self._first + frees, *columns], axis=1))
        self._first += len(batch["event"])

    # What a CPU freed block after block: int64 (sections, blocks, 4), in the order in which they began.
    def _sections(self) -> NDArray[np.int64]:
        frees = np.concatenate(self._found)
        frees = frees[np.argsort(frees[:, _CPU], kind="stable")]
        follows = (np.diff(frees[:, _PFN]) == 1 << MAX_PAGE_ORDER) & (np.diff(frees[:, _CPU]) == 0)
        run = np.cumsum(np.append(True, ~follows))
        begins = np.flatnonzero(frees[:, _PFN] % SECTION == 0)
        begins = begins[begins + _BLOCKS <= len(frees)]
        begins = begins[run[begins] == run[begins + _BLOCKS - 1]]
        sections: NDArray[np.int64] = frees[begins[:, None] + np.arange(_BLOCKS)]
        return sections[np.argsort(sections[:, 0, _ROW])]

    def found(self, trace: Trace, states: NDArray[np.uint8]) -> Hotplug:
        """What came and went. `states`: uint8 a page, as of a PageStates. Reads the events again where any did."""
        away, sections, unplugged = _away(trace, states), self._sections(), _unplugged(trace, len(states))
        sections = sections[sections[:, 0, _PFN] + SECTION <= len(states)]
        last = _LastEvents([*sections[:, 0, _PFN].tolist(), *away, *unplugged[:, 1].tolist()], trace.meta.first_ns)
        online, gone, came = [NO_ROWS[0]], [unplugged], []
        points = [(int(section[0, _TIME]), section) for section in sections]
        points += [(int(block[0]), block) for block in unplugged]
        points.sort(key=lambda point: point[0], reverse=True)
        for batch in trace.batches(_COLUMNS) if points or away else ():
            begin, times = 0, batch["time"]
            while points and points[-1][0] <= times[-1]:
                time, what = points.pop()
                stop = int(np.searchsorted(times, time))
                last.add(batch, begin, stop)
                begin = stop
                if what.ndim == 1:  # its host took it by now
                    gone.append(last.block(what))
                elif not last.taken(what[0, _PFN]).any():
                    online.append(what[:, _ROW])
                    if len(blocks := last.blocks(what[0, _PFN])):
                        blocks[:, 0] = np.minimum(blocks[:, 0], time - 1)
                        came.append(time)
                        gone.append(blocks)
            last.add(batch, begin, len(times))
        gone += [last.blocks(pfn, never=True) for pfn in away]
        blocks = np.concatenate(gone)
        blocks = blocks[np.argsort(blocks[:, 0], kind="stable")]
        return Hotplug(np.sort(np.concatenate(online)), blocks, int((1 << unplugged[:, 2]).sum()), came, away)


# The first pages of the sections that zones lost. What is offline has no flags, or those of no page.
def _away(trace: Trace, states: NDArray[np.uint8]) -> list[int]:
    begun, ended = trace.snapshot, trace.final_snapshot
    if begun is None or ended is None:
        return []
    left = {(zone.node, zone.name): zone.present for zone in ended.zones}
    lost = [(zone, zone.present - left.get((zone.node, zone.name), 0)) for zone in begun.zones]
    if not any(pages >= SECTION for _, pages in lost) or (flags := ended.kpageflags()) is None:
        return []
    sections = len(states) // SECTION
    flags = flags[: sections * SECTION]
    # A zone that lost its end has become shorter.
    flagged = np.append(flags, np.zeros(sections * SECTION - len(flags), flags.dtype)) & ~np.uint64(KPageFlag.NOPAGE)
    empty = ~flagged.reshape(-1, SECTION).any(axis=1)
    empty &= (states[: sections * SECTION] != NO_MEMORY).reshape(-1, SECTION).all(axis=1)
    away = []
    for zone, pages in lost:
        found = [section * SECTION for section in range(zone.start_pfn // SECTION, zone.end_pfn // SECTION)]
        found = [pfn for pfn in found if pfn >= zone.start_pfn and empty[pfn // SECTION]]
        if len(found) * SECTION == pages:
            away += found
    return away


# What the host gave back that the guest had not told as free: a device took it, as virtio-mem does. As `Hotplug.gone`.
def _unplugged(trace: Trace, most: int) -> NDArray[np.int64]:
    discards, lost = trace.discarded_blocks, trace.meta.lost
    none = np.zeros((0, 4), np.int64)
    if not discards.num_rows or not trace.meta.has(Event.PUTBACK) or lost.by_cpu or lost.overwritten or lost.uncounted:
        return none
    times, pfns, pages = (discards[name].to_numpy() for name in ("time", "pfn", "pages"))
    told = [NO_ROWS[0]]
    for batch in trace.batches(_COLUMNS):
        put_back = batch["event"] == Event.PUTBACK
        told.append(_places(batch["pfn"][put_back], batch["time"][put_back]))
    places, all_told = _places(pfns, times), np.concatenate(told)
    untold = ~np.isin(places[:, None] + np.array([-1, 0, 1]), all_told).any(axis=1)
    untold &= times < trace.meta.last_ns - _TOLD_WITHIN  # what is put back after the end
    rows = []
    for time, first, count in zip(*(each[untold].tolist() for each in (times, pfns, pages)), strict=True):
        pfn, end = max(first, 0), min(first + count, most)
        while pfn < end:
            order = min((end - pfn).bit_length() - 1, MAX_PAGE_ORDER)
            while pfn % (1 << order):
                order -= 1
            rows.append((time, pfn, order, 1))
            pfn += 1 << order
    return np.array(rows, np.int64).reshape(-1, 4)


# A page and about when, as a number.
def _places(pfns: NDArray[np.int64], times: NDArray[np.int64]) -> NDArray[np.int64]:
    return (pfns << 22) + times // _TOLD_WITHIN % (1 << 22)


class _LastEvents:
    """Of the blocks of some sections, by their first pages: what each one's last event was, and when."""

    def __init__(self, sections: Sequence[int], begins: int) -> None:
        self._begins = begins
        numbers = sorted({pfn // SECTION for pfn in sections})
        self._index = np.full(max(numbers, default=-1) + 2, -1, np.int64)
        self._index[numbers] = range(len(numbers))
        self._events = np.zeros((len(numbers), _BLOCKS), np.uint8)
        self._times = np.zeros((len(numbers), _BLOCKS), np.int64)

    def add(self, batch: Mapping[str, NDArray[Any]], begin: int, end: int) -> None:
        """Look at these rows of a batch."""
        pfns = batch["pfn"][begin:end]
        # Events without a page, and those beyond, have the last place, which is nobody's.
        index = self._index[np.clip(pfns >> _SECTION_ORDER, -1, len(self._index) - 1)]
        here = np.flatnonzero(index >= 0)
        at = index[here], pfns[here] % SECTION >> MAX_PAGE_ORDER
        # Of several in one block the last stays.
        self._events[at] = batch["event"][begin:end][here]
        self._times[at] = batch["time"][begin:end][here]

    def taken(self, pfn: int) -> NDArray[np.bool_]:
        """Whether each block of a section was taken last."""
        taken: NDArray[np.bool_] = np.isin(self._events[self._index[pfn >> _SECTION_ORDER]], _TAKES)
        return taken

    def block(self, unplugged: NDArray[np.int64]) -> NDArray[np.int64]:
        """The same of a block that its host took, unless it was taken: it may be gone from its last event on."""
        blocks = self.blocks(int(unplugged[1]) >> _SECTION_ORDER << _SECTION_ORDER, never=True)
        found: NDArray[np.int64] = blocks[blocks[:, 1] >> MAX_PAGE_ORDER == unplugged[1] >> MAX_PAGE_ORDER]
        found[:, 0] = np.minimum(found[:, 0], unplugged[0] - 1)
        found[:, 1:3] = unplugged[1:3]
        return found

    def blocks(self, pfn: int, never: bool = False) -> NDArray[np.int64]:
        """Those that were not taken: from when each may be gone, and its first page; and those that had no event, if
        `never`."""
        index = self._index[pfn >> _SECTION_ORDER]
        events, times = self._events[index], self._times[index]
        times = np.where(events == 0, self._begins, times + _PASSES_BY * (events == Event.PUTBACK))
        wanted = ~self.taken(pfn) & (never | (events != 0))
        pfns = pfn + (np.arange(_BLOCKS) << MAX_PAGE_ORDER)
        blocks = np.stack([times, pfns, np.full(_BLOCKS, MAX_PAGE_ORDER), np.zeros(_BLOCKS, np.int64)], axis=1)
        found: NDArray[np.int64] = blocks[wanted]
        return found
