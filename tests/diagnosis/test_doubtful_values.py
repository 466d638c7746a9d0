"""What a text can't mean, or says twice, is said: two machines' figures never become one's."""

from pathlib import Path

import pytest

from pagehint.diagnosis.examine import diagnose
from pagehint.errors import InputError
from tests.diagnosis.samples import SAMPLES

MEMINFO = "MemTotal:  8000000 kB\nMemFree:  400000 kB\nCached:  1800000 kB\nAnonPages:  900000 kB\n"
VMSTAT = "nr_free_pages 100000\nnr_inactive_file 250000\npgfault 17\n"
TYPES = (
    "Page block order: 9\nPages per block:  512\n\nFree pages count per migrate type at order"
    "      0      1      2      3      4      5      6      7      8      9     10\n"
    f"Node    0, zone   Normal, type    Movable{'      5' * 11}\n"
)
BUDDYINFO = "Node 0, zone    DMA32    100     50     25     12      6      3      1      1      1      0    200\n"
FREE = (
    "        total   used   free   shared  buff/cache   available\nMem:    15988   3012   8877   123   4098   12650\n"
)
ZONE = """Node 0, zone   Normal
  pages free     500
        boost    0
        min      10
        low      12
        high     14
        spanned  4096
        present  4000
        managed  3900
        protection: (0, 0)
      nr_free_pages 500
  start_pfn:           4096
"""


def _warned(tmp_path: Path, text: str) -> list[str]:
    (tmp_path / "x").write_text(text)
    return diagnose(tmp_path / "x").warnings


@pytest.mark.parametrize(
    ("text", "other", "what"),
    [
        (MEMINFO, ("400000", "300000"), "meminfo"),
        (VMSTAT, ("100000", "90000"), "vmstat"),
        (TYPES, ("Movable      5", "Movable      7"), "pagetypeinfo"),
        (FREE, ("8877", "7000"), "the output of free"),
    ],
)
def test_of_two_the_last_counts_and_it_is_said(tmp_path: Path, text: str, other: tuple[str, str], what: str) -> None:
    said = f"has {what} more than once"
    assert any(said in warning for warning in _warned(tmp_path, text + "\n" + text.replace(*other)))
    assert not any(said in warning for warning in _warned(tmp_path, text + "\n" + text))
    assert not any(said in warning for warning in _warned(tmp_path, text))


def test_two_machines_are_not_mixed_where_the_last_is_cut_off(tmp_path: Path) -> None:
    (tmp_path / "x").write_text(MEMINFO + "MemTotal:  2000000 kB\nMemFree:  1000 kB\n")
    assert diagnose(tmp_path / "x").evidence.meminfo == {"MemTotal": 2000000, "MemFree": 1000}


@pytest.mark.parametrize(
    ("text", "count", "below"),
    [
        (MEMINFO, "  400000", " -3"),
        (VMSTAT, " 100000", " -3"),
        (BUDDYINFO + BUDDYINFO.replace("DMA32", "Normal"), " 100", " -4"),
    ],
)
def test_a_count_below_zero_is_said(tmp_path: Path, text: str, count: str, below: str) -> None:
    assert any("no count is below zero" in each for each in _warned(tmp_path, text.replace(count, below, 1)))
    assert not any("below zero" in each for each in _warned(tmp_path, text))


@pytest.mark.parametrize(
    ("text", "count", "impossible", "said"),
    [
        (MEMINFO, "8000000", "9" * 19, "no machine has so much memory"),
        (MEMINFO, "900000", "99999999999", "more is counted than there is memory, as anon"),
        (VMSTAT, "100000", "9" * 17, "more is counted than there is memory, as free"),
        (ZONE, "low      12", "low      0", "watermarks that no kernel sets"),
        (ZONE, "high     14", "high     0", "watermarks that no kernel sets"),
        (ZONE, "min      10", "min      60000", "watermarks that no kernel sets"),
    ],
)
def test_what_no_machine_counts_is_said(tmp_path: Path, text: str, count: str, impossible: str, said: str) -> None:
    assert any(said in each for each in _warned(tmp_path, text.replace(count, impossible, 1)))
    assert not any(said in each for each in _warned(tmp_path, text))


