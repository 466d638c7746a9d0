"""What all designs share: settings, statistics, start and stop, without a driver."""

import dataclasses
from contextlib import suppress
from types import SimpleNamespace

import pytest

from pagehint.errors import BusyError, InputError
from pagehint.hinting.action import BEGIN, IDLE, React, Sleep
from pagehint.hinting.clock import VirtualClock
from pagehint.hinting.design import Design
from pagehint.hinting.designs.hinting import PageHinting
from pagehint.hinting.designs.registry import DESIGNS
from pagehint.hinting.designs.reporting import PageReporting
from pagehint.hinting.drivers.stepper import Stepper
from pagehint.hinting.drivers.thread import ThreadWorker
from pagehint.hinting.drivers.virtual import VirtualWorker
from pagehint.hinting.setting import Setting
from pagehint.mm.guest.memory import GuestMemory
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


def test_it_shows_its_settings_as_it_is_made():
    assert repr(PageReporting(order=5)) == "PageReporting(order=5, delay=2000000000)"
    again = eval(repr(PageHinting(delay="20ms", idle="1s")))
    assert again.values() == PageHinting(delay="20ms", idle="1s").values()


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


class All(PageHinting):
    """Tells of all that is free, and notes what a run found at its end."""

    def forget(self):
        super().forget()
        self.ends = []

    def work(self):
        for zone in self.zones:
            zone.begin()
            self.ends.append((yield self.tell_all(zone)))
            assert not self.batch
            zone.end()


def drive(design, device, now=0):
    """Do what the design says until it rests."""
    while (action := design.next(now)) not in (IDLE, BEGIN):
        if isinstance(action, React):
            error = None
            try:
                device.react(action.batch)
            except OSError as raised:
                error = raised
            design.reacted(error, now)


@pytest.mark.parametrize(("capacity", "batches"), [(2, [2, 2]), (3, [3, 1]), (4, [4]), (5, [4])])
def test_tell_all_goes_on_while_a_batch_is_full_and_ends_once_a_zone(capacity, batches):
    zones = [Zone(4 * BLOCK), Zone(4 * BLOCK, start_pfn=4 * BLOCK)]
    device = Device(capacity)
    design = All(delay=0)
    design.start(zones, device, 0, print, print)
    assert design.next(0) == BEGIN
    drive(design, device)
    assert [len(batch) for batch in device.batches] == 2 * batches
    assert design.ends == [None, None]


def test_tell_all_ends_where_the_device_fails_and_the_next_zone_is_told():
    zones = [Zone(4 * BLOCK), Zone(4 * BLOCK, start_pfn=4 * BLOCK)]
    error = OSError("no")
    failures = [error]

    def react(blocks):
        if failures and device.batches:
            raise failures.pop()

    device = Device(2, react)
    design = All(delay=0)
    design.start(zones, device, 0, print, print)
    assert design.next(0) == BEGIN
    drive(design, device)
    assert design.ends == [error, None]
    assert [zone.nr_hinted[TOP] for zone in zones] == [2, 4]
    assert [zone.in_flight_pages for zone in zones] == [0, 0]


def test_tell_all_that_is_not_what_the_work_yields():
    zones = [Zone(4 * BLOCK), Zone(4 * BLOCK, start_pfn=4 * BLOCK)]

    class Mixed(All):
        def work(self):
            self.tell_all(zones[0])
            yield self.tell(zones[1])

    design = Mixed(delay=0)
    design.start(zones, Device(), 0, print, print)
    assert design.next(0) == BEGIN
    with pytest.raises(InputError, match="its work yielded"):
        design.next(0)
    with pytest.raises(InputError, match="zone"):
        design.tell_all(Zone(4 * BLOCK))


