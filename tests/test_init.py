"""What `import pagehint` offers, and what it doesn't load."""

import ast
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

import pagehint
from pagehint import errors


def run_python(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


def test_every_name_is_there() -> None:
    for name in pagehint.__all__:
        assert getattr(pagehint, name) is not None
    assert dir(pagehint) == sorted(pagehint.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        pagehint.nothing  # noqa: B018


def test_errors_can_be_caught_by_name() -> None:
    raised = {each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, Exception)}
    assert {each.__name__ for each in raised} <= set(pagehint.__all__)


def test_to_a_type_checker_it_has_no_other_names() -> None:
    """Its ``__getattr__`` gave any misspelt name."""
    source = Path(str(pagehint.__file__)).read_text()
    found = [node for node in ast.parse(source).body if "__getattr__" in ast.unparse(node)]
    assert [ast.unparse(node).splitlines()[0] for node in found] == ["if not TYPE_CHECKING:"]


def test_heavy_libraries_load_only_when_they_are_needed() -> None:
    code = "import sys, pagehint; print(sorted({'numpy', 'pyarrow', 'plotly', 'rich', 'cyclopts'} & set(sys.modules)))"
    assert run_python(code) == "[]\n"


def test_threads_that_load_names_at_once() -> None:
    code = """
import random, threading, pagehint
def load(seed):
    names = random.Random(seed).sample(pagehint.__all__, len(pagehint.__all__))
    try:
        for name in names:
            getattr(pagehint, name)
    except BaseException as error:
        print(type(error), error)
threads = [threading.Thread(target=load, args=(seed,)) for seed in range(6)]
for thread in threads: thread.start()
for thread in threads: thread.join()
"""
    for _ in range(3):
        assert run_python(code) == ""


def test_it_can_be_loaded_again() -> None:
    code = "import importlib, sys, pagehint; importlib.reload(pagehint); del sys.modules['pagehint']; import pagehint"
    assert run_python(f"{code}; print(type(pagehint.replay).__name__)") == "function\n"


def test_the_package_of_replays_is_no_function() -> None:
    code = "import pagehint.replays.engine as engine, pagehint\nprint(type(pagehint.replay).__name__, engine.__name__)"
    assert run_python(code) == "function pagehint.replays.engine\n"


@pytest.mark.skipif(not sysconfig.get_config_var("Py_GIL_DISABLED"), reason="this Python has a GIL")
def test_free_threaded_python_stays_so() -> None:
    """A module that does not say that it can do without brings the GIL back."""
    code = """
import importlib, pkgutil, sys, pagehint
for module in pkgutil.walk_packages(pagehint.__path__, "pagehint."):
    if module.name not in ("pagehint.__main__", "pagehint.arena.metrics"):  # runs; wants a library of its own
        importlib.import_module(module.name)
print(sys._is_gil_enabled())
"""
    assert run_python(code) == "False\n"
