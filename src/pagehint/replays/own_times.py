"""When the recorded guest's passes came, and how long its host was at each batch: what a busy machine delays."""

import numpy as np
from numpy.typing import NDArray

from pagehint.hinting.designs.reporting import PageReporting
from pagehint.replays.timer import LEAST_LATE, LONGEST_PASS, recorded_passes
from pagehint.trace.bundle import Trace
from pagehint.trace.events import Event

__all__ = ["OwnTimes", "TimedReporting"]


class OwnTimes:
    """The passes (ns, ascending), and the batches: when each was told, and when the host was done with it (ns)."""

    def __init__(self, trace: Trace) -> None:
        self.passes = recorded_passes(trace)
        self._told, self._done = trace.report_times, _return_times(trace)
        if len(self._told) != len(self._done):  # some were lost: which belong together is not known
            self._told = self._done = self._told[:0]
        self._next = 0

    def next_pass(self, now: int, delay: int) -> int | None:
        """When the pass comes that is asked for now; None where the guest had none then."""
        at = int(np.searchsorted(self.passes, now + delay // 2))
        if at == len(self.passes) or self.passes[at] > now + 2 * delay:
            return None
        return int(self.passes[at]) - LEAST_LATE

    def batch_time(self, now: int) -> int | None:
        """How long (ns) the host is at the pass's next batch, which is told now; None where the guest had none."""
        while self._next < len(self._told) and self._told[self._next] < now - LONGEST_PASS:
            self._next += 1
        if self._next == len(self._told) or self._told[self._next] > now + LONGEST_PASS:
            return None
        self._next += 1
        return max(int(self._done[self._next - 1]) - now, 0)


def _return_times(trace: Trace) -> NDArray[np.int64]:
    times = [batch["time"][batch["event"] == Event.REPORT_RETURN] for batch in trace.batches(("time", "event"))]
    return np.concatenate(times) if times else np.zeros(0, np.int64)


class TimedReporting(PageReporting):
    """Reporting as `design`, whose passes come when the recorded guest's did."""

    def __init__(self, design: PageReporting, own: OwnTimes) -> None:
        super().__init__(**design.values())
        self._own = own

    def schedule(self, delay: int) -> None:
        came = self._own.next_pass(self.now, self.delay)
        if came is None or self.pending is not None or self.stopping:
            super().schedule(delay)
        else:
            self.pending = max(came, self.now)
