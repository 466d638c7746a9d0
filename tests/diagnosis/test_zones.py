"""The zones of a machine, by whatever told of them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pagehint.diagnosis.bounds import Bounds
from pagehint.diagnosis.evidence import Evidence
from pagehint.diagnosis.examine import diagnose
from pagehint.diagnosis.free_memory import free_from
from pagehint.diagnosis.memory_report import MemoryReport, OrderCount, ReportedZone
from pagehint.diagnosis.recognise import read_files
from pagehint.diagnosis.zones import ZoneState, zone_states
from tests.diagnosis.conftest import DATA, GUESTS, snapshot_files


@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=14), st.integers(0, 14))
def test_what_is_free_from_an_order_on_is_what_its_blocks_and_larger_ones_have(counts: list[int], order: int) -> None:
    zone = ZoneState(0, "Normal", counts=counts)
    assert (zone.free_from(order) or 0) + sum(count * 2**small for small, count in enumerate(counts[:order])) == (
        zone.free_from(0)
    )
    assert ZoneState(0, "Normal").free_from(order) is None


def test_the_gate_is_a_batch_of_blocks_above_low() -> None:
    """docs/doctor.md: low + (32 << order) pages."""
    assert ZoneState(0, "Normal", low=1000).gate(9, capacity=32) == 1000 + 32 * 512
    assert ZoneState(0, "Normal", low=1000).gate(0, capacity=64) == 1064
    assert ZoneState(0, "Normal").gate(9, capacity=32) is None


def test_a_node_is_named_where_there_are_several() -> None:
    assert (ZoneState(0, "DMA32").label, ZoneState(1, "DMA32").label) == ("DMA32", "DMA32, node 1")


@pytest.mark.parametrize("guest", GUESTS)
def test_zoneinfo_buddyinfo_and_pagetypeinfo_tell_of_the_same_zones(guest: str) -> None:
    folder = DATA / guest
    by_buddy = zone_states(read_files([folder / "buddyinfo.txt"]))
    by_types = zone_states(read_files([folder / "pagetypeinfo.txt"]))
    whole = zone_states(read_files(snapshot_files(guest)))
    assert [zone.name for zone in by_buddy] == [zone.name for zone in by_types] == [zone.name for zone in whole]
    for one, other, all_of in zip(by_buddy, by_types, whole, strict=True):
        assert one.counts == all_of.counts
        assert one.free == one.free_from(0)
        assert other.counts is not None
        assert abs((other.free or 0) - (one.free or 0)) < 2048  # read a moment apart
        assert all_of.min is not None
        assert all_of.min <= (all_of.low or 0) <= (all_of.high or 0) <= (all_of.managed or 0) <= (all_of.present or 0)
        assert (all_of.end or 0) - (all_of.begin or 0) >= (all_of.present or 0)


_ROW = "Node    0, zone   Normal, type {:>12} {}\n"


def _types(tmp_path, rows):
    path = tmp_path / "pagetypeinfo"
    orders = " ".join(map(str, range(11)))
    head = f"Page block order: 9\nPages per block:  512\n\nFree pages count per migrate type at order {orders}\n"
    path.write_text(head + "".join(_ROW.format(kind, counts + 9 * " 0") for kind, counts in rows))
    return zone_states(read_files([path]))


def test_types_add_up_and_tell_the_atomic_reserve(tmp_path) -> None:
    rows = [("Unmovable", "1 2"), ("Movable", "10 20"), ("Reclaimable", "100 200"), ("HighAtomic", "3 4")]
    (zone,) = _types(tmp_path, rows)
    assert zone.counts is not None
    assert zone.counts[:2] == [114, 226]
    assert zone.free == 114 + 2 * 226
    assert zone.reserve == 3 + 2 * 4
    assert not zone.is_lower_bound


def test_isolated_blocks_are_not_free(tmp_path) -> None:
    """They lie on a list of their own, which nobody counts as free, and which is not reported."""
    rows = [("Unmovable", "1 2"), ("Movable", "10 20"), ("Reclaimable", "0 0"), ("HighAtomic", "0 0")]
    (alone,) = _types(tmp_path, [*rows, ("Isolate", "5 7")])
    assert (alone.free, alone.counts[:2] if alone.counts else None) == (55, [11, 22])
    (tmp_path / "buddyinfo").write_text(f"Node 0, zone   Normal 16 29{9 * ' 0'}\n")
    (beside,) = zone_states(read_files([tmp_path / "pagetypeinfo", tmp_path / "buddyinfo"]))
    assert (beside.free, beside.counts) == (alone.free, alone.counts)


def test_of_a_log_whose_blocks_are_isolated_no_more_is_told_than_is_free(tmp_path) -> None:
    """Of 343 MiB 408 were said to lie in large blocks."""
    (tmp_path / "log").write_text(
        "Normal free:351096kB min:30000kB low:37500kB high:45000kB present:1048576kB managed:1018328kB free_pcp:220kB "
        "local_pcp:192kB free_cma:1352kB\nNormal: 78*4kB (UECI) 1772*8kB (UMECI) 1335*16kB (UMECI) 360*32kB (UMECI) "
        "65*64kB (UMCI) 36*128kB (UMECI) 16*256kB (UMCI) 6*512kB (EI) 8*1024kB (UEI) 4*2048kB (MI) 8*4096kB (EI) "
        "8*8192kB (UI) 3*16384kB (EI) 8*32768kB (M) 2*65536kB (I) = 620360kB\n"
    )
    found = diagnose(tmp_path / "log")
    (zone,) = found.zones
    assert (zone.free, (zone.counts or ())[-1], zone.isolated << 2) == (87774, 0, 489288 - 351096)
    assert free_from(zone, 9, found.setting) == Bounds(417792 - 138192 << 10, 351096 << 10)
    assert [line for line in found.warnings if "lacks the beginning of a report" not in line] == []


@pytest.mark.parametrize(
    "rows",
    [
        [("Unmovable", "1 2"), ("Movable", "10 20"), ("HighAtomic", "3 4")],  # a row is missing
        [("Unmovable", "1 2"), ("Movable", ">100000 20"), ("Reclaimable", "0 0"), ("HighAtomic", "3 4")],
    ],
)
def test_types_that_are_cut_tell_the_least(tmp_path, rows) -> None:
    (zone,) = _types(tmp_path, rows)
    assert zone.is_lower_bound
    assert zone.free is None
    assert zone.least_free >= 11 + 2 * 22


def test_a_zone_without_pages_is_none() -> None:
    names = {zone.name for zone in zone_states(read_files([DATA / "compile612" / "zoneinfo.txt"]))}
    assert "Movable" in (DATA / "compile612" / "zoneinfo.txt").read_text()
    assert names == {"DMA", "DMA32"}


def test_without_files_of_proc_the_logs_last_report_of_zones_tells() -> None:
    def report(free: int, size: int | None = None) -> MemoryReport:
        values = {"free": free * 4096, "min": 8192, "managed": 1 << 20, "reserved_highatomic": 4096}
        zone = ReportedZone(0, "Normal", values, orders=[OrderCount(5, "U"), OrderCount(7, "M")])
        return MemoryReport("oom", zones={(0, "Normal"): zone}, page_size=size)

    cut = MemoryReport("oom")
    (zone,) = zone_states(Evidence(reports=[report(1), report(2), cut]))
    assert (zone.free, zone.min, zone.managed, zone.reserve, zone.counts) == (2, 2, 256, 1, [5, 7])
    (zone,) = zone_states(Evidence(reports=[report(32, 65536)]))
    assert zone.free == 2
    # /proc's files are of the whole machine, and of now.
    (zone,) = zone_states(Evidence(reports=[report(1)], buddy={(0, "DMA32"): [1, 2]}))
    assert (zone.name, zone.free) == ("DMA32", 5)
