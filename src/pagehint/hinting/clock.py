# cython: boundscheck=True, wraparound=True
"""Virtual time: a clock that goes on only when it is told to, and runs what is due on its way."""

from heapq import heappop, heappush

import cython

from pagehint.errors import InputError
from pagehint.units import integer, shown

__all__ = ["Timer", "VirtualClock"]


@cython.final
@cython.cclass
class Timer:
    """Something due at a time; ``cancel()`` it, or let it run."""

    def __init__(self, time, action):
        self.time = time
        self.action = action

    def cancel(self):
        """It won't run."""
        self.action = None


@cython.final
@cython.cclass
class VirtualClock:
    """A deterministic clock in nanoseconds. What is due at the same time runs in the order in which it was set.

    For one thread at a time: threads that share one take turns by a lock of their own.
    """

    def __init__(self, now=0):
        self.now = integer("now", now)
        self._timers = []
        self._set = 0
        self._followers = []

    def __repr__(self):
        return f"<VirtualClock at {self.now:,} ns>"

    def call_at(self, time, action):
        """Run ``action()`` when the clock gets to ``time`` (ns, a whole number); on its next move if that is past.

        Raises InputError. O(log timers).
        """
        if type(time) is not int:
            time = integer("time", time)
        timer = Timer(max(time, self.now), action)
        self._set += 1
        heappush(self._timers, (timer.time, self._set, timer))
        return timer

    # The first timer that wasn't cancelled, or None.
    def _next(self):
        timer: Timer
        while self._timers:
            timer = self._timers[0][2]
            if timer.action is not None:
                return timer
            heappop(self._timers)
        return None

    @property
    def next_time(self):
        """When something is due next, or None."""
        timer: Timer = self._next()
        return None if timer is None else timer.time

    def run_until(self, time):
        """Go on to ``time`` and run what falls due, at the very end too, and what that sets. Never goes back."""
        time = integer("time", time)
        timer: Timer = self._next()
        while timer is not None and timer.time <= time:
            self._run(timer)
            timer = self._next()
        self._go_to(time)

    def _go_to(self, time):
        if time > self.now:
            self.now = time
            for follower in self._followers:
                follower.now = time

    def lead(self, followers):
        """Set the time of these, such as zones that keep ages, to this clock's, now and as it goes on."""
        self._followers = list(followers)
        for follower in self._followers:
            follower.now = self.now

    def step(self):
        """Go on to the next thing that is due, and run just that."""
        timer: Timer = self._next()
        if timer is not None:
            self._run(timer)

    def _run(self, timer: Timer):
        action, timer.action = timer.action, None  # so that it is dropped from the heap, now or after an interrupt
        self._go_to(timer.time)
        action()

    def advance(self, nanoseconds):
        """``run_until`` this much later. Raises InputError if negative."""
        later = integer("nanoseconds", nanoseconds)
        if later < 0:
            raise InputError(f"a clock can't go back by {shown(-later)} ns")
        self.run_until(self.now + later)
