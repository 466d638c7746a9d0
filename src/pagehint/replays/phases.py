"""What each phase of a recorded workload gives back, and how fast, beside what was measured."""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pagehint.trace.bundle import Trace
from pagehint.trace.describe import phases

__all__ = ["LEAST", "phases_given_back"]

LEAST = 10 << 20
"""Bytes: what came back is told of phases that give back at least this much."""
_SHARE = 0.9


def phases_given_back(trace: Trace, passes: list[int], batches: pa.Table, timeline: pa.Table) -> list[dict[str, Any]]:
    """The phases, with the bytes given back in each, in how many passes, and the ns until 90 % of them were.

    `fall` is by how much resident memory fell; `measured_fall` and `measured_90` (ns) are of the measured resident
    memory. A time is None where there is less than LEAST.
    """
    found = phases(trace)
    ends = [*(phase["time"] for phase in found), trace.meta.last_ns][1:]
    times, given_back = (batches.column(name).to_numpy() for name in ("time", "given_back"))
    which = np.searchsorted(np.array(passes, np.int64), times, side="right")
    measured = _fine_residency(trace)
    predicted = timeline.column("time").to_numpy(), timeline.column("resident").to_numpy()
    for phase, end in zip(found, ends, strict=True):
        begin = phase["time"]
        inside = (times >= begin) & (times < end)
        sums = np.cumsum(given_back[inside])
        total = int(sums[-1]) if len(sums) else 0
        phase["given_back"] = total
        phase["passes"] = len(np.unique(which[inside & (given_back > 0)]))
        enough = total >= LEAST
        phase["given_back_90"] = int(times[inside][np.argmax(sums >= _SHARE * total)]) - begin if enough else None
        phase["fall"] = _fall(predicted, begin, end)[0] or 0
        phase["measured_fall"], phase["measured_90"] = _fall(measured, begin, end)
    return found


# Samples of the whole VM come ten times as often as those of its memory alone, and fall by as much.
def _fine_residency(trace: Trace) -> tuple[NDArray[np.int64], NDArray[np.int64]] | None:
    if trace.residency is None:
        return None
    for name in ("memfd_kib", "rss_kib"):
        known = trace.residency.filter(pc.is_valid(trace.residency.column(name)))
        if known.num_rows:
            return known.column("time").to_numpy(), known.column(name).to_numpy().astype(np.int64) * 1024
    return None


def _fall(
    measured: tuple[NDArray[np.int64], NDArray[np.int64]] | None, begin: int, end: int
) -> tuple[int | None, int | None]:
    if measured is None:
        return None, None
    times, resident = measured
    inside = (times >= begin) & (times < end)
    values = resident[inside]
    if not len(values):
        return None, None
    fall = int(values[0] - values.min())
    if fall < LEAST:
        return fall, None
    return fall, int(times[inside][np.argmax(values <= values[0] - _SHARE * fall)]) - begin
