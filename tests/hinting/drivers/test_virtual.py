"""The worker in virtual time."""

import random

import pytest

from pagehint.errors import BusyError, InputError
from pagehint.hinting.clock import VirtualClock
from pagehint.hinting.designs.hinting import PageHinting
from pagehint.hinting.designs.reporting import PageReporting
from pagehint.hinting.drivers.virtual import VirtualWorker
from pagehint.mm.zone import Zone

from ..rig import BLOCK, MS, TOP, Device, Rig


def test_on_begin_tells_of_every_run():
    rig = Rig()
    rig.start()
    rig.tick(250)
    rig.churn(40)
    rig.tick(250)
    assert rig.begins == [100 * MS, 350 * MS]


def test_a_react_that_takes_time_is_told_at_its_end():
    rig = Rig(4 * BLOCK, react_time=lambda react: 5 * MS * len(react.batch))
    times = []
    rig.start(3, lambda blocks: times.append(rig.clock.now // MS))
    rig.tick(114)
    assert (times, rig.zone.in_flight_pages) == ([], 3 * BLOCK)
    rig.tick(86)
    assert times == [115, 120]
    assert rig.hinted_pages == 4 * BLOCK
    rig.assert_sound()


def test_the_work_goes_on_after_a_rest():
    zone, clock, device = Zone(4 * BLOCK), VirtualClock(), Device(1)
    worker = VirtualWorker(PageHinting(), [zone], clock, lambda react: 5 * MS, rest_time=lambda: 20 * MS)
    worker.start(device)
    clock.advance(106 * MS)
    assert (len(device.batches), zone.in_flight_pages) == (1, 0)
    clock.advance(18 * MS)
    assert zone.in_flight_pages == 0
    clock.advance(2 * MS)
    assert zone.in_flight_pages == BLOCK
    clock.advance(4 * MS)
    assert len(device.batches) == 2
    worker.stop()
    assert not worker.design.started


def test_stopping_waits_for_a_react():
    rig = Rig(4 * BLOCK, react_time=lambda react: 10 * MS)
    device = rig.start(2)
    rig.tick(103)
    rig.worker.stop()
    assert rig.clock.now == 110 * MS
    assert len(device.batches) == 1
    assert not rig.design.started
    assert rig.hinted_pages == 2 * BLOCK
    assert rig.zone.requested, "nothing clears it: the rest was not looked at"
    rig.tick(1000)
    assert len(device.batches) == 1
    rig.assert_sound()


def test_stopping_from_within_a_react_returns_at_once():
    rig = Rig(4 * BLOCK)
    device = rig.start(1, lambda blocks: rig.worker.stop())
    rig.tick(1000)
    assert len(device.batches) == 1
    assert not rig.design.started
    assert not rig.zone.active
    rig.worker.start(device)
    rig.assert_sound()


def test_stopping_cancels_pending_work():
    rig = Rig()
    device = rig.start()
    rig.tick(99)
    rig.worker.stop()
    rig.tick(1000)
    assert (device.batches, rig.begins) == ([], [])
    rig.worker.stop()


def test_stopping_without_a_device():
    rig = Rig()
    rig.worker.stop()
    rig.tick()
    assert not rig.design.started


def test_frees_do_not_notify_after_a_stop():
    rig = Rig()
    rig.start()
    rig.tick()
    rig.worker.stop()
    rig.churn(60)
    assert not rig.zone.requested


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, SystemExit])
def test_an_interrupted_react_loses_nothing_and_is_passed_on(interrupt):
    rig = Rig()
    raised = []

    def react(blocks):
        if not raised:
            raised.append(interrupt())
            raise raised[0]

    device = rig.start(32, react)
    with pytest.raises(interrupt):
        rig.tick()
    assert rig.zone.free_pages == 64 * BLOCK
    assert rig.design.statistics.errors == 1
    rig.assert_sound()
    rig.tick(1000)
    assert len(device.told) == 64


