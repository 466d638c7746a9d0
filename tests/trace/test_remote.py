"""Recordings at a URL, and what is left of their copies: nothing."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pagehint.trace.shipped import example

_URL = f"file://{example('phased').path}"
_POOL = f"""
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from pagehint.trace import Trace

def opened(url):
    return str(Trace.open(url).path)

with ProcessPoolExecutor(2, multiprocessing.get_context("fork")) as pool:
    print(*pool.map(opened, [{_URL!r}]), sep="\\n")
"""
_KILLED = f"""
import os, signal
from pagehint.trace import Trace
print(Trace.open({_URL!r}).path, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
_PARENT = f"""
import os, subprocess, sys
from pagehint.trace import Trace
Trace.open({_URL!r})
subprocess.run([sys.executable, "-c", sys.argv[1]])
assert len(os.listdir(os.environ["TMPDIR"])) == 2
"""


def python(folder: Path, code: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    environment = {**os.environ, "TMPDIR": str(folder)}
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=False)


def test_a_pools_worker_leaves_no_copy(tmp_path: Path) -> None:
    """It ends without the functions of atexit: each left the whole recording."""
    ended = python(tmp_path, _POOL)
    assert ended.returncode == 0
    assert ended.stdout.startswith(str(tmp_path))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("alone", [True, False])
def test_the_copy_of_a_process_that_is_killed_goes_with_the_next_or_the_one_that_ends(
    tmp_path: Path, alone: bool
) -> None:
    """Nobody ever removed it."""
    if alone:
        killed = python(tmp_path, _KILLED)
        assert (killed.returncode, Path(killed.stdout.strip()).exists()) == (-signal.SIGKILL, True)
        assert python(tmp_path, _POOL).returncode == 0
    else:
        assert python(tmp_path, _PARENT, _KILLED).returncode == 0
    assert list(tmp_path.iterdir()) == []
