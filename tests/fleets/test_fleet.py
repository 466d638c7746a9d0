"""What guests hold together, against what it is by counting every case, and by what was measured."""

import dataclasses
import itertools
import json
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pagehint.errors import InputError
from pagehint.fleets.fits import MOST_GUESTS, fits
from pagehint.fleets.fleet import Guests, Outcome, fleet
from pagehint.fleets.steps import steps_between, steps_of_file, steps_of_run
from pagehint.fleets.superpose import Crowd, held
from pagehint.replays.replay import replay
from pagehint.replays.start import guest_reporting
from pagehint.replays.truth import measured_residency
from pagehint.report.fleet import fleet_sentences
from pagehint.trace.shipped import example

MIB = 1 << 20
S = 10**9


def steps(*pairs, name="a"):
    """(seconds, MiB) one after the other."""
    times = np.cumsum([0, *(seconds for seconds, _ in pairs)]) * S
    return steps_between(name, times, np.array([*(mib for _, mib in pairs), 0]) * MIB)


def enumerated(guests, memory, overhead=0):
    """The share of time above it, each combination of the guests' values weighted by its share."""
    over = mean = 0.0
    for case in itertools.product(*(list(zip(one.weights, one.values, strict=True)) for one in guests)):
        share = np.prod([weight for weight, _ in case])
        total = sum(int(value) + overhead for _, value in case)
        over += share * (total > memory)
        mean += share * total
    return over, mean


ONE = steps((3, 100), (1, 400), (6, 150))
OTHER = steps((1, 64), (1, 1024), (2, 512))


@pytest.mark.parametrize("memory", [300, 450, 700, 1000, 1200, 1500, 1900])
def test_each_case_counted(memory):
    for guests in ([ONE], [ONE, ONE], [ONE, OTHER], [ONE, ONE, OTHER, OTHER]):
        crowds = [Crowd(ONE, guests.count(ONE), 7 * MIB), Crowd(OTHER, guests.count(OTHER), 7 * MIB)]
        over, mean = enumerated(guests, memory * MIB, 7 * MIB)
        found = held(crowds, memory * MIB)
        assert found.p_over == pytest.approx(over, abs=1e-9)
        assert found.mean == pytest.approx(mean, rel=1e-9)


def test_how_deep_and_how_often_each_case_counted():
    guests = [ONE, ONE, OTHER]
    crowds = [Crowd(ONE, 2, 7 * MIB), Crowd(OTHER, 1, 7 * MIB)]
    for memory in (650, 1000, 1300):
        over = deep = rate = 0.0
        for case in itertools.product(*(list(zip(one.weights, one.values, strict=True)) for one in guests)):
            total = sum(int(value) + 7 * MIB for _, value in case) - memory * MIB
            share = np.prod([weight for weight, _ in case])
            over += share * (total > 0)
            deep += share * max(total, 0)
            # From here each one goes to its next value once in a period, wherever the others are.
            for which, one in enumerate(guests):
                at = one.values.tolist().index(case[which][1])
                after = total + int(np.roll(one.values, -1)[at]) - int(case[which][1])
                rate += share / case[which][0] / (one.period / S) * (total <= 0 < after)
        found = held(crowds, memory * MIB)
        assert found.depth == pytest.approx(deep / over, rel=1e-3)
        assert found.seconds == pytest.approx(over / rate, rel=1e-6)


def test_together_is_the_sum_at_each_time():
    both = held([Crowd(ONE, 2)], 490 * MIB, together=1.0)
    assert both.p_over == pytest.approx(0.1, abs=1e-9)  # 2 * 400 MiB, a second in ten
    assert both.seconds == pytest.approx(1.0)
    assert both.depth == pytest.approx(310 * MIB, rel=1e-3)
    apart = held([Crowd(ONE, 2)], 490 * MIB)
    assert apart.p_over == pytest.approx(1 - 0.9**2, abs=1e-9)


