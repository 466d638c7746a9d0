"""What a guest told its host of, as departures from its lists, where only what the host discarded tells of it."""

import numpy as np
from numpy.typing import NDArray

from pagehint.kernel.orders import MAX_PAGE_ORDER
from pagehint.replays.timer import longest_pass, recorded_passes
from pagehint.trace.bundle import Trace
from pagehint.trace.events import Event
from pagehint.trace.meta import ZoneLayout

__all__ = ["departures", "told_first"]


def departures(trace: Trace, layouts: list[ZoneLayout]) -> list[tuple[int, NDArray[np.int64]]]:
    """Batches in the order in which they left the lists: when (ns), and int64 (blocks, 2): pfn and pages.

    A batch is filled from its end, and discarded from its beginning: what left last comes first. A zone's last batch
    of a pass may be smaller than the others. Empty where events tell of it, or no host does.
    """
    discards = trace.discarded_blocks
    if trace.meta.has(Event.ISOLATE_RETURN) or not discards.num_rows:
        return []
    times, pfns, pages = (discards[name].to_numpy() for name in ("time", "pfn", "pages"))
    capacity = trace.meta.known_reporting.usual_capacity
    zones = np.searchsorted([layout.start_pfn for layout in layouts], pfns, side="right")
    later = np.diff(times, prepend=times[0]) > longest_pass(trace, times)
    begins = np.flatnonzero(later | (np.diff(zones, prepend=zones[0]) != 0))
    found = []
    for part in np.split(np.arange(len(times)), begins):
        for first in range(0, len(part), capacity):
            batch = part[first : first + capacity]
            found.append((int(times[batch[0]]), np.stack([pfns[batch], pages[batch]], axis=1)[::-1]))
    return found


def told_first(trace: Trace, layouts: list[ZoneLayout], least: int) -> NDArray[np.int64]:
    """What the first recorded pass told, of at least so many pages, in the order in which it left the lists.

    int64 (blocks, 2): pfn and pages; of events and their times it reads no more than that pass's.
    """
    passes = recorded_passes(trace)
    if not len(passes):
        return np.zeros((0, 2), np.int64)
    longest = int(longest_pass(trace, passes[:1])[0])
    ends = int(passes[0]) + longest
    blocks = [blocks for time, blocks in departures(trace, layouts) if time < ends]
    if not blocks:
        begins = int(passes[0]) - longest
        for batch in trace.batches(("time", "event", "pfn", "order")):
            here = (batch["event"] == Event.ISOLATE) & (batch["time"] >= begins) & (batch["time"] < ends)
            here &= batch["order"] <= MAX_PAGE_ORDER
            blocks.append(np.stack([batch["pfn"][here], 1 << batch["order"][here].astype(np.int64)], axis=1))
            if batch["time"][-1] >= ends:
                break
    told: NDArray[np.int64] = np.concatenate(blocks)
    pfns, pages = told.T
    end = max(layout.end_pfn for layout in layouts)
    whole = (pages >= least) & (pfns % pages == 0) & (pfns >= layouts[0].start_pfn) & (pfns + pages <= end)
    return told[np.flatnonzero(whole)]
