"""Where a replay with the recorded guest's own settings misses what was recorded, and why: sentences, as doubts are."""

import numpy as np
from numpy.typing import NDArray

from pagehint.hinting.designs.reporting import PageReporting, timer_step
from pagehint.kernel.ticks import TICK
from pagehint.replays.playback import Playback
from pagehint.replays.run import Prediction
from pagehint.replays.timeline import SOON
from pagehint.replays.timer import recorded_passes
from pagehint.units import format_time, percent

__all__ = ["is_missed", "misses", "with_own_times"]

_LATE = 10**8
_LATER = 10**6
_MOST_OFF, _MOST_OFF_IN_ALL = 1e-4, 1e-3
_LEAST_PART = 1e-5
_LEAST_PLACED = 0.995
_CLOSER = 0.9


def misses(playback: Playback) -> list[str]:
    """A sentence for each way in which the replay went another way than the recorded guest."""
    if not playback.is_guests_own or playback.host.memory is not None:
        return []
    passes = _Passes(playback)
    off = [*_elsewhere(playback, passes), *_off(playback, passes)]
    return [*passes.sentences(passes.another_step if off else _LATE), *(passes.alone(playback) if off else []), *off]


def is_missed(prediction: Prediction) -> bool:
    """Whether a replay with the recorded guest's own settings came out so far off that it is asked why."""
    off, placed = prediction.residency_error, prediction.placed_as_recorded
    return (off is not None and off > _MOST_OFF_IN_ALL) or (placed is not None and placed < _LEAST_PLACED)


def with_own_times(without: Prediction, prediction: Prediction) -> str:
    """How it comes out with the guest's own times, beside how it did `without` them: a sentence."""
    parts, closer = [], False
    if prediction.residency_error is not None:
        parts.append(f"residency is {percent(prediction.residency_error, 3)} off")
        closer = prediction.residency_error < _CLOSER * (without.residency_error or 0)
    if prediction.placed_as_recorded is not None:
        parts.append(f"{percent(prediction.placed_as_recorded, 1)} of the blocks are placed as recorded")
        closer |= 1 - prediction.placed_as_recorded < _CLOSER * (1 - (without.placed_as_recorded or 0))
    why = "what is missed beyond that is what the machine's load delayed"
    return (
        f"with the guest's own times of passes, and its host's of batches, {' and '.join(parts)}: "
        f"{why if closer else 'no closer, so that nothing of it is what the machine delayed'}"
    )


# Charts begin at 0 s: these times are those of `info`, and of --json.
def _clock(time: int) -> str:
    return f"{time / 1e9:.2f} s of the guest's clock"


