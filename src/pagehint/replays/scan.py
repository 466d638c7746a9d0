"""A first look at a whole recording: what must be known of it before its first event can be replayed.

What each page's first event says of its state at the start, each pageblock's first migratetype, which frees went
straight to the zone (only the page's next event tells), and what compaction took.
"""

import cython
import numpy as np

if cython.compiled:
    from cython.cimports.pagehint.mm.buddy import block_pages
    from cython.cimports.pagehint.replays.scan import (
        ALLOC,
        EXTFRAG,
        FREED,
        ISOLATED,
        ISOLATING,
        MAX_ORDER,
        PCPU_DRAIN,
        PUTBACK,
        STARTS_FREE,
        STARTS_USED,
        ZONE_ALLOC,
    )
else:
    from pagehint.mm.page import block_pages
    from pagehint.trace.events import Event

    ALLOC, FREED, ZONE_ALLOC, PCPU_DRAIN, EXTFRAG, ISOLATING, ISOLATED, PUTBACK = map(
        int,
        (
            Event.ALLOC,
            Event.FREE,
            Event.ZONE_ALLOC,
            Event.PCPU_DRAIN,
            Event.EXTFRAG,
            Event.ISOLATE,
            Event.ISOLATE_RETURN,
            Event.PUTBACK,
        ),
    )

__all__ = ["COLUMNS", "CPUS", "FREE_AT_START", "UNSEEN", "USED_AT_START", "Scan"]

UNSEEN, FREE_AT_START, USED_AT_START = range(3)
CPUS = 1 << 16
if not cython.compiled:
    MAX_ORDER = 10
    STARTS_FREE, STARTS_USED = FREE_AT_START, USED_AT_START
COLUMNS = ("time", "cpu", "event", "pfn", "order", "migratetype", "detail")


