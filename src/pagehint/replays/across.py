"""What one recording predicts for other settings, beside another guest that ran the same work with them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pagehint.errors import InputError
from pagehint.hinting.design import Design
from pagehint.replays.replay import replay
from pagehint.replays.truth import measured_residency
from pagehint.trace.bundle import Trace
from pagehint.trace.reporting import is_state

__all__ = ["Across", "predict_across"]


@dataclass(frozen=True)
class Across:
    """Resident guest memory on average (bytes), predicted from one guest and measured in another; `error`: the integral
    of their absolute difference over that of the measured.

    `uneven`: by how much the two took different times between their marks, in all, as a share of the first's: what
    comes after a delay comes at other points of the work then.
    """

    predicted: float
    measured: float
    error: float
    uneven: float


def predict_across(trace: Trace, design: Design | None, other: Trace) -> Across:
    """Replay `trace` with a design, and compare with what was measured in `other`, which ran with it.

    No two guests take the same time for the same work: between two marks that both have, time is stretched. Raises
    InputError where they don't have the same marks, or `other` no measurements.
    """
    measured = measured_residency(other)
    if measured is None:
        raise InputError(f"{other.path}: nothing was measured on its host: nothing to compare with")
    theirs, ours = _marks(other), _marks(trace)
    if [text for text, _ in theirs] != [text for text, _ in ours] or len(ours) < 2:
        raise InputError(f"{other.path}: its marks are not those of {trace.path}: not the same work")
    timeline = replay(trace, design, sample="1ms").timeline
    time = np.interp(
        measured["time"].to_numpy(), [time for _, time in theirs], [time for _, time in ours], np.nan, np.nan
    )
    inside = ~np.isnan(time)
    time, seen = time[inside], measured["resident"].to_numpy()[inside].astype(np.float64)
    # As the last of many samples has it: between two, a pass may give much back at once, which is no slope.
    at = np.searchsorted(timeline["time"].to_numpy(), time, side="right") - 1
    said = timeline["resident"].to_numpy()[np.maximum(at, 0)].astype(np.float64)
    whole = _integral(time, seen)
    if not whole:
        raise InputError(f"{other.path}: no measurements lie within the recording")
    span = float(time[-1] - time[0])
    steps, lasted = (np.diff([time for _, time in each]) for each in (theirs, ours))
    uneven = float(np.abs(steps - lasted).sum() / lasted.sum())
    return Across(_integral(time, said) / span, whole / span, _integral(time, np.abs(said - seen)) / whole, uneven)


def _marks(trace: Trace) -> list[tuple[str, int]]:
    return [(text, time) for time, text in trace.mark_texts if not is_state(text)]


def _integral(time: NDArray[np.float64], values: NDArray[np.float64]) -> float:
    return float((values[:-1] * np.diff(time)).sum())
