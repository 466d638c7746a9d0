"""A run's totals, counted by hand: one block of 4 MiB is used, freed, given back, and used again."""

from pathlib import Path

import pyarrow as pa
import pytest

from pagehint.hinting.designs.reporting import PageReporting
from pagehint.host.costs import Costs
from pagehint.host.model import ModelHost
from pagehint.replays.replay import replay
from pagehint.replays.run import Run
from pagehint.trace import Meta, Trace, TraceWriter
from pagehint.trace.bundle import REPORTED_SCHEMA, RESIDENCY_SCHEMA
from pagehint.trace.meta import GuestReporting

from .recording import Row, record, zone

_SECOND = 10**9
_COSTS = Costs(react_call=7e3, discard_block=5e3, discard_4kib=11, fault_exit=300, fault_4kib=700)
_BLOCK = 4 << 20
# At seconds 0 to 14. Between, page 0 comes and goes, so that there is something in each second; a block of 1 MiB is
# free until the end, so that there is something to isolate from.
_ROWS: list[Row] = [
    *[("Z", 1024, 10, 0), ("A", 1024, 10, 0), ("F", 1024, 10, 0)],
    *[("Z", 0, 0, 0), ("A", 0, 0, 0), ("F", 0, 0, 0), ("D", 0, 0, 0)] * 2,
    *[("Z", 1024, 10, 0), ("A", 1024, 10, 0), ("Z", 0, 0, 0), ("Z", 2048, 8, 0)],
]


@pytest.fixture(scope="module")
def trace(tmp_path_factory: pytest.TempPathFactory) -> Trace:
    return record(tmp_path_factory.mktemp("counted") / "t", _ROWS, [zone(1 << 12)], step=_SECOND)


def run_of(trace: Trace, design: PageReporting | None) -> Run:
    return replay(trace, design, ModelHost("4KiB", _COSTS, None, 1), sample="1s")


def test_what_is_in_use_and_held_without_hinting(trace: Trace) -> None:
    totals = run_of(trace, None).totals
    assert totals.duration == 14 * _SECOND
    assert totals.events == 15
    # All 16 MiB are taken for backed. The block is in use from 1 to 2 s and from 12 s on, page 0 from 4 to 5 s and
    # from 8 to 9.
    free = (14 - 3) * _BLOCK + (14 - 2) * 4096 + 14 * (1 << 20)
    assert totals.footprint == pytest.approx(14 * (16 << 20) / 2**30 / 60)
    assert totals.footprint - totals.ideal_footprint == pytest.approx(free / 2**30 / 60)
    assert totals.cost == pytest.approx(15 * free / 2**30 / 60)
    assert (totals.given_back, totals.wait_p50, totals.refaults, totals.batches, totals.device_time) == (
        0,
        None,
        0,
        0,
        0,
    )
    assert (totals.peak_resident, totals.end_resident) == (16 << 20, 16 << 20)


def test_what_comes_back_and_what_that_costs(trace: Trace) -> None:
    run, without = run_of(trace, PageReporting(9, "2s")), run_of(trace, None)
    totals = run.totals
    assert (totals.given_back, totals.batches, totals.blocks, totals.blocks_again) == (_BLOCK, 1, 1, 0)
    assert totals.refaults == 1024
    assert totals.refault_time == 1024 * (300 + 700)
    assert totals.device_time == 7_000 + 5_000 + 1024 * 11
    # Freed at 2 s, and given back 2 s later: the upper edge of a step of 1 ms.
    assert totals.wait_p50 == totals.wait_p99
    assert 2 * _SECOND <= totals.wait_p50 <= 2 * _SECOND + 10**6
    # Backed again as it is used, at 12 s.
    saved = (12 - 4) * _BLOCK / 2**30 / 60
    assert without.totals.footprint - totals.footprint == pytest.approx(saved, rel=1e-3)
    assert totals.ideal_footprint == without.totals.ideal_footprint
    held = totals.footprint - totals.ideal_footprint
    assert totals.cost == pytest.approx(15 * held + (totals.refault_time + totals.device_time) / 1e9)
    assert totals.end_resident == 16 << 20
    assert run.attribution["waiting"] == pytest.approx(2 * _BLOCK / 2**30 / 60, rel=0.02)
    assert run.attribution["mixed"] == pytest.approx(14 * 2**20 / 2**30 / 60, rel=0.02)
    assert sum(run.attribution.values()) == pytest.approx(held)


def test_passes_and_batches(trace: Trace) -> None:
    run = run_of(trace, PageReporting(9, "2s"))
    (batch,) = run.batches.to_pylist()
    assert {name: batch[name] for name in ("zone", "blocks", "pages", "given_back")} == {
        "zone": "DMA32",
        "blocks": 1,
        "pages": 1024,
        "given_back": _BLOCK,
    }
    told = [row for row in run.passes.to_pylist() if row["batches"]]
    assert [(row["blocks"], row["pages"], row["given_back"]) for row in told] == [(1, 1024, _BLOCK)]
    assert 4 * _SECOND <= told[0]["time"] <= batch["time"] <= 4 * _SECOND + 10**6
    assert run.prediction.reported_mib == 4


@pytest.mark.parametrize(("watched", "told"), [((0, 14), 4), ((3, 14), 4), ((6, 14), 0), ((0, 3), 0)])
def test_what_was_told_is_counted_while_the_host_was_watched(
    watched: tuple[int, int], told: int, tmp_path: Path
) -> None:
    """Of a host that was watched from the midst on, "762 and 276 MiB told": those before nobody could have seen."""

    def host(writer: TraceWriter) -> None:
        times = [second * _SECOND for second in watched]
        writer.add_residency(pa.table({**{name: [16384] * 2 for name in RESIDENCY_SCHEMA.names}, "time": times}))
        there = pa.table({"time": [4 * _SECOND], "pfn": [1024], "pages": [1024], "ret": [0]})
        writer.add_reported(there.cast(REPORTED_SCHEMA))

    trace = record(tmp_path / "t", _ROWS, [zone(1 << 12)], step=_SECOND, host=host)
    assert run_of(trace, PageReporting(9, "2s")).prediction.reported_mib == told


def test_where_residency_is_off_for_one_reason_only(tmp_path: Path) -> None:
    """It was "0.048 % off what was measured: 0.048 % else"."""

    def host(writer: TraceWriter) -> None:
        times = [0, 7 * _SECOND, 14 * _SECOND]
        writer.add_residency(pa.table({**{name: [8192] * 3 for name in RESIDENCY_SCHEMA.names}, "time": times}))

    meta = Meta(recorder="test", source="test", reporting=GuestReporting(False))
    trace = record(tmp_path / "t", _ROWS, [zone(1 << 12)], meta, step=_SECOND, host=host)
    said = [line for line in run_of(trace, None).recording["warnings"] if "off what was measured" in line]
    where = "residency is 100.000 % off what was measured, from 0.00 s of the guest's clock on;"
    assert [line.startswith(where) for line in said] == [True]
