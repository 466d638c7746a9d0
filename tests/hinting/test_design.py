"""What all designs share: settings, statistics, start and stop, without a driver."""

import dataclasses

import pytest

from pagehint.errors import BusyError, InputError
from pagehint.hinting.action import BEGIN, IDLE, React, Sleep
from pagehint.hinting.clock import VirtualClock
from pagehint.hinting.designs.hinting import PageHinting
from pagehint.hinting.designs.registry import DESIGNS
from pagehint.hinting.drivers.virtual import VirtualWorker
from pagehint.mm.zone import Zone

from .rig import BLOCK, TOP, Device, Rig

HUGE = 10**30


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        *[("order", value) for value in (-1, 32, HUGE, 1.5, None, "9")],
        *[("high_water_mark", value) for value in (-1, HUGE, 1.5, None, "32")],
        *[("delay", value) for value in (-1, "", "fast", "100 parsecs", "-5ms")],
        *[("idle", value) for value in (-1, "soon")],
    ],
)
def test_a_bad_setting(setting, value):
    with pytest.raises(InputError):
        PageHinting(**{setting: value})


def test_times_are_nanoseconds_or_text():
    assert PageHinting(delay="100ms").delay == PageHinting(delay=10**8).delay == PageHinting().delay
    assert PageHinting(idle="2s").idle == 2 * 10**9


def started(zones, device, **settings):
    design = PageHinting(**settings)
    rung = []
    design.start(zones, device, 0, rung.append, lambda zone, order, migratetype: -1)
    return design, rung


def test_a_cycle_step_by_step():
    zone = Zone(3 * BLOCK)
    design, _ = started([zone], Device(2), delay=100)
    assert design.pending == 100
    assert design.next(0) == design.next(99) == Sleep(100)
    assert design.next(100) == BEGIN
    for blocks in (2, 1):
        action = design.next(100)
        assert isinstance(action, React)
        assert (action.zone, len(action.batch)) == (zone, blocks)
        assert zone.in_flight_pages == blocks * BLOCK
        assert zone.active
        design.reacted(None, 100)
    assert design.next(100) == IDLE
    assert zone.nr_hinted[TOP] == 3
    assert not zone.active


def test_zones_that_ask_before_either_is_heard_are_both_served():
    zones = [Zone(64 * BLOCK), Zone(64 * BLOCK, start_pfn=1 << 20)]
    design, rung = started(zones, Device(64), delay=100)
    now = 100
    while (action := design.next(now)) != IDLE:
        if isinstance(action, React):
            design.reacted(None, now)
    for zone in zones:
        pfns = [zone.alloc(TOP) for _ in range(40)]
        for pfn in pfns:
            zone.free(pfn, TOP)
    assert rung == zones
    for zone in rung:
        design.notified(zone, 200)
    assert design.pending == 300


def test_stop_at_rest_and_in_a_react():
    zone = Zone(3 * BLOCK)
    device = Device(1)
    design, _ = started([zone], device, delay=0)
    assert design.next(0) == BEGIN
    assert isinstance(design.next(0), React)
    assert design.stop() is False
    assert design.started
    with pytest.raises(BusyError):
        design.start([zone], device, 0, print, print)
    design.reacted(None, 0)
    assert design.next(0) == IDLE
    assert not design.started
    assert not zone.active
    design.start([zone], device, 0, print, print)
    assert design.stop() is True


def test_statistics():
    rig = Rig(5 * BLOCK)
    rig.zone.alloc(9)
    failures = [ValueError("first")]

    def react(blocks):
        if failures:
            raise failures[0]

    rig.start(2, react)
    rig.tick()
    before = rig.design.statistics
    assert (before.runs, before.batches, before.blocks, before.pages, before.errors) == (1, 0, 0, 0, 1)
    assert before.last_error is failures.pop()
    rig.tick(1000)
    after = rig.design.statistics
    assert (after.runs, after.batches, after.blocks, after.pages, after.errors) == (2, 3, 5, 4 * BLOCK + 512, 1)
    assert before.blocks == 0, "statistics are a snapshot"
    with pytest.raises(dataclasses.FrozenInstanceError):
        after.runs = 0


def test_a_start_that_fails_in_the_second_zone_leaves_the_first_free():
    zones = [Zone(4 * BLOCK), Zone(4 * BLOCK, hinting=False)]
    with pytest.raises(InputError, match="without hinting"):
        started(zones, Device())
    design, _ = started(zones[:1], Device())
    assert design.started


@pytest.mark.parametrize("name", DESIGNS)
def test_no_zones_at_all(name):
    device, clock = Device(), VirtualClock()
    worker = VirtualWorker(DESIGNS[name](), [], clock)
    worker.start(device)
    clock.advance(10**12)
    worker.stop()
    assert not device.batches
