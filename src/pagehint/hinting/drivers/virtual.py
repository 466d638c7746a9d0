"""A design driven in virtual time."""

from collections.abc import Callable, Sequence

from pagehint.hinting.clock import Timer, VirtualClock
from pagehint.hinting.design import Begin, Design, React, Sleep
from pagehint.hinting.device import Device
from pagehint.mm.zone import Zone

__all__ = ["VirtualWorker"]


class VirtualWorker:
    """Runs a design over ``zones`` on a VirtualClock: deterministic, in the caller's thread.

    ``react_time(react)`` says how long a react takes (ns): its blocks are in flight until then, and the device is
    told at its end. None: no time. ``on_begin(now)`` is called as each run of the work begins. ``stalls`` counts the
    allocations that waited for blocks in flight, ``stalled`` the time that they took (ns).
    """

    def __init__(
        self,
        design: Design,
        zones: Sequence[Zone],
        clock: VirtualClock,
        react_time: Callable[[React], int] | None = None,
        on_begin: Callable[[int], None] | None = None,
    ) -> None:
        self.design = design
        self.clock = clock
        self._zones = tuple(zones)
        self._react_time = react_time
        self._on_begin = on_begin
        self._device: Device | None = None
        self._timer: Timer | None = None
        self._reacting: React | None = None
        self._stepping = False
        self._waited_for = False
        self.stalls = 0
        self.stalled = 0

    def start(self, device: Device) -> None:
        """Start a device. Raises BusyError if one is started, InputError for a bad capacity or order."""
        if self.design.ages:
            self.clock.lead(self._zones)
        self.design.start(self._zones, device, self.clock.now, self._notified, self._settle)
        self._device = device
        self._arm(self.clock.now)

    def stop(self) -> None:
        """Stop it: frees stop notifying, and a running react is waited for: the clock goes on to its end.

        Called from within a react, it returns at once, and the device is stopped when the react ends. What an
        exception interrupted (Ctrl-C) ends as it is: blocks in flight go back, and it can be started again. Nothing if
        no device is started.
        """
        self.design.stop()
        while self._reacting is not None and (timer := self._set_timer()) is not None:
            self.clock.run_until(timer.time)
        if not self._stepping:
            self._reacting = None
            self._disarm()
            self.design.abort()

    def _notified(self, zone: Zone) -> None:
        self.design.notified(zone, self.clock.now)
        if self.design.pending is not None and not self._stepping and self._reacting is None:
            self._arm(self.design.pending)

    def _settle(self, zone: Zone, attempt: Callable[[], int]) -> int:
        pfn = -1
        while pfn < 0 and zone.in_flight_pages and self.wait_for_react():
            pfn = attempt()
        return pfn

    def wait_for_react(self) -> bool:
        """Go on to the end of the running react, for an allocation that found nothing: its blocks are back then, and no
        others pulled yet. False if none runs.
        """
        react, began = self._reacting, self.clock.now
        if react is None:
            return False
        self._waited_for = True
        while self._reacting is react:
            if self._set_timer() is None:  # an interrupt took it away
                self._arm(self.clock.now)
            self.clock.step()
        self.stalls += 1
        self.stalled += self.clock.now - began
        return True

    # The timer, unless it has run, or an interrupt took it away.
    def _set_timer(self) -> Timer | None:
        return None if self._timer is None or self._timer.action is None else self._timer

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _arm(self, time: int) -> None:
        timer = self._set_timer()
        if timer is not None and timer.time <= time:
            return
        self._disarm()
        self._timer = self.clock.call_at(time, self._step)

    def _step(self) -> None:
        self._timer = None
        interrupt: BaseException | None = None
        ended = False
        try:
            self._stepping = True
            interrupt = self._act()
            ended = True
        finally:
            self._stepping = False
            if self._waited_for or not ended:
                self._waited_for = False
                self._arm(self.clock.now)
        if interrupt is not None:
            raise interrupt

    # On its own, as Python does not enter the finally of a loop that a signal handler ends where it jumps back.
    def _act(self) -> BaseException | None:
        interrupt: BaseException | None = None
        clock, what_next, react_time, tell = self.clock, self.design.next, self._react_time, self._tell
        if self._reacting is not None:
            interrupt = tell(self._reacting)
        while not self._waited_for:
            action = what_next(clock.now)
            if isinstance(action, React):
                if react_time is not None and (takes := react_time(action)) > 0:
                    self._arm(clock.now + takes)
                    self._reacting = action
                    break
                interrupt = tell(action) or interrupt
            elif isinstance(action, Begin):
                if self._on_begin is not None:
                    self._on_begin(self.clock.now)
            else:
                if isinstance(action, Sleep):
                    self._arm(action.until)
                break
        return interrupt

    def _tell(self, react: React) -> BaseException | None:
        """Tell the device; what is no Exception (Ctrl-C) counts as a failure too, and is returned to be raised."""
        self._reacting = None
        device = self._device
        assert device is not None
        error: BaseException | None = None
        try:
            device.react(react.batch)
        except BaseException as raised:
            error = raised
        self.design.reacted(error, self.clock.now)
        return None if error is None or isinstance(error, Exception) else error
