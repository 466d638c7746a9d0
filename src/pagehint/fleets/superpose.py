"""The memory that many guests hold together: its distribution, exactly, and how often it goes above a host's.

A guest whose phase is random holds each of its values for that value's share of its time. What independent guests hold
is the convolution of these distributions: nothing is sampled, and a risk of 1e-9 costs no more than one of 1e-2.
Guests that share a phase (`together`) are as one guest that holds the sum of theirs.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from pagehint.fleets.steps import Steps

__all__ = ["Crowd", "Held", "apportioned", "held", "risk"]

_BINS = 1 << 17  # of what all guests may hold
_MOST = 1 << 62  # bytes; no host has as much
_NOTHING = 1e-15  # the transform's own error
_SURE = 37.0  # exp(-37) is less than that

_Values = tuple[NDArray[np.float64], NDArray[np.float64]]  # and their shares of the time


@dataclass(frozen=True)
class Crowd:
    """`count` guests alike; `overhead` bytes of the host's beside each one's memory; a share of them is `parked`."""

    steps: Steps
    count: int
    overhead: int = 0
    parked: float = 0.0

    @property
    def mean(self) -> float:
        """Bytes of one of them, on average."""
        values, shares = self.values()
        return float(values @ shares)

    def values(self) -> _Values:
        """What one of them holds (bytes), and for which shares of the time."""
        values, shares = self.steps.values, self.steps.weights
        if self.parked:
            kept = self.steps.parked
            values = np.append(values, kept)
            shares = np.append((1 - self.parked) * shares, np.full(len(kept), self.parked / len(kept)))
        return values.astype(np.float64) + self.overhead, shares


@dataclass(frozen=True, eq=False)
class Held:
    """How likely `low` + `bin` * k bytes are: `chances[k]`; `rate`: how often a second it goes above the `memory`."""

    low: float
    bin: float
    chances: NDArray[np.float64]
    memory: int
    rate: float

    @property
    def p_over(self) -> float:
        """The share of time in which more is held than the host has."""
        return float(self.chances[self._first :].sum().clip(0, 1))

    @property
    def _first(self) -> int:
        return max(int(np.floor((self.memory - self.low) / self.bin)) + 1, 0)

    @property
    def depth(self) -> float:
        """Bytes too many, on average while there are too many; 0 if there never are."""
        above = self.chances[self._first :]
        whole = float(above.sum())
        excess = self.low + np.arange(self._first, len(self.chances)) * self.bin - self.memory
        return float(above @ excess) / whole if whole > 0 else 0.0

    @property
    def seconds(self) -> float | None:
        """How long it is too much at a time, on average; None where that never happens, or never ends."""
        return self.p_over / self.rate if self.rate else None

    def below(self, size: float) -> float:
        """The share of time in which at most so many bytes are held."""
        return float(self.chances[: max(int((size - self.low) / self.bin) + 1, 0)].sum())

    def quantile(self, share: float) -> float:
        """Bytes that are not exceeded for this share of the time."""
        return self.low + float(np.searchsorted(np.cumsum(self.chances), share * (1 - 1e-12)) * self.bin)

    @property
    def most(self) -> float:
        """Bytes: more is never held."""
        return self.low + len(self.chances) * self.bin

    @property
    def mean(self) -> float:
        """Bytes, on average."""
        return self.low + float(self.chances @ np.arange(len(self.chances))) * self.bin


@dataclass(frozen=True)
class _Grid:
    """Bins of `size` bytes, a transform's `length` of them; `used` count, from the `first` on, which is at `low`."""

    low: float
    size: float
    first: int
    used: int
    length: int

    @classmethod
    def of(cls, kinds: Sequence[_Values], counts: Sequence[int]) -> "_Grid":
        """From where chances are above 1e-16 to where they no longer are (Bernstein's inequality).

        What all hold at the least is bin 0. One guest may be missing.
        """
        reach = max((float(np.ptp(values)) for values, _ in kinds), default=0.0)
        least, most = (
            sum(count * float(end(values)) for count, (values, _) in zip(counts, kinds, strict=True))
            for end in (np.min, np.max)
        )
        means = [float(values @ shares) for values, shares in kinds]
        spread = sum(
            count * float((values - mean) ** 2 @ shares)
            for count, mean, (values, shares) in zip(counts, means, kinds, strict=True)
        )
        mean = sum(count * each for count, each in zip(counts, means, strict=True))
        far = _SURE * reach / 3 + float(np.sqrt((_SURE * reach / 3) ** 2 + 2 * _SURE * spread))
        low, high = max(mean - far, least), min(mean + far, most)
        size = max((high - low) / _BINS, 1.0)
        # A value between two bins is divided between them: half a bin's deviation a guest.
        margin = 6 * int(sum(counts) ** 0.5) + 2
        first = max(int((low - least - reach) / size) - margin, 0)
        used = int((high - least) / size) + margin - first
        return cls(least + first * size, size, first, used, 1 << used.bit_length())

    def transform(self, values: NDArray[np.float64], shares: NDArray[np.float64]) -> NDArray[np.complex128]:
        """Of one guest, of what it holds above its least."""
        place = (values - values.min()) / self.size
        below = np.floor(place).astype(np.int64)
        upper = shares * (place - below)
        chances = np.bincount(below, shares - upper, self.length) + np.bincount(below + 1, upper, self.length)
        found: NDArray[np.complex128] = np.fft.rfft(chances)
        return found

    def product(self, ones: Sequence[NDArray[np.complex128]], counts: Sequence[int]) -> NDArray[np.complex128]:
        """The transform of the sum of so many guests of each kind."""
        product = np.ones(self.length // 2 + 1, np.complex128)
        for one, count in zip(ones, counts, strict=True):
            # By squaring: NumPy's power takes a logarithm of each.
            left, power = count, one
            while left:
                if left & 1:
                    product *= power
                left >>= 1
                if left:
                    power = power * power
        return product

    def chances(self, product: NDArray[np.complex128]) -> NDArray[np.float64]:
        """Of a sum, by its transform: the chances from the first bin that counts on."""
        # Bins go round.
        chances = np.roll(np.fft.irfft(product, self.length), -(self.first % self.length))[: self.used]
        chances[chances < _NOTHING] = 0.0
        found: NDArray[np.float64] = chances / (chances.sum() or 1.0)
        return found


def held(crowds: Sequence[Crowd], memory: int, together: float = 0.0) -> Held:
    """What these guests hold of a host's `memory` (bytes). `together`: the share of them that has one phase.

    Transforms of up to 2^19 bins: one a kind of guests, one of the sum, and one a kind for the rate.
    """
    crowds = _apart(crowds, together)
    grid, ones, chances = _superposed(crowds)
    rate = sum(_upcrossings(crowds, ones, which, memory, grid) for which in range(len(crowds)))
    return Held(grid.low, grid.size, chances, memory, rate)


def risk(crowds: Sequence[Crowd], memory: int, together: float = 0.0) -> float:
    """``Held.p_over`` alone, which takes less time."""
    grid, _, chances = _superposed(_apart(crowds, together))
    return Held(grid.low, grid.size, chances, memory, 0.0).p_over


def apportioned(exact: Sequence[float], whole: int) -> list[int]:
    """Each share as a whole number, so that all are `whole`: what is left over by the largest remainders."""
    counts = [int(each) for each in exact]
    for index in sorted(range(len(exact)), key=lambda k: counts[k] - exact[k])[: whole - sum(counts)]:
        counts[index] += 1
    return counts


# Those that have a phase of their own, and all others as one guest.
def _apart(crowds: Sequence[Crowd], together: float) -> list[Crowd]:
    exact = [crowd.count * (1 - crowd.parked) * together for crowd in crowds]
    alike = apportioned(exact, int(sum(exact) + 0.5))
    apart = []
    for crowd, gone in zip(crowds, alike, strict=True):
        if left := crowd.count - gone:
            apart.append(replace(crowd, count=left, parked=min(crowd.parked * crowd.count / left, 1.0)))
    if any(alike):
        apart.append(Crowd(_sum([(crowd, count) for crowd, count in zip(crowds, alike, strict=True) if count]), 1))
    return apart


# Where recordings differ in length, the shorter ones are stretched.
def _sum(kinds: Sequence[tuple[Crowd, int]]) -> Steps:
    period = max(crowd.steps.period for crowd, _ in kinds)
    changes = [
        ((crowd.steps.times - crowd.steps.times[0]) / crowd.steps.period * period).astype(np.int64)
        for crowd, _ in kinds
    ]
    times = np.unique(np.concatenate(changes))
    values = np.zeros(len(times) - 1)
    for (crowd, count), change in zip(kinds, changes, strict=True):
        then = np.searchsorted(change, times[:-1], "right") - 1
        values += count * (crowd.steps.values[then].astype(np.float64) + crowd.overhead)
    return Steps("together", times, np.minimum(values, _MOST).astype(np.int64), np.zeros(0, np.int64))


# And the transforms of one guest of each kind.
def _superposed(crowds: Sequence[Crowd]) -> tuple[_Grid, list[NDArray[np.complex128]], NDArray[np.float64]]:
    counts = [crowd.count for crowd in crowds]
    kinds = [crowd.values() for crowd in crowds]
    grid = _Grid.of(kinds, counts)
    ones = [grid.transform(*each) for each in kinds]
    return grid, ones, grid.chances(grid.product(ones, counts))


# How often one of these guests goes up while all others hold so much that it takes the sum above the host's memory.
def _upcrossings(
    crowds: Sequence[Crowd], ones: Sequence[NDArray[np.complex128]], which: int, memory: int, grid: _Grid
) -> float:
    crowd = crowds[which]
    counts = [each.count - (index == which) for index, each in enumerate(crowds)]
    others = np.concatenate([[0.0], np.cumsum(grid.chances(grid.product(ones, counts)))])
    low = grid.low - float(crowd.values()[0].min())
    after = crowd.steps.values.astype(np.float64) + crowd.overhead
    before = np.roll(after, 1)
    up = after > before
    below, above = (
        np.clip(np.floor((memory - value[up] - low) / grid.size).astype(np.int64) + 1, 0, grid.used)
        for value in (after, before)
    )
    crossings = (others[above] - others[below]).sum() / (crowd.steps.period / 1e9)
    return float(crossings) * crowd.count * (1 - crowd.parked)
