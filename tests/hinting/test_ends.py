"""How a device's time ends when it does not end well: interrupts, forks, Python's own end, errors of a zone's own."""

import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from pagehint.errors import BusyError, InputError
from pagehint.hinting.action import IDLE
from pagehint.hinting.clock import VirtualClock
from pagehint.hinting.designs.hinting import PageHinting
from pagehint.hinting.drivers.stepper import Stepper
from pagehint.hinting.drivers.thread import ThreadWorker
from pagehint.hinting.drivers.virtual import VirtualWorker
from pagehint.mm.pcp import PerCpuLists
from pagehint.mm.zone import Zone
from tests.limits import HANGS

from .drivers.test_thread import Gate, in_thread, join
from .rig import BLOCK, MS, TOP, Device, Rig

# Errors that are nobody's to catch are said by Python itself, on whatever test runs then.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

# The device has globals of its own: the worker's frame keeps those, and what they hold lives on.
AT_EXIT = """
import os
from pagehint import PageHinting, ThreadWorker, Zone

elsewhere = {{}}
exec('''
import threading
class Device:
    capacity = 8
    def __init__(self):
        self.entered, self.gate = threading.Event(), threading.Event()
    def react(self, blocks):
        self.entered.set()
        self.gate.wait()
''', elsewhere)
Device = elsewhere["Device"]

zone, device = Zone(4096), Device()
worker = ThreadWorker(PageHinting(delay="1ms"), [zone])
{before}

class Owner:
    def __init__(self):
        self.zone, self.worker, self.device, self.write = zone, worker, device, os.write
    def __del__(self):
        try:
            {at_exit}
        except Exception as error:
            self.write(1, type(error).__name__.encode())
        self.write(1, b" done")

owner = Owner()
"""
STARTED = "worker.start(device); device.entered.wait()"


@pytest.mark.parametrize(
    ("before", "at_exit", "says"),
    [
        (STARTED, "self.write(1, b'%d' % self.zone.alloc(10))", "-1 done"),
        (STARTED, "self.worker.stop()", " done"),
        ("", "self.worker.start(self.device)", "PagehintError done"),
    ],
    ids=["alloc", "stop", "start"],
)
def test_what_a_finalizer_does_at_pythons_end_returns(before, at_exit, says):
    code = AT_EXIT.format(before=before, at_exit=at_exit)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=HANGS, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, says, "")


@pytest.mark.parametrize("what", ["stop", "alloc"])
def test_a_forked_child_waits_for_no_worker(what):
    zone, gate = Zone(64 * BLOCK), Gate()
    worker = ThreadWorker(PageHinting(delay="1ms"), [zone])
    worker.start(Device(64, gate))
    assert gate.entered.wait(HANGS)
    pid = os.fork()
    if not pid:
        signal.alarm(HANGS)
        os._exit(worker.stop() or 0 if what == "stop" else zone.alloc() + 1)
    assert os.waitpid(pid, 0)[1] == 0
    gate.opened.set()
    worker.stop()


@pytest.mark.parametrize("what", ["stop", "ask_to_stop", "drop"])
def test_a_forked_child_touches_no_queue_of_its_parents_worker(what):
    """On free-threaded Python a thread that is not in the child may have its lock."""
    worker = ThreadWorker(PageHinting(delay="1ms"), [Zone(64 * BLOCK)])
    worker.start(Device())
    pid = os.fork()
    if not pid:
        sys.unraisablehook = lambda _: os._exit(1)
        worker._loop.latest().inbox = None
        if what == "drop":
            del worker
        else:
            getattr(worker, what)()
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    worker.stop()


def test_a_stop_waits_for_a_start_on_another_thread():
    worker = ThreadWorker(PageHinting(delay="1ms"), [Zone(4 * BLOCK)])
    for _ in range(300):
        starting = in_thread(lambda: worker.start(Device()))
        while not worker.running:
            pass
        worker.stop()
        assert not worker.running
        join(starting)


def test_an_allocation_waits_for_the_device_that_has_the_blocks_now():
    zone, found = Zone(4 * BLOCK), []
    chosen, go = threading.Event(), threading.Event()

    first, second = (ThreadWorker(PageHinting(delay="1ms"), [zone]) for _ in range(2))
    settle = first._loop._settle

    def slow(zone, attempt):
        chosen.set()
        assert go.wait(HANGS)
        return settle(zone, attempt)

    first._loop._settle = slow
    gates = Gate(), Gate()
    first.start(Device(32, gates[0]))
    assert gates[0].entered.wait(HANGS)
    waiting = in_thread(lambda: found.append(zone.alloc(TOP)))
    assert chosen.wait(HANGS)
    gates[0].opened.set()
    first.stop()
    second.start(Device(32, gates[1]))
    assert gates[1].entered.wait(HANGS)
    go.set()
    threading.Timer(0.05, gates[1].opened.set).start()
    join(waiting)
    assert found[0] >= 0
    second.stop()


