"""A naive model of a zone and its hinting, written from docs/spec/1 alone: lists, dicts and sets; speed is no aim.

A free list is a Python list of pfns, head first. What the engine counts, the model sums up anew each time.
"""

from collections import Counter

ISOLATE, HIGHATOMIC, MOVABLE = 4, 3, 1
FALLBACKS = {0: (2, 1), 1: (2, 0), 2: (0, 1)}


class NaiveZone:
    """docs/spec/1, sections 1 to 6."""

    def __init__(self, pages, start_pfn=0, max_order=11, pageblock_order=9, low_watermark=0):
        self.start, self.end = start_pfn, start_pfn + pages
        self.max_order, self.pageblock_order = max_order, pageblock_order
        self.low_watermark = low_watermark
        self.lists = {(order, mt): [] for order in range(max_order) for mt in range(5)}
        self.free_blocks = {}  # pfn: (order, migratetype of its list)
        self.used = {}  # pfn: (order, migratetype asked for)
        self.in_flight = {}  # pfn: (order, remembered migratetype)
        self.hinted = set()
        self.counts_exist = False
        self.requested = self.active = False
        self.boundaries = {}  # (order, migratetype): pfn; absent: the list's head
        self.min_order = max_order
        self.isolated = 0
        self.types = dict.fromkeys(self.pageblocks(start_pfn, pages), MOVABLE)
        self.notify = lambda order: None
        pfn = start_pfn
        while pfn < self.end:
            order = max(o for o in range(max_order) if pfn % 2**o == 0 and pfn + 2**o <= self.end)
            self.free_one(pfn, order, MOVABLE)
            pfn += 2**order

    # What is known of pages and pageblocks

    def pageblocks(self, pfn, pages):
        return range(pfn >> self.pageblock_order, (pfn + pages - 1 >> self.pageblock_order) + 1)

    def type_of(self, pfn):
        return self.types[pfn >> self.pageblock_order]

    def free_in(self, pageblock):
        """The free blocks whose first page is in the pageblock, in ascending pfn order."""
        return sorted(pfn for pfn in self.free_blocks if pfn >> self.pageblock_order == pageblock)

    def is_free(self, pfn, order):
        return pfn in self.free_blocks and self.free_blocks[pfn][0] == order

    @property
    def free_pages(self):
        return sum(2**order for order, mt in self.free_blocks.values() if mt != ISOLATE)

    @property
    def nr_free(self):
        counted = Counter(order for order, _ in self.free_blocks.values())
        return [counted[order] for order in range(self.max_order)]

    @property
    def nr_hinted(self):
        if not self.counts_exist:
            return None
        counted = Counter(self.free_blocks[pfn][0] for pfn in self.hinted)
        return [counted[order] for order in range(self.max_order)]

    @property
    def movable(self):
        """Movable pages of each pageblock: one a block, where its first page is."""
        counted = Counter(pfn >> self.pageblock_order for pfn, (_, mt) in self.used.items() if mt == MOVABLE)
        return [counted[pageblock] for pageblock in self.types]

    # Lists (section 6)

    def add(self, pfn, order, mt, at):
        self.lists[order, mt].insert(at, pfn)
        self.free_blocks[pfn] = order, mt

    def tail_position(self, order, mt):
        entries = self.lists[order, mt]
        if self.active and order >= self.min_order and (order, mt) in self.boundaries:
            return entries.index(self.boundaries[order, mt])
        return len(entries)

    def remove(self, pfn):
        order, mt = self.free_blocks.pop(pfn)
        entries = self.lists[order, mt]
        at = entries.index(pfn)
        if pfn in self.hinted:
            if self.active and self.boundaries.get((order, mt)) == pfn:
                self.set_boundary(order, mt, entries[at + 1] if at + 1 < len(entries) else None)
            self.hinted.remove(pfn)
        del entries[at]
        return order, mt

    def set_boundary(self, order, mt, pfn):
        if pfn is None:
            self.boundaries.pop((order, mt), None)
        else:
            self.boundaries[order, mt] = pfn

    def move(self, pfn, mt):
        order, _ = self.remove(pfn)
        self.add(pfn, order, mt, 0)
        return 2**order

    # Freeing (section 2)

    def free_one(self, pfn, order, mt, put_back=False):
        """Returns the pfn and the order that the block has at last."""
        while order < self.max_order - 1:
            buddy = pfn ^ 2**order
            if not self.is_free(buddy, order):
                break
            kind = self.type_of(buddy)
            if order >= self.pageblock_order and self.isolated and mt != kind and ISOLATE in (mt, kind):
                break
            self.remove(buddy)
            pfn, order = min(pfn, buddy), order + 1
        to_tail = put_back
        if order < self.max_order - 2:
            pair = min(pfn, pfn ^ 2**order)
            to_tail = to_tail or self.is_free(pair ^ 2 ** (order + 1), order + 1)
        self.add(pfn, order, mt, self.tail_position(order, mt) if to_tail else 0)
        if not put_back:
            self.notify(order)
        return pfn, order

    def free(self, pfn):
        order, _ = self.used.pop(pfn)
        self.free_one(pfn, order, self.type_of(pfn))

    # Allocating (sections 3 and 4)

    def alloc(self, order, mt):
        pfn = self.take(order, mt)
        if pfn < 0 and self.fall_back(order, mt):
            pfn = self.take(order, mt)
        if pfn >= 0:
            self.used[pfn] = order, mt
        return pfn

    def take(self, order, mt):
        for found in range(order, self.max_order):
            if self.lists[found, mt]:
                pfn = self.lists[found, mt][0]
                self.remove(pfn)
                for half in range(found - 1, order - 1, -1):
                    self.add(pfn + 2**half, half, mt, 0)
                return pfn
        return -1

    def first_fallback(self, orders, mt):
        return next(((o, other) for o in orders for other in FALLBACKS[mt] if self.lists[o, other]), None)

    def fall_back(self, order, mt):
        found = self.first_fallback(range(self.max_order - 1, order - 1, -1), mt)
        if found is None:
            return False
        can_steal = found[0] >= self.pageblock_order // 2 or mt != MOVABLE
        if not can_steal and found[0] > order:
            found = self.first_fallback(range(order, self.max_order), mt)
        pfn = self.lists[found][0]
        pageblock, size = pfn >> self.pageblock_order, 2**self.pageblock_order
        whole = self.start <= pageblock * size and (pageblock + 1) * size <= self.end
        if self.type_of(pfn) == HIGHATOMIC:
            self.move(pfn, mt)
        elif found[0] >= self.pageblock_order:
            for covered in self.pageblocks(pfn, 2 ** found[0]):
                if self.types[covered] != ISOLATE:
                    self.types[covered] = mt
            self.move(pfn, mt)
        elif can_steal and whole:
            self.steal(pageblock, size, mt)
        else:
            self.move(pfn, mt)
        return True

    def steal(self, pageblock, size, mt):
        moved = sum(self.move(pfn, mt) for pfn in self.free_in(pageblock))
        movable = self.movable[list(self.types).index(pageblock)]
        alike = movable
        if mt != MOVABLE:
            alike = size - (moved + movable) if self.types[pageblock] == MOVABLE else 0
        if 2 * (moved + alike) >= size:
            self.types[pageblock] = mt

    # Isolating (section 5)

    def isolate(self, pfn):
        pageblock = pfn >> self.pageblock_order
        if self.types[pageblock] == ISOLATE:
            return -16
        self.types[pageblock] = ISOLATE
        self.isolated += 1
        self.isolate_free(pageblock)
        return 0

    def isolate_free(self, pageblock):
        for block in self.free_in(pageblock):
            self.move(block, ISOLATE)

    def unisolate(self, pfn, mt):
        pageblock = pfn >> self.pageblock_order
        if self.types[pageblock] != ISOLATE:
            return
        first = pageblock << self.pageblock_order
        order = self.free_blocks[first][0] if first in self.free_blocks else -1
        buddy = first ^ 2**order if order >= self.pageblock_order else -1
        if self.start <= buddy < self.end and self.type_of(buddy) != ISOLATE:
            self.remove(first)
            for other in self.pageblocks(first, 2**order):
                if self.types[other] not in (ISOLATE, HIGHATOMIC):
                    self.types[other] = MOVABLE
            self.types[pageblock] = mt
            self.isolated -= 1
            self.free_isolated(first, order, mt)
        else:
            for block in self.free_in(pageblock):
                self.move(block, mt)
            self.types[pageblock] = mt
            self.isolated -= 1

    def free_isolated(self, pfn, order, mt):
        self.free_one(pfn, order, mt)

    # Pulling and putting back (section 8)

    def pull(self, order, mt):
        """The pfn pulled, or None if the list is done."""
        entries = self.lists[order, mt]
        if self.free_pages - 2**order < self.low_watermark:
            return None
        boundary = self.boundaries.get((order, mt))
        at = (len(entries) if boundary is None else entries.index(boundary)) - 1
        if at < 0:
            return None
        pfn = entries[at]
        if pfn in self.hinted:
            pfn = entries[0]
            if pfn in self.hinted:
                self.set_boundary(order, mt, pfn)
                return None
        self.in_flight[pfn] = self.remove(pfn)
        return pfn

    def put_back(self, pfn, hinted):
        order, mt = self.in_flight.pop(pfn)
        if self.isolated:
            mt = self.type_of(pfn)
        if self.free_one(pfn, order, mt, put_back=True) == (pfn, order) and hinted:
            self.set_boundary(order, mt, pfn)
            self.hinted.add(pfn)

    def uncover(self):
        """Row 6 of section 9: a run that failed leaves nothing between hinted blocks, where none would find it."""
        for which, boundary in self.boundaries.items():
            entries = self.lists[which]
            at = first = entries.index(boundary)
            while first and entries[first - 1] not in self.hinted:
                first -= 1
            self.lists[which] = entries[first:at] + entries[:first] + entries[at:]


