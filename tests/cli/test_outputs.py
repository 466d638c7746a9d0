"""What goes wrong outside a command: a full disk, no permission, a file that somebody cuts off, a kill."""

import ctypes
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pagehint.host.costs import Costs
from pagehint.report.output import Output

SHIPPED = Path(str(files("pagehint") / "examples" / "phased.pagetrace"))
_LINE = "sh-8 [001] 1.{:06d}: mm_page_alloc: page=0x1 pfn={} order=0 migratetype=1 gfp_flags=GFP_KERNEL\n"
_PR_CAPBSET_DROP, _DAC_OVERRIDE, _DAC_READ_SEARCH = 24, 1, 2


def without_override() -> None:
    """In a child: root is refused what its files' modes refuse."""
    for capability in (_DAC_OVERRIDE, _DAC_READ_SEARCH):
        ctypes.CDLL(None).prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)


def refused(*arguments: object) -> str:
    ended = subprocess.run(
        [sys.executable, "-m", "pagehint", *map(str, arguments)],
        capture_output=True,
        text=True,
        preexec_fn=without_override,
        check=False,
    )
    assert ended.returncode == 2, ended.stderr
    assert ended.stderr.count("\n") == 1, ended.stderr
    assert ended.stdout == ""
    return ended.stderr


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "trace.txt"
    path.write_text("".join(_LINE.format(k, k * 7919 % 65521) for k in range(50_000)))
    return path


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    disk = tmp_path / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=16k", "none", disk]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("nothing can be mounted here")
    yield disk
    subprocess.run(["umount", disk], check=True)


@pytest.mark.parametrize(
    ("command", "name"),
    [(["run", "--html"], "page.html"), (["run", "--out"], "t.parquet"), (["import", "-o"], "t.pagetrace")],
)
def test_a_full_disk(command: list[str], name: str, small_disk: Path, text: Path) -> None:
    source = text if command[0] == "import" else SHIPPED
    told = refused(*command, small_disk / name, source)
    assert told == f"pagehint: {small_disk / name}: No space left on device: choose another output\n"
    assert list(small_disk.iterdir()) == []


@pytest.mark.parametrize(
    "command", [["run", "--html"], ["run", "--out"], ["doctor", "--html"], ["import", "-o"], ["calibrate", "-o"]]
)
def test_a_folder_without_permission(command: list[str], tmp_path: Path, text: Path) -> None:
    folder = tmp_path / "closed"
    folder.mkdir()
    folder.chmod(0o500)
    told = refused(*command, folder / "out", *([text] if command[0] == "import" else []))
    assert told == f"pagehint: {folder / 'out'}: Permission denied: choose another output\n"
    assert list(folder.iterdir()) == []


def test_no_output_takes_the_place_of_what_is_read(tmp_path: Path) -> None:
    """Costs, a design's file, a fleet's guests and a sweep's recording were written over."""
    recording = shutil.copytree(SHIPPED, tmp_path / "t.pagetrace")
    costs, design, guest = tmp_path / "costs.json", tmp_path / "mine.py", tmp_path / "guest.parquet"
    costs.write_text(Costs().to_json())
    design.write_text("from pagehint import PageReporting\n\n\nclass Mine(PageReporting):\n    label = 'mine'\n")
    pq.write_table(pa.table({"time": [0, 10**12], "resident": [1 << 30, 0]}), guest)
    (tmp_path / "link").symlink_to(costs)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    fleet = ("fleet", f"{guest}:3", "--host-memory", "4GiB", "--html")
    for command in (
        ("run", recording, "--costs", costs, "--html", tmp_path / "link"),
        ("run", recording, "--design", f"{design}:Mine", "--html", design),
        ("sweep", recording, "--html", recording / "events.parquet"),
        ("sweep", recording, "--out", recording),
        ("sweep", recording, "--out", tmp_path, "--html", tmp_path / "rows.jsonl"),
        (*fleet, guest),
        (*fleet, recording / "meta.json", f"{recording}:2"),
        ("doctor", recording / "snapshot" / "meminfo.txt", "--html", recording / "snapshot" / "meminfo.txt"),
    ):
        told = refused(*command)
        assert "is one of the files to read: " in told or "lies in the recording " in told
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("command", [["run"], ["info"], ["doctor"], ["import", "-o", "/nowhere"]])
def test_an_input_without_permission(command: list[str], text: Path) -> None:
    text.chmod(0)
    told = refused(*command, text)
    assert str(text) in told


