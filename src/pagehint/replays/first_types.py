"""What type each pageblock of a recorded guest has before the first event."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pagehint.kernel.migratetype import Migratetype
from pagehint.mm.guest.pageblock_types import fit_pageblock_types
from pagehint.mm.page import FREE, KIND, ORDER, TYPE_SHIFT
from pagehint.mm.zone import Zone
from pagehint.proc.kpageflags import KPageFlag
from pagehint.proc.pagetypeinfo import PageTypeInfo
from pagehint.replays.scan import FREE_AT_START
from pagehint.replays.states import PageStates, pageblock_order
from pagehint.replays.told_blocks import told_first
from pagehint.trace.bundle import Trace
from pagehint.trace.events import Event
from pagehint.trace.meta import ZoneLayout

__all__ = ["CMA", "types_at_start"]

CMA = 4
"""The type of a kernel's that has it, in its events."""
_UNSEEN = 255
_KEPT = ("CMA", "HighAtomic")  # types that a pageblock keeps when what is free in it is told
_LEAST_PASSES = 2  # one may be a block that lay on another list than its pageblock's


def types_at_start(
    trace: Trace,
    layouts: list[ZoneLayout],
    seen: NDArray[np.uint8],
    found: PageStates,
    flags: NDArray[np.uint32] | None,
    first_left: NDArray[np.uint32],
    first_order: NDArray[np.uint8],
) -> NDArray[np.uint8]:
    """Each pageblock's type: uint8. `seen`: what a Scan saw of it, above HIGHATOMIC: nothing. O(pages).

    Where boot is recorded, events tell nearly all; else the snapshot's pagetypeinfo and `flags` do: its kpageflags,
    without their upper half; what allocations passed over (a Scan's `first_left` and `first_order`); and the order in
    which the first pass told of what is free.
    """
    zone_events, order = trace.meta.has(Event.ZONE_ALLOC), pageblock_order(trace)
    if not zone_events:
        _forget_taken_over(seen, np.logical_or(found.states == FREE_AT_START, found.coming), order)
    elif trace.snapshot is not None and trace.snapshot.pagetypeinfo.types[CMA : CMA + 1] == ("CMA",):
        _fill_cma(seen, layouts, trace.snapshot.pagetypeinfo, None if found.booting else flags, order)
    known = seen <= Migratetype.HIGHATOMIC
    types = _by_buddies(seen)
    if flags is None or found.booting or trace.snapshot is None or trace.snapshot.odd_types() is not None:
        return types
    info = trace.snapshot.pagetypeinfo
    for layout in layouts:
        key, pfns = (layout.node, layout.name), slice(layout.start_pfn, layout.end_pfn)
        counts, words = info.free.get(key), flags[pfns]
        if counts is None or len(words) < layout.spanned:
            continue
        here = slice(layout.start_pfn >> order, (layout.end_pfn - 1 >> order) + 1)
        free = words & np.uint32(KPageFlag.BUDDY) != 0
        zone = _zone(layout, free, types[here], order)
        told = _told_before(zone, found.reported[pfns])
        told = told[~known[told] & (not any(info.pageblocks.get(key, {}).get(name) for name in _KEPT))]
        if len(told):
            types[told], known[told] = Migratetype.MOVABLE, True
            zone = _zone(layout, free, types[here], order)
        bounds, unlike = info.at_least.get(key, set()), None
        if zone_events:
            counts, bounds = _with_cma_as_reserve(counts, bounds)
            then = _zone(layout, found.states[pfns] == FREE_AT_START, types[here], order)
            unlike = _passed_over(then, seen[here], first_left, first_order)
        types[here] = fit_pageblock_types(zone, words, counts, known[here], bounds, unlike)
    _line_up(types, known, told_first(trace, layouts, 1 << order), layouts, order)
    return types


# With these pages free, in pageblocks of these types.
def _zone(layout: ZoneLayout, free: NDArray[np.bool_], types: NDArray[np.uint8], pageblock_order: int) -> Zone:
    zone = Zone(layout.spanned, start_pfn=layout.start_pfn, pageblock_order=pageblock_order, hinting=False)
    zone.load(free, types)
    return zone


