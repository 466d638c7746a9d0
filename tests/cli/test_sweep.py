"""`pagehint sweep`: rows equal single runs, the front, the best at a price and within a budget, and going on."""

import json
import os
import re
import shutil
import signal
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import pagehint as ph
from pagehint.errors import InputError
from pagehint.hinting.designs.breakeven import BreakEven
from pagehint.hinting.designs.registry import all_settings
from pagehint.replays.replay import replay
from pagehint.replays.sweep import Budget, sweep
from pagehint.report.chart_style import COLOURS, FAINT, RUN_COLOURS
from pagehint.report.sweep import sweep_page
from pagehint.trace.shipped import example
from tests.cli.test_run import SHIPPED, as_json
from tests.command import COMMAND, pagehint
from tests.replays.recording import record, zone

SMALL = (
    "--design",
    "reporting,hinting",
    "--order",
    9,
    "--order",
    4,
    "--delay",
    "20ms",
    "--delay",
    "2s",
    "--capacity",
    32,
)


@pytest.fixture(scope="module")
def small() -> dict[str, Any]:
    ended = pagehint("sweep", *SMALL, "--price", 15, "--price", 1.5, "--at-most-refaults", 1000, "--json")
    assert ended.returncode == 0, ended.stderr
    found: dict[str, Any] = json.loads(ended.stdout)
    return found


def time_of(row: dict[str, Any]) -> int:
    time: int = row["guest_time"] + row["host_time"]
    return time


def test_rows_are_single_runs(small: dict[str, Any]) -> None:
    assert [row["design"] for row in small["rows"]] == ["reporting"] * 4 + ["hinting"] * 4 + ["none"]
    single = as_json("--design", "hinting", "--order", 4, "--delay", "20ms")
    row = next(row for row in small["rows"] if row["settings"] == {**single["settings"], "sample": None})
    totals = single["totals"]
    for name in ("footprint", "ideal_footprint", "cost", "refaults", "given_back", "blocks"):
        assert row[name] == totals[name]
    assert row["guest_time"] == totals["refault_time"] + totals["allocation_delay"]
    assert row["host_time"] == totals["device_time"]
    own = as_json()["totals"]
    assert small["present"][0]["cost"] == own["cost"]


def test_the_hosts_khugepaged() -> None:
    asked = ("--design", "reporting", "--order", 9, "--delay", "2s", "--capacity", 32, "--khugepaged", "--json")
    ended = pagehint("sweep", "--host-page-size", "THP", *asked)
    assert ended.returncode == 0, ended.stderr
    row = json.loads(ended.stdout)["rows"][0]
    single = as_json("--order", 9, "--delay", "2s", "--host-page-size", "THP", "--khugepaged")
    assert row["settings"]["khugepaged"]
    assert row["footprint"] == single["totals"]["footprint"]
    refused = pagehint("sweep", "--host-page-size", "4KiB", *asked)
    assert refused.returncode == 2
    assert "khugepaged makes huge pages of a THP host's small ones" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_the_front_and_the_best(small: dict[str, Any]) -> None:
    rows, front = small["rows"], small["front"]
    for one in front:
        assert not any(row["footprint"] < one["footprint"] and time_of(row) <= time_of(one) for row in rows)
    for row in rows:
        assert any(one["footprint"] <= row["footprint"] and time_of(one) <= time_of(row) for one in front)
    for best, price in zip(small["best"][:2], (15, 1.5), strict=True):
        costs = [price * (row["footprint"] - row["ideal_footprint"]) + time_of(row) / 1e9 for row in rows]
        assert best["price"] == price
        assert best["cost"] == min(costs)
        assert best["regret"] == {"phased": 0}
        settings = {"design": best["design"], **best["settings"]}
        (row,) = [row for row in rows if settings.items() <= row["settings"].items()]
        bound = best["best_possible"]
        assert best["regret_possible"] == best["cost"] / bound - 1
        # As a run at that price has it, though only the first is the rows'.
        assert (bound == row["best_possible"]) == (price == 15)
        assert bound <= row["best_possible"] <= bound * 15 / price
        settable = [
            cost
            for cost, row in zip(costs, rows, strict=True)
            if row["design"] == "none" or (row["design"], row["settings"]["delay"]) == ("reporting", 2 * 10**9)
        ]
        assert best["released"]["cost"] == min(settable)
    within = small["best"][2]
    kept = [row for row in rows if row["refaults"] <= 1000 and row["design"] != "none"]
    assert 0 < len(kept) < len(rows) - 1
    assert within["budget"] == {"refaults": 1000}
    assert within["footprint"] == min(row["footprint"] for row in kept)
    assert within["least"] == {"refaults": min(row["refaults"] for row in rows if row["design"] != "none")}


