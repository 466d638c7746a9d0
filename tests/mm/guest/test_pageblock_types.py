"""Types of pageblocks that no file tells one by one."""

import numpy as np
import pytest
from numpy.typing import NDArray

from pagehint.kernel.migratetype import Migratetype
from pagehint.mm.guest.pageblock_types import fit_pageblock_types
from pagehint.mm.page import FREE, KIND, ORDER
from pagehint.mm.zone import Zone
from pagehint.proc.kpageflags import KPageFlag

UNMOVABLE, MOVABLE, RECLAIMABLE = Migratetype.UNMOVABLE, Migratetype.MOVABLE, Migratetype.RECLAIMABLE
_NAMES = {UNMOVABLE: "Unmovable", MOVABLE: "Movable", RECLAIMABLE: "Reclaimable", Migratetype.HIGHATOMIC: "HighAtomic"}
_CONTENT = {
    UNMOVABLE: [KPageFlag.PGTABLE, KPageFlag.SLAB, KPageFlag.LOCKED],
    MOVABLE: [KPageFlag.LRU, KPageFlag.LRU | KPageFlag.ANON, KPageFlag.LRU | KPageFlag.ACTIVE],
    RECLAIMABLE: [KPageFlag.SLAB],
}


def aged(seed: int, pageblocks: int) -> tuple[NDArray[np.uint8], NDArray[np.uint64]]:
    """The types and kpageflags of a machine that has run for long: few pageblocks are not MOVABLE, and each holds pages
    of others too."""
    rng = np.random.default_rng(seed)
    types = rng.choice(np.array([UNMOVABLE, MOVABLE, RECLAIMABLE], np.uint8), pageblocks, p=[0.04, 0.94, 0.02])
    flags = np.full((pageblocks, 512), int(KPageFlag.BUDDY), np.uint64)
    for block, kind in zip(flags, types.tolist(), strict=True):
        # The smaller the pieces, the fewer: what is handed out first is used up in MOVABLE.
        piece = 1 << int(rng.integers(4 if kind == MOVABLE else 1, 9))
        taken = np.repeat(rng.random(512 // piece) < rng.random(), piece)
        foreign = rng.random(512) < 0.2
        own, others = _CONTENT[kind], [*_CONTENT[MOVABLE], *_CONTENT[UNMOVABLE]]
        block[taken] = rng.choice(np.array(own, np.uint64), 512)[taken]
        block[taken & foreign] = rng.choice(np.array(others, np.uint64), 512)[taken & foreign]
    return types, flags.reshape(-1)


def loaded(flags: NDArray[np.uint64], types: NDArray[np.uint8] | None = None, start_pfn: int = 0) -> Zone:
    zone = Zone(len(flags), start_pfn=start_pfn, hinting=False)
    zone.load(flags & np.uint64(KPageFlag.BUDDY) != 0, types)
    return zone


def counted(zone: Zone) -> dict[str, list[int]]:
    return {
        name: [len(zone.free_list(order, kind)) for order in range(zone.max_order)] for kind, name in _NAMES.items()
    }


def partly_free(zone: Zone) -> NDArray[np.bool_]:
    heads = np.flatnonzero(zone.page_state & KIND == FREE)
    small = heads[zone.page_state[heads] & ORDER < zone.pageblock_order]
    first = zone.start_pfn >> zone.pageblock_order
    return np.isin(np.arange(len(zone.pageblock_types)), (small + zone.start_pfn >> zone.pageblock_order) - first)


@pytest.mark.parametrize("seed", range(4))
def test_of_a_machine_that_has_run_for_long(seed: int) -> None:
    types, flags = aged(seed, 2000)
    true, zone = loaded(flags, types), loaded(flags)
    found = fit_pageblock_types(zone, flags, counted(true))
    some = partly_free(true)
    assert (types[some] != MOVABLE).sum() > 50
    assert (found[some] != types[some]).sum() <= 0.01 * some.sum()
    again = loaded(flags, found)
    assert [counted(again)[name][:4] for name in _NAMES.values()] == [
        counted(true)[name][:4] for name in _NAMES.values()
    ]


def test_what_is_known_and_changed_meanwhile_says_nothing_of_the_others() -> None:
    """The page flags of a guest that took 1.5 s to read told of 156 more free pages than its counts, in pageblocks that
    events tell of: those outweighed what one of slab had free, it stayed MOVABLE, and 12 % of blocks were placed."""
    flags = np.full((4, 512), int(KPageFlag.LRU), np.uint64)
    for order in (0, 2, 3, 4, 5, 8):
        flags[[0, 1, 3], 1 << order : 2 << order] = int(KPageFlag.BUDDY)
    flags[2] = int(KPageFlag.SLAB)
    flags[2, 34:36] = flags[2, 128:256] = int(KPageFlag.BUDDY)
    flags = flags.reshape(-1)
    types = np.array([MOVABLE, MOVABLE, RECLAIMABLE, MOVABLE], np.uint8)
    counts = counted(loaded(flags, types))
    counts["Movable"] = [0] * len(counts["Movable"])
    known = np.array([True, True, False, True])
    assert fit_pageblock_types(loaded(flags), flags, counts, known).tolist() == types.tolist()


def test_counts_that_were_read_later() -> None:
    """Single pages came and went meanwhile, by the hundred; what is true of the others still says the types."""
    types, flags = aged(7, 2000)
    true = loaded(flags, types)
    counts = counted(true)
    counts["Movable"][0] += 300
    counts["Unmovable"][0] -= 40
    found = fit_pageblock_types(loaded(flags), flags, counts)
    some = partly_free(true)
    assert (found[some] != types[some]).sum() <= 0.02 * some.sum()


def test_what_lies_in_a_pageblock_decides_where_counts_were_read_later() -> None:
    """Of a machine that worked while its flags were read, 148 free pages were counted and 2,091 were free. So counts
    hardly spoke against a pageblock of slab as MOVABLE; its free page was the first that the model took, and of what
    the guest took after that 7 % were placed."""
    flags = np.full((200, 512), int(KPageFlag.LRU), np.uint64)
    of_slab = np.arange(0, 200, 10)
    flags[of_slab] = int(KPageFlag.SLAB)
    flags[:, 33] = int(KPageFlag.BUDDY)
    flags = flags.reshape(-1)
    counts = {"Unmovable": 11 * [0], "Movable": [1, *10 * [0]], "Reclaimable": [12, *10 * [0]]}
    found = fit_pageblock_types(loaded(flags), flags, counts)
    assert set(found[of_slab].tolist()) == {RECLAIMABLE}


def test_what_is_known_stays() -> None:
    types, flags = aged(1, 200)
    wrong = np.full(200, RECLAIMABLE, np.uint8)
    known = np.arange(200) < 100
    found = fit_pageblock_types(loaded(flags, wrong), flags, counted(loaded(flags, types)), known)
    assert set(found[:100].tolist()) == {RECLAIMABLE}


def test_types_that_the_counts_bear_out_stay() -> None:
    """However the pages look: two pageblocks of kernel pages are MOVABLE, as boot made them."""
    flags = np.full(4 * 512, int(KPageFlag.BUDDY), np.uint64)
    flags[:100] = flags[512:612] = int(KPageFlag.SLAB)
    zone = loaded(flags)
    assert fit_pageblock_types(zone, flags, counted(zone)).tolist() == [MOVABLE] * 4


@pytest.mark.parametrize(
    "counts", [{}, {"Movable": [1, 2]}, {"Unmovable": [10**15] * 11}, {"CMA": [3] * 11, "Other": [1] * 11}]
)
def test_counts_that_say_nothing(counts: dict[str, list[int]]) -> None:
    _, flags = aged(3, 50)
    assert len(fit_pageblock_types(loaded(flags), flags, counts, None, {("Movable", 3)})) == 50


def test_a_zone_that_begins_within_a_pageblock_and_has_large_blocks() -> None:
    flags = np.full(8 * 512 - 1, int(KPageFlag.BUDDY), np.uint64)
    flags[:200] = int(KPageFlag.SLAB)
    types = np.array([UNMOVABLE, MOVABLE, UNMOVABLE, UNMOVABLE, *[MOVABLE] * 4], np.uint8)
    true, zone = loaded(flags, types, 1), loaded(flags, None, 1)
    found = fit_pageblock_types(zone, flags, counted(true))
    assert found[0] == UNMOVABLE
    assert found[2] == found[3]
    assert counted(loaded(flags, found, 1)) == counted(true)


def test_a_lower_bound_of_cma_is_one() -> None:
    """The kernel stops counting at 100,000. What was missing of CMA's was given to types that the file doesn't name."""
    flags = np.full(8 * 512, int(KPageFlag.LRU), np.uint64)
    flags[512::8] = flags[:512:16] = int(KPageFlag.BUDDY)
    counts = {"Unmovable": [32] + 10 * [0], "CMA": [100] + 10 * [0]}
    found = fit_pageblock_types(loaded(flags), flags, counts, None, {("CMA", 0)})
    assert found.tolist() == [UNMOVABLE] + 7 * [MOVABLE]
