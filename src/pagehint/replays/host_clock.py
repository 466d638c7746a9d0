"""A recording and what its host saw, put together: by a known clock, or by one that is fitted to what both show."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pagehint.errors import InputError
from pagehint.inputs import as_path
from pagehint.partial import temporary_folder
from pagehint.replays.host_discards import MOST_DRIFT, clock_by_discards, read_discards
from pagehint.replays.replay import replay
from pagehint.replays.start import check_trace, guest_reporting
from pagehint.replays.timer import told_number
from pagehint.trace.bundle import Trace
from pagehint.trace.check import check_offset
from pagehint.trace.copy import copy_bundle
from pagehint.trace.host_file import add_host, check_watched, read_host
from pagehint.trace.meta import Clock
from pagehint.units import format_time

__all__ = ["with_host"]

_OWN_OFFSET = "clock_offset_ns"  # of the guest's own wall clock, from the recording's
_MS = 10**6
_BIN = 100 * _MS
_MOST_ROWS = 30_000
_NEAR = 10**10  # how far wrong a guest's own wall clock may be
_CANDIDATES = 200
_LEAST_EXPLAINED = 0.025  # of the steps: at wrong offsets, and of other guests, it was 0.018 at most
_MOST_STEP = 4 << 20
_MOST_APART = 0.25  # of how much the samples vary: more is another guest's
_USUAL_ERROR = 5 * _MS  # at most, on recordings whose clock is known
_LEAST_SAMPLES = 10
_WORTH_DRIFT = 120 * 10**9
_LONGEST = 24 * 3600 * 10**9


@dataclass(frozen=True)
class _ClockFit:
    """By how much the host's wall clock was ahead at the guest's time `at`, and how far off that may be (ns); drift."""

    offset: int
    at: int
    drift: float
    error: int
    method: str = "fitted to the steps of residency"

    def clock(self) -> Clock:
        """As a bundle has it."""
        return Clock(self.at, self.at + self.offset, 0.0, self.drift, method=self.method, error_ns=self.error)


@dataclass(frozen=True)
class _Steps:
    times: NDArray[np.int64]
    values: NDArray[np.float64]

    def at(self, times: NDArray[np.int64]) -> NDArray[np.float64]:
        # From the first time on, so that nothing is rounded away. What a row shows first happened since the row before.
        since, rows = ((each - self.times[0]).astype(np.float64) for each in (times, self.times))
        found: NDArray[np.float64] = np.interp(since, rows, self.values)
        return found

    def within(self, begin: int, end: int) -> "_Steps":
        inside = (self.times >= begin) & (self.times <= end)
        return _Steps(self.times[inside], self.values[inside])


def _predicted(trace: Trace) -> _Steps:
    off = trace.meta.known_reporting.on is False
    span = trace.meta.last_ns - trace.meta.first_ns
    step = max(span // _MOST_ROWS, _MS)
    run = replay(trace, None if off else guest_reporting(trace), sample=step)
    return _Steps(run.timeline["time"].to_numpy(), run.timeline["resident"].to_numpy())


def _column(table: pa.Table, name: str) -> _Steps:
    known = table.filter(table[name].is_valid())
    return _Steps(known["time"].to_numpy(), known[name].to_numpy() * 1024.0)


# The guest's memory alone, which is looked at now and then.
def _levels(host: Path) -> _Steps:
    table = read_host(host)
    for name in ("ram_resident_kib", "rss_kib"):
        found = _column(table, name)
        if len(found.times) >= _LEAST_SAMPLES:
            return found
    raise InputError(f"{host}: fewer than {_LEAST_SAMPLES} samples: watch for longer")


# The process's memory, which is sampled often; but the huge pages of hugetlbfs don't count there.
def _samples(host: Path) -> _Steps:
    process, levels = _column(read_host(host), "rss_kib"), _levels(host)
    return process if 2 * np.ptp(process.values) >= np.ptp(levels.values) else levels


# How far steps from sample to sample are apart on average: what the process has beside the guest's memory grows slowly.
# A batch of reports is one great step, some ms late, as the host takes its time: it weighs no more than others.
def _apart(predicted: _Steps, samples: _Steps, offset: int) -> float:
    apart = np.abs(np.diff(samples.values - predicted.at(samples.times - offset)))
    return float(np.minimum(apart, _MOST_STEP).mean())


def _changes(steps: _Steps) -> NDArray[np.float64]:
    grid = np.arange(steps.times[0], steps.times[-1] + _BIN, _BIN)
    changes = np.diff(np.interp(grid, steps.times, steps.values))
    most = np.quantile(np.abs(changes), 0.99) or np.abs(changes).max() or 1.0
    return np.clip(changes, -most, most)


# Which part of the steps that are seen or predicted are so in both; below 0 where there are fewer seen without.
def _explained(predicted: _Steps, samples: _Steps, offset: int) -> float:
    inside = samples.within(int(predicted.times[0]) + offset, int(predicted.times[-1]) + offset)
    if len(inside.times) < _LEAST_SAMPLES:
        return -1.0
    seen, said = np.diff(inside.values), np.diff(predicted.at(inside.times - offset))
    whole = max(np.abs(seen).sum(), np.abs(said).sum())
    return 1 - float(np.abs(seen - said).sum() / whole) if whole else -1.0


# Correlation names the candidates, of any number of offsets at once; a few large steps of the process's own, or what
# was before the recording, drown the right one among them: which it is, the sum of differences tells.
def _coarse(predicted: _Steps, samples: _Steps, around: int | None) -> int:
    if around is not None:
        begin, end = int(predicted.times[0]), int(predicted.times[-1])
        samples = samples.within(begin + around - _NEAR, end + around + _NEAR)
        if not len(samples.times):
            raise InputError("the host watched at another time than the guest was recorded, by the guest's own clock")
    for what, steps in (("recording", predicted), ("watch", samples)):
        lasts = int(steps.times[-1]) - int(steps.times[0])
        if not _BIN <= lasts <= _LONGEST:
            raise InputError(f"the {what} lasts {format_time(lasts)}: its clock can't be fitted: give --clock-offset")
    guest, host = _changes(predicted), _changes(samples)
    begin = int(samples.times[0] - predicted.times[0])
    size = 1 << int(len(guest) + len(host)).bit_length()
    both = np.fft.irfft(np.fft.rfft(host, size) * np.conj(np.fft.rfft(guest, size)), size)
    lags = np.arange(1 - len(guest), len(host))
    overlap = np.minimum(lags + len(guest), len(host)) - np.maximum(lags, 0)
    allowed = overlap >= min(len(guest), len(host)) // 2
    if around is not None:
        allowed &= np.abs(begin + lags * _BIN - around) <= _NEAR
    like = np.where(allowed, both[lags % size], -np.inf)
    likely = lags[np.argsort(-like)[: min(_CANDIDATES, int(allowed.sum()))]]
    offsets = [begin + int(lag) * _BIN + part for lag in likely for part in (-_BIN // 2, 0)]
    explained, best = max(((_explained(predicted, samples, offset), offset) for offset in offsets), default=(-1.0, 0))
    if explained < _LEAST_EXPLAINED:
        raise InputError(
            "the host's samples don't show this recording's guest: watch it while it is recorded and memory comes and "
            "goes, or give --clock-offset"
        )
    return best


# The middle of the offsets that fit as well as the best, and how far they reach.
def _fine(predicted: _Steps, samples: _Steps, around: int, reach: int, step: int) -> tuple[int, int]:
    inside = samples.within(int(predicted.times[0]) + around + reach, int(predicted.times[-1]) + around - reach)
    if len(inside.times) < _LEAST_SAMPLES:
        raise InputError("the host watched for too short a time beside the recording: its clock can't be fitted")
    offsets = np.arange(around - reach, around + reach + 1, step)
    apart = np.array([_apart(predicted, inside, int(offset)) for offset in offsets])
    good = offsets[apart <= 1.02 * apart.min() + 1]
    return int(good.min() + good.max()) // 2, int(good.max() - good.min()) // 2


def _fitted(predicted: _Steps, samples: _Steps, around: int) -> tuple[int, int]:
    offset, _ = _fine(predicted, samples, around, 10 * _BIN, 10 * _MS)
    return _fine(predicted, samples, offset, 60 * _MS, _MS // 2)


def _fit_discards(trace: Trace, host: Path) -> _ClockFit | None:
    around, first, last = told_number(trace, _OWN_OFFSET), trace.meta.first_ns, trace.meta.last_ns
    discards = read_discards(trace, host)
    if discards is None or (whole := clock_by_discards(discards, around, _NEAR)) is None:
        return None
    at, drift = first, 0.0
    if last - first > _WORTH_DRIFT:
        middle = (first + last) // 2
        halves = [clock_by_discards(discards, around, _NEAR, part) for part in ((first, middle), (middle, last + 1))]
        early, late = halves
        if early is not None and late is not None and early[1] + late[1] < abs(late[0] - early[0]) // 2:
            slope = 2 * (late[0] - early[0]) / (last - first)
            if abs(slope) <= MOST_DRIFT:
                whole, at, drift = ((early[0] + late[0]) // 2, max(early[1], late[1])), middle, slope
    return _ClockFit(whole[0], at, drift, whole[1] + _MS, "fitted to the blocks that the host gave back")


def _fit_steps(trace: Trace, host: Path) -> _ClockFit:
    predicted, samples = _predicted(trace), _samples(host)
    return _fit(predicted, samples, _coarse(predicted, samples, told_number(trace, _OWN_OFFSET)))


def _fit(predicted: _Steps, samples: _Steps, near: int) -> _ClockFit:
    offset, error = _fitted(predicted, samples, near)
    at, drift = int(predicted.times[0]), 0.0
    middle = (int(predicted.times[0]) + int(predicted.times[-1])) // 2
    if predicted.times[-1] - predicted.times[0] > _WORTH_DRIFT:
        halves = [samples.within(0, middle + offset), samples.within(middle + offset, 1 << 62)]
        try:
            early, late = (_fitted(predicted, half, offset) for half in halves)
        except InputError:  # nothing happens in one of them
            pass
        else:
            apart = (predicted.times[-1] - predicted.times[0]) / 2
            slope = (late[0] - early[0]) / float(apart)
            # Only where the halves tell more exactly than they are apart.
            sure = max(early[1], _USUAL_ERROR) + max(late[1], _USUAL_ERROR)
            if abs(slope) <= MOST_DRIFT and sure < abs(late[0] - early[0]) // 2:
                drift, at = slope, middle
    return _ClockFit(offset, at, drift, max(error, _USUAL_ERROR))


def with_host(
    trace: Trace,
    host: str | Path,
    output: str | Path,
    clock_offset: int | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> Trace:
    """Make the bundle `output` of a recording and what ``pagehint watch`` saw of its guest meanwhile.

    `host`: the file that it wrote. `clock_offset`: by how much the host's wall clock is ahead of the recording's (ns);
    None: it is fitted, and `say` is told: by which blocks the guest told of and the host gave back, else by where what
    the host saw and what a replay predicts are most alike. Looked for beside the guest's own wall clock, where it was
    recorded, else anywhere. Raises InputError, also where the two show no common steps.
    """
    check_trace(trace)
    host = as_path(host, "is no file: expected the path of what `pagehint watch` wrote")
    output = as_path(output, "is no output: expected the path of a bundle, NAME.pagetrace")
    check_watched(host, trace.meta.zones)
    if clock_offset is not None:
        clock = Clock(0, clock_offset, 0.0, 0.0, method="given")
        return _write(trace, host, output, clock)
    fit, what = _fit_discards(trace, host), "the blocks that it gave back"
    if fit is None:
        fit, what = _fit_steps(trace, host), "residency steps"
        # What was backed at the start is known now: steps are predicted more exactly.
        with temporary_folder() as folder:
            rough = _write(trace, host, folder / "rough.pagetrace", fit.clock())
            predicted = _predicted(rough)
            fit = _fit(predicted, _samples(host), fit.offset)
            _check(predicted, host, fit)
    ahead, error = fit.offset / 1e9, format_time(fit.error)
    say(f"the host's clock is {ahead:.3f} s ahead of the guest's, give or take {error}, as {what} tell")
    return _write(trace, host, output, fit.clock())


def _check(predicted: _Steps, host: Path, fit: _ClockFit) -> None:
    seen = _levels(host).within(int(predicted.times[0]) + fit.offset, int(predicted.times[-1]) + fit.offset)
    off = seen.values - predicted.at(seen.times - fit.offset)
    apart, varies = (float(np.abs(values - np.median(values)).mean()) for values in (off, seen.values))
    if apart > _MOST_APART * varies:
        raise InputError(
            f"{host}: what the host saw is not what this recording's guest does: is it another one's, or was it "
            "stopped meanwhile?"
        )


def _write(trace: Trace, host: Path, output: Path, clock: Clock) -> Trace:
    times = clock.guest_times(read_host(host)["time"].to_numpy())
    check_offset(host, times, trace.meta.first_ns, trace.meta.last_ns)
    with copy_bundle(trace, output) as (writer, meta):
        add_host(writer, host, clock)
        writer.finish(replace(meta, clock=clock))
    return Trace.open(output)
