"""The page map against the kernel's own counts, in snapshots of four kernels."""

import gzip
import tracemalloc

import numpy as np
import pytest

from pagehint.diagnosis import page_map
from pagehint.diagnosis.actions import dropped
from pagehint.diagnosis.examine import diagnose
from pagehint.diagnosis.page_map import Holder, PageMap, Range, whole_blocks
from pagehint.proc.kpageflags import KPageFlag
from pagehint.proc.pagetypeinfo import parse_buddyinfo
from pagehint.proc.zoneinfo import parse_zoneinfo
from tests.diagnosis.conftest import DATA, GUESTS, snapshot_files


def map_of(guest: str) -> tuple[PageMap, list[tuple[int, str]]]:
    folder = DATA / guest
    flags = np.frombuffer(gzip.decompress((folder / "kpageflags.u64.gz").read_bytes()), "<u8")
    zones = [zone for zone in parse_zoneinfo((folder / "zoneinfo.txt").read_text(), "zoneinfo") if zone.spanned]
    ranges = [Range(zone.start_pfn or 0, (zone.start_pfn or 0) + (zone.spanned or 0)) for zone in zones]
    return PageMap(flags, ranges), [(zone.node, zone.name) for zone in zones]


@pytest.mark.parametrize("guest", GUESTS)
def test_free_blocks_are_those_of_buddyinfo(guest: str) -> None:
    pages, names = map_of(guest)
    kernel = parse_buddyinfo((DATA / guest / "buddyinfo.txt").read_text(), "buddyinfo")
    for name, zone in zip(names, pages.zones, strict=True):
        free = pages.holders[zone.begin : zone.end] == Holder.FREE
        whole = [int(blocks.sum()) for blocks in whole_blocks(free, zone.begin, 10)]
        counts = [count - 2 * above for count, above in zip(whole, [*whole[1:], 0], strict=True)]
        # The map is read over 90 ms, and buddyinfo after it.
        apart = sum(
            abs(one - other) << order for order, (one, other) in enumerate(zip(counts, kernel[name], strict=True))
        )
        assert apart <= 2048, (name, counts, kernel[name])


@pytest.mark.parametrize("guest", GUESTS)
def test_told_blocks_are_large_and_free(guest: str) -> None:
    pages, _ = map_of(guest)
    assert pages.told.any()
    assert not (pages.told & (pages.holders != Holder.FREE)).any()
    # Reporting at order 9: told pages are whole pageblocks.
    assert set(np.unique(np.add.reduceat(pages.told.astype(np.int64), np.arange(0, len(pages.told), 512)))) <= {0, 512}


def test_each_page_is_of_one_holder() -> None:
    flag = KPageFlag
    words = {
        Holder.FREE: flag.BUDDY,
        Holder.KERNEL: 0,
        Holder.SLAB: flag.SLAB | flag.ANON,
        Holder.ANON: flag.LRU | flag.ANON | flag.SWAPBACKED | flag.UPTODATE,
        Holder.SHMEM: flag.LRU | flag.SWAPBACKED | flag.DIRTY,
        Holder.CACHE_CLEAN: flag.LRU | flag.UPTODATE | flag.REFERENCED,
        Holder.CACHE_DIRTY: flag.LRU | flag.DIRTY,
        Holder.CACHE_MAPPED: flag.LRU | flag.MMAP,
        Holder.UNEVICTABLE: flag.LRU | flag.ANON | flag.UNEVICTABLE,
        Holder.PINNED: flag.MMAP,
        Holder.PAGE_TABLES: flag.PGTABLE,
        Holder.HUGETLB: flag.HUGE | flag.COMPOUND_HEAD,
        Holder.OFFLINE: flag.OFFLINE,
        Holder.RESERVED: flag.RESERVED,
        Holder.ABSENT: flag.NOPAGE,
    }
    pages = PageMap(np.array(list(map(int, words.values())), np.uint64), [Range(0, len(words))])
    assert [Holder(each) for each in pages.holders] == list(words)


