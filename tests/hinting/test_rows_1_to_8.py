"""docs/spec/1, section 9, in virtual time, rows 1 to 8: each test fails with the published code's defect."""

import random

import pytest

from pagehint.errors import BusyError, InputError
from pagehint.mm.zone import Zone

from .rig import BLOCK, MS, TOP, Device, Rig


class NoMemoryZone(Zone):
    """Its hinted counts can't be made while ``out_of_memory``."""

    out_of_memory = True
    tries = 0

    def begin(self):
        self.tries += 1
        assert self.tries < 5, "the worker spins"
        if self.out_of_memory:
            raise MemoryError
        super().begin()


def test_row_1_no_memory_for_the_counts_cancels_the_request():
    rig = Rig(zone=NoMemoryZone(64 * BLOCK))
    rig.start()
    rig.tick(1000)
    assert rig.zone.tries == 1
    assert not rig.zone.requested
    assert rig.design.request_count == 0
    assert rig.design.pending is None
    assert rig.design.statistics.errors == 1
    assert isinstance(rig.design.statistics.last_error, MemoryError)
    rig.worker.stop()
    assert not rig.design.started


def test_row_1_a_later_free_asks_again():
    rig = Rig(zone=NoMemoryZone(64 * BLOCK))
    device = rig.start()
    rig.tick()
    rig.zone.out_of_memory = False
    rig.tick(1000)
    assert device.batches == []
    rig.churn(1)
    rig.tick()
    assert len(device.told) == 64
    rig.assert_sound()


def test_row_3_one_start_wins():
    rig = Rig()
    first = rig.start()
    with pytest.raises(BusyError) as raised:
        rig.worker.start(Device())
    assert raised.value.errno == 16
    rig.tick()
    assert len(first.told) == 64


def test_row_4_isolate_lists_are_never_pulled():
    rig = Rig()
    rig.zone.isolate(5 * BLOCK)
    device = rig.start()
    rig.tick()
    assert 5 * BLOCK not in device.told
    assert len(device.told) == 63
    assert rig.zone.free_pages == 63 * BLOCK
    rig.assert_sound()


def test_row_4_a_block_isolated_in_flight_goes_to_the_isolate_list_and_is_not_pulled_again():
    rig = Rig(4 * BLOCK)

    def isolate(blocks):
        if blocks == [(0, TOP)]:
            rig.zone.isolate(0)
            rig.zone.request()

    device = rig.start(1, isolate)
    rig.tick()
    assert sorted(device.told) == [0, BLOCK, 2 * BLOCK, 3 * BLOCK]
    assert rig.zone.free_list(TOP, 4).tolist() == [0]
    assert rig.zone.free_pages == 3 * BLOCK
    rig.assert_sound()
    rig.zone.unisolate(0)
    assert rig.zone.free_pages == 4 * BLOCK
    rig.assert_sound()


def test_row_5_a_pull_keeps_to_the_low_watermark():
    rig = Rig()
    low = 20 * BLOCK + 1
    rig.zone.watermarks = (0, low, low)
    left = []
    device = rig.start(64, lambda blocks: left.append(rig.zone.free_pages))
    rig.tick()
    assert min(left) >= low
    assert [len(batch) for batch in device.batches] == [43]
    assert rig.zone.free_pages == 64 * BLOCK


def test_row_5_an_allocation_waits_for_blocks_in_flight():
    rig = Rig(4 * BLOCK, react_time=lambda react: 10 * MS)
    rig.start(4)
    rig.clock.run_until(105 * MS)
    assert rig.zone.in_flight_pages == 4 * BLOCK
    assert rig.zone.free_pages == 0
    assert rig.zone.alloc_nowait(TOP) == -1
    assert rig.zone.alloc(TOP) >= 0
    assert rig.clock.now == 110 * MS
    assert (rig.worker.stalls, rig.worker.stalled) == (1, 5 * MS)
    rig.assert_sound()


def test_row_5_an_allocation_that_waits_gets_what_was_freed_meanwhile():
    rig = Rig(4 * BLOCK, react_time=lambda react: 10 * MS)
    used = rig.zone.alloc(TOP)
    rig.start(1)
    rig.clock.run_until(105 * MS)
    rest = rig.alloc_all()
    assert len(rest) == 2
    rig.clock.call_at(107 * MS, lambda: rig.zone.free(used, TOP))
    assert rig.zone.alloc(TOP) >= 0
    rig.assert_sound()


def test_row_5_nothing_free_and_nothing_in_flight_fails_at_once():
    rig = Rig(4 * BLOCK, react_time=lambda react: 10 * MS)
    rig.start(4)
    rig.tick(200)
    rig.alloc_all()
    now = rig.clock.now
    assert rig.zone.alloc(0) == -1
    assert (rig.clock.now, rig.worker.stalls) == (now, 0)


def test_row_5_an_allocation_in_a_react_fails_and_leaves_the_batch():
    rig = Rig(4 * BLOCK)
    got = []
    device = rig.start(4, lambda blocks: got.append(rig.zone.alloc(0)))
    rig.tick()
    assert got[0] == -1
    assert len(device.batches[0]) == 4
    rig.assert_sound()


