"""The arena's zone: it knows which free pages are warm, and hands those out first.

A free page is *warm* from when it is freed until it is given back: it may be resident, and reuse costs no fault.
Warm pages are kept as extents: ranges [begin, end) of pages that were freed in the same epoch, in ascending order.
An epoch is a fraction of the time after which a warm page is given back; the hinting design moves it on.
*Dirty* pages have been used since they were last given back; the others read as zeros.
"""

import contextlib
from collections import deque

import cython
import numpy as np

from pagehint.errors import InputError

if cython.compiled:
    from cython.cimports.pagehint.mm.batch import Batch
    from cython.cimports.pagehint.mm.buddy import FREE, IN_FLIGHT, KIND, MOVABLE, ORDER, block_pages
    from cython.cimports.pagehint.mm.zone import Zone
else:
    from pagehint.mm.batch import Batch
    from pagehint.mm.migratetype import Migratetype
    from pagehint.mm.page import FREE, IN_FLIGHT, KIND, ORDER, block_pages
    from pagehint.mm.zone import Zone

    MOVABLE = int(Migratetype.MOVABLE)


__all__ = ["EPOCHS", "WarmZone"]

EPOCHS = 4
"""Epochs that a page stays warm; so it is given back after more than 3/4 of that time, and no later than at its end."""

_SECTION = 128 << 20  # what memory hotplug adds at least, bytes
_LARGEST = 32 << 20  # of the blocks that a device is told of, bytes: what is in flight can't be allocated


