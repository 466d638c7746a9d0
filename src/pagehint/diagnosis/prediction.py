"""What reporting and each action would bring, computed on a page map: bounds, and for drop_caches a best guess too.

What the map doesn't tell is bounded: which slab can be freed (counted, not marked), which pages lie on per-CPU lists
(they look like the kernel's own), and what compaction gives up. The guess for drop_caches was fitted to real guests:

- Of the slab counted as reclaimable that share goes whose names nobody uses (dentry-state), with a tenth more, which
  hangs on it and is counted as unreclaimable. It lies where the kernel's other pages are fewest.
- Each kind of slab keeps some pages, on each CPU too: they lie scattered, and spoil blocks the more the larger.
- Freed pages pass through the per-CPU lists. Few stay there; many make the lists overflow, and some share of what they
  can hold is left on them, which differs by kernel. What is left was freed last, and lies close together: it spoils
  few blocks.

With slabinfo, which pages of slab and cache go is known (slab.py), and the guess is made anew (_ZoneByCaches): it then
rests on which lists are drained for larger blocks, and on how many slabs stay scattered.

How many slabs stay follows from the kernel's rules, but where they lie is chance. So the guess has a range too: each of
these apart from what was seen mostly, and chance. docs/doctor-guests.md says how it did on guests that it wasn't
fitted to.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pagehint.diagnosis.actions import After, Compaction, dropped, now, pageblocks
from pagehint.diagnosis.bounds import Bounds
from pagehint.diagnosis.free_memory import ACTIONS, ByOrder, Setting, closed_by
from pagehint.diagnosis.page_map import Holder, Mask, PageMap, Range
from pagehint.diagnosis.slab import HANGS_ON, HANGS_ON_MOST, Slab, SlabByOrder
from pagehint.diagnosis.zones import LISTS_SHARE, ZoneState
from pagehint.kernel.profiles import Pcp

__all__ = ["HELD", "predict"]

_SPOILED = 2.5
_SPOILERS, _SPOILERS_OF_LISTS, _MOST_SPOILERS_OF_LISTS = 11, 1 / 40, 3
_EARLY_SPOILERS = 22
_FURTHER = 1.3
_LISTS_GROW = 0.5
HELD = 2
"""Pages of a zone that somebody holds at that moment."""
Orders = NDArray[np.int64]
Pages = NDArray[np.float64]


@dataclass(frozen=True)
class _Left:
    """What drop_caches leaves.

    `hangs_on` is the share that goes with slab, `spoilers` how many times as many pages stay scattered as were seen
    mostly, `lists` the share that overflown lists keep of what they can hold; None: as was seen mostly.
    """

    hangs_on: float = HANGS_ON
    spoilers: float = 1.0
    lists: float | None = None


class _Compacting(NamedTuple):
    """Pages by order that come at the least, and that are lost at the most; of Compacted the rest."""

    least: Orders
    loss: Orders
    moved: int
    retaken: int


_SEEN = _Left()
# Each apart from what was seen mostly, as far as it may be.
_APART = (
    _Left(hangs_on=0.0),
    _Left(hangs_on=HANGS_ON_MOST),
    _Left(spoilers=2.0),
    _Left(spoilers=0.5),
    _Left(lists=1.0),
    _Left(lists=0.0),
)
_DEVIATIONS = 2


def predict(pages: PageMap, zones: list[ZoneState], setting: Setting, slab: Slab) -> dict[str, ByOrder]:
    """Bytes by the keys of ACTIONS and by order; `zones` are those of the map, in its order. O(pages)."""
    sums = {name: [np.zeros(setting.max_order + 1, np.int64) for _ in range(2)] for name in ACTIONS}
    guess, guesses = np.zeros(setting.max_order + 1), np.zeros((len(_APART), setting.max_order + 1))
    variance, moves, held = np.zeros((3, setting.max_order + 1))
    goes = _slab_that_goes(pages, setting.pageblock_order, slab)
    marked, in_map = max(int(np.count_nonzero(goes)), 1), int(np.count_nonzero(pages.holders == Holder.SLAB))

    def share(left: _Left) -> float:
        return min(slab.with_what_hangs_on(left.hangs_on), in_map) / marked

    for zone, place in zip(zones, pages.zones, strict=True):
        known = (pages, zone, place, setting, goes[place.begin : place.end], slab.most)
        each = _Zone(*known) if slab.by_order is None else _ZoneByCaches(*known, slab.by_order)
        guess += each.likely(share(_SEEN), _SEEN)
        for other, left in zip(guesses, _APART, strict=True):
            other += each.likely(share(left), left)
        variance += each.variance(share(_SEEN))
        moves += each.moves
        held += each.held
        for name, bounds in each.bounds().items():
            for total, bound in zip(sums[name], bounds, strict=True):
                total += bound
    size = setting.page_size
    brings = {
        name: {order: Bounds(int(least[order]) * size, int(most[order]) * size) for order in setting.orders}
        for name, (least, most) in sums.items()
    }
    if not slab.is_known:
        return brings
    # What is independent adds up as squares; how much lists keep comes on top of it.
    apart = np.concatenate([guesses - guess, [-held, moves, -moves]])
    by_lists = np.array([left.lists is not None for left in _APART] + 3 * [False])
    low, high = (
        guess + side * (np.abs(parts[by_lists]).sum(axis=0) + np.sqrt((parts[~by_lists] ** 2).sum(axis=0) + chance))
        for side, parts, chance in (
            (-1, np.minimum(apart, 0), _DEVIATIONS**2 * variance),
            (1, np.maximum(apart, 0), _DEVIATIONS**2 * variance),
        )
    )
    brings["drop_caches"] = {
        order: _with_guess(each, *(int(end[order]) * size for end in (guess, low, high)))
        for order, each in brings["drop_caches"].items()
    }
    return brings


# A guess that marks a page of slab too many may open a zone, which what is sure does not.
def _with_guess(sure: Bounds, guess: int, low: int, high: int) -> Bounds:
    least, most = sure.least, sure.most or 0
    value, *likely = (min(max(end, least), most) for end in (guess, low, high))
    return Bounds(least, most, value, (likely[0], likely[1]))


class _Zone:
    def __init__(
        self, pages: PageMap, zone: ZoneState, place: Range, setting: Setting, goes: Mask, slab_most: int
    ) -> None:
        self._pages, self._zone, self._place, self._setting = pages, zone, place, setting
        holders = pages.holders[place.begin : place.end]
        self._kernel: Mask = holders == Holder.KERNEL
        self._before = now(pages, place)
        self._cached = dropped(pages, place, written=True)
        self._goes = goes
        self._slab: Mask = holders == Holder.SLAB
        self._slab_most = min(slab_most, int(np.count_nonzero(self._slab)))
        self._compaction = Compaction(pages, place, setting.pageblock_order)
        self._free, self._given_back = _free(self._before), int(np.count_nonzero(self._before.told))
        self._start = self._at(self._before)
        self._cache = self._at(self._cached) - self._start
        self._slab_too = self._with(goes)
        self._with_slab = self._at(self._slab_too)
        self._per_cpu = zone.per_cpu or 0
        # What lists hold, and have room for, at the most.
        self._lists_most, self._room = self._per_cpu, zone.lists_room
        if zone.per_cpu is None:
            self._room = len(holders) // LISTS_SHARE
            self._lists_most = min(int(np.count_nonzero(self._kernel)), self._room)

    # Pages by order in free blocks that the host may still back, whether reporting comes there or not; and that it
    # tells of.
    def _whole(self, after: After) -> Orders:
        return after.resident(self._place.begin, self._setting.max_order)

    def _at(self, after: After) -> Orders:
        return np.where(self._closed(_free(after)), 0, self._whole(after))

    def _closed(self, free: int) -> Mask:
        zone, setting = self._zone, self._setting
        return np.array([closed_by(zone, order, setting, free) is not None for order in setting.orders])

    def _with(self, *masks: Mask) -> After:
        free = self._cached.free.copy()
        for mask in masks:
            free |= mask
        return After(free, self._cached.told)

    def likely(self, share: float, left: _Left) -> Pages:
        """Pages that drop_caches brings by order; `share` of the pages in the slab's mask go."""
        slab = self._of_slab * share * self._unspoiled(self._slab_pages, left)
        freed = self._freed(share)
        drained = self._drained(freed, left)
        if drained <= 0:
            least: Pages = np.maximum(self._cache + slab + drained * self._unspoiled(freed, left), 0)
            return least
        more = self._of_lists
        # Which pages they are is a guess: where they would complete larger blocks, they rather don't; but they may.
        more = np.maximum(more, more[0]) if left.lists == 0 else np.minimum.accumulate(more)
        likely: Pages = self._cache + slab + more * self._share_of_lists(drained) * self._unspoiled(freed, left)
        return likely

    def variance(self, share: float) -> Pages:
        """Of what it brings, in pages squared: each block of slab and of lists has its chance to be whole."""
        size = 2.0 ** np.arange(self._setting.max_order + 1)
        freed = self._freed(share)
        whole = self._unspoiled(self._slab_pages, _SEEN)
        variance: Pages = np.maximum(self._of_slab * share, 0) * size * whole * (1 - whole)
        if (drained := self._drained(freed, _SEEN)) > 0:
            whole = self._share_of_lists(drained) * self._unspoiled(freed, _SEEN)
            variance += np.maximum(self._of_lists, 0) * size * whole * (1 - whole)
        return variance

    @property
    def _of_slab(self) -> Orders:
        return self._with_slab - self._start - self._cache

    @cached_property
    def _of_lists(self) -> Orders:
        return self._at(self._with(self._goes, self._lists)) - self._with_slab

    def _share_of_lists(self, drained: float) -> float:
        return min(drained / max(int(np.count_nonzero(self._lists)), 1), 1.0)

    @property
    def held(self) -> Orders:
        """Pages by order that two pages keep from coming, each in a block, which somebody holds at that moment."""
        held: Orders = np.minimum(HELD << np.arange(self._setting.max_order + 1), self._freed(1))
        return held

    @property
    def moves(self) -> int:
        """Pages that the guest itself takes or gives meanwhile: a pageblock, if the zone has as many."""
        return min(1 << self._setting.pageblock_order, self._free)

    @property
    def _slab_pages(self) -> int:
        return int(np.count_nonzero(self._goes))

    def _freed(self, share: float) -> int:
        cached = _free(self._cached) - self._free
        return cached + int(share * self._slab_pages)

    # The chance of a block, by order, to be free of what stays of `freed` pages, in slab and on lists; what stays lies
    # close together, so that beyond a pageblock it is hardly less.
    def _unspoiled(self, freed: int, left: _Left) -> Pages:
        spoilers = self._spoilers(left)
        sizes = np.minimum(2.0 ** np.arange(self._setting.max_order + 1), _FURTHER * 2**self._setting.pageblock_order)
        chance: Pages = np.exp(-spoilers * sizes / max(freed, spoilers))
        return chance

    def _spoilers(self, left: _Left) -> float:
        zone = self._zone
        added = max(self._overflown(left) - self._per_cpu, 0) * _SPOILERS_OF_LISTS
        spoilers = _SPOILERS * (1 + zone.cpus) + min(added, _MOST_SPOILERS_OF_LISTS * zone.cpus)
        if zone.is_early:
            spoilers = max(spoilers, _EARLY_SPOILERS * (1 + zone.cpus))
        return spoilers * left.spoilers

    # Pages by which the zone's lists are shorter after `freed` pages passed through them; less than 0: longer.
    def _drained(self, freed: int, left: _Left) -> float:
        room = self._zone.lists_room
        passed = freed / (self._per_cpu + room) if self._per_cpu + room else 1.0
        if passed >= 1:
            return self._per_cpu - self._overflown(left)
        if left.lists is not None:
            return -min(freed, room) if left.lists else min(freed, self._per_cpu)
        return self._per_cpu - (1 - passed) * (self._per_cpu + min(freed, room))

    def _overflown(self, left: _Left) -> float:
        full = self._per_cpu + self._zone.lists_room
        if left.lists is not None:
            return left.lists * full
        return min(self._keeps * full, self._per_cpu + _LISTS_GROW * full)

    @property
    def _keeps(self) -> float:
        return self._zone.lists_keep

    # As many of the pages without a holder as lie on the lists: those in pageblocks with fewest pages that stay.
    @cached_property
    def _lists(self) -> Mask:
        order, place = self._setting.pageblock_order, self._place
        kernel = pageblocks(self._kernel, place.begin, order).sum(axis=1)
        staying = pageblocks(_STAYING[self._pages.holders[place.begin : place.end]] & ~self._goes, place.begin, order)
        ranked = np.argsort(kernel + staying.sum(axis=1), kind="stable")
        ranked = ranked[kernel[ranked] > 0]
        return _chosen(self._kernel, ranked, kernel, self._per_cpu, place.begin, order)

    def bounds(self) -> dict[str, tuple[Orders, Orders]]:
        """Pages by the keys of ACTIONS: at least and at the most, by order."""
        start, free, given_back = self._start, self._free, self._given_back
        clean = dropped(self._pages, self._place, written=False)
        gains = self._less_lists(self._at(clean) - start)
        # In all no more comes than goes, and what lies free but untold, or takes the place of what was given back.
        more = self._slab_most + self._lists_most
        goes = _free(self._cached) - given_back + more - start
        drop = np.minimum(self._most(self._cached, _free(self._cached), more), goes)
        alone = self._compacting(self._before, start)
        compact = self._most(self._compaction.vacated(self._before, self._lists_most), free, self._lists_most)
        compact = np.minimum(np.maximum(compact, 0), free - given_back + alone.retaken + self._lists_most - start)
        then = self._compacting(self._slab_too, self._with_slab)
        both = self._most(self._compaction.vacated(self._slab_too, more), _free(self._cached), more)
        both = np.minimum(np.maximum(both, drop), np.maximum(goes + then.retaken, 0))
        comes = _free(clean) - free
        found = {
            "reporting": (start, start),
            "drop_caches": (self._least(gains, comes, comes), drop),
            "compact_memory": (self._least(np.minimum(alone.least, -alone.loss), 0, alone.moved), compact),
            "both": (self._least(np.minimum(then.least, gains - then.loss), comes, comes + then.moved), both),
        }
        if self._zone.low is not None:
            return found
        # It may be under its watermark, and stay there or not.
        unsure = {name: (np.minimum(least, 0), most + start) for name, (least, most) in found.items()}
        return unsure | {"reporting": (np.zeros_like(start), start)}

    # Against the start, where `pages` of slab or on the lists go too, each of which completes one block at the best; of
    # orders that are open with so many more than are `free`.
    def _most(self, known: After, free: int, pages: int) -> Orders:
        all_free = known.free | self._kernel
        if pages > self._lists_most:
            all_free |= self._slab
        whole = self._whole(known)
        more = np.minimum(self._whole(After(all_free, known.told)) - whole, pages << np.arange(len(whole)))
        most: Orders = np.where(self._closed(free + pages), 0, whole + more) - self._start
        return most

    # All of it takes seconds, in which the guest and who drops or compacts take pages: of what would be told, and of
    # what was given back, which the host then has again. A zone that comes under its watermark so tells nothing more.
    def _least(self, gains: Orders, freed: int, on_lists: int) -> Orders:
        pageblock = 1 << self._setting.pageblock_order
        kept = pageblock + min(on_lists, self._room) + min(freed, HELD)
        taken = np.minimum(self._start + self._given_back, pageblock)
        least: Orders = np.where(self._closed(self._free + freed - kept), -self._start, gains) - taken
        return least

    # `loss` is what filling gaps breaks up at the most: free pageblocks are used up one after the other, so that no
    # more is broken up than pages move, and what is left of the last pageblock; what they leave may stay on per-CPU
    # lists.
    def _compacting(self, first: After, standing: Orders) -> _Compacting:
        order = self._setting.pageblock_order
        few, every = (self._compaction.run(first, all_targets) for all_targets in (False, True))
        loss = np.minimum(every.moved + (1 << order), np.maximum(standing - standing[order], 0))
        loss[0] = min(every.moved, self._room)
        least = np.minimum(self._at(few.after), self._at(every.after)) - self._start
        return _Compacting(least, loss, every.moved, every.retaken)

    # Freed pages go to per-CPU lists first, where some stay; at high orders each keeps more than itself from being
    # whole, those too that take the place of what was there. A few pages of cache stay too, each of them in a block,
    # where somebody holds them at that moment.
    def _less_lists(self, gains: Orders) -> Orders:
        room = min(self._room, int(gains[0]))
        full = min(self._lists_most + self._room, int(gains[0]))
        high = max(int(_SPOILED * room), full)
        kept = np.where(np.arange(len(gains)) < self._setting.pageblock_order - 1, room, high)
        held = HELD << np.arange(len(gains))
        return np.where(gains > 0, np.maximum(gains - kept - held, 0), gains)


