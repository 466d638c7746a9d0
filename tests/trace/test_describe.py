import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pagehint.trace import Lost, Meta, Trace
from pagehint.trace.describe import (
    LONGEST_NAME,
    describe,
    describe_anomalies,
    describe_lost,
    describe_missing,
    phases,
)
from pagehint.trace.tables import MARK_SCHEMA


def test_what_a_bundle_holds(trace: Trace) -> None:
    data = json.loads(json.dumps(describe(trace)))
    assert data["num_events"] == 15
    assert data["page_level"]
    assert data["zone_level"]
    assert data["managed_bytes"] == 240 * 4096
    assert data["lost"] == {"by_cpu": {"1": 4}, "overwritten": 0, "uncounted": 0, "total": 4}
    assert data["reporting"]["order"] == 4
    assert data["snapshot"] == ["kpageflags", "pagetypeinfo", "zoneinfo"]
    assert data["truth"] == {
        "residency_samples": 2,
        "ram_resident_samples": 1,
        "residency_bitmaps": 2,
        "reported_ranges": 1,
        "reported_bytes": 65536,
        "host_state": dict.fromkeys(
            ["most_huge_bytes", "most_swapped_bytes", "collapsed", "swapped_in", "swapped_out"]
        ),
    }
    assert data["phases"] == [{"time": 1215, "name": "phase, one"}]


def test_a_phases_name_has_an_end(bundle: Path) -> None:
    """A tracer's marker takes any text, and a screen and a page printed it all."""
    marks = pa.table({"time": [1215], "text": ["MARK " + "x" * 100_000]}, schema=MARK_SCHEMA)
    pq.write_table(marks, bundle / "marks.parquet")
    (phase,) = phases(Trace.open(bundle))
    assert phase["name"] == "x" * (LONGEST_NAME - 1) + "\u2026"


def test_losses_in_words() -> None:
    assert describe_lost(Lost()) == []
    (line,) = describe_lost(Lost({"10": 5, "2": 1}, overwritten=2000, uncounted=1))
    assert line.startswith(
        "2,006 events were lost while recording: 1 on CPU 2; 5 on CPU 10; 2,000 overwritten, or of no known CPU; "
        "an unknown number at 1 place. Each lost allocation is a page that a replay takes for free"
    )
    assert describe_lost(Lost(uncounted=2))[0].startswith("events were lost while recording: an unknown number at 2")


def test_anomalies_in_words() -> None:
    assert describe_anomalies({"pfn outside every zone": 1234}) == ["pfn outside every zone: 1,234"]


def missing(**events: int) -> int:
    return len(describe_missing(Meta("a recorder", "a source", events=events)))


def test_missing_kinds_in_words() -> None:
    assert missing(A=1, F=1) == missing(Z=1, D=1) == 0
    assert missing(Z=1) == missing(F=1) == 1
    assert missing(X=1) == 2


def test_a_kind_that_is_counted_0_is_missing(bundle: Path) -> None:
    """meta.json may name a kind of which there is none; it was taken for recorded."""
    assert missing(A=0, F=1, Z=0) == missing(A=1, F=0, D=0) == 1
    meta = json.loads((bundle / "meta.json").read_text())
    events = pq.read_table(bundle / "events.parquet")
    kept = [chr(code) not in "FD" for code in events["event"].to_pylist()]
    pq.write_table(events.filter(kept), bundle / "events.parquet", write_page_checksum=True)
    meta["events"] |= {"F": 0, "D": 0}
    (bundle / "meta.json").write_text(json.dumps(meta))
    data = describe(Trace.open(bundle))
    assert not data["page_level"]
    assert not data["zone_level"]
