"""What a replay tells: totals, a timeline, what stayed behind and why, and how close the model came."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pagehint.hinting.design import Design
from pagehint.hinting.designs.registry import reasons_of
from pagehint.hinting.designs.reporting import PageReporting
from pagehint.host.model import HostStatistics
from pagehint.replays.drawing import drawing
from pagehint.replays.engine import LONGEST_WAIT
from pagehint.replays.real import RealResidency
from pagehint.units import format_size, gib_min

__all__ = ["LONGEST_WAIT", "PRICE", "Prediction", "Run", "Totals", "are_recorded", "is_as_recorded", "vars_of"]

_SAME_DELAY = 110 * 10**6  # half a step of the slowest timer wheel
PRICE = 15.0
"""CPU seconds that a GiB * minute of host memory is worth: of a machine with 4 GiB a core, memory half of its cost."""


@dataclass(frozen=True)
class Totals:
    """A replay in figures: times in nanoseconds, memory in bytes, footprints in GiB * minutes."""

    duration: int
    events: int
    footprint: float
    """The integral of resident memory."""
    ideal_footprint: float
    """The integral of memory that is resident and in use."""
    given_back: int
    wait_p50: int | None
    """From free to given back: half of the bytes waited no longer."""
    wait_p99: int | None
    refaults: int
    """Host faults on memory that had been given back."""
    refault_time: int
    fault_time: int
    device_time: int
    runs: int
    """Runs of the work (passes)."""
    batches: int
    blocks: int
    blocks_again: int
    """Blocks told with nothing behind them: nobody had used them since."""
    allocations_delayed: int
    allocation_delay: int
    allocations_failed: int
    peak_resident: int
    end_resident: int
    errors: int
    swapped_out: int
    """Bytes that the host swapped out, as it had too little memory."""
    swapped_in: int
    swap_time: int
    collapsed: int
    """Bytes that the host's khugepaged brought back."""
    cost: float
    """CPU seconds: the price of what is free and resident, the guest's time for faults again and for blocks in flight,

    and the host's time to give back.
    """
    best_possible: float | None
    """CPU seconds: less than this no design can cost, over all that is free to the user; None if the host swaps."""
    best_possible_lists: float | None
    """The same, where pages on per-CPU lists can't be given back."""


@dataclass(frozen=True)
class Prediction:
    """The model beside what was measured."""

    residency_error: float | None
    """Integral of the absolute difference of resident guest memory over the integral of the measured.

    None, as what was measured, for other settings than the recorded guest's, where those are known.
    """
    measured_mean: float | None
    """Bytes."""
    predicted_mean: float | None
    reported_mib: float
    placed_as_recorded: float | None
    """The share of block allocations for which the model chose the block that the guest took."""
    followed_error: float | None = None
    """The same as `residency_error`, where the model follows the recorded choice for a while after compaction.

    None where there was none, and for other settings than the recorded ones.
    """
    followed: float | None = None
    """The share of block allocations that were followed."""


@dataclass(frozen=True, eq=False)
class Run:
    """What a replay tells; `to_dict` is the whole of it but the timeline."""

    trace: str
    recording: dict[str, Any]
    """The guest that was recorded: name, kernel, cpus, memory (bytes), events lost, warnings."""
    design: type[Design] | None
    settings: dict[str, Any]
    totals: Totals
    attribution: dict[str, float]
    """GiB * minutes of free and resident memory, by reason (`reasons`)."""
    prediction: Prediction
    truth: dict[str, Any]
    """What was measured in the recorded guest, where the trace has it."""
    anomalies: dict[str, int]
    timeline: pa.Table
    """A row a sample: time (ns), resident, used, free_resident, each reason, free and given_back (bytes), blocks."""
    batches: pa.Table
    """A row a batch: time (ns), zone, blocks, pages told, bytes given back."""
    passes: pa.Table
    """A row a run of the work: time (ns), batches, blocks, pages told, bytes given back."""
    phases: list[dict[str, Any]]
    """The workload's phases in order: name, time (ns), and what came back in each (see `phases_given_back`)."""
    measured: pa.Table | None
    """The measured residency: time (ns), resident (bytes)."""
    waits: NDArray[np.int64]
    """Pages by how many milliseconds they waited from free to given back; the last: LONGEST_WAIT or longer."""
    memory_map: dict[str, Any]
    """Times (ns); of equal areas: resident and used pages at each, int32 (times, areas, 2); pages that are memory."""
    host: HostStatistics
    real: RealResidency | None
    """What the kernel measured, where the replay ran on this machine's memory too."""

    def __repr__(self) -> str:
        totals = self.totals
        resident, used = gib_min(totals.footprint), gib_min(totals.ideal_footprint)
        return (
            f"<Run of {self.recording['name']}, {self.settings['design']}: {resident} GiB*min resident, "
            f"{used} in use, {format_size(totals.given_back)} given back>"
        )

    @property
    def reasons(self) -> dict[str, str]:
        """Why a free byte can be resident: the keys of attribution, and what they mean."""
        return reasons_of([self.design])

    def to_dict(self) -> dict[str, Any]:
        """Totals, attribution, prediction and truth, in plain types: what `--json` prints."""
        return {
            "trace": self.trace,
            "recording": self.recording,
            "settings": self.settings,
            "totals": vars_of(self.totals),
            "attribution": self.attribution,
            "prediction": vars_of(self.prediction),
            "truth": self.truth,
            "real": None if self.real is None else self.real.to_dict(),
            "anomalies": self.anomalies,
            "phases": self.phases,
            "passes": self.passes.to_pylist(),
        }

    def to_html(self, path: str | Path) -> None:
        """Write one page with its charts, which needs nothing else. Raises InputError, OSError."""
        drawing().write_html([self], path)

    def figures(self) -> dict[str, Any]:
        """The page's charts, as plotly figures, by name."""
        return dict(drawing().figures_of([self]))

    def _repr_html_(self) -> str:
        return drawing().summary_of(self)


def vars_of(record: Any) -> dict[str, Any]:
    """A dataclass as a dict."""
    return {name: getattr(record, name) for name in record.__dataclass_fields__}


def is_as_recorded(run: Run) -> bool:
    """Whether the run has the recorded guest's own settings, so that what was measured is what it should predict."""
    return are_recorded(run.truth.get("reporting"), run.design, run.settings)


def are_recorded(reporting: Mapping[str, Any] | None, design: type[Design] | None, settings: Mapping[str, Any]) -> bool:
    """Whether a design with these settings is the recorded guest's own ``reporting``, as far as that is known."""
    if reporting is None or settings["host_memory"] is not None:
        return False
    if not reporting["on"] or design is None:
        return not reporting["on"] and design is None
    if design.label != PageReporting.label:  # one that is derived from it is another, unless it says that it is not
        return False
    delay = reporting["delay_ns"]
    same = all(reporting[name] in (None, settings[name]) for name in ("order", "capacity"))
    return same and (delay is None or abs(settings["delay"] - delay) < _SAME_DELAY)
