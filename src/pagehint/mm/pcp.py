"""Per-CPU page lists: the pages that a CPU keeps to itself, between its tasks and the buddy.

Each list is a ring buffer: tasks take and give at its front, refills and drains work at its back. Pages here are
free to their user and taken to the buddy. Guarded by the zone's lock.
"""

import cython
import numpy as np

from pagehint.errors import InputError

if cython.compiled:
    from cython.cimports.pagehint.mm.buddy import (
        AHEAD,
        ISOLATE,
        KIND,
        MOVABLE,
        ORDER,
        PCP,
        RECLAIMABLE,
        TYPE_SHIFT,
        USED,
        Buddy,
        block_pages,
        prefetch,
    )
    from cython.cimports.pagehint.mm.fallback import alloc_next
    from cython.cimports.pagehint.mm.pcp import PCP_LISTS
else:
    from pagehint.kernel.migratetype import Migratetype
    from pagehint.mm.buddy import Buddy
    from pagehint.mm.fallback import alloc_next
    from pagehint.mm.page import KIND, ORDER, PCP, TYPE_SHIFT, USED, block_pages

    PCP_LISTS = 13
    UNMOVABLE, MOVABLE, RECLAIMABLE, HIGHATOMIC, ISOLATE = map(int, Migratetype)

__all__ = ["PerCpuLists", "pcp_batch", "pcp_high"]


