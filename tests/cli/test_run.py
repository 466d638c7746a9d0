"""`pagehint run` as people call it: a process, its screen, its files, its status."""

import json
import os
import pty
import re
import resource
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from pagehint.hinting.designs.registry import reasons_of
from pagehint.replays.run import Totals
from pagehint.trace import Meta, Trace, TraceWriter
from tests.command import COMMAND, pagehint

SHIPPED = Path(str(files("pagehint") / "examples" / "phased.pagetrace"))


def as_json(*arguments: object) -> dict[str, Any]:
    ended = pagehint("run", *arguments, "--json")
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr == ""
    data: dict[str, Any] = json.loads(ended.stdout)
    return data


def refused(*arguments: object, **more: Any) -> str:
    ended = pagehint("run", *arguments, **more)
    assert ended.returncode == 2, ended.stdout + ended.stderr
    assert ended.stdout == ""
    assert ended.stderr.count("\n") == 1, ended.stderr
    assert ended.stderr.startswith("pagehint: ")
    return ended.stderr


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return Path(shutil.copytree(SHIPPED, tmp_path / "copy.pagetrace"))


def test_without_arguments() -> None:
    ended = pagehint("run")
    assert ended.returncode == 0
    assert ended.stderr == ""  # no progress where nobody watches
    lines = ended.stdout.splitlines()
    assert len(lines) <= 50
    assert max(map(len, lines)) <= 100
    text = " ".join(ended.stdout.split())
    for words in (
        "phased: a guest of 1023 MiB, Linux 6.1.0-56-cloud-amd64, 1 CPU",
        "reporting, order 9 (2 MiB), delay 2 s, timer phase 16.58 ms, 32 blocks a batch",
        "backed at the start: recorded at 3.00 s",
        "After anon400_thp1_freed, 364 MiB come back in two passes",
        "39.5 % less than without hinting",
        "1,256 MiB came back, in 12 passes",
        "waiting for the delay",
        "2,048 and 2,048 MiB told to the host",
    ):
        assert words in text, ended.stdout


@pytest.mark.parametrize("width", [40, 60, 80, 120])
@pytest.mark.parametrize("arguments", [(), ("--compare", "hinting,reporting,none"), ("--order", 9, "--order", 4)])
def test_the_screen_fits(width: int, arguments: tuple[object, ...]) -> None:
    ended = pagehint("run", *arguments, width=width)
    assert ended.returncode == 0
    assert max(map(len, ended.stdout.splitlines())) <= width
    assert "…" not in ended.stdout
    wide = pagehint("run", *arguments, width=200)
    figures = [
        set(re.findall(r"[0-9][0-9.,]*(?: ms| s| %)?", re.split("What came back|Host memory over", text)[1]))
        for text in (wide.stdout, " ".join(ended.stdout.split()))
    ]
    assert figures[0] - figures[1] == set()


def test_json_of_a_run() -> None:
    data = as_json()
    assert list(data) == [
        "trace",
        "recording",
        "settings",
        "totals",
        "attribution",
        "prediction",
        "truth",
        "real",
        "anomalies",
        "phases",
        "passes",
        "baseline",
    ]
    assert data["settings"]["design"] == "reporting"
    assert list(data["totals"]) == list(Totals.__dataclass_fields__)
    assert list(data["attribution"]) == list(reasons_of())
    assert 0 <= data["prediction"]["residency_error"] <= 0.005
    assert data["prediction"]["reported_mib"] == data["truth"]["reported_mib"] == 2048
    assert data["baseline"]["settings"]["design"] == "none"
    free = data["totals"]["footprint"] - data["totals"]["ideal_footprint"]
    assert sum(data["attribution"].values()) == pytest.approx(free, rel=0.01)
    totals = data["totals"]
    taken = totals["refault_time"] + totals["allocation_delay"] + totals["device_time"]
    assert totals["cost"] == pytest.approx(15 * free + taken / 1e9)
    cheap = as_json("--price", "1.5")["totals"]
    assert cheap["cost"] == pytest.approx(1.5 * free + taken / 1e9)
    priced = ("cost", "best_possible", "best_possible_lists")
    assert all(cheap[name] < totals[name] for name in priced)
    assert {**cheap, **{name: totals[name] for name in priced}} == totals


