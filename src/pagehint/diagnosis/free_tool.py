"""The output of free, of any version, unit and language."""

import itertools
import re
from collections.abc import Iterator
from typing import NamedTuple

from pagehint.diagnosis.figure import SMALLEST_PAGE, parse_figure

__all__ = ["FreeTool", "parse_free"]

_ROW = re.compile(
    r"([^\s\d]{1,20})\s?:\s*((?:[\d.,]{1,20}(?:[KMGTPkmgt]i?|[Bb])?B?\s+){3,7}[\d.,]{1,20}(?:[KMGTPkmgt]i?|[Bb])?B?)",
    re.ASCII,
)
_VALUE = re.compile(r"([\d.,]{1,20})([KMGTPkmgt]i?|[Bb])?", re.ASCII)
_ONE_LINE = re.compile(
    r"SwapUse\s+\d{1,20}\s+CachUse\s+(\d{1,20})\s+MemUse\s+(\d{1,20})\s+MemFree\s+(\d{1,20})", re.ASCII
)
_OF_FREE = re.compile(r'[,;|" ]{0,4}(?:total"?[,;|]|Mem:"?[,;|])')
_SEPARATORS = re.compile("[,;|]")
_CELL = re.compile(r"\s*(?:[a-z/]{4,12}|[\d.]{1,20}(?:[KMGTP]i?|B)?B?)?\s*", re.ASCII)
_RULE = re.compile(r"[-|+: ─┼]+")
_COMMAND = re.compile(r"(?:\A|[#$>%|;] ?)(?:sudo )?free((?: -[-a-z]{1,10}(?:[ =]\d{1,6})?)+)\Z", re.ASCII)
_UNITS_OF_1024 = [1, 1 << 10, 1 << 20, 1 << 30]
_UNITS = {
    **dict(zip("bkmg", _UNITS_OF_1024, strict=True)),
    **dict(zip(("--bytes", "--kibi", "--mebi", "--gibi"), _UNITS_OF_1024, strict=True)),
    "--kilo": 1000,
    "--mega": 1000**2,
    "--giga": 1000**3,
}
_SMALLEST = 16 << 10  # KiB: of a machine
_MOST_MIB = 1 << 21
_OF_BUSYBOX = re.compile(r"\d{2,4}\.\d[KMGTP]", re.ASCII)
_OF_TOYBOX, _OF_PROCPS = 5, 6  # columns; newer procps have 7 with -w
_MOST_OF_IT = 0.75
_FIRST = re.compile(r"Mem: {1,19}[\d.]{1,12}[KMGTP](?= )", re.ASCII)
_WIDTH = 20
_DECIMALS = re.compile(r"[.,](\d{1,2})[^\d]*\Z", re.ASCII)
_LETTERS = "BKMGTPE"
_NO_MEMORY = ("average", "swap", "échange", "auslagerung", "swapp", "intercambio")
_LAST, _BEFORE_LAST = "available", "cache"  # the second with -w
_NAMES = {
    "total": "total",
    "used": "used",
    "free": "free",
    "shared": "shmem",
    "buffers": "buffers",
    "cache": "cached",
    "cached": "cached",
    "buff/cache": "buff_cache",
    "available": "available",
}


class FreeTool(NamedTuple):
    """free's line Mem: bytes of the columns ``total``, ``free``, ``shmem``, ``cached``, ``available``.

    `unit` is the one that was guessed, where the figures have none. `ends` are the least and the most that a figure
    may stand for, where it is rounded; `is_doubtful` says that nothing tells units of 1000 from those of 1024.
    """

    sizes: dict[str, int]
    unit: str | None
    ends: dict[str, tuple[int, int]]
    is_doubtful: bool


class _Figure(NamedTuple):
    least: int
    size: int
    most: int


def parse_free(lines: list[str]) -> tuple[FreeTool, bool] | None:
    """free's line Mem; None where there is none. Of several the last counts; the second value is whether they differ.

    Without units in it, they are those of its command, or else guessed by the size of the figures, and named too:
    expected are machines of 256 MiB to 2 TiB, and smaller ones where all figures are whole pages. O(length).
    """
    lines = list(map(_spaced, lines))
    asked = _asked(lines)
    found = list(_rows(lines, asked)) or list(_on_one_line(lines)) or list(_without_head(lines, asked))
    return (found[-1], any(each != found[-1] for each in found)) if found else None


