"""Free memory that the host still backs, by what keeps it, and what each action would bring, at each order."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from pagehint.diagnosis.actions import After, compacted, dropped, now
from pagehint.diagnosis.bounds import UNKNOWN, ZERO, Bounds, exactly
from pagehint.diagnosis.page_map import Holder, PageMap, Range
from pagehint.diagnosis.zones import ZoneState

__all__ = ["ACTIONS", "CAUSES", "ByOrder", "FreeMemory", "Setting", "from_counts", "from_map", "from_total"]

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

_SPOILED = 2.5
_SLAB_STAYS = 4 << 20
_SLAB_SHARE_STAYS = 0.02
_SCATTERED = 0.008
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


# What keeps reporting at `order` out of a zone with that many free pages.
def _closed_by(zone: ZoneState, order: int, setting: Setting, free: int | None) -> str | None:
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
        large = _free_from(zone, setting.order, setting)
        free = None if zone.free is None else zone.free * setting.page_size
        below = UNKNOWN if free is None else Bounds(max(free - (large.most or 0), 0), free - large.least)
        found.add("below_order", exactly(below.least) if below.is_exact else below)
        closed = _closed_by(zone, setting.order, setting, zone.free)
        if closed is not None:
            found.add(closed, large)
        elif setting.on is False:
            found.add("no_device", large)
        elif zone.low is None:
            for cause in ("waiting", "watermark", "given_back"):
                found.add(cause, Bounds(0, large.most))
        else:
            for cause in ("waiting", "given_back"):
                found.add(cause, Bounds(0, large.most))
        found.add("per_cpu", UNKNOWN if zone.per_cpu is None else exactly(zone.per_cpu * setting.page_size))
        for order in setting.orders:
            closed = _closed_by(zone, order, setting, zone.free)
            most = _free_from(zone, order, setting).most
            brings[order] = brings[order] + (ZERO if closed else Bounds(0, most))
    found.brings["reporting"] = brings
    return found


def _free_from(zone: ZoneState, order: int, setting: Setting) -> Bounds:
    page = setting.page_size
    limit = None if zone.free is None else zone.free * page
    pages = zone.free_from(order)
    if pages is not None:
        # A whole pageblock's count is exact, where lists are cut at 100,000 or in the middle of a line.
        return Bounds(pages * page, limit) if zone.is_lower_bound and order else exactly(pages * page)
    if zone.whole is not None and order == setting.pageblock_order:
        return exactly(zone.whole * page)
    if zone.whole is not None and order < setting.pageblock_order:
        return Bounds(zone.whole * page, limit)
    if zone.whole is not None:
        return Bounds(0, zone.whole * page)
    return Bounds(0, limit)


def from_map(pages: PageMap, zones: list[ZoneState], setting: Setting, slab: int) -> FreeMemory:
    """From a page map: exact but for what actions bring. `slab` are pages of slab that drop_caches may free.

    `zones` are those of the map, in its order.
    """
    found = FreeMemory()
    size = setting.page_size
    least: dict[str, NDArray[np.int64]] = {name: np.zeros(setting.max_order + 1, np.int64) for name in ACTIONS}
    most = {name: least[name].copy() for name in ACTIONS}
    guess = least["drop_caches"].copy()
    leaves = _slab_that_leaves(slab, setting)
    with_slab = _slab_blocks(pages, setting.pageblock_order, slab)
    for zone, place in zip(zones, pages.zones, strict=True):
        _causes(found, zone, pages, place, setting)
        before = now(pages, place)
        at = _reader(zone, place, setting)
        start = at(before)
        given_back = int(np.count_nonzero(before.told))
        least["reporting"] += start
        most["reporting"] += start
        cached = dropped(pages, place)
        slab_too = After(cached.free | with_slab[place.begin : place.end], cached.told)
        # Any slab page may be among those that go; in all no more comes than goes and what lies free but untold.
        slab_pages = pages.holders[place.begin : place.end] == Holder.SLAB if slab > 0 else np.False_
        any_slab = After(cached.free | slab_pages, cached.told)
        untold = int(np.count_nonzero(cached.free)) - given_back
        goes = untold + min(slab, int(np.count_nonzero(slab_pages))) - start
        gains = [at(cached) - start, np.minimum(at(slab_too) - start, goes)]
        least["drop_caches"] += _less_lists(gains[0], zone, setting)
        most["drop_caches"] += np.maximum(gains[1], np.minimum(at(any_slab) - start, goes))
        guess += gains[0] + ((gains[1] - gains[0]) * leaves).astype(np.int64)
        for name, first in (("compact_memory", before), ("both", slab_too)):
            ends = [at(_compact(pages, place, first, setting, every)) - start for every in (False, True)]
            alone = np.zeros_like(start) if name == "compact_memory" else _less_lists(gains[0], zone, setting)
            # Compacting takes seconds, in which the guest and the compacting thread itself take pages: of what would
            # be told, and of what was given back, which the host then has again.
            taken = np.minimum(start + given_back, 1 << setting.pageblock_order)
            least[name] += np.minimum(alone - taken, np.minimum(*ends))
            best = np.maximum(alone, np.maximum(*ends))
            if name == "both":
                best = np.minimum(np.maximum(best, at(_compact(pages, place, any_slab, setting, True)) - start), goes)
            most[name] += best
    for name in ACTIONS:
        found.brings[name] = {
            order: Bounds(int(least[name][order]) * size, int(most[name][order]) * size) for order in setting.orders
        }
    found.brings["drop_caches"] = {
        order: Bounds(each.least, each.most, int(guess[order]) * size)
        for order, each in found.brings["drop_caches"].items()
    }
    return found


def _reader(zone: ZoneState, place: Range, setting: Setting) -> Callable[[After], NDArray[np.int64]]:
    def read(after: After) -> NDArray[np.int64]:
        free = int(np.count_nonzero(after.free))
        pages = after.resident(place.begin, setting.max_order)
        closed = [_closed_by(zone, order, setting, free) is not None for order in setting.orders]
        return np.where(closed, 0, pages)

    return read


def _compact(pages: PageMap, place: Range, first: After, setting: Setting, every: bool) -> After:
    return compacted(pages, place, first, setting.pageblock_order, every)


def _causes(found: FreeMemory, zone: ZoneState, pages: PageMap, place: Range, setting: Setting) -> None:
    size = setting.page_size
    before = now(pages, place)
    free, told = int(np.count_nonzero(before.free)), int(np.count_nonzero(before.told))
    large = int(before.resident(place.begin, setting.max_order)[setting.order])
    closed = _closed_by(zone, setting.order, setting, free)
    found.add(closed or ("no_device" if setting.on is False else "waiting"), exactly(large * size))
    found.add("below_order", exactly((free - told - large) * size))
    found.add("given_back", exactly(told * size))
    found.add("per_cpu", UNKNOWN if zone.per_cpu is None else exactly(zone.per_cpu * size))


# Freed pages go to per-CPU lists first, where some stay; at high orders each keeps more than itself from being whole.
def _less_lists(gains: NDArray[np.int64], zone: ZoneState, setting: Setting) -> NDArray[np.int64]:
    room = min(zone.lists_room, int(gains[0]))
    kept = np.where(np.arange(len(gains)) < setting.pageblock_order - 1, room, _SPOILED * room)
    return np.where(gains > 0, np.maximum(gains - kept.astype(np.int64), 0), gains)


# The share of the slab counted as reclaimable that goes, by order. What stays was seen to be some MiB in use by the
# kernel itself, and to lie scattered: a block of 2**order pages is free of it with a chance that falls with its size.
def _slab_that_leaves(slab: int, setting: Setting) -> NDArray[np.float64]:
    if slab <= 0:
        return np.zeros(setting.max_order + 1)
    stays = min(_SLAB_STAYS // setting.page_size / slab + _SLAB_SHARE_STAYS, 1.0)
    pages = 2.0 ** np.arange(setting.max_order + 1)
    share: NDArray[np.float64] = (1 - stays) * np.exp(-_SCATTERED * stays * pages)
    return share


# Which slab pages can be freed the map doesn't tell: they lie in pageblocks of their own, those fullest of slab.
def _slab_blocks(pages: PageMap, pageblock_order: int, slab: int) -> NDArray[np.bool_]:
    holders = pages.holders
    mask = holders == Holder.SLAB
    if slab <= 0:
        return np.zeros(len(holders), np.bool_)
    size = 1 << pageblock_order
    padded = np.concatenate([mask, np.zeros(-len(mask) % size, np.bool_)]).reshape(-1, size)
    counts = padded.sum(axis=1)
    fullest = np.argsort(counts, kind="stable")[::-1]
    enough = int(np.searchsorted(np.cumsum(counts[fullest]), slab)) + 1
    chosen = np.zeros(len(counts), np.bool_)
    chosen[fullest[:enough]] = True
    result: NDArray[np.bool_] = (padded & chosen[:, None]).reshape(-1)[: len(mask)]
    return result