def test_the_recording_is_never_written_over(copy: Path) -> None:
    events = copy / "events.parquet"
    before = events.stat().st_size
    assert "lies in the recording" in refused(copy, "--out", events)
    assert "lies in the recording" in refused(copy, "--html", copy / "meta.json")
    assert events.stat().st_size == before
    assert "the same file" in refused(copy, "--html", copy.parent / "same", "--out", copy.parent / "same")
    assert "whole number" in refused(copy, "--order", "9.5")


def test_every_json_key_is_documented() -> None:
    text = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text(encoding="utf-8")
    data = as_json()
    rows = data["phases"] + data["passes"]
    keys = set(data).union(*(data[name] for name in data if isinstance(data[name], dict)), *rows)
    assert {key for key in keys - set(data["anomalies"]) if f"`{key}`" not in text} == set()


@pytest.mark.parametrize("host", ["anonymous", "memfd"])
def test_on_real_memory(host: str) -> None:
    real = as_json("--host", host)["real"]
    assert real["host"] == host
    assert real["error"] < 0.01
    text = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text(encoding="utf-8")
    assert {key for key in real if f"`{key}`" not in text} == set()


def test_json_of_several_runs() -> None:
    data = as_json("--compare", "hinting,reporting,none", "--order", 9, "--order", 4)
    designs = [(run["settings"]["design"], run["settings"]["order"]) for run in data["runs"]]
    assert designs == [("hinting", 9), ("hinting", 4), ("reporting", 9), ("reporting", 4), ("none", None)]
    assert len({run["label"] for run in data["runs"]}) == 5
    none = data["runs"][-1]
    assert data["baseline"]["totals"] == none["totals"]
    assert all(run["totals"]["footprint"] < none["totals"]["footprint"] for run in data["runs"][:-1])


def test_settings_combine() -> None:
    data = as_json("--order", 9, "--order", 4, "--delay", "1s", "--delay", "100ms", "--capacity", 8)
    settings = [
        (run["settings"]["order"], run["settings"]["delay"], run["settings"]["capacity"]) for run in data["runs"]
    ]
    assert settings == [(9, 10**9, 8), (9, 10**8, 8), (4, 10**9, 8), (4, 10**8, 8)]


def test_a_setting_given_twice_is_one() -> None:
    data = as_json("--order", 9, "--order", "09", "--delay", "1s", "--delay", "1000ms")
    assert (data["settings"]["order"], data["settings"]["delay"]) == (9, 10**9)


def test_twice_is_the_same(tmp_path: Path) -> None:
    outputs = []
    for name in ("one", "two"):
        page, table = tmp_path / f"{name}.html", tmp_path / f"{name}.parquet"
        ended = pagehint("run", "--json", "--html", page, "--out", table)
        outputs.append((ended.stdout, page.read_bytes(), table.read_bytes()))
    assert outputs[0] == outputs[1]


def test_timeline(tmp_path: Path) -> None:
    path = tmp_path / "timeline.parquet"
    assert pagehint("run", "--out", path, "--sample", "500ms").returncode == 0
    table = pq.read_table(path)
    assert np.diff(table.column("time").to_numpy()).min() == 500 * 10**6
    reasons = sum(table.column(name).to_numpy() for name in reasons_of())
    assert np.array_equal(reasons, table.column("free_resident").to_numpy())
    assert pagehint("run", "--out", path, "--compare", "hinting,none").returncode == 0
    assert pq.read_table(path).column("run").unique().to_pylist() == ["hinting", "none"]


