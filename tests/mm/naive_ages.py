"""The naive model of ages, and of a walk over lists for what is old (docs of `Zone.ages` and `Zone.pull`)."""

from itertools import product

from .naive_profiles import NaiveProfileZone


class NaiveAgedZone(NaiveProfileZone):
    """All orders have ages. ``freed``: when each free block, or block in flight, was freed (ms)."""

    def __init__(self, *arguments, **settings):
        self.now = 0
        self.freed = {}
        self.stopped = {}  # where a walk over a list goes on: the next block to look at, or None at its end
        super().__init__(*arguments, **settings)

    def begin_ages(self):
        self.freed = dict.fromkeys(self.free_blocks, self.now)

    def age(self, pfn):
        return self.now - self.freed[pfn]

    def free_one(self, pfn, order, mt, put_back=False):
        before = {block: self.freed[block] for block in (*self.free_blocks, pfn) if block in self.freed}
        where, grown = super().free_one(pfn, order, mt, put_back)
        if put_back:
            self.freed[where] = max(before[part] for part in range(where, where + 2**grown) if part in before)
        else:
            self.freed[where] = self.now
        return where, grown

    def take(self, order, mt):
        before = dict(self.free_blocks)
        return self.halves_are_as_old(before, super().take(order, mt))

    def take_part(self, found, order):
        before = dict(self.free_blocks)
        return self.halves_are_as_old(before, super().take_part(found, order))

    def halves_are_as_old(self, before, pfn):
        for block in self.free_blocks.keys() - before.keys():
            self.freed[block] = self.freed[pfn]
        return pfn

    # The walk

    def pull(self, batch, capacity, orders, types, age, most, from_head, resume):
        """Takes pfns into the batch, a list."""
        room = capacity if most is None else min(len(batch) + most, capacity)
        if not resume:
            for which in product(orders, types):
                self.stopped.pop(which, None)
        for order in orders:
            for mt in types:
                if len(batch) == room:
                    break
                self.walk(batch, room, order, mt, age, from_head)
        return len(batch) == capacity

    def walk(self, batch, room, order, mt, age, from_head):
        entries = self.lists[order, mt][:: 1 if from_head else -1]
        begin = self.stopped.get((order, mt), -1)
        if begin is None:
            return
        if begin in entries:
            entries = entries[entries.index(begin) :]
        for pfn in entries:
            if self.free_pages < self.low_watermark + 2**order:
                break
            if len(batch) == room:
                self.stopped[order, mt] = pfn
                return
            if pfn not in self.hinted and self.age(pfn) >= age:
                batch.append(pfn)
                self.in_flight[pfn] = self.remove(pfn)
        self.stopped[order, mt] = None

    def put_back(self, pfn, hinted):
        order, _ = self.in_flight.pop(pfn)
        if self.free_one(pfn, order, self.type_of(pfn), put_back=True) == (pfn, order) and hinted:
            self.hinted.add(pfn)
