"""Charts of characters."""

import numpy as np
from numpy.typing import NDArray
from rich.text import Text

__all__ = ["area_chart", "bar", "columns_of"]

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
