"""Memory pressure: while the machine is short of memory, arenas give back what is free, at once.

What tells of it, where the machine has it: a trigger of pressure stall information, on this process's cgroup or the
whole machine, and the ``high`` and ``max`` counts in the cgroup's memory.events. One thread waits for all arenas.
"""

import _thread
import contextlib
import os
import select
import threading
import time
import weakref
from pathlib import Path
from typing import Protocol

__all__ = ["Pressure", "Trims", "sources"]

_TRIGGER = b"some 200000 2000000"  # tasks waited for memory 200 ms within 2 s; windows of 2 s need no privilege
_AT_MOST = 1.0  # seconds between two trims at least


def _cgroup() -> Path | None:
    with contextlib.suppress(OSError), open("/proc/self/cgroup") as file:
        for line in file:
            if line.startswith("0::"):
                for mount in ("/sys/fs/cgroup", "/sys/fs/cgroup/unified"):
                    path = Path(mount + line[3:].rstrip("\n"))
                    if (path / "cgroup.procs").exists():
                        return path
    return None


class _Stall:
    """A trigger of pressure stall information."""

    def __init__(self, path: Path) -> None:
        self.fd = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            os.write(self.fd, _TRIGGER)
        except OSError:
            os.close(self.fd)
            raise

    def happened(self, event: int) -> bool | None:
        """Whether there is pressure, as poll tells of this event; None: its cgroup is gone."""
        return None if event & select.POLLERR else True


class _Events:
    """The counts of a cgroup's memory.events."""

    def __init__(self, path: Path) -> None:
        self.fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self._seen = self._counts()

    def _counts(self) -> list[bytes]:
        return [line for line in os.pread(self.fd, 4096, 0).splitlines() if line.split()[0] in (b"high", b"max")]

    def happened(self, event: int) -> bool | None:
        """As for a trigger; poll's event is the same for a change and the end, which reading tells."""
        before = self._seen
        with contextlib.suppress(OSError):
            self._seen = self._counts()
            return before != self._seen
        return None


def sources() -> list[_Stall | _Events]:
    """What this machine can tell of pressure by, opened; empty if nothing."""
    cgroup = _cgroup()
    found: list[_Stall | _Events] = []
    machine = Path("/proc/pressure/memory")
    for path in (machine,) if cgroup is None else (cgroup / "memory.pressure", machine):
        with contextlib.suppress(OSError):
            found.append(_Stall(path))
            break
    if cgroup is not None:
        with contextlib.suppress(OSError):
            found.append(_Events(cgroup / "memory.events"))
    return found


class Trims(Protocol):
    """Who can give memory back."""

    def trim(self) -> int:
        """Give back what is free."""


class Pressure:
    """Has all that is watched give memory back, from a thread of its own, whenever there is pressure.

    Does nothing where nothing tells of it.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()  # a signal handler may make an arena too
        self._watched: weakref.WeakSet[Trims] = weakref.WeakSet()
        self._waits = False

    def watch(self, arena: Trims) -> None:
        """Call ``arena.trim()`` under pressure, as long as it lives. What that raises is left to its statistics."""
        with self._lock:
            self._watched.add(arena)
            if not self._waits:
                _thread.start_new_thread(self._wait, ())  # may fail: another arena's watch tries again
                self._waits = True

    def _wait(self) -> None:
        while open_sources := {source.fd: source for source in sources()}:
            poll = select.poll()
            for fd in open_sources:
                poll.register(fd, select.POLLPRI)
            told: list[bool | None] = []
            while None not in told:
                told = [open_sources[fd].happened(event) for fd, event in poll.poll()]
                if any(told):
                    self._trim()
                time.sleep(_AT_MOST)
            # This process is in another cgroup now.
            for fd in open_sources:
                os.close(fd)

    def _trim(self) -> None:
        with self._lock:
            watched = list(self._watched)
        for arena in watched:
            with contextlib.suppress(Exception):
                arena.trim()
