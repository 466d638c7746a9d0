"""The words of reports: names of runs, what is comparable with what was measured, the headline."""

from dataclasses import replace
from typing import Any

import pytest

from pagehint.replays.run import Run, is_as_recorded
from pagehint.report.words import (
    alike_lines,
    anomaly_lines,
    describe_guest,
    describe_recorded,
    design_line,
    headline,
    labels,
    seconds,
)
from pagehint.units import mib


def with_settings(run: Run, **settings: Any) -> Run:
    return replace(run, settings={**run.settings, **settings})


def with_reporting(run: Run, **reporting: Any) -> Run:
    known = {"on": True, "order": 9, "delay_ns": 2 * 10**9, "capacity": 32, "device_load_ns": None}
    return replace(run, truth={**run.truth, "reporting": {**known, **reporting}})


def test_labels_name_what_differs(runs: dict[str, Run]) -> None:
    one = runs["reporting"]
    assert labels([one]) == ["reporting"]
    assert labels(list(runs.values())) == ["none", "hinting", "reporting"]
    assert labels([one, with_settings(one, order=4), runs["none"]]) == [
        "reporting, order 9 (2 MiB)",
        "reporting, order 4 (64 KiB)",
        "none",
    ]
    assert labels([one, with_settings(one, delay=10**8, capacity=1)]) == [
        "reporting, delay 2 s, 32 blocks a batch",
        "reporting, delay 100 ms, 1 block a batch",
    ]


def test_what_labels_leave_out_is_told_of_each_design(runs: dict[str, Run]) -> None:
    """Hinting and reporting stood side by side with their own delays, 100 ms and 2 s, and nothing said so."""
    one, other = runs["reporting"], runs["hinting"]
    phase = one.design.settings["timer_phase"].words(one.settings["timer_phase"]) if one.design else ""
    assert alike_lines([runs["none"], other, one]) == [
        f"hinting: {design_line(other).removeprefix('hinting, ')}",
        f"reporting: {design_line(one).removeprefix('reporting, ')}",
    ]
    assert "delay 100 ms" in alike_lines([other])[0]
    assert alike_lines([one, with_settings(one, order=4, delay=10**8)]) == [f"reporting: {phase}, 32 blocks a batch"]
    assert alike_lines([runs["none"]]) == []


def test_what_was_measured_is_compared_with_the_same_settings_only(runs: dict[str, Run]) -> None:
    reporting, none = runs["reporting"], runs["none"]
    assert is_as_recorded(reporting)
    assert not is_as_recorded(none)
    assert not is_as_recorded(runs["hinting"])
    for changed in ({"order": 4}, {"delay": 10**9}, {"capacity": 1}, {"host_memory": 1 << 28}):
        assert not is_as_recorded(with_settings(reporting, **changed))
    assert is_as_recorded(with_reporting(none, on=False))
    assert not is_as_recorded(with_settings(with_reporting(none, on=False), host_memory=1 << 28))
    assert not is_as_recorded(with_reporting(reporting, on=False))
    assert is_as_recorded(with_reporting(reporting, order=None, delay_ns=None, capacity=None))
    assert not is_as_recorded(replace(reporting, truth={}))


def test_a_host_with_less_memory_is_told_from_the_recorded(runs: dict[str, Run]) -> None:
    """What was measured was not comparable since the guest "ran with free page reporting, order 9": as this run did."""
    run = runs["reporting"]
    assert describe_recorded(run) == "with free page reporting, order 9, delay 2 s"
    less = with_settings(run, host_memory=1 << 28)
    assert describe_recorded(less) == "with free page reporting, order 9, delay 2 s, on a host with enough memory"


def test_headlines(runs: dict[str, Run]) -> None:
    run = runs["reporting"]
    assert headline(runs["none"]) == "Without hinting, what was resident once stays resident"
    assert headline(run).startswith("After anon400_thp1_freed, 364 MiB come back in two passes, 90 % of it within")
    busy = [{**phase, "fall": 0} for phase in run.phases]
    assert headline(replace(run, phases=busy)) == "During anon400_thp1_freed, 364 MiB come back in two passes"
    assert headline(replace(run, phases=[])) == "1,256 MiB come back"
    nothing = replace(run, phases=[], totals=replace(run.totals, given_back=0))
    assert headline(nothing) == "Nothing comes back"


def test_a_guest_of_unknown_cpus_has_not_none(runs: dict[str, Run]) -> None:
    run = runs["none"]
    assert ", 1 CPU: " in describe_guest(run)
    assert ", CPUs not recorded: " in describe_guest(replace(run, recording={**run.recording, "cpus": None}))


def test_every_anomaly_has_words(runs: dict[str, Run]) -> None:
    from pagehint.replays.placing import ANOMALY_NAMES

    run = replace(runs["none"], anomalies=dict.fromkeys(ANOMALY_NAMES, 1234))
    lines = anomaly_lines(run)
    assert len(lines) == len(ANOMALY_NAMES)
    for line in lines:
        assert line.startswith("1,234 ")
        assert not any(line == f"1,234 {name}" for name in ANOMALY_NAMES)
    (one,) = anomaly_lines(replace(run, anomalies={"allocated without an event (in bulk)": 1}))
    assert one.startswith("1 page was freed that no event had allocated")


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 MiB"),
        (0.45, "< 0.001 MiB"),
        (4096, "0.0039 MiB"),
        (5 << 19, "2.5 MiB"),
        (1 << 31, "2,048 MiB"),
        (-1 << 31, "-2,048 MiB"),
    ],
)
def test_sizes(size: float, text: str) -> None:
    """A mean of less than a byte was 4.3e-07 MiB, and one below zero -2e+03 MiB."""
    assert mib(size) == text


def test_seconds() -> None:
    assert [seconds(time) for time in (None, 0, 2_034_999_999)] == ["-", "0.00 s", "2.03 s"]


def test_a_setting_of_nothing_is_told(runs: dict[str, Run]) -> None:
    """An order or a delay of 0 was left out, as what is off is."""
    assert design_line(with_settings(runs["reporting"], order=0, delay=0)).startswith(
        "reporting, order 0 (4 KiB), delay 0 ns"
    )
