"""A guest as a step function: what it holds of its host's memory over a time that it goes through again and again."""

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pagehint.errors import InputError, printable
from pagehint.replays.run import Run
from pagehint.trace.tables import read_table
from pagehint.units import LONGEST_TIME, format_time

__all__ = ["Steps", "steps_between", "steps_of_file", "steps_of_run"]

_SCHEMA = pa.schema([pa.field("time", pa.int64(), nullable=False), pa.field("resident", pa.int64(), nullable=False)])
_AGAIN = 0.05
_SHORTEST = 10**6


@dataclass(frozen=True, eq=False)
class Steps:
    """`values[k]` bytes are resident from `times[k]` to `times[k + 1]` (ns; one more time than values).

    `parked`: what a guest that is paused at a bad moment keeps: as much as before each pass that gave something back.
    `back`: from when most was free and resident until it was used again, ns and bytes of what came back then, row by
    row. `fault_time`: ns of its faults on memory that it had given back.
    """

    name: str
    times: NDArray[np.int64]
    values: NDArray[np.int64]
    parked: NDArray[np.int64]
    back: NDArray[np.int64] = field(default_factory=lambda: np.zeros((0, 2), np.int64))
    fault_time: int = 0

    @property
    def period(self) -> int:
        """Its length (ns)."""
        return int(self.times[-1] - self.times[0])

    @property
    def weights(self) -> NDArray[np.float64]:
        """The share of time of each value."""
        shares: NDArray[np.float64] = np.diff(self.times) / self.period
        return shares

    @property
    def mean(self) -> float:
        """Bytes, on average over its time."""
        return float(self.weights @ self.values)

    def at(self, times: NDArray[np.int64]) -> NDArray[np.int64]:
        """Bytes at these times (ns since it began), round and round."""
        index = np.searchsorted(self.times, self.times[0] + times % self.period, "right") - 1
        found: NDArray[np.int64] = self.values[index]
        return found


def _steps(name: str, times: NDArray[np.int64], values: NDArray[np.int64], end: int) -> Steps:
    if not _SHORTEST <= end - int(times[0]) <= LONGEST_TIME:
        told = f"{format_time(_SHORTEST)} to {format_time(LONGEST_TIME)}"
        raise InputError(f"{name}: lasts {end - int(times[0])} ns: expected {told} of what a guest holds")
    kept = np.concatenate([[True], values[1:] != values[:-1]])
    falls = values[:-1][values[1:] < values[:-1]]
    return Steps(name, np.append(times[kept], end), values[kept], falls if len(falls) else values.max(keepdims=True))


def steps_between(name: str, times: NDArray[np.int64], values: NDArray[np.int64]) -> Steps:
    """Of samples: each value holds until the next, and the last time is the end. Raises InputError for absurd times."""
    return _steps(name, times[:-1], values[:-1], int(times[-1]))


def steps_of_run(run: Run) -> Steps:
    """What a run's guest holds. Raises InputError for a run without a timeline, or of an instant."""
    table = run.timeline
    if table.num_rows < 2:
        raise InputError(f"{run.recording['name']}: too short for a fleet: its replay has {table.num_rows} samples")
    times, resident, used, given = (table[name].to_numpy() for name in ("time", "resident", "used", "given_back"))
    steps = _steps(run.recording["name"], times, resident, int(2 * times[-1] - times[-2]))
    passes = np.flatnonzero(np.diff(given) > 0)
    parked = resident[passes] if len(passes) else resident.max(keepdims=True)
    back = _back(times, used, resident - used, given)
    return replace(steps, parked=parked, back=back, fault_time=int(run.totals.refault_time))


def _back(
    times: NDArray[np.int64], used: NDArray[np.int64], free: NDArray[np.int64], given: NDArray[np.int64]
) -> NDArray[np.int64]:
    begin = int(free.argmax())
    again = np.flatnonzero(used[begin:] > used[begin] + _AGAIN * free[begin])
    end = begin + (int(again[0]) if len(again) else len(free) - begin)
    came = np.diff(given[begin:end], prepend=given[begin])
    found: NDArray[np.int64] = np.column_stack([times[begin:end] - times[begin], came])[came > 0]
    return found


def steps_of_file(path: str | Path) -> Steps:
    """A guest by a Parquet file of its own: columns `time` (ns) and `resident` (bytes), int64. Raises InputError."""
    path = Path(path)
    table = read_table(path, _SCHEMA)
    times, values = (table[name].to_numpy() for name in _SCHEMA.names)
    if len(times) < 2 or (np.diff(times) <= 0).any() or (values < 0).any():
        raise InputError(f"{path}: expected two rows at least, times that go up, and no negative resident bytes")
    return steps_between(printable(path.stem), times, values)
