"""Boundaries, pulls and put backs, by hand from docs/spec/1, sections 6 and 8."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pagehint.kernel.profiles import LINUX_6_1
from pagehint.mm.batch import Batch
from pagehint.mm.check import check
from pagehint.mm.zone import Zone


def zone_of(blocks, order=9):
    """A zone of so many blocks of order 10 in a cycle. Boot freed the last of them last: it is at the list's head."""
    zone = Zone(blocks * 1024)
    zone.attach(order, 32, object(), lambda: None)
    zone.begin()
    return zone


def cycle(zone, capacity, hinted=True):
    """One fill and drain: the pfns that the device is told of."""
    batch = Batch(capacity)
    zone.fill(batch)
    pfns = [pfn for pfn, _ in batch]
    zone.drain(batch, hinted)
    assert check(zone) == []
    return pfns


def test_the_coldest_are_told_first_and_stand_behind_the_warm_ones():
    zone = zone_of(6)
    assert zone.free_list(10, 1).tolist() == [5120, 4096, 3072, 2048, 1024, 0]
    assert cycle(zone, 4) == [0, 1024, 2048, 3072]
    assert zone.free_list(10, 1).tolist() == [5120, 4096, 3072, 2048, 1024, 0]
    assert zone.is_hinted(zone.free_list(10, 1)).tolist() == [False, False, True, True, True, True]
    assert (zone.boundary(10, 1), zone.nr_hinted[10]) == (3072, 4)
    assert zone.requested or zone.nr_unhinted[10] == 2
    assert cycle(zone, 4) == [4096, 5120]
    assert cycle(zone, 4) == []
    assert not zone.requested
    zone.end()


def test_what_is_used_again_is_hinted_no_more_and_the_boundary_moves_on():
    zone = zone_of(3)
    cycle(zone, 3)
    assert (zone.boundary(10, 1), zone.nr_hinted[10]) == (2048, 3)
    assert zone.alloc(10, 1) == 2048  # the head is the boundary itself
    assert (zone.boundary(10, 1), zone.nr_hinted[10]) == (1024, 2)
    zone.free(2048, 10)
    assert zone.is_hinted(np.array([2048, 1024, 0])).tolist() == [False, True, True]
    assert cycle(zone, 3) == [2048]


def test_a_part_of_a_hinted_block_is_not_hinted():
    zone = zone_of(1)
    cycle(zone, 1)
    assert zone.alloc(9, 1) == 0
    assert zone.nr_hinted[9:] == [0, 0]
    assert cycle(zone, 1) == [512]
    zone.free(0, 9)  # it merges with what is hinted: the whole has to be told
    assert zone.free_list(10, 1).tolist() == [0]
    assert zone.nr_hinted[9:] == [0, 0]
    assert cycle(zone, 1) == [0]


def test_what_merges_as_it_is_put_back_is_not_hinted():
    zone = zone_of(1)
    assert zone.alloc(9, 1) == 0
    batch = Batch(4)
    zone.fill(batch)
    assert list(batch) == [(512, 9)]
    assert (zone.free_pages, zone.in_flight_pages) == (0, 512)
    zone.free(0, 9)  # its buddy is in flight
    assert zone.free_list(9, 1).tolist() == [0]
    zone.drain(batch, True)
    assert zone.free_list(10, 1).tolist() == [0]
    assert (zone.nr_hinted[9:], zone.free_pages, zone.in_flight_pages) == ([0, 0], 1024, 0)


def test_what_is_isolated_meanwhile_goes_where_its_pageblock_belongs_now():
    zone = zone_of(2)
    zone.alloc(9, 1)  # 1024; 1536 stays of its block
    batch = Batch(1)
    assert zone.pull(batch, order=9)
    assert list(batch) == [(1536, 9)]
    zone.isolate(1536)
    zone.drain(batch, True)
    assert zone.free_list(9, 4).tolist() == [1536]
    assert zone.free_pages == 1024
    assert cycle(zone, 4) == [0]  # what is isolated is told to nobody


def test_types_are_pulled_from_the_last_on_and_orders_from_the_largest():
    zone = zone_of(4)
    zone.alloc(9, 0)
    zone.alloc(9, 1)
    order_of = {}
    batch = Batch(10)
    zone.fill(batch)
    for pfn, order in batch:
        order_of[pfn] = (order, int(zone.pageblock_types[pfn // 512]))
    assert [pair[0] for pair in order_of.values()] == [10, 10, 9, 9]
    assert [pair[1] for pair in order_of.values()][2:] == [1, 0]
    zone.drain(batch, True)


def test_what_moves_to_the_tail_shuts_in_no_block():
    """Pulls look from both ends up to the first hinted block: 16, between hinted ones, was told of no more."""
    zone = Zone(64, max_order=4, pageblock_order=3, profile=LINUX_6_1)
    zone.attach(0, 0, object(), lambda: None)
    while zone.free_pages:
        zone.alloc(0)
    for pfn in (0, 2, 8):
        zone.free(pfn)
    zone.begin()
    assert sorted(cycle(zone, 20)) == [0, 2, 8]
    zone.end()
    zone.free(16)
    for pfn in (16, 8):
        zone.isolate(pfn)
        zone.unisolate(pfn, 1)
    assert zone.free_list(0, 1).tolist()[-2:] == [16, 8]
    zone.begin()
    assert 16 in cycle(zone, 20)
    zone.end()


def test_a_device_that_fails_leaves_all_unhinted_and_all_is_told_later():
    zone = zone_of(5)
    assert cycle(zone, 2) == [0, 1024]
    failed = cycle(zone, 2, hinted=False)
    assert failed == [2048, 3072]
    assert zone.nr_hinted[10] == 2
    zone.end()
    zone.begin()
    told = cycle(zone, 32)
    assert sorted(told) == [2048, 3072, 4096]
    assert zone.nr_hinted[10] == 5


@given(st.integers(1, 12), st.integers(1, 5), st.lists(st.integers(0, 40), max_size=30))
@settings(max_examples=60)
def test_whatever_is_used_meanwhile_each_free_block_is_told_once(blocks, capacity, steps):
    """What is hinted is not told again, and in the end all that is free is hinted."""
    zone, had = zone_of(blocks), []
    zone.request()
    for step in steps:
        if step % 3 == 0:
            hinted = zone.nr_hinted[9:]
            batch = Batch(capacity)
            zone.fill(batch)
            assert zone.nr_hinted[9:] == hinted
            zone.drain(batch, True)
        elif step % 3 == 1 and (pfn := zone.alloc_nowait(9 + step % 2, 1)) >= 0:
            had.append((pfn, 9 + step % 2))
        elif had:
            zone.free(*had.pop(step % len(had)))
        assert check(zone) == []
    while cycle(zone, capacity):
        pass
    assert sum(count << order for order, count in enumerate(zone.nr_hinted)) == zone.free_pages


@pytest.mark.parametrize("low", [0, 1024, 2500, 4096])
def test_a_pull_stops_at_the_low_watermark(low):
    zone = zone_of(4)
    zone.watermarks = (0, low, low)
    batch = Batch(32)
    zone.fill(batch)
    assert len(batch) == (4096 - low) // 1024
    assert zone.free_pages >= low
    zone.drain(batch, True)