# Bytes of the unit that the command asks for, if it is there, and all of several ask for the same.
def _asked(lines: list[str]) -> int | None:
    units = set()
    for command in (match[1].split() for line in lines if "free -" in line and (match := _COMMAND.search(line))):
        words = [each for word in command for each in ([word] if word.startswith("--") else word[1:])]
        unit = next((_UNITS[word] for word in words if word in _UNITS), 1 << 10)
        units.add(1000 ** _UNITS_OF_1024.index(unit) if "--si" in words and unit in _UNITS_OF_1024 else unit)
    return units.pop() if len(units) == 1 else None


def _rows(lines: list[str], asked: int | None) -> Iterator[FreeTool]:
    for above, line in itertools.pairwise(line for line in lines if _RULE.fullmatch(line) is None):
        if (row := _ROW.fullmatch(line)) is None:
            continue
        head = above.lower().split()
        if not 3 <= len(head) <= 10 or any(char.isdigit() or char in ":%" for char in above):
            continue
        if row[1].lower().startswith(_NO_MEMORY) or ("free" not in head and len(head) not in (6, 7)):
            continue
        head, cut = _cut(head, row[2].split())
        if (found := _read(row, head, asked, cut)) is not None:
            yield found


# The head's words, and how many figures are whole where a window's right edge cut both, which end in the same columns.
def _cut(head: list[str], figures: list[str]) -> tuple[list[str], int | None]:
    words = head if head[-1] in _NAMES else head[:-1]
    is_known = words[:3] == ["total", "used", "free"] and _NAMES.keys() >= set(words)
    is_part = head[-1] != _LAST and any(name.startswith(head[-1]) for name in _NAMES)
    ends = words != head or len(figures) != len(head) or head[-1] == _BEFORE_LAST
    if not (is_known and is_part and ends and abs(len(figures) - len(words)) <= 1):
        return head, None
    columns = min(len(words), len(figures))
    return words[:columns], columns


# As grep leaves it: its last columns differ between versions.
def _without_head(lines: list[str], asked: int | None) -> Iterator[FreeTool]:
    for line in lines:
        row = _ROW.fullmatch(line)
        if row is not None and row[1] == "Mem" and (found := _read(row, [], asked)) is not None:
            yield found


def _read(row: re.Match[str], head: list[str], asked: int | None, cut: int | None = None) -> FreeTool | None:
    texts = row[2].split()[:cut]
    words = [value.groups(default="") for value in map(_VALUE.fullmatch, texts) if value is not None]
    numbers = [number for text, unit in words if (number := parse_figure(text, unit)) is not None]
    # In units that are larger than all of it nothing is told.
    if len(numbers) < len(texts) or not numbers[0]:
        return None
    units = [unit for _, unit in words]
    # Broken off from it.
    if any(units) and any(number and not unit for number, unit in zip(numbers, units, strict=True)):
        return None
    size, guessed = (1, None) if any(units) else _guess(numbers) if asked is None else (asked, None)
    bases = _bases(row[0], texts)
    figures = []
    for number, (text, unit) in zip(numbers, words, strict=True):
        sizes = [size * base ** _LETTERS.index((unit or "B")[0].upper()) for base in bases]
        below, above = _rounded(text, len(texts)) if sizes[-1] > 1 << 10 else (0, 0)
        least, most = max(number - below, 0) * sizes[0], (number + above) * sizes[-1]
        figures.append(_Figure(int(least), int(number * sizes[-1]), int(most)))
    if not (_adds_up(figures, head) if cut is None else figures[2].least <= figures[0].most):
        return None
    columns = _columns(figures if head else figures[:4], head)
    ends = {name: (figure.least, figure.most) for name, figure in columns.items() if figure.least < figure.most}
    return FreeTool({name: figure.size for name, figure in columns.items()}, guessed, ends, len(bases) > 1)


