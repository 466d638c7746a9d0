"""Ranges that are no single block, hotplug, and the order of a list, on one zone."""

import numpy as np
import pytest

from pagehint.errors import BusyError, InputError
from pagehint.hinting.action import Idle, React, Sleep
from pagehint.hinting.designs.hinting import PageHinting
from pagehint.hinting.drivers.stepper import Stepper
from pagehint.kernel.profiles import LINUX_5_3, LINUX_6_1, kernel_profile
from pagehint.mm.batch import Batch
from pagehint.mm.check import check
from pagehint.mm.page import HIGHATOMIC, ISOLATE, MOVABLE, UNMOVABLE
from pagehint.mm.pcp import PerCpuLists
from pagehint.mm.zone import Zone


class Device:
    capacity = 2


def lists(zone):
    return [zone.free_list(order, kind).tolist() for order in range(zone.max_order) for kind in range(5)]


@pytest.mark.parametrize("profile", [LINUX_5_3, LINUX_6_1])
@pytest.mark.parametrize(
    ("pfn", "pages"), [(0, 512), (100, 700), (512, 512), (1, 1), (0, 4096), (1023, 2), (3583, 513)]
)
def test_a_range_is_taken_and_nothing_else(profile, pfn, pages):
    zone = Zone(4096, profile=profile)
    zone.alloc_range(pfn, pages)
    assert zone.free_pages == 4096 - pages
    assert [len(zone.free_list(order, ISOLATE)) for order in range(11)] == [0] * 11
    assert zone.isolated == 0
    assert set(zone.pageblock_types.tolist()) == {1}
    assert check(zone) == []
    with pytest.raises(BusyError):
        zone.alloc_range(pfn, 1)
    zone.free_exact(pfn, pages)
    assert zone.nr_free == [0] * 10 + [4]
    assert check(zone) == []


def test_a_range_with_a_page_in_use_changes_nothing():
    zone = Zone(4096, profile=LINUX_6_1)
    pfn = zone.alloc(0)
    before = lists(zone)
    for take in (zone.alloc_range, zone.offline):
        with pytest.raises(BusyError, match=f"pfn {pfn} is not free"):
            take(0, 2048)
        assert lists(zone) == before


def test_a_range_with_an_isolated_pageblock_changes_nothing():
    zone = Zone(4096, profile=LINUX_6_1)
    zone.isolate(1024)
    before = lists(zone)
    with pytest.raises(BusyError, match="isolated already"):
        zone.offline(0, 2048)
    assert lists(zone) == before
    assert zone.isolated == 1


def test_pageblocks_keep_their_types():
    zone = Zone(4096, profile=LINUX_6_1)
    unmovable = zone.alloc(0, 0)
    zone.free(unmovable)
    zone.alloc_range(700, 600, migratetype=2)
    zone.free_exact(700, 600)
    assert zone.pageblock_types[0] == 0
    assert check(zone) == []


@pytest.mark.parametrize("pages", [1, 3, 511, 513, 600, 1023])
def test_a_blocks_tail_is_given_back(pages):
    zone = Zone(4096, profile=LINUX_6_1)
    pfn = zone.alloc(10)
    zone.free_exact(pfn + pages, 1024 - pages)
    assert zone.free_pages == 4096 - pages
    assert check(zone) == []
    zone.free_exact(pfn, pages)
    assert zone.nr_free == [0] * 10 + [4]


@pytest.mark.parametrize(("profile", "at"), [(LINUX_5_3, 0), (LINUX_6_1, -1)])
def test_what_an_exact_allocation_has_too_much_is_allocated_last(profile, at):
    """It went to its list's head. Whoever asked to hear of frees does."""
    zone = Zone(4096, profile=profile)
    pfn, apart = zone.alloc(10), [zone.alloc(8) for _ in range(4)]
    zone.free(apart[0], 8)
    zone.free(apart[2], 8)
    rung = []
    zone.attach(8, 0, None, lambda: rung.append(zone.requested))
    zone.free_surplus(pfn + 768, 256)
    assert zone.free_list(8, 1)[at] == pfn + 768
    assert rung == [True]
    assert check(zone) == []


def test_free_exact_takes_any_pages_of_any_blocks():
    zone = Zone(4096, profile=LINUX_6_1)
    zone.alloc(10)
    zone.free_exact(3, 1000)
    assert zone.free_pages == 3072 + 1000
    assert check(zone) == []
    with pytest.raises(InputError, match="pfn 500 is not allocated"):
        zone.free_exact(500, 1)
    # Left are 0-1 and 2; 1003, 1004-1007 and 1008-1023.
    assert zone.pageblock_movable[:2].tolist() == [2, 3]


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda zone: zone.alloc_range(0, 0), "pages 0: expected 1"),
        (lambda zone: zone.offline(4000, 97), "pfn 4096"),
        (lambda zone: zone.online(-1, 1), "pfn -1"),
        (lambda zone: zone.alloc_range(0, 1, 3), "migratetype 3"),
        (lambda zone: zone.reorder(5), "no free block"),
    ],
)
def test_bad_ranges(call, match):
    with pytest.raises(InputError, match=match):
        call(Zone(4096))