def test_devices_that_allocate_from_each_others_zones_do_not_wait_for_each_other():
    zones = Zone(4 * BLOCK), Zone(4 * BLOCK)
    both, found, all_found = threading.Barrier(2), [], threading.Event()

    def allocates_from(zone):
        turns = [True]

        def once(blocks):
            if turns:
                turns.clear()
                both.wait(HANGS)
                found.append(zone.alloc(TOP))
                if len(found) == 2:
                    all_found.set()

        return once

    workers = [ThreadWorker(PageHinting(delay="1ms"), [zone]) for zone in zones]
    for worker, other in zip(workers, reversed(zones), strict=True):
        worker.start(Device(32, allocates_from(other)))
    assert all_found.wait(HANGS)
    assert -1 in found
    join(*[in_thread(worker.stop) for worker in workers])
    assert not any(zone.in_flight_pages for zone in zones)


def test_devices_that_stop_each_other_do_not_wait_for_each_other():
    both, workers = threading.Barrier(2), []

    def stops(other):
        def once(blocks):
            both.wait(HANGS)
            workers[other].stop()

        return once

    workers += [ThreadWorker(PageHinting(delay="1ms"), [Zone(4 * BLOCK)]) for _ in range(2)]
    for worker, other in zip(workers, (1, 0), strict=True):
        worker.start(Device(32, stops(other)))
    deadline = time.monotonic() + HANGS
    while any(worker.running for worker in workers):
        assert time.monotonic() < deadline, "they hang"


def test_a_name_as_the_kernel_shows_it(tasks):
    worker = ThreadWorker(PageHinting(delay="1ms"), [Zone(4 * BLOCK)], name="longer than 15 bytes \udc80")
    gate = Gate()
    worker.start(Device(32, gate))
    assert gate.entered.wait(HANGS)
    assert tasks("longer than 15") == 1
    gate.opened.set()
    worker.stop()


def test_a_design_has_one_device_whoever_starts_it():
    both, results = threading.Barrier(2), []

    class Slow(Device):
        @property
        def capacity(self):
            both.wait(HANGS)
            return 8

        @capacity.setter
        def capacity(self, value):
            pass

    design = PageHinting(delay="1ms")
    workers = [ThreadWorker(design, [Zone(4 * BLOCK)]) for _ in range(2)]

    def start(worker):
        try:
            worker.start(Slow())
        except BusyError:
            results.append("busy")
        else:
            results.append("won")

    join(*[in_thread(lambda worker=worker: start(worker)) for worker in workers])
    assert sorted(results) == ["busy", "won"]
    assert [worker.running for worker in workers].count(True) == 1
    for worker in workers:
        worker.stop()


def test_an_error_of_a_zones_own_ends_the_device_and_gives_all_back():
    class Broken(Zone):
        broken = True

        def drain(self, batch, hinted):
            if hinted and self.broken:
                raise RuntimeError("a bug")
            super().drain(batch, hinted)

    zone = Broken(4 * BLOCK)
    worker = ThreadWorker(PageHinting(delay="1ms"), [zone])
    worker.start(Device())
    while worker.running:
        pass
    assert (zone.in_flight_pages, zone.free_pages, worker.design.started) == (0, 4 * BLOCK, False)
    assert str(worker.design.statistics.last_error) == "a bug"
    assert zone.check() == []
    zone.broken = False
    worker.start(Device())
    worker.stop()


# Designs and virtual time


def test_a_design_that_has_ended_does_nothing():
    design, zone = PageHinting(idle="1s"), Zone(4 * BLOCK)
    stepper = Stepper(design, [zone])
    stepper.start(Device())
    for _ in range(20):
        stepper.step()
        stepper.now += 100 * MS
        if stepper.reacting is not None:
            stepper.reacted()
    assert design.statistics.blocks == 4
    zone.free(zone.alloc(TOP), TOP)
    stepper.stop()
    for _ in range(3):
        stepper.now += 2000 * MS
        assert stepper.step() is IDLE
    assert (design.started, zone.requested, zone.in_flight_pages) == (False, False, 0)


