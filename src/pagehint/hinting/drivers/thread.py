"""A design driven in real time, on a thread of its own."""

import _thread
import contextlib
import os
import queue
import sys
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Sequence

from pagehint.errors import BusyError, PagehintError, starting_threads
from pagehint.hinting.action import Begin, Idle, React, Sleep, no_action
from pagehint.hinting.design import Design
from pagehint.hinting.device import Device, react_of
from pagehint.mm.zone import Zone
from pagehint.units import check_kind, several

__all__ = ["ThreadWorker"]

# Code that a signal handler or a finalizer interrupts may be anywhere, and what interrupts it may call anything here,
# or raise. So nothing here holds a lock that both might want: messages go through a SimpleQueue, whose put() may
# interrupt itself, and whoever waits waits on a lock of his own, which the worker releases. A start is one call that
# makes the thread, and only that thread, where no handler runs, takes the worker's place and touches the design.
# threading.Thread won't do: its start() takes locks, and what ends it halfway leaves a thread that hangs.
_LONGEST_RETRY = 1.0
_LONGEST_WAIT = 3600.0  # seconds; a queue refuses to wait for centuries
_LONGEST_NAME = 15

_here = threading.local()  # .works: a worker's thread, where a wait for a react, this one's or another's, may not end


class _Waiter:
    """An allocation that waits for blocks in flight: the worker releases ``go``, and then waits for ``tried``."""

    def __init__(self) -> None:
        self.go = threading.Lock()
        self.tried = threading.Lock()
        self.go.acquire()
        self.tried.acquire()


class _Session:
    """A device from its start to its end: the worker's thread and messages, how its start went, and what came next.

    What is to be decided once is: ``setdefault`` on ``_decided`` is one step, and tells everybody the same.
    """

    def __init__(self) -> None:
        self.inbox: queue.SimpleQueue[Zone | None] = queue.SimpleQueue()
        self.outcome: queue.SimpleQueue[BaseException | None] = queue.SimpleQueue()
        self._decided: dict[str, _Session | bool] = {}
        self._process = os.getpid()
        self._ended = False
        self._waiting: deque[threading.Lock] = deque()

    def runs(self, wish: bool) -> bool:
        """Whether it runs: its thread wishes that it does, who gives it up that it doesn't."""
        return bool(self._decided.setdefault("runs", wish))

    def next(self, wish: "_Session | None" = None) -> "_Session | None":
        """The session after this one: the first that was wished for, or None."""
        found = self._decided.get("next") if wish is None else self._decided.setdefault("next", wish)
        return found if isinstance(found, _Session) else None

    @property
    def over(self) -> bool:
        return self._ended or self._decided.get("runs") is False

    @property
    def gone(self) -> bool:
        """Its thread does nothing any more: it is over, or not in this forked child, or Python ends."""
        return self.over or not self._ours or sys.is_finalizing()

    @property
    def _ours(self) -> bool:
        return self._process == os.getpid()

    def ask_to_stop(self) -> bool:
        """True if it runs, and so is still to end."""
        if self._ours:  # in a forked child a thread that isn't there may have had the queue's lock
            self.inbox.put(None)
        return self.runs(False)

    def wait(self) -> None:
        lock = threading.Lock()
        lock.acquire()
        self._waiting.append(lock)
        while not self.gone:
            lock.acquire(timeout=_LONGEST_RETRY)

    def end(self) -> None:
        self._ended = True
        while self._waiting:
            self._waiting.popleft().release()


