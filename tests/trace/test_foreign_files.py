"""Files of another recording in a bundle, files that are cut off, and values that can't be: none passes unsaid."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from pagehint.cli.info import info
from pagehint.errors import InputError
from pagehint.replays.replay import replay
from pagehint.trace import Trace, import_trace
from pagehint.trace.copy import copy_bundle
from pagehint.trace.tables import HOST_STATE_SCHEMA

EXAMPLES = Path(__file__).parents[2] / "src" / "pagehint" / "examples"
OURS, ANOTHER = EXAMPLES / "pandas.pagetrace", EXAMPLES / "phased.pagetrace"
FILES = sorted(path.relative_to(OURS).as_posix() for path in OURS.rglob("*") if path.is_file())
CUTS: dict[str, Callable[[bytes], bytes]] = {
    "to nothing": lambda data: b"",
    "to a byte": lambda data: data[:1],
    "in half": lambda data: data[: len(data) // 2],
    "at its end": lambda data: data[:-2],
}


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return Path(shutil.copytree(OURS, tmp_path / "ours.pagetrace"))


def change_meta(bundle: Path, **values: Any) -> None:
    meta = json.loads((bundle / "meta.json").read_text())
    (bundle / "meta.json").write_text(json.dumps({**meta, **values}))


@pytest.fixture
def unsigned(bundle: Path) -> Path:
    """A bundle of a writer that tells no checksums."""
    change_meta(bundle, crc32={})
    return bundle


def said_of(bundle: Path) -> str:
    """What is said of a bundle before its events are replayed: why it is refused, or the warnings."""
    try:
        trace = Trace.open(bundle)
        trace.check()
        for _ in trace.batches():
            pass
        return "; ".join(trace.warnings)
    except InputError as error:
        return str(error)


@pytest.mark.parametrize("example", [OURS, ANOTHER], ids=lambda path: path.stem)
def test_nothing_is_said_of_a_good_one(example: Path) -> None:
    assert said_of(example) == ""


@pytest.mark.parametrize("name", FILES)
def test_a_file_of_another_recording(bundle: Path, name: str) -> None:
    shutil.copyfile(ANOTHER / name, bundle / name)
    assert name in said_of(bundle)


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("name", FILES)
def test_a_file_cut_off(bundle: Path, name: str, cut: str) -> None:
    (bundle / name).write_bytes(CUTS[cut]((bundle / name).read_bytes()))
    said = said_of(bundle)
    assert name in said or (str(Path(name).parent) in said and Path(name).name.split(".")[0] in said)


@pytest.mark.parametrize("name", [name for name in FILES if name not in ("meta.json", "events.parquet")])
def test_a_file_that_is_gone(bundle: Path, name: str) -> None:
    (bundle / name).unlink()
    assert said_of(bundle) == f"{name}: written with this recording, and gone since: it is done without"


@pytest.mark.parametrize("name", ["host_state.parquet", "snapshot/vmstat.txt"])
def test_a_file_that_was_added(bundle: Path, name: str) -> None:
    """It was said to have another checksum, or to be changed."""
    if (bundle / name).exists():
        crc32 = json.loads((bundle / "meta.json").read_text())["crc32"]
        change_meta(bundle, crc32={each: crc for each, crc in crc32.items() if each != name})
    elif name.endswith(".txt"):
        (bundle / name).write_text("pgalloc_dma 1\n")
    else:
        pq.write_table(HOST_STATE_SCHEMA.empty_table(), bundle / name)
    assert said_of(bundle).startswith(f"{name}: added since this recording was written: nothing tells")


@pytest.mark.parametrize("name", ["new.parquet", "snapshot/notes.md", "final/zoneinfo.txt.orig", "mine/notes.txt"])
def test_a_file_that_nobody_reads(bundle: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """What rests on it was said to be wrong, and info counted it among the snapshot's."""
    (bundle / name).parent.mkdir(exist_ok=True)
    (bundle / name).write_text("x")
    assert said_of(bundle) == ""
    info(bundle, json_=True)
    assert "notes" not in json.loads(capsys.readouterr().out)["snapshot"]


@pytest.mark.parametrize("name", ["events.parquet", "meta.json", "/etc/passwd", "../x/y", "snapshot/..", "a/b/c", ""])
def test_a_checksum_of_what_is_no_file_of_a_bundle(bundle: Path, name: str) -> None:
    """Of the events, which are read, it was said that they are gone."""
    change_meta(bundle, crc32={name: 1})
    assert said_of(bundle).endswith(f"meta.json: crc32 names {name!r}, which is no file of a bundle: import it again")


def test_a_writer_tells_the_checksum_of_each_file(tmp_path: Path) -> None:
    with copy_bundle(Trace.open(OURS), tmp_path / "copy.pagetrace") as (writer, meta):
        writer.finish(meta)
    copy = Trace.open(tmp_path / "copy.pagetrace")
    files = {path.relative_to(copy.path).as_posix() for path in copy.path.rglob("*") if path.is_file()}
    assert {*copy.meta.crc32, "meta.json", "events.parquet"} == files
    assert copy.warnings == []


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("name", [name for name in FILES if name.startswith("final/")])
def test_a_snapshot_of_the_end_that_cannot_be_read_is_left_out(unsigned: Path, name: str, cut: str) -> None:
    (unsigned / name).write_bytes(CUTS[cut]((unsigned / name).read_bytes()))
    trace = Trace.open(unsigned)
    trace.check()
    assert len(trace.warnings) == (trace.final_snapshot is None)
    assert all(line.endswith(": the snapshot of the end is left out") for line in trace.warnings)


