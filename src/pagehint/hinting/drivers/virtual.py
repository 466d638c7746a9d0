"""A design driven in virtual time."""

import cython

from pagehint.errors import InputError
from pagehint.hinting.action import Begin, Idle, React, Sleep, no_action
from pagehint.hinting.clock import VirtualClock
from pagehint.hinting.conversation import Conversation
from pagehint.hinting.device import react_of
from pagehint.units import format_time, several

__all__ = ["VirtualWorker"]

_AT_ONCE = cython.declare(cython.longlong, 10**9)
# Actions that give nothing back in that time, of no free's doing: it would go on so for ever.
_MOST_AT_ONCE = cython.declare(cython.long, 100_000)


@cython.final
@cython.cclass
class VirtualWorker:
    """Runs a design over ``zones`` on a VirtualClock: deterministic, in the caller's thread.

    ``react_time(react)`` says how long a react takes (ns): its blocks are in flight until then, and the device is
    told at its end. None: no time. ``rest_time()`` says how long after it the work goes on (ns); None: at once.
    ``on_begin(now)`` is called as each run of the work begins. ``stalls`` counts the allocations that waited for blocks
    in flight, ``stalled`` the time that they took (ns).

    Whoever moves the clock gets InputError from a design that does nothing again and again while no time passes, or
    hardly any, and from one that says what is no action.
    """

    def __init__(
        self, design: Conversation, zones, clock: VirtualClock, react_time=None, on_begin=None, rest_time=None
    ):
        self.design = design
        self.clock = clock
        self._zones = tuple(several(zones))
        self._react_time = react_time
        self._on_begin = on_begin
        self._rest_time = rest_time
        # A design's own `next` or `reacted` is asked; else what they are in C.
        kind = type(design)
        self._overridden = kind.next is not Conversation.next or kind.reacted is not Conversation.reacted
        self._react = None
        self._timer = None
        self._reacting = None
        self._stepping = self._waited_for = False
        self.stalls = self.stalled = 0
        self._asked_at = 0
        self._asked = 0  # since then, and since the device was told of a batch, or a zone notified of a free

    def __repr__(self):
        return f"<VirtualWorker of {self.design!r}, {'started' if self.design.started else 'stopped'}>"

    def start(self, device):
        """Start a device. Raises BusyError if one is started, InputError for a bad capacity or order."""
        react = react_of(device)
        if self.design.ages:
            self.clock.lead(self._zones)
        self.design.start(self._zones, device, self.clock.now, self._notified, self._settle)
        self._react = react
        self._arm(self.clock.now)

    def stop(self):
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

    def _notified(self, zone):
        self._asked = 0
        self.design.notified(zone, self.clock.now)
        if (due := self.design._due()) is not None and not self._stepping and self._reacting is None:
            self._arm(due)

    def _settle(self, zone, attempt):
        pfn = -1
        while pfn < 0 and zone.in_flight_pages and self.wait_for_react():
            pfn = attempt()
        return pfn

    def wait_for_react(self):
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
    def _set_timer(self):
        return None if self._timer is None or self._timer.action is None else self._timer

    def _disarm(self):
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _arm(self, time):
        timer = self._set_timer()
        if timer is not None and timer.time <= time:
            return
        self._disarm()
        self._timer = self.clock.call_at(time, self._step)

    def _step(self):
        self._timer = None
        interrupt = None
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
    def _act(self):
        interrupt = None
        clock, react_time = self.clock, self._react_time
        if self._reacting is not None:
            interrupt = self._tell()
            if self._rest_time is not None and (rests := self._rest_time()) > 0 and not self._waited_for:
                self._arm(clock.now + rests)
                return interrupt
        while not self._waited_for:
            action = self.design.next(clock.now) if self._overridden else self.design._ask(clock.now)
            self._count(clock.now)
            if isinstance(action, React) and self.design._telling is not None:
                if react_time is not None and (takes := react_time(action)) > 0:
                    self._arm(clock.now + takes)
                    self._reacting = action
                    break
                interrupt = self._tell() or interrupt
            elif isinstance(action, Begin):
                if self._on_begin is not None:
                    self._on_begin(clock.now)
            elif isinstance(action, Sleep):
                self._arm(action.until)
                break
            elif isinstance(action, Idle):
                break
            else:
                raise no_action(self.design, action)
        return interrupt

    def _count(self, now):
        if now - self._asked_at >= _AT_ONCE:
            self._asked_at, self._asked = now, 0
        self._asked += 1
        if self._asked > _MOST_AT_ONCE:
            raise InputError(
                f"{type(self.design).__name__}: at {now / 1e9:.3f} s it was asked {_MOST_AT_ONCE:,} times what to do, "
                f"within {format_time(now - self._asked_at)}, and gave nothing back: schedule() its work, or let "
                "rest() sleep, until later"
            )

    def _tell(self):
        """Tell the device; what is no Exception (Ctrl-C) counts as a failure too, and is returned to be raised."""
        self._reacting = None
        if self.design._telling is None:  # aborted meanwhile
            return None
        error = None
        try:
            self._react(self.design._batch)
        except BaseException as raised:
            error = raised
        if error is None:
            self._asked = 0
        if self._overridden:
            self.design._end_react(error, self.clock.now)
        else:
            self.design._tell(error, self.clock.now)
        return None if error is None or isinstance(error, Exception) else error
