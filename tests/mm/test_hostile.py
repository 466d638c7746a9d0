"""Public calls in any order and with any arguments may fail, but they never corrupt a zone, and never crash."""

import random
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest

from pagehint.arena.warm import WarmPages
from pagehint.errors import InputError, PagehintError
from pagehint.host.backing import Backing
from pagehint.kernel.profiles import LINUX_5_3, LINUX_6_1
from pagehint.mm.batch import Batch
from pagehint.mm.page import KIND, ORDER, USED
from pagehint.mm.pcp import PerCpuLists
from pagehint.mm.zone import Zone

EXPECTED = PagehintError, TypeError, ValueError, OverflowError, IndexError
ODD = (None, "1", 1.5, -1, 2**31, 2**63, -(2**63), 2**80, True, np.int64(3), [], object())
PAGES, START = 3000, 700


class Liar(np.ndarray):
    """An array that says it is longer than it is."""

    @property
    def shape(self):
        return (PAGES,)

    def __len__(self):
        return PAGES


class Hostile:
    """Draws calls of a zone's public methods: half of what they are given makes sense."""

    def __init__(self, zone, seed):
        self.zone = zone
        self.random = random.Random(seed)
        self.batches = [Batch(capacity) for capacity in (1, 3, 40)]
        self.pcps = [PerCpuLists(zone, cpu, batch, high) for cpu, batch, high in ((0, 7, 20), (1, 1, 0), (2, 63, 400))]
        self.other = Zone(zone.pages, start_pfn=zone.start_pfn)
        self.other_pcp = PerCpuLists(self.other, 0, 7, 20)
        self.device = object()

    def pfn(self):
        zone = self.zone
        used = np.flatnonzero((zone.page_state & KIND) == USED)
        draw = self.random.random()
        if draw < 0.5 and len(used):
            return zone.start_pfn + int(self.random.choice(used))
        return (
            self.random.choice([*ODD, 0]) if draw > 0.9 else zone.start_pfn + self.random.randrange(-2, zone.pages + 2)
        )

    def number(self, most):
        return self.random.choice(ODD) if self.random.random() < 0.1 else self.random.randrange(-1, most + 2)

    def order(self):
        return self.number(12)

    def migratetype(self):
        return self.number(5)

    def pages(self):
        return self.number(2 ** self.random.randrange(13))

    def batch(self):
        return self.random.choice([*self.batches, Batch(5)])

    def pcp(self):
        return self.random.choice([None, None, *self.pcps, self.other_pcp])

    def array(self, dtype, length, most):
        array = np.array([self.random.randrange(most) for _ in range(length)], dtype)
        return array.view(Liar) if self.random.random() < 0.1 else array

    def bulk(self):
        length = self.random.choice([0, 1, 30])
        lengths = [length if self.random.random() < 0.95 else 7 for _ in range(4)]
        table = self.array(np.int64, 20, 3)
        table[:] = -1 if self.random.random() < 0.8 else 5 + START
        ops, slots = self.array(np.uint8, lengths[0], 2), self.array(np.uint32, lengths[1], 22)
        return ops, slots, self.array(np.uint8, lengths[2], 12), self.array(np.uint8, lengths[3], 4), table, self.pcp()

    def free_block(self):
        pfn = self.pfn()
        state = int(self.zone.page_state[pfn - self.zone.start_pfn]) if self.in_zone(pfn) else 0
        return pfn, state & ORDER if self.random.random() < 0.8 else self.order(), self.pcp()

    def in_zone(self, pfn):
        return type(pfn) is int and 0 <= pfn - self.zone.start_pfn < self.zone.pages

    def calls(self) -> list[tuple[Callable, Callable]]:
        zone = self.zone
        return [
            *self.calls_of_designs(),
            *[(zone.alloc_nowait, lambda: (self.order(), self.migratetype(), self.pcp()))] * 6,
            *[(zone.free, self.free_block)] * 6,
            (zone.alloc, lambda: (self.order(), self.migratetype(), self.pcp())),
            (zone.bulk, self.bulk),
            (zone.free_exact, lambda: (self.pfn(), self.pages())),
            (zone.alloc_range, lambda: (self.pfn(), self.pages(), self.migratetype())),
            (zone.offline, lambda: (self.pfn(), self.pages())),
            (zone.online, lambda: (self.pfn(), self.pages())),
            (zone.isolate, lambda: (self.pfn(),)),
            (zone.unisolate, lambda: (self.pfn(), self.migratetype())),
            (zone.reorder, lambda: (self.pfn(),)),
            (zone.drain_pcp, lambda: (self.pcp(),)),
            (zone.load, lambda: (np.zeros(self.random.choice([3, zone.pages]), np.bool_).view(Liar),)),
        ]

    def calls_of_designs(self) -> list[tuple[Callable, Callable]]:
        zone = self.zone
        return [
            (zone.attach, lambda: (self.order(), self.number(40), self.random.choice([self.device, 1]), lambda: None)),
            (zone.attach, lambda: (self.order(), 0, self.device, lambda: None, None, True)),
            (zone.pull, lambda: (self.batch(),)),
            (partial(zone.pull, from_head=True, age=1), lambda: (self.batch(),)),
            (partial(zone.pull, order=9, migratetype=1, most=2, age=10**9), lambda: (self.batch(),)),
            (zone.ages, lambda: (np.array([self.number(PAGES + START)]),)),
            (partial(setattr, zone, "now"), lambda: (self.number(10**13),)),
            (zone.detach, lambda: ()),
            (zone.mute, lambda: ()),
            (zone.request, lambda: (self.random.random() < 0.5,)),
            (zone.begin, lambda: ()),
            (zone.end, lambda: ()),
            *[(zone.fill, lambda: (self.batch(),))] * 4,
            *[(zone.drain, lambda: (self.batch(), self.random.random() < 0.7))] * 8,
            *[(zone.take_unreported, lambda: (self.order(), self.migratetype(), self.batch(), self.number(3)))] * 4,
            (self.other.take_unreported, lambda: (9, 1, self.batch(), 3)),
            (self.other.drain, lambda: (self.batch(), True)),
            (zone.__init__, lambda: (5,)),
            (self.batches[0].__init__, lambda: (5,)),
            (self.pcps[0].__init__, lambda: (zone, 0, 5, 5)),
            (zone.free_list, lambda: (self.order(), self.migratetype())),
            (zone.boundary, lambda: (self.order(), self.migratetype())),
        ]

    def run(self, count):
        """So many calls; returns how many of them did something."""
        done = 0
        for _ in range(count):
            call, arguments = self.random.choice(self.calls())
            try:
                call(*arguments())
                done += 1
            except EXPECTED:
                pass
        return done


