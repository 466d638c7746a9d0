"""How soon free pages are used again, as a few looks tell."""

from math import log

import pytest

from pagehint.errors import InputError
from pagehint.hinting.designs.survival import FIRST_GUESS, Survival
from pagehint.mm.pcp import PerCpuLists
from pagehint.mm.zone import Zone

S = 10**9
PAGES = 8 << 10


def _zone():
    """Every other page is free: nothing merges."""
    zone = Zone(PAGES)
    zone.now = S
    zone.attach(0, 0, object(), lambda: None, None, True)
    pages = [zone.alloc(0) for _ in range(PAGES)]
    mine = sorted(pages)[::2]
    for page in mine:
        zone.free(page, 0)
    return zone, mine


def _run(zone, survival, begin, seconds):
    for tick in range(50 * seconds):
        now = begin + tick * S // 50
        zone.now = now
        survival.look(now)
    return now


def test_nothing_is_known_at_first():
    zone, _ = _zone()
    assert Survival([zone]).share == FIRST_GUESS


def test_pages_that_stay_free_lower_it():
    zone, _ = _zone()
    survival = Survival([zone])
    _run(zone, survival, S, 10)
    assert survival.share < FIRST_GUESS / 10


def test_pages_that_are_used_again_after_two_seconds_raise_it():
    # From 0.32 s on each page's age grows by a factor of 6.25, and then it is used: 1 / ln 6.25 = 0.55, and the guess.
    zone, mine = _zone()
    survival = Survival([zone])
    now = S
    for _ in range(6):
        now = _run(zone, survival, now, 2) + S // 50
        for _ in mine:
            zone.alloc(0)
        zone.now = now
        survival.look(now)
        for page in mine:
            zone.free(page, 0)
    assert 0.4 < survival.share < 0.6


def test_looks_that_follow_each_other_at_once_are_one():
    zone, _ = _zone()
    survival = Survival([zone])
    survival.look(S + 1)
    assert survival.share == FIRST_GUESS


def _blocks(order, most=8):
    """All memory as blocks of this order, in use; a free one is of `most` at the most."""
    zone = Zone(PAGES, max_order=most + 1, pageblock_order=most)
    zone.now = S
    zone.attach(0, 0, object(), lambda: None, None, True)
    return zone, [zone.alloc(order) for _ in range(PAGES >> order)]


def _free(zone, blocks, order):
    for pfn in blocks:
        zone.free(pfn, order)


# Of so many logarithms of how much older pages became, and so many uses.
def _share(chances, uses=0):
    return pytest.approx((uses + 20 * FIRST_GUESS) / (chances + 20))


@pytest.mark.parametrize(("order", "counts"), [(0, True), (8, True), (9, False)])
def test_pages_of_blocks_below_order_9_count(order, counts):
    zone, blocks = _blocks(order, max(order, 8))
    _free(zone, blocks, order)
    survival = Survival([zone])
    assert survival.look(S + 2 * S)
    assert survival.share == _share(1024 * log(2 / 0.32) if counts else 0)


@pytest.mark.parametrize("again", [False, True])
def test_a_page_is_used_halfway_between_two_looks(again):
    """Also where it is free again by then."""
    zone, blocks = _blocks(8)
    _free(zone, blocks, 8)
    survival = Survival([zone])
    zone.now = 2 * S
    for _ in blocks:
        zone.alloc(8)
    if again:
        _free(zone, blocks, 8)
    survival.look(S + 2 * S)
    assert survival.share == _share(1024 * log(1 / 0.32), 1024)


def test_what_was_seen_a_minute_ago_counts_half():
    """And what is older by then than what is given back adds nothing."""
    zone, blocks = _blocks(8)
    _free(zone, blocks, 8)
    survival = Survival([zone])
    survival.look(S + 20 * S)
    assert survival.share == _share(1024 * log(10.24 / 0.32))
    survival.look(S + 80 * S)
    assert survival.share == _share(1024 * log(10.24 / 0.32) / 2)


def test_what_is_used_sooner_than_anything_is_given_back_does_not_count():
    zone, blocks = _blocks(8)
    _free(zone, blocks, 8)
    survival = Survival([zone])
    for _ in blocks:
        zone.alloc(8)
    assert survival.look(S + 6 * S // 10)
    assert survival.share == FIRST_GUESS


def test_what_becomes_part_of_a_larger_block_is_not_used_nor_older():
    zone, blocks = _blocks(7)
    _free(zone, blocks[::2], 7)
    survival = Survival([zone])
    zone.now = 2 * S
    _free(zone, blocks[1::2], 7)
    assert survival.look(S + 2 * S)
    assert survival.share == FIRST_GUESS


def test_what_a_cpus_list_got_is_as_free_as_before():
    zone, blocks = _blocks(0)
    _free(zone, blocks, 0)
    survival = Survival([zone])
    zone.now = 2 * S
    lists = PerCpuLists(zone, 0, PAGES // 2, PAGES)
    zone.alloc(0, pcp=lists)
    assert zone.per_cpu_pages > PAGES // 4
    survival.look(S + 2 * S)
    assert survival.share < FIRST_GUESS / 10


def test_a_zone_without_ages():
    """What was in memory before was taken for ages."""
    with pytest.raises(InputError, match="keeps no ages"):
        Survival([Zone(1024)])
