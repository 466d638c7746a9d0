"""Booting a guest under QEMU, recording it inside and watching it outside: a bundle with truth."""

import ctypes
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from pagehint.errors import InputError
from pagehint.inputs import open_input, reading
from pagehint.partial import temporary_folder
from pagehint.trace.bundle import Trace
from pagehint.trace.host_file import add_host, check_watched
from pagehint.trace.meta import Clock
from pagehint.trace.recorder.frames import read_frames
from pagehint.trace.recorder.guest.image import find_kernel, initramfs
from pagehint.trace.recorder.qmp import Qmp, socket_address
from pagehint.trace.recorder.record import buffer_kib
from pagehint.trace.recorder.residency import Sampler
from pagehint.trace.recorder.stream import RecordingImporter
from pagehint.trace.recorder.vmm import RamPart, ram_of_qmp
from pagehint.trace.writer import TraceWriter
from pagehint.units import format_count

__all__ = ["GuestSettings", "boot", "default_command"]

_QEMU = "qemu-system-x86_64"
_UP_KVM, _UP_TCG = 20.0, 120.0
_SILENT = 120.0
_ENDING = 2.0
_PANIC = "Kernel panic - not syncing"
_TRIES = 3
_USUAL_DRIFT = 1e-3
_LIBC = ctypes.CDLL(None)
_PR_SET_PDEATHSIG = 1
_DISK_START, _EXT_MAGIC_AT, _PARTITIONS_MAGIC_AT = 2048, 1080, 510
_APPEND = "console=ttyS0 panic=-1 loglevel=4 nokaslr no5lvl tsc=reliable clocksource=tsc no_timer_check rdinit=/init"


@dataclass(frozen=True)
class GuestSettings:
    """A guest to boot. `memory` in MiB; `order` of its reporting (None: the kernel's); `accel`: kvm, tcg or auto.

    `disk`: an image, raw or .qcow2, of an ext4 file system that the command runs in; nothing is written to it.
    """

    kernel: str = "linux-image-cloud-amd64"
    memory: int = 1024
    cpus: int = 2
    reporting: bool = True
    order: int | None = None
    accel: str = "auto"
    hold: int = 4
    disk: Path | None = None


def default_command(memory: int) -> str:
    """Each built-in workload once, sized by the memory (MiB)."""
    some = memory // 5
    return f"anon {some} 3000; tmpfs {some} 2000; fragment {some} 3000; cache {some} 2000; churn {some} 8000"


def boot(
    settings: GuestSettings, command: str, output: Path, say: Callable[[str], None] = lambda text: None
) -> tuple[Trace, str, int]:
    """Boot a guest, record it while it runs the shell's `command`, and write the bundle `output`.

    Returns it, how the guest was accelerated, and the command's status. `say` is told what happens. Raises InputError.
    """
    if settings.disk is not None:
        _check_disk(settings.disk)
    with TraceWriter(output):  # that it can be made is seen before a kernel is fetched
        pass
    kernel = find_kernel(settings.kernel)
    image = initramfs(
        kernel,
        command,
        settings.hold,
        buffer_kib("page", settings.cpus, settings.memory << 20),
        settings.order,
        settings.disk is not None,
    )
    usable = os.access("/dev/kvm", os.R_OK | os.W_OK)
    ways = {"auto": ["kvm", "tcg"] if usable else ["tcg"], "kvm": ["kvm"], "tcg": ["tcg"]}[settings.accel]
    with temporary_folder() as folder:
        (folder / "initramfs").write_bytes(image)
        for way in ways:
            say(f"booting {kernel.image.name} with {way}")
            try:
                status = _record(_Guest(settings, way, kernel.image, folder), output, say)
                break
            except _NotUp as error:
                if way == ways[-1]:
                    instead = ": boot it with --accel tcg, which is slower" if way == "kvm" else ""
                    raise InputError(f"{error}{instead}") from None
                say(f"it doesn't come up with {way}")
    return Trace.open(output), way, status


def _record(booting: "_Guest", output: Path, say: Callable[[str], None]) -> int:
    for _ in range(_TRIES):
        with TraceWriter(output) as writer, booting as guest:
            try:
                return guest.record(writer, output.name, say)
            except _WrongClock:
                say(
                    "the guest's kernel measured its clock wrongly, as happens where the host is busy: booting it again"
                )
    raise InputError(
        f"the guest's kernel measured its clock wrongly {_TRIES} times: try again when the host is less busy"
    )