def test_what_if_the_host_has_less_memory_and_costs_more(tmp_path: Path) -> None:
    costs = tmp_path / "costs.json"
    costs.write_text('{"fault_2mib": 1000000, "measured": ["fault_2mib"]}')
    data = as_json("--host-memory", "256MiB", "--costs", costs, "--host-page-size", "4KiB")
    assert data["settings"]["host_page_size"] == "4KiB"
    assert data["totals"]["peak_resident"] <= 256 << 20
    dear = as_json("--costs", costs)["totals"]
    assert dear["refault_time"] == dear["refaults"] * 1_001_000


def test_recorded_placement_is_held_against_a_guest_without_hinting() -> None:
    data = as_json("--placement", "recorded")
    assert data["settings"]["placement"] == "recorded"
    assert data["baseline"]["settings"]["placement"] == "simulated"
    assert data["prediction"]["placed_as_recorded"] == 1
    told = "placed as recorded, with other settings than the recorded ones"
    assert told not in pagehint("run", "--placement", "recorded").stdout
    assert told in pagehint("run", "--placement", "recorded", "--order", 9, "--order", 4).stdout


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["nothing.pagetrace"], "no such trace bundle"),
        (["reporting"], "reporting: no such trace bundle, but a design: it is given as --design reporting"),
        (["--compare", "hinting", "none"], "none: no such trace bundle, but a design"),
        (["two\nlines"], "two\\nlines: no such trace bundle"),
        (["/dev/null"], "/dev/null: is a device, not a trace bundle: name a bundle's folder"),
        (["-"], "-: standard input is not read here"),
        (["."], "no meta.json"),
        (["--design", "magic"], "--design: 'magic' is no design"),
        (["--compare", "hinting,magic"], "'magic' is no design"),
        (["--compare", "none,none"], "twice"),
        (["--compare", "none", "--design", "none"], "use one of them"),
        (["--order", "-1"], "--order -1: expected a whole number, 0 to 10"),
        (["--order", "11"], "--order 11: expected a whole number, 0 to 10"),
        (["--order", "99999999999999999999"], "--order 99999999999999999999: expected a whole number, 0 to 10"),
        (["--order", "two"], "--order two: expected"),
        (["--delay", "soon"], "--delay: 'soon' is not a time"),
        (["--delay", "-5"], "--delay: '-5' is not a time"),
        (["--delay", "-1s"], "--delay: '-1s' is not a time"),
        (["--delay", "9" * 5000], "--delay: '9999"),
        (["--delay", "9" * 20 + "s"], "s' is too long a time: expected up to 1000000 h"),
        (["--high-water-mark", "4"], "--high-water-mark is no setting of reporting"),
        (["--design", "none", "--order", "3"], "--order is no setting of none"),
        (["--design", "hinting", "--high-water-mark", "-1"], "--high-water-mark -1: expected"),
        (["--capacity", "0"], "--capacity 0: expected a whole number, 1 to"),
        (["--capacity", "99999999999"], "1 to 1048576"),
        (["--host-memory", "1MiB"], "--host-memory: 256 pages are too little memory"),
        (["--host-memory", "some"], "--host-memory: 'some' is not a size"),
        (["--host-page-size", "1GiB"], "4KiB"),
        (["--sample", "0s"], "--sample 0s: expected a step above 0"),
        (["--price", "-1"], "a price of -1.0: expected"),
        (["--price", "nan"], "a price of nan: expected"),
        (["--price", "1e308"], "a price of 1e+308: expected CPU seconds for a GiB*minute, 0 to 1,000,000,000"),
        (["--design", "breakeven", "--set", "price=1e308"], "--set price: a price of '1e308': expected"),
        (["--design", "breakeven", "--set", "budget=1e308"], "--set budget: budget 1e308: expected"),
        (["--price", "dear"], "--price: 'dear': expected a number, such as 1.5. `pagehint run --help`"),
        (["--price", "1,5"], "--price: '1,5': expected a number"),
        (["--touch", "read"], "zone_alloc"),
        (["--costs", "nothing.json"], "nothing.json: no such file of costs"),
        (["--costs", "/proc/self/mem"], "/proc/self/mem: Input/output error"),
        (["--costs", "/dev/zero"], "/dev/zero: is a device"),
        (["--out", "/nowhere/t.parquet"], "/nowhere/t.parquet: No such file or directory"),
        (["--html", "/dev/full"], "No space left on device"),
        (["--out", "/dev/full"], "No space left on device"),
        (["--out", "t.csv"], "--out t.csv: the timeline is written as Parquet: name it t.parquet"),
        (["--html", "t.parquet"], "--html t.parquet: a page is HTML: name it t.html"),
        (["--nonsense"], "--nonsense"),
    ],
)
def test_bad_options(arguments: list[str], says: str, tmp_path: Path) -> None:
    assert says in refused(*arguments, cwd=tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "not a file of costs"),
        ("[]", "not a file of costs"),
        ('{"magic": 1}', "'magic' is no cost"),
        ('{"swap_in": "much"}', "swap_in"),
        ('{"swap_in": -1}', "swap_in"),
        ('{"swap_in": 1e300}', "swap_in is 1e+300 ns: expected a time of 0 to 1000000000000000"),
        (f'{{"swap_in": {"9" * 4000}}}', "swap_in is 9999"),
        ('{"measured": ["magic"]}', "measured"),
    ],
)
def test_bad_costs(text: str, says: str, tmp_path: Path) -> None:
    path = tmp_path / "costs.json"
    path.write_text(text)
    message = refused("--costs", path)
    assert says in message
    assert str(path) in message


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1000])


