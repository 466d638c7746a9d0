"""Timelines: rows that are bounded and the same at any step, and attribution that is whole."""

from pathlib import Path

import numpy as np
import pytest

from pagehint.hinting.designs.reporting import PageReporting
from pagehint.replays.replay import replay
from pagehint.replays.start import guest_reporting
from pagehint.replays.timeline import Timeline
from pagehint.replays.truth import guest_host
from pagehint.trace import Trace

from .recording import record
from .recording import zone as zone_of


def test_a_long_timeline_is_bounded(phased: Trace) -> None:
    run = replay(phased, None, sample="1ms")
    assert run.timeline.num_rows <= 1 << 15
    assert run.settings["sample"] > 10**6


def test_attribution_is_what_a_fine_timeline_adds_up_to(phased: Trace) -> None:
    run = replay(phased, guest_reporting(phased), sample="4ms")
    spans = np.diff(
        run.timeline.column("time").to_numpy(), append=run.timeline["time"][0].as_py() + run.totals.duration
    )
    whole = sum(run.attribution.values())
    for reason, told in run.attribution.items():
        added_up = float((run.timeline.column(reason).to_numpy() * spans).sum()) / 2**30 / 60e9
        assert told == pytest.approx(added_up, abs=0.003 * whole), reason


def test_attribution_is_whole_and_the_same_whatever_is_sampled(phased: Trace) -> None:
    runs = [replay(phased, guest_reporting(phased), sample=step) for step in ("50ms", "20s", None)]
    for run in runs:
        assert sum(run.attribution.values()) + run.totals.ideal_footprint == pytest.approx(run.totals.footprint, 1e-9)
        assert run.attribution == runs[0].attribution
        assert run.totals == runs[0].totals


def test_a_long_rest_costs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two million counts of what doesn't change: a recording of a day took as long as its day has steps of 50 ms."""
    taken: list[int] = []
    sample = Timeline.sample
    monkeypatch.setattr(Timeline, "sample", lambda self, now: (taken.append(now), sample(self, now)))
    rows = [("Z", 0, 0, 0), ("A", 0, 0, 0), ("F", 0, 0, 0), ("D", 0, 0, 0)] * 3
    trace = record(tmp_path / "t", rows, [zone_of(4096)], step=3600 * 10**9)
    run = replay(trace, PageReporting(), sample=None)
    assert len(taken) < 200
    whole = run.totals.ideal_footprint + sum(run.attribution.values())
    assert whole == pytest.approx(run.totals.footprint)


def test_rows_of_times_in_which_nothing_happens(phased: Trace) -> None:
    """A coarse timeline's rows are among a fine one's, which goes through each rest in many steps."""
    fine, coarse = (replay(phased, guest_reporting(phased), sample=step).timeline for step in ("10ms", "250ms"))
    times = fine.column("time").to_numpy()
    assert len(set(np.diff(times).tolist())) == 1
    rows = np.searchsorted(times, coarse.column("time").to_numpy())
    assert len(rows) > 300
    assert fine.take(rows).equals(coarse)


def test_what_a_rest_ends_with_is_told_of_the_rest(tmp_path: Path) -> None:
    """Half of the wait for a pass counted as in flight, where nothing else happened before it for a second."""
    rows = [("Z", 1024, 10, 0), ("A", 1024, 10, 0), ("F", 1024, 10, 0), ("Z", 0, 0, 0), ("Z", 2048, 8, 0)]
    trace = record(tmp_path / "t", rows, [zone_of(4096)], step=10**10)
    told = replay(trace, PageReporting(9, "2s"), guest_host(trace, "4KiB", capacity=1)).attribution
    # In the step of 50 ms in which it was freed it may be anything.
    assert told["waiting"] == pytest.approx(2 * (4 << 20) / 2**30 / 60, rel=0.026)
    assert told["in_flight"] < 1e-3 * told["waiting"]


@pytest.mark.parametrize("step", [10**6, 10**8])
def test_what_was_free_between_the_last_count_and_the_end_has_a_reason(tmp_path: Path, step: int) -> None:
    """It had none, and all reasons were 0, in a recording of less than 50 ms."""
    rows = [("Z", 1024, 10, 0), ("A", 1024, 10, 0), ("F", 1024, 10, 0), ("D", 0, 0, 0)]
    trace = record(tmp_path / "t", rows, [zone_of(4096)], step=step)
    for design, reason in ((None, "no_device"), (PageReporting(9, "1h"), "watermark")):
        run = replay(trace, design, guest_host(trace, "4KiB"), backed=False)
        free = run.totals.footprint - run.totals.ideal_footprint
        assert free > 0
        assert run.attribution[reason] == pytest.approx(free, 0.01)
