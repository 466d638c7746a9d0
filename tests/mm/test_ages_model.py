"""Ages of free blocks, and walks for what is old, against the naive model: random histories."""

import random

import numpy as np
import pytest

from pagehint.kernel.profiles import PROFILES
from pagehint.mm.batch import Batch
from pagehint.mm.zone import Zone

from .naive_ages import NaiveAgedZone
from .test_naive_profiles import SHAPES, isolate_some, same

MS = 10**6


class Both:
    """A zone and its model, in step."""

    def __init__(self, chance, profile):
        shape = chance.choice(SHAPES)
        self.chance, self.shape, self.orders = chance, shape, range(shape["max_order"])
        self.zone, self.model = Zone(profile=profile, **shape), NaiveAgedZone(profile.name, **shape)
        self.used, self.batch, self.pulled = [], Batch(chance.choice((1, 2, 3, 8, 40))), []
        self.doorbells = 0
        self.zone.now = 0
        self.zone.attach(0, 0, "device", lambda: None, ages=True)
        self.model.begin_ages()

    def step(self):
        ops = (
            self.pass_time,
            self.alloc,
            self.fragment,
            self.free,
            self.isolate,
            self.watermark,
            self.pull,
            self.drain,
        )
        self.chance.choices(ops, (2, 8, 1, 8, 1, 1, 6, 5))[0]()
        self.alike()

    def pass_time(self):
        self.model.now += self.chance.choice((1, 10, 1000))
        self.zone.now = self.model.now * MS

    def alloc(self, order=None):
        if order is None:
            order = min(int(self.chance.expovariate(0.6)), self.orders[-1])
        mt = self.chance.randrange(3)
        pfn = self.model.alloc(order, mt)
        assert self.zone.alloc_nowait(order, mt) == pfn
        self.used += [(pfn, order)] if pfn >= 0 else []
        return pfn >= 0

    def fragment(self):
        while self.alloc(0):
            pass
        for _ in range(self.chance.randrange(len(self.used) + 1)):
            self.free()

    def free(self):
        if self.used:
            pfn, order = self.used.pop(self.chance.randrange(len(self.used)))
            self.model.free(pfn)
            self.zone.free(pfn, order)

    def isolate(self):
        isolate_some(self.chance, self.zone, self.model)

    def watermark(self):
        self.model.low_watermark = low = self.shape["pages"] * self.chance.choice((0, 0, 10, 50)) // 100
        self.zone.watermarks = (0, low, low)

    def pull(self):
        chance = self.chance
        order, mt = chance.choice((None, *self.orders)), chance.choice((None, None, 0, 1, 2, 3))
        age, most = chance.choice((0, 0, 1, 5, 20, 1000)), chance.choice((None, None, 0, 1, 2, 5))
        most = None if most is None else min(most, self.batch.capacity)
        from_head, resume = chance.random() < 0.3, chance.random() < 0.6
        full = self.zone.pull(
            self.batch, order=order, migratetype=mt, age=age * MS, most=most, from_head=from_head, resume=resume
        )
        orders = self.orders[::-1] if order is None else (order,)
        types = (3, 2, 1, 0) if mt is None else (mt,)
        assert full == self.model.pull(self.pulled, self.batch.capacity, orders, types, age, most, from_head, resume)

    def drain(self):
        told = self.chance.random() < 0.7
        self.zone.drain(self.batch, told)
        for pfn in self.pulled:
            self.model.put_back(pfn, told)
        self.pulled.clear()

    def alike(self):
        zone, model = self.zone, self.model
        same(zone, model)
        assert self.batch.pfns.tolist() == self.pulled
        pfns = np.array(sorted(model.free_blocks), np.int64)
        assert (zone.ages(pfns) // MS).tolist() == [model.age(pfn) for pfn in pfns.tolist()]
        assert pfns[zone.is_hinted(pfns)].tolist() == sorted(model.hinted)


@pytest.mark.parametrize("profile", PROFILES[1:], ids=lambda row: row.name)
def test_ages_and_walks_are_the_naive_model_s(profile):
    for seed in range(4):
        both = Both(random.Random(f"{seed} {profile.name}"), profile)
        for _ in range(100):
            both.step()
        both.drain()
        assert both.zone.check() == []