def without_pfn(path: Path) -> None:
    pq.write_table(pq.read_table(path).drop_columns(["pfn"]), path)


def empty(path: Path) -> None:
    pq.write_table(pq.read_table(path).slice(0, 0), path)


@pytest.mark.parametrize("damage", [cut, without_pfn, empty, Path.unlink, lambda path: path.write_bytes(b"")])
def test_damaged_recordings(damage: Callable[[Path], None], copy: Path, tmp_path: Path) -> None:
    damage(copy / "events.parquet")
    page = tmp_path / "page.html"
    page.write_text("before")
    assert str(copy) in refused(copy, "--html", page)
    assert page.read_text() == "before"
    assert sorted(each.name for each in tmp_path.iterdir()) == ["copy.pagetrace", "page.html"]


def test_a_snapshot_that_is_far_too_large(copy: Path) -> None:
    os.truncate(copy / "snapshot" / "zoneinfo.txt", 20 << 30)
    told = refused(copy, limits={resource.RLIMIT_AS: 8 << 30})
    assert "zoneinfo.txt: is larger than 64 MiB" in told


def test_a_recording_for_which_there_is_not_enough_memory() -> None:
    code = """
import resource
from pagehint.cli.main import main
import numpy, pyarrow.parquet, rich.console, pagehint.replays.replay, pagehint.report.terminal
held = int(open("/proc/self/statm").read().split()[0]) * 4096
resource.setrlimit(resource.RLIMIT_AS, (held + (16 << 20), held + (16 << 20)))
main()
"""
    ended = subprocess.run([sys.executable, "-c", code, "run"], capture_output=True, text=True)
    assert ended.returncode == 2, ended.stderr
    assert ended.stderr.count("\n") == 1
    assert re.search(r"not enough memory for this|malloc of size \d+ failed", ended.stderr)


def test_a_recording_with_only_allocations(tmp_path: Path) -> None:
    shipped = Trace.open(SHIPPED)
    path = tmp_path / "allocations.pagetrace"
    with TraceWriter(path) as writer:
        for batch in shipped.batches():
            kept = np.flatnonzero(batch["event"] == ord("A"))
            if len(kept):
                writer.add_events({name: column[kept] for name, column in batch.items()})
        writer.finish(shipped.meta)
    ended = pagehint("run", path, "--html", tmp_path / "page.html")
    assert ended.returncode == 0, ended.stderr
    assert "no frees were recorded" in ended.stdout


