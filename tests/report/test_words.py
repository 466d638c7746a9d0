"""The words of reports: names of runs, what is comparable with what was measured, the headline."""

from dataclasses import replace
from io import StringIO
from typing import Any

import pytest
from rich.console import Console

from pagehint.replays.run import Run, is_as_recorded
from pagehint.report.compare import print_runs
from pagehint.report.html import page_of
from pagehint.report.terminal import print_run
from pagehint.report.words import anomaly_lines, headline, labels
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


def test_what_was_measured_is_compared_with_the_same_settings_only(runs: dict[str, Run]) -> None:
    reporting, none = runs["reporting"], runs["none"]
    assert is_as_recorded(reporting)
    assert not is_as_recorded(none)
    assert not is_as_recorded(runs["hinting"])
    for changed in ({"order": 4}, {"delay": 10**9}, {"capacity": 1}, {"host_memory": 1 << 28}):
        assert not is_as_recorded(with_settings(reporting, **changed))
    assert is_as_recorded(with_reporting(none, on=False))
    assert not is_as_recorded(with_reporting(reporting, on=False))
    assert is_as_recorded(with_reporting(reporting, order=None, delay_ns=None, capacity=None))
    assert not is_as_recorded(replace(reporting, truth={}))


def test_headlines(runs: dict[str, Run]) -> None:
    run = runs["reporting"]
    assert headline(runs["none"]) == "Without hinting, what was resident once stays resident"
    assert headline(run).startswith("After anon400_thp1_freed, 364 MiB come back in two passes, 90 % of it within")
    busy = [{**phase, "fall": 0} for phase in run.phases]
    assert headline(replace(run, phases=busy)) == "During anon400_thp1_freed, 364 MiB come back in two passes"
    assert headline(replace(run, phases=[])) == "1,256 MiB come back"
    nothing = replace(run, phases=[], totals=replace(run.totals, given_back=0))
    assert headline(nothing) == "Nothing comes back"


def test_every_anomaly_has_words(runs: dict[str, Run]) -> None:
    from pagehint.replays.engine import ANOMALY_NAMES

    run = replace(runs["none"], anomalies=dict.fromkeys(ANOMALY_NAMES, 1234))
    lines = anomaly_lines(run)
    assert len(lines) == len(ANOMALY_NAMES)
    for line in lines:
        assert line.startswith("1,234 ")
        assert not any(line == f"1,234 {name}" for name in ANOMALY_NAMES)


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0 MiB"), (4096, "0.0039 MiB"), (5 << 19, "2.5 MiB"), (1 << 31, "2,048 MiB")]
)
def test_sizes(size: int, text: str) -> None:
    assert mib(size) == text


def test_warnings_come_first_on_the_screen_and_stand_out_on_the_page(runs: dict[str, Run]) -> None:
    lost = replace(runs["reporting"], recording={**runs["reporting"].recording, "warnings": ["10 <events> were lost"]})
    console = Console(width=100, file=StringIO(), highlight=False)
    print_run(console, lost, runs["none"])
    print_runs(console, [lost, lost], runs["none"])
    screen = console.file.getvalue()  # type: ignore[attr-defined]
    assert screen.count("Warning: 10 <events> were lost.") == 2
    assert screen.index("Warning: ") < screen.index("come back")
    page = page_of([lost], runs["none"])
    assert page.index('<div class="warning">') < page.index("<section>")
    assert "<li>10 &lt;events&gt; were lost.</li>" in page
    assert '<div class="warning">' not in page_of([runs["reporting"]], runs["none"])


def test_designs_side_by_side_fit_a_terminal(runs: dict[str, Run]) -> None:
    console = Console(width=80, file=StringIO(), highlight=False)
    several = [
        replace(run, totals=replace(run.totals, best_possible=0.0491, refaults=16_358, blocks=11_909, given_back=2**33))
        for run in runs.values()
    ]
    print_runs(console, several, runs["none"])
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert max(map(len, lines)) <= 80
    first = lines.index("What came back, and what it cost")
    costs = lines[first : lines.index("", first)]
    for name in runs:
        assert sum(line.startswith(f"{name} ") for line in costs) == 1  # all of its figures in one line
