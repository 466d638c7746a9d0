"""A design driven by hand: one action at a time, and its caller ends each react."""

import pytest

from pagehint.errors import InputError
from pagehint.hinting.action import BEGIN, IDLE, React, Sleep
from pagehint.hinting.designs.reporting import PageReporting
from pagehint.hinting.drivers.stepper import Stepper
from pagehint.mm.check import check
from pagehint.mm.zone import Zone
from tests.hinting.rig import Device


@pytest.fixture
def stepper():
    """Mainline's reporting over 64 blocks, in the middle of its first react."""
    stepper = Stepper(PageReporting(), [Zone(64 * 1024)], now=5)
    stepper.start(Device())
    action = stepper.step()
    assert isinstance(action, Sleep)
    stepper.now = action.until
    assert stepper.step() is BEGIN
    assert isinstance(stepper.step(), React)
    yield stepper
    assert check(stepper.reacting.zone if stepper.reacting else stepper.design.zones[0]) == []


def test_nothing_goes_on_before_a_react_has_ended(stepper):
    assert stepper.reacting is not None
    for _ in range(2):
        with pytest.raises(InputError, match=r"a react runs: end it with reacted\(\) before the next step"):
            stepper.step()
    told = stepper.reacting.batch.pages
    assert stepper.reacting.zone.in_flight_pages == told > 0
    stepper.reacted()
    assert stepper.design.zones[0].in_flight_pages == 0
    with pytest.raises(InputError, match="no react runs"):
        stepper.reacted()


def test_an_allocation_that_finds_nothing_ends_the_react(stepper):
    zone = stepper.reacting.zone
    while zone.alloc_nowait(10) >= 0:
        pass
    assert zone.in_flight_pages > 0
    assert zone.alloc(10) >= 0
    assert stepper.reacting is None
    assert zone.in_flight_pages == 0


def test_a_react_that_fails_is_the_designs_to_try_again(stepper):
    stepper.reacted(OSError("no"))
    assert stepper.design.statistics.errors == 1
    assert sum(stepper.design.zones[0].nr_hinted or [0]) == 0
    action = stepper.step()
    assert isinstance(action, Sleep)
    assert action.until > stepper.now


def test_stopped_in_a_react_it_ends_with_it(stepper):
    stepper.stop()
    assert stepper.design.started
    stepper.reacted()
    zone = stepper.design.zones[0]
    assert stepper.step() is IDLE
    assert not stepper.design.started
    zone.free(zone.alloc(10), 10)
    assert not zone.requested


def test_a_design_whose_own_reacted_ends_no_react_is_refused():
    """Each further step gave the same React."""

    class Deaf(PageReporting):
        def reacted(self, error, now):
            pass

    stepper = Stepper(Deaf(), [Zone(64 * 1024)], now=5)
    stepper.start(Device())
    stepper.now = stepper.step().until
    stepper.step()
    stepper.step()
    with pytest.raises(InputError, match=r"^Deaf: its reacted\(\) ended no react"):
        stepper.reacted()
