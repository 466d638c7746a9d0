"""How compaction leaves a zone's lists: what is taken next tells."""

from pathlib import Path

import pytest

from pagehint.kernel.profiles import LINUX_6_1
from pagehint.mm.batch import Batch
from pagehint.replays.replay import replay
from pagehint.replays.start import Start
from pagehint.replays.truth import guest_host

from .test_scan import Event, record

_FREE_AT_THE_END: list[Event] = [(0, 0, "D", pfn, 0, 1, 0) for pfn in (24000, 24100)]


def test_what_compaction_comes_upon_turns_no_list(tmp_path: Path) -> None:
    """Each pageblock's first turned its list: 0.96 % off under pressure, 0.45 % without that."""
    blocks = [512 * k for k in (1, 3, 5, 7)]
    events: list[Event] = [(0, 0, "D", pfn, 3, 1, 0) for pfn in reversed(blocks)]
    # Of one order, and in pageblocks downwards.
    for pfn in (blocks[2], blocks[1]):
        events += [(1, 0, "I", pfn, 3, 255, 0), (1, 0, "i", -1, 255, 255, 8)]
    events += [(3, 0, "Z", pfn, 3, 1, 0) for pfn in (blocks[0], blocks[3])]
    assert replay(record(tmp_path / "t", events, 4096, "6.1.0")).prediction.placed_as_recorded == 1.0


def test_what_compaction_takes_claims_nothing(tmp_path: Path) -> None:
    """It is free on another type's list: what lies beside it stays there. A guest that swaps was placed to 31 %."""
    large, taken, beside = 1024 + 256, 1024 + 64, 1024 + 32
    events: list[Event] = [(0, 0, "D", large, 8, 1, 0), (0, 0, "D", taken, 4, 2, 0), (0, 0, "D", beside, 2, 2, 0)]
    events += [(1, 0, "I", taken, 4, 255, 0), (1, 0, "i", -1, 255, 255, 16), (2, 0, "Z", large, 2, 1, 0)]
    assert replay(record(tmp_path / "t", events, 4096, "6.8.0")).prediction.placed_as_recorded == 1.0


@pytest.mark.parametrize(("source", "first"), [(20, 34), (3, 3), (2, 0)])
def test_a_pageblock_to_move_from_is_looked_for_in_lists(source: int, first: int, tmp_path: Path) -> None:
    """Forty blocks of order 3: the list starts behind the one in that pageblock, or behind as many as are looked at."""
    blocks = [512 * k for k in range(1, 41)]
    moved = [512 * source + 8 + k for k in range(2)]
    events: list[Event] = [(0, 0, "D", pfn, 3, 1, 0) for pfn in reversed(blocks)]
    if source == 20:
        del events[40 - source]  # none of its own
    if source == 2:
        moved = []  # nothing tells
    events += [*_FREE_AT_THE_END, (1, 0, "I", 24000, 0, 255, 0), (1, 0, "i", -1, 255, 255, 1)]
    events += [(2, 0, "F", pfn, 0, 255, 0) for pfn in moved]
    there = [pfn for pfn in blocks if source != 20 or pfn != 512 * 20]
    events += [(3, 0, "Z", pfn, 3, 1, 0) for pfn in [*there[first:], *there[:first]]]
    assert replay(record(tmp_path / "t", events, 24576, "6.1.0")).prediction.placed_as_recorded == 1.0


def test_when_it_looked_at_enough_it_looks_at_no_other_list(tmp_path: Path) -> None:
    larger, smaller = [512 * k for k in range(1, 34)], [512 * k + 256 for k in range(34, 37)]
    events: list[Event] = [*_FREE_AT_THE_END, *[(0, 0, "D", pfn, 3, 1, 0) for pfn in reversed(smaller)]]
    events += [(0, 0, "D", pfn, 4, 1, 0) for pfn in larger]
    events += [(1, 0, "I", 24000, 0, 255, 0), (1, 0, "i", -1, 255, 255, 1), (2, 0, "F", 20000, 0, 255, 0)]
    events += [(3, 0, "Z", pfn, 3, 1, 0) for pfn in smaller]
    assert replay(record(tmp_path / "t", events, 24576, "6.1.0")).prediction.placed_as_recorded == 1.0


