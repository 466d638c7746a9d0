"""A block is given back after a time that its order and the price set."""

import math
import queue
from itertools import pairwise

import pytest

import pagehint as ph
from pagehint.errors import InputError
from pagehint.hinting.clock import VirtualClock
from pagehint.hinting.designs.breakeven import BreakEven
from pagehint.hinting.drivers.thread import ThreadWorker
from pagehint.hinting.drivers.virtual import VirtualWorker
from pagehint.kernel.profiles import LINUX_5_3, PROFILES
from pagehint.mm.pcp import PerCpuLists
from pagehint.mm.zone import Zone
from pagehint.trace.shipped import example
from tests.hinting.rig import MS, Device
from tests.limits import HANGS


class Guest:
    """A zone with a single page free in its midst, and a large block freed with it, when all else was told."""

    def __init__(self, fails=lambda blocks: None, profile=LINUX_5_3, **settings):
        self.zone = Zone(8 << 10, profile=profile)
        self.clock = VirtualClock()
        self.design = BreakEven(**settings)
        self.worker = VirtualWorker(self.design, [self.zone], self.clock)
        self.device = Device(on_react=fails)
        self.pages = [self.zone.alloc(0) for _ in range(3)]
        self.block = self.zone.alloc(9)
        self.worker.start(self.device)
        self.clock.advance(20_000 * MS)
        self.device.batches.clear()

    @property
    def next_look(self):
        """How long until it looks again (ms)."""
        return (self.clock.next_time - self.clock.now) / MS

    def free(self):
        self.zone.free(self.pages[1], 0)
        self.zone.free(self.block, 9)

    def told_after(self, milliseconds):
        self.clock.advance(milliseconds * MS)
        return self.device.told


def tells(batch, page):
    return any(pfn <= page < pfn + (1 << order) for pfn, order in batch)


