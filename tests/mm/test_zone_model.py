"""A zone and its hinting against the naive model: the whole state is compared after every step and in every react."""

from collections import deque
from itertools import compress, cycle, takewhile

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from pagehint.errors import BusyError, InputError
from pagehint.hinting.designs.hinting import PageHinting
from pagehint.kernel.profiles import PROFILES, kernel_profile
from pagehint.mm.check import check
from pagehint.mm.zone import Zone

from ..hinting.rig import Driven
from .naive import NaiveHinting
from .naive_profiles import naive_zone

MS = 10**6


class Device:
    """A device of either side: notes the state in each react, runs what is queued, and fails as it was told to."""

    def __init__(self, capacity, failures, side):
        self.capacity, self.side = capacity, side
        self.failures = deque(failures)

    def react(self, blocks):
        side = self.side
        side.seen.append(("react", [tuple(map(int, block)) for block in blocks], side.state()))
        while side.queue and (op := side.queue.popleft()) != "|":
            side.seen.append((op, side.run(*op), side.state()))
        self.failures.rotate(-1)
        if self.failures and self.failures[-1]:
            raise OSError("the device failed")


class Side:
    """What both sides do alike: run an op, chosen by numbers, on whatever is allocated."""

    def __init__(self, devices, pages):
        self.pages = pages
        self.devices = [Device(capacity, failures, self) for capacity, failures in devices]
        self.queue, self.seen = deque(), []
        self.used = {}
        self.problems = []  # noted, for an assertion in a react would be taken for a device that fails

    def run(self, op, *arguments):
        return getattr(self, op)(*arguments)

    def alloc(self, order, mt):
        pfn = self.take(order, mt)
        if pfn >= 0:
            self.used[pfn] = order
        return pfn

    def alloc_many(self, order, mt, count):
        """Until one fails."""
        return list(takewhile(lambda pfn: pfn >= 0, (self.alloc(order, mt) for _ in range(count))))

    def free(self, which):
        if self.used:
            pfn = sorted(self.used)[which % len(self.used)]
            self.give(pfn, self.used.pop(pfn))

    def free_some(self, pattern):
        for pfn in compress(sorted(self.used), cycle(pattern)):
            self.give(pfn, self.used.pop(pfn))

    def fragment(self, order, mt, pattern):
        """Allocate all that there is, and free some of it."""
        self.alloc_many(order, mt, 1 << 12)
        self.free_some(pattern)

    def recast(self, at, mt):
        """Change a pageblock's type, and end its isolation if there is one."""
        self.isolate(at)
        self.unisolate(at, mt)


class Real(Driven, Side):
    def __init__(self, devices, zone, hinting):
        super().__init__(devices, zone["pages"])
        self.zone = Zone(**zone | {"profile": kernel_profile(zone["profile"])})
        self.drive(PageHinting(**hinting), [self.zone])

    def take(self, order, mt):
        return self.zone.alloc(order, mt)

    def give(self, pfn, order):
        self.zone.free(pfn, order)

    def isolate(self, at):
        try:
            self.zone.isolate(self.zone.start_pfn + at % self.pages)
        except BusyError as error:
            return -error.errno
        return 0

    def unisolate(self, at, mt):
        self.zone.unisolate(self.zone.start_pfn + at % self.pages, mt)

    def watermark(self, low):
        self.zone.watermarks = (0, low, low)

    def state(self):
        zone, design = self.zone, self.design
        self.problems += check(zone)
        assert zone.nr_hinted is None or len(zone.nr_hinted) == zone.max_order
        orders, types = range(zone.max_order), range(5)
        lists = {(order, mt): zone.free_list(order, mt) for order in orders if zone.nr_free[order] for mt in types}
        pairs = [(order, mt) for order in range(design.order, zone.max_order) for mt in types]
        return {
            "lists": {which: pfns.tolist() for which, pfns in lists.items() if len(pfns)},
            "hinted": sorted(int(pfn) for pfns in lists.values() for pfn in pfns[zone.is_hinted(pfns)]),
            "nr_free": zone.nr_free,
            "nr_hinted": zone.nr_hinted,
            "free_pages": zone.free_pages,
            "in_flight_pages": zone.in_flight_pages,
            "isolated": zone.isolated,
            "types": zone.pageblock_types.tolist(),
            "movable": zone.pageblock_movable.tolist(),
            "flags": (zone.requested, zone.active),
            "boundaries": {which: zone.boundary(*which) for which in pairs} if zone.active else None,
            "pending": design.pending,
            "started": design.started,
            "statistics": (design.statistics.blocks, design.statistics.errors),
            "now": self.clock.now,
        }


