"""A guest of small zones on several nodes against the naive model: random histories, all zones and lists compared."""

import random

import pytest

from pagehint.errors import AllocationError
from pagehint.kernel.gfp import GFP_ATOMIC, GFP_DMA, GFP_DMA32, GFP_HIGHUSER_MOVABLE, GFP_KERNEL, Gfp, ZoneType
from pagehint.kernel.profiles import PROFILES
from pagehint.mm.guest.memory import GuestMemory
from pagehint.mm.guest.zones import GuestZone
from pagehint.mm.pcp import PerCpuLists
from pagehint.mm.zone import Zone
from tests.mm.naive_pcp import NaivePcp
from tests.mm.naive_profiles import NaiveProfileZone
from tests.mm.test_naive_profiles import isolated, same

from .naive_memory import NaiveGuestZone, NaiveMemory

FLAGS = [
    base | more
    for base in (GFP_KERNEL, GFP_HIGHUSER_MOVABLE, GFP_KERNEL | Gfp.RECLAIMABLE, GFP_DMA, GFP_DMA32, GFP_ATOMIC)
    for more in (0, 0, Gfp.HIGH, Gfp.THISNODE, Gfp.ATOMIC)
]
CPUS = 2


class Both:
    """A guest and its model, in step."""

    def __init__(self, chance, profile):
        self.chance = chance
        pageblock_order = chance.choice((2, 4, 5))
        max_order = pageblock_order + chance.randrange(1, 3)
        real, naive, begin = [], [], 0
        for node in range(chance.choice((1, 1, 2, 3))):
            kinds = chance.choice(((2,), (1, 2), (1, 2), (0, 1, 2), (0, 1), (1, 2, 3), (2, 3), (3,), (0, 1, 2, 3)))
            for kind in kinds:
                pages = chance.randrange(1, 13) << pageblock_order
                shape = {"start_pfn": begin, "max_order": max_order, "pageblock_order": pageblock_order}
                zone = Zone(pages, profile=profile, node=node, name=ZoneType(kind).title, **shape)
                model = NaiveProfileZone(profile.name, pages, **shape)
                batch = chance.choice((1, 3, 7))
                limits = batch, chance.choice((0, 2, 4)) * batch, chance.choice((4, 10)) * batch
                protection = tuple(
                    chance.choice((0, pages // 8)) if above > kind else 0 for above in range(len(ZoneType))
                )
                pcps = tuple(PerCpuLists(zone, cpu, *limits) for cpu in range(CPUS))
                real.append(GuestZone(zone, ZoneType(kind), protection, pcps))
                lists = [NaivePcp(model, *limits) for _ in range(CPUS)]
                naive.append(NaiveGuestZone(model, node, kind, protection, lists))
                begin += pages
        self.memory = GuestMemory.__new__(GuestMemory)
        self.memory._adopt(real)
        self.model = NaiveMemory(naive)
        self.nodes = node + 1
        self.orders = range(max_order)
        self.used, self.failed = [], 0
        for place in range(len(naive)):
            self.mark(place)

    def step(self):
        ops = {
            self.alloc: 8,
            self.alloc_exact: 3,
            self.burst: 4,
            self.free: 4,
            self.free_many: 3,
            self.mark: 1,
            self.isolate: 1,
            self.drain: 1,
            self.decay: 1,
        }
        self.chance.choices(list(ops), list(ops.values()))[0]()
        self.alike()

    def alloc(self, request=None):
        order, gfp, node, cpu = request or self.request()
        pfn = self.model.alloc(order, gfp, node, cpu)
        try:
            found = self.memory.alloc_pages(order, gfp, node, cpu)
        except AllocationError:
            found = -1
            self.failed += 1
        assert found == pfn
        self.used += [(pfn, order)] if pfn >= 0 else []

    def alloc_exact(self):
        order, *request = self.request()
        pages = self.chance.randint(max(2**order // 2, 1), 2**order)
        blocks = self.model.alloc_exact(pages, *request)
        try:
            found = self.memory.alloc_pages_exact(pages, *request)
        except AllocationError:
            found = -1
            self.failed += 1
        assert found == (blocks[0][0] if blocks else -1)
        self.used += blocks

    def request(self):
        chance = self.chance
        order = min(int(chance.expovariate(0.8)), self.orders[-1])
        return order, chance.choice(FLAGS), chance.randrange(self.nodes), chance.randrange(CPUS)

    def burst(self):
        request = self.request()
        for _ in range(self.chance.randrange(40)):
            self.alloc(request)

    def free(self):
        if self.used:
            pfn, order = self.used.pop(self.chance.randrange(len(self.used)))
            cpu = self.chance.randrange(CPUS)
            self.model.free(pfn, cpu)
            self.memory.free_pages(pfn, order, cpu)

    def free_many(self):
        for _ in range(self.chance.randrange(40)):
            self.free()

    def mark(self, place=None):
        place = self.chance.randrange(len(self.memory.zones)) if place is None else place
        zone, model = self.memory.zones[place], self.model.zones[place]
        marks = sorted(self.chance.randrange(zone.pages // 3 + 1) for _ in range(3))
        model.min, model.low, model.zone.high_watermark = zone.watermarks = marks

    def isolate(self):
        place = self.chance.randrange(len(self.memory.zones))
        zone, model = self.memory.zones[place], self.model.zones[place].zone
        pfn, mt = zone.start_pfn + self.chance.randrange(zone.pages), self.chance.randrange(4)
        if self.chance.random() < 0.3:
            assert isolated(zone, pfn) == model.isolate(pfn)
        else:
            zone.unisolate(pfn, mt)
            model.unisolate(pfn, mt)

    def drain(self):
        self.memory.drain_all_pages()
        self.model.drain_all()

    def decay(self):
        self.memory.decay_pcp_high()
        self.model.decay()

    def alike(self):
        for guest_zone, model in zip(self.memory.guest_zones, self.model.zones, strict=True):
            same(guest_zone.zone, model.zone)
            for pcp, naive in zip(guest_zone.pcps, model.pcps, strict=True):
                assert [pfns.tolist() for pfns in pcp.lists()] == [[pfn for pfn, *_ in each] for each in naive.lists]
                assert pcp.high == naive.high


@pytest.mark.parametrize("profile", PROFILES[1:], ids=lambda row: row.name)
def test_allocations_are_the_naive_model_s(profile):
    failed = 0
    for seed in range(4):
        both = Both(random.Random(f"{seed} {profile.name}"), profile)
        for _ in range(40):
            both.step()
        failed += both.failed
        assert [problem for zone in both.memory.zones for problem in zone.check()] == []
    assert failed
