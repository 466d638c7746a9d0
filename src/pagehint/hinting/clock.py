# cython: annotation_typing=False, boundscheck=True, wraparound=True, cdivision=False
"""Virtual time: a clock that goes on only when it is told to, and runs what is due on its way."""

import heapq
from collections.abc import Callable, Iterable
from typing import Protocol

from pagehint.errors import InputError

__all__ = ["Timer", "VirtualClock"]


class Timer:
    """Something due at a time; ``cancel()`` it, or let it run."""

    __slots__ = ("action", "time")

    def __init__(self, time: int, action: Callable[[], None]) -> None:
        self.time = time
        self.action: Callable[[], None] | None = action

    def cancel(self) -> None:
        """It won't run."""
        self.action = None


class Follower(Protocol):
    """What has a time that a clock can set (ns)."""

    now: int


class VirtualClock:
    """A deterministic clock in nanoseconds. What is due at the same time runs in the order in which it was set."""

    def __init__(self, now: int = 0) -> None:
        self.now = now
        self._timers: list[tuple[int, int, Timer]] = []
        self._set = 0
        self._followers: list[Follower] = []

    def call_at(self, time: int, action: Callable[[], None]) -> Timer:
        """Run ``action()`` when the clock gets to ``time``; on its next move if that is past. O(log timers)."""
        timer = Timer(max(time, self.now), action)
        self._set += 1
        heapq.heappush(self._timers, (timer.time, self._set, timer))
        return timer

    @property
    def next_time(self) -> int | None:
        """When something is due next, or None."""
        while self._timers and self._timers[0][2].action is None:
            heapq.heappop(self._timers)
        return self._timers[0][0] if self._timers else None

    def run_until(self, time: int) -> None:
        """Go on to ``time`` and run what falls due, at the very end too, and what that sets. Never goes back."""
        timers = self._timers
        while timers and timers[0][0] <= time:
            if timers[0][2].action is None:
                heapq.heappop(timers)
            else:
                self.step()
        self._go_to(time)

    def _go_to(self, time: int) -> None:
        if time > self.now:
            self.now = time
            for follower in self._followers:
                follower.now = time

    def lead(self, followers: Iterable["Follower"]) -> None:
        """Set the time of these, such as zones that keep ages, to this clock's, now and as it goes on."""
        self._followers = list(followers)
        for follower in self._followers:
            follower.now = self.now

    def step(self) -> None:
        """Go on to the next thing that is due, and run just that."""
        if self.next_time is None:
            return
        timer = self._timers[0][2]
        action, timer.action = timer.action, None  # so that it is dropped from the heap, now or after an interrupt
        self._go_to(timer.time)
        assert action is not None
        action()

    def advance(self, nanoseconds: int) -> None:
        """``run_until`` this much later. Raises InputError if negative."""
        if nanoseconds < 0:
            raise InputError(f"a clock can't go back by {-nanoseconds} ns")
        self.run_until(self.now + nanoseconds)