def test_a_zone_with_room_for_memory():
    zone = Zone(4096, present=1000, profile=LINUX_6_1)
    assert (zone.present_pages, zone.free_pages) == (1000, 1000)
    zone.online(1000, 3096)
    assert zone.nr_free == [0] * 10 + [4]
    with pytest.raises(BusyError, match="pfn 0 is online"):
        zone.online(0, 4096)
    assert check(zone) == []


@pytest.mark.parametrize(("profile", "first"), [(LINUX_6_1, 0), (LINUX_5_3, 2048)])
def test_what_comes_online_stands_last(profile, first):
    """As guests of 6.1, 6.12 and 7.3 show, which tell it after all else."""
    zone = Zone(4096, present=2048, profile=profile)
    zone.online(2048, 2048)
    assert zone.alloc(10) // 2048 * 2048 == first


def test_reordering_turns_the_list():
    zone = Zone(8 << 10, profile=LINUX_6_1)
    zone.reorder(2 << 10)
    assert (zone.free_list(10, 1) >> 10).tolist() == [3, 4, 5, 6, 7, 0, 1, 2]
    zone.reorder(2 << 10)
    assert (zone.free_list(10, 1) >> 10).tolist() == [3, 4, 5, 6, 7, 0, 1, 2]
    assert check(zone) == []


# Row 11 of docs/spec/1, section 9.
@pytest.mark.parametrize("profile", [LINUX_5_3, LINUX_6_1])
@pytest.mark.parametrize("place", range(12))
@pytest.mark.parametrize("when", range(6))
def test_reordering_while_active_strands_nothing_and_breaks_nothing(profile, place, when):
    zone = Zone(12 << 10, profile=profile)
    design = PageHinting(high_water_mark=1, delay=0)
    stepper = Stepper(design, [zone])
    stepper.start(Device())
    batch = 0
    while not isinstance(action := stepper.step(), Idle):
        if isinstance(action, Sleep):
            stepper.now = action.until
        elif isinstance(action, React):
            assert zone.active
            pfns = zone.free_list(10, 1)
            if batch == when and len(pfns):
                zone.reorder(int(pfns[place % len(pfns)]))
                assert check(zone) == []
            batch += 1
            stepper.reacted()
            assert check(zone) == []
    # Nothing is left unhinted: what came to the list's head was hinted again.
    assert zone.nr_hinted[10] == 12
    assert batch >= 6


@pytest.mark.parametrize(
    ("free", "types", "match"),
    [
        (5, None, "bool array"),
        (np.ones(1023, bool), None, "bool array"),
        (np.ones((1024, 1), bool), None, "bool array"),
        (np.ones(1024, bool), [1], "2 whole numbers"),
        (np.ones(1024, bool), [1.5, 0.0], "2 whole numbers"),
        (np.ones(1024, bool), ["a", "b"], "2 whole numbers"),
        (np.ones(1024, bool), [0, -1], "0 to 3"),
        (np.ones(1024, bool), [0, 4], "0 to 3"),
    ],
)
def test_a_bad_state_is_not_loaded(free, types, match):
    zone = Zone(1024)
    with pytest.raises(InputError, match=match):
        zone.load(free, types)
    assert (zone.pageblock_types.tolist(), zone.free_pages, check(zone)) == ([1, 1], 1024, [])


@pytest.mark.parametrize(
    ("use", "match"),
    [
        (lambda zone: zone.alloc(0, 0), "a new one"),
        (lambda zone: zone.alloc_range(5, 1), "a new one"),
        (lambda zone: zone.alloc(0, 1, PerCpuLists(zone, 0, 1, 100)), "a new one"),
        (lambda zone: zone.isolate(0), "isolated"),
        (lambda zone: zone.offline(0, 1), "online"),
    ],
)
def test_a_zone_in_use_is_not_loaded(use, match):
    zone = Zone(1024)
    use(zone)
    with pytest.raises(InputError, match=match):
        zone.load(np.zeros(1024, bool), [1, 1])
    assert check(zone) == []


def test_migratetypes_may_be_numpys():
    zone = Zone(5000)
    pfn = zone.alloc(np.int8(2), np.uint8(1))
    zone.free_exact(pfn + 3, np.uint8(1))
    assert zone.pageblock_movable.sum() == 2  # a block of two pages, and one
    zone.free_exact(pfn, 3)
    zone.isolate(np.int64(1024))
    zone.unisolate(np.uint16(1024), np.uint8(1))
    assert (zone.free_pages, zone.isolated, check(zone)) == (5000, 0, [])


@pytest.mark.parametrize(("migratetype", "then"), [(UNMOVABLE, MOVABLE), (MOVABLE, MOVABLE), (HIGHATOMIC, HIGHATOMIC)])
def test_half_a_pageblock_that_is_told_makes_the_rest_movable_but_not_of_the_atomic_reserve(migratetype, then):
    zone = Zone(2048, profile=kernel_profile("6.12"))
    free = np.zeros(2048, np.bool_)
    free[512:768] = free[800:808] = True
    zone.load(free, [MOVABLE, migratetype, MOVABLE, MOVABLE])
    batch = Batch(4)
    zone.take_unreported(8, migratetype, batch, 10)
    assert batch.pfns.tolist() == [512]
    assert zone.pageblock_types[1] == then
    assert zone.free_list(3, then).tolist() == [800]
    zone.drain(batch, True)
    assert zone.check() == []
