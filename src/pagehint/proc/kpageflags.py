"""The flags that /proc/kpageflags has of each page (the kernel's documentation: admin-guide/mm/pagemap)."""

import enum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["KPageFlag", "PageStates", "page_states"]

_AT_ONCE = 1 << 20  # pages


class KPageFlag(enum.IntFlag):
    """Bits of a page's word. OFFLINE: ballooned or unplugged; NOPAGE: no memory at this pfn.

    BUDDY is set for every page of a free block; with UPTODATE on a block's first page, the block was reported to the
    host before. Bits from 32 on are for debugging and differ between kernels.
    """

    LOCKED = 1 << 0
    ERROR = 1 << 1
    REFERENCED = 1 << 2
    UPTODATE = 1 << 3
    DIRTY = 1 << 4
    LRU = 1 << 5
    ACTIVE = 1 << 6
    SLAB = 1 << 7
    WRITEBACK = 1 << 8
    RECLAIM = 1 << 9
    BUDDY = 1 << 10
    MMAP = 1 << 11
    ANON = 1 << 12
    SWAPCACHE = 1 << 13
    SWAPBACKED = 1 << 14
    COMPOUND_HEAD = 1 << 15
    COMPOUND_TAIL = 1 << 16
    HUGE = 1 << 17
    UNEVICTABLE = 1 << 18
    HWPOISON = 1 << 19
    NOPAGE = 1 << 20
    KSM = 1 << 21
    THP = 1 << 22
    OFFLINE = 1 << 23
    ZERO_PAGE = 1 << 24
    IDLE = 1 << 25
    PGTABLE = 1 << 26
    RESERVED = 1 << 32
    MLOCKED = 1 << 33
    PRIVATE = 1 << 35


class PageStates(NamedTuple):
    """What kpageflags tells of each page (bool): on a free list; memory at all; the first of a reported free block."""

    free: NDArray[np.bool_]
    present: NDArray[np.bool_]
    reported: NDArray[np.bool_]


def page_states(flags: NDArray[np.uint64]) -> PageStates:
    """The states of pages by their words of kpageflags. O(pages), 3 bytes a page. A free page is present."""
    states = PageStates(*(np.empty(len(flags), np.bool_) for _ in range(3)))
    for begin in range(0, len(flags), _AT_ONCE):
        part = slice(begin, begin + _AT_ONCE)
        words = flags[part]
        free = words & np.uint64(KPageFlag.BUDDY) != 0
        states.free[part] = free
        states.present[part] = free | (words & np.uint64(KPageFlag.NOPAGE | KPageFlag.OFFLINE) == 0)
        states.reported[part] = free & (words & np.uint64(KPageFlag.UPTODATE) != 0)
    return states
