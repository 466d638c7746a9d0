"""The recipes of docs/tracers.md, as they are printed there: recorded on this machine, and imported."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from pagehint.trace import import_trace

DOCS = Path(__file__).parents[2] / "docs" / "tracers.md"
TRACEFS = Path("/sys/kernel/tracing")
BLOCKS = {
    block.splitlines()[0].removeprefix("# ").split(",")[0].split(":")[0]: block
    for block in re.findall(r"^```sh\n(# .*?)^```$", DOCS.read_text(), re.DOTALL | re.MULTILINE)
}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not os.access(TRACEFS / "trace_marker", os.W_OK), reason="tracefs can't be written here"),
    pytest.mark.skipif(not os.access("/proc/kpageflags", os.R_OK), reason="/proc/kpageflags can't be read here"),
]


def state():
    files = ("tracing_on", "buffer_size_kb", "trace_clock", "events/enable")
    return [(TRACEFS / "instances" / "pagehint").exists(), *((TRACEFS / name).read_text() for name in files)]


def record(folder, recipe):
    (folder / "snapshot.sh").write_text(BLOCKS["snapshot.sh"])
    script = BLOCKS[recipe].replace("sleep 60", "sleep 0.3")
    return subprocess.run(["sh", "-c", script], cwd=folder, capture_output=True, text=True, check=False)


def check(folder):
    trace = import_trace(folder / "trace.txt.gz", folder / "t.pagetrace", folder / "start")
    assert {"A", "F"} <= trace.meta.events.keys()
    assert trace.meta.kernel == os.uname().release
    assert trace.snapshot is not None
    assert trace.snapshot.kpageflags() is not None
    marks = trace.marks["text"].to_pylist()
    assert [mark.split()[0] for mark in marks] == ["CLOCK", "KPF-BEGIN", "KPF-END"]
    times = trace.marks["time"].to_pylist()
    assert trace.meta.first_ns <= times[1] <= times[2] <= trace.meta.last_ns
    return trace


def test_tracefs_alone_works_twice_and_leaves_nothing(tmp_path):
    before = state()
    for turn in ("first", "second"):
        (tmp_path / turn).mkdir()
        done = record(tmp_path / turn, "tracefs alone")
        assert (done.returncode, done.stderr) == (0, "")
        assert state() == before
        assert check(tmp_path / turn).meta.recorder == "tracefs trace"


def test_a_mark_that_tracing_does_not_take_is_kept_in_silence(tmp_path):
    """With tracing off, as beside perf, each mark was an I/O error on the screen."""
    begin, _, _ = BLOCKS["snapshot.sh"].partition('mark "CLOCK')
    script = f"marker=/dev/full\n{begin}mark taken\n"
    done = subprocess.run(["sh", "-ec", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "start" / "marks").read_text().split()[1:] == ["taken"]


@pytest.mark.skipif(shutil.which("perf") is None, reason="perf is not installed")
def test_perf(tmp_path):
    done = record(tmp_path, "perf")
    if not (tmp_path / "perf.data").exists():
        pytest.skip(f"perf can't record here: {done.stderr[:200]}")
    assert check(tmp_path).meta.recorder == "perf script"


@pytest.mark.skipif(shutil.which("trace-cmd") is None, reason="trace-cmd is not installed")
def test_trace_cmd(tmp_path):
    before = state()
    done = record(tmp_path, "trace-cmd")
    if "Operation not permitted" in done.stderr:
        (TRACEFS / "tracing_on").write_text(before[1])
        pytest.skip("trace-cmd may not reset the function tracer here")
    assert done.returncode == 0
    assert check(tmp_path).meta.recorder == "trace-cmd report"
