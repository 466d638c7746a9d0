"""An arena's pages: warm ones are handed out first, and a design pulls those that stayed free for a number of epochs.

*Dirty* pages have been used since they were last given back; the others read as zeros.
"""

import contextlib
from collections import deque

import cython
import numpy as np

from pagehint.arena.check import check_extents
from pagehint.errors import InputError
from pagehint.mm.batch import misplaced
from pagehint.mm.check import check
from pagehint.units import power_of_two

if not cython.compiled:
    from pagehint.arena.extents import Extents
    from pagehint.mm.batch import Batch
    from pagehint.mm.page import (
        FREE,
        HELD,
        IN_FLIGHT,
        ISOLATE,
        KIND,
        MOVABLE,
        OFFLINE,
        ORDER,
        ORDINARY,
        PUT_BACK,
        TYPE_SHIFT,
        block_pages,
    )
    from pagehint.pointers import longlongs, uchars, uints


__all__ = ["EPOCHS", "WarmPages"]

EPOCHS = 4
"""Epochs that a page stays warm; so it is given back after more than 3/4 of that time, and no later than at its end."""

_SECTION = 128 << 20  # what memory hotplug adds at least, bytes
_LARGEST = 32 << 20  # of the blocks that a device is told of, bytes: what is in flight can't be allocated