# The guest would find out after it has booted.
def _check_disk(disk: Path) -> None:
    with open_input(disk) as file, reading(disk):
        start = file.read(_DISK_START)
    if disk.suffix == ".qcow2":
        known = start.startswith(b"QFI\xfb")
    else:
        known = start[_EXT_MAGIC_AT:][:2] == b"\x53\xef" or start[_PARTITIONS_MAGIC_AT:][:2] == b"\x55\xaa"
    if not known:
        kind = "no qcow2 image" if disk.suffix == ".qcow2" else "neither an ext4 file system nor a partition table"
        raise InputError(f"--disk {disk}: {kind}: expected an image of ext4, such as one that mmdebstrap made")


# As an option of QEMU takes it, in which a comma ends what is before.
def _value(path: Path) -> str:
    return str(path).replace(",", ",,")


def _drive(disk: Path | None) -> tuple[str, ...]:
    if disk is None:
        return ()
    kind = "qcow2" if disk.suffix == ".qcow2" else "raw"
    drive = f"file={_value(disk.absolute())},if=none,id=disk,format={kind},snapshot=on,cache=unsafe"
    return ("-drive", drive, "-device", "virtio-blk-pci,drive=disk")


# However this process ends, by SIGKILL too: a guest that nobody records would run on.
def _end_with_parent() -> None:
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


# QEMU inherits it listening: who connects needn't wait until QEMU has made it, and is refused once QEMU has ended.
def _listening(path: Path) -> socket.socket:
    path.unlink(missing_ok=True)
    listening = socket.socket(socket.AF_UNIX)
    try:
        with socket_address(path) as address:
            listening.bind(address)
        listening.listen()
    except OSError as error:
        listening.close()
        reason = error.strerror or error
        raise InputError(f"{path.parent}: {reason}: choose another folder for what is temporary, by TMPDIR") from None
    return listening


class _NotUp(Exception):
    pass


class _WrongClock(Exception):
    pass


