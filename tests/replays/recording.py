"""Small recordings, made event by event."""

import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pagehint.mm.check import check
from pagehint.proc.zoneinfo import ZoneLayout
from pagehint.replays.engine import Engine
from pagehint.replays.playback import Playback
from pagehint.replays.replay import replay
from pagehint.replays.start import guest_reporting
from pagehint.replays.totals import make_run
from pagehint.trace import Meta, Trace, TraceWriter
from pagehint.trace.events import EVENT_SCHEMA

__all__ = ["Row", "measured_as_predicted", "pages_are_somewhere", "record", "rows_of", "used_pages", "zone", "zoneinfo"]

Row = tuple[str, int, int, int] | tuple[str, int, int, int, int]
"""An event's letter, pfn, order and CPU, and its detail where it has one."""


def zone(pages: int, start_pfn: int = 0, name: str = "DMA32") -> ZoneLayout:
    """A zone without holes and watermarks."""
    return ZoneLayout(0, name, start_pfn, pages, pages, pages, 0, 0, 0, pcp_high=30, pcp_batch=7)


def zoneinfo(zones: Sequence[ZoneLayout], free: int = 0, on_cpus: int | Sequence[int] = 0) -> str:
    """The zones as zoneinfo has them: so many pages free, so many on CPU 0's lists, or on each CPU's."""
    counts = [on_cpus] if isinstance(on_cpus, int) else on_cpus
    return "".join(
        f"Node {each.node}, zone {each.name:>8}\n  pages free     {free}\n        min      {each.min}\n"
        f"        low      {each.low}\n        high     {each.high}\n        spanned  {each.spanned}\n"
        f"        present  {each.present}\n        managed  {each.managed}\n  pagesets\n"
        + "".join(
            f"    cpu: {cpu}\n              count: {count}\n              high:  30\n              batch: 7\n"
            for cpu, count in enumerate(counts)
        )
        + f"  start_pfn:           {each.start_pfn}\n"
        for each in zones
    )


def used_pages(engine: Engine) -> int:
    """How many pages are in use by now."""
    return int(np.unpackbits(engine.used.view(np.uint8)).sum())


def pages_are_somewhere(trace: Trace, placement: str = "simulated") -> dict[str, int]:
    """Replay it: at the end the zones are whole, and each page is free or where a recorded one lies. The anomalies."""
    one = Playback(trace, None, None, placement, "50ms", True, frozenset({"alloc"}), None)
    run = one.run(make_run)
    mapped = one.engine.mapped
    for each in one.start.zones:
        assert check(each) == []
        here = mapped[(mapped >= each.start_pfn) & (mapped < each.start_pfn + each.pages)]
        on_cpus = sum(lists.count for lists in one.start.pcps.values() if lists.buddy is each)
        assert each.free_pages + len(here) + on_cpus == each.pages
        assert len(np.unique(here)) == len(here)
    return run.anomalies


def record(
    path: Path,
    rows: Sequence[Row],
    zones: Sequence[ZoneLayout],
    meta: Meta | None = None,
    step: int = 10**6,
    texts: Mapping[str, str] | None = None,
    flags: NDArray[np.uint64] | None = None,
    marks: Sequence[tuple[int, str]] = (),
    final: Mapping[str, str] | None = None,
    begin: int = 0,
    migratetype: int | Sequence[int] = 1,
    gfps: Mapping[int, int] | None = None,
    times: Sequence[int] | None = None,
    host: Callable[[TraceWriter], None] | None = None,
    final_flags: NDArray[np.uint64] | None = None,
) -> Trace:
    """A recording of these events, from `begin` (ns) on and `step` ns apart, or at `times`, all of one type or each of
    its own; `texts` and `flags` are its snapshot, `final` and `final_flags` that at its end. `gfps`: flags of
    allocations, by their rows. `host` adds what the host saw."""
    columns = {field.name: np.zeros(len(rows), field.type.to_pandas_dtype()) for field in EVENT_SCHEMA}
    columns["time"] = begin + np.arange(len(rows), dtype=np.int64) * step if times is None else np.array(times)
    columns["migratetype"][:] = migratetype
    columns["event"][:] = [ord(row[0]) for row in rows]
    for k, name in enumerate(("pfn", "order", "cpu", "detail")):
        columns[name][:] = [row[k + 1] if len(row) > k + 1 else 0 for row in rows]
    for row, gfp in (gfps or {}).items():
        columns["gfp"][row] = gfp
    with TraceWriter(path) as writer:
        writer.add_events(columns)
        for mark in marks:
            writer.add_mark(*mark)
        files = _files(path, texts or {}, flags)
        if files:
            writer.add_snapshot(files)
        if final is not None:
            writer.add_snapshot(_files(path, final, final_flags), "final")
        if host is not None:
            host(writer)
        given = Meta(recorder="test", source="test") if meta is None else meta
        writer.finish(given if given.zones else Meta(**{**vars(given), "zones": list(zones)}))
    return Trace.open(path)


def _files(beside: Path, texts: Mapping[str, str], flags: NDArray[np.uint64] | None) -> dict[str, Path]:
    files = {}
    for name, text in texts.items():
        files[name] = beside.with_name(f"{beside.name}.{name}")
        files[name].write_text(text)
    if flags is not None:
        files["kpageflags"] = beside.with_name(f"{beside.name}.kpageflags")
        files["kpageflags"].write_bytes(flags.astype("<u8").tobytes())
    return files


def rows_of(trace: Trace) -> list[tuple[int, ...]]:
    """A recording's events, in its order."""
    return [
        row for batch in trace.batches() for row in zip(*(column.tolist() for column in batch.values()), strict=True)
    ]


def measured_as_predicted(trace: Trace, path: Path) -> Trace:
    """A copy of the recording whose host measured, each 7 ms, what a replay of its own settings says."""
    timeline = replay(trace, guest_reporting(trace), sample="1ms").timeline
    shutil.copytree(trace.path, path)
    measured = pq.read_table(path / "residency.parquet")
    at = np.arange(0, timeline.num_rows, 7)
    time, resident = (timeline[name].to_numpy()[at] for name in ("time", "resident"))
    columns = dict.fromkeys(measured.column_names, resident // 1024) | {"time": time}
    pq.write_table(pa.table(columns).select(measured.column_names).cast(measured.schema), path / "residency.parquet")
    return Trace.open(path)
