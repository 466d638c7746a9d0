"""Isolating, contiguous ranges, hotplug and reordering, under the zone's lock (docs/spec/1, section 5)."""

import cython
import numpy as np

from pagehint.errors import BusyError, InputError
from pagehint.units import integer, whole_number

if not cython.compiled:
    from pagehint.mm.attached import Attachable
    from pagehint.mm.page import (
        AT_TAIL,
        FREE,
        HINTED,
        ISOLATE,
        KIND,
        OFFLINE,
        ORDER,
        ORDINARY,
        RECLAIMABLE,
        TYPE_SHIFT,
        USED,
    )
    from pagehint.pointers import longlongs, uchars


@cython.cclass
class Spans(Attachable):
    """Free areas with a lock, whose pages can be had, taken away and brought by where they are."""

    # Isolating

    def isolate(self, pfn):
        """Isolate the pageblock of ``pfn``: its free blocks can't be allocated. Raises BusyError if it is isolated."""
        i: cython.Py_ssize_t = self._index(pfn)
        done: cython.bint
        ring: cython.bint
        with self._lock:
            done = self._isolate(self._pageblock(i))
            self.nr_other_ops += done
            ring = self._rings()
        if ring:
            self._ring_doorbell()
        if not done:
            raise BusyError(f"the pageblock of pfn {pfn} is isolated already")

    def unisolate(self, pfn, migratetype=1):
        """End the isolation of the pageblock of ``pfn``, which becomes ``migratetype``; nothing if there is none."""
        i: cython.Py_ssize_t = self._index(pfn)
        kind: cython.int = whole_number("migratetype", migratetype, 0, ISOLATE - 1)
        ring: cython.bint
        with self._lock:
            self._unisolate(self._pageblock(i), kind)
            self.nr_other_ops += 1
            ring = self._rings()
        if ring:
            self._ring_doorbell()

    # Ranges that are no single block

    def _span(self, pfn, pages):
        begin = self._index(pfn)
        count = whole_number("pages", pages, 1, self._pages)
        self._index(integer("pfn", pfn) + count - 1)
        return begin, begin + count

    def free_exact(self, pfn, pages):
        """Free contiguous pages, however they were allocated: also a block's tail, or its head. O(pages' blocks).

        Raises InputError, and changes nothing, if any of them is not allocated.
        """
        self._free_exact(pfn, pages, False)

    def free_surplus(self, pfn, pages):
        """The same, of what an allocation of an exact number of pages has too much: at the lists' tails (since 5.7)."""
        self._free_exact(pfn, pages, True)

    def _free_exact(self, pfn, pages, to_tail):
        wrong = self._free_all(pfn, pages, USED, to_tail)
        if wrong >= 0:
            raise InputError(f"free of pfn {pfn}, {pages} pages: pfn {wrong} is not allocated")

    # Free pages that are all of this kind, used or offline; else return the pfn of the first that is not. `to_tail`: at
    # the lists' tails, as kernels do since 5.7.
    def _free_all(self, pfn, pages, kind, to_tail):
        begin: cython.Py_ssize_t
        end: cython.Py_ssize_t
        begin, end = self._span(pfn, pages)
        what: cython.int = kind
        how: cython.int = AT_TAIL if to_tail and self.profile.boot_to_tail else ORDINARY
        wrong: cython.Py_ssize_t
        ring: cython.bint
        with self._lock:
            wrong = self._first_not(begin, end, what)
            if wrong < 0:
                self._cut(begin)
                self._cut(end)
                self._clear_used(begin, end)
                self._free_pieces(begin, end, how)
                if what == OFFLINE:
                    self._offline_pages -= end - begin
                    self.nr_other_ops += 1
                else:
                    self.nr_free_ops += 1
            ring = self._rings()
        if ring:
            self._ring_doorbell()
        return wrong + self.start_pfn if wrong >= 0 else -1

    def alloc_range(self, pfn, pages, migratetype=1):
        """Allocate these very pages, by isolating their pageblocks (alloc_contig_range). O(pages).

        Raises BusyError, and changes nothing, if one of them is not free, or is isolated already.
        """
        kind: cython.int = whole_number("migratetype", migratetype, 0, RECLAIMABLE)
        self._take_range(pfn, pages, USED | (kind << TYPE_SHIFT))

    def offline(self, pfn, pages):
        """Take pages away: they must be free (memory hotplug). O(pages).

        Raises BusyError, and changes nothing, if one of them is not free, or is isolated already.
        """
        self._take_range(pfn, pages, OFFLINE)

    def _take_range(self, pfn, pages, word):
        begin: cython.Py_ssize_t
        end: cython.Py_ssize_t
        begin, end = self._span(pfn, pages)
        what: cython.int = word
        first: cython.Py_ssize_t = self._pageblock(begin)
        last: cython.Py_ssize_t = self._pageblock(end - 1)
        k: cython.Py_ssize_t
        wrong: cython.Py_ssize_t
        isolated: cython.bint = False
        ring: cython.bint
        array = np.empty(last - first + 1, np.uint8)
        kinds = uchars(array)
        with self._lock:
            wrong = self._first_not(begin, end, FREE)
            for k in range(first, last + 1):
                kinds[k - first] = self._types[k]
                isolated |= self._types[k] == ISOLATE
            if wrong < 0 and not isolated:
                # A free block that reaches beyond these pageblocks would be isolated whole, and stay so.
                self._cut(max(self._begin_of(first), 0))
                self._cut(self._begin_of(last + 1))
                for k in range(first, last + 1):
                    self._isolate(k)
                self._take_free(begin, end, what)
                for k in range(first, last + 1):
                    self._unisolate(k, kinds[k - first])
                self.nr_other_ops += 1
                if what == OFFLINE:
                    self._offline_pages += end - begin
                    if self._offline_pages == self._pages:
                        self._forget_all()
            ring = self._rings()
        if ring:
            self._ring_doorbell()
        if isolated:
            raise BusyError(f"pfn {pfn}, {pages} pages: a pageblock is isolated already")
        if wrong >= 0:
            raise BusyError(f"pfn {pfn}, {pages} pages: pfn {wrong + self.start_pfn} is not free")

    def online(self, pfn, pages):
        """Bring pages that are offline; they are free then, at the lists' tails (since 5.7). O(pages).

        Raises BusyError if one of them is online.
        """
        wrong = self._free_all(pfn, pages, OFFLINE, True)
        if wrong >= 0:
            raise BusyError(f"pfn {pfn}, {pages} pages: pfn {wrong} is online")

    def load(self, free, pageblock_types=None, present=None, reported=None, ranks=None):
        """Start from this state: ``free`` (bool, one a page), the rest used; free lists as at boot. O(pages).

        ``pageblock_types`` (integers, one a pageblock): the migratetypes, none of them ISOLATE. ``present`` (bool, one
        a page; default: all): the others are no memory, offline. ``reported`` (bool, one a page; default: none): where
        the free block that starts was given back before. It is hinted, stands behind the others of its list, and stays
        hinted for the device that is attached first; inside of a block, that merged since then, it means nothing.
        ``ranks`` (unsigned, one a page; default: all alike): a list's blocks stand by the least rank of their pages,
        hinted or not; those alike as above. The zone must be a new one, nothing allocated yet. Raises InputError, and
        changes nothing.
        """
        free = self._page_bools("free", free)
        kinds = free.astype(np.uint8)
        hinted = np.zeros(self._pages, np.bool_) if reported is None else self._page_bools("reported", reported)
        if (hinted > kinds).any():
            raise InputError("reported: a page that is not free")
        if present is not None:
            absent = ~self._page_bools("present", present)
            if (absent & free).any():
                raise InputError("present: a page that is free is not present")
            kinds[absent] = 2
        elif self._offline_pages:
            raise InputError("a zone that is loaded must be wholly online, or be told which pages are present")
        if self._attached:
            raise InputError("a zone that is loaded must have no hinting device")
        if self.nr_alloc or self.nr_free_ops or self._in_flight_pages or self.pageblock_movable.any():
            raise InputError("a zone that is loaded must be a new one: pages of this one were allocated")
        of_pageblocks = np.asarray(self.pageblock_types if pageblock_types is None else pageblock_types)
        if of_pageblocks.shape != self.pageblock_types.shape or of_pageblocks.dtype.kind not in "iu":
            raise InputError(f"pageblock_types: expected {len(self.pageblock_types)} whole numbers")
        if self._nr_isolated or (of_pageblocks < 0).any() or (of_pageblocks >= ISOLATE).any():
            raise InputError("pageblock_types: expected migratetypes 0 to 3, and no pageblock isolated")
        ranks = None if ranks is None else np.asarray(ranks)
        if ranks is not None and (ranks.shape != (self._pages,) or ranks.dtype.kind != "u"):
            raise InputError(f"ranks: expected {self._pages} unsigned whole numbers")
        of_pageblocks = of_pageblocks.astype(np.uint8)
        hinted = np.ascontiguousarray(hinted).view(np.uint8)
        count: cython.Py_ssize_t = len(of_pageblocks)
        k: cython.Py_ssize_t
        _kinds, _hinted, _types = uchars(kinds), uchars(hinted), uchars(of_pageblocks)
        with self._lock:
            for k in range(count):
                self._types[k] = _types[k]
            self._load(_kinds, _hinted)
            if ranks is not None:
                self._line_up_by(ranks)

    def _line_up_by(self, ranks):
        blocks = np.flatnonzero((self.page_state & KIND) == FREE).astype(np.int64)
        if not len(blocks):
            return
        words = self.page_state[blocks]
        ends = blocks + np.left_shift(1, words & ORDER, dtype=np.int64)
        # The end of the zone is an index as well.
        padded = np.append(ranks, ranks.dtype.type(0))
        least = np.minimum.reduceat(padded, np.stack([blocks, ends], 1).reshape(-1))[::2]
        blocks = blocks[np.lexsort((words & HINTED, least))]
        self._line_up(longlongs(blocks), len(blocks))

    # A bool array of a value a page. NumPy's own array: what a subclass says of itself need not be so.
    def _page_bools(self, what, given):
        array = np.asarray(given) if isinstance(given, np.ndarray) else None
        if array is None or array.shape != (self._pages,) or array.dtype != np.bool_:
            raise InputError(f"{what}: expected a bool array of {self._pages} pages")
        return array

    def reorder(self, pfn):
        """Turn the free list of the block at ``pfn`` so that it starts behind that block, as compaction does.

        Of the hinted blocks only those at its tail then stay hinted, and the boundary is set before them. Raises
        InputError if no free block starts there. O(blocks on the list).
        """
        i: cython.Py_ssize_t = self._index(pfn)
        free: cython.bint
        with self._lock:
            free = (self._state[i] & KIND) == FREE
            if free:
                self._reorder(i)
                self.nr_other_ops += 1
        if not free:
            raise InputError(f"pfn {pfn}: no free block starts there")
