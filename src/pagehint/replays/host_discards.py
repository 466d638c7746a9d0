"""The host's clock, by which blocks the guest told its device of, and which the host gave back."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pagehint.trace.bundle import Trace
from pagehint.trace.events import Event
from pagehint.trace.host_file import read_host

__all__ = ["MOST_DRIFT", "Discards", "clock_by_discards", "read_discards"]

_MOST_PAIRS = 1 << 22
_LEAST_BLOCKS = 3
_CLEARLY = 1.5
_SAME = 10**9
MOST_DRIFT = 500e-6
"""Of a host's clock against its guest's."""
_LEAST_ALIKE = 0.9


@dataclass(frozen=True)
class Discards:
    """What a guest and its host both tell of the blocks that were given back.

    `told`: int64 (blocks, 3): when a block's batch was told, its pfn, and when it was put back (the guest's ns).
    `pfns`, in ascending order, and `times` (the host's ns): what the host gave back.
    """

    told: NDArray[np.int64]
    pfns: NDArray[np.int64]
    times: NDArray[np.int64]


def read_discards(trace: Trace, host: Path) -> Discards | None:
    """What a recording and the host's file tell, read whole; None: one tells nothing. Raises InputError."""
    table = read_host(host)
    table = table.filter(table["discarded_ns"].is_valid())
    if not table.num_rows or not trace.meta.has(Event.REPORT):
        return None
    times, pfns = (table[name].to_numpy() for name in ("discarded_ns", "discarded_pfn"))
    order = np.argsort(pfns, kind="stable")
    return Discards(_told(trace), pfns[order], times[order])


def clock_by_discards(
    discards: Discards, around: int | None, near: int, part: tuple[int, int] | None = None
) -> tuple[int, int] | None:
    """By how much the host's wall clock is ahead of the recording's, and how far off that may be (ns).

    The host gives a block back between the guest's report and its putback of it: the offset at which that is true of
    nearly all blocks that were told while the host was watched. None: too few tell, another offset would do nearly as
    well, or the blocks are another guest's. `around`: looked for `near` to it (ns); None: anywhere. `part`: only what
    was told from the one to the other time (ns). O(pairs of one block).
    """
    rows, pfns, times = discards.told, discards.pfns, discards.times
    told, blocks, back = (rows if part is None else rows[(rows[:, 0] >= part[0]) & (rows[:, 0] < part[1])]).T
    first, last = np.searchsorted(pfns, blocks), np.searchsorted(pfns, blocks, side="right")
    counts = last - first
    if not 0 < counts.sum() <= _MOST_PAIRS:
        return None
    of = np.repeat(np.arange(len(blocks)), counts)
    discard = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts) + first[of]
    least, most = times[discard] - back[of], times[discard] - told[of]
    if around is not None:
        inside = np.abs(most - around) <= near
        least, most, of = least[inside], most[inside], of[inside]
    found = _most_at_once(least, most)
    if found is None:
        return None
    # Guests alike tell of the same blocks in their first passes, and later of others.
    drifts = int(MOST_DRIFT * np.ptp(told))
    alike = np.unique(of[(least <= found[0] + drifts) & (most >= found[0] - drifts)])
    watched = (told + found[0] >= times.min()) & (back + found[0] <= times.max())
    return found if len(alike) >= _LEAST_ALIKE * watched.sum() else None


def _told(trace: Trace) -> NDArray[np.int64]:
    told: list[NDArray[np.int64]] = [np.zeros((0, 3), np.int64)]
    last = np.int64(-1)
    for batch in trace.batches(("time", "event", "pfn")):
        time, event = batch["time"], batch["event"]
        reports = np.where(event == Event.REPORT, time, -1)
        reports[0] = max(reports[0], last)
        since = np.maximum.accumulate(reports)
        last = since[-1]
        rows = np.flatnonzero((event == Event.PUTBACK) & (since >= 0))
        told.append(np.stack([since[rows], batch["pfn"][rows], time[rows]], axis=1))
    return np.concatenate(told)


# The middle of what most of these spans have in common, and half its length.
def _most_at_once(least: NDArray[np.int64], most: NDArray[np.int64]) -> tuple[int, int] | None:
    if len(least) < _LEAST_BLOCKS:
        return None
    at = np.concatenate([least, most])
    ends = np.repeat([1, -1], len(least))
    order = np.lexsort((-ends, at))
    at, depth = at[order], np.cumsum(ends[order])
    best = int(depth.argmax())
    elsewhere = (at < at[best] - _SAME) | (at > at[best] + _SAME)
    if depth[best] < _LEAST_BLOCKS or depth[best] < _CLEARLY * depth[elsewhere].max(initial=0):
        return None
    return int(at[best] + at[best + 1]) // 2, int(at[best + 1] - at[best]) // 2
