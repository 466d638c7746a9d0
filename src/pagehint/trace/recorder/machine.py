"""What this machine says of itself: its memory, its reporting, the snapshots of its zones."""

import gzip
import os
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from pagehint.kernel.reporting import BALLOON, DELAY_PARAMETER, ORDER_PARAMETER, PARAMETERS, offers_reporting
from pagehint.proc.zoneinfo import parse_zoneinfo
from pagehint.trace.meta import SHUFFLE
from pagehint.trace.recorder.frames import Put
from pagehint.trace.reporting import REPORTING, SINCE
from pagehint.trace.snapshot import TEXTS

__all__ = [
    "is_on_hyperv",
    "memory_bytes",
    "pfn_end",
    "put_snapshot",
    "reporting_mark",
    "reporting_state",
    "system_files",
]

_FILES = (
    "/proc/version",
    "/proc/pressure/memory",
    "/proc/pressure/cpu",
    "/proc/pressure/io",
    "/proc/sys/vm/min_free_kbytes",
    "/proc/sys/vm/watermark_scale_factor",
    "/proc/sys/vm/watermark_boost_factor",
    "/proc/sys/vm/percpu_pagelist_high_fraction",
    "/proc/sys/vm/defrag_mode",
    "/sys/devices/system/cpu/online",
    "/sys/devices/system/clocksource/clocksource0/current_clocksource",
    "/sys/kernel/mm/transparent_hugepage/enabled",
    "/sys/kernel/mm/transparent_hugepage/defrag",
    "/sys/kernel/mm/transparent_hugepage/khugepaged/defrag",
    SHUFFLE,
)
_DEVICES = "/sys/bus/virtio/devices"
_DRIVER = "/sys/bus/virtio/drivers/virtio_balloon"
_COARSE = 10**7  # ns: a file's time is that of the last tick
_CPU_FILES = ("topology/package_cpus_list", "topology/core_cpus_list")
_MOST_TEXT = 1 << 16
_PIECE = 1 << 20


def _read(path: str | Path, most: int = _MOST_TEXT) -> str | None:
    try:
        with open(path, "rb") as file:
            return file.read(most).decode("utf-8", "replace").strip()
    except OSError:
        return None


def system_files() -> dict[str, str]:
    """Short files of /proc and /sys that say how this machine's memory is set up, by path; those that exist."""
    return {str(path): text for path in _paths() if (text := _read(path)) is not None}


def _paths() -> Iterator[str | Path]:
    yield from _FILES
    yield from sorted(Path(PARAMETERS).glob("*"))
    yield from (device / "features" for device in _balloons())
    cpus = sorted(Path("/sys/devices/system/cpu").glob("cpu[0-9]*"))
    for cpu in cpus[:64]:
        yield from (cpu / name for name in _CPU_FILES)


# Who has no driver reports nothing, whatever it agreed to with its last one.
def _balloons() -> list[Path]:
    devices = sorted(Path(_DEVICES).glob("*"))
    return [device for device in devices if _read(device / "device") == BALLOON and (device / "driver").exists()]


def reporting_state() -> dict[str, str]:
    """How this machine's free page reporting stands now, in a mark's words, each by the file that sets it so."""
    on = any(offers_reporting(_read(device / "features") or "") for device in _balloons())
    state = {} if is_on_hyperv() else {f"{_DRIVER}/{'bind' if on else 'unbind'}": "on" if on else "off"}
    for name in (ORDER_PARAMETER, DELAY_PARAMETER):
        if (text := _read(path := PARAMETERS + name)) is not None:
            state[path] = f"{name}={text}"
    return state


def reporting_mark(state: dict[str, str], before: dict[str, str], looked: int) -> str:
    """The mark that tells of another state than `before`, which was seen at `looked` (ns of CLOCK_MONOTONIC).

    Since when it is so, the time of the files tells that were written. Only of these: the others' may be that at which
    somebody first looked at them.
    """
    now = time.monotonic_ns()
    ahead = time.time_ns() - now
    written = []
    for path, words in state.items():
        if before.get(path) != words:
            with suppress(OSError):
                written.append(os.stat(path).st_mtime_ns - ahead)
    since = max((each for each in written if looked - _COARSE <= each <= now), default=None)
    return REPORTING + " ".join([*state.values(), *([] if since is None else [f"{SINCE}={since}"])])


def is_on_hyperv() -> bool:
    """Whether this is a guest of Hyper-V, WSL 2 too, whose balloon may report free pages and has no file to say so."""
    return Path("/sys/bus/vmbus").is_dir()


def memory_bytes() -> int:
    """This machine's memory."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def pfn_end() -> int:
    """One past the last pfn of a zone; 0 where /proc doesn't say."""
    zones = parse_zoneinfo(_read("/proc/zoneinfo", -1) or "", "/proc/zoneinfo")
    return max((zone.end_pfn for zone in zones), default=0)


def _piece(file: int, left: int) -> bytes:
    try:
        return os.read(file, min(left, _PIECE))
    except OSError:
        return b""


# A replay warns of a snapshot without marks.
def _mark(mark: Callable[[str], None], text: str) -> None:
    with suppress(OSError):
        mark(text)


def put_snapshot(put: Put, when: str, mark: Callable[[str], None], between: Callable[[], object]) -> list[str]:
    """Put a snapshot of the zones; returns the files that can't be read.

    `when` is ``"init"`` or ``"final"``. `mark` writes the marks that stand around the reading of kpageflags, which
    takes time; `between` is called while it is read.
    """
    missing = []
    for name in TEXTS:
        try:
            data = Path(f"/proc/{name}").read_bytes()
        except OSError:
            data = b""
        if data:
            put(f"{when}/{name}", data)
        else:
            missing.append(name)
    whole = left = 8 * pfn_end()
    try:
        file = os.open("/proc/kpageflags", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        file = -1
    if file >= 0:
        try:
            _mark(mark, f"KPF-BEGIN {when}")
            while left > 0 and (data := _piece(file, left)):
                put(f"{when}/kpageflags.gz", gzip.compress(data, 1, mtime=0))
                left -= len(data)
                between()
            _mark(mark, f"KPF-END {when}")
        finally:
            os.close(file)
    if left == whole:
        missing.append("kpageflags")
    put(f"{when}/end", b"")
    return missing
