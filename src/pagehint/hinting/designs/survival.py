"""How soon free pages are used again: one number, from a few pages that are looked at again and again."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pagehint.mm.zone import Zone

__all__ = ["FIRST_GUESS", "Survival"]

_MS = 10**6
_MOST_MS = 0xFFFFFFFF
_PAGES = 1024
_SHORTEST_LOOK = 100 * _MS
_YOUNGEST, _OLDEST = 320 * _MS, 10_240 * _MS  # what is used sooner is younger than what is ever given back
FIRST_GUESS = 0.1
_ITS_WEIGHT = 20.0
_HALF_LIFE = 60e9
_LARGE = 9
_PER_CPU = -2


class Survival:
    """The hazard of pages in free blocks below order 9, as a share of 1 / age: from 1,024 pages, drawn at random.

    Where pages survive an age t as t**-share, they are used again at a rate of share / t. A page that is in use, or has
    long been free, when it is looked at is drawn anew. Pages on per-CPU lists are as free as before.
    """

    def __init__(self, zones: Sequence[Zone]) -> None:
        whole = sum(zone.pages for zone in zones)
        self._panels = [_Panel(zone, -(-_PAGES * zone.pages // whole)) for zone in zones]
        self._uses = self._chances = 0.0
        self._looked = max((zone.now for zone in zones), default=0)

    @property
    def share(self) -> float:
        """How often a page is used again while its age grows e-fold."""
        return (self._uses + FIRST_GUESS * _ITS_WEIGHT) / (self._chances + _ITS_WEIGHT)

    def look(self, now: int) -> None:
        """Look at the pages, if that is not just done. O(1,024)."""
        gone = now - self._looked
        if gone < _SHORTEST_LOOK:
            return
        kept = 0.5 ** (gone / _HALF_LIFE)
        self._uses *= kept
        self._chances *= kept
        for panel in self._panels:
            uses, chances = panel.look(self._looked, now)
            self._uses += uses
            self._chances += chances
        self._looked = now


class _Panel:
    """Pages of a zone, and what they were when they were last looked at."""

    def __init__(self, zone: Zone, size: int) -> None:
        self._zone = zone
        self._random = np.random.default_rng(1)
        self._pages = self._draw(size)
        self._orders, self._freed = zone.probe(self._pages)

    def _draw(self, count: int) -> NDArray[np.int64]:
        return self._zone.start_pfn + self._random.integers(0, self._zone.pages, count)

    def look(self, looked: int, now: int) -> tuple[float, float]:
        """Uses since ``looked``, and the logarithms of how much older pages became."""
        orders, freed = self._zone.probe(self._pages)
        still = (orders == _PER_CPU) & (self._orders >= 0)
        orders[still], freed[still] = self._orders[still], self._freed[still]
        before = np.flatnonzero((self._orders >= 0) & (self._orders < _LARGE))
        was, then = self._orders[before], self._freed[before]
        age = _age(then, looked)
        again = freed[before] != then
        used = (orders[before] < 0) | (again & (orders[before] <= was))
        grown = age + np.where(used, (now - looked) // 2, np.where(again, 0, now - looked))
        begin, end = np.clip(age, _YOUNGEST, _OLDEST), np.clip(grown, _YOUNGEST, _OLDEST)
        uses = np.count_nonzero(used & (grown >= _YOUNGEST) & (grown < _OLDEST))
        drawn = np.flatnonzero((orders < 0) | (_age(freed, now) > 8 * _OLDEST))
        self._pages[drawn] = self._draw(len(drawn))
        orders[drawn], freed[drawn] = self._zone.probe(self._pages[drawn])
        self._orders, self._freed = orders, freed
        return float(uses), float(np.log(end / begin).sum())


def _age(freed: NDArray[np.uint32], now: int) -> NDArray[np.int64]:
    return ((now // _MS - freed.astype(np.int64)) & _MOST_MS) * _MS
