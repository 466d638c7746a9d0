"""The buddy allocator's lists: free areas, merging, splitting, fallback (docs/spec/1, sections 1 to 4 and 6).

Pages are numbered here from the zone's start (the index ``i``). A free list is a ring of entries:
``_links[2 * e]`` is the one behind entry e and ``_links[2 * e + 1]`` the one before. Page ``i`` has ``entry(i)``; the
ring's head is the entry of the list's own number, ``(migratetype << 5) + order``. Nothing in this file locks: the zone
does.
"""

from weakref import WeakSet

import cython
import numpy as np

from pagehint.errors import InputError

if not cython.compiled:
    from pagehint.mm.hinting_state import HintingState
    from pagehint.mm.page import (
        AHEAD,
        FREE,
        HINTED,
        ISOLATE,
        KIND,
        LISTS,
        MOVABLE,
        NEVER,
        ORDER,
        ORDINARY,
        PUT_BACK,
        RECLAIMABLE,
        ROWS,
        TYPE_SHIFT,
        USED,
        block_pages,
        entry,
        page_of,
        prefetch,
    )
    from pagehint.pointers import uchars, uints, ushorts


@cython.cclass
class Buddy(HintingState):
    """Free areas over arrays: 10 bytes a page, resident only where touched."""

    def __init__(self, start_pfn, pages, max_order, pageblock_order, profile, shuffle_order, seed):
        if getattr(self, "page_state", None) is not None:
            raise InputError(f"{type(self).__name__}: is made once")
        super().__init__()
        lo = start_pfn & ((1 << max_order) - 1)
        pageblocks = ((lo + pages - 1) >> pageblock_order) - (lo >> pageblock_order) + 1
        state = np.zeros(pages, np.uint16)
        links = np.zeros((ROWS + -(-pages // ROWS) * ROWS, 2), np.uint32)
        types = np.full(pageblocks, MOVABLE, np.uint8)
        movable = np.zeros(pageblocks, np.uint32)
        # Nothing fails from here on: a zone that is half made could be called.
        self.page_state, self.page_links, self.pageblock_types, self.pageblock_movable = state, links, types, movable
        self.start_pfn = start_pfn
        self.max_order = max_order
        self.pageblock_order = pageblock_order
        self.profile = profile
        self._pages = pages
        self._top = max_order - 1
        # Where the first page lies in the pair of largest blocks around it: buddies are pairs by pfn, not by index.
        self._lo = lo
        self._pageblock_lo = self._lo >> pageblock_order
        self._shuffle_order = NEVER if shuffle_order is None else shuffle_order
        self._coin_state = seed & 0x7FFFFFFF
        self._moved_to_tail = profile.moved_to_tail
        self._taking_moves = profile.taking_moves
        self._merge_retypes = profile.merge_retypes
        self._merge_by_type = profile.merge_by_type
        self._pcps = WeakSet()
        self._state = ushorts(self.page_state)
        self._links = uints(self.page_links)
        self._types = uchars(self.pageblock_types)
        self._movable = uints(self.pageblock_movable)
        if not cython.compiled:
            self._nr_free = [0] * 32
            self._free_pages = self._isolate_list_pages = self._nr_isolated = self._high_watermark = 0
            self._least_fallback = 0
            self._steals = False
            self.nr_alloc = self.nr_free_ops = self.nr_other_ops = 0
        for array in (self.page_state, self.page_links, self.pageblock_types, self.pageblock_movable):
            array.flags.writeable = False
        head: cython.Py_ssize_t
        for head in range(LISTS):
            self._links[2 * head] = self._links[2 * head + 1] = head

    # Pageblocks

    @cython.cfunc
    @cython.inline
    @cython.nogil
    @cython.exceptval(check=False)
    def _pageblock(self, i: cython.Py_ssize_t) -> cython.Py_ssize_t:
        return ((i + self._lo) >> self.pageblock_order) - self._pageblock_lo

    # A pageblock's first page; below 0 where the zone begins within it.
    @cython.cfunc
    @cython.inline
    @cython.nogil
    @cython.exceptval(check=False)
    def _begin_of(self, pageblock: cython.Py_ssize_t) -> cython.Py_ssize_t:
        return ((pageblock + self._pageblock_lo) << self.pageblock_order) - self._lo

    def _pageblock_is_whole(self, pageblock):
        return 0 <= self._begin_of(pageblock) <= self._pages - block_pages(self.pageblock_order)

    # The rings

    # The first block of a list, or -1.
    @cython.cfunc
    @cython.inline
    @cython.nogil
    @cython.exceptval(check=False)
    def _first(self, order: cython.int, migratetype: cython.int) -> cython.Py_ssize_t:
        first: cython.Py_ssize_t = self._links[2 * ((migratetype << 5) + order)]
        return page_of(first) if first >= LISTS else -1

    # The first block of at least this order, of the smallest there is; or -1.
    @cython.cfunc
    @cython.inline
    @cython.nogil
    @cython.exceptval(check=False)
    def _first_fit(self, order: cython.int, migratetype: cython.int) -> cython.Py_ssize_t:
        found: cython.int
        i: cython.Py_ssize_t
        for found in range(order, self.max_order):
            i = self._first(found, migratetype)
            if i >= 0:
                return i
        return -1

    # Behind an entry.
    @cython.cfunc
    @cython.inline
    @cython.nogil
    @cython.exceptval(check=False)
    def _insert(
        self, i: cython.Py_ssize_t, order: cython.int, migratetype: cython.int, after: cython.Py_ssize_t
    ) -> cython.void:
        e: cython.Py_ssize_t = entry(i)
        following: cython.Py_ssize_t = self._links[2 * after]
        self._links[2 * e] = following
        self._links[2 * e + 1] = after
        self._links[2 * after] = e
        self._links[2 * following + 1] = e
        self._state[i] = FREE | order | (migratetype << TYPE_SHIFT)
        self._nr_free[order] += 1

    @cython.cfunc
    @cython.inline
    @cython.nogil
    @cython.exceptval(check=False)
    def _before_tail_position(self, order: cython.int, migratetype: cython.int) -> cython.Py_ssize_t:
        behind: cython.Py_ssize_t = (migratetype << 5) + order
        if self._active and order >= self._min_order:
            behind = self._boundary[(migratetype << 5) + order]
        return self._links[2 * behind + 1]

    @cython.cfunc
    @cython.inline
    @cython.nogil
    @cython.exceptval(check=False)
    def _add(self, i: cython.Py_ssize_t, order: cython.int, migratetype: cython.int, tail: cython.bint) -> cython.void:
        if tail:
            self._insert(i, order, migratetype, self._before_tail_position(order, migratetype))
        else:
            self._insert(i, order, migratetype, (migratetype << 5) + order)

    @cython.cfunc
    @cython.inline
    @cython.nogil
    @cython.exceptval(check=False)
    def _unlink(self, i: cython.Py_ssize_t) -> cython.void:
        state: cython.int = self._state[i]
        order: cython.int = state & ORDER
        e: cython.Py_ssize_t = entry(i)
        following: cython.Py_ssize_t = self._links[2 * e]
        before: cython.Py_ssize_t = self._links[2 * e + 1]
        if state & HINTED:
            self._unlink_hinted(e, state)
        self._links[2 * before] = following
        self._links[2 * following + 1] = before
        self._nr_free[order] -= 1

    # A hinted block, of this state, leaves its list. Hinted blocks were put behind the warm ones, so that what the list
    # gives next is in no cache: it is fetched early.
    def _unlink_hinted(self, e, state):
        which: cython.int = ((state >> TYPE_SHIFT) << 5) + (state & ORDER)
        following: cython.Py_ssize_t = self._links[2 * e]
        if self._active and self._boundary[which] == e:
            self._boundary[which] = following
        self._count_hinted(state & ORDER, -1)
        if cython.compiled and following >= LISTS:
            prefetch(cython.address(self._state[page_of(following)]))
            prefetch(cython.address(self._links[2 * following]))

    @cython.cfunc
    @cython.inline
    @cython.nogil
    @cython.exceptval(check=False)
    def _count(self, migratetype: cython.int, pages: cython.Py_ssize_t) -> cython.void:
        if migratetype == ISOLATE:
            self._isolate_list_pages += pages
        else:
            self._free_pages += pages

    def _move(self, i, migratetype):
        state: cython.int = self._state[i]
        order: cython.int = state & ORDER
        pages: cython.Py_ssize_t = block_pages(order)
        self._count(state >> TYPE_SHIFT, -pages)
        self._unlink(i)
        self._add(i, order, migratetype, self._moved_to_tail)
        self._count(migratetype, pages)
        # Where boundaries are set, hinted blocks stand together: none may come behind others that are not.
        if self._moved_to_tail and state & HINTED and not self._counts_exist:
            self._state[i] |= HINTED
            self._count_hinted(order, 1)

    def _move_free_blocks(self, pageblock, migratetype):
        begin: cython.Py_ssize_t = self._begin_of(pageblock)
        end: cython.Py_ssize_t = min(begin + block_pages(self.pageblock_order), self._pages)
        moved: cython.Py_ssize_t = 0
        state: cython.int
        i: cython.Py_ssize_t = max(begin, 0)
        while i < end:
            state = self._state[i]
            if (state & KIND) == FREE:
                self._move(i, migratetype)
                moved += block_pages(state & ORDER)
            i += block_pages(state & ORDER)
        return moved

    def _coin(self):
        self._coin_state = (self._coin_state * 69069 + 1) & 0x7FFFFFFF
        return (self._coin_state >> 30) & 1

    # Freeing (section 2)

    @cython.cfunc
    @cython.inline
    @cython.nogil
    @cython.exceptval(check=False)
    def _merges(self, buddy: cython.Py_ssize_t, order: cython.int, migratetype: cython.int) -> cython.bint:
        other: cython.int
        if order < self.pageblock_order:
            return True
        if self._merge_by_type:
            other = self._types[self._pageblock(buddy)]
            return migratetype == other or (migratetype <= RECLAIMABLE and other <= RECLAIMABLE)
        if self._nr_isolated:
            other = self._types[self._pageblock(buddy)]
            return migratetype == other or (migratetype != ISOLATE and other != ISOLATE)
        return True

    @cython.cfunc
    @cython.inline
    @cython.nogil
    @cython.exceptval(check=False)
    def _free_one_page(
        self, i: cython.Py_ssize_t, order: cython.int, migratetype: cython.int, how: cython.int
    ) -> cython.int:
        buddy: cython.Py_ssize_t
        pageblock: cython.Py_ssize_t
        k: cython.Py_ssize_t
        pages: cython.Py_ssize_t = block_pages(order)
        tail: cython.bint = how != ORDINARY
        while order < self._top:
            buddy = ((i + self._lo) ^ block_pages(order)) - self._lo
            if not 0 <= buddy < self._pages or (self._state[buddy] & (KIND | ORDER)) != (FREE | order):
                break
            if not self._merges(buddy, order, migratetype):
                break
            if self._isolate_list_pages or migratetype == ISOLATE:
                self._count(self._state[buddy] >> TYPE_SHIFT, -block_pages(order))
                self._count(migratetype, block_pages(order))
            self._unlink(buddy)
            self._state[buddy] = 0
            if self._merge_retypes and order >= self.pageblock_order:
                pageblock = self._pageblock(buddy)
                for k in range(pageblock, pageblock + block_pages(order - self.pageblock_order)):
                    self._types[k] = migratetype
            if how == PUT_BACK and self._ages:
                self._keep_age(i, buddy)
            if buddy < i:
                self._state[i] = 0
                i = buddy
            order += 1
        if how == ORDINARY:
            if order >= self._shuffle_order:
                tail = self._coin()
            elif order < self._top - 1:
                buddy = (((i + self._lo) & ~block_pages(order)) ^ block_pages(order + 1)) - self._lo
                tail = 0 <= buddy < self._pages and (self._state[buddy] & (KIND | ORDER)) == (FREE | (order + 1))
        self._add(i, order, migratetype, tail)
        self._count(migratetype, pages)
        if how != PUT_BACK and self._nr_free[order] >= self._notify_at[order]:
            self._notify(i, order)
        return order

    # A free of this block passed the test of section 7, or has to, as its age is kept.
    def _notify(self, i, order):
        if self._ages:
            self._freed_at[i] = self._tick()
        if not self._requested and self._nr_free[order] - self._hinted[order] >= self._high_water_mark:
            self._request(True)
            self._ring = True

    @cython.cfunc
    @cython.inline
    @cython.nogil
    @cython.exceptval(check=False)
    def _count_hinted(self, order: cython.int, blocks: cython.Py_ssize_t) -> cython.void:
        self._hinted[order] += blocks
        self._notify_at[order] += blocks

    @cython.cfunc
    @cython.inline
    @cython.nogil
    @cython.exceptval(check=False)
    def _free(self, i: cython.Py_ssize_t, order: cython.int, how: cython.int) -> cython.void:
        pageblock: cython.Py_ssize_t = self._pageblock(i)
        self._movable[pageblock] -= self._state[i] >> TYPE_SHIFT == MOVABLE
        self._free_block(i, order, self._types[pageblock], how)

    @cython.cfunc
    @cython.inline
    @cython.nogil
    @cython.exceptval(check=False)
    def _free_block(
        self, i: cython.Py_ssize_t, order: cython.int, migratetype: cython.int, how: cython.int
    ) -> cython.void:
        if order > self.pageblock_order and self._merge_retypes:
            self._free_by_pageblock(i, order, migratetype, how)
        else:
            self._free_one_page(i, order, migratetype, how)

    # From 6.10 on: each pageblock of a block goes to its own type's lists, the first to this type's; they merge again.
    def _free_by_pageblock(self, i, order, migratetype, how):
        end: cython.Py_ssize_t = i + block_pages(order)
        kind: cython.int = migratetype
        while True:
            self._free_one_page(i, self.pageblock_order, kind, how)
            i += block_pages(self.pageblock_order)
            if i == end:
                break
            kind = self._types[self._pageblock(i)]

    # The order of the largest aligned block that starts at ``i`` and ends by ``end``.
    def _piece(self, i, end):
        order: cython.int = self._top
        while (i + self._lo) & (block_pages(order) - 1) or i + block_pages(order) > end:
            order -= 1
        return order

    def _boot(self, begin, end, tail):
        i: cython.Py_ssize_t = begin
        order: cython.int
        while i < end:
            order = self._piece(i, end)
            if tail:
                self._add(i, order, MOVABLE, True)
                self._count(MOVABLE, block_pages(order))
            else:
                self._free_one_page(i, order, self._types[self._pageblock(i)], ORDINARY)
            i += block_pages(order)

    # Allocating (sections 3 and 4)

    # A block left a list of this type: what is behind its first pages goes back there; those are off the counter.
    @cython.cfunc
    @cython.inline
    @cython.nogil
    @cython.exceptval(check=False)
    def _split(
        self, i: cython.Py_ssize_t, found: cython.int, order: cython.int, migratetype: cython.int
    ) -> cython.void:
        while found > order:
            found -= 1
            self._insert(i + block_pages(found), found, migratetype, (migratetype << 5) + found)
            if self._ages:
                self._freed_at[i + block_pages(found)] = self._freed_at[i]
        self._free_pages -= block_pages(order)

    @cython.cfunc
    @cython.inline
    @cython.nogil
    @cython.exceptval(check=False)
    def _rmqueue_smallest(self, order: cython.int, migratetype: cython.int) -> cython.Py_ssize_t:
        i: cython.Py_ssize_t = self._first_fit(order, migratetype)
        found: cython.int
        if i >= 0:
            found = self._state[i] & ORDER
            self._unlink(i)
            self._split(i, found, order, migratetype)
        return i

    def _free_in_pageblock(self, pageblock):
        begin: cython.Py_ssize_t = self._begin_of(pageblock)
        end: cython.Py_ssize_t = min(begin + block_pages(self.pageblock_order), self._pages)
        free: cython.Py_ssize_t = 0
        state: cython.int
        i: cython.Py_ssize_t = max(begin, 0)
        while i < end:
            state = self._state[i]
            if (state & KIND) == FREE:
                free += block_pages(state & ORDER)
            i += block_pages(state & ORDER)
        return free

    @cython.cfunc
    @cython.inline
    @cython.nogil
    @cython.exceptval(check=False)
    def _alloc(self, order: cython.int, migratetype: cython.int) -> cython.Py_ssize_t:
        i: cython.Py_ssize_t = self._rmqueue_smallest(order, migratetype)
        if i < 0:
            i = self._fallback(self, order, migratetype)
            if i < 0:
                return -1
        self._use(i, order, migratetype)
        return i

    # A block that was taken off its list is in use from now on.
    @cython.cfunc
    @cython.inline
    @cython.nogil
    @cython.exceptval(check=False)
    def _use(self, i: cython.Py_ssize_t, order: cython.int, migratetype: cython.int) -> cython.void:
        self._state[i] = USED | order | (migratetype << TYPE_SHIFT)
        self._movable[self._pageblock(i)] += migratetype == MOVABLE

    # Many operations at once

    # Returns how far it came: to the end, to an operation that can't be done, or as ~k to one that found nothing.
    def _bulk(self, begin, end, ops, slots, orders, types, table, table_size):
        k: cython.Py_ssize_t
        i: cython.Py_ssize_t
        slot: cython.Py_ssize_t
        order: cython.int
        migratetype: cython.int
        allocated: cython.Py_ssize_t = 0
        freed: cython.Py_ssize_t = 0
        for k in range(begin, end):
            if cython.compiled and k + 2 * AHEAD < end:
                prefetch(cython.address(table[slots[k + 2 * AHEAD]]))
                slot = slots[k + AHEAD]
                if slot < table_size:
                    i = table[slot] - self.start_pfn
                    i = max(i, 0)
                    prefetch(cython.address(self._state[i]))
                    prefetch(cython.address(self._links[2 * entry(i)]))
            slot = slots[k]
            if slot >= table_size or ops[k] > 1:
                break
            if ops[k]:
                order = orders[k]
                migratetype = types[k]
                if table[slot] >= 0 or order >= self.max_order or migratetype > RECLAIMABLE:
                    break
                i = self._alloc(order, migratetype)
                if i < 0:
                    k = ~k
                    break
                table[slot] = i + self.start_pfn
                allocated += 1
            elif table[slot] >= 0:
                i = table[slot] - self.start_pfn
                if not 0 <= i < self._pages or (self._state[i] & KIND) != USED:
                    break
                self._free(i, self._state[i] & ORDER, ORDINARY)
                table[slot] = -1
                freed += 1
        else:
            k = end
        self.nr_alloc += allocated
        self.nr_free_ops += freed
        return k
