"""This machine's memory as its own /proc and /sys tell it. Nothing is written."""

import os
import platform
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pagehint.diagnosis.evidence import Evidence, Reporting
from pagehint.diagnosis.hypervisors import hypervisor_of
from pagehint.errors import InputError, printable
from pagehint.kernel.reporting import BALLOON, DELAY_PARAMETER, ORDER_PARAMETER, PARAMETERS, offers_reporting
from pagehint.proc.counters import parse_meminfo, parse_pressure, parse_unused_names, parse_vmstat
from pagehint.proc.kpageflags import KPageFlag
from pagehint.proc.pagetypeinfo import parse_buddyinfo, parse_pagetypeinfo
from pagehint.proc.slabinfo import parse_slabinfo
from pagehint.proc.zoneinfo import parse_zoneinfo

__all__ = ["read_machine"]

_XEN = Path("/sys/hypervisor/type")
_XENS_HOST = Path("/proc/xen/capabilities")
_FIRMWARE = Path("/sys/class/dmi/id")
_HUGE = np.uint64(KPageFlag.THP | KPageFlag.ANON)
_CHUNK = 1 << 20
_PART = 1 << 23
_READERS = min(os.cpu_count() or 1, 4)
_SETTINGS = (
    "min_free_kbytes",
    "watermark_boost_factor",
    "watermark_scale_factor",
    "percpu_pagelist_high_fraction",
    "compaction_proactiveness",
    "defrag_mode",
)
_HIDDEN = "is empty (a container may hide it)"
_WITHOUT = {
    "kpageflags": "what is told already, who holds what, and what actions would bring",
    "pagetypeinfo": "free blocks by type",
    "slabinfo": "which slab drop_caches frees",
    "pressure/memory": "whether anybody waits for memory",
}


def read_machine(page_map: bool = True) -> Evidence:
    """What this machine tells of its memory; what it refuses is in `missing`. Raises InputError where it isn't Linux.

    `page_map` reads /proc/kpageflags too, which takes about a second for 32 GiB.
    """
    if not Path("/proc/meminfo").exists():
        raise InputError("this machine has no /proc/meminfo: pagehint doctor needs Linux, or files to read")
    evidence = Evidence(page_size=os.sysconf("SC_PAGE_SIZE"), live=True, kernel=platform.release())
    if (text := _read(evidence, "zoneinfo")) is not None:
        evidence.zones = parse_zoneinfo(text, "/proc/zoneinfo")
    if page_map:
        evidence.page_flags = _read_words(evidence, "kpageflags")
        evidence.page_counts = _read_counts(evidence.page_flags)
    # As near to the page map as can be.
    if (text := _read(evidence, "buddyinfo")) is not None:
        evidence.buddy = parse_buddyinfo(text, "/proc/buddyinfo")
    if (text := _read(evidence, "pagetypeinfo")) is not None:
        evidence.types = parse_pagetypeinfo(text, "/proc/pagetypeinfo")
    if (text := _read(evidence, "meminfo")) is not None:
        evidence.meminfo = parse_meminfo(text, "/proc/meminfo")
    if (text := _read(evidence, "vmstat")) is not None:
        evidence.vmstat = parse_vmstat(text, "/proc/vmstat")
    if (text := _read(evidence, "pressure/memory")) is not None:
        evidence.pressure = parse_pressure(text)
    if (text := _read(evidence, "sys/fs/dentry-state")) is not None:
        evidence.unused_names = parse_unused_names(text)
    if (text := _read(evidence, "slabinfo")) is not None:
        evidence.slab_caches = parse_slabinfo(text)
    evidence.reporting = _reporting()
    evidence.settings = _settings()
    for name, before in (("sys_vendor", ""), ("bios_version", "BIOS "), ("product_name", "")):
        with suppress(OSError):
            said = before + (_FIRMWARE / name).read_text(errors="replace")
            evidence.hypervisor = evidence.hypervisor or hypervisor_of(said)
    with suppress(OSError):
        if (
            evidence.hypervisor is None
            and _XEN.read_text().strip() == "xen"
            and not (_XENS_HOST.exists() and "control_d" in _XENS_HOST.read_text())
        ):
            evidence.hypervisor = "Xen"
    return evidence


