"""What the command line says of itself."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pagehint.cli.app import app


def test_as_a_module() -> None:
    done = subprocess.run([sys.executable, "-m", "pagehint", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == "pagehint 0.1.0: free page hinting in Python\n"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_knows_the_commands_and_their_options(shell: str, tmp_path: Path) -> None:
    script = app.generate_completion(shell=shell)  # type: ignore[arg-type]
    for word in ("run", "import", "calibrate", "host-page-size", "snapshot"):
        assert word in script, word


def test_completion_is_installed(tmp_path: Path) -> None:
    environment = {**os.environ, "HOME": str(tmp_path), "SHELL": "/bin/bash"}
    environment.pop("XDG_DATA_HOME", None)
    command = [sys.executable, "-m", "pagehint", "--install-completion", "--shell", "bash"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert [path for path in tmp_path.rglob("*") if path.is_file() and "pagehint" in path.read_text()]
