"""Watermarks: how much of a zone is kept from whom, as the kernel computes it from the memory's size."""

import math
from collections.abc import Sequence

from pagehint.kernel.migratetype import Migratetype
from pagehint.kernel.profiles import KernelProfile
from pagehint.mm.zone import Watermarks, Zone

__all__ = ["default_min_free_kbytes", "lowmem_reserve", "watermark_ok", "zone_watermarks"]

_SCALE_FACTOR = 10  # of 10000: /proc/sys/vm/watermark_scale_factor
_RESERVE_RATIOS = (256, 256, 32)  # /proc/sys/vm/lowmem_reserve_ratio of DMA, DMA32, Normal


def default_min_free_kbytes(kbytes: int, profile: KernelProfile) -> int:
    """min_free_kbytes of a machine with ``kbytes`` below the Movable zones."""
    return min(max(math.isqrt(kbytes * 16), 128), profile.most_min_free_kbytes)


def zone_watermarks(managed: Sequence[int], min_free_pages: int) -> list[Watermarks]:
    """The watermarks of zones of ``managed`` pages each, which share ``min_free_pages`` by size."""
    marks = []
    for pages in managed:
        low = min_free_pages * pages // sum(managed)
        step = max(low >> 2, pages * _SCALE_FACTOR // 10000)
        marks.append(Watermarks(low, low + step, low + 2 * step))
    return marks


def lowmem_reserve(managed: Sequence[int], index: int) -> tuple[int, ...]:
    """Pages that zone ``index`` of a node keeps from allocations that could go to zone 0, 1, ...: its *protection*.

    ``managed`` are the pages of all the node's zones, lowest first, 0 for one that it lacks.
    """
    above = [sum(managed[index + 1 : highest + 1]) for highest in range(len(managed))]
    if index >= len(_RESERVE_RATIOS) or not managed[index]:
        return (0,) * len(managed)
    return tuple(pages // _RESERVE_RATIOS[index] for pages in above)


def watermark_ok(zone: Zone, order: int, mark: int) -> bool:
    """The zone stays above ``mark`` pages without a block of ``order``, and has one on its lists. O(max_order).

    As the kernel, it trusts the counters without the zone's lock.
    """
    if zone.free_pages - ((1 << order) - 1) <= mark:
        return False
    if order == 0:
        return True
    counts, links = zone.nr_free, zone.page_links
    for above in range(order, zone.max_order):
        if counts[above]:
            for migratetype in range(Migratetype.HIGHATOMIC):
                if links[head := (migratetype << 5) + above, 0] != head:
                    return True
    return False
