"""``pagehint watch``: on the host, sample what a virtual machine holds of its memory."""

import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

from pagehint.cli.options import OUTPUT, For, Whole, seconds_of
from pagehint.cli.said import live_line, say, warn
from pagehint.errors import InputError
from pagehint.report.output import Output
from pagehint.trace.recorder.qmp import Qmp
from pagehint.trace.recorder.record import ending_signals
from pagehint.trace.recorder.residency import Sampler
from pagehint.trace.recorder.vmm import RamPart, find_log, find_ram, ram_of_qmp
from pagehint.units import format_count, format_size

__all__ = ["watch"]

_STEP = 0.2


def watch(
    pid: Whole | None = None,
    /,
    *,
    qmp: Path | None = None,
    output: Annotated[Path, OUTPUT] = Path("host.parquet"),
    for_: For = None,
) -> None:
    """Watch a virtual machine from its host, as root, while its guest is recorded.

    For example:

        pagehint watch 4711 -o host.parquet --for 5min

    Until it ends, for a time, or until Ctrl-C.

    `pagehint import GUEST.pagetrace --host host.parquet -o BOTH.pagetrace` puts the two together.

    Parameters
    ----------
    pid
        Its process: QEMU's, Firecracker's, Cloud Hypervisor's.
    qmp
        QEMU's QMP socket (-qmp unix:PATH,server=on,wait=off) instead: QEMU says itself where the guest's memory lies.
    output
        The file to make.
    for_
        How long, such as 60s.
    """
    if (pid is None) == (qmp is None):
        raise InputError("name the machine's process, or QEMU's --qmp socket: one of the two")
    seconds = seconds_of(for_)
    if output.is_file():
        raise InputError(f"{output}: exists already: remove it first, or choose another output")
    pid, ram = _machine(given := pid, qmp)
    with _stops() as stopped, Output(output) as made:
        say(f"process {pid} has {_words(ram)}; Ctrl-C ends it")
        log = find_log(pid)
        try:
            with Sampler(pid, ram, made.partial, log) as sampler:
                ended = _wait(sampler, stopped, seconds)
        except OSError as error:
            reason = os.strerror(error.errno) if error.errno else str(error)
            raise InputError(f"{output}: {reason}: choose another output") from None
        if not sampler.samples:
            raise InputError(f"process {pid} ended before it was looked at")
        made.keep()
    if not ended:
        _warn_of_change(given, qmp, ram)
    why = "it ended" if ended else "stopped"
    samples = format_count(sampler.samples, "sample")
    discards = f", {format_count(sampler.discards, 'discard')}" if sampler.discards else ""
    print(f"{output}: {samples}, {sampler.bitmaps:,} of each page{discards}; {why}")


def _machine(pid: int | None, qmp: Path | None) -> tuple[int, list[RamPart]]:
    if qmp is None:
        assert pid is not None
        return pid, find_ram(pid)
    with Qmp(qmp) as connection:
        return connection.pid, ram_of_qmp(connection)


def _warn_of_change(pid: int | None, qmp: Path | None, ram: list[RamPart]) -> None:
    try:
        _, now = _machine(pid, qmp)
    except InputError as error:
        warn(f"whether it has that RAM still is not known, and what went counts as given back ({error})")
        return
    if now != ram:
        warn(f"it has {_words(now)} now, as where memory was plugged, and what came was not watched: watch it again")


@contextmanager
def _stops() -> Iterator[list[int]]:
    stopped: list[int] = []
    before = {
        number: signal.signal(number, lambda number, frame: stopped.append(number)) for number in ending_signals()
    }
    try:
        yield stopped
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


# Whether the machine ended first.
def _wait(sampler: Sampler, stopped: list[int], seconds: float | None) -> bool:
    begun, live = time.monotonic(), sys.stderr.isatty()
    while not stopped and (seconds is None or time.monotonic() - begun < seconds):
        if sampler.wait(_STEP):
            break
        if live:
            resident = format_size(sampler.resident_kib << 10)
            live_line(f"watching: {time.monotonic() - begun:.0f} s, {resident} of the guest resident")
    if live:
        live_line("")
    return sampler.wait(0)


def _words(ram: list[RamPart]) -> str:
    parts = ", ".join(f"{format_size(part.pages << 12)} from guest-physical {part.pfn << 12:#x}" for part in ram)
    return f"a guest's RAM of {parts}"
