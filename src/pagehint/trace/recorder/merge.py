"""The events of several CPUs in one order of time, as the pages come."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pagehint.trace.events import EVENT_SCHEMA, MAX_TIME, Event

__all__ = ["Columns", "Merge"]

# Where no word comes of what is complete: so many rows are held back at most.
_MOST_ROWS = 1 << 21
_FIRST_ROWS = 1 << 14

Columns = dict[str, NDArray[Any]]


def _room(rows: int) -> Columns:
    return {field.name: np.empty(rows, field.type.to_pandas_dtype()) for field in EVENT_SCHEMA}


class Merge:
    """Sorts what `add` is given and hands it to `emit`, with the texts of its marks, as far as it is complete.

    The arrays that `emit` gets are used again afterwards: new ones would cost as much as the sorting, in page faults.
    `late` counts events that came after later ones had gone: they get the time of the last one.
    """

    def __init__(self, emit: Callable[[Columns, list[str]], None]) -> None:
        self.late = 0
        self._emit = emit
        self._held, self._sorted = _room(_FIRST_ROWS), _room(_FIRST_ROWS)
        self._rows = 0
        self._texts: dict[int, str] = {}
        self._num_texts = 0
        self._last: int | None = None

    def add(self, columns: Columns, texts: list[str]) -> None:
        """Add events of one CPU; `detail` of a mark is its row of `texts`."""
        end = self._rows + len(columns["time"])
        if end > len(self._held["time"]):
            room = _room(max(end, 2 * len(self._held["time"])))
            for name, array in self._held.items():
                room[name][: self._rows] = array[: self._rows]
            self._held, self._sorted = room, _room(len(room["time"]))
        for name, array in columns.items():
            self._held[name][self._rows : end] = array
        if texts:
            self._held["detail"][self._rows : end][columns["event"] == Event.MARK] += self._num_texts
            self._texts |= enumerate(texts, self._num_texts)
            self._num_texts += len(texts)
        self._rows = end
        if self._rows > 2 * _MOST_ROWS:
            self.complete(None)

    def complete(self, time: int | None) -> None:
        """All events before `time` (ns) are there; None: nobody knows, and so many are held back as are reasonable."""
        times = self._held["time"][: self._rows]
        order = np.argsort(times, kind="stable")
        count = self._rows - _MOST_ROWS if time is None else int(np.searchsorted(times, time, sorter=order))
        if count <= 0:
            return
        rows = {
            name: array.take(order[:count], out=self._sorted[name][:count], mode="clip")
            for name, array in self._held.items()
        }
        self._rows -= count
        for array in self._held.values():
            array[: self._rows] = array[order[count:]]
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
        self.complete(MAX_TIME)
