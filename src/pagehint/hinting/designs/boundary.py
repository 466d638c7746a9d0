"""Free page hinting with boundaries, as proposed in 2019 (spec 1, sections 6 to 8)."""

from pagehint.errors import InputError
from pagehint.hinting.design import Action, Design, Run, Sleep, Telling
from pagehint.mm.zone import Zone
from pagehint.units import parse_time

__all__ = ["PageHinting"]

_SHORTEST_IDLE = 10**6  # who looks more often does nothing else


class PageHinting(Design):
    """Hints blocks of at least ``order`` once ``high_water_mark`` unhinted ones of an order are free.

    ``delay``: from the first request to the work. ``once_a_delay``: frees during a react wait for the next work, so
    that it never runs more often than once a delay. ``idle``: what is still unhinted after this time without any
    allocation or free is hinted too, however it came to be free (at least 1 ms); None never does that. Source: spec 1.
    """

    def __init__(
        self,
        order: int = 9,
        high_water_mark: int = 32,
        delay: int | str = "100ms",
        once_a_delay: bool = False,
        idle: int | str | None = None,
    ) -> None:
        super().__init__(order, delay, high_water_mark)
        self.once_a_delay = once_a_delay
        self.idle = None if idle is None else parse_time(idle)
        if self.idle is not None and self.idle < _SHORTEST_IDLE:
            raise InputError(f"an idle time of {idle!r} is too short: expected at least 1 ms, or None")
        self._forget()

    @property
    def request_count(self) -> int:
        """Zones that are requested."""
        return sum(zone.requested for zone in self._zones)

    def notified(self, zone: Zone, now: int) -> None:
        self._now = now
        # A thread may hear of several zones only after all of them have asked: then none is the first.
        if self._run is None or self.request_count <= zone.requested:
            self._schedule(self.delay)

    def holds_back(self, zone: Zone) -> str:
        if zone.free_pages - (1 << self.order) < zone.watermarks.low:
            return "watermark"
        return "waiting" if zone.requested else "high_water_mark"

    def _forget(self) -> None:
        self._look = 0
        self._seen = self._served = -1

    def _request_all(self) -> None:
        self._request_populated()
        if self.request_count:
            self._schedule(self.delay)

    def _request_populated(self) -> None:
        for zone in self._zones:
            if zone.present_pages:
                zone.request()

    def _work(self) -> Run:
        while self._zones:
            for zone in self._zones:
                if zone.requested and not (yield from self._process(zone)):
                    return
                if not self.request_count or self._stopping:
                    return
            if self.once_a_delay:
                self._schedule(self.delay)
                return

    def _process(self, zone: Zone) -> Telling:
        """Fill, react, drain until nothing is left; false if the run must end."""
        try:
            zone.begin()
        except MemoryError as error:
            zone.request(False)
            self._count_error(error)
            return True
        react = self._reacts[zone]
        batch, fill = react.batch, zone.fill
        try:
            while True:
                full = fill(batch)
                if not (full or batch):
                    return True
                self._telling = react
                if (yield react) is not None:
                    self._retry_later()
                    zone.request()
                    return False
                if self._stopping or not (full if self.once_a_delay else zone.requested):
                    return True
        finally:
            zone.end()

    # Row 9 of spec 1, section 9: nobody is notified of a block that a split or a put back made.

    def _activity(self) -> int:
        return sum(zone.nr_alloc + zone.nr_free_ops + zone.nr_other_ops for zone in self._zones)

    def _look_around(self) -> None:
        if self.idle is None or self._now < self._look:
            return
        self._look = self._now + self.idle
        activity = self._activity()
        if activity == self._seen and activity != self._served:
            self._served = activity
            self._request_populated()
            self._due = self._now
        self._seen = activity

    def _rest(self) -> Action:
        if self.idle is None:
            return super()._rest()
        return Sleep(self._look if self._due is None else min(self._look, self._due))
