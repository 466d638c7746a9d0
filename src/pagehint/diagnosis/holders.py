"""Who holds the memory that is not free, and who keeps partly free pageblocks from being free."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pagehint.diagnosis.bounds import Bounds, exactly
from pagehint.diagnosis.page_map import HOLDER_WORDS, Holder, PageMap

__all__ = ["USED_WORDS", "HeldBack", "drained_most", "held_back", "used_by_counters", "used_by_map"]

USED_WORDS = {
    **{holder.name.lower(): words for holder, words in HOLDER_WORDS.items()},
    "kernel": "kernel and drivers",
    "per_cpu": "free, on per-CPU lists",
    "cache_and_slab": "page cache and slab",
    "slab_reclaimable": "slab that can be freed",
    "slab_unreclaimable": "slab that can't be freed",
    "kernel_stack": "kernel stacks",
    "percpu_data": "per-CPU data",
    "compressed": "compressed swap in memory (zram, zswap)",
    "unmanaged": "not given to the page allocator",
    "unaccepted": "not accepted yet by a confidential guest",
    "other": "kernel, drivers, and what the files don't tell",
}
"""The keys of used_by."""

_HALF = 0.5
_COUNTERS = {
    "anon": "anon",
    "shmem": "shmem",
    "slab_reclaimable": "slab_reclaimable",
    "slab_unreclaimable": "slab_unreclaimable",
    "page_tables": "page_tables",
    "kernel_stack": "kernel_stack",
    "percpu_data": "percpu",
    "hugetlb": "hugetlb",
    "compressed": "compressed",
    "unaccepted": "unaccepted",
    "per_cpu": "per_cpu",
}
"""Keys of used_by, and the machine's counters of them."""


@dataclass(frozen=True)
class HeldBack:
    """Partly free pageblocks whose pages hardest to free are of one holder.

    `pages` of it hold `size` bytes free below pageblock order in `blocks` pageblocks; `half_pages` of them, in those
    with most free memory to each, hold `half_size` of that, which is half or just over.
    """

    holder: str
    blocks: int
    pages: int
    size: int
    half_pages: int
    half_size: int

    def to_dict(self) -> dict[str, Any]:
        """In types that JSON has; MiB."""
        return {
            "holder": self.holder,
            "pageblocks": self.blocks,
            "pages": self.pages,
            "holds_mib": round(self.size / (1 << 20), 3),
            "half_of_it_pages": self.half_pages,
            "half_of_it_mib": round(self.half_size / (1 << 20), 3),
        }


def used_by_map(pages: PageMap, page_size: int, per_cpu: int, unmanaged: int, unaccepted: int) -> dict[str, Bounds]:
    """Bytes by holder. `per_cpu` pages on per-CPU lists look like the kernel's, as `unmanaged` and `unaccepted` do.

    O(pages).
    """
    counts = pages.counts()
    found = {
        holder.name.lower(): int(counts[holder])
        for holder in Holder
        if holder not in (Holder.FREE, Holder.ABSENT) and counts[holder]
    }
    reserved = found.get("reserved", 0)
    others = {"unmanaged": max(unmanaged - reserved, 0), "unaccepted": unaccepted, "per_cpu": per_cpu}
    for name, number in others.items():
        moved = min(number, found.get("kernel", 0))
        if moved:
            found["kernel"] -= moved
            found[name] = moved
    return {name: exactly(number * page_size) for name, number in found.items() if number}


def used_by_counters(memory: dict[str, int], rounded: dict[str, tuple[int, int]]) -> dict[str, Bounds]:
    """Bytes by holder, from a machine's counters. `rounded`: of those that are, bytes at the least and at the most."""
    used = _used_by(memory)
    if not rounded:
        return used
    # Of what lies in the cache, shared memory is no part.
    least, most = (
        _used_by(memory | {name: ends[end if name != "shmem" else 1 - end] for name, ends in rounded.items()})
        for end in (0, 1)
    )
    return {name: _both(least.get(name, size), most.get(name, size)) for name, size in used.items()}


