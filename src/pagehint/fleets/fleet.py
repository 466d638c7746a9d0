"""A host's guests, by their recordings: with each design, how many fit, and what they hold together."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from pagehint.errors import InputError
from pagehint.fleets.fits import MOST_GUESTS, fits, interval
from pagehint.fleets.steps import Steps, steps_between, steps_of_file, steps_of_run
from pagehint.fleets.superpose import Crowd, Held, held, risk
from pagehint.hinting.design import Design
from pagehint.hinting.designs.registry import DESIGNS, NONE
from pagehint.replays.plan import CAPACITY, grid_of, in_words, kind_of, plans_of
from pagehint.replays.recording import Recording
from pagehint.replays.study import Ground, Task, ground_of, run_tasks
from pagehint.replays.truth import measured_residency
from pagehint.trace.bundle import Trace
from pagehint.units import format_count, format_size, is_between, parse_size, several, shown, whole_number

__all__ = ["RISKS", "Fleet", "Guests", "Outcome", "fleet"]

RISKS = (1e-3, 1e-4, 1e-5)
_SHARES = (0.5, 0.9, 0.99, 0.999, 0.9999)
_BACK = (0.5, 0.9, 0.99)
_DAY = 86_400.0
_SHORT = 600 * 10**9
_SAMPLE = "50ms"
_MOST_MEMORY, _MOST_OVERHEAD = 1 << 60, 1 << 50  # bytes


@dataclass(frozen=True)
class Guests:
    """`count` guests that do what a recording's did, or what a Parquet file of `time` and `resident` tells.

    `begin` and `end`: when they run, in seconds of the day; over midnight where `end` comes first.
    """

    source: Trace | str | Path
    count: int
    begin: float = 0.0
    end: float = _DAY

    def runs_at(self, time: float) -> bool:
        """Whether they run at a time of the day."""
        if self.begin <= self.end:
            return self.begin <= time < self.end
        return time >= self.begin or time < self.end


@dataclass(frozen=True, eq=False)
class Outcome:
    """What the guests hold with one design: `day` has what is held by stretches of the day, (begin, end, Held)."""

    design: str
    settings: Mapping[str, Any]
    label: str
    """Both in words, and the device's capacity where it differs: "reporting, order 9 (2 MiB), delay 2 s"."""
    crowds: tuple[Crowd, ...]
    day: tuple[tuple[float, float, Held], ...]
    interval: tuple[float, float]
    fits: Mapping[float, int]

    @property
    def p_over(self) -> float:
        """The share of the day in which they hold more than the host has."""
        return sum((end - begin) / _DAY * each.p_over for begin, end, each in self.day)

    def quantile(self, share: float) -> float:
        """Bytes that are not exceeded for this share of the day."""
        low, high = 0.0, max(each.most for _, _, each in self.day)
        step = max(each.bin for _, _, each in self.day) / 2
        # Of absurd sizes, a bin is less than what tells two numbers apart.
        while high - low > step and low < (middle := (low + high) / 2) < high:
            below = sum((end - begin) / _DAY * each.below(middle) for begin, end, each in self.day)
            low, high = (low, middle) if below >= share * (1 - 1e-12) else (middle, high)
        return high

    @property
    def mean(self) -> float:
        """Bytes, on average over the day."""
        return sum((end - begin) / _DAY * each.mean for begin, end, each in self.day)

    @property
    def worst(self) -> Held:
        """What is held in the stretch of the day with the highest risk."""
        return max((each for _, _, each in self.day), key=_badness)

    @property
    def back(self) -> tuple[float | None, ...]:
        """Seconds until 50, 90 and 99 % are back, after all guests freed their largest burst at once."""
        rows = np.concatenate([crowd.steps.back * (1, crowd.count) for crowd in self.crowds])
        if not len(rows):
            return (None,) * len(_BACK)
        times, came = rows[np.argsort(rows[:, 0], kind="stable")].T
        so_far = np.cumsum(came.astype(np.float64))
        return tuple(int(times[np.searchsorted(so_far, share * so_far[-1])]) / 1e9 for share in _BACK)

    @property
    def stalled(self) -> float:
        """Seconds an hour that all guests together spend on faults on memory that they had given back."""
        return 3600 * sum(
            crowd.count * (1 - crowd.parked) * crowd.steps.fault_time / crowd.steps.period for crowd in self.crowds
        )


