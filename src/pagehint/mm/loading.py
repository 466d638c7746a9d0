"""A zone's whole state at once, as a snapshot tells it."""

import cython
import numpy as np

from pagehint.errors import InputError
from pagehint.mm.migratetype import MIGRATE_TYPES

if cython.compiled:
    from cython.cimports.pagehint.mm.attached import Attachable
    from cython.cimports.pagehint.mm.buddy import FREE, KIND, MOVABLE, OFFLINE, TYPE_SHIFT, USED, block_pages
else:
    from pagehint.mm.attached import Attachable
    from pagehint.mm.migratetype import Migratetype
    from pagehint.mm.page import FREE, KIND, OFFLINE, TYPE_SHIFT, USED, block_pages

    MOVABLE = int(Migratetype.MOVABLE)


@cython.cclass
class Loadable(Attachable):
    """Free areas whose state can be set as a whole."""

    def load(self, words, counts):
        """Set the state of every page of a zone that has none online.

        ``words`` (uint16), a page each: FREE, OFFLINE, or USED and 0 to 2 << TYPE_SHIFT. Free pages become the largest
        blocks that alignment allows, used ones are blocks of one page. ``counts`` (int64, max_order x 5): so many free
        blocks of each order and type; types are given out in ascending pfn order, MOVABLE last, and to all for whom
        nothing is left; pageblocks get them too. O(pages). Raises InputError.
        """
        shape = (self.max_order, MIGRATE_TYPES)
        if not isinstance(words, np.ndarray) or words.dtype != np.uint16 or words.shape != (self._pages,):
            raise InputError(f"load: words must be {self._pages} of uint16, one for each page of the zone")
        if not set(np.unique(words).tolist()) <= {FREE, OFFLINE, *(USED | kind << TYPE_SHIFT for kind in range(3))}:
            raise InputError("load: words must be FREE, OFFLINE, or USED and a migratetype of 0 to 2")
        if not isinstance(counts, np.ndarray) or counts.dtype != np.int64 or counts.shape != shape:
            raise InputError(f"load: counts must be int64, of shape {shape}")
        if self._offline_pages != self._pages:
            raise InputError("load: pages of this zone are online already")
        words = np.ascontiguousarray(words)
        remaining = counts.reshape(-1).copy()
        if cython.compiled:
            word_of = cython.cast(cython.pointer(cython.ushort), cython.cast(cython.size_t, words.ctypes.data))
            left = cython.cast(cython.p_longlong, cython.cast(cython.size_t, remaining.ctypes.data))
        else:
            word_of = memoryview(words)
            left = memoryview(remaining)
        begin: cython.Py_ssize_t = 0
        end: cython.Py_ssize_t
        i: cython.Py_ssize_t
        k: cython.Py_ssize_t
        word: cython.int
        order: cython.int
        kind: cython.int
        with self._lock:
            self._clear_used(0, self._pages)
            self._offline_pages = 0
            while begin < self._pages:
                word = word_of[begin]
                end = begin + 1
                while end < self._pages and word_of[end] == word and (word & KIND) != USED:
                    end += 1
                i = begin
                if word != FREE:
                    self._mark(begin, end, word)
                    self._offline_pages += end - begin if word == OFFLINE else 0
                    i = end
                while i < end:
                    order = self._piece(i, end)
                    kind = MOVABLE
                    for k in (3, 2, 0):
                        if left[order * 5 + k] > 0:
                            kind = k
                    left[order * 5 + kind] -= 1
                    for k in range(max(block_pages(order) >> self.pageblock_order, 1)):
                        self._types[self._pageblock(i) + k] = kind
                    self._add(i, order, kind, True)
                    self._count(kind, block_pages(order))
                    i += block_pages(order)
                begin = end