class _Guest:
    def __init__(self, settings: GuestSettings, way: str, image: Path, folder: Path) -> None:
        self._settings, self._way, self._image, self._folder = settings, way, image, folder
        self._process: subprocess.Popen[bytes] | None = None
        self._ram: list[RamPart] = []

    def __enter__(self) -> "_Guest":
        folder = self._folder
        with (
            _listening(folder / "port") as port,
            _listening(folder / "qmp") as qmp,
            (folder / "errors").open("wb") as errors,
        ):
            try:
                self._process = subprocess.Popen(
                    self._command(port.fileno(), qmp.fileno()),
                    stdin=subprocess.DEVNULL,
                    stdout=errors,
                    stderr=errors,
                    pass_fds=(port.fileno(), qmp.fileno()),
                    preexec_fn=_end_with_parent,
                )
            except OSError as error:
                raise InputError(f"{_QEMU}: {error.strerror}: install QEMU (Debian: qemu-system-x86)") from None
        return self

    def _command(self, port: int, qmp: int) -> list[str]:
        folder, settings = self._folder, self._settings
        reporting = "on" if settings.reporting else "off"
        return [
            _QEMU,
            *("-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-machine", "q35"),
            *("-m", str(settings.memory), "-smp", str(settings.cpus)),
            *("-accel", "kvm" if self._way == "kvm" else "tcg,thread=multi"),
            *("-cpu", "host" if self._way == "kvm" else "max"),
            *("-kernel", str(self._image), "-initrd", str(folder / "initramfs"), "-append", _APPEND),
            *("-chardev", f"file,id=console,path={_value(folder / 'console')}", "-serial", "chardev:console"),
            *("-chardev", f"socket,id=port,fd={port},server=on,wait=off", "-device", "virtio-serial-pci"),
            *("-device", "virtserialport,nr=1,chardev=port,name=pagehint"),
            *("-chardev", f"socket,id=qmp,fd={qmp},server=on,wait=off", "-mon", "chardev=qmp,mode=control"),
            *("-device", f"virtio-balloon-pci,free-page-reporting={reporting}"),
            *_drive(settings.disk),
            *("-msg", "timestamp=on", "-D", str(folder / "log"), "-trace", "ram_block_discard_range"),
        ]

    def __exit__(self, *exception: object) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(5)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def _last_words(self) -> str:
        for name in ("errors", "console"):
            with suppress(OSError):
                lines = (self._folder / name).read_text(errors="replace").strip().splitlines()
                lines = [line for line in lines if ": warning: " not in line]
                # What it says of itself after that tells nothing.
                lines = [line for line in lines if _PANIC in line][:1] or lines
                if lines:
                    return lines[-1][:200]
        return "it said nothing"

    def record(self, writer: TraceWriter, source: str, say: Callable[[str], None]) -> int:
        """Record until the guest says it is done; returns the command's status."""
        assert self._process is not None
        with socket.socket(socket.AF_UNIX) as port:
            port.settimeout(_UP_KVM if self._way == "kvm" else _UP_TCG)
            file = port.makefile("rb")
            try:
                with socket_address(self._folder / "port") as address:
                    port.connect(address)
                up = file.peek(1)
                with Qmp(self._folder / "qmp") as qmp:
                    self._ram = ram_of_qmp(qmp)
            except (InputError, OSError):
                up = b""
            if not up:
                raise _NotUp(f"the guest doesn't come up with {self._way}: {self._last_words()}")
            port.settimeout(_SILENT)
            say("recording")
            host = self._folder / "host.parquet"
            with (
                Sampler(self._process.pid, self._ram, host, self._folder / "log"),
                RecordingImporter(writer, source) as importer,
            ):
                pings, status = self._feed(file, port, importer)
                with suppress(OSError):
                    port.sendall(b"\n")
                meta = importer.finish(fit_clock(pings), f"pagehint guest, {_QEMU} with {self._way}")
            assert meta.clock is not None
            check_watched(host, meta.zones)
            add_host(writer, host, meta.clock)
            writer.finish(meta)
        return status

    def _feed(
        self, file: BinaryIO, port: socket.socket, importer: RecordingImporter
    ) -> tuple[list[tuple[int, int, int]], int]:
        pings: list[tuple[int, int, int]] = []
        status = 0
        for name, data in self._pieces(file):
            if name == "ping":
                with suppress(OSError):  # it has ended, as the next piece tells
                    port.sendall(b"%d\n" % time.time_ns())
            elif name == "clock":
                asked, host, answered = _numbers(name, data, 3)
                pings.append((asked, host, answered))
                _check_clock(pings)
            elif name == "status":
                (status,) = _numbers(name, data, 1)
            else:
                importer.put(name, data)
        return pings, status

    def _pieces(self, file: BinaryIO) -> Iterator[tuple[str, bytes]]:
        try:
            yield from read_frames(file, "the guest")
        except TimeoutError:
            raise InputError(f"the guest says nothing for {_SILENT:.0f} s: {self._last_words()}") from None
        except (InputError, OSError) as error:
            said = str(error)
            if self._has_ended():
                said = "the guest ended before its command did: nothing was written"
            raise InputError(f"{said} (the guest's last words: {self._last_words()})") from None

    def _has_ended(self) -> bool:
        """Whether it ends now, or has."""
        if self._process is None:
            return False
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_ENDING)
        return self._process.returncode is not None


def _numbers(name: str, data: bytes, count: int) -> list[int]:
    words = data.split()
    numbers = [int(word) for word in words if word.isdigit() and len(word) < 20]
    if len(numbers) != len(words) or len(words) != count or max(numbers) >= 1 << 63:
        raise InputError(f"the guest: {name}: {data[:40]!r}: expected {format_count(count, 'number')}")
    return numbers


# Early: the rest would be recorded for nothing.
def _check_clock(pings: Sequence[tuple[int, int, int]]) -> None:
    if len(pings) > 3 and len(pings) % 3 == 0:
        try:
            fit_clock(pings)
        except InputError:
            raise _WrongClock from None


def fit_clock(pings: Sequence[tuple[int, int, int]]) -> Clock:
    """The clock of questions (guest ns), answers (host ns) and their arrival (guest ns). Raises InputError."""
    if not pings:
        raise InputError("the guest never asked for the host's time")
    # Of three in a row, that of the shortest way.
    best = [min(pings[at : at + 3], key=lambda ping: ping[2] - ping[0]) for at in range(0, len(pings), 3)]
    g0, h0 = best[0][0], best[0][1]
    guest = np.array([(asked + answered) / 2 - g0 for asked, _, answered in best])
    offset = np.array([host - h0 for _, host, _ in best]) - guest
    sure = 2 / np.maximum([answered - asked for asked, _, answered in best], 1000)
    # The last row: clocks hardly drift, where the answers took too long to tell.
    rows = np.append(np.stack([sure, sure * guest], axis=1), [[0, 1 / _USUAL_DRIFT]], axis=0)
    at_zero, drift = np.linalg.lstsq(rows, np.append(sure * offset, 0), rcond=1e-18)[0]
    return Clock(g0, h0, float(at_zero), float(drift))
