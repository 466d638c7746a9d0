"""The events of several CPUs in one order of time, as the pages come."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pagehint.trace.events import EVENT_SCHEMA, Event

__all__ = ["Merge"]

# Where no word comes of what is complete: so many rows are held back at most.
_MOST_ROWS = 1 << 21

Columns = dict[str, NDArray[Any]]


class Merge:
    """Sorts what `add` is given and hands it to `emit`, with the texts of its marks, as far as it is complete.

    `late` counts events that came after later ones had gone: they get the time of the last one.
    """

    def __init__(self, emit: Callable[[Columns, list[str]], None]) -> None:
        self.late = 0
        self._emit = emit
        self._parts: list[Columns] = []
        self._rows = 0
        self._texts: dict[int, str] = {}
        self._num_texts = 0
        self._last: int | None = None

    def add(self, columns: Columns, texts: list[str]) -> None:
        """Add events of one CPU; `detail` of a mark is its row of `texts`."""
        if not len(columns["time"]):
            return
        for text in texts:
            self._texts[self._num_texts] = text
            self._num_texts += 1
        marks = columns["event"] == Event.MARK
        columns["detail"][marks] += self._num_texts - len(texts)
        self._parts.append(columns)
        self._rows += len(columns["time"])
        if self._rows > 2 * _MOST_ROWS:
            self.complete(None)

    def complete(self, time: int | None) -> None:
        """All events before `time` (ns) are there; None: nobody knows, and so many are held back as are reasonable."""
        if not self._parts:
            return
        rows = {field.name: np.concatenate([part[field.name] for part in self._parts]) for field in EVENT_SCHEMA}
        order = np.argsort(rows["time"], kind="stable")
        rows = {name: array[order] for name, array in rows.items()}
        count = self._rows - _MOST_ROWS if time is None else int(np.searchsorted(rows["time"], time))
        self._parts = [{name: array[count:] for name, array in rows.items()}] if count < self._rows else []
        self._rows -= count
        if not count:
            return
        rows = {name: array[:count] for name, array in rows.items()}
        if self._last is not None and rows["time"][0] < self._last:
            late = int(np.searchsorted(rows["time"], self._last))
            rows["time"][:late] = self._last
            self.late += late
        self._last = int(rows["time"][-1])
        marks = np.flatnonzero(rows["event"] == Event.MARK)
        texts = [self._texts.pop(int(detail)) for detail in rows["detail"][marks]]
        rows["detail"][marks] = np.arange(len(texts))
        self._emit(rows, texts)

    def finish(self) -> None:
        """Hand out the rest."""
        self.complete(1 << 62)