def test_a_tail_is_what_its_head_is() -> None:
    head = KPageFlag.LRU | KPageFlag.UPTODATE | KPageFlag.COMPOUND_HEAD
    words = np.array([0, head, KPageFlag.COMPOUND_TAIL, KPageFlag.COMPOUND_TAIL, KPageFlag.BUDDY], np.uint64)
    pages = PageMap(words, [Range(0, 5)])
    assert [Holder(each).name for each in pages.holders] == ["KERNEL", *["CACHE_CLEAN"] * 3, "FREE"]


@pytest.mark.parametrize("told_by", ["each page's flags", "counts", "nothing"])
def test_what_nobody_maps_of_a_huge_page_goes_with_the_caches(told_by: str) -> None:
    flag = KPageFlag
    huge = flag.LRU | flag.ANON | flag.SWAPBACKED | flag.UPTODATE | flag.THP
    mapped = [True, False, False, True, True, True]
    words = [int(huge | (flag.COMPOUND_TAIL if at else flag.COMPOUND_HEAD)) for at in range(6)]
    if told_by != "nothing":
        words = [
            word | flag.MMAP if here or told_by == "counts" else word for word, here in zip(words, mapped, strict=True)
        ]
    counts = np.array(mapped, np.uint64) if told_by == "counts" else None
    pages = PageMap(np.array([*words, flag.BUDDY], np.uint64), [Range(0, 7)], 2, counts)
    parts = [Holder.THP if here or told_by == "nothing" else Holder.THP_UNMAPPED for here in mapped]
    assert [Holder(each) for each in pages.holders] == [*parts, Holder.FREE]
    free = dropped(pages, pages.zones[0], written=True).free
    assert list(np.flatnonzero(free)) == ([6] if told_by == "nothing" else [1, 2, 6])
    assert list(np.flatnonzero(dropped(pages, pages.zones[0], written=False).free)) == [6]


def test_pages_outside_every_zone_and_a_map_that_ends_early() -> None:
    words = np.full(16, int(KPageFlag.BUDDY), np.uint64)
    pages = PageMap(words, [Range(4, 8), Range(12, 40), Range(50, 60)])
    assert [int(each) for each in pages.counts()[[Holder.FREE, Holder.ABSENT]]] == [8, 8]
    blocks = list(whole_blocks(pages.holders[4:8] == Holder.FREE, 4, 3))
    assert [list(np.flatnonzero(each)) for each in blocks] == [[4, 5, 6, 7], [2, 3], [1], []]


@pytest.mark.parametrize("guest", GUESTS)
def test_compaction_may_bring_nothing_and_the_guest_goes_on_taking_pages(guest: str) -> None:
    found = diagnose(snapshot_files(guest))
    brings = found.would_bring
    assert found.free_resident["given_back"].best
    for order, bounds in brings["compact_memory"].items():
        assert bounds.most is not None
        assert bounds.least <= 0 <= bounds.most, order
        # Of what was given back, too.
        assert bounds.least < 0, order


def test_what_is_held_meanwhile_is_a_part_of_the_map(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the map of 1 TiB, 2 GiB, copies were held several times."""
    flags = np.frombuffer(gzip.decompress((DATA / "press61" / "kpageflags.u64.gz").read_bytes()), "<u8")
    zones = [Range(1, 4096), Range(4096, len(flags))]
    whole = PageMap(flags, zones)
    monkeypatch.setattr(page_map, "_PIECE", 1 << 14)
    assert np.array_equal(PageMap(flags, zones).holders, whole.holders)
    large = np.tile(flags[: 1 << 17], 32)
    tracemalloc.start()
    PageMap(large, [Range(1, len(large))])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1.25 * large.nbytes


def test_slabs_have_their_orders_and_cache_its_buffers() -> None:
    head, tail = (int(KPageFlag.SLAB | each) for each in (KPageFlag.COMPOUND_HEAD, KPageFlag.COMPOUND_TAIL))
    cache = int(KPageFlag.LRU)
    # The first slab begins before the zone.
    words = [tail, head, tail, tail, tail, int(KPageFlag.SLAB), head, tail, cache, cache | int(KPageFlag.PRIVATE)]
    pages = PageMap(np.array([head, *words], np.uint64), [Range(1, 11)])
    assert pages.slab_orders.tolist() == [0, 0, 2, 2, 2, 2, 0, 1, 1, 0, 0]
    assert pages.buffers.tolist() == 10 * [False] + [True]