def test_tell_all_ends_where_the_device_is_stopped():
    zone = Zone(4 * BLOCK)
    device = Device(2, lambda blocks: design.stop())
    design = All(delay=0)
    design.start([zone], device, 0, print, print)
    assert design.next(0) == BEGIN
    drive(design, device)
    assert design.ends == [None]
    assert len(device.batches) == 1
    assert zone.nr_hinted[TOP] == 2
    assert not design.started


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
    assert repr(before.last_error) == repr(failures.pop())
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


def test_nothing_is_told_that_was_aborted_meanwhile():
    zone, clock, told = Zone(pages=1 << 16), VirtualClock(), []
    design = PageReporting()
    worker = VirtualWorker(design, [zone], clock, react_time=lambda react: 10**6)
    worker.start(SimpleNamespace(capacity=32, react=told.append))
    clock.run_until(2 * 10**9 + 10)
    assert design.in_flight is not None
    design.abort()
    clock.run_until(5 * 10**9)
    assert not told
    assert zone.in_flight_pages == 0
    with pytest.raises(InputError, match="no react runs"):
        design.reacted(None, 0)


def test_work_that_was_stopped_from_within_tells_nothing():
    class Stopped(Design):
        def work(self):
            react = self.tell(self.zones[0])
            with suppress(ValueError):
                self.next(self.now)
            self.stop()
            yield react

    design = Stopped()
    design.start([Zone(pages=1 << 12)], SimpleNamespace(capacity=32), 0, print, lambda zone, attempt: -1)
    design.next(0)
    with pytest.raises(InputError, match="its work yielded"):
        design.next(0)


@pytest.mark.parametrize("name", ["now", "zones", "running", "next", "ring", "settings", "label", "_run", "_own"])
def test_a_setting_that_has_a_name_of_designs_own(name):
    with pytest.raises(InputError, match=f"Own: its setting '{name}' is a name of Design's own: rename it"):
        type("Own", (PageReporting,), {name: Setting.count(3, "Any.")})


def test_settings_of_a_class_that_is_no_design():
    class Common:
        order: int = Setting.order(4)
        batches: int = Setting.count(2, "Any.")

    class Own(Common, PageReporting):
        delay: int = Setting.time("1s", "Any.")

    assert Own(batches=3).values() == {
        "timer_phase": None,
        "timer_tick": None,
        "order": 4,
        "batches": 3,
        "delay": 10**9,
    }
    assert Own(delay=5).order == 4


def test_a_setting_that_has_two_names():
    one = Setting.count(3, "Any.")

    class Own(PageReporting):
        batches = one

    with pytest.raises(InputError, match="Other: its setting 'rounds' is 'batches' too: make one for each"):
        type("Other", (PageReporting,), {"rounds": one})
    assert Own.settings["batches"].words(2) == "batches 2"


@pytest.mark.parametrize("drive", [VirtualWorker, ThreadWorker, Stepper])
def test_what_is_no_device_and_what_is_no_zone(drive):
    """A thread's failed each time, and was tried again; in virtual time the design was started then."""
    zone, design = Zone(64), PageReporting()

    def driven(zones):
        return drive(design, zones, VirtualClock()) if drive is VirtualWorker else drive(design, zones)

    for device in (None, 5, SimpleNamespace(capacity=4, react=5)):
        if drive is not Stepper or not hasattr(device, "capacity"):  # whose react is the caller's
            with pytest.raises(InputError, match="is no device: "):
                driven([zone]).start(device)
    for wrong in (5, None, GuestMemory("16MiB")):
        with pytest.raises(InputError, match="is no zone: expected"):
            driven([zone, wrong]).start(Device())
    assert not design.started
    worker = driven([zone])
    worker.start(Device())
    worker.stop()


def test_a_design_whose_own_init_made_no_design():
    class Own(PageReporting):
        def __init__(self):
            pass

    zone = Zone(64)
    with pytest.raises(InputError, match=r"Own: its __init__\(\) never called super\(\).__init__\(\)"):
        VirtualWorker(Own(), [zone], VirtualClock()).start(Device())
