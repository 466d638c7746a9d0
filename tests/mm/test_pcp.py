"""Per-CPU page lists: what they take, keep and give back, and when."""

import numpy as np
import pytest

from pagehint.errors import InputError
from pagehint.kernel.profiles import LINUX_5_3, LINUX_5_15, LINUX_6_1, kernel_profile
from pagehint.mm.check import check
from pagehint.mm.pcp import PerCpuLists
from pagehint.mm.zone import Zone


def make(profile=LINUX_6_1, pages=16 << 10, batch=63, high=378):
    zone = Zone(pages, profile=profile)
    return zone, PerCpuLists(zone, 0, batch, high)


def sound(zone, pcp, used):
    assert check(zone) == []
    assert zone.free_pages + pcp.count + used == zone.pages


@pytest.mark.parametrize(
    ("order", "refill"),
    # batch >> order, at least 2, in blocks
    [(0, 63), (1, 31), (2, 15), (3, 7), (9, 2)],
)
def test_linux_6_1_refills_by_order(order, refill):
    zone, pcp = make()
    zone.alloc(order, 1, pcp)
    assert pcp.count == (refill - 1) << order
    sound(zone, pcp, 1 << order)


@pytest.mark.parametrize("order", [4, 5, 8, 10])
def test_other_orders_go_to_the_zone(order):
    zone, pcp = make()
    pfn = zone.alloc(order, 1, pcp)
    assert pcp.count == 0
    zone.free(pfn, order, pcp)
    assert pcp.count == 0
    assert zone.free_pages == zone.pages


def test_linux_5_3_keeps_order_0_only():
    zone, pcp = make(LINUX_5_3)
    for order in (1, 2, 3, 9):
        zone.free(zone.alloc(order, 1, pcp), order, pcp)
    assert pcp.count == 0
    zone.alloc(0, 1, pcp)
    assert pcp.count == 62


def test_the_last_page_that_was_freed_is_the_first_to_be_taken():
    zone, pcp = make()
    pages = [zone.alloc(0, 1, pcp) for _ in range(5)]
    for pfn in pages:
        zone.free(pfn, 0, pcp)
    assert [zone.alloc(0, 1, pcp) for _ in range(5)] == pages[::-1]


def test_a_refill_is_given_out_in_the_zones_order():
    zone, pcp = make()
    other = Zone(16 << 10, profile=LINUX_6_1)
    assert [zone.alloc(0, 1, pcp) for _ in range(100)] == [other.alloc(0) for _ in range(100)]


def test_types_have_lists_of_their_own_and_a_page_goes_to_its_pageblocks():
    zone, pcp = make()
    unmovable = zone.alloc(0, 0, pcp)
    movable = zone.alloc(0, 1, pcp)
    assert unmovable >> 9 != movable >> 9
    zone.free(unmovable, 0, pcp)
    assert zone.alloc(0, 1, pcp) != unmovable
    assert zone.alloc(0, 0, pcp) == unmovable


def test_linux_5_3_drains_a_batch_at_high():
    zone, pcp = make(LINUX_5_3, batch=10, high=30)
    pages = [zone.alloc(0) for _ in range(200)]
    for pfn in pages[:29]:
        zone.free(pfn, 0, pcp)
    assert pcp.count == 29
    zone.free(pages[29], 0, pcp)
    assert pcp.count == 20
    # The oldest went.
    assert sorted(zone.alloc(0, 1, pcp) for _ in range(20)) == sorted(pages[10:30])


def test_linux_5_3_drains_from_the_lists_in_turn():
    zone, pcp = make(LINUX_5_3, batch=6, high=12)
    movable = [zone.alloc(0, 1) for _ in range(6)]
    unmovable = [zone.alloc(0, 0) for _ in range(6)]
    for pfn in movable + unmovable:
        zone.free(pfn, 0, pcp)
    assert pcp.count == 6
    # From list 1: one page; past the empty list 2 to list 0: two pages; to 1: one; to 0: two.
    assert [zone.alloc(0, 1, pcp) for _ in range(4)] == movable[2:][::-1]
    assert [zone.alloc(0, 0, pcp) for _ in range(2)] == unmovable[4:][::-1]


def drained(zone, pcp, pages, times):
    """How many pages go in each of the first drains, while these are freed one after the other."""
    found = []
    while len(found) < times:
        before = pcp.count
        zone.free(next(pages), 0, pcp)
        if pcp.count <= before:
            found.append(before + 1 - pcp.count)
    return found


