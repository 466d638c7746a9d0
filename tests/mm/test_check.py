"""The check itself: it finds whatever is broken in a zone, each kind of it."""

import numpy as np
import pytest

from pagehint.mm.batch import Batch
from pagehint.mm.check import check
from pagehint.mm.page import FREE, HINTED, IN_FLIGHT, KIND, OFFLINE, PCP, TYPE_SHIFT, USED, entry
from pagehint.mm.pcp import PerCpuLists
from pagehint.mm.zone import Zone


@pytest.fixture
def zone():
    """A zone in use, in the middle of a cycle, whose arrays can be spoiled."""
    zone = Zone(8192)
    for order in (0, 0, 3, 5, 9):
        zone.alloc(order, 1)
    zone.attach(9, 32, object(), lambda: None)
    zone.begin()
    batch = Batch(2)
    zone.fill(batch)
    zone.drain(batch, True)
    assert zone.nr_hinted[10] == 2
    assert check(zone) == []
    for array in (zone.page_state, zone.page_links, zone.pageblock_types, zone.pageblock_movable):
        array.flags.writeable = True
    return zone


def head(zone, order=10, migratetype=1, at=0):
    return int(zone.free_list(order, migratetype)[at])


def list_number(order, migratetype=1):
    return (migratetype << 5) + order


def used(zone):
    return int(np.flatnonzero((zone.page_state & KIND) == USED)[0])


def spoil_kind(zone):
    zone.page_state[head(zone)] = 10


def spoil_kind_of_used(zone):
    zone.page_state[used(zone)] ^= USED ^ 0xC0


def free_without_a_list(zone):
    zone.page_state[used(zone)] ^= USED ^ FREE


def listed_but_used(zone):
    zone.page_state[head(zone)] ^= USED ^ FREE


def in_flight_from_nowhere(zone):
    zone.page_state[used(zone)] ^= USED ^ IN_FLIGHT


def wrong_order(zone):
    zone.page_state[head(zone)] -= 1


def wrong_list(zone):
    zone.page_state[head(zone)] ^= 3 << TYPE_SHIFT


def overlap(zone):
    zone.page_state[head(zone) + 512] = USED | 9


def lost_block(zone):
    zone.page_state[used(zone)] = 0


def unaligned(zone):
    pfn = used(zone)
    zone.page_state[pfn] += 10


def hinted_flag_set(zone):
    zone.page_state[head(zone)] |= HINTED


def hinted_flag_lost(zone):
    zone.page_state[head(zone, at=-1)] &= ~np.uint16(HINTED)


def broken_link_forward(zone):
    first, third = head(zone), head(zone, at=2)
    zone.page_links[entry(first), 0] = entry(third)


def broken_link_back(zone):
    zone.page_links[entry(head(zone, at=1)), 1] = entry(head(zone, at=3))


def endless_ring(zone):
    zone.page_links[entry(head(zone, at=2)), 0] = entry(head(zone))


def empty_list_that_leads_somewhere(zone):
    zone.page_links[list_number(3), 0] = entry(head(zone))


def empty_list_that_something_leads_to(zone):
    zone.page_links[list_number(3), 1] = entry(head(zone))


def type_lost(zone):
    zone.pageblock_types[3] = 4


def movable_lost(zone):
    zone.pageblock_movable[0] += 1


def hinted_but_used(zone):
    zone.page_state[used(zone)] |= HINTED


def offline_from_nowhere(zone):
    zone.page_state[used(zone)] ^= USED ^ OFFLINE


def per_cpu_on_no_list(zone):
    zone.page_state[used(zone)] ^= USED ^ PCP


SPOILERS = [
    *(hinted_but_used, offline_from_nowhere, per_cpu_on_no_list),
    *(spoil_kind, spoil_kind_of_used, free_without_a_list, listed_but_used, in_flight_from_nowhere, wrong_order),
    *(wrong_list, overlap, lost_block, unaligned, hinted_flag_set, hinted_flag_lost, broken_link_forward),
    *(broken_link_back, endless_ring, type_lost, movable_lost),
    *(empty_list_that_leads_somewhere, empty_list_that_something_leads_to),
]


@pytest.mark.parametrize("spoil", SPOILERS)
def test_what_is_broken_is_found(zone, spoil):
    spoil(zone)
    problems = check(zone)
    assert problems
    assert all("\n" not in problem for problem in problems)
    assert zone.check() == problems


def test_a_boundary_on_a_list_that_is_empty(zone):
    boundary = zone.boundary(10, 1)
    zone.page_links[list_number(10)] = list_number(10)
    assert f"list 10 1: its boundary, pfn {boundary}, is not on it" in check(zone)


def test_two_free_buddies(zone):
    spare = Zone(1024)
    spare.isolate(512)
    halves = [spare.alloc(9), spare.alloc(9, 0)]
    assert halves == [0, 512]
    spare.free(512, 9)
    spare.free(0, 9)
    assert check(spare) == [], "an isolated one does not merge"
    spare.pageblock_types.flags.writeable = True
    spare.pageblock_types[1] = 1
    assert any("beside its free buddy" in problem for problem in check(spare))


def test_what_is_wrong_with_a_cpus_lists():
    zone = Zone(4096)
    pcp = PerCpuLists(zone, 3, 7, 100)
    pfns = [zone.alloc(0, 1, pcp) for _ in range(3)]
    assert check(zone) == []
    zone.page_state.flags.writeable = True
    page = int(np.flatnonzero((zone.page_state & KIND) == PCP)[0])
    zone.page_state[page] ^= PCP ^ USED
    assert any("CPU 3, list 1: pfn" in problem for problem in check(zone))
    zone.page_state[page] ^= PCP ^ USED
    zone.page_state[pfns[0]] ^= PCP ^ USED
    assert any("on 0 lists" in problem for problem in check(zone))


def test_a_list_whose_count_fell_below_nothing():
    zone = Zone(4096)
    pfn = zone.alloc()
    assert zone.alloc() == pfn + 1
    zone.page_state.flags.writeable = True
    zone.page_state[pfn + 1] = FREE | 1 << TYPE_SHIFT
    zone.free(pfn)
    assert zone.nr_free[0] == -1
    assert zone.free_list(0, 1).tolist() == []
    assert any(problem.startswith("nr_free [-1") for problem in check(zone))


@pytest.mark.parametrize("seed", range(20))
def test_no_corruption_crashes_the_check(zone, seed):
    rng = np.random.default_rng(seed)
    pcp = PerCpuLists(zone, 0, 7, 100)
    zone.alloc(0, 1, pcp)
    for array, most in ((zone.page_state, 1 << 16), (zone.page_links, 1 << 32), (zone.pageblock_types, 256)):
        places = rng.integers(0, array.size, rng.integers(1, 200))
        array.reshape(-1)[places] = rng.integers(0, most, len(places))
    problems = check(zone)
    assert problems
    assert all(isinstance(problem, str) for problem in problems)
