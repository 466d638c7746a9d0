"""A block is given back after a time that its order and the price set."""

import pytest

import pagehint as ph
from pagehint.errors import InputError
from pagehint.hinting.clock import VirtualClock
from pagehint.hinting.designs.breakeven import BreakEven
from pagehint.hinting.drivers.virtual import VirtualWorker
from pagehint.mm.zone import Zone
from pagehint.trace.shipped import example
from tests.hinting.rig import MS, Device


class Guest:
    """A zone with a single page free in its midst, and a large block freed with it, when all else was told."""

    def __init__(self, fails=lambda blocks: None, **settings):
        self.zone = Zone(8 << 10)
        self.clock = VirtualClock()
        self.design = BreakEven(**settings)
        self.worker = VirtualWorker(self.design, [self.zone], self.clock)
        self.device = Device(on_react=fails)
        self.pages = [self.zone.alloc(0) for _ in range(3)]
        self.block = self.zone.alloc(9)
        self.worker.start(self.device)
        self.clock.advance(20_000 * MS)
        self.device.batches.clear()

    def free(self):
        self.zone.free(self.pages[1], 0)
        self.zone.free(self.block, 9)

    def told_after(self, milliseconds):
        self.clock.advance(milliseconds * MS)
        return self.device.told


def test_large_blocks_before_single_pages():
    guest = Guest()
    guest.free()
    assert guest.told_after(4) == []
    assert guest.told_after(20) == [guest.block]
    assert guest.told_after(1_200) == [guest.block]
    assert guest.told_after(800) == [guest.block, guest.pages[1]]
    assert guest.clock.next_time is None  # nothing is looked at while nothing is due
    assert guest.zone.check() == []


def test_the_price_may_change_while_it_runs():
    guest = Guest(price=1.5)
    guest.free()
    assert guest.told_after(100) == []
    guest.design.price = 100
    assert set(guest.told_after(500)) == {guest.block, guest.pages[1]}


def test_park_gives_back_all_that_is_free():
    guest = Guest(price=0.1)
    guest.free()
    guest.design.park()
    assert set(guest.told_after(5)) == {guest.block, guest.pages[1]}
    guest.worker.stop()
    guest.design.park()  # no device: nothing
    assert guest.design.pending is None


def test_frees_ask_for_work_after_a_park_with_nothing_to_do():
    guest = Guest()
    guest.design.park()
    guest.free()
    assert guest.block in guest.told_after(100)


def test_a_device_that_fails_is_told_again():
    failures = [OSError("busy")]

    def fail(blocks):
        if guest.device.batches == [] and failures and guest.zone.free_pages and guest.design.statistics.runs > 1:
            raise failures.pop()

    guest = Guest()
    guest.device.on_react = fail
    guest.free()
    assert set(guest.told_after(5_000)) == {guest.block, guest.pages[1]}
    assert guest.design.statistics.errors == 1


def test_waits():
    assert [BreakEven().wait(order) for order in (0, 3, 10)] == [1280 * MS, 160 * MS, 5 * MS]
    assert BreakEven(price=1.5).wait(9) == 250 * MS
    assert BreakEven(price=1e-300).wait(0) == 8000 * MS
    for price in (0, -1, "nan", "inf", "dear", None):
        with pytest.raises(InputError, match="price"):
            BreakEven(price=price)


def test_the_shipped_recording():
    trace = example()
    runs = [ph.replay(trace, design).totals for design in (BreakEven(), ph.PageReporting(), BreakEven(price=1.5))]
    assert runs[0].footprint < runs[1].footprint
    assert runs[0].refaults >= runs[2].refaults
    assert runs[0].allocations_delayed == 0
