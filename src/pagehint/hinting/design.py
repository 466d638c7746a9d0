"""What every hinting design is: an object that says what to do next, and is told what happened (sans-I/O).

A design never sleeps, calls a device or reads a clock. Whoever drives it asks ``next(now)`` and does what it says:

========== ================================================================================
Begin      a run of the work begins (a *pass*, in spec 2); ask again
React      tell the device of ``batch``; then ``reacted(error, now)``, and ask again
Sleep      nothing to do before ``until``; ask again then, or after ``notified``
Idle       nothing to do; ask again after ``notified``
========== ================================================================================

Times are nanoseconds on a clock of the driver's choice. A driver calls a design from one thread at a time.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from pagehint.errors import BusyError, InputError
from pagehint.hinting.device import Device
from pagehint.mm.batch import Batch
from pagehint.mm.zone import Zone
from pagehint.units import parse_time, whole_number

__all__ = ["BEGIN", "IDLE", "Action", "Begin", "Design", "Idle", "React", "Sleep", "Statistics"]


@dataclass(frozen=True, slots=True)
class Begin:
    """A run of the work begins."""


@dataclass(frozen=True, slots=True)
class React:
    """Tell the device of the batch, whose blocks came from the zone."""

    zone: Zone
    batch: Batch


@dataclass(frozen=True, slots=True)
class Sleep:
    """Nothing to do before ``until`` (nanoseconds)."""

    until: int


@dataclass(frozen=True, slots=True)
class Idle:
    """Nothing to do until a free notifies."""


Action = Begin | React | Sleep | Idle
Run = Generator[React, BaseException | None, None]
Telling = Generator[React, BaseException | None, bool]
BEGIN = Begin()
IDLE = Idle()

_SHORTEST_PAUSE = 10**6  # however short the delay: a device that always fails must not make the worker spin
_LONGEST_PAUSE = 60 * 10**9


@dataclass(frozen=True, slots=True)
class Statistics:
    """What a design did since it was made: runs, batches, blocks and pages given back, and errors."""

    runs: int
    batches: int
    blocks: int
    pages: int
    errors: int
    last_error: BaseException | None


class Design(ABC):
    """The part that all designs share: device and zones, one batch, when the work is due, errors.

    ``order``: the least order of a block that is told. ``delay``: from a request to the work (ns, or ``"100ms"``).
    """

    def __init__(self, order: int, delay: int | str, high_water_mark: int) -> None:
        self.order = whole_number("order", order, 0, 31)
        self.delay = parse_time(delay)
        self.high_water_mark = whole_number("high_water_mark", high_water_mark, 0, 1 << 32)
        self._zones: tuple[Zone, ...] = ()
        self._started: dict[str, Batch] = {}  # whose setdefault() decides which of two starts wins
        self._reacts: dict[Zone, React] = {}
        self._batch: Batch | None = None
        self._run: Run | None = None
        self._telling: React | None = None
        self._outcome: BaseException | None = None
        self._due: int | None = None
        self._now = 0
        self._shortest_pause = max(self.delay, _SHORTEST_PAUSE)
        self._pause = self._shortest_pause
        self._stopping = False
        self._runs = self._batches = self._blocks = self._pages = self._errors = 0
        self._last_error: BaseException | None = None

    # Start and stop

    @property
    def started(self) -> bool:
        """A device is started."""
        return self._batch is not None

    def start(
        self,
        zones: Sequence[Zone],
        device: Device,
        now: int,
        doorbell: Callable[[Zone], None],
        settle: Callable[[Zone, Callable[[], int]], int],
    ) -> None:
        """Begin to tell ``device`` of the blocks of ``zones``; ``doorbell(zone)`` rings where a free notifies.

        ``settle(zone, attempt)`` is called by who found nothing while blocks were in flight: see ``Zone.settle``.

        Raises BusyError if this design, or another one in a zone, has a device; InputError for a bad capacity or order.
        """
        if self._started:
            raise BusyError("a hinting device is started already")
        batch = Batch(device.capacity)
        bells: list[tuple[Zone, Callable[[], None]]] = []
        try:
            if self._started.setdefault("batch", batch) is not batch:
                raise BusyError("a hinting device is started already")
            for zone in zones:
                bells.append((zone, partial(doorbell, zone)))
                zone.attach(self.order, self.high_water_mark, device, bells[-1][1], settle)
            self._batch = batch
            self._run = self._telling = self._outcome = self._due = None
            self._forget()
            self._zones = tuple(zones)
            self._reacts = {zone: React(zone, batch) for zone in zones}
            self._stopping = False
            self._pause = self._shortest_pause
            self._now = now
            self._request_all()
        except BaseException:
            for zone, bell in bells:
                zone.detach(bell)
            if self._started.get("batch") is batch:
                self._batch = None
                self._started.clear()
            raise

    def stop(self) -> bool:
        """Frees stop notifying and pending work is cancelled; true if that is all, false if a react still runs:

        then tell of its end and ask ``next`` as before, until it says Idle.
        """
        if self._batch is None:
            return True
        for zone in self._zones:
            zone.mute()
        self._due = None
        self._stopping = True
        if self._run is None:
            self._ended()
        return not self.started

    def abort(self, error: BaseException | None = None) -> None:
        """Stop at once, wherever it is, when a driver can't go on: blocks in flight go back unhinted.

        ``error`` is counted. Nothing if no device is started.
        """
        if self._batch is None:
            return
        run, self._run = self._run, None
        if run is not None:
            run.close()
        self._telling = None
        if error is not None:
            self._count_error(error)
        self.stop()

    def _take_back(self) -> None:
        """Blocks that were pulled, and that nobody will be told of, go back."""
        batch = self._batch
        if batch and self._telling is None:
            for zone in self._zones:
                with suppress(InputError):  # they are another zone's
                    zone.drain(batch, False)

    def _ended(self) -> None:
        self._take_back()
        for zone in self._zones:
            zone.end()
            zone.detach()
        self._batch = None
        self._started.clear()

    # What the driver asks and tells

    @property
    def pending(self) -> int | None:
        """When the work is due, or None."""
        return self._due

    def next(self, now: int) -> Action:
        """What to do now. A React is said again until ``reacted`` ends it."""
        self._now = now
        if self._telling is not None:
            if self._batch:
                return self._telling
            self._telling = None  # interrupted when its blocks were back
        run = self._run
        if run is None:
            return self._begin_or_rest()
        outcome, self._outcome = self._outcome, None
        try:
            return run.send(outcome)
        except StopIteration:
            self._run = None
        except BaseException:  # Ctrl-C, or a zone's own error: another run does what is left
            self._run = self._telling = None
            self._take_back()
            if not self._stopping:
                self._request_all()
            raise
        if self._stopping:
            self._ended()
            return IDLE
        return self._begin_or_rest()

    def _begin_or_rest(self) -> Action:
        if self._batch is None:
            return IDLE
        self._look_around()
        if self._due is None or self._now < self._due:
            return self._rest()
        self._due = None
        self._runs += 1
        self._outcome = None
        self._run = self._work()
        return BEGIN

    def reacted(self, error: BaseException | None, now: int) -> None:
        """The device was told: it gave up the memory (None), or failed. The batch's blocks go back."""
        react = self._telling
        assert react is not None
        batch = react.batch
        blocks, pages = len(batch), batch.pages
        self._now = now
        self._outcome = error
        react.zone.drain(batch, error is None)
        self._telling = None
        if error is None:
            self._batches += 1
            self._blocks += blocks
            self._pages += pages
            self._pause = self._shortest_pause
        else:
            self._count_error(error)

    @abstractmethod
    def notified(self, zone: Zone, now: int) -> None:
        """A free set ``requested`` on the zone."""

    @property
    def statistics(self) -> Statistics:
        """What was done so far."""
        return Statistics(self._runs, self._batches, self._blocks, self._pages, self._errors, self._last_error)

    @property
    def in_flight(self) -> Batch | None:
        """The batch that the device is being told of, or None."""
        return None if self._telling is None else self._telling.batch

    @abstractmethod
    def holds_back(self, zone: Zone) -> str:
        """Why a free block of at least ``order`` in the zone is untold now: a name of attribution (docs/metrics.md)."""

    # What a design fills in

    def _forget(self) -> None:  # noqa: B027  (only some designs know anything)
        """A device starts: know no more than a new design does; errors and the like are counted on."""

    @abstractmethod
    def _request_all(self) -> None: ...

    @abstractmethod
    def _work(self) -> Run: ...

    def _look_around(self) -> None:  # noqa: B027  (only some designs have anything to look for)
        """See to what no free notifies of, before the design looks for work that is due."""

    def _rest(self) -> Action:
        return IDLE if self._due is None else Sleep(self._due)

    def _schedule(self, delay: int) -> None:
        if self._due is None and not self._stopping:
            self._due = self._now + delay

    def _retry_later(self) -> None:
        """The device failed: the work is due again after a growing pause."""
        if not self._stopping:
            self._due = self._now + self._pause
        self._pause = min(2 * self._pause, max(_LONGEST_PAUSE, self.delay))

    def _count_error(self, error: BaseException) -> None:
        self._errors += 1
        self._last_error = error
