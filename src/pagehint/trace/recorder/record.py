"""Recording this machine's page allocator: the loop that reads the ring buffers while something else runs."""

import json
import os
import platform
import resource
import select
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from types import FrameType

from pagehint.errors import InputError
from pagehint.trace.meta import Level
from pagehint.trace.recorder.formats import PageLayout, parse_header_page
from pagehint.trace.recorder.frames import Put
from pagehint.trace.recorder.machine import (
    is_on_hyperv,
    memory_bytes,
    pfn_end,
    put_snapshot,
    reporting_mark,
    reporting_state,
    system_files,
)
from pagehint.trace.recorder.tracefs import FILL, Buffers, Instance, find_tracefs, remove_stale

__all__ = ["Progress", "Recorded", "buffer_kib", "ending_signals", "record"]

_MOST_OF_MEMORY = 0.02
_MOST_KIB = {"zone": 8 << 10, "page": 32 << 10}
_LEAST_KIB = 64
# A buffer is read when it is about FILL full, and at least so often: where it wakes its reader, and where it doesn't.
_RARELY = 1.0
_SHORTEST, _LONGEST = 0.005, 0.5
_LIVE = 1.0
# So far apart, at the least, looks at the guest's reporting are (ns).
_REPORTING = 2 * 10**8
# So long a command that was told to end may take, in seconds, while it is still recorded.
_PATIENCE = 5.0
# Linux': it goes on with each tick.
_CLOCK_MONOTONIC_COARSE = 6


@dataclass
class Progress:
    """How a recording goes: seconds between its snapshots, the recorder's CPU seconds in these; ring buffer bytes read,
    and the recorder's memory. `around_seconds`: before and after them, in which page flags are read; `reading`: now."""

    seconds: float = 0.0
    cpu_seconds: float = 0.0
    around_seconds: float = 0.0
    reading: bool = False
    bytes: int = 0
    memory_bytes: int = 0


@dataclass
class Recorded(Progress):
    """What came of a recording. `status` is the command's where it ended by itself, `running` its process where it goes
    on; `missing` names what this machine doesn't have or tell."""

    status: int | None = None
    running: int | None = None
    missing: list[str] = field(default_factory=list)
    stale: int = 0