def test_it_goes_on_where_it_was(tmp_path: Path) -> None:
    folder = tmp_path / "kept"
    command = ("sweep", *SMALL[2:], "--design", "reporting", "--out", folder, "--json")
    whole = pagehint(*command)
    rows = folder / "rows.jsonl"
    lines = rows.read_bytes().splitlines(keepends=True)
    assert len(lines) == 5  # the guest's own settings are among the others
    rows.write_bytes(b"".join(lines[:2]) + lines[2][:50])  # interrupted as it was written
    assert pagehint(*command).stdout == whole.stdout
    assert sorted(rows.read_bytes().splitlines(keepends=True)) == sorted(lines)
    assert pagehint(*command).stdout == whole.stdout
    assert len(rows.read_bytes().splitlines()) == 5
    rows.write_text("nothing of the kind\n")
    ended = pagehint(*command)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "not a sweep's" in ended.stderr


def test_a_recording_whose_name_is_not_utf_8(tmp_path: Path) -> None:
    """Its rows could not be kept: a traceback."""
    recording = os.fsencode(tmp_path) + b"/\xff.pagetrace"
    shutil.copytree(os.fsencode(example().path), recording)
    ended = pagehint("sweep", os.fsdecode(recording), *SMALL[-4:], "--design", "reporting", "--out", tmp_path / "kept")
    assert ended.returncode == 0, ended.stderr
    assert (tmp_path / "kept" / "rows.jsonl").stat().st_size


def test_the_screen_and_the_page(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    ended = pagehint("sweep", SHIPPED, *SMALL, "--html", page, width=80)
    assert ended.returncode == 0, ended.stderr
    said = " ".join(ended.stdout.split())
    assert "At 15 CPU seconds a GiB·min: " in said
    assert ", and the best possible " in said
    assert "as recorded (reporting, order 9 (2 MiB), delay 2 s, 32 blocks)" in said
    assert "The best that a kernel before 7.3 can be set to at 15: reporting, order " in said
    lines = ended.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    head = next(number for number, line in enumerate(lines) if line.startswith("No setting has both"))
    front = [line for line in lines[head + 3 :] if line]
    assert len(front) > 2
    for line in front:  # settings and figures in one line
        assert line.startswith("no hinting ") or re.search(
            r", order \d+, delay [0-9.]+ m?s, 32 blocks +\d\.\d{3} ", line
        )
    written = page.read_text(encoding="utf-8")
    assert "At 15 CPU seconds a GiB·min: " in written
    assert ": <code>pagehint calibrate</code> measures this machine&#x27;s.</p>" in written
    assert "<b>Warnings</b>" not in written
    (drawn,) = re.findall('id="figures">(.*?)</script>', written)
    looks = [trace["marker"] for trace in json.loads(drawn)["front"]["data"]]
    assert {look["color"] for look in looks} <= {*RUN_COLOURS, FAINT, COLOURS["measured"]}
    assert len({look["symbol"] for look in looks}) == len(looks)


def test_each_price_is_answered_in_large_print(tmp_path: Path) -> None:
    """All but the first were a note."""
    page = tmp_path / "page.html"
    prices = ("--price", 5, "--price", 15, "--at-most-refaults", 100)
    ended = pagehint("sweep", SHIPPED, *SMALL, *prices, "--html", page)
    assert ended.returncode == 0, ended.stderr
    leads = re.findall('<p class="lead">(At 5|At 15|With 100 faults) .*?</p>', page.read_text(encoding="utf-8"))
    assert sorted(leads) == ["At 15", "At 5", "With 100 faults"]


def test_of_several_recordings_it_says_which_loses_most() -> None:
    """That none lost more than 74.6 % read as if that were little."""
    ended = pagehint("sweep", SHIPPED, example("pandas").path, "--design", "reporting", "--order", 9, "--order", 4)
    assert ended.returncode == 0, ended.stderr
    said = " ".join(ended.stdout.split())
    assert re.search(r"; (phased|pandas) loses most against its own best, [0-9.]+ %", said), said


def test_without_hinting_is_a_row_a_recording() -> None:
    """Named too, it was there twice, and cost twice what it does."""
    found = sweep(example(), ["none", "reporting"], {"order": 9, "delay": "2s", "capacity": 32})
    assert [row["design"] for row in found.rows] == ["reporting", "none"]
    alone = sweep(example(), "none")
    assert alone.best[0]["cost"] == alone.rows[0]["cost"] == found.rows[1]["cost"]


@pytest.mark.parametrize("command", [["sweep", SHIPPED], ["fleet", f"{SHIPPED}:3", "--host-memory", "4GiB"]])
def test_a_design_that_is_named_twice_is_refused(command: list[object]) -> None:
    """A sweep ended in an IndexError, and a fleet had its rows twice."""
    ended = pagehint(*command, "--design", "reporting", "--design", "reporting", "--order", 9, "--delay", "2s")
    told = "pagehint: --design: reporting is there twice: name each once\n"
    assert (ended.returncode, ended.stdout, ended.stderr) == (2, "", told)
    for call in (lambda: sweep(example(), 2 * ["hinting"]), lambda: ph.fleet([(example(), 2)], "1GiB", 2 * ["none"])):
        with pytest.raises(InputError, match="is there twice"):
            call()


def test_a_setting_that_is_each_recordings_best_loses_nothing() -> None:
    """One lost most, 0.0 %."""
    ended = pagehint("sweep", SHIPPED, example("pandas").path, "--design", "none")
    assert ended.returncode == 0, ended.stderr
    assert "; for each recording alone it is the best too" in " ".join(ended.stdout.split())


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["nothing.pagetrace"], "no such trace bundle"),
        ([SHIPPED, SHIPPED], "two recordings have the same name"),
        (["--design", "magic"], "--design: 'magic' is no design"),
        (["--order", "11", "--design", "hinting"], "--order 11: expected a whole number, 0 to 10"),
        (["--set", "age=3", "--design", "reporting,hinting"], "--set age is no setting of reporting or hinting"),
        (["--at-most-slowdown", "much"], "--at-most-slowdown: 'much' is not a share: expected 0 to 1, or percent"),
        (["--give-back-within", "soon"], "--give-back-within: 'soon' is not a time"),
        (["--workers", "0"], "workers 0: expected 1"),
        (["--at-most-refaults", "-1"], "the most faults again -1: expected 0 to"),
        (["--price", "-3"], "a price of -3.0: expected"),
        (["--out", "/dev/null"], "choose another folder"),
        (["--out", "s.parquet"], "s.parquet: ends like a file: rows are kept in a folder, name one, such as s"),
        (["--out", "s.CSV"], "s.CSV: ends like a file"),
    ],
)
def test_what_is_no_sweep(arguments: list[Any], says: str) -> None:
    ended = pagehint("sweep", *arguments)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert says in ended.stderr
    assert ended.stderr.count("\n") == 1


