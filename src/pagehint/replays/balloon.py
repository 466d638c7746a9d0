"""What a balloon took while it was recorded, page by page: its host has that memory until it is given back."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pagehint.kernel.gfp import Gfp
from pagehint.replays.scan import NO_ROWS
from pagehint.trace.bundle import Trace
from pagehint.trace.events import Event

__all__ = ["Inflations", "balloon_change"]

_ASKS = int(Gfp.HIGHMEM | Gfp.NOWARN | Gfp.NORETRY | Gfp.NOMEMALLOC)
_NEVER_ASKS = int(Gfp.COMP | Gfp.ZERO | Gfp.THISNODE)  # a page that moves to its user's node asks for that one
_COLUMNS = ("time", "event", "pfn", "gfp")
_AT_ONCE = 256
_APART = 10**8  # it takes up to so many at once, and waits for its device


def balloon_change(trace: Trace) -> tuple[int, int] | None:
    """Pages that the guest's balloon took and gave back while it was recorded; None: no counters tell."""
    first, last = trace.snapshot, trace.final_snapshot
    if first is None or last is None:
        return None
    before, after = first.counters, last.counters
    names = "balloon_inflate", "balloon_deflate"
    if not all(name in each for name in names for each in (before, after)):
        return None
    took, gave = (max(after[name] - before[name], 0) for name in names)
    return took, gave


class Inflations:
    """Looks for a balloon's allocations in batches of events: nobody else's that are known have their flags.

    Virtio's asks for user memory, movable or not, which need not be zeroed, may fail at once, and says nothing then.
    `columns`: what of the events it needs; nothing where counters tell that it took nothing.
    """

    def __init__(self, trace: Trace) -> None:
        change = balloon_change(trace)
        self.columns = _COLUMNS if change is None or change[0] else ()
        self._rows: list[NDArray[np.int64]] = [NO_ROWS[0]]
        self._times: list[NDArray[np.int64]] = [NO_ROWS[0]]
        self._first = 0

    def add(self, batch: Mapping[str, NDArray[Any]]) -> None:
        """Look at the next batch."""
        if not self.columns:
            return
        asks = (batch["gfp"] & np.uint32(_ASKS | _NEVER_ASKS)) == _ASKS
        found = np.flatnonzero(asks & (batch["event"] == Event.ALLOC) & (batch["pfn"] >= 0))
        self._rows.append(self._first + found)
        self._times.append(batch["time"][found])
        self._first += len(asks)

    def rows(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The rows of its allocations, and of those the last of each batch that its device is told of: ascending."""
        rows, times = np.concatenate(self._rows), np.concatenate(self._times)
        if not len(rows):
            return NO_ROWS
        begins = np.flatnonzero(np.diff(times, prepend=times[0] - _APART) >= _APART)
        nth = np.arange(len(rows)) - np.repeat(begins, np.diff(begins, append=len(rows)))
        last = (nth % _AT_ONCE == _AT_ONCE - 1) | np.append(nth[1:] == 0, True)
        return rows, rows[last]
