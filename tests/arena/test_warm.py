"""The zone: what is warm, since when, and what is allocated where. No memory stands behind it here."""

import threading

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from numpy.typing import NDArray

from pagehint import Batch, InputError, check
from pagehint.arena.warm import EPOCHS, WarmPages
from pagehint.host.mapping import HUGE_PAGE


def zone_of(pages: int, page_size: int = HUGE_PAGE) -> WarmPages:
    return WarmPages(pages, page_size)


@pytest.mark.parametrize(
    ("pages", "page_size"), [(3, -1), (3, 0), (-5, 4096), (0, 4096), (3, 3), (3, 1 << 40), ("x", 1)]
)
def test_what_are_no_pages(pages: int, page_size: int) -> None:
    with pytest.raises(InputError):
        WarmPages(pages, page_size)


def give_back(zone: WarmPages, hinted: bool = True, everything: bool = False) -> list[tuple[int, int]]:
    """A cycle: the ranges that a device would be told of."""
    batch, ranges = Batch(4), []
    while True:
        (zone.fill_all if everything else zone.fill)(batch)
        if not batch:
            return ranges
        ranges += [(block.pfn, block.pfn + (1 << block.order)) for block in batch]
        zone.drain(batch, hinted)


def age(zone: WarmPages, epochs: int = EPOCHS) -> None:
    for _ in range(epochs):
        zone.tick()


def test_the_freed_last_is_taken_first() -> None:
    zone = zone_of(64)
    first, between, second = (zone.take(8) for _ in range(3))
    zone.release(first)
    zone.tick()
    zone.release(second)
    assert zone.extents().tolist() == [[first, first + 8, 1], [second, second + 8, 0]]
    assert zone.take(8) == second
    assert zone.take(8) == first
    assert zone.warm_pages == 0
    assert between not in (first, second)


def test_the_smallest_warm_range_that_is_large_enough() -> None:
    zone = zone_of(64)
    large, _, small, _ = zone.take(16), zone.take(1), zone.take(8), zone.take(1)
    zone.release(large)
    zone.release(small)
    assert zone.take(6) == small
    assert zone.extents().tolist() == sorted([[large, large + 16, 0], [small + 6, small + 8, 0]])


def test_adjacent_ranges_of_different_age_serve_one_block() -> None:
    zone = zone_of(64)
    blocks = sorted(zone.take(8) for _ in range(2))
    zone.release(blocks[0])
    zone.tick()
    zone.release(blocks[1])
    assert len(zone.extents()) == 2
    assert blocks[1] == blocks[0] + 8
    assert zone.take(16) == blocks[0]
    assert zone.warm_pages == 0


def test_a_block_larger_than_what_is_warm_takes_that_and_what_is_free_beside_it() -> None:
    zone = zone_of(64)
    begin = zone.take(8)
    zone.release(begin)
    assert zone.take(24) == begin
    assert zone.dirty(begin, begin + 24).tolist() == [1] * 8 + [0] * 16


def test_pages_need_no_aligned_block() -> None:
    """6 pages between two blocks, which no block of the buddy system holds."""
    zone = zone_of(16)
    assert sorted(zone.take(1) for _ in range(16)) == list(range(16))
    for begin in range(5, 11):
        zone.release(begin)
    age(zone)
    give_back(zone)
    assert zone.take(6) == 5
    assert zone.take(1) == -1


def test_memory_comes_online_in_sections_up_to_the_limit() -> None:
    zone = zone_of(200)  # 64 pages are a section
    assert zone.present_pages == 64
    assert zone.take(40) >= 0
    assert zone.present_pages == 64
    assert zone.take(40) >= 0
    assert zone.present_pages == 128
    assert zone.largest_free == 96
    assert zone.take(96) == 104
    assert zone.present_pages == 200
    assert zone.largest_free == 24
    assert zone.take(24) == 40
    assert zone.take(1) == -1
    assert zone.used_pages == 200
    assert zone.largest_free == 0
    assert check(zone) == []


