"""Free memory that the host still backs, by what keeps it."""

from dataclasses import dataclass, field

import numpy as np

from pagehint.diagnosis.actions import now
from pagehint.diagnosis.bounds import UNKNOWN, ZERO, Bounds, exactly
from pagehint.diagnosis.page_map import PageMap, Range
from pagehint.diagnosis.zones import ZoneState

__all__ = [
    "ACTIONS",
    "CAUSES",
    "ByOrder",
    "FreeMemory",
    "Setting",
    "closed_by",
    "free_from",
    "free_in",
    "from_counts",
    "from_map",
    "from_total",
]

CAUSES = {
    "waiting": "waits for the next passes",
    "no_device": "no device to tell",
    "below_order": "in blocks below the order",
    "per_cpu": "on per-CPU lists",
    "watermark": "under a zone's watermark",
    "boost": "under a zone's watermark boost",
    "never": "in zones too small to report",
    "given_back": "given back already",
}
"""Why free memory is still resident, the keys of free_resident; given_back no longer is. With per_cpu, which the kernel
does not count as free, they add up to all free memory."""

ACTIONS = {
    "reporting": "reporting alone",
    "drop_caches": "and drop_caches: more",
    "compact_memory": "and compact_memory: more",
    "both": "and both: more",
}
"""The keys of would_bring."""

ByOrder = dict[int, Bounds]


@dataclass(frozen=True)
class Setting:
    """What decides which free blocks are told: `order` in use or assumed; `on` None: not known."""

    order: int
    pageblock_order: int
    max_order: int
    capacity: int
    page_size: int
    on: bool | None

    @property
    def orders(self) -> range:
        """All orders of blocks."""
        return range(self.max_order + 1)


@dataclass
class FreeMemory:
    """`causes`: bytes by the keys of CAUSES. `brings`: bytes by the keys of ACTIONS and by order."""

    causes: dict[str, Bounds] = field(default_factory=dict)
    brings: dict[str, ByOrder] = field(default_factory=dict)

    def add(self, cause: str, size: Bounds) -> None:
        """Add to a cause."""
        self.causes[cause] = self.causes.get(cause, ZERO) + size


def closed_by(zone: ZoneState, order: int, setting: Setting, free: int | None) -> str | None:
    """What keeps reporting at `order` out of a zone with that many free pages, a key of CAUSES; None: nothing."""
    gate = zone.gate(order, setting.capacity)
    if gate is None or free is None or free - zone.reserve > gate:
        return None
    boost = zone.boost or 0
    if zone.managed is not None and zone.managed <= gate - boost:
        return "never"
    return "boost" if free - zone.reserve > gate - boost else "watermark"


def from_total(free: int | None, setting: Setting) -> FreeMemory:
    """From nothing but how many bytes are free."""
    found = FreeMemory()
    bounds = UNKNOWN if free is None else Bounds(0, free)
    for cause in ("no_device" if setting.on is False else "waiting", "below_order", "watermark", "given_back"):
        if not (cause == "given_back" and setting.on is False):
            found.add(cause, bounds)
    found.add("per_cpu", UNKNOWN)
    found.brings["reporting"] = dict.fromkeys(setting.orders, bounds)
    return found


def from_counts(zones: list[ZoneState], setting: Setting) -> FreeMemory:
    """From the zones' free blocks, or less of them: what has been told already stays open."""
    found = FreeMemory()
    brings: ByOrder = dict.fromkeys(setting.orders, ZERO)
    for zone in zones:
        large = free_from(zone, setting.order, setting)
        free = free_in(zone, setting)
        least = 0 if large.most is None else max(free.least - large.most, 0)
        below = Bounds(least, None if free.most is None else max(free.most - large.least, 0))
        found.add("below_order", exactly(below.least) if below.is_exact else below)
        closed = closed_by(zone, setting.order, setting, zone.free)
        if closed == "never" or setting.on is False:
            found.add(closed or "no_device", large)
        else:
            # Before it came under its watermark a zone may have been told of.
            open_or_closed = ("waiting", "watermark") if zone.low is None else (closed or "waiting",)
            for cause in (*open_or_closed, "given_back"):
                found.add(cause, Bounds(0, large.most))
        found.add("per_cpu", UNKNOWN if zone.per_cpu is None else exactly(zone.per_cpu * setting.page_size))
        for order in setting.orders:
            closed = closed_by(zone, order, setting, zone.free)
            most = free_from(zone, order, setting).most
            brings[order] = brings[order] + (ZERO if closed else Bounds(0, most))
    found.brings["reporting"] = brings
    return found


def free_in(zone: ZoneState, setting: Setting) -> Bounds:
    """Bytes that are free in a zone."""
    most = zone.most_free
    return Bounds(zone.least_free * setting.page_size, None if most is None else most * setting.page_size)


def free_from(zone: ZoneState, order: int, setting: Setting) -> Bounds:
    """Bytes in a zone's free blocks of `order` and more."""
    page = setting.page_size
    limit = free_in(zone, setting).most
    pages = zone.free_from(order)
    if pages is not None and zone.isolated:
        most = pages * page
        return Bounds(max(pages - zone.isolated, 0) * page, most if limit is None else min(most, limit))
    if pages is not None:
        if zone.exact_from is not None and order >= zone.exact_from:
            return exactly(pages * page)
        # All that is free lies in blocks of order 0 and more.
        least = (zone.least_free if order == 0 else pages) * page
        return Bounds(least, None if limit is None else max(least, limit))
    if zone.whole is not None and order == setting.pageblock_order:
        return exactly(zone.whole * page)
    if zone.whole is not None and order < setting.pageblock_order:
        return Bounds(zone.whole * page, limit)
    if zone.whole is not None:
        return Bounds(0, zone.whole * page)
    return Bounds(0, limit)


def from_map(pages: PageMap, zones: list[ZoneState], setting: Setting) -> FreeMemory:
    """From a page map, exact but for zones without known watermarks; `zones` are those of the map, in its order. What
    actions bring is not in it. O(pages).
    """
    found = FreeMemory()
    for zone, place in zip(zones, pages.zones, strict=True):
        _causes(found, zone, pages, place, setting)
    return found


def _causes(found: FreeMemory, zone: ZoneState, pages: PageMap, place: Range, setting: Setting) -> None:
    size = setting.page_size
    before = now(pages, place)
    free, told = int(np.count_nonzero(before.free)), int(np.count_nonzero(before.told))
    large = int(before.resident(place.begin, setting.max_order)[setting.order])
    closed = closed_by(zone, setting.order, setting, free)
    if zone.low is None and setting.on is not False:
        for cause in ("waiting", "watermark"):
            found.add(cause, Bounds(0, large * size))
    else:
        found.add(closed or ("no_device" if setting.on is False else "waiting"), exactly(large * size))
    found.add("below_order", exactly((free - told - large) * size))
    found.add("given_back", exactly(told * size))
    found.add("per_cpu", UNKNOWN if zone.per_cpu is None else exactly(zone.per_cpu * size))
