"""The worker in real time, on a thread: docs/spec/1, section 9, where threads come in."""

import sys
import threading
import time

import numpy as np
import pytest

from pagehint.errors import BusyError, InputError
from pagehint.hinting.designs.hinting import PageHinting
from pagehint.hinting.drivers.thread import ThreadWorker
from pagehint.mm.check import check
from pagehint.mm.zone import Zone
from pagehint.units import LONGEST_TIME
from tests.limits import HANGS

from ..rig import BLOCK, TOP, Device


class Told(Device):
    """Also says when it was told of so many blocks."""

    def __init__(self, blocks, capacity=32, on_react=lambda blocks: None):
        super().__init__(capacity, on_react)
        self.blocks, self.reached = blocks, threading.Event()

    def react(self, blocks):
        super().react(blocks)
        if len(self.told) >= self.blocks:
            self.reached.set()


class Gate:
    """Holds a device in its react until it is opened."""

    def __init__(self):
        self.entered, self.opened = threading.Event(), threading.Event()

    def __call__(self, blocks):
        self.entered.set()
        assert self.opened.wait(HANGS)


@pytest.fixture
def zone():
    return Zone(64 * BLOCK)


@pytest.fixture
def worker(zone, tasks):
    worker = ThreadWorker(PageHinting(delay="1ms"), [zone], name="under test")
    yield worker
    worker.stop()
    assert not worker.running
    deadline = time.monotonic() + HANGS
    while tasks("under test"):  # its last steps
        assert time.monotonic() < deadline, "its thread lives on"
    assert check(zone) == []


def in_thread(action) -> threading.Thread:
    thread = threading.Thread(target=action, daemon=True)
    thread.start()
    return thread


def join(*threads):
    for thread in threads:
        thread.join(HANGS)
        assert not thread.is_alive(), "it hangs"


def test_the_device_is_told_of_all(zone, worker):
    device = Told(64)
    worker.start(device)
    assert device.reached.wait(HANGS)
    worker.stop()
    assert sorted(device.told) == [n * BLOCK for n in range(64)]
    assert zone.nr_hinted[TOP] == 64


def test_frees_are_noticed_again_and_again(zone, worker):
    device = Told(64)
    worker.start(device)
    for blocks in (104, 144, 184):
        assert device.reached.wait(HANGS), f"{blocks - 40} blocks"
        device.blocks = blocks
        device.reached.clear()
        pfns = [zone.alloc(TOP) for _ in range(40)]
        for pfn in pfns:
            zone.free(pfn, TOP)
    assert device.reached.wait(HANGS)


def test_two_zones_that_ask_at_the_same_time_are_both_served():
    zones = [Zone(64 * BLOCK), Zone(64 * BLOCK, start_pfn=1 << 20)]
    worker = ThreadWorker(PageHinting(delay="1ms"), zones)
    device = Told(128)
    worker.start(device)
    assert device.reached.wait(HANGS)
    tables = {zone: np.full(40, -1, np.int64) for zone in zones}
    slots, orders, types = np.arange(40, dtype=np.uint32), np.full(40, TOP, np.uint8), np.ones(40, np.uint8)
    for turn in range(1, 51):
        device.blocks = 128 + 80 * turn
        device.reached.clear()
        for op in (1, 0):
            for zone in zones:
                zone.bulk(np.full(40, op, np.uint8), slots, orders, types, tables[zone])
        assert device.reached.wait(HANGS), f"turn {turn}: nobody served them"
    worker.stop()


@pytest.mark.parametrize("delay", [LONGEST_TIME, "1000000h"])
def test_a_delay_beyond_any_wait_is_waited_for(zone, delay):
    worker = ThreadWorker(PageHinting(delay=delay), [zone])
    device = Device()
    for _ in range(2):
        worker.start(device)
        assert worker.running
        worker.stop()
    assert device.batches == []


class NoMemoryZone(Zone):
    out_of_memory = True

    def begin(self):
        if self.out_of_memory:
            raise MemoryError
        super().begin()


def test_row_1_stopping_does_not_hang_and_a_later_free_asks_again():
    zone = NoMemoryZone(64 * BLOCK)
    failed = threading.Event()

    class Design(PageHinting):
        def count_error(self, error):
            super().count_error(error)
            failed.set()

    worker = ThreadWorker(Design(delay="1ms"), [zone])
    device = Told(64)
    worker.start(device)
    assert failed.wait(HANGS)
    zone.out_of_memory = False
    zone.free(zone.alloc(TOP), TOP)
    assert device.reached.wait(HANGS)
    zone.out_of_memory = True
    join(in_thread(worker.stop))
    assert worker.design.statistics.errors == 1


def test_row_2_frees_that_race_with_stopping(zone, worker):
    done = threading.Event()

    def churn():
        while not done.is_set():
            pfns = [zone.alloc(TOP) for _ in range(40)]
            for pfn in pfns:
                if pfn >= 0:
                    zone.free(pfn, TOP)

    thread = in_thread(churn)
    for _ in range(60):
        worker.start(Device(4))
        join(in_thread(worker.stop))
        assert not worker.running
    done.set()
    join(thread)
    assert zone.free_pages == 64 * BLOCK


