"""The types of a guest's pageblocks: no file tells them one by one, but what they hold, and what of each is free."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pagehint.kernel.migratetype import Migratetype
from pagehint.mm.page import FREE, KIND, ORDER
from pagehint.mm.zone import Zone
from pagehint.proc.kpageflags import KPageFlag

__all__ = ["fit_pageblock_types"]

_KINDS = (Migratetype.UNMOVABLE, Migratetype.MOVABLE, Migratetype.RECLAIMABLE, Migratetype.HIGHATOMIC)
# By pagetypeinfo's names. CMA's pages go to movable allocations.
_KIND_BY_NAME = dict(zip(("Unmovable", "Movable", "Reclaimable", "HighAtomic"), _KINDS, strict=True))
_KIND_BY_NAME["CMA"] = Migratetype.MOVABLE
_HARDLY_MOVABLE = 0.9
_FIXED = 0.1
_CLOSER = 0.5
_UNLIKE = 10.0  # as much as five blocks of another type than is counted
_HARDLY_WORSE = 0.5  # less than one block of an order whose blocks did not change
_MOST_ROUNDS = 8
_MOST_LOOKS = 1 << 13  # at single pageblocks, which take 50 us each
_AT_ONCE = 1 << 20  # pages
_NOT_OTHERS = KPageFlag.LRU | KPageFlag.BUDDY | KPageFlag.NOPAGE | KPageFlag.OFFLINE
_LEAST = 1e-9

_Types = NDArray[np.uint8]
_Counts = NDArray[np.int64]
_Floats = NDArray[np.float64]


def fit_pageblock_types(
    zone: Zone,
    flags: NDArray[np.unsignedinteger[Any]],
    counts: Mapping[str, Sequence[int]],
    known: NDArray[np.bool_] | None = None,
    at_least: Collection[tuple[str, int]] = (),
    unlike: NDArray[np.bool_] | None = None,
) -> _Types:
    """Each pageblock's type: uint8, as many as the zone has.

    `zone` has the free blocks of the moment at which `flags` (kpageflags of its pages) and `counts` (free blocks of
    each order by type, as pagetypeinfo has them) were read; `at_least`: those (type, order) that may be more. `known`
    (bool a pageblock; default: none): those whose type in the zone is right. `unlike` (bool (types, pageblocks), types
    up to HIGHATOMIC; default: none): which types a pageblock can hardly have. The others, where something is free, stay
    if no types bring the sums much nearer to the counts. Else they are guessed from what is in use there, or given to
    the types whose counts have room for them, and then changed one by one as long as the sums come closer; the guess
    that comes closest is taken. An order whose blocks changed between the two files counts for less; where counts
    hardly speak against it, a pageblock of kernel pages is what these speak for. O(pages).
    """
    types = zone.pageblock_types.copy()
    if known is None:
        known = np.zeros(len(types), np.bool_)
    left = np.zeros((len(_KINDS), zone.max_order), np.int64)
    weights = np.zeros(left.shape)
    for name, kind in _KIND_BY_NAME.items():
        if len(row := counts.get(name, ())) == zone.max_order:
            left[kind] += row
            weights[kind] = 1
    for name, order in at_least:
        if name in _KIND_BY_NAME:
            weights[_KIND_BY_NAME[name], order] = 0
    state = zone.page_state
    heads = np.flatnonzero(state & KIND == FREE)
    orders = state[heads] & ORDER
    having, which = np.unique(_places(zone, heads), return_inverse=True)
    blocks = np.zeros((len(having), zone.max_order), np.int64)
    np.add.at(blocks, (which, orders), 1)
    weights /= 1 + np.abs(left.sum(axis=0) - blocks.sum(axis=0))
    for kind in _KINDS:
        left[kind] -= blocks[known[having] & (types[having] == kind)].sum(axis=0)
    open_ = np.flatnonzero(~known[having])
    shares, guessed = _by_content(zone, flags)
    # The least movable first.
    open_ = open_[np.argsort(shares[having[open_]], kind="stable")]
    places = having[open_]
    costs = np.zeros((len(places), len(_KINDS)))
    if unlike is not None:
        costs[unlike[:, places].T] = _UNLIKE
    fit = _Fit(blocks[open_], left, weights, costs)
    types[places] = _fitted(types[places], shares[places], guessed[places], fit)
    large = orders > zone.pageblock_order
    for place, order in zip(_places(zone, heads[large]), orders[large], strict=True):
        types[place : place + (1 << int(order) - zone.pageblock_order)] = types[place]
    return types


def _places(zone: Zone, pages: NDArray[np.int64]) -> NDArray[np.int64]:
    return (pages + zone.start_pfn >> zone.pageblock_order) - (zone.start_pfn >> zone.pageblock_order)


# What share of each pageblock's used pages is on the LRU lists, 1 where none is used; and the type this speaks for.
def _by_content(zone: Zone, flags: NDArray[np.unsignedinteger[Any]]) -> tuple[_Floats, _Types]:
    size = 1 << zone.pageblock_order
    before = zone.start_pfn % size
    counts = np.zeros((3, len(zone.pageblock_types)))
    at_once = max(_AT_ONCE >> zone.pageblock_order, 1)
    for begin in range(0, counts.shape[1], at_once):
        here = slice(begin, begin + at_once)
        words = flags[max(begin * size - before, 0) : (begin + at_once) * size - before]
        ends = before * (begin == 0), -(len(words) + before * (begin == 0)) % size
        words = np.pad(words, ends, constant_values=int(KPageFlag.NOPAGE)).reshape(-1, size)
        lru, slab, tail = (
            words & flags.dtype.type(bit) != 0 for bit in (KPageFlag.LRU, KPageFlag.SLAB, KPageFlag.COMPOUND_TAIL)
        )
        # Of large pages older kernels flag the first alone.
        others = (words & flags.dtype.type(_NOT_OTHERS) == 0) & (slab | ~tail)
        counts[:, here] = [np.count_nonzero(pages, axis=1) for pages in (lru, others, slab)]
    movable, fixed, of_slab = counts
    shares = np.where(movable + fixed > 0, movable / np.maximum(movable + fixed, 1), 1.0)
    rest = np.where(2 * of_slab >= movable + fixed, np.uint8(Migratetype.RECLAIMABLE), np.uint8(Migratetype.UNMOVABLE))
    return shares, np.where(shares >= 0.5, np.uint8(Migratetype.MOVABLE), rest)


@dataclass(frozen=True)
class _Fit:
    """`blocks` (pageblocks, orders): what they have free; `left` (types, orders): what is counted and has no pageblock
    yet; `weights`: how much of each of these counts. `costs` (pageblocks, types): what speaks against a type."""

    blocks: _Counts
    left: _Counts
    weights: _Floats
    costs: _Floats

    def without(self, types: _Types) -> _Counts:
        """What is left without what pageblocks of these types have."""
        taken: _Counts = np.array([self.blocks[types == kind].sum(axis=0) for kind in _KINDS])
        return self.left - taken

    def error(self, types: _Types) -> float:
        """How far these types are from the counts."""
        against = self.costs[np.arange(len(types)), types].sum()
        return float((self.weights * np.abs(self.without(types))).sum() + against)

    def least_error(self) -> float:
        """What no choice of types makes up for: an order's blocks that are counted too many, or changed between the two
        files."""
        over, room = np.maximum(-self.left, 0), np.maximum(self.left, 0).sum(axis=0)
        changed = np.abs(room - self.blocks.sum(axis=0))
        return float((self.weights * over).sum() + (self.weights.min(axis=0) * changed).sum())

    def with_room(self, shares: _Floats) -> _Types:
        """The types whose counts have room for them: MOVABLE, where only its have."""
        types = np.full(len(self.blocks), Migratetype.MOVABLE, np.uint8)
        others = [kind for kind in _KINDS if kind != Migratetype.MOVABLE]
        room = self.left.copy()
        fit = np.flatnonzero((shares < _HARDLY_MOVABLE) & (self.blocks <= room[others].max(axis=0)).all(axis=1))
        for place in fit[:_MOST_LOOKS]:
            for kind in others:
                if (room[kind] >= self.blocks[place]).all():
                    room[kind] -= self.blocks[place]
                    types[place] = kind
                    break
        return types

    def gains(self, types: _Types, left: _Counts, weights: _Floats, places: NDArray[np.intp]) -> _Floats:
        """By how much it gets better if these pageblocks have each of the types instead of their own."""
        cost = (np.abs(left) * weights).sum(axis=1)
        own = types[places].astype(np.intp)
        gains = np.empty((len(places), len(_KINDS)))
        for kind in range(len(_KINDS)):
            gains[:, kind] = cost[kind] - np.abs(left[kind] - self.blocks[places]) @ weights[kind]
        gains += (cost[own] - (np.abs(left[own] + self.blocks[places]) * weights[own]).sum(axis=1))[:, None]
        gains += self.costs[places, own][:, None] - self.costs[places]
        gains[np.arange(len(places)), own] = 0
        return gains

    def change(self, types: _Types, left: _Counts, place: np.intp, kind: np.intp) -> None:
        """Give a pageblock another type."""
        left[types[place]] += self.blocks[place]
        types[place] = kind
        left[kind] -= self.blocks[place]


def _fitted(types: _Types, shares: _Floats, guessed: _Types, fit: _Fit) -> _Types:
    best, sure = types, fit.least_error()
    least = sure + _CLOSER * (fit.error(types) - sure)
    certain = np.argsort(np.abs(shares - 0.5), kind="stable")
    orders = np.arange(fit.blocks.shape[1])
    for begun, turn in (
        (types, certain),
        (fit.with_room(shares), np.arange(len(types))),
        (guessed, certain),
    ):
        # Small blocks are handed out first, and decide more; but that is not always the way to get there.
        for step in (1.0, 0.5):
            tried = begun.copy()
            _descend(tried, fit, fit.weights * step**orders, turn)
            if (error := fit.error(tried)) < least:
                best, least = tried, error
    settled = best.copy()
    _settle_by_content(settled, guessed, fit, np.flatnonzero(shares < _FIXED))
    return settled


def _descend(types: _Types, fit: _Fit, weights: _Floats, turn: NDArray[np.intp]) -> None:
    left = fit.without(types)
    left_looks = _MOST_LOOKS
    for _ in range(_MOST_ROUNDS):
        changed = False
        gains = fit.gains(types, left, weights, turn)
        for place in turn[gains.max(axis=1, initial=0) > _LEAST][:left_looks]:
            left_looks -= 1
            gains = fit.gains(types, left, weights, np.array([place]))[0]
            if gains.max() > _LEAST:
                fit.change(types, left, place, gains.argmax())
                changed = True
        if not changed or not left_looks:
            break


# What lies in a pageblock decides where the counts hardly do: those of orders whose blocks changed meanwhile.
def _settle_by_content(types: _Types, guessed: _Types, fit: _Fit, places: NDArray[np.intp]) -> None:
    left = fit.without(types)
    for place in places[types[places] != guessed[places]][:_MOST_LOOKS]:
        if fit.gains(types, left, fit.weights, np.array([place]))[0, guessed[place]] > -_HARDLY_WORSE:
            fit.change(types, left, place, guessed[place])
