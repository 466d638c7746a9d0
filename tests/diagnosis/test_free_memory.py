"""What keeps free memory from the host: each cause, and that they are all of it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pagehint.diagnosis.bounds import Bounds, exactly
from pagehint.diagnosis.examine import examine
from pagehint.diagnosis.free_memory import CAUSES, Setting, closed_by, free_from, from_counts, from_total
from pagehint.diagnosis.page_map import Holder
from pagehint.diagnosis.recognise import read_files
from pagehint.diagnosis.zones import ZoneState
from tests.diagnosis.conftest import GUESTS, snapshot_files

ON = Setting(9, 9, 10, 32, 4096, True)
OFF = Setting(9, 9, 10, 32, 4096, False)
GATE = 1000 + 32 * 512


@pytest.mark.parametrize(
    ("free", "more", "why"),
    [
        (GATE + 1, {}, None),
        (GATE, {}, "watermark"),  # no more than that
        (0, {}, "watermark"),
        (GATE + 10, {"reserve": 9}, None),
        (GATE + 10, {"reserve": 10}, "watermark"),  # what is kept for atomic allocations doesn't count
        (GATE, {"boost": 1}, "boost"),
        (GATE - 500, {"boost": 500}, "watermark"),
        (GATE - 499, {"boost": 500}, "boost"),
        (GATE, {"managed": GATE}, "never"),
        (GATE, {"managed": GATE + 1}, "watermark"),
        (GATE - 600, {"managed": GATE, "boost": 500}, "watermark"),  # without the boost it could be open
        (GATE - 600, {"managed": GATE - 500, "boost": 500}, "never"),
        (None, {}, None),
    ],
)
def test_what_keeps_reporting_out_of_a_zone(free, more, why) -> None:
    assert closed_by(ZoneState(0, "Normal", free=free, low=1000, **more), 9, ON, free) == why


def test_a_zone_whose_watermark_is_not_known_is_not_closed() -> None:
    assert closed_by(ZoneState(0, "Normal", free=0), 9, ON, 0) is None


@st.composite
def _zones(draw: st.DrawFn) -> ZoneState:
    counts = draw(st.lists(st.integers(0, 300), min_size=11, max_size=11))
    free = sum(count << order for order, count in enumerate(counts))
    low = draw(st.none() | st.integers(0, 2 * free + 1))
    boost = None if low is None else draw(st.integers(0, low))
    return ZoneState(0, "Normal", free=free, managed=2 * free, low=low, boost=boost, counts=counts, per_cpu=0)


@given(st.lists(_zones(), min_size=1, max_size=3), st.sampled_from([ON, OFF]), st.integers(0, 10))
def test_the_causes_are_all_of_free_memory(zones: list[ZoneState], setting: Setting, order: int) -> None:
    found = from_counts(zones, Setting(order, 9, 10, 32, 4096, setting.on))
    free = sum(zone.free or 0 for zone in zones) * 4096
    assert found.causes.keys() <= CAUSES.keys()
    assert sum(size.least for size in found.causes.values()) <= free
    assert sum(size.most or 0 for size in found.causes.values()) >= free
    if all(size.is_exact for size in found.causes.values()):
        assert sum(size.least for size in found.causes.values()) == free
    # From a lower order on it brings no less, and never more than is free in zones that are open.
    most = [found.brings["reporting"][each].most or 0 for each in range(11)]
    assert most[0] <= free
    for each in range(11):
        is_open = [zone for zone in zones if closed_by(zone, each, setting, zone.free) is None]
        assert most[each] == sum(zone.free_from(each) or 0 for zone in is_open) * 4096


def test_where_nothing_reports_nothing_was_given_back() -> None:
    zone = ZoneState(0, "Normal", free=100_000, managed=200_000, low=1000, counts=[100_000 - 90 * 1024, *[0] * 9, 90])
    found = from_counts([zone], OFF)
    assert found.causes["no_device"] == exactly(90 << 22)
    assert found.causes["below_order"] == exactly((100_000 - 90 * 1024) << 12)
    assert "given_back" not in found.causes
    assert "waiting" not in found.causes
    # Where it reports, nobody but the map tells what was told already.
    assert from_counts([zone], ON).causes["given_back"] == Bounds(0, 90 << 22)


@given(_zones(), st.integers(0, 10), st.data())
def test_counts_that_may_be_more_bound_what_is_free(zone: ZoneState, order: int, data: st.DataObject) -> None:
    assert zone.counts is not None
    truth = (zone.free_from(order) or 0) * 4096
    assert free_from(zone, order, ON) == exactly(truth)
    less = [data.draw(st.integers(0, count)) for count in zone.counts]
    cut = ZoneState(0, "Normal", free=zone.free, counts=less, exact_from=None)
    if order:
        bounds = free_from(cut, order, ON)
        assert bounds.least <= truth <= (bounds.most or 0)
    # zoneinfo alone has what lies in whole pageblocks, since 6.18.
    alone = ZoneState(0, "Normal", free=zone.free, whole=zone.free_from(9))
    bounds = free_from(alone, order, ON)
    assert bounds.least <= truth <= (bounds.most or 0)
    assert free_from(alone, 9, ON).is_exact
    bounds = free_from(ZoneState(0, "Normal", free=zone.free), order, ON)
    assert bounds.least <= truth <= (bounds.most or 0)
    assert free_from(ZoneState(0, "Normal"), order, ON).most is None


def test_of_a_total_only_the_most_is_known() -> None:
    found = from_total(1 << 30, ON)
    assert set(found.causes) == {"waiting", "below_order", "watermark", "given_back", "per_cpu"}
    assert all((size.least, size.most) in ((0, 1 << 30), (0, None)) for size in found.causes.values())
    assert set(from_total(None, OFF).causes) == {"no_device", "below_order", "watermark", "per_cpu"}
    assert {size.most for size in from_total(None, OFF).brings["reporting"].values()} == {None}


@pytest.mark.parametrize("guest", GUESTS)
@pytest.mark.parametrize("order", [0, 5, 9, 10])
def test_in_a_real_guests_map_the_causes_are_all_that_is_free(guest: str, order: int) -> None:
    evidence = read_files(snapshot_files(guest))
    evidence.reporting.on, evidence.reporting.order = True, order
    found = examine(evidence)
    assert found.page_map is not None
    causes = {name: size for name, size in found.free_resident.items() if name != "per_cpu"}
    assert all(size.is_exact for size in causes.values())
    assert sum(size.least for size in causes.values()) == int(found.page_map.counts()[Holder.FREE]) << 12
    assert causes["given_back"].least == int(found.page_map.told.sum()) << 12
