"""Where a recorded guest's memory came back with no event of the guest: its host's khugepaged, most likely."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from pagehint.host.backing import AREA_PAGES
from pagehint.kernel.orders import MAX_PAGE_ORDER
from pagehint.trace.bundle import Trace
from pagehint.trace.events import Event

__all__ = ["collapsed_areas"]

_COLUMNS = ("time", "event", "pfn", "order")


def collapsed_areas(trace: Trace) -> list[tuple[int, int]]:
    """Areas of 2 MiB of which a part was resident, and then all, though the guest allocated nothing there meanwhile.

    (When it was seen (ns), the area's first pfn), as the recording's residency bitmaps show. Between two of them, an
    allocation at any time since the one before counts. Reads the events once; bounded by the guest's size and a batch.
    Raises InputError.
    """
    found: list[tuple[int, int]] = []
    pages = np.zeros(-(-trace.meta.span_pages // AREA_PAGES) * AREA_PAGES, np.uint8)
    events = _Allocations(trace)
    last: NDArray[np.int64] | None = None
    for time, bits in trace.residency_bitmaps():
        if not trace.meta.first_ns <= time <= trace.meta.last_ns:
            continue
        known = np.unpackbits(bits)[: len(pages)]
        pages[:] = 0
        pages[: len(known)] = known
        counts = pages.reshape(-1, AREA_PAGES).sum(axis=1, dtype=np.int64)
        allocated = events.until(time, len(counts))
        if last is not None:
            came = (last > 0) & (last < AREA_PAGES) & (counts == AREA_PAGES) & ~allocated
            found += [(time, int(area) * AREA_PAGES) for area in np.flatnonzero(came)]
        last = counts
    return found


class _Allocations:
    def __init__(self, trace: Trace) -> None:
        self._batches = self._read(trace)
        self._batch: dict[str, NDArray[np.int64]] | None = None
        self._before: NDArray[np.bool_] | None = None

    def _read(self, trace: Trace) -> Iterator[dict[str, NDArray[np.int64]]]:
        for batch in trace.batches(_COLUMNS):
            here = np.isin(batch["event"], [Event.ALLOC, Event.ZONE_ALLOC]) & (batch["pfn"] >= 0)
            yield {name: batch[name][here].astype(np.int64) for name in ("time", "pfn", "order")}

    # Which areas were allocated in since the bitmap before the last one: pages may be touched a little later.
    def until(self, time: int, areas: int) -> NDArray[np.bool_]:
        now = np.zeros(areas, np.bool_)
        while True:
            batch = next(self._batches, None) if self._batch is None else self._batch
            if batch is None:
                break
            end = int(np.searchsorted(batch["time"], time))
            first, order = batch["pfn"][:end] // AREA_PAGES, np.minimum(batch["order"][:end], MAX_PAGE_ORDER)
            last = (batch["pfn"][:end] + (1 << order) - 1) // AREA_PAGES
            for area in (first, last):
                now[area[area < areas]] = True
            if end < len(batch["time"]):
                self._batch = {name: column[end:] for name, column in batch.items()}
                break
            self._batch = None
        allocated = now if self._before is None else now | self._before
        self._before = now
        return allocated
