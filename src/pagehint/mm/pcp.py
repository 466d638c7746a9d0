"""Per-CPU page lists: the pages that a CPU keeps to itself, between its tasks and the buddy.

Each list is a ring buffer: tasks take and give at its front, refills and drains work at its back. Pages here are
free to their user and taken to the buddy. Guarded by the zone's lock.
"""

import cython
import numpy as np

from pagehint.errors import InputError
from pagehint.units import integer, whole_number

if not cython.compiled:
    from pagehint.mm.buddy import Buddy
    from pagehint.mm.fallback import alloc_next
    from pagehint.mm.page import (
        AHEAD,
        ISOLATE,
        KIND,
        MOVABLE,
        ORDER,
        ORDINARY,
        PCP,
        RECLAIMABLE,
        TYPE_SHIFT,
        USED,
        block_pages,
        prefetch,
    )
    from pagehint.pointers import uints

    PCP_LISTS = 13
    MOST_FACTOR = 5

__all__ = ["PerCpuLists", "pcp_batch", "pcp_high", "pcp_high_max"]

_MOST_FIRST = (1 << 20) // 4096  # a thousandth of a zone, but 1 MiB at the most, is what a batch is a part of


def pcp_batch(managed):
    """Pages that a refill or a drain moves at once, for a zone of ``managed`` pages, as the kernel computes it."""
    batch = max(min(managed // 1024, _MOST_FIRST) // 4, 1)
    batch += batch // 2
    return max((1 << (batch.bit_length() - 1)) - 1, 1)


def pcp_high(profile, batch, low_watermark, cpus):
    """Pages at which a CPU's lists are drained, as a kernel of this profile computes it."""
    if not profile.pcp_above_order_0:
        return 6 * batch
    return max(low_watermark // cpus, 4 * batch)


def pcp_high_max(high, managed, cpus):
    """The most that `high` may become where a CPU's lists tune themselves, for a zone of ``managed`` pages."""
    return max(managed // 8 // cpus, high)


def _limits(batch, high, high_max, most_batch, most_high):
    batch = whole_number("per-CPU lists: batch", batch, 1, most_batch)
    high = whole_number("per-CPU lists: high", high, 0, most_high)
    return batch, high, high if high_max is None else whole_number("per-CPU lists: high_max", high_max, high, most_high)


@cython.final
@cython.cclass
class PerCpuLists:
    """One CPU's lists of one zone: order 0 (Linux 5.3), or orders 0 to 3 and the pageblock order (6.1).

    ``batch`` and ``high`` are pages. From 6.7 on lists tune themselves: `high` moves from ``high`` to ``high_max``
    (None: it stays). O(1) an operation, but for a refill or a drain: O(batch), tuned 32 times as many. Raises
    InputError. Source: docs/spec/2, docs/spec/4.
    """

    def __init__(self, buddy: Buddy, cpu, batch, high, high_max=None):
        cpu = whole_number("per-CPU lists: cpu", cpu, 0, (1 << 31) - 1)
        batch, high, most = _limits(batch, high, high_max if buddy.profile.pcp_tunes else None, 1 << 16, 1 << 32)
        if getattr(self, "buddy", None) is not None:
            raise InputError("per-CPU lists are made once")
        self.cpu = cpu
        self.orders_above_0 = buddy.profile.pcp_above_order_0
        self._start_pfn, self._pages, self._pageblock_order = buddy.start_pfn, buddy._pages, buddy.pageblock_order
        self._lo = buddy._lo
        self._pageblock_lo = buddy._pageblock_lo
        self._state, self._types, self._movable = buddy._state, buddy._types, buddy._movable
        self._count = self._free_factor = self._alloc_factor = 0
        self._freed_above_0 = False
        self._by_pageblock = buddy.profile.fallback != "moving"
        choose_rules(self, buddy.profile.pcp)
        self._seldom = buddy.profile.pcp == "tuned, seldom"
        self._limit_to(batch, high, most)
        self._most_batch, self._most_high = batch, most
        if not cython.compiled:
            self._ring = [None] * PCP_LISTS
            self._mask, self._first, self._length = ([0] * PCP_LISTS for _ in range(3))
        self._arrays = []
        for which in range(PCP_LISTS):
            order = self._pageblock_order if which == PCP_LISTS - 1 else which // 3
            # Whatever its limits are, it holds no more than the zone has.
            room = min(min(most, self._pages) // (1 << order) + 2 * batch + 2, self._pages // (1 << order) + 1)
            array = np.zeros(1 << int(room).bit_length(), np.uint32)
            self._arrays.append(array)
            self._mask[which] = len(array) - 1
            self._ring[which] = uints(array)
        buddy._pcps.add(self)
        self.buddy = buddy  # now they are whole: a zone takes no others

    def __repr__(self):
        return f"<PerCpuLists of CPU {self.cpu}: {self._count} pages>"

    def _limit_to(self, batch, high, high_max):
        self.batch, self._high_min, self._high_max = batch, high, high_max
        # Where it moves, it begins as an idle CPU's.
        self.high = high if high == high_max else 0
        self._drain_from_length = 0 if self._tunes else high
        self._often_from = batch + (high // 2 if self._seldom else 0)

    def limit(self, batch, high, high_max=None):
        """Other limits from now on, none above those they were made with. The zone must be at rest.

        Raises InputError.
        """
        high_max = high_max if self._tunes else None
        batch, high, most = _limits(batch, high, high_max, self._most_batch, self._most_high)
        self._limit_to(batch, high, most)

    def resume(self, high):
        """Lists that tune themselves go on from this `high`. The zone must be at rest."""
        if self._tunes and self._high_min < self._high_max:
            self.high = min(max(integer("high", high), 0), self._high_max)

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
        wanted: cython.Py_ssize_t = self._wanted(self, order)
        got: cython.Py_ssize_t = 0
        i: cython.Py_ssize_t
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

    # What an allocation does first: false where the list is empty still.
    @cython.cfunc
    @cython.inline
    @cython.nogil
    @cython.exceptval(check=False)
    def _fill(self, which: cython.int, order: cython.int, migratetype: cython.int) -> cython.bint:
        self._free_factor >>= 1
        return self._length[which] > 0 or self._refill(which, order, migratetype) > 0

    # The first block of a list is in use from now on.
    @cython.cfunc
    @cython.inline
    @cython.nogil
    @cython.exceptval(check=False)
    def _pop(self, which: cython.int, order: cython.int, migratetype: cython.int) -> cython.Py_ssize_t:
        i: cython.Py_ssize_t = self._ring[which][self._first[which] & self._mask[which]]
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
    def _alloc(self, order: cython.int, migratetype: cython.int) -> cython.Py_ssize_t:
        which: cython.int = self._list_of(order, migratetype)
        if which < 0:
            return self.buddy._alloc(order, migratetype)
        if not self._fill(which, order, migratetype):
            return -1
        return self._pop(which, order, migratetype)

    @cython.cfunc
    @cython.inline
    @cython.nogil
    @cython.exceptval(check=False)
    def _free(self, i: cython.Py_ssize_t, order: cython.int) -> cython.void:
        pageblock: cython.Py_ssize_t = self._pageblock(i)
        migratetype: cython.int = self._types[pageblock]
        which: cython.int = self._list_of(order, migratetype if migratetype <= RECLAIMABLE else MOVABLE)
        if which < 0 or migratetype == ISOLATE:
            self.buddy._free(i, order, ORDINARY)
            return
        self._movable[pageblock] -= self._state[i] >> TYPE_SHIFT == MOVABLE
        self._state[i] = PCP | order | (migratetype << TYPE_SHIFT)
        self._first[which] -= 1
        self._length[which] += 1
        self._ring[which][self._first[which] & self._mask[which]] = i
        self._count += block_pages(order)
        if self._count >= self._drain_from_length or (self._free_factor and 0 < order <= 3):
            self._drain(self, which, order)

    # A block in use lies on its list from now on, behind all that is there; false where it has none, or no room.
    def _lay_behind(self, i, order, migratetype):
        which: cython.int = self._list_of(order, migratetype if migratetype <= RECLAIMABLE else MOVABLE)
        if which < 0 or self._length[which] >= self._mask[which]:
            return False
        self._movable[self._pageblock(i)] -= self._state[i] >> TYPE_SHIFT == MOVABLE
        self._state[i] = PCP | order | (migratetype << TYPE_SHIFT)
        self._ring[which][(self._first[which] + self._length[which]) & self._mask[which]] = i
        self._length[which] += 1
        self._count += block_pages(order)
        return True

    def _refill_if_empty(self, order, migratetype):
        which: cython.int = self._list_of(order, migratetype)
        if which >= 0:
            self._fill(which, order, migratetype)

    # A block is in use, wherever on its list it lay; false if it lies on none of these. O(the list's length).
    def _take_off(self, i, order):
        migratetype: cython.int = self._state[i] >> TYPE_SHIFT
        which: cython.int = self._list_of(order, migratetype if migratetype <= RECLAIMABLE else MOVABLE)
        k: cython.Py_ssize_t = 0
        if which < 0 or self._state[i] & ORDER != order:
            return False
        while k < self._length[which] and self._ring[which][(self._first[which] + k) & self._mask[which]] != i:
            k += 1
        if k == self._length[which]:
            return False
        # It comes to the front, and all before it move back by one.
        while k > 0:
            self._ring[which][(self._first[which] + k) & self._mask[which]] = self._ring[which][
                (self._first[which] + k - 1) & self._mask[which]
            ]
            k -= 1
        self._ring[which][self._first[which] & self._mask[which]] = i
        self._pop(which, order, migratetype)
        return True

    # Draining

    # The last page of a list goes back to the buddy.
    def _give_back(self, which):
        self._length[which] -= 1
        i: cython.Py_ssize_t = self._ring[which][(self._first[which] + self._length[which]) & self._mask[which]]
        order: cython.int = self._state[i] & ORDER
        migratetype: cython.int = self._state[i] >> TYPE_SHIFT
        self._count -= block_pages(order)
        if self._by_pageblock or self.buddy._nr_isolated:
            migratetype = self._types[self._pageblock(i)]
        self.buddy._free_one_page(i, order, migratetype, ORDINARY)

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

    # Once a second, with the CPU's vmstat work. Blocks of a pageblock may be more than the lists are made for.
    def _decay(self):
        most: cython.Py_ssize_t = self.batch << MOST_FACTOR
        if self._high_min < self._high_max:
            self.high = max(self.high - (self.high >> 3), self._high_min, self._count - most)
            self.high = min(self.high, self._high_max)
            if self._count > self.high:
                self._drain_from(self._count - self.high, 0)

    # Empty every list into the buddy.
    def _drain_all(self):
        which: cython.int
        for which in range(PCP_LISTS):
            while self._length[which]:
                self._give_back(which)

    # As Buddy._bulk, through these lists. A loop of its own, so that the compiler inlines what it calls: one loop for
    # both takes a third longer through these lists, and up to 5 % without.
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
        which: cython.int
        found = []
        for which in range(PCP_LISTS):
            places = np.arange(self._first[which], self._first[which] + self._length[which]) & self._mask[which]
            found.append(self._arrays[which][places].astype(np.int64) + self._start_pfn)
        return found


# How many pages lists take and give back at once, one way a kernel's rule (spec 2; spec 4, section 3). *Wanted* is how
# many blocks of an order a refill asks for. A *drain* gives back what a free made too many: it is called from a length
# of the lists on, or after each free where they tune themselves. Each CPU's lists have one of each.


def wanted_as_set(pcp, order):
    return max(pcp.batch >> order, min(pcp.batch, 2))


# From 6.7 on: twice as many each time that no free came between, and `high` makes room for them.
def wanted_tuned(pcp, order):
    most: cython.Py_ssize_t
    wanted: cython.Py_ssize_t = pcp.batch
    if pcp._high_min == pcp._high_max:
        return wanted_as_set(pcp, order)
    if not order:
        wanted <<= pcp._alloc_factor
    if pcp.buddy._free_pages >= pcp.buddy._high_watermark:
        pcp.high = min(pcp.high + wanted, pcp._high_max)
    if order:
        return wanted_as_set(pcp, order)
    most = max(pcp.high - pcp._count - pcp.batch, pcp.batch)
    if wanted <= most and pcp._alloc_factor < MOST_FACTOR:
        pcp._alloc_factor += 1
    return min(wanted, most)


# Linux 5.3: a batch, from the lists in turn, one more from a list for each empty one passed.
def drain_in_turn(pcp, which, order):
    at: cython.int = 0
    in_turn: cython.Py_ssize_t = 0
    count: cython.Py_ssize_t = min(pcp.batch, pcp._count)
    while count > 0:
        while True:
            in_turn += 1
            at = 0 if at == 2 else at + 1
            if pcp._length[at]:
                break
        if in_turn == 3:
            in_turn = count
        while True:
            pcp._give_back(at)
            count -= 1
            in_turn -= 1
            if not count or not in_turn or not pcp._length[at]:
                break


# Twice as much each time that frees follow on frees.
def drain_doubled(pcp, which, most_factor):
    count: cython.Py_ssize_t = pcp.batch << pcp._free_factor
    most: cython.Py_ssize_t = pcp.high - pcp.batch
    if most < 0:
        pcp._drain_from(1, which)
    else:
        pcp._free_factor += count < most and pcp._free_factor < most_factor
        pcp._drain_from(max(min(count, most), pcp.batch), which)


# Linux 5.15: as long as the lists are too long.
def drain_one_after_the_other(pcp, which, order):
    if pcp._count >= pcp.high:
        drain_doubled(pcp, which, 32)


# Linux 6.1: and all for orders 1 to 3, while frees follow on frees.
def drain_often(pcp, which, order):
    if pcp._free_factor and 0 < order <= 3:
        pcp._drain_from(pcp._count, which)
    else:
        drain_doubled(pcp, which, MOST_FACTOR)


# From 6.7 on: as much as was freed of late. `_free_factor` counts those pages here; an allocation halves it, too.
def drain_tuned(pcp, which, order):
    limit: cython.Py_ssize_t
    freed: cython.Py_ssize_t
    most: cython.Py_ssize_t = pcp.batch << MOST_FACTOR
    above_0: cython.bint = 0 < order <= 3
    all_high: cython.bint = above_0 and pcp._freed_above_0 and pcp._free_factor >= pcp._often_from
    pcp._alloc_factor >>= 1
    pcp._freed_above_0 = above_0
    if pcp._free_factor < most:
        pcp._free_factor += 1 << order
    if all_high and pcp._count >= pcp.batch:
        pcp.high = max(pcp.high - most, pcp._high_min)
        pcp._drain_from(most, which)
        return
    limit = pcp.high
    if pcp._high_min < pcp._high_max:
        freed = max(pcp._free_factor, pcp.batch)
        if pcp.buddy._free_pages < pcp.buddy._high_watermark:
            pcp.high = max(limit - freed, pcp._high_min)
            limit = max(pcp._count, pcp._high_min)
        elif pcp._count >= limit and limit < pcp._free_factor + pcp.batch:
            pcp.high = min(max(pcp._free_factor + pcp.batch, pcp._high_min), pcp._high_max)
    if pcp._count < limit:
        return
    if limit < pcp.batch:
        pcp._drain_from(1, which)
    else:
        pcp._drain_from(max(min(max(pcp._free_factor, pcp.batch), limit - pcp.batch), 1), which)


# Give lists the rules of a kernel.
def choose_rules(pcp, rule):
    pcp._wanted = wanted_as_set
    pcp._tunes = False
    if rule == "in turn":
        pcp._drain = drain_in_turn
    elif rule == "one after the other":
        pcp._drain = drain_one_after_the_other
    elif rule == "one after the other, often":
        pcp._drain = drain_often
    else:
        pcp._wanted = wanted_tuned
        pcp._drain = drain_tuned
        pcp._tunes = True
