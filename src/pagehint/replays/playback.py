"""A recording through a design on a modelled host, in virtual time."""

from collections.abc import Callable, Set
from functools import partial
from typing import Any, Literal, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from pagehint.errors import BusyError, InputError
from pagehint.hinting.action import React
from pagehint.hinting.clock import VirtualClock
from pagehint.hinting.design import Design
from pagehint.hinting.designs.registry import reasons_of
from pagehint.hinting.designs.reporting import PageReporting
from pagehint.hinting.drivers.virtual import VirtualWorker
from pagehint.host.blocks import PAGE_BYTES
from pagehint.host.model import KHUGEPAGED_PERIOD, ModelHost
from pagehint.kernel.profiles import check_kernel, is_version, recorded_profile
from pagehint.mm.zone import Zone
from pagehint.replays.changes import Follower
from pagehint.replays.columns import COLUMNS
from pagehint.replays.device import ReplayDevice
from pagehint.replays.engine import Engine
from pagehint.replays.observers.best_possible import BestPossible, page_costs
from pagehint.replays.own_times import OwnTimes
from pagehint.replays.real import RealKind, RealMemory
from pagehint.replays.run import PRICE, are_recorded, vars_of
from pagehint.replays.start import Start, check_trace, first_request
from pagehint.replays.timeline import Timeline, reserve_of
from pagehint.replays.truth import backed_at_start, guest_host
from pagehint.trace.bundle import Trace
from pagehint.units import check_kind, parse_price, parse_time, shown

__all__ = ["Placement", "Playback"]

_AT_END, _AT_TIME, _RANG = range(3)
_NEVER = 1 << 62
_DECAY = 10**9
Placement = Literal["simulated", "recorded"]
Result = TypeVar("Result")