# Of a row that was broken within a figure it doesn't: what is used, free and cache is all, or more.
def _adds_up(figures: list[_Figure], head: list[str]) -> bool:
    if "free" in head and len(figures) > len(head):
        return False
    cache = figures[4:6] if len(figures) > _OF_PROCPS else figures[4:5]
    parts = sum(figure.most for figure in (*figures[1:3], *cache))
    return figures[2].least <= figures[0].most and (not cache or parts >= _MOST_OF_IT * figures[0].least)


# A G of free is 10^9 bytes with --si. Without it, it is a GiB to busybox and toybox, which have no --si, and to procps
# before 3.3.15; later ones write Gi, and their rows are wider from 3.3.17 on.
def _bases(line: str, texts: list[str]) -> list[int]:
    units = [text.lstrip("0123456789.,") for text in texts]
    of_1024 = any("i" in unit for unit in units) or len(texts) == _OF_TOYBOX or any(map(_OF_BUSYBOX.match, texts))
    if of_1024 or all(unit in ("", "B", "b") for unit in units):
        return [1024]
    first = _FIRST.match(line)
    return [1000] if first is not None and first.end() == _WIDTH else [1000, 1024]


# By how much a figure may be too high, and too low, in its unit: procps cuts off what it prints without decimals.
def _rounded(text: str, columns: int) -> tuple[float, float]:
    if (decimals := _DECIMALS.search(text)) is not None:
        half = 0.5 / 10 ** len(decimals[1])
        return half, half
    return (0.5 if columns == _OF_TOYBOX else 0), 1


# A spreadsheet's row, whose figures have no thousands apart.
def _spaced(line: str) -> str:
    cells = _SEPARATORS.split(line.replace('"', "")) if _OF_FREE.match(line) and len(line.split()) < 4 else []
    is_row = len(cells) > 4 and all(cell == cells[0] or _CELL.fullmatch(cell) for cell in cells)
    return " ".join(cells) if is_row else line


# With -L: what is in use, and no total.
def _on_one_line(lines: list[str]) -> Iterator[FreeTool]:
    for line in lines:
        if (match := _ONE_LINE.fullmatch(line)) is not None:
            cached, used, free = map(float, match.groups())
            unit, guessed = _guess([cached + used + free, cached, used, free])
            yield FreeTool({"free": int(free * unit), "cached": int(cached * unit)}, guessed, {}, False)


# Free rounds down to what it shows in: among MiB, or with --si, that all figures are multiples of 4 is one chance in
# hundreds.
def _guess(figures: list[float]) -> tuple[int, str | None]:
    total = figures[0]
    if total >= 1 << 31 or (total >= _SMALLEST << 10 and all(figure % SMALLEST_PAGE == 0 for figure in figures)):
        return 1, "bytes"
    if total >= _SMALLEST and all(figure % 4 == 0 for figure in figures):
        return 1 << 10, None
    if total >= _MOST_MIB:
        return 1000, "kB"
    return (1 << 20, "MiB") if total >= 256 else (1 << 30, "GiB")


# total used free shared buff/cache available; wide: buffers and cache apart; old: buffers, cached, and no available.
def _columns(sizes: list[_Figure], head: list[str]) -> dict[str, _Figure]:
    # Some of them may be left out, as by awk.
    if len(head) == len(sizes) and _NAMES.keys() >= set(head) >= {"total", "free"}:
        return {_NAMES[word]: size for word, size in zip(head, sizes, strict=True) if word != "used"}
    found = {"total": sizes[0], "free": sizes[2]}
    if len(sizes) > 3:
        found["shmem"] = sizes[3]
    if len(sizes) == 6 and "cached" in head:
        found |= {"buffers": sizes[4], "cached": sizes[5]}
    elif len(sizes) >= 7:
        found |= {"buffers": sizes[4], "cached": sizes[5], "available": sizes[6]}
    elif len(sizes) >= 5:
        found["buff_cache"] = sizes[4]
        if len(sizes) > 5:
            found["available"] = sizes[5]
    return found
