"""The recorded guest's timer wheel, by which its reporting's passes come: its tick, and when it steps."""

from dataclasses import dataclass
from math import comb
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pagehint.hinting.designs.reporting import timer_step
from pagehint.kernel.ticks import TICK, TICKS, usual_tick
from pagehint.trace.bundle import Trace

__all__ = [
    "LEAST_LATE",
    "Tick",
    "longest_pass",
    "recorded_passes",
    "steady_passes",
    "timer_phase",
    "timer_tick",
    "told_number",
]

_LONGEST_PASS = 10**9  # ns

LEAST_LATE = 10**5
"""Nanoseconds from the timer to the first batch, where nothing delays a pass."""

_SAME_TICK = 0.01
_BY_CHANCE = 1e-3
_ENOUGH = 500  # passes: more tell no more


@dataclass(frozen=True)
class Tick:
    """A tick of the guest's (ns), and how it is known: recorded, from its passes, its kernel's distribution, or not."""

    ns: int
    by: Literal["recorder", "passes", "distribution"] | None


def told_number(trace: Trace, name: str) -> int | None:
    """A number of ns that the recorder told beside the events (`Meta.system`); None: it told none."""
    text = trace.meta.system.get(name, "")
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 20 else None


def timer_tick(trace: Trace) -> Tick:
    """A tick of the recorded guest's. Reads the events once, where the recorder did not tell."""
    told = told_number(trace, "clock_tick_ns")
    near = [tick for tick in TICKS if told is not None and abs(told - tick) <= _SAME_TICK * tick]
    if near:
        return Tick(near[0], "recorder")
    delay = trace.meta.known_reporting.usual_delay
    usual = usual_tick(trace.meta.kernel)
    passes = steady_passes(trace)[:_ENOUGH]
    # What steps by 64 ms also seems to step by 32: the longest step that is hardly chance.
    for tick in sorted(TICKS, key=lambda tick: -timer_step(delay, tick)):
        if _on_steps(passes, timer_step(delay, tick)):
            return Tick(tick, "passes")
    return Tick(TICK, None) if usual is None else Tick(usual, "distribution")


# Whether far more of the passes come within a quarter of a step than would if only every other step were one.
def _on_steps(passes: NDArray[np.int64], step: int) -> bool:
    most = int(_together(np.sort(passes % step), step, step // 4).max(initial=0))
    ways = sum(comb(len(passes), k) for k in range(most, len(passes) + 1))
    return ways / (1 << len(passes)) < _BY_CHANCE / 2


# How many of these times after a step (ascending) come within so long behind each.
def _together(after: NDArray[np.int64], step: int, time: int) -> NDArray[np.int64]:
    return np.searchsorted(np.concatenate([after, after + step]), after + time, side="right") - np.arange(len(after))


def timer_phase(passes: NDArray[np.int64], step: int) -> int:
    """When after a multiple of `step` (ns) the wheel steps, as most of its passes tell: others were delayed.

    Of equals, behind the largest gap.
    """
    after = np.sort(passes % step)
    gaps = np.diff(after, prepend=after[-1] - step)
    return int(after[np.lexsort((gaps, _together(after, step, step // 8)))[-1]])


def longest_pass(trace: Trace, times: NDArray[np.int64]) -> NDArray[np.int64]:
    """How long (ns) no pass takes at these times, so that what comes later is the next one's: by the delay then."""
    longest: NDArray[np.int64] = np.minimum(np.maximum(_delays(trace, times), TICK) // 2, _LONGEST_PASS)
    return longest


def recorded_passes(trace: Trace) -> NDArray[np.int64]:
    """When the recorded guest's passes told their first batches (ns)."""
    times = trace.report_times
    longest = longest_pass(trace, times)
    # Where the delay was changed between two, the next may have been asked for before.
    longest[1:] = np.minimum(longest[1:], longest[:-1])
    return times[np.diff(times, prepend=-_LONGEST_PASS - 1) > longest]


def steady_passes(trace: Trace) -> NDArray[np.int64]:
    """Those that were asked for, and came, while the delay was that of the beginning: its timer's steps are theirs.

    All, where none was.
    """
    passes, delay = recorded_passes(trace), trace.meta.known_reporting.usual_delay
    steady = passes[(_delays(trace, passes) == delay) & (_delays(trace, passes - delay) == delay)]
    return steady if len(steady) else passes


# The delay (ns) that the recorded guest's reporting had at each of these times.
def _delays(trace: Trace, times: NDArray[np.int64]) -> NDArray[np.int64]:
    changes = [(each.time, each.delay_ns) for each in trace.reporting_changes if each.delay_ns is not None]
    delays: NDArray[np.int64]
    begun, delays = np.array([(0, trace.meta.known_reporting.usual_delay), *changes], np.int64).T
    at_each: NDArray[np.int64] = delays[np.searchsorted(begun[1:], times, side="right")]
    return at_each