class NaiveHinting:
    """docs/spec/1, sections 7 and 8, and rows 6 and 17 of section 9: one zone, and time in nanoseconds."""

    LONGEST_PAUSE = 60 * 10**9

    def __init__(self, zone, order=9, high_water_mark=32, delay=10**8, on_work=lambda now: None):
        self.zone, self.order, self.high_water_mark, self.delay = zone, order, high_water_mark, delay
        self.on_work = on_work
        self.device = self.last_device = self.due = None
        self.now = self.blocks = self.errors = 0
        zone.notify = self.notify

    def notify(self, order):
        zone = self.zone
        if self.device is None or order < self.order or zone.requested:
            return
        if zone.nr_free[order] >= (zone.nr_hinted or [0] * zone.max_order)[order] + self.high_water_mark:
            self.request()

    def request(self):
        self.zone.requested = True
        if self.due is None:
            self.due = self.now + self.delay

    def start(self, device):
        if self.device is not None:
            return -16
        if device is not self.last_device:
            self.zone.hinted.clear()
        self.device = self.last_device = device
        self.zone.min_order = self.order
        self.pause = self.delay
        self.request()
        return 0

    def stop(self):
        self.device = self.due = None

    def tick(self, nanoseconds):
        end = self.now + nanoseconds
        while self.due is not None and self.due <= end:
            self.now = max(self.now, self.due)
            self.due = None
            self.on_work(self.now)
            while self.zone.requested and self.process():
                pass
        self.now = end

    def process(self):
        """False if the device failed: the run ends."""
        zone = self.zone
        zone.counts_exist = zone.active = True
        zone.boundaries.clear()
        try:
            while True:
                batch = self.fill()
                if not batch:
                    return True
                hinted = self.react(batch)
                for pfn in batch:
                    zone.put_back(pfn, hinted)
                if not hinted:
                    zone.uncover()
                    return False
                if not zone.requested:
                    return True
        finally:
            zone.active = False

    def fill(self):
        batch = []
        for order in range(self.zone.max_order - 1, self.order - 1, -1):
            for mt in (3, 2, 1, 0):
                while (pfn := self.zone.pull(order, mt)) is not None:
                    batch.append(pfn)
                    if len(batch) == self.device.capacity:
                        return batch
        self.zone.requested = False
        return batch

    def react(self, batch):
        try:
            self.device.react([(pfn, self.zone.in_flight[pfn][0]) for pfn in batch])
        except OSError:
            self.errors += 1
            self.zone.requested = True
            self.due = self.now + self.pause
            self.pause = min(2 * self.pause, max(self.LONGEST_PAUSE, self.delay))
            return False
        self.blocks += len(batch)
        self.pause = self.delay
        return True
