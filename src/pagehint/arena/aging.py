"""The arena's hinting design: memory that stayed free for a time is given back, whatever else is in use meanwhile."""

from pagehint.arena.warm import EPOCHS, WarmZone
from pagehint.errors import InputError
from pagehint.hinting.design import Design, Run
from pagehint.mm.zone import Zone
from pagehint.units import parse_time

__all__ = ["Aging"]

_NO_MARK = 1 << 32  # the zone itself notifies, so no count of blocks has to


class Aging(Design):
    """Gives back each page that has been free for ``idle`` (ns, or ``"2s"``): never after less than 3/4 of it.

    It looks ``EPOCHS`` times in that time while anything is warm, and sleeps otherwise. Its zones are WarmZones.
    Raises InputError.
    """

    def __init__(self, idle: int | str) -> None:
        self.idle = parse_time(idle)
        if self.idle < EPOCHS:
            raise InputError(f"an idle time of {idle!r} is too short: expected at least {EPOCHS} ns")
        super().__init__(0, self.idle // EPOCHS, _NO_MARK)

    @property
    def _warm(self) -> list[WarmZone]:
        return [zone for zone in self._zones if isinstance(zone, WarmZone)]

    def notified(self, zone: Zone, now: int) -> None:
        self._now = now
        self._schedule(self.delay)

    def holds_back(self, zone: Zone) -> str:
        return "waiting"

    def _request_all(self) -> None:
        for zone in self._zones:
            zone.request()
        self._schedule(self.delay)

    def _work(self) -> Run:
        for zone in self._warm:
            zone.tick()
            batch = self._reacts[zone].batch
            while not self._stopping:
                zone.fill(batch)
                if not batch:
                    break
                self._telling = self._reacts[zone]
                yield self._telling
        # What failed is as if freed just now: it waits for its time again, and keeps nothing else waiting.
        self._due = None
        if any(zone.requested for zone in self._warm):
            self._schedule(self.delay)
