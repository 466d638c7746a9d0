"""What refills brought to CPUs' lists, where a recording does not tell when it is allocated.

A list is refilled when it is empty: by then all that the refill before brought was allocated, but what was drained.
"""

import cython
import numpy as np

if cython.compiled:
    from cython.cimports.pagehint.mm.page import MOVABLE, RECLAIMABLE
    from cython.cimports.pagehint.replays.refills import PAUSE
else:
    from pagehint.kernel.migratetype import Migratetype

    MOVABLE, RECLAIMABLE = int(Migratetype.MOVABLE), int(Migratetype.RECLAIMABLE)
    PAUSE = 20000

__all__ = ["Refills"]


@cython.cclass
class Refills:
    """Blocks on the lists of `cpus` CPUs of single pages and of pageblocks: a ring each, in the order of their refill.

    `pages`: of the guest; 8 bytes each. `pageblock_order`: -1 where CPUs keep no pageblocks.
    """

    def __init__(self, pages, cpus, pageblock_order):
        self._pages = pages
        self._pageblock_order = pageblock_order
        self._rings = 4 * cpus
        self._next_array = np.arange(pages + self._rings, dtype=np.uint32)
        self._before_array = self._next_array.copy()
        self._first_array, self._last_array = (np.full(self._rings, -2 * PAUSE, np.int64) for _ in range(2))
        if cython.compiled:
            self._next = cython.cast(cython.p_uint, cython.cast(cython.size_t, self._next_array.ctypes.data))
            self._before = cython.cast(cython.p_uint, cython.cast(cython.size_t, self._before_array.ctypes.data))
            self._first = cython.cast(cython.p_longlong, cython.cast(cython.size_t, self._first_array.ctypes.data))
            self._last = cython.cast(cython.p_longlong, cython.cast(cython.size_t, self._last_array.ctypes.data))
        else:
            self._next, self._before = memoryview(self._next_array), memoryview(self._before_array)
            self._first, self._last = memoryview(self._first_array), memoryview(self._last_array)

    # A list's ring, or -1.
    def _ring(self, cpu, order, migratetype):
        if cpu >= self._rings >> 2:
            return -1
        if order == 0:
            return 4 * cpu + (migratetype if migratetype <= RECLAIMABLE else MOVABLE)
        return 4 * cpu + 3 if order == self._pageblock_order else -1

    # Whether a block that comes now is the first of a refill: to use what one brought takes longer than to bring it.
    def _begins(self, ring, now):
        begins: cython.bint = now - self._last[ring] > max(self._last[ring] - self._first[ring], PAUSE)
        if begins:
            self._first[ring] = now
        self._last[ring] = now
        return begins

    def _add(self, ring, pfn):
        head: cython.Py_ssize_t = self._pages + ring
        last: cython.Py_ssize_t = self._before[head]
        self._next[last] = self._before[head] = pfn
        self._next[pfn] = head
        self._before[pfn] = last

    # Whether it was there.
    def _remove(self, pfn):
        following: cython.Py_ssize_t = self._next[pfn]
        if following == pfn:
            return False
        self._next[self._before[pfn]] = following
        self._before[following] = self._before[pfn]
        self._next[pfn] = self._before[pfn] = pfn
        return True

    # Whether a page is of one of its blocks: that block's first, or -1.
    def _block_of(self, pfn):
        if self._next[pfn] == pfn and self._pageblock_order > 0:
            pfn = pfn >> self._pageblock_order << self._pageblock_order
        return pfn if self._next[pfn] != pfn else -1

    # The first of a ring, or -1.
    def _pop(self, ring):
        pfn: cython.Py_ssize_t = self._next[self._pages + ring]
        if pfn >= self._pages:
            return -1
        self._remove(pfn)
        return pfn
