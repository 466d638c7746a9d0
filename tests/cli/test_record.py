"""The commands around recordings of this machine: what they print, what they refuse."""

import os
import re
import shutil
import signal
import subprocess
import sys

import pytest

from pagehint.cli.mark import mark
from pagehint.errors import InputError
from pagehint.trace import Trace

PAGEHINT = shutil.which("pagehint") or "pagehint"


def run(*arguments, **options):
    return subprocess.run([PAGEHINT, *arguments], capture_output=True, **options)


@pytest.mark.usefixtures("tracefs")
def test_a_recording_through_a_pipe(tmp_path):
    recording = run("record", "-o", "-", "--", sys.executable, "-c", "bytearray(1 << 24)")
    assert recording.returncode == 0, recording.stderr
    made = run("import", "-", "-o", tmp_path / "a.pagetrace", input=recording.stdout)
    assert made.returncode == 0, made.stderr
    trace = Trace.open(tmp_path / "a.pagetrace")
    assert trace.meta.level == "zone"
    assert trace.final_snapshot is not None


@pytest.mark.usefixtures("tracefs")
def test_what_a_command_prints_is_not_in_the_stream(tmp_path):
    """It was, and what read the stream called it damaged."""
    recording = run("record", "-o", "-", "--", "echo", "hello")
    assert recording.returncode == 0, recording.stderr
    assert b"hello\n" in recording.stderr
    made = run("import", "-", "-o", tmp_path / "a.pagetrace", input=recording.stdout)
    assert made.returncode == 0, made.stderr


@pytest.mark.usefixtures("tracefs")
@pytest.mark.parametrize(
    ("output", "ends", "status", "said"),
    [("a.pagetrace", "exit 7", 7, "status 7"), ("-", "kill -9 $$", 137, "signal 9")],
)
def test_a_command_that_fails_is_recorded_and_its_status_passed_on(tmp_path, output, ends, status, said):
    done = run("record", "-o", output, "--", "sh", "-c", ends, cwd=tmp_path)
    assert done.returncode == status
    assert f"the command ended with {said}" in done.stderr.decode()
    path = tmp_path / "b.pagetrace"
    if output == "-":
        assert run("import", "-", "-o", path, input=done.stdout).returncode == 0
    assert Trace.open(path if output == "-" else tmp_path / output).final_snapshot is not None


STUBBORN = """
import os, signal, time
ended = []
signal.signal(signal.SIGTERM, lambda *_: ended.append(1))
print(os.getpid(), flush=True)
while not ended:
    time.sleep(0.01)
print("told", flush=True)
{rest}
"""


