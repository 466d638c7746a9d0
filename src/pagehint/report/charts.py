"""Charts and tables of characters."""

import numpy as np
from numpy.typing import NDArray
from rich.cells import cell_len
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

__all__ = ["area_chart", "bar", "columns_of", "fitting", "titled"]

_EIGHTHS = " ▏▎▍▌▋▊▉█"


def bar(value: float, most: float, width: int, style: str = "") -> Text:
    """A bar of up to `width` characters for `value` of `most`."""
    eighths = round(8 * width * max(0.0, min(value / most, 1.0))) if most > 0 else 0
    whole, rest = divmod(eighths, 8)
    return Text("█" * whole + (_EIGHTHS[rest] if rest else ""), style=style)


def columns_of(times: NDArray[np.int64], values: NDArray[np.int64], edges: NDArray[np.float64]) -> NDArray[np.float64]:
    """The mean of the values between each two edges; where there is none, the value before."""
    which = np.searchsorted(times, edges)
    sums = np.concatenate([[0.0], np.cumsum(values, dtype=np.float64)])
    counts = np.diff(which)
    before = values[np.maximum(which[:-1] - 1, 0)] if len(values) else np.zeros(len(counts))
    return np.where(counts > 0, np.diff(sums[which]) / np.maximum(counts, 1), before)


def area_chart(
    layers: list[tuple[NDArray[np.float64], str, str]], height: int, most: float, marks: list[str]
) -> list[Text]:
    """Rows of a stacked area chart: `layers` are (upper bound in each column, character, style), the lowest first.

    `marks` are written before the rows, the first at the top.
    """
    width = max(len(mark) for mark in marks)
    rows = []
    for row in range(height):
        level = (height - row - 0.5) / height * most
        text = Text(marks[row].rjust(width) + "│", style="dim")
        for column in range(len(layers[0][0])):
            for upper, character, style in layers:
                if level < upper[column]:
                    text.append(character, style)
                    break
            else:
                text.append(" ")
        rows.append(text)
    return rows


def titled(title: str, table: RenderableType) -> Group:
    """A table under a title, and an empty line."""
    return Group(Text(title, style="bold"), table, Text())


def fitting(width: int, head: list[str], rows: list[list[str]]) -> Group:
    """A table of names and their figures; in a narrow terminal several, of some of the columns each."""
    columns = zip(head, *rows, strict=True)
    needs = [max(cell_len(line) for cell in cells for line in cell.split("\n")) for cells in columns]
    names = min(needs[0], max(width // 3, width - sum(needs[1:]) - len(needs)))
    tables = []
    first = 1
    while first < len(head):
        last = first + 1
        while last < len(head) and names + sum(need + 1 for need in needs[first : last + 1]) <= width:
            last += 1
        table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="dim")
        table.add_column(Text(head[0]), vertical="bottom", max_width=names, overflow="fold")
        for name in head[first:last]:
            table.add_column(Text(name), justify="right", vertical="bottom", no_wrap=True)
        for row in rows:
            table.add_row(*map(Text, [row[0], *row[first:last]]))
        tables.append(table)
        first = last
    return Group(*tables)
