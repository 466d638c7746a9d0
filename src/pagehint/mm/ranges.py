"""Ranges of pages that are no single block: cutting blocks, contiguous ranges, hotplug; and orders of lists.

A range is [begin, end) of indices. Nothing in this file locks.
"""

import cython

if not cython.compiled:
    from pagehint.mm.batch import Batch
    from pagehint.mm.hinted import HintedLists
    from pagehint.mm.page import (
        FREE,
        HIGHATOMIC,
        HINTED,
        IN_FLIGHT,
        ISOLATE,
        KIND,
        LISTS,
        MOVABLE,
        OFFLINE,
        ORDER,
        RECLAIMABLE,
        TYPE_SHIFT,
        USED,
        block_pages,
        entry,
        page_of,
        prefetch,
    )

    WALK, WALKED = 1024, -2


@cython.cclass
class Ranges(HintedLists):
    """Free areas whose pages can also be had by where they are."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        if not cython.compiled:
            self._offline_pages = self._min_watermark = 0
            self._stopped = [0] * LISTS
        self._begin_walks(0, self._top, 0, HIGHATOMIC)

    # Walks over the lists of these orders and types (both ends included) begin anew.
    def _begin_walks(self, least, most, low, high):
        order: cython.int
        kind: cython.int
        for order in range(least, most + 1):
            for kind in range(low, high + 1):
                self._stopped[(kind << 5) + order] = -1

    # The first page of the block that holds page ``i``.
    def _head_of(self, i):
        order: cython.int
        head: cython.Py_ssize_t
        for order in range(self.max_order):
            head = (i + self._lo & ~(block_pages(order) - 1)) - self._lo
            if head >= 0 and self._state[head] & KIND and (self._state[head] & ORDER) >= order:
                return head
        return -1

    # Whether a block of this order can lie at page ``i``.
    def _can_start(self, i, order):
        return (
            0 <= order < self.max_order
            and 0 <= i <= self._pages - block_pages(order)
            and not (i + self._lo) & (block_pages(order) - 1)
        )

    # Halve the block around page ``i`` until one starts there.
    def _cut(self, i):
        head: cython.Py_ssize_t
        upper: cython.Py_ssize_t
        order: cython.int
        word: cython.int
        if i >= self._pages:
            return
        head = self._head_of(i)
        while head != i:
            word = self._state[head]
            order = (word & ORDER) - 1
            upper = head + block_pages(order)
            if self._ages:
                self._freed_at[upper] = self._freed_at[head]
            if (word & KIND) == FREE:
                self._unlink(head)
                self._add(upper, order, word >> TYPE_SHIFT, False)
                self._add(head, order, word >> TYPE_SHIFT, False)
            else:
                self._state[head] = word - 1
                self._state[upper] = word - 1
                self._movable[self._pageblock(upper)] += (word & KIND) == USED and word >> TYPE_SHIFT == MOVABLE
            if i >= upper:
                head = upper

    # The first page in the range whose block is of another kind, or -1.
    def _first_not(self, begin, end, kind):
        i: cython.Py_ssize_t = begin
        head: cython.Py_ssize_t
        while i < end:
            head = self._head_of(i)
            if (self._state[head] & KIND) != kind:
                return i
            i = head + block_pages(self._state[head] & ORDER)
        return -1

    # Forget the used blocks of a range, which no block crosses the ends of.
    def _clear_used(self, begin, end):
        i: cython.Py_ssize_t = begin
        word: cython.int
        while i < end:
            word = self._state[i]
            self._movable[self._pageblock(i)] -= word >> TYPE_SHIFT == MOVABLE
            self._state[i] = 0
            i += block_pages(word & ORDER)

    # Fill a range without blocks with blocks as large as alignment allows, of this kind and migratetype.
    def _mark(self, begin, end, word):
        i: cython.Py_ssize_t = begin
        order: cython.int
        while i < end:
            order = self._piece(i, end)
            self._state[i] = word | order
            self._movable[self._pageblock(i)] += (word & KIND) == USED and word >> TYPE_SHIFT == MOVABLE
            i += block_pages(order)

    # Take a range that is free off the lists, and mark it.
    def _take_free(self, begin, end, word):
        i: cython.Py_ssize_t = begin
        state: cython.int
        self._cut(begin)
        self._cut(end)
        while i < end:
            state = self._state[i]
            self._unlink(i)
            self._count(state >> TYPE_SHIFT, -block_pages(state & ORDER))
            self._state[i] = 0
            i += block_pages(state & ORDER)
        self._mark(begin, end, word)

    # Free a range without blocks, as blocks as large as alignment allows: in this way.
    def _free_pieces(self, begin, end, how):
        i: cython.Py_ssize_t = begin
        order: cython.int
        while i < end:
            order = self._piece(i, end)
            self._free_block(i, order, self._types[self._pageblock(i)], how)
            i += block_pages(order)

    # Make used pages that are an aligned block one block, whatever they were allocated as; false if not all are used.
    def _join_used(self, i, order):
        end: cython.Py_ssize_t = i + block_pages(order)
        if not self._can_start(i, order):
            return False
        if (self._state[i] & (KIND | ORDER)) != (USED | order):
            if self._first_not(i, end, USED) >= 0:
                return False
            self._cut(i)
            self._cut(end)
            self._clear_used(i, end)
            self._state[i] = USED | order
        return True

    # Free such pages; false if they are not all used. To the lists of this type, or of the pageblock's if it is none of
    # the first three. No pageblock is isolated here, nor where what follows is called.
    def _free_used(self, i, order, migratetype, how):
        pageblock: cython.Py_ssize_t = self._pageblock(i)
        if not self._join_used(i, order):
            return False
        if migratetype > RECLAIMABLE:
            migratetype = self._types[pageblock]
        self._movable[pageblock] -= self._state[i] >> TYPE_SHIFT == MOVABLE
        self._free_block(i, order, migratetype, how)
        return True

    # Allocate this very block, with the fallback and splitting that would have led to it; false if it is not free.
    def _take_block(self, i, order, migratetype):
        head: cython.Py_ssize_t = self._free_around(i, order)
        rest: cython.int
        if head < 0:
            return False
        rest = self._state[head] >> TYPE_SHIFT
        if rest != migratetype and self._claim(self, head, migratetype):
            rest = migratetype
        self._carve(head, i, order, rest, migratetype)
        return True

    # As compaction takes this very block: off whatever list it is on, with no fallback; false if it is not free.
    def _isolate_block(self, i, order):
        head: cython.Py_ssize_t = self._free_around(i, order)
        if head < 0:
            return False
        if order >= self.pageblock_order - 1:
            self._make_movable(i, order)
        self._carve(head, i, order, self._state[head] >> TYPE_SHIFT, MOVABLE)
        self._move_rest(i, order)
        return True

    # The first page of the free block that holds this one, or -1.
    def _free_around(self, i, order):
        head: cython.Py_ssize_t
        word: cython.int
        if not self._can_start(i, order):
            return -1
        head = self._head_of(i)
        word = self._state[head]
        return -1 if (word & KIND) != FREE or (word & ORDER) < order else head

    # Take a block out of a free one, for a use of this type; the rest goes to the lists of `rest`.
    def _carve(self, head, i, order, rest, migratetype):
        found: cython.int = self._state[head] & ORDER
        half: cython.Py_ssize_t
        self._unlink(head)
        while found > order:
            found -= 1
            half = head + block_pages(found)
            if self._ages:
                self._freed_at[half] = self._freed_at[head]
            if i >= half:
                self._add(head, found, rest, False)
                head = half
            else:
                self._add(half, found, rest, False)
        self._free_pages -= block_pages(order)
        self._use(i, order, migratetype)

    # A block of half a pageblock or more that is isolated makes its pageblocks MOVABLE.
    def _make_movable(self, i, order):
        k: cython.Py_ssize_t
        pageblock: cython.Py_ssize_t = self._pageblock(i)
        for k in range(pageblock, pageblock + max(block_pages(order) >> self.pageblock_order, 1)):
            if self._types[k] != ISOLATE and self._types[k] != HIGHATOMIC:
                self._types[k] = MOVABLE

    # From 6.10 on, the other half of its pageblock moves along where it is free.
    def _move_rest(self, i, order):
        pageblock: cython.Py_ssize_t = self._pageblock(i)
        if self._taking_moves and order == self.pageblock_order - 1 and self._types[pageblock] == MOVABLE:
            self._move_free_blocks(pageblock, MOVABLE)

    # Make the zone's pages used (0), free (1) and absent (2) as these bytes say, from nothing. Lists are in ascending
    # order, as at boot; blocks whose first page has a 1 in ``hinted`` are hinted, behind the others.
    def _load(self, kinds, hinted):
        i: cython.Py_ssize_t = 0
        end: cython.Py_ssize_t
        head: cython.Py_ssize_t
        order: cython.int
        migratetype: cython.int
        for head in range(LISTS):
            self._links[2 * head] = self._links[2 * head + 1] = head
        for order in range(self.max_order):
            self._nr_free[order] = 0
        self._free_pages = self._isolate_list_pages = self._offline_pages = 0
        self._active = False
        self._forget()
        for end in range(self._pages):
            self._state[end] = 0
        while i < self._pages:
            end = i + 1
            while end < self._pages and kinds[end] == kinds[i]:
                end += 1
            if kinds[i] == 0:
                self._mark(i, end, USED)
                i = end
            elif kinds[i] == 2:
                self._mark(i, end, OFFLINE)
                self._offline_pages += end - i
                i = end
            while i < end:
                order = self._piece(i, end)
                migratetype = self._types[self._pageblock(i)]
                while order > self.pageblock_order and not self._merges(
                    i + block_pages(order - 1), order - 1, migratetype
                ):
                    order -= 1
                head = (migratetype << 5) + order
                if hinted[i]:
                    self._add(i, order, migratetype, True)
                    self._state[i] |= HINTED
                    self._count_hinted(order, 1)
                    if self._boundary[head] == head:
                        self._boundary[head] = entry(i)
                else:
                    self._insert(i, order, migratetype, self._links[2 * self._boundary[head] + 1])
                self._count(migratetype, block_pages(order))
                i += block_pages(order)

    # Bring free blocks, by their first pages, to their lists' tails one after the other.
    def _line_up(self, blocks, count):
        k: cython.Py_ssize_t
        i: cython.Py_ssize_t
        for k in range(count):
            i = blocks[k]
            self._bring_before(entry(i), ((self._state[i] >> TYPE_SHIFT) << 5) + (self._state[i] & ORDER))

    # The zone lost its last page: no hinted counts, no request.
    def _forget_all(self):
        self._forget()
        self._counts_exist = False
        self._request(False)

    # The order of a list

    # Bring an entry of a ring right before another. A block before the head is the list's last; the head before a block
    # makes that the list's first.
    def _bring_before(self, e, other):
        before: cython.Py_ssize_t = self._links[2 * e + 1]
        following: cython.Py_ssize_t = self._links[2 * e]
        if following == other:
            return
        self._links[2 * before] = following
        self._links[2 * following + 1] = before
        before = self._links[2 * other + 1]
        self._links[2 * before] = e
        self._links[2 * e + 1] = before
        self._links[2 * e] = other
        self._links[2 * other + 1] = e

    # Turn a list so that it starts behind block ``i``; false if it does already.
    def _turn_behind(self, i):
        head: cython.Py_ssize_t = ((self._state[i] >> TYPE_SHIFT) << 5) + (self._state[i] & ORDER)
        first: cython.Py_ssize_t = self._links[2 * entry(i)]
        if first == head:
            return False
        self._bring_before(head, first)
        return True

    # The same; only the hinted blocks at the list's tail stay so: a run looks from a list's ends up to the first hinted
    # block, so none may stand between others.
    def _reorder(self, i):
        which: cython.int = ((self._state[i] >> TYPE_SHIFT) << 5) + (self._state[i] & ORDER)
        if self._turn_behind(i) and self._counts_exist:
            self._boundary[which] = self._hinted_tail(which)

    # Taking blocks for mainline's reporting (docs/spec/2)

    def _take_off(self, i, batch: Batch):
        word: cython.int = self._state[i]
        order: cython.int = word & ORDER
        self._unlink(i)
        self._state[i] = IN_FLIGHT | order
        self._free_pages -= block_pages(order)
        self._in_flight_pages += block_pages(order)
        batch._pfns[batch._count] = i + self.start_pfn
        batch._orders[batch._count] = order
        batch._types[batch._count] = word >> TYPE_SHIFT
        batch._count += 1
        batch._pages += block_pages(order)

    # Takes the unhinted blocks of a list that are at least this old (ms) into the batch, while there is room in it: the
    # next to be allocated first, or last. Looks at WALK blocks at most, from `begin` on (-1: the list's beginning), and
    # returns where it stopped, or WALKED at the end.
    def _pull_old(self, order, migratetype, batch: Batch, most, age, from_head, begin):
        which: cython.int = (migratetype << 5) + order
        i: cython.Py_ssize_t = begin
        e: cython.Py_ssize_t
        now: cython.longlong = self._tick()
        pages: cython.Py_ssize_t = block_pages(order)
        left: cython.int = WALK
        if begin >= 0 and (self._state[i] | HINTED) == (FREE | HINTED | order | (migratetype << TYPE_SHIFT)):
            e = entry(i)
        elif from_head:  # from the beginning, also where the block to go on from left the list meanwhile
            e = self._links[2 * which]
        else:
            e = self._links[2 * (self._boundary[which] if self._active else which) + 1]
        while e >= LISTS and self._free_pages >= self._low_watermark + pages:
            i = page_of(e)
            if left == 0 or batch._count >= most:
                return i
            left -= 1
            e = self._links[2 * e + (not from_head)]
            if cython.compiled and e >= LISTS:
                prefetch(cython.address(self._state[page_of(e)]))
                prefetch(cython.address(self._links[2 * e]))
            if self._state[i] & HINTED:
                if from_head and self._active:
                    break
            elif not age or self._age(i, now) >= age:
                self._take_off(i, batch)
        return WALKED

    def _take_unreported(self, order, migratetype, batch: Batch, budget):
        head: cython.Py_ssize_t = (migratetype << 5) + order
        e: cython.Py_ssize_t = self._links[2 * head]
        i: cython.Py_ssize_t
        following: cython.Py_ssize_t
        pages: cython.Py_ssize_t = block_pages(order)
        while e != head:
            i = page_of(e)
            following = self._links[2 * e]
            if not self._state[i] & HINTED:
                if budget < 0 or batch._count == batch.capacity or self._free_pages <= self._min_watermark + pages:
                    self._bring_before(head, e)
                    if budget < 0:
                        return 2
                    return batch._count == batch.capacity
                if order >= self.pageblock_order - 1:
                    self._make_movable(i, order)
                self._take_off(i, batch)
                self._move_rest(i, order)
            e = following
        return 0