def test_what_waits_for_blocks_in_flight_turns_lists_once(tmp_path: Path) -> None:
    blocks = [512 + 16 * k for k in range(160)]
    events: list[Event] = [(0, 0, "D", pfn, 3, 1, 0) for pfn in reversed(blocks)]
    events += [(0, 0, "D", 24064, 9, 1, 0)]
    events += [(1, 0, "I", 24064, 0, 255, 0), (1, 0, "i", -1, 255, 255, 16), (2, 0, "F", 23552, 0, 255, 0)]
    events += [(20, 0, "Z", blocks[33], 3, 1, 0)]
    trace = record(tmp_path / "t", events, 24576, "6.1.0")
    start, host = Start.of(trace, LINUX_6_1), guest_host(trace)
    host.start(start.pages)
    engine, zone = start.engine(host.backing, False), start.zones[0]
    engine.load(next(iter(trace.batches())))
    engine.run(1)
    zone.attach(9, 0, "device", lambda: None)
    batch = Batch(8)
    zone.take_unreported(9, 1, batch, 1)
    assert batch.pfns.tolist() == [24064]
    for _ in range(3):
        assert engine.run(10) == 3  # it stalls
        assert zone.free_list(3, 1).tolist() == [*blocks[34:], *blocks[:34]]
    assert engine.turned == 1
    zone.drain(batch, True)
    assert engine.run(10) != 3
    assert engine.turned == 1


_LOOKED: list[Event] = [(1, 0, "I", 24576, 3, 255, 0), (1, 0, "i", -1, 255, 255, 8), (1, 0, "F", 520, 0, 255, 0)]


@pytest.mark.parametrize(
    ("above", "turned"),
    [
        ([], False),
        ([(0, 0, "D", 24064, 9, 1, 0)], False),  # nothing moves to a free pageblock
        ([(0, 0, "D", 24100, 0, 0, 0)], False),  # nor to one that is not movable
        ([(0, 0, "D", 24100, 0, 1, 0)], True),
        ([(0, 0, "D", 24100, 0, 1, 0), (1, 0, "I", 24100, 0, 255, 0), (1, 0, "i", -1, 255, 255, 1)], False),
        ([(0, 0, "D", 24576, 3, 1, 0), *_LOOKED], True),  # it goes on so where it finds no more in lists
    ],
)
def test_compaction_of_all_memory_looks_into_no_list(above: list[Event], turned: bool, tmp_path: Path) -> None:
    """It takes what is free from the zone's end down: guests that compacted all were placed as recorded to 81 %."""
    blocks = [512 * k for k in range(1, 5)]
    events: list[Event] = [(0, 0, "D", pfn, 3, 1, 0) for pfn in reversed(blocks)]
    events += sorted([(0, 0, "D", 24000, 0, 1, 0), *above], key=lambda event: event[0])
    events += [(2, 0, "I", 24000, 0, 255, 0), (2, 0, "i", -1, 255, 255, 1)]
    events += [(3, 0, "F", 512 * 2 + 8, 0, 255, 0), (3, 0, "F", 512 * 2 + 9, 0, 255, 0)]
    events += [(4, 0, "Z", pfn, 3, 1, 0) for pfn in ([*blocks[2:], *blocks[:2]] if turned else blocks)]
    assert replay(record(tmp_path / "t", events, 25088, "6.1.0")).prediction.placed_as_recorded == 1.0


def test_how_far_it_is_walked_grows_with_the_events(tmp_path: Path) -> None:
    """A full guest of 64 GiB was walked through for each block that its compaction took: 49 pageblocks here."""
    pages, times = 49 << 9, 20
    events: list[Event] = []
    for time in range(0, times * 10**8, 10**8):
        events += [(time, 0, "D", 100, 0, 1, 0), (time, 0, "I", 100, 0, 255, 0), (time, 0, "i", -1, 255, 255, 1)]
    trace = record(tmp_path / "t", events, pages, "6.1.0")
    start, host = Start.of(trace, LINUX_6_1), guest_host(trace)
    host.start(start.pages)
    engine = start.engine(host.backing, False)
    engine.load(next(iter(trace.batches())))
    engine.run(times * 10**8)
    assert engine.turned == times - 4
