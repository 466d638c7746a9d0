"""docs/spec/2, rule by rule, on small zones whose outcome is worked out by hand."""

import numpy as np
import pytest

from pagehint.hinting.clock import VirtualClock
from pagehint.hinting.designs.reporting import PageReporting, timer_delay
from pagehint.hinting.drivers.virtual import VirtualWorker
from pagehint.kernel.migratetype import Migratetype
from pagehint.kernel.profiles import LINUX_6_1, kernel_profile
from pagehint.mm.batch import Batch
from pagehint.mm.check import check
from pagehint.mm.zone import Zone

S = 10**9
UNMOVABLE, MOVABLE = int(Migratetype.UNMOVABLE), int(Migratetype.MOVABLE)


class Rig:
    """A zone of order-10 blocks, numbered, under reporting in virtual time."""

    def __init__(self, blocks, capacity=32, watermarks=(0, 0, 0), react_time=None, zone=None, **design):
        self.zone = zone or Zone(blocks << 10, profile=LINUX_6_1, watermarks=watermarks)
        self.clock = VirtualClock()
        self.design = PageReporting(**design)
        self.capacity = capacity
        self.batches, self.passes = [], []
        self.on_react = lambda: None
        self.worker = VirtualWorker(self.design, [self.zone], self.clock, react_time, self.passes.append)

    def react(self, batch):
        self.batches.append([(block.pfn, block.order) for block in batch])
        self.on_react()

    def start(self):
        self.worker.start(self)
        return self

    def told(self):
        return [[pfn >> 10 for pfn, _ in batch] for batch in self.batches]

    def numbers(self, order=10, migratetype=MOVABLE):
        """The list, as numbers of order-10 blocks, and which of them are reported."""
        pfns = self.zone.free_list(order, migratetype)
        return (pfns >> 10).tolist(), self.zone.is_hinted(pfns).tolist()

    def sound(self):
        assert check(self.zone) == []


def test_a_start_notifies_once_and_the_first_pass_comes_a_delay_later():
    rig = Rig(2, capacity=1).start()
    rig.clock.run_until(2 * S - 1)
    assert rig.passes == []
    rig.clock.run_until(100 * S)
    assert rig.passes == [2 * S]


def test_a_batch_is_filled_from_its_last_place_and_put_back_in_its_order():
    # Walk 0 1 2, full at 3: the batch is 2 1 0, and goes back to the tail like that. Then 3 4, partly filled.
    rig = Rig(5, capacity=3, order=10).start()
    rig.clock.run_until(2 * S)
    assert rig.told() == [[2, 1, 0], [4, 3]]
    assert rig.numbers() == ([2, 1, 0, 4, 3], [True] * 5)
    rig.sound()


def test_the_walk_goes_on_from_the_lists_first_entry_and_steps_over_reported_blocks():
    # At most low watermark + (capacity << order) free pages skips the zone: 8 blocks and capacity 3 are enough.
    rig = Rig(8, capacity=3, order=10).start()
    rig.clock.run_until(2 * S)
    # budget = ceil(8 / 512) = 1. Full with 0 1 2, at 3: rotate (3 first), report, budget 0, put back. Full with
    # 3 4 5, at 6: report, budget -1. At 6 the budget is below 0: REQUESTED, and 6 is first.
    assert rig.told() == [[2, 1, 0], [5, 4, 3]]
    assert rig.numbers() == ([6, 7, 2, 1, 0, 5, 4, 3], [False] * 2 + [True] * 6)
    # The next pass, 2 s later, steps over the reported ones, and reports the partly filled batch at the end.
    rig.clock.run_until(100 * S)
    assert rig.told()[2:] == [[7, 6]]
    assert rig.passes == [2 * S, 4 * S]
    assert rig.numbers() == ([2, 1, 0, 5, 4, 3, 7, 6], [True] * 8)
    rig.sound()


