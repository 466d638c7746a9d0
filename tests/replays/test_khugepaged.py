"""Memory that the host's khugepaged brings back: as a recording shows it, and in replays."""

from pathlib import Path

import numpy as np
import pytest

from pagehint.host.model import ModelHost
from pagehint.replays.khugepaged import collapsed_areas
from pagehint.replays.replay import replay
from pagehint.replays.start import guest_reporting
from pagehint.trace import Meta, Trace, TraceWriter
from pagehint.trace.events import EVENT_SCHEMA
from pagehint.trace.shipped import example

from .recording import zone

_AREA = 512


def record(path: Path, allocated: tuple[tuple[float, int], ...], maps: tuple[dict[int, int], ...]) -> Trace:
    """Allocations of single pages (time in s, pfn), and a residency map each second: pages of each area."""
    rows = sorted([(0.0, 0), (9.0, 0), *allocated])
    columns = {field.name: np.zeros(len(rows), field.type.to_pandas_dtype()) for field in EVENT_SCHEMA}
    columns["time"][:] = [round(time * 1e9) for time, _ in rows]
    columns["pfn"][:] = [pfn for _, pfn in rows]
    columns["event"][:], columns["migratetype"][:] = ord("A"), 1
    with TraceWriter(path) as writer:
        writer.add_events(columns)
        bitmaps = []
        for second, counts in enumerate(maps, 1):
            pages = np.zeros(8 * _AREA, np.uint8)
            for area, count in counts.items():
                pages[area * _AREA : area * _AREA + count] = 1
            bitmaps.append((second * 10**9, np.packbits(pages)))
        writer.add_residency_bitmaps(bitmaps)
        writer.finish(Meta(recorder="test", source="test", zones=[zone(8 * _AREA)]))
    return Trace.open(path)


def test_what_came_back_without_an_event_is_found(tmp_path: Path) -> None:
    maps = ({1: 100, 2: 100, 4: 100}, {1: 100, 2: 100, 4: 100}, {1: 512, 2: 512, 3: 512, 4: 300})
    trace = record(tmp_path / "t", ((2.5, 2 * _AREA + 7),), maps)
    # Area 2 was allocated in, 3 had no page, and 4 is not whole.
    assert collapsed_areas(trace) == [(3 * 10**9, _AREA)]
    host = ModelHost("THP", khugepaged=True)
    warnings = replay(trace, None, host, sample=None).recording["warnings"]
    assert any("1 area of 2 MiB that came back with no event of the guest: pfn 512 by 3.00 s" in w for w in warnings)


def test_no_recording_that_ships_shows_any() -> None:
    assert collapsed_areas(example("pandas")) == []


def test_a_replay_with_khugepaged() -> None:
    """What a low order gives back, khugepaged brings back; all that is resident is counted as it is."""
    trace = example("pandas")
    design = type(guest_reporting(trace))(order=5)
    plain, busy = (replay(trace, design, ModelHost("THP", khugepaged=each)) for each in (False, True))
    assert plain.totals.collapsed == 0
    assert busy.totals.collapsed > 0
    assert busy.totals.footprint > plain.totals.footprint
    assert busy.totals.ideal_footprint == pytest.approx(plain.totals.ideal_footprint, rel=0.01)
    free = sum(busy.timeline.column(name).to_numpy() for name in ("used", "free_resident"))
    assert (free == busy.timeline.column("resident").to_numpy()).all()