@dataclass(frozen=True, eq=False)
class Fleet:
    """What ``fleet`` found: an Outcome a design."""

    memory: int
    guests: int
    together: float
    parked: float
    outcomes: tuple[Outcome, ...]
    warnings: list[str] = field(default_factory=list)

    def __repr__(self) -> str:
        designs = ", ".join(each.label for each in self.outcomes)
        return f"<Fleet of {format_count(self.guests, 'guest')} on {format_size(self.memory)}: {designs}>"

    def to_dict(self) -> dict[str, Any]:
        """In types that JSON has: bytes, seconds, shares of time."""
        rows: dict[str, list[dict[str, Any]]] = {
            name: [] for name in ("fits", "p_over", "quantiles", "day", "storm", "stalled")
        }
        for each in self.outcomes:
            named = {"design": each.design, "settings": dict(each.settings)}
            rows["fits"] += [{**named, "risk": risk, "guests": count} for risk, count in each.fits.items()]
            over = {"p": each.p_over, "interval": list(each.interval), "depth": each.worst.depth}
            over |= {"seconds": each.worst.seconds, "swap": max(each.quantile(_SHARES[-1]) - self.memory, 0.0)}
            rows["p_over"].append({**named, "guests": self.guests, **over})
            quantiles = {f"{share:g}": each.quantile(share) for share in _SHARES}
            rows["quantiles"].append({**named, "mean": each.mean, **quantiles})
            for begin, end, then in each.day:
                quantiles = {f"{share:g}": then.quantile(share) for share in _SHARES}
                rows["day"].append({**named, "begin": begin, "end": end, "mean": then.mean, **quantiles})
            rows["storm"].append({**named, **dict(zip(map(str, _BACK), each.back, strict=True))})
            rows["stalled"].append({**named, "seconds_an_hour": each.stalled})
        about = {"host_memory": self.memory, "guests": self.guests, "together": self.together, "parked": self.parked}
        return {**about, "warnings": self.warnings, **rows}


def fleet(
    guests: Guests | Sequence[Guests | tuple[Trace | str | Path, int]],
    host_memory: int | str,
    designs: str | type[Design] | Design | Sequence[str | type[Design] | Design | None] | None = (),
    settings: Mapping[str, Any] | None = None,
    *,
    risks: float | Sequence[float] = RISKS,
    together: float = 0.0,
    parked: float = 0.0,
    overhead: int | str = 0,
    seed: int = 1,
    measured: bool = False,
    options: Mapping[str, str] | None = None,
    ground: Ground | None = None,
    executor: Executor | None = None,
    workers: int | None = None,
    progress: Callable[[int], None] | None = None,
    total: Callable[[int], None] | None = None,
) -> Fleet:
    """How many of these guests a host of `host_memory` holds, with each design and combination of settings.

    Each recording is replayed once a setting, to what is resident over its time; guests go through it again and again,
    each from a random moment on, or the share `together` of them all from the same one. The share `parked` is paused at
    a bad moment, and keeps what it held then. `overhead`: bytes of the host's beside each guest's memory. `risks`: for
    at most this share of the time may more be held than there is. `measured`: what the recordings measured, instead of
    replays. `seed`: for the confidence intervals. `designs` are as in ``study``; `settings`, `executor`
    and what follows as in ``sweep``. Raises
    InputError. O(log guests) transforms of 65,536 to 4 million bins. Source: docs/fleet.md.
    """
    listed = [_as_guests(each) for each in several(guests)]
    asked = several(risks)
    memory = parse_size(host_memory)
    if not 1 <= memory <= _MOST_MEMORY:
        raise InputError(
            f"host memory {shown(host_memory)}: expected 1 B to {format_size(_MOST_MEMORY)}, such as 64GiB"
        )
    beside = parse_size(overhead)
    if beside > _MOST_OVERHEAD:
        raise InputError(f"overhead {shown(overhead)} of a guest: expected up to {format_size(_MOST_OVERHEAD)}")
    _check(listed, asked, together, parked)
    seed = whole_number("the seed", seed, 0, (1 << 64) - 1)
    together, parked = float(together), float(parked)
    kinds = _Kinds(listed, measured)
    random = np.random.default_rng(seed)
    outcomes = []
    found = kinds.replayed(several(designs), grid_of(settings), options, ground, executor, workers, progress, total)
    for design, values, label, steps in found:
        crowds = [Crowd(one, each.count, beside, parked) for one, each in zip(steps, listed, strict=True)]
        day = _day(listed, crowds, memory, together)
        # Where they hold nothing, a stretch without any guests is no better.
        peopled = [each for each in day if _there(listed, crowds, each[0])]
        begin, end, _ = max(peopled, key=lambda each: _badness(each[2]))
        there = _there(listed, crowds, begin)
        share = (end - begin) / _DAY
        between = interval(crowds, partial(_over, listed, memory, together), random)
        counts = fits(there, memory, [min(each / share, 1.0) for each in asked], together)
        most = dict(zip(map(float, asked), counts, strict=True))
        outcomes.append(Outcome(design, values, label, tuple(crowds), day, between, most))
    guests_in_all = sum(int(each.count) for each in listed)
    return Fleet(memory, guests_in_all, together, parked, tuple(outcomes), kinds.warnings)


