"""Replays of a recording."""

from collections.abc import Callable, Set
from dataclasses import replace
from typing import Any

from pagehint.hinting.design import Design
from pagehint.hinting.designs.reporting import PageReporting
from pagehint.host.model import ModelHost
from pagehint.replays.misses import is_missed, with_own_times
from pagehint.replays.own_times import OwnTimes, TimedReporting
from pagehint.replays.playback import Placement, Playback
from pagehint.replays.real import RealKind
from pagehint.replays.run import PRICE, Run, is_as_recorded
from pagehint.replays.totals import make_run
from pagehint.trace.bundle import Trace

__all__ = ["replay"]


def replay(
    trace: Trace,
    design: Design | None = None,
    host: ModelHost | None = None,
    placement: Placement = "simulated",
    sample: str | int | None = "50ms",
    backed: bool | None = None,
    touch: Set[str] = frozenset({"alloc"}),
    progress: Callable[[int], None] | None = None,
    real: RealKind | None = None,
    kernel: str | None = None,
    price: float = PRICE,
) -> Run:
    """Replay a recording; `design` None: nothing is given back.

    `placement`: which block an allocation takes: the model's choice, or (valid for the recorded settings only) the
    recorded one. `sample`: the timeline's step; None: no timeline. `backed`: whether free memory is backed at the
    start, where the recording doesn't tell. `touch`: the events that touch their pages: alloc, zone_alloc, free.
    `progress(events)` is called as events were read, twice as many in all as there are. `real`: do the same to memory
    of this machine, and measure (`Run.real`). `kernel`: whose rules to follow, such as "6.8"; None: the recording's
    own, by its version, else by what it shows. `price`: CPU seconds that a GiB*minute of host memory is worth. Memory
    is bounded by the guest's size and the settings. Raises InputError.
    """
    one = Playback(trace, design, host, placement, sample, backed, touch, progress, real, kernel, price)
    run = one.run(make_run)
    if real is not None or run.prediction.residency_error is None or not is_as_recorded(run):
        return run

    def again(design: Design | None, **how: Any) -> Playback:
        return Playback(trace, design, host, placement, None, backed, touch, None, None, kernel, price, **how)

    # What the kernel's compaction did to its lists no event tells: how close the model would come if it knew.
    if one.engine.turned:
        second = again(design, follows=True)
        followed = replace(
            run.prediction,
            followed_error=second.run(make_run).prediction.residency_error,
            followed=second.engine.followed / max(second.engine.placed, 1),
        )
        run = replace(run, prediction=followed)
    # Nor what a busy machine delayed.
    if type(design) is PageReporting and is_missed(run.prediction):
        own = OwnTimes(trace)
        timed = again(TimedReporting(design, own), own_times=own).run(make_run).prediction
        warnings = [*run.recording["warnings"], with_own_times(run.prediction, timed)]
        run = replace(run, recording={**run.recording, "warnings": warnings})
    return run
