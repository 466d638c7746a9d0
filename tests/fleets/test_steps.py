"""A guest as a step function."""

import dataclasses

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pagehint.errors import InputError
from pagehint.fleets.steps import steps_between, steps_of_file, steps_of_run
from pagehint.replays.replay import replay
from pagehint.replays.start import guest_reporting
from pagehint.trace.shipped import example
from tests.fleets.guests import MIB, ONE, S, parquet


@pytest.mark.parametrize(
    "rows", [[(0, 5)], [(0, 5), (0, 6)], [(1, 5), (0, 5)], [(0, -5), (1, 5)], [("x", 5), ("y", 5)], [(0, None), (1, 5)]]
)
def test_steps_that_are_none(tmp_path, rows):
    with pytest.raises(InputError, match=r"^\S*a(\.parquet)?: "):
        steps_of_file(parquet(tmp_path / "a.parquet", rows))


@given(
    st.lists(st.tuples(st.integers(1, 50), st.integers(0, 4)), min_size=1, max_size=12), st.integers(-(10**6), 10**6)
)
def test_a_step_function_is_what_was_sampled(pairs, begin):
    """Each value until the next sample; nothing of it depends on when the clock began."""
    times = (np.cumsum([0, *(length for length, _ in pairs)]) + begin) * 10**6
    values = np.array([*(value for _, value in pairs), 77])
    found = steps_between("a", times, values)
    each = np.repeat(values[:-1], np.diff(times) // 10**6)  # a value each millisecond
    assert found.period == len(each) * 10**6
    assert found.mean == pytest.approx(each.mean())
    assert found.weights.sum() == pytest.approx(1)
    assert found.at(np.arange(len(each)) * 10**6).tolist() == each.tolist()
    assert found.at(np.arange(len(each)) * 10**6 + 10**6 - 1).tolist() == each.tolist()
    assert found.at(np.arange(2 * len(each)) * 10**6).tolist() == [*each.tolist()] * 2
    assert (np.diff(found.values) != 0).all()
    falls = each[:-1][each[1:] < each[:-1]]
    assert found.parked.tolist() == (falls.tolist() or [each.max()])


def test_times_of_a_file_need_not_begin_at_0(tmp_path):
    rows = [(5 * S, 100 * MIB), (8 * S, 400 * MIB), (9 * S, 150 * MIB), (15 * S, 0)]
    found = steps_of_file(parquet(tmp_path / "guest.parquet", rows))
    assert found.name == "guest"
    assert found.period == ONE.period
    assert found.mean == ONE.mean
    assert found.at(np.arange(25) * S).tolist() == ONE.at(np.arange(25) * S).tolist()


@pytest.mark.parametrize("end", [10**6 - 1, 3600 * 10**15 + 1])
def test_what_lasts_too_short_or_too_long_is_no_guest(tmp_path, end):
    with pytest.raises(InputError, match=f"^a: lasts {end} ns: expected 1 ms to "):
        steps_of_file(parquet(tmp_path / "a.parquet", [(0, 5), (end, 5)]))


@pytest.fixture(scope="module")
def run():
    trace = example()
    return replay(trace, guest_reporting(trace), sample="50ms")


def test_a_runs_guest_is_its_timeline(run):
    found = steps_of_run(run)
    table = run.timeline
    times, resident = (table[name].to_numpy() for name in ("time", "resident"))
    assert found.name == run.recording["name"]
    assert found.at(times - times[0]).tolist() == resident.tolist()
    assert found.fault_time == run.totals.refault_time
    # A guest that is paused before a pass keeps no less than what the pass would have left.
    assert len(found.parked) > 1
    assert found.parked.min() >= resident.min()
    assert found.parked.mean() > found.mean


def test_what_comes_back_after_a_storm_is_what_a_guest_gave_back(run):
    back = steps_of_run(run).back
    given = run.timeline["given_back"].to_numpy()
    assert (back[:, 1] > 0).all()
    assert (np.diff(back[:, 0]) > 0).all()
    assert 0 <= back[0, 0] < run.timeline["time"][-1].as_py()
    assert 0 < back[:, 1].sum() <= given[-1]
    none = steps_of_run(replay(example(), None, sample="1s"))
    assert len(none.back) == 0
    assert none.parked.tolist() == [none.values.max()]


def test_what_comes_back_after_a_storm_by_hand(run):
    """From when most is free and resident (at 7 s: 500), until a twentieth of it is used again (at 11 s)."""
    columns = {
        "time": [5, 6, 7, 8, 9, 10, 11, 12],
        "used": [100, 300, 50, 60, 60, 60, 90, 50],
        "resident": [400, 600, 550, 300, 300, 260, 290, 90],
        "given_back": [7, 7, 7, 250, 250, 290, 290, 490],
    }
    table = pa.table({name: np.array(values) * (S if name == "time" else MIB) for name, values in columns.items()})
    found = steps_of_run(dataclasses.replace(run, timeline=table))
    assert found.back.tolist() == [[S, 243 * MIB], [3 * S, 40 * MIB]]
    assert found.period == 8 * S  # the last sample holds as long as the one before
    assert found.parked.tolist() == [550 * MIB, 300 * MIB, 290 * MIB]


def test_a_run_of_an_instant_is_no_guest(run):
    with pytest.raises(InputError, match="too short for a fleet: its replay has 1 samples"):
        steps_of_run(dataclasses.replace(run, timeline=run.timeline.slice(0, 1)))