# Fitted to guests whose slabinfo is known. Lists are drained for slabs of several pages, of which many are freed; from
# 6.16 on hardly ever: single pages of slab are freed last, and most of them stay there.
_KEEP: dict[Pcp, float] = {
    "in turn": 0.22,
    "one after the other": 0.05,
    "one after the other, often": 0.05,
    "tuned": 0.05,
    "tuned, seldom": 0.85,
}
_OF_SINGLE = 0.75
# Pages that stay scattered, for each CPU and one more; and of slabs that a journal holds, which lie side by side.
_SCATTERED: dict[Pcp, int] = {
    "in turn": 30,
    "one after the other": 14,
    "one after the other, often": 14,
    "tuned": 6,
    "tuned, seldom": 6,
}
_OF_JOURNAL = 0.4


class _ZoneByCaches(_Zone):
    """With what slabinfo tells of the slab."""

    def __init__(
        self,
        pages: PageMap,
        zone: ZoneState,
        place: Range,
        setting: Setting,
        goes: Mask,
        slab_most: int,
        slab: SlabByOrder,
    ) -> None:
        super().__init__(pages, zone, place, setting, goes, slab_most)
        self._scattered = slab.scattered
        self._cache_gone: Pages = self._cache.astype(np.float64)
        if slab.journal:
            buffers = pages.buffers[place.begin : place.end]
            without = self._at(After(self._cached.free & ~buffers, self._cached.told)) - self._start
            held = min(slab.journal / max(int(np.count_nonzero(pages.buffers)), 1), 1.0)
            self._cache_gone -= held * (self._cache - without)

    def likely(self, share: float, left: _Left) -> Pages:
        freed = self._freed(share)
        drained = self._drained(freed, left)
        slab = self._of_slab.astype(np.float64)
        if self._zone.lists == "tuned, seldom" and drained < self._per_cpu:
            above_0 = self._of_slab_above_0
            single = (slab[0] - above_0[0]) * share
            stays = _OF_SINGLE * min((self._per_cpu - drained) / single, 1.0) if single > 0 else 0.0
            slab -= stays * (slab - above_0)
            drained += stays * single
        whole = self._unspoiled(self._slab_pages, left)
        if drained > 0:
            # Beside cache they complete blocks, beside slab if that leaves nothing there.
            more = self._beside_cache + (self._of_lists - self._beside_cache) * whole
            likely: Pages = self._cache_gone + slab * share * whole + more * self._share_of_lists(drained)
            return likely
        # What stays on the lists beyond that is of the cache, and scattered: where they are full, slab's may be too.
        spoiled = np.where(np.arange(len(whole)) < self._setting.pageblock_order - 1, 1.0, _SPOILED)
        if left.lists == 1:
            worst: Pages = np.maximum(self._cache_gone + slab * share * whole + drained * spoiled, 0)
            return worst
        least: Pages = np.maximum(self._cache_gone + drained * spoiled, 0) + slab * share * whole
        return least

    @cached_property
    def _of_slab_above_0(self) -> Orders:
        above_0 = self._pages.slab_orders[self._place.begin : self._place.end] > 0
        return self._at(self._with(self._goes & above_0)) - self._start - self._cache

    @cached_property
    def _beside_cache(self) -> Orders:
        return self._at(self._with(self._lists)) - self._start - self._cache

    def _spoilers(self, left: _Left) -> float:
        each = _SCATTERED[self._zone.lists] * (1 + self._zone.cpus)
        return (each + _OF_JOURNAL * self._scattered) * left.spoilers

    @property
    def _keeps(self) -> float:
        return _KEEP[self._zone.lists]


