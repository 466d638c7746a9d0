"""The naive model of a CPU's lists of a zone, written from docs/spec/4 (the table and section 3) alone.

A list is a Python list of (pfn, order, type), what is taken next first.
"""

from .naive import HIGHATOMIC, ISOLATE, MOVABLE

LISTS = 13  # of orders 0 to 3 three each, by type, and one of pageblocks
MOST_FACTOR = 5


class NaivePcp:
    """One CPU's lists, as a kernel of the zone's profile keeps them."""

    def __init__(self, zone, batch, high, high_max):
        self.zone, self.batch, self.version = zone, batch, zone.version
        self.tunes = self.version >= (6, 7)
        self.high_min, self.high_max = high, high_max if self.tunes else high
        self.high = high if self.high_min == self.high_max else 0
        self.lists = [[] for _ in range(LISTS)]
        self.alloc_factor = self.free_factor = self.free_count = 0
        self.freed_above_0 = False

    @property
    def count(self):
        return sum(2**order for entries in self.lists for _, order, _ in entries)

    def list_of(self, order, mt):
        if order == 0 or (order <= 3 and self.version >= (5, 14)):
            return 3 * order + mt
        return LISTS - 1 if order == self.zone.pageblock_order and self.version >= (5, 14) else None

    @property
    def zone_is_low(self):
        return self.zone.free_pages < self.zone.high_watermark

    # Allocating

    def alloc(self, order, mt, whole=False):
        which = self.list_of(order, mt)
        if which is None:
            return self.zone.alloc(order, mt, whole)
        self.free_factor //= 2
        self.free_count //= 2
        if not self.lists[which]:
            self.refill(which, order, mt, whole)
        if not self.lists[which]:
            return -1
        pfn, _, _ = self.lists[which].pop(0)
        self.zone.used[pfn] = order, mt
        return pfn

    def refill(self, which, order, mt, whole):
        self.zone.steals = False
        for _ in range(self.wanted(order)):
            pfn = self.zone.alloc_next(order, mt, whole)
            if pfn < 0:
                break
            del self.zone.used[pfn]
            self.lists[which].append((pfn, order, mt))

    def wanted(self, order):
        blocks = 1 if self.batch == 1 else max(self.batch >> order, 2)
        if not self.tunes or self.high_min == self.high_max:
            return blocks if order else self.batch
        pages = self.batch if order else self.batch << self.alloc_factor
        if not self.zone_is_low:
            self.high = min(self.high + pages, self.high_max)
        if order:
            return blocks
        most = max(self.high - self.count - self.batch, self.batch)
        if pages <= most:
            self.alloc_factor = min(self.alloc_factor + 1, MOST_FACTOR)
        return min(pages, most)

    # Freeing

    def free(self, pfn):
        order, _ = self.zone.used[pfn]
        mt = self.zone.type_of(pfn)
        which = self.list_of(order, MOVABLE if mt == HIGHATOMIC else mt)
        if which is None or mt == ISOLATE:
            self.zone.free(pfn)
            return
        del self.zone.used[pfn]
        self.lists[which].insert(0, (pfn, order, mt))
        if self.tunes:
            self.tuned(which, order)
        elif self.version < (5, 14):
            if self.count >= self.high:
                self.drain_in_turn(self.batch)
        elif self.version >= (5, 18) and 0 < order <= 3 and self.free_factor:
            self.drain(self.count, which)
        elif self.count >= self.high:
            self.doubled(which)

    def doubled(self, which):
        """Twice as much each time that frees follow on frees: up to all but a batch; from 6.1 on 32 batches at most."""
        if self.high < self.batch:
            self.drain(1, which)
            return
        pages, most = self.batch << self.free_factor, self.high - self.batch
        if pages < most and (self.version < (5, 18) or self.free_factor < MOST_FACTOR):
            self.free_factor += 1
        self.drain(max(min(pages, most), self.batch), which)

    def tuned(self, which, order):
        batch, found = self.batch, self.free_count
        self.alloc_factor //= 2
        above_0, before = 0 < order <= 3, self.freed_above_0
        self.freed_above_0 = above_0
        if self.free_count < batch << MOST_FACTOR:
            self.free_count += 2**order
        from_count = batch + (self.high_min // 2 if self.version >= (6, 16) else 0)
        if above_0 and before and found >= from_count and self.count >= batch:
            self.high = max(self.high - (batch << MOST_FACTOR), self.high_min)
            self.drain(batch << MOST_FACTOR, which)
            return
        limit = self.high
        if self.high_min < self.high_max:
            freed = max(self.free_count, batch)
            if self.zone_is_low:
                self.high = max(self.high - freed, self.high_min)
                limit = max(self.count, self.high_min)
            elif self.count >= self.high and self.high < self.free_count + batch:
                self.high = min(max(self.free_count + batch, self.high_min), self.high_max)
        if self.count >= limit:
            self.drain(max(min(max(self.free_count, batch), limit - batch), 1), which)

    def decay(self):
        if self.high_min < self.high_max:
            self.high = max(self.high - self.high // 8, self.high_min, self.count - (self.batch << MOST_FACTOR))
            self.high = min(self.high, self.high_max)
            self.drain(self.count - self.high, 0)

    # Draining

    def drain(self, pages, which):
        """Of one list after the other, from this one on, from their ends."""
        pages = min(pages, self.count)
        while pages > 0:
            while pages > 0 and self.lists[which]:
                pages -= self.give_back(which)
            which = (which + 1) % LISTS

    def drain_in_turn(self, pages):
        """Of the three lists in turn, one block more of a list for each empty one that was passed."""
        pages, which = min(pages, self.count), 0
        at_once = 0
        while pages > 0:
            at_once += 1
            which = (which + 1) % 3
            if not self.lists[which]:
                continue
            if at_once == 3:
                at_once = pages
            while pages > 0 and at_once > 0 and self.lists[which]:
                pages -= self.give_back(which)
                at_once -= 1

    def give_back(self, which):
        pfn, order, mt = self.lists[which].pop()
        if self.version >= (6, 10) or self.zone.isolated:
            mt = self.zone.type_of(pfn)
        self.zone.free_one(pfn, order, mt)
        return 2**order

    def drain_all(self):
        for which, entries in enumerate(self.lists):
            while entries:
                self.give_back(which)