def _both(one: Bounds, other: Bounds) -> Bounds:
    known = one.most is not None and other.most is not None
    return Bounds(min(one.least, other.least), max(one.most or 0, other.most or 0) if known else None)


def _used_by(memory: dict[str, int]) -> dict[str, Bounds]:
    found: dict[str, Bounds] = {}
    shmem = memory.get("shmem", 0)
    if "active_file" in memory and "inactive_file" in memory:
        cache: int | None = memory["active_file"] + memory["inactive_file"]
    elif "cached" in memory:
        cache = max(memory["cached"] + memory.get("buffers", 0) - shmem, 0)
    elif "buff_cache" in memory:
        found["cache_and_slab"] = exactly(max(memory["buff_cache"] - shmem, 0))
        cache = None
    else:
        cache = None
    if cache is not None:
        dirty = min(memory.get("dirty", 0) + memory.get("writeback", 0), cache)
        mapped = min(memory.get("mapped", cache - dirty), cache - dirty)
        found["cache_clean"] = Bounds(cache - dirty - mapped, cache - dirty)
        found["cache_mapped"] = Bounds(0, mapped)
        found["cache_dirty"] = exactly(dirty) if "dirty" in memory else Bounds(0, cache)
    for name, counter in (*_COUNTERS.items(), ("offline", "balloon")):
        if memory.get(counter):
            found[name] = exactly(memory[counter])
    if cache is not None and "total" in memory and "free" in memory and "anon" in memory:
        known = sum(memory.get(counter, 0) for counter in _COUNTERS.values()) + cache
        rest = memory["total"] - memory["free"] - known
        if rest > 0:
            found["other"] = exactly(rest)
    return found


def drained_most(pages: PageMap, pageblock_order: int, per_cpu: int, page_size: int) -> int:
    """Bytes that would at the most be in whole free pageblocks if `per_cpu` pages left the per-CPU lists. O(pages).

    Which they are the map doesn't tell: at the best, those that keep most.
    """
    size = 1 << pageblock_order
    blocks, free = _pageblocks(pages, size)
    kernel = np.count_nonzero(blocks == Holder.KERNEL, axis=1)
    only = np.sort(kernel[(free + kernel == size) & (free > 0) & (kernel > 0)])
    return int(np.searchsorted(np.cumsum(only), per_cpu, side="right")) * size * page_size


# Their pages' holders, and how many are free.
def _pageblocks(pages: PageMap, size: int) -> tuple[NDArray[np.uint8], NDArray[np.intp]]:
    holders = np.concatenate([pages.holders, np.full(-len(pages.holders) % size, Holder.ABSENT, np.uint8)])
    blocks = holders.reshape(-1, size)
    return blocks, np.count_nonzero(blocks == Holder.FREE, axis=1)


def held_back(pages: PageMap, pageblock_order: int, page_size: int) -> list[HeldBack]:
    """For each holder the partly free pageblocks that it keeps, most for fewest pages first. O(pages)."""
    size = 1 << pageblock_order
    blocks, free = _pageblocks(pages, size)
    partly = np.flatnonzero((free > 0) & (free < size))
    blocks, free = blocks[partly], free[partly]
    hardest = np.where(blocks == Holder.ABSENT, Holder.FREE, blocks).max(axis=1, initial=0)
    keepers = np.count_nonzero(blocks == hardest[:, None], axis=1)
    found = []
    for holder in np.unique(hardest):
        if holder == Holder.FREE:
            continue
        mine = hardest == holder
        number, keeps = keepers[mine], free[mine]
        best = np.argsort(keeps / number, kind="stable")[::-1]
        enough = int(np.searchsorted(np.cumsum(keeps[best]), _HALF * keeps.sum())) + 1
        found.append(
            HeldBack(
                Holder(int(holder)).name.lower(),
                int(mine.sum()),
                int(number.sum()),
                int(keeps.sum()) * page_size,
                int(number[best][:enough].sum()),
                int(keeps[best][:enough].sum()) * page_size,
            )
        )
    return sorted(found, key=lambda each: each.size / each.pages, reverse=True)