def test_nothing_comes_online_for_what_can_not_fit() -> None:
    zone = zone_of(200)
    zone.take(100)
    present = zone.present_pages
    assert zone.take(101) == zone.take(10**9) == -1
    assert zone.present_pages == present
    assert zone.largest_free == 100


def test_what_stayed_free_is_told_and_reads_as_zeros_then() -> None:
    zone = zone_of(64)
    old, young = zone.take(8), zone.take(8)
    zone.release(old)
    age(zone, EPOCHS - 1)
    zone.release(young)
    assert give_back(zone) == []
    zone.tick()
    assert give_back(zone) == [(old, old + 8)]
    assert not zone.dirty(old, old + 8).any()
    assert zone.dirty(young, young + 8).all()
    assert zone.given_pages == 8
    assert zone.extents().tolist() == [[young, young + 8, 1]]
    assert check(zone) == []


def test_a_failed_react_leaves_it_warm_and_dirty_for_another_time() -> None:
    zone = zone_of(64)
    begin = zone.take(8)
    zone.release(begin)
    age(zone)
    batch = Batch(4)
    zone.fill(batch)
    assert zone.in_flight_pages == 8
    assert zone.warm_pages == 0
    zone.drain(batch, False)
    assert zone.warm_pages == 8
    assert zone.dirty(begin, begin + 8).all()
    assert give_back(zone) == []
    age(zone)
    assert give_back(zone) == [(begin, begin + 8)]


def test_requested_from_the_first_free_until_nothing_is_warm() -> None:
    zone = zone_of(64)
    rings: list[int] = []
    zone.attach(0, 1 << 32, object(), lambda: rings.append(1))
    blocks = [zone.take(4) for _ in range(3)]
    for begin in blocks:
        zone.release(begin)
    assert rings == [1]
    zone.take(4)
    give_back(zone)
    assert zone.requested
    age(zone)
    give_back(zone)
    assert not zone.requested
    zone.release(zone.take(4))
    assert rings == [1, 1]


def test_nothing_is_pulled_while_an_allocation_waits() -> None:
    zone = zone_of(64)
    zone.release(zone.take(8))
    age(zone)
    batch = Batch(4)
    lock = threading.Lock()
    lock.acquire()
    zone.wait(lock)
    zone.fill(batch)
    assert len(batch) == 0
    zone.drain(batch, True)
    assert not lock.locked()
    zone.waited(lock)
    zone.fill(batch)
    assert len(batch) == 1
    zone.drain(batch, True)


def test_blocks_in_flight_come_back_to_an_orphan() -> None:
    zone = zone_of(64)
    begin = zone.take(11)
    zone.release(begin)
    age(zone)
    zone.fill(Batch(2))
    assert zone.in_flight_pages > 0
    zone.orphan()
    assert zone.in_flight_pages == 0
    assert zone.warm_pages == 11
    assert check(zone) == []
    assert zone.take(64) >= 0


def test_another_process_memory_is_left_alone() -> None:
    zone = zone_of(64)
    begin = zone.take(8)
    zone.disown()
    zone.release(begin)
    assert zone.foreign
    assert zone.used_pages == 8
    assert zone.take(1) == -1


