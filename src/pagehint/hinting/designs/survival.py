"""How soon free pages are used again: one number, from a few pages that are looked at again and again."""

import cython
import numpy as np

if not cython.compiled:
    from math import log

__all__ = ["FIRST_GUESS", "Survival"]

_MS = cython.declare(cython.longlong, 10**6)
_MOST_MS = cython.declare(cython.longlong, 0xFFFFFFFF)
# What is used sooner is younger than what is ever given back.
_YOUNGEST = cython.declare(cython.longlong, 320 * 10**6)
_OLDEST = cython.declare(cython.longlong, 10_240 * 10**6)
_LARGE = cython.declare(cython.int, 9)
_PER_CPU = cython.declare(cython.int, -2)
_PAGES = 1024
_DRAWS = 4096
_SHORTEST_LOOK = 100 * 10**6
FIRST_GUESS = 0.1
_ITS_WEIGHT = 20.0
_HALF_LIFE = 60e9


class Survival:
    """The hazard of pages in free blocks below order 9, as a share of 1 / age: from 1,024 pages, drawn at random.

    Where pages survive an age t as t**-share, they are used again at a rate of share / t. A page that is in use, or has
    long been free, when it is looked at is drawn anew. Pages on per-CPU lists are as free as before.
    """

    def __init__(self, zones):
        whole = sum(zone.pages for zone in zones)
        self._panels = [_Panel(zone, -(-_PAGES * zone.pages // whole)) for zone in zones]
        self._uses = self._chances = 0.0
        self._looked = max((zone.now for zone in zones), default=0)

    @property
    def share(self):
        """How often a page is used again while its age grows e-fold."""
        return (self._uses + FIRST_GUESS * _ITS_WEIGHT) / (self._chances + _ITS_WEIGHT)

    def look(self, now):
        """Look at the pages, if that is not just done; true if so. O(1,024)."""
        gone = now - self._looked
        if gone < _SHORTEST_LOOK:
            return False
        kept = 0.5 ** (gone / _HALF_LIFE)
        self._uses *= kept
        self._chances *= kept
        for panel in self._panels:
            uses, chances = panel.look(self._looked, now)
            self._uses += uses
            self._chances += chances
        self._looked = now
        return True


@cython.final
@cython.cclass
class _Panel:
    """Pages of a zone, and what they were when they were last looked at."""

    def __init__(self, zone, size):
        k: cython.Py_ssize_t
        self._zone = zone
        self._random = np.random.default_rng(1)
        self._next = 0
        self._draws = memoryview(np.empty(0, np.int64))
        self._size = size
        self._pages, self._fresh = (memoryview(np.empty(size, np.int64)) for _ in range(2))
        self._places = memoryview(np.empty(size, np.int64))
        self._orders, self._before = (memoryview(np.empty(size, np.int8)) for _ in range(2))
        self._freed, self._freed_before = (memoryview(np.empty(size, np.uint32)) for _ in range(2))
        for k in range(size):
            self._pages[k] = self._draw()
        self._zone._probe(self._pages, size, self._orders, self._freed)

    def _draw(self):
        if self._next == len(self._draws):
            self._draws = memoryview(self._random.integers(0, self._zone.pages, _DRAWS))
            self._next = 0
        self._next += 1
        return self._draws[self._next - 1]

    def look(self, looked, now):
        """Uses since ``looked``, and the logarithms of how much older pages became."""
        then: cython.longlong = looked
        gone: cython.longlong = now - looked
        uses: cython.longlong = 0
        chances: cython.double = 0.0
        order: cython.int
        was: cython.int
        age: cython.longlong
        grown: cython.longlong
        again: cython.bint
        k: cython.Py_ssize_t
        count: cython.Py_ssize_t = 0
        self._orders, self._before = self._before, self._orders
        self._freed, self._freed_before = self._freed_before, self._freed
        self._zone._probe(self._pages, self._size, self._orders, self._freed)
        for k in range(self._size):
            was = self._before[k]
            if self._orders[k] == _PER_CPU and was >= 0:
                self._orders[k] = was
                self._freed[k] = self._freed_before[k]
            order = self._orders[k]
            if 0 <= was < _LARGE:
                age = _age(self._freed_before[k], then)
                grown = age + gone
                again = self._freed[k] != self._freed_before[k]
                if order < 0 or (again and order <= was):
                    grown = age + gone // 2
                    uses += _YOUNGEST <= grown < _OLDEST
                elif again:
                    grown = age
                if grown > max(age, _YOUNGEST) and age < _OLDEST:
                    chances += log(cython.cast(cython.double, min(grown, _OLDEST)) / max(age, _YOUNGEST))
            if order < 0 or _age(self._freed[k], then + gone) > 8 * _OLDEST:
                self._places[count] = k
                self._fresh[count] = self._pages[k] = self._draw()
                count += 1
        # Nothing of what they were before counts.
        self._zone._probe(self._fresh, count, self._before, self._freed_before)
        for k in range(count):
            self._orders[self._places[k]] = self._before[k]
            self._freed[self._places[k]] = self._freed_before[k]
        return float(uses), chances


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def _age(freed: cython.uint, now: cython.longlong) -> cython.longlong:
    return ((now // _MS - freed) & _MOST_MS) * _MS
