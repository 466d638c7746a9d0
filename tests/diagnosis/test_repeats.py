"""Of tables that a loop left in one file the last counts, and the file's length hardly does."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from pagehint.diagnosis.examine import diagnose
from pagehint.diagnosis.recognise import read_files
from pagehint.diagnosis.repeats import without_repeats
from tests.diagnosis.conftest import DATA
from tests.diagnosis.samples import SAMPLES

FOLDER = DATA / "compile612"
LENGTH = 6 << 20
FREE = """               total        used        free      shared  buff/cache   available
Mem:        24683656     4329992    17008388        8924     3680956    20353664
Swap:              0           0           0
"""
TABLES = {
    name: (FOLDER / f"{name}.txt").read_text()
    for name in ("buddyinfo", "pagetypeinfo", "zoneinfo", "meminfo", "vmstat")
} | {"free": FREE}


def other(text: str) -> str:
    """The same table, with other figures where numbers are long."""
    return re.sub(r"\d{4,}", lambda match: str(int(match[0]) // 8 * 4), text)


def often(text: str) -> str:
    return text * (LENGTH // len(text) + 1)


def told(path: Path, text: str) -> dict[str, object]:
    path.write_text(text)
    return {name: each for name, each in diagnose(path).to_dict().items() if name != "warnings"}


def prefixed(text: str) -> str:
    return "".join(f"Nov 28 00:47:11 web-1 collect[12]: {line}\n" for line in text.splitlines())


@pytest.mark.parametrize("form", [str, prefixed], ids=["plain", "prefixed"])
@pytest.mark.parametrize("name", TABLES)
def test_the_last_of_many_counts(tmp_path: Path, name: str, form: Callable[[str], str]) -> None:
    last = form(TABLES[name])
    text = often(form(other(TABLES[name]))) + last
    assert len(without_repeats(text)) < 3 << 20
    assert told(tmp_path / "text.txt", text) == told(tmp_path / "text.txt", last)


def test_what_is_there_once_stays(tmp_path: Path) -> None:
    once = TABLES["meminfo"] + TABLES["zoneinfo"]
    many = often(TABLES["buddyinfo"])
    assert len(without_repeats(once + many)) < 3 << 20
    assert told(tmp_path / "text.txt", once + many) == told(tmp_path / "text.txt", once + TABLES["buddyinfo"])


def test_a_table_of_many_cpus_stays_whole() -> None:
    cpu = (
        "    cpu: {}\n              count: 1\n              high:  2\n              batch: 3\n  vm stats threshold: 9\n"
    )
    cpus = "".join(map(cpu.format, range(20_000)))
    text = "".join(f"Node {node}, zone   Normal\n  pages free     7\n  pagesets\n{cpus}" for node in range(3))
    assert len(text) > LENGTH - (1 << 20)
    assert without_repeats(text) == text


def test_each_report_counts(tmp_path: Path) -> None:
    report = SAMPLES["6.1, two nodes"]
    path = tmp_path / "text.txt"
    path.write_text(often(TABLES["meminfo"]) + other(report) + report + often(TABLES["meminfo"]))
    assert len(diagnose(path).failures) == 2
    text = report * 4000
    assert len(without_repeats(text)) < len(text) / 2
    path.write_text(text + TABLES["buddyinfo"])
    found = read_files([path])
    assert found.buddy
    assert any("more reports of memory than the first 1,000" in warning for warning in found.warnings)


def test_a_zone_that_is_there_often_is_said_once(tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_text((TABLES["zoneinfo"] + other(TABLES["zoneinfo"])) * 9)
    assert len([warning for warning in read_files([path]).warnings if "zone DMA32 of" in warning]) == 1


def test_zoneinfo_whose_repeats_name_no_zone(tmp_path: Path) -> None:
    """All of it was read, at 0.7 s a MiB; and each CPU's list counted as often as it was there."""
    zone = TABLES["zoneinfo"][TABLES["zoneinfo"].index("Node 0, zone    DMA32") :].partition("Node 0, zone   Normal")[0]
    name, lines = zone.partition("\n")[0], zone.partition("\n")[2]
    lines = "".join(f"{line}\n" for line in lines.splitlines() if "start_pfn" not in line)
    text = f"{name}\n{often(other(lines)) * 3}{lines}"
    assert len(without_repeats(text)) < 6 << 20 < len(text) // 3
    expected = told(tmp_path / "text.txt", f"{name}\n{lines}")
    assert told(tmp_path / "text.txt", text) == expected
    assert told(tmp_path / "text.txt", f"{name}\n{other(lines) * 3}{lines}") == expected


def test_a_log_that_begins_with_a_bracket_is_no_json(tmp_path: Path) -> None:
    """dmesg's was read line by line: 60 MB took 48 s."""
    text = "".join(f"[{number:9}.123456] mem: page free: {number} pages of memory\n" for number in range(100_000))
    assert len(without_repeats(text)) < 3 << 20 < len(text) // 3 * 2
    report = "".join(f"[  532.610402] {line}\n" for line in SAMPLES["6.1, two nodes"].splitlines())
    (tmp_path / "alone.txt").write_text(report)
    (tmp_path / "within.txt").write_text(text + report + text)
    alone, within = (diagnose(tmp_path / f"{name}.txt").failures for name in ("alone", "within"))
    assert alone
    assert within == alone


def test_of_rows_whose_head_is_far_the_last_counts(tmp_path: Path) -> None:
    """Each was searched for each word that tells, and for its like: 50 MiB took two seconds."""
    head = " r  b   swpd   free   buff  cache   si   so    bi    bo   in   cs us sy id wa st\n"
    row = " 7  0      0 {:8} 52624 4055092    0    0   597  1313  441 1071 80  9 10  0  0\n"
    text = head + "".join(row.format(4 * at) for at in range(250_000, 320_000))
    assert without_repeats(text) is text
    (tmp_path / "text").write_text(text)
    assert diagnose(tmp_path / "text").free == 4 * 319_999 << 10
