"""What a balloon took while it was recorded, page by page: its host has that memory until it is given back."""

import numpy as np
from numpy.typing import NDArray

from pagehint.kernel.gfp import Gfp
from pagehint.replays.scan import NO_ROWS
from pagehint.trace.bundle import Trace
from pagehint.trace.events import Event

__all__ = ["balloon_change", "balloon_rows"]

_ASKS = int(Gfp.HIGHMEM | Gfp.NOWARN | Gfp.NORETRY | Gfp.NOMEMALLOC)
_NEVER_ASKS = int(Gfp.COMP | Gfp.ZERO | Gfp.THISNODE)  # a page that moves to its user's node asks for that one
_AT_ONCE = 256
_APART = 10**8  # it takes up to so many at once, and waits for its device


def balloon_change(trace: Trace) -> tuple[int, int] | None:
    """Pages that the guest's balloon took and gave back while it was recorded; None: no counters tell."""
    first, last = trace.snapshot, trace.final_snapshot
    if first is None or last is None:
        return None
    before, after = first.counters(), last.counters()
    names = "balloon_inflate", "balloon_deflate"
    if not all(name in each for name in names for each in (before, after)):
        return None
    took, gave = (max(after[name] - before[name], 0) for name in names)
    return took, gave


def balloon_rows(trace: Trace) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The rows of its allocations, and of those the last of each batch that its device is told of: int64, ascending.

    Nobody else's that are known have their flags: virtio's asks for user memory, movable or not, which need not be
    zeroed, may fail at once, and says nothing then. None where counters tell that it took nothing. Reads the events
    once.
    """
    change = balloon_change(trace)
    if change is not None and not change[0]:
        return NO_ROWS
    rows, times, first = [NO_ROWS[0]], [NO_ROWS[0]], 0
    for batch in trace.batches(("time", "event", "pfn", "gfp")):
        asks = (batch["gfp"] & np.uint32(_ASKS | _NEVER_ASKS)) == _ASKS
        found = np.flatnonzero(asks & (batch["event"] == Event.ALLOC) & (batch["pfn"] >= 0))
        rows.append(first + found)
        times.append(batch["time"][found])
        first += len(asks)
    all_rows, all_times = np.concatenate(rows), np.concatenate(times)
    if not len(all_rows):
        return NO_ROWS
    begins = np.flatnonzero(np.diff(all_times, prepend=all_times[0] - _APART) >= _APART)
    nth = np.arange(len(all_rows)) - np.repeat(begins, np.diff(begins, append=len(all_rows)))
    last = (nth % _AT_ONCE == _AT_ONCE - 1) | np.append(nth[1:] == 0, True)
    return all_rows, all_rows[last]
