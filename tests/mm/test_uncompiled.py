"""The tests of what the golden files don't reach, once more with the package's plain Python files."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import pagehint
from tests.limits import HANGS

TESTS = Path(__file__).parents[1]
RUN = """
import sys
import pytest
import pagehint.mm.pcp, pagehint.mm.zone
assert pagehint.mm.pcp.__file__.endswith(".py") and pagehint.mm.zone.__file__.endswith(".py")
sys.exit(pytest.main(["-q", "-x", "-p", "no:cacheprovider", sys.argv[1]]))
"""


@pytest.mark.parametrize(
    "tests",
    [
        "mm/test_ranges.py",
        "mm/test_ages_model.py",
        "mm/test_pcp.py",
        "mm/test_pcp_model.py",
        "mm/guest/test_memory.py",
        "hinting/designs/test_reporting.py",
        "hinting/designs/test_reporting_model.py",
        "hinting/designs/test_survival.py",
        "replays/test_scan.py",
        "replays/test_compaction.py",
        "trace/recorder/test_naive_pages.py",
    ],
)
def test_uncompiled(tests, tmp_path):
    shutil.copytree(
        Path(pagehint.__file__).parent,
        tmp_path / "pagehint",
        ignore=shutil.ignore_patterns("*.so", "*.pyd", "*.c", "__pycache__", "*.pagetrace"),
    )
    done = subprocess.run(
        [sys.executable, "-c", RUN, str(TESTS / tests)],
        capture_output=True,
        text=True,
        timeout=HANGS,
        check=False,
        env={"PYTHONPATH": str(tmp_path), "PATH": ""},
        cwd=TESTS.parent,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
