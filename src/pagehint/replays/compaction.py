"""How compaction came to the blocks that it took: it looked into a free list for them, or went through a pageblock.

Looking, it takes a block of one order after the other, of ever smaller ones, and leaves each list so that it starts
behind the block. Going through a pageblock, it takes what is free there in ascending order, turns no list, and goes on
with a pageblock below. Where it looked and still lacked pages, it went through the pageblock of the block it had found.
"""

import numpy as np
from numpy.typing import NDArray

__all__ = ["came_upon", "new_sources"]


def came_upon(isolations: NDArray[np.int64], pageblock_order: int) -> NDArray[np.bool_]:
    """Which of compaction's blocks were come upon in a pageblock: bool, one each.

    `isolations`: int64 (blocks, 5), in the order of the events: row, pfn, pages, a number that those have in common
    between which the CPU had no other event, and the pageblock of what was moved next, or -1. O(blocks * log(blocks)).
    """
    if not len(isolations):
        return np.zeros(0, np.bool_)
    pfns, pages, together = isolations.T[1:4]
    in_order = np.argsort(together, kind="stable")
    first = np.diff(together[in_order], prepend=-1) != 0
    begins = np.flatnonzero(first)
    size = np.diff(np.append(begins, len(first)))
    pfns, pages = pfns[in_order], pages[in_order]
    smaller = np.append(True, np.diff(pages) < 0) | first
    looked = np.repeat(np.logical_and.reduceat(smaller, begins), size)  # true of a block alone
    # What it came upon next in the pageblock of what it had found stands before that.
    before = np.append((np.diff(pfns) < 0) & (np.diff(pfns >> pageblock_order) == 0) & ~first[1:], False)
    out = np.zeros(len(first), np.bool_)
    out[in_order] = ~looked & ~before
    return out


def new_sources(isolations: NDArray[np.int64]) -> NDArray[np.int64]:
    """Where compaction had gone on to another pageblock before it took a block, to move what is in use there: int64.

    Which one, or -1. `isolations`: as for `came_upon`. O(blocks).
    """
    sources = isolations[:, 4]
    known = np.flatnonzero(sources >= 0)
    out = np.full(len(sources), -1, np.int64)
    new = known[np.diff(sources[known], prepend=-1) != 0]
    out[new] = sources[new]
    return out
