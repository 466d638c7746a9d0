"""How many guests fit on a host, and how sure a risk is."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from pagehint.fleets.steps import Steps
from pagehint.fleets.superpose import Crowd, apportioned, risk

__all__ = ["MOST_GUESTS", "fits", "interval"]

MOST_GUESTS = 10**6
"""Of a fleet, in all."""

_PIECES = 16
_RESAMPLED = 40


def _scaled(crowds: Sequence[Crowd], guests: int) -> list[Crowd]:
    """So many guests, of each kind its share: what is left over by the largest remainders."""
    whole = sum(crowd.count for crowd in crowds)
    counts = apportioned([crowd.count * guests / whole for crowd in crowds], guests)
    return [replace(crowd, count=count) for crowd, count in zip(crowds, counts, strict=True)]


def fits(crowds: Sequence[Crowd], memory: int, risks: Sequence[float], together: float = 0.0) -> list[int]:
    """For each risk, the most guests, mixed as given, that hold more than `memory` for at most this share of the time.

    0 where one is too many; MOST_GUESTS where more would do. O(log guests) distributions.
    """
    mean = sum(crowd.count * crowd.mean for crowd in crowds) / sum(crowd.count for crowd in crowds)
    # On average, so many are too much already; not so for most of the time, where one seldom holds much.
    most = min(int(memory / max(mean, 1.0)) + 1, MOST_GUESTS)
    known: dict[int, float] = {}

    def over(guests: int) -> float:
        if guests not in known:
            known[guests] = risk(_scaled(crowds, guests), memory, together)
        return known[guests]

    found = []
    for each in risks:
        low, high = 0, most
        while high < MOST_GUESTS and over(high) <= each:
            low, high = high, min(2 * high, MOST_GUESTS)
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if over(middle) <= each else (low, middle - 1)
        found.append(low)
    return found


def interval(
    crowds: Sequence[Crowd], over: Callable[[Sequence[Crowd]], float], random: np.random.Generator
) -> tuple[float, float]:
    """Between which the risk, which is `over(crowds)`, lies in 95 of 100 cases, as far as the recordings' length tells.

    Each recording is cut into 16 stretches, and 40 others are made of them, drawn at random with repetition.
    """
    found = []
    for _ in range(_RESAMPLED):
        drawn = [replace(crowd, steps=_drawn(crowd.steps, random)) for crowd in crowds]
        found.append(over(drawn))
    low, high = np.quantile(found, [0.025, 0.975])
    return float(low), float(high)


def _drawn(steps: Steps, random: np.random.Generator) -> Steps:
    edges = steps.times[0] + np.array([steps.period * piece // _PIECES for piece in range(_PIECES + 1)])
    values, lengths = [], []
    for piece in random.integers(0, _PIECES, _PIECES).tolist():
        begin, end = int(edges[piece]), int(edges[piece + 1])
        first = int(np.searchsorted(steps.times, begin, "right")) - 1
        last = int(np.searchsorted(steps.times, end, "left"))
        values.append(steps.values[first:last])
        lengths.append(np.diff(np.clip(steps.times[first : last + 1], begin, end)))
    length = np.concatenate(lengths)
    kept = length > 0
    times = np.concatenate([[0], np.cumsum(length[kept])])
    return replace(steps, times=times, values=np.concatenate(values)[kept])
