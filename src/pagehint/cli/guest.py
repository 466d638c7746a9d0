"""``pagehint guest``: boot a guest, record it inside, watch it outside."""

import itertools
import os
import re
import shlex
import time
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter
from rich.console import Console
from rich.table import Table

from pagehint.cli.options import OUTPUT, Size, Whole, naming
from pagehint.cli.said import say, warn
from pagehint.errors import InputError
from pagehint.hinting.designs.reporting import PageReporting
from pagehint.inputs import as_argument
from pagehint.kernel.orders import MAX_PAGE_ORDER
from pagehint.replays.across import predict_across
from pagehint.replays.start import guest_reporting
from pagehint.trace import Trace
from pagehint.trace.describe import describe_anomalies, describe_lost
from pagehint.trace.recorder.guest.boot import GuestSettings, boot, default_command
from pagehint.units import format_count, format_size, percent, whole_number

__all__ = ["guest"]

_UNEVEN = 0.1
_LEAST_MIB, _MOST_MIB, _MOST_CPUS = 128, 1 << 20, 64


def guest(
    *command: str,
    output: Annotated[Path | None, OUTPUT] = None,
    kernel: Annotated[str, Parameter(metavar="KERNEL")] = "linux-image-cloud-amd64",
    disk: Path | None = None,
    memory: Size = 1 << 30,
    cpus: Whole = 2,
    reporting: Annotated[str, Parameter(metavar="SETTING")] = "on",
    accel: Literal["auto", "kvm", "tcg"] = "auto",
    matrix: Annotated[str | None, Parameter(metavar="SETTINGS")] = None,
) -> None:
    """Boot a guest under QEMU, record it while it runs a command, and watch it from outside: a bundle with truth.

    For example:

        pagehint guest -o guest.pagetrace --memory 2GiB -- 'mark build; anon 500 2000; mark idle; sleep 10'

    Needs qemu-system-x86_64, a C compiler with its static library, and apt-get for the kernel and busybox.

    Parameters
    ----------
    command
        After `--`: what the guest runs in its shell: busybox's commands and `anon`, `tmpfs`, `cache`, `fragment`,
        `churn`, `pressure` (each: MiB, milliseconds), `mark NAME` and `look` (a snapshot). Without it: some of each.
    output
        The bundle to make; default: guest and the time, .pagetrace. With --matrix: a new folder of bundles.
    kernel
        A Debian or Ubuntu package, a .deb file, a folder that a kernel's packages are unpacked in (since 7.0 Debian
        makes several), or a kernel image with virtio and balloon built in.
    disk
        An image (raw, or .qcow2) of an ext4 file system, such as one that mmdebstrap made: the command runs in it, with
        its programs, `mark NAME`, `look` and `fragment`. Nothing is written to it.
    memory
        The guest's RAM, such as 1GiB.
    cpus
        Its CPUs.
    reporting
        Its free page reporting: on, off, or on,order=4.
    accel
        kvm, tcg (slower; works everywhere), or auto: KVM where a guest comes up with it.
    matrix
        Several guests, such as "order=9,4 reporting=on,off": what the first predicts for the others' settings, beside
        what was measured in them, and in a second guest of each.
    """
    if not _LEAST_MIB << 20 <= memory <= _MOST_MIB << 20:
        raise InputError(f"--memory {format_size(memory)}: expected {_LEAST_MIB} MiB to 1 TiB")
    if disk is not None and not command:
        raise InputError(f"--disk {disk}: name the command that runs in it, after --")
    with naming("--reporting"):
        on, order = _reporting(reporting)
    settings = GuestSettings(
        kernel=kernel,
        disk=disk,
        memory=memory >> 20,
        cpus=whole_number("--cpus", cpus, 1, _MOST_CPUS),
        reporting=on,
        order=order,
        accel=accel,
    )
    line = shlex.join(command) if len(command) > 1 else command[0] if command else default_command(settings.memory)
    stamp = time.strftime("%Y%m%d-%H%M%S")
    if matrix is None:
        path = output or Path(f"guest-{stamp}.pagetrace")
        _show(*boot(settings, line, path, say))
        print(f"\n`pagehint run {as_argument(path)}` replays it: predicted beside measured")
        return
    with naming("--matrix"):
        rows = _matrix(settings, matrix)
    _compare(rows, _boot_all(rows, line, output or Path(f"guests-{stamp}")))


