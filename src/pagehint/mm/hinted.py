"""What isolating and hinting do to the lists (docs/spec/1, sections 5, 6 and 8). Nothing in this file locks."""

import cython

if not cython.compiled:
    from pagehint.mm.batch import Batch
    from pagehint.mm.buddy import Buddy
    from pagehint.mm.page import (
        AHEAD,
        FREE,
        HIGHATOMIC,
        HINTED,
        IN_FLIGHT,
        ISOLATE,
        KIND,
        LISTS,
        MOVABLE,
        ORDER,
        ORDINARY,
        PUT_BACK,
        TYPE_SHIFT,
        block_pages,
        entry,
        page_of,
        prefetch,
    )


@cython.cclass
class HintedLists(Buddy):
    """Free areas whose blocks can be isolated, and be told to a device."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        if not cython.compiled:
            self._in_flight_pages = self._low_watermark = 0

    # Isolating (section 5)

    def _isolate(self, pageblock):
        if self._types[pageblock] == ISOLATE:
            return False
        self._types[pageblock] = ISOLATE
        self._nr_isolated += 1
        head: cython.Py_ssize_t = self._block_around(pageblock)
        if head >= 0:
            self._free_anew(head)
        else:
            self._move_free_blocks(pageblock, ISOLATE)
        return True

    # From 6.10 on: the free block of this pageblock and others, or -1.
    def _block_around(self, pageblock):
        order: cython.int
        head: cython.Py_ssize_t
        for order in range(self.pageblock_order + 1, self.max_order if self._merge_retypes else 0):
            head = ((self._begin_of(pageblock) + self._lo) & ~(block_pages(order) - 1)) - self._lo
            if head >= 0 and (self._state[head] & (KIND | ORDER)) == (FREE | order):
                return head
        return -1

    # Each pageblock of a free block goes to its own type's lists.
    def _free_anew(self, head):
        state: cython.int = self._state[head]
        self._unlink(head)
        self._count(state >> TYPE_SHIFT, -block_pages(state & ORDER))
        self._state[head] = 0
        self._free_by_pageblock(head, state & ORDER, self._types[self._pageblock(head)], ORDINARY)

    def _unisolate(self, pageblock, migratetype):
        if self._types[pageblock] == ISOLATE:
            self._end_isolation(pageblock, migratetype)
            self._request_if_aged()

    def _end_isolation(self, pageblock, migratetype):
        i: cython.Py_ssize_t = self._begin_of(pageblock)
        state: cython.int = self._state[i] if i >= 0 else 0
        order: cython.int = state & ORDER
        buddy: cython.Py_ssize_t
        k: cython.Py_ssize_t
        head: cython.Py_ssize_t = self._block_around(pageblock)
        if head >= 0:
            self._types[pageblock] = migratetype
            self._free_anew(head)
            self._nr_isolated -= 1
            return
        if (state & KIND) == FREE and order >= self.pageblock_order:
            buddy = ((i + self._lo) ^ block_pages(order)) - self._lo
            if 0 <= buddy < self._pages and self._types[self._pageblock(buddy)] != ISOLATE:
                self._unlink(i)
                self._count(state >> TYPE_SHIFT, -block_pages(order))
                for k in range(pageblock + 1, pageblock + block_pages(order - self.pageblock_order)):
                    if self._types[k] != ISOLATE and self._types[k] != HIGHATOMIC:
                        self._types[k] = MOVABLE
                self._types[pageblock] = migratetype
                self._nr_isolated -= 1
                self._free_one_page(i, order, migratetype, PUT_BACK if self._moved_to_tail else ORDINARY)
                return
        self._move_free_blocks(pageblock, migratetype)
        self._types[pageblock] = migratetype
        self._nr_isolated -= 1

    # What moved or was put back notifies nobody; but where ages are kept, no free block may be forgotten.
    def _request_if_aged(self):
        order: cython.int
        if self._ages and not self._requested:
            for order in range(self._notify_order, self.max_order):
                if self._nr_free[order] - self._hinted[order] >= max(self._high_water_mark, 1):
                    self._request(True)
                    self._ring = True
                    return

    def _unhinted_isolated(self, order):
        e: cython.Py_ssize_t = self._links[2 * ((ISOLATE << 5) + order)]
        blocks: cython.Py_ssize_t = 0
        while e >= LISTS:
            blocks += not self._state[page_of(e)] & HINTED
            e = self._links[2 * e]
        return blocks

    # The cycle's part under the lock (sections 6 and 8)

    def _begin(self):
        order: cython.int
        which: cython.int
        for order in range(self.max_order):
            for which in range(order, LISTS, 32):
                if self._hinted[order] and not self._counts_exist:  # what was loaded may be hinted anywhere
                    self._hinted_tail(which)
                self._boundary[which] = which
        self._counts_exist = True
        self._active = True

    # The first of the hinted blocks at a list's tail, or its head; those between others are hinted no more.
    def _hinted_tail(self, which):
        head: cython.Py_ssize_t = which
        e: cython.Py_ssize_t = self._links[2 * head + 1]
        first: cython.Py_ssize_t
        while e != head and self._state[page_of(e)] & HINTED:
            e = self._links[2 * e + 1]
        first = self._links[2 * e]
        while e != head:
            if self._state[page_of(e)] & HINTED:
                self._state[page_of(e)] &= 0xFFFF - HINTED
                self._count_hinted(which & 31, -1)
            e = self._links[2 * e + 1]
        return first

    def _take_run(self, e, order, migratetype, backward, room, batch: Batch):
        # Takes unhinted blocks off a list, from entry e on in one direction, and returns the entry behind them. The
        # caller closes the gap. What the list gives next is fetched early: lists are often in the order of the pfns.
        pages: cython.Py_ssize_t = block_pages(order)
        begin: cython.Py_ssize_t = batch._count
        count: cython.Py_ssize_t = begin
        end: cython.Py_ssize_t = begin + room
        i: cython.Py_ssize_t
        guess: cython.Py_ssize_t
        # In registers: what is written to bytes might, for all that a compiler knows, be any field.
        states: cython.p_ushort = self._state
        links: cython.p_uint = self._links
        pfns: cython.p_longlong = batch._pfns
        orders: cython.p_uchar = batch._orders
        types: cython.p_uchar = batch._types
        in_zone: cython.Py_ssize_t = self._pages
        first: cython.Py_ssize_t = self.start_pfn
        lo: cython.Py_ssize_t = self._lo
        merges: cython.bint = order < self._top
        while count < end and e >= LISTS:
            i = page_of(e)
            if states[i] & HINTED:
                break
            e = links[2 * e + backward]
            if cython.compiled:
                guess = i + AHEAD * (page_of(e) - i)
                if 0 <= guess < in_zone:
                    prefetch(cython.address(states[guess]))
                    prefetch(cython.address(links[2 * entry(guess)]))
                    # Its buddy's state decides whether it merges when it is put back.
                    guess = ((guess + lo) ^ pages) - lo
                    if merges and 0 <= guess < in_zone:
                        prefetch(cython.address(states[guess]))
            states[i] = IN_FLIGHT | order
            pfns[count] = i + first
            count += 1
        for i in range(begin, count):
            orders[i] = order
            types[i] = migratetype
        batch._count = count
        count -= begin
        self._nr_free[order] -= count
        self._free_pages -= count * pages
        self._in_flight_pages += count * pages
        batch._pages += count * pages
        return e

    def _pull(self, order, migratetype, batch: Batch):
        # Section 8, but with a whole run at once: those before the boundary, and if what comes then is hinted,
        # those from the head on.
        which: cython.int = (migratetype << 5) + order
        head: cython.Py_ssize_t = which
        boundary: cython.Py_ssize_t = self._boundary[which]
        room: cython.Py_ssize_t = min(batch.capacity - batch._count, (self._free_pages - self._low_watermark) >> order)
        e: cython.Py_ssize_t
        most: cython.Py_ssize_t = batch._count + room
        if room <= 0 or self._links[2 * boundary + 1] == head:
            return
        e = self._take_run(self._links[2 * boundary + 1], order, migratetype, True, room, batch)
        self._links[2 * boundary + 1] = e
        self._links[2 * e] = boundary
        room = most - batch._count
        if e == head or room == 0:
            return
        e = self._take_run(self._links[2 * head], order, migratetype, False, room, batch)
        self._links[2 * head] = e
        self._links[2 * e + 1] = head
        if batch._count < most:
            self._boundary[which] = e

    def _fill(self, batch: Batch):
        order: cython.int = self._top
        migratetype: cython.int
        which: cython.Py_ssize_t
        batch._count = batch._pages = 0
        while order >= self._min_order:
            for migratetype in range(HIGHATOMIC, -1, -1):
                which = (migratetype << 5) + order
                if self._links[2 * which] != which:
                    self._pull(order, migratetype, batch)
                if batch._count == batch.capacity:
                    return True
            order -= 1
        self._request(False)
        return False

    # The place of the first block of a batch that is not in flight here, or -1.
    def _not_in_flight(self, batch: Batch):
        k: cython.Py_ssize_t
        i: cython.Py_ssize_t
        wrong: cython.Py_ssize_t = -1
        # The last one first: what was pulled last is in the cache, and what comes first is put back first.
        for k in range(batch._count - 1, -1, -1):
            i = batch._pfns[k] - self.start_pfn
            if not 0 <= i < self._pages or self._state[i] != (IN_FLIGHT | batch._orders[k]):
                wrong = k
        return wrong

    # Puts back blocks of a batch that are hinted and merge with nothing: from block k on, as long as they are of one
    # list. Each goes before its list's boundary, and becomes it. Returns the first of another list, or that merges.
    def _put_run(self, k, batch: Batch):
        order: cython.int = batch._orders[k]
        migratetype: cython.int = batch._types[k]
        which: cython.int = (migratetype << 5) + order
        boundary: cython.Py_ssize_t = self._boundary[which]
        before: cython.Py_ssize_t = self._links[2 * boundary + 1]
        pages: cython.Py_ssize_t = block_pages(order)
        begin: cython.Py_ssize_t = k
        i: cython.Py_ssize_t
        e: cython.Py_ssize_t
        buddy: cython.Py_ssize_t
        states: cython.p_ushort = self._state
        links: cython.p_uint = self._links
        pfns: cython.p_longlong = batch._pfns
        orders: cython.p_uchar = batch._orders
        types: cython.p_uchar = batch._types
        count: cython.Py_ssize_t = batch._count
        in_zone: cython.Py_ssize_t = self._pages
        first: cython.Py_ssize_t = self.start_pfn
        lo: cython.Py_ssize_t = self._lo
        merges: cython.bint = order < self._top
        while k < count and orders[k] == order and types[k] == migratetype:
            i = pfns[k] - first
            if merges:
                buddy = ((i + lo) ^ pages) - lo
                if 0 <= buddy < in_zone and (states[buddy] & (KIND | ORDER)) == (FREE | order):
                    break
            e = entry(i)
            links[2 * e] = boundary
            links[2 * boundary + 1] = e
            states[i] = FREE | HINTED | order | (migratetype << TYPE_SHIFT)
            boundary = e
            k += 1
        if k > begin:
            links[2 * boundary + 1] = before
            links[2 * before] = boundary
            self._boundary[which] = boundary
            begin = k - begin
            self._nr_free[order] += begin
            self._hinted[order] += begin
            self._notify_at[order] += begin
            self._free_pages += begin * pages
        return k

    def _put_back(self, batch: Batch, hinted):
        k: cython.Py_ssize_t = 0
        i: cython.Py_ssize_t
        order: cython.int
        migratetype: cython.int
        runs: cython.bint = hinted and self._active and not self._nr_isolated
        while k < batch._count:
            order = batch._orders[k]
            if runs and order >= self._min_order:
                i = self._put_run(k, batch)
                if i > k:
                    k = i
                    continue
            i = batch._pfns[k] - self.start_pfn
            migratetype = batch._types[k]
            if self._nr_isolated or not self._active:
                migratetype = self._types[self._pageblock(i)]
            if self._free_one_page(i, order, migratetype, PUT_BACK) == order and hinted:
                self._state[i] |= HINTED
                self._count_hinted(order, 1)
                if self._active:
                    self._boundary[(migratetype << 5) + order] = entry(i)
            k += 1
        self._in_flight_pages -= batch._pages
        batch._count = batch._pages = 0
        if not hinted and self._active:
            for order in range(self._min_order, self.max_order):
                for migratetype in range(ISOLATE + 1):
                    self._uncover((migratetype << 5) + order)

    # The device failed, and the run ends here. Later ones look from a list's two ends up to the first hinted block, so
    # what was still to be pulled may not stay between hinted blocks: it goes to the list's head.
    def _uncover(self, which):
        head: cython.Py_ssize_t = which
        boundary: cython.Py_ssize_t = self._boundary[which]
        last: cython.Py_ssize_t = self._links[2 * boundary + 1]
        first: cython.Py_ssize_t
        before: cython.Py_ssize_t = last
        if boundary == head:
            return
        while before != head and not self._state[page_of(before)] & HINTED:
            before = self._links[2 * before + 1]
        if before in (head, last):
            return
        first = self._links[2 * before]
        self._links[2 * before] = boundary
        self._links[2 * boundary + 1] = before
        before = self._links[2 * head]
        self._links[2 * last] = before
        self._links[2 * before + 1] = last
        self._links[2 * head] = first
        self._links[2 * first + 1] = head

    def _forget(self):
        head: cython.Py_ssize_t
        e: cython.Py_ssize_t
        order: cython.int
        for head in range(LISTS):
            e = self._links[2 * head]
            self._boundary[head] = head
            while e != head:
                if self._state[page_of(e)] & HINTED:
                    self._state[page_of(e)] &= 0xFFFF - HINTED
                e = self._links[2 * e]
        for order in range(32):
            self._hinted[order] = 0
        self._request(self._requested)
