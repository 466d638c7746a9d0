"""A recording at zone level against the same guest's at page level."""

import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from rich.console import Console

from pagehint.replays.playback import Playback
from pagehint.replays.replay import replay
from pagehint.replays.start import guest_reporting
from pagehint.replays.sweep import sweep
from pagehint.replays.totals import make_run
from pagehint.report.sweep import print_sweep
from pagehint.trace import Trace
from pagehint.trace.bundle import Trace as Bundle
from pagehint.trace.copy import copy_bundle
from pagehint.trace.meta import Meta
from pagehint.trace.shipped import example
from pagehint.trace.tables import RESIDENCY_SCHEMA

from .recording import Row, record, used_pages, zone

_DATA = Path(__file__).parents[1] / "real_guest" / "data"


class ZoneLevel(Bundle):
    """No allocations, and only frees of orders that pass no per-CPU list, as `record --level zone` has them."""

    def batches(self, *arguments: Any, **more: Any) -> Iterator[dict[str, NDArray[Any]]]:
        for batch in super().batches(*arguments, **more):
            kinds = batch["event"]
            out = (kinds == ord("A")) | (
                np.isin(kinds, [ord("F"), ord("B")]) & ((batch["order"] < 4) | (batch["order"] == 9))
            )
            yield {name: np.ascontiguousarray(column[~out]) for name, column in batch.items()}


@pytest.mark.parametrize(("name", "most"), [("phased", 0.0005), ("pandas", 0.002), ("db612", 0.001)])
def test_it_shows_nearly_the_same(name, most, tmp_path):
    whole = Trace.open(_DATA / "db612.pagetrace") if name == "db612" else example(name)
    with copy_bundle(ZoneLevel(whole.path, whole.meta), tmp_path / "zone.pagetrace") as (writer, meta):
        writer.add_residency(whole.residency.cast(RESIDENCY_SCHEMA))
        writer.add_residency_bitmaps(whole.residency_bitmaps())
        writer.finish(replace(meta, level="zone"))
    zone = Trace.open(writer.path)
    assert zone.num_events < whole.num_events / 2
    page, coarse = (replay(trace, guest_reporting(whole), sample=None) for trace in (whole, zone))
    assert page.totals.footprint == pytest.approx(coarse.totals.footprint, rel=most)
    assert page.totals.ideal_footprint <= coarse.totals.ideal_footprint <= 1.1 * page.totals.ideal_footprint
    assert any(line.startswith("recorded at zone level") for line in coarse.recording["warnings"])


@pytest.mark.parametrize("level", ["zone", "page"])
def test_a_sweep_says_so_too(level, tmp_path):
    meta = Meta(recorder="test", source="test", level=level, zones=[replace(zone(2048), pcp_high=100, cpus=2)])
    trace = record(tmp_path / "a.pagetrace", [("Z", 600, 0, 0, 1)], [zone(2048)], meta)
    found = sweep([trace], ["reporting"], {"order": [9], "delay": [10**9], "capacity": [32]})
    assert found.to_dict()["warnings"] == found.warnings
    assert any(line.startswith("a: recorded at zone level") for line in found.warnings) == (level == "zone")
    console = Console(record=True, width=200, file=io.StringIO())
    print_sweep(console, found, {}, [])
    assert ("up to 800 KiB, counts as in use" in console.export_text()) == (level == "zone")


@pytest.mark.parametrize(
    ("kernel", "told", "most"),
    [("6.1.0", None, "800 KiB"), ("6.12.117", None, "1 MiB"), ("6.18.15", 240, "1.875 MiB"), (None, None, "800 KiB")],
)
def test_how_much_may_lie_on_lists(kernel, told, most, tmp_path):
    """Lists that tune themselves hold up to an eighth of a zone, whether or not zoneinfo tells it."""
    lists = replace(zone(2048), pcp_high=100, pcp_high_max=told, cpus=2)
    trace = record(
        tmp_path / "a.pagetrace",
        [("Z", 600, 0, 0, 1)],
        [zone(2048)],
        Meta(recorder="test", source="test", level="zone", kernel=kernel, zones=[lists]),
    )
    assert f"up to {most}, counts as in use" in "\n".join(replay(trace, sample=None).recording["warnings"])


