"""The output of free: units that nobody names, old and new columns, one line."""

import random
import textwrap
from contextlib import suppress
from pathlib import Path

import pytest

from pagehint.diagnosis.examine import diagnose
from pagehint.diagnosis.free_tool import parse_free
from pagehint.diagnosis.pasted import plain_lines
from pagehint.errors import InputError

MIB = 1 << 20
HEAD = "               total        used        free      shared  buff/cache   available\n"
BUSYBOX = """             total         used         free       shared      buffers
Mem:        246796       118160       128636            0         4588
-/+ buffers:             113572       133224
Swap:            0            0            0
"""


def parsed(text: str) -> tuple[dict[str, int], str | None, bool]:
    found = parse_free(plain_lines(text))
    assert found is not None
    return found[0].sizes, found[0].unit, found[1]


def row(figures: list[int], unit: int) -> str:
    return HEAD + "Mem: " + " ".join(f"{figure // unit:11}" for figure in figures) + "\n"


@pytest.mark.parametrize("size", [64 << 20, 256 << 20, 1 << 30, 2 << 30, 16 << 30, 200 << 30])
@pytest.mark.parametrize(("unit", "name"), [(1, "bytes"), (1 << 10, None), (1 << 20, "MiB")])
def test_the_unit_by_the_figures(size: int, unit: int, name: str | None) -> None:
    """A guest of 256 MiB, in free's own KiB, was taken for a machine of 241 GiB."""
    if unit == 1 << 20 and size < 1 << 30:
        pytest.skip("below 256 it is taken for GiB")
    for seed in range(50):
        random.seed(seed)
        total = size // 4096 - random.randrange(5000)
        free, shared, cache, available = (random.randrange(1, total // 2) for _ in range(4))
        pages = [total, total - free - cache, free, shared, cache, available]
        found, guessed, others = parsed(row([each * 4096 for each in pages], unit))
        assert (guessed, others) == (name, False)
        assert found["free"] == pages[2] * 4096 // unit * unit


@pytest.mark.parametrize(
    ("figures", "unit", "name"),
    [
        ([25276063, 4433911, 17416589, 9138, 3769298, 20842151], 1000, "kB"),
        ([515432, 101203, 300001, 9, 114228, 410001], 1 << 20, "MiB"),
    ],
    ids=["--si", "-m, of 503 GiB"],
)
def test_what_are_no_whole_pages_is_not_in_kib(figures: list[int], unit: int, name: str) -> None:
    found, guessed, _ = parsed(row(figures, 1))
    assert guessed == name
    assert (found["total"], found["buff_cache"]) == (figures[0] * unit, figures[4] * unit)


def test_buffers_and_cache_in_one_bound_what_dropping_brings(tmp_path: Path) -> None:
    """They were read, and told of nowhere."""
    path = tmp_path / "free.txt"
    path.write_text(row([24683656, 4329992, 17008388, 8924, 3680956, 20353664], 1))
    found = diagnose(path)
    assert found.used_by["cache_and_slab"].best == (3680956 - 8924) << 10
    assert found.would_bring["drop_caches"][9].most is not None


def test_busybox() -> None:
    found, guessed, _ = parsed(BUSYBOX)
    assert guessed is None
    assert (found["total"], found["free"]) == (246796 << 10, 128636 << 10)


def test_on_one_line() -> None:
    line = "SwapUse           0 CachUse     3114656  MemUse     1025724 MemFree    20651224 \n"
    assert parsed(line) == ({"free": 20651224 << 10, "cached": 3114656 << 10}, None, False)
    assert parsed(line + line)[2] is False
    assert parsed(line + line.replace("20651224", "20651220"))[2] is True
    assert parse_free(["SwapUse 0 CachUse 1 MemUse 2"]) is None


FIGURES = [24683656, 1214216, 20980816, 8964, 2854996, 23469440]


@pytest.mark.parametrize("mark", [",", ";", "|"])
@pytest.mark.parametrize("quote", ["", '"'])
def test_a_spreadsheets(mark: str, quote: str) -> None:
    """Nothing was read of it."""
    text = "".join(
        mark.join(f"{quote}{word}{quote}" for word in line.split()) + "\n" for line in row(FIGURES, 1).splitlines()
    )
    assert parsed(text) == parsed(mark + text) == parsed(row(FIGURES, 1))
    for figure, size in zip(FIGURES, ("24G", "1.2G", "20G", "8.8M", "2.8G", "22G"), strict=True):
        text = text.replace(str(figure), size)
    assert parsed(text)[0]["available"] == 22 << 30


def test_a_row_without_its_head() -> None:
    """Old and new columns begin alike."""
    sure = {"total": 24683656 << 10, "free": 20980816 << 10, "shmem": 8964 << 10}
    assert parsed(row(FIGURES, 1).splitlines()[1]) == (sure, None, False)
    assert parsed("Mem:  15Gi  1.2Gi  7.5Gi  9.0Mi  7.0Gi  14Gi")[0]["free"] == int(7.5 * (1 << 30))
    assert parse_free(["Mem: 1 2"]) is None


GIB, GB = 1 << 30, 10**9
NEW = """               total        used        free      shared  buff/cache   available
Mem:             25G        876M         23G        9.1M        1.3G         24G
"""
OLD = """              total        used        free      shared  buff/cache   available
Mem:            25G        876M         23G        9.1M        1.3G         24G
"""
OF_BUSYBOX = OLD.replace(" 25G", "23.5G").replace(" 23G", "21.7G")
OF_TOYBOX = """\t\ttotal        used        free      shared     buffers
Mem:              24G        1.9G         22G        8.6M         18M
-/+ buffers/cache:           1.9G         22G
"""


@pytest.mark.parametrize(
    ("text", "size", "least", "most"),
    [
        (NEW.replace("G", "Gi").replace("M ", "Mi "), 23 * GIB, 23 * GIB, 24 * GIB),
        (NEW, 23 * GB, 23 * GB, 24 * GB),
        (OLD, 23 * GIB, 23 * GB, 24 * GIB),
        (" ".join(OLD.splitlines()[1].split()), 23 * GIB, 23 * GB, 24 * GIB),
        (OF_BUSYBOX, 21.7 * GIB, 21.65 * GIB, 21.75 * GIB),
        (OF_TOYBOX, 22 * GIB, 21.5 * GIB, 23 * GIB),
    ],
    ids=["procps", "procps --si", "procps, old or --si", "spaces lost", "busybox", "toybox"],
)
def test_a_g_is_what_its_tool_means(tmp_path: Path, text: str, size: float, least: float, most: float) -> None:
    """Each was taken for a GiB without a word, 7 % too much with --si, and for no more than it was cut off to."""
    (tmp_path / "free").write_text(text + "\n")
    found = diagnose(tmp_path / "free")
    assert found.free == int(size)
    assert found.free_resident["waiting"].most == pytest.approx(most, abs=1)
    assert found.would_bring["reporting"][9].most == pytest.approx(most, abs=1)
    said = [warning for warning in found.warnings if f"from {int(least) >> 20:,} to {int(most) >> 20:,} MiB" in warning]
    assert bool(said) == (most > 1.03 * least)
    assert ("1000 or of 1024" in "".join(said)) == (least == 23 * GB and most == 24 * GIB)


def test_what_is_cut_off_to_0_is_not_nothing(tmp_path: Path) -> None:
    (tmp_path / "free").write_text(row([4 * GIB, 1, GIB - 1, 1, 2 * GIB, 3 * GIB], GIB))
    found = diagnose(tmp_path / "free")
    assert (found.free, found.free_resident["waiting"].most) == (0, GIB)
    assert found.used_by["cache_and_slab"].most == 3 * GIB
    assert any("from 0 to 1,024 MiB are free" in warning for warning in found.warnings)


def test_a_later_file_tells_what_is_rounded(tmp_path: Path) -> None:
    (tmp_path / "free").write_text(NEW)
    (tmp_path / "meminfo").write_text("MemTotal: 24684084 kB\nMemFree: 22461000 kB\n")
    found = diagnose([tmp_path / "free", tmp_path / "meminfo"])
    assert found.free_resident["waiting"].most == 22461000 << 10


OF_MIB = (
    HEAD
    + """Mem:           24105        1812       20683           8        1940       22293
Swap:              0           0           0
"""
)
OF_UNITS = (
    HEAD
    + """Mem:            23Gi       1.8Gi        20Gi       8.5Mi       1.9Gi        21Gi
Swap:             0B          0B          0B
"""
)


WIDE = """               total        used        free      shared     buffers       cache   available
Mem:         8144488     1211712     3012544       12000      123456     3796776     6410240
Swap:        2097148           0     2097148
"""


@pytest.mark.parametrize("width", range(20, 92))
@pytest.mark.parametrize("text", [OF_UNITS, WIDE])
def test_what_a_windows_right_edge_cut_is_read_as_far_as_it_is_whole(tmp_path: Path, text: str, width: int) -> None:
    """Of free -w in 80 columns nothing was read; a last figure that was cut off made kB of all KiB."""
    path = tmp_path / "text.txt"
    path.write_text(text)
    whole = diagnose(path)
    path.write_text("".join(f"{line[:width]}\n" for line in text.splitlines()))
    with suppress(InputError):
        found = diagnose(path)
        assert (found.free, found.total, found.evidence.figures.items() - whole.evidence.figures.items()) == (
            whole.free,
            whole.total,
            set(),
        )
        return
    assert width < 54 or (text is WIDE and 67 < width < 74)


@pytest.mark.parametrize("width", range(20, 80))
@pytest.mark.parametrize("text", [OF_MIB, OF_UNITS])
def test_what_a_narrow_terminal_broke_is_read_or_refused(tmp_path: Path, text: str, width: int) -> None:
    """Of a row that was broken within a figure, 2 and 12 MiB were said to be free."""
    path = tmp_path / "text.txt"
    lines = text.splitlines()
    path.write_text("".join(f"{line[at : at + width]}\n" for line in lines for at in range(0, len(line), width)))
    with suppress(InputError):
        assert (diagnose(path).free or 0) >> 20 == (20683 if text is OF_MIB else 20480)
    path.write_text("".join(f"{part}\n" for line in lines for part in textwrap.wrap(line, width)))
    assert (diagnose(path).free or 0) >> 20 == (20683 if text is OF_MIB else 20480)


def test_what_to_do_about_broken_rows_is_said(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("Mem:          24105        18\n12       20683        8\n  1940      22293\n")
    with pytest.raises(InputError, match="the output of free, whose lines are broken or missing: give all"):
        diagnose(tmp_path / "text")


@pytest.mark.parametrize(
    ("command", "unit"),
    [
        ("$ free -m", MIB),
        ("root@web-1:~# free -mt -s 1", MIB),
        ("free --mega", 10**6),
        ("# free -m --si", 10**6),
        ("$ free --giga -w", 10**9),
        ("> sudo free -k", 1 << 10),
        ("$ free -t", 1 << 10),
    ],
)
def test_its_command_tells_the_unit(command: str, unit: int) -> None:
    """The figures of a guest of 123 MiB were taken for GiB, those of --mega for MiB."""
    text = f"{command}\n{HEAD}Mem:             123          45          60           1          18          70\n"
    assert parsed(text) == ({"total": 123 * unit, "free": 60 * unit, "shmem": unit, "buff_cache": 18 * unit,
                             "available": 70 * unit}, None, False)  # fmt: skip
    assert parsed(f"{text}$ free -b\n")[1] == "GiB"


def test_of_a_row_that_is_cut_off_the_last_figure_is_none(tmp_path: Path) -> None:
    """Of a table whose right was cut off, a thousandth was free."""
    (tmp_path / "text").write_text(
        "               total        used       fre\nMem:        24683656     4329992     17008\n"
    )
    with pytest.raises(InputError, match="the output of free, whose lines are broken"):
        diagnose(tmp_path / "text")


def test_a_space_before_the_colon_as_in_french() -> None:
    head = "       total utilis\u00e9 libre partag\u00e9 tamp/cache disponible\n"
    sizes, _, _ = parsed(f"{head}Mem :  16303428 9123456 1234568 412344 5945404 6412344\n\u00c9change : 9 0 9\n")
    assert (sizes["total"], sizes["free"]) == (16303428 << 10, 1234568 << 10)


@pytest.mark.parametrize(
    ("columns", "sizes"),
    [
        ("total used free available", {"total": 7821, "free": 925, "available": 6123}),
        ("total free used available", {"total": 7821, "free": 925, "available": 6123}),
        ("total used free buff/cache available", {"total": 7821, "free": 925, "buff_cache": 5484, "available": 6123}),
        ("total used free shared", {"total": 7821, "free": 925, "shmem": 33}),
    ],
)
def test_columns_that_somebody_left_out_move_no_others(columns: str, sizes: dict[str, int]) -> None:
    """What is available was taken for shared memory, without a word."""
    figures = {"total": 7821, "used": 1411, "free": 925, "shared": 33, "buff/cache": 5484, "available": 6123}
    row = " ".join(str(figures[column]) for column in columns.split())
    found = parse_free(["free -m", columns, f"Mem: {row}"])
    assert found is not None
    assert found[0].sizes == {name: size << 20 for name, size in sizes.items()}


def test_all_in_one_line_as_chats_leave_it(tmp_path: Path) -> None:
    """It was refused."""
    text = row(FIGURES, 1) + "Swap:      2097148       1232     2095916\n"
    (tmp_path / "text").write_text(" ".join(text.split()) + "\n")
    found = diagnose(tmp_path / "text")
    assert (found.total, found.free) == (FIGURES[0] << 10, FIGURES[2] << 10)