def test_what_is_left_out_is_said_by_a_run_and_by_info(unsigned: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (unsigned / "final" / "zoneinfo.txt").write_text("")
    expected = (
        f"{unsigned}/final/zoneinfo.txt: names no zone that has pages: expected a copy of /proc/zoneinfo: the snapshot "
        "of the end is left out"
    )
    assert replay(Trace.open(unsigned), None).recording["warnings"] == [expected]
    info(unsigned, json_=True)
    assert json.loads(capsys.readouterr().out)["warnings"] == [expected]
    info(unsigned)
    assert "the snapshot of the end is left out." in " ".join(capsys.readouterr().out.split())


def test_counters_that_only_grow_are_of_another_end(unsigned: Path) -> None:
    (unsigned / "snapshot" / "vmstat.txt").write_text("pgfree 100\n")
    (unsigned / "final" / "vmstat.txt").write_text("pgfree 99\n")
    assert "final/vmstat.txt: pgfree is 99, and was 100 at the start: it is another guest's" in said_of(unsigned)


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("marks.parquet", "marks.parquet: its 49 marks are not those of the 15 events: it is another recording's"),
        ("reported.parquet", "reported.parquet: only 137 of its 425 ranges are blocks that the guest told of then"),
        ("snapshot/zoneinfo.txt", "snapshot/zoneinfo.txt: min of zone DMA of node 0 is 175, but meta.json says 176"),
    ],
)
def test_without_checksums_what_cannot_be_of_one_recording_is_refused(unsigned: Path, name: str, error: str) -> None:
    shutil.copyfile(ANOTHER / name, unsigned / name)
    assert error in said_of(unsigned)


@pytest.mark.parametrize(
    ("values", "error"),
    [
        ({"cpus": 7}, "cpus is 7, but the events tell 2"),
        ({"cpus": 0}, "cpus is 0, expected 1 or more"),
        ({"pfn_end": 5}, "pfn_end is 5, but the events tell"),
        ({"pageblock_order": 8}, "pagetypeinfo.txt: pageblocks are of order 9, but meta.json says 8"),
        (
            {"zones": json.loads((OURS / "meta.json").read_text())["zones"][:1]},
            "zoneinfo.txt: it has zones DMA of node 0,",
        ),
    ],
)
def test_values_that_are_not_the_recordings(bundle: Path, values: dict[str, Any], error: str) -> None:
    change_meta(bundle, **values)
    assert error in said_of(bundle)


def test_counts_of_events_that_are_not_the_recordings(bundle: Path) -> None:
    counts = dict(Trace.open(bundle).meta.events)
    counts["A"], counts["F"] = counts["A"] + 1, counts["F"] - 1
    change_meta(bundle, events=counts)
    assert "meta.json: events is {'A'" in said_of(bundle)


@pytest.mark.parametrize(
    ("beside", "fits"), [(-(10**9), True), (10**9, True), (-(2 * 10**9), False), (2 * 10**9, False)]
)
def test_the_only_sample_may_lie_a_little_beside(tmp_path: Path, beside: int, fits: bool) -> None:
    """A guest of half a second, whose host was looked at once, was refused as another recording's."""
    (tmp_path / "trace.txt").write_text(
        "sh-7 [000] ..... 5.000000: tracing_mark_write: CLOCK 1700000000000000000\n"
        "sh-7 [000] d..1. 5.000001: mm_page_free: page=a pfn=64 order=0\n"
    )
    (tmp_path / "rss.csv").write_text(f"host_ns,ram_resident_kib\n{1700000000000000000 + beside},128\n")
    what = (tmp_path / "trace.txt", tmp_path / "t.pagetrace")
    if fits:
        assert import_trace(*what, residency=tmp_path / "rss.csv").residency is not None
        return
    with pytest.raises(InputError, match="none of its 1 samples lies in the recording's time"):
        import_trace(*what, residency=tmp_path / "rss.csv")


def test_samples_of_another_time(unsigned: Path) -> None:
    path = unsigned / "residency.parquet"
    table = pq.read_table(path)
    later = pc.add(table["time"], 10**12)
    pq.write_table(table.set_column(table.schema.get_field_index("time"), "time", later), path)
    assert f"residency.parquet: none of its {table.num_rows:,} times lies in the recording's" in said_of(unsigned)


def test_a_recording_between_two_looks_of_the_host(unsigned: Path) -> None:
    """On a busy host that was a recording lost: it could not be finished."""
    meta = Trace.open(unsigned).meta
    path = unsigned / "residency.parquet"
    table = pq.read_table(path)
    times = pa.array([meta.first_ns - 10**8, meta.last_ns + 10**8], table.schema.field("time").type)
    pq.write_table(table.slice(0, 2).set_column(table.schema.get_field_index("time"), "time", times), path)
    looks = Trace.open(unsigned).residency
    assert looks is not None
    assert looks["time"].equals(pa.chunked_array([times]))


def test_bitmaps_of_a_smaller_guest(unsigned: Path) -> None:
    path = unsigned / "residency_bitmaps.parquet"
    table = pq.read_table(path)
    bits = pa.array([bits[:8192] for bits in table["bits"].to_pylist()], pa.binary())
    pq.write_table(table.set_column(table.schema.get_field_index("bits"), "bits", bits), path)
    assert "residency_bitmaps.parquet: has bits for 65,536 pages, of a guest whose memory ends at" in said_of(unsigned)
