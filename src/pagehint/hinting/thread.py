"""A design driven in real time, on a thread of its own."""

import contextlib
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

# Nothing here holds a lock that code interrupted by a signal handler or a finalizer could hold: the inbox is a
# SimpleQueue, whose put() may interrupt itself, the free place for a device is an entry of a deque, and whoever waits
# for blocks in flight waits on a lock of his own, which the worker releases.
_LONGEST_RETRY = 1.0
_LONGEST_WAIT = 3600.0  # seconds; a queue refuses to wait for centuries


class _Waiter:
    """An allocation that waits for blocks in flight: the worker releases ``go``, and then waits for ``tried``."""

    def __init__(self) -> None:
        self.go = threading.Lock()
        self.tried = threading.Lock()
        self.go.acquire()
        self.tried.acquire()


class ThreadWorker:
    """Runs a design over ``zones`` on a daemon thread. ``start`` and ``stop`` may race with anything.

    Nothing that is called from a signal handler, a finalizer or the device itself deadlocks.
    """

    def __init__(self, design: Design, zones: Sequence[Zone], name: str = "pagehint") -> None:
        self.design = design
        self._zones = tuple(zones)
        self._name = name
        self._place: deque[None] = deque([None])
        self._waiters: deque[_Waiter] = deque()
        self._worker: tuple[threading.Thread, queue.SimpleQueue[Zone | None]] | None = None

    def start(self, device: Device) -> None:
        """Start a device. Raises BusyError if one is started, or has not wholly stopped; InputError as Design.start."""
        try:
            self._place.popleft()
        except IndexError:
            raise BusyError("a hinting device is started already") from None
        try:
            inbox: queue.SimpleQueue[Zone | None] = queue.SimpleQueue()
            self.design.start(self._zones, device, time.monotonic_ns(), inbox.put, self._settle)
            try:
                thread = threading.Thread(target=self._run, args=(device, inbox), name=self._name, daemon=True)
                self._worker = thread, inbox
                thread.start()
            except BaseException:
                self.design.stop()
                raise
        except BaseException:
            self._worker = None
            self._place.append(None)
            raise

    def stop(self) -> None:
        """Stop it: frees stop notifying, a running react is waited for, and so is the thread.

        Called from the device or a finalizer on that thread, it returns at once, and the device is stopped soon.
        Nothing if no device is started.
        """
        worker = self._worker
        if worker is None:
            return
        self.ask_to_stop()
        thread, _ = worker
        # It can't be joined from itself, nor by a signal handler that interrupts start() before it runs.
        with contextlib.suppress(RuntimeError):
            thread.join()

    def ask_to_stop(self) -> None:
        """The same, but nothing is waited for: the device is stopped soon, or once its react ends."""
        worker = self._worker
        if worker is not None:
            worker[1].put(None)

    @property
    def running(self) -> bool:
        """A device is started, or is being stopped."""
        return not self._place

    def _run(self, device: Device, inbox: queue.SimpleQueue[Zone | None]) -> None:
        design = self.design
        wait: float | None = 0
        try:
            while True:
                self._take_messages(inbox, wait)
                now = time.monotonic_ns()
                action = design.next(now)
                wait = 0
                if isinstance(action, React):
                    self._tell(device, action)
                elif not design.started:
                    return
                elif isinstance(action, Sleep):
                    wait = min(max(action.until - now, 0) / 1e9, _LONGEST_WAIT)
                elif isinstance(action, Idle):
                    wait = None
        finally:
            self._worker = None
            self._place.append(None)
            self._serve_waiters()

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
        worker = self._worker
        if worker is not None and worker[0] is threading.current_thread():
            return -1
        while True:
            waiter = _Waiter()
            self._waiters.append(waiter)
            if zone.in_flight_pages:
                waiter.go.acquire()
            try:
                in_flight = zone.in_flight_pages
                pfn = attempt()
            finally:
                waiter.tried.release()
            if pfn >= 0 or not (in_flight or zone.in_flight_pages):
                return pfn
