"""What hinting keeps beside the lists: what is hinted, where boundaries stand, when a free notifies, ages.

docs/spec/1, sections 6 and 7. Nothing in this file locks.
"""

import cython

if cython.compiled:
    from cython.cimports.posix.time import CLOCK_MONOTONIC, clock_gettime, timespec
else:
    import time

    from pagehint.mm.page import LISTS, NEVER, UNREACHABLE


_MS = cython.declare(cython.longlong, 10**6)  # ns
_MOST_MS = cython.declare(cython.longlong, 0xFFFFFFFF)


@cython.cclass
class HintingState:
    """Empty, and no free notifies, until a device is attached."""

    def __init__(self):
        if not cython.compiled:
            self._hinted = [0] * 32
            self._notify_at = [0] * 32
            self._boundary = [0] * LISTS
            self._active = self._counts_exist = self._requested = self._ring = self._ages = False
            self._freed_at_array = None
            self._high_water_mark = 0
        self._now = -1
        self._min_order = self._notify_order = NEVER
        self._request(False)

    def _request(self, wanted):
        # Every free runs the test of section 7, so that is one comparison: with the free blocks at which it notifies.
        # Where ages are kept, each passes it.
        order: cython.int
        self._requested = wanted
        for order in range(32):
            if order >= self._notify_order and self._ages:
                self._notify_at[order] = -UNREACHABLE
            elif order < self._notify_order or wanted:
                self._notify_at[order] = UNREACHABLE
            else:
                self._notify_at[order] = self._hinted[order] + self._high_water_mark

    def _time(self):
        if self._now >= 0:
            return self._now
        if cython.compiled:
            spec = cython.declare(timespec)
            clock_gettime(CLOCK_MONOTONIC, cython.address(spec))
            return cython.cast(cython.longlong, spec.tv_sec) * 1000000000 + spec.tv_nsec
        return time.monotonic_ns()

    # The time in ms, modulo 2**32.
    def _tick(self):
        return cython.cast(cython.uint, (self._time() // _MS) & _MOST_MS)

    def _age(self, i, now):
        freed_at: cython.longlong = self._freed_at[i]
        return (now - freed_at) & _MOST_MS

    # Two blocks merge: both are as old as the younger of them.
    def _keep_age(self, i, other):
        now: cython.longlong = self._tick()
        if self._age(i, now) < self._age(other, now):
            self._freed_at[other] = self._freed_at[i]
        else:
            self._freed_at[i] = self._freed_at[other]
