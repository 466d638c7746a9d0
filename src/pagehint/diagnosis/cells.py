"""meminfo that somebody made a table of: a line for each figure, as the kernel prints it."""

import re
from collections.abc import Collection

__all__ = ["as_meminfo_lines"]

_SEPARATORS = ",;"
_NAMED = re.compile(
    r'"?([A-Z]\w{2,40}(?:\(\w{1,10}\))?):?"?\s?[,;]\s?"?(\d{1,19})(?:\.0)?"?(?:\s?[,;]?\s?"?k[iI]?B"?)?', re.ASCII
)
_FIGURE = re.compile(r"(\d{1,19})(?:\.0)?(?: ?k[iI]?B)?", re.ASCII)
_OF_UNIT = re.compile(r"(?: ?[(\[]k[iI]?B[)\]]|_k[iI]?[bB]|:)\Z")


def as_meminfo_lines(lines: list[str], names: Collection[str]) -> list[str]:
    """Rows of a name and its figure (``MemFree,1234,kB``), and tables whose head is names, of which the last row
    counts, as ``MemFree: 1234 kB``; other lines as they are. O(length).
    """
    found: list[str] = []
    head: list[str] = []
    rows: list[str] = []
    for line in lines:
        cells = _cells(line) if "," in line or ";" in line else []
        if sum(cell in names for cell in map(_name, cells)) > 1:
            found += rows
            head, rows = [_name(cell) for cell in cells], []
        elif head and len(cells) == len(head):
            rows = [
                f"{name}: {figure[1]} kB"
                for name, figure in zip(head, map(_FIGURE.fullmatch, cells), strict=True)
                if name in names and figure is not None
            ]
        elif cells and (named := _NAMED.fullmatch(line)) is not None and named[1] in names:
            found.append(f"{named[1]}: {named[2]} kB")
        else:
            found.append(line)
    return found + rows


def _cells(line: str) -> list[str]:
    separator = max(_SEPARATORS, key=line.count)
    return [cell.strip().strip("\"'").strip() for cell in line.split(separator)]


def _name(cell: str) -> str:
    return _OF_UNIT.sub("", cell)
