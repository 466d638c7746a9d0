"""What dropping caches and compacting would do to a page map, and what would then lie in whole free blocks."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pagehint.diagnosis.page_map import MOVABLE, Holder, Mask, PageMap, Range, aligned

__all__ = ["After", "Compaction", "dropped", "now", "pageblocks"]

_IS_MOVABLE = np.array([holder in MOVABLE and holder not in (Holder.THP, Holder.THP_UNMAPPED) for holder in Holder])
_IS_UNMOVABLE = np.array(
    [
        holder in (Holder.SLAB, Holder.PAGE_TABLES, Holder.KERNEL, Holder.PINNED, Holder.RESERVED, Holder.OFFLINE)
        for holder in Holder
    ]
)


class After(NamedTuple):
    """A zone's pages after an action: `free` a mask, and those of it that the host has been told of."""

    free: Mask
    told: Mask

    def resident(self, begin: int, max_order: int) -> NDArray[np.int64]:
        """For each order the pages in whole free blocks of it that the host may still back. O(pages), 64 at a time."""
        free, told = _words(self.free, begin, max_order), _words(self.told, begin, max_order)
        whole = free == _ALL
        told_in = np.zeros(len(free), np.int64)
        some = np.flatnonzero(told)
        told_in[some] = _ones(told[some])
        in_whole = 64 * int(np.count_nonzero(whole)) - int(told_in[whole].sum())
        mixed = np.flatnonzero((free != 0) & ~whole)
        blocks, told = free[mixed], told[mixed]
        found = np.zeros(max_order + 1, np.int64)
        for order in range(min(max_order, 5) + 1):
            if order:
                blocks = blocks & (blocks >> np.uint64(1 << (order - 1))) & _STARTS[order]
            inside = told & (blocks * np.uint64((1 << (1 << order)) - 1))
            found[order] = in_whole + (int(_ones(blocks).sum()) << order) - int(_ones(inside).sum())
        for order in range(6, max_order + 1):
            if order > 6:
                whole, told_in = whole[0::2] & whole[1::2], told_in[0::2] + told_in[1::2]
            found[order] = (int(np.count_nonzero(whole)) << order) - int(told_in[whole].sum())
        return found


_ALL = np.uint64((1 << 64) - 1)
_STARTS = [np.uint64(sum(1 << bit for bit in range(0, 64, 1 << order))) for order in range(6)]
_ONES = np.array([byte.bit_count() for byte in range(256)], np.uint8)


# A bit a page, from the first page of a block of `max_order` on, or of 64 pages.
def _words(mask: Mask, begin: int, max_order: int) -> NDArray[np.uint64]:
    return np.packbits(aligned(mask, begin, max(max_order, 6)), bitorder="little").view("<u8")


# How many bits are set in each word.
def _ones(words: NDArray[np.uint64]) -> NDArray[np.int64]:
    ones: NDArray[np.int64] = _ONES[words.view(np.uint8).reshape(-1, 8)].sum(axis=1, dtype=np.int64)
    return ones


def now(pages: PageMap, zone: Range) -> After:
    """The zone as it is."""
    return After(pages.holders[zone.begin : zone.end] == Holder.FREE, pages.told[zone.begin : zone.end])


def dropped(pages: PageMap, zone: Range, written: bool) -> After:
    """After drop_caches: page cache that no process maps is free.

    The dirty too if it is `written` to disk before, and what nobody maps of huge pages, if these can be split. Slab
    that goes too is not in the map.
    """
    holders = pages.holders[zone.begin : zone.end]
    free = (holders == Holder.FREE) | (holders == Holder.CACHE_CLEAN)
    if written:
        free |= (holders == Holder.CACHE_DIRTY) | (holders == Holder.THP_UNMAPPED)
    return After(free, pages.told[zone.begin : zone.end])


