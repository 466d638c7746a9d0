"""What lies on CPUs' lists at the start of a recording of allocations and frees alone."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from pagehint.proc.kpageflags import KPageFlag
from pagehint.replays.playback import Playback
from pagehint.replays.start import Start
from pagehint.replays.totals import make_run
from pagehint.trace import Meta, Trace

from .recording import Row, record, used_pages, zone, zoneinfo

_PAGES = 1 << 15
_FREE = 4096  # pages that are free as kpageflags tell, the first ones


def recording(
    path: Path,
    rows: Sequence[Row],
    counts: Sequence[int],
    kernel: str = "6.1.0",
    mark: int = 0,
    begin: int = 0,
    migratetype: int = 1,
) -> Trace:
    flags = np.full(_PAGES, int(KPageFlag.LRU), np.uint64)
    flags[:_FREE] = int(KPageFlag.BUDDY)
    return record(
        path,
        rows,
        [zone(_PAGES)],
        Meta(recorder="test", source="test", kernel=kernel),
        texts={"zoneinfo": zoneinfo([zone(_PAGES)], free=_FREE, on_cpus=counts)},
        flags=flags,
        marks=[(mark, "KPF-BEGIN init")],
        begin=begin,
        migratetype=migratetype,
    )


def started(trace: Trace, placement: str = "simulated") -> Playback:
    return Playback(trace, None, None, placement, None, False, frozenset({"alloc"}), None)


def on_lists(one: Playback) -> list[list[int]]:
    """The pages on each CPU's list of order 0, MOVABLE, the next to be taken first."""
    return [lists.lists()[1].tolist() for _, lists in sorted(one.start.pcps.items())]


def taken(*pfns: int, cpu: int = 0) -> list[Row]:
    return [("A", pfn, 0, cpu) for pfn in pfns]


def test_what_a_cpu_takes_first_and_was_not_free_lay_on_its_list(tmp_path):
    """All counted as free: a guest's lists began empty, and were refilled and drained at other times than its own."""
    rows = taken(9000, 9005, 9002) + taken(9001, cpu=1) + taken(9003)
    one = started(recording(tmp_path / "t", rows, [3, 1]))
    assert on_lists(one) == [[9000, 9005, 9002], [9001]]
    used = used_pages(one.engine)
    assert used == _PAGES - _FREE - 5  # 9003 is beyond the count: it was free, as before
    run = one.run(make_run)
    assert run.prediction.placed_as_recorded == 1.0
    assert used_pages(one.engine) == used + 5
    assert run.anomalies == {}
    assert [each.check() for each in one.start.zones] == [[]]


def test_a_list_that_ended_is_another_cpus(tmp_path):
    # A page that was free tells that CPU 0's list was empty: what it takes later came from elsewhere.
    rows = taken(0, 9000) + taken(9001, 1, 9002, cpu=1)
    assert on_lists(started(recording(tmp_path / "a", rows, [2, 3]))) == [[], [9001, 9000, 9002]]
    # Both began empty: nobody knows.
    rows = taken(0, 9000) + taken(1, 9001, cpu=1)
    assert on_lists(started(recording(tmp_path / "b", rows, [2, 2]))) == [[], []]


def test_blocks_and_what_has_no_list(tmp_path):
    rows: list[Row] = [("A", 9000, 3, 0), ("A", 8192, 4, 0), ("A", 9016, 0, 7)]
    one = started(recording(tmp_path / "t", rows, [1 << 12]))
    (lists,) = (lists for (_, cpu), lists in one.start.pcps.items() if cpu == 0)
    assert [pages.tolist() for pages in lists.lists() if len(pages)] == [[9016], [9000]]
    assert lists.count == 9
    assert one.run(make_run).totals.events == 3
    assert [each.check() for each in one.start.zones] == [[]]


def test_what_was_taken_before_the_snapshot_is_beyond_its_count(tmp_path):
    rows = taken(9000, 9001)
    assert on_lists(started(recording(tmp_path / "a", rows, [1], mark=10**6))) == [[9000, 9001]]
    # So late, it tells of another state.
    assert on_lists(started(recording(tmp_path / "b", rows, [1], mark=10**10))) == [[]]


def test_with_recorded_placement_they_lie_there_too(tmp_path):
    one = started(recording(tmp_path / "t", taken(9001, 9000), [2]), "recorded")
    assert on_lists(one) == [[9001, 9000]]
    run = one.run(make_run)
    assert run.prediction.placed_as_recorded == 1.0
    assert run.anomalies == {}


def test_lists_that_tune_themselves_go_on_from_their_length(tmp_path):
    """They began as an idle CPU's, and the first free drained them."""
    rows = [*taken(*range(9000, 9020)), *(("F", 9019, 0, 0), ("F", 9018, 0, 0))]
    one = started(recording(tmp_path / "t", [*rows], [24], kernel="6.12.60"))
    (lists,) = one.start.pcps.values()
    assert (lists.count, lists.high) == (20, 30)
    one.run(make_run)
    assert lists.count == 2
    assert one.start.zones[0].free_pages == _FREE


def test_lists_decay_at_whole_seconds(tmp_path, monkeypatch: pytest.MonkeyPatch):
    times: list[int] = []
    rows = taken(*range(9000, 9003)) * 1200
    one = started(recording(tmp_path / "t", rows, [3], kernel="6.12.60", begin=1_700_000_000))
    monkeypatch.setattr(Start, "decay", lambda start: times.append(one.clock.now) or True)
    one.run(make_run)
    assert times == [2 * 10**9, 3 * 10**9, 4 * 10**9, 5 * 10**9]


@pytest.mark.parametrize("migratetype", [3, 4, 5, 7, 15, 17, 255])
def test_an_events_type_of_which_there_are_no_lists(migratetype, tmp_path):
    """Such a block, drained from the list, was written to where no list is: the process ended, or its lists broke."""
    trace = recording(tmp_path / "t", taken(9000, 9005, 9002), [3], migratetype=migratetype)
    one = started(trace)
    assert on_lists(one) == [[9000, 9005, 9002]]
    one.start.zones[0].drain_pcp(one.start.pcps[0, 0])
    assert one.start.zones[0].check() == []