# The garbage collector may clear it before a block that is in the same garbage: that block is freed into it yet.
@cython.no_gc_clear
@cython.cclass
class WarmZone(Zone):
    """A zone of ``pages`` pages of ``page_size`` bytes, from pfn 0 on, most of it offline until it is needed.

    Raises InputError. Memory: 39 bytes a page, resident where touched.
    """

    def __init__(self, pages, page_size):
        top: cython.int = max(pages - 1, 1).bit_length()
        section: cython.Py_ssize_t = _SECTION // page_size
        if top > 31:
            raise InputError(
                f"{pages} pages of {page_size} bytes are too many for an arena: expected at most {1 << 31}"
            )
        super().__init__(
            pages,
            present=min(section, pages),
            page_size=page_size,
            max_order=top + 1,
            pageblock_order=top,
            name="arena",
        )
        self._section = section
        self._most_pages = max(_LARGEST // page_size, 1)
        self._lifetime = EPOCHS
        begins, ends, epochs = (np.zeros(pages, np.int64) for _ in range(3))
        dirty = np.zeros(pages, np.uint8)
        lengths = np.zeros(pages, np.uint32)
        self._arrays = [begins, ends, epochs, dirty, lengths]
        if cython.compiled:
            self._begins = cython.cast(cython.p_longlong, cython.cast(cython.size_t, begins.ctypes.data))
            self._ends = cython.cast(cython.p_longlong, cython.cast(cython.size_t, ends.ctypes.data))
            self._epochs = cython.cast(cython.p_longlong, cython.cast(cython.size_t, epochs.ctypes.data))
            self._dirty = cython.cast(cython.p_uchar, cython.cast(cython.size_t, dirty.ctypes.data))
            self._lengths = cython.cast(cython.p_uint, cython.cast(cython.size_t, lengths.ctypes.data))
        else:
            self._begins, self._ends, self._epochs, self._dirty, self._lengths = map(memoryview, self._arrays)
            self._nr_extents = self._warm_pages = self._used_pages = self._blocks = 0
            self._given_pages = self._wanting = self._epoch = 0
            self._foreign = self._shut = False
        self._waiters = deque()
        self._waiting = set()

    # Extents

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

    def _set_dirty(self, begin, end, dirty):
        i: cython.Py_ssize_t
        for i in range(begin, end):
            self._dirty[i] = dirty

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
        i: cython.Py_ssize_t = 0
        begin: cython.Py_ssize_t = 0
        head: cython.Py_ssize_t
        if pages > self._free_pages:
            return -1
        while block_pages(order) < pages:
            order += 1
        while order < self.max_order:
            head = self._pages + (MOVABLE << 5) + order
            if self._links[2 * head] != head:
                return self._links[2 * head]
            order += 1
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
        return self._find_free(pages) if i < 0 else i

    # Memory hotplug: the next sections come online; false if all are.
    def _grow(self, pages):
        begin: cython.Py_ssize_t = self._pages - self._offline_pages
        end: cython.Py_ssize_t = min(begin + (pages + self._section - 1) // self._section * self._section, self._pages)
        if begin == end:
            return False
        self._cut(begin)
        self._cut(end)
        self._clear_used(begin, end)
        self._free_pieces(begin, end)
        self._offline_pages -= end - begin
        return True

    # Allocating and freeing, for blocks and for NumPy

    def _take(self, pages):
        i: cython.Py_ssize_t = -1
        with self._lock:
            if not (self._foreign or self._shut) and pages <= self._pages:
                i = self._find(pages)
                if i < 0 and pages <= self._pages - self._used_pages and self._grow(pages):
                    i = self._find(pages)
            if i >= 0:
                self._use(i, i + pages, MOVABLE)
                self._remove_warm(i, i + pages)
                self._lengths[i] = pages
                self._used_pages += pages
                self._blocks += 1
                self.nr_alloc += 1
        return i

    def _release(self, begin):
        ring: cython.bint
        end: cython.Py_ssize_t
        if self._foreign:
            return 0
        with self._lock:
            end = begin + self._lengths[begin]
            self._lengths[begin] = 0
            self._clear_used(begin, end)
            self._free_pieces(begin, end)
            self._set_dirty(begin, end, True)
            self._add_warm(begin, end, self._epoch)
            self._used_pages -= end - begin
            self._blocks -= 1
            self.nr_free_ops += 1
            self._ring = False
            ring = not self._requested
            self._requested = True
        if ring:
            self._ring_doorbell()
        return 0

    def take(self, pages):
        """The pfn of ``pages`` contiguous pages, warm ones first; -1 if there are none. O(extents + blocks)."""
        return self._take(pages)

    def release(self, begin):
        """Free what ``take`` gave: it is warm now."""
        self._release(begin)

    def dirty(self, begin, end):
        """Which pages may hold something else than zeros: a view, a byte each."""
        return self._arrays[3][begin:end]

    # The cycle

    def tick(self):
        """The next epoch begins."""
        with self._lock:
            self._epoch += 1

    def fill(self, batch: Batch):
        """Pull what has been warm for ``EPOCHS`` epochs into ``batch``; true if it is full.

        ``requested`` is cleared if nothing is warm any more. Pulls nothing while an allocation waits for blocks in
        flight. O(extents + blocks).
        """
        with self._lock:
            self._pull_warm(batch, self._epoch - self._lifetime)
            if not self._nr_extents and not batch._count:
                self._requested = False
        return batch._count == batch.capacity

    def fill_all(self, batch: Batch):
        """The same, but pull everything that was freed before this epoch."""
        with self._lock:
            self._pull_warm(batch, self._epoch - 1)
        return batch._count == batch.capacity

    def _pull_warm(self, batch: Batch, newest):
        k: cython.Py_ssize_t = 0
        begin: cython.Py_ssize_t
        end: cython.Py_ssize_t
        order: cython.int
        batch._count = batch._pages = 0
        while k < self._nr_extents and batch._count < batch.capacity and not self._wanting:
            if self._epochs[k] > newest:
                k += 1
                continue
            begin = self._begins[k]
            end = min(begin + self._most_pages, self._ends[k])
            order = self._piece(begin, end)
            end = begin + block_pages(order)
            self._cut(begin)
            self._cut(end)
            self._take_off(begin, batch)
            self._remove_warm(begin, end)

    def drain(self, batch: Batch, hinted):
        """Put a batch's blocks back: clean if ``hinted``, else as if freed now: others have their turn first."""
        flag: cython.bint = hinted
        k: cython.Py_ssize_t
        i: cython.Py_ssize_t
        pages: cython.Py_ssize_t
        with self._lock:
            for k in range(batch._count):
                i = batch._pfns[k]
                pages = block_pages(batch._orders[k])
                if flag:
                    self._set_dirty(i, i + pages, False)
                    self._given_pages += pages
                else:
                    self._add_warm(i, i + pages, self._epoch)
            self._put_back(batch, False)
        with contextlib.suppress(IndexError):
            while True:
                self._waiters.popleft().release()

    def wait(self, lock):
        """Have ``lock`` released when blocks come back; until ``waited``, nothing more is pulled."""
        self._waiting.add(lock)
        self._wanting = len(self._waiting)
        self._waiters.append(lock)

    def waited(self, lock):
        """The end of a ``wait``, if there was one."""
        self._waiting.discard(lock)
        self._wanting = len(self._waiting)

    # After a fork, in the child

    def orphan(self):
        """Take back what is in flight: whoever told the device is not in this process. O(blocks)."""
        i: cython.Py_ssize_t = 0
        pages: cython.Py_ssize_t
        word: cython.int
        self._waiters = deque()
        self._waiting = set()
        self._wanting = 0
        with self._lock:
            while i < self._pages:
                word = self._state[i]
                pages = block_pages(word & ORDER)
                if (word & KIND) == IN_FLIGHT:
                    self._state[i] = 0
                    self._in_flight_pages -= pages
                    self._add_warm(i, i + pages, self._epoch - self._lifetime)
                    self._free_one_page(i, word & ORDER, MOVABLE, True)
                i += pages

    def disown(self):
        """The memory is another process's: nothing is allocated here any more, and freeing does nothing."""
        self._foreign = True

    def shut(self):
        """Nothing is allocated any more; freeing goes on."""
        self._shut = True

    # What can be read

    @property
    def foreign(self):
        """The memory is another process's."""
        return self._foreign

    @property
    def waiting(self):
        """Allocations that wait for blocks in flight."""
        return self._wanting

    @property
    def warm_pages(self):
        """Free pages that were not given back since they were used."""
        return self._warm_pages

    @property
    def used_pages(self):
        """Pages of blocks."""
        return self._used_pages

    @property
    def blocks(self):
        """Blocks that are allocated."""
        return self._blocks

    @property
    def given_pages(self):
        """Pages given back so far."""
        return self._given_pages

    @property
    def largest_free(self):
        """Pages of the largest free range, those in reach of hotplug too. O(blocks)."""
        i: cython.Py_ssize_t = 0
        begin: cython.Py_ssize_t = 0
        largest: cython.Py_ssize_t = 0
        with self._lock:
            while i < self._pages:
                if (self._state[i] & KIND) == FREE or i >= self._pages - self._offline_pages:
                    i += block_pages(self._state[i] & ORDER)
                    largest = max(largest, i - begin)
                else:
                    i += block_pages(self._state[i] & ORDER)
                    begin = i
        return largest

    def extents(self):
        """The warm extents, ascending: (begin, end, epochs ago), an int64 array of three columns."""
        k: cython.Py_ssize_t
        count: cython.Py_ssize_t = self._nr_extents + 64
        table = np.zeros((count, 3), np.int64)
        if cython.compiled:
            out = cython.cast(cython.p_longlong, cython.cast(cython.size_t, table.ctypes.data))
        else:
            out = memoryview(table.reshape(-1))
        with self._lock:
            count = min(count, self._nr_extents)
            for k in range(count):
                out[3 * k] = self._begins[k]
                out[3 * k + 1] = self._ends[k]
                out[3 * k + 2] = self._epoch - self._epochs[k]
        return table[:count]