class Naive(Side):
    def __init__(self, devices, zone, hinting):
        super().__init__(devices, zone["pages"])
        self.zone = naive_zone(**zone)
        begun = lambda now: self.seen.append(("work", now))  # noqa: E731
        self.hinting = NaiveHinting(self.zone, **hinting, on_work=begun)

    def take(self, order, mt):
        return self.zone.alloc(order, mt)

    def give(self, pfn, order):
        self.zone.free(pfn)

    def isolate(self, at):
        return self.zone.isolate(self.zone.start + at % self.pages)

    def unisolate(self, at, mt):
        self.zone.unisolate(self.zone.start + at % self.pages, mt)

    def start(self, device):
        return self.hinting.start(self.devices[device])

    def stop(self):
        self.hinting.stop()

    def tick(self, milliseconds):
        self.hinting.tick(milliseconds * MS)

    def watermark(self, low):
        self.zone.low_watermark = low

    def state(self):
        zone, hinting = self.zone, self.hinting
        pairs = [(order, mt) for order in range(hinting.order, zone.max_order) for mt in range(5)]
        return {
            "lists": {which: list(pfns) for which, pfns in zone.lists.items() if pfns},
            "hinted": sorted(zone.hinted),
            "nr_free": zone.nr_free,
            "nr_hinted": zone.nr_hinted,
            "free_pages": zone.free_pages,
            "in_flight_pages": sum(2**order for order, _ in zone.in_flight.values()),
            "isolated": zone.isolated,
            "types": list(zone.types.values()),
            "movable": zone.movable,
            "flags": (zone.requested, zone.active),
            "boundaries": {which: zone.boundaries.get(which, -1) for which in pairs} if zone.active else None,
            "pending": hinting.due,
            "started": hinting.device is not None,
            "statistics": (hinting.blocks, hinting.errors),
            "now": hinting.now,
        }


@st.composite
def zones(draw, profiles):
    """Mostly small ones, of a few pageblocks and a few blocks of the largest order: there everything meets."""
    pageblock_order = draw(st.one_of(st.integers(1, 5), st.integers(1, 4), st.integers(0, 9)))
    whole = draw(st.integers(1, 24)) << pageblock_order
    return {
        "pages": draw(st.one_of(st.integers(1, 40), st.just(min(whole, 2500)), st.integers(1, min(whole, 2500)))),
        "start_pfn": draw(st.one_of(st.just(0), st.integers(0, 200), st.integers(0, 5000))),
        "max_order": pageblock_order + draw(st.one_of(st.integers(1, 3), st.integers(1, 3), st.integers(1, 22))),
        "pageblock_order": pageblock_order,
        "profile": draw(profiles),
    }


@st.composite
def hintings(draw, pageblock_order, max_order):
    return {
        "order": draw(st.one_of(st.integers(0, min(max_order - 1, 3)), st.just(pageblock_order))),
        "high_water_mark": draw(st.sampled_from([0, 1, 2, 5, 32])),
        "delay": draw(st.sampled_from([10, 100])) * MS,
    }


DEVICES = st.tuples(st.sampled_from([1, 2, 3, 5, 8, 20]), st.lists(st.booleans(), max_size=3))
ORDERS = st.one_of(st.integers(0, 3), st.integers(0, 9))
TYPES = st.integers(0, 2)
PLACES = st.one_of(st.integers(0, 40), st.integers(0, 3000))
PATTERNS = st.lists(st.booleans(), min_size=1, max_size=7)
OPS = st.one_of(
    st.tuples(st.just("alloc"), ORDERS, TYPES),
    st.tuples(st.just("alloc_many"), ORDERS, TYPES, st.integers(1, 30)),
    st.tuples(st.just("free"), PLACES),
    st.tuples(st.just("free_some"), PATTERNS),
    st.tuples(st.just("isolate"), PLACES),
    st.tuples(st.just("unisolate"), PLACES, st.integers(0, 3)),
    st.tuples(st.just("recast"), PLACES, st.integers(0, 3)),
    st.tuples(st.just("fragment"), ORDERS, TYPES, PATTERNS),
)