def test_too_many_pages() -> None:
    with pytest.raises(InputError, match="expected 1 to 2147483648"):
        zone_of((1 << 31) + 1, 4096)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_against_a_model_of_bytes(data: st.DataObject) -> None:
    """Random use: blocks never overlap, warm is what was freed and not given back, and the invariants hold."""
    pages = data.draw(st.integers(3, 200))
    zone = zone_of(pages)
    used = np.zeros(pages, np.int32)
    warm, dirty = np.zeros(pages, np.bool_), np.zeros(pages, np.bool_)
    live: dict[int, int] = {}
    freed = np.full(pages, -1)
    epoch = 0
    for _ in range(data.draw(st.integers(1, 60))):
        what = data.draw(st.sampled_from(["take", "take", "release", "release", "tick", "give", "fail", "all"]))
        if what == "take":
            wanted = data.draw(st.integers(1, pages))
            begin = zone.take(wanted)
            runs = [len(run) for run in "".join("x" if u else "." for u in used).split("x")]
            assert (begin >= 0) == (max(runs) >= wanted)
            if begin >= 0:
                assert not used[begin : begin + wanted].any()
                assert (zone.dirty(begin, begin + wanted) == dirty[begin : begin + wanted]).all()
                used[begin : begin + wanted] = 1
                warm[begin : begin + wanted] = False
                live[begin] = wanted
        elif what == "release" and live:
            begin = data.draw(st.sampled_from(sorted(live)))
            end = begin + live.pop(begin)
            zone.release(begin)
            used[begin:end] = 0
            warm[begin:end] = dirty[begin:end] = True
            freed[begin:end] = epoch
        elif what == "tick":
            zone.tick()
            epoch += 1
        elif what in ("give", "all"):
            for begin, end in give_back(zone, everything=what == "all"):
                assert warm[begin:end].all()
                assert (freed[begin:end] <= (epoch - 1 if what == "all" else epoch - EPOCHS)).all()
                warm[begin:end] = dirty[begin:end] = False
            limit = epoch - 1 if what == "all" else epoch - EPOCHS
            assert not (warm & (freed <= limit)).any()
        elif what == "fail":
            batch = Batch(3)
            zone.fill(batch)
            for block in batch:
                freed[block.pfn : block.pfn + (1 << block.order)] = epoch
            zone.drain(batch, False)
        covered = np.zeros(pages, np.bool_)
        for begin, end, _ in zone.extents().tolist():
            assert not covered[begin:end].any()
            covered[begin:end] = True
        assert (covered == warm).all()
        assert zone.warm_pages == warm.sum()
        assert zone.used_pages == used.sum()
        assert zone.blocks == len(live)
        assert check(zone) == []


def test_views_are_not_copied() -> None:
    zone = zone_of(8)
    dirty = zone.dirty(0, 8)
    zone.release(zone.take(8))
    assert dirty.all()


@pytest.mark.parametrize(
    ("spoiled", "said"),
    [
        ([[0, 8, 0]], "warm pages: 16 counted, 8 in extents"),
        ([[0, 8, -1], [16, 24, 0]], "warm extent 0 to 7: freed in the future"),
        ([[16, 24, 0], [0, 8, 0]], "warm extent 0 to 7: not behind the one before it"),
        ([[0, 8, 0], [60, 68, 0]], "warm extent 60 to 67: not a range of pages of this arena"),
        ([[0, 16, 0], [8, 8, 0]], "warm extent 8 to 7: not a range of pages of this arena"),
    ],
)
def test_the_check_looks_at_extents(spoiled: list[list[int]], said: str) -> None:
    class Spoiled(WarmPages):
        spoiled: list[list[int]] | None = None

        def extents(self) -> NDArray[np.int64]:
            return super().extents() if self.spoiled is None else np.array(self.spoiled, np.int64)

    zone = Spoiled(64, HUGE_PAGE)
    first, _, second = (zone.take(8) for _ in range(3))
    zone.release(first)
    zone.release(second)
    assert check(zone) == zone.check() == []
    zone.spoiled = spoiled
    assert said in check(zone)
    assert said in zone.check()


def test_pages_are_had_in_no_other_way() -> None:
    """What a zone's own allocation gives, the arena knows nothing of: that it was written to, and is no zeros."""
    others = [
        "alloc",
        "alloc_range",
        "bulk",
        "free",
        "free_exact",
        "isolate",
        "load",
        "offline",
        "online",
    ]
    assert not set(others) & set(dir(WarmPages))
