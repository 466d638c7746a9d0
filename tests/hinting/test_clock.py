"""Virtual time."""

import pytest

from pagehint.errors import InputError
from pagehint.hinting.clock import VirtualClock


@pytest.fixture
def clock():
    return VirtualClock(100)


def test_what_is_due_runs_at_its_time_and_in_its_order(clock):
    ran = []
    for time, name in ((300, "c"), (200, "a"), (200, "b"), (400, "d"), (401, "too late")):
        clock.call_at(time, lambda name=name: ran.append((clock.now, name)))
    clock.advance(300)
    assert ran == [(200, "a"), (200, "b"), (300, "c"), (400, "d")]
    assert clock.now == 400


def test_what_is_past_runs_on_the_next_move(clock):
    ran = []
    clock.call_at(5, lambda: ran.append(clock.now))
    assert ran == []
    clock.advance(0)
    assert (ran, clock.now) == ([100], 100)


def test_what_an_action_sets_runs_too_if_it_falls_due(clock):
    ran = []

    def again():
        ran.append(clock.now)
        clock.call_at(clock.now + 10, again)

    clock.call_at(110, again)
    clock.run_until(150)
    assert ran == [110, 120, 130, 140, 150]


def test_a_cancelled_timer_does_not_run(clock):
    ran = []
    first = clock.call_at(110, lambda: ran.append(1))
    second = clock.call_at(120, lambda: ran.append(2))
    clock.call_at(115, second.cancel)
    first.cancel()
    first.cancel()
    clock.advance(100)
    assert ran == []


def test_time_never_goes_back(clock):
    clock.run_until(50)
    assert clock.now == 100
    with pytest.raises(InputError, match="can't go back by 5 ns"):
        clock.advance(-5)


def test_an_action_may_move_the_clock_itself(clock):
    ran = []
    clock.call_at(110, lambda: clock.run_until(130))
    clock.call_at(120, lambda: ran.append(clock.now))
    clock.call_at(140, lambda: ran.append(clock.now))
    clock.run_until(140)
    assert ran == [120, 140]


def test_an_action_that_raises_leaves_the_others(clock):
    ran = []
    clock.call_at(110, lambda: 1 / 0)
    clock.call_at(120, lambda: ran.append(clock.now))
    with pytest.raises(ZeroDivisionError):
        clock.advance(100)
    assert clock.now == 110
    clock.advance(10)
    assert ran == [120]


@pytest.mark.parametrize("time", [1e9, "2s", None])
def test_a_time_that_is_no_whole_number(clock, time):
    """A time of a float was the clock's own then."""
    with pytest.raises(InputError, match=r"time .*: expected a whole number"):
        clock.call_at(time, print)
