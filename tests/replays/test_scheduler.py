"""Studies on a real Dask scheduler with two worker processes, and as rows of Arrow tables."""

import json
import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import pagehint as ph
from pagehint.errors import InputError
from pagehint.replays.plan import plans_of
from pagehint.replays.recording import Recording
from pagehint.replays.rows import TOTALS_SCHEMA, replay_rows
from pagehint.replays.run import vars_of
from pagehint.replays.scheduler import scheduler
from pagehint.replays.study import Ground, Task
from tests.command import pagehint

SETTINGS = {"order": [9, 6, 3, 0], "delay": ["20ms", "2s"], "capacity": [32]}


def dask(*arguments: object, temporary: Path | None = None) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "dask", *map(str, arguments)]
    environment = os.environ if temporary is None else {**os.environ, "TMPDIR": str(temporary)}
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)


def said(process: "subprocess.Popen[str]", text: str) -> str:
    """The line with this text that a process writes as it starts."""
    assert process.stderr is not None
    return next(line for line in process.stderr if text in line)


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    process = dask("scheduler", "--host", "127.0.0.1", "--port", 0, "--no-dashboard")
    try:
        yield said(process, "Scheduler at:").split()[-1]
    finally:
        process.terminate()
        process.wait()


@pytest.fixture
def workers(address: str, tmp_path: Path) -> Iterator[list["subprocess.Popen[str]"]]:
    where = ["--no-nanny", "--nthreads", 1, "--no-dashboard", "--local-directory", tmp_path]
    started = [dask("worker", address, *where, temporary=tmp_path) for _ in range(2)]
    try:
        for worker in started:
            said(worker, "Registered to")
        yield started
    finally:
        for worker in started:
            worker.kill()
            worker.wait()


def test_a_scheduler_without_workers_or_none_at_all(address: str) -> None:
    with pytest.raises(InputError, match="has no workers"), scheduler(address):
        pass
    for where, says in (("10.0.0.1", "expected the address"), ("tcp://127.0.0.1:1", "no Dask scheduler answers")):
        ended = pagehint("sweep", "--scheduler", where)
        assert (ended.returncode, ended.stdout, ended.stderr.count("\n")) == (2, "", 1)
        assert f"{where}: {says}" in ended.stderr


def test_a_worker_dies_and_the_table_is_the_same(address: str, workers: Any) -> None:
    trace = ph.example()
    here = ph.sweep([trace], ["reporting"], SETTINGS)
    ended = []

    def kill_one(events: int) -> None:
        ended.append(events)
        if len(ended) == 2:
            workers[0].send_signal(signal.SIGKILL)

    with scheduler(address) as executor:
        there = ph.sweep([trace], ["reporting"], SETTINGS, executor=executor, progress=kill_one)
    assert workers[0].wait() == -signal.SIGKILL
    assert workers[1].poll() is None
    assert len(ended) == 9
    assert there == here


def test_the_command_by_url(address: str, workers: Any, tmp_path: Path) -> None:
    command = ("sweep", f"file://{ph.example().path}", "--design", "reporting", "--order", 9, "--delay", "2s", "--json")
    ended = pagehint(*command, "--scheduler", address)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert json.loads(ended.stdout) == json.loads(pagehint(*command).stdout)
    assert list(tmp_path.glob(".pagehint.*"))
    for worker in workers:
        worker.terminate()
        worker.communicate()
    assert list(tmp_path.glob(".pagehint.*")) == []


def test_a_recording_goes_by_its_path_or_url(monkeypatch: pytest.MonkeyPatch) -> None:
    trace = ph.example()
    monkeypatch.chdir(trace.path.parent)
    for source, sent in ((trace.path.name, str(trace.path)), (f"file://{trace.path}", f"file://{trace.path}")):
        recording = Recording(ph.Trace.open(source))
        list(recording.batches())
        packed = pickle.dumps(Task(recording, plans_of(recording, ["reporting"], {})[0], Ground()))
        assert len(packed) < 2000
        assert sent.encode() in packed
        assert pickle.loads(packed).recording.num_events == trace.num_events


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("file:///nowhere/at.pagetrace", "no whole trace bundle"),
        (f"file://{Path(__file__).parent}", "no whole trace bundle"),
        ("magic://x", "can't be copied: ValueError"),
        ("http://127.0.0.1:1/x.pagetrace", "http://127.0.0.1:1/x.pagetrace: "),
    ],
)
def test_no_recording_at_a_url(url: str, says: str) -> None:
    with pytest.raises(InputError, match=says):
        ph.Trace.open(url)


def test_rows() -> None:
    trace = ph.example()
    settings = pa.array([{"order": 9, "delay": None}, {"order": 4, "delay": "500ms"}])
    rows = pa.table(
        {"recording": [str(trace.path)] * 2, "id": [7, 8], "design": ["reporting"] * 2, "settings": settings}
    )
    done = replay_rows(rows)
    assert done.select(rows.column_names) == rows
    assert done.schema.names == [*rows.column_names, *TOTALS_SCHEMA.names]
    wheel = ph.guest_reporting(trace).timer_phase
    single = ph.replay(trace, ph.PageReporting(4, "500ms", wheel), ph.guest_host(trace), sample=None)
    assert done.select(TOTALS_SCHEMA.names).to_pylist()[1] == vars_of(single.totals)
    assert replay_rows(rows.slice(0, 0)).schema == done.schema
    with pytest.raises(InputError, match="no column 'settings'"):
        replay_rows(rows.drop_columns("settings"))
    with pytest.raises(InputError, match="2 column 'design': expected one each"):
        replay_rows(rows.append_column("design", rows["design"]))
    for odd in (["order=9"] * 2, [[9]] * 2):
        with pytest.raises(InputError, match=r"settings of type .*: expected a struct"):
            replay_rows(rows.set_column(3, "settings", pa.array(odd)))
    with pytest.raises(InputError, match="rows 3: expected a pyarrow Table"):
        replay_rows(3)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="ground 3: expected a Ground"):
        replay_rows(rows, 3)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="column 'cost' already"):
        replay_rows(rows.append_column("cost", pa.array([1, 2])))