def test_a_folder_whose_rows_are_none(tmp_path: Path) -> None:
    """A cost that is no number and a column that is missing were tracebacks, and a pipe was waited for."""
    command = ("sweep", *SMALL[2:], "--design", "reporting", "--out", tmp_path)
    assert pagehint(*command).returncode == 0
    rows = tmp_path / "rows.jsonl"
    first, *rest = rows.read_text().splitlines()
    for key, value in (("cost", float("nan")), ("footprint", float("inf")), ("settings", [])):
        kept = json.loads(first)
        kept["row"][key] = value
        rows.write_text("\n".join((json.dumps(kept), *rest, "")))
        ended = pagehint(*command)
        assert (ended.returncode, ended.stderr) == (2, f"pagehint: {rows}: not a sweep's: choose another folder\n")
    del kept["row"]["cost"]
    rows.write_text(json.dumps(kept) + "\n")
    assert pagehint(*command).returncode == 2
    rows.unlink()
    os.mkfifo(rows)
    ended = pagehint(*command)
    assert (ended.returncode, ended.stderr.count("\n")) == (2, 1)


def test_ctrl_c_keeps_what_is_done(tmp_path: Path) -> None:
    rows, sent = tmp_path / "rows.jsonl", []
    settings = {"order": [9, 6, 3, 0], "delay": ["20ms", "2s"], "capacity": [32]}

    def interrupt(_: int) -> None:
        if not sent and rows.exists() and rows.read_bytes().count(b"\n") >= 2:
            sent.append(True)
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        sweep([ph.example()], ["reporting"], settings, out=tmp_path, progress=interrupt)
    kept = rows.read_bytes().splitlines()
    assert 2 <= len(kept) < 9
    whole = sweep([ph.example()], ["reporting"], settings, out=tmp_path)
    assert rows.read_bytes().splitlines()[: len(kept)] == kept
    assert whole == sweep([ph.example()], ["reporting"], settings)