class _Passes:
    """The recorded guest's passes beside those of the replay.

    Two belong together where each is the other's nearest, and nearer than the delay.
    """

    def __init__(self, playback: Playback) -> None:
        design = playback.design
        self.recorded = recorded_passes(playback.trace)
        self.ours = np.full(len(self.recorded), -1, np.int64)
        self.another_step, self._delay = _LATE, 0
        ours = np.array(playback.passes, np.int64)
        if len(ours) and isinstance(design, PageReporting):
            self._delay = design.delay
            self.another_step = timer_step(design.delay, design.timer_tick or TICK) // 2
            after = np.clip(np.searchsorted(ours, self.recorded), 1, max(len(ours) - 1, 1))
            pair = np.stack([ours[after - 1], ours[np.minimum(after, len(ours) - 1)]])
            nearest = pair[np.argmin(np.abs(pair - self.recorded), axis=0), np.arange(len(self.recorded))]
            apart = np.abs(nearest - self.recorded)
            by_time = np.lexsort((apart, nearest))
            first = np.isin(np.arange(len(nearest)), by_time[np.diff(nearest[by_time], prepend=-1) > 0])
            self.ours = np.where(first & (apart < design.delay), nearest, -1)
        self.late = np.where(self.ours >= 0, self.recorded - self.ours, 0)

    def late_at(self, time: int) -> int:
        """By how much the guest's came after ours of that time (ns; below 0: before)."""
        return int(self.late[self.ours == time].sum())

    def between(self, times: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which times lie between a pass here and the guest's."""
        first, last = np.minimum(self.recorded, self.ours), np.maximum(self.recorded, self.ours)
        known = self.ours >= 0
        begun = np.searchsorted(np.sort(first[known]), times, side="right")
        return begun > np.searchsorted(np.sort(last[known] + _LATER), times, side="left")

    def sentences(self, least: int) -> list[str]:
        """What came earlier or later by more than that (ns)."""
        known = self.late[self.ours >= 0]
        lines = []
        in_all = f"of the guest's {len(self.recorded):,} passes"
        if late := int((known > least).sum()):
            lines.append(
                f"{late:,} {in_all} came up to {format_time(int(known.max()))} after their timer, as on a busy host: "
                "here each comes in time"
            )
        if early := int((known < -least).sum()):
            lines.append(
                f"{early:,} {in_all} came up to {format_time(-int(known.min()))} before those here, as no load makes "
                "them: something asked for them sooner there, or its timer has other steps"
            )
        if len(known) < len(self.recorded):
            first = self.recorded[self.ours < 0][0]
            lines.append(
                f"{len(self.recorded) - len(known):,} {in_all} have none here, the first at {_clock(first)}: "
                "which blocks were free was not the same"
            )
        return lines

    def alone(self, playback: Playback) -> list[str]:
        """Passes that gave memory back here, and have none in the guest, though blocks were placed as there so far."""
        gave = np.array([time for time, *_, backed in playback.device.batches if backed], np.int64)
        ours = np.array(playback.passes, np.int64)
        gave = np.unique(ours[np.searchsorted(ours, gave, side="right") - 1])
        if not len(self.recorded):
            return []
        after = np.searchsorted(self.recorded, gave)
        before, after = self.recorded[after - 1], self.recorded[np.minimum(after, len(self.recorded) - 1)]
        alone = gave[np.minimum(np.abs(gave - before), np.abs(after - gave)) >= self._delay]
        if not len(alone):
            return []
        placed, alike = playback.placed_by[int(np.searchsorted(ours, alone[0]))]
        if alike < _LEAST_PLACED * placed:
            return []
        return [
            f"{len(alone):,} of the {len(gave):,} passes that gave memory back here have none in the guest, the first "
            f"at {_clock(alone[0])}: it reported nothing then, as where its balloon's driver is away for a while"
        ]


def _elsewhere(playback: Playback, passes: _Passes) -> list[str]:
    """Blocks were placed elsewhere than in the guest: since when, and by what."""
    engine = playback.engine
    if not engine.zone_events:
        return []
    if playback.placement != "simulated" or engine.placed_as_recorded >= _LEAST_PLACED * engine.placed:
        return []
    line = f"{percent(engine.placed_as_recorded / engine.placed, 1)} of the blocks are placed as recorded"
    marks = np.array([*playback.placed_by, (engine.placed, engine.placed_as_recorded)], np.int64).reshape(-1, 2)
    steps = np.diff(marks, axis=0)
    wrong = np.flatnonzero(steps[:, 1] < _LEAST_PLACED * steps[:, 0])
    if len(marks) > 1 and len(wrong) and marks[wrong[0], 1] >= _LEAST_PLACED * marks[wrong[0], 0]:
        time = playback.passes[wrong[0]]
        placed, alike = marks[-1] - marks[wrong[0]]
        line += f", {percent(alike / placed, 1)} of those after the pass at {_clock(time)}"
        late = passes.late_at(time)
        if abs(late) >= _LATER:
            line += f", which came {format_time(abs(late))} {'later' if late > 0 else 'sooner'} in the guest"
    return [f"{line}: no event tells how its lists stood" + ", and compaction turned some" * bool(engine.turned)]


def _off(playback: Playback, passes: _Passes) -> list[str]:
    """What was measured beside what is predicted: how much of the difference lies where."""
    times, predicted, soon, measured = playback.timeline.beside_measured()
    if len(times) < 2:
        return []
    spans = np.append(np.diff(times), 0).astype(np.float64)
    spans /= max(float((measured * spans).sum()), 1.0)
    off = np.abs(predicted - measured) * spans
    low, high = np.minimum(predicted, soon), np.maximum(predicted, soon)
    coming = (low < high) & (low <= measured) & (measured <= high)
    # What only samples make of it is hardly the replay's.
    if off[~coming].sum() <= _MOST_OFF and off.sum() <= _MOST_OFF_IN_ALL:
        return []
    between = ~coming & passes.between(times)
    rest = ~coming & ~between & (off > 0)
    since = f"from {_clock(times[np.argmax(rest)])} on"
    line = f"residency is {100 * off.sum():.3f} % off what was measured"
    parts = [
        (coming, f"where it shows what comes up to {format_time(SOON)} later, as a sample takes its time"),
        (between, "between a pass here and the guest's"),
        (rest, f"else, {since}"),
    ]
    told = [(share, where) for which, where in parts if (share := off[which].sum()) >= _LEAST_PART]
    if [where for _, where in told] == [f"else, {since}"]:
        line += f", {since}"
    else:
        line += f": {'; '.join(f'{100 * share:.3f} % {where}' for share, where in told)}"
    seen, ours = playback.first.page_size, playback.host.page_size
    if seen != ours:
        line += f"; the recorded guest's host backed it by {seen} pages, as its residency shows, and this one by {ours}"
    return [line]
