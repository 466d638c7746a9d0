"""meminfo that somebody made a table of."""

from pathlib import Path

import pytest

from pagehint.diagnosis.cells import as_meminfo_lines
from pagehint.diagnosis.examine import diagnose

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
