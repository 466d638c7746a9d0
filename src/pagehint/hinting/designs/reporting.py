"""Free page reporting, as Linux does it since 5.7 (docs/spec/2)."""

from typing import ClassVar

from pagehint.hinting.action import Part, Work
from pagehint.hinting.design import Design
from pagehint.hinting.setting import Setting
from pagehint.kernel.migratetype import Migratetype
from pagehint.kernel.reporting import MAINLINE_CAPACITY, MAINLINE_DELAY
from pagehint.kernel.ticks import TICK
from pagehint.mm.zone import Zone

__all__ = ["PageReporting", "timer_delay", "timer_step"]

_BATCHES_A_BUDGET = 16
_DONE, _FULL, _OVER_BUDGET = range(3)


def timer_step(delay: int, tick: int = TICK) -> int:
    """By how much (ns) the level of the kernel's timer wheel steps that a timer of this delay (ns) is on.

    Each level has 64 steps of 8 times the length of those of the level below: of ticks of 4 ms, 4 ms up to 252 ms,
    32 ms up to 2 s, and so on.
    """
    step = tick
    while delay // tick * tick >= 63 * step:
        step *= 8
    return step


def timer_delay(delay: int, now: int, tick: int = TICK) -> int:
    """What becomes of a delay (ns) in the kernel's timer wheel: it ends with the first step of its level past it.

    ``now`` (ns) counts from a step of the wheel's; ``tick``: of the guest's (ns).
    """
    step = timer_step(delay, tick)
    due = (now // tick + delay // tick) * tick
    return max((due if step == tick else (due // step + 1) * step) - now, 0)


class PageReporting(Design):
    """Reports free blocks of at least ``order``, a pass each ``delay`` while there is work. Source: docs/spec/2.

    The device's capacity (32 in Linux) sets how many blocks a batch has, how many must stay free in a zone that is
    reported (as many, of ``order``), and that a pass tells about a sixteenth of a list's blocks. ``timer_phase`` (ns):
    when the kernel's timer wheel steps: a pass comes with the first step past the delay; None: at the delay's end.
    ``timer_tick`` (ns): a tick of the wheel's; None: 4 ms.
    """

    label: ClassVar[str] = "reporting"
    reasons: ClassVar[dict[str, str]] = {"high_water_mark": "under the high water mark or budget"}
    released: ClassVar[dict[str, int]] = {"delay": MAINLINE_DELAY, "capacity": MAINLINE_CAPACITY}

    order: int = Setting.order()
    delay: int = Setting.time("2s", "From the first request to the work, such as 2s.")
    timer_phase: int | None = Setting.time(None, "When the guest's timer wheel steps; none: the delay ends by itself.")
    timer_tick: int | None = Setting.time(None, "A tick of the guest's timer, such as 1ms; none: 4 ms.", 10**5)

    def forget(self) -> None:
        self._requested = self._active = False

    def change(self, order: int, delay: int) -> None:
        """Another order and delay (ns) from now on, as the kernel's parameters are written: it asks for no pass."""
        self.order, self.delay = order, delay
        if self.started and not self.stopping:
            for zone in self.zones:
                zone.notify_from(order)

    def wake(self, zone: Zone) -> None:
        self._request()

    def holds_back(self, zone: Zone) -> str:
        return "waiting" if self._requested or self._active else "high_water_mark"

    def reserve(self, zone: Zone) -> int:
        return zone.watermarks.low + (self.batch.capacity << self.order) + 1

    def _request(self) -> None:
        if not self._requested:
            self._requested = True
            if not self._active:
                self.schedule(self.delay)

    def begin_anew(self) -> None:
        self.forget()
        self._request()

    def schedule(self, delay: int) -> None:
        if self.timer_phase is not None:
            delay = timer_delay(delay, self.now - self.timer_phase, self.timer_tick or TICK)
        super().schedule(delay)

    def work(self) -> Work:
        self._active, self._requested = True, False
        for zone in self.zones:
            zone.request(False)
        for zone in self.zones:
            if self.stopping or not (yield from self._process(zone)):
                break
        self._active = False
        if self._requested:
            self.schedule(self.delay)

    def _process(self, zone: Zone) -> Part:
        """A pass over a zone; false if the run must end."""
        batch = self.batch
        if zone.free_pages < self.reserve(zone):
            return True
        for order in range(self.order, zone.max_order):
            for migratetype in range(Migratetype.ISOLATE):
                budget = -(-zone.nr_free[order] // (_BATCHES_A_BUDGET * batch.capacity))
                while (ended := zone.take_unreported(order, migratetype, batch, budget)) == _FULL:
                    if not (yield from self._report(zone)):
                        return False
                    budget -= 1
                self._requested |= ended == _OVER_BUDGET
        return not batch or (yield from self._report(zone))

    def _report(self, zone: Zone) -> Part:
        self.batch.reverse()
        if (yield self.tell(zone)) is not None:
            self.retry_later()
            self._requested = True
            return False
        return not self.stopping
