"""The invariants of a zone, all of them, by walking everything (docs/spec/3, ``check``)."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from pagehint.errors import InputError
from pagehint.kernel.migratetype import MIGRATE_TYPES, Migratetype
from pagehint.mm.attached import Attachable
from pagehint.mm.page import (
    FREE,
    HELD,
    HINTED,
    IN_FLIGHT,
    KIND,
    LISTS,
    OFFLINE,
    ORDER,
    PCP,
    TYPE_SHIFT,
    USED,
    entry,
)
from pagehint.units import shown

__all__ = ["check", "check_zones"]

_KINDS = {FREE: "free", USED: "used", IN_FLIGHT: "in flight", PCP: "per-CPU", OFFLINE: "offline", HELD: "held"}


def check_zones(zones: Iterable[object], kind: type[Attachable] = Attachable) -> None:
    """Raise InputError for what is no zone of that kind."""
    for zone in zones:
        if not isinstance(zone, kind):
            raise InputError(f"{shown(zone)} is no zone: expected one, such as each of guest.zones")


def check(zone: Attachable) -> list[str]:
    """What is wrong with the zone, a line each; empty if nothing is. The zone must be at rest. O(pages).

    Raises InputError for what is no zone.
    """
    check_zones([zone])
    state = zone.page_state
    heads = np.flatnonzero(state & KIND)
    orders = (state[heads] & ORDER).astype(np.int64)
    kinds: NDArray[np.uint16] = state[heads] & np.uint16(KIND)
    return [
        *_check_blocks(zone, heads, orders),
        *_check_lists(zone, heads, kinds),
        *_check_counters(zone, heads, orders, kinds),
        *_check_buddies(zone, heads, orders, kinds),
        *_check_pcps(zone, heads, orders, kinds),
        *zone._wrong_marks(),
    ]


def _check_blocks(zone: Attachable, heads: NDArray[np.intp], orders: NDArray[np.int64]) -> list[str]:
    """Blocks are aligned, in the zone, don't overlap, and together are all pages."""
    problems = []
    state = zone.page_state
    sizes = 1 << orders
    stray = np.flatnonzero((state != 0) & (state & KIND == 0))
    problems += [f"pfn {zone.start_pfn + i}: a state word without a kind" for i in stray[:10]]
    unknown = heads[~np.isin(state[heads] & KIND, list(_KINDS))][:10]
    problems += [f"pfn {zone.start_pfn + i}: a block of no kind" for i in unknown]
    flagged = heads[(state[heads] & HINTED != 0) & (state[heads] & KIND != FREE)]
    problems += [f"pfn {zone.start_pfn + i}: hinted, but not free" for i in flagged[:10]]
    bad = heads[((heads + zone.start_pfn) & (sizes - 1) != 0) | (orders >= zone.max_order)]
    problems += [f"pfn {zone.start_pfn + i}: a block of order {state[i] & ORDER} can't start here" for i in bad[:10]]
    begins = np.append(heads, zone.pages)
    ends = np.insert(heads + sizes, 0, 0)
    for i in np.flatnonzero(begins != ends)[:10]:
        what = "overlap" if ends[i] > begins[i] else "belong to no block"
        low, high = sorted((int(begins[i]), int(ends[i])))
        problems.append(f"pfn {zone.start_pfn + low} to {zone.start_pfn + high - 1}: pages {what}")
    return problems


def _check_lists(zone: Attachable, heads: NDArray[np.intp], kinds: NDArray[np.uint16]) -> list[str]:
    """Each free block is on the one list that its state word names; links are sound; boundaries stand right."""
    problems = []
    state, links = zone.page_state, zone.page_links
    listed = np.zeros(zone.pages, np.int32)
    empty = (links[:LISTS] == np.arange(LISTS)[:, None]).all(axis=1).tolist()
    for order in range(zone.max_order):
        for migratetype in range(MIGRATE_TYPES):
            head = (migratetype << 5) + order
            if empty[head] and not (zone.active and zone.boundary(order, migratetype) >= 0):
                continue
            where = f"list {order} {migratetype}"
            pages = zone.free_list(order, migratetype) - zone.start_pfn
            ring = np.concatenate(([head], entry(pages), [head]))
            if np.any(links[ring[:-1], 0] != ring[1:]) or np.any(links[ring[1:], 1] != ring[:-1]):
                problems.append(f"{where}: its links are broken")
            expected = FREE | order | migratetype << TYPE_SHIFT
            wrong = pages[state[pages] & ~np.uint16(HINTED) != expected]
            problems += [f"{where}: pfn {zone.start_pfn + i} is no free block of it" for i in wrong[:10]]
            np.add.at(listed, pages, 1)
            problems += _check_boundary(zone, where, order, migratetype, pages)
    free = heads[kinds == FREE]
    problems += [f"pfn {zone.start_pfn + i}: free, but on {listed[i]} lists" for i in free[listed[free] != 1][:10]]
    return problems


def _check_boundary(zone: Attachable, where: str, order: int, migratetype: int, pages: NDArray[np.int64]) -> list[str]:
    boundary = zone.boundary(order, migratetype) if zone.active else -1
    if boundary < 0:
        return []
    behind = np.flatnonzero(pages == boundary - zone.start_pfn)
    if not len(behind):
        return [f"{where}: its boundary, pfn {boundary}, is not on it"]
    unhinted = pages[behind[0] :][zone.page_state[pages[behind[0] :]] & HINTED == 0]
    return [f"{where}: pfn {zone.start_pfn + i} is unhinted behind the boundary" for i in unhinted[:10]]


