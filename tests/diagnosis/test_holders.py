"""Who holds memory: of a map page by page, of counters within bounds."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pagehint.diagnosis.examine import diagnose
from pagehint.diagnosis.holders import USED_WORDS, drained_most, held_back, used_by_counters, used_by_map
from pagehint.diagnosis.page_map import Holder, PageMap, Range
from pagehint.proc.kpageflags import KPageFlag
from tests.diagnosis.conftest import DATA, GUESTS, snapshot_files

F, K, A, S = (int(each) for each in (KPageFlag.BUDDY, 0, KPageFlag.LRU | KPageFlag.ANON, KPageFlag.SLAB))
PAGE, MIB = 4096, 1 << 20


def map_of(*runs: tuple[int, int]) -> PageMap:
    """(how many pages, their flags) one after the other."""
    words = np.concatenate([np.full(count, flags, np.uint64) for count, flags in runs])
    return PageMap(words, [Range(0, len(words))])


def test_each_pageblock_is_held_by_what_is_hardest_to_free_in_it() -> None:
    pages = map_of(
        *[(500, F), (10, A), (2, S)],  # 2 pages of slab hold 500
        *[(412, F), (100, A)],  # 100 anonymous ones hold 412
        *[(512, F)],  # free: nobody holds it
        *[(512, S)],  # nothing is free in it
        *[(256, F), (256, S)],
    )
    anon, slab = held_back(pages, 9, PAGE)
    assert (slab.holder, slab.blocks, slab.pages, slab.size) == ("slab", 2, 258, 756 * PAGE)
    # The 2 pages hold more than half already.
    assert (slab.half_pages, slab.half_size) == (2, 500 * PAGE)
    assert (anon.holder, anon.blocks, anon.pages, anon.size) == ("anon", 1, 100, 412 * PAGE)


def test_a_last_pageblock_that_is_not_whole_is_held_too() -> None:
    (found,) = held_back(map_of((512, F), (100, F), (1, K)), 9, PAGE)
    assert (found.holder, found.blocks, found.pages, found.size) == ("kernel", 1, 1, 100 * PAGE)
    assert held_back(map_of((512, F), (100, F)), 9, PAGE) == []


@given(st.lists(st.lists(st.sampled_from([F, K, A, S]), min_size=8, max_size=8), max_size=12))
def test_what_is_held_back_is_each_free_page_of_partly_free_blocks_once(blocks: list[list[int]]) -> None:
    if not blocks:
        return
    found = held_back(map_of(*[(1, flags) for block in blocks for flags in block]), 3, PAGE)
    partly = [block for block in blocks if 0 < block.count(F) < 8]
    assert sum(each.size for each in found) == sum(block.count(F) for block in partly) * PAGE
    assert sum(each.blocks for each in found) == len(partly)
    assert [each.size / each.pages for each in found] == sorted(
        (each.size / each.pages for each in found), reverse=True
    )
    for each in found:
        assert each.half_pages <= each.pages
        assert each.size / 2 <= each.half_size <= each.size
        # No smaller number of its pageblocks holds half of it.
        keeps = sorted((block.count(F) for block in partly), reverse=True)
        assert each.half_size - keeps[0] * PAGE < each.size / 2


@given(st.lists(st.sampled_from([F, K, A, S]), min_size=1, max_size=60), *[st.integers(0, 40)] * 3)
def test_what_looks_like_the_kernels_and_is_not_is_moved_and_none_is_lost(
    flags, per_cpu, unmanaged, unaccepted
) -> None:
    found = used_by_map(map_of(*[(1, each) for each in flags]), PAGE, per_cpu, unmanaged, unaccepted)
    assert found.keys() <= USED_WORDS.keys()
    assert all(size.is_exact and size.least > 0 for size in found.values())
    assert sum(size.least for size in found.values()) == (len(flags) - flags.count(F)) * PAGE
    moved = {"per_cpu": per_cpu, "unmanaged": unmanaged, "unaccepted": unaccepted}
    if sum(moved.values()) <= flags.count(K):
        assert {name: size.least for name, size in found.items() if name in moved} == {
            name: number * PAGE for name, number in moved.items() if number
        }


def test_at_the_best_lists_keep_pages_that_spoil_whole_pageblocks() -> None:
    # 3 pages spoil one block, 5 another; a third has slab in it, which no list keeps; one is whole already.
    pages = map_of((512, F), (509, F), (3, K), (507, F), (5, K), (511, F), (1, S), (512, K))
    for per_cpu, blocks in ((0, 0), (2, 0), (3, 1), (7, 1), (8, 2), (10_000, 2)):
        assert drained_most(pages, 9, per_cpu, PAGE) == blocks * 512 * PAGE


@pytest.mark.parametrize("guest", GUESTS)
def test_a_real_guests_counters_bound_what_its_map_tells(guest: str) -> None:
    exact = diagnose(snapshot_files(guest)).used_by
    bounds = diagnose([DATA / guest / "meminfo.txt"]).used_by
    off = 3 * MIB  # the map is read over 90 ms, and huge pages are apart in it
    for name in ("cache_clean", "cache_mapped", "cache_dirty", "page_tables"):
        size = exact[name].least if name in exact else 0
        if name in bounds:
            assert bounds[name].least - off <= size <= (bounds[name].most or 0) + off, name
    anon = sum(exact[name].least for name in ("anon", "thp", "thp_unmapped") if name in exact)
    assert anon == pytest.approx(bounds["anon"].least, abs=off)
    slab = sum(bounds[name].least for name in ("slab_reclaimable", "slab_unreclaimable"))
    assert exact["slab"].least == pytest.approx(slab, abs=off)


_SIZES = st.integers(0, 1 << 40)


@given(st.dictionaries(st.sampled_from(
    ["total", "free", "active_file", "inactive_file", "cached", "buffers", "shmem", "dirty", "writeback", "mapped",
     "anon", "slab_reclaimable", "slab_unreclaimable", "page_tables", "buff_cache", "hugetlb", "balloon"]
), _SIZES))  # fmt: skip
def test_whatever_counters_say_nothing_is_below_0_or_turned_round(memory: dict[str, int]) -> None:
    found = used_by_counters(memory, {})
    assert found.keys() <= {*USED_WORDS, "cache_and_slab"}
    for name, size in found.items():
        assert 0 <= size.least <= (size.least if size.most is None else size.most), name
    if "cache_clean" in found and "dirty" in memory:
        cache = [found[name] for name in ("cache_clean", "cache_mapped", "cache_dirty")]
        assert sum(size.least for size in cache) <= (cache[0].most or 0) + (cache[2].most or 0)


def test_the_rest_is_what_no_counter_names() -> None:
    memory = {"total": 1000 * MIB, "free": 300 * MIB, "active_file": 100 * MIB, "inactive_file": 200 * MIB,
              "anon": 150 * MIB, "dirty": 10 * MIB, "mapped": 40 * MIB, "slab_reclaimable": 50 * MIB}  # fmt: skip
    found = used_by_counters(memory, {})
    assert found["other"].least == (1000 - 300 - 300 - 150 - 50) * MIB
    assert (found["cache_clean"].least, found["cache_clean"].most) == (250 * MIB, 290 * MIB)
    assert (found["cache_mapped"].least, found["cache_mapped"].most) == (0, 40 * MIB)
    assert found["cache_dirty"].is_exact
    assert Holder.CACHE_DIRTY.name.lower() in USED_WORDS