def test_the_budget_is_of_the_blocks_that_are_free_when_the_walk_of_a_list_begins():
    # 513 free blocks of order 0 on two lists: the budget of the first is 2, so that two batches and one more go.
    zone = Zone(4096, profile=LINUX_6_1)
    pages = [zone.alloc(0, MOVABLE) for _ in range(4096)]
    for pfn in pages[: 2 * 513 : 2]:
        zone.free(pfn)
    assert zone.nr_free[0] == 513
    rig = Rig(0, capacity=32, order=0, zone=zone).start()
    rig.clock.run_until(2 * S)
    assert [len(batch) for batch in rig.batches] == [32, 32, 32]
    assert rig.design.pending == 4 * S
    # As many are free as before: again three batches, until all are reported.
    rig.clock.run_until(4 * S)
    assert [len(batch) for batch in rig.batches[3:]] == [32, 32, 32]
    rig.clock.run_until(20 * S)
    assert [len(batch) for batch in rig.batches] == [32] * 16 + [1]
    assert rig.design.pending is None
    rig.sound()


def test_a_list_with_fewer_blocks_than_the_order_had_at_first_has_the_smaller_budget():
    # 3 UNMOVABLE and 47 MOVABLE free pages, capacity 3: when the second walk begins, 50 - 3 = 47 are free, of 16 x 3.
    zone = Zone(4096, profile=LINUX_6_1)
    pages = {kind: [zone.alloc(0, kind) for _ in range(2048)] for kind in (UNMOVABLE, MOVABLE)}
    for kind, count in ((UNMOVABLE, 3), (MOVABLE, 47)):
        for pfn in pages[kind][: 2 * count : 2]:
            zone.free(pfn)
    assert [len(zone.free_list(0, kind)) for kind in (UNMOVABLE, MOVABLE)] == [3, 47]
    rig = Rig(0, capacity=3, order=0, zone=zone).start()
    rig.clock.run_until(2 * S)
    # The full batch is only reported at the first MOVABLE block: budget 1, then 0, then -1.
    assert len(rig.batches) == 2
    assert set(rig.batches[0]) == {(pfn, 0) for pfn in pages[UNMOVABLE][:6:2]}


@pytest.mark.parametrize(("low", "passes"), [(5119, 1), (5120, 0)])
def test_a_zone_near_its_low_watermark_is_skipped(low, passes):
    # Skipped if 8192 free pages <= low + (3 << 10).
    rig = Rig(8, capacity=3, order=10, watermarks=(0, low, 8192)).start()
    rig.clock.run_until(2 * S)
    assert bool(rig.batches) == passes
    assert rig.passes == [2 * S]


def test_a_block_is_not_taken_at_the_min_watermark_and_the_walk_ends_there():
    # 4096 and 3072 free pages are above 1024 + 1024, 2048 are not: the walk ends at 2, the rest of it is reported.
    rig = Rig(4, capacity=3, order=9, watermarks=(1024, 1024, 1024)).start()
    rig.clock.run_until(2 * S)
    assert rig.told() == [[1, 0]]
    assert rig.numbers() == ([2, 3, 1, 0], [False, False, True, True])
    assert rig.design.pending is None
    # One page less, and 2 is taken too.
    rig = Rig(4, capacity=3, order=9, watermarks=(1023, 1023, 1023)).start()
    rig.clock.run_until(2 * S)
    assert rig.told()[0] == [2, 1, 0]


def test_taking_a_block_from_order_8_up_makes_its_pageblocks_movable():
    zone = Zone(8 << 10, profile=LINUX_6_1)
    kept = [zone.alloc(order, UNMOVABLE) for order in (8, 10, 10)]
    assert zone.pageblock_types[:2].tolist() == [UNMOVABLE] * 2
    rig = Rig(0, capacity=1, order=8, zone=zone).start()
    rig.clock.run_until(2 * S)
    # Order 8: what is left of the first block on the UNMOVABLE lists, pfn 256.
    assert (256, 8) in rig.batches[0]
    assert zone.pageblock_types[0] == MOVABLE
    rig.clock.run_until(100 * S)
    assert zone.pageblock_types[:2].tolist() == [MOVABLE] * 2
    # Those in use keep theirs.
    assert set(zone.pageblock_types[kept[1] >> 9 : (kept[1] >> 9) + 2].tolist()) == {UNMOVABLE}
    # It went back with the pageblock's present type.
    assert 256 in zone.free_list(8, MOVABLE)
    rig.sound()


def test_below_order_8_a_pageblock_keeps_its_type():
    zone = Zone(8 << 10, profile=LINUX_6_1)
    zone.alloc(7, UNMOVABLE)
    rig = Rig(0, capacity=1, order=7, zone=zone)
    types = []
    rig.on_react = lambda: types.append(int(zone.pageblock_types[0]))
    rig.start()
    rig.clock.run_until(2 * S)
    assert rig.batches[:2] == [[(128, 7)], [(256, 8)]]
    assert types[:2] == [UNMOVABLE, MOVABLE]
    assert 128 in zone.free_list(7, UNMOVABLE)