def test_linux_6_1_drains_more_each_time_that_frees_follow_on_frees():
    zone, pcp = make(batch=10, high=100)
    pages = iter([zone.alloc(0) for _ in range(2000)])
    # batch << factor, at most high - batch.
    assert drained(zone, pcp, pages, 6) == [10, 20, 40, 80, 90, 90]
    # Each allocation halves the factor.
    for _ in range(5):
        zone.alloc(0, 1, pcp)
    while (before := pcp.count) < 99:
        zone.free(next(pages), 0, pcp)
    zone.free(next(pages), 0, pcp)
    assert before + 1 - pcp.count == 10


def test_linux_6_1_drains_32_batches_at_the_most():
    """As its stable releases do: so it was in recordings of 6.1.192."""
    zone, pcp = make(batch=10, high=1000)
    pages = iter([zone.alloc(0) for _ in range(5000)])
    assert drained(zone, pcp, pages, 8) == [10, 20, 40, 80, 160, 320, 320, 320]


def test_linux_5_15_drains_all_but_a_batch_at_the_most():
    """So it was in recordings of Ubuntu's 5.15.0: 63 to 4032 pages, and then 6865 of 6928."""
    zone, pcp = make(LINUX_5_15, batch=63, high=6928)
    pages = iter([zone.alloc(0) for _ in range(15000)])
    assert drained(zone, pcp, pages, 8) == [63, 126, 252, 504, 1008, 2016, 4032, 6865]


def test_linux_5_15_keeps_blocks_of_order_1_to_3():
    """It kept them on 507 of 513 occasions on which 6.1 drains."""
    zone, pcp = make(LINUX_5_15, batch=10, high=100)
    pages = iter([zone.alloc(0) for _ in range(200)])
    block, another = zone.alloc(2), zone.alloc(2)
    while pcp.count < 99:
        zone.free(next(pages), 0, pcp)
    zone.free(next(pages), 0, pcp)
    assert pcp.count == 90
    zone.free(block, 2, pcp)
    assert pcp.count == 94
    while pcp.count < 97:
        zone.free(next(pages), 0, pcp)
    zone.free(another, 2, pcp)
    assert pcp.count == 101 - 20


def test_linux_6_1_keeps_no_blocks_of_order_1_to_3_while_frees_follow_on_frees():
    zone, pcp = make(batch=10, high=100)
    pages = iter([zone.alloc(0) for _ in range(200)])
    block = zone.alloc(2)
    while pcp.count < 99:
        zone.free(next(pages), 0, pcp)
    zone.free(next(pages), 0, pcp)
    assert pcp.count == 90
    zone.free(block, 2, pcp)
    assert pcp.count == 0


def test_linux_6_1_keeps_a_pageblock_even_so():
    zone = Zone(16384, profile=LINUX_6_1)
    lists = PerCpuLists(zone, 0, 300, 1000)
    pages, pageblock = [zone.alloc() for _ in range(1300)], zone.alloc(9)
    for pfn in pages:
        zone.free(pfn, 0, lists)
    assert lists.count == 400, "300 were drained, and 600"
    zone.free(pageblock, 9, lists)
    assert lists.count == 912


def test_linux_6_1_drains_the_list_that_was_freed_to_first():
    zone, pcp = make(batch=4, high=12)
    unmovable = [zone.alloc(0, 0) for _ in range(6)]
    movable = [zone.alloc(0, 1) for _ in range(6)]
    for pfn in unmovable + movable:
        zone.free(pfn, 0, pcp)
    assert pcp.count == 8
    assert [zone.alloc(0, 0, pcp) for _ in range(6)] == unmovable[::-1]
    assert [zone.alloc(0, 1, pcp) for _ in range(2)] == movable[4:][::-1]


def test_isolated_pages_go_straight_to_the_zone_and_drained_ones_to_the_isolate_list():
    zone, pcp = make()
    pages = [zone.alloc(0, 1, pcp) for _ in range(4)]
    zone.free(pages[0], 0, pcp)
    zone.isolate(pages[0])
    count = pcp.count
    zone.free(pages[1], 0, pcp)
    assert pcp.count == count
    zone.drain_pcp(pcp)
    assert pcp.count == 0
    assert pages[0] not in [pfn for order in range(11) for pfn in zone.free_list(order, 1)]
    assert check(zone) == []