def _as_guests(given: Any) -> Guests:
    if isinstance(given, Guests):
        return given
    if not isinstance(given, Sequence) or isinstance(given, str) or len(given) != 2:
        raise InputError(f"{shown(given)} is no guests: expected a recording and how many, such as (trace, 40)")
    return Guests(*given)


def _check(guests: Sequence[Guests], risks: Sequence[float], together: float, parked: float) -> None:
    if not guests:
        raise InputError("a fleet needs guests: recordings, and how many of each, such as web.pagetrace:40")
    for each in guests:
        whole_number(f"{each.source}: the number of guests", each.count, 1, MOST_GUESTS)
        if not all(is_between(edge, 0, _DAY) for edge in (each.begin, each.end)) or each.begin == each.end:
            raise InputError(f"{each.source}: expected times of a day, 0h to 24h, between which its guests run")
    whole_number("the number of all guests", sum(each.count for each in guests), 1, MOST_GUESTS)
    if not risks or not all(is_between(each, 1e-12, 1) and each < 1 for each in risks):
        raise InputError(f"a risk of {', '.join(map(shown, risks))}: expected shares of time, 1e-12 to below 1")
    for name, share in (("together", together), ("parked", parked)):
        if not is_between(share, 0, 1):
            raise InputError(f"{name} {shown(share)}: expected a share of the guests, 0 to 1")


def _badness(held: Held) -> tuple[float, float]:
    return held.p_over, held.mean


def _day(
    guests: Sequence[Guests], crowds: Sequence[Crowd], memory: int, together: float
) -> tuple[tuple[float, float, Held], ...]:
    return tuple(
        (begin, end, held(_there(guests, crowds, begin), memory, together)) for begin, end in _stretches(guests)
    )


def _over(guests: Sequence[Guests], memory: int, together: float, crowds: Sequence[Crowd]) -> float:
    """The share of the day in which they hold more than the host has."""
    return sum(
        (end - begin) / _DAY * risk(_there(guests, crowds, begin), memory, together)
        for begin, end in _stretches(guests)
    )


# Within one the same guests run.
def _stretches(guests: Sequence[Guests]) -> list[tuple[float, float]]:
    return [*pairwise(sorted({0.0, _DAY, *(edge for each in guests for edge in (each.begin, each.end))}))]


def _there(guests: Sequence[Guests], crowds: Sequence[Crowd], time: float) -> list[Crowd]:
    return [crowd for crowd, each in zip(crowds, guests, strict=True) if each.runs_at(time)]