def test_one_sweep_a_folder_at_a_time(tmp_path: Path) -> None:
    """Both ran, and the rows were there twice."""
    settings = {"order": [9], "delay": ["1s"], "capacity": [32]}
    refused: list[str] = []

    def another(_: int) -> None:
        if not refused:
            with pytest.raises(InputError) as raised:
                sweep([ph.example()], ["reporting"], settings, out=tmp_path)
            refused.append(str(raised.value))

    first = sweep([ph.example()], ["reporting"], settings, out=tmp_path, progress=another)
    assert refused == [f"{tmp_path / 'rows.jsonl'}: another sweep writes it: wait for it, or choose another folder"]
    assert sweep([ph.example()], ["reporting"], settings, out=tmp_path) == first


def test_a_budget_that_none_keeps_to_tells_what_there_is() -> None:
    settings = {"order": [9], "delay": ["1s"], "capacity": [32]}
    budget = Budget(refaults=1, slowdown=0.01, within=10**6)
    (_, within) = sweep([ph.example()], ["reporting"], settings, budget=budget).best
    assert within["design"] is None
    ours = sweep([ph.example()], ["reporting"], settings).rows[0]
    assert within["least"] == {
        "refaults": ours["refaults"],
        "slowdown": ours["guest_time"] / ours["duration"],
        "within": ours["wait_p99"],
    }
    command = ("sweep", "--design", "reporting", "--order", 9, "--delay", "1s", "--at-most-refaults", 1)
    said = " ".join(pagehint(*command).stdout.split())
    told = f"the least that any takes, each for itself: {ours['refaults']:,} faults again"
    assert f"With 1 fault again at the most, least memory is held with: no setting; {told}" in said


def test_what_gives_nothing_back_is_no_hinting() -> None:
    """Order 10 with 256 blocks is more than this guest's zones have in reserve."""
    front = sweep([ph.example()], ["reporting"], {"order": [10], "delay": ["1s"], "capacity": [256]}).front
    assert [row["design"] for row in front] == ["none"]


def test_in_python() -> None:
    found = sweep(
        [ph.example()], ["reporting"], {"order": [9], "delay": ["1s"], "capacity": [32]}, budget=Budget(within=10**9)
    )
    assert [row["settings"]["delay"] for row in found.rows] == [10**9, None]
    assert found.best[0]["price"] == 15
    assert found.best[1]["budget"] == {"within": 10**9}


def test_the_own_settings_of_each_recording_are_told() -> None:
    """Those of the first stood for all."""
    found = sweep(ph.example(), "reporting", {"order": 9, "delay": "1s", "capacity": 32})
    (row,) = found.present
    other = {**row, "settings": {**row["settings"], "order": 4}}
    page = sweep_page(replace(found, present=[row, other, row]), all_settings(), []).replace("\xa0", " ")
    each = [f"reporting, order {order}, delay 2 s, 32 blocks" for order in ("9 (2 MiB)", "4 (64 KiB)")]
    assert f", as recorded ({'; or '.join(each)}) it is " in page


def test_one_is_given_as_several_are() -> None:
    """Of one text each letter was a recording, a design or a delay."""
    one = sweep(str(ph.example().path), "reporting", {"order": 9, "delay": "1s", "capacity": 32}, 1.5)
    several = sweep([ph.example()], ["reporting"], {"order": [9], "delay": ["1s"], "capacity": [32]}, [1.5])
    assert one.to_dict() == several.to_dict()


_PRICED = (("--price", "1.5"), ("--set", "price=1.5"))


def test_a_design_that_has_a_price_goes_by_each_that_is_asked_for() -> None:
    trace = example()
    found = sweep([trace], ["breakeven", "none"], {"capacity": [32]}, [15.0, 1.5])
    rows = {row["settings"]["price"]: row for row in found.rows if row["design"] == "breakeven"}
    for price, row in rows.items():
        alone = replay(trace, BreakEven(price=price), price=15.0)
        assert row["footprint"] == alone.totals.footprint
        assert row["settings"]["cost_price"] == 15.0
    assert set(rows) == {15.0, 1.5}
    assert len({row["footprint"] for row in rows.values()}) == 2
    # One price, of the run and so of the design, unless that has its own.
    runs = [json.loads(pagehint("run", "--design", "breakeven", *more, "--json").stdout) for more in _PRICED]
    assert [(run["settings"]["price"], run["settings"]["cost_price"]) for run in runs] == [(1.5, 1.5), (1.5, 15.0)]
    assert runs[0]["totals"]["footprint"] == runs[1]["totals"]["footprint"] == rows[1.5]["footprint"]


