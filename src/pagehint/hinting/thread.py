"""A design driven in real time, on a thread of its own."""

import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence

from pagehint.errors import BusyError
from pagehint.hinting.design import Design, Idle, React, Sleep
from pagehint.hinting.device import Device
from pagehint.mm.zone import Zone

__all__ = ["ThreadWorker"]

# Code that a signal handler or a finalizer interrupts may be anywhere, and what interrupts it may call anything here,
# or raise. So nothing here holds a lock that both might want: messages go through a SimpleQueue, whose put() may
# interrupt itself, whose device it is is an entry of a dict, and whoever waits waits on a lock of his own, which the
# worker releases. And only the worker touches the design, as no signal handler runs on its thread.
_LONGEST_RETRY = 1.0
_LONGEST_WAIT = 3600.0  # seconds; a queue refuses to wait for centuries


class _Waiter:
    """An allocation that waits for blocks in flight: the worker releases ``go``, and then waits for ``tried``."""

    def __init__(self) -> None:
        self.go = threading.Lock()
        self.tried = threading.Lock()
        self.go.acquire()
        self.tried.acquire()


class _Session:
    """A device from its start to its end: the worker's thread and messages, and how its start went."""

    def __init__(self, run: Callable[["_Session"], None], device: Device, name: str) -> None:
        self.device = device
        self.thread = threading.Thread(target=run, args=(self,), name=name, daemon=True)
        self.inbox: queue.SimpleQueue[Zone | None] = queue.SimpleQueue()
        self.outcome: queue.SimpleQueue[BaseException | None] = queue.SimpleQueue()
        self.ident: int | None = None  # of the thread, once it runs
        self.ended = False
        self.waiting: deque[threading.Lock] = deque()
        self._fate: deque[None] = deque([None])

    def decide(self) -> bool:
        """Decide whether it runs at all: true for the first who asks, its thread or who gives it up."""
        try:
            self._fate.popleft()
        except IndexError:
            return False
        return True

    def wait(self) -> None:
        lock = threading.Lock()
        lock.acquire()
        self.waiting.append(lock)
        while not self.ended and self.thread.is_alive():  # it isn't in a forked child
            lock.acquire(timeout=_LONGEST_RETRY)

    def end(self) -> None:
        self.ended = True
        while self.waiting:
            self.waiting.popleft().release()


class ThreadWorker:
    """Runs a design over ``zones`` on a daemon thread. ``start`` and ``stop`` may race with anything.

    Nothing that is called from a signal handler, a finalizer or the device itself deadlocks, and a handler may raise:
    a ``start`` that it ends has started nothing, or what it started ends soon. A forked child has no worker: there
    ``stop`` returns, but nothing can be started; make its own zone and worker.
    """

    def __init__(self, design: Design, zones: Sequence[Zone], name: str = "pagehint") -> None:
        self.design = design
        self._zones = tuple(zones)
        self._name = name
        self._waiters: deque[_Waiter] = deque()
        self._session: dict[str, _Session] = {}  # the one there is under "now"

    def start(self, device: Device) -> None:
        """Start a device. Raises BusyError if one is started, or has not wholly stopped; InputError as Design.start."""
        session = _Session(self._run, device, self._name)
        try:
            if self._session.setdefault("now", session) is not session:
                raise BusyError("a hinting device is started already")
            session.thread.start()
            error = session.outcome.get()
        except BaseException:
            session.inbox.put(None)
            if session.decide() and self._session.get("now") is session:
                del self._session["now"]
            raise
        if error is not None:
            raise error

    def stop(self) -> None:
        """Stop it: frees stop notifying, and a running react is waited for.

        Called from the device or a finalizer on the worker's thread, or by what interrupts a ``start``, it returns at
        once, and the device is stopped soon. Nothing if no device is started.
        """
        session = self._session.get("now")
        if session is None:
            return
        session.inbox.put(None)
        if session.ident not in (None, threading.get_ident()):
            session.wait()

    def ask_to_stop(self) -> None:
        """The same, but nothing is waited for: the device is stopped soon, or once its react ends."""
        session = self._session.get("now")
        if session is not None:
            session.inbox.put(None)

    @property
    def running(self) -> bool:
        """A device is started, or is being started or stopped."""
        return bool(self._session)

    def _run(self, session: _Session) -> None:
        if not session.decide():
            return
        session.ident = threading.get_ident()
        try:
            self.design.start(self._zones, session.device, time.monotonic_ns(), session.inbox.put, self._settle)
        except BaseException as error:
            self._end(session)
            session.outcome.put(error)
            return
        session.outcome.put(None)
        try:
            self._work(session)
        finally:
            self._end(session)

    def _end(self, session: _Session) -> None:
        del self._session["now"]
        session.end()
        self._serve_waiters()

    def _work(self, session: _Session) -> None:
        wait: float | None = 0
        while True:
            self._take_messages(session.inbox, wait)
            now = time.monotonic_ns()
            action = self.design.next(now)
            wait = 0
            if isinstance(action, React):
                self._tell(session.device, action)
            elif not self.design.started:
                return
            elif isinstance(action, Sleep):
                wait = min(max(action.until - now, 0) / 1e9, _LONGEST_WAIT)
            elif isinstance(action, Idle):
                wait = None

    def _tell(self, device: Device, react: React) -> None:
        error: BaseException | None = None
        try:
            device.react(react.batch)
        except BaseException as raised:
            error = raised
        self.design.reacted(error, time.monotonic_ns())
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
        session = self._session.get("now")
        if session is not None and session.ident == threading.get_ident():
            return -1
        while True:
            waiter = _Waiter()
            self._waiters.append(waiter)
            try:
                if zone.in_flight_pages:
                    waiter.go.acquire()
                in_flight = zone.in_flight_pages
                pfn = attempt()
            finally:
                waiter.tried.release()
            if pfn >= 0 or not (in_flight or zone.in_flight_pages):
                return pfn