def test_a_zone_without_pages_gives_what_the_lists_have_and_then_none():
    zone, pcp = make(pages=64, batch=63, high=378)
    got = [zone.alloc(0, 1, pcp) for _ in range(64)]
    assert sorted(got) == list(range(64))
    assert zone.alloc(0, 1, pcp) == -1
    sound(zone, pcp, 64)


def test_a_page_on_a_list_can_not_be_freed_again():
    zone, pcp = make()
    pfn = zone.alloc(0, 1, pcp)
    zone.free(pfn, 0, pcp)
    for way in (pcp, None):
        with pytest.raises(InputError, match="not allocated"):
            zone.free(pfn, 0, way)


def test_bulk_does_as_single_operations_do():
    rng = np.random.default_rng(5)
    count, slots = 20000, 700
    ops = rng.integers(0, 2, count).astype(np.uint8)
    which = rng.integers(0, slots, count).astype(np.uint32)
    orders = rng.choice([0, 0, 0, 1, 3, 4, 9], count).astype(np.uint8)
    types = rng.integers(0, 3, count).astype(np.uint8)
    live = np.zeros(slots, bool)
    for k in range(count):
        ops[k] = not live[which[k]]
        live[which[k]] = ops[k]
    zone, pcp = make(pages=1 << 18, batch=7, high=40)
    table = np.full(slots, -1, np.int64)
    assert zone.bulk(ops, which, orders, types, table, pcp) == 0
    other, lists = make(pages=1 << 18, batch=7, high=40)
    mine, order_of = {}, {}
    for op, slot, order, kind in zip(ops.tolist(), which.tolist(), orders.tolist(), types.tolist(), strict=True):
        if op:
            mine[slot], order_of[slot] = other.alloc(order, kind, lists), order
        else:
            other.free(mine.pop(slot), order_of.pop(slot), lists)
    assert {slot: pfn for slot, pfn in enumerate(table.tolist()) if pfn >= 0} == mine
    assert pcp.count == lists.count
    assert zone.nr_free == other.nr_free
    sound(zone, pcp, sum(1 << order for order in order_of.values()))


@pytest.mark.parametrize(
    ("cpu", "batch", "high"),
    [(0, 0, 10), (0, 1 << 17, 10), (0, 1, -1), (0, 1, 1 << 40), (0, 7.5, 10), (0, 7, "10"), (1 << 31, 7, 10)],
)
def test_absurd_figures(cpu, batch, high):
    with pytest.raises(InputError, match="per-CPU lists"):
        PerCpuLists(Zone(64), cpu, batch, high)


class Many(int):
    """A number that says it is less than any other, and more."""

    def __lt__(self, other):
        return True

    __le__ = __gt__ = __ge__ = __lt__


def test_a_number_that_lies_makes_no_list_longer():
    _, pcp = tuned()
    pcp.resume(Many(1 << 30))
    assert pcp.high == 15041
    with pytest.raises(InputError, match="per-CPU lists: high"):
        pcp.limit(63, Many(1 << 30))


def test_lists_of_another_zone_are_refused():
    zone, other = Zone(1 << 22), Zone(1024)
    lists = PerCpuLists(other, 0, 7, 100)
    zone.alloc_range((1 << 22) - 1, 1)
    table = np.full(1, -1)
    one, kind = np.ones(1, np.uint8), np.zeros(1, np.uint8)
    for call in (
        lambda: zone.alloc(0, 1, lists),
        lambda: zone.alloc_nowait(0, 1, lists),
        lambda: zone.free((1 << 22) - 1, 0, lists),
        lambda: zone.bulk(one, np.zeros(1, np.uint32), kind, kind, table, lists),
        lambda: zone.drain_pcp(lists),
    ):
        with pytest.raises(InputError, match="CPU 0 are not of this zone"):
            call()
    assert (check(zone), check(other), lists.count) == ([], [], 0)


# Lists that tune themselves


def tuned(kernel="6.8", watermarks=(0, 0, 0), pages=128 << 10, high=6929, high_max=15041):
    zone = Zone(pages, profile=kernel_profile(kernel), watermarks=watermarks)
    return zone, PerCpuLists(zone, 0, 63, high, high_max)


def refills(zone, pcp, count):
    sizes = []
    while len(sizes) < count:
        before = zone.free_pages
        zone.alloc(0, 1, pcp)
        if zone.free_pages < before:
            sizes.append(before - zone.free_pages)
    return sizes


