"""When the guest's passes came and how long its host was at a batch, instead of what the model makes of both."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from pagehint.hinting.designs.reporting import PageReporting
from pagehint.replays.own_times import OwnTimes, TimedReporting
from pagehint.replays.playback import Playback
from pagehint.replays.replay import replay
from pagehint.replays.start import guest_reporting
from pagehint.replays.totals import make_run
from pagehint.trace.meta import GuestReporting
from pagehint.trace.shipped import example

from .test_scan import Event, record

MS = 10**6
SECOND = 10**9


def _reports(*batches: tuple[int, int]) -> list[Event]:
    """Batches that were told then, and done with then."""
    events: list[Event] = [(0, 0, "D", 0, 3, 1, 0)]
    for told, done in batches:
        events += [(told, 1, "R", -1, 255, 255, 32), (done, 1, "r", -1, 255, 255, 0)]
    return events


def test_a_pass_comes_when_the_guests_came_where_it_had_one(tmp_path: Path) -> None:
    batches = [(2 * SECOND, 2 * SECOND + MS), (2 * SECOND + 2 * MS, 2 * SECOND + 3 * MS), (5 * SECOND, 5 * SECOND + MS)]
    own = OwnTimes(record(tmp_path / "t", _reports(*batches), 4096))
    assert own.passes.tolist() == [2 * SECOND - MS // 10, 5 * SECOND - MS // 10]
    assert own.next_pass(0, 2 * SECOND) == 2 * SECOND - MS // 10
    assert own.next_pass(2 * SECOND, 2 * SECOND) == 5 * SECOND - MS // 10
    assert (
        own.next_pass(2 * SECOND - MS, 2 * SECOND) == 5 * SECOND - MS // 10
    )  # not one that came before it was asked for
    assert own.next_pass(SECOND - MS, SECOND // 10) is None
    assert own.next_pass(5 * SECOND, 2 * SECOND) is None


def test_each_batch_takes_as_long_as_the_guests(tmp_path: Path) -> None:
    batches = [(2 * SECOND, 2 * SECOND + 5 * MS), (2 * SECOND + 6 * MS, 2 * SECOND + 7 * MS), (5 * SECOND, 6 * SECOND)]
    trace = record(tmp_path / "t", _reports(*batches), 4096)
    own = OwnTimes(trace)
    assert own.batch_time(2 * SECOND - MS) == 6 * MS
    assert own.batch_time(2 * SECOND + 5 * MS) == 2 * MS
    assert own.batch_time(2 * SECOND + 7 * MS) is None
    assert own.batch_time(5 * SECOND) == SECOND
    assert own.batch_time(9 * SECOND) is None
    late = OwnTimes(trace)
    assert late.batch_time(2 * SECOND + 2 * MS) == 3 * MS
    assert late.batch_time(2 * SECOND + 9 * MS) == 0  # the guest's was over by then


def test_a_batch_begins_as_its_first_block_is_taken_off(tmp_path: Path) -> None:
    """What the CPU took off before another event was not for it, nor what another CPU takes off."""
    at = 2 * SECOND
    taken: list[Event] = [(at - 9 * MS, 1, "I", 8, 3, 255, 0), (at - 8 * MS, 1, "i", -1, 255, 255, 8)]
    taken += [(at - 7 * MS, 1, "F", 900, 0, 255, 0), (at - 6 * MS, 2, "I", 16, 3, 255, 0)]
    taken += [(at - 5 * MS, 1, "I", 24, 3, 255, 0), (at - 4 * MS, 1, "i", -1, 255, 255, 8)]
    taken += [(at - 3 * MS, 2, "F", 901, 0, 255, 0), (at - 2 * MS, 1, "I", 32, 3, 255, 0)]
    taken += [(at - MS, 1, "i", -1, 255, 255, 8)]
    told = _reports((at, at + MS), (at + 40 * MS, at + 41 * MS), (5 * SECOND, 5 * SECOND + MS))
    own = OwnTimes(record(tmp_path / "t", sorted([*taken, *told], key=lambda event: event[0]), 4096))
    assert own.passes.tolist() == [at - 5 * MS, 5 * SECOND - MS // 10]
    assert own.batch_time(at) == MS
    assert own.rest_time(at + MS) == 39 * MS - MS // 10
    assert own.batch_time(at + 40 * MS) == MS
    assert own.rest_time(at + 41 * MS) == 0  # the next is another pass


def test_with_a_short_delay_a_pass_does_not_rest_until_the_next(tmp_path: Path) -> None:
    """It waited for the next pass's first batch, as if that were its own, and so asked for none."""
    told = [2 * SECOND, 2 * SECOND + 20 * MS, 2 * SECOND + 120 * MS]
    trace = record(tmp_path / "t", _reports(*((at, at + MS) for at in told)), 4096)
    trace.meta = replace(trace.meta, reporting=GuestReporting(on=True, delay_ns=100 * MS, device_load_ns=1000))
    own = OwnTimes(trace)
    assert own.passes.tolist() == [told[0] - MS // 10, told[2] - MS // 10]
    assert own.batch_time(told[0]) == MS
    assert own.rest_time(told[0] + MS) == 19 * MS - MS // 10
    assert own.batch_time(told[1]) == MS
    assert own.rest_time(told[1] + MS) == 0
    assert own.batch_time(told[1] + 30 * MS) is None


def test_what_is_freed_between_two_batches_is_told_with_the_second(tmp_path: Path) -> None:
    """The worker waited for its CPU: a guest on a busy host was placed as recorded to 88 % without that."""
    told = 2 * SECOND
    events: list[Event] = [(0, 0, "Z", 800, 3, 1, 0), *[(0, 0, "D", 16 * k, 3, 1, 0) for k in range(40)]]
    events += [(told, 1, "R", -1, 255, 255, 32), (told + MS, 1, "r", -1, 255, 255, 0)]
    events += [(told + 30 * MS, 0, "D", 16 * 40, 3, 1, 0)]
    events += [(told + 50 * MS, 1, "R", -1, 255, 255, 9), (told + 51 * MS, 1, "r", -1, 255, 255, 0)]
    events += [(3 * SECOND, 0, "D", 16 * 41, 0, 1, 0)]
    trace = record(tmp_path / "t", events, 4096, "6.1.0")
    own, design = OwnTimes(trace), PageReporting(order=3)
    rest = None, "simulated", None, None, frozenset({"alloc"}), None
    assert Playback(trace, TimedReporting(design, own), *rest, own_times=own).run(make_run).totals.blocks == 41
    assert Playback(trace, design, *rest).run(make_run).totals.blocks == 40


def test_of_batches_whose_ends_were_lost_only_passes_are_known(tmp_path: Path) -> None:
    own = OwnTimes(record(tmp_path / "t", _reports((2 * SECOND, 3 * SECOND))[:-1], 4096))
    assert own.passes.tolist() == [2 * SECOND - MS // 10]
    assert own.rest_time(2 * SECOND) == 0
    assert own.batch_time(2 * SECOND) is None


def test_blocks_are_in_flight_for_as_long_as_the_guests_host_had_them(tmp_path: Path) -> None:
    """All but one are told; an allocation 10 ms later finds none, until they come back 50 ms after they were told."""
    blocks = [16 * k for k in range(33)]
    told = 2 * SECOND
    events: list[Event] = [(0, 0, "D", pfn, 3, 1, 0) for pfn in blocks]
    events += [(told, 1, "R", -1, 255, 255, 32)]
    events += [(told + 10 * MS, 0, "Z", pfn, 3, 1, 0) for pfn in blocks[:2]]
    events += [(told + 50 * MS, 1, "r", -1, 255, 255, 0), (3 * SECOND, 0, "D", blocks[0], 3, 1, 0)]
    trace = record(tmp_path / "t", events, 4096, "6.1.0")
    own, design = OwnTimes(trace), PageReporting(order=3)
    rest = None, "simulated", None, None, frozenset({"alloc"}), None
    timed = Playback(trace, TimedReporting(design, own), *rest, own_times=own).run(make_run).totals
    assert (timed.batches, timed.blocks, timed.allocations_delayed, timed.allocation_delay) == (1, 32, 1, 40 * MS)
    assert Playback(trace, design, *rest).run(make_run).totals.allocations_delayed == 0


def test_a_replay_that_misses_says_how_close_it_comes_with_the_guests_own_times() -> None:
    """Its passes come 0.1 s late here, as a busy machine's would: all that is missed is theirs."""
    run = replay(example(), PageReporting(delay="2.1s"), sample=None)
    assert run.prediction.residency_error is not None
    assert run.prediction.residency_error > 5e-3
    found = re.match(
        r"with the guest's own times of passes, and its host's of batches, residency is ([\d.]+) % off and 100.0 % of "
        "the blocks are placed as recorded",
        run.recording["warnings"][-1],
    )
    assert found is not None, run.recording["warnings"]
    assert float(found[1]) == pytest.approx(0.0107, abs=0.005)


def test_what_other_times_of_passes_do_not_mend_is_not_put_down_to_the_machine() -> None:
    """Of memory that is touched only as it is freed, a quarter was called the machine's delays."""
    run = replay(example(), guest_reporting(example()), touch=frozenset({"free"}), sample=None)
    assert run.recording["warnings"][-1].endswith(
        "residency is 24.926 % off and 100.0 % of the blocks are placed as recorded: no closer, so that nothing of it "
        "is what the machine delayed"
    )
