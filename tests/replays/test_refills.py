"""What refills brought to CPUs' lists, at zone level: found by a look at the recording, used evenly until the next."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pagehint.kernel.profiles import LINUX_5_10, LINUX_6_1, LINUX_6_8, LINUX_6_10, KernelProfile
from pagehint.replays.playback import Playback
from pagehint.replays.refills import FoundRefills, RefillScan
from pagehint.replays.totals import make_run
from pagehint.trace.meta import Meta

from .recording import Row, record, used_pages, zone

_S, _US = 10**9, 10**3
# time, event, pfn, order, cpu, type, detail
Event = tuple[int, str, int, int, int, int, int]


def _batch(events: list[Event]) -> dict[str, NDArray[Any]]:
    names = ("time", "event", "pfn", "order", "cpu", "migratetype", "detail")
    types = (np.int64, np.uint8, np.int64, np.uint8, np.uint16, np.uint8, np.int32)
    columns = zip(*((time, ord(letter), *others) for time, letter, *others in events), strict=True)
    return {name: np.array(column, kind) for name, kind, column in zip(names, types, columns, strict=True)}


def _found(
    events: list[Event],
    profile: KernelProfile = LINUX_6_1,
    pieces: int = 1,
    flags: NDArray[np.uint64] | None = None,
) -> FoundRefills:
    """A batch is 1 page below pfn 4096, and 31 above."""
    scan = RefillScan(1 << 16, [1 << 12, 1 << 16], [1, 31], profile, 9)
    for part in np.array_split(np.arange(len(events)), pieces):
        scan.add(_batch([events[k] for k in part]))
    return scan.found(10 * _S, flags)


def _rows(found: FoundRefills) -> list[tuple[int, int, int]]:
    return list(zip(found.begins.tolist(), found.ends.tolist(), found.used.tolist(), strict=True))


def _refill(time: int, pfn: int, blocks: int, order: int = 0, cpu: int = 0, migratetype: int = 1) -> list[Event]:
    return [(time + k * _US, "Z", pfn + (k << order), order, cpu, migratetype, 1) for k in range(blocks)]


@pytest.mark.parametrize("pieces", [1, 3])
def test_from_one_refill_to_the_next(pieces: int) -> None:
    events = [*_refill(0, 8192, 31), *_refill(_S, 9000, 31), *_refill(4 * _S, 9100, 31)]
    # Of what came last half is used by the end, and no slower than what came before.
    soon = 4 * _S + 16 * 3 * _S // 31
    assert _rows(_found(events, pieces=pieces)) == [(0, _S, 31), (_S, 4 * _S, 31), (4 * _S, soon, 16)]


def _drain(time: int, pfn: int, cpu: int = 0, migratetype: int = 1) -> Event:
    return time, "D", pfn, 0, cpu, migratetype, 0


def test_a_list_is_drained_from_its_end() -> None:
    refill = _refill(0, 8192, 31)
    later = _refill(_S, 9000, 31)
    # What comes last goes first, unused.
    unused = [_drain(_S // 2, 8222), _drain(_S // 2, 8221)]
    assert _rows(_found(refill + unused + later))[0] == (0, _S, 29)
    # Any other block had been used, and freed to the list's beginning: all of them were used by then.
    used = [_drain(_S // 3, 8200), _drain(_S // 2, 8222)]
    assert _rows(_found(refill + used + later))[0] == (0, _S // 3, 31)
    before = _refill(-_S, 8100, 31)
    assert _rows(_found(before + refill + [_drain(_S // 3, 8100)] + later))[1] == (0, _S // 3, 31)
    # From another list nothing follows.
    for other in _drain(_S // 3, 8200, cpu=1), _drain(_S // 3, 8200, migratetype=0):
        assert _rows(_found([*refill, other, *later]))[0] == (0, _S, 31)


def test_what_is_drained_tells_that_the_list_lay_idle() -> None:
    """What was used before went as fast as what the refill before had brought."""
    events = [*_refill(0, 8192, 31), *_refill(31 * 10**6, 9000, 31), _drain(_S, 9030), *_refill(5 * _S, 9100, 31)]
    assert _rows(_found(events))[:2] == [(0, 31 * 10**6, 31), (31 * 10**6, 61 * 10**6, 30)]
    # Not slower.
    events = [*_refill(0, 8192, 31), *_refill(9 * _S, 9000, 31), _drain(9 * _S + 50 * _US, 9030)]
    events += _refill(9 * _S + 100 * _US, 9100, 31)
    assert _rows(_found(events))[1] == (9 * _S, 9 * _S + 100 * _US, 30)


@pytest.mark.parametrize(
    ("first", "meanwhile", "refills"),
    [
        (20, [], 1),  # the host took the CPU away, which has the zone's lock
        (20, [(_S // 2, "F", 10000, 5, 0, 255, 0)], 2),  # the CPU did something else
        (20, [(_S // 2, "F", 10000, 5, 1, 255, 0)], 1),
        (20, [_drain(_S // 2, 10000, cpu=1)], 2),  # another had the lock
        (20, [_drain(_S // 2, 100, cpu=1)], 1),  # of another zone
        (31, [], 2),  # it had brought a batch
        (30, [], 2),  # it had no room for more
    ],
)
def test_a_refill_goes_on_after_a_pause(first: int, meanwhile: list[Event], refills: int) -> None:
    events = [*_refill(0, 8192, first), *meanwhile, *_refill(_S, 9000, 11)]
    assert len(_found(events).begins) == refills


def test_a_refill_goes_on_after_several_pauses() -> None:
    events = [*_refill(0, 8192, 10), *_refill(_S, 8202, 10), *_refill(2 * _S, 8212, 11)]
    # It is over as its last part is; what is drained from its end was not used, wherever it came.
    drains = [_drain(3 * _S, 8222 - k) for k in range(12)]
    assert _rows(_found(events + drains + _refill(4 * _S, 9000, 31)))[0] == (0, 4 * _S, 19)
    assert _rows(_found(events + _refill(4 * _S, 9000, 31)))[0] == (0, 4 * _S, 31)
    flags = np.zeros(1 << 16, np.uint64)
    flags[8204] = 1 << 5
    assert _rows(_found(events, flags=flags)) == [(0, 10 * _S, 13)]


def test_what_brings_less_as_the_list_has_no_room_is_over_all_the_same() -> None:
    """20 blocks are less than a batch; those and what comes next are not one, nor is what comes after that."""
    events = [*_refill(0, 8192, 20), *_refill(_S, 8300, 31), *_refill(2 * _S, 8400, 31), *_refill(3 * _S, 8500, 1)]
    assert _rows(_found(events))[:3] == [(0, _S, 20), (_S, 2 * _S, 31), (2 * _S, 3 * _S, 31)]
    events = [*_refill(0, 8192, 15), *_refill(_S, 8300, 15), *_refill(2 * _S, 8400, 15)]
    assert _found(events).begins.tolist() == [0, _S, 2 * _S]


def _fallback(time: int, pfn: int) -> Event:
    return time, "X", pfn, 0, 0, 1, 2 << 8


def test_a_fallback_that_takes_its_page_brings_it() -> None:
    """Since 6.10; unless the event before it has taken that page."""
    events = [_fallback(-5, 8191), *_refill(0, 8192, 29), _fallback(50 * _US, 8230), *_refill(_S, 9000, 31)]
    assert _rows(_found(events, LINUX_6_10))[0] == (-5, _S, 31)
    assert _rows(_found(events, LINUX_6_8))[0] == (0, _S, 29)
    claimed = [*_refill(0, 8192, 31), _fallback(50 * _US, 8222), *_refill(_S, 9000, 31)]
    assert _rows(_found(claimed, LINUX_6_10))[0] == (0, _S, 31)


def test_contiguous_areas_pages_come_to_a_list_too() -> None:
    events = [(time, "Z", pfn, 0, 0, 4, 0) for time, _, pfn, *_ in _refill(0, 8192, 31)]
    assert _rows(_found([*events, *_refill(_S, 9000, 31)]))[0] == (0, _S, 31)


def test_lists_that_tune_themselves_bring_twice_as_much() -> None:
    events = [*_refill(0, 8192, 62), *_refill(_S, 9000, 11)]
    assert len(_found(events, LINUX_6_8).begins) == 2
    events = [*_refill(0, 8192, 50), *_refill(_S, 9000, 12)]
    assert len(_found(events, LINUX_6_8).begins) == 1
    # More than that is another refill, however soon; of blocks of higher orders, nothing is doubled.
    assert len(_found(_refill(0, 8192, 1000), LINUX_6_8).begins) == 2
    assert len(_found(_refill(0, 8192, 70)).begins) == 3
    assert len(_found(_refill(0, 8192, 30, order=1), LINUX_6_8).begins) == 2


def test_page_flags_tell_what_was_used_by_the_end() -> None:
    flags = np.zeros(1 << 16, np.uint64)
    flags[[8196, 8300]] = 1 << 5
    assert _rows(_found(_refill(0, 8192, 31), flags=flags)) == [(0, 10 * _S, 5)]
    assert _rows(_found([*_refill(0, 8192, 31), *_refill(_S, 9000, 31)], flags=flags)) == [
        (0, _S, 31),
        (_S, _S + _S // 31, 1),
    ]


def test_each_list_has_its_own() -> None:
    lists = [
        _refill(1, 8192, 1),
        _refill(2, 8200, 1, cpu=3),
        _refill(3, 8208, 1, migratetype=2),
        _refill(4, 8216, 1, order=3),
        _refill(5, 8704, 1, order=9),
        _refill(6, 100, 1),  # of the other zone
        _refill(7, 9216, 1, order=9, migratetype=0),
    ]
    found = _found([event for each in lists for event in each])
    assert found.cpus == 4
    assert sorted(found.begins.tolist()) == [1, 2, 3, 4, 5, 6, 7]
    assert np.count_nonzero(np.diff(found.first)) == 7
    # Other orders have none; before 5.13, single pages alone.
    assert not len(_found(_refill(1, 8192, 1, order=4)).begins)
    assert _rows(_found([event for each in lists for event in each], LINUX_5_10)) == [
        (6, 10 * _S, 1),
        (1, 10 * _S, 1),
        (3, 10 * _S, 1),
        (2, 10 * _S, 1),
    ]


def test_pages_of_no_list() -> None:
    no_refill: Event = (1, "Z", 8192, 0, 0, 1, 0)
    nowhere: Event = (2, "Z", 1 << 40, 0, 0, 1, 1)
    failed: Event = (3, "Z", -1, 0, 0, 1, 1)
    assert _rows(_found([no_refill, nowhere, failed, (4, "D", 8192, 0, 0, 1, 0)])) == []


def test_what_lay_on_a_list_before() -> None:
    """What comes from a list that was refilled by then, but by no refill."""
    events = [_drain(0, 8000), *_refill(_S, 8192, 31), *(_drain(2 * _S + k, 8000 + 8 * k) for k in range(3))]
    events += [_drain(2 * _S + 5, 8003, cpu=1), _drain(2 * _S + 6, 8004, migratetype=0), _drain(2 * _S + 7, 8192)]
    found = _found(events)
    assert found.at_start.tolist() == [8008, 8016]
    assert len(set(found.at_start_on.tolist())) == 1
    assert found.first[found.at_start_on[0]] == 0


def _used(
    path: Path,
    rows: list[Row],
    times: list[int],
    kernel: str | None = None,
    batch: int = 12,
    untouched: bool = False,
    known_at: int = 0,
) -> list[int]:
    """Pages in use beyond those at the start, each 100 ms; `untouched`: of which the host had backed none, as is
    `known_at` a time."""
    meta = Meta(
        recorder="test", source="test", level="zone", kernel=kernel, zones=[replace(zone(2048), pcp_batch=batch)]
    )
    trace = record(path, rows, [zone(2048)], meta, times=times)
    one = Playback(trace, None, None, "simulated", "100ms", False, frozenset({"alloc"}), None)
    if untouched:
        one.first = replace(one.first, backed=np.zeros_like(one.first.backed), time=known_at)
    run = one.run(make_run)
    used = [pages // 4096 for pages in run.timeline.column("used").to_pylist()]
    return [pages - used[0] for pages in used]


def test_they_are_used_evenly_where_nothing_else_happens(tmp_path: Path) -> None:
    """The first at once, the others at equal distances, though no event comes meanwhile; what is drained never is."""
    rows: list[Row] = [("Z", 600 + k, 0, 0, 1) for k in range(12)]
    rows += [("D", 611, 0, 0), ("D", 610, 0, 0), ("Z", 700, 0, 0, 1), ("M", -1, 255)]
    times = [*range(0, 12 * _US, _US), _S - 2, _S - 1, _S, 2 * _S]
    used = _used(tmp_path / "a.t", rows, times)
    assert used[1:11] == pytest.approx(range(2, 12), abs=1)
    assert used[-1] == 11
    assert sorted(used) == used


def test_a_refill_that_begins_with_a_fallback_is_used_evenly_too(tmp_path: Path) -> None:
    """Since 6.10 a fallback takes its page."""
    rows: list[Row] = [("X", 600, 0, 0, 1), *(("Z", 601 + k, 0, 0, 1) for k in range(11)), ("Z", 700, 0, 0, 1)]
    rows += [("M", -1, 255)]
    used = _used(tmp_path / "a.t", rows, [*range(0, 12 * _US, _US), _S, 2 * _S], "6.12.0")
    assert used[1:11] == pytest.approx(range(1, 11), abs=2)


def test_what_comes_back_before_is_not_used(tmp_path: Path) -> None:
    rows: list[Row] = [("Z", 600 + k, 0, 0, 1) for k in range(4)]
    rows += [("D", 600 + k, 0, 0) for k in (3, 2, 1)] + [("Z", 700, 0, 0, 1)]
    used = _used(tmp_path / "a.t", rows, [0, 1, 2, 3, 5, 6, 7, _S])
    assert used[1] == used[-2] == 1


def test_what_the_host_had_not_backed_is_used_before_its_list_is_refilled(tmp_path: Path) -> None:
    """As fast as what comes then."""
    rows: list[Row] = [("M", -1, 255), *(("Z", 600 + k, 0, 0, 1) for k in range(12)), ("Z", 700, 0, 0, 1)]
    rows += [*(("D", 300 + k, 0, 0) for k in range(4)), ("M", -1, 255)]
    times = [0, *range(2 * _S, 2 * _S + 12 * _US, _US), 5 * _S, *range(6 * _S, 6 * _S + 4), 7 * _S]
    used = _used(tmp_path / "a.t", rows, times, untouched=True)
    assert [pages > 0 for pages in used] == [False] * 11 + [True] * 60  # three pages beyond 1 s: its area is resident
    assert _used(tmp_path / "b.t", rows, times)[:20] == [0] * 20


def test_what_is_not_whole_where_it_was_lies_on_no_list(tmp_path: Path) -> None:
    """A page of the first was free at the start, the last goes beyond the guest: a bit beyond an array was cleared."""
    rows: list[Row] = [("Z", 301, 0, 1), ("Z", 600, 1, 0, 1)]
    rows += [("D", 300, 1, 0), ("D", 2044, 1, 0), ("D", 2047, 1, 0)]
    meta = Meta(recorder="test", source="test", level="zone", kernel="6.1.0")
    trace = record(tmp_path / "t", rows, [zone(2048)], meta)
    one = Playback(trace, None, None, "simulated", None, False, frozenset(), None)
    found, used = one.start.seen.refills, used_pages(one.engine)
    assert found is not None
    assert found.at_start.tolist() == [300, 2044, 2047]
    one.engine.lay_used(found.at_start, found.at_start_on)
    assert used - used_pages(one.engine) == 2
    assert one.engine.used[300 >> 6] >> np.uint64(300 & 63) & np.uint64(1)


def test_what_a_refill_brought_before_is_used_as_it_was_to_be(tmp_path: Path) -> None:
    """What is backed is known in the middle: nothing is laid on that list, whose rest was all used then."""
    rows: list[Row] = [*(("Z", 600 + k, 0, 0, 1) for k in range(12)), *(("D", 300 + k, 0, 0) for k in range(4))]
    rows += [("Z", 700, 0, 0, 1), ("M", -1, 255)]
    times = [*range(0, 12 * _US, _US), *range(3 * _S, 3 * _S + 4), 4 * _S, 5 * _S]
    used = _used(tmp_path / "a.t", rows, times, untouched=True, known_at=_S)
    assert used[20] - used[5] == pytest.approx(4, abs=1)  # its area is resident by then
