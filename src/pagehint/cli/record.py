"""``pagehint record``: record this machine's page allocator."""

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from pagehint.cli.options import For, Size, seconds_of
from pagehint.cli.said import live_line, say, warn
from pagehint.errors import InputError
from pagehint.inputs import as_argument
from pagehint.trace import Trace, TraceWriter
from pagehint.trace.describe import describe_anomalies, describe_lost
from pagehint.trace.recorder.frames import FrameWriter, Put
from pagehint.trace.recorder.machine import memory_bytes
from pagehint.trace.recorder.record import Progress, Recorded
from pagehint.trace.recorder.record import record as run
from pagehint.trace.recorder.stream import RecordingImporter
from pagehint.trace.recorder.summary import can_tell, cannot_tell
from pagehint.trace.recorder.tracefs import PROBES
from pagehint.units import format_count, format_size, format_time, percent, shown

__all__ = ["record"]

_LEAST_KIB = 8


def record(
    *command: str,
    output: Annotated[Path | None, Parameter(name=["--output", "-o"], allow_leading_hyphen=True)] = None,
    for_: For = None,
    level: Literal["zone", "page"] = "zone",
    buffers: Size | None = None,
) -> None:
    """Record this machine's page allocator, as root: while a command runs, for a time, or until Ctrl-C.

    For example:

        pagehint record -o guest.pagetrace --for 5min
        pagehint record -o make.pagetrace -- make -j4
        ssh root@guest pagehint record -o - --for 60s | pagehint import - -o guest.pagetrace

    Exits with the command's status.

    Parameters
    ----------
    command
        After `--`: what to run meanwhile, such as `-- make -j4`.
    output
        The bundle to make; default: the machine's name and the time, .pagetrace. `-`: to standard output, for
        `pagehint import -` elsewhere, so that nothing is written here; what the command prints goes to standard error.
    for_
        How long, such as 60s. Page flags are read before and after: a tenth of a second a GiB of memory, more where the
        machine is busy.
    level
        zone: what leaves and comes back to the zones' free lists (a compile takes no longer, a program that only faults
        pages in up to a fifth more, without kprobes a third). page: every allocation and free too (such a program takes
        a third to a half more).
    buffers
        Memory of the ring buffers of all CPUs, such as 64MiB; default: at most 2 % of this machine's.
    """
    seconds = seconds_of(for_)
    if for_ is not None and command:
        given = f"--for {format_time(for_)} and a command, {shown(command[0])}"
        raise InputError(f"{given}: choose one of them (a bundle's name comes after -o)")
    size = None if buffers is None else _buffer_kib(buffers)

    def go(put: Put, live: Callable[[Progress], str], stdout: int | None = None) -> Recorded:
        show = (lambda progress: live_line(f"recording: {live(progress)}")) if sys.stderr.isatty() else None
        try:
            return run(put, level, seconds, command or None, size, show, stdout)
        finally:
            if show is not None:
                live_line("")

    if output is not None and str(output) == "-":
        if sys.stdout.isatty():
            raise InputError("-o - writes binary data: send it through a pipe, to a file or to `pagehint import -`")
        put = FrameWriter(sys.stdout.buffer)
        recorded = go(put, lambda progress: _line(progress, None), sys.stderr.fileno())
        sys.stdout.buffer.flush()
        say(f"{format_size(recorded.bytes)} of ring buffers {_in(recorded)}")
        _warn(recorded)
        _pass_on(recorded)
        return
    name = os.uname().nodename
    path = output or Path(f"{name}-{time.strftime('%Y%m%d-%H%M%S')}.pagetrace")
    with (
        TraceWriter(path, live=True) as writer,
        RecordingImporter(writer, name) as importer,
    ):
        recorded = go(importer.put, lambda progress: _line(progress, importer))
        writer.finish(importer.finish())
    _summary(Trace.open(path), recorded)
    _pass_on(recorded)


def _buffer_kib(buffers: int) -> int:
    cpus, memory = os.cpu_count() or 1, memory_bytes()
    size = buffers // 1024 // cpus
    if size < _LEAST_KIB:
        raise InputError(
            f"--buffers {format_size(buffers)}: expected {_LEAST_KIB} KiB for each of the {cpus} CPUs at the least"
        )
    if size * 1024 * cpus > memory // 2:
        raise InputError(f"--buffers {format_size(buffers)}: more than half of this machine's {format_size(memory)}")
    return size


def _in(recorded: Recorded) -> str:
    return f"in {recorded.seconds:.1f} s, and {recorded.around_seconds:.1f} s before and after, as page flags were read"


def _line(progress: Progress, importer: RecordingImporter | None) -> str:
    if progress.reading:
        return "page flags are read"
    parts = [f"{progress.seconds:.0f} s"]
    whole = progress.seconds + progress.around_seconds
    if importer is None:
        parts.append(f"{format_size(round(progress.bytes / whole))}/s")
    else:
        parts.append(f"{importer.num_events / whole:,.0f} events/s")
        parts.append(f"{importer.lost:,} lost" if importer.lost else "none lost")
    parts.append(
        f"itself {percent(progress.cpu_seconds / progress.seconds, 1)} of a CPU, {format_size(progress.memory_bytes)}"
    )
    return ", ".join(parts)


def _warn(recorded: Recorded) -> None:
    if recorded.stale:
        say(f"{recorded.stale} instance(s) that killed recorders left were removed")
    # Of the probes the summary tells.
    if missing := [name for name in recorded.missing if name not in {probe for probe, *_ in PROBES}]:
        warn(f"this machine doesn't tell, and the recording lacks: {', '.join(missing)}")
    if recorded.status:
        how = f"status {recorded.status}" if recorded.status > 0 else f"signal {-recorded.status}"
        warn(f"the command ended with {how}")
    if recorded.running:
        warn(f"the command was told to end, and goes on: process {recorded.running}")


# A shell's way for what a signal ended.
def _pass_on(recorded: Recorded) -> None:
    if recorded.status:
        raise SystemExit(recorded.status if recorded.status > 0 else 128 - recorded.status)


def _summary(trace: Trace, recorded: Recorded) -> None:
    _warn(recorded)
    meta = trace.meta
    for line in describe_lost(meta.lost) + describe_anomalies(meta.anomalies):
        warn(line)
    own = recorded.cpu_seconds / max(recorded.seconds, 1e-9)
    cpus = format_count(meta.cpus, "CPU")
    print(
        f"{trace.path}: {format_count(trace.num_events, 'event')} of {cpus} {_in(recorded)}; the "
        f"recorder took {percent(own, 1)} of a CPU and {format_size(recorded.memory_bytes)}"
    )
    print("\nWhat this recording can tell:")
    for line in can_tell(trace):
        print(f"  {line}")
    print("What it cannot:")
    for line in cannot_tell(trace, recorded.missing):
        print(f"  {line}")
    name = as_argument(trace.path)
    print(f"\n`pagehint run {name}` replays it; `pagehint info {name}` shows it")