def _with_cma_as_reserve(
    counts: dict[str, list[int]], bounds: set[tuple[str, int]]
) -> tuple[dict[str, list[int]], set[tuple[str, int]]]:
    if "CMA" not in counts or "HighAtomic" not in counts:
        return counts, bounds
    both = [sum(each) for each in zip(counts["CMA"], counts["HighAtomic"], strict=True)]
    counts = {name: row for name, row in counts.items() if name != "CMA"} | {"HighAtomic": both}
    return counts, {("HighAtomic" if name == "CMA" else name, order) for name, order in bounds}


# Which pageblocks are MOVABLE, as what is free in them was told: int64.
def _told_before(zone: Zone, reported: NDArray[np.bool_]) -> NDArray[np.int64]:
    state, pageblock_order = zone.page_state, zone.pageblock_order
    heads = np.flatnonzero((state & KIND == FREE) & reported)
    orders = (state[heads] & ORDER).astype(np.int64)
    heads, orders = heads[orders >= pageblock_order - 1] + zone.start_pfn, orders[orders >= pageblock_order - 1]
    spans = [np.zeros(0, np.int64)]
    for order in np.unique(orders).tolist():
        size = 1 << max(order - pageblock_order, 0)
        spans.append(((heads[orders == order] >> pageblock_order)[:, None] + np.arange(size)).ravel())
    return np.concatenate(spans)


# An allocation takes the smallest block that is large enough: what stayed free and is smaller is of another type. Bool
# (types, pageblocks); of those where anything left or came, nothing.
def _passed_over(
    zone: Zone, seen: NDArray[np.uint8], first_left: NDArray[np.uint32], first_order: NDArray[np.uint8]
) -> NDArray[np.bool_]:
    kinds = range(Migratetype.HIGHATOMIC + 1)
    state = zone.page_state
    heads = np.flatnonzero(state & KIND == FREE)
    orders, of_kind = state[heads] & ORDER, state[heads] >> TYPE_SHIFT
    heads += zone.start_pfn
    places = (heads >> zone.pageblock_order) - (zone.start_pfn >> zone.pageblock_order)
    unlike = np.zeros((len(kinds), len(seen)), np.bool_)
    if not len(heads):
        return unlike
    # 0 - 1 is the largest: never.
    earliest = np.minimum.reduceat(first_left[: zone.start_pfn + zone.pages] - np.uint32(1), heads)
    asked = first_order[heads].astype(np.int64) - 1
    split = (
        (seen[places] <= Migratetype.HIGHATOMIC)
        & (asked >= 0)
        & (asked < orders)
        & (earliest == first_left[heads] - np.uint32(1))
    )
    passed = np.zeros((len(kinds), zone.max_order), np.int64)
    for kind, order, wanted in zip(of_kind[split].tolist(), orders[split].tolist(), asked[split].tolist(), strict=True):
        passed[kind, wanted:order] += 1
    for kind in kinds:
        unlike[kind, places[(seen[places] == _UNSEEN) & (passed[kind, orders] >= _LEAST_PASSES)]] = True
    return unlike


