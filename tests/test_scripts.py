"""The scripts beside the package say what they are before they do it."""

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest

from pagehint.trace.shipped import example
from tests.limits import HANGS

_ROOT = Path(__file__).parent.parent
_RUNS = 'if __name__ == "__main__":'  # a module that scripts share has none
_FILES = [*sorted((_ROOT / "benchmarks").glob("*.py")), _ROOT / "docs" / "picture.py"]
_SCRIPTS = [path for path in _FILES if _RUNS in path.read_text()]


@pytest.mark.parametrize("script", _SCRIPTS, ids=lambda path: path.name)
def test_help_runs_nothing(script: Path, tmp_path: Path) -> None:
    command = [sys.executable, str(script), "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path, timeout=HANGS)
    assert done.stdout.startswith("usage:")
    assert len(done.stdout.splitlines()) > 3
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModuleType]:
    monkeypatch.syspath_prepend(_ROOT / "benchmarks")

    def load(name: str) -> ModuleType:
        spec = spec_from_file_location(f"{name}_benchmark", _ROOT / "benchmarks" / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        benchmark = module_from_spec(spec)
        monkeypatch.setitem(sys.modules, spec.name, benchmark)
        spec.loader.exec_module(benchmark)
        return benchmark

    return load


def test_breakeven_makes_cut_rows_again(
    load: Callable[[str], ModuleType], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    benchmark = load("breakeven")
    monkeypatch.setattr(benchmark, "HOSTS", ("THP",))
    monkeypatch.setattr(benchmark, "OTHERS", {"reporting": {"order": (9,), "delay": ("2s",)}})
    file = tmp_path / "rows.jsonl"

    def rows() -> list[dict[str, object]]:
        return list(benchmark.rows([example()], tmp_path, [15.0], again=False))

    made, lines = rows(), file.read_text().splitlines(keepends=True)
    assert len(lines) == 3
    for broken in (
        "".join(lines)[:-20],
        "".join(lines)[:-1],
        lines[0] + lines[1][:50] + lines[2],
        lines[0] + lines[1] + lines[2].replace('"possible"', '"impossible"'),
        "",
    ):
        file.write_text(broken)
        assert rows() == made
        assert sorted(file.read_text().splitlines(keepends=True)) == sorted(lines)


def test_each_part_of_breakeven_that_the_page_leaves_out_the_script_does(load: Callable[[str], ModuleType]) -> None:
    """A row was there that no script made."""
    section = (_ROOT / "docs" / "breakeven.md").read_text().split("## What its parts are worth\n")[1].split("\n\n")[0]
    head, _, nothing, *left_out = section.splitlines()
    assert head.startswith("| left out |")
    assert nothing.startswith("| nothing |")
    assert len(left_out) == len(load("breakeven").ABLATIONS)


def test_the_doctors_tables_are_those_of_what_its_guests_said(load: Callable[[str], ModuleType]) -> None:
    """Rows were added by a script that nobody has."""
    benchmark, guests = load("doctor"), _ROOT / "tests" / "diagnosis" / "data" / "actions"
    done = [each for kept in sorted(guests.iterdir()) if kept.is_dir() for each in benchmark.done(kept)]
    printed = re.findall(r"^\| \d\.\d+-.*\|$", (_ROOT / "docs" / "doctor-guests.md").read_text(), re.M)
    assert printed == list(map(str, done))
    assert len(printed) > 50
    page = (_ROOT / "docs" / "doctor.md").read_text()
    assert [row for row in benchmark.sums(done) if row not in page.splitlines()] == []


def test_the_settings_of_a_stock_guest_are_as_printed(load: Callable[[str], ModuleType]) -> None:
    text = (_ROOT / "docs" / "stock-guest.md").read_text()
    rows = re.findall(r"^\| ([0-9.]+) \| (\d+) \| ([0-9.]+) (m?s) \|$", text, re.M)
    assert len(rows) == 5
    for price, order, delay, unit in rows:
        found, ns = load("stock_guest").stock_setting(float(price))
        assert found == int(order)
        assert ns / (1e9 if unit == "s" else 1e6) == pytest.approx(float(delay), rel=0.005)


@pytest.mark.parametrize("shell", [("sh",), ("busybox", "sh")], ids=lambda words: words[0])
def test_what_a_stock_guest_reads_is_there(shell: tuple[str, ...], tmp_path: Path) -> None:
    """The script's own functions, in both shells that guests have, on this kernel's files."""
    if shutil.which(shell[0]) is None:
        pytest.skip(f"there is no {shell[0]} here")
    text = (_ROOT / "benchmarks" / "stock_guest.sh").read_text()
    functions = text[text.index("sum() {") : text.index("total=")]
    asked = "order=11; sum '^MemTotal' /proc/meminfo; scattered; ticks; sum '^pgalloc_' /proc/vmstat"
    (tmp_path / "script").write_text(f"{functions}{asked}\n")
    done = subprocess.run([*shell, str(tmp_path / "script")], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    total, free, idle, ticks, allocated = map(int, done.stdout.split())
    assert 0 < free < total
    assert 0 < idle < ticks
    assert allocated > 0
    subprocess.run([*shell, "-n", str(_ROOT / "benchmarks" / "stock_guest.sh")], check=True)
