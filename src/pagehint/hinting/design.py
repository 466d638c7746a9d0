# cython: annotation_typing=False, boundscheck=True, wraparound=True, cdivision=False
"""What every hinting design is: an object that says what to do next, and is told what happened (sans-I/O).

A design never sleeps, calls a device or reads a clock. Whoever drives it asks ``next(now)`` and does what it says:

========== ================================================================================
Begin      a run of the work begins (a *pass*, in docs/spec/2); ask again
React      tell the device of ``batch``; then ``reacted(error, now)``, and ask again
Sleep      nothing to do before ``until``; ask again then, or after ``notified``
Idle       nothing to do; ask again after ``notified``
========== ================================================================================

Times are nanoseconds on a clock of the driver's choice. A driver calls a design from one thread at a time.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from inspect import isasyncgenfunction, iscoroutinefunction
from typing import Any, ClassVar

from pagehint.errors import BusyError, InputError, without_frames
from pagehint.hinting.action import IDLE, Action, React, Sleep, Work
from pagehint.hinting.conversation import Conversation
from pagehint.hinting.device import Device
from pagehint.hinting.setting import Setting
from pagehint.mm.batch import Batch
from pagehint.mm.check import check_zones
from pagehint.mm.zone import Zone
from pagehint.units import integer, shown, whole_number

__all__ = ["NONE", "Design", "Statistics"]

NONE = "none"
"""The label of no design: nothing is given back."""


_SHORTEST_PAUSE = 10**6  # however short the delay: a device that always fails must not make the worker spin
_LONGEST_PAUSE = 60 * 10**9
_MOST_DOUBLINGS = 20


def _is_words(value: object) -> bool:
    return isinstance(value, str) and value.isprintable() and bool(value.strip())


def _check_settings(design: str, settings: Mapping[str, Setting]) -> None:
    for name, setting in settings.items():
        if name.startswith("_") or (hasattr(Design, name) and name not in ("order", "delay")):
            raise InputError(f"{design}: its setting {shown(name)} is a name of Design's own: rename it")
        if setting.name != name:
            raise InputError(f"{design}: its setting {shown(name)} is {setting.name!r} too: make one for each")


def _check_class(design: "type[Design]") -> None:
    name = design.__name__
    if not _is_words(design.label):
        raise InputError(f"{name} has label {shown(design.label)}: expected a text of one line")
    if design.label == NONE:
        raise InputError(f"{name} has label {NONE!r}, which says that there is no design: choose another")
    reasons = design.reasons
    if not isinstance(reasons, Mapping) or not all(map(_is_words, (*reasons, *reasons.values()))):
        raise InputError(f"{name} has reasons {shown(reasons)}: expected names, each with what it means: {{...}}")
    if not isinstance(design.released, Mapping | None):
        raise InputError(
            f"{name} has released {shown(design.released)}: expected names, each with what it is fixed to: {{...}}"
        )
    for what in ("order", "delay"):
        value = getattr(design, what)
        if isinstance(value, str | float | None):
            raise InputError(f"{name} has {what} {shown(value)}: expected a whole number, or a Setting")
    for what, method in vars(design).items():
        if hasattr(Design, what) and (iscoroutinefunction(method) or isasyncgenfunction(method)):
            raise InputError(f"{name}: {what}() is async, and nobody awaits it: write it with def alone")


@dataclass(frozen=True, slots=True)
class Statistics:
    """What a design did since it was made: runs, batches, blocks and pages given back, and errors."""

    runs: int
    batches: int
    blocks: int
    pages: int
    errors: int
    last_error: BaseException | None


class Design(Conversation, ABC):
    """A hinting design: a class of its own says what it gives back, and when; the rest is here.

    Such a class declares its settings (``Setting``), whose values its constructor takes, by name or in their order;
    ``label``, its name; ``reasons``, which ``holds_back`` tells, each with what it means; and ``work``. It may use
    ``zones``, ``batch``, ``now`` (ns), ``running`` (a run of the work has begun), ``stopping``, and ``pending``.
    Raises InputError for a setting that is none of its own, or not as it should be.
    """

    label: ClassVar[str] = ""
    reasons: ClassVar[Mapping[str, str]] = {}
    settings: ClassVar[Mapping[str, Setting]] = {}
    """All that are declared in the class and its bases, by name, in their order."""

    released: ClassVar[Mapping[str, Any] | None] = None
    """Settings, of it and of its device, that kernels before 7.3 fix: the others can be set. None: no kernel has it."""

    ages: ClassVar[bool] = False
    """Whether its zones keep the ages of free blocks, for ``Zone.ages`` and ``Zone.pull``."""

    order: int = 0
    """The least order of a block that is told; a setting where a design declares it as one."""
    delay: int = 0
    """From a request to the work (ns); a setting where a design declares it as one."""

    def __init_subclass__(cls, **more: Any) -> None:
        super().__init_subclass__(**more)
        settings: dict[str, Setting] = {}
        for base in reversed(cls.__mro__):
            for name, value in vars(base).items():
                settings.pop(name, None)
                if isinstance(value, Setting):
                    settings[name] = value
        _check_settings(cls.__name__, settings)
        cls.settings = settings
        if "label" not in vars(cls):
            cls.label = cls.__name__
        _check_class(cls)

    def __init__(self, *values: Any, **settings: Any) -> None:
        super().__init__()
        names = list(self.settings)
        given = dict(zip(names, values, strict=False))
        unknown = [name for name in settings if name not in names or name in given]
        if unknown or len(values) > len(names):
            what = shown(unknown[0]) if unknown else f"{len(values)} values"
            expected = f"each of {', '.join(names)} at most once" if names else "none"
            raise InputError(f"{what}: no settings of {self.label}: expected {expected}")
        for name, setting in self.settings.items():
            setattr(self, name, setting.parse({**given, **settings}.get(name, setting.default)))
        self._started: dict[str, Batch] = {}  # whose setdefault() decides which of two starts wins
        self._bell: Callable[[], None] | None = None
        self.forget()

    def values(self) -> dict[str, Any]:
        """The settings and their values."""
        return {name: getattr(self, name) for name in self.settings}

    def __repr__(self) -> str:
        given = (f"{name}={value!r}" for name, value in self.values().items() if value is not None)
        return f"{type(self).__name__}({', '.join(given)})"

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
        if not hasattr(self, "_started"):
            raise InputError(f"{type(self).__name__}: its __init__() never called super().__init__() with its settings")
        if self._started:
            raise BusyError("a hinting device is started already")
        check_zones(zones)
        if not hasattr(device, "capacity"):
            raise InputError(f"{shown(device)} is no device: it has no capacity")
        batch = Batch(device.capacity)
        bells: list[tuple[Zone, Callable[[], None]]] = []
        try:
            if self._started.setdefault("batch", batch) is not batch:
                raise BusyError("a hinting device is started already")
            least = whole_number(f"{self.label}: threshold() said", self.threshold(), 0, 1 << 32)
            for zone in zones:
                bells.append((zone, partial(doorbell, zone)))
                zone.attach(self.order, least, device, bells[-1][1], settle, self.ages)
            self._batch = batch
            self._run = self._telling = self._outcome = self.pending = None
            self.forget()
            self.zones = tuple(zones)
            self._reacts = {zone: React(zone, batch) for zone in zones}
            self._bell = bells[0][1] if bells else None
            self.stopping = False
            self._failures = 0
            self.now = now
            self.begin_anew()
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
        for zone in self.zones:
            zone.mute()
        self.pending = None
        self.stopping = True
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
            self.count_error(error)
        self.stop()

    def _take_back(self) -> None:
        """Blocks that were pulled, and that nobody will be told of, go back."""
        batch = self._batch
        if batch and self._telling is None:
            for zone in self.zones:
                with suppress(InputError):  # they are another zone's
                    zone.drain(batch, False)

    def _ended(self) -> None:
        self._take_back()
        for zone in self.zones:
            zone.end()
            zone.detach()
        self._batch = None
        self._bell = None
        self._started.clear()

    # What the driver asks and tells: ``next`` and ``reacted`` are Conversation's

    def notified(self, zone: Zone, now: int) -> None:
        """A free set ``requested`` on the zone."""
        self.now = now
        self.wake(zone)

    @property
    def statistics(self) -> Statistics:
        """What was done so far."""
        return Statistics(self._runs, self._batches, self._blocks, self._pages, self._errors, self._last_error)

    @property
    def in_flight(self) -> Batch | None:
        """The batch that the device is being told of, or None."""
        return None if self._telling is None else self._telling.batch

    # What a design fills in

    @abstractmethod
    def work(self) -> Work:
        """A run of the work: fills ``batch`` with a zone's blocks, and tells of it, as long as there are any.

        ``failed = yield self.tell(zone)``; ``stopping`` ends it. What is still in the batch at its end goes back.
        """

    def forget(self) -> None:
        """It is made, or a device starts: a design with a state of its own sets it as it is at first."""

    def begin_anew(self) -> None:
        """A device was started, or a run was interrupted: all that is free may be untold."""
        for zone in self.zones:
            zone.request()
        self.schedule(self.delay)

    def wake(self, zone: Zone) -> None:
        """A free set ``requested`` on the zone: there is work."""
        self.schedule(self.delay)

    def threshold(self) -> int:
        """How many untold free blocks of an order (of at least ``order``) a free must find to set ``requested``."""
        return 0

    def holds_back(self, zone: Zone) -> str:
        """Why a free block of at least ``order`` in the zone is untold now: one of ``reasons``, or ``waiting``.

        Asked after whatever the design was told or did, and not while ``reserve`` says it already.
        """
        return "waiting"

    def reserve(self, zone: Zone) -> int:
        """With fewer free pages than this the design takes no block of the zone: they are ``watermark``'s."""
        return zone.watermarks.low + (1 << self.order)

    def look_around(self) -> None:
        """See to what no free notifies of, before the design looks for work that is due."""

    def rest(self) -> Action:
        """Nothing is due now: Idle, or Sleep until something is."""
        return IDLE if self.pending is None else Sleep(self.pending)

    # What a design uses

    @property
    def batch(self) -> Batch:
        """The batch of the started device. Raises InputError if none is started."""
        if self._batch is None:
            raise InputError(f"{self.label} has no batch: no device is started")
        return self._batch

    @property
    def running(self) -> bool:
        """A run of the work has begun, and not ended."""
        return self._run is not None

    def tell(self, zone: Zone) -> React:
        """Tell the device of ``batch``, whose blocks came from the zone: ``failed = yield self.tell(zone)``.

        Gives what it failed with, or None. Then the blocks are back in the zone, and the batch is empty. Raises
        InputError for what is none of ``zones``.
        """
        if zone not in self._reacts:
            raise InputError(f"{type(self).__name__}: {shown(zone)} is none of its zones")
        return self._reacts[zone]

    def tell_all(self, zone: Zone) -> React:
        """Fill ``batch`` from the zone (``Zone.fill``) and tell of it, while one is full: ``failed = yield
        self.tell_all(zone)``.

        Gives what the device failed with, or None: then nothing untold was left, or the device is being stopped. Needs
        a cycle (``Zone.begin``), and an empty batch.
        """
        self._all = self.tell(zone)
        return self._all

    def ring(self) -> None:
        """Have the driver ask for work soon, as a free does (``wake``): what may be called from any thread."""
        bell = self._bell
        if bell is not None:
            bell()

    def schedule(self, delay: int) -> None:
        """The work is due after ``delay`` (ns, a whole number; below 0: at once), unless it is due already, or the
        device stops. Raises InputError."""
        if type(delay) is not int:
            delay = integer(f"{type(self).__name__}: schedule()'s delay", delay)
        if self.pending is None and not self.stopping:
            self.pending = self.now + delay

    def retry_later(self) -> None:
        """The device failed: the work is due again after a growing pause."""
        shortest = max(self.delay, _SHORTEST_PAUSE)
        if not self.stopping:
            self.pending = self.now + min(shortest << self._failures, max(_LONGEST_PAUSE, self.delay))
        self._failures = min(self._failures + 1, _MOST_DOUBLINGS)

    def count_error(self, error: BaseException) -> None:
        """Count a failure, of the device or another; ``last_error`` is a copy of it, without its traceback."""
        self._errors += 1
        self._last_error = without_frames(error)