@pytest.fixture
def hasty():
    """Threads change places wherever they can."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


@pytest.mark.usefixtures("hasty")
def test_row_3_of_many_starts_one_wins(worker):
    for _ in range(50):
        barrier, results = threading.Barrier(6), []

        def start(barrier=barrier, results=results):
            barrier.wait(HANGS)
            try:
                worker.start(Device())
            except BusyError:
                results.append("busy")
            else:
                results.append("won")

        join(*[in_thread(start) for _ in range(6)])
        assert sorted(results) == ["busy"] * 5 + ["won"]
        worker.stop()


def test_row_3_starts_and_stops_that_race(worker):
    def toggle():
        for _ in range(100):
            try:
                worker.start(Device())
            except BusyError:
                worker.stop()

    join(*[in_thread(toggle) for _ in range(4)])
    worker.stop()
    assert not worker.running


def test_row_5_an_allocation_waits_for_blocks_in_flight(zone, worker):
    gate, got = Gate(), []
    worker.start(Device(64, gate))
    assert gate.entered.wait(HANGS)
    assert zone.alloc_nowait(0) == -1
    waiting = [in_thread(lambda: got.append(zone.alloc(TOP))) for _ in range(3)]
    assert got == []
    gate.opened.set()
    join(*waiting)
    assert len(set(got)) == 3
    assert min(got) >= 0


def test_row_5_what_is_freed_meanwhile_and_a_failing_device_are_no_reason_to_fail(zone, worker):
    gate, got = Gate(), []

    def fail(blocks):
        gate(blocks)
        raise OSError

    worker.start(Device(64, fail))
    assert gate.entered.wait(HANGS)
    waiting = in_thread(lambda: got.append(zone.alloc(TOP)))
    gate.opened.set()
    join(waiting)
    assert got[0] >= 0


def test_row_5_the_device_itself_does_not_wait(zone, worker):
    got = []
    device = Told(64, 64, lambda blocks: got.append(zone.alloc(0)))
    worker.start(device)
    assert device.reached.wait(HANGS)
    assert got[0] == -1


def test_row_6_a_device_that_fails_is_told_again(zone, worker):
    failures = [OSError(), ValueError(), SystemExit(), KeyboardInterrupt()]

    def fail(blocks):
        if failures:
            raise failures.pop()

    device = Told(64, 32, fail)
    worker.start(device)
    assert device.reached.wait(HANGS)
    worker.stop()
    assert worker.design.statistics.errors == 4
    assert zone.nr_hinted[TOP] == 64


@pytest.mark.parametrize("capacity", [0, -1, None])
def test_row_8_a_bad_capacity_leaves_the_place_free(worker, capacity):
    with pytest.raises(InputError, match="capacity"):
        worker.start(Device(capacity))
    assert not worker.running
    worker.start(Device())


def test_row_10_the_device_may_do_anything(zone, worker):
    used = [zone.alloc(TOP) for _ in range(4)]
    busy = []

    def react(blocks):
        zone.free(used.pop(), TOP)
        zone.alloc(0)
        zone.isolate(63 * BLOCK)
        zone.unisolate(63 * BLOCK)
        try:
            worker.start(device)
        except BusyError:
            busy.append(True)
        worker.stop()

    device = Told(1, 8, react)
    worker.start(device)
    assert device.reached.wait(HANGS)
    worker.stop()
    assert not worker.running
    assert busy == [True]
    assert len(device.batches) == 1


def test_row_18_no_other_device_before_the_last_react_has_ended(worker):
    gate = Gate()
    worker.start(Device(4, gate))
    assert gate.entered.wait(HANGS)
    stopping = in_thread(worker.stop)
    for _ in range(100):
        with pytest.raises(BusyError):
            worker.start(Device())
    assert worker.running
    gate.opened.set()
    join(stopping)
    second = Told(64)
    worker.start(second)
    assert second.reached.wait(HANGS)


def test_row_18_two_workers_never_share_a_zone(zone, worker):
    other = ThreadWorker(PageHinting(delay="1ms"), [zone])
    gate = Gate()
    worker.start(Device(4, gate))
    assert gate.entered.wait(HANGS)
    with pytest.raises(BusyError):
        other.start(Device())
    assert not other.running
    stopping = in_thread(worker.stop)
    with pytest.raises(BusyError):
        other.start(Device())
    gate.opened.set()
    join(stopping)
    device = Told(64)
    other.start(device)
    assert device.reached.wait(HANGS)
    other.stop()


def test_stopping_without_a_device_and_twice(worker):
    worker.stop()
    worker.start(Device())
    join(*[in_thread(worker.stop) for _ in range(4)])
    worker.stop()


def test_a_react_that_runs_is_waited_for(worker):
    gate, ended = Gate(), []

    def react(blocks):
        gate(blocks)
        ended.append(True)

    worker.start(Device(4, react))
    assert gate.entered.wait(HANGS)
    threading.Timer(0.02, gate.opened.set).start()
    worker.stop()
    assert ended == [True]


def test_a_worker_that_is_dropped_ends(zone, tasks):
    worker = ThreadWorker(PageHinting(delay="1ms"), [zone], name="dropped")
    worker.start(Told(1))
    del worker
    deadline = time.monotonic() + HANGS
    while tasks("dropped"):
        assert time.monotonic() < deadline, "its thread lives on"
        time.sleep(0.001)
    again = ThreadWorker(PageHinting(delay="1ms"), [zone])
    again.start(Told(1))  # the zone has no device
    again.stop()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("hook", ["rest", "next"])
def test_what_is_no_action_ends_the_thread(zone, hook, monkeypatch):
    """It asked again, and again, as fast as a processor can."""
    kind = type("Own", (PageHinting,), {hook: lambda design, *now: None})
    raised, ended = [], threading.Event()
    monkeypatch.setattr(sys, "unraisablehook", lambda found: (raised.append(str(found.exc_value)), ended.set()))
    worker = ThreadWorker(kind(), [zone])
    worker.start(Device())
    try:
        assert ended.wait(HANGS)
    finally:
        worker.stop()
    assert raised == ["Own: it said None: expected Idle or Sleep of rest()"]
    assert not worker.running
    assert check(zone) == []
