"""Every golden script gives its golden output, byte for byte (docs/spec/3)."""

import gzip
import shutil
import subprocess
import sys
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import pytest

import pagehint
import pagehint.mm.buddy
from pagehint.replays.script import Script
from tests.limits import HANGS

DATA = Path(__file__).parent / "data"
NAMES = sorted(path.name.removesuffix(".ops.gz") for path in DATA.glob("*.ops.gz"))
SMALL = ["E01", "E02", "E03", "E04", "E05", "E06", "E07", "E08", "G01"]
COMMAND = "from pagehint.cli.main import main; main()"

UNCOMPILED = """
import sys
import pagehint.mm.batch, pagehint.mm.buddy, pagehint.mm.hinted, pagehint.mm.zone
from pagehint.replays.script import Script
for name in ("batch", "buddy", "hinted", "zone"):
    print(sys.modules["pagehint.mm." + name].__file__, file=sys.stderr)
script = Script(sys.stdout.write)
for line in sys.stdin:
    script.line(line)
"""


def ops(name: str) -> bytes:
    return gzip.decompress((DATA / f"{name}.ops.gz").read_bytes())


def expected(name: str) -> bytes:
    return gzip.decompress((DATA / f"{name}.out.gz").read_bytes())


def test_all_golden_files_are_here():
    assert [f"E{n:02}" for n in range(1, 13)] + [f"G{n:02}" for n in range(1, 8)] == NAMES
    assert all(expected(name) for name in NAMES)


def test_the_engine_under_test_is_compiled():
    assert pagehint.mm.buddy.__file__.endswith(tuple(EXTENSION_SUFFIXES))


@pytest.mark.parametrize("name", NAMES)
def test_compiled(name):
    printed = []
    script = Script(printed.append)
    for line in ops(name).decode().splitlines():
        script.line(line)
    assert "".join(printed).encode() == expected(name)


def run_command(argument: str, stdin: bytes = b"") -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-c", COMMAND, "script", argument],
        input=stdin,
        capture_output=True,
        timeout=HANGS,
        check=False,
    )


def test_command_with_a_packed_file():
    done = run_command(str(DATA / "G04.ops.gz"))
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout == expected("G04")


def test_command_with_a_plain_file(tmp_path):
    (tmp_path / "E03.ops").write_bytes(ops("E03"))
    done = run_command(str(tmp_path / "E03.ops"))
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout == expected("E03")


def test_command_with_standard_input():
    done = run_command("-", ops("G01"))
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout == expected("G01")


@pytest.fixture(scope="module")
def uncompiled(tmp_path_factory):
    """A folder with a copy of the package that has no compiled parts."""
    folder = tmp_path_factory.mktemp("uncompiled")
    shutil.copytree(
        Path(pagehint.__file__).parent,
        folder / "pagehint",
        ignore=shutil.ignore_patterns("*.so", "*.pyd", "*.c", "__pycache__"),
    )
    return folder


@pytest.mark.parametrize("name", SMALL)
def test_uncompiled(name, uncompiled):
    done = subprocess.run(
        [sys.executable, "-c", UNCOMPILED],
        input=ops(name),
        capture_output=True,
        timeout=HANGS,
        check=False,
        env={"PYTHONPATH": str(uncompiled), "PATH": ""},
        cwd=uncompiled,
    )
    assert done.returncode == 0, done.stderr.decode()
    modules = done.stderr.decode().split()
    assert len(modules) == 4
    assert all(Path(module).is_relative_to(uncompiled) and module.endswith(".py") for module in modules)
    assert done.stdout == expected(name)