class ZoneAgainstModel(RuleBasedStateMachine):
    PROFILES = st.just("5.3")

    @initialize(data=st.data(), devices=st.lists(DEVICES, min_size=2, max_size=2))
    def make(self, data, devices):
        zone = data.draw(zones(self.PROFILES), label="zone")
        hinting = data.draw(hintings(zone["pageblock_order"], zone["max_order"]), label="hinting")
        self.max_order, self.pages = zone["max_order"], zone["pages"]
        self.real, self.naive = Real(devices, zone, hinting), Naive(devices, zone, hinting)

    def both(self, op, *arguments):
        real, naive = self.real.run(op, *arguments), self.naive.run(op, *arguments)
        assert real == naive

    def fitting(self, op):
        return (op[0], op[1] % self.max_order, *op[2:]) if op[0] in ("alloc", "alloc_many", "fragment") else op

    @rule(op=OPS)
    def one(self, op):
        self.both(*self.fitting(op))

    @rule(ops=st.lists(st.one_of(OPS, st.just("|")), min_size=1, max_size=6))
    def queue(self, ops):
        for side in (self.real, self.naive):
            side.queue.extend(op if op == "|" else self.fitting(op) for op in ops)

    @rule(device=st.integers(0, 1))
    def start(self, device):
        self.both("start", device)

    @rule()
    def stop(self):
        self.both("stop")

    @rule(op=OPS, device=st.integers(0, 1))
    def cycle(self, op, device):
        """Much happens in a run, if there are blocks to tell of."""
        self.both("free_some", [True, False])
        self.both(*self.fitting(op))
        self.both("start", device)
        self.both("tick", 100)

    @rule(order=st.integers(0, 2), mt=TYPES, pattern=PATTERNS, then=st.lists(st.tuples(ORDERS, TYPES), max_size=4))
    def fall_back(self, order, mt, pattern, then):
        self.both("fragment", order % self.max_order, mt, pattern)
        for other in then:
            self.both("alloc", other[0] % self.max_order, other[1])

    @rule(places=st.lists(st.tuples(PLACES, st.sampled_from([0, 1, 2, 3, 3, 3])), min_size=1, max_size=5))
    def recast(self, places):
        for at, mt in places:
            self.both("recast", at, mt)

    @rule(milliseconds=st.sampled_from([1, 10, 100, 1000]))
    def tick(self, milliseconds):
        self.both("tick", milliseconds)

    @rule(percent=st.sampled_from([0, 0, 10, 50, 100]))
    def watermark(self, percent):
        self.both("watermark", self.pages * percent // 100)

    @rule(pfn=st.one_of(st.integers(-10, 6000), st.integers()), order=st.one_of(ORDERS, st.integers()))
    def free_wrongly(self, pfn, order):
        if self.real.used.get(pfn) != order:
            with pytest.raises(InputError):
                self.real.zone.free(pfn, order)

    @precondition(lambda self: hasattr(self, "real"))
    @invariant()
    def alike(self):
        assert self.real.problems == []
        assert self.real.seen == self.naive.seen
        self.real.seen.clear()
        self.naive.seen.clear()
        assert self.real.used == self.naive.used
        assert self.real.state() == self.naive.state()
        assert self.real.problems == []

    def teardown(self):
        if hasattr(self, "real"):
            self.both("stop")
            self.both("free_some", [True])
            self.alike()


ZoneAgainstModel.TestCase.settings = settings(stateful_step_count=50)
TestZoneAgainstModel = ZoneAgainstModel.TestCase


class LaterZoneAgainstModel(ZoneAgainstModel):
    """The lists of later kernels, where what moves goes to the tail."""

    PROFILES = st.sampled_from([profile.name for profile in PROFILES[1:]])


LaterZoneAgainstModel.TestCase.settings = settings(stateful_step_count=50, max_examples=30)
TestLaterZoneAgainstModel = LaterZoneAgainstModel.TestCase
