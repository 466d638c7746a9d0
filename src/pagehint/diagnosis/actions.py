"""What dropping caches and compacting would do to a page map, and what would then lie in whole free blocks."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pagehint.diagnosis.page_map import MOVABLE, Holder, PageMap, Range, aligned, whole_blocks

__all__ = ["After", "compacted", "dropped", "now", "pageblocks"]

Mask = NDArray[np.bool_]

_IS_MOVABLE = np.array([holder in MOVABLE and holder != Holder.THP for holder in Holder])
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
        """For each order the pages in whole free blocks of it that the host may still back. O(pages)."""
        told = aligned(self.told, begin, max_order).view(np.uint8).astype(np.uint16)
        found = np.zeros(max_order + 1, np.int64)
        for order, blocks in enumerate(whole_blocks(self.free, begin, max_order)):
            if order:
                told = told[0::2] + told[1::2]
            found[order] = (int(np.count_nonzero(blocks)) << order) - int(told[blocks].sum(dtype=np.int64))
        return found


def now(pages: PageMap, zone: Range) -> After:
    """The zone as it is."""
    return After(pages.holders[zone.begin : zone.end] == Holder.FREE, pages.told[zone.begin : zone.end])


def dropped(pages: PageMap, zone: Range, written: bool) -> After:
    """After drop_caches: page cache that no process maps is free, the dirty too if it is `written` to disk before.

    Slab that goes too is not in the map.
    """
    holders = pages.holders[zone.begin : zone.end]
    free = (holders == Holder.FREE) | (holders == Holder.CACHE_CLEAN)
    if written:
        free |= holders == Holder.CACHE_DIRTY
    return After(free, pages.told[zone.begin : zone.end])


def pageblocks(mask: Mask, begin: int, order: int) -> Mask:
    """The mask, whose first pfn is `begin`, a row each pageblock; False outside. O(pages)."""
    return aligned(mask, begin, order).reshape(-1, 1 << order)


def compacted(pages: PageMap, zone: Range, before: After, pageblock_order: int, all_targets: bool) -> tuple[After, int]:
    """After compact_memory from `before`: movable pages have left the zone's lower pageblocks for free pages above.

    Returns that, and how many pages may move at the most, wherever the scanners meet.

    The two scanners meet where the movable pages below are as many as the free pages above. Wholly free pageblocks
    take no pages. Which pageblocks are of type MOVABLE the map doesn't tell: `all_targets` takes any partly free one
    for it, else only those with fewer than half of their pages unmovable. O(pages).
    """
    holders = pages.holders[zone.begin : zone.end]
    size = 1 << pageblock_order
    lead = zone.begin & (size - 1)
    padded = np.full(lead + len(holders) + (-(lead + len(holders)) & (size - 1)), Holder.ABSENT, np.uint8)
    padded[lead : lead + len(holders)] = holders
    free = np.zeros(len(padded), np.bool_)
    free[lead : lead + len(holders)] = before.free
    movable = _IS_MOVABLE[padded] & ~free
    by_block = (-1, size)
    sources = movable.reshape(by_block).sum(axis=1)
    room = free.reshape(by_block).sum(axis=1)
    room[room == size] = 0
    if not all_targets:
        unmovable = _IS_UNMOVABLE[padded].reshape(by_block).sum(axis=1)
        room[unmovable * 2 >= size] = 0
    below = np.concatenate([[0], np.cumsum(sources)])
    above = np.concatenate([np.cumsum(room[::-1])[::-1], [0]])
    meeting = int(np.flatnonzero(below <= above)[-1])
    moved = int(below[meeting])
    targets = free & np.repeat(room > 0, size)
    targets[: meeting << pageblock_order] = False
    taken = np.flatnonzero(targets)[::-1][:moved]
    free[: meeting << pageblock_order] |= movable[: meeting << pageblock_order]
    free[taken] = False
    after = free[lead : lead + len(holders)]
    return After(after, before.told & after), int(min(sources.sum(), room.sum()))