# What is known of free pageblocks is only how many of each type there are; but a pass goes from type to type.
def _line_up(
    types: NDArray[np.uint8],
    known: NDArray[np.bool_],
    told: NDArray[np.int64],
    layouts: list[ZoneLayout],
    pageblock_order: int,
) -> None:
    size = 1 << pageblock_order
    zones = np.searchsorted([layout.start_pfn for layout in layouts], told[:, 0], side="right")
    for zone, pages in {*zip(zones.tolist(), told[:, 1].tolist(), strict=True)}:
        blocks = told[(zones == zone) & (told[:, 1] == pages), 0] >> pageblock_order
        spans = blocks[:, None] + np.arange(pages // size)
        # Each of one type, and the events tell of none.
        open_ = (types[spans] == types[blocks][:, None]).all(axis=1) & ~known[spans].any(axis=1)
        types[spans[open_]] = np.sort(types[blocks[open_]])[:, None]


# Without zone events, an allocation's type is its pageblock's, but where a fallback took the pageblock over: from the
# largest blocks, which were wholly free. Those were MOVABLE.
def _forget_taken_over(types: NDArray[np.uint8], free: NDArray[np.bool_], pageblock_order: int) -> None:
    size = 1 << pageblock_order
    whole = free[: len(free) // size * size].reshape(-1, size).all(axis=1)
    types[:-1][whole] = Migratetype.MOVABLE


# A pageblock that no event tells of is its buddy's type: a fallback at boot takes the largest blocks, which are pairs.
def _by_buddies(seen: NDArray[np.uint8]) -> NDArray[np.uint8]:
    other = np.arange(len(seen)) ^ 1
    other[-1] = min(other[-1], len(seen) - 1)
    known = seen <= Migratetype.HIGHATOMIC
    types = np.where(known, seen, seen[other])
    return np.where(types > Migratetype.HIGHATOMIC, np.uint8(Migratetype.MOVABLE), types)


# CMA's pageblocks (contiguous areas for devices, lent to movable pages) become the atomic reserve's, which nobody falls
# back to either: events tell what leaves them. An area reaches from the first that events name to the last, where no
# more of a zone are CMA's; and from where on as many as are CMA's have what is free of it, in the snapshot.
def _fill_cma(
    seen: NDArray[np.uint8],
    layouts: list[ZoneLayout],
    info: PageTypeInfo,
    flags: NDArray[np.uint32] | None,
    pageblock_order: int,
) -> None:
    for layout in layouts:
        key = layout.node, layout.name
        first = layout.start_pfn >> pageblock_order
        here = seen[first : (layout.end_pfn - 1 >> pageblock_order) + 1]
        named, count = np.flatnonzero(here == CMA), info.pageblocks.get(key, {}).get("CMA", 0)
        if len(named) and np.ptp(named) < count:
            here[named[0] : named[-1] + 1] = Migratetype.HIGHATOMIC
        here[named] = Migratetype.HIGHATOMIC
        free = info.free.get(key, {}).get("CMA")
        if free is None or flags is None or len(flags) < layout.end_pfn or not 0 < count <= len(here):
            continue
        words = flags[layout.start_pfn : layout.end_pfn]
        movable = np.full(len(here), Migratetype.MOVABLE, np.uint8)
        zone = _zone(layout, words & np.uint32(KPageFlag.BUDDY) != 0, movable, pageblock_order)
        begin = _area(zone, here, named, free, count)
        if begin is not None:
            here[begin : begin + count] = Migratetype.HIGHATOMIC


# Where an area of so many pageblocks begins that has all that are named, none that is another type's, and most nearly
# so many free blocks of each order; of several the last, as boot takes it from the end. None: it isn't one area.
def _area(zone: Zone, seen: NDArray[np.uint8], named: NDArray[np.int64], free: Sequence[int], count: int) -> int | None:
    if len(free) < zone.max_order:
        return None
    state, pageblock_order = zone.page_state, zone.pageblock_order
    heads = np.flatnonzero(state & KIND == FREE)
    places = (heads + zone.start_pfn >> pageblock_order) - (zone.start_pfn >> pageblock_order)
    sums = np.zeros((len(seen) + 1, len(free)), np.int64)
    np.add.at(sums, (places + 1, state[heads] & ORDER), 1)
    sums = np.cumsum(sums, axis=0)
    others = np.append(0, np.cumsum(seen <= Migratetype.RECLAIMABLE))
    off = (np.abs(sums[count:] - sums[:-count] - np.array(free)) << np.arange(len(free))).sum(axis=1)
    within = np.zeros(len(seen) + 1, np.bool_)  # a block goes on from the pageblock before
    for order in range(pageblock_order + 1, len(free)):
        for k in range(1, 1 << order - pageblock_order):
            within[places[state[heads] & ORDER == order] + k] = True
    off[(others[count:] > others[:-count]) | within[count:] | within[:-count]] = np.iinfo(np.int64).max
    begins = np.arange(len(off))
    if len(named):
        off[(begins > named[0]) | (begins + count <= named[-1])] = np.iinfo(np.int64).max
    best = len(off) - 1 - int(np.argmin(off[::-1]))
    return best if off[best] <= count << pageblock_order >> 4 else None
