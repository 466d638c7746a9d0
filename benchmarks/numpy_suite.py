"""Runs NumPy's own tests on an arena: every array of a byte or more comes from it. Says which fail only there.

Arguments go to pytest: `python benchmarks/numpy_suite.py -k linalg`. All of it takes about 2 x 6 minutes.
It wants pytest and hypothesis (`pip install '.[test]'`).
"""

import argparse
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from pathlib import Path

_TESTS = """
import contextlib, sys, pagehint, pytest
arena = pagehint.Arena("16GiB", hugepages=False, idle="1ms") if sys.argv[1] == "arena" else None
with arena.numpy(1) if arena else contextlib.nullcontext():
    status = pytest.main(["--pyargs", "numpy", "-q", "-p", "no:cacheprovider", "--tb=short",
                           "--continue-on-collection-errors", *sys.argv[2:]])
print(arena.stats() if arena else "")
sys.exit(status)
"""


def outcomes(where: str, folder: Path, arguments: list[str]) -> dict[str, str]:
    """passed, failed, error or skipped, by test."""
    report = folder / f"{where}.xml"
    with open(folder / f"{where}.txt", "w+") as output:
        command = [sys.executable, "-c", _TESTS, where, f"--junitxml={report}", *arguments]
        status = subprocess.run(command, cwd=folder, stdout=output, stderr=subprocess.STDOUT).returncode
        output.seek(0)
        text = output.read()
    print(f"{where}: exit status {status}\n" + "\n".join(text.splitlines()[-6:]))
    if not report.exists():
        sys.exit(f"NumPy's tests wrote no report with {where}")
    found: dict[str, str] = {}
    for case in ElementTree.parse(report).iter("testcase"):
        name = f"{case.get('classname')}::{case.get('name')}"
        kinds = [child.tag for child in case if child.tag in ("failure", "error", "skipped")]
        found[name] = kinds[0] if kinds else "passed"
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    _, arguments = parser.parse_known_args()
    with tempfile.TemporaryDirectory() as name:
        usual, arena = (outcomes(where, Path(name), arguments) for where in ("usual", "arena"))
    worse = [test for test, outcome in arena.items() if outcome in ("failure", "error") and usual.get(test) != outcome]
    lost = sorted(usual.keys() - arena.keys())
    for label, found in (("usual", usual), ("arena", arena)):
        print(f"{label}: {sum(outcome == 'passed' for outcome in found.values()):,} of {len(found):,} passed")
    print(f"{len(worse)} fail only on the arena, {len(lost)} are missing there", *worse, *lost, sep="\n  ")
    sys.exit(bool(worse or lost))


if __name__ == "__main__":
    main()
