"""Free page reporting, as Linux does it since 5.7 (docs/spec/2)."""

from typing import ClassVar

from pagehint.hinting.design import Design, Telling, Work
from pagehint.hinting.setting import Setting
from pagehint.kernel.migratetype import Migratetype
from pagehint.mm.zone import Zone

__all__ = ["PageReporting"]

_BATCHES_A_BUDGET = 16
_DONE, _FULL, _OVER_BUDGET = range(3)


class PageReporting(Design):
    """Reports free blocks of at least ``order``, a pass each ``delay`` while there is work. Source: docs/spec/2.

    The device's capacity (32 in Linux) sets how many blocks a batch has, how many must stay free in a zone that is
    reported (as many, of ``order``), and that a pass tells about a sixteenth of a list's blocks.
    """

    label: ClassVar[str] = "reporting"
    reasons: ClassVar[dict[str, str]] = {"high_water_mark": "under the high water mark or budget"}

    order: int = Setting.order()
    delay: int = Setting.time("2s", "From the first request to the work, such as 2s.")

    def forget(self) -> None:
        self._requested = self._active = False

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

    def _process(self, zone: Zone) -> Telling:
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

    def _report(self, zone: Zone) -> Telling:
        self.batch.reverse()
        if (yield from self.tell(zone)) is not None:
            self.retry_later()
            self._requested = True
            return False
        return not self.stopping
