"""The arena's hinting design: memory that stayed free for a time is given back, whatever else is in use meanwhile."""

from typing import Any

from pagehint.arena.warm import EPOCHS, WarmZone
from pagehint.hinting.design import Design, Work
from pagehint.hinting.setting import Setting

__all__ = ["Aging"]

_NO_MARK = 1 << 32  # the zone itself notifies, so no count of blocks has to


class Aging(Design):
    """Gives back each page that has been free for ``idle`` (ns, or ``"2s"``): never after less than 3/4 of it.

    It looks ``EPOCHS`` times in that time while anything is warm, and sleeps otherwise. Its zones are WarmZones.
    Raises InputError.
    """

    idle: int = Setting.time("10s", "How long a page stays free until it is given back.", EPOCHS)

    def __init__(self, *values: Any, **settings: Any) -> None:
        super().__init__(*values, **settings)
        self.delay = self.idle // EPOCHS

    @property
    def _warm(self) -> list[WarmZone]:
        return [zone for zone in self.zones if isinstance(zone, WarmZone)]

    def threshold(self) -> int:
        return _NO_MARK

    def work(self) -> Work:
        for zone in self._warm:
            zone.tick()
            batch = self.batch
            while not self.stopping:
                zone.fill(batch)
                if not batch:
                    break
                yield self.tell(zone)
        # What failed is as if freed just now: it waits for its time again, and keeps nothing else waiting.
        self.pending = None
        if any(zone.requested for zone in self._warm):
            self.schedule(self.delay)
