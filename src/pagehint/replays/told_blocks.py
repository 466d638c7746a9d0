"""What a guest told its host of, as departures from its lists, where only what the host discarded tells of it."""

import numpy as np
from numpy.typing import NDArray

from pagehint.kernel.reporting import MAINLINE_CAPACITY
from pagehint.replays.timer import LONGEST_PASS
from pagehint.trace.bundle import Trace
from pagehint.trace.events import Event
from pagehint.trace.meta import ZoneLayout

__all__ = ["departures"]


def departures(trace: Trace, layouts: list[ZoneLayout]) -> list[tuple[int, NDArray[np.int64]]]:
    """Batches in the order in which they left the lists: when (ns), and int64 (blocks, 2): pfn and pages.

    A batch is filled from its end, and discarded from its beginning: what left last comes first. A zone's last batch
    of a pass may be smaller than the others. Empty where events tell of it, or no host does.
    """
    discards = trace.discarded_blocks
    if trace.meta.events.get(Event.ISOLATE_RETURN.letter) or not discards.num_rows:
        return []
    times, pfns, pages = (discards[name].to_numpy() for name in ("time", "pfn", "pages"))
    reporting = trace.meta.reporting
    capacity = (None if reporting is None else reporting.capacity) or MAINLINE_CAPACITY
    zones = np.searchsorted([layout.start_pfn for layout in layouts], pfns, side="right")
    begins = np.flatnonzero((np.diff(times, prepend=times[0]) > LONGEST_PASS) | (np.diff(zones, prepend=zones[0]) != 0))
    found = []
    for part in np.split(np.arange(len(times)), begins):
        for first in range(0, len(part), capacity):
            batch = part[first : first + capacity]
            found.append((int(times[batch[0]]), np.stack([pfns[batch], pages[batch]], axis=1)[::-1]))
    return found
