"""What each page of a guest is, by /proc/kpageflags; and which blocks the free ones make.

The bits are those of /proc/kpageflags, the same in all kernels from 5.10 on. Every page of a free block has BUDDY (seen
on 5.10, 6.1, 6.12 and 6.18); its first page has UPTODATE too if the block has been reported and nobody used it since.
"""

import enum
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pagehint.proc.kpageflags import KPageFlag, page_states

__all__ = ["HOLDER_WORDS", "MOVABLE", "Holder", "Mask", "PageMap", "Range", "aligned", "whole_blocks"]

Mask = NDArray[np.bool_]
"""Whether, for each page, or each block."""


class Holder(enum.IntEnum):
    """What a page is, easiest to free first: after FREE, each is harder to move or drop than the last."""

    FREE = 0
    CACHE_CLEAN = 1
    CACHE_MAPPED = 2
    CACHE_DIRTY = 3
    THP_UNMAPPED = 4
    ANON = 5
    THP = 6
    SHMEM = 7
    UNEVICTABLE = 8
    SLAB = 9
    PAGE_TABLES = 10
    KERNEL = 11
    PINNED = 12
    HUGETLB = 13
    OFFLINE = 14
    RESERVED = 15
    ABSENT = 16


HOLDER_WORDS = {
    Holder.CACHE_CLEAN: "page cache, clean",
    Holder.CACHE_MAPPED: "page cache, mapped by processes",
    Holder.CACHE_DIRTY: "page cache, dirty",
    Holder.THP_UNMAPPED: "parts of huge pages that no process maps",
    Holder.ANON: "anonymous memory",
    Holder.THP: "anonymous memory in huge pages",
    Holder.SHMEM: "shared memory and tmpfs",
    Holder.UNEVICTABLE: "locked memory",
    Holder.SLAB: "slab",
    Holder.PAGE_TABLES: "page tables",
    Holder.KERNEL: "kernel, drivers, and pages on per-CPU lists",
    Holder.PINNED: "pinned: drivers' pages that processes map",
    Holder.HUGETLB: "hugetlb",
    Holder.OFFLINE: "balloon, or offline",
    Holder.RESERVED: "reserved",
}
"""How a report names a holder."""

MOVABLE = (
    Holder.CACHE_CLEAN,
    Holder.CACHE_MAPPED,
    Holder.CACHE_DIRTY,
    Holder.THP_UNMAPPED,
    Holder.ANON,
    Holder.THP,
    Holder.SHMEM,
    Holder.UNEVICTABLE,
)
"""What compaction can move, unless somebody has pinned it."""

_PIECE = 1 << 18  # pages: the largest compound ones, of 1 GiB, or of 16 GiB where pages have 64 KiB
_BUDDY, _UPTODATE, _PRIVATE = map(np.uint64, (KPageFlag.BUDDY, KPageFlag.UPTODATE, KPageFlag.PRIVATE))
_IS_CACHE = np.isin(np.arange(len(Holder)), (Holder.CACHE_CLEAN, Holder.CACHE_DIRTY))


class Range(NamedTuple):
    """A zone's pfns: [begin, end)."""

    begin: int
    end: int


