"""Page maps in which BUDDY stands on a free block's first page only: which they are, and how large the blocks are.

Every kernel from 5.10 on marks each page of a free block; other kernels, and tools that write such maps, need not. Two
buddies that are both free are one block. So a map of first pages has next to no pair of them, and a map of all pages
has them in every block above order 0. A free block's other pages have no flags: but a page of the kernel's own, or on a
per-CPU list, has none either, so a block may look larger than it is. Counts of free blocks settle that.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pagehint.proc.kpageflags import KPageFlag

__all__ = ["block_orders", "first_pages_only", "spread"]

_BUDDY, _UPTODATE = np.uint64(KPageFlag.BUDDY), np.uint64(KPageFlag.UPTODATE)
_PAIRED = 0.02
_LARGER = 4
_MORE = 1.25


def first_pages_only(
    flags: NDArray[np.uint64], max_order: int, free: int | None = None, blocks: int | None = None
) -> bool | None:
    """Whether BUDDY marks first pages only; None where it can't be told. O(pages).

    `free` and `blocks`: pages and blocks that somebody counted as free.
    """
    marked = (flags & _BUDDY) != 0
    number = int(np.count_nonzero(marked))
    even = len(marked) & ~1
    # Some pairs merge while the map is read.
    if not number or 2 * int(np.count_nonzero(marked[0:even:2] & marked[1:even:2])) > _PAIRED * number:
        return False
    heads = np.flatnonzero(marked)
    most = int((1 << block_orders(flags, heads, 0, max_order)).sum())
    if most > number and free is not None:
        return free > _MORE * number if blocks is None else abs(number - blocks) < abs(number - free)
    # Single free pages among the kernel's own look like first pages too.
    return True if most >= _LARGER * number else None if most > number else False


def block_orders(
    flags: NDArray[np.uint64],
    heads: NDArray[np.int64],
    begin: int,
    max_order: int,
    counts: Sequence[int] | None = None,
) -> NDArray[np.int64]:
    """The order of the block at each of `heads` (ascending indices; the first flag is of pfn `begin`). O(pages).

    The largest that fits, as far as pages behind have no flags. With `counts`, blocks by order, no more of an order
    than there are: where some must be smaller, those that were reported and those that look largest stay.
    """
    used = np.flatnonzero(flags)
    following = np.append(used, len(flags))[np.searchsorted(used, heads) + 1]
    pfns = (heads + begin).astype(np.int64)
    alignment = np.where(pfns == 0, max_order, np.log2(np.maximum(pfns & -pfns, 1)).astype(np.int64))
    most = np.minimum(np.log2(following - heads).astype(np.int64), np.minimum(alignment, max_order))
    if counts is None:
        return most
    told = (flags[heads] & _UPTODATE) != 0
    orders = most.copy()
    for order in range(max_order, 0, -1):
        here = np.flatnonzero(orders == order)
        surplus = len(here) - (counts[order] if order < len(counts) else 0)
        if surplus > 0:
            # The kernel would have merged two such buddies: of those, one is smaller.
            apart = ~np.isin(pfns[here] ^ (1 << order), pfns[here])
            first = here[np.lexsort((most[here], apart, told[here]))]
            orders[first[:surplus]] = order - 1
    return orders


def spread(flags: NDArray[np.uint64], heads: NDArray[np.int64], orders: NDArray[np.int64]) -> NDArray[np.uint64]:
    """A copy of the flags with BUDDY on every page of the blocks at `heads`. O(pages)."""
    steps = np.zeros(len(flags) + 1, np.int64)
    np.add.at(steps, heads, 1)
    np.add.at(steps, heads + (1 << orders), -1)
    inside = np.cumsum(steps[:-1]) > 0
    return flags | np.where(inside, _BUDDY, np.uint64(0))