@pytest.mark.parametrize("command", [["run"], ["info"], ["sweep"], ["run", "--html"]])
def test_a_folder_that_may_not_be_entered(command: list[str], tmp_path: Path) -> None:
    folder = tmp_path / "closed"
    folder.mkdir(0)
    told = refused(*command, *([folder / "page.html"] if "--html" in command else [folder]))
    assert told.startswith(f"pagehint: {folder}/")
    assert told.endswith(": Permission denied: it takes its owner, or root\n")


@pytest.mark.parametrize("name", ["events.parquet", "snapshot/kpageflags.u64.gz", "residency_bitmaps.parquet"])
def test_a_file_that_is_cut_off_while_it_is_read(name: str, tmp_path: Path) -> None:
    """An error, and no SIGBUS: nothing that others may shorten is mapped."""
    code = f"""
import os, shutil, sys
from pathlib import Path
from pagehint import Trace, replay
from pagehint.errors import InputError
from pagehint.replays.start import guest_reporting
path = Path(shutil.copytree({str(SHIPPED)!r}, {str(tmp_path / "t.pagetrace")!r}))
trace = Trace.open(path)
design = guest_reporting(trace)
def cut(done):
    os.truncate(path / {name!r}, (path / {name!r}).stat().st_size // 3)
cut_off = []
def progress(done):
    if not cut_off:
        cut_off.append(cut(done))
try:
    replay(trace, design, progress=progress)
except InputError as error:
    assert {name!r} in str(error), error
else:
    assert {name!r} != "events.parquet"
assert cut_off
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_what_a_killed_command_left_is_removed_by_the_next(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text("before")
    code = f"""
import os, signal
import pagehint.report.output as output
os.fsync = lambda descriptor: os.kill(os.getpid(), signal.SIGKILL)
from pagehint.cli.main import main
import sys
sys.argv = ["pagehint", "run", {str(SHIPPED)!r}, "--html", {str(page)!r}]
main()
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert ended.returncode == -signal.SIGKILL
    assert page.read_text() == "before"
    (left,) = set(os.listdir(tmp_path)) - {"page.html"}
    assert left.endswith(".partial")
    with Output(page) as output:
        output.write(b"after")
    assert os.listdir(tmp_path) == ["page.html"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize(
    "command",
    [
        ["run"],
        ["run", "--out", "t.parquet"],
        ["sweep", str(SHIPPED)],
        ["fleet", f"{SHIPPED}:3", "--host-memory", "4GiB"],
    ],
    ids=["run", "run --out", "sweep", "fleet"],
)
def test_a_command_that_is_ended_leaves_nothing(command: list[str], number: signal.Signals, tmp_path: Path) -> None:
    # It ends itself in its first replay.
    code = f"""
import os, sys
from pagehint.replays.playback import Playback
run = Playback.run
def ended(self, tell):
    os.kill(os.getpid(), {number.value})
    return run(self, tell)
Playback.run = ended
from pagehint.cli.main import main
sys.argv = ["pagehint", *{command!r}, "--html", "page.html"]
main()
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=tmp_path)
    if number == signal.SIGINT:
        assert (ended.returncode, ended.stderr) == (130, "pagehint: interrupted\n")
    else:
        assert (ended.returncode, ended.stderr) == (-number, f"pagehint: ended by {number.name}\n")
    assert ended.stdout == ""
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("command", [["sweep", str(SHIPPED)], ["fleet", f"{SHIPPED}:3", "--host-memory", "4GiB"]])
def test_what_is_refused_leaves_no_half_of_a_page(command: list[str], tmp_path: Path) -> None:
    assert "order" in refused(*command, "--html", tmp_path / "page.html", "--set", "order=77")
    assert os.listdir(tmp_path) == []