@pytest.mark.parametrize("memory", [500, 700, 900, 1150, 1400])
def test_some_together_each_case_counted(memory):
    # Of four and two, half go through theirs at the same time, the shorter one stretched.
    alike = steps(
        (2.5, 2 * 100 + 64), (0.5, 2 * 100 + 1024), (1, 2 * 400 + 1024), (1, 2 * 150 + 1024), (5, 2 * 150 + 512)
    )
    guests = [ONE, ONE, OTHER, alike]
    found = held([Crowd(ONE, 4), Crowd(OTHER, 2)], memory * MIB, together=0.5)
    over, mean = enumerated(guests, memory * MIB)
    assert found.p_over == pytest.approx(over, abs=1e-9)
    assert found.mean == pytest.approx(mean, rel=1e-9)
    same = held([Crowd(ONE, 2), Crowd(OTHER, 1), Crowd(alike, 1)], memory * MIB)
    assert found.seconds == same.seconds


def test_together_are_guests_of_many_recordings_too():
    kinds = [steps((k + 1, 100), (1, 400), (10 - k, 150)) for k in range(10)]
    found = held([Crowd(each, 1) for each in kinds], 1800 * MIB, together=0.3)
    three = sum(each.at(np.arange(0, 12 * S, S)) for each in kinds[:3])
    alike = steps(*((1, size / MIB) for size in three.tolist()))
    same = held([Crowd(alike, 1), *(Crowd(each, 1) for each in kinds[3:])], 1800 * MIB)
    assert found.p_over == pytest.approx(same.p_over, rel=1e-6)
    assert found.p_over != pytest.approx(held([Crowd(each, 1) for each in kinds], 1800 * MIB).p_over, rel=1e-2)


def test_the_parked_are_not_among_those_together():
    # Three in four of eight are parked, and hold 400 MiB; half of the others are together.
    found = held([Crowd(ONE, 8, parked=0.75)], 1, together=0.5)
    seven = 7 * (6 / 7 * 400 + 1 / 7 * ONE.mean / MIB)
    assert found.mean / MIB == pytest.approx(seven + ONE.mean / MIB)


def test_how_long_and_how_much_it_is_too_much():
    found = held([Crowd(ONE, 1)], 300 * MIB)
    assert found.seconds == pytest.approx(1.0)
    assert found.depth == pytest.approx(100 * MIB, rel=1e-3)
    # Two that go up for a second in ten: their time above is a second, or up to two where they overlap.
    two = held([Crowd(ONE, 2)], 490 * MIB)
    assert two.seconds == pytest.approx((1 - 0.9**2) / (2 * 0.9 / 10), rel=1e-6)


def test_a_simulation_agrees():
    crowds = [Crowd(ONE, 5), Crowd(OTHER, 3)]
    random = np.random.default_rng(3)
    draws = 200_000
    total = np.zeros(draws, np.int64)
    for crowd in crowds:
        for _ in range(crowd.count):
            total += crowd.steps.at(random.integers(0, crowd.steps.period, draws))
    found = held(crowds, 3000 * MIB)
    share = float((total > 3000 * MIB).mean())
    assert found.p_over == pytest.approx(share, abs=4 * np.sqrt(share / draws))
    assert found.quantile(0.9) == pytest.approx(np.quantile(total, 0.9), rel=0.01)


def test_how_many_fit():
    risks = (0.3, 1e-2, 1e-6)
    for risk, count in zip(risks, fits([Crowd(ONE, 1)], 2000 * MIB, risks), strict=True):
        assert held([Crowd(ONE, count)], 2000 * MIB).p_over <= risk < held([Crowd(ONE, count + 1)], 2000 * MIB).p_over
    assert fits([Crowd(ONE, 1)], 50 * MIB, [0.5]) == [0]


def test_parked_guests_keep_what_they_held():
    assert held([Crowd(ONE, 1, parked=1.0)], 300 * MIB).p_over == pytest.approx(1.0)
    assert held([Crowd(ONE, 1, parked=0.5)], 300 * MIB).p_over == pytest.approx(0.05 + 0.5)


