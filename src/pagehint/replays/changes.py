"""What the recorded guest's reporting was changed to meanwhile, as a replay of the guest's own settings follows it."""

from collections.abc import Callable
from functools import partial

from pagehint.hinting.clock import VirtualClock
from pagehint.hinting.designs.reporting import PageReporting, timer_step
from pagehint.kernel.ticks import TICK
from pagehint.trace.reporting import ReportingChange

__all__ = ["Follower"]

_SOON = 10**6  # ns: blocks in flight are back by then, or soon after


class Follower:
    """Changes a design when the guest's reporting was.

    `stop` takes its device away, as where the balloon's driver is unbound, and `start` brings it back.
    """

    def __init__(self, design: PageReporting, stop: Callable[[], None], start: Callable[[], None]) -> None:
        self._design, self._stop, self._start = design, stop, start
        self._first = design.order, design.delay
        self._wanted, self._away = True, False

    def begin(self, changes: list[ReportingChange], clock: VirtualClock) -> None:
        """Follow these from now on."""
        self._clock = clock
        for change in changes:
            clock.call_at(max(change.time, clock.now), partial(self._follow, change))

    def end(self) -> None:
        """The design is set as it was."""
        self._design.order, self._design.delay = self._first

    def _follow(self, change: ReportingChange) -> None:
        design = self._design
        order = design.order if change.order is None else change.order
        design.change(order, design.delay if change.delay_ns is None else self._delay(change.delay_ns))
        if change.on is not None:
            self._wanted = change.on
            self._settle()

    # Where nobody knows when the timer's wheel steps, half a step: as for the delay at the start.
    def _delay(self, delay: int) -> int:
        design = self._design
        known = design.timer_phase is not None
        return delay if known else delay + timer_step(delay, design.timer_tick or TICK) // 2

    def _settle(self) -> None:
        if self._wanted and self._away:
            self._away = False
            self._start()
        elif not self._wanted and self._design.in_flight is not None:
            self._clock.call_at(self._clock.now + _SOON, self._settle)
        elif not self._wanted and self._design.started:
            self._away = True
            self._stop()
