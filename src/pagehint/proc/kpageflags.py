"""The flags that /proc/kpageflags has of each page (the kernel's documentation: admin-guide/mm/pagemap)."""

import enum

__all__ = ["KPageFlag"]


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
