"""The worker in real time among threads that do everything at once: in the end every page is there."""

import random
import threading
import time

import numpy as np

from pagehint.errors import BusyError
from pagehint.hinting.designs.hinting import PageHinting
from pagehint.hinting.drivers.thread import ThreadWorker
from pagehint.mm.check import check
from pagehint.mm.zone import Zone
from tests.limits import HANGS

SECONDS = 4.0
NAME = "under stress"


class Fickle:
    """A device that fails now and then, and sometimes uses the zones itself."""

    def __init__(self, seed, zones):
        self.random, self.zones = random.Random(seed), zones
        self.capacity = self.random.choice([1, 7, 32])
        self.told = self.failed = 0

    def react(self, blocks):
        zone = self.random.choice(self.zones)
        for pfn, order in blocks:
            assert any(each.start_pfn <= pfn < each.start_pfn + each.pages for each in self.zones)
            assert order >= 5
        if self.random.random() < 0.3:
            pfn = zone.alloc(0)
            if pfn >= 0:
                zone.free(pfn)
        if self.random.random() < 0.3:
            self.failed += 1
            raise OSError("fickle")
        self.told += len(blocks)


class Stress:
    def __init__(self):
        self.zones = [Zone(40_000, start_pfn=1000), Zone(20_011, start_pfn=65_000, pageblock_order=6, max_order=9)]
        self.worker = ThreadWorker(PageHinting(order=5, high_water_mark=2, delay="100us"), self.zones, name=NAME)
        self.end = time.monotonic() + SECONDS
        self.problems: list[BaseException] = []
        self.devices: list[Fickle] = []
        self.counts = dict.fromkeys(("alloc", "bulk", "isolate", "start"), 0)
        self.taken = [np.full(zone.pages, -1, np.int8) for zone in self.zones]

    def until_the_end(self, action, what, seed):
        dice = random.Random(seed)
        try:
            while time.monotonic() < self.end:
                action(dice)
                self.counts[what] += 1
        except BaseException as problem:
            self.problems.append(problem)
            raise

    def alloc(self, dice):
        which = dice.randrange(2)
        zone, taken = self.zones[which], self.taken[which]
        held = []
        for _ in range(dice.randrange(1, 200)):
            order = min(int(dice.expovariate(0.4)), zone.max_order - 1)
            pfn = zone.alloc(order, dice.randrange(3))
            if pfn >= 0:
                held.append((pfn, order))
                mine = taken[pfn - zone.start_pfn : pfn - zone.start_pfn + (1 << order)]
                assert (mine == -1).all(), "a page was given out twice"
                mine[:] = order
        dice.shuffle(held)
        for pfn, order in held:
            taken[pfn - zone.start_pfn : pfn - zone.start_pfn + (1 << order)] = -1
            zone.free(pfn, order)

    def bulk(self, dice):
        zone = dice.choice(self.zones)
        table = np.full(300, -1, np.int64)
        slots = np.arange(300, dtype=np.uint32)
        orders = np.array([dice.randrange(7) for _ in slots], np.uint8)
        types = np.array([dice.randrange(3) for _ in slots], np.uint8)
        for op in (1, 0):
            zone.bulk(np.full(300, op, np.uint8), slots, orders, types, table)
        assert (table == -1).all()

    def isolate(self, dice):
        zone = dice.choice(self.zones)
        pfns = [zone.start_pfn + dice.randrange(zone.pages) for _ in range(5)]
        isolated = []
        for pfn in pfns:
            try:
                zone.isolate(pfn)
            except BusyError:
                continue
            isolated.append(pfn)
        for pfn in isolated:
            zone.unisolate(pfn, dice.randrange(3))

    def start(self, dice):
        device = Fickle(dice.random(), self.zones)
        try:
            self.worker.start(device)
        except BusyError:
            time.sleep(0.001)  # a pace, or all that is done is to ask
            if dice.random() < 0.05:
                self.worker.stop()
        else:
            self.devices.append(device)


def test_everything_at_once(tasks):
    stress = Stress()
    jobs = [
        *[(stress.alloc, "alloc", seed) for seed in range(3)],
        (stress.bulk, "bulk", 3),
        (stress.isolate, "isolate", 4),
        *[(stress.start, "start", seed) for seed in (5, 6)],
    ]
    threads = [threading.Thread(target=stress.until_the_end, args=job, daemon=True) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(HANGS)
        assert not thread.is_alive(), "it hangs"
    stress.worker.stop()
    assert stress.problems == []
    assert not stress.worker.running
    deadline = time.monotonic() + HANGS
    while tasks(NAME):  # its last steps
        assert time.monotonic() < deadline, "its thread lives on"
    for zone in stress.zones:
        assert check(zone) == []
        assert zone.in_flight_pages == 0
        assert sum(count << order for order, count in enumerate(zone.nr_free)) == zone.pages
        assert zone.free_pages == zone.pages
        assert zone.nr_alloc == zone.nr_free_ops > 0
    assert min(stress.counts.values()) > 0
    assert sum(device.told for device in stress.devices) > 0
    assert sum(device.failed for device in stress.devices) > 0
    assert len(stress.devices) > 1
