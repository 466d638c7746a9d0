"""Free page reporting, as Linux does it since 5.7 (spec 2)."""

from pagehint.hinting.design import Design, Run, Telling
from pagehint.kernel.migratetype import Migratetype
from pagehint.mm.zone import Zone

__all__ = ["PageReporting"]

_BATCHES_A_BUDGET = 16
_DONE, _FULL, _OVER_BUDGET = range(3)


class PageReporting(Design):
    """Reports free blocks of at least ``order``, a pass each ``delay`` while there is work. Source: spec 2.

    The device's capacity (32 in Linux) sets how many blocks a batch has, how many must stay free in a zone that is
    reported (as many, of ``order``), and that a pass tells about a sixteenth of a list's blocks.
    """

    def __init__(self, order: int = 9, delay: int | str = "2s") -> None:
        super().__init__(order, delay, high_water_mark=0)
        self._requested = False
        self._active = False

    def notified(self, zone: Zone, now: int) -> None:
        self._now = now
        self._request()

    def holds_back(self, zone: Zone) -> str:
        if zone.free_pages <= zone.watermarks.low + self._reserve(zone):
            return "watermark"
        return "waiting" if self._requested or self._active else "high_water_mark"

    def _reserve(self, zone: Zone) -> int:
        return self._reacts[zone].batch.capacity << self.order

    def _request(self) -> None:
        if not self._requested:
            self._requested = True
            if not self._active:
                self._schedule(self.delay)

    def _request_all(self) -> None:
        self._requested = self._active = False
        self._request()

    def _work(self) -> Run:
        self._active, self._requested = True, False
        for zone in self._zones:
            zone.request(False)
        for zone in self._zones:
            if self._stopping or not (yield from self._process(zone)):
                break
        self._active = False
        if self._requested:
            self._schedule(self.delay)

    def _process(self, zone: Zone) -> Telling:
        """A pass over a zone; false if the run must end."""
        batch = self._reacts[zone].batch
        if zone.free_pages <= zone.watermarks.low + self._reserve(zone):
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
        self._telling = self._reacts[zone]
        self._telling.batch.reverse()
        if (yield self._telling) is not None:
            self._retry_later()
            self._requested = True
            return False
        return not self._stopping