class PageMap:
    """What each page is: `holders` a Holder a pfn, `told` the pages of free blocks that the host has been told of.

    `flags` are /proc/kpageflags from pfn 0, `zones` the pfns of the zones, `max_order` the largest order of a block.
    Pages outside every zone are ABSENT. `slab_orders` has the order of each page's slab, `buffers` marks page cache
    with a file system's buffers. `mapped` may be /proc/kpagecount: how often each page is mapped; those of huge pages
    suffice, the others may be 0. O(pages).
    """

    def __init__(
        self,
        flags: NDArray[np.uint64],
        zones: Sequence[Range],
        max_order: int = 10,
        mapped: NDArray[np.uint64] | None = None,
    ) -> None:
        self.max_order = max_order
        self.zones = [Range(zone.begin, min(zone.end, len(flags))) for zone in zones if zone.begin < len(flags)]
        span = max((zone.end for zone in self.zones), default=0)
        self.holders = np.full(span, Holder.ABSENT, np.uint8)
        self.told = np.zeros(span, np.bool_)
        for zone in self.zones:
            inside = flags[zone.begin : zone.end]
            counts = None if mapped is None else mapped[zone.begin : zone.end]
            part = self.holders[zone.begin : zone.end]
            _fill_holders(part, inside, counts, zone.begin)
            _mark_told(part == Holder.FREE, inside, self.told[zone.begin : zone.end], zone.begin, max_order)
        self.slab_orders = np.zeros(span, np.uint8)
        self.buffers = np.zeros(span, np.bool_)
        for zone in self.zones:
            for piece in _pieces(zone.end - zone.begin, zone.begin):
                pfns = slice(zone.begin + piece.start, zone.begin + piece.stop)
                part = self.holders[pfns]
                _fill_slab_orders(self.slab_orders[pfns], part, flags[pfns])
                self.buffers[pfns] = ((flags[pfns] & _PRIVATE) != 0) & _IS_CACHE[part]

    def counts(self) -> NDArray[np.int64]:
        """Pages of each Holder. O(pages)."""
        return np.array([np.count_nonzero(self.holders == holder) for holder in Holder], np.int64)


# No compound page crosses them: what is held meanwhile doesn't grow with the machine.
def _pieces(pages: int, begin: int) -> list[slice]:
    edges = [0, *range(-begin % _PIECE or _PIECE, pages, _PIECE), pages]
    return [slice(*ends) for ends in pairwise(edges)]


def _fill_holders(
    found: NDArray[np.uint8], flags: NDArray[np.uint64], mapped: NDArray[np.uint64] | None, begin: int
) -> None:
    pieces = _pieces(len(flags), begin)
    says = any(_says_which_are_mapped(flags[piece]) for piece in pieces)
    for piece in pieces:
        found[piece] = _holders(flags[piece], None if mapped is None else mapped[piece], says)


# Kernels say of each page of a huge one whether it is mapped itself, or of each the same; where none of a huge page's
# later pages is said to be, nothing is known.
def _says_which_are_mapped(flags: NDArray[np.uint64]) -> bool:
    tail = np.uint64(KPageFlag.THP | KPageFlag.COMPOUND_TAIL | KPageFlag.MMAP)
    return bool(((flags & tail) == tail).any())


# Most pages of an idle machine are free, or the kernel's, which have no flag: only the others are looked at closely.
def _holders(flags: NDArray[np.uint64], mapped: NDArray[np.uint64] | None, says: bool) -> NDArray[np.uint8]:
    found = np.where(flags & _BUDDY, Holder.FREE, Holder.KERNEL).astype(np.uint8)
    others = np.flatnonzero(flags & ~(_BUDDY | _UPTODATE))
    if len(others):
        whole = _with_heads(flags, others)
        counted = None if mapped is None else mapped[others] > 0
        itself: Mask = (flags[others] & np.uint64(KPageFlag.MMAP)) != 0 if says else np.ones(len(others), np.bool_)
        found[others] = _classes(whole, counted, itself if counted is None else counted)
    return found


# In most kernels a tail has few of its compound page's flags: it is what its head is.
def _with_heads(flags: NDArray[np.uint64], others: NDArray[np.int64]) -> NDArray[np.uint64]:
    whole = flags[others]
    tails = (whole & np.uint64(KPageFlag.COMPOUND_TAIL)) != 0
    heads = np.where(tails, 0, np.arange(len(others)))
    np.maximum.accumulate(heads, out=heads)
    of_head = whole[heads]
    belongs = tails & ((of_head & np.uint64(KPageFlag.COMPOUND_HEAD)) != 0)
    whole[belongs] |= of_head[belongs]
    return whole


