"""meminfo that somebody made a table of."""

import json
from pathlib import Path

import pytest

from pagehint.diagnosis.cells import as_meminfo_lines
from pagehint.diagnosis.examine import diagnose
from pagehint.errors import InputError

NAMES = {"MemTotal", "MemFree", "Cached", "Active(file)"}
FIGURES = {"MemTotal": 1000000, "MemFree": 400000, "Buffers": 1000, "Cached": 200000, "Active(file)": 30000}


@pytest.mark.parametrize("row", ["{},{},kB", "{},{} kB", "{}:,{}", "{};{};kB", '"{}","{} kB"', "{},{}.0", "{}, {}"])
def test_a_row_of_a_name_and_its_figure(row: str, tmp_path: Path) -> None:
    """It told nothing of free memory."""
    path = tmp_path / "meminfo.csv"
    path.write_text("".join(row.format(name, figure) + "\n" for name, figure in FIGURES.items()))
    found = diagnose(path)
    assert (found.total, found.free) == (1000000 << 10, 400000 << 10)


@pytest.mark.parametrize("head", ["time,{}", "time,{} (kB)", 'time,"{}"', "time;{}_kB"])
def test_a_table_with_a_row_a_moment_says_the_last(head: str, tmp_path: Path) -> None:
    separator = ";" if ";" in head else ","
    names = separator.join(head.removeprefix("time").strip(",;").format(name) for name in FIGURES)
    rows = [["2026-01-01 10:00", 1, *[0] * 4], ["2026-01-01 11:00", *FIGURES.values()]]
    path = tmp_path / "meminfo.csv"
    path.write_text(f"time{separator}{names}\n" + "".join(separator.join(map(str, row)) + "\n" for row in rows))
    found = diagnose(path)
    assert (found.total, found.free) == (1000000 << 10, 400000 << 10)


def test_what_is_no_such_table_stays() -> None:
    lines = ["Node 0, zone Normal 1 2 3", "order,12", "MemTotal,many", "Cached, unused", "a;b", "MemFree 5 kB"]
    assert as_meminfo_lines(lines, NAMES) == lines
    assert as_meminfo_lines(["MemTotal,MemFree", "5,x"], NAMES) == ["MemTotal: 5 kB"]


NAMED = "MemTotal\tMemFree\tActive(file)\tSwapTotal"
VALUES = "1000000\t400000\t30000\t8000000"


@pytest.mark.parametrize(
    "text",
    [
        f"{NAMED}\n0\t0\t0\t0\n{VALUES}\n",
        f"time\thost\t{NAMED}\n2026-01-01 11:00:00\tweb-1\t{VALUES}\n",
        f"host\ttime\t{NAMED}\nweb-1\t2026-01-01 11:00:00\t{VALUES}\n",
        NAMED.replace("\t", " (kB)\t") + f" [kB]\n{VALUES}\n",
        "| {} |\n|---|---|---|---|\n| {} |\n".format(NAMED.replace("\t", " | "), VALUES.replace("\t", " kB | ")),
        f"{NAMED}\n" + "\t".join(str(int(value) << 10) for value in (1 << 22, 400000, 30000, 0)) + "\n",
        "Name\tValue\nMemTotal\t1000000\nMemFree\t400000\nSwapTotal\t8000000\n",
        "[memory]\nMemTotal = 1000000\nMemFree = 400000\nSwapTotal=8000000\n",
        json.dumps({"host": "web-1", "memory": {"MemTotal": 1000000, "MemFree": "400000", "Active(file)": 30000}}),
        json.dumps([{"MemTotal": 1000000 << 10, "MemFree": 400000 << 10, "Cached": 30000 << 10, "ok": True}]),
    ],
    ids=[
        "rows",
        "time",
        "host first",
        "units",
        "Markdown",
        "bytes",
        "a figure a row",
        "TOML",
        "JSON",
        "bytes as JSON",
    ],
)
def test_tables_with_tabs_and_numbers_without_units(text: str, tmp_path: Path) -> None:
    """They told nothing of free memory."""
    path = tmp_path / "meminfo.txt"
    path.write_text(text)
    found = diagnose(path)
    assert found.total in (1000000 << 10, 1 << 32)
    assert found.free == 400000 << 10


@pytest.mark.parametrize(
    "text",
    [
        "Node\tMemTotal\tMemFree\n0\t1000000\t400000\n1\t1000000\t300000\n",
        "MemTotal\tMemFree\n976\t390\n",
        "Name\tValue\nMemTotal\t976\nMemFree\t390\n",
        "MemTotal\tMemFree\n400000\t1000000\n",
        json.dumps({"MemTotal": 976, "MemFree": 390}),
        json.dumps({"MemTotal": 24105, "MemFree": 20466}),
        json.dumps({"memTotal": 24683656, "memFree": 21028724}),
    ],
    ids=[
        "nodes",
        "MiB",
        "MiB a row",
        "more free than there is",
        "MiB as JSON",
        "MiB of a larger one",
        "KiB by names that Podman has for bytes",
    ],
)
def test_figures_of_something_else_are_not_taken_for_kib(text: str, tmp_path: Path) -> None:
    path = tmp_path / "meminfo.txt"
    path.write_text(text)
    with pytest.raises(InputError, match="holds nothing that tells of free memory"):
        diagnose(path)


@pytest.mark.parametrize("separator", [" ", ",", "\t"])
def test_a_table_with_a_row_a_machine_says_that_the_last_counts(tmp_path: Path, separator: str) -> None:
    """One of them was taken, without a word."""
    rows = [["host", "Cached", "MemFree", "MemTotal"], ["a", 3000, 400000, 8000000], ["b", 5000, 600000, 16000000]]
    path = tmp_path / "table"
    path.write_text("".join(separator.join(map(str, row)) + "\n" for row in rows))
    found = diagnose(path)
    assert (found.total, found.free) == (16000000 << 10, 600000 << 10)
    assert found.evidence.meminfo["Cached"] == 5000
    assert [line.partition(": ")[2] for line in found.warnings] == ["has meminfo more than once: the last one counts"]
