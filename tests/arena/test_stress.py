"""The short form of the stress run: every byte is verified, while everything happens at once."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.limits import HANGS

STRESS = Path(__file__).parents[2] / "benchmarks" / "stress_arena.py"


@pytest.mark.parametrize("limit", ["640MiB", "100MiB"])
def test_no_live_byte_is_lost(limit: str) -> None:
    command = [sys.executable, str(STRESS), "--gigabytes", "3", "--per-arena", "0.4", "--limit", limit]
    done = subprocess.run(command, capture_output=True, text=True, timeout=HANGS)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout)
    assert found["errors"] == []
    assert found["verified_bytes"] >= 2.9e9
    assert min(found[what] for what in ("trims", "forks", "shared", "device_errors", "given_back_bytes")) > 0
    assert found["arenas"] >= 4  # every kind of memory