def test_large_blocks_before_single_pages():
    guest = Guest(price=0.05)
    guest.free()
    large, wait = guest.design.wait(9) // MS, guest.design.wait(0) // MS
    assert 5 * large < wait
    assert guest.told_after(large - 2) == []
    assert guest.told_after(large) == [guest.block]
    assert guest.told_after(wait // 2) == [guest.block]
    # A look may come just before the wait is over, and the next a wait later.
    assert guest.told_after(2 * guest.design.wait(0) // MS) == [guest.block, guest.pages[1]]
    assert guest.clock.next_time is None  # nothing is looked at while nothing is due
    assert guest.zone.check() == []


def test_what_is_freed_does_not_wait_for_a_look_that_was_set_for_less():
    guest = Guest(price=0.2)
    guest.zone.free(guest.pages[1], 0)
    guest.told_after(100)
    large = guest.design.wait(9) // MS
    assert large + 500 < guest.next_look
    guest.zone.free(guest.block, 9)
    assert guest.next_look == 100
    assert guest.told_after(2 * large + 110) == [guest.block]


# At a price of 0.05 a call is worth as much as a page that waits for 6,291 s.
@pytest.mark.parametrize(
    ("order", "blocks", "by"), [(0, 1, "wait"), (0, 1000, "call"), (3, 200, "call"), (0, 4000, "quarter")]
)
def test_the_next_look_is_after_a_calls_worth_or_a_quarter_of_the_wait_and_before_the_wait_is_over(order, blocks, by):
    guest = Guest(price=0.05)
    taken = []
    while (block := guest.zone.alloc_nowait(order)) >= 0:
        taken.append(block)
    while (page := guest.zone.alloc_nowait(0)) >= 0:  # the rest
        guest.pages.append(page)
    for block in sorted(taken)[: 2 * blocks : 2]:
        guest.zone.free(block, order)
    guest.told_after(5)
    wait = guest.design.wait(order) / MS
    pauses = {"wait": wait, "call": 6_291_456 / (blocks << order), "quarter": wait / 4}
    assert guest.next_look == pytest.approx(pauses[by], abs=1)
    assert pauses["quarter"] <= pauses[by] <= wait


def test_an_order_is_looked_at_with_the_others_once_half_of_its_own_time_is_over():
    class Watched(BreakEven):
        share = 0.1

        def pull(self, zone, order, age, most, resume):
            looked.append((order, self.now))
            return super().pull(zone, order, age, most, resume)

    looked = []
    zone, clock, design = Zone(8 << 10), VirtualClock(), Watched(price=0.5)
    VirtualWorker(design, [zone], clock).start(Device())
    clock.advance(60_000 * MS)
    pages = sorted(zone.alloc(0) for _ in range(3000))
    blocks = [zone.alloc(9) for _ in range(4)]
    for page in pages[::2]:
        zone.free(page, 0)
    looked.clear()
    for _ in range(60):
        zone.free(blocks[0], 9)
        clock.advance(150 * MS)
        blocks[0] = zone.alloc(9)
    pause = design.wait(0) // 4
    times = [time for order, time in looked if order == 0]
    gaps = [after - before for before, after in pairwise(times)]
    assert len(gaps) > 5
    assert pause // 2 <= min(gaps) < pause
    assert sum(order == 9 for order, _ in looked) > 3 * len(gaps)


def test_the_price_may_change_while_it_runs():
    guest = Guest(price=0.05)
    guest.free()
    assert guest.told_after(100) == []
    guest.design.price = 100
    assert set(guest.told_after(500)) == {guest.block, guest.pages[1]}


@pytest.mark.parametrize("price", ["much", math.nan, 0, None])
def test_a_price_that_is_none_is_said_to_be_at_the_next_look(price):
    guest = Guest(price=0.05)
    guest.free()
    guest.design.price = price
    with pytest.raises(InputError, match="price"):
        guest.told_after(100)


@pytest.mark.parametrize("order", [-1, 32, 10**9, "9", 1.5, None])
def test_an_order_that_no_block_has(order):
    """It was an IndexError, or took minutes and all memory."""
    for ask in (BreakEven().wait, BreakEven().break_even):
        with pytest.raises(InputError, match=r"order .*: expected 0 to 31"):
            ask(order)
    if order != 32:
        with pytest.raises(InputError, match=r"orders .*: expected 0 to 32"):
            BreakEven().waits(order)


@pytest.mark.parametrize("profile", PROFILES, ids=lambda row: row.name)
@pytest.mark.parametrize("halves", [1, 2])
def test_what_is_isolated_is_looked_at_when_that_ends(profile, halves):
    """It was looked at again and again meanwhile; and that it ended nobody was told of."""
    guest = Guest(profile=profile)
    first = guest.block & ~1023
    guest.free()
    for half in range(halves):
        guest.zone.isolate(first + 512 * (half + (guest.block > first and halves == 1)))
    guest.told_after(20_000)
    guest.device.batches.clear()
    assert guest.clock.next_time is None
    for half in range(2):
        guest.zone.unisolate(first + 512 * half)
    guest.told_after(20_000)
    assert any(tells(batch, guest.block) for batch in guest.device.batches)
    assert guest.clock.next_time is None
    assert not any(guest.zone.nr_unhinted)
    assert guest.zone.check() == []


def test_park_gives_back_all_that_is_free():
    guest = Guest(price=0.1)
    guest.free()
    guest.design.park()
    assert set(guest.told_after(5)) == {guest.block, guest.pages[1]}
    guest.zone.free(guest.pages[0], 0)  # what is freed later waits
    guest.told_after(1_000)
    assert sum(guest.zone.nr_unhinted) == 1
    guest.design.park()  # although it was just looked at
    guest.told_after(0)
    assert sum(guest.zone.nr_unhinted) == 0
    guest.worker.stop()
    guest.design.park()  # no device: nothing
    assert guest.design.pending is None


def test_an_interrupted_look_is_done_again_at_once():
    class Interrupted(BreakEven):
        def pull(self, zone, order, age, most, resume):
            full = super().pull(zone, order, age, most, resume)
            if armed and self.batch:
                raise armed.pop()
            return full

    armed = []
    zone, clock, design, device = Zone(8 << 10), VirtualClock(), Interrupted(price=0.05), Device()
    block = zone.alloc(9)
    VirtualWorker(design, [zone], clock).start(device)
    clock.advance(20_000 * MS)
    zone.free(block, 9)
    armed.append(RuntimeError("interrupted"))
    with pytest.raises(RuntimeError, match="interrupted"):
        clock.advance(20_000 * MS)
    assert not tells(device.batches[-1], block)
    clock.advance(5 * MS)
    assert tells(device.batches[-1], block)


def test_zones_of_several_largest_orders():
    zones = [Zone(8 << 10, max_order=8, pageblock_order=7), Zone(8 << 10, start_pfn=8 << 10)]
    clock, device = VirtualClock(), Device()
    VirtualWorker(BreakEven(), zones, clock).start(device)
    clock.advance(1_000 * MS)
    assert device.pages == 16 << 10


@pytest.mark.parametrize(("free", "at_once"), [(99, 0), (100, 0), (101, 1), (103, 3)])
def test_a_zone_keeps_its_low_watermark(free, at_once):
    zone, clock, device = Zone(8 << 10, watermarks=(80, 100, 120)), VirtualClock(), Device()
    pages = sorted(zone.alloc_nowait(0) for _ in range(8 << 10))
    VirtualWorker(BreakEven(price=50), [zone], clock).start(device)
    for page in pages[: 2 * free : 2]:
        zone.free(page, 0)
    clock.advance(60_000 * MS)
    assert clock.next_time is None
    assert max(map(len, device.batches), default=0) == at_once
    assert len(device.told) == (free if at_once else 0)


def test_no_park_no_drain():
    guest = Guest(price=50)
    lists = PerCpuLists(guest.zone, 0, 63, 200)
    guest.zone.free(guest.zone.alloc(0, pcp=lists), 0, lists)
    count = lists.count
    guest.free()
    guest.told_after(5_000)
    assert guest.design.statistics.batches > 1
    assert lists.count == count > 0


def test_a_park_wakes_a_driver_that_rests_and_drains_the_cpus_lists():
    guest = Guest()
    lists = PerCpuLists(guest.zone, 0, 63, 200)
    guest.free()
    guest.told_after(20_000)
    assert guest.clock.next_time is None
    page = guest.zone.alloc(0, pcp=lists)
    guest.zone.free(page, 0, lists)
    guest.device.batches.clear()
    assert lists.count > 0
    guest.design.park()
    guest.told_after(0)
    assert lists.count == 0
    assert any(tells(batch, page) for batch in guest.device.batches)
    assert guest.zone.check() == []


def test_a_park_wakes_a_thread():
    zone, told = Zone(8 << 10), queue.SimpleQueue()
    device = Device(on_react=lambda blocks: told.put(len(blocks)))
    design = BreakEven(price=1e-9)
    worker = ThreadWorker(design, [zone])
    worker.start(device)
    design.park()
    assert told.get(timeout=HANGS) == 8
    worker.stop()


def test_no_more_is_given_back_than_the_budget_allows():
    # Of 8,192 pages 4,096 are in use: 1 % a minute are 41 pages, after 3 minutes 123.
    guest = Guest(budget="1%", price=50)
    pages = sorted(guest.zone.alloc(0) for _ in range(guest.zone.free_pages))
    for page in pages[::2]:
        guest.zone.free(page, 0)
    used = 8192 - guest.zone.free_pages
    guest.clock.advance(180_000 * MS)
    assert 0.9 * 0.01 * used * 3 < guest.device.pages <= 0.01 * 8192 * 3.5
    guest.design.park()  # whoever parks it wants all
    guest.clock.advance(10 * MS)
    assert sum(guest.zone.nr_free) == sum(guest.zone.nr_hinted)
    assert guest.design._credit > -200  # a park is not paid for from the budget
    runs = guest.design.statistics.runs
    guest.clock.advance(60_000 * MS)
    assert guest.design.statistics.runs < runs + 100  # it does not look all the time for what it may not give back


def test_a_batch_of_several_orders_keeps_to_the_budget_and_the_next_look_is_when_it_allows_for_a_block():
    """It looked twice for each page: a moment too soon, and 5 ms later."""
    zone, clock, device = Zone(8 << 10), VirtualClock(), Device(capacity=1000)
    design = BreakEven(budget="1%", price=1e6)
    VirtualWorker(design, [zone], clock).start(device)
    pages = sorted(zone.alloc(0) for _ in range(8 << 10))
    clock.advance(180_000 * MS)
    for first in (*range(0, 320, 4), *range(1, 320, 4)):  # 80 pairs
        zone.free(pages[first], 0)
    for page in pages[401:2401:2]:
        zone.free(page, 0)
    earned = 0.01 * (zone.pages - zone.free_pages) / 60  # pages a second
    for second in range(181, 281):
        clock.advance(1_000 * MS)
        assert earned * second - 1.01 < device.pages <= earned * second
    assert [order for _, order in device.batches[0]].count(1) == 80
    assert design.statistics.runs < design.statistics.batches + 10


def test_a_budget_that_is_set_later_counts_from_then_on():
    """What had been given back before it was set was taken off."""
    guest = Guest(price=50)
    guest.design.budget = 1e3  # of what little is in use
    guest.free()
    assert set(guest.told_after(60_000)) == {guest.block, guest.pages[1]}
    guest = Guest(price=50)
    guest.design.budget = 1e-9
    guest.free()
    assert guest.told_after(60_000) == []


def test_budgets():
    assert BreakEven().budget is None
    assert BreakEven(budget="none").budget is None
    assert BreakEven(budget="0.2%").budget == BreakEven(budget=0.002).budget == 0.002
    for budget in (0, -1, "nan", "inf%", "much", "%"):
        with pytest.raises(InputError, match="budget"):
            BreakEven(budget=budget)


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


def fail_first(times):
    """What a device does that fails so many times."""
    failures = [OSError("busy")] * times

    def fail(blocks):
        if failures:
            raise failures.pop()

    return fail


def test_a_park_goes_on_after_its_device_failed():
    guest = Guest(price=0.05)
    guest.device.on_react = fail_first(3)
    guest.free()
    guest.design.park()
    assert set(guest.told_after(10)) == {guest.block, guest.pages[1]}
    assert guest.design.statistics.errors == 3


def test_what_a_device_failed_to_give_back_is_not_paid_for():
    guest = Guest(price=50)
    guest.device.on_react = fail_first(1)
    for _ in range(8):
        guest.zone.alloc(9)
    guest.design.budget = 0.5  # of 4,099 pages, in 20 s: 683, less than two blocks
    guest.zone.free(guest.block, 9)
    assert guest.told_after(10) == [guest.block]
    assert guest.design.statistics.errors == 1


def test_waits():
    design = BreakEven()
    assert design.per_cpu_time == 2e9
    # A call's share, a block, and a page given back and faulted in, by what it costs to keep the page.
    assert design.break_even(0) == pytest.approx((20_000 / 32 + 1_000 + 60 + 1_500) / (15 / 60 / (1 << 18)))
    assert design.wait(0) == round(0.1 * (design.break_even(0) - 2e9))
    waits = [design.wait(order) for order in range(11)]
    assert waits == sorted(waits, reverse=True)
    assert waits[10] == 5 * MS
    assert BreakEven(price=1.5).wait(3) > design.wait(3)
    assert BreakEven(price=1e-300).wait(0) == 60_000 * MS
    for price in (0, -1, "nan", "inf", 1e308, "dear", None):
        with pytest.raises(InputError, match="price"):
            BreakEven(price=price)
    for budget in (0, -1, "nan", "inf", 1e308, "large"):
        with pytest.raises(InputError, match="budget"):
            BreakEven(budget=budget)


def test_the_fuller_the_cpus_lists_are_the_longer_a_page_waits_there_and_the_sooner_it_is_given_back():
    guest = Guest()
    lists = PerCpuLists(guest.zone, 0, 63, 1000)
    # Of 8,192 pages 128 are 1/64: 2 s; none, or up to a quarter of that, are 0.5 s.
    for full, later in ((0, 0.5e9), (16, 0.5e9), (48, 0.75e9), (64, 1e9), (128, 2e9)):
        pages = [guest.zone.alloc(0) for _ in range(full - lists.count)]
        for page in pages:
            guest.zone.free(page, 0, lists)
        guest.zone.free(guest.block, 9)
        guest.clock.advance(200 * MS)
        guest.block = guest.zone.alloc(9)
        assert guest.design.wait(0) == round(guest.design.share * (guest.design.break_even(0) - later))


def test_cpus_lists_are_counted_at_most_each_100_ms():
    guest = Guest()
    counted = []
    guest.zone.count_per_cpu_by(lambda: counted.append(guest.clock.now) or 0)
    runs = guest.design.statistics.runs
    for _ in range(100):
        guest.zone.free(guest.block, 9)
        guest.clock.advance(10 * MS)
        guest.block = guest.zone.alloc(9)
    assert guest.design.statistics.runs >= runs + 100
    assert 5 < len(counted) <= 10


def test_calls_that_tell_of_few_blocks_make_it_wait_longer():
    guest = Guest(price=0.5)
    before = guest.design.break_even(0)
    for _ in range(40):
        guest.zone.free(guest.block, 9)
        guest.clock.advance(5_000 * MS)
        guest.block = guest.zone.alloc(9)
        batches, blocks = guest.design.statistics.batches, guest.design.statistics.blocks
        call = 20_000 * batches / blocks if batches > 20 else 20_000 / 32
        assert guest.design.break_even(0) == pytest.approx((call + 1_000 + 60 + 1_500) / (0.5 / 60 / (1 << 18)))
    assert batches > 40
    assert guest.design.break_even(0) > before


def test_two_gib_freed_at_once_are_back_within_a_second_and_a_half():
    zone, clock = Zone(3 << 18), VirtualClock()
    blocks = [zone.alloc(10) for _ in range(512)]
    pages = [zone.alloc(0) for _ in range(1000)]
    worker = VirtualWorker(BreakEven(), [zone], clock)
    device = Device()
    worker.start(device)
    clock.advance(20_000 * MS)
    device.batches.clear()
    for block in blocks:
        zone.free(block, 10)
    for page in pages:
        zone.free(page, 0)
    clock.advance(1_500 * MS)
    assert device.pages >= 0.95 * (512 << 10)


def test_the_shipped_recording():
    trace = example()
    runs = [ph.replay(trace, design).totals for design in (BreakEven(), ph.PageReporting(), BreakEven(price=1.5))]
    assert runs[0].footprint < runs[1].footprint
    assert runs[0].refaults >= runs[2].refaults
    assert runs[0].allocations_delayed == 0


@pytest.mark.parametrize("host", ["THP", "4KiB"])
@pytest.mark.parametrize(
    ("price", "budget", "capacity"),
    [(1e-9, None, 32), (1e9, None, 1), (1e9, "0.2%", 32), (1e9, 1e-12, 32), (1e9, 1e6, 1 << 20)],
)
def test_extreme_settings(host, price, budget, capacity):
    """No allocation waits, and a budget is kept."""
    design = BreakEven(price=price, budget=budget)
    totals = ph.replay(example(), design, ph.ModelHost(host, capacity=capacity), sample=None).totals
    assert totals.allocations_delayed == 0
    if design.budget is not None:
        assert totals.refaults <= design.budget * totals.ideal_footprint * (1 << 18)
