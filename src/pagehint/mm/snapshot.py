"""A guest's zones as a running guest's /proc files tell them."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from pagehint.errors import InputError
from pagehint.mm.gfp import ZoneType
from pagehint.mm.guest_zone import PAGE_SIZE, GuestZone
from pagehint.mm.migratetype import MIGRATE_TYPES, ListRules, Migratetype
from pagehint.mm.page import FREE, OFFLINE, TYPE_SHIFT, USED
from pagehint.mm.pcp import PerCpuLists
from pagehint.mm.zone import Zone
from pagehint.mm.zoneinfo import ZoneLayout, parse_free_counts, parse_pageblock_order, parse_zoneinfo

__all__ = ["snapshot_zones"]

# Bits of /proc/kpageflags.
_LRU = 5
_BUDDY = 10
_NOPAGE = 20

_TYPES = {kind.title: kind for kind in ZoneType}
_MIGRATETYPES = {"Unmovable": 0, "Movable": 1, "Reclaimable": 2, "HighAtomic": 3}


def snapshot_zones(
    zoneinfo: str, kpageflags: NDArray[np.uint64], pagetypeinfo: str | None, rules: ListRules
) -> list[GuestZone]:
    """The zones of a running guest; pages that are not free are in use, one by one. Raises InputError. O(pages).

    ``kpageflags``: a word for each pfn from 0 on. ``pagetypeinfo`` says how many free blocks each list has, by which
    their types are guessed (low pfns are unmovable); without it all are MOVABLE.
    """
    order = parse_pageblock_order(pagetypeinfo) if pagetypeinfo else None
    counts = parse_free_counts(pagetypeinfo) if pagetypeinfo else {}
    layouts = sorted(parse_zoneinfo(zoneinfo, "zoneinfo"), key=lambda layout: layout.start_pfn)
    return list(_zones(layouts, kpageflags, counts, 9 if order is None else order, rules))


def _zones(
    layouts: list[ZoneLayout],
    kpageflags: NDArray[np.uint64],
    counts: dict[tuple[int, str], dict[str, list[int]]],
    pageblock_order: int,
    rules: ListRules,
) -> Iterator[GuestZone]:
    for layout in layouts:
        if layout.name not in _TYPES:
            raise InputError(f"zoneinfo: zone {layout.name} of node {layout.node}: expected {', '.join(_TYPES)}")
        flags = kpageflags[layout.start_pfn : layout.end_pfn]
        if len(flags) < layout.spanned:
            raise InputError(
                f"kpageflags has {len(kpageflags)} words, but zone {layout.name} ends at pfn {layout.end_pfn}: "
                "the files are not of one guest"
            )
        zone = Zone(
            layout.spanned,
            present=0,
            start_pfn=layout.start_pfn,
            page_size=PAGE_SIZE,
            pageblock_order=pageblock_order,
            rules=rules,
            watermarks=(layout.min, layout.low, layout.high),
            name=layout.name,
            node=layout.node,
        )
        zone.load(_words(flags), _counts(counts.get((layout.node, layout.name), {}), zone.max_order))
        kinds = len(ZoneType)
        protection = tuple(layout.protection or ())[:kinds]
        pcps = tuple(
            PerCpuLists(zone, cpu, layout.pcp_batch or 1, layout.pcp_high or 0) for cpu in range(layout.cpus or 1)
        )
        yield GuestZone(zone, _TYPES[layout.name], protection + (0,) * (kinds - len(protection)), pcps)


def _words(flags: NDArray[np.uint64]) -> NDArray[np.uint16]:
    words = np.full(len(flags), USED | Migratetype.UNMOVABLE << TYPE_SHIFT, np.uint16)
    words[_bit(flags, _LRU)] = USED | Migratetype.MOVABLE << TYPE_SHIFT
    words[_bit(flags, _BUDDY)] = FREE
    words[_bit(flags, _NOPAGE)] = OFFLINE
    return words


def _bit(flags: NDArray[np.uint64], bit: int) -> NDArray[np.bool_]:
    return np.asarray((flags & np.uint64(1 << bit)) != 0)


def _counts(of_types: dict[str, list[int]], max_order: int) -> NDArray[np.int64]:
    counts = np.zeros((max_order, MIGRATE_TYPES), np.int64)
    for name, numbers in of_types.items():
        if name in _MIGRATETYPES:
            if len(numbers) != max_order:
                raise InputError(f"pagetypeinfo: {len(numbers)} orders of type {name}: expected {max_order}")
            counts[:, _MIGRATETYPES[name]] = numbers
    return counts