@pytest.mark.parametrize("events", [1, 2])
def test_a_recording_of_hardly_anything(events: int, tmp_path: Path) -> None:
    path = tmp_path / "short.pagetrace"
    with TraceWriter(path) as writer:
        batch = next(iter(Trace.open(SHIPPED).batches()))
        writer.add_events({name: column[:events] for name, column in batch.items()})
        writer.finish(Meta(recorder="test", source="test"))
    ended = pagehint("run", path, "--html", tmp_path / "page.html", "--compare", "hinting,reporting,none")
    assert ended.returncode == 0, ended.stderr
    ended = pagehint("run", path, "--html", tmp_path / "page.html")
    assert ended.returncode == 0, ended.stderr
    assert as_json(path)["prediction"]["residency_error"] is None


def test_nothing_measured_is_held_against_other_settings() -> None:
    for settings in (("--design", "none"), ("--order", 4), ("--delay", "20ms"), ("--capacity", 256)):
        prediction = as_json(*settings)["prediction"]
        assert prediction["residency_error"] is prediction["measured_mean"] is None
        assert prediction["predicted_mean"] > 0
    for settings in ((), ("--order", 9)):
        assert as_json(*settings)["prediction"]["measured_mean"] > 0


def test_lost_events_are_told(copy: Path) -> None:
    meta = json.loads((copy / "meta.json").read_text())
    meta["lost"] = {"by_cpu": {"0": 1234}, "overwritten": 0, "uncounted": 0}
    (copy / "meta.json").write_text(json.dumps(meta))
    ended = pagehint("run", copy)
    text = " ".join(ended.stdout.split())
    assert "1,234 events were lost while recording" in text
    assert "Each lost allocation is a page that a replay takes for free" in text
    assert as_json(copy)["recording"]["lost"] == 1234