# The garbage collector may clear it before a block that is in the same garbage: that block is freed into it yet.
@cython.no_gc_clear
@cython.cclass
class WarmPages(Extents):
    """An arena's ``pages`` pages of ``page_size`` bytes, from pfn 0 on, most of them offline until they are needed.

    Raises InputError. Memory: 39 bytes a page, resident where touched.
    """

    def __init__(self, pages, page_size):
        page_size = power_of_two("page_size", page_size, _SECTION)
        super().__init__(pages)
        section: cython.Py_ssize_t = _SECTION // page_size
        self.page_size = page_size
        self._section = section
        self._most_pages = max(_LARGEST // page_size, 1)
        self._lifetime = EPOCHS
        self._dirty_array = np.zeros(pages, np.uint8)
        self._lengths_array = np.zeros(pages, np.uint32)
        self._dirty = uchars(self._dirty_array)
        self._lengths = uints(self._lengths_array)
        if not cython.compiled:
            self._used_pages = self._blocks = self._given_pages = self._wanting = self._epoch = 0
            self._foreign = self._shut = False
        self._waiters = deque()
        self._waiting = set()
        self._grow(1)

    def __repr__(self):
        return f"<{type(self).__name__}: {self._pages} pages, {self._free_pages} free>"

    def _set_dirty(self, begin, end, dirty):
        i: cython.Py_ssize_t
        for i in range(begin, end):
            self._dirty[i] = dirty

    # Memory hotplug: the next sections come online; false if all are.
    def _grow(self, pages):
        begin: cython.Py_ssize_t = self._pages - self._offline_pages
        end: cython.Py_ssize_t = min(begin + (pages + self._section - 1) // self._section * self._section, self._pages)
        if begin == end or self._first_not(begin, end, OFFLINE) >= 0:
            return False
        self._cut(begin)
        self._cut(end)
        self._clear_used(begin, end)
        self._free_pieces(begin, end, ORDINARY)
        self._offline_pages -= end - begin
        return True

    # Allocating and freeing, for blocks and for NumPy

    def _take(self, pages):
        i: cython.Py_ssize_t = -1
        with self._lock:
            if not (self._foreign or self._shut) and 0 < pages <= self._pages:
                i = self._find(pages)
                if i < 0 and pages <= self._pages - self._used_pages and self._grow(pages):
                    i = self._find(pages)
            if i >= 0:
                self._take_free(i, i + pages, HELD)
                self._remove_warm(i, i + pages)
                self._lengths[i] = pages
                self._used_pages += pages
                self._blocks += 1
                self.nr_alloc += 1
        return i

    def _release(self, begin):
        ring: cython.bint = False
        ours: cython.bint
        end: cython.Py_ssize_t
        if self._foreign:
            return 0
        with self._lock:
            end = begin + self._lengths[begin]
            ours = end > begin and self._first_not(begin, end, HELD) < 0
            if ours:
                self._lengths[begin] = 0
                self._clear_used(begin, end)
                self._free_pieces(begin, end, ORDINARY)
                self._set_dirty(begin, end, True)
                self._add_warm(begin, end, self._epoch)
                self._used_pages -= end - begin
                self._blocks -= 1
                self.nr_free_ops += 1
                self._ring = False
                ring = not self._requested
                self._request(True)
        if ring:
            self._ring_doorbell()
        return ours

    def take(self, pages):
        """The pfn of ``pages`` contiguous pages, warm ones first; -1 if there are none. O(extents + blocks)."""
        return self._take(pages)

    def release(self, begin):
        """Free what ``take`` gave: it is warm now. Raises InputError if it gave nothing there."""
        i: cython.Py_ssize_t = self._index(begin)
        if not self._release(i) and not self._foreign:
            raise InputError(f"release of pfn {begin}: nothing was taken there")

    def dirty(self, begin, end):
        """Which pages may hold something else than zeros: a view, a byte each."""
        return self._dirty_array[begin:end]

    # The cycle

    def tick(self):
        """The next epoch begins."""
        with self._lock:
            self._epoch += 1

    def fill(self, batch: Batch):
        """Pull what has been warm for ``EPOCHS`` epochs into ``batch``; true if it is full.

        ``requested`` is cleared if nothing is warm any more. Pulls nothing while an allocation waits for blocks in
        flight. O(extents + blocks). Raises InputError if the batch holds blocks.
        """
        with self._lock:
            wrong: cython.bint = self._pull_warm(batch, self._epoch - self._lifetime)
            if not self._nr_extents and not batch._count:
                self._request(False)
        return self._filled(batch, wrong)

    def fill_all(self, batch: Batch):
        """The same, but pull everything that was freed before this epoch."""
        with self._lock:
            wrong: cython.bint = self._pull_warm(batch, self._epoch - 1)
        return self._filled(batch, wrong)

    def _filled(self, batch: Batch, wrong):
        if wrong:
            raise InputError(f"{batch!r}: drain it before it is filled again")
        return batch._count == batch.capacity

    # Returns whether the batch holds blocks already.
    def _pull_warm(self, batch: Batch, newest):
        k: cython.Py_ssize_t = 0
        begin: cython.Py_ssize_t
        end: cython.Py_ssize_t
        if batch._count:
            return True
        batch._pages = 0
        if self._foreign:
            return False
        while k < self._nr_extents and batch._count < batch.capacity and not self._wanting:
            if self._epochs[k] > newest:
                k += 1
                continue
            begin = self._begins[k]
            end = min(begin + self._most_pages, self._ends[k])
            end = begin + block_pages(self._piece(begin, end))
            if self._is_free(begin, end) and self._state[self._head_of(begin)] >> TYPE_SHIFT != ISOLATE:
                self._cut(begin)
                self._cut(end)
                end = begin + block_pages(self._state[begin] & ORDER)
                self._take_off(begin, batch)
            self._remove_warm(begin, end)
        return False

    def drain(self, batch: Batch, hinted):
        """Put a batch's blocks back: clean if ``hinted``, else as if freed now: others have their turn first.

        Raises InputError, and changes nothing, if one of them is not in flight here.
        """
        k: cython.Py_ssize_t
        i: cython.Py_ssize_t
        pages: cython.Py_ssize_t
        wrong: cython.Py_ssize_t
        with self._lock:
            wrong = self._not_in_flight(batch)
            for k in range(batch._count if wrong < 0 else 0):
                i = batch._pfns[k]
                pages = block_pages(batch._orders[k])
                if hinted:
                    self._set_dirty(i, i + pages, False)
                    self._given_pages += pages
                else:
                    self._add_warm(i, i + pages, self._epoch)
            if wrong < 0:
                self._put_back(batch, False)
        if wrong >= 0:
            raise misplaced(batch, wrong)
        with contextlib.suppress(IndexError):
            while True:
                self._waiters.popleft().release()

    def wait(self, lock):
        """Have ``lock`` released when blocks come back; until ``waited``, nothing more is pulled."""
        with cython.critical_section(self):
            self._waiting.add(lock)
            self._wanting = len(self._waiting)
        self._waiters.append(lock)

    def waited(self, lock):
        """The end of a ``wait``, if there was one."""
        with cython.critical_section(self):
            self._waiting.discard(lock)
            self._wanting = len(self._waiting)

    # After a fork, in the child

    def unlock(self):
        """Take the lock from a thread that is not in this process: it was given to it, and it had not gone on yet."""
        if self._lock.locked():
            self._lock.release()

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
                    self._free_one_page(i, word & ORDER, MOVABLE, PUT_BACK)
                i += pages

    def disown(self):
        """The memory is another process's: nothing is allocated or pulled here any more, and freeing does nothing."""
        self._foreign = True

    def shut(self):
        """Nothing is allocated any more; freeing goes on."""
        self._shut = True

    # What can be read

    def check(self):
        """What is wrong with the pages, a line each; empty if nothing is. They must be at rest. O(pages)."""
        return check(self)

    def _wrong_marks(self):
        return [*super()._wrong_marks(), *check_extents(self.extents(), self.pages, self.warm_pages)]

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
        out = longlongs(table)
        with self._lock:
            count = min(count, self._nr_extents)
            for k in range(count):
                out[3 * k] = self._begins[k]
                out[3 * k + 1] = self._ends[k]
                out[3 * k + 2] = self._epoch - self._epochs[k]
        return table[:count]
