"""Recordings that the engine must take as they are: nothing is lost uncounted, and nothing but the zone is touched."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pagehint.kernel.profiles import LINUX_6_1
from pagehint.mm.batch import Batch
from pagehint.proc.kpageflags import KPageFlag
from pagehint.replays.engine import COLUMNS
from pagehint.replays.pages import waiting
from pagehint.replays.replay import replay
from pagehint.replays.scan import Scan
from pagehint.replays.start import Start
from pagehint.replays.truth import guest_host
from pagehint.trace import Trace

from .recording import Row, pages_are_somewhere, record, zone


def test_cpus_that_the_bundle_does_not_count(tmp_path: Path) -> None:
    """They were a null pointer from their second event on; without any count nothing was placed."""
    cpus = [1, 1, 0, 5, 8191, 8191, 1023, 2047]
    rows: list[Row] = [row for k, cpu in enumerate(cpus) for row in (("A", 600 + k, 0, cpu), ("F", 600 + k, 0, cpu))]
    trace = record(tmp_path / "t", rows, [zone(2048)])
    trace = Trace(trace.path, replace(trace.meta, cpus=0))
    assert pages_are_somewhere(trace) == {}
    assert replay(trace).prediction.placed_as_recorded is not None


def test_isolations_of_cpus_above_1023_pair_too(tmp_path: Path) -> None:
    rows: list[Row] = [("Z", 0, 0, 0), ("A", 0, 0, 0)]
    rows += [("I", 512, 9, 1), ("I", 1024, 9, 1025), ("i", -1, 255, 1, 512), ("i", -1, 255, 1025, 512)]
    rows += [("i", -1, 255, 7, 512)]  # its question was lost
    trace = record(tmp_path / "t", rows, [zone(4096)])
    scan = Scan(4096, 9, True, LINUX_6_1, 0)
    for batch in trace.batches(COLUMNS):
        scan.add(batch)
    assert np.flatnonzero(scan.at_start == 1).tolist() == [0, *range(512, 1536)]
    assert scan.verdicts()[0].tolist() == [4, 5]
    assert pages_are_somewhere(trace) == {}


@pytest.mark.parametrize("questions", [1, 2])
def test_what_was_isolated_twice_is_used_once(questions: int, tmp_path: Path) -> None:
    """More was in use than was resident: an isolation whose question was lost took the block of the one before."""
    isolation: list[Row] = [("I", 1024, 9, 1), ("i", -1, 255, 1, 512)]
    rows = [*isolation, *isolation[2 - questions :], ("Z", 0, 0, 0), ("Z", 4, 0, 0)]
    run = replay(record(tmp_path / "t", rows, [zone(4096)]), sample="1ms")
    used = run.timeline["used"].to_numpy()
    assert run.totals.ideal_footprint <= run.totals.footprint
    assert run.totals.ideal_footprint == pytest.approx(used[1:].sum() * 10**6 / 2**30 / 60e9)


@pytest.mark.parametrize("order", [11, 15, 20])
@pytest.mark.parametrize("letters", ["ZA", "AF", "ZAFD", "FD", "D", "X"])
def test_orders_that_the_zone_does_not_have(order: int, letters: str, tmp_path: Path) -> None:
    """Blocks of them went onto lists that nobody looks at: 2,048 pages at a time."""
    pages = 2 << order
    rows: list[Row] = [("Z", 8, 3, 0), ("A", 8, 3, 0), *((letter, 1 << order, order, 0) for letter in letters)]
    anomalies = pages_are_somewhere(record(tmp_path / "t", rows, [zone(pages)]))
    # Without blocks that leave and join the lists, a drain says nothing.
    assert anomalies == ({} if letters == "X" else {"of an order beyond the largest": len(letters)})


def test_more_straight_frees_at_once_than_a_buffer_holds(tmp_path: Path) -> None:
    """What only the pages' next events tell is kept however much comes at once."""
    pages = 1 << 18
    rows: list[Row] = [row for pfn in range(pages) for row in (("Z", pfn, 0, 0), ("A", pfn, 0, 0))]
    rows += [("F", pfn, 0, 0) for pfn in range(pages)]
    rows += [("Z", pfn, 10, 0) for pfn in range(0, pages, 1024)]
    trace = record(tmp_path / "t", rows, [zone(pages)], step=1000)
    scan = Scan(pages, 9, True, LINUX_6_1, 0)
    for batch in trace.batches(COLUMNS):
        scan.add(batch)
    assert scan.verdicts()[0].tolist() == list(range(2 * pages, 3 * pages))
    assert pages_are_somewhere(trace) == {}