def test_an_output_that_cannot_be_written_leaves_what_was_there(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text("before")
    message = refused("--html", page, limits={resource.RLIMIT_FSIZE: 100_000})
    assert f"{page}: File too large" in message
    assert page.read_text() == "before"
    assert list(tmp_path.iterdir()) == [page]
    assert "is a folder" in refused("--html", tmp_path)


def test_closed_and_full_standard_output() -> None:
    with open("/dev/full", "w") as full:
        ended = subprocess.run([*COMMAND, "run", "--json"], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (2, "pagehint: standard output: No space left on device\n")
    for command in ("run", "--help", f"info {SHIPPED}", "script"):
        shell = f"{shlex.join(COMMAND)} {command}"
        ended = subprocess.run(["sh", "-c", f"{shell} >&-"], capture_output=True, text=True, check=False)
        said = "pagehint: standard output is closed: redirect it to /dev/null instead\n"
        assert (ended.returncode, ended.stderr) == (2, said)
        ended = subprocess.run(
            f"({shell}; echo $? >&2) | true", shell=True, capture_output=True, text=True, check=False
        )
        assert ended.stderr == "141\n"


def test_a_terminal_that_can_write_little() -> None:
    ended = subprocess.run(
        [*COMMAND, "run"],
        env={**os.environ, "LANG": "C", "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    # All three were question marks.
    assert "## in use ++ free, but resident .. given back" in " ".join(ended.stdout.split())
    assert "GiB.min  ####" in ended.stdout
    assert "?" not in ended.stdout


@pytest.mark.parametrize("width", [0, 1, 11, 20])
def test_a_terminal_that_has_hardly_a_column(width: int) -> None:
    """A chart of less than no columns, and help in lines of no width, were tracebacks."""
    for command in (["run", "--compare", "reporting,none"], ["run"], ["run", "--help"]):
        ended = pagehint(*command, width=width)
        assert (ended.returncode, ended.stderr) == (0, "")


@pytest.mark.parametrize("library", ["cyclopts.exceptions", "numpy.linalg", "pyarrow.lib"])
def test_interrupted_while_libraries_are_loaded(library: str) -> None:
    command = [COMMAND[0], "-X", "importtime", *COMMAND[1:], "run"]
    started = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    assert started.stderr is not None
    while not started.stderr.readline().rstrip().endswith(library):
        assert started.poll() is None
    started.send_signal(signal.SIGINT)
    said = [line for line in started.communicate()[1].splitlines() if not line.startswith("import time:")]
    assert (started.returncode, said) == (130, ["pagehint: interrupted"])


def test_a_page_to_standard_output() -> None:
    shell = f"{shlex.join(COMMAND)} run --html /dev/stdout"
    ended = subprocess.run(["sh", "-c", f"{shell} | cat"], capture_output=True, text=True, check=False)
    assert ended.stderr == ""
    assert ended.stdout.startswith("<!doctype html>")
    ended = subprocess.run(["sh", "-c", f"({shell}; echo $? >&2) | true"], capture_output=True, text=True, check=False)
    assert ended.stderr == "141\n"


def test_interrupted_on_a_terminal(tmp_path: Path) -> None:
    """Progress is shown on a terminal; an interrupt while it runs leaves nothing."""
    terminal, side = pty.openpty()
    page = tmp_path / "page.html"
    orders = [word for order in range(3, 10) for word in ("--order", str(order))]
    started = subprocess.Popen(
        [*COMMAND, "run", *orders, "--sample", "1ms", "--html", str(page)],
        stdout=subprocess.DEVNULL,
        stderr=side,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "100"},
        start_new_session=True,
    )
    os.close(side)
    seen = b""
    while b"replaying" not in seen:
        seen += os.read(terminal, 1024)
    started.send_signal(signal.SIGINT)
    try:
        while more := os.read(terminal, 1024):
            seen += more
    except OSError:  # the other side is closed
        pass
    assert started.wait() == 130
    assert b"interrupted" in seen
    assert b"Traceback" not in seen
    assert list(tmp_path.iterdir()) == []
    os.close(terminal)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_design_that_never_returns_can_be_ended(number: signal.Signals, tmp_path: Path) -> None:
    """Its thread was waited for: only SIGKILL ended it."""
    (tmp_path / "mine.py").write_text(
        "import sys, time\n"
        "from pagehint import PageReporting\n\n"
        "class Mine(PageReporting):\n"
        "    label = 'mine'\n"
        "    def work(self):\n"
        "        print('here', file=sys.stderr, flush=True)\n"
        "        end = time.monotonic() + 60\n"
        "        while time.monotonic() < end:\n"
        "            pass\n"
        "        yield\n"
    )
    command = [*COMMAND, "run", "--design", f"{tmp_path / 'mine.py'}:Mine"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as started:
        assert started.stderr is not None
        assert started.stderr.readline() == "here\n"
        started.send_signal(number)
        said, told = started.communicate()
    assert started.returncode == (130 if number == signal.SIGINT else -number)
    assert said == ""
    assert told == ("pagehint: interrupted\n" if number == signal.SIGINT else "pagehint: ended by SIGTERM\n")


def test_a_damaged_table_is_no_fault_of_an_option(copy: Path) -> None:
    """It was told of --khugepaged, which nobody had given."""
    (copy / "marks.parquet").write_bytes(b"")
    ended = pagehint("run", copy)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "marks.parquet: damaged" in ended.stderr
    assert "khugepaged" not in ended.stderr


def test_a_step_that_is_too_short_is_said() -> None:
    lines = " ".join(pagehint("run", "--sample", "1ns").stdout.split())
    assert "Warning: the timeline has a row each 4.194 ms: it has 32,768 rows at the most." in lines
