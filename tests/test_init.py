"""What `import pagehint` offers, and what it doesn't load."""

import subprocess
import sys

import pytest

import pagehint


def run_python(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


def test_every_name_is_there() -> None:
    for name in pagehint.__all__:
        assert getattr(pagehint, name) is not None
    assert dir(pagehint) == sorted(pagehint.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        pagehint.nothing  # noqa: B018


def test_heavy_libraries_load_only_when_they_are_needed() -> None:
    code = "import sys, pagehint; print(sorted({'numpy', 'pyarrow', 'plotly', 'rich', 'cyclopts'} & set(sys.modules)))"
    assert run_python(code) == "[]\n"


@pytest.mark.parametrize(
    "before", ["", "pagehint.Run", "import pagehint.replay.run", "from pagehint.replay.replay import Replay"]
)
def test_replay_is_the_function_whatever_was_imported_before(before: str) -> None:
    code = f"import pagehint\n{before}\nfrom pagehint.replay import totals\nprint(type(pagehint.replay).__name__)"
    assert run_python(code) == "function\n"