def buffer_kib(level: Level, cpus: int, memory: int) -> int:
    """KiB of a CPU's ring buffer: of all CPUs at most 2 % of the memory (bytes)."""
    return max(_LEAST_KIB, min(_MOST_KIB[level], int(memory * _MOST_OF_MEMORY) // 1024 // max(1, cpus)))


def record(
    put: Put,
    level: Level = "zone",
    seconds: float | None = None,
    command: Sequence[str] | None = None,
    buffer: int | None = None,
    progress: Callable[[Progress], None] | None = None,
    stdout: int | None = None,
) -> Recorded:
    """Record this machine, and put the pieces; until `command` ends, or `seconds` have passed, or one of
    `ending_signals`, which ends the command too. Before and after that, snapshots are taken: 0.1 us a page and more.

    `buffer`: KiB of each CPU's ring buffer. `progress` is told once a second. `stdout`: a descriptor for the command's
    output; default: as ours. Raises InputError where this machine can't record.
    """
    tracefs = find_tracefs()
    stale = remove_stale(tracefs)
    size = buffer or buffer_kib(level, os.cpu_count() or 1, memory_bytes())
    with _signals(1 if command is None else 2) as stopped, Instance(tracefs, level, size) as instance:
        header = instance.header_page()
        layout = parse_header_page(header)
        recorder = _Recorder(instance, layout, put, stopped, size, progress)
        try:
            recorder.begin(header)
            status, running = recorder.wait(seconds, None if command is None else _start(command, stdout))
            return recorder.end(status, running, stale)
        finally:
            recorder.buffers.close()


def ending_signals() -> list[signal.Signals]:
    """The signals that end what goes on until it is stopped: a terminal's end too, unless nohup told to ignore it."""
    hangs_up = signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN
    return [signal.SIGINT, signal.SIGTERM, signal.SIGQUIT, *([signal.SIGHUP] if hangs_up else [])]


@contextmanager
def _signals(number: int) -> Iterator[int]:
    """A descriptor with a byte for each of `ending_signals` that came; after so many, one ends the process as ever."""
    reader, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    before = {each: signal.getsignal(each) for each in ending_signals()}
    left = number

    def restore() -> None:
        for each, handler in before.items():
            signal.signal(each, handler)

    def stop(which: int, frame: FrameType | None) -> None:
        nonlocal left
        os.write(writer, b"x")
        left -= 1
        if not left:
            restore()

    for each in before:
        signal.signal(each, stop)
    try:
        yield reader
    finally:
        restore()
        os.close(reader)
        os.close(writer)


class _Recorder:
    def __init__(
        self,
        instance: Instance,
        layout: PageLayout,
        put: Put,
        stopped: int,
        size: int,
        progress: Callable[[Progress], None] | None,
    ) -> None:
        self.buffers = Buffers(instance, layout.size)
        self._instance = instance
        self._put = put
        self._stopped = stopped
        self._pages = max(2, size * 1024 // layout.size)
        self._progress = progress
        self._bytes = 0
        self._missing = list(instance.missing)
        self._turned_off = 0
        self._begun = self._shown = self._round = time.monotonic()
        self._looked = time.monotonic_ns()
        self._reporting = reporting_state()
        # The time and the recorder's CPU seconds after the first snapshot, and before the last.
        self._first: tuple[float, float] | None = None
        self._last: tuple[float, float] | None = None
        self._period = _SHORTEST
        self._wakes = True

    def begin(self, header: str) -> None:
        """Say what is recorded, begin, and take the first snapshot."""
        machine = {
            "kernel": os.uname().release,
            "architecture": platform.machine(),
            "page_size": os.sysconf("SC_PAGE_SIZE"),
            "level": self._instance.level,
            "pfn_end": pfn_end(),
            "hyperv": is_on_hyperv(),
        }
        self._instance.start()
        if "isolate" in self._instance.formats:
            machine["vmemmap"] = self._instance.vmemmap()
        self._put("machine", json.dumps(machine).encode())
        for path, text in system_files().items():
            self._put(f"file/{path}", text.encode())
        self._put("file/clock_offset_ns", b"%d" % (time.time_ns() - time.monotonic_ns()))
        self._put("file/clock_tick_ns", b"%d" % round(time.clock_getres(_CLOCK_MONOTONIC_COARSE) * 1e9))
        self._put("header_page", header.encode())
        for name, text in self._instance.formats.items():
            self._put(f"format/{name}", text.encode())
        self._drain()
        self._snapshot("init")
        self._first = _used()

    def wait(self, seconds: float | None, process: subprocess.Popen[bytes] | None) -> tuple[int | None, int | None]:
        """Read the buffers until it is time; returns the status of the command, and its process where it goes on."""
        until = None if seconds is None else time.monotonic() + seconds
        ended, told = -1, False
        poll = select.poll()
        poll.register(self._stopped, select.POLLIN)
        polled: set[int] = set()
        try:
            if process is not None:
                ended = os.pidfd_open(process.pid)
                poll.register(ended, select.POLLIN)
            woken = False
            while True:
                most = self._drain()
                # Older kernels say so of a buffer that holds anything at all.
                if woken and self._wakes and most < FILL * self._pages / 2:
                    self._wakes = False
                    for file in polled:
                        poll.unregister(file)
                if self._wakes:
                    for file in self.buffers.files - polled:
                        poll.register(file, select.POLLIN)
                    polled = self.buffers.files
                left = _RARELY if self._wakes else self._period
                if until is not None:
                    left = min(left, max(0.0, until - time.monotonic()))
                ready = {file for file, _ in poll.poll(1000 * left)}
                if ended in ready or (until is not None and time.monotonic() >= until):
                    break
                if self._stopped in ready:
                    os.read(self._stopped, 1)
                    if process is None or told:
                        break
                    # What it does until it ends, such as to free its memory, is part of the recording.
                    process.terminate()
                    told, until = True, time.monotonic() + _PATIENCE
                woken = bool(ready)
        finally:
            if ended >= 0:
                os.close(ended)
            if process is not None and process.poll() is None and not told:
                process.terminate()
                with suppress(subprocess.TimeoutExpired):
                    process.wait(_PATIENCE)
        if process is None:
            return None, None
        return (None if told else process.returncode), (process.pid if process.returncode is None else None)

    def end(self, status: int | None, running: int | None, stale: int) -> Recorded:
        """Take the last snapshot, stop, and read what is left."""
        self._last = _used()
        self._snapshot("final")
        self._look()
        self._instance.stop()
        self._drain()
        self._drain()
        for cpu, text in self._instance.stats().items():
            self._put(f"stats/{cpu}", text.encode())
        self._put("missed", b"%d" % self._instance.missed())
        self._put("turned_off", b"%d" % self._turned_off)
        self._put("end", b"")
        return Recorded(**vars(self._now()), status=status, running=running, missing=self._missing, stale=stale)

    def _snapshot(self, when: str) -> None:
        for name in put_snapshot(self._put, when, self._instance.mark, self._drain):
            if f"/proc/{name}" not in self._missing:
                self._missing.append(f"/proc/{name}")

    def _take(self, cpu: int, pages: memoryview) -> None:
        self._bytes += len(pages)
        self._put(f"pages/{cpu}", pages)

    # Whatever was written before a round began is read in it.
    def _drain(self) -> int:
        """Returns the most pages that a CPU had."""
        begun = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
        most = self.buffers.drain(self._take)
        self._put("round", b"%d" % begun)
        now = time.monotonic()
        rate = most / max(now - self._round, 1e-4)
        self._round = now
        self._period = min(_LONGEST, max(_SHORTEST, FILL * self._pages / max(rate, 1e-3)))
        self._look_at_reporting()
        if now - self._shown >= _LIVE:
            self._shown = now
            self._look()
            if self._progress is not None:
                self._progress(self._now())
        return most

    # Somebody may change it meanwhile.
    def _look_at_reporting(self) -> None:
        now = time.monotonic_ns()
        if now - self._looked < _REPORTING:
            return
        if (state := reporting_state()) != self._reporting:
            with suppress(OSError):
                self._instance.mark(reporting_mark(state, self._reporting, self._looked))
            self._reporting = state
        self._looked = now

    # Somebody may turn it off and on again.
    def _look(self) -> None:
        self._turned_off = max(self._turned_off, self._instance.turned_off())

    def _now(self) -> Progress:
        now = _used()
        first, last = self._first or now, self._last or now
        seconds, cpu_seconds = last[0] - first[0], last[1] - first[1]
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        reading = self._first is None or self._last is not None
        return Progress(seconds, cpu_seconds, now[0] - self._begun - seconds, reading, self._bytes, memory)


def _used() -> tuple[float, float]:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return time.monotonic(), used.ru_utime + used.ru_stime


def _start(command: Sequence[str], stdout: int | None) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(command, stdout=stdout)
    except OSError as error:
        raise InputError(f"{command[0]}: {error.strerror}: can't be run") from None
