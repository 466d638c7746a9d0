"""What each phase gives back, and how fast."""

from pathlib import Path

import pyarrow as pa
import pytest

from pagehint.replays.phases import LEAST, phases_given_back
from pagehint.replays.replay import replay
from pagehint.trace import Trace

from .recording import Row, record, zone

_SECOND = 10**9
_ROWS: list[Row] = [("Z", 600, 0, 0), ("A", 600, 0, 0), ("F", 600, 0, 0)]


@pytest.fixture
def trace(tmp_path: Path) -> Trace:
    marks = [(0, "KPF-BEGIN init"), (1, "KPF-END init"), (10 * _SECOND, "MARK one"), (50 * _SECOND, "MARK two")]
    return record(tmp_path / "t", _ROWS, [zone(4096)], step=50 * _SECOND, marks=marks)


def timeline_of(rows: list[tuple[int, int]]) -> pa.Table:
    return pa.table({"time": [time * _SECOND for time, _ in rows], "resident": [resident for _, resident in rows]})


def batches_of(rows: list[tuple[int, int]]) -> pa.Table:
    return pa.table({"time": [time * _SECOND for time, _ in rows], "given_back": [size for _, size in rows]})


def test_what_came_and_when_most_of_it_had(trace: Trace) -> None:
    passes = [12 * _SECOND, 14 * _SECOND, 60 * _SECOND]
    batches = batches_of([(12, 4 * LEAST), (13, 5 * LEAST), (14, LEAST), (14, 0), (60, LEAST - 1)])
    timeline = timeline_of([(0, 50 * LEAST), (10, 40 * LEAST), (12, 45 * LEAST), (20, 30 * LEAST), (55, 35 * LEAST)])
    one, two = phases_given_back(trace, passes, batches, timeline)
    assert (one["name"], one["time"]) == ("one", 10 * _SECOND)
    # 90 % of it were there with the second batch, which was of the first pass.
    assert (one["given_back"], one["passes"], one["given_back_90"]) == (10 * LEAST, 2, 3 * _SECOND)
    assert one["fall"] == 10 * LEAST
    assert (one["measured_fall"], one["measured_90"]) == (None, None)
    # Too little to say when it came.
    assert (two["given_back"], two["passes"], two["given_back_90"], two["fall"]) == (LEAST - 1, 1, None, 0)


def test_what_was_measured(trace: Trace) -> None:
    mib = [100, 95, 60, 55, 54, 80]
    trace.residency = pa.table(
        {
            "time": [(10 + k) * _SECOND for k in range(6)],
            "memfd_kib": pa.array([size << 10 for size in mib], pa.int64()),
            "rss_kib": pa.array([None] * 6, pa.int64()),
        }
    )
    one, two = phases_given_back(trace, [], batches_of([]), timeline_of([]))
    # 46 MiB in all; 41.4 of them were gone as 55 were left.
    assert (one["measured_fall"], one["measured_90"]) == (46 << 20, 3 * _SECOND)
    assert (two["measured_fall"], two["measured_90"]) == (None, None)
    assert (one["given_back"], one["passes"], one["fall"]) == (0, 0, 0)


def test_the_recorders_own_marks_are_no_phases(tmp_path: Path) -> None:
    """What a step gave back was told of the reading of the last snapshot."""
    marks = [(0, "CLOCK 1795975282047682462"), (0, "KPF-BEGIN init"), (1, "KPF-END init")]
    marks.append((2 * 10**6, "KPF-BEGIN final"))
    assert replay(record(tmp_path / "own", _ROWS, [zone(4096)], marks=marks)).phases == []
    named = replay(record(tmp_path / "named", _ROWS, [zone(4096)], marks=[*marks, (3 * 10**6, "begun")]))
    assert [phase["name"] for phase in named.phases] == ["begun"]
