"""Free page reporting against the naive model: random zones and histories, all compared after each step and report."""

import random
from collections import deque

import pytest

from pagehint.errors import BusyError
from pagehint.hinting.designs.reporting import PageReporting
from pagehint.kernel.profiles import PROFILES
from pagehint.mm.check import check
from pagehint.mm.zone import Zone

from ..rig import Driven
from .naive_reporting import NaiveReporting, naive_reported_zone

MS = 10**6
OPS = ("alloc", "fragment", "free", "free_some", "isolate", "unisolate", "recast", "reorder", "watermarks")
WEIGHTS = (6, 1, 8, 2, 2, 3, 1, 1, 1)


class Side:
    """What both sides do alike. ``queue``: what happens while a device is told, so many ops each time."""

    def __init__(self, capacities, failures):
        self.devices = [Device(self, capacity, failures) for capacity in capacities]
        self.seen, self.queue, self.used = [], deque(), {}

    def run(self, op, *arguments):
        self.seen.append((op, getattr(self, op)(*arguments)))

    def alloc(self, which, order, mt):
        pfn = self.take(which, order, mt)
        if pfn >= 0:
            self.used[pfn] = which, order
        return pfn

    def fragment(self, which, order, mt, step):
        """Allocate all that there is, and free some of it."""
        while self.alloc(which, order, mt) >= 0:
            pass
        self.free_some(step)

    def free_some(self, step):
        for pfn in sorted(self.used)[::step]:
            self.give(*self.used.pop(pfn), pfn)

    def free(self, place):
        if self.used:
            pfn = sorted(self.used)[place % len(self.used)]
            self.give(*self.used.pop(pfn), pfn)

    def recast(self, which, pfn, mt):
        self.isolate(which, pfn)
        self.unisolate(which, pfn, mt)


class Device:
    """Notes what it is told of and the state, lets happen what is queued, and fails as it was told to."""

    def __init__(self, side, capacity, failures):
        self.side, self.capacity, self.failures = side, capacity, deque(failures)

    def react(self, blocks):
        side = self.side
        side.seen.append(("react", [tuple(map(int, block)) for block in blocks], side.state()))
        for op in side.queue.popleft() if side.queue else ():
            side.run(*op)
        self.failures.rotate(-1)
        if self.failures[-1]:
            raise OSError("the device failed")


class Real(Driven, Side):
    def __init__(self, capacities, failures, zones, profile, takes, **design):
        super().__init__(capacities, failures)
        self.zones = [Zone(profile=profile, **zone) for zone in zones]
        self.drive(PageReporting(**design), self.zones, lambda react: takes)
        self.problems = []

    def take(self, which, order, mt):
        return self.zones[which].alloc_nowait(order, mt)

    def give(self, which, order, pfn):
        self.zones[which].free(pfn, order)

    def isolate(self, which, pfn):
        try:
            self.zones[which].isolate(pfn)
        except BusyError as error:
            return -error.errno
        return 0

    def unisolate(self, which, pfn, mt):
        self.zones[which].unisolate(pfn, mt)

    def reorder(self, which, order, mt, place):
        pfns = self.zones[which].free_list(order, mt)
        if len(pfns):
            self.zones[which].reorder(int(pfns[place % len(pfns)]))

    def watermarks(self, which, least, low):
        self.zones[which].watermarks = least, low, low

    def state(self):
        self.problems += [problem for zone in self.zones for problem in check(zone)]
        lists = [
            {(order, mt): zone.free_list(order, mt) for order in range(zone.max_order) for mt in range(5)}
            for zone in self.zones
        ]
        told = [
            sorted(int(pfn) for pfns in each.values() for pfn in pfns[zone.is_hinted(pfns)])
            for each, zone in zip(lists, self.zones, strict=True)
        ]
        return {
            "lists": [{which: pfns.tolist() for which, pfns in each.items()} for each in lists],
            "told": told,
            "types": [zone.pageblock_types.tolist() for zone in self.zones],
            "free": [zone.free_pages for zone in self.zones],
            "in flight": [zone.in_flight_pages for zone in self.zones],
            "due": self.design.pending,
            "started": self.design.started,
            "now": self.clock.now,
        }


