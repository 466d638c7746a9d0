"""Events of several CPUs at one instant: in which order they were is found from what they did.

While a guest boots its clock may stand still for milliseconds, and what several CPUs did meanwhile is recorded one CPU
after the other. Each CPU's own events are in order. Of those that could be next, one that the model's lists allow is:
first what touches no list, then an allocation of the very block that the list gives, then what comes back to a list.
"""

from collections import deque
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pagehint.kernel.migratetype import Migratetype
from pagehint.mm.page import page_of
from pagehint.mm.zone import Zone
from pagehint.trace.events import Event

__all__ = ["MOST_LOOKS", "NEVER", "Ties", "groups_of"]

NEVER = 1 << 62
"""A row that none is."""
MOST_LOOKS = 1 << 19
"""Events that are looked at for a whole recording: some seconds. Groups beyond stay in the order of their rows."""
_MOST_ROWS = 4096
_MOST_LOOKS = 1 << 14  # for one group
_ZONE_ALLOC, _DRAIN, _ALLOC, _FREE, _FALLBACK = (
    int(event) for event in (Event.ZONE_ALLOC, Event.PCPU_DRAIN, Event.ALLOC, Event.FREE, Event.EXTFRAG)
)
_NO_LIST, _FITS, _COMES_BACK, _DOES_NOT_FIT = range(4)
_NOWHERE = 0xFFFFFFFF


def groups_of(
    times: NDArray[np.int64], cpus: NDArray[np.uint16], most: int = MOST_LOOKS
) -> tuple[NDArray[np.int64], int]:
    """Rows [begin, end) of events at one instant of several CPUs: int64 (groups, 2). Times ascend. O(rows).

    And how many events will be looked at for them, of `most`: each time one of each CPU's.
    """
    found = times[1:][(times[1:] == times[:-1]) & (cpus[1:] != cpus[:-1])]
    instants, changes = np.unique(found, return_counts=True)
    groups = np.stack([np.searchsorted(times, instants, side) for side in ("left", "right")], 1)
    rows = groups[:, 1] - groups[:, 0]
    looks = rows * (changes + 1)
    groups, looks = (each[(rows <= _MOST_ROWS) & (looks <= _MOST_LOOKS)] for each in (groups, looks))
    taken = np.searchsorted(np.cumsum(looks), most, "right")
    return groups[:taken].astype(np.int64), int(looks[:taken].sum())


