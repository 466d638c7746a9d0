"""JSON that people paste: as a whole, a record a line, and behind prefixes."""

import json
from pathlib import Path

import pytest

from pagehint.diagnosis.examine import diagnose
from pagehint.diagnosis.pasted import plain_lines, telling


def test_bytes_of_a_journal_as_json() -> None:
    assert plain_lines(json.dumps({"MESSAGE": list(b"Mem-Info:")})) == ["Mem-Info:"]
    assert plain_lines('{"MESSAGE": [300, "x"]}') == ['{"MESSAGE": [300, "x"]}']


def test_a_texts_lines_are_told_from_lists_of_something_else() -> None:
    """Each list was written out at each depth: five hundred of them around a megabyte took half a minute."""
    assert plain_lines(json.dumps(["['x']\n['y']", [["x"], ["y"]]])) == ["['x']", "['y']", "x", "y"]
    assert plain_lines(json.dumps(["x\ny", [[["x", "y"]]]])) == ["x", "y"]
    text = "x" * 1_000_000
    assert plain_lines("[" * 500 + f'"{text}\\n{text}"' + "]" * 500) == [text, text]


def test_of_long_json_the_strings_that_tell_stay() -> None:
    """All of some million strings went through what cleans a line."""
    processes = [{"name": f"process {number}", "command": ["/usr/bin/python"] * 9} for number in range(10_000)]
    found = plain_lines(telling(json.dumps([*processes, {"mem": {"MemFree": "512 kB"}}, *processes])))
    assert "MemFree: 512 kB" in found
    assert len(found) < 200


@pytest.mark.parametrize(
    "prefix",
    [
        "[  532.610402] ",
        "Nov 28 00:47:11 web-1 collect[123]: ",
        "2026-11-28T00:47:11.123456789Z stdout F ",
        "2026-11-28T00:47:11Z INFO collect: ",
        "> ",
        "app-1  | ",
    ],
)
@pytest.mark.parametrize("first", ["Here it is:", ""])
def test_json_each_line_of_which_has_a_prefix(tmp_path: Path, prefix: str, first: str) -> None:
    """It was said to tell nothing."""
    figures = {"total": 24684084 << 10, "available": 23665616 << 10, "buffers": 0, "free": 22662808 << 10}
    for value in (
        {"MemTotal": 24684084, "MemFree": 22662808},
        [{"type": "Mem", "total": 24684084, "used": 1018468, "free": 22662808, "shared": 8872}],
        {"mem": {**figures, "percent": 4.1}},
        {"mem": {"percent": 4.1, **figures}},
        {"ansible_facts": {"ansible_memory_mb": {"real": {"free": 22662808 >> 10, "total": 24105, "used": 1974}}}},
        {"memory": {"total": "24684084kB", "free": "22662808kB", "buffers": "18196kB", "cached": "1119680kB"}},
    ):
        lines = [first, *json.dumps(value, indent=2).split("\n")]
        (tmp_path / "text").write_text("".join(f"{prefix}{line}\n" for line in lines if line))
        assert diagnose(tmp_path / "text").free == pytest.approx(22662808 << 10, abs=1 << 20)
