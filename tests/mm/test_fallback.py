"""The three forms of fallback, case by case (spec 1, section 4; spec 4, section 4)."""

import numpy as np
import pytest

from pagehint.kernel.migratetype import Migratetype
from pagehint.kernel.profiles import PROFILES, KernelProfile, kernel_profile
from pagehint.mm.pcp import PerCpuLists
from pagehint.mm.zone import Zone

UNMOVABLE, MOVABLE, RECLAIMABLE = Migratetype.UNMOVABLE, Migratetype.MOVABLE, Migratetype.RECLAIMABLE
TAKING = [row for row in PROFILES if row.fallback != "moving"]
ALL = pytest.mark.parametrize("profile", PROFILES, ids=lambda row: row.name)
NEW = pytest.mark.parametrize("profile", TAKING, ids=lambda row: row.name)


def lists(zone: Zone, migratetype: int) -> dict[int, list[int]]:
    """The blocks of a type by order, of the orders that have some."""
    blocks = {order: zone.free_list(order, migratetype).tolist() for order in range(zone.max_order)}
    return {order: pfns for order, pfns in blocks.items() if pfns}


def crowded(profile: KernelProfile, used: int) -> Zone:
    """A pageblock of `used` movable pages, its last ones free: too few to claim it for another type."""
    zone = Zone(512, profile=profile)
    for _ in range(used):
        zone.alloc(0, MOVABLE)
    return zone


def of_types(profile: KernelProfile, free: set[int], types: list[int]) -> Zone:
    """A zone of pageblocks of these types in which only these pages are free."""
    zone = Zone(512 * len(types), profile=profile)
    zone.load(np.array([pfn in free for pfn in range(zone.pages)]), np.array(types))
    return zone


@ALL
def test_a_pageblock_is_taken_whole_and_the_rest_is_the_asked_types(profile: KernelProfile) -> None:
    zone = Zone(1024, profile=profile)
    assert zone.alloc(0, UNMOVABLE) == 0
    assert zone.pageblock_types.tolist() == [UNMOVABLE, UNMOVABLE]
    assert lists(zone, UNMOVABLE) == {order: [1 << order] for order in range(10)}
    assert not lists(zone, MOVABLE)
    assert zone.check() == []


@ALL
def test_a_pageblock_of_which_half_is_free_is_claimed(profile: KernelProfile) -> None:
    zone = crowded(profile, 200)
    pfn = zone.alloc(0, UNMOVABLE)
    assert zone.pageblock_types.tolist() == [UNMOVABLE]
    assert not lists(zone, MOVABLE)
    assert pfn == 200
    assert zone.check() == []


def test_what_cannot_be_claimed_moves_up_to_6_9() -> None:
    zone = crowded(kernel_profile("6.8"), 400)
    assert zone.alloc(0, UNMOVABLE) == 400
    assert zone.pageblock_types.tolist() == [MOVABLE]
    assert not lists(zone, MOVABLE)
    assert zone.free_pages == 111


@NEW
def test_what_cannot_be_claimed_gives_only_what_was_asked(profile: KernelProfile) -> None:
    zone = crowded(profile, 400)  # free: 400 (order 4), 416 (5), 448 (6)
    found, order = (448, 6) if profile.fallback == "taking" else (400, 4)
    assert zone.alloc(1, UNMOVABLE) == found
    assert zone.pageblock_types.tolist() == [MOVABLE]
    assert not lists(zone, UNMOVABLE)
    left = {order: [pfn] for order, pfn in ((4, 400), (5, 416), (6, 448)) if pfn != found}
    split = {half: [found + (1 << half)] for half in range(1, order)}
    assert lists(zone, MOVABLE) == {
        order: split.get(order, []) + left.get(order, []) for order in sorted(split.keys() | left.keys())
    }
    assert zone.check() == []


@NEW
def test_a_movable_ask_claims_nothing_below_half_the_pageblock_order(profile: KernelProfile) -> None:
    zone = of_types(profile, {8, 9, 10, 11, 12, 13, 14, 15, 32, 33}, [UNMOVABLE])
    assert zone.alloc(0, MOVABLE) == 32  # the smallest that fits, not the largest
    assert lists(zone, UNMOVABLE) == {0: [33], 3: [8]}
    assert zone.check() == []


@NEW
def test_a_pageblock_beyond_the_zones_end_is_never_claimed(profile: KernelProfile) -> None:
    zone = Zone(400, profile=profile)
    zone.alloc(0, UNMOVABLE)
    assert zone.pageblock_types.tolist() == [MOVABLE]
    assert not lists(zone, UNMOVABLE)
    assert zone.check() == []


def test_a_claim_that_fails_is_tried_one_order_lower_from_6_15_on() -> None:
    # Two pageblocks: the first has the larger block and is full of movable pages; the second is half free.
    zone = Zone(1024, profile=kernel_profile("6.15"))
    held = [zone.alloc(0, MOVABLE) for _ in range(1024)]
    for pfn in [*held[64:128], *(pfn for pfn in held[512:] if pfn % 64 < 32)]:
        zone.free(pfn)
    assert zone.nr_free[5:7] == [8, 1]
    pfn = zone.alloc(0, UNMOVABLE)
    assert zone.pageblock_types.tolist() == [MOVABLE, UNMOVABLE]
    assert pfn >= 512
    assert zone.check() == []


@NEW
def test_within_a_refill_a_steal_is_followed_by_steals(profile: KernelProfile) -> None:
    zone = Zone(1024, profile=profile)
    held = [zone.alloc(0, MOVABLE) for _ in range(1024)]
    for pfn in [*held[513::2], held[100]]:
        zone.free(pfn)
    # Page 100 comes first and can't be claimed; the pageblock of the next one could.
    pcp = PerCpuLists(zone, 0, 3, 100)
    assert zone.alloc(0, UNMOVABLE, pcp) == 100
    assert pcp.count == 2
    claimed = UNMOVABLE if profile.fallback == "taking" else MOVABLE
    assert zone.pageblock_types.tolist() == [MOVABLE, claimed]
    for _ in range(2):
        zone.alloc(0, UNMOVABLE, pcp)
    zone.alloc(0, UNMOVABLE, pcp)  # a refill anew: 254 free pages, and the two stolen ones suit it too
    assert zone.pageblock_types.tolist() == [MOVABLE, UNMOVABLE]
    assert zone.check() == []


@ALL
def test_all_pages_can_be_had_by_any_type(profile: KernelProfile) -> None:
    zone = Zone(1500, profile=profile)
    taken = [zone.alloc(0, (UNMOVABLE, MOVABLE, RECLAIMABLE)[k % 3]) for k in range(1500)]
    assert sorted(taken) == list(range(1500))
    assert zone.alloc(0, MOVABLE) == -1
    for pfn in taken:
        zone.free(pfn)
    assert zone.free_pages == 1500
    assert zone.check() == []
