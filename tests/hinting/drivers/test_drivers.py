"""One scripted history through the three drivers: the same batches, the same lists, for both designs."""

import queue
import threading

import pytest

from pagehint.errors import InputError
from pagehint.hinting.action import Begin, Idle, React, Sleep
from pagehint.hinting.clock import VirtualClock
from pagehint.hinting.designs.hinting import PageHinting
from pagehint.hinting.designs.reporting import PageReporting
from pagehint.hinting.drivers.stepper import Stepper
from pagehint.hinting.drivers.thread import ThreadWorker
from pagehint.hinting.drivers.virtual import VirtualWorker
from pagehint.kernel.profiles import LINUX_5_3, LINUX_6_1
from pagehint.mm.check import check
from pagehint.mm.zone import Zone
from tests.limits import HANGS


class History:
    """A zone, what is done to it between runs (``scenes``) and during reacts, and what the device was told."""

    capacity = 3

    def __init__(self, profile, scenes, in_reacts, failing=(), stop_in=None):
        self.zone = Zone(64 << 10, profile=profile)
        self.blocks = {}
        self.scenes, self.in_reacts, self.failing, self.stop_in = scenes, in_reacts, failing, stop_in
        self.told = []
        self.stop = lambda: None

    def play(self, operations):
        for name, order in operations:
            if name in self.blocks:
                self.zone.free(self.blocks.pop(name), order)
            else:
                self.blocks[name] = self.zone.alloc(order)
                assert self.blocks[name] >= 0

    def react(self, batch):
        index = len(self.told)
        self.told.append(list(batch))
        self.play(self.in_reacts.get(index, ()))
        if index == self.stop_in:
            self.stop()
        if index in self.failing:
            raise OSError("the device can't")

    def outcome(self, design):
        zone = self.zone
        lists = {}
        for order in range(zone.max_order):
            for migratetype in range(5):
                pfns = zone.free_list(order, migratetype)
                if len(pfns):
                    lists[order, migratetype] = (pfns.tolist(), zone.is_hinted(pfns).tolist())
        assert check(zone) == []
        assert zone.in_flight_pages == 0
        done = design.statistics
        return self.told, lists, zone.free_pages, (done.runs, done.batches, done.blocks, done.pages, done.errors)


def play_virtual(history, design):
    clock = VirtualClock()
    worker = VirtualWorker(design, [history.zone], clock)
    history.stop = worker.stop
    for number, scene in enumerate(history.scenes):
        history.play(scene)
        if number == 0:
            worker.start(history)
        clock.advance(3600 * 10**9)
    worker.stop()
    return history.outcome(design)


def play_stepper(history, design):
    stepper = Stepper(design, [history.zone])
    history.stop = stepper.stop
    for number, scene in enumerate(history.scenes):
        history.play(scene)
        if number == 0:
            stepper.start(history)
        while not isinstance(action := stepper.step(), Idle):
            if isinstance(action, Sleep):
                stepper.now = action.until
            elif isinstance(action, React):
                error = None
                try:
                    history.react(action.batch)
                except OSError as raised:
                    error = raised
                stepper.reacted(error)
            else:
                assert isinstance(action, Begin)
    stepper.stop()
    return history.outcome(design)


def gated(kind):
    """The design, with a gate before each action that it names, and a queue of those that it named."""

    class Gated(kind):
        def __init__(self, *arguments, **settings):
            super().__init__(*arguments, **settings)
            self.gate, self.said = threading.Event(), queue.SimpleQueue()
            self.inner = False

        def next(self, now):
            if self.inner:  # a design asks itself again where a run has ended
                return super().next(now)
            assert self.gate.wait(HANGS)
            self.inner = True
            action = super().next(now)
            self.inner = False
            self.said.put(action)
            return action

    return Gated


def play_thread(history, design):
    worker = ThreadWorker(design, [history.zone])
    history.stop = worker.stop
    for number, scene in enumerate(history.scenes):
        design.gate.clear()
        history.play(scene)
        if number == 0:
            worker.start(history)
        elif not (history.zone.requested and design.started):
            continue
        design.gate.set()
        while not isinstance(design.said.get(timeout=HANGS), Idle):
            pass
    design.gate.set()
    worker.stop()
    return history.outcome(design)


def churn(order, count, tag=""):
    return [(f"{tag}{order}.{index}", order) for index in range(count)]


