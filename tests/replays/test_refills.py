"""What refills brought to CPUs' lists, at zone level: found by a look at the recording, used evenly until the next."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pagehint.replays.playback import Playback
from pagehint.replays.refills import FoundRefills, RefillScan
from pagehint.replays.totals import make_run
from pagehint.trace.meta import Meta

from .recording import Row, record, zone

_S, _US = 10**9, 10**3
# time, event, pfn, order, cpu, type, detail
Event = tuple[int, str, int, int, int, int, int]


def _batch(events: list[Event]) -> dict[str, NDArray[Any]]:
    names = ("time", "event", "pfn", "order", "cpu", "migratetype", "detail")
    types = (np.int64, np.uint8, np.int64, np.uint8, np.uint16, np.uint8, np.int32)
    columns = zip(*((time, ord(letter), *others) for time, letter, *others in events), strict=True)
    return {name: np.array(column, kind) for name, kind, column in zip(names, types, columns, strict=True)}


def _found(events: list[Event], above_order_0: bool = True, pieces: int = 1) -> FoundRefills:
    scan = RefillScan(1 << 16, [1 << 12, 1 << 16], above_order_0, 9)
    for part in np.array_split(np.arange(len(events)), pieces):
        scan.add(_batch([events[k] for k in part]))
    return scan.found(10 * _S)


def _rows(found: FoundRefills) -> list[tuple[int, int, int]]:
    return list(zip(found.begins.tolist(), found.ends.tolist(), found.used.tolist(), strict=True))


def _refill(time: int, pfn: int, blocks: int, order: int = 0, cpu: int = 0, migratetype: int = 1) -> list[Event]:
    return [(time + k * _US, "Z", pfn + (k << order), order, cpu, migratetype, 1) for k in range(blocks)]


@pytest.mark.parametrize("pieces", [1, 3])
def test_from_one_refill_to_the_next(pieces: int) -> None:
    events = [*_refill(0, 8192, 30), *_refill(_S, 9000, 5), *_refill(4 * _S, 9100, 2)]
    # What is drained before the next was not used; afterwards it had been.
    events += [(_S // 2, "D", 8192 + 29, 0, 0, 1, 0), (2 * _S, "D", 8192, 0, 0, 1, 0), (3 * _S, "D", 9004, 0, 0, 1, 0)]
    # Of what came last half is used by the end.
    assert _rows(_found(sorted(events), pieces=pieces)) == [(0, _S, 29), (_S, 4 * _S, 4), (4 * _S, 16 * _S, 2)]


def test_each_list_has_its_own() -> None:
    lists = [
        _refill(1, 8192, 1),
        _refill(2, 8200, 1, cpu=3),
        _refill(3, 8208, 1, migratetype=2),
        _refill(4, 8216, 1, order=3),
        _refill(5, 8704, 1, order=9),
        _refill(6, 100, 1),  # of the other zone
    ]
    found = _found([event for each in lists for event in each])
    assert found.cpus == 4
    assert sorted(found.begins.tolist()) == [1, 2, 3, 4, 5, 6]
    assert np.count_nonzero(np.diff(found.first)) == 6
    # Other orders have none; before 5.13, single pages alone.
    assert not len(_found(_refill(1, 8192, 1, order=4)).begins)
    assert _rows(_found([event for each in lists for event in each], above_order_0=False)) == [
        (6, 20 * _S - 6, 1),
        (1, 20 * _S - 1, 1),
        (3, 20 * _S - 3, 1),
        (2, 20 * _S - 2, 1),
    ]


def test_pages_of_no_list() -> None:
    no_refill: Event = (1, "Z", 8192, 0, 0, 1, 0)
    nowhere: Event = (2, "Z", 1 << 40, 0, 0, 1, 1)
    failed: Event = (3, "Z", -1, 0, 0, 1, 1)
    assert _rows(_found([no_refill, nowhere, failed, (4, "D", 8192, 0, 0, 1, 0)])) == []


def _used(path: Path, rows: list[Row], times: list[int], kernel: str | None = None) -> list[int]:
    """Pages in use beyond those at the start, each 100 ms."""
    meta = Meta(recorder="test", source="test", level="zone", kernel=kernel, zones=[zone(2048)])
    trace = record(path, rows, [zone(2048)], meta, times=times)
    one = Playback(trace, None, None, "simulated", "100ms", False, frozenset({"alloc"}), None)
    run = one.run(make_run)
    used = [pages // 4096 for pages in run.timeline.column("used").to_pylist()]
    return [pages - used[0] for pages in used]


def test_they_are_used_evenly_where_nothing_else_happens(tmp_path: Path) -> None:
    """The first at once, the others at equal distances, though no event comes meanwhile; what is drained never is."""
    rows: list[Row] = [("Z", 600 + k, 0, 0, 1) for k in range(12)]
    rows += [("D", 610, 0, 0), ("D", 611, 0, 0), ("Z", 700, 0, 0, 1), ("M", -1, 255)]
    times = [*range(0, 12 * _US, _US), _S - 2, _S - 1, _S, 2 * _S]
    used = _used(tmp_path / "a.t", rows, times)
    assert used[1:11] == pytest.approx(range(2, 12), abs=1)
    assert used[-1] == 11
    assert sorted(used) == used


def test_a_refill_that_begins_with_a_fallback_is_used_evenly_too(tmp_path: Path) -> None:
    """Since 6.10 a fallback takes its page: the look ahead counts what follows it, a moment later."""
    rows: list[Row] = [("X", 600, 0, 0, 1), *(("Z", 601 + k, 0, 0, 1) for k in range(11)), ("Z", 700, 0, 0, 1)]
    rows += [("M", -1, 255)]
    used = _used(tmp_path / "a.t", rows, [*range(0, 12 * _US, _US), _S, 2 * _S], "6.12.0")
    assert used[1:11] == pytest.approx(range(1, 11), abs=2)


def test_what_comes_back_before_is_not_used(tmp_path: Path) -> None:
    rows: list[Row] = [("Z", 600 + k, 0, 0, 1) for k in range(4)]
    rows += [("D", 600 + k, 0, 0) for k in range(1, 4)] + [("Z", 700, 0, 0, 1)]
    used = _used(tmp_path / "a.t", rows, [0, 1, 2, 3, 5, 6, 7, _S])
    assert used[1] == used[-2] == 1