def test_highatomic_keeps_its_type_and_isolated_blocks_are_left_alone():
    zone = Zone(8 << 10, profile=LINUX_6_1)
    zone.isolate(0)
    zone.isolate(512)
    zone.isolate(4096)
    zone.isolate(4608)
    for pfn in (4096, 4608):
        zone.unisolate(pfn, int(Migratetype.HIGHATOMIC))
    rig = Rig(0, capacity=2, order=9, zone=zone).start()
    rig.clock.run_until(100 * S)
    told = [pfn for batch in rig.batches for pfn, _ in batch]
    assert 0 not in told
    assert 512 not in told
    assert 4096 in told
    assert zone.pageblock_types[8] == zone.pageblock_types[9] == Migratetype.HIGHATOMIC
    rig.sound()


def test_a_block_that_merges_when_it_is_put_back_is_not_reported():
    # The buddy of the block in flight is freed during the react.
    zone = Zone(8 << 10, profile=LINUX_6_1)
    halves = [zone.alloc(9, UNMOVABLE) for _ in range(2)]
    assert halves == [0, 512]
    zone.free(0, 9)
    rig = Rig(0, capacity=1, order=9, zone=zone)
    rig.on_react = lambda: zone.free(512, 9) if len(rig.batches) == 1 else None
    rig.start()
    rig.clock.run_until(2 * S)
    assert rig.batches[0] == [(0, 9)]
    pfns = zone.free_list(10, MOVABLE)
    assert not zone.is_hinted(pfns[pfns == 0]).any() or rig.batches[-1] == [(0, 10)]
    assert rig.design.pending == 4 * S  # the free during the pass notified
    rig.clock.run_until(200 * S)
    assert (0, 10) in [block for batch in rig.batches for block in batch]
    assert zone.is_hinted(zone.free_list(10, MOVABLE)).all()
    rig.sound()


def test_every_free_from_the_order_up_notifies_however_few_blocks_are_free():
    rig = Rig(8, capacity=2, order=9).start()
    kept = rig.zone.alloc(9)
    rig.clock.run_until(100 * S)
    passes = len(rig.passes)
    small = rig.zone.alloc(0, UNMOVABLE)
    other = rig.zone.alloc(0, UNMOVABLE)
    rig.zone.free(small)  # its buddy is in use: it stays below the order
    assert rig.design.pending is None
    rig.zone.free(kept, 9)
    assert rig.design.pending == 102 * S
    rig.clock.run_until(101 * S)
    rig.zone.free(other)
    assert rig.design.pending == 102 * S  # REQUESTED: its time stays
    rig.clock.run_until(300 * S)
    assert len(rig.passes) == passes + 1
    assert rig.passes[-1] == 102 * S


def test_a_put_back_does_not_notify():
    rig = Rig(8, capacity=2, order=10).start()
    rig.clock.run_until(100 * S)
    assert not rig.zone.requested
    assert rig.design.pending is None


def test_allocating_a_reported_block_makes_it_unreported():
    rig = Rig(8, capacity=4, order=9).start()
    rig.clock.run_until(100 * S)
    assert sum(rig.zone.nr_hinted) == 8
    pfn = rig.zone.alloc(10)
    assert sum(rig.zone.nr_hinted) == 7
    rig.zone.free(pfn, 10)
    assert sum(rig.zone.nr_hinted) == 7
    rig.clock.run_until(200 * S)
    assert rig.batches[-1] == [(pfn, 10)]


def test_a_block_that_changes_its_type_goes_to_the_tail_and_stays_reported():
    rig = Rig(8, capacity=4, order=9).start()
    rig.clock.run_until(100 * S)
    for number in (5, 2, 7):
        rig.zone.isolate(number << 10)
    assert rig.numbers(10, int(Migratetype.ISOLATE)) == ([5, 2, 7], [True] * 3)
    rig.sound()