def _check_counters(
    zone: Attachable, heads: NDArray[np.intp], orders: NDArray[np.int64], kinds: NDArray[np.uint16]
) -> list[str]:
    """Counters say what the lists and the state words say."""
    problems = []
    state = zone.page_state[heads]
    free, hinted = kinds == FREE, (state & HINTED) != 0
    isolate = state >> TYPE_SHIFT == Migratetype.ISOLATE
    sizes = 1 << orders
    counted = np.bincount(orders[free], minlength=zone.max_order)[: zone.max_order].tolist()
    if counted != zone.nr_free:
        problems.append(f"nr_free {zone.nr_free}: the lists hold {counted}")
    counted = np.bincount(orders[free & hinted], minlength=zone.max_order)[: zone.max_order].tolist()
    if zone.nr_hinted is not None and counted != zone.nr_hinted:
        problems.append(f"hinted {zone.nr_hinted}: the flags say {counted}")
    for what, counter, pages in (
        ("free_pages", zone.free_pages, sizes[free & ~isolate].sum()),
        ("in_flight_pages", zone.in_flight_pages, sizes[kinds == IN_FLIGHT].sum()),
        ("present_pages", zone.present_pages, zone.pages - sizes[kinds == OFFLINE].sum()),
    ):
        if counter != pages:
            problems.append(f"{what} {counter}: walking finds {pages}")
    isolated = np.count_nonzero(zone.pageblock_types == Migratetype.ISOLATE)
    if zone.isolated < isolated:  # more: a stolen pageblock keeps its count (docs/spec/1, section 4)
        problems.append(f"isolated {zone.isolated}: walking finds {isolated}")
    movable = (kinds == USED) & (state >> TYPE_SHIFT == Migratetype.MOVABLE)
    pageblocks = (heads[movable] + zone.start_pfn >> zone.pageblock_order) - (zone.start_pfn >> zone.pageblock_order)
    counts = np.bincount(pageblocks, minlength=len(zone.pageblock_movable))
    wrong = np.flatnonzero(counts != zone.pageblock_movable)
    problems += [f"pageblock {i}: {zone.pageblock_movable[i]} movable, walking finds {counts[i]}" for i in wrong[:10]]
    return problems


def _check_buddies(
    zone: Attachable, heads: NDArray[np.intp], orders: NDArray[np.int64], kinds: NDArray[np.uint16]
) -> list[str]:
    """No two buddies that would merge are both free."""
    state, types = zone.page_state, zone.pageblock_types
    lower = (kinds == FREE) & (orders < zone.max_order - 1)
    lower &= (heads + zone.start_pfn) & (1 << orders) == 0
    pairs = heads[lower]
    buddies = pairs + (1 << orders[lower])
    pairs, buddies = pairs[buddies < zone.pages], buddies[buddies < zone.pages]
    both = (state[pairs] & (KIND | ORDER)) == (state[buddies] & (KIND | ORDER))
    pairs, buddies = pairs[both], buddies[both]
    first = zone.start_pfn >> zone.pageblock_order
    kind, other = (types[(i + zone.start_pfn >> zone.pageblock_order) - first] for i in (pairs, buddies))
    if zone.profile.merge_by_type:
        # What comes as a type that its pageblock isn't of merges by that. Which of the two came last is not known.
        merge = _mix(state[pairs] >> TYPE_SHIFT, other) & _mix(state[buddies] >> TYPE_SHIFT, kind)
    else:
        merge = np.ones(len(pairs), bool)
    # Isolating moves blocks without merging them, so two isolated buddies may stand side by side.
    merge &= (kind != Migratetype.ISOLATE) & (other != Migratetype.ISOLATE)
    merge |= (state[pairs] & ORDER) < zone.pageblock_order
    return [
        f"pfn {zone.start_pfn + i}: free beside its free buddy, order {state[i] & ORDER}" for i in pairs[merge][:10]
    ]


# Whether blocks of these types merge across pageblocks.
def _mix(kind: NDArray[np.integer], other: NDArray[np.integer]) -> NDArray[np.bool_]:
    mixed: NDArray[np.bool_] = (kind == other) | (np.maximum(kind, other) <= Migratetype.RECLAIMABLE)
    return mixed


def _check_pcps(
    zone: Attachable, heads: NDArray[np.intp], orders: NDArray[np.int64], kinds: NDArray[np.uint16]
) -> list[str]:
    """Each block of a CPU's is on one list of one CPU's, with others of its order; their counts are right."""
    problems = []
    listed = np.zeros(zone.pages, np.int32)
    for pcp in zone.pcps:
        pages = 0
        for which, pfns in enumerate(pcp.lists()):
            if not len(pfns):
                continue
            where = f"CPU {pcp.cpu}, list {which}"
            places = pfns - zone.start_pfn
            outside = (places < 0) | (places >= zone.pages)
            problems += [f"{where}: pfn {pfn} is not in the zone" for pfn in pfns[outside][:10]]
            places = places[~outside]
            words = zone.page_state[places]
            wrong = places[(words & KIND != PCP) | (words & ORDER != (words[:1] & ORDER))]
            problems += [f"{where}: pfn {zone.start_pfn + i} is no block of it" for i in wrong[:10]]
            np.add.at(listed, places, 1)
            pages += int((1 << (words & ORDER).astype(np.int64)).sum())
        if pages != pcp.count:
            problems.append(f"CPU {pcp.cpu}: count {pcp.count}: its lists hold {pages} pages")
    lost = heads[(kinds == PCP) & (listed[heads] != 1)]
    return problems + [f"pfn {zone.start_pfn + i}: a CPU's, but on {listed[i]} lists" for i in lost[:10]]
