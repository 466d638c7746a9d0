"""What every batch of events must satisfy, written or read."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pagehint.errors import InputError
from pagehint.trace.events import MAX_ORDER, MAX_PFN, NO_PFN, NONE, Event
from pagehint.trace.meta import MAX_CPUS, ZoneLayout

__all__ = ["EventCheck", "check_batch", "places"]

_KNOWN = np.zeros(256, bool)
_KNOWN[[int(event) for event in Event]] = True
_LETTERS = " ".join(event.letter for event in Event)


def _first(bad: NDArray[np.bool_]) -> int:
    return int(bad.argmax())


def places(what: str, first: int) -> Callable[[int], str]:
    """Names the place of a row of a batch: `what` (``"events.parquet: row"``) and the number of its first row."""
    return lambda index: f"{what} {first + index}"


def check_batch(columns: Mapping[str, NDArray[Any]], place: Callable[[int], str], last_time: int | None) -> None:
    """Raise InputError at the first bad row of a batch; only the columns that it has are checked.

    Times may not go backwards (`last_time` is that of the row before), kinds of event must be known, and orders and
    pfns possible. `place` names the place of a row of the batch: file and line, or row.
    """
    time = columns.get("time")
    if time is not None and len(time):
        if last_time is not None and time[0] < last_time:
            raise _backwards(place(0), int(time[0]), last_time)
        if (bad := time[1:] < time[:-1]).any():
            index = _first(bad)
            raise _backwards(place(index + 1), int(time[index + 1]), int(time[index]))
    event = columns.get("event")
    if event is not None and not (known := _KNOWN.take(event)).all():
        index = _first(~known)
        raise InputError(
            f"{place(index)}: event {event[index]} is unknown: expected the ASCII code of one of {_LETTERS}"
        )
    cpu = columns.get("cpu")
    if cpu is not None and len(cpu) and cpu.max() >= MAX_CPUS:
        index = _first(cpu >= MAX_CPUS)
        raise InputError(f"{place(index)}: cpu {cpu[index]} is absurd: expected 0 to {MAX_CPUS - 1}")
    order = columns.get("order")
    if order is not None and (bad := (order > MAX_ORDER) & (order != NONE)).any():
        index = _first(bad)
        raise InputError(f"{place(index)}: order {order[index]} is absurd: expected 0 to {MAX_ORDER}, or {NONE}")
    pfn = columns.get("pfn")
    if pfn is not None and len(pfn) and (int(pfn.max()) > MAX_PFN or int(pfn.min()) < NO_PFN):
        index = _first((pfn > MAX_PFN) | (pfn < NO_PFN))
        raise InputError(f"{place(index)}: pfn {pfn[index]} is no page of any machine")


def _backwards(place: str, time: int, before: int) -> InputError:
    return InputError(f"{place}: the time goes backwards, from {before} to {time} ns")


class EventCheck:
    """Checks batch after batch of events while they are written, and sums up what they hold."""

    def __init__(self) -> None:
        self.rows = 0
        self.counts = np.zeros(256, np.int64)
        self.first_time: int | None = None
        self.last_time: int | None = None
        self.pfn_end = 0
        self.cpus = 0
        self.anomalies: dict[str, int] = {}

    def __call__(
        self, columns: Mapping[str, NDArray[Any]], zones: Sequence[ZoneLayout], place: Callable[[int], str]
    ) -> None:
        """Take the next batch. Raises InputError as `check_batch` does; pages outside all `zones` are counted."""
        rows = len(columns["time"])
        if not rows:
            return
        check_batch(columns, place, self.last_time)
        self.counts += np.bincount(columns["event"], minlength=256)
        self.first_time = int(columns["time"][0]) if self.first_time is None else self.first_time
        self.last_time = int(columns["time"][-1])
        self.cpus = max(self.cpus, int(columns["cpu"].max()) + 1)
        pfn, order = columns["pfn"], columns["order"]
        blocks = (pfn != NO_PFN) & (order != NONE)
        pfn, sizes = pfn[blocks], np.int64(1) << order[blocks].astype(np.int64)
        if len(pfn):
            self.pfn_end = max(self.pfn_end, int((pfn + sizes).max()))
        if zones:
            outside = np.ones(len(pfn), bool)
            for zone in zones:
                outside &= (pfn < zone.start_pfn) | (pfn >= zone.end_pfn)
            self._count("pfn outside every zone", int(outside.sum()))
        self._count("pfn not aligned to its order", int((pfn & (sizes - 1) != 0).sum()))
        self.rows += rows

    def _count(self, kind: str, number: int) -> None:
        if number:
            self.anomalies[kind] = self.anomalies.get(kind, 0) + number
