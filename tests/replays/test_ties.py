"""Events of several CPUs at one instant, which are recorded one CPU after the other."""

from pathlib import Path

import numpy as np
import pytest

from pagehint.replays.replay import replay
from pagehint.replays.ties import Ties, groups_of

from .test_scan import Event, record


def placed(path: Path, events: list[Event]) -> tuple[float | None, dict[str, int]]:
    run = replay(record(path, events, 4096))
    return run.prediction.placed_as_recorded, run.anomalies


# Of three blocks of order 4 two stand on the list then: 1024 behind 2048.
_BLOCKS = (1024, 2048, 3072)
_BEFORE: list[Event] = [(k, 0, letter, pfn, 4, 1, 0) for k, pfn in enumerate(_BLOCKS) for letter in "ZA"] + [
    (6, 0, "F", 1024, 4, 255, 0),
    (7, 0, "F", 2048, 4, 255, 0),
]


def test_groups_are_of_several_cpus_and_of_one_instant() -> None:
    times = np.array([1, 1, 2, 3, 3, 3, 4, 4], np.int64)
    cpus = np.array([0, 0, 1, 0, 0, 1, 1, 0], np.uint16)
    assert groups_of(times, cpus)[0].tolist() == [[3, 6], [6, 8]]
    assert groups_of(times[:1], cpus[:1])[0].tolist() == []
    # So many at one instant say that the clock has no finer steps.
    assert len(groups_of(np.zeros(5000, np.int64), np.arange(5000).astype(np.uint16) & 1)[0]) == 0


def test_looking_ends_however_many_cpus_and_instants_there_are() -> None:
    """8,192 events of 4,096 CPUs at two instants took 45 s."""
    many = np.arange(4096).astype(np.uint16)
    assert groups_of(np.zeros(4096, np.int64), many) == (pytest.approx(np.zeros((0, 2))), 0)
    times, cpus = np.repeat(np.arange(1000), 8), np.arange(8000).astype(np.uint16) & 1
    groups, looks = groups_of(times, cpus, 100)
    assert groups.tolist() == [[0, 8]]
    assert looks == 64
    assert groups_of(times, cpus, 100 - looks)[1] == 0


def test_of_two_cpus_allocations_the_one_that_the_list_gives_comes_first(tmp_path: Path) -> None:
    events: list[Event] = [(9, 0, "Z", 1024, 4, 1, 0), (9, 1, "B", 7, 0, 1, 0), (9, 1, "Z", 2048, 4, 1, 0)]
    assert placed(tmp_path / "t", [*_BEFORE, *events]) == (1.0, {})
    # Each CPU's own events stay in order.
    own: list[Event] = [*_BEFORE, (9, 0, "Z", 1024, 4, 1, 0), (9, 0, "Z", 2048, 4, 1, 0), (9, 1, "B", 7, 0, 1, 0)]
    assert placed(tmp_path / "own", own) == (3 / 5, {})


def test_what_was_freed_on_one_cpu_and_taken_on_another(tmp_path: Path) -> None:
    """The block was taken twice, and freed without an allocation."""
    taken: list[Event] = [(9, 0, "Z", 3072, 4, 1, 1), (9, 0, "A", 3072, 4, 1, 0)]
    freed: list[Event] = [(9, 1, "F", 3072, 4, 255, 0)]
    assert placed(tmp_path / "t", [*_BEFORE, *taken, *freed]) == (1.0, {})
    pcp: list[Event] = [(1, 0, "Z", 512, 0, 1, 0), (2, 0, "A", 512, 0, 1, 0), (3, 1, "F", 512, 0, 1, 0)]
    again: list[Event] = [(4, 0, "Z", 512, 0, 1, 0), (4, 0, "A", 512, 0, 1, 0), (4, 1, "D", 512, 0, 1, 0)]
    assert placed(tmp_path / "drained", [*pcp, *again]) == (1.0, {})


def test_an_interrupt_between_events_of_one_instant_ends_the_replay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was printed and forgotten: the engine ran on."""

    def interrupted(*arguments: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(Ties, "next", interrupted)
    with pytest.raises(KeyboardInterrupt):
        placed(tmp_path / "t", [*_BEFORE, (9, 0, "Z", 1024, 4, 1, 0), (9, 1, "Z", 2048, 4, 1, 0)])