def test_designs_without_an_order() -> None:
    assert [row["design"] for row in sweep([example()], ["none"]).rows] == ["none"]


def test_what_a_recording_does_not_tell_is_said_as_a_run_says_it(tmp_path: Path) -> None:
    """Nothing was, but of recordings at zone level."""
    rows = [("A", 512 * k, 9, 0) for k in range(8)] + [("F", 512 * k, 9, 0) for k in range(8)]
    trace = record(tmp_path / "bare.pagetrace", rows, [zone(1 << 15)])
    lines = replay(trace, ph.guest_reporting(trace), sample=None).recording["warnings"]
    assert any("no zone events were recorded" in line for line in lines)
    for _ in range(2):  # the second time from what was kept
        found = sweep(trace, "reporting", {"order": [0, 9], "delay": "2s", "capacity": 32}, out=tmp_path / "rows")
        assert found.warnings == [f"bare: {line}" for line in lines]
        assert all("warnings" not in row for row in (*found.rows, *found.present))


def _late(by: str, label: str = "") -> type[ph.Design]:
    class Late(ph.PageReporting):
        def schedule(self, delay: int) -> None:
            super().schedule(delay * int(by))

    Late.label = label or f"{by} times as late"
    return Late


ONE = {"order": [9], "delay": ["100ms"], "capacity": [32]}


def test_designs_of_one_name_are_two_and_of_one_label_none() -> None:
    """Of the second no run was made, and the best of them was an IndexError."""
    late = [_late("2"), _late("20")]
    found = [row["footprint"] for row in sweep(example(), late, ONE).rows if row["design"] != "none"]
    alone = [replay(example(), kind(delay="100ms"), sample=None).totals.footprint for kind in late]
    assert found == alone
    assert found[0] < found[1]
    same = [_late("2", "late"), _late("20", "late")]
    for several in (
        ph.study,
        sweep,
        lambda trace, designs, settings: ph.fleet([(trace, 2)], "4GiB", designs, settings),
    ):
        with pytest.raises(InputError, match="two designs have the label 'late': give each one of its own"):
            several(example(), same, ONE)


def test_a_design_that_was_changed_is_run_again(tmp_path: Path) -> None:
    """What the old one had told was told of the new one, without a word."""
    own, command = tmp_path / "own.py", ("sweep", "--design", "own.py:Late", "--out", "rows", "--json", "--order", 9)
    source = (
        "import pagehint as ph\nclass Late(ph.PageReporting):\n    def schedule(self, delay): super().schedule({})\n"
    )
    rows, footprints = tmp_path / "rows" / "rows.jsonl", []
    for late, lines in (("delay", 3), ("delay", 3), ("delay * 20", 4)):
        own.write_text(source.format(late))
        ended = pagehint(*command, "--delay", "100ms", "--capacity", 32, cwd=tmp_path)
        assert ended.returncode == 0, ended.stderr
        assert len(rows.read_bytes().splitlines()) == lines
        footprints.append(json.loads(ended.stdout)["rows"][0]["footprint"])
    assert footprints[0] == footprints[1] < footprints[2]


def test_what_another_pagehint_computed_is_run_again(tmp_path: Path) -> None:
    package, rows, lines = tmp_path / "src" / "pagehint", tmp_path / "rows" / "rows.jsonl", []
    shutil.copytree(Path(ph.__file__).parent, package, copy_function=os.symlink)
    command = (*COMMAND, *map(str, ("sweep", *SMALL[:4], "--delay", "2s", "--capacity", 32, "--out", rows.parent)))
    changed = package / "replays" / "playback.py"
    for more in ("", "", "# Another.\n"):
        source = changed.read_text() + more
        changed.unlink()
        changed.write_text(source)
        environment = {**os.environ, "PYTHONPATH": str(package.parent), "PYTHONDONTWRITEBYTECODE": "1"}
        subprocess.run(command, cwd=tmp_path, env=environment, check=True, capture_output=True)
        lines.append(len(rows.read_bytes().splitlines()))
    assert lines[0] == lines[1] == lines[2] // 2


def test_no_hinting_is_none_everywhere() -> None:
    """A study took None, a sweep and a fleet did not."""
    assert {row["design"] for row in sweep(example(), [None, "reporting"], ONE).rows} == {"none", "reporting"}
    found = ph.fleet([(example(), 2)], "4GiB", [None, ph.PageReporting(order=9)])
    assert [outcome.design for outcome in found.outcomes] == ["none", "reporting"]
