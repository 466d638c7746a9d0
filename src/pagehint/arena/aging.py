"""The arena's hinting design: memory that stayed free for a time is given back, whatever else is in use meanwhile."""

from typing import Any

from pagehint.arena.warm import EPOCHS, WarmPages
from pagehint.errors import InputError
from pagehint.hinting.action import Action, Sleep, Work
from pagehint.hinting.design import Design
from pagehint.hinting.setting import Setting
from pagehint.units import shown

__all__ = ["Aging"]

_NO_MARK = 1 << 32  # who frees notifies, so no count of blocks has to


class Aging(Design):
    """Gives back each page that has been free for ``idle`` (ns, or ``"2s"``): never after less than 3/4 of it.

    It looks ``EPOCHS`` times in that time while anything is warm, and sleeps otherwise. It is for an arena's
    pages alone. Raises InputError.
    """

    idle: int = Setting.time("10s", "How long a page stays free until it is given back.", EPOCHS)

    def __init__(self, *values: Any, **settings: Any) -> None:
        super().__init__(*values, **settings)
        self.delay = self.idle // EPOCHS

    def threshold(self) -> int:
        return _NO_MARK

    def begin_anew(self) -> None:
        for pages in self.zones:
            if not isinstance(pages, WarmPages):
                raise InputError(f"{self!r} gives back an arena's pages: {shown(pages)} are none")
        super().begin_anew()

    def work(self) -> Work:
        for pages in self.zones:
            assert isinstance(pages, WarmPages)
            pages.tick()
            batch = self.batch
            while not self.stopping:
                pages.fill(batch)
                if not batch:
                    break
                yield self.tell(pages)
        # What failed is as if freed just now: it waits for its time again, and keeps nothing else waiting.
        self.pending = None
        self._looked = any(pages.requested for pages in self.zones)

    # The next look is a delay after this one's end: by what time that is, who drives it says when asked again. A thread
    # that was held up in the middle would look twice at once, and pages be old before their time.

    def forget(self) -> None:
        self._looked = self._counts = False

    def look_around(self) -> None:
        if self._counts:
            self._counts = False
            self.schedule(self.delay)

    def rest(self) -> Action:
        if not self._looked:
            return super().rest()
        self._looked, self._counts = False, True
        return Sleep(self.now)