@pytest.mark.usefixtures("tracefs")
@pytest.mark.parametrize(
    ("rest", "goes_on"), [("print('tidied', flush=True)", False), ("while True: signal.pause()", True)]
)
def test_a_command_takes_its_time_to_end(tmp_path, rest, goes_on):
    """What it does meanwhile is recorded; a second signal doesn't wait for it, and the recording is kept."""
    command = [sys.executable, "-c", STUBBORN.format(rest=rest)]
    recorder = subprocess.Popen(
        [PAGEHINT, "record", "-o", tmp_path / "a.pagetrace", "--", *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with recorder:
        pid = int(recorder.stdout.readline())
        recorder.send_signal(signal.SIGQUIT)
        assert recorder.stdout.readline() == "told\n"
        if goes_on:
            recorder.send_signal(signal.SIGINT)
            recorder.wait()
            os.kill(pid, signal.SIGKILL)
        out, err = recorder.stdout.read(), recorder.stderr.read()
    assert recorder.returncode == 0, err
    assert (f"goes on: process {pid}" in err) == goes_on
    assert out.startswith("tidied\n") == (not goes_on)
    assert Trace.open(tmp_path / "a.pagetrace").final_snapshot is not None


@pytest.mark.parametrize("command", [["import", "-", "-o", "a.pagetrace"], ["doctor", "-"], ["script", "-"]])
def test_a_closed_standard_input(tmp_path, command):
    done = subprocess.run(
        ["sh", "-c", 'exec "$@" <&-', "sh", PAGEHINT, *command], cwd=tmp_path, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1), done.stderr
    assert "standard input is closed" in done.stderr
    assert os.listdir(tmp_path) == []


@pytest.mark.usefixtures("tracefs")
def test_a_recording_says_what_it_can_tell_and_what_it_cannot(tmp_path):
    made = run("record", "-o", tmp_path / "a.pagetrace", "--for", "100ms")
    assert made.returncode == 0, made.stderr
    text = made.stdout.decode()
    assert re.search(r" in 0\.\d s, and \d+\.\d s before and after, as page flags were read; the recorder took ", text)
    assert "What this recording can tell" in text
    assert "--level page tells them apart" in text
    assert "what its host really held" in text


@pytest.mark.usefixtures("tracefs")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["record", "--for", "1s", "--", "true"], b"--for 1 s and a command, 'true': choose one of them"),
        (["record", "--for", "soon"], b"'soon' is not a time"),
        (["record", "--for", "0s"], b"--for 0 ns: expected 100 ms at the least"),
        (["watch", "1", "--for", "0s"], b"--for 0 ns: expected 100 ms at the least"),
        (["record", "--for", "1s", "--buffers", "0"], b"for each of the"),
        (["record", "--for", "1s", "--buffers", "1PiB"], b"more than half of this machine's"),
        (["guest", "--matrix", " "], b"names no settings"),
        (["mark", "two\nlines"], b"is no name of a phase"),
        (["import", "-", "-o", "x.pagetrace"], b"-`: save a tracer's text in a file, and import that"),
    ],
)
def test_refusals(tmp_path, arguments, message):
    refused = run(*arguments, cwd=tmp_path, input=b"nonsense")
    assert refused.returncode == 2
    assert message in refused.stderr
    assert refused.stderr.count(b"\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_recorder_that_sent_nothing_is_asked_after(tmp_path):
    """It was said that this is no recording."""
    refused = run("import", "-", "-o", "x.pagetrace", cwd=tmp_path, input=b"")
    assert (refused.returncode, list(tmp_path.iterdir())) == (2, [])
    assert refused.stderr.startswith(b"pagehint: standard input: is empty: expected a recording of `pagehint record -o")


@pytest.mark.usefixtures("tracefs")
@pytest.mark.parametrize(("hangs_up", "seconds"), [(True, "600s"), (False, "2500ms")])
def test_a_terminal_that_ends(tmp_path, terminal, hangs_up, seconds):
    """The live line fails from then on: that is no fault of the output, and the recording is kept."""
    with terminal("record", "--for", seconds, "-o", tmp_path / "a.pagetrace", hangs_up=hangs_up) as recorder:
        recorder.read_until("recording: ")
        recorder.end()
        assert recorder.process.wait() == 0
    assert Trace.open(tmp_path / "a.pagetrace").final_snapshot is not None
    assert os.listdir(tmp_path) == ["a.pagetrace"]


@pytest.mark.usefixtures("tracefs")
@pytest.mark.skipif(shutil.which("unshare") is None, reason="no unshare")
def test_all_is_written_to_the_output(tmp_path):
    """Where there is no room for it elsewhere: and a recorder that is killed leaves nothing elsewhere."""
    (tmp_path / "small").mkdir()
    mount = f'mount -t tmpfs -o size=4k tmpfs {tmp_path / "small"} && TMPDIR={tmp_path / "small"} "$@"'
    command = ["unshare", "-m", "sh", "-c", mount, "sh", PAGEHINT, "record", "-o", "a.pagetrace", "--for", "100ms"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(os.listdir(tmp_path)) == ["a.pagetrace", "small"]
    assert {path.suffix for path in (tmp_path / "a.pagetrace").iterdir() if path.is_file()} == {".json", ".parquet"}
    assert {path.name for path in (tmp_path / "a.pagetrace").iterdir() if path.is_dir()} == {"snapshot", "final"}


def test_nothing_to_mark(tmp_path, monkeypatch):
    (tmp_path / "instances").mkdir()
    monkeypatch.setattr("pagehint.cli.mark.find_tracefs", lambda: tmp_path)
    with pytest.raises(InputError, match="nothing is recorded here now"):
        mark("phase")
