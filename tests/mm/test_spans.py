"""Pages by where they are: what isolating and hotplug do to a zone, against a map of its pages."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pagehint.errors import BusyError, InputError
from pagehint.mm.check import check
from pagehint.mm.zone import Zone

PAGES, START = 2200, 300  # of pageblocks of 64; neither end is one's
FREE, USED, GONE = "free", "used", "gone"


def make():
    return Zone(PAGES, start_pfn=START, max_order=8, pageblock_order=6)


def free_pfns(zone, migratetypes=range(5)):
    return sorted(
        page
        for kind in migratetypes
        for order in range(zone.max_order)
        for pfn in zone.free_list(order, kind).tolist()
        for page in range(pfn, pfn + (1 << order))
    )


_CALLS = st.lists(
    st.tuples(
        st.sampled_from(["free_exact", "alloc_range", "offline", "online", "isolate", "unisolate"]),
        st.integers(START, START + PAGES - 1),
        st.integers(1, 300),
    ),
    max_size=25,
)


@given(_CALLS)
@settings(max_examples=60)
def test_each_call_does_all_of_it_or_nothing(calls):
    zone = make()
    pages = dict.fromkeys(range(START, START + PAGES), FREE)
    isolated: set[int] = set()
    before = {"free_exact": USED, "alloc_range": FREE, "offline": FREE, "online": GONE}
    after = {"free_exact": FREE, "alloc_range": USED, "offline": GONE, "online": FREE}
    for call, pfn, count in calls:
        if call == "isolate":
            if pfn >> 6 in isolated:
                with pytest.raises(BusyError, match=f"pageblock of pfn {pfn} is isolated already"):
                    zone.isolate(pfn)
            else:
                zone.isolate(pfn)
            isolated.add(pfn >> 6)
        elif call == "unisolate":
            zone.unisolate(pfn)
            isolated.discard(pfn >> 6)
        else:
            span = range(pfn, pfn + count)
            fits = all(pages.get(page) == before[call] for page in span)
            if call in ("alloc_range", "offline"):
                fits = fits and not isolated & {page >> 6 for page in span}
            try:
                getattr(zone, call)(pfn, count)
            except (BusyError, InputError):
                assert not fits
            else:
                assert fits
                pages |= dict.fromkeys(span, after[call])
        assert zone.isolated == len(isolated)
    assert free_pfns(zone) == [page for page, state in pages.items() if state == FREE]
    assert zone.present_pages == sum(state != GONE for state in pages.values())
    assert check(zone) == []


def test_isolated_pages_are_no_free_pages_and_are_not_allocated():
    """docs/spec/1, sections 2 and 5: a free block that reaches into an isolated pageblock goes whole."""
    zone = Zone(4096)
    zone.isolate(0)
    assert zone.free_list(10, 4).tolist() == [0]
    assert zone.free_pages == 3072
    zone.isolate(512)  # of the same block: nothing is left to move
    assert zone.free_list(10, 4).tolist() == [0]
    assert sorted(zone.alloc_nowait(9, 1) for _ in range(7)) == [-1, 1024, 1536, 2048, 2560, 3072, 3584]
    zone.unisolate(0)
    zone.unisolate(512)
    assert zone.free_pages == 1024
    assert zone.free_list(10, 1).tolist() == [0]


def test_unisolating_to_another_type_and_of_what_is_not_isolated():
    zone = Zone(4096)
    zone.unisolate(0, 2)  # nothing
    assert set(zone.pageblock_types.tolist()) == {1}
    zone.alloc(9, 1)  # 3072
    zone.isolate(3584)
    assert zone.free_list(9, 4).tolist() == [3584]
    zone.unisolate(3584, 2)
    assert zone.pageblock_types.tolist() == [1] * 7 + [2]
    assert zone.free_list(9, 2).tolist() == [3584]


def test_what_is_freed_in_an_isolated_pageblock_stays_isolated():
    zone = Zone(4096)
    pfn = zone.alloc(0, 1)
    zone.isolate(pfn)
    free = zone.free_pages
    zone.free(pfn, 0)
    assert zone.free_pages == free
    assert pfn in free_pfns(zone, [4])


def test_a_block_over_an_isolated_pageblock_that_is_split_and_merged_counts_once():
    """docs/spec/1, section 9, row 14: isolating the second half of a block moves nothing."""
    zone = Zone(1024)
    zone.isolate(512)
    assert (zone.free_list(10, 1).tolist(), zone.free_pages) == ([0], 1024)
    assert (zone.alloc(9, 1), zone.alloc(0, 1)) == (0, 512)
    assert zone.free_pages == 511
    zone.free(512, 0)
    assert (zone.free_list(9, 4).tolist(), zone.free_pages) == ([512], 0)
    zone.free(0, 9)
    assert zone.free_pages == 512
    assert check(zone) == []


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda zone: zone.offline(START - 1, 2), "pfn 299"),
        (lambda zone: zone.offline(START + PAGES - 1, 2), "pfn 2500"),
        (lambda zone: zone.offline(START, 0), "pages 0: expected 1 to 2200"),
        (lambda zone: zone.alloc_range(START, 1, 3), "migratetype 3: expected 0 to 2"),
        (lambda zone: zone.free_exact(START, 1), "free of pfn 300, 1 pages: pfn 300 is not allocated"),
        (lambda zone: zone.isolate(START + PAGES), "pfn 2500"),
        (lambda zone: zone.load(np.ones(PAGES - 1, np.bool_)), "2,?200|2199"),
    ],
)
def test_what_lies_outside_is_named_and_changes_nothing(call, error):
    zone = make()
    with pytest.raises(InputError, match=error):
        call(zone)
    assert zone.free_pages == PAGES
    assert check(zone) == []


@given(st.integers(0, 2**32), st.floats(0, 1))
@settings(max_examples=20)
def test_a_zone_starts_from_any_state_of_its_pages(seed, share):
    zone = make()
    array = np.random.default_rng(seed).choice([FREE, USED, GONE], PAGES, p=[share, (1 - share) / 2, (1 - share) / 2])
    zone.load(array == FREE, present=array != GONE)
    assert free_pfns(zone) == (np.flatnonzero(array == FREE) + START).tolist()
    assert zone.present_pages == int((array != GONE).sum())
    assert check(zone) == []
    for pfn in (np.flatnonzero(array == USED) + START).tolist():
        zone.free_exact(pfn, 1)
    assert zone.free_pages == zone.present_pages
    assert check(zone) == []