@cython.cclass
class Scan:
    """Looks at a recording's events, batch by batch; then `at_start` (uint8 a page: UNSEEN, FREE_AT_START or
    USED_AT_START), `first_types` (uint8 a pageblock, 255: none), `straight()` and `compacted()` say what was found.

    `zone_events`: the recording has them; else pages come and go by their allocations and frees alone. `load`: when the
    device comes (ns).
    """

    def __init__(self, pages, pageblock_order, zone_events, pcp_above_order_0, load):
        self.pages = pages
        self.zone_events = zone_events
        self._pageblock_order = pageblock_order
        self._most_pcp_order = 3 if pcp_above_order_0 else 0
        self.at_start = np.zeros(pages, np.uint8)
        self.first_types = np.full((pages >> pageblock_order) + 1, 255, np.uint8)
        self._last_free_array = np.zeros(pages, np.int64)
        self._isolated_array = np.zeros(pages, np.int64)
        self._first_freed_array = np.zeros(pages, np.uint8)
        self._straight, self._boot = [], []
        self._row = 0
        self._load = load
        self._taken_array = np.zeros(pages, np.uint8)
        self._seen_cpus = np.zeros(CPUS, np.uint8)
        self._isolating_array = np.full(CPUS, -1, np.int64)
        if cython.compiled:
            self._at_start = cython.cast(cython.p_uchar, cython.cast(cython.size_t, self.at_start.ctypes.data))
            self._first_types = cython.cast(cython.p_uchar, cython.cast(cython.size_t, self.first_types.ctypes.data))
            self._last_free = cython.cast(
                cython.p_longlong, cython.cast(cython.size_t, self._last_free_array.ctypes.data)
            )
            self._isolated = cython.cast(
                cython.p_longlong, cython.cast(cython.size_t, self._isolated_array.ctypes.data)
            )
            self._isolating = cython.cast(
                cython.p_longlong, cython.cast(cython.size_t, self._isolating_array.ctypes.data)
            )
            self._taken = cython.cast(cython.p_uchar, cython.cast(cython.size_t, self._taken_array.ctypes.data))
            self._first_freed = cython.cast(
                cython.p_uchar, cython.cast(cython.size_t, self._first_freed_array.ctypes.data)
            )
        else:
            self._at_start, self._first_types = memoryview(self.at_start), memoryview(self.first_types)
            self._last_free, self._isolated = memoryview(self._last_free_array), memoryview(self._isolated_array)
            self._taken = memoryview(self._taken_array)
            self._first_freed = memoryview(self._first_freed_array)
            self._isolating = memoryview(self._isolating_array)

    def add(self, batch):
        """Look at a batch of events: a dict of the columns COLUMNS."""
        times, cpus, events, pfns, orders, types, details = (batch[name] for name in COLUMNS)
        count: cython.Py_ssize_t = len(events)
        self._load_row = np.searchsorted(times, self._load)
        self._seen_cpus[cpus] = 1
        n: cython.Py_ssize_t
        room: cython.Py_ssize_t = 1 << 16
        self._k = 0
        found, booted = np.empty(room, np.int64), np.empty(room, np.uint8)
        if cython.compiled:
            _cpus = cython.cast(cython.pointer(cython.ushort), cython.cast(cython.size_t, cpus.ctypes.data))
            _events = cython.cast(cython.p_uchar, cython.cast(cython.size_t, events.ctypes.data))
            _pfns = cython.cast(cython.p_longlong, cython.cast(cython.size_t, pfns.ctypes.data))
            _orders = cython.cast(cython.p_uchar, cython.cast(cython.size_t, orders.ctypes.data))
            _types = cython.cast(cython.p_uchar, cython.cast(cython.size_t, types.ctypes.data))
            _details = cython.cast(cython.p_int, cython.cast(cython.size_t, details.ctypes.data))
            _found = cython.cast(cython.p_longlong, cython.cast(cython.size_t, found.ctypes.data))
            _booted = cython.cast(cython.p_uchar, cython.cast(cython.size_t, booted.ctypes.data))
        else:
            views = [memoryview(array) for array in (cpus, events, pfns, orders, types, details, found, booted)]
        while self._k < count:
            if cython.compiled:
                with cython.nogil:
                    n = self._rows(count, room, _cpus, _events, _pfns, _orders, _types, _details, _found, _booted)
            else:
                n = self._rows(count, room, *views)
            self._straight.append(found[:n].copy())
            self._boot.append(found[:n][booted[:n] != 0])
        self._row += count

    def cpus(self):
        """The CPUs that have events, ascending."""
        return np.flatnonzero(self._seen_cpus).tolist()

    def straight(self):
        """Rows of the frees that went straight to the zone though their order has per-CPU lists: int64, ascending."""
        return np.sort(np.concatenate([*self._straight, self._boot_at_end()]))

    def boot(self):
        """Those of them that boot's deferred initialisation freed: int64, ascending."""
        return np.sort(np.concatenate([*self._boot, self._boot_at_end()]))

    def in_bulk(self):
        """Pages that left their zone before the device came, and are in use without any event since: pfns, int64."""
        return np.flatnonzero(self._taken_array)

    # A pageblock that was freed before anything else happened to it, and that nobody has wanted since.
    def _boot_at_end(self):
        pending = (self._last_free_array > 0) & (self._first_freed_array > 0)
        return self._last_free_array[pending] - 1

    def compacted(self):
        """Rows of the isolations (their returns) that were not put back: compaction's. int64, ascending."""
        return np.sort(self._isolated_array[self._isolated_array > 0] - 1)

    def _starts(self, begin, end, state):
        i: cython.Py_ssize_t
        for i in range(begin, end):
            if not self._at_start[i]:
                self._at_start[i] = state

    def _touched(self, begin, end):
        i: cython.Py_ssize_t
        for i in range(begin, end):
            self._taken[i] = 0

    def _typed(self, begin, end, migratetype):
        k: cython.Py_ssize_t
        for k in range(begin >> self._pageblock_order, (end - 1 >> self._pageblock_order) + 1):
            if self._first_types[k] == 255:
                self._first_types[k] = migratetype

    # From row `_k` on, to the end of the batch or of the room; returns how many were found.
    def _rows(self, count, room, cpus, events, pfns, orders, types, details, found, booted):
        k: cython.Py_ssize_t
        pfn: cython.Py_ssize_t
        end: cython.Py_ssize_t
        i: cython.Py_ssize_t
        kind: cython.int
        order: cython.int
        n: cython.Py_ssize_t = 0
        for k in range(self._k, count):
            if n + block_pages(MAX_ORDER) > room:
                break
            self._k = k + 1
            kind = events[k]
            pfn = pfns[k]
            if kind == ISOLATED:
                pfn = self._isolating[cpus[k]]
                if 0 < details[k] <= block_pages(MAX_ORDER) and 0 <= pfn < self.pages:
                    self._isolated[pfn] = self._row + k + 1
                    self._starts(pfn, min(pfn + details[k], self.pages), STARTS_FREE)
                continue
            if pfn < 0 or orders[k] > MAX_ORDER:
                continue
            order = orders[k]
            end = pfn + block_pages(order)
            if end > self.pages:
                continue
            if kind == ZONE_ALLOC:
                for i in range(pfn, end):
                    self._taken[i] = k < self._load_row
                    if self._last_free[i]:
                        found[n] = self._last_free[i] - 1
                        booted[n] = self._first_freed[i]
                        self._first_freed[i] = 0
                        n += 1
                        self._last_free[i] = 0
                self._starts(pfn, end, STARTS_FREE)
                self._typed(pfn, end, types[k])
            elif kind == PCPU_DRAIN:
                self._touched(pfn, end)
                self._last_free[pfn] = self._first_freed[pfn] = 0
                self._starts(pfn, end, STARTS_USED)
                self._typed(pfn, end, types[k])
            elif kind == ALLOC:
                self._touched(pfn, end)
                self._last_free[pfn] = 0
                self._starts(pfn, end, STARTS_USED if self.zone_events else STARTS_FREE)
            elif kind == FREED:
                self._touched(pfn, end)
                if self.zone_events and (order <= self._most_pcp_order or order == self._pageblock_order):
                    self._last_free[pfn] = self._row + k + 1
                    self._first_freed[pfn] = not self._at_start[pfn] and order == self._pageblock_order
                self._starts(pfn, end, STARTS_USED)
            elif kind == EXTFRAG:
                self._typed(pfn, pfn + 1, 1)
            elif kind == ISOLATING:
                self._isolating[cpus[k]] = pfn
            elif kind == PUTBACK:
                self._isolated[pfn] = 0
        return n
