"""How soon free pages are used again, as a few looks tell."""

import pytest

from pagehint.errors import InputError
from pagehint.hinting.designs.survival import FIRST_GUESS, Survival
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


def test_a_zone_without_ages():
    """What was in memory before was taken for ages."""
    with pytest.raises(InputError, match="keeps no ages"):
        Survival([Zone(1024)])