def pageblocks(mask: Mask, begin: int, order: int) -> Mask:
    """The mask, whose first pfn is `begin`, a row each pageblock; False outside. O(pages)."""
    return aligned(mask, begin, order).reshape(-1, 1 << order)


class Compacted(NamedTuple):
    """A zone `after` compaction. At the most `moved` pages move, and take `retaken` pages that the host was told of."""

    after: After
    moved: int
    retaken: int


class Compaction:
    """What compact_memory does to a zone: movable pages leave its lower pageblocks for free pages above.

    The two scanners meet where the movable pages below are as many as the free pages above. Wholly free pageblocks
    take no pages. Which pageblocks are of type MOVABLE the map doesn't tell.
    """

    def __init__(self, pages: PageMap, zone: Range, pageblock_order: int) -> None:
        self._zone, self._order = zone, pageblock_order
        holders = pages.holders[zone.begin : zone.end]
        self._movable = pageblocks(_IS_MOVABLE[holders], zone.begin, pageblock_order)
        unmovable = pageblocks(_IS_UNMOVABLE[holders], zone.begin, pageblock_order)
        self._stuck = np.count_nonzero(unmovable, axis=1) * 2 >= 1 << pageblock_order

    def run(self, before: After, all_targets: bool) -> Compacted:
        """What comes of `before`. `all_targets` takes any partly free pageblock for one that takes pages, else only
        those with fewer than half of their pages unmovable. O(pages).
        """
        free, room = self._room(before)
        if not all_targets:
            room[self._stuck] = 0
        moved, most = self._leave(free, room, 0)
        # The highest pages are taken first.
        taken = np.flatnonzero(room)[::-1]
        taken = taken[: int(np.searchsorted(np.cumsum(room[taken]), moved)) + 1] if moved else taken[:0]
        targets = free[taken[::-1]].reshape(-1)
        gone = np.flatnonzero(targets)[::-1][:moved]
        targets[gone] = False
        free[taken[::-1]] = targets.reshape(-1, 1 << self._order)
        after = self._inside(free, before)
        told = pageblocks(before.told, self._zone.begin, self._order)
        return Compacted(After(after, before.told & after), most, min(int(np.count_nonzero(told[room > 0])), most))

    def vacated(self, before: After, more: int) -> After:
        """Where all that may move has left, with room for `more` pages than there is, but took none: at no moment of a
        compaction is more in free blocks of an order. O(pages).
        """
        free, room = self._room(before)
        self._leave(free, room, more)
        return After(self._inside(free, before), before.told)

    # A row each pageblock: which pages are free, and how many of them take others.
    def _room(self, before: After) -> tuple[Mask, NDArray[np.intp]]:
        free = pageblocks(before.free, self._zone.begin, self._order).copy()
        room = np.count_nonzero(free, axis=1)
        room[room == 1 << self._order] = 0
        return free, room

    # Frees what moves until the scanners meet: how many pages that are, and at the most, wherever they meet.
    def _leave(self, free: Mask, room: NDArray[np.intp], more: int) -> tuple[int, int]:
        movable = self._movable & ~free
        sources = np.count_nonzero(movable, axis=1)
        below = np.concatenate([[0], np.cumsum(sources)])
        above = np.concatenate([np.cumsum(room[::-1])[::-1], [0]]) + more
        meeting = int(np.flatnonzero(below <= above)[-1])
        moved = int(below[meeting])
        free[:meeting] |= movable[:meeting]
        # Of the next pageblock as many as there is room for above it.
        if meeting < len(sources) and (left := int(above[meeting + 1]) - moved) > 0:
            free[meeting, np.flatnonzero(movable[meeting])[:left]] = True
            moved += left
        return moved, max(int(np.minimum(below, above).max()), moved)

    def _inside(self, free: Mask, before: After) -> Mask:
        lead = self._zone.begin & ((1 << self._order) - 1)
        return free.reshape(-1)[lead : lead + len(before.free)]
