"""Which pages of the model are used, taken and backed, and how many of the free ones are resident."""

import cython
import numpy as np

from pagehint.errors import InputError

if not cython.compiled:
    from pagehint.host.backing import Backing
    from pagehint.mm.page import block_pages
    from pagehint.pointers import ints, uchars, uints, ulonglongs

    AREA_ORDER = 9
    NOWHERE = MOST_MS = 0xFFFFFFFF

    def has(words, page):
        return (words[page >> 6] >> (page & 63)) & 1

    def popcount(word):
        return int(word).bit_count()


__all__ = ["Pages", "waiting"]


def waiting(taken: cython.const[cython.ulonglong][:], used: cython.const[cython.ulonglong][:], begin, end):
    """How many of the pages from ``begin`` to ``end`` are taken, and not used. O(pages / 64)."""
    first: cython.Py_ssize_t = begin
    last: cython.Py_ssize_t = end
    count: cython.Py_ssize_t = 0
    word: cython.ulonglong
    ones: cython.ulonglong = 0xFFFFFFFFFFFFFFFF
    k: cython.Py_ssize_t
    if not cython.compiled:
        taken, used = memoryview(taken), memoryview(used)
    for k in range(first >> 6, (last + 63) >> 6):
        word = taken[k] & (ones ^ used[k])
        if k == first >> 6:
            word &= ones << (first & 63)
        if k == last >> 6:
            word &= ones >> (64 - (last & 63))
        count += popcount(word)
    return count


