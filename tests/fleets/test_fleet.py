"""Fleets of guests by their recordings and files, against what was measured; what is no fleet; the command."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pagehint.errors import InputError
from pagehint.fleets.fits import fits
from pagehint.fleets.fleet import Guests, Outcome, fleet
from pagehint.fleets.steps import steps_between, steps_of_file, steps_of_run
from pagehint.fleets.superpose import Crowd, held
from pagehint.replays.replay import replay
from pagehint.replays.start import guest_reporting
from pagehint.replays.study import Ground
from pagehint.replays.truth import measured_residency
from pagehint.report.fleet import fleet_page, fleet_sentences
from pagehint.trace import Meta
from pagehint.trace.meta import GuestReporting
from pagehint.trace.shipped import example
from tests.fleets.guests import MIB, ONE, S, parquet
from tests.replays.recording import record, zone


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


def test_what_is_warned_of_is_said_of_its_recording_and_of_each_design(tmp_path: Path) -> None:
    """Of two recordings nobody knew whose events were missing; and what only a design's run rests on was not said."""
    reporting = GuestReporting(True, order=9, delay_ns=2 * S, device_load_ns=0)
    meta = Meta(recorder="test", source="test", reporting=reporting)
    rows = [("Z", k, 0, 0) for k in range(200)]
    traces = [record(tmp_path / name, rows, [zone(4096)], meta) for name in ("web", "batch")]
    warnings = fleet([(trace, 1) for trace in traces], "1GiB", ["none", "reporting"]).warnings
    ticks = [line.partition(": how many ticks a second")[0] for line in warnings if "ticks a second" in line]
    assert ticks == ["web", "batch"]
    assert all(line.startswith(("web: ", "batch: ", "web, batch: ")) for line in warnings)
    assert len(set(warnings)) == len(warnings)


def test_progress_is_told_of_as_much_as_was_said_before(tmp_path: Path) -> None:
    """The command's bar had no end, for half a minute."""
    trace = record(tmp_path / "web", [("Z", k, 0, 0) for k in range(200)], [zone(4096)])
    told: list[tuple[str, int]] = []
    shown = {
        "progress": lambda events: told.append(("done", events)),
        "total": lambda events: told.append(("all", events)),
    }
    fleet([(trace, 1)], "1GiB", ["none", "reporting"], workers=1, **shown)
    assert told[0] == ("all", sum(events for _, events in told[1:]))


def test_an_interval_is_of_the_whole_day(tmp_path):
    """It was of the worst hours alone: above the host all the time, 0.42 to 0.42 of it."""
    path = parquet(tmp_path / "a.parquet", [(0, 300 * MIB), (S, 300 * MIB)])
    (outcome,) = fleet([Guests(path, 10), Guests(path, 20, 8 * 3600.0, 18 * 3600.0)], "2GiB").outcomes
    assert outcome.p_over == pytest.approx(1)
    assert outcome.interval == pytest.approx((1, 1))


def test_guests_that_hold_nothing_have_a_worst_time_of_day(tmp_path):
    """The night, when none of them runs, was it: a division by none."""
    path = parquet(tmp_path / "a.parquet", [(0, 0), (S, 0)])
    (outcome,) = fleet([Guests(path, 1, 8 * 3600.0, 18 * 3600.0)], "1GiB").outcomes
    assert set(outcome.fits.values()) == {10**6}


