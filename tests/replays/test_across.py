"""What one recording predicts for another guest that did the same work."""

import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pagehint.replays.across import predict_across
from pagehint.replays.start import guest_reporting
from pagehint.replays.truth import measured_residency
from pagehint.trace import Trace
from pagehint.trace.shipped import example
from tests.replays.recording import measured_as_predicted


def test_how_unevenly_two_guests_worked(tmp_path):
    """A mark of the other lies later: one of its phases took so much longer, and the next so much less."""
    trace = example("phased")
    shutil.copytree(trace.path, tmp_path / "other.pagetrace")
    path = tmp_path / "other.pagetrace" / "marks.parquet"
    marks = pq.read_table(path)
    times = marks["time"].to_pylist()
    longest = max(range(1, len(times) - 1), key=lambda k: times[k + 1] - times[k])
    later = (times[longest + 1] - times[longest]) // 2
    times[longest] += later
    pq.write_table(marks.set_column(0, marks.schema.field(0), pa.array(times)), path)
    alike = predict_across(trace, guest_reporting(trace), trace)
    assert alike.uneven == 0
    table, (begin, *_, end) = measured_residency(trace), trace.marks["time"].to_numpy()
    time, resident = (table[name].to_numpy() for name in ("time", "resident"))
    inside = (begin <= time) & (time <= end)
    mean = np.average(resident[inside][:-1], weights=np.diff(time[inside]))
    assert alike.measured == pytest.approx(mean)
    assert alike.predicted == pytest.approx(mean, rel=0.005)
    assert alike.error < 0.005
    found = predict_across(trace, guest_reporting(trace), Trace.open(tmp_path / "other.pagetrace"))
    assert found.uneven == pytest.approx(2 * later / (times[-1] - times[0]))
    assert found.uneven > 0.01
    assert found.error > alike.error


def test_what_a_pass_gives_back_at_once_is_no_slope(tmp_path):
    """Measured each 7 ms and predicted each 10, a guest that did as predicted was 0.04 % off."""
    trace = example("phased")
    other = measured_as_predicted(trace, tmp_path / "other.pagetrace")
    assert predict_across(trace, guest_reporting(trace), other).error == 0