@cython.cclass
class Pages:
    """Two sets of pages, a bit each: `taken` (off the buddy lists), and of those `used` (by the guest; the others are
    on per-CPU lists); and counts of the free ones that `backing` backs. `pages`: how many there are.
    """

    def __init__(self, backing: Backing, pages):
        self.backing = backing
        self.pages = pages
        words = (pages + 63) // 64
        self.used, self.taken = np.zeros(words, np.uint64), np.zeros(words, np.uint64)
        self.used_resident = 0
        self._used_resident_array = np.zeros((pages >> AREA_ORDER) + 1, np.int32)
        self._units = 0
        self._memory_pages = self._shift = 0
        self._used = ulonglongs(self.used)
        self._taken = ulonglongs(self.taken)
        self._used_resident = ints(self._used_resident_array)

    def _mark(self, words, begin, pages, value):
        self._changed(begin, pages)
        end: cython.Py_ssize_t = begin + pages
        last: cython.Py_ssize_t
        mask: cython.ulonglong
        ones: cython.ulonglong = 0xFFFFFFFFFFFFFFFF
        while begin < end:
            last = min(end, (begin | 63) + 1)
            mask = (ones >> (64 - (last - begin))) << (begin & 63)
            if value:
                words[begin >> 6] = words[begin >> 6] | mask
            else:
                words[begin >> 6] = words[begin >> 6] & (ones ^ mask)
            begin = last

    def _mark_used(self, page, value):
        bit: cython.ulonglong = cython.cast(cython.ulonglong, 1) << (page & 63)
        ones: cython.ulonglong = 0xFFFFFFFFFFFFFFFF
        self._changed(page, 1)
        if value:
            self._used[page >> 6] = self._used[page >> 6] | bit
        else:
            self._used[page >> 6] = self._used[page >> 6] & (ones ^ bit)
        if self.backing._backed[page >> 6] & bit:
            self._used_resident[page >> AREA_ORDER] += 1 if value else -1
            self.used_resident += 1 if value else -1

    # A fault may back pages beside the block: all of its area. Where memory is short, others are swapped out for it:
    # for one area's sake the host looks round no more than once.
    def _touch_block(self, pfn, order):
        if order > AREA_ORDER:
            self._touch_block(pfn, order - 1)
            self._touch_block(pfn + block_pages(order - 1), order - 1)
            return
        resident: cython.longlong = self.backing.resident
        hand: cython.longlong = self.backing._hand
        swapped: cython.longlong = self.backing.swapped_out
        self.backing._touch(pfn, order)
        if self.backing.resident != resident or self.backing.swapped_out != swapped:
            self._count_used(pfn >> AREA_ORDER)
        if self.backing.swapped_out != swapped:
            while True:
                self._count_used(hand)
                hand = hand + 1 if hand + 1 < self.backing._areas else 0
                if hand == self.backing._hand:
                    break

    def _withdraw_page(self, page):
        self.backing._withdraw(page)
        self._count_used(page >> AREA_ORDER)
        self._changed(page, 1)

    def _count_used(self, area):
        count: cython.int = 0
        k: cython.Py_ssize_t
        for k in range(area << 3, min((area + 1) << 3, (self.pages + 63) >> 6)):
            count += popcount(self.backing._backed[k] & self._used[k])
        self.used_resident += count - self._used_resident[area]
        self._used_resident[area] = count

    def count_used(self):
        """Count the used pages that are resident anew: another backing was loaded. O(pages / 64)."""
        area: cython.Py_ssize_t
        for area in range((self.pages + 511) >> AREA_ORDER):
            self._count_used(area)

    # Pages came or went, or were backed or not: their units are counted anew at the next sample.
    def _changed(self, pfn, pages):
        unit: cython.Py_ssize_t
        if not self._units:
            return
        for unit in range(pfn >> self._unit_order, ((pfn + pages - 1) >> self._unit_order) + 1):
            if not self._is_stale[unit]:
                self._is_stale[unit] = 1
                self._stale[self._stale_count] = unit
                self._stale_count += 1

    # What is behind blocks

    def _resident_in(self, pfn, order):
        first: cython.Py_ssize_t = pfn >> 6
        pages: cython.longlong = 0
        word: cython.ulonglong
        ones: cython.ulonglong = 0xFFFFFFFFFFFFFFFF
        k: cython.Py_ssize_t
        if order < 6:
            word = (self.backing._backed[first] >> (pfn & 63)) & (ones >> (64 - block_pages(order)))
            return popcount(word)
        if order < AREA_ORDER:
            for k in range(first, first + (block_pages(order) >> 6)):
                pages += popcount(self.backing._backed[k])
            return pages
        for k in range(pfn >> AREA_ORDER, (pfn + block_pages(order)) >> AREA_ORDER):
            pages += self.backing._count[k]
        return pages

    def resident_in(self, pfns, orders):
        """Resident pages of these blocks. O(pages / 64)."""
        return sum([self._resident_in(pfn, order) for pfn, order in zip(pfns.tolist(), orders.tolist(), strict=True)])

    # What is free and resident

    def count_by(self, order):
        """Count free and resident pages in aligned areas of this order from now on; see `free_resident`."""
        self._order = order
        self._unit_order = max(order, AREA_ORDER)
        self._units = (self.pages >> self._unit_order) + 1
        arrays = [np.zeros(self._units, dtype) for dtype in (np.int32, np.int32, np.int32, np.uint32, np.uint8)]
        self._counts = arrays
        self._listed = ints(arrays[0])
        self._per_cpu = ints(arrays[1])
        self._mixed = ints(arrays[2])
        self._stale = uints(arrays[3])
        self._is_stale = uchars(arrays[4])
        self._stale_count = 0
        self._total_listed = self._total_per_cpu = self._total_mixed = 0
        self.all_stale()

    @property
    def stale(self):
        """Something changed since the last count."""
        return self._stale_count > 0

    def all_stale(self):
        """The backing changed anywhere: count all of it anew."""
        if self._units:
            self._changed(0, self.pages)

    def free_resident(self):
        """Resident pages that are free: (on the lists or in flight, on per-CPU lists, of the first those in aligned
        areas of `count_by`'s order that hold used or per-CPU pages too). O(what changed since).
        """
        with cython.nogil:
            self._recount()
        return self._total_listed, self._total_per_cpu, self._total_mixed

    def _recount(self):
        k: cython.Py_ssize_t
        unit: cython.Py_ssize_t
        for k in range(self._stale_count):
            unit = self._stale[k]
            self._is_stale[unit] = 0
            self._total_listed -= self._listed[unit]
            self._total_per_cpu -= self._per_cpu[unit]
            self._total_mixed -= self._mixed[unit]
            self._count_unit(unit)
            self._total_listed += self._listed[unit]
            self._total_per_cpu += self._per_cpu[unit]
            self._total_mixed += self._mixed[unit]
        self._stale_count = 0

    # Of a block of the order, which is whole words or a part of one, all that is listed is mixed if anything is taken.
    def _count_unit(self, unit):
        words: cython.Py_ssize_t = block_pages(self._unit_order) >> 6
        last: cython.Py_ssize_t = min((unit + 1) * words, (self.pages + 63) >> 6)
        listed: cython.int = 0
        per_cpu: cython.int = 0
        mixed: cython.int = 0
        backed: cython.ulonglong
        taken: cython.ulonglong
        free: cython.ulonglong
        mask: cython.ulonglong
        ones: cython.ulonglong = 0xFFFFFFFFFFFFFFFF
        k: cython.Py_ssize_t
        shift: cython.int
        width: cython.int = min(block_pages(self._order), 64)
        block_words: cython.Py_ssize_t = max(block_pages(self._order) >> 6, 1)
        block_listed: cython.int = 0
        block_taken: cython.bint = False
        for k in range(unit * words, last):
            if not k & (block_words - 1):
                mixed += block_listed if block_taken else 0
                block_taken = False
                block_listed = 0
            taken = self._taken[k]
            backed = self.backing._backed[k]
            block_taken = block_taken or taken != 0
            if backed == 0:
                continue
            per_cpu += popcount(backed & taken & (ones ^ self._used[k]))
            free = backed & (ones ^ taken)
            if free == 0:
                continue
            listed += popcount(free)
            if width == 64:
                block_listed += popcount(free)
                continue
            shift = 0
            while shift < 64:
                mask = (ones >> (64 - width)) << shift
                if taken & mask:
                    mixed += popcount(free & mask)
                shift += width
        mixed += block_listed if block_taken else 0
        self._listed[unit] = listed
        self._per_cpu[unit] = per_cpu
        self._mixed[unit] = mixed

    def map_row(self, rows):
        """The memory from pfn 0 in `rows` equal areas: resident and used pages of each, int32 (rows, 2)."""
        out = np.zeros((rows, 2), np.int32)
        counts = ints(out)
        words: cython.Py_ssize_t = (self.pages + 63) >> 6
        k: cython.Py_ssize_t
        row: cython.Py_ssize_t
        begin: cython.Py_ssize_t
        end: cython.Py_ssize_t = 0
        count: cython.Py_ssize_t = rows
        resident: cython.longlong
        used: cython.longlong
        for row in range(count):
            resident = used = 0
            begin, end = end, (row + 1) * words // count
            for k in range(begin, end):
                used += popcount(self._used[k])
            k = begin
            while k < end:
                if k & 7 or k + 8 > end:
                    resident += popcount(self.backing._backed[k])
                    k += 1
                else:
                    resident += self.backing._count[k >> 3]
                    k += 8
            counts[2 * row] = resident
            counts[2 * row + 1] = used
        return out

    # Real memory

    # Touch real memory, where there is some behind the model.
    def _write(self, page, pages):
        k: cython.Py_ssize_t
        if self._memory_pages:
            for k in range(page >> self._shift, ((page + pages - 1) >> self._shift) + 1):
                if k < self._memory_pages:
                    self._memory[k << 12] = 1

    def use_memory(self, address, pages, shift):
        """Touch `pages` 4 KiB pages of memory at `address` as well: one for every ``2**shift`` pages of the guest.

        What is backed now is touched at once. The memory must stay while this is used; `pages` 0 ends it.
        """
        k: cython.Py_ssize_t
        if not cython.compiled:
            raise InputError("real memory needs the compiled engine")
        self._memory = cython.cast(cython.p_uchar, cython.cast(cython.size_t, address))
        self._memory_pages = pages
        self._shift = shift
        for k in range(self.pages if pages else 0):
            if has(self.backing._backed, k):
                self._write(k, 1)