def _classes(flags: NDArray[np.uint64], mapped: Mask | None, itself: Mask) -> NDArray[np.uint8]:
    def has(flag: int) -> Mask:
        found: Mask = np.not_equal(flags & np.uint64(flag), 0)
        return found

    # Of files and of processes are also pages on their way to an LRU list: those are up to date.
    of_drivers = KPageFlag.LRU | KPageFlag.ANON | KPageFlag.SWAPBACKED | KPageFlag.UPTODATE
    lru, anon, backed = has(KPageFlag.LRU), has(KPageFlag.ANON), has(KPageFlag.SWAPBACKED)
    cache = lru & ~backed & ~anon
    is_mapped = has(KPageFlag.MMAP) if mapped is None else has(KPageFlag.MMAP) | mapped
    found = np.full(len(flags), Holder.KERNEL, np.uint8)
    for mask, holder in (
        (is_mapped & ~has(of_drivers), Holder.PINNED),
        (cache, Holder.CACHE_CLEAN),
        (cache & is_mapped, Holder.CACHE_MAPPED),
        (cache & has(KPageFlag.DIRTY | KPageFlag.WRITEBACK), Holder.CACHE_DIRTY),
        (backed & ~anon, Holder.SHMEM),
        (anon, Holder.ANON),
        (anon & has(KPageFlag.THP), Holder.THP),
        (anon & has(KPageFlag.THP) & ~itself, Holder.THP_UNMAPPED),
        (lru & has(KPageFlag.UNEVICTABLE | KPageFlag.MLOCKED), Holder.UNEVICTABLE),
        (has(KPageFlag.SLAB), Holder.SLAB),
        (has(KPageFlag.PGTABLE), Holder.PAGE_TABLES),
        (has(KPageFlag.HUGE), Holder.HUGETLB),
        (has(KPageFlag.BUDDY), Holder.FREE),
        (has(KPageFlag.OFFLINE), Holder.OFFLINE),
        (has(KPageFlag.RESERVED | KPageFlag.HWPOISON), Holder.RESERVED),
        (has(KPageFlag.NOPAGE), Holder.ABSENT),
    ):
        found[mask] = holder
    return found


# A slab's pages are a compound one's, or one page.
def _fill_slab_orders(found: NDArray[np.uint8], holders: NDArray[np.uint8], flags: NDArray[np.uint64]) -> None:
    slab = np.flatnonzero(holders == Holder.SLAB)
    heads = np.flatnonzero((flags[slab] & np.uint64(KPageFlag.COMPOUND_TAIL)) == 0)
    sizes = np.diff(heads, append=len(slab))
    # The first slab may begin before the zone does.
    found[slab[heads[0] if len(heads) else len(slab) :]] = np.repeat(np.log2(sizes).astype(np.uint8), sizes)


def _mark_told(free: Mask, flags: NDArray[np.uint64], told: Mask, begin: int, max_order: int) -> None:
    heads = np.flatnonzero(free & page_states(flags).reported)
    if not len(heads):
        return
    pfns = heads + begin
    orders = np.zeros(len(heads), np.int64)
    # The largest whole block that starts there.
    for order, blocks in enumerate(whole_blocks(free, begin, max_order)):
        starts = (pfns & ((1 << order) - 1)) == 0
        orders[starts] = np.where(blocks[(pfns[starts] - _first(begin, max_order)) >> order], order, orders[starts])
    for head, exponent in zip(heads, orders, strict=True):
        told[head : head + (1 << int(exponent))] = True


def _first(begin: int, order: int) -> int:
    return begin & ~((1 << order) - 1)


def aligned(mask: Mask, begin: int, order: int) -> Mask:
    """The mask, whose first pfn is `begin`, from a block's first page to a block's last; False outside. O(pages)."""
    before = begin & ((1 << order) - 1)
    after = -(before + len(mask)) & ((1 << order) - 1)
    return np.concatenate([np.zeros(before, np.bool_), mask, np.zeros(after, np.bool_)]) if before or after else mask


def whole_blocks(mask: Mask, begin: int, max_order: int) -> Iterator[Mask]:
    """For each order from 0 on: which of its blocks lie in the mask, whose first pfn is `begin`. O(pages).

    The first block is that of the block of `max_order` that holds `begin`.
    """
    blocks = aligned(mask, begin, max_order)
    yield blocks
    for _ in range(max_order):
        blocks = blocks[0::2] & blocks[1::2]
        yield blocks
