"""`pagehint doctor` as people call it."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.command import pagehint
from tests.diagnosis.conftest import DATA, snapshot_files


def doctor(*arguments: object, **more: Any) -> subprocess.CompletedProcess[str]:
    return pagehint("doctor", *arguments, **more)


def test_this_machine() -> None:
    ended = doctor("--json")
    assert ended.returncode == 0, ended.stderr
    found = json.loads(ended.stdout)
    assert {"free_resident", "would_bring", "used_by", "advice", "warnings"} <= found.keys()
    assert found["free_resident"]
    assert "Free memory, by what keeps it" in doctor().stdout


def test_a_snapshot_on_screen_as_json_and_as_a_page(tmp_path: Path) -> None:
    files = snapshot_files("press61")
    shown = doctor(*files)
    assert shown.returncode == 0, shown.stderr
    for words in ("given back already", "Who holds the rest", "What to do", "order 9", "of these pages keep"):
        assert words in shown.stdout
    ended = doctor(*files, "--json", "--html", tmp_path / "page.html")
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout)["free_resident"]["given_back"] == 208
    page = (tmp_path / "page.html").read_text()
    assert "Who holds the rest" in page
    assert page.rstrip().endswith("</html>")


@pytest.mark.parametrize("name", sorted(path.name for path in (DATA / "pasted").iterdir()))
def test_what_people_paste(name: str) -> None:
    ended = doctor(DATA / "pasted" / name)
    assert ended.returncode == 0, ended.stderr
    assert "MiB" in ended.stdout
    assert doctor("-", given=(DATA / "pasted" / name).read_bytes()).returncode == 0


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "is empty"),
        (b"hello\n", "holds nothing that tells of free memory"),
        (b"\0" * 4097, "are not whole 8-byte entries"),
        (b"\xff" * 80 + b"\0" * 8, "no page of a free block"),
        (b"\x1f\x8b\x08" + b"\0" * 20, "damaged"),
        (b"Node 0, zone Normal " + b"9" * 30 + b" 1" * 10 + b"\n", "is no count"),
    ],
)
def test_bad_input_is_one_line(tmp_path: Path, data: bytes, words: str) -> None:
    (tmp_path / "file").write_bytes(data)
    ended = doctor(tmp_path / "file")
    assert ended.returncode == 2
    assert words in ended.stderr
    assert ended.stderr.count("\n") == 1
    assert ended.stdout == ""


def test_options_that_contradict() -> None:
    for arguments in (
        ("x", "--apply", "both"),
        ("x", "--watch", "10s"),
        ("--watch", "10s"),
        ("--watch", "1ms"),
        ("--jsn",),
    ):
        ended = doctor(*arguments)
        assert ended.returncode == 2
        assert ended.stderr.count("\n") == 1


def test_no_terminal_escape_gets_through(tmp_path: Path) -> None:
    text = "\x1b]0;owned\x07evil\x1b[31m\x9b31m: page allocation failure: order:3, mode:0x1(GFP_DMA)\n"
    (tmp_path / "log\x1b[31m").write_text(text + "Node 0 DMA free:10kB min:5kB low:6kB high:7kB\n")
    for more in ((), ("--json",)):
        ended = doctor(tmp_path / "log\x1b[31m", *more)
        assert ended.returncode == 0, ended.stderr
        assert not set(ended.stdout) & {"\x1b", "\x9b", "\x07"}
