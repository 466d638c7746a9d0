"""A recording in which reporting was changed: followed with the guest's own settings, and with no others."""

import pytest

from pagehint.hinting.clock import VirtualClock
from pagehint.hinting.designs.reporting import PageReporting
from pagehint.hinting.drivers.virtual import VirtualWorker
from pagehint.mm.batch import Batch
from pagehint.mm.zone import Zone
from pagehint.replays.changes import Follower
from pagehint.trace.reporting import ReportingChange

S = 10**9
MS = 10**6


class Guest:
    """32 blocks that a device is told of, two at a time, 10 ms each time."""

    capacity = 2

    def __init__(self, *changes: ReportingChange, **settings: int) -> None:
        self.zone, self.clock = Zone(32 << 10), VirtualClock()
        self.design = PageReporting(**{"order": 9, **settings})
        self.told: list[int] = []
        self.worker = VirtualWorker(self.design, [self.zone], self.clock, lambda react: 10 * MS)
        self.follower = Follower(self.design, self.worker.stop, self.start)
        self.start()
        self.follower.begin(list(changes), self.clock)

    def start(self) -> None:
        self.worker.start(self)

    def react(self, batch: Batch) -> None:
        self.told.append(self.clock.now)


def test_order_and_delay_are_changed_at_their_time_and_at_the_end_as_they_were() -> None:
    guest = Guest(ReportingChange(10 * S, order=4), ReportingChange(20 * S, delay_ns=S))
    guest.clock.run_until(10 * S)
    assert (guest.design.order, guest.design.delay) == (4, 2 * S)
    guest.clock.run_until(20 * S)
    # Half a step of the timer's wheel, whose phase nobody knows.
    assert (guest.design.order, guest.design.delay) == (4, S + 16 * MS)
    guest.follower.end()
    assert (guest.design.order, guest.design.delay) == (9, 2 * S)


def test_of_a_timer_that_is_known_the_delay_is_taken_as_it_is() -> None:
    guest = Guest(ReportingChange(10 * S, delay_ns=S), timer_phase=0)
    guest.clock.run_until(10 * S)
    assert guest.design.delay == S


def test_a_device_that_goes_and_comes_asks_for_a_pass_and_what_was_told_stays_so() -> None:
    guest = Guest(ReportingChange(10 * S, on=False), ReportingChange(20 * S, on=True, order=10))
    guest.clock.run_until(9 * S)
    told = len(guest.told)
    assert sum(guest.zone.nr_hinted) == 2 * told > 0
    guest.clock.run_until(10 * S)
    assert not guest.design.started
    block = guest.zone.alloc(10)
    guest.clock.run_until(19 * S)
    guest.zone.free(block, 10)
    assert len(guest.told) == told
    guest.clock.run_until(21 * S)
    assert guest.design.pending == 22 * S
    assert sum(guest.zone.nr_hinted) >= 2 * told - 1
    guest.clock.run_until(23 * S)
    assert len(guest.told) > told


@pytest.mark.parametrize("back", [None, 1 * MS, 30 * MS])
def test_a_device_goes_when_its_blocks_are_back(back: int | None) -> None:
    """Blocks are in flight at 2.005 s: until 2.01 s."""
    at = 2 * S + 5 * MS
    changes = [ReportingChange(at, on=False), ReportingChange(at + (back or 0), on=True)]
    guest = Guest(*changes[: 1 if back is None else 2])
    guest.clock.run_until(at)
    assert guest.design.in_flight is not None
    guest.clock.run_until(2 * S + 20 * MS)
    assert guest.zone.in_flight_pages == 0 or back == 1 * MS
    assert guest.design.started == (back == 1 * MS)
    guest.clock.run_until(30 * S)
    assert guest.design.started == (back is not None)
    assert (len(guest.told) > 2) == (back is not None)


def test_who_was_not_there_does_not_come_back() -> None:
    guest = Guest(ReportingChange(10 * S, on=False), ReportingChange(20 * S, on=True))
    guest.worker.stop()
    guest.clock.run_until(30 * S)
    assert not guest.design.started
