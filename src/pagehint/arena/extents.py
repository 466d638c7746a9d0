"""Extents: which free pages of an arena are warm, since when; and where to allocate. Nothing in this file locks.

A free page is *warm* from when it is freed until it is given back: it may be resident, and reuse costs no fault.
Warm pages are kept as extents: ranges [begin, end) of pages that were freed in the same epoch, in ascending order.
An epoch is a fraction of the time after which a warm page is given back.
"""

import cython
import numpy as np

from pagehint.kernel.profiles import LINUX_5_3
from pagehint.units import whole_number

if not cython.compiled:
    from pagehint.mm.attached import Attachable
    from pagehint.mm.page import FREE, KIND, MOVABLE, OFFLINE, ORDER, block_pages
    from pagehint.pointers import longlongs


__all__ = ["MOST_PAGES", "Extents"]

MOST_PAGES = 1 << 31


@cython.cclass
class Extents(Attachable):
    """Free areas of ``pages`` pages from pfn 0 on, which are warm or not. All are one pageblock, and offline at first.

    Raises InputError.
    """

    def __init__(self, pages):
        pages = whole_number("pages", pages, 1, MOST_PAGES)
        top: cython.int = max(pages - 1, 1).bit_length()
        super().__init__(True, 0, pages, top + 1, top, LINUX_5_3, None, 0)
        self._mark(0, pages, OFFLINE)
        self._offline_pages = pages
        self._extents = [np.zeros(pages, np.int64) for _ in range(3)]
        begins, ends, epochs = self._extents
        self._begins, self._ends, self._epochs = longlongs(begins), longlongs(ends), longlongs(epochs)
        if not cython.compiled:
            self._nr_extents = self._warm_pages = 0

    # The first extent that ends behind page ``i``.
    def _first_extent(self, i):
        low: cython.Py_ssize_t = 0
        high: cython.Py_ssize_t = self._nr_extents
        middle: cython.Py_ssize_t
        while low < high:
            middle = (low + high) >> 1
            if self._ends[middle] <= i:
                low = middle + 1
            else:
                high = middle
        return low

    def _set_extent(self, k, begin, end, epoch):
        self._begins[k] = begin
        self._ends[k] = end
        self._epochs[k] = epoch

    def _insert_extent(self, k, begin, end, epoch):
        j: cython.Py_ssize_t = self._nr_extents
        while j > k:
            self._set_extent(j, self._begins[j - 1], self._ends[j - 1], self._epochs[j - 1])
            j -= 1
        self._set_extent(k, begin, end, epoch)
        self._nr_extents += 1

    def _delete_extent(self, k):
        j: cython.Py_ssize_t
        self._nr_extents -= 1
        for j in range(k, self._nr_extents):
            self._set_extent(j, self._begins[j + 1], self._ends[j + 1], self._epochs[j + 1])

    def _add_warm(self, begin, end, epoch):
        self._remove_warm(begin, end)
        k: cython.Py_ssize_t = self._first_extent(begin)
        before: cython.bint = k > 0 and self._ends[k - 1] == begin and self._epochs[k - 1] == epoch
        behind: cython.bint = k < self._nr_extents and self._begins[k] == end and self._epochs[k] == epoch
        if before and behind:
            self._ends[k - 1] = self._ends[k]
            self._delete_extent(k)
        elif before:
            self._ends[k - 1] = end
        elif behind:
            self._begins[k] = begin
        else:
            self._insert_extent(k, begin, end, epoch)
        self._warm_pages += end - begin

    # Pages of the range that are not warm stay so.
    def _remove_warm(self, begin, end):
        k: cython.Py_ssize_t = self._first_extent(begin)
        low: cython.Py_ssize_t
        high: cython.Py_ssize_t
        while k < self._nr_extents and self._begins[k] < end:
            low = self._begins[k]
            high = self._ends[k]
            self._warm_pages -= min(high, end) - max(low, begin)
            if low >= begin and high <= end:
                self._delete_extent(k)
                continue
            if low < begin and high > end:
                self._insert_extent(k + 1, end, high, self._epochs[k])
            if low < begin:
                self._ends[k] = begin
            else:
                self._begins[k] = end
            k += 1

    # Where to allocate

    def _is_free(self, begin, end):
        return begin >= 0 and end <= self._pages and self._first_not(begin, end, FREE) < 0

    # In the extent that was freed last, of those the smallest.
    def _find_warm(self, pages):
        best: cython.Py_ssize_t = -1
        k: cython.Py_ssize_t
        length: cython.Py_ssize_t
        for k in range(self._nr_extents):
            length = self._ends[k] - self._begins[k]
            if length >= pages and (
                best < 0
                or self._epochs[k] > self._epochs[best]
                or (self._epochs[k] == self._epochs[best] and length < self._ends[best] - self._begins[best])
            ):
                best = k
        return self._begins[best] if best >= 0 else -1

    # In the smallest run of adjacent extents that is large enough, else around the largest.
    def _find_warm_run(self, pages):
        best: cython.Py_ssize_t = -1
        longest: cython.Py_ssize_t = 0
        begin: cython.Py_ssize_t
        end: cython.Py_ssize_t
        k: cython.Py_ssize_t = 0
        while k < self._nr_extents:
            begin = self._begins[k]
            end = self._ends[k]
            k += 1
            while k < self._nr_extents and self._begins[k] == end:
                end = self._ends[k]
                k += 1
            if end - begin > longest if longest < pages else pages <= end - begin < longest:
                best = begin
                longest = end - begin
        if longest < pages and best >= 0 and not self._is_free(best, best + pages):
            best += longest - pages
            if not self._is_free(best, best + pages):
                best = -1
        return best

    # Anywhere: a block that is large enough, else adjacent blocks. O(blocks).
    def _find_free(self, pages):
        order: cython.int = 0
        i: cython.Py_ssize_t
        begin: cython.Py_ssize_t = 0
        if pages > self._free_pages:
            return -1
        while block_pages(order) < pages:
            order += 1
        i = self._first_fit(order, MOVABLE)
        if i >= 0:
            return i
        i = 0
        while i < self._pages:
            if (self._state[i] & KIND) == FREE:
                i += block_pages(self._state[i] & ORDER)
                if i - begin >= pages:
                    return begin
            else:
                i += block_pages(self._state[i] & ORDER)
                begin = i
        return -1

    def _find(self, pages):
        i: cython.Py_ssize_t = -1
        if self._nr_extents:
            i = self._find_warm(pages)
            if i < 0:
                i = self._find_warm_run(pages)
            # Other designs take warm pages too.
            if i >= 0 and not self._is_free(i, i + pages):
                i = -1
        return self._find_free(pages) if i < 0 else i
