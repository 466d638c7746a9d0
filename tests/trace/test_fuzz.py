import subprocess
import sys
from pathlib import Path

import pytest

FUZZ = Path(__file__).parents[2] / "benchmarks" / "fuzz.py"


@pytest.mark.slow
def test_mutated_inputs_are_done_or_refused():
    command = [sys.executable, str(FUZZ), "--inputs", "1500", "--seed", "7", "--workers", "2"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1,500 inputs were done or refused" in done.stdout
