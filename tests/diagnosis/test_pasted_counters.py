"""meminfo of a machine's nodes is added up, whichever files it is in."""

import re
from pathlib import Path

import pytest

from pagehint.diagnosis.examine import diagnose
from pagehint.errors import InputError
from tests.diagnosis.conftest import DATA

NODES = [
    "".join(
        f"Node {node} {name + ':':15} {kib:8} kB\n"
        for name, kib in (("MemTotal", 4 << 20), ("MemFree", (node + 1) << 20), ("FilePages", 1 << 20))
    )
    for node in (0, 1)
]
_SOME = {"MemTotal": 8144488, "MemFree": 3012544, "MemAvailable": 6410240, "Cached": 3729408, "Shmem": 12020}


@pytest.mark.parametrize("prefix", ["", "web-1: "])
def test_nodes_counts_are_added(prefix: str, tmp_path: Path) -> None:
    """The node was taken for a prefix, and the last node's memory for all there is."""
    path = tmp_path / "meminfo"
    for text, total, free, alone in (
        ("".join(NODES), 8, 3, False),
        ("".join(NODES) + NODES[0], 8, 3, False),
        (NODES[0], 4, 1, False),
        (NODES[1], 4, 2, True),
    ):
        path.write_text("".join(f"{prefix}{line}\n" for line in text.splitlines()))
        found = diagnose(path)
        assert (found.total, found.free) == (total << 30, free << 30)
        assert any("of node 1 alone" in warning for warning in found.warnings) == alone


def _given(folder: Path, *texts: str) -> list[Path]:
    paths = [folder / f"meminfo-{place}" for place in range(len(texts))]
    for path, text in zip(paths, texts, strict=True):
        path.write_text(text)
    return paths


LATER = NODES[0].replace(f"{1 << 20:8} kB", f"{1 << 19:8} kB", 1)


@pytest.mark.parametrize(
    ("texts", "total", "free", "said"),
    [
        (NODES, 8, 3, None),
        ([NODES[1], NODES[0]], 8, 3, None),
        ([NODES[0], NODES[0]], 4, 1, None),
        ([*NODES, LATER], 8, 2.5, "meminfo-2: holds node 0's meminfo again: what was read last counts"),
        ([NODES[0] + LATER, NODES[1]], 8, 2.5, "meminfo-0: has node 0's meminfo more than once: the last one counts"),
        ([*NODES, "MemTotal: 8388608 kB\nMemFree: 3145700 kB\n"], 8, 3145700 / (1 << 20), None),
        (["MemTotal: 8388608 kB\nMemFree: 3145700 kB\n", NODES[1]], 8, 3145700 / (1 << 20), None),
        (["MemTotal: 4194304 kB\nMemFree: 1045700 kB\n", *NODES], 4, 1045700 / (1 << 20), "are of several machines"),
    ],
    ids=["two", "the other first", "one twice", "one later", "one later in a file", "and all", "all, one", "another's"],
)
def test_nodes_in_several_files(texts: list[str], total: float, free: float, said: str | None, tmp_path: Path) -> None:
    found = diagnose(_given(tmp_path, *texts))
    assert (found.total, found.free) == (total * (1 << 30), free * (1 << 30))
    assert [said in warning for warning in found.warnings] == [True] if said else not found.warnings


@pytest.mark.parametrize("name", ["buddyinfo", "zoneinfo"])
def test_zones_in_several_files_are_those_of_one_machine(name: str, tmp_path: Path) -> None:
    """The last file's were all."""
    text = (DATA / "compile612" / f"{name}.txt").read_text()
    both = text + text.replace("Node 0", "Node 1")
    together = diagnose(_given(tmp_path, both)).to_dict()
    apart = diagnose(_given(tmp_path, text, text.replace("Node 0", "Node 1"))).to_dict()
    assert {**apart, "sources": together["sources"]} == together
    assert diagnose(_given(tmp_path, both, text)).to_dict()["zones"] == together["zones"]
    again = diagnose(_given(tmp_path, both, re.sub(r"\d+(?=\s*\n)", "1", text, count=1)))
    assert [f"holds {name} again: what was read last counts" in warning for warning in again.warnings] == [True]


@pytest.mark.parametrize("form", ["{}   {}\n", "{} | {}\n", "-{}\n+{}\n"], ids=["paste", "diff -y", "diff -u"])
def test_two_moments_side_by_side(form: str, tmp_path: Path) -> None:
    """The later one's total was with the earlier."""
    text = (DATA / "compile612" / "meminfo.txt").read_text()
    later = re.sub(r"(MemFree: +) (\d)", r"\g<1>1\2", text)
    lines = zip(text.splitlines(), later.splitlines(), strict=True)
    (both,) = _given(tmp_path, "".join(form.format(*pair) for pair in lines))
    alone = tmp_path / "alone"
    alone.write_text(later)
    found, expected = diagnose(both), diagnose(alone)
    assert (found.total, found.free) == (expected.total, expected.free)
    assert any("has meminfo more than once: the last one counts" in warning for warning in found.warnings)