def used(path: Path, *rows: Row, migratetype: int = 1) -> int:
    """Of the pages that these events name, 100 ns apart and of one type, those in use after them; P is of no page."""
    meta = Meta(recorder="test", source="test", level="zone", zones=[replace(zone(2048), pcp_batch=30)])
    trace = record(path, rows, [zone(2048)], meta, step=100, migratetype=migratetype)
    one = Playback(trace, None, None, "simulated", None, False, frozenset({"alloc"}), None)
    named = {pfn + k for _, pfn, order, *_ in rows if pfn for k in range(1 << order)}
    before = used_pages(one.engine)
    one.run(make_run)
    assert before == 2048 - len(named)
    return used_pages(one.engine) - before


def test_what_a_refill_brings_is_in_use_when_the_next_begins(tmp_path):
    refill: list[Row] = [("Z", 600 + k, 0, 0, 1) for k in range(30)]
    later: list[Row] = [("P", 0, 0, 1)] * 600
    assert used(tmp_path / "a.t", *refill) == 2  # the second at some moment after the first
    assert used(tmp_path / "b.t", *refill, ("D", 629, 0, 0), *later, ("Z", 700, 0, 0, 1)) == 30
    # What came back was lost: it is brought again, to another list.
    assert used(tmp_path / "d.t", *refill, ("Z", 620, 0, 1, 1), ("Z", 629, 0, 1, 1), *later, ("Z", 800, 0, 0, 1)) == 30
    # Another CPU's list, and what no refill brought.
    assert used(tmp_path / "c.t", *refill, *later, ("Z", 700, 0, 1, 1), ("Z", 800, 0, 0, 0), ("Z", 802, 1, 0, 1)) == 6


def test_what_comes_from_contiguous_areas_goes_to_a_list(tmp_path):
    """Its event doesn't say that it is a refill's: all of it was in use at once."""
    rows: list[Row] = [("Z", 600 + k, 0, 0, 0) for k in range(30)]
    assert used(tmp_path / "a.t", *rows) == 30
    assert used(tmp_path / "b.t", *rows, migratetype=4) == 2


def test_pageblocks_that_a_refill_brings(tmp_path):
    refill: list[Row] = [("Z", 512, 9, 0, 1), ("Z", 1024, 9, 0, 1)]
    assert used(tmp_path / "a.t", *refill) == 512
    # Allocated, freed, freed page by page; drained as it came.
    assert used(tmp_path / "b.t", *refill, ("A", 1024, 9, 0)) == 1024
    assert used(tmp_path / "c.t", *refill, ("F", 1024, 9, 0)) == 512
    assert used(tmp_path / "d.t", *refill, ("D", 1030, 0, 0), ("D", 1031, 0, 0)) == 1022
    assert used(tmp_path / "e.t", *refill, ("D", 1024, 9, 0)) == 512


def test_another_page_of_the_pageblock_is_not_the_one_that_a_refill_brought(tmp_path):
    """Whatever happened to a page of a pageblock used the page that waited at its beginning."""
    refill: list[Row] = [("Z", 700, 0, 0, 1), ("Z", 512, 0, 0, 1)]
    assert used(tmp_path / "a.t", *refill, ("Z", 1000, 0, 0, 0), ("F", 1000, 0, 0)) == 1


def test_what_compaction_moves_to_is_backed(tmp_path):
    meta = Meta(recorder="test", source="test", level="zone", zones=[zone(2048)])
    trace = record(tmp_path / "a.t", [("I", 1024, 9, 0), ("i", -1, 255, 0, 512)], [zone(2048)], meta)
    one = Playback(trace, None, None, "simulated", None, False, frozenset({"alloc"}), None)
    one.run(make_run)
    assert one.host.backing.resident == 2048