class _Loop:
    """What runs on the thread. It, the zones and the doorbells know only this: who drops the worker ends the thread."""

    def __init__(self, design: Design, zones: tuple[Zone, ...], name: str) -> None:
        self.design = design
        self.zones = zones
        self._name = name.encode(errors="replace")[:_LONGEST_NAME]
        self._waiters: deque[_Waiter] = deque()
        self._session = _Session()  # this one or a later one: see latest
        self._session.runs(False)

    def latest(self) -> _Session:
        """The session that runs, or ran last."""
        session = self._session
        while (following := session.next()) is not None:
            session = following
        self._session = session
        return session

    def ask_to_stop(self) -> None:
        """The device is stopped soon, or once its react ends."""
        self.latest().ask_to_stop()

    def run(self, session: _Session, device: Device) -> None:
        """The thread, from the device's start to its end."""
        _here.works = True
        if not session.runs(True):
            session.outcome.put(None)  # stopped before it began
            return
        try:
            self.design.start(self.zones, device, time.monotonic_ns(), session.inbox.put, self._settle)
        except BaseException as error:
            self._end(session)
            session.outcome.put(error)
            return
        try:
            with contextlib.suppress(OSError), open("/proc/thread-self/comm", "wb") as comm:
                comm.write(self._name)
            session.outcome.put(None)
            self._work(session, device)
        except BaseException as error:  # of the design's or a zone's own: it goes to sys.unraisablehook
            self.design.abort(error)
            raise
        finally:
            self._end(session)

    def _end(self, session: _Session) -> None:
        session.end()
        self._serve_waiters()

    def _work(self, session: _Session, device: Device) -> None:
        wait: float | None = 0
        while True:
            self._take_messages(session.inbox, wait)
            now = time.monotonic_ns()
            action = self.design.next(now)
            wait = 0
            if isinstance(action, React):
                self._tell(device, action)
            elif not self.design.started:
                return
            elif isinstance(action, Sleep):
                wait = min(max(action.until - now, 0) / 1e9, _LONGEST_WAIT)
            elif isinstance(action, Idle):
                wait = None
            elif not isinstance(action, Begin):
                raise no_action(self.design, action)

    def _tell(self, device: Device, react: React) -> None:
        error: BaseException | None = None
        try:
            device.react(react.batch)
        except BaseException as raised:
            error = raised
        self.design._end_react(error, time.monotonic_ns())
        del error  # it holds this frame
        self._serve_waiters()

    def _take_messages(self, inbox: queue.SimpleQueue[Zone | None], wait: float | None) -> None:
        """Wait for a message (seconds; None: for ever), then take all there are; None among them is a stop."""
        try:
            while True:
                zone = inbox.get(timeout=wait) if wait != 0 else inbox.get_nowait()
                wait = 0
                if zone is None:
                    self.design.stop()
                else:
                    self.design.notified(zone, time.monotonic_ns())
        except queue.Empty:
            pass

    def _serve_waiters(self) -> None:
        # Before the next batch is pulled, whoever waited has tried again: else it might never find anything.
        waiters = []
        while self._waiters:
            waiters.append(self._waiters.popleft())
        for waiter in waiters:
            waiter.go.release()
        for waiter in waiters:
            waiter.tried.acquire(timeout=_LONGEST_RETRY)

    def _settle(self, zone: Zone, attempt: Callable[[], int]) -> int:
        if getattr(_here, "works", False):
            return -1
        while not (session := self.latest()).gone:
            waiter = _Waiter()
            self._waiters.append(waiter)
            try:
                while zone.in_flight_pages and not session.gone and not waiter.go.acquire(timeout=_LONGEST_RETRY):
                    pass
                in_flight = zone.in_flight_pages
                pfn = attempt()
            finally:
                waiter.tried.release()
            if pfn >= 0 or not (in_flight or zone.in_flight_pages):
                return pfn
        return attempt()


class ThreadWorker:
    """Runs a design over ``zones`` on a daemon thread. ``start`` and ``stop`` may race with anything.

    Nothing that is called from a signal handler, a finalizer or the device itself deadlocks, and a handler may raise:
    a ``start`` that it ends has started nothing, or what it started ends soon, and ``running`` says so. A forked child
    has no worker: there ``stop`` returns, but nothing can be started; make its own zone and worker. ``name`` is the
    thread's, as the kernel shows it (``top -H``). An allocation on a worker's thread waits for no blocks in flight.
    With the last reference to it the device is stopped soon, and the thread ends.
    """

    def __init__(self, design: Design, zones: Sequence[Zone], name: str = "pagehint") -> None:
        check_kind("design", design, Design, "one, such as PageReporting()")
        check_kind("name", name, str, "a str")
        self.design = design
        self._loop = _Loop(design, tuple(several(zones)), name)
        weakref.finalize(self, self._loop.ask_to_stop).atexit = False

    def __repr__(self) -> str:
        return f"<ThreadWorker of {self.design!r}, {'started' if self.design.started else 'stopped'}>"

    def start(self, device: Device) -> None:
        """Start a device. Raises BusyError if one is started, or has not wholly stopped; InputError as Design.start.

        PagehintError if Python is shutting down, HostError if no thread can be started.
        """
        react_of(device)
        latest = self._loop.latest()
        if not latest.over:
            raise BusyError("a hinting device is started already")
        if sys.is_finalizing():
            raise PagehintError("Python is shutting down: no hinting device can be started")
        session = _Session()
        try:
            if latest.next(session) is not session:
                raise BusyError("a hinting device is started already")
            with starting_threads():
                _thread.start_new_thread(self._loop.run, (session, device))
            error = session.outcome.get()
        except BaseException:
            session.ask_to_stop()
            raise
        if error is not None:
            raise error

    def stop(self) -> None:
        """Stop it: frees stop notifying, and a running react is waited for.

        Called from a device or a finalizer on a worker's thread, it returns at once, and the device is stopped soon.
        Nothing if no device is started.
        """
        session = self._loop.latest()
        if session.ask_to_stop() and not getattr(_here, "works", False):
            session.wait()

    def ask_to_stop(self) -> None:
        """The same, but nothing is waited for: the device is stopped soon, or once its react ends."""
        self._loop.ask_to_stop()

    @property
    def running(self) -> bool:
        """A device is started, or is being started or stopped."""
        return not self._loop.latest().over