def test_refills_double_until_high_has_no_room_and_a_free_halves_them():
    zone, pcp = tuned()
    assert refills(zone, pcp, 7) == [63, 126, 252, 504, 1008, 2016, 2016]
    assert pcp.high == 63 + 126 + 252 + 504 + 1008 + 2016 + 2016
    zone.free(0, 0, pcp)  # from 5 doublings to 2
    zone.alloc(0, 1, pcp)
    assert refills(zone, pcp, 1) == [252]


def test_refills_double_no_further_than_high_lets_them():
    zone, pcp = tuned(high=300, high_max=480)
    assert refills(zone, pcp, 4) == [63, 126, 252, 417]  # 480 less what the page before left, and a batch


def test_high_does_not_rise_in_a_zone_below_its_high_watermark():
    zone, pcp = tuned(watermarks=(0, 0, 128 << 10))
    zone.alloc()  # from now on it is below
    assert refills(zone, pcp, 3) == [63, 63, 63]  # high is 0: a batch is the least
    assert pcp.high == 0


def test_lists_whose_high_cannot_move_refill_a_batch():
    zone, pcp = tuned(high_max=6929)
    assert refills(zone, pcp, 3) == [63, 63, 63]
    assert pcp.high == 6929


def drains(zone, pcp, pfns, order=0):
    sizes = []
    for pfn in pfns:
        before = zone.free_pages
        zone.free(pfn, order, pcp)
        if zone.free_pages > before:
            sizes.append(zone.free_pages - before)
    return sizes


def test_drains_follow_what_was_freed_of_late():
    zone, pcp = tuned(high=500, high_max=1000)
    pfns = [zone.alloc(0, 1) for _ in range(4000)]
    sizes = drains(zone, pcp, pfns)
    assert sizes[:2] == [1, 437]  # high is 0 at first; then what was freed, but high less a batch at the most
    assert all(size >= 63 for size in sizes[1:])
    assert 500 <= pcp.high <= 1000
    sound(zone, pcp, 0)


@pytest.mark.parametrize(("kernel", "drained"), [("6.8", True), ("6.17", False)])
def test_blocks_above_order_0_drain_all_once_many_were_freed_in_a_row(kernel, drained):
    zone, pcp = tuned(kernel)
    pcp.limit(63, 6929, 6929)
    blocks = [zone.alloc(2, 1) for _ in range(20)]
    sizes = drains(zone, pcp, blocks, 2)
    assert bool(sizes) == drained
    assert sizes[:1] == ([17 * 4] if drained else [])  # 64 pages were freed before: more than a batch
    sound(zone, pcp, 0)


def test_high_falls_by_32_batches_however_few_went_back():
    """As a guest of 7.3 showed: its lists were drained at 11 x 32 batches below `high`, though few pages went back."""
    zone, pcp = tuned(high=500, high_max=10673)
    pcp.resume(10673)
    blocks = [zone.alloc(2, 1) for _ in range(50)]
    assert drains(zone, pcp, blocks, 2) == [17 * 4, 16 * 4, 16 * 4]
    assert pcp.high == 10673 - 3 * (63 << 5)


def test_an_idle_cpu_s_lists_decay():
    zone, pcp = tuned()
    refills(zone, pcp, 7)
    high, kept = pcp.high, pcp.count
    zone.decay_pcp(pcp)
    assert (pcp.high, pcp.count) == (max(high - high // 8, 6929), kept)
    pcp.limit(63, 0, 15041)
    zone.decay_pcp(pcp)
    assert pcp.high == max(kept - (63 << 5), 0) == pcp.count
    sound(zone, pcp, zone.pages - zone.free_pages - pcp.count)


def test_a_pageblock_on_a_list_makes_none_longer_than_it_was_made_for():
    """`high` rose above its limit, and pages lay beyond a list's memory: one was on no list, another on two."""
    zone = Zone(2048, profile=kernel_profile("6.15"))
    pcp = PerCpuLists(zone, 0, 7, 28, 128)
    zone.alloc(9, 1, pcp)  # and another, which stays on its list
    assert pcp.count == 512
    pages = [zone.alloc(0, 1) for _ in range(300)]
    zone.decay_pcp(pcp)
    assert pcp.high == 128
    for pfn in pages:
        zone.free(pfn, 0, pcp)
    assert pcp.count <= 128
    assert check(zone) == []


def test_limits_stay_within_what_the_lists_were_made_for():
    _, pcp = tuned()
    for batch, high, most in ((64, 1, 1), (0, 1, 1), (63, 6929, 15042), (63, 7, 6)):
        with pytest.raises(InputError, match="per-CPU lists: "):
            pcp.limit(batch, high, most)