def _read(evidence: Evidence, name: str) -> str | None:
    path = f"/proc/{name}"
    try:
        text = Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        _miss(evidence, name, _why(error))
        return None
    if not text.strip():
        _miss(evidence, name, _HIDDEN)
        return None
    evidence.sources.append((path, name))
    return text


def _why(error: OSError) -> str:
    return "needs root" if isinstance(error, PermissionError) else str(error.strerror).lower()


def _miss(evidence: Evidence, name: str, why: str) -> None:
    without = f": without it not known: {_WITHOUT[name]}" if name in _WITHOUT else ""
    evidence.missing.append(f"/proc/{name} {why}{without}")


# The kernel looks at each page, which takes most of the time: as many threads as may.
def _read_words(evidence: Evidence, name: str) -> NDArray[np.uint64] | None:
    span = max((zone.end_pfn for zone in evidence.zones), default=0)
    words = np.zeros(span, "<u8")
    view = words.view(np.uint8).data
    try:
        with open(f"/proc/{name}", "rb", buffering=0) as file, ThreadPoolExecutor(_READERS) as readers:
            filled = sum(readers.map(lambda at: _read_part(file.fileno(), view, at), range(0, len(view), _PART)))
    except OSError as error:
        _miss(evidence, name, _why(error))
        return None
    if not filled:
        _miss(evidence, name, _HIDDEN if span else "can't be read without /proc/zoneinfo")
        return None
    evidence.sources.append((f"/proc/{name}", name))
    return words[: filled // 8]


def _read_part(file: int, view: memoryview, begin: int) -> int:
    at, end = begin, min(begin + _PART, len(view))
    while at < end and (got := os.preadv(file, [view[at : min(at + _CHUNK, end)]], at)):
        at += got
    return at - begin


# How often each page of a huge page is mapped, which some kernels don't tell by its flags; of other pages they do.
def _read_counts(flags: NDArray[np.uint64] | None) -> NDArray[np.uint64] | None:
    if flags is None:
        return None
    huge = (flags & _HUGE) == _HUGE
    if not huge.any():
        return None
    counts = np.zeros(len(flags), "<u8")
    view = counts.view(np.uint8).data
    edges = np.flatnonzero(np.diff(huge.astype(np.int8), prepend=0, append=0)).reshape(-1, 2) * 8
    try:
        with open("/proc/kpagecount", "rb", buffering=0) as file:
            for begin, end in edges.tolist():
                for at in range(begin, end, _PART):
                    _read_part(file.fileno(), view[:end], at)
    except OSError:
        return None
    return counts


def _reporting() -> Reporting:
    reporting = Reporting()
    for path in sorted(Path(PARAMETERS).glob("*")):
        with suppress(OSError):
            value = path.read_bytes()[:200].rstrip(b"\0\n").decode(errors="replace")
            if value.isprintable():
                reporting.parameters[printable(path.name)] = value
    reporting.order = _number(reporting.parameters.get(ORDER_PARAMETER))
    reporting.delay_ms = _number(reporting.parameters.get(DELAY_PARAMETER))
    reporting.device, reporting.on = _balloon()
    return reporting


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.isascii() and text.isdecimal() and len(text) < 10 else None


# Whether a balloon device that asks for free pages is there, and whether a driver serves it.
def _balloon() -> tuple[bool, bool]:
    device = on = False
    for path in Path("/sys/bus/virtio/devices").glob("*"):
        with suppress(OSError):
            if (path / "device").read_text().strip() == BALLOON and offers_reporting((path / "features").read_text()):
                device = True
                on = on or (path / "driver").exists()
    # Hyper-V's balloon reports where the host can take it; the driver tells only in the kernel's log.
    hyper_v = Path("/sys/bus/vmbus/drivers/hv_balloon")
    if (
        not device
        and hyper_v.is_dir()
        and any(each.is_symlink() for each in hyper_v.iterdir() if each.name != "module")
    ):
        return True, True
    return device, on


def _settings() -> dict[str, str]:
    found = {}
    places = {name: Path("/proc/sys/vm") / name for name in _SETTINGS}
    places["transparent_hugepage"] = Path("/sys/kernel/mm/transparent_hugepage/enabled")
    for name, path in places.items():
        with suppress(OSError):
            found[name] = printable(path.read_text(errors="replace").strip().split("\n")[0])
    return found