class HostileDesign(Hostile):
    """Draws calls of what a design does alone: an arena's pages can't be allocated in a zone's ways."""

    def calls(self) -> list[tuple[Callable, Callable]]:
        return self.calls_of_designs()


@pytest.mark.parametrize("seed", range(12))
def test_no_call_corrupts_a_zone(seed):
    settings = {"profile": LINUX_6_1} if seed % 2 else {"profile": LINUX_5_3, "shuffle_order": 10 if seed % 4 else None}
    zone = Zone(PAGES, start_pfn=START, present=2900, **settings)
    hostile = Hostile(zone, seed)
    done = 0
    for _ in range(40):
        done += hostile.run(25)
        assert zone.check() == []
        assert hostile.other.check() == []
    assert done > 300


@pytest.mark.parametrize("seed", range(4))
def test_no_call_corrupts_an_arenas_pages(seed):
    zone = WarmPages(PAGES, 1 << 20)
    hostile = HostileDesign(zone, seed)
    owned = {}
    calls = [
        *[(zone.take, lambda: (hostile.pages(),))] * 6,
        *[(zone.release, lambda: (hostile.random.choice([*owned, hostile.pfn()]),))] * 6,
        (zone.tick, lambda: ()),
        (zone.fill_all, lambda: (hostile.batch(),)),
        (zone.orphan, lambda: ()),
    ]
    for _ in range(40):
        hostile.run(15)
        for _ in range(10):
            call, arguments = hostile.random.choice(calls)
            given = arguments()
            try:
                got = call(*given)
            except EXPECTED:
                continue
            if call == zone.take and got >= 0:
                owned[got] = given[0]
            elif call == zone.release:
                del owned[given[0]]
        assert zone.check() == []
        assert zone.used_pages == sum(owned.values())
        for begin, pages in owned.items():
            assert zone.blocks == len(owned)
            assert not any(begin < other < begin + pages for other in owned), "one owner each"


