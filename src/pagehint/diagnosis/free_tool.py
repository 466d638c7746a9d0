"""The output of free, of any version, unit and language."""

import itertools
import re
from collections.abc import Iterator

from pagehint.diagnosis.figure import FIGURE_UNITS, SMALLEST_PAGE, parse_figure

__all__ = ["parse_free"]

_ROW = re.compile(
    r"(\S{1,20}):\s*((?:[\d.,]{1,20}(?:[KMGTPkmgt]i?|[Bb])?B?\s+){2,7}[\d.,]{1,20}(?:[KMGTPkmgt]i?|[Bb])?B?)", re.ASCII
)
_VALUE = re.compile(r"([\d.,]{1,20})([KMGTPkmgt]i?|[Bb])?", re.ASCII)
_ONE_LINE = re.compile(
    r"SwapUse\s+\d{1,20}\s+CachUse\s+(\d{1,20})\s+MemUse\s+(\d{1,20})\s+MemFree\s+(\d{1,20})", re.ASCII
)
_OF_FREE = re.compile(r'[,;|" ]{0,4}(?:total"?[,;|]|Mem:"?[,;|])')
_SEPARATORS = re.compile("[,;|]")
_CELL = re.compile(r"\s*(?:[a-z/]{4,12}|[\d.]{1,20}(?:[KMGTP]i?|B)?B?)?\s*", re.ASCII)
_RULE = re.compile(r"[-|+: ─┼]+")
_SMALLEST = 16 << 10  # KiB: of a machine
_MOST_MIB = 1 << 21
_SWAP = ("swap", "échange", "auslagerung", "swapp", "intercambio")


def parse_free(lines: list[str]) -> tuple[dict[str, int], str | None, bool] | None:
    """Bytes of free's line Mem: ``total``, ``free``, ``shmem``, ``cached``, ``available``; None where there is none.
    Of several the last counts; the third value is whether they differ.

    Without units in it, they are guessed by the size of the figures, and named too: expected are machines of 256 MiB
    to 2 TiB, and smaller ones where all figures are whole pages. O(length).
    """
    lines = list(map(_spaced, lines))
    found = list(_rows(lines)) or list(_on_one_line(lines)) or list(_without_head(lines))
    return (*found[-1], any(each != found[-1] for each in found)) if found else None


def _rows(lines: list[str]) -> Iterator[tuple[dict[str, int], str | None]]:
    for above, line in itertools.pairwise(line for line in lines if _RULE.fullmatch(line) is None):
        if (row := _ROW.fullmatch(line)) is None:
            continue
        head = above.lower().split()
        if not 3 <= len(head) <= 10 or any(char.isdigit() or char == ":" for char in above):
            continue
        if row[1].lower().startswith(_SWAP) or ("free" not in head and len(head) not in (6, 7)):
            continue
        if (figures := _figures(row[2].split())) is not None:
            yield _columns(figures[0], head), figures[1]


# Bytes, and the unit that is guessed where they have none.
def _figures(texts: list[str]) -> tuple[list[int], str | None] | None:
    words = [value.groups(default="") for value in map(_VALUE.fullmatch, texts) if value is not None]
    figures = [figure for text, unit in words if (figure := parse_figure(text, unit)) is not None]
    # In units that are larger than all of it nothing is told.
    if len(figures) < len(texts) or not figures[0]:
        return None
    units = [unit for _, unit in words]
    size, guessed = (1, None) if any(units) else _guess(figures)
    sizes = [
        int(figure * size * FIGURE_UNITS[(unit or "B")[0].upper()]) for figure, unit in zip(figures, units, strict=True)
    ]
    return sizes, guessed


# As grep leaves it: its last columns differ between versions.
def _without_head(lines: list[str]) -> Iterator[tuple[dict[str, int], str | None]]:
    for line in lines:
        row = _ROW.fullmatch(line)
        if row is not None and row[1] == "Mem" and (figures := _figures(row[2].split())) is not None:
            yield _columns(figures[0][:4], []), figures[1]


# A spreadsheet's row, whose figures have no thousands apart.
def _spaced(line: str) -> str:
    cells = _SEPARATORS.split(line.replace('"', "")) if _OF_FREE.match(line) and len(line.split()) < 4 else []
    is_row = len(cells) > 4 and all(cell == cells[0] or _CELL.fullmatch(cell) for cell in cells)
    return " ".join(cells) if is_row else line


# With -L: what is in use, and no total.
def _on_one_line(lines: list[str]) -> Iterator[tuple[dict[str, int], str | None]]:
    for line in lines:
        if (match := _ONE_LINE.fullmatch(line)) is not None:
            cached, used, free = map(float, match.groups())
            unit, guessed = _guess([cached + used + free, cached, used, free])
            yield {"free": int(free * unit), "cached": int(cached * unit)}, guessed


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
def _columns(sizes: list[int], head: list[str]) -> dict[str, int]:
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
