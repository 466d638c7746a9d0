"""Which pages of the guest the modelled host backs with memory of its own.

A bit for each 4 KiB page says whether it is backed, and each aligned 2 MiB *area* has a state. Three ways of backing:

- ``4KiB``: a touch backs the pages touched; giving back frees them. What memfd and other shared memory does.
- ``2MiB``: a touch backs the whole area, and only an area that one block covers wholly is freed. What hugetlb does.
- ``THP``: a touch backs the whole area if the area is *empty*, that is, has no page table of 4 KiB pages; else single
  pages. Giving back a part of an area backed whole splits it: just that part is freed, and the page table stays, even
  when the last of its pages is given back, until one block covers the area wholly. What anonymous memory with
  MADV_HUGEPAGE does since Linux 6.14 (older kernels keep the page table for good). khugepaged, which makes huge
  pages of small ones later on, is `collapse`: all of an area comes back for the sake of one page.

Memory may end inside of an area. Such an end is an area of the pages it has: ``2MiB`` backs and frees it whole, and
``THP`` backs it page by page.

A *refault* is a fault on memory that was given back before and not touched since: one that would not be without
hinting. Giving back a page that was not backed gives nothing back.

**Overcommit.** With a limit, the host swaps out what is resident above it: whole areas in pfn order, by a hand that
goes round and round, sparing the area just touched. That is about first in, first out, and deterministic. A touch
brings swapped pages back one by one; giving them back frees their swap and is not counted as given back. What the
guest touches between allocating and freeing is not in a recording, so the swapping told is a lower bound.
"""

import cython
import numpy as np

from pagehint.errors import InputError
from pagehint.units import shown, whole_number

__all__ = ["AREA_PAGES", "PAGE_SIZES", "Backing"]

AREA_PAGES = 512
PAGE_SIZES = ("4KiB", "2MiB", "THP")

if not cython.compiled:
    from pagehint.pointers import uchars, ulonglongs, ushorts

    popcount = int.bit_count

_AREA = cython.declare(cython.longlong, 512)  # pages; the same as AREA_PAGES
_ORDERS = cython.declare(cython.int, 48)  # that a block may have

_4KIB = cython.declare(cython.int, 0)
_2MIB = cython.declare(cython.int, 1)
_THP = cython.declare(cython.int, 2)

# The states of an area. Backed by 4KiB pages only, areas have none: they stay empty.
_EMPTY = cython.declare(cython.uchar, 0)
_SPLIT = cython.declare(cython.uchar, 1)
_HUGE = cython.declare(cython.uchar, 2)

_ALL = cython.declare(cython.ulonglong, 0xFFFF_FFFF_FFFF_FFFF)
_NO_LIMIT = cython.declare(cython.longlong, 1 << 62)
_MOST_PAGES = 1 << 52


