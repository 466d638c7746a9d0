import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pagehint.cli.import_ import import_
from pagehint.trace import Trace

TEXT = """CPU:1 [LOST 10 EVENTS]
sh-8 [001] d..1. 1.000000: mm_page_alloc: page=0000000012345678 pfn=64 order=0 migratetype=1 gfp_flags=GFP_KERNEL
sh-8 [001] d..1. 1.000001: sched_switch: prev_comm=a
"""


def test_what_it_says(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "trace.txt").write_text(TEXT)
    output = tmp_path / "t.pagetrace"
    import_(tmp_path / "trace.txt", output=output)
    said = capsys.readouterr()
    assert said.out == f"{output}: 1 event; `pagehint info {output}` shows them\n"
    lost, missing, other = said.err.splitlines()
    assert lost.startswith("pagehint: warning: 10 events were lost while recording: 10 on CPU 1.")
    assert missing.startswith("pagehint: warning: no frees were recorded")
    assert other == "pagehint: warning: events of other kinds, left out: 1"
    assert Trace.open(output).num_events == 1


def test_the_command_that_shows_it_is_quoted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "trace.txt").write_text(TEXT)
    output = tmp_path / "my guest's.pagetrace"
    import_(tmp_path / "trace.txt", output=output)
    command = capsys.readouterr().out.split("`")[1]
    assert shlex.split(command) == ["pagehint", "info", str(output)]


def test_a_page_far_away_is_warned_of(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Only a replay said that the recording is of no use without a snapshot."""
    (tmp_path / "trace.txt").write_text(TEXT + TEXT.splitlines()[1].replace("pfn=64", "pfn=268435456") + "\n")
    import_(tmp_path / "trace.txt", output=tmp_path / "t.pagetrace")
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("pagehint: warning: it is kept, and can't be replayed: ")
    assert last.endswith(
        "an event names pfn 268435456, and no snapshot tells where the guest's memory lies: import it with --snapshot"
    )


def test_a_snapshot_beside_it_that_is_not_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Most of what the guest has was unknown then, and only a replay said that there is no snapshot."""
    (tmp_path / "trace.txt").write_text(TEXT)
    start = tmp_path / "start"
    start.mkdir()
    for number, text in enumerate((None, "z")):
        if text is not None:
            (start / "zoneinfo").write_text(text)
        import_(tmp_path / "trace.txt", output=tmp_path / f"{number}.pagetrace")
        said = f"pagehint: warning: {start} looks like its snapshot, and is not named: `--snapshot {start}` takes it\n"
        assert (said in capsys.readouterr().err) is (text is not None)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_leaves_nothing(tmp_path: Path, number: signal.Signals) -> None:
    (tmp_path / "trace.txt").write_text(TEXT * 3000)
    # The command ends itself in the middle of its work, after the first thousands of lines.
    code = f"""
import os, sys
import pagehint.trace.text as text
lines = text._lines
def ended(path, progress):
    for number, line in enumerate(lines(path, progress)):
        if number == 5000:
            os.kill(os.getpid(), {number.value})
        yield line
text._lines = ended
from pagehint.cli.main import main
sys.argv = ["pagehint", "import", {str(tmp_path / "trace.txt")!r}, "-o", {str(tmp_path / "t.pagetrace")!r}]
main()
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert ended.returncode == -number
    assert b"Traceback" not in ended.stderr
    assert os.listdir(tmp_path) == ["trace.txt"]


def test_a_terminal_that_ends_meanwhile(tmp_path: Path) -> None:
    """The bar that is shown there, and the warnings, fail from then on: the bundle is made."""
    (tmp_path / "trace.txt").write_text(TEXT * 3000)
    code = f"""
import os, pty, sys
import pagehint.trace.text as text
mine, theirs = pty.openpty()
os.dup2(theirs, 2)
lines = text._lines
def ended(path, progress):
    for number, line in enumerate(lines(path, progress)):
        if number == 5000:
            assert sys.stderr.isatty()
            os.close(mine)
        yield line
text._lines = ended
from pagehint.cli.main import main
sys.argv = ["pagehint", "import", {str(tmp_path / "trace.txt")!r}, "-o", {str(tmp_path / "t.pagetrace")!r}]
main()
"""
    environment = {**os.environ, "TERM": "xterm-256color"}
    ended = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, check=False)
    assert ended.returncode == 0
    assert Trace.open(tmp_path / "t.pagetrace").num_events == 3000