class Naive(Side):
    def __init__(self, capacities, failures, zones, profile, takes, order, delay):
        super().__init__(capacities, failures)
        self.zones = [naive_reported_zone(profile.name, **zone) for zone in zones]
        begun = lambda now: self.seen.append(("work", now))  # noqa: E731
        self.reporting = NaiveReporting(self.zones, order, delay, takes, begun)

    def take(self, which, order, mt):
        return self.zones[which].alloc(order, mt)

    def give(self, which, order, pfn):
        self.zones[which].free(pfn)

    def isolate(self, which, pfn):
        return self.zones[which].isolate(pfn)

    def unisolate(self, which, pfn, mt):
        self.zones[which].unisolate(pfn, mt)

    def reorder(self, which, order, mt, place):
        entries = self.zones[which].lists[order, mt]
        if entries:
            self.zones[which].rotate(order, mt, (place + 1) % len(entries))

    def watermarks(self, which, least, low):
        self.zones[which].min_watermark, self.zones[which].low_watermark = least, low

    def start(self, device):
        return self.reporting.start(self.devices[device])

    def stop(self):
        self.reporting.stop()

    def tick(self, milliseconds):
        self.reporting.tick(milliseconds * MS)

    def state(self):
        reporting = self.reporting
        return {
            "lists": [{which: list(pfns) for which, pfns in zone.lists.items()} for zone in self.zones],
            "told": [sorted(zone.hinted) for zone in self.zones],
            "types": [list(zone.types.values()) for zone in self.zones],
            "free": [zone.free_pages for zone in self.zones],
            "in flight": [sum(2**order for order, _ in zone.in_flight.values()) for zone in self.zones],
            "due": None if reporting.running is not None else reporting.due,
            "started": reporting.device is not None,
            "now": reporting.now,
        }


def shape(chance, start_pfn):
    pageblock_order = chance.choice((0, 1, 2, 3, 3, 4))
    pages = chance.choice(
        (chance.randrange(1, 40), chance.randrange(1, 24) << pageblock_order, chance.randrange(1, 300))
    )
    return {
        "pages": pages,
        "start_pfn": start_pfn + chance.choice((0, chance.randrange(64))),
        "pageblock_order": pageblock_order,
        "max_order": pageblock_order + chance.randrange(1, 4),
    }


def random_op(chance, zones):
    op = chance.choices(OPS, WEIGHTS)[0]
    which = chance.randrange(len(zones))
    zone = zones[which]
    order = min(int(chance.expovariate(0.6)), zone["max_order"] - 1)
    pfn = zone["start_pfn"] + chance.randrange(zone["pages"])
    least = zone["pages"] * chance.choice((0, 0, 0, 0, 10, 30, 60)) // 100
    arguments = {
        "alloc": (which, order, chance.randrange(3)),
        "fragment": (which, order, chance.randrange(3), chance.randrange(1, 5)),
        "free": (chance.randrange(1 << 10),),
        "free_some": (chance.randrange(1, 6),),
        "isolate": (which, pfn),
        "unisolate": (which, pfn, chance.randrange(4)),
        "recast": (which, pfn, chance.choice((0, 1, 2, 3, 3))),
        "reorder": (which, order, chance.randrange(4), chance.randrange(1 << 10)),
        "watermarks": (which, least, min(least + chance.choice((0, 5, 40)), zone["pages"])),
    }
    return op, *arguments[op]


def history(seed, profile, steps):
    """One random history, on both sides."""
    chance = random.Random(f"{seed} {profile.name}")
    zones = [shape(chance, 1024 * which) for which in range(chance.choice((1, 1, 1, 2, 3)))]
    for zone in zones[1:]:
        zone["max_order"], zone["pageblock_order"] = zones[0]["max_order"], zones[0]["pageblock_order"]
    top = zones[0]["max_order"] - 1
    settings = {
        "capacities": [chance.choice((1, 1, 2, 2, 3, 5, 8, 32)) for _ in range(2)],
        "failures": chance.choice(([0], [0], [0], [0, 0, 1], [chance.randrange(2) for _ in range(7)])),
        "zones": zones,
        "profile": profile,
        "takes": chance.choice((0, 0, 3 * MS)),
        "order": chance.randrange(top + 1),
        "delay": chance.choice((10, 2000)) * MS,
    }
    sides = Real(**settings), Naive(**settings)

    def both(op, *arguments):
        for side in sides:
            side.run(op, *arguments)
        real, naive = sides
        assert real.seen == naive.seen, (seed, profile.name)
        assert real.state() == naive.state(), (seed, profile.name)
        assert real.used == naive.used
        assert real.problems == []
        real.seen.clear()
        naive.seen.clear()

    both("start", 0)
    for _ in range(steps):
        what = chance.random()
        if what < 0.55:
            both(*random_op(chance, zones))
        elif what < 0.75:
            ops = [random_op(chance, zones) for _ in range(chance.randrange(4))]
            for side in sides:
                side.queue.append(ops)
        elif what < 0.95:
            both("tick", chance.choice((1, 2, 10, 100, 2000, 2000, 5000)))
        elif what < 0.97:
            both("stop")
        else:
            both("start", chance.randrange(2))
    both("stop")


@pytest.mark.parametrize("profile", PROFILES, ids=lambda row: row.name)
def test_passes_are_the_naive_model_s(profile):
    for seed in range(4):
        history(seed, profile, 60)
