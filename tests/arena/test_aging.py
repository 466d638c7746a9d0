"""The arena's design, driven by hand."""

from itertools import pairwise

import pytest

from pagehint.arena.aging import Aging
from pagehint.arena.warm import EPOCHS, WarmPages
from pagehint.errors import InputError
from pagehint.hinting.action import Begin, React, Sleep
from pagehint.hinting.drivers.stepper import Stepper
from pagehint.mm.zone import Zone

MS = 10**6


class Device:
    capacity = 32

    def react(self, batch):
        pass


def test_a_look_that_was_held_up_is_not_followed_by_another_at_once():
    """What is free may not get old because a thread was late: two looks at once were two quarters of its time."""
    zone = WarmPages(64, 2 << 20)
    worker = Stepper(Aging(EPOCHS * 250 * MS), [zone])
    worker.start(Device())
    zone.release(zone.take(8))
    looks, told = [], 0
    for late in (0, 900, 40, 0, 0, 0, 0):
        action = worker.step()
        while not isinstance(action, Begin):
            assert isinstance(action, Sleep)
            worker.now = max(worker.now, action.until)
            action = worker.step()
        looks.append(worker.now)
        action = worker.step()
        while isinstance(action, React):
            told += 1
            worker.reacted()
            action = worker.step()
        worker.now += late * MS
        if told:
            break
    assert told == 1
    assert all(after - before >= 250 * MS for before, after in pairwise(looks))
    assert looks[2] >= looks[1] + (900 + 250) * MS


def test_pages_that_are_no_arenas():
    worker = Stepper(Aging("1s"), [Zone(1 << 12)])
    with pytest.raises(InputError, match="gives back an arena's pages"):
        worker.start(Device())
    assert not worker.design.started