@pytest.mark.parametrize(("size", "told"), [("Hugepagesize:       2048 kB\n", False), ("", True)])
def test_huge_pages_of_older_kernels_and_of_nodes_are_counted(tmp_path: Path, size: str, told: bool) -> None:
    """They were taken for the kernel's own memory, 8 GiB of 16."""
    text = (
        "MemTotal: 16777216 kB\nMemFree: 2097152 kB\nAnonPages: 2097152 kB\nActive(file): 0 kB\nInactive(file): 0 kB\n"
    )
    text += f"HugePages_Total:    4096\nHugePages_Free:     4096\n{size}"
    (tmp_path / "meminfo").write_text("".join(f"{'' if size else 'Node 0 '}{line}\n" for line in text.splitlines()))
    found = diagnose(tmp_path / "meminfo")
    assert (found.used_by["hugetlb"].best, found.used_by["other"].best) == (8 << 30, 4 << 30)
    assert any("4,096 huge pages are taken to be of 2 MiB" in warning for warning in found.warnings) == told


def test_two_figures_in_a_row_are_told_of(tmp_path: Path) -> None:
    """Of a table of before and after the first was taken without a word."""
    (tmp_path / "table").write_text(
        "| | before | after |\n|---|---|---|\n"
        "| MemTotal | 16777216 kB | 16777216 kB |\n"
        "| MemFree | 1000000 kB | 3000000 kB |\n"
    )
    found = diagnose(tmp_path / "table")
    assert found.free == 1000000 << 10
    assert any("several figures of MemFree in a row" in warning for warning in found.warnings)


def test_a_dictionary_of_pythons_and_aligned_columns(tmp_path: Path) -> None:
    (tmp_path / "meminfo").write_text("{'MemTotal': 24684084, 'MemFree': 18544600, 'Cached': 3}\n")
    assert diagnose(tmp_path / "meminfo").free == 18544600 << 10
    (tmp_path / "buddyinfo").write_text(
        "Node  0,  zone  DMA32   1  2      4      2      5     4     3    4    5    3  751\n"
    )
    assert diagnose(tmp_path / "buddyinfo").zones[0].counts == [1, 2, 4, 2, 5, 4, 3, 4, 5, 3, 751]


def test_a_figure_that_was_broken_is_none(tmp_path: Path) -> None:
    """Its first digits were taken for all of it."""
    (path,) = _given(tmp_path, "MemTotal:         990904 kB\nMemFree:          8 45956 kB\n")
    assert diagnose(path).free is None


@pytest.mark.parametrize(
    "figure", ["13,10,728 kB", "1\u2019310\u2019728 kB", "1'310'728 kB", "1_310_728 kB", "1\u202f310\u202f728 kB"]
)
def test_thousands_apart_as_countries_and_programs_have_them(tmp_path: Path, figure: str) -> None:
    """Without a word, nothing was said to be free."""
    (path,) = _given(tmp_path, f"MemTotal: 2021564 kB\nMemFree: {figure}\n")
    found = diagnose(path)
    assert (found.free, found.warnings) == (1310728 << 10, [])


@pytest.mark.parametrize(
    "line", ["MemFree: 13l0728 kB", "MemFree;   1310728 KB", "MemFree: 131 0728 kB", "MemFree:O0 kB"]
)
def test_a_line_of_meminfo_that_is_not_understood_is_said(tmp_path: Path, line: str) -> None:
    """As a program reads a picture. It was left out without a word."""
    (path,) = _given(tmp_path, f"MemTotal: 2021564 kB\n{line}\nCached: 605920 kB\n")
    found = diagnose(path)
    assert found.free is None
    assert any(f"a line of meminfo is not understood, and left out: {line}" in each for each in found.warnings)


def test_meminfo_as_powershell_lists_it(tmp_path: Path) -> None:
    (path,) = _given(tmp_path, "MemTotal           : 2021564 kB\nMemFree            : 1310728 kB\n")
    assert (diagnose(path).total, diagnose(path).free) == (2021564 << 10, 1310728 << 10)


@pytest.mark.parametrize("width", range(17, 29))
def test_figures_that_a_narrow_window_cut_are_left_out(width: int, tmp_path: Path) -> None:
    """Of 8,144,488 kB were 81,444, without a word."""
    text = "".join(f"{name + ':':15} {kib:8} kB\n" for name, kib in _SOME.items())
    whole = diagnose(_given(tmp_path, text))
    cut = _given(tmp_path, "".join(f"{line[:width]}\n" for line in text.splitlines()))
    if width < 24:
        with pytest.raises(
            InputError, match=r"figure of meminfo is cut off, or has another unit|holds nothing that tells"
        ):
            diagnose(cut)
    else:
        found = diagnose(cut)
        assert (found.free, found.total, found.warnings) == (whole.free, whole.total, whole.warnings)


@pytest.mark.parametrize("end", range(1, 45))
def test_a_figure_at_the_end_of_a_text_that_is_cut_off_is_left_out(end: int, tmp_path: Path) -> None:
    text = "".join(f"{name + ':':15} {kib:8} kB\n" for name, kib in _SOME.items())
    cut = text[: text.index("MemAvailable") - end]
    found = diagnose(_given(tmp_path, cut)) if "88 kB" in cut else None
    assert found is None or (found.total, found.free) in ((_SOME["MemTotal"] << 10, None), (8339955712, 3084845056))
