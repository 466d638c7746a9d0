"""The memory that many guests hold together: its distribution, exactly, and how often it goes above a host's.

A guest whose phase is random holds each of its values for that value's share of its time. What independent guests hold
is the convolution of these distributions: nothing is sampled, and a risk of 1e-9 costs no more than one of 1e-2.
Guests that share a phase (`together`) are one sum of their values at that phase; the result is the mean over phases.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pagehint.fleets.steps import Steps

__all__ = ["BINS", "Crowd", "Held", "held", "risk"]

BINS = 1 << 17
"""Of what all guests may hold."""
_PHASES = 128
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

    def values(self, together: float = 0.0, phase: float = 0.0) -> _Values:
        """What one of them holds (bytes), and for which shares of the time; `together`: as often at this phase as that.

        A phase is a share of the recording's length.
        """
        values, shares = self.steps.values, self.steps.weights
        if together:
            then = self.steps.at(np.array([int(self.steps.period * phase)]))
            values, shares = np.append(values, then), np.append((1 - together) * shares, together)
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
    rate: float | None

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
        """How long it is too much at a time, on average; None where that isn't known, or never happens."""
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
    def of(cls, cases: Sequence[Sequence[_Values]], counts: Sequence[int], bins: int) -> "_Grid":
        """From where chances are above 1e-16 to where they no longer are (Bernstein's inequality), in any of the cases.

        What all hold at the least is bin 0. One guest may be missing.
        """
        reach = max((float(np.ptp(values)) for values, _ in cases[0]), default=0.0)
        least, most = (
            sum(count * float(end(values)) for count, (values, _) in zip(counts, cases[0], strict=True))
            for end in (np.min, np.max)
        )
        low, high = most, least
        for case in cases:
            means = [float(values @ shares) for values, shares in case]
            spread = sum(
                count * float((values - mean) ** 2 @ shares)
                for count, mean, (values, shares) in zip(counts, means, case, strict=True)
            )
            mean = sum(count * each for count, each in zip(counts, means, strict=True))
            far = _SURE * reach / 3 + float(np.sqrt((_SURE * reach / 3) ** 2 + 2 * _SURE * spread))
            low, high = min(low, max(mean - far, least)), max(high, min(mean + far, most))
        size = max((high - low) / bins, 1.0)
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

    Transforms of up to 2^19 bins: one a kind of guests, one of the sum, and one a kind for the rate; with `together`,
    which has no rate, one a kind for each of 128 phases.
    """
    crowds = [crowd for crowd in crowds if crowd.count]
    grid, ones, chances = _superposed(crowds, together, BINS)
    rate = None
    if not together:
        rate = sum(_upcrossings(crowds, ones, which, memory, grid) for which in range(len(crowds)))
    return Held(grid.low, grid.size, chances, memory, rate)


def risk(crowds: Sequence[Crowd], memory: int, together: float = 0.0, bins: int = BINS) -> float:
    """``Held.p_over`` alone, which takes less time; with fewer `bins` even less, and is less exact."""
    grid, _, chances = _superposed([crowd for crowd in crowds if crowd.count], together, bins)
    return Held(grid.low, grid.size, chances, memory, None).p_over


# And the transforms of one guest of each kind, where there is one case of them.
def _superposed(
    crowds: Sequence[Crowd], together: float, bins: int
) -> tuple[_Grid, list[NDArray[np.complex128]], NDArray[np.float64]]:
    counts = [crowd.count for crowd in crowds]
    phases = [(2 * phase + 1) / (2 * _PHASES) for phase in range(_PHASES if together else 1)]
    cases = [[crowd.values(together, phase) for crowd in crowds] for phase in phases]
    grid = _Grid.of(cases, counts, bins)
    product = np.zeros(grid.length // 2 + 1, np.complex128)
    for case in cases:
        ones = [grid.transform(*each) for each in case]
        product += grid.product(ones, counts) / len(cases)
    return grid, ones, grid.chances(product)


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
