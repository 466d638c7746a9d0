"""When the recorded guest's passes came, and how long its host was at each batch: what a busy machine delays."""

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from pagehint.hinting.designs.reporting import PageReporting
from pagehint.replays.timer import LEAST_LATE, longest_pass, recorded_passes
from pagehint.trace.bundle import Trace
from pagehint.trace.events import Event

__all__ = ["OwnTimes", "TimedReporting"]


class OwnTimes:
    """The passes (ns, ascending), and the batches: when each was begun, and when the host was done with it (ns).

    A batch begins as its first block is taken off; where no event tells, shortly before it is told.
    """

    def __init__(self, trace: Trace) -> None:
        self._told, begun, self._done = trace.report_times, *_begun_and_done(trace)
        if len(begun) != len(self._told):  # what the host discarded tells
            begun = self._told - LEAST_LATE
        self.passes = begun[np.isin(self._told, recorded_passes(trace))]
        self._begun = begun
        if len(self._told) != len(self._done):  # some were lost: which belong together is not known
            self._told = self._done = self._told[:0]
        self._longest = longest_pass(trace, self._told)
        self._next = 0

    def next_pass(self, now: int, delay: int) -> int | None:
        """When the pass comes that is asked for now; None where the guest had none then."""
        at = int(np.searchsorted(self.passes, now + delay // 2))
        if at == len(self.passes) or self.passes[at] > now + 2 * delay:
            return None
        return int(self.passes[at])

    def batch_time(self, now: int) -> int | None:
        """How long (ns) the host is at the pass's next batch, which is told now; None where the guest had none."""
        while self._next < len(self._told) and self._told[self._next] < now - self._longest[self._next]:
            self._next += 1
        if self._next == len(self._told) or self._told[self._next] > now + self._longest[self._next]:
            return None
        self._next += 1
        return max(int(self._done[self._next - 1]) - now, 0)

    def rest_time(self, now: int) -> int:
        """How long (ns) the guest's worker waited from now, as a batch is done, before it began the pass's next."""
        if not 0 < self._next < len(self._told) or self._begun[self._next] > now + self._longest[self._next]:
            return 0
        return max(int(self._begun[self._next]) - now, 0)


def _begun_and_done(trace: Trace) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    begun, done = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for batch in trace.batches(("time", "cpu", "event")):
        times, cpus, kinds = batch["time"], batch["cpu"], batch["event"]
        done.append(times[kinds == Event.REPORT_RETURN])
        told = np.flatnonzero(kinds == Event.REPORT)
        begun.append(times[told] - LEAST_LATE)
        for cpu in np.unique(cpus[told]):
            rows = np.flatnonzero(cpus == cpu)
            others = np.flatnonzero(~np.isin(kinds[rows], (Event.ISOLATE, Event.ISOLATE_RETURN)))
            here = np.flatnonzero(cpus[told] == cpu)
            at = np.searchsorted(rows[others], told[here])
            first = rows[np.where(at > 0, others[at - 1] + 1, 0)]  # behind the CPU's event before
            begun[-1][here] = np.where(first < told[here], times[first], begun[-1][here])
    return np.concatenate(begun), np.concatenate(done)


class TimedReporting(PageReporting):
    """Reporting as `design`, whose passes come when the recorded guest's did."""

    label: ClassVar[str] = PageReporting.label

    def __init__(self, design: PageReporting, own: OwnTimes) -> None:
        super().__init__(**design.values())
        self._own = own

    def schedule(self, delay: int) -> None:
        came = self._own.next_pass(self.now, self.delay)
        if came is None or self.pending is not None or self.stopping:
            super().schedule(delay)
        else:
            self.pending = max(came, self.now)
