"""Small recordings, made event by event."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pagehint.proc.zoneinfo import ZoneLayout
from pagehint.trace import Meta, Trace, TraceWriter
from pagehint.trace.events import EVENT_SCHEMA

__all__ = ["Row", "record", "zone"]

Row = tuple[str, int, int, int] | tuple[str, int, int, int, int]
"""An event's letter, pfn, order and CPU, and its detail where it has one."""


def zone(pages: int, start_pfn: int = 0, name: str = "DMA32") -> ZoneLayout:
    """A zone without holes and watermarks."""
    return ZoneLayout(0, name, start_pfn, pages, pages, pages, 0, 0, 0, pcp_high=30, pcp_batch=7)


def record(
    path: Path, rows: Sequence[Row], zones: Sequence[ZoneLayout], meta: Meta | None = None, step: int = 10**6
) -> Trace:
    """A recording of these events, `step` ns apart, all of them MOVABLE."""
    columns = {field.name: np.zeros(len(rows), field.type.to_pandas_dtype()) for field in EVENT_SCHEMA}
    columns["time"] = np.arange(len(rows), dtype=np.int64) * step
    columns["migratetype"][:] = 1
    columns["event"][:] = [ord(row[0]) for row in rows]
    for k, name in enumerate(("pfn", "order", "cpu", "detail")):
        columns[name][:] = [row[k + 1] if len(row) > k + 1 else 0 for row in rows]
    with TraceWriter(path) as writer:
        writer.add_events(columns)
        given = Meta(recorder="test", source="test") if meta is None else meta
        writer.finish(given if given.zones else Meta(**{**vars(given), "zones": list(zones)}))
    return Trace.open(path)