class Ties:
    """Brings the events of a group into an order, one after the other, as the model comes to them.

    `groups`: as of `groups_of`, of all the recording. `rows`, `verdicts`, `blocks`: what a Scan found, which moves with
    its events. `is_pcp` (bool an order): blocks that a free brings to a CPU's list.
    """

    def __init__(
        self,
        groups: NDArray[np.int64],
        rows: NDArray[np.int64],
        verdicts: NDArray[np.uint8],
        blocks: NDArray[np.int64],
        is_pcp: Sequence[bool],
    ) -> None:
        self._groups = groups
        self._rows, self._verdicts, self._blocks = rows, verdicts, blocks
        self._is_pcp = is_pcp
        self._first = 0
        self._arrays: list[NDArray[Any]] = []
        self._queues: dict[int, deque[int]] = {}

    def load(self, arrays: list[NDArray[Any]], first: int) -> tuple[list[NDArray[Any]], int]:
        """The columns of the next batch, whose first row is `first`: those to use instead, and where to call `next`."""
        self._first, self._arrays = first, arrays
        begin = np.searchsorted(self._groups[:, 0], first)
        end = np.searchsorted(self._groups[:, 1], first + len(arrays[0]), "right")
        self._local = self._groups[begin:end] - first
        if len(self._local):
            self._arrays = [array.copy() for array in arrays]
        self._at = 0
        return self._arrays, self._begin()

    def _begin(self) -> int:
        return int(self._local[self._at, 0]) if self._at < len(self._local) else NEVER

    def next(
        self, k: int, verdict: int, mapped: NDArray[np.uint32], used: NDArray[np.uint64], zones: Sequence[Zone]
    ) -> int:
        """Bring the event that is next to row `k` of the batch; `verdict`: the next of the verdicts.

        `mapped`, `used`: where the model has each page, and which are in use. Returns where to call this again.
        """
        begin, end = self._local[self._at].tolist()
        if k == begin:
            self._copy = [array[begin:end].copy() for array in self._arrays]
            found = slice(*np.searchsorted(self._rows[:-1], (self._first + begin, self._first + end)))
            self._told = {
                row - self._first - begin: (verdict, block)
                for row, verdict, block in zip(
                    *(a[found].tolist() for a in (self._rows, self._verdicts, self._blocks)), strict=True
                )
            }
            # What boot frees is in order already (`Scan.verdicts`), whichever of its rows comes first.
            self._freed = deque(block for _, block in self._told.values() if block >= 0)
            self._queues = {}
            for row, cpu in enumerate(self._copy[1].tolist()):
                self._queues.setdefault(cpu, deque()).append(row)
        heads = [queue[0] for queue in self._queues.values()]
        row = min(heads, key=lambda row: (self._kind(row, mapped, used, zones), row)) if len(heads) > 1 else heads[0]
        queue = self._queues[int(self._copy[1][row])]
        queue.popleft()
        if not queue:
            del self._queues[int(self._copy[1][row])]
        for array, copy in zip(self._arrays, self._copy, strict=True):
            array[k] = copy[row]
        if row in self._told:
            self._rows[verdict] = self._first + k
            self._verdicts[verdict], self._blocks[verdict] = self._told.pop(row)
            if self._blocks[verdict] >= 0:
                self._blocks[verdict] = self._freed.popleft()
        elif self._told:
            self._rows[verdict] = NEVER  # its own event comes later
        if k + 1 < end:
            return k + 1
        self._at += 1
        return self._begin()

    def _kind(self, row: int, mapped: NDArray[np.uint32], used: NDArray[np.uint64], zones: Sequence[Zone]) -> int:
        event, pfn, order, migratetype = (int(column[row]) for column in self._copy[2:6])
        verdict, block = self._told.get(row, (0, -1))
        if event not in (_ZONE_ALLOC, _DRAIN, _ALLOC, _FREE, _FALLBACK):
            return _NO_LIST
        if block >= 0:
            pfn = self._freed[0] >> 5
        zone = next((zone for zone in zones if zone.start_pfn <= pfn < zone.start_pfn + zone.pages), None)
        if zone is None or order >= zone.max_order:
            return _NO_LIST
        page = int(mapped[pfn])
        if event == _ZONE_ALLOC:
            migratetype = migratetype if migratetype <= Migratetype.RECLAIMABLE else Migratetype.MOVABLE
            return _FITS if _first_fit(zone, order, migratetype) == pfn else _DOES_NOT_FIT
        if event == _FALLBACK:
            return _COMES_BACK if page == _NOWHERE else _DOES_NOT_FIT
        if page == _NOWHERE:
            return _DOES_NOT_FIT
        is_used = bool(int(used[page >> 6]) >> (page & 63) & 1)
        if event == _ALLOC:
            return _DOES_NOT_FIT if is_used else _NO_LIST
        if event == _DRAIN:
            return _DOES_NOT_FIT if is_used else _COMES_BACK
        if verdict or not self._is_pcp[order]:
            return _COMES_BACK
        return _NO_LIST if is_used else _DOES_NOT_FIT


# Where the block is that a zone's lists give first, without another type's; -1: nowhere.
def _first_fit(zone: Zone, order: int, migratetype: int) -> int:
    for head in range((migratetype << 5) + order, (migratetype << 5) + zone.max_order):
        first = int(zone.page_links[head, 0])
        if first != head:
            return page_of(first) + zone.start_pfn
    return -1