@pytest.mark.parametrize(
    ("more", "error"),
    [
        ({"together": 1.5}, "together 1.5"),
        ({"parked": float("nan")}, "parked nan"),
        ({"risks": [0.0]}, "a risk of 0.0"),
        ({"risks": []}, "a risk of"),
        ({"seed": -1}, "the seed -1"),
        ({"overhead": -1}, "-1 is not a size: it is negative"),
        ({"overhead": "2PiB"}, "overhead '2PiB' of a guest: expected up to 1 PiB"),
        ({"host_memory": 0}, "host memory 0: expected 1 B to 1024 PiB"),
        ({"host_memory": "2000PiB"}, "host memory '2000PiB': expected 1 B to 1024 PiB"),
        ({"host_memory": "x"}, "not a size"),
        ({"guests": []}, "needs guests"),
        ({"guests": [(example(), 0)]}, "the number of guests 0"),
        ({"guests": [(example(), 10**6), (example(), 1)]}, "the number of all guests 1000001"),
        ({"guests": [Guests(example(), 1, 5.0, 5.0)]}, "times of a day"),
        ({"guests": [("nowhere", 1)]}, "no such trace bundle"),
        ({"designs": ["nothing"]}, "nothing"),
        ({"guests": example()}, "<Trace phased.* is no guests: expected a recording and how many"),
        ({"guests": None}, "None is no guests"),
        ({"guests": ["web.pagetrace:40"]}, "'web.pagetrace:40' is no guests"),
        ({"guests": [(None, 1)]}, "None is no recording"),
        ({"guests": [Guests(example(), 1, "8h", "18h")]}, "times of a day"),
        ({"together": "1"}, "together '1'"),
        ({"parked": None}, "parked None"),
        ({"risks": 2}, "a risk of 2"),
        ({"risks": ["1e-3"]}, "a risk of '1e-3'"),
        ({"settings": [("order", 9)]}, "settings .* expected values by name"),
        ({"measured": True, "designs": ["breakeven"]}, "no recording is replayed here"),
        ({"measured": True, "settings": {"order": 9}}, "no recording is replayed here"),
        ({"measured": True, "ground": Ground("4KiB")}, "no recording is replayed here"),
        ({"ground": "4KiB"}, "expected a Ground"),
    ],
)
def test_what_is_no_fleet(more, error):
    with pytest.raises(InputError, match=error):
        fleet(**{"guests": [(example(), 1)], "host_memory": 1 << 30, **more})


def test_one_is_given_as_several_are(tmp_path):
    """Of one text each letter was a design, and one number was none to go through."""
    path = parquet(tmp_path / "a.parquet", [(0, 300 * MIB), (S, 100 * MIB), (2 * S, 0)])
    one, several = fleet(Guests(path, 10), "2GiB", risks=0.01), fleet([Guests(path, 10)], "2GiB", risks=[0.01])
    assert one.to_dict() == several.to_dict()
    numpy = fleet([(path, np.int64(10))], "2GiB", risks=np.array([0.01]))
    assert json.dumps(numpy.to_dict()) == json.dumps(several.to_dict())


def test_the_command_and_its_page(tmp_path):
    path = parquet(tmp_path / "a<b>.parquet", [(0, 300 * MIB), (S, 100 * MIB), (2 * S, 0)])
    command = [sys.executable, "-m", "pagehint", "fleet", f"{path}:40@8h-18h", "--host-memory", "8GiB"]
    done = subprocess.run([*command, "--html", tmp_path / "fleet.html"], capture_output=True, text=True, check=True)
    said = " ".join(done.stdout.split())
    assert said.startswith(
        "On 8 GiB fit, at a risk of 0.0001 (the share of time in which more is held than there is): "
    )
    page = (tmp_path / "fleet.html").read_text()
    assert "a<b>" not in page
    assert "How many fit, at which risk" in page
    told = subprocess.run([*command, "--json", "--risk", "0.01"], capture_output=True, text=True, check=True)
    assert [row["risk"] for row in json.loads(told.stdout)["fits"]] == [0.01]
    wrong = subprocess.run([*command, "x"], capture_output=True, text=True, check=False)
    assert (wrong.returncode, wrong.stderr.count("\n")) == (2, 1)
    command[4] = f"{path}:40@noon-18h"
    wrong = subprocess.run(command, capture_output=True, text=True, check=False)
    assert wrong.returncode == 2
    assert wrong.stderr == f"pagehint: {path}:40@noon-18h: expected times of a day after @, such as @8h-18h\n"