class _Kinds:
    """The kinds of guests of a fleet; a recording that several have is replayed once."""

    def __init__(self, guests: Sequence[Guests], measured: bool) -> None:
        self.warnings: list[str] = []
        self._fixed: dict[int, Steps] = {}
        self._traces: dict[int, Trace] = {}
        opened: dict[str, Trace] = {}
        for index, each in enumerate(guests):
            if isinstance(each.source, str | Path) and Path(each.source).suffix == ".parquet":
                self._fixed[index] = steps_of_file(each.source)
                continue
            path = each.source.where if isinstance(each.source, Trace) else str(each.source)
            if path not in opened:
                opened[path] = each.source if isinstance(each.source, Trace) else Trace.open(each.source)
            if measured:
                self._fixed[index] = _measured(opened[path])
            else:
                self._traces[index] = opened[path]
        self._count = len(guests)

    def replayed(
        self,
        designs: Sequence[str | type[Design] | Design | None],
        settings: Mapping[str, Sequence[Any]],
        options: Mapping[str, str] | None,
        ground: Ground | None,
        executor: Executor | None,
        workers: int | None,
        progress: Callable[[int], None] | None,
        total: Callable[[int], None] | None,
    ) -> list[tuple[str, Mapping[str, Any], str, list[Steps]]]:
        """(design, settings, both in words, what each kind of guest holds), of each design and combination of
        settings."""
        if not self._traces:
            if designs or settings or ground_of(ground) != Ground():
                raise InputError(
                    "no recording is replayed here: leave out designs, their settings, and what a host is like"
                )
            kinds = [self._fixed[index] for index in range(self._count)]
            self._say_short(kinds)
            return [("measured", {}, "measured", kinds)]
        traces = list(dict.fromkeys(self._traces.values()))
        names = list(designs) or [NONE, *DESIGNS]
        shared = replace(ground_of(ground), sample=_SAMPLE)
        planned = [(trace, plans_of(trace, names, settings, options)) for trace in map(Recording, traces)]
        tasks = [Task(trace, plan, shared) for trace, plans in planned for plan in plans]
        if total is not None:
            total(sum(task.events for task in tasks))
        found = iter(run_tasks(tasks, _replayed, executor, workers, progress))
        each = {trace: [next(found) for _ in plans] for trace, (_, plans) in zip(traces, planned, strict=True)}
        for runs in each.values():
            lines = dict.fromkeys(line for _, doubts in runs for line in doubts)
            self.warnings += [f"{runs[0][0].name}: {line}" for line in lines]
        plans = planned[0][1]
        differ = len({plan.capacity for plan in plans if plan.label != NONE}) > 1
        rows: list[tuple[str, Mapping[str, Any], str, list[Steps]]] = []
        for number, plan in enumerate(plans):
            kinds = [self._fixed.get(index) or each[self._traces[index]][number][0] for index in range(self._count)]
            told = {name: value for name, value in plan.chosen.items() if value is not None}
            if differ and plan.label != NONE:
                told[CAPACITY] = plan.capacity
            kind = kind_of(plan.design)
            label = in_words(plan.label, told, {} if kind is None else kind.settings)
            rows.append((plan.label, told, label, kinds))
        self._say_short(rows[0][3])
        return rows

    def _say_short(self, steps: Sequence[Steps]) -> None:
        if short := dict.fromkeys(each.name for each in steps if each.period < _SHORT):
            self.warnings.append(
                f"{', '.join(short)}: less than ten minutes, taken for what such a guest does all the time: rare "
                "moments that it doesn't show are not counted"
            )


def _replayed(task: Task, progress: Callable[[int], None] | None = None) -> tuple[Steps, list[str]]:
    """What a guest holds, and what that doesn't rest on firmly."""
    run = task.run_once(progress)
    return steps_of_run(run), run.recording["warnings"]


def _measured(trace: Trace) -> Steps:
    table = measured_residency(trace)
    if table is None or table.num_rows < 2:
        raise InputError(f"{trace.path}: no residency was measured: leave out --measured")
    times, values = (table[name].to_numpy() for name in ("time", "resident"))
    return steps_between(trace.name, times, values)
