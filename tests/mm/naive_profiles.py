"""The naive model of later kernels' lists, written from docs/spec/2 and docs/spec/4 alone."""

from .naive import ISOLATE, MOVABLE, NaiveZone


def mix(kind, other):
    return kind == other or (kind <= 2 and other <= 2)


class NaiveProfileZone(NaiveZone):
    """A zone as a kernel of this profile keeps it."""

    def __init__(self, profile, *arguments, **settings):
        self.name = profile
        self.version = tuple(map(int, profile.split(".")))
        self.booted = self.steals = False
        self.high_watermark = 0
        super().__init__(*arguments, **settings)
        self.booted = True

    @property
    def by_pageblock(self):
        return self.version >= (6, 10)

    def move(self, pfn, mt):
        """To the tail; what a device was told of stays told, but where boundaries are set (docs/spec/1, section 6)."""
        told = pfn in self.hinted and not self.counts_exist
        order, _ = self.remove(pfn)
        self.add(pfn, order, mt, self.tail_position(order, mt))
        if told:
            self.hinted.add(pfn)
        return 2**order

    def merges(self, buddy, order, mt):
        if order < self.pageblock_order:
            return True
        kind = self.type_of(buddy)
        if self.version >= (5, 18):
            return mix(mt, kind)
        return not (self.isolated and mt != kind and ISOLATE in (mt, kind))

    def free_one(self, pfn, order, mt, put_back=False):
        if not self.booted:
            self.add(pfn, order, mt, len(self.lists[order, mt]))
            return pfn, order
        while order < self.max_order - 1:
            buddy = pfn ^ 2**order
            if not self.is_free(buddy, order) or not self.merges(buddy, order, mt):
                break
            self.remove(buddy)
            if self.by_pageblock and order >= self.pageblock_order:
                self.types.update(dict.fromkeys(self.pageblocks(buddy, 2**order), mt))
            pfn, order = min(pfn, buddy), order + 1
        pair = min(pfn, pfn ^ 2**order)
        likely = order < self.max_order - 2 and self.is_free(pair ^ 2 ** (order + 1), order + 1)
        self.add(pfn, order, mt, self.tail_position(order, mt) if put_back or likely else 0)
        if not put_back:
            self.notify(order)
        return pfn, order

    def free_parts(self, pfn, order):
        part = min(order, self.pageblock_order) if self.by_pageblock else order
        for begin in range(pfn, pfn + 2**order, 2**part):
            self.free_one(begin, part, self.type_of(begin))

    def free(self, pfn):
        order, _ = self.used.pop(pfn)
        self.free_parts(pfn, order)

    # Falling back

    def alloc(self, order, mt, whole=False):
        """``whole``: of another type whole pageblocks alone may be taken (NOFRAGMENT)."""
        pfn = self.take(order, mt)
        if pfn < 0 and not self.by_pageblock:
            if self.has_whole(order, mt) if whole else True:
                pfn = self.take(order, mt) if self.fall_back(order, mt) else -1
        elif pfn < 0:
            pfn = self.taken(order, mt, whole)
        if pfn >= 0:
            self.used[pfn] = order, mt
        return pfn

    def alloc_next(self, order, mt, whole):
        """The next block of a refill: after a steal, the next is stolen at once (from 6.15 on)."""
        found = self.first_fallback(range(order, self.max_order), mt) if self.steals and not whole else None
        if found is None:
            return self.alloc(order, mt, whole)
        pfn = self.take_part(found, order)
        self.used[pfn] = order, mt
        return pfn

    def has_whole(self, order, mt):
        return self.first_fallback(range(self.max_order - 1, max(order, self.pageblock_order) - 1, -1), mt) is not None

    def taken(self, order, mt, whole):
        down, up = range(self.max_order - 1, order - 1, -1), range(order, self.max_order)
        if whole:
            down = [at for at in down if at >= self.pageblock_order]
        if self.version < (6, 15):
            found = self.first_fallback(down, mt)
            if found is None:
                return -1
            if not self.may_claim(found[0], mt):
                found = self.first_fallback(up, mt)
            return self.take(order, mt) if self.claim(found, mt) else self.take_part(found, order)
        for at in down:
            found = self.first_fallback([at], mt)
            if found is None:
                continue
            if not self.may_claim(at, mt):
                break
            if self.claim(found, mt):
                return self.take(order, mt)
        found = None if whole else self.first_fallback(up, mt)
        self.steals = found is not None
        return self.take_part(found, order) if self.steals else -1

    def may_claim(self, order, mt):
        return order >= self.pageblock_order // 2 or mt != MOVABLE

    def claim(self, found, mt):
        pfn = self.lists[found][0]
        pageblock, size = pfn >> self.pageblock_order, 2**self.pageblock_order
        if found[0] >= self.pageblock_order:
            for covered in self.pageblocks(pfn, 2 ** found[0]):
                if self.types[covered] != ISOLATE:
                    self.types[covered] = mt
            self.move(pfn, mt)
            return True
        whole = self.start <= pageblock * size and (pageblock + 1) * size <= self.end
        if not self.may_claim(found[0], mt) or not whole or self.types[pageblock] > 2:
            return False
        free = sum(2 ** self.free_blocks[block][0] for block in self.free_in(pageblock))
        alike = movable = self.movable[list(self.types).index(pageblock)]
        if mt != MOVABLE:
            alike = size - free - movable if self.types[pageblock] == MOVABLE else 0
        if free + alike < size // 2:
            return False
        for block in self.free_in(pageblock):
            self.move(block, mt)
        self.types[pageblock] = mt
        return True

    def take_part(self, found, order):
        """The asked pages alone; the rest stays on the fallback type's lists."""
        pfn = self.lists[found][0]
        self.remove(pfn)
        for half in range(found[0] - 1, order - 1, -1):
            self.add(pfn + 2**half, half, found[1], 0)
        return pfn

    # Isolating

    def split_around(self, pageblock):
        first = pageblock << self.pageblock_order
        for order in range(self.pageblock_order + 1, self.max_order if self.by_pageblock else 0):
            head = first >> order << order
            if self.is_free(head, order):
                self.remove(head)
                self.free_parts(head, order)
                return True
        return False

    def isolate_free(self, pageblock):
        if not self.split_around(pageblock):
            super().isolate_free(pageblock)

    def free_isolated(self, pfn, order, mt):
        """A block that may merge is put back (docs/spec/2): at the tail, without notifying."""
        self.free_one(pfn, order, mt, put_back=True)

    def unisolate(self, pfn, mt):
        pageblock = pfn >> self.pageblock_order
        if self.types[pageblock] != ISOLATE:
            return
        self.types[pageblock] = mt
        if self.split_around(pageblock):
            self.isolated -= 1
        else:
            self.types[pageblock] = ISOLATE
            super().unisolate(pfn, mt)


def naive_zone(profile, **settings):
    """The model of a zone as a kernel of this profile keeps it."""
    return NaiveZone(**settings) if profile == "5.3" else NaiveProfileZone(profile, **settings)