def test_measured_and_replayed_are_within_a_hundredth():
    trace = example()
    run = replay(trace, guest_reporting(trace), sample="50ms")
    table = measured_residency(trace)
    times, values = table["time"].to_numpy(), table["resident"].to_numpy()
    inside = times >= run.timeline["time"][0].as_py()
    measured = steps_between("measured", times[inside], values[inside])
    ours, theirs = (held([Crowd(each, 60)], 24 << 30) for each in (steps_of_run(run), measured))
    for share in (0.01, 0.5, 0.99, 0.9999):
        assert ours.quantile(share) == pytest.approx(theirs.quantile(share), rel=0.01)


def test_the_whole(tmp_path):
    trace = example()
    again = [fleet([(trace, 30)], "16GiB", ["none", "reporting"], seed=seed).to_dict() for seed in (5, 5)]
    assert again[0] == again[1]
    rows = {(row["design"], row["risk"]): row["guests"] for row in again[0]["fits"]}
    assert 0 < rows["none", 1e-4] < rows["reporting", 1e-4]
    assert rows["reporting", 1e-5] <= rows["reporting", 1e-3]
    (storm, _) = (row["0.5"] for row in again[0]["storm"])
    assert storm is None
    json.dumps(again[0], allow_nan=False)


def parquet(path, rows):
    pq.write_table(pa.table({"time": [row[0] for row in rows], "resident": [row[1] for row in rows]}), path)
    return path


def test_guests_by_their_steps_and_hours(tmp_path):
    path = parquet(tmp_path / "a.parquet", [(0, 300 * MIB), (S, 100 * MIB), (2 * S, 0)])
    night, day = Guests(path, 10, 20 * 3600.0, 6 * 3600.0), Guests(path, 20, 6 * 3600.0, 20 * 3600.0)
    found = fleet([night, day], "4GiB")
    (outcome,) = found.outcomes
    assert [(begin, end, round(each.mean / MIB)) for begin, end, each in outcome.day] == [
        (0.0, 21600.0, 2000),
        (21600.0, 72000.0, 4000),
        (72000.0, 86400.0, 2000),
    ]
    assert outcome.p_over == pytest.approx(held([Crowd(steps_of_file(path), 20)], 4 << 30).p_over * 14 / 24)
    assert max(outcome.fits.values()) < 20


@pytest.mark.parametrize(
    "rows", [[(0, 5)], [(0, 5), (0, 6)], [(1, 5), (0, 5)], [(0, -5), (1, 5)], [("x", 5), ("y", 5)], [(0, None), (1, 5)]]
)
def test_steps_that_are_none(tmp_path, rows):
    with pytest.raises(InputError, match=r"^\S*a(\.parquet)?: "):
        steps_of_file(parquet(tmp_path / "a.parquet", rows))


@pytest.mark.parametrize(
    ("more", "error"),
    [
        ({"together": 1.5}, "together 1.5"),
        ({"parked": float("nan")}, "parked nan"),
        ({"risks": [0.0]}, "a risk of 0.0"),
        ({"risks": []}, "a risk of"),
        ({"seed": -1}, "the seed -1"),
        ({"overhead": -1}, "-1 is not a size: it is negative"),
        ({"overhead": "2PiB"}, "an overhead of 2 PiB a guest: expected up to 1 PiB"),
        ({"host_memory": 0}, "a host's memory of 0 B: expected up to 1024 PiB"),
        ({"host_memory": "99999PiB"}, "a host's memory of .* PiB: expected up to 1024 PiB"),
        ({"host_memory": "x"}, "not a size"),
        ({"guests": []}, "needs guests"),
        ({"guests": [(example(), 0)]}, "the number of guests 0"),
        ({"guests": [(example(), 10**6), (example(), 1)]}, "the number of all guests 1000001"),
        ({"guests": [Guests(example(), 1, 5.0, 5.0)]}, "times of a day"),
        ({"guests": [("nowhere", 1)]}, "no such trace bundle"),
        ({"designs": ["nothing"]}, "nothing"),
    ],
)
def test_what_is_no_fleet(more, error):
    with pytest.raises(InputError, match=error):
        fleet(**{"guests": [(example(), 1)], "host_memory": 1 << 30, **more})