class UnmadeZone(Zone):
    def __init__(self):
        pass


class UnmadePages(WarmPages):
    def __init__(self):
        pass


@pytest.mark.parametrize("kind", [UnmadeZone, UnmadePages])
def test_what_was_never_made_can_not_be_used(kind):
    thing = kind()
    for name in dir(thing):
        if not name.startswith("_"):
            for arguments in ((), (0,), (0, 1), (Batch(1),), (Batch(1), True), (9, 1, Batch(1), 1)):
                try:
                    attribute = getattr(thing, name)
                    if callable(attribute):
                        attribute(*arguments)
                except (*EXPECTED, AttributeError):
                    pass


def test_what_is_made_is_made_once():
    zone = Zone(64, max_order=4, pageblock_order=3)
    made = [
        (zone, (64,)),
        (Batch(3), (3,)),
        (PerCpuLists(zone, 0, 1, 1), (zone, 0, 1, 1)),
        (Backing(512, "4KiB"), (512, "4KiB")),
        (WarmPages(64, 4096), (64, 4096)),
    ]
    for thing, arguments in made:
        with pytest.raises(InputError, match="made once"):
            thing.__init__(*arguments)


def test_a_zone_whose_making_failed_can_not_be_used():
    zone = UnmadeZone()
    with pytest.raises(InputError):
        Zone.__init__(zone, 4096, watermarks=(5, 4, 3))
    with pytest.raises(InputError):
        Zone.__init__(zone, 4096, name=3)
    with pytest.raises(InputError):
        zone.alloc()
    with pytest.raises(InputError):
        zone.online(0, 1)


def test_filling_without_a_cycle_is_refused():
    zone = Zone(64, max_order=4, pageblock_order=3)
    batch = Batch(8)
    zone.attach(0, 0, object(), lambda: None)
    with pytest.raises(InputError, match="begin a cycle"):
        zone.fill(batch)
    assert len(batch) == 0


def test_isolated_blocks_are_not_taken():
    zone = Zone(4096)
    zone.isolate(0)
    with pytest.raises(InputError, match="isolated"):
        zone.take_unreported(10, 4, Batch(8), 5)
    assert zone.check() == []


def test_another_device_in_the_middle_of_a_cycle():
    """The boundary stood at a block that was hinted for the first device."""
    zone = Zone(8192)
    zone.attach(9, 0, "first", lambda: None)
    batch = Batch(2)
    zone.begin()
    zone.fill(batch)
    zone.drain(batch, True)
    zone.detach()
    zone.attach(9, 0, "second", lambda: None)
    while zone.alloc(10) >= 0:
        pass
    assert zone.check() == []


@pytest.mark.parametrize("order", [11, 12, 20, 31])
def test_a_batch_of_blocks_for_a_backing(order):
    backing = Backing(4096, "4KiB")
    backing.touch(0, 12)
    with pytest.raises(InputError, match="2 pfns, but 1 orders"):
        backing.discard_blocks(np.array([0, 1 << 40]), np.array([3], np.uint8))
    pfns = np.array([4000, -5, 2**63 - 1, 0])
    assert backing.discard_blocks(pfns, np.array([order, 255, 40, 3], np.uint8)) == 96 + 8


def test_what_another_design_pulled_is_no_page_of_an_arenas_blocks():
    zone = WarmPages(256, 1 << 20)
    first, kept = zone.take(100), zone.take(3)
    zone.release(first)
    batch = Batch(2)
    for order in range(zone.max_order):
        zone.pull(batch, order=order)
    pulled = [block.pfn + k for block in batch for k in range(1 << block.order)]
    taken = [begin for _ in range(20) if (begin := zone.take(16)) >= 0]
    pages = [begin + k for begin in taken for k in range(16)] + list(range(kept, kept + 3)) + pulled
    assert zone.in_flight_pages == len(pulled) > 0
    assert len(taken) > 5
    assert len(set(pages)) == len(pages)
    assert zone.check() == []
