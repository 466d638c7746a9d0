"""A bundle made of another one: all that the guest told, nothing that a host saw."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from pagehint.errors import InputError
from pagehint.trace import Meta, Trace, TraceWriter
from pagehint.trace.copy import copy_bundle
from tests.replays.recording import record, rows_of, zone

ROWS = [("A", 4, 2, 0), ("F", 4, 2, 0), ("A", 64, 0, 1)]
BUDDY = "Node 0, zone    DMA32      0      1      0      0      0      0      0      0      0      0      {}\n"


@pytest.fixture
def trace(tmp_path: Path) -> Trace:
    """A recording with marks, a snapshot at its start, in its middle and at its end, and what a host saw."""
    record(
        tmp_path / "first",
        ROWS,
        [zone(4096)],
        texts={"buddyinfo": BUDDY.format(1)},
        flags=np.arange(4096, dtype=np.uint64),
        marks=[(5, "begin"), (10**6, "phase two")],
        final={"buddyinfo": BUDDY.format(3)},
    )
    path = tmp_path / "whole"
    for number in (0, 1, 2, 10):
        (tmp_path / f"look{number}").write_text(BUDDY.format(number))
    with TraceWriter(path) as writer, copy_bundle(Trace.open(tmp_path / "first"), tmp_path / "unused") as (copy, meta):
        assert copy is not writer
        for name in ("snapshot", "final"):
            folder = tmp_path / "first" / name
            files = {each.name.partition(".")[0]: each for each in folder.iterdir()}
            writer.add_snapshot(files, name)
        for number in (0, 1, 2, 10):
            writer.add_snapshot({"buddyinfo": tmp_path / f"look{number}"}, f"look{number}")
        writer.add_mark(5, "begin")
        writer.add_mark(10**6, "phase two")
        for batch in Trace.open(tmp_path / "first").batches():
            writer.add_events(batch)
        kib = pa.array([100, 200])
        writer.add_residency(pa.table({"time": [1, 2], "ram_resident_kib": kib, "rss_kib": kib, "memfd_kib": kib}))
        writer.finish(meta)
    return Trace.open(path)


def test_it_has_all_that_the_guest_told_and_nothing_of_its_host(trace: Trace, tmp_path: Path) -> None:
    assert trace.residency is not None
    with copy_bundle(trace, tmp_path / "copy") as (writer, meta):
        assert meta == trace.meta
        writer.finish(meta)
    copy = Trace.open(tmp_path / "copy")
    assert rows_of(copy) == rows_of(trace)
    assert len(rows_of(copy)) == 3
    assert copy.marks is not None
    assert copy.marks.to_pylist() == [{"time": 5, "text": "begin"}, {"time": 10**6, "text": "phase two"}]
    for name in ("snapshot", "final", "look0", "look1", "look2", "look10"):
        had = {path.name: path.read_bytes() for path in (trace.path / name).iterdir()}
        assert {path.name: path.read_bytes() for path in (copy.path / name).iterdir()} == had
    assert copy.residency is None


def test_what_only_sounds_like_a_snapshot_is_not_taken(trace: Trace, tmp_path: Path) -> None:
    for name in ("look1.bak", "lookout"):
        (trace.path / name).mkdir()
        (trace.path / name / "buddyinfo.txt").write_text(BUDDY.format(1))
    (trace.path / "look3").write_text("")
    with copy_bundle(trace, tmp_path / "copy") as (writer, meta):
        writer.finish(meta)
    looks = {path.name for path in (tmp_path / "copy").iterdir() if path.name.startswith("look")}
    assert looks == {"look0", "look1", "look2", "look10"}


def test_nothing_is_left_where_it_is_not_finished(trace: Trace, tmp_path: Path) -> None:
    before = sorted(tmp_path.iterdir())
    with pytest.raises(KeyError), copy_bundle(trace, tmp_path / "copy"):
        raise KeyError
    assert sorted(tmp_path.iterdir()) == before


def test_what_is_there_already_stays(trace: Trace) -> None:
    with pytest.raises(InputError, match="whole"), copy_bundle(trace, trace.path) as (writer, meta):
        writer.finish(meta)
    assert Trace.open(trace.path).num_events == 3
    assert isinstance(trace.meta, Meta)