@pytest.mark.parametrize("batched", [True, False])
def test_what_a_batch_of_frees_leaves_out_goes_to_the_zone_in_its_turn(batched: bool, tmp_path: Path) -> None:
    """Not where its event is, with the batch's first ones: a kernel with PREEMPT_RT had 42 ms between them."""
    taken = [100, 102, 104, 106]
    rows: list[Row] = [(letter, pfn, 0, 0) for pfn in taken for letter in "ZA"]
    rows += [("F", 106, 0, 0), ("B", 106, 0, 0)]
    rows += [("F", pfn, 0, 0) for pfn in taken[:3]] + [("B", 100, 0, 0)]
    drained: Row = ("D", 106, 0, 0)
    # 102 found the list locked. What comes to a list last leaves it first.
    rows += [drained, ("B", 104, 0, 0)] if batched else [("B", 104, 0, 0), drained]
    rows += [("Z", pfn, 0, 0) for pfn in ((102, 106) if batched else (106, 102))]
    flags = np.full(2048, int(KPageFlag.LRU), np.uint64)
    flags[taken] = int(KPageFlag.BUDDY)
    trace = record(tmp_path / "t", rows, [zone(2048)], flags=flags)
    assert replay(trace).prediction.placed_as_recorded == 1.0
    assert pages_are_somewhere(trace) == {}


def test_a_batch_of_frees_that_begins_outside_every_zone(tmp_path: Path) -> None:
    """Memory that is plugged meanwhile: what was freed before a page was looked for 8 GiB behind an array's end."""
    rows: list[Row] = [("Z", 100, 0, 0), ("A", 100, 0, 0)]
    rows += [(letter, pfn, 0, 0) for letter in "FB" for pfn in (1 << 31, 100)] + [("D", 100, 0, 0)]
    assert pages_are_somewhere(record(tmp_path / "t", rows, [zone(2048)])) == {"outside every zone": 1}


def test_what_finds_nothing_while_blocks_are_in_flight_waits_until_it_gives_up(tmp_path: Path) -> None:
    """The next one waits again."""
    rows: list[Row] = [("D", 1024, 9, 0), ("D", 604, 0, 0), ("Z", 604, 0, 0)]
    rows += [("Z", 1024 + k, 0, 0) for k in range(3)]
    trace = record(tmp_path / "t", rows, [zone(2048)], flags=np.full(2048, int(KPageFlag.LRU), np.uint64))
    start, host = Start.of(trace, LINUX_6_1), guest_host(trace)
    host.start(start.pages)
    engine, here = start.engine(host.backing, False), start.zones[0]
    engine.load(next(iter(trace.batches())))
    engine.run(2 * 10**6)
    here.attach(9, 0, "device", lambda: None)
    here.take_unreported(9, 1, batch := Batch(8), 1)
    for _ in range(2):
        for _ in range(2):
            assert engine.run(10**9) == _STALLED
        assert engine.run(10**9, True) == _STALLED  # the next one
    here.drain(batch, True)
    assert engine.run(10**9) == _AT_END
    assert engine.anomalies == {"allocation failed here": 2}
    assert (engine.placed, here.check()) == (2, [])


_AT_END, _STALLED = 0, 3


def test_pages_that_are_taken_and_not_used() -> None:
    rng = np.random.default_rng(1)
    taken, used = rng.integers(0, 1 << 64, (2, 9), np.uint64)
    bits = np.unpackbits((taken & ~used).view(np.uint8), bitorder="little")
    for begin, end in ((0, 576), (1, 575), (63, 65), (64, 128), (70, 75), (100, 100), (5, 512)):
        assert waiting(taken, used, begin, end) == bits[begin:end].sum()