def pcp_batch(managed, page_size=4096):
    """Pages that a refill or a drain moves at once, for a zone of ``managed`` pages, as the kernel computes it."""
    batch = min(managed // 1024, (1 << 20) // page_size) // 4
    batch = max(batch, 1)
    batch += batch // 2
    return max((1 << (batch.bit_length() - 1)) - 1, 1)


def pcp_high(profile, batch, low_watermark, cpus):
    """Pages at which a CPU's lists are drained, as a kernel of this profile computes it."""
    if not profile.pcp_above_order_0:
        return 6 * batch
    return max(low_watermark // cpus, 4 * batch)


@cython.cclass
class PerCpuLists:
    """One CPU's lists of one zone: order 0 (Linux 5.3), or orders 0 to 3 and the pageblock order (6.1).

    ``batch`` and ``high`` are pages. O(1) an operation, but for a refill or a drain: O(batch). Raises InputError.
    """

    def __init__(self, buddy: Buddy, cpu, batch, high):
        if not 1 <= batch <= 1 << 16 or not 0 <= high <= 1 << 32:
            raise InputError(f"per-CPU lists: batch {batch} (1 to {1 << 16}), high {high} (0 to {1 << 32})")
        if getattr(self, "buddy", None) is not None:
            raise InputError("per-CPU lists are made once")
        self.cpu = cpu
        self.batch = batch
        self.high = high
        self.orders_above_0 = buddy.profile.pcp_above_order_0
        self._start_pfn, self._pages, self._pageblock_order = buddy.start_pfn, buddy._pages, buddy.pageblock_order
        self._lo = buddy._lo
        self._pageblock_lo = buddy._pageblock_lo
        self._state, self._types, self._movable = buddy._state, buddy._types, buddy._movable
        self._count = self._free_factor = 0
        if not cython.compiled:
            self._ring = [None] * PCP_LISTS
            self._mask, self._first, self._length = ([0] * PCP_LISTS for _ in range(3))
        self._arrays = []
        for which in range(PCP_LISTS):
            order = self._pageblock_order if which == PCP_LISTS - 1 else which // 3
            room = min(high, self._pages) // (1 << order) + 2 * batch + 2
            array = np.zeros(1 << int(room).bit_length(), np.uint32)
            self._arrays.append(array)
            self._mask[which] = len(array) - 1
            if cython.compiled:
                self._ring[which] = cython.cast(cython.p_uint, cython.cast(cython.size_t, array.ctypes.data))
            else:
                self._ring[which] = memoryview(array)
        buddy._pcps.add(self)
        self.buddy = buddy  # now they are whole: a zone takes no others

    @cython.cfunc
    @cython.inline
    @cython.nogil
    @cython.exceptval(check=False)
    def _pageblock(self, i: cython.Py_ssize_t) -> cython.Py_ssize_t:
        return ((i + self._lo) >> self._pageblock_order) - self._pageblock_lo

    @cython.cfunc
    @cython.inline
    @cython.nogil
    @cython.exceptval(check=False)
    def _list_of(self, order: cython.int, migratetype: cython.int) -> cython.int:
        if order == 0 or (self.orders_above_0 and order <= 3):
            return 3 * order + migratetype
        if self.orders_above_0 and order == self._pageblock_order:
            return PCP_LISTS - 1
        return -1

    def _refill(self, which, order, migratetype):
        wanted: cython.Py_ssize_t = self.batch
        got: cython.Py_ssize_t = 0
        i: cython.Py_ssize_t
        if self.orders_above_0 and wanted > 1:
            wanted = max(wanted >> order, 2)
        self.buddy._steals = False
        while got < wanted:
            i = alloc_next(self.buddy, order, migratetype)
            if i < 0:
                break
            self._movable[self._pageblock(i)] -= migratetype == MOVABLE
            self._state[i] = PCP | order | (migratetype << TYPE_SHIFT)
            self._ring[which][(self._first[which] + self._length[which]) & self._mask[which]] = i
            self._length[which] += 1
            got += 1
        self._count += got << order
        return got

    @cython.cfunc
    @cython.inline
    @cython.nogil
    @cython.exceptval(check=False)
    def _alloc(self, order: cython.int, migratetype: cython.int) -> cython.Py_ssize_t:
        which: cython.int = self._list_of(order, migratetype)
        i: cython.Py_ssize_t
        if which < 0:
            return self.buddy._alloc(order, migratetype)
        self._free_factor >>= 1
        if not self._length[which] and not self._refill(which, order, migratetype):
            return -1
        i = self._ring[which][self._first[which] & self._mask[which]]
        self._first[which] += 1
        self._length[which] -= 1
        self._count -= block_pages(order)
        self._state[i] = USED | order | (migratetype << TYPE_SHIFT)
        self._movable[self._pageblock(i)] += migratetype == MOVABLE
        return i

    @cython.cfunc
    @cython.inline
    @cython.nogil
    @cython.exceptval(check=False)
    def _free(self, i: cython.Py_ssize_t, order: cython.int) -> cython.void:
        pageblock: cython.Py_ssize_t = self._pageblock(i)
        migratetype: cython.int = self._types[pageblock]
        which: cython.int = self._list_of(order, migratetype if migratetype <= RECLAIMABLE else MOVABLE)
        if which < 0 or migratetype == ISOLATE:
            self.buddy._free(i, order)
            return
        self._movable[pageblock] -= self._state[i] >> TYPE_SHIFT == MOVABLE
        self._state[i] = PCP | order | (migratetype << TYPE_SHIFT)
        self._first[which] -= 1
        self._length[which] += 1
        self._ring[which][self._first[which] & self._mask[which]] = i
        self._count += block_pages(order)
        if self._count >= self.high or (self._free_factor and 0 < order <= 3):
            self._drain_batch(which, order)

    # Draining

    # The last page of a list goes back to the buddy.
    def _give_back(self, which):
        self._length[which] -= 1
        i: cython.Py_ssize_t = self._ring[which][(self._first[which] + self._length[which]) & self._mask[which]]
        order: cython.int = self._state[i] & ORDER
        migratetype: cython.int = self._state[i] >> TYPE_SHIFT
        self._count -= block_pages(order)
        if self.buddy._nr_isolated:
            migratetype = self._types[self._pageblock(i)]
        self.buddy._free_one_page(i, order, migratetype, False)

    # A free made the lists too long. 6.1 drains more each time that frees follow on frees, and all for orders 1 to 3.
    def _drain_batch(self, which, order):
        count: cython.Py_ssize_t
        most: cython.Py_ssize_t
        if not self.orders_above_0:
            self._drain_in_turn(self.batch)
        elif self._free_factor and 0 < order <= 3:
            self._drain_from(self._count, which)
        elif self.high < self.batch:
            self._drain_from(1, which)
        else:
            count = self.batch << self._free_factor
            most = self.high - self.batch
            self._free_factor += count < most
            self._drain_from(max(min(count, most), self.batch), which)

    # Linux 5.3: from the lists in turn, one more from a list for each empty one passed.
    def _drain_in_turn(self, count):
        which: cython.int = 0
        in_turn: cython.Py_ssize_t = 0
        count = min(count, self._count)
        while count > 0:
            while True:
                in_turn += 1
                which = 0 if which == 2 else which + 1
                if self._length[which]:
                    break
            if in_turn == 3:
                in_turn = count
            while True:
                self._give_back(which)
                count -= 1
                in_turn -= 1
                if not count or not in_turn or not self._length[which]:
                    break

    # Linux 6.1: one list after the other, from the one that was freed to.
    def _drain_from(self, count, which):
        order: cython.int
        count = min(count, self._count)
        while count > 0:
            order = self._pageblock_order if which == PCP_LISTS - 1 else which // 3
            while count > 0 and self._length[which]:
                self._give_back(which)
                count -= block_pages(order)
            which = 0 if which == PCP_LISTS - 1 else which + 1

    # Empty every list into the buddy.
    def _drain_all(self):
        which: cython.int
        for which in range(PCP_LISTS):
            while self._length[which]:
                self._give_back(which)

    # As Buddy._bulk, through these lists.
    def _bulk(self, begin, end, ops, slots, orders, types, table, table_size):
        k: cython.Py_ssize_t
        i: cython.Py_ssize_t
        slot: cython.Py_ssize_t
        allocated: cython.Py_ssize_t = 0
        freed: cython.Py_ssize_t = 0
        order: cython.int
        migratetype: cython.int
        max_order: cython.int = self.buddy.max_order
        for k in range(begin, end):
            if cython.compiled and k + 2 * AHEAD < end:
                prefetch(cython.address(table[slots[k + 2 * AHEAD]]))
                slot = slots[k + AHEAD]
                if slot < table_size:
                    i = table[slot] - self._start_pfn
                    prefetch(cython.address(self._state[max(i, 0)]))
            slot = slots[k]
            if slot >= table_size or ops[k] > 1:
                break
            if ops[k]:
                order = orders[k]
                migratetype = types[k]
                if table[slot] >= 0 or order >= max_order or migratetype > RECLAIMABLE:
                    break
                i = self._alloc(order, migratetype)
                if i < 0:
                    k = ~k
                    break
                table[slot] = i + self._start_pfn
                allocated += 1
            elif table[slot] >= 0:
                i = table[slot] - self._start_pfn
                if not 0 <= i < self._pages or (self._state[i] & KIND) != USED:
                    break
                self._free(i, self._state[i] & ORDER)
                table[slot] = -1
                freed += 1
        else:
            k = end
        self.buddy.nr_alloc += allocated
        self.buddy.nr_free_ops += freed
        return k

    @property
    def count(self):
        """Pages on the lists."""
        return self._count

    def lists(self):
        """The pfns on each list (int64), the next to be taken first. O(pages). The zone must be at rest."""
        return [
            np.array([self._page(which, k) + self._start_pfn for k in range(self._length[which])], np.int64)
            for which in range(PCP_LISTS)
        ]

    def _page(self, which, k):
        ring: cython.int = which
        place: cython.Py_ssize_t = k
        return self._ring[ring][(self._first[ring] + place) & self._mask[ring]]
