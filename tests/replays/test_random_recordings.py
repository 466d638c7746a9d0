"""Whatever a recording says, its replay ends, keeps the zones whole, and adds up; or it is refused."""

import math
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from pagehint.errors import InputError
from pagehint.mm.check import check
from pagehint.replays.playback import Playback
from pagehint.replays.run import Run
from pagehint.replays.study import study
from pagehint.replays.totals import make_run
from pagehint.trace import Trace

from .random_recordings import a_recording, how_to_replay


def _replayed(trace: Trace, number: int, **other: Any) -> Run:
    make_design, make_host, how = how_to_replay(number)
    one = Playback(trace, make_design(), make_host(), progress=None, **{"sample": "50ms", **how, **other})

    def tell(one: Playback) -> Run:
        assert [wrong for zone in one.start.zones for wrong in check(zone)] == []
        return make_run(one)

    return one.run(tell)


def _adds_up(run: Run) -> None:
    totals = {name: value for name, value in asdict(run.totals).items() if value is not None}
    assert all(math.isfinite(value) and value >= 0 for value in totals.values()), totals
    assert run.totals.ideal_footprint <= run.totals.footprint * (1 + 1e-9)
    held = run.totals.footprint - run.totals.ideal_footprint
    # Free memory that comes and goes between two counts is of no reason, where no count has any.
    if any(run.attribution.values()):
        assert sum(run.attribution.values()) == pytest.approx(held, rel=1e-6, abs=1e-9)
    assert all(value >= 0 for value in run.attribution.values())
    used, resident, free = (run.timeline[name].to_numpy() for name in ("used", "resident", "free_resident"))
    assert (used >= 0).all()
    assert (free >= 0).all()
    assert (used + free == resident).all()


def _told_of(run: Run) -> dict[str, Any]:
    return {**run.to_dict(), "timeline": run.timeline, "batches": run.batches, "passes": run.passes}


def replay_one(number: int, folder: Path) -> bool:
    """Whether the recording of that number was replayed, as it should be; else it was refused."""
    try:
        trace = a_recording(number, folder / f"{number}")
        run = _replayed(trace, number)
    except InputError:
        return False
    _adds_up(run)
    assert _told_of(_replayed(trace, number)) == _told_of(run)
    swept = _replayed(trace, number, sample=None, totals_only=True).totals  # as a sweep does it
    assert replace(swept, peak_resident=run.totals.peak_resident) == run.totals
    return True


def study_one(number: int, folder: Path) -> bool:
    """The same of a study of several designs."""
    designs, settings = ["reporting", "hinting", "breakeven", "none"], {"order": [0, 9]}
    try:
        trace = a_recording(number, folder / f"{number}")
        alone = study([trace], designs, settings, workers=1)
    except InputError:
        return False
    assert study([trace], designs, settings, workers=2).table.equals(alone.table)
    return True


# Those that found something, and others.
@pytest.mark.parametrize("number", [494, 1212, 1678, *range(40)])
def test_a_random_recording(number: int, tmp_path: Path) -> None:
    replay_one(number, tmp_path)


@pytest.mark.parametrize("number", [3, 14, 15, 92])
def test_a_study_of_one_is_the_same_on_any_number_of_workers(number: int, tmp_path: Path) -> None:
    study_one(number, tmp_path)


def test_most_are_replayed(tmp_path: Path) -> None:
    assert sum(replay_one(number, tmp_path) for number in range(100, 110)) > 7


@pytest.mark.slow
@pytest.mark.parametrize("first", range(2000, 2200, 100))
def test_many_random_recordings(first: int, tmp_path: Path) -> None:
    for number in range(first, first + 100):
        replay_one(number, tmp_path)
    (tmp_path / "study").mkdir()
    for number in range(first, first + 10):
        study_one(number, tmp_path / "study")