SCENES = [
    churn(9, 12) + churn(0, 5),
    churn(9, 8),
    churn(0, 5) + churn(9, 12)[8:] + churn(10, 20),
    churn(10, 20),
]
DURING = {1: churn(9, 6, "r"), 3: churn(9, 6, "r")[::-1], 4: churn(3, 9, "s"), 6: churn(3, 9, "s")}
HISTORIES = {
    "frees and allocations during reacts": {"in_reacts": DURING},
    "failing reacts": {"in_reacts": DURING, "failing": (0, 2, 7)},
    "stop during a react": {"in_reacts": DURING, "stop_in": 4},
    "stop during a react that fails": {"in_reacts": DURING, "failing": (4,), "stop_in": 4},
}
DESIGNS = {
    "hinting": (PageHinting, {"order": 9, "high_water_mark": 2, "delay": 10**6}, LINUX_5_3),
    "hinting, once a delay": (
        PageHinting,
        {"order": 3, "high_water_mark": 1, "delay": 10**6, "once_a_delay": True},
        LINUX_6_1,
    ),
    "reporting": (PageReporting, {"order": 9, "delay": 10**6}, LINUX_6_1),
    "reporting single pages": (PageReporting, {"order": 0, "delay": 10**6}, LINUX_6_1),
}


@pytest.mark.parametrize("history", HISTORIES)
@pytest.mark.parametrize("design", DESIGNS)
def test_the_drivers_agree(design, history):
    kind, settings, profile = DESIGNS[design]

    def fresh():
        return History(profile, SCENES, **HISTORIES[history])

    stepped = play_stepper(fresh(), kind(**settings))
    assert len(stepped[0]) > 4
    assert play_virtual(fresh(), kind(**settings)) == stepped
    assert play_thread(fresh(), gated(kind)(**settings)) == stepped


def test_two_zones_that_are_requested_before_the_worker_hears_of_either():
    design = gated(PageHinting)(high_water_mark=2, delay=0)
    zones = [Zone(16 << 10, name=name) for name in ("DMA32", "Normal")]
    history = History(LINUX_5_3, [], {})
    worker = ThreadWorker(design, zones)
    design.gate.set()
    worker.start(history)
    while not isinstance(design.said.get(timeout=HANGS), Idle):
        pass
    # The worker is kept in notified() of the first zone until the second one is requested too.
    both, notified = threading.Event(), design.notified

    def late(zone, now):
        assert both.wait(HANGS)
        notified(zone, now)

    design.notified = late
    for zone in zones:
        for pfn in [zone.alloc(10) for _ in range(4)]:
            zone.free(pfn, 10)
        assert zone.requested
    both.set()
    while not isinstance(design.said.get(timeout=HANGS), Idle):
        pass
    worker.stop()
    assert [zone.nr_hinted[10] for zone in zones] == [16, 16]


@pytest.mark.parametrize("design", [PageHinting(), PageReporting()])
def test_an_allocation_waits_for_the_react_and_the_delay_is_recorded(design):
    zone = Zone(2 << 10, profile=LINUX_6_1)
    clock = VirtualClock()
    history = History(LINUX_6_1, [], {})
    history.capacity = 1  # docs/spec/2 asks for more free pages than a whole batch has
    worker = VirtualWorker(design, [zone], clock, react_time=lambda react: 7 * 10**6)
    worker.start(history)
    clock.run_until(design.pending + 2 * 10**6)
    assert zone.in_flight_pages == 1024
    assert zone.alloc(10) >= 0
    assert worker.stalls == 0
    before = clock.now
    assert zone.alloc(10) >= 0
    assert worker.stalls == 1
    assert worker.stalled == clock.now - before == 5 * 10**6


def test_a_stepper_says_what_it_can_not_do():
    zone = Zone(4 << 10)
    stepper = Stepper(PageHinting(delay=0), [zone])
    history = History(LINUX_5_3, [], {})
    stepper.start(history)
    with pytest.raises(InputError, match="no react runs"):
        stepper.reacted()
    assert isinstance(stepper.step(), Begin)
    assert isinstance(stepper.step(), React)
    with pytest.raises(InputError, match="a react runs"):
        stepper.step()
    # Whoever needs a block in flight ends the react.
    taken = [zone.alloc(10) for _ in range(4)]
    assert sorted(taken) == [0, 1024, 2048, 3072]
    assert stepper.reacting is None
    assert zone.alloc(10) == -1
