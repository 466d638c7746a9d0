"""What tests of commands share."""

import fcntl
import os
import pty
import subprocess
import sys
import termios

import pytest

from pagehint.errors import InputError
from pagehint.trace.recorder.tracefs import find_tracefs


@pytest.fixture(scope="module")
def tracefs():
    """This machine's tracefs; skips where there is none to record by."""
    try:
        return find_tracefs()
    except InputError as refused:
        pytest.skip(f"this machine can't be recorded: {refused}")


class Terminal:
    """The command on a terminal that can end; `hangs_up`: it is told so, by SIGHUP, as a shell's job is."""

    def __init__(self, *arguments, hangs_up=True, **options):
        self._mine, theirs = pty.openpty()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "pagehint", *map(str, arguments)],
            **{"stdin": theirs, "stdout": theirs, **options},
            stderr=theirs,
            start_new_session=True,
            preexec_fn=(lambda: fcntl.ioctl(2, termios.TIOCSCTTY, 0)) if hangs_up else None,
        )
        os.close(theirs)

    def read_until(self, text):
        said = b""
        while text.encode() not in said:
            said += os.read(self._mine, 1 << 16)

    def end(self):
        os.close(self._mine)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.process.kill()
        self.process.wait()


@pytest.fixture
def terminal():
    return Terminal