def test_row_2_frees_while_a_stop_waits_for_a_react_ask_for_nothing():
    zone = Zone(64 * BLOCK)
    stepper = Stepper(PageHinting(delay=0, high_water_mark=1), [zone])
    spare = [zone.alloc(TOP) for _ in range(8)]
    stepper.start(Device(64))
    while stepper.reacting is None:
        stepper.step()
    assert not zone.requested
    stepper.stop()
    for pfn in spare:
        zone.free(pfn, TOP)
    assert not zone.requested
    stepper.reacted()
    assert stepper.step() is IDLE
    assert (zone.requested, stepper.design.started) == (False, False)


def test_stopping_again_leaves_another_device_alone():
    rig = Rig(64 * BLOCK)
    rig.start()
    rig.worker.stop()
    other = VirtualWorker(PageHinting(), [rig.zone], rig.clock)
    device = Device()
    other.start(device)
    rig.tick()
    rig.worker.stop()
    rig.churn(40)
    rig.tick(200)
    assert len(device.told) == 64 + 40


def interrupt(*_):
    raise KeyboardInterrupt


@pytest.mark.parametrize("where", ["on_begin", "react_time"])
def test_virtual_time_that_is_interrupted_stops_and_starts_again(where):
    zone, clock = Zone(64 * BLOCK), VirtualClock()
    worker = VirtualWorker(PageHinting(), [zone], clock, **{where: interrupt})
    worker.start(Device())
    with pytest.raises(KeyboardInterrupt):
        clock.advance(1000 * MS)
    worker.stop()
    assert (worker.design.started, zone.in_flight_pages, zone.free_pages) == (False, 0, 64 * BLOCK)
    assert zone.check() == []
    again = VirtualWorker(worker.design, [zone], clock)
    device = Device()
    again.start(device)
    clock.advance(1000 * MS)
    assert len(device.told) == 64


def test_virtual_time_interrupted_anywhere_stops():
    """A real signal, 300 times at another moment: nothing stays in flight or started, and the clock goes on."""
    interrupts = []

    def interrupt_now(*_):
        interrupts.append(True)  # for where Python can't raise: in a callback of a library's own
        raise KeyboardInterrupt

    def use(rig, turn):  # Python 3.13 does not see the except around a loop that is interrupted as it jumps back
        while len(interrupts) == turn:
            rig.tick(1)
            rig.churn(20)

    before = signal.signal(signal.SIGALRM, interrupt_now)
    try:
        for turn in range(300):
            rig = Rig(64 * BLOCK, delay="1us", high_water_mark=0)
            rig.start(1)
            try:
                signal.setitimer(signal.ITIMER_REAL, (1 + turn) * 2e-6)
                use(rig, turn)
            except KeyboardInterrupt:
                pass
            if turn % 2:
                rig.tick(1000)
            rig.worker.stop()
            assert not rig.design.started
            assert rig.zone.in_flight_pages == 0
            rig.assert_sound()
            rig.start()
            rig.tick(1000)
            assert rig.zone.nr_hinted[9:] == rig.zone.nr_free[9:]
    finally:
        signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("idle", [0, "0s", 999_999, "1us"])
def test_an_idle_time_that_would_spin_is_refused(idle):
    with pytest.raises(InputError, match=r"idle time of .* is too short: expected at least 1 ms"):
        PageHinting(idle=idle)


# Many operations at once (row 5)


@pytest.mark.parametrize("lists", [False, True])
def test_row_5_a_bulk_call_waits_for_blocks_in_flight(lists):
    zone, gate, failed = Zone(4 * BLOCK), Gate(), []
    pcp = PerCpuLists(zone, 0, 7, 42) if lists else None
    worker = ThreadWorker(PageHinting(delay="1ms"), [zone])
    worker.start(Device(32, gate))
    assert gate.entered.wait(HANGS)
    assert zone.alloc_nowait() == -1
    table = np.full(5, -1, np.int64)
    ones, slots = np.ones(5, np.uint8), np.arange(5, dtype=np.uint32)
    orders = np.array([0, TOP, TOP, TOP, TOP], np.uint8)
    waiting = in_thread(lambda: failed.append(zone.bulk(ones, slots, orders, ones, table, pcp)))
    threading.Timer(0.05, gate.opened.set).start()
    join(waiting)
    worker.stop()
    assert failed == [1]  # four blocks, of which order 0 splits one
    assert (table[:4] >= 0).all()
    assert table[4] == -1
    assert zone.nr_alloc >= 4
    zone.bulk(np.zeros(5, np.uint8), slots, orders, ones, table, pcp)
    if pcp is not None:
        zone.drain_pcp(pcp)
    assert zone.free_pages == zone.pages
    assert zone.check() == []
