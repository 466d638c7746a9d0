"""What no design can beat: a lower bound on the cost of free memory, page by page (docs/best-possible.md).

A page that the guest frees at f and uses again at a either stays resident, which costs its price for a - f, or is given
back, and costs its share of a call and of a fault at the least. What is cheaper, summed over all pages, is the bound.
"""

import math

import cython
import numpy as np

from pagehint.kernel.orders import MAX_PAGE_ORDER

if not cython.compiled:
    from pagehint.pointers import uchars, uints

    AREA_ORDER = 9

__all__ = ["BestPossible", "page_costs"]

_TICKS = 30  # bits


def page_costs(page_size, costs, capacity):
    """The least that a page's way out and back costs (ns): (alone, with all of its 2 MiB), and of the way out alone."""
    share = (costs.react_call / capacity + costs.discard_block) / (1 << MAX_PAGE_ORDER)
    out = costs.discard_4kib, costs.discard_2mib / 512
    back = costs.fault_exit + costs.fault_4kib, (costs.fault_exit + costs.fault_2mib) / 512
    if page_size == "4KiB":
        out, back = (out[0], out[0]), (back[0], back[0])
    elif page_size == "THP":
        out, back = (out[0], min(out)), (back[0], min(back))
    else:
        out = math.inf, out[1]
    gone = share + out[0], share + out[1]
    return (gone[0] + back[0], gone[1] + back[1]), gone


@cython.final
@cython.cclass
class BestPossible:
    """Sums up both bounds (ns): over all that is free to the user, and over what reaches the zone's lists, where what
    is on per-CPU lists costs its time. Memory: 8 bytes a page. `rate`: the price of a page, ns for each ns.
    """

    def __init__(self, pages, rate, whole, gone, begin, end):
        self._begin = begin
        self._shift = max((end - begin).bit_length() - _TICKS, 0)
        self._rate = rate * 2.0**self._shift
        self._alone, self._together = whole
        self._alone_gone, self._together_gone = gone
        self.free = self.listed = 0.0
        areas = (pages >> AREA_ORDER) + 1
        # Of each page, when it was freed, and when it came to the zone's lists; ticks, 0: it didn't.
        self._arrays = (np.zeros((pages, 2), np.uint32), *(np.zeros(areas, np.uint32) for _ in range(4)))
        self._times = uints(self._arrays[0])
        self._used = uints(self._arrays[1])
        self._taken = uints(self._arrays[2])
        self._unused_at = uints(self._arrays[3])
        self._untaken_at = uints(self._arrays[4])

    def start(self, backed, used, taken):
        """At the beginning these pages (bool, one a page) are backed, in use, and off the zone's lists."""
        page: cython.Py_ssize_t
        pages: cython.Py_ssize_t = len(self._arrays[0])
        _backed, _used, _taken = uchars(backed), uchars(used), uchars(taken)
        with cython.nogil:
            for page in range(pages):
                if _used[page]:
                    self._used[page >> AREA_ORDER] += 1
                elif _backed[page]:
                    self._times[2 * page] = 1
                if _taken[page]:
                    self._taken[page >> AREA_ORDER] += 1
                elif _backed[page]:
                    self._times[2 * page + 1] = 1

    def _tick(self, now):
        return ((now - self._begin) >> self._shift) + 1

    def _span(self, begin, end):
        # At least this long: of both ticks' times, only the tick is known.
        return self._rate * (end - begin - 1) if end > begin + 1 else 0.0

    # So many pages with the same history.
    def _add(self, pages, freed, listed, now, all_unused, all_untaken, alone, together):
        self.free += pages * min(self._span(freed, now), together if all_unused else alone)
        if listed:
            self.listed += pages * (
                self._span(freed, listed) + min(self._span(listed, now), together if all_untaken else alone)
            )
        else:
            self.listed += pages * self._span(freed, now)

    def _freed(self, page, now):
        area: cython.Py_ssize_t = page >> AREA_ORDER
        self._times[2 * page] = self._tick(now)
        self._times[2 * page + 1] = 0
        self._used[area] -= 1

    def _allocated(self, page, now):
        area: cython.Py_ssize_t = page >> AREA_ORDER
        at: cython.uint = self._tick(now)
        freed: cython.uint = self._times[2 * page]
        listed: cython.uint = self._times[2 * page + 1]
        if self._used[area] == 0:
            self._unused_at[area] = at
        self._used[area] += 1
        if freed:
            self._add(
                1,
                freed,
                listed,
                at,
                self._unused_at[area] >= freed,
                self._untaken_at[area] >= listed,
                self._alone,
                self._together,
            )
            self._times[2 * page] = 0

    def _took(self, page, pages, now):
        area: cython.Py_ssize_t
        last: cython.Py_ssize_t = (page + pages - 1) >> AREA_ORDER
        part: cython.Py_ssize_t = min(pages, 1 << AREA_ORDER)
        for area in range(page >> AREA_ORDER, last + 1):
            if self._taken[area] == 0:
                self._untaken_at[area] = self._tick(now)
            self._taken[area] += part

    def _gave(self, page, pages, now):
        k: cython.Py_ssize_t
        at: cython.uint = self._tick(now)
        area: cython.Py_ssize_t
        last: cython.Py_ssize_t = (page + pages - 1) >> AREA_ORDER
        part: cython.Py_ssize_t = min(pages, 1 << AREA_ORDER)
        for area in range(page >> AREA_ORDER, last + 1):
            self._taken[area] -= part
        for k in range(page, page + pages):
            if self._times[2 * k] and not self._times[2 * k + 1]:
                self._times[2 * k + 1] = at

    def end(self, now):
        """The recording ends: what is free needs no way back."""
        page: cython.Py_ssize_t
        pages: cython.Py_ssize_t = len(self._arrays[0])
        first: cython.Py_ssize_t
        area: cython.Py_ssize_t
        at: cython.uint = self._tick(now)
        freed: cython.uint
        listed: cython.uint
        page = 0
        with cython.nogil:
            while page < pages:
                first = page
                area = page >> AREA_ORDER
                freed, listed = self._times[2 * page], self._times[2 * page + 1]
                page += 1
                while (
                    page < pages
                    and page >> AREA_ORDER == area
                    and self._times[2 * page] == freed
                    and (not freed or self._times[2 * page + 1] == listed)
                ):
                    page += 1
                if freed:
                    self._add(
                        page - first,
                        freed,
                        listed,
                        at,
                        self._used[area] == 0 or self._unused_at[area] >= freed,
                        self._taken[area] == 0 or self._untaken_at[area] >= listed,
                        self._alone_gone,
                        self._together_gone,
                    )

    # For tests: what the engine calls is C code.

    def freed(self, page, now):
        """The guest frees a page that was in use (and stays off the zone's lists)."""
        self._freed(page, now)

    def allocated(self, page, now):
        """The guest uses a page."""
        self._allocated(page, now)

    def took(self, page, pages, now):
        """Pages leave the zone's lists."""
        self._took(page, pages, now)

    def gave(self, page, pages, now):
        """Pages come to the zone's lists."""
        self._gave(page, pages, now)