class Playback:
    """One replay on its way. `totals_only`: its run has its totals, but no peak, and nothing else that takes time.

    `own_times`: those of the recorded host at its batches count, instead of what they cost.
    """

    def __init__(
        self,
        trace: Trace,
        design: Design | None,
        host: ModelHost | None,
        placement: Placement,
        sample: str | int | None,
        backed: bool | None,
        touch: Set[str],
        progress: Callable[[int], None] | None,
        real: RealKind | None = None,
        kernel: str | None = None,
        price: float = PRICE,
        follows: bool = False,
        totals_only: bool = False,
        own_times: OwnTimes | None = None,
    ) -> None:
        if placement not in ("simulated", "recorded"):
            raise InputError(f"placement {shown(placement)}: expected simulated or recorded")
        check_trace(trace)
        # Before all else: one that can't be read is not to be said at the end.
        self.snapshots = trace.snapshot, trace.final_snapshot
        if design is not None and not isinstance(design, Design):
            raise InputError(f"{shown(design)} is no design: expected one such as PageReporting(), or None")
        if host is not None and not isinstance(host, ModelHost):
            raise InputError(f"{shown(host)} is no modelled host: expected a ModelHost, or None")
        if not isinstance(touch, Set) or not touch <= {"alloc", "zone_alloc", "free"}:
            raise InputError(f"touch {shown(touch)}: expected a set of some of alloc, zone_alloc, free")
        check_kind("progress", progress, Callable | None, "a function, or None")
        step = None if sample is None else parse_time(sample)
        if step == 0:
            raise InputError("a timeline needs a step above 0, such as 50ms")
        self.price = parse_price(price)
        self.totals_only = totals_only
        self.trace = trace
        self.design = design
        self.own_times = own_times
        self.reasons = reasons_of([design])
        self.kernel = check_kernel(kernel) or trace.meta.kernel
        self.profile = recorded_profile(self.kernel)
        self.start = Start.of(trace, self.profile, progress)
        if not is_version(self.kernel) and self.start.seen.evidence.likely() != self.profile:
            self.profile = self.start.seen.evidence.likely()
            self.start = Start.of(trace, self.profile, None)
        self.first = backed_at_start(trace, self.start, backed)
        self.host = host if host is not None else guest_host(trace)
        self.placement = placement
        self.progress = progress
        self.host.start(self.start.pages)
        self.engine: Engine = self.start.engine(self.host.backing, placement == "recorded", follows)
        self.engine.touch_alloc = "alloc" in touch
        self.engine.touch_zone_alloc = "zone_alloc" in touch
        self.engine.touch_free = "free" in touch
        self.begins = self._begins()
        self.clock = VirtualClock(min(trace.meta.first_ns, self.begins))
        self.worker: VirtualWorker | None = None
        self.follower: Follower | None = None
        if self.is_guests_own and isinstance(design, PageReporting) and trace.reporting_changes:
            self.follower = Follower(design, self._unload_device, self._start_device)
        self.errors_before = 0 if design is None else design.statistics.errors
        self.reserves: dict[Zone, int] = {}
        self._started = False
        self.backed = False
        self.best: BestPossible | None = None
        self.passes: list[int] = []
        # As each pass begins: blocks placed, and placed as recorded.
        self.placed_by: list[tuple[int, int]] = []
        self.device = ReplayDevice(self.host, self.engine, self.clock)
        self.timeline = Timeline(
            trace, self.start, self.engine, self.host, design, self.reasons, self.device, step, totals_only
        )
        if real is not None:
            self.device.real = RealMemory(real, self.host, self.start.pages)

    # Reporting of the guest's order that is there already goes on as it did; any other begins with a pass over all.
    def _begins(self) -> int:
        comes = max(self.start.load, self.trace.meta.first_ns)
        asked = first_request(self.trace)
        if asked is None or not isinstance(self.design, PageReporting):
            return comes
        return asked if self.design.order >= (self.trace.meta.known_reporting.order or 0) else comes

    @property
    def is_guests_own(self) -> bool:
        """Whether its settings are those of the recorded guest's own reporting, whatever memory the host has."""
        reporting, design = self.trace.meta.reporting, self.design
        settings = {"order": getattr(design, "order", None), "delay": getattr(design, "delay", None)}
        settings |= {"capacity": self.host.capacity, "host_memory": None}
        own = None if reporting is None else vars_of(reporting)
        return are_recorded(own, None if design is None else type(design), settings)

    def run(self, tell: Callable[[Self], Result]) -> Result:
        """Replay it all, and return what `tell` makes of it at its end.

        However it ends: the design has no device afterwards, and real memory is given back.
        """
        try:
            self._play()
            return tell(self)
        finally:
            self._end()

    # On its own, as Python does not enter the finally of a loop that a signal handler ends where it jumps back.
    def _play(self) -> None:
        if self.design is not None:
            self.worker = VirtualWorker(
                self.design,
                self.start.zones,
                self.clock,
                react_time=self._react_time,
                on_begin=self._pass_begins,
                rest_time=None if self.own_times is None else self._rest_time,
            )
        self.clock.call_at(self.begins, self._load_device)
        if self.follower is not None:
            self.follower.begin(self.trace.reporting_changes, self.clock)
        self.clock.run_until(self.trace.meta.first_ns - 1)  # the first pass may have been asked for before
        self.clock.call_at(max(self.first.time, self.clock.now), self._begin)
        if self.start.grows:
            self.clock.call_at(self.start.seen.boot_end + 1, self.start.boot_ended)
        if self.start.pcps and self.profile.pcp_tunes:
            # The kernel rounds this timer to whole seconds.
            self.clock.call_at((self.clock.now // _DECAY + 1) * _DECAY, self._decay)
        for batch in self.trace.batches(COLUMNS):
            self._apply(batch)
            if self.progress is not None:
                self.progress(len(batch["event"]))
        self.engine.end_frees()
        end = self.trace.meta.last_ns
        while self._next() <= end:
            self._go_on(self._next())
        self._go_on(end)
        self.timeline.end(end)  # as it stands, before the worker gives up
        if self.worker is not None:
            self.worker.stop()
            self._check_all_back()
        if self.follower is not None:
            self.follower.end()
        if self.best is not None:
            self.best.end(end)

    # What a design keeps, the guest would have lacked.
    def _check_all_back(self) -> None:
        if kept := sum(zone.in_flight_pages for zone in self.start.zones):
            raise InputError(
                f"{type(self.design).__name__}: {kept:,} pages that it took never came back: take blocks into its "
                "batch, or drain() a batch of its own"
            )

    def _end(self) -> None:
        if self._started and self.design is not None:
            self.design.abort()
        if self.follower is not None:
            self.follower.end()
        if self.device.real is not None:
            self.device.real.close()
        # The zones know the device, worker and follower know this: circles, which stayed until Python looks for such.
        self.worker = self.follower = None
        self.device.leave()

    # Time

    def _next(self) -> int:
        due = self.clock.next_time
        return min(_NEVER if due is None else due, self.timeline.next_time)

    def _go_on(self, time: int) -> None:
        self.engine.pass_time(time)
        self.clock.run_until(time)
        self.timeline.sample(time)

    def _apply(self, batch: dict[str, NDArray[Any]]) -> None:
        engine = self.engine
        engine.load(batch)
        give_up = False
        while True:
            until = self._next()
            ended = engine.run(until, give_up)
            give_up = False
            if ended == _AT_END:
                return
            if ended == _AT_TIME:
                self._go_on(until)
                due = self.clock.next_time
                self.timeline.rest_until(engine.next_time if due is None else min(due, engine.next_time))
                continue
            self.clock.run_until(engine.now)
            if ended == _RANG:
                engine.ring()
            else:
                give_up = not (self.worker is not None and self.worker.wait_for_react())

    # The device and its host

    def _begin(self) -> None:
        self._back()
        self.timeline.begin(self.clock.now)
        if self.host.memory is None:
            self._watch_best()
        if self.host.khugepaged:
            self._call_in(KHUGEPAGED_PERIOD, self._collapse)

    # Unless the recording ends before.
    def _call_in(self, time: int, action: Callable[[], None]) -> None:
        if self.clock.now + time <= self.trace.meta.last_ns:
            self.clock.call_at(self.clock.now + time, action)

    def _collapse(self) -> None:
        self.engine.pass_time(self.clock.now)
        if self.host.collapse():
            self.engine.count_used()
            self.engine.all_stale()
        self._call_in(KHUGEPAGED_PERIOD, self._collapse)

    def _watch_best(self) -> None:
        begin, end = self.clock.now, self.trace.meta.last_ns
        rate = self.price * PAGE_BYTES / (1 << 30) / 60
        costs = page_costs(self.host.page_size, self.host.costs, self.device.capacity)
        self.best = BestPossible(self.start.pages, rate, *costs, begin, max(begin, end))
        backed = np.unpackbits(self.host.backing.snapshot(), bitorder="little")[: self.start.pages].view(np.bool_)
        self.engine.watch(self.best, backed)

    # What is backed was recorded after the device came: a design that is faster than the recorded one finds it so too.
    def _back(self) -> None:
        if not self.backed:
            self.backed = True
            self.start.lay_untouched(self.engine, self.first.backed)
            self.host.backing.load(self.engine.model_pages(self.first.backed))
            self.engine.count_used()
            if self.device.real is not None:
                self.device.real.attach(self.engine)
                self._sample_real(self.device.real)

    def _sample_real(self, real: RealMemory) -> None:
        real.sample(self.clock.now)
        step = real.step(self.trace.meta.last_ns - self.first.time)
        self._call_in(step, partial(self._sample_real, real))

    def _load_device(self) -> None:
        self.engine.still_used(self.start.seen.in_bulk)
        self._start_device()

    def _unload_device(self) -> None:
        if self.worker is not None:
            self.worker.stop()

    def _start_device(self) -> None:
        if self.worker is not None:
            # Before it is, as an interrupt may come right behind it; unless it is another replay's.
            self._started = not self.worker.design.started
            try:
                self.worker.start(self.device)
            except BusyError as error:
                self._started = False
                name = type(self.worker.design).__name__
                raise BusyError(f"this {name} is in use elsewhere: give each replay a design of its own") from error
            self.reserves = {zone: reserve_of(self.worker.design, zone) for zone in self.start.zones}

    def _decay(self) -> None:
        rests = not self.start.decay()
        # Nothing changes then before the next event.
        left = max(self.engine.next_time - self.clock.now, 0) if rests else 0
        self._call_in(_DECAY + left // _DECAY * _DECAY, self._decay)

    def _pass_begins(self, now: int) -> None:
        self.passes.append(now)
        self.placed_by.append((self.engine.placed, self.engine.placed_as_recorded))

    def _react_time(self, react: React) -> int:
        self._back()
        took = None if self.own_times is None else self.own_times.batch_time(self.clock.now)
        return self.host.react_time(react.batch) if took is None else took

    def _rest_time(self) -> int:
        assert self.own_times is not None
        return self.own_times.rest_time(self.clock.now)