class Trouble:
    """Fails so many times."""

    def __init__(self, rig, times):
        self.rig, self.times, self.called_at = rig, times, []

    def __call__(self, blocks):
        self.called_at.append(self.rig.clock.now // MS)
        if len(self.called_at) <= self.times:
            raise OSError("no host")


def test_row_6_a_failed_batch_goes_back_unhinted_and_is_told_again_with_a_growing_pause():
    rig = Rig(8 * BLOCK)
    trouble = Trouble(rig, 4)
    device = rig.start(32, trouble)
    rig.tick()
    assert rig.zone.free_pages == 8 * BLOCK
    assert rig.hinted_pages == rig.zone.in_flight_pages == 0
    assert rig.zone.requested
    assert not rig.zone.active
    assert device.batches == []
    rig.assert_sound()
    rig.tick(10_000)
    assert trouble.called_at == [100, 200, 400, 800, 1600]
    assert [len(batch) for batch in device.batches] == [8]
    assert rig.hinted_pages == 8 * BLOCK
    statistics = rig.design.statistics
    assert (statistics.errors, statistics.batches, statistics.blocks) == (4, 1, 8)
    assert str(statistics.last_error) == "no host"
    rig.assert_sound()


def test_row_6_only_the_failed_batch_is_unhinted():
    rig = Rig(8 * BLOCK)

    def fail_the_second(blocks):
        if (2 * BLOCK, TOP) in blocks:
            raise OSError

    device = rig.start(2, fail_the_second)
    rig.tick()
    assert device.told == [0, BLOCK]
    assert rig.hinted_pages == 2 * BLOCK
    rig.assert_sound()


def test_row_6_a_block_that_failed_is_told_again_wherever_hinted_ones_stand():
    """In the middle of a list, between hinted blocks, no later run would look for it."""
    rig = Rig(zone=Zone(8 * 32, max_order=6, pageblock_order=5), order=3, high_water_mark=0)
    dice = random.Random(6)

    def fail(blocks):
        if dice.random() < 0.4:
            raise OSError

    device = rig.start(1, fail)
    for _ in range(100):
        held = [(pfn, order) for order in dice.choices([0, 3, 4, 5], k=12) if (pfn := rig.zone.alloc(order)) >= 0]
        dice.shuffle(held)
        while held:
            rig.zone.free(*held.pop())
            rig.tick(dice.choice([0, 0, 0, 100]))
        rig.assert_sound()
        rig.worker.stop()
        rig.worker.start(device)
        rig.tick(10**6)
        assert not rig.zone.requested
        assert rig.hinted_pages == 8 * 32


def test_row_6_the_pause_ends_at_a_minute_and_a_success_makes_it_short_again():
    rig = Rig(40 * BLOCK)
    trouble = Trouble(rig, 12)
    rig.start(64, trouble)
    rig.tick(400_000)
    pauses = [after - before for before, after in zip(trouble.called_at, trouble.called_at[1:], strict=False)]
    assert pauses == [100, 200, 400, 800, 1600, 3200, 6400, 12800, 25600, 51200, 60000, 60000]
    trouble.times = len(trouble.called_at) + 1
    began = rig.clock.now // MS
    rig.churn(40)
    rig.tick(1000)
    assert trouble.called_at[-2:] == [began + 100, began + 200]


@pytest.mark.parametrize("delay", [0, 1])
def test_row_6_a_device_that_always_fails_does_not_make_a_short_delay_spin(delay):
    rig = Rig(8 * BLOCK, delay=delay)
    calls = 0

    def fail(blocks):
        nonlocal calls
        calls += 1
        if calls == 100:
            rig.worker.stop()  # it spins: no clock and no error would end it
        raise OSError("no host")

    rig.start(32, fail)
    rig.tick(1000)
    assert 1 < calls < 100
    assert rig.design.statistics.errors == calls
    assert isinstance(rig.design.statistics.last_error, OSError)


def frees_during_a_react(rig) -> list[int]:
    """When the device is told (ms), if 40 blocks come free while it is told of the first."""
    used = [rig.zone.alloc(TOP) for _ in range(40)]
    times = []

    def react(blocks):
        times.append(rig.clock.now // MS)
        while used:
            rig.zone.free(used.pop(), TOP)

    rig.start(64, react)
    rig.tick(1000)
    assert rig.hinted_pages == 64 * BLOCK
    rig.assert_sound()
    return times


def test_row_7_frees_during_a_react_are_served_at_once_by_default():
    assert frees_during_a_react(Rig()) == [100, 100]


def test_row_7_once_a_delay_makes_them_wait():
    assert frees_during_a_react(Rig(once_a_delay=True)) == [100, 200]


def test_row_7_once_a_delay_never_begins_more_often_whatever_the_frees():
    rig = Rig(once_a_delay=True, high_water_mark=1)
    rig.start(8)
    for _ in range(200):
        rig.churn(40)
        rig.tick(7)
    gaps = {after - before for before, after in zip(rig.begins, rig.begins[1:], strict=False)}
    assert min(gaps) >= 100 * MS
    assert len(rig.begins) >= 12


@pytest.mark.parametrize("capacity", [0, -1, 2**20 + 1, 10**30, 1.5, None, "8"])
def test_row_8_a_bad_capacity_is_an_error_at_start(capacity):
    rig = Rig(4 * BLOCK)
    with pytest.raises(InputError, match="capacity"):
        rig.worker.start(Device(capacity))
    assert not rig.design.started
    assert not rig.zone.requested
    rig.tick()
    assert rig.begins == []
    assert len(rig.start(1).batches) == 0
    rig.tick()
    assert rig.hinted_pages == 4 * BLOCK
