"""What each page was before the first event: by events, by flags, and where neither tells, by counts."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pagehint.proc.kpageflags import KPageFlag
from pagehint.replays.scan import FREE_AT_START, FREED_WHOLE_AT_START, PER_CPU_AT_START, UNSEEN, USED_AT_START
from pagehint.replays.states import NO_MEMORY, Named, PageStates, is_late, mark_time, pages_at_start
from pagehint.trace import Meta, Trace
from pagehint.trace.meta import ZoneLayout

from .recording import record, zone, zoneinfo

PAGES = 4096
BUDDY, LRU, NOPAGE = int(KPageFlag.BUDDY), int(KPageFlag.LRU), int(KPageFlag.NOPAGE)


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Trace:
    """A recording without a snapshot, whose zone is known."""
    return record(tmp_path_factory.mktemp("bare") / "a", [("A", 0, 0, 0)], [zone(PAGES)])


def settled(
    trace: Trace,
    seen: dict[tuple[int, int], int],
    flags: np.ndarray | None,
    layout: ZoneLayout | None = None,
    named: Named | None = None,
) -> PageStates:
    at_start = np.full(PAGES, UNSEEN, np.uint8)
    for (begin, end), state in seen.items():
        at_start[begin:end] = state
    return pages_at_start(trace, [layout or zone(PAGES)], at_start, flags, named or Named())


def test_a_pages_own_event_tells_before_its_flags_do(bare: Trace) -> None:
    flags = np.full(PAGES, LRU, np.uint64)
    flags[1024:2048] = BUDDY
    flags[4000:] = NOPAGE
    seen = {(0, 4): FREE_AT_START, (1024, 1030): USED_AT_START, (1030, 1033): PER_CPU_AT_START}
    found = settled(bare, seen, flags, replace(zone(PAGES), present=4000, managed=4000))
    expected = np.full(PAGES, USED_AT_START)
    expected[1024:2048] = FREE_AT_START
    expected[4000:] = NO_MEMORY
    expected[:4], expected[1024:1030], expected[1030:1033] = FREE_AT_START, USED_AT_START, PER_CPU_AT_START
    assert found.states.tolist() == expected.tolist()
    assert np.flatnonzero(found.hole).tolist() == list(range(4000, PAGES))
    assert not found.coming.any()
    assert not found.booting


def test_what_is_in_no_zone_is_no_memory(bare: Trace) -> None:
    found = settled(bare, {(0, 200): USED_AT_START}, np.full(PAGES, LRU, np.uint64), zone(1000, 100))
    assert np.flatnonzero(found.states != NO_MEMORY).tolist() == list(range(100, 1100))


def test_a_block_that_was_told_before_is_known_by_its_first_page_while_it_is_free(bare: Trace) -> None:
    flags = np.full(PAGES, LRU, np.uint64)
    flags[512:1536] = BUDDY
    flags[[512, 1024]] |= np.uint64(KPageFlag.UPTODATE)
    found = settled(bare, {(1024, 1025): USED_AT_START}, flags)
    assert np.flatnonzero(found.reported).tolist() == [512]


def test_a_block_that_was_told_before_its_flags_were_read_was_not_told_at_the_start(bare: Trace) -> None:
    """One whose flags were read behind the first pass was stepped over in it: 12 % of the blocks were placed."""
    flags = np.full(PAGES, LRU, np.uint64)
    flags[512:2048] = BUDDY
    flags[[512, 1024, 1536]] |= np.uint64(KPageFlag.UPTODATE)
    found = settled(bare, {}, flags, named=Named(told=np.array([1024, -1, PAGES])))
    assert np.flatnonzero(found.reported).tolist() == [512, 1536]


def test_what_the_first_pass_stepped_over_was_told_before(bare: Trace) -> None:
    """Allocated between the pass and the reading of its flags, it was told here a second time: 88 % were placed."""
    flags = np.full(PAGES, LRU, np.uint64)
    at_pass, read = np.zeros(PAGES, np.bool_), np.zeros(PAGES, np.bool_)
    at_pass[1024:1536] = read[512:2048] = True
    seen = {(512, 2048): FREE_AT_START, (2048, 2050): FREE_AT_START}
    found = settled(bare, seen, flags, named=Named(at_pass=at_pass, read=read, told=np.array([1536])))
    assert np.flatnonzero(found.reported[[512, 1024, 1536, 2048]]).tolist() == [0]


def test_what_has_no_memory_yet_and_is_freed_later_only_comes(bare: Trace) -> None:
    flags = np.full(PAGES, LRU, np.uint64)
    flags[2048:] = NOPAGE
    found = settled(bare, {(3000, 3100): USED_AT_START}, flags, replace(zone(PAGES), present=2048, managed=2048))
    assert np.flatnonzero(found.coming).tolist() == list(range(3000, 3100))
    assert set(found.states[3000:3100].tolist()) == {PER_CPU_AT_START}
    assert set(found.states[2048:3000].tolist()) == {NO_MEMORY}


@pytest.mark.parametrize(("freed", "booting"), [(1023, False), (1024, True), (3000, True)])
def test_boot_frees_a_quarter_of_the_memory_and_nothing_else_does(bare: Trace, freed: int, booting: bool) -> None:
    found = settled(bare, {(0, freed): FREED_WHOLE_AT_START}, np.full(PAGES, LRU, np.uint64))
    assert found.booting == booting
    assert found.coming.sum() == (freed if booting else 0)
    assert set(found.states[:freed].tolist()) == {PER_CPU_AT_START if booting else USED_AT_START}


@given(st.lists(st.tuples(st.integers(0, PAGES), st.sampled_from([USED_AT_START, FREE_AT_START])), max_size=6))
def test_with_no_flags_as_many_are_free_as_zoneinfo_says(counted: Trace, seen: list[tuple[int, int]]) -> None:
    """`counted` has 1000 free pages and 96 that are no memory: of what no event names, the longest stretches."""
    states = {(pfn, min(pfn + 50, PAGES)): state for pfn, state in seen}
    before = np.full(PAGES, UNSEEN, np.uint8)
    for (begin, end), state in states.items():
        before[begin:end] = state
    found = settled(counted, states, None, replace(zone(PAGES), present=PAGES - 96, managed=PAGES - 96))
    known = before != UNSEEN
    assert (found.states[known] == before[known]).all()
    assert int((found.states == NO_MEMORY).sum()) == 96
    assert int((found.states == FREE_AT_START).sum()) == max(1000, int((before == FREE_AT_START).sum()))
    assert any("zoneinfo tells that" in line for line in found.doubts)


@pytest.fixture(scope="module")
def counted(tmp_path_factory: pytest.TempPathFactory) -> Trace:
    layout = zone(PAGES)
    texts = {"zoneinfo": zoneinfo([layout], free=1000)}
    return record(tmp_path_factory.mktemp("counted") / "a", [("A", 0, 0, 0)], [layout], texts=texts)


def test_with_neither_what_no_event_names_is_in_use_and_it_is_said(bare: Trace) -> None:
    found = settled(bare, {(0, 96): FREE_AT_START}, None)
    assert set(found.states[96:].tolist()) == {USED_AT_START}
    (line,) = found.doubts
    assert line.startswith("no kpageflags: nothing tells what 15.62 MiB are that no event names")


def test_the_last_of_marks_counts_and_a_late_snapshot_is_known(tmp_path: Path) -> None:
    marks = [(5, "KPF-BEGIN init"), (7, "KPF-BEGIN final"), (2 * 10**9, "KPF-BEGIN init")]
    trace = record(tmp_path / "a", [("A", 0, 0, 0)], [zone(PAGES)], marks=marks)
    assert mark_time(trace, "KPF-BEGIN init") == 2 * 10**9
    assert mark_time(trace, "KPF-BEGIN final") == 7
    assert mark_time(trace, "KPF-END") is None
    assert is_late(trace)
    assert not is_late(record(tmp_path / "b", [("A", 0, 0, 0)], [zone(PAGES)], marks=marks[:2]))
    meta = Meta(recorder="test", source="test", zones=[zone(PAGES)])
    assert not is_late(record(tmp_path / "c", [("A", 0, 0, 0)], [zone(PAGES)], meta))
