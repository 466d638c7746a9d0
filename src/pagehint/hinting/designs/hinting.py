# cython: annotation_typing=False, boundscheck=True, wraparound=True, cdivision=False
"""Free page hinting with boundaries, as proposed in 2019 (docs/spec/1, sections 6 to 8)."""

from typing import ClassVar

from pagehint.hinting.action import Action, Part, Sleep, Work
from pagehint.hinting.design import Design
from pagehint.hinting.setting import Setting
from pagehint.mm.zone import Zone

__all__ = ["PageHinting"]

_SHORTEST_IDLE = 10**6  # who looks more often does nothing else


class PageHinting(Design):
    """Hints blocks of at least ``order`` once ``high_water_mark`` unhinted ones of an order are free.

    ``delay``: from the first request to the work. ``once_a_delay``: frees during a react wait for the next work, so
    that it never runs more often than once a delay. ``idle``: what is still unhinted after this time without any
    allocation or free is hinted too, however it came to be free (at least 1 ms); None never does that.
    Source: docs/spec/1.
    """

    label: ClassVar[str] = "hinting"
    reasons: ClassVar[dict[str, str]] = {"high_water_mark": "under the high water mark or budget"}

    order: int = Setting.order()
    high_water_mark: int = Setting.count(32, "How many untold free blocks of an order start the work.")
    delay: int = Setting.time("100ms", "From the first request to the work, such as 100ms.")
    once_a_delay: bool = Setting.switch(False, "Frees during a react wait for the next work.")
    idle: int | None = Setting.time(
        None, "What is still untold after this time without an allocation or free is told too.", _SHORTEST_IDLE
    )

    def forget(self) -> None:
        self._look = 0
        self._seen = self._served = -1

    @property
    def request_count(self) -> int:
        """Zones that are requested."""
        return sum([zone.requested for zone in self.zones])

    def threshold(self) -> int:
        return self.high_water_mark

    def wake(self, zone: Zone) -> None:
        # A thread may hear of several zones only after all of them have asked: then none is the first.
        if not self.running or self.request_count <= zone.requested:
            self.schedule(self.delay)

    def holds_back(self, zone: Zone) -> str:
        return "waiting" if zone.requested else "high_water_mark"

    def begin_anew(self) -> None:
        self._request_populated()
        if self.request_count:
            self.schedule(self.delay)

    def _request_populated(self) -> None:
        for zone in self.zones:
            if zone.present_pages:
                zone.request()

    def work(self) -> Work:
        while self.zones:
            for zone in self.zones:
                if zone.requested and not (yield from self._process(zone)):
                    return
                if not self.request_count or self.stopping:
                    return
            if self.once_a_delay:
                self.schedule(self.delay)
                return

    def _process(self, zone: Zone) -> Part:
        """A cycle over the zone, until nothing untold is left; false if the run must end."""
        try:
            zone.begin()
        except MemoryError as error:
            zone.request(False)
            self.count_error(error)
            return True
        try:
            while True:
                if (yield self.tell_all(zone)) is not None:
                    self.retry_later()
                    zone.request()
                    return False
                if self.stopping or self.once_a_delay or not zone.requested:
                    return True
        finally:
            zone.end()

    # Row 9 of docs/spec/1, section 9: nobody is notified of a block that a split or a put back made.

    def _activity(self) -> int:
        return sum(zone.nr_alloc + zone.nr_free_ops + zone.nr_other_ops for zone in self.zones)

    def look_around(self) -> None:
        if self.idle is None or self.now < self._look:
            return
        self._look = self.now + self.idle
        activity = self._activity()
        if activity == self._seen and activity != self._served:
            self._served = activity
            self._request_populated()
            self.pending = self.now
        self._seen = activity

    def rest(self) -> Action:
        if self.idle is None:
            return super().rest()
        return Sleep(self._look if self.pending is None else min(self._look, self.pending))