def test_a_failing_react_ends_the_pass_and_its_blocks_go_back_unreported():
    rig = Rig(8, capacity=3, order=10)

    def fail():
        if len(rig.batches) == 1:
            raise OSError("no")

    rig.on_react = fail
    rig.start()
    rig.clock.run_until(2 * S)
    assert rig.told() == [[2, 1, 0]]
    assert rig.numbers() == ([3, 4, 5, 6, 7, 2, 1, 0], [False] * 8)
    assert rig.design.statistics.errors == 1
    assert rig.zone.in_flight_pages == 0
    rig.clock.run_until(100 * S)
    assert rig.numbers()[1] == [True] * 8
    rig.sound()


def test_the_pause_after_failures_grows():
    rig = Rig(8, capacity=3, order=10)

    def fail():
        raise OSError("no")

    rig.on_react = fail
    rig.start()
    rig.clock.run_until(31 * S)
    assert rig.passes == [2 * S, 4 * S, 8 * S, 16 * S]


def test_stop_during_a_react():
    rig = Rig(8, capacity=3, order=10, react_time=lambda react: S)
    rig.start()
    rig.clock.run_until(2 * S + S // 2)
    assert rig.zone.in_flight_pages == 3 << 10
    rig.worker.stop()
    assert rig.clock.now == 3 * S
    assert not rig.design.started
    assert rig.told() == [[2, 1, 0]]
    assert rig.zone.in_flight_pages == 0
    for pfn in [rig.zone.alloc(10) for _ in range(8)]:
        rig.zone.free(pfn, 10)
    rig.clock.run_until(100 * S)
    assert len(rig.batches) == 1
    rig.sound()


def test_isolating_during_a_react_puts_blocks_back_on_the_isolate_list():
    rig = Rig(8, capacity=3, order=10)
    rig.on_react = lambda: rig.zone.isolate(0) if len(rig.batches) == 1 else None
    rig.start()
    rig.clock.run_until(2 * S)
    assert rig.zone.free_list(10, int(Migratetype.ISOLATE)).tolist() == [0]
    assert rig.zone.free_pages == 7 << 10
    rig.sound()


def test_order_0_reports_single_pages_and_every_page_once():
    zone = Zone(1 << 10, profile=LINUX_6_1)
    pages = [zone.alloc(0) for _ in range(1024)]
    for pfn in pages[::2]:
        zone.free(pfn)
    rig = Rig(0, capacity=32, order=0, zone=zone).start()
    rig.clock.run_until(100 * S)
    told = [block for batch in rig.batches for block in batch]
    assert sorted(told) == sorted((pfn, 0) for pfn in pages[::2])
    rig.sound()


@pytest.mark.parametrize(("kernel", "list_"), [("6.1", UNMOVABLE), ("6.12", MOVABLE)])
def test_what_is_free_beside_half_a_pageblock_that_is_told(kernel: str, list_: int) -> None:
    """The pageblock is MOVABLE from then on. Since 6.10 what else is free there is so too: a guest of 6.12 that reports
    all orders was placed as recorded to 8 %."""
    zone = Zone(1024, profile=kernel_profile(kernel))
    free = np.zeros(1024, np.bool_)
    free[4:8] = free[256:512] = True
    zone.load(free, np.array([UNMOVABLE, MOVABLE], np.uint8))
    zone.attach(8, 0, "device", lambda: None)
    batch = Batch(32)
    zone.take_unreported(8, UNMOVABLE, batch, 1)
    assert batch.pfns.tolist() == [256]
    assert zone.pageblock_types[0] == MOVABLE
    assert [len(zone.free_list(2, kind)) for kind in (UNMOVABLE, MOVABLE)] == [list_ == UNMOVABLE, list_ == MOVABLE]
    zone.drain(batch, True)
    check(zone)


@pytest.mark.parametrize(("kernel", "order_2"), [("6.1", [4, 1024]), ("6.12", [1024, 4])])
def test_what_is_free_beside_half_a_pageblock_that_was_movable(kernel: str, order_2: list[int]) -> None:
    """Since 6.10 it goes to its list's tail: left where it was, 84 % of a guest's blocks were placed as recorded."""
    zone = Zone(2048, profile=kernel_profile(kernel))
    free = np.zeros(2048, np.bool_)
    free[4:8] = free[256:512] = free[1024:1028] = True
    zone.load(free)
    zone.take_unreported(8, MOVABLE, Batch(1), 1)
    assert zone.free_list(2, MOVABLE).tolist() == order_2


@pytest.mark.parametrize(("kernel", "told"), [("6.1", []), ("6.12", [[(512, 9)]])])
def test_what_is_left_of_a_block_that_isolating_splits_is_told_anew(kernel: str, told: list[object]) -> None:
    zone = Zone(8 << 10, profile=kernel_profile(kernel))
    rig = Rig(0, capacity=2, order=9, zone=zone).start()
    rig.clock.run_until(100 * S)
    rig.batches.clear()
    zone.isolate(0)
    rig.clock.run_until(110 * S)
    assert rig.batches == told
    rig.sound()


def test_a_walk_over_reported_blocks_changes_nothing():
    rig = Rig(8, capacity=4, order=9).start()
    rig.clock.run_until(100 * S)
    before = rig.numbers()
    batch = Batch(4)
    assert rig.zone.take_unreported(10, MOVABLE, batch, 1) == 0
    assert len(batch) == 0
    assert rig.numbers() == before


def test_a_delay_ends_with_a_step_of_the_timer_wheel() -> None:
    ms = 10**6
    # 2 s are 500 ticks of 4 ms: the next step of 32 ms comes 2.000 to 2.032 s after the request.
    assert {timer_delay(2000 * ms, now * ms) for now in range(1000)} <= set(range(2000 * ms, 2033 * ms, ms))
    assert {(now + timer_delay(2000 * ms, now * ms) // ms) % 32 for now in range(1000)} == {0}
    assert timer_delay(2000 * ms, 16 * ms) == 2032 * ms  # a step that it just meets is not past it
    # Shorter ones have finer steps, longer ones coarser.
    assert timer_delay(100 * ms, 1 * ms) == 99 * ms
    assert (timer_delay(10_000 * ms, 0)) % (256 * ms) == 0


class Deaf:
    """A device that nobody tells of anything."""

    capacity = 32

    def react(self, batch: Batch) -> None:
        raise AssertionError


def test_a_pass_comes_with_a_step_of_the_wheel() -> None:
    due = []
    for design in (PageReporting(9, "2s"), PageReporting(9, "2s", timer_phase=5 * 10**6)):
        design.start([Zone(4096, profile=LINUX_6_1)], Deaf(), 10**9, lambda zone: None, lambda zone, attempt: -1)
        due.append(design.pending)
        design.stop()
    assert due == [3 * 10**9, 10**9 + timer_delay(2 * 10**9, 10**9 - 5 * 10**6)]
    assert (due[1] - 5 * 10**6) % (32 * 10**6) == 0


def test_another_order_asks_for_no_pass_and_counts_from_the_next_free():
    """As in a guest whose parameter is written: blocks of order 4 are told with the first pass that a free asks for."""
    rig = Rig(8, capacity=2, order=9).start()
    rig.clock.run_until(100 * S)
    kept = [rig.zone.alloc(4) for _ in range(3)]
    rig.zone.free(kept.pop(), 4)
    assert rig.design.pending is None
    rig.design.change(4, 2 * S)
    rig.clock.run_until(200 * S)
    assert rig.design.pending is None
    rig.zone.free(kept.pop(0), 4)
    assert rig.design.pending == 202 * S
    rig.clock.run_until(203 * S)
    assert 4 in {order for batch in rig.batches for _, order in batch}
    rig.design.change(9, 2 * S)
    rig.zone.free(rig.zone.alloc(5), 5)
    assert rig.design.pending is None
    rig.sound()


def test_another_delay_is_of_the_next_pass_that_is_asked_for():
    rig = Rig(8, capacity=2, order=9).start()
    rig.clock.run_until(100 * S)
    kept = rig.zone.alloc(9), rig.zone.alloc(10)
    rig.zone.free(kept[0], 9)
    rig.design.change(9, S // 10)
    assert rig.design.pending == 102 * S
    rig.clock.run_until(150 * S)
    rig.zone.free(kept[1], 10)
    assert rig.design.pending == 150 * S + S // 10


def test_without_a_device_a_change_only_sets_it():
    rig = Rig(8, capacity=2, order=9).start()
    rig.worker.stop()
    rig.design.change(4, S)
    rig.zone.free(rig.zone.alloc(10), 10)
    assert rig.design.pending is None
    rig.start()
    assert (rig.design.order, rig.design.pending) == (4, rig.clock.now + S)
