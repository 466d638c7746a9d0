"""The house, drawn from the code: files as rooms, imports as arrows. No arrow goes upwards, and there is no circle.

What is imported for types only, or when it is asked for, is an arrow too; what goes through one is in the `__all__` of
where it comes from. Each file is tested where its name says.
"""

import ast
import shutil
import subprocess
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import pagehint

_ROOT = Path(pagehint.__file__).parent
# From the ground up: a folder imports only from those before it.
_FLOORS = [
    ["errors", "units", "inputs", "partial", "pointers"],
    ["kernel"],
    ["proc"],
    ["mm"],
    ["hinting"],
    ["host"],
    ["trace"],
    ["replays"],
    ["fleets"],
    ["diagnosis"],
    ["arena"],
    ["report"],
    ["cli"],
]
_HEIGHT = {name: height for height, floor in enumerate(_FLOORS) for name in floor}


def _rooms() -> dict[str, set[str]]:
    """Each module, and the modules that it imports, whenever it does."""
    paths = {
        ".".join(path.relative_to(_ROOT).with_suffix("").parts).removesuffix(".__init__"): path
        for path in _ROOT.rglob("*.py")
        if path.parent != _ROOT or path.stem in _FLOORS[0]
    }
    rooms: dict[str, set[str]] = {}
    for name, path in paths.items():
        found = set()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            for module, names in _imported(node):
                for each in names:
                    whole = f"{module}.{each}" if f"{module}.{each}" in paths else module
                    if whole in paths and whole != name:
                        found.add(whole)
        rooms[name] = found
    return rooms


def _imported(node: ast.AST) -> list[tuple[str, list[str]]]:
    if isinstance(node, ast.Import):
        return [(_inside(alias.name), [""]) for alias in node.names]
    if isinstance(node, ast.ImportFrom) and node.module is not None:
        return [(_inside(node.module), [alias.name for alias in node.names])]
    return []


def _inside(module: str) -> str:
    for prefix in ("cython.cimports.pagehint.", "pagehint."):
        if module.startswith(prefix):
            return module.removeprefix(prefix)
    return "?"


def test_no_arrow_goes_upwards() -> None:
    rooms = _rooms()
    assert len(rooms) > 80
    upwards = [
        f"{room} imports {other}"
        for room, others in rooms.items()
        for other in others
        if _HEIGHT[other.partition(".")[0]] > _HEIGHT[room.partition(".")[0]]
    ]
    assert upwards == []


def test_there_is_no_circle() -> None:
    rooms = {room: {other for other in others if not _package(room, other)} for room, others in _rooms().items()}
    TopologicalSorter(rooms).prepare()


# A package's front door names what is in it.
def _package(room: str, other: str) -> bool:
    return room.startswith(f"{other}.")


def test_what_is_imported_is_exported() -> None:
    """But for what compiled code has of another's .pxd, and the same where it runs uncompiled."""
    trees = {path.relative_to(_ROOT.parent): ast.parse(path.read_text("utf-8")) for path in _ROOT.rglob("*.py")}
    rooms = {".".join(path.with_suffix("").parts).removesuffix(".__init__"): tree for path, tree in trees.items()}
    exported = {room: _exported(tree) for room, tree in rooms.items()}
    hidden = {
        f"{node.module}.{alias.name}"
        for tree in rooms.values()
        for node in _either_way(tree)
        if isinstance(node, ast.ImportFrom) and node.module in rooms
        for alias in node.names
        if f"{node.module}.{alias.name}" not in rooms and alias.name not in exported[node.module]
    }
    assert hidden == set(), "list it in its module's __all__ (without a leading underscore)"
    assert [name for names in exported.values() for name in names if name.startswith("_") and name[1] != "_"] == []


def _exported(tree: ast.Module) -> list[str]:
    """Its `__all__`."""
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return list(ast.literal_eval(node.value))
    return []


def _either_way(node: ast.AST) -> Iterator[ast.AST]:
    """What is in it whether it is compiled or not."""
    if isinstance(node, ast.If) and "cython.compiled" in ast.unparse(node.test):
        return
    yield node
    for child in ast.iter_child_nodes(node):
        yield from _either_way(child)


# Files that only declare.
_DECLARED = [
    "__main__",
    "arena/state",
    "hinting/action",
    "hinting/device",
    "host/blocks",
    "kernel/migratetype",
    "kernel/orders",
    "trace/events",
]
# Files that are a part of something, and what tests them: that, as a whole.
_WITH = {
    "arena/extents": "arena/test_arena",
    "arena/giver": "arena/test_warm",
    "cli/bar": "cli/test_run",
    "cli/main": "cli/test_app",
    "cli/mark": "cli/test_record",
    "cli/no_pandas": "cli/test_run",
    "cli/options": "cli/test_sweep",
    "cli/said": "cli/test_record",
    "diagnosis/actions": "diagnosis/test_page_map",
    "diagnosis/apply": "cli/test_doctor_live",
    "diagnosis/interleaved": "diagnosis/test_forms",
    "diagnosis/node_exporter": "diagnosis/test_tools",
    "diagnosis/pieces": "diagnosis/test_pasted",
    "diagnosis/slab": "diagnosis/test_prediction",
    "kernel/ticks": "replays/test_timer",
    "mm/guest/show": "mm/guest/test_memory",
    "mm/hinting_state": "mm/test_ages",
    "replays/device": "replays/test_replay",
    "replays/drawing": "report/test_notebook",
    "replays/playback": "replays/test_replay",
    "replays/recording": "replays/test_study",
    "replays/rows": "replays/test_scheduler",
    "report/figures": "report/test_html",
    "trace/host_file": "replays/test_host_clock",
    "trace/recorder/guest/boot": "trace/recorder/test_guest",
    "trace/recorder/guest/image": "trace/recorder/test_guest",
    "trace/recorder/qmp": "cli/test_watch",
    "trace/recorder/residency": "trace/recorder/test_vmm",
    "trace/recorder/summary": "cli/test_record",
    "trace/recorder/tracefs": "trace/recorder/test_record",
}


def test_each_file_is_tested_where_its_name_says() -> None:
    tests = Path(__file__).parent
    names = {path.stem.removeprefix("test_") for path in tests.rglob("test_*.py")}
    files = {path.relative_to(_ROOT).with_suffix("").as_posix() for path in _ROOT.rglob("*.py")}
    without = {file for file in files if file.rpartition("/")[2] not in {*names, "__init__"}}
    assert without - {*_DECLARED, *_WITH} == set(), "make a file of tests of that name, or say above what tests it"
    assert {*_DECLARED, *_WITH} - without == set(), "there is no such file, or it has tests of its name now"
    assert [test for test in _WITH.values() if not (tests / f"{test}.py").exists()] == []


_BESIDE_ROOMS = {".gitignore", "LICENSE", "MANIFEST.in", "README.md", "pyproject.toml", "setup.py"}


def test_nothing_lies_about() -> None:
    """What somebody pasted to try the doctor was committed beside README: 24 texts."""
    checkout = Path(__file__).parents[1]
    if not (checkout / ".git").exists() or shutil.which("git") is None:
        pytest.skip("no checkout, or no git")
    listing = ["git", "-c", "safe.directory=*", "ls-files"]  # whoever it belongs to
    paths = subprocess.run(listing, cwd=checkout, capture_output=True, text=True, check=True).stdout.splitlines()
    assert {path for path in paths if "/" not in path} == _BESIDE_ROOMS
    rooms = {path.split("/")[0] for path in paths if "/" in path}
    assert rooms == {".ci", "benchmarks", "docs", "src", "tests"}
