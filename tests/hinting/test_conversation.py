"""A design as its driver sees it: it is asked what to do next, and told what happened."""

import pytest

from pagehint.errors import InputError
from pagehint.hinting.action import BEGIN, IDLE, React, Sleep
from pagehint.hinting.design import Design
from pagehint.hinting.designs.hinting import PageHinting
from pagehint.hinting.drivers.stepper import Stepper
from pagehint.mm.check import check
from pagehint.mm.zone import Zone
from tests.hinting.rig import MS, Device


@pytest.fixture
def stepper():
    """A started design over three blocks; its work is due at 100 ms."""
    stepper = Stepper(PageHinting(), [Zone(3 * 1024)])
    stepper.start(Device(2))
    return stepper


def test_it_sleeps_begins_tells_and_rests(stepper):
    design = stepper.design
    assert stepper.step() == Sleep(100 * MS)
    stepper.now = 100 * MS - 1
    assert stepper.step() == Sleep(100 * MS)
    stepper.now = 100 * MS
    assert stepper.step() is BEGIN
    told = []
    while isinstance(action := stepper.step(), React):
        told.append([pfn for pfn, _ in action.batch])
        stepper.reacted()
    assert told == [[0, 1024], [2048]]
    assert action is IDLE
    found = design.statistics
    assert (found.runs, found.batches, found.blocks, found.pages, found.errors) == (1, 2, 3, 3072, 0)


def test_a_react_is_said_again_until_it_has_ended(stepper):
    stepper.now = 100 * MS
    design = stepper.design
    assert design.next(stepper.now) is BEGIN
    first = design.next(stepper.now)
    assert design.next(stepper.now + 5) is first
    assert design.in_flight is first.batch
    assert design.statistics.batches == 0
    design.reacted(None, stepper.now + 9)
    assert design.now == stepper.now + 9
    assert design.statistics.batches == 1
    assert design.in_flight is None


def test_a_react_that_nobody_was_asked_for_is_an_error(stepper):
    for _ in range(2):
        with pytest.raises(InputError, match="no react runs"):
            stepper.design.reacted(None, 0)
    with pytest.raises(InputError, match="no react runs"):
        PageHinting().reacted(None, 0)


def test_without_a_device_there_is_nothing_to_do():
    design = PageHinting()
    assert design.next(10**12) is IDLE
    assert design.statistics.runs == 0


def test_what_failed_is_counted_and_its_blocks_go_back_untold(stepper):
    stepper.now = 100 * MS
    stepper.step()
    react = stepper.step()
    zone, error = react.zone, OSError("no")
    assert zone.in_flight_pages == 2048
    stepper.reacted(error)
    found = stepper.design.statistics
    assert (found.batches, found.errors, repr(found.last_error)) == (0, 1, repr(error))
    assert (zone.in_flight_pages, zone.free_pages, sum(zone.nr_hinted)) == (0, 3072, 0)
    action = stepper.step()
    assert isinstance(action, Sleep)  # and tries again later
    assert action.until > stepper.now
    assert check(zone) == []


class Wrong(Design):
    """Yields what is no React of its own."""

    def work(self):
        yield self.wanted


@pytest.mark.parametrize("wanted", [None, IDLE, "react", "another's"])
def test_work_that_yields_something_else_is_told_so(wanted):
    design, zone = Wrong(), Zone(2048)
    stepper = Stepper(design, [zone])
    stepper.start(Device(2))
    other = Zone(1024)
    design.wanted = React(other, design.batch) if wanted == "another's" else wanted
    assert stepper.step() is BEGIN
    with pytest.raises(InputError, match=r"its work yielded .*: expected self\.tell\(zone\), of one of its zones"):
        stepper.step()
    # The run has ended, another one does what is left.
    design.wanted = None
    assert stepper.step() is BEGIN


def test_stopping_in_a_react_ends_with_it(stepper):
    stepper.now = 100 * MS
    stepper.step()
    zone = stepper.step().zone
    stepper.stop()
    assert stepper.design.started
    stepper.reacted()
    assert stepper.step() is IDLE
    assert not stepper.design.started
    assert (zone.in_flight_pages, zone.active) == (0, False)
    assert stepper.design.statistics.batches == 1


class Hopeful(PageHinting):
    """Tells of a batch whether there is anything in it or not."""

    def work(self):
        self.outcomes = []
        for zone in self.zones:
            self.outcomes.append((yield self.tell(zone)))


def test_nobody_is_told_of_an_empty_batch():
    stepper = Stepper(Hopeful(), [Zone(1024), Zone(1024)])
    stepper.start(Device(2))
    stepper.now = 100 * MS
    assert stepper.step() is BEGIN
    assert stepper.step() is IDLE
    assert stepper.design.outcomes == [None, None]
    assert stepper.design.statistics.batches == 0


def test_what_is_left_in_the_batch_goes_back_at_a_runs_end():
    """It stayed in flight until the next run, and on a thread whoever wanted it waited for ever."""

    class Leaves(Design):
        order = 9

        def work(self):
            self.zones[0].pull(self.batch, most=2)
            return
            yield

    zone = Zone(4 << 10)
    stepper = Stepper(Leaves(), [zone])
    stepper.start(Device())
    assert stepper.step() is BEGIN
    assert stepper.step() is IDLE
    assert (zone.in_flight_pages, len(stepper.design.batch)) == (0, 0)
    assert sum(zone.nr_unhinted) == 4
    assert check(zone) == []