_STAYING = np.array([holder in (Holder.SLAB, Holder.PAGE_TABLES, Holder.PINNED, Holder.RESERVED) for holder in Holder])


def _free(after: After) -> int:
    return int(np.count_nonzero(after.free))


# Slab that can be freed lies in pageblocks of its own: those with fewest of the kernel's other pages, and of slab that
# stays, then those fullest of slab.
def _slab_that_goes(pages: PageMap, pageblock_order: int, slab: Slab) -> Mask:
    mask: Mask = pages.holders == Holder.SLAB
    others = (pages.holders == Holder.KERNEL) | (pages.holders == Holder.PAGE_TABLES)
    staying = pageblocks(others, 0, pageblock_order).sum(axis=1).astype(np.float64)
    of_slab = pageblocks(mask, 0, pageblock_order).sum(axis=1)
    kinds = [(mask, float(slab.with_what_hangs_on(HANGS_ON)), of_slab)]
    if slab.by_order is not None:
        kinds = []
        places = np.flatnonzero(mask)
        orders = pages.slab_orders[places]
        for order in np.flatnonzero(np.bincount(orders)).tolist():
            counts = np.bincount(places[orders == order] >> pageblock_order, minlength=len(of_slab))
            number = slab.by_order.going.get(order, 0.0)
            kinds.append((mask & (pages.slab_orders == order), number, counts))
            staying += (1 - min(number / int(counts.sum()), 1.0)) * counts
    ranked = np.lexsort((-of_slab, staying))
    goes: Mask = np.zeros(len(mask), np.bool_)
    for kind, number, counts in kinds:
        goes |= _chosen(kind, ranked[counts[ranked] > 0], counts, int(number), 0, pageblock_order)
    return goes


# The mask in so many of the ranked pageblocks that it holds `number` pages there, or just over.
def _chosen(mask: Mask, ranked: NDArray[np.int64], counts: Orders, number: int, begin: int, order: int) -> Mask:
    chosen = np.zeros(len(counts), np.bool_)
    if number > 0:
        chosen[ranked[: int(np.searchsorted(np.cumsum(counts[ranked]), number)) + 1]] = True
    lead = begin & ((1 << order) - 1)
    inside: Mask = np.repeat(chosen, 1 << order)[lead : lead + len(mask)]
    return mask & inside
