"""meminfo that somebody made a table of: a line for each figure, as the kernel prints it."""

import re
from collections.abc import Collection

from pagehint.diagnosis.figure import SMALLEST_PAGE

__all__ = ["as_meminfo_lines"]

_SEPARATORS = ",;"
_NAMED = re.compile(
    r'"?([A-Z]\w{2,40}(?:\(\w{1,10}\))?):?"?\s?[,;]\s?"?(\d{1,19})(?:\.0)?"?(?:\s?[,;]?\s?"?k[iI]?B"?)?', re.ASCII
)
_ALONE = re.compile(r"([A-Z]\w{2,40}(?:\(\w{1,10}\))?)(?:\s+|\s?=\s?)(\d{1,19})", re.ASCII)
_FIGURE = re.compile(r"(\d{1,19})(?:\.0)?(?: ?k[iI]?B)?", re.ASCII)
_OF_UNIT = re.compile(r"(?: ?[(\[]k[iI]?B[)\]]|_k[iI]?[bB]|:)\Z")
_UNIT_APART = re.compile(r" ?(?:[(\[]k[iI]?B[)\]]|(?<=\d )k[iI]?B\b)")
_MOST_BESIDE = 2  # words of a row more or fewer than its head has, as of a time and a date
_SMALLEST, _LARGEST = 1 << 14, 1 << 31  # KiB: of a machine


def as_meminfo_lines(lines: list[str], names: Collection[str]) -> list[str]:
    """Rows of a name and its figure (``MemFree,1234,kB``), and tables whose head is names, of which the last row
    counts, as ``MemFree: 1234 kB``; other lines as they are. Between columns are commas, semicolons, or spaces: of
    these, figures without a unit are KiB or bytes by their size. O(length).
    """
    found: list[str] = []
    head: list[str] = []
    rows: list[str] = []
    alone: dict[int, tuple[str, str]] = {}
    for line in lines:
        spaced = "," not in line and ";" not in line
        cells = [] if spaced and not head and "Mem" not in line else _words(line) if spaced else _cells(line)
        if sum(cell in names for cell in map(_name, cells)) > 1 and not (spaced and _is_no_head(cells)):
            found += rows
            head, rows = [_name(cell) for cell in cells], []
        elif head and (row := _of_words(head, cells, names) if spaced else _of_cells(head, cells, names)) is not None:
            # Of several machines, each: what begins with the total is one's.
            row.sort(key=_is_no_total)
            found += rows if rows[:1] != row[:1] else []
            rows = row
        elif cells and (named := _NAMED.fullmatch(line)) is not None and named[1] in names:
            found.append(f"{named[1]}: {named[2]} kB")
        else:
            if (single := _ALONE.fullmatch(line)) is not None and single[1] in names:
                alone[len(found)] = single[1], single[2]
            found.append(line)
    if (unit := _unit(dict(alone.values()))) is not None:
        for place, (name, figure) in alone.items():
            found[place] = f"{name}: {figure} {unit}"
    return found + rows


def _cells(line: str) -> list[str]:
    separator = max(_SEPARATORS, key=line.count)
    return [cell.strip().strip("\"'").strip() for cell in line.split(separator)]


def _words(line: str) -> list[str]:
    return _UNIT_APART.sub("", line).split()


def _name(cell: str) -> str:
    return _OF_UNIT.sub("", cell)


# A line of meminfo has figures; nodes' rows are of parts of a machine.
def _is_no_head(cells: list[str]) -> bool:
    return any(map(str.isdigit, cells)) or cells[0].lower() == "node"


def _of_cells(head: list[str], cells: list[str], names: Collection[str]) -> list[str] | None:
    if len(cells) != len(head):
        return None
    return [
        f"{name}: {figure[1]} kB"
        for name, figure in zip(head, map(_FIGURE.fullmatch, cells), strict=True)
        if name in names and figure is not None
    ]


# Counted from the right: a time is of two words, or went with the prefixes.
def _of_words(head: list[str], cells: list[str], names: Collection[str]) -> list[str] | None:
    if abs(len(cells) - len(head)) > _MOST_BESIDE:
        return None
    figures = {name: cell for name, cell in zip(head[::-1], cells[::-1], strict=False) if name in names}
    unit = _unit(figures)
    return None if unit is None else [f"{name}: {figure} {unit}" for name, figure in figures.items()]


def _is_no_total(line: str) -> bool:
    return not line.startswith("MemTotal:")


# Counts of whole pages, of a machine.
def _unit(figures: dict[str, str]) -> str | None:
    if not {"MemTotal", "MemFree"} <= figures.keys() or not all(figure.isdecimal() for figure in figures.values()):
        return None
    total, free, counts = int(figures["MemTotal"]), int(figures["MemFree"]), list(map(int, figures.values()))
    if total >= _SMALLEST << 10 and all(count % SMALLEST_PAGE == 0 for count in counts):
        return "bytes"
    of_pages = (total | free) % (SMALLEST_PAGE >> 10) == 0
    return "kB" if of_pages and _SMALLEST <= total < _LARGEST and free <= total else None
