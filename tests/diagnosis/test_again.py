"""However a machine's texts are given, in parts, in any order, twice: the same is said of them."""

import re
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pagehint.diagnosis.again import Earlier, agree, more_of
from pagehint.diagnosis.examine import diagnose
from tests.diagnosis.conftest import DATA
from tests.diagnosis.machines import make_machine

FOLDER = DATA / "compile612"
_NAMES = "buddyinfo", "zoneinfo", "pagetypeinfo", "meminfo", "log"


def _said(texts: list[str]) -> dict[str, object]:
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"text-{at}.txt" for at in range(len(texts))]
        for path, text in zip(paths, texts, strict=True):
            path.write_text(text)
        found = diagnose(paths).to_dict()
    warnings = {re.sub(r"/\S*/text-\d+\.txt: ", "", line) for line in found["warnings"]}
    zones = sorted(found["zones"], key=repr)
    return {name: each for name, each in found.items() if name != "sources"} | {"warnings": warnings, "zones": zones}


# Zones in files of their own, and meminfo cut somewhere.
def _parts(name: str, text: str, draw: st.DataObject) -> list[str]:
    if name in ("buddyinfo", "zoneinfo"):
        return re.split("(?m)^(?=Node)", text)[1:]
    if name != "meminfo":
        return [text]
    lines = text.splitlines(keepends=True)
    cut = draw.draw(st.integers(3, len(lines) - 3))
    return ["".join(lines[:cut]), "".join(lines[cut:])]


@settings(max_examples=30)
@given(st.integers(0, 9999), st.lists(st.sampled_from(_NAMES), min_size=1, unique=True), st.data())
def test_in_how_many_files_and_how_often_changes_nothing(seed: int, names: list[str], draw: st.DataObject) -> None:
    """A file that was given twice was a warning; of meminfo in two parts, the first was lost."""
    machine = make_machine(seed)
    texts = [getattr(machine, name)() for name in names]
    said = _said(texts)
    assert _said(texts + draw.draw(st.permutations(texts))) == said
    assert _said(["\n".join(texts)]) == said
    parts = [part for name, text in zip(names, texts, strict=True) for part in _parts(name, text, draw)]
    assert _said(draw.draw(st.permutations(parts))) == said
    if "log" not in names:
        assert _said(["\n".join([*texts, *texts])]) == said


@pytest.mark.parametrize("name", ["meminfo", "vmstat"])
def test_lines_that_grep_left_of_a_file_are_more_of_it(name: str, tmp_path: Path) -> None:
    """Beside all of it they were taken for all: how much memory there is was lost."""
    text = (FOLDER / f"{name}.txt").read_text()
    whole, some = tmp_path / "whole.txt", tmp_path / "some.txt"
    whole.write_text(text)
    some.write_text("".join(f"{line}\n" for line in text.splitlines() if re.match("Huge|nr_shmem", line)))
    found = diagnose([whole, some])
    assert not any("again" in line for line in found.warnings)
    assert found.to_dict()["used_by"] == diagnose([whole]).to_dict()["used_by"]
    some.write_text(re.sub(r"\d{4,}", "77777", text))
    assert any(f"holds {name} again: what was read last counts" in line for line in diagnose([whole, some]).warnings)


def test_zones_in_three_files_are_not_said_to_be_there_again(tmp_path: Path) -> None:
    paths = [tmp_path / f"{node}.txt" for node in range(3)]
    for node, path in enumerate(paths):
        path.write_text(f"Node {node}, zone   Normal {'      3' * 11}\n")
    found = diagnose(paths)
    assert (len(found.zones), [line for line in found.warnings if "again" in line]) == (3, [])


def test_what_agrees_is_more_of_the_same() -> None:
    known = {"MemTotal": 8, "MemFree": 2}
    assert more_of(known, {"MemFree": 2, "Cached": 1}) == known | {"Cached": 1}
    assert more_of(known, {"MemFree": 3}) == {"MemFree": 3}
    assert (agree(known, {}), agree(known, {"MemFree": 3})) == (True, False)


def test_a_text_is_there_once() -> None:
    earlier = Earlier()
    assert [earlier.has(data) for data in (b"a", b"b", bytearray(b"a"))] == [False, False, True]