def test_an_order_that_the_zone_has_not():
    rig = Rig(order=11)
    with pytest.raises(InputError, match="order 11"):
        rig.start()
    assert not rig.design.started
    rig.tick()


def test_a_second_worker_on_the_same_zone_or_design():
    rig = Rig()
    rig.start()
    for design in (rig.design, Rig().design):
        other = VirtualWorker(design, [rig.zone], rig.clock)
        with pytest.raises(BusyError):
            other.start(Device())
    rig.tick()
    assert rig.hinted_pages == 64 * BLOCK


def run(seed):
    dice = random.Random(seed)
    rig = Rig(react_time=lambda react: len(react.batch) * 300_000)
    times = []
    device = rig.start(5, lambda blocks: times.append(rig.clock.now))
    held = []
    for _ in range(600):
        order = dice.choice([0, 0, 3, 9, TOP])
        if held and dice.random() < 0.55:
            rig.zone.free(*held.pop(dice.randrange(len(held))))
        elif (pfn := rig.zone.alloc(order, dice.randrange(3))) >= 0:
            held.append((pfn, order))
        rig.tick(dice.randrange(4))
    rig.assert_sound()
    return device.batches, times, rig.begins, rig.design.statistics, rig.worker.stalls, rig.worker.stalled


def test_the_same_run_gives_the_same_result():
    assert run(1) == run(1)
    assert run(1)[:2] != run(2)[:2]


def test_a_design_that_answers_itself_is_asked():
    """What overrides ``next`` or ``reacted`` was left out, where a driver asked it without Python's ways."""
    asked: list[str] = []

    class Mine(PageHinting):
        def next(self, now):
            asked.append("next")
            return super().next(now)

        def reacted(self, error, now):
            asked.append("reacted")
            super().reacted(error, now)

    zone, clock = Zone(4 * BLOCK), VirtualClock()
    worker = VirtualWorker(Mine(), [zone], clock)
    worker.start(Device(8))
    clock.run_until(10**9)
    assert set(asked) == {"next", "reacted"}
    worker.stop()


class Deaf(PageHinting):
    def reacted(self, error, now):
        pass


def test_a_design_whose_own_reacted_ends_no_react_is_refused():
    """The device was told of the same blocks for ever."""
    clock = VirtualClock()
    worker = VirtualWorker(Deaf(), [Zone(4 * BLOCK)], clock)
    worker.start(device := Device(8))
    with pytest.raises(InputError, match=r"^Deaf: its reacted\(\) ended no react: call super\(\)\.reacted\(\) in it$"):
        clock.run_until(10**9)
    assert len(device.batches) == 1


class Hasty(PageReporting):
    step = 0

    def work(self):
        self.schedule(self.step)
        return
        yield


@pytest.mark.parametrize(("step", "within"), [(0, "0 ns"), (1, r"\d+ us"), (1000, r"\d+ ms")])
def test_a_design_that_is_due_for_ever_while_hardly_any_time_passes(step, within):
    """The clock never went on, and nothing ended it, or it went on by a ns at a time."""
    clock = VirtualClock()
    design = Hasty()
    design.step = step
    worker = VirtualWorker(design, [Zone(1024)], clock)
    worker.start(Device(1))
    says = rf"Hasty: at 2\.\d+ s it was asked 100,000 times what to do, within {within}, and gave nothing back: "
    with pytest.raises(InputError, match=says):
        clock.run_until(10**10)
    worker.stop()


def test_a_design_that_looks_each_free_or_each_millisecond_goes_on():
    clock = VirtualClock()
    design = Hasty(delay=0)
    worker = VirtualWorker(design, [zone := Zone(1024)], clock)
    worker.start(Device(1))
    design.step = 10**6
    clock.run_until(3 * 10**11)
    design.step = 10**12
    for _ in range(150_000):
        zone.free(zone.alloc(9), 9)
        clock.advance(10)
    worker.stop()