@pytest.mark.parametrize(
    ("count", "impossible"),
    [
        ("managed  3900", "managed  99999"),
        ("nr_free_pages 500", "nr_free_pages 99999"),
        ("protection: (0", "protection: (999999999999"),
    ],
)
def test_a_zone_that_no_machine_has_is_refused(tmp_path: Path, count: str, impossible: str) -> None:
    with pytest.raises(InputError, match=r"no kernel says so|no machine has so much"):
        _warned(tmp_path, ZONE.replace(count, impossible))


@pytest.mark.parametrize(
    "text",
    [FREE.replace("15988", "15,988").replace("3012", "3,012").replace("8877", "8,877"), FREE.replace("   ", " | ")],
)
def test_free_with_thousands_apart_and_in_a_table(tmp_path: Path, text: str) -> None:
    (tmp_path / "x").write_text(text.replace("\n", "\n|---|---|---|\n", 1) if "|" in text else text)
    found = diagnose(tmp_path / "x").evidence.figures
    assert (found["total"] >> 20, found["free"] >> 20) == (15988, 8877)


def test_meminfo_with_thousands_apart(tmp_path: Path) -> None:
    (tmp_path / "x").write_text(MEMINFO.replace("8000000", "8,000,000").replace("400000", "400,000"))
    found = diagnose(tmp_path / "x").evidence.meminfo
    assert (found["MemTotal"], found["MemFree"]) == (8000000, 400000)


def test_a_log_whose_figures_were_damaged_tells_no_more_than_the_machine_has(tmp_path: Path) -> None:
    """Blocks and lists of a petabyte were told without a word, and -184 MiB of memory."""
    path = tmp_path / "log.txt"
    for whole, damaged, said in (
        ("12000*4kB", "99999999999*4kB", "the free blocks of Normal don't add up"),
        (
            "Node 0 Normal: 12000*4kB",
            "Node 0 Normal: 99999999999*4kB (UME)\nNode 0",
            "the log's blocks of zone Normal of node 0 are",
        ),
        ("free_pcp:28kB", "free_pcp:9223372036854775807kB", "zone Normal of node 0 has less than is on CPUs' lists"),
        ("12500 pages reserved", "99999999999 pages reserved", ""),
    ):
        path.write_text(SAMPLES["6.18"].replace(whole, damaged))
        found = diagnose(path)
        assert any(said in line for line in found.warnings) or not said
        assert found.total is None or 0 < found.total < 2 << 30
        per_cpu = found.free_resident["per_cpu"].most
        assert per_cpu is None or per_cpu < 1 << 30


def test_no_action_brings_more_than_the_machine_has_and_no_cause_less_than_nothing(tmp_path: Path) -> None:
    path = tmp_path / "files.txt"
    path.write_text(
        "MemTotal: 1000000 kB\nMemFree: 600000 kB\nCached: 500000 kB\nBuffers: 0 kB\nActive(file): 100000 kB\n"
        f"Inactive(file): 400000 kB\nNode 0, zone   Normal{'  100' * 11}\n"
    )
    found = diagnose(path)
    assert found.total is not None
    for by_order in found.would_bring.values():
        assert all(size.most is None or size.most <= found.total for size in by_order.values())
    # As of buddyinfo that was read a moment after zoneinfo.
    path.write_text(
        "Node 0, zone   Normal\n  pages free 1000\n  min 10\n  low 20\n  high 30\n  spanned 90000\n  present 90000\n"
        f"  managed 90000\nNode 0, zone   Normal{'  0' * 9} 3 0\n"
    )
    assert diagnose(path).free_resident["below_order"].least == 0