@cython.final
@cython.cclass
class Backing:
    """The backing of a guest's `pages` 4 KiB pages, none of them backed at first; `limit`: pages that may be resident.

    Raises InputError. Read at any time, all counted since the start or the last load():

    - `resident`, `swapped`: 4 KiB pages, now
    - `faults_4kib`, `faults_2mib`: faults on memory that was not backed, by what they backed; `refaults_4kib`,
      `refaults_2mib`: those of them on memory given back before
    - `given_back`: 4 KiB pages; of them `given_back_4kib` singly, the rest as `given_back_2mib` huge pages
    - `discards`, `empty_discards`: blocks told of, and those with nothing behind them; `splits` of huge pages
    - `swapped_out`, `swapped_in`: 4 KiB pages
    - `collapsed`: 4 KiB pages that came back by `collapse`
    """

    def __init__(self, pages: object, page_size: object = "4KiB", limit: object = None) -> None:
        pages = whole_number("a guest's pages", pages, 1, _MOST_PAGES)
        if not isinstance(page_size, str) or page_size not in PAGE_SIZES:
            raise InputError(
                f"{shown(page_size)} is not a page size of a host: expected one of {', '.join(PAGE_SIZES)}"
            )
        if limit is not None and page_size == "2MiB":
            raise InputError("a host that backs by 2MiB can't be overcommitted: huge pages are not swapped")
        if getattr(self, "pages", 0):
            raise InputError("a backing is made once")
        if limit is not None:
            limit = whole_number("a host's pages", limit, 0, _MOST_PAGES)
            if limit < AREA_PAGES:
                raise InputError(
                    f"{limit} pages are too little memory for a host: it needs at least {AREA_PAGES}, 2 MiB"
                )
        self.page_size = str(page_size)
        self.limit = _NO_LIMIT if limit is None else limit
        self._mode = PAGE_SIZES.index(page_size)
        self._areas = (pages + AREA_PAGES - 1) // AREA_PAGES
        self._hand = self._scanned = 0
        if not cython.compiled:
            self._lock = cython.pymutex()
        words = self._areas * (AREA_PAGES // 64)
        backed = np.zeros(words, np.uint64)
        given = np.zeros(words, np.uint64)
        swapped = np.zeros(words if limit is not None else 0, np.uint64)
        count = np.zeros(self._areas, np.uint16)
        state = np.zeros(self._areas, np.uint8)
        self._arrays = (backed, given, swapped, count, state)
        self._backed = ulonglongs(backed)
        self._given = ulonglongs(given)
        self._swapped = ulonglongs(swapped)
        self._count = ushorts(count)
        self._state = uchars(state)
        self._reset()
        self.pages = pages  # now it is whole

    @cython.cfunc
    def _reset(self) -> cython.void:
        self.resident = self.swapped = 0
        self.faults_4kib = self.faults_2mib = self.refaults_4kib = self.refaults_2mib = 0
        self.given_back = self.given_back_4kib = self.given_back_2mib = 0
        self.discards = self.empty_discards = self.splits = 0
        self.swapped_out = self.swapped_in = self.collapsed = 0

    def touch(self, pfn: object, order: object) -> tuple[int, int]:
        """The guest uses a block; returns the host's faults: (of 4 KiB, of 2 MiB). O(areas + words that fault).

        What lies beyond the memory is ignored. Bringing in a swapped page is no fault: see `swapped_in`.
        """
        small: cython.longlong
        large: cython.longlong
        first: cython.longlong = _pfn(pfn)
        size: cython.int = _order(order)
        with self._lock:
            small, large = self.faults_4kib, self.faults_2mib
            self._touch(first, size)
            small, large = self.faults_4kib - small, self.faults_2mib - large
        return small, large

    def discard(self, pfn: object, order: object) -> int:
        """Gives a block back; returns the pages that were backed and now aren't. O(areas + words of backed ones)."""
        first: cython.longlong = _pfn(pfn)
        size: cython.int = _order(order)
        with self._lock:
            return self._discard(first, size)

    def discard_blocks(self, pfns: cython.const[cython.longlong][:], orders: cython.const[cython.uchar][:]) -> int:
        """Gives the blocks of a batch back, in its order; returns the pages that were backed and now aren't."""
        given: cython.longlong = 0
        block: cython.Py_ssize_t
        if not cython.compiled:
            pfns, orders = memoryview(pfns), memoryview(orders)
        _check_lengths(pfns.shape[0], orders.shape[0])
        with self._lock, cython.nogil:
            for block in range(pfns.shape[0]):
                given += self._discard(pfns[block], orders[block])
        return given

    def count_blocks(
        self, pfns: cython.const[cython.longlong][:], orders: cython.const[cython.uchar][:]
    ) -> tuple[int, int]:
        """What giving the blocks back would free: (4 KiB pages, 2 MiB pages). Changes nothing."""
        small: cython.longlong = 0
        large: cython.longlong = 0
        pfn: cython.longlong
        end: cython.longlong
        stop: cython.longlong
        block: cython.Py_ssize_t
        if not cython.compiled:
            pfns, orders = memoryview(pfns), memoryview(orders)
        _check_lengths(pfns.shape[0], orders.shape[0])
        with self._lock, cython.nogil:
            for block in range(pfns.shape[0]):
                pfn = pfns[block]
                end = self._end(pfn, orders[block])
                while pfn < end:
                    stop = self._stop(pfn, end)
                    if self._state[pfn >> 9] == _HUGE and self._whole(pfn, stop):
                        large += 1
                    elif self._mode != _2MIB:
                        small += self._count_pages(pfn, stop)
                    pfn = stop
        return small, large

    def load(self, backed: object) -> None:
        """Starts over from a residency: a bool array with one entry for each page. All counters but `resident` are 0.

        ``2MiB`` and ``THP`` back an area whole by a huge page if all of it is backed; for ``2MiB``, if any of it is.
        A limit swaps out at once what is beyond it. Nobody else may use the backing meanwhile. Raises InputError.
        """
        bits = np.asarray(backed)
        if bits.dtype != np.bool_ or bits.shape != (self.pages,):
            raise InputError(f"residency is {bits.dtype} of shape {bits.shape}: expected bool of shape ({self.pages},)")
        areas = np.zeros((self._areas, AREA_PAGES), np.bool_)
        areas.reshape(-1)[: self.pages] = bits
        if self._mode == _2MIB:
            areas |= areas.any(axis=1, keepdims=True)
            areas.reshape(-1)[self.pages :] = False
        count = areas.sum(axis=1, dtype=np.uint16)
        self._reset()
        self._hand = self._scanned = 0
        for array in self._arrays:
            array[:] = 0
        self._arrays[0].view(np.uint8)[:] = np.packbits(areas, bitorder="little")
        self._arrays[3][:] = count
        if self._mode == _2MIB:
            self._arrays[4][count > 0] = _HUGE
        elif self._mode == _THP:
            self._arrays[4][count > 0] = _SPLIT
            self._arrays[4][count == AREA_PAGES] = _HUGE
        self.resident = int(count.sum(dtype=np.int64))
        self._swap_out(-1)
        self.swapped_out = 0

    def collapse(self, areas: object) -> int:
        """khugepaged looks at the next `areas` areas, round and round; returns the pages that came back. O(areas).

        Of a split area that has any page it makes a huge one, swapped pages too. Only ``THP`` has split areas.
        """
        most: cython.longlong = whole_number("areas", areas, 0, _MOST_PAGES)
        with self._lock:
            return self._collapse(most)

    def snapshot(self) -> object:
        """The residency now: uint8, a bit for each page, lowest bit first, for np.unpackbits(bitorder="little")."""
        backed = self._arrays[0].view(np.uint8)[: (self.pages + 7) // 8]
        packed = np.empty_like(backed)
        with self._lock:
            np.copyto(packed, backed)
        return packed

    def _touch(self, pfn: cython.longlong, order: cython.int) -> cython.void:
        end: cython.longlong = self._end(pfn, order)
        stop: cython.longlong
        area: cython.longlong
        while pfn < end:
            stop = self._stop(pfn, end)
            area = pfn >> 9
            if self._count[area] < _AREA:
                if self._mode == _4KIB:
                    self._fault_pages(pfn, stop)
                elif self._mode == _2MIB:
                    if self._state[area] == _EMPTY:
                        self._fault_area(area)
                elif self._state[area] == _EMPTY and (area + 1) << 9 <= self.pages:
                    self._fault_area(area)
                else:
                    self._fault_pages(pfn, stop)
                if self.resident > self.limit:
                    self._swap_out(area)
            pfn = stop

    def _discard(self, pfn: cython.longlong, order: cython.int) -> cython.longlong:
        end: cython.longlong = self._end(pfn, order)
        stop: cython.longlong
        area: cython.longlong
        whole: cython.bint
        pages: cython.longlong
        given: cython.longlong = 0
        swapped: cython.longlong = self.swapped
        while pfn < end:
            stop = self._stop(pfn, end)
            area = pfn >> 9
            whole = self._whole(pfn, stop)
            if whole or self._mode != _2MIB:
                pages = self._drop_pages(pfn, stop)
                given += pages
                if self._state[area] == _HUGE:
                    if whole:
                        self.given_back_2mib += 1
                    else:
                        self.given_back_4kib += pages
                        self.splits += 1
                        self._state[area] = _SPLIT
                else:
                    self.given_back_4kib += pages
                if whole:
                    self._state[area] = _EMPTY
            pfn = stop
        self.given_back += given
        self.discards += 1
        if given == 0 and self.swapped == swapped:
            self.empty_discards += 1
        return given

    # A balloon has the page, and the host its memory: not counted as given back. Huge pages of 2MiB stay whole.
    def _withdraw(self, pfn: cython.longlong) -> cython.void:
        if self._mode == _2MIB or not 0 <= pfn < self.pages:
            return
        if self._drop_pages(pfn, pfn + 1):
            self._given[pfn >> 6] &= ~_mask(pfn, pfn + 1)
        if self._state[pfn >> 9] == _HUGE:
            self._state[pfn >> 9] = _SPLIT

    def _collapse(self, areas: cython.longlong) -> cython.longlong:
        area: cython.longlong
        word: cython.longlong
        pages: cython.longlong
        before: cython.longlong = self.collapsed
        left: cython.longlong = areas if areas < self._areas else self._areas
        while left > 0:
            left -= 1
            area = self._scanned
            self._scanned = area + 1 if area + 1 < self._areas else 0
            if self._state[area] != _SPLIT or self._count[area] == 0 or (area + 1) << 9 > self.pages:
                continue
            pages = _AREA - self._count[area]
            for word in range(area << 3, (area + 1) << 3):
                self._backed[word] = _ALL
                self._given[word] = 0
                if self.limit != _NO_LIMIT and self._swapped[word]:
                    self.swapped -= popcount(self._swapped[word])
                    self.swapped_in += popcount(self._swapped[word])
                    self._swapped[word] = 0
            self._count[area] = _AREA
            self._state[area] = _HUGE
            self.resident += pages
            self.collapsed += pages
            if self.resident > self.limit:
                self._swap_out(area)
        return self.collapsed - before

    # The end of a block, in memory; not above pfn if none of it is.
    def _end(self, pfn: cython.longlong, order: cython.int) -> cython.longlong:
        end: cython.longlong
        if not 0 <= pfn < self.pages:
            return pfn
        if order >= _ORDERS:
            return self.pages
        end = pfn + (cython.cast(cython.longlong, 1) << order)
        return end if end < self.pages else self.pages

    # The end of pfn's area, or `end` if that is in it.
    def _stop(self, pfn: cython.longlong, end: cython.longlong) -> cython.longlong:
        stop: cython.longlong = ((pfn >> 9) + 1) << 9
        return stop if stop < end else end

    def _whole(self, pfn: cython.longlong, stop: cython.longlong) -> cython.bint:
        return pfn & (_AREA - 1) == 0 and (stop == pfn + _AREA or stop == self.pages)

    def _fault_area(self, area: cython.longlong) -> cython.void:
        word: cython.longlong
        last: cython.longlong = (area + 1) << 9
        again: cython.bint = False
        pages: cython.longlong = 0
        fresh: cython.longlong
        if last > self.pages:
            last = self.pages
        for word in range(area << 3, (last + 63) >> 6):
            again |= self._given[word] != 0
            self._given[word] = 0
            fresh = last - (word << 6)
            if fresh >= 64:
                fresh = 64
                self._backed[word] = _ALL
            else:
                self._backed[word] = _ALL >> (64 - fresh)
            pages += fresh
        self._count[area] = cython.cast(cython.ushort, pages)
        self._state[area] = _HUGE
        self.resident += pages
        self.faults_2mib += 1
        self.refaults_2mib += again

    def _fault_pages(self, pfn: cython.longlong, stop: cython.longlong) -> cython.void:
        area: cython.longlong = pfn >> 9
        word: cython.longlong
        missing: cython.ulonglong
        from_swap: cython.ulonglong
        pages: cython.int
        swapped: cython.int
        total: cython.int = 0
        while pfn < stop:
            word = pfn >> 6
            missing = _mask(pfn, stop) & ~self._backed[word]
            if missing:
                pages = popcount(missing)
                swapped = 0
                if self.limit != _NO_LIMIT:
                    from_swap = missing & self._swapped[word]
                    if from_swap:
                        swapped = popcount(from_swap)
                        self._swapped[word] ^= from_swap
                        self.swapped -= swapped
                        self.swapped_in += swapped
                self.faults_4kib += pages - swapped
                if missing & self._given[word]:
                    self.refaults_4kib += popcount(missing & self._given[word])
                    self._given[word] &= ~missing
                self._backed[word] |= missing
                total += pages
            pfn = (word + 1) << 6
        self._count[area] += cython.cast(cython.ushort, total)
        self.resident += total
        if self._mode == _THP:
            self._state[area] = _SPLIT

    def _drop_pages(self, pfn: cython.longlong, stop: cython.longlong) -> cython.longlong:
        area: cython.longlong = pfn >> 9
        word: cython.longlong
        gone: cython.ulonglong
        pages: cython.longlong = 0
        if self.limit == _NO_LIMIT and self._count[area] == 0:
            return 0
        while pfn < stop:
            word = pfn >> 6
            gone = _mask(pfn, stop) & self._backed[word]
            if gone:
                self._backed[word] ^= gone
                self._given[word] |= gone
                pages += popcount(gone)
            if self.limit != _NO_LIMIT:
                gone = _mask(pfn, stop) & self._swapped[word]
                self._swapped[word] ^= gone
                self.swapped -= popcount(gone)
            pfn = (word + 1) << 6
        self._count[area] -= cython.cast(cython.ushort, pages)
        self.resident -= pages
        return pages

    def _count_pages(self, pfn: cython.longlong, stop: cython.longlong) -> cython.longlong:
        word: cython.longlong
        pages: cython.longlong = 0
        if self._count[pfn >> 9]:
            while pfn < stop:
                word = pfn >> 6
                pages += popcount(_mask(pfn, stop) & self._backed[word])
                pfn = (word + 1) << 6
        return pages

    # Ends: the limit is at least an area, so that with more resident, an area other than `kept` has pages.
    def _swap_out(self, kept: cython.longlong) -> cython.void:
        area: cython.longlong
        word: cython.longlong
        while self.resident > self.limit:
            area = self._hand
            self._hand = area + 1 if area + 1 < self._areas else 0
            if area == kept or self._count[area] == 0:
                continue
            for word in range(area << 3, (area + 1) << 3):
                self._swapped[word] |= self._backed[word]
                self._backed[word] = 0
            self.resident -= self._count[area]
            self.swapped += self._count[area]
            self.swapped_out += self._count[area]
            self._count[area] = 0
            if self._state[area] == _HUGE:
                self._state[area] = _SPLIT


# The bits of pages pfn to stop - 1 that are in pfn's word.
@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
@cython.inline
def _mask(pfn: cython.longlong, stop: cython.longlong) -> cython.ulonglong:
    mask: cython.ulonglong = (_ALL << (pfn & 63)) & _ALL
    end: cython.longlong = ((pfn >> 6) + 1) << 6
    if stop < end:
        mask &= _ALL >> (end - stop)
    return mask


@cython.cfunc
def _pfn(pfn):
    return whole_number("pfn", pfn, -(1 << 63), (1 << 63) - 1)


def _order(order):
    return whole_number("order", order, 0, _ORDERS - 1)


def _check_lengths(pfns, orders):
    if pfns != orders:
        raise InputError(f"{pfns} pfns, but {orders} orders")
