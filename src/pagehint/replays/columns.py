"""A batch of recorded events as compiled code reads it: a pointer a column."""

import cython
import numpy as np

if not cython.compiled:
    from pagehint.pointers import ints, longlongs, uchars, ushorts
    from pagehint.trace.events import Event

    ALLOC, FREED, BATCHED, ZONE_ALLOC, PCPU_DRAIN, EXTFRAG, ISOLATING, ISOLATED, PUTBACK = map(
        int,
        (
            Event.ALLOC,
            Event.FREE,
            Event.FREE_BATCHED,
            Event.ZONE_ALLOC,
            Event.PCPU_DRAIN,
            Event.EXTFRAG,
            Event.ISOLATE,
            Event.ISOLATE_RETURN,
            Event.PUTBACK,
        ),
    )
    CMA = 4

__all__ = ["COLUMNS", "Columns"]

COLUMNS = ("time", "cpu", "event", "pfn", "order", "migratetype", "detail")
_TYPES = tuple(map(np.dtype, ("i8", "u2", "u1", "i8", "u1", "u1", "i4")))


@cython.final
@cython.cclass
class Columns:
    """The COLUMNS of some events: int64 ns, uint16, uint8, int64, uint8, uint8, int32, as many rows of each."""

    def __init__(self):
        self.count = 0

    def load(self, arrays):
        """Read these from now on. TypeError: an array that is no such column, or not in one piece; ValueError: not as
        many. O(1)."""
        times, cpus, events, pfns, orders, types, details = arrays
        for name, kind, array in zip(COLUMNS, _TYPES, arrays, strict=True):
            if array.dtype != kind or array.shape != (len(times),) or not array.flags.c_contiguous:
                raise TypeError(f"{name}: {len(times)} contiguous values of {kind} were expected")
        self._arrays, self.count = arrays, len(times)
        self._times = longlongs(times)
        self._cpus = ushorts(cpus)
        self._events = uchars(events)
        self._pfns = longlongs(pfns)
        self._orders = uchars(orders)
        self._types = uchars(types)
        self._details = ints(details)
