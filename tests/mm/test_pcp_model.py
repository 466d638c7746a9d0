"""CPUs' lists against the naive model: random histories of two CPUs on each kernel's lists."""

import random

import pytest

from pagehint.kernel.profiles import PROFILES
from pagehint.mm.pcp import PerCpuLists
from pagehint.mm.zone import Zone

from .naive_pcp import NaivePcp
from .naive_profiles import NaiveProfileZone
from .test_naive_profiles import isolate_some, same

SHAPES = (
    {"pages": 200, "start_pfn": 0, "max_order": 7, "pageblock_order": 5},
    {"pages": 1000, "start_pfn": 37, "max_order": 7, "pageblock_order": 4},
    {"pages": 400, "start_pfn": 64, "max_order": 4, "pageblock_order": 2},
    {"pages": 3, "start_pfn": 7, "max_order": 3, "pageblock_order": 1},
)


class Both:
    """A zone with two CPUs' lists and its model, in step."""

    def __init__(self, chance, profile):
        self.chance, self.shape = chance, chance.choice(SHAPES)
        self.zone, self.model = Zone(profile=profile, **self.shape), NaiveProfileZone(profile.name, **self.shape)
        batch = chance.choice((1, 2, 3, 7, 15))
        high = chance.choice((0, batch - 1, batch, 2 * batch, 4 * batch, 6 * batch, 80 * batch))
        limits = batch, high, high + chance.choice((0, 1, 10, 60, 300))
        self.pcps = [PerCpuLists(self.zone, cpu, *limits) for cpu in range(2)]
        self.naive = [NaivePcp(self.model, *limits) for _ in range(2)]
        self.used = []

    def step(self):
        ops = {
            self.alloc: 9,
            self.burst: 2,
            self.free: 9,
            self.free_many: 2,
            self.isolate: 1,
            self.watermark: 1,
            self.decay: 1,
            self.drain: 1,
        }
        self.chance.choices(list(ops), list(ops.values()))[0](self.chance.randrange(2))
        self.alike()

    def alloc(self, cpu, order=None, mt=None):
        if order is None:
            order, mt = min(int(self.chance.expovariate(0.6)), self.shape["max_order"] - 1), self.chance.randrange(3)
        whole = self.chance.random() < 0.1
        pfn = self.naive[cpu].alloc(order, mt, whole)
        assert self.zone.alloc_nowait(order, mt, self.pcps[cpu], whole) == pfn
        self.used += [(pfn, order)] if pfn >= 0 else []

    def burst(self, cpu):
        order, mt = self.chance.choice((0, 0, 1, 2)), self.chance.randrange(3)
        for _ in range(self.chance.randrange(60)):
            self.alloc(cpu, order, mt)

    def free(self, cpu):
        if self.used:
            pfn, order = self.used.pop(self.chance.randrange(len(self.used)))
            self.naive[cpu].free(pfn)
            self.zone.free(pfn, order, self.pcps[cpu])

    def free_many(self, cpu):
        for _ in range(self.chance.randrange(60)):
            self.free(cpu)

    def isolate(self, cpu):
        isolate_some(self.chance, self.zone, self.model)

    def watermark(self, cpu):
        self.model.high_watermark = high = self.shape["pages"] * self.chance.choice((0, 0, 10, 50, 100)) // 100
        self.zone.watermarks = (0, 0, high)

    def decay(self, cpu):
        self.naive[cpu].decay()
        self.zone.decay_pcp(self.pcps[cpu])

    def drain(self, cpu):
        self.naive[cpu].drain_all()
        self.zone.drain_pcp(self.pcps[cpu])

    def alike(self):
        same(self.zone, self.model)
        assert self.zone.pageblock_movable.tolist() == self.model.movable
        for pcp, naive in zip(self.pcps, self.naive, strict=True):
            assert [pfns.tolist() for pfns in pcp.lists()] == [[pfn for pfn, *_ in each] for each in naive.lists]
            assert (pcp.count, pcp.high) == (naive.count, naive.high)


@pytest.mark.parametrize("profile", PROFILES[1:], ids=lambda row: row.name)
def test_lists_of_cpus_are_the_naive_model_s(profile):
    for seed in range(3):
        both = Both(random.Random(f"{seed} {profile.name}"), profile)
        for _ in range(80):
            both.step()
        assert both.zone.check() == []
