"""`pagehint doctor` on a terminal: the live screen, and actions on this machine."""

import json
import os
import pty
import re
import select
import signal
import subprocess
import termios
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.command import COMMAND
from tests.limits import HANGS

_MAY_WRITE = all(os.access(f"/proc/sys/vm/{name}", os.W_OK) for name in ("drop_caches", "compact_memory"))
_as_root = pytest.mark.skipif(not _MAY_WRITE, reason="/proc/sys/vm can't be written here")


class Terminal:
    """The command on a terminal of its own."""

    def __init__(self, *arguments: str) -> None:
        self.mine, theirs = pty.openpty()
        termios.tcsetwinsize(theirs, (60, 110))
        environment = {**os.environ, "TERM": "xterm-256color"}
        environment.pop("COLUMNS", None)
        self.process = subprocess.Popen(
            [*COMMAND, "doctor", *arguments],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env=environment,
            start_new_session=True,
        )
        os.close(theirs)
        self.text = ""

    def read_until(self, done: Callable[[str], bool]) -> str:
        while not done(self.text):
            select.select([self.mine], [], [])
            try:
                data = os.read(self.mine, 1 << 16)
            except OSError:
                break
            self.text += data.decode(errors="replace")
        return self.text

    def write(self, text: str) -> None:
        os.write(self.mine, text.encode())

    def ended(self) -> int:
        self.read_until(lambda _: False)
        os.close(self.mine)
        return self.process.wait()


def test_watch_looks_again_and_ends_with_the_interrupt() -> None:
    terminal = Terminal("--watch", "1s")
    try:
        shown = terminal.read_until(lambda text: text.count("Free memory, by what keeps it") >= 2)
        assert "this machine" in shown
        assert "\x1b[?1049h" in shown, "on a screen of its own"
        before, looking, _ = shown.partition("looking at this machine's memory")
        assert looking, "the first look takes seconds on a large or busy machine: the screen was empty"
        assert "Free memory" not in before
        terminal.process.send_signal(signal.SIGINT)
        assert terminal.ended() == 130
    finally:
        terminal.process.kill()
    assert "\x1b[?1049l" in terminal.text, "the terminal's own screen is back"
    assert "\x1b[?25h" in terminal.text, "the cursor is back"
    assert "Traceback" not in terminal.text


def test_a_look_says_that_it_goes_on() -> None:
    terminal = Terminal("--json")
    try:
        assert terminal.ended() == 0
    finally:
        terminal.process.kill()
    before, looking, after = terminal.text.partition("looking at this machine's memory")
    assert looking
    assert "{" not in before
    assert '"free_resident"' in after


def test_watch_ends_with_its_terminal() -> None:
    """Where no signal tells so, too: nobody would end it."""
    terminal = Terminal("--watch", "1s")
    try:
        terminal.read_until(lambda text: "Free memory, by what keeps it" in text)
        os.close(terminal.mine)
        assert terminal.process.wait(HANGS) == 0
    finally:
        terminal.process.kill()


@_as_root
@pytest.mark.parametrize("action", ["drop_caches", "compact_memory"])
def test_apply_asks_first_and_tells_what_it_brought(action: str) -> None:
    terminal = Terminal("--apply", action)
    shown = terminal.read_until(lambda text: "[y/N]" in text)
    assert f"to /proc/sys/vm/{action}" in re.sub(r"\s+", " ", shown)
    assert "is done" not in shown
    terminal.write("y\n")
    assert terminal.ended() == 0, terminal.text
    assert f"{action} is done" in terminal.text
    assert "(predicted " in terminal.text


@_as_root
def test_apply_as_json_with_the_answer_on_standard_input() -> None:
    before = counters()
    ended = subprocess.run(
        [*COMMAND, "doctor", "--apply", "drop_caches", "--json"],
        input="y\n",
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    told = json.loads(ended.stdout)
    assert told["applied"]["action"] == "drop_caches"
    assert told["applied"]["brought"].keys() == told["applied"]["predicted"].keys()
    assert counters() != before


@_as_root
@pytest.mark.parametrize("answer", ["", "yess\n"])
def test_without_a_yes_nothing_is_written(answer: str) -> None:
    before = counters()
    ended = subprocess.run(
        [*COMMAND, "doctor", "--apply", "both"], input=answer, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 2
    assert "not confirmed: nothing was written" in ended.stderr
    assert counters() == before


# drop_pagecache counts each time that caches are dropped, by anybody.
def counters() -> list[str]:
    return re.findall(r"drop_\w+ \d+", Path("/proc/vmstat").read_text())
