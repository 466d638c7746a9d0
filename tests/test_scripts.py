"""The scripts beside the package say what they are before they do it."""

import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

from pagehint.trace.shipped import example

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


def test_breakeven_makes_cut_rows_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = spec_from_file_location("breakeven_benchmark", _ROOT / "benchmarks" / "breakeven.py")
    assert spec is not None
    assert spec.loader is not None
    benchmark = module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, benchmark)
    spec.loader.exec_module(benchmark)
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