def _reporting(text: str) -> tuple[bool, int | None]:
    words = text.split(",")
    orders = [word.removeprefix("order=") for word in words[1:]]
    if (
        words[0] not in ("on", "off")
        or len(words) > 2
        or any(not re.fullmatch("[0-9]{1,3}", order) for order in orders)
    ):
        raise InputError(f"{text}: expected on, off, or on,order=4")
    order = None if not orders else whole_number("order", int(orders[0]), 0, MAX_PAGE_ORDER)
    return words[0] == "on", order


def _matrix(settings: GuestSettings, text: str) -> list[tuple[str, GuestSettings]]:
    """The guests of a matrix, by their settings; those that are the same but for what is off are one."""
    axes: dict[str, list[str]] = {}
    for word in text.split():
        name, _, values = word.partition("=")
        if name not in ("order", "reporting") or not values:
            raise InputError(f"{word!r}: expected order=9,4 or reporting=on,off")
        axes.setdefault(name, []).extend(values.split(","))
    found: dict[str, GuestSettings] = {}
    for row in itertools.product(*axes.values()):
        chosen = dict(zip(axes, row, strict=True))
        on = chosen.get("reporting", "on" if settings.reporting else "off")
        least = chosen.get("order", settings.order)
        order = f",order={least}" if least is not None and on == "on" else ""
        reports, least = _reporting(f"{on}{order}")
        found.setdefault(f"{on}{order}", replace(settings, reporting=reports, order=least))
    if not axes:
        raise InputError('names no settings: expected some such as "order=9,4 reporting=on,off"')
    if len(found) == 1:
        raise InputError(f"{text!r} is one guest, {next(iter(found))}: expected settings to compare it with")
    return list(found.items())


def _boot_all(rows: list[tuple[str, GuestSettings]], line: str, folder: Path) -> list[list[Trace]]:
    """For each of a matrix' guests its bundle, and that of a second one."""
    try:
        folder.mkdir()
    except OSError as error:
        raise InputError(f"{folder}: {error.strerror}: choose another output") from None
    guests: list[list[Trace]] = []
    way = rows[0][1].accel
    try:
        for number, (_, each) in enumerate(rows):
            # The first predicts itself: another of its kind would be compared with nothing.
            names = [f"{number}.pagetrace", f"{number}-again.pagetrace"][: 1 + (number > 0)]
            guests.append([])
            for name in names:
                # Where the first came up without KVM, no other tries it, for 20 s each.
                trace, way, status = boot(replace(each, accel=way), line, folder / name, say)
                _warn(trace, status, f"{name}: ")
                guests[-1].append(trace)
    finally:
        if not os.listdir(folder):
            folder.rmdir()
    return guests


def _warn(trace: Trace, status: int, where: str = "") -> None:
    for line in describe_lost(trace.meta.lost) + describe_anomalies(trace.meta.anomalies):
        warn(f"{where}{line}")
    if status:
        warn(f"{where}the guest's command ended with status {status}")


def _show(trace: Trace, way: str, status: int) -> None:
    meta = trace.meta
    _warn(trace, status)
    seconds = (meta.last_ns - meta.first_ns) / 1e9
    print(
        f"{trace.path}: {format_count(trace.num_events, 'event')} of Linux {meta.kernel} in {seconds:.1f} s, "
        f"with {way}; {trace.num_residency_bitmaps} looks at its memory"
    )


def _compare(rows: list[tuple[str, GuestSettings]], guests: list[list[Trace]]) -> None:
    """A table of each setting's guest, and how far a second one of the same setting is from it, where there is one."""
    table = Table(title="resident on average: predicted from the first, measured in each", box=None)
    for name in ("reporting", "predicted", "measured", "apart", "a second guest"):
        table.add_column(name, justify="left" if name == "reporting" else "right")
    own = guest_reporting(guests[0][0])
    for (name, settings), (trace, *again) in zip(rows, guests, strict=True):
        order = 9 if settings.order is None else settings.order
        # Its timer steps as the first guest's does, as far as that guest's passes tell.
        timed = PageReporting(order, own.delay, own.timer_phase, own.timer_tick)
        design = timed if settings.reporting else None
        found = predict_across(guests[0][0], design, trace)
        sizes = (format_size(round(size)) for size in (found.predicted, found.measured))
        spread = "".join(percent(predict_across(each, design, trace).error, 2) for each in again)
        table.add_row(name, *sizes, percent(found.error, 2), spread)
        if found.uneven > _UNEVEN:
            warn(
                f"{name}: this guest's phases took other times than the first's, by {percent(found.uneven)} in all, as "
                "on a busy host: what comes after a delay comes at other points of the work, and sets the two apart"
            )
    Console(highlight=False).print(table)
    print(
        "a second guest: how far another one, booted with the same settings, is from the measured; a prediction "
        "without error may be as far from it"
    )