def test_the_command_and_its_page(tmp_path):
    path = parquet(tmp_path / "a<b>.parquet", [(0, 300 * MIB), (S, 100 * MIB), (2 * S, 0)])
    command = [sys.executable, "-m", "pagehint", "fleet", f"{path}:40@8h-18h", "--host-memory", "8GiB"]
    done = subprocess.run([*command, "--html", tmp_path / "fleet.html"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("On 8 GiB fit, at a risk of 0.0001")
    page = (tmp_path / "fleet.html").read_text()
    assert "a<b>" not in page
    assert "How many fit, at which risk" in page
    told = subprocess.run([*command, "--json", "--risk", "0.01"], capture_output=True, text=True, check=True)
    assert [row["risk"] for row in json.loads(told.stdout)["fits"]] == [0.01]
    wrong = subprocess.run([*command, "x"], capture_output=True, text=True, check=False)
    assert (wrong.returncode, wrong.stderr.count("\n")) == (2, 1)


@pytest.mark.parametrize("count", [10**4, 10**5, 10**6])
def test_many_guests_are_nearly_normal(count):
    """Of so many, what is added by dividing values between bins must not show."""
    spread = np.sqrt(ONE.weights @ (ONE.values - ONE.mean) ** 2 * count)
    for far, chance in ((-3, 0.99865), (0, 0.5), (2, 0.02275), (4, 3.167e-5)):
        found = held([Crowd(ONE, count)], int(ONE.mean * count + far * spread))
        assert found.p_over == pytest.approx(chance, rel=0.2 if count == 10**4 else 0.05, abs=1e-5)
    assert len(found.chances) <= 1 << 19
    assert held([Crowd(ONE, count)], int(ONE.mean * count + 12 * spread)).p_over == 0


def test_guests_that_hold_nothing_or_always_the_same():
    nothing, same = steps((1, 0), (1, 0)), steps((1, 100), (1, 100))
    assert fits([Crowd(nothing, 1)], 1 << 30, [1e-4]) == [MOST_GUESTS]
    assert fits([Crowd(same, 1)], 1000 * MIB, [1e-4]) == [10]
    assert (held([Crowd(same, 7)], 700 * MIB).p_over, held([Crowd(same, 7)], 700 * MIB - 1).p_over) == (0, 1)
    assert held([], 1 << 30).p_over == 0


def test_after_a_storm_all_kinds_come_back_together():
    def one(rows):
        return dataclasses.replace(ONE, back=np.array(rows, np.int64))

    quick, slow = one([(S, 60 * MIB), (2 * S, 40 * MIB)]), one([(4 * S, 100 * MIB)])
    crowds = (Crowd(quick, 9), Crowd(slow, 1), Crowd(ONE, 5))
    assert Outcome("", {}, crowds, (), (0, 0), {}).back == (1.0, 2.0, 4.0)
    assert Outcome("", {}, crowds[2:], (), (0, 0), {}).back == (None, None, None)


def test_absurd_sizes_are_sums_like_others(tmp_path):
    huge = parquet(tmp_path / "a.parquet", [(0, 1 << 62), (S, 0), (2 * S, 0)])
    for more in ({}, {"together": 0.5}, {"parked": 1.0}):
        (outcome,) = fleet([(huge, 10**6)], "64GiB", **more).outcomes
        assert outcome.p_over == pytest.approx(1.0)
        assert max(outcome.fits.values()) == 0
    same = parquet(tmp_path / "c.parquet", [(0, 1 << 62), (S, 0)])
    (outcome,) = fleet([(same, 7)], "64GiB").outcomes
    assert outcome.quantile(0.5) == pytest.approx(7 << 62)
    short = parquet(tmp_path / "b.parquet", [(0, 1 << 30), (10**6, 0)])
    (outcome,) = fleet([(short, 3)], "64GiB").outcomes
    assert (outcome.p_over, outcome.fits[1e-4]) == (0, 64)


def test_the_most_guests_of_a_fleet_are_no_result(tmp_path):
    path = parquet(tmp_path / "a.parquet", [(0, 1 << 20), (S, 1 << 20)])
    assert "1,000,000 or more as measured" in fleet_sentences(fleet([(path, 3)], "900TiB"))[0]
    assert "or more" not in fleet_sentences(fleet([(path, 3)], "1GiB"))[0]
