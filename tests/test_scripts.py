"""The scripts beside the package say what they are before they do it."""

import subprocess
import sys
from pathlib import Path

import pytest

_ROOT = Path(__file__).parent.parent
_RUNS = 'if __name__ == "__main__":'  # a module that scripts share has none
_FILES = [*sorted((_ROOT / "benchmarks").glob("*.py")), _ROOT / "docs" / "picture.py"]
_SCRIPTS = [path for path in _FILES if _RUNS in path.read_text()]


@pytest.mark.parametrize("script", _SCRIPTS, ids=lambda path: path.name)
def test_help_runs_nothing(script: Path, tmp_path: Path) -> None:
    command = [sys.executable, str(script), "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path, timeout=60)
    assert done.stdout.startswith("usage:")
    assert len(done.stdout.splitlines()) > 3
    assert list(tmp_path.iterdir()) == []
