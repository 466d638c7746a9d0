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

__all__ = ["Crowd", "Held", "held"]

_FINEST = 1 << 16  # bins of a host's memory
_MOST_BINS = 1 << 20
_PHASES = 128
_NOTHING = 1e-15  # the transform's own error


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
        alive = (1 - self.parked) * self.steps.mean
        return alive + self.parked * float(self.steps.parked.mean()) + self.overhead

    @property
    def most(self) -> int:
        """Bytes of one of them, at the most."""
        return int(max(self.steps.values.max(), self.steps.parked.max() if self.parked else 0)) + self.overhead


@dataclass(frozen=True, eq=False)
class Held:
    """How likely it is that `bin` * k bytes are held: `chances[k]`; the rate (1/s) of going above the host's memory."""

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
        return int(self.memory / self.bin) + 1

    @property
    def depth(self) -> float:
        """Bytes too many, on average while there are too many; 0 if there never are."""
        above = self.chances[self._first :]
        whole = float(above.sum())
        excess = np.arange(self._first, len(self.chances)) * self.bin - self.memory
        return float(above @ excess) / whole if whole > 0 else 0.0

    @property
    def seconds(self) -> float | None:
        """How long it is too much at a time, on average; None where that isn't known, or never happens."""
        return self.p_over / self.rate if self.rate else None

    def quantile(self, share: float) -> float:
        """Bytes that are not exceeded for this share of the time."""
        return float(np.searchsorted(np.cumsum(self.chances), share * (1 - 1e-12)) * self.bin)

    @property
    def mean(self) -> float:
        """Bytes, on average."""
        return float(self.chances @ np.arange(len(self.chances))) * self.bin


# Each value's share of the time, between the two bins beside it, so that the mean is kept.
def _chances(values: NDArray[np.float64], weights: NDArray[np.float64], size: float) -> NDArray[np.float64]:
    place = values / size
    below = np.floor(place).astype(np.int64)
    upper = place - below
    found = np.zeros(int(below.max()) + 2)
    np.add.at(found, below, weights * (1 - upper))
    np.add.at(found, below + 1, weights * upper)
    return found


def _transformed(
    crowd: Crowd, values: NDArray[np.int64], weights: NDArray[np.float64], size: float, length: int
) -> NDArray[np.complex128]:
    every, shares = values, weights
    if crowd.parked:
        kept = crowd.steps.parked
        every = np.concatenate([values, kept])
        shares = np.concatenate([(1 - crowd.parked) * weights, np.full(len(kept), crowd.parked / len(kept))])
    chances = _chances(every.astype(np.float64) + crowd.overhead, shares, size)
    found: NDArray[np.complex128] = np.fft.rfft(chances, length)
    return found


def held(crowds: Sequence[Crowd], memory: int, together: float = 0.0) -> Held:
    """What these guests hold of a host's `memory` (bytes). `together`: the share of them that has one phase.

    O(b log b), b bins: 65,536 of the host's memory, or up to a million of what all guests may hold.
    """
    crowds = [crowd for crowd in crowds if crowd.count]
    counts = [crowd.count for crowd in crowds]
    most = float(sum(crowd.count * crowd.most for crowd in crowds)) or 1.0
    size = max(min(memory, most) / _FINEST, most / _MOST_BINS)
    # Rounding may add a bin a guest.
    length = 1 << (int(most / size) + sum(counts) + 2).bit_length()
    ones = [_transformed(crowd, crowd.steps.values, crowd.steps.weights, size, length) for crowd in crowds]
    if together:
        chances = np.zeros(length)
        for phase in range(_PHASES):
            at = [crowd.steps.at(np.array([crowd.steps.period * (2 * phase + 1) // (2 * _PHASES)])) for crowd in crowds]
            shared = [
                _transformed(crowd, value, np.ones(1), size, length) for crowd, value in zip(crowds, at, strict=True)
            ]
            mixed = [together * one + (1 - together) * alone for one, alone in zip(shared, ones, strict=True)]
            chances += _sum(mixed, counts, length) / _PHASES
        return Held(size, chances, memory, None)
    rate = sum(_upcrossings(crowds, ones, which, memory, size, length) for which in range(len(crowds)))
    return Held(size, _sum(ones, counts, length), memory, rate)


def _sum(ones: Sequence[NDArray[np.complex128]], counts: Sequence[int], length: int) -> NDArray[np.float64]:
    product = np.ones(length // 2 + 1, np.complex128)
    for one, count in zip(ones, counts, strict=True):
        product *= one**count
    chances: NDArray[np.float64] = np.fft.irfft(product, length)
    chances[chances < _NOTHING] = 0.0
    return chances / (chances.sum() or 1.0)


# How often one of these guests goes up while all others hold so much that it takes the sum above the host's memory.
def _upcrossings(
    crowds: Sequence[Crowd],
    ones: Sequence[NDArray[np.complex128]],
    which: int,
    memory: int,
    size: float,
    length: int,
) -> float:
    crowd = crowds[which]
    counts = [each.count - (index == which) for index, each in enumerate(crowds)]
    others = np.concatenate([[0.0], np.cumsum(_sum(ones, counts, length))])
    after = crowd.steps.values.astype(np.float64) + crowd.overhead
    before = np.roll(after, 1)
    up = after > before
    low, high = (
        np.clip(np.floor((memory - value[up]) / size).astype(np.int64) + 1, 0, length) for value in (after, before)
    )
    crossings = (others[high] - others[low]).sum() / (crowd.steps.period / 1e9)
    return float(crossings) * crowd.count * (1 - crowd.parked)