def test_after_a_storm_all_kinds_come_back_together():
    def one(rows):
        return dataclasses.replace(ONE, back=np.array(rows, np.int64))

    quick, slow = one([(S, 60 * MIB), (2 * S, 40 * MIB)]), one([(4 * S, 100 * MIB)])
    crowds = (Crowd(quick, 9), Crowd(slow, 1), Crowd(ONE, 5))
    assert Outcome("", {}, "", crowds, (), (0, 0), {}).back == (1.0, 2.0, 4.0)
    assert Outcome("", {}, "", crowds[2:], (), (0, 0), {}).back == (None, None, None)


def test_guests_hold_the_overhead_too_and_the_parked_what_they_held(tmp_path):
    path = parquet(tmp_path / "a.parquet", [(0, 300 * MIB), (S, 100 * MIB), (2 * S, 0)])
    (outcome,) = fleet([(path, 10)], "4GiB", overhead="50MiB", parked=0.5).outcomes
    assert outcome.mean / MIB == pytest.approx(10 * (0.5 * 200 + 0.5 * 300 + 50), abs=0.1)
    (outcome,) = fleet([(path, 10)], "4GiB", overhead="50MiB").outcomes
    assert outcome.quantile(0.5) / MIB == pytest.approx(10 * (200 + 50), abs=0.1)


def test_swap_is_what_is_beyond_the_hosts_memory_but_for_a_ten_thousandth_of_the_time(tmp_path):
    path = parquet(tmp_path / "a.parquet", [(0, 300 * MIB), (S, 100 * MIB), (2 * S, 0)])
    (row,) = fleet([(path, 10)], "2GiB").to_dict()["p_over"]  # all ten hold 300 MiB for 1 in 1,024
    assert row["swap"] / MIB == pytest.approx(3000 - 2048, abs=0.1)


def test_a_risk_is_of_the_whole_day(tmp_path):
    path = parquet(tmp_path / "a.parquet", [(0, 300 * MIB), (S, 100 * MIB), (2 * S, 0)])
    (outcome,) = fleet(Guests(path, 10, 0.0, 6 * 3600.0), "4GiB", risks=0.01).outcomes
    less, more = fits([Crowd(steps_of_file(path), 10)], 4 << 30, [0.01, 0.04])
    assert less < more == outcome.fits[0.01]


def test_those_that_are_not_parked_wait_for_faults():
    faults = dataclasses.replace(ONE, fault_time=2 * S)
    crowds = Crowd(faults, 9, parked=1 / 3), Crowd(ONE, 5)
    assert Outcome("", {}, "", crowds, (), (0, 0), {}).stalled == pytest.approx(6 * 3600 * 2 / 10)


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


def test_risks_are_written_as_people_read_them(tmp_path):
    """One of 1e-05 was broken behind its e, in a table's head."""
    path = parquet(tmp_path / "a.parquet", [(0, 1 << 20), (S, 1 << 20)])
    found = fleet([(path, 3)], "1GiB", risks=(1e-3, 1e-5))
    assert "1e-05" not in fleet_page(found)
    assert "fit at 0.00001" in " ".join(fleet_page(found).replace("<br>", " ").split())


def test_each_setting_has_a_label_of_its_own(tmp_path: Path) -> None:
    """A device's, and those of a design from outside the package, were left out: lines looked alike."""
    own = tmp_path / "own.py"
    own.write_text(
        "from pagehint import PageReporting, Setting\n\n"
        "class Mine(PageReporting):\n"
        "    label = 'mine'\n"
        "    few = Setting.count(2, 'Few.')\n"
    )
    settings = {"few": [3, 4], "capacity": [32, 256]}
    found = fleet([Guests(example(), 2)], "4GiB", [f"{own}:Mine", "none"], settings)
    labels = [outcome.label for outcome in found.outcomes]
    assert labels == [f"mine, few {few}, {each} blocks" for few in (3, 4) for each in (32, 256)] + ["none"]
    assert found.outcomes[0].settings == {"few": 3, "capacity": 32}
