"""The result of a replay that has ended."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pagehint.errors import InputError
from pagehint.hinting.designs.registry import all_settings, label_of
from pagehint.host.blocks import PAGE_BYTES
from pagehint.replays.doubts import doubts
from pagehint.replays.phases import phases_given_back
from pagehint.replays.playback import Playback
from pagehint.replays.run import Prediction, Run, Totals, is_as_recorded, vars_of
from pagehint.units import GIB_MINUTE, MIB

__all__ = ["make_run"]

_UNKNOWN = pa.table({})
_BATCHES = pa.schema(
    {"time": pa.int64(), "zone": pa.string(), "blocks": pa.int64(), "pages": pa.int64(), "given_back": pa.int64()}
)


def make_run(playback: Playback) -> Run:
    """What the replay tells, at its end."""
    trace, timeline, engine = playback.trace, playback.timeline, playback.engine
    totals = _totals(playback)
    if playback.totals_only:
        rows = batches = passes = _UNKNOWN
        phases: list[dict[str, Any]] = []
        truth: dict[str, Any] = {}
        memory_map: dict[str, Any] = {}
    else:
        rows, batches = timeline.table(), _batches(playback)
        passes = _passes(playback.passes, batches)
        phases = phases_given_back(trace, playback.passes, batches, rows)
        truth, memory_map = _truth(playback), timeline.memory_map()
    run = Run(
        trace=trace.where,
        recording=_recording(playback),
        design=None if playback.design is None else type(playback.design),
        settings=_settings(playback),
        totals=totals,
        attribution=timeline.attribution(totals.footprint - totals.ideal_footprint),
        prediction=_prediction(playback),
        truth=truth,
        anomalies=engine.anomalies,
        timeline=rows,
        batches=batches,
        passes=passes,
        phases=phases,
        measured=timeline.measured,
        waits=engine.waits,
        memory_map=memory_map,
        host=playback.host.statistics(),
        real=None if playback.device.real is None else playback.device.real.result(),
    )
    # What was measured is of the recorded guest's own settings, where they are known: nothing else is predicted of it.
    if run.prediction.residency_error is None or is_as_recorded(run) or "reporting" not in run.truth:
        return run
    return replace(run, prediction=replace(run.prediction, residency_error=None, measured_mean=None))


def _batches(playback: Playback) -> pa.Table:
    rows = [(*told, backed * PAGE_BYTES) for *told, backed in playback.device.batches]
    return pa.Table.from_pylist([dict(zip(_BATCHES.names, row, strict=True)) for row in rows], _BATCHES)


def _recording(playback: Playback) -> dict[str, Any]:
    trace, meta = playback.trace, playback.trace.meta
    return {
        "name": trace.name,
        "kernel": meta.kernel,
        "cpus": meta.cpus or None,
        "memory": sum(zone.present for zone in meta.zones) * meta.page_size or meta.span_pages * meta.page_size,
        "lost": meta.lost.total,
        "lost_uncounted": meta.lost.uncounted,
        "warnings": [] if playback.totals_only else doubts(playback),
    }


def _settings(playback: Playback) -> dict[str, Any]:
    design, first = playback.design, playback.first
    own = {} if design is None else design.values()
    ground = {
        "design": label_of(design),
        "capacity": playback.device.capacity,
        "placement": playback.placement,
        "host_page_size": playback.host.page_size,
        "host_memory": playback.host.memory,
        "khugepaged": playback.host.khugepaged,
        "backed_at_start": first.source,
        "sample": playback.timeline.step,
        "kernel_profile": playback.profile.name,
        "kernel_checked": playback.profile.checked,
        "cost_price": playback.price,
    }
    if twice := own.keys() & ground.keys():
        raise InputError(f"{label_of(design)}: its setting {min(twice)!r} is one of every run: rename it")
    return {"design": label_of(design), **dict.fromkeys(all_settings()), "price": playback.price, **own, **ground}


def _percentiles(waits: NDArray[np.int64], shares: list[float]) -> list[int | None]:
    counted = np.cumsum(waits)
    total = int(counted[-1])
    if not total:
        return [None] * len(shares)
    return [int(np.searchsorted(counted, math.ceil(share * total))) * 10**6 for share in shares]


def _totals(playback: Playback) -> Totals:
    engine, timeline, host = playback.engine, playback.timeline, playback.host.statistics()
    statistics = None if playback.design is None else playback.design.statistics
    worker = playback.worker
    footprint = engine.resident_time * PAGE_BYTES / GIB_MINUTE
    ideal = engine.used_time * PAGE_BYTES / GIB_MINUTE
    delayed = 0 if worker is None else worker.stalled
    wait_p50, wait_p99 = _percentiles(engine.waits, [0.5, 0.99])
    return Totals(
        duration=playback.trace.meta.last_ns - timeline.begun,
        events=playback.trace.num_events,
        footprint=footprint,
        ideal_footprint=ideal,
        given_back=host.given_back * PAGE_BYTES,
        wait_p50=wait_p50,
        wait_p99=wait_p99,
        refaults=host.refaults_4kib + host.refaults_2mib,
        refault_time=host.refault_time,
        fault_time=host.fault_time,
        device_time=host.device_time,
        runs=len(playback.passes),
        batches=host.calls,
        blocks=host.blocks,
        blocks_again=host.empty_blocks,
        allocations_delayed=0 if worker is None else worker.stalls,
        allocation_delay=delayed,
        allocations_failed=engine.anomalies.get("allocation failed here", 0),
        peak_resident=timeline.peak_resident,
        end_resident=host.resident * PAGE_BYTES,
        swapped_out=host.swapped_out * PAGE_BYTES,
        swapped_in=host.swapped_in * PAGE_BYTES,
        swap_time=host.swap_time,
        collapsed=host.collapsed * PAGE_BYTES,
        errors=0 if statistics is None else statistics.errors - playback.errors_before,
        cost=playback.price * (footprint - ideal) + (host.refault_time + delayed + host.device_time) / 1e9,
        best_possible=None if playback.best is None else playback.best.free / 1e9,
        best_possible_lists=None if playback.best is None else playback.best.listed / 1e9,
    )


def _prediction(playback: Playback) -> Prediction:
    timeline, engine = playback.timeline, playback.engine
    error = measured_mean = predicted_mean = None
    times, predicted, _, measured = timeline.beside_measured()
    if len(times) > 1:
        spans = np.diff(times).astype(np.float64)
        if whole := float((measured[:-1] * spans).sum()):
            error = float((np.abs(predicted - measured)[:-1] * spans).sum()) / whole
            measured_mean = whole / float(spans.sum())
            predicted_mean = float((predicted[:-1] * spans).sum() / spans.sum())
    return Prediction(
        residency_error=error,
        measured_mean=measured_mean,
        predicted_mean=predicted_mean,
        reported_mib=_told_while_watched(playback) * PAGE_BYTES / MIB,
        placed_as_recorded=engine.placed_as_recorded / engine.placed if engine.placed else None,
    )


# A host that was watched for a part of the recording saw what was told in that part only.
def _told_while_watched(playback: Playback) -> int:
    trace = playback.trace
    seen = None if trace.reported is None or trace.residency is None else trace.residency["time"].to_numpy()
    first, last = (-np.inf, np.inf) if seen is None or not len(seen) else (seen.min(), seen.max())
    return sum(pages for time, _, _, pages, _ in playback.device.batches if first <= time <= last)


def _truth(playback: Playback) -> dict[str, Any]:
    truth: dict[str, Any] = {}
    reported = playback.trace.reported
    if reported is not None:
        # What was told before the recording began is not in it.
        reported = reported.filter(pc.greater_equal(reported.column("time"), playback.trace.meta.first_ns))
        truth["reported_mib"] = (pc.sum(reported.column("pages")).as_py() or 0) * PAGE_BYTES / MIB
        truth["reported_blocks"] = reported.num_rows
    reporting = playback.trace.meta.reporting
    if reporting is not None:
        truth["reporting"] = vars_of(reporting)
    return truth


def _passes(times: list[int], batches: pa.Table) -> pa.Table:
    when = batches.column("time").to_numpy()
    which = np.searchsorted(np.array(times, np.int64), when, side="right") - 1
    columns = {"time": pa.array(times, pa.int64())}
    columns["batches"] = pa.array(np.bincount(which, minlength=len(times)).astype(np.int64)[: len(times)])
    for name in ("blocks", "pages", "given_back"):
        counts = np.bincount(which, weights=batches.column(name).to_numpy(), minlength=len(times))
        columns[name] = pa.array(counts.astype(np.int64)[: len(times)])
    return pa.table(columns)
