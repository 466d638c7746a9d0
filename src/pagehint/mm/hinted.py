"""What isolating and hinting do to the lists (spec 1, sections 5, 6 and 8). Nothing in this file locks."""

import cython

if cython.compiled:
    from cython.cimports.pagehint.mm.batch import Batch
    from cython.cimports.pagehint.mm.buddy import (
        FREE,
        HIGHATOMIC,
        HINTED,
        IN_FLIGHT,
        ISOLATE,
        KIND,
        LISTS,
        MOVABLE,
        ORDER,
        TYPE_SHIFT,
        Buddy,
        block_pages,
    )
else:
    from pagehint.mm.batch import Batch
    from pagehint.mm.buddy import Buddy
    from pagehint.mm.migratetype import Migratetype
    from pagehint.mm.page import FREE, HINTED, IN_FLIGHT, KIND, LISTS, ORDER, TYPE_SHIFT, block_pages

    UNMOVABLE, MOVABLE, RECLAIMABLE, HIGHATOMIC, ISOLATE = map(int, Migratetype)


@cython.cclass
class HintedLists(Buddy):
    """Free areas whose blocks can be isolated, and be told to a device."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        if not cython.compiled:
            self._counts_exist = False
            self._in_flight_pages = self._low_watermark = 0

    # Isolating (section 5)

    def _isolate(self, pageblock):
        if self._types[pageblock] == ISOLATE:
            return False
        self._types[pageblock] = ISOLATE
        self._nr_isolated += 1
        self._move_free_blocks(pageblock, ISOLATE)
        return True

    def _unisolate(self, pageblock, migratetype):
        if self._types[pageblock] != ISOLATE:
            return
        i: cython.Py_ssize_t = ((pageblock + self._pageblock_lo) << self.pageblock_order) - self._lo
        state: cython.int = self._state[i] if i >= 0 else 0
        order: cython.int = state & ORDER
        buddy: cython.Py_ssize_t
        k: cython.Py_ssize_t
        if (state & KIND) == FREE and order >= self.pageblock_order:
            buddy = ((i + self._lo) ^ (block_pages(order))) - self._lo
            if 0 <= buddy < self._pages and self._types[self._pageblock(buddy)] != ISOLATE:
                self._unlink(i)
                self._count(state >> TYPE_SHIFT, -(block_pages(order)))
                for k in range(pageblock + 1, pageblock + (block_pages(order - self.pageblock_order))):
                    if self._types[k] != ISOLATE and self._types[k] != HIGHATOMIC:
                        self._types[k] = MOVABLE
                self._types[pageblock] = migratetype
                self._nr_isolated -= 1
                self._free_one_page(i, order, migratetype, False)
                return
        self._move_free_blocks(pageblock, migratetype)
        self._types[pageblock] = migratetype
        self._nr_isolated -= 1

    # The cycle's part under the lock (sections 6 and 8)

    def _begin(self):
        which: cython.int
        for which in range(LISTS):
            self._boundary[which] = self._pages + which
        self._counts_exist = True
        self._active = True

    def _take_off(self, i, batch: Batch):
        state: cython.int = self._state[i]
        order: cython.int = state & ORDER
        pages: cython.Py_ssize_t = block_pages(order)
        self._unlink(i)
        self._state[i] = IN_FLIGHT | order
        self._free_pages -= pages
        self._in_flight_pages += pages
        batch._pfns[batch._count] = i + self.start_pfn
        batch._orders[batch._count] = order
        batch._types[batch._count] = state >> TYPE_SHIFT
        batch._count += 1
        batch._pages += pages

    def _pull(self, order, migratetype):
        which: cython.int = (migratetype << 5) + order
        head: cython.Py_ssize_t = self._pages + which
        i: cython.Py_ssize_t = self._links[2 * cython.cast(cython.Py_ssize_t, self._boundary[which]) + 1]
        if i == head:
            return -1
        if self._state[i] & HINTED:
            i = self._links[2 * head]
            if self._state[i] & HINTED:
                self._boundary[which] = i
                return -1
        return i

    def _fill(self, batch: Batch):
        order: cython.int = self._top
        migratetype: cython.int
        i: cython.Py_ssize_t
        batch._count = batch._pages = 0
        while order >= self._min_order:
            for migratetype in range(HIGHATOMIC, -1, -1):
                while self._free_pages - (block_pages(order)) >= self._low_watermark:
                    i = self._pull(order, migratetype)
                    if i < 0:
                        break
                    self._take_off(i, batch)
                    if batch._count == batch.capacity:
                        return True
            order -= 1
        self._requested = False
        return False

    def _put_back(self, batch: Batch, hinted):
        k: cython.Py_ssize_t
        i: cython.Py_ssize_t
        order: cython.int
        migratetype: cython.int
        for k in range(batch._count):
            i = batch._pfns[k] - self.start_pfn
            order = batch._orders[k]
            migratetype = batch._types[k]
            if self._nr_isolated or not self._active:
                migratetype = self._types[self._pageblock(i)]
            if self._free_one_page(i, order, migratetype, True) == order and hinted:
                self._state[i] |= HINTED
                self._hinted[order] += 1
                if self._active:
                    self._boundary[(migratetype << 5) + order] = i
        self._in_flight_pages -= batch._pages
        batch._count = batch._pages = 0

    def _forget(self):
        head: cython.Py_ssize_t
        i: cython.Py_ssize_t
        order: cython.int
        for head in range(self._pages, self._pages + LISTS):
            i = self._links[2 * head]
            while i != head:
                if self._state[i] & HINTED:
                    self._state[i] &= 0xFFFF - HINTED
                i = self._links[2 * i]
        for order in range(32):
            self._hinted[order] = 0
