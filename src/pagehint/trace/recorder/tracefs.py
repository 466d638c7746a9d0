"""A tracing instance of our own in tracefs: what it records, its ring buffers, and its end, whatever happens.

An instance is a folder that nobody else's tracing touches. Its recorder holds a lock on the folder while it lives: one
without a lock was left by a recorder that was killed, and is removed by the next.
"""

import errno
import fcntl
import os
import platform
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Self

from pagehint.errors import InputError
from pagehint.kernel.profiles import release_of
from pagehint.trace.meta import Level
from pagehint.trace.recorder.formats import ZONE_PROBES, is_guessable
from pagehint.trace.recorder.machine import pfn_end

__all__ = [
    "FILL",
    "PROBES",
    "Buffers",
    "Instance",
    "event_names",
    "find_tracefs",
    "living_instances",
    "remove_stale",
]


_PLACES = ("/sys/kernel/tracing", "/sys/kernel/debug/tracing")
_PREFIX = "pagehint-"
_CAP_SYS_ADMIN = 21
_UNLOCK = "boot it with lockdown=integrity, or without lockdown"
_EVENTS = (
    "mm_page_alloc_zone_locked",
    "mm_page_pcpu_drain",
    "mm_page_alloc_extfrag",
    "mm_page_alloc",
    "mm_page_free",
    "mm_page_free_batched",
)
PROBES = (
    ("isolate", "p", "__isolate_free_page", "page=$arg1:x64 order=$arg2:u32"),
    ("isolate_ret", "r", "__isolate_free_page", "ret=$retval:s32"),
    ("putback", "p", "__putback_isolated_page", "page=$arg1:x64 order=$arg2:u32 mt=$arg3:s32"),
    ("report", "p", "virtballoon_free_page_report", "nents=$arg3:u32"),
    ("report_ret", "r", "virtballoon_free_page_report", "ret=$retval:s32"),
)
"""The probes of reporting: name, kind, function (that of the balloon driver may lie in a module), what is fetched."""

_Probe = tuple[str, str, str, str]

_COMPACT = "__alloc_pages_direct_compact"
_COMPACTED: tuple[_Probe, ...] = (
    ("compact", "p", _COMPACT, "gfp=$arg1:x32 order=$arg2:u32"),
    ("compact_ret", "r128", _COMPACT, "page=$retval:x64"),
)
_STRAIGHT: tuple[_Probe, ...] = (("straight", "p", "free_one_page", "page=$arg2:x64 order=$arg4:u32"),)
_STRAIGHT_BEFORE: tuple[_Probe, ...] = (("straight", "p", "__free_pages_ok", "page=$arg1:x64 order=$arg2:u32"),)
_ARMED = Path("/sys/kernel/debug/kprobes/enabled")

_HUGE_PAGE = Path("/sys/kernel/mm/transparent_hugepage/hpage_pmd_size")
_COMPACTION = "compaction/mm_compaction_try_to_compact_pages"

FILL = 1 / 4
"""A CPU's buffer is worth reading when it is so full: since Linux 6.1 its file is ready to be read only then."""

_TRIES = 8
_PAGES = 64


def event_names(level: Level) -> list[str]:
    """The events of the page allocator that are recorded at a level."""
    return [name for name in _EVENTS if level == "page" or name != "mm_page_free_batched"]


def find_tracefs() -> Path:
    """Where tracefs is mounted and may be used. Raises InputError, which says what would help."""
    if not Path("/proc/self").exists():
        raise InputError("/proc is not mounted, and the snapshots are made of it: mount -t proc proc /proc")
    refused: OSError | None = None
    for place in map(Path, _PLACES):
        try:
            os.scandir(place).close()
            if (place / "instances").is_dir():
                if os.access(place / "instances", os.W_OK):
                    return place
                reason = errno.EROFS if os.statvfs(place).f_flag & os.ST_RDONLY else errno.EACCES
                refused = OSError(reason, os.strerror(reason), str(place))
        except OSError as error:
            if error.errno != errno.ENOENT:
                refused = error
    raise InputError(_why_not(refused))


def _why_not(refused: OSError | None) -> str:
    if refused is not None and refused.errno in (errno.EMFILE, errno.ENFILE):
        return "let it have more open at once (ulimit -n 1024)"
    if os.geteuid() != 0:
        return "the kernel's trace is root's alone: run it with sudo"
    if _is_user_namespace():
        return "root in a user namespace, as in a rootless container, is another user: record as the machine's own root"
    lockdown = Path("/sys/kernel/security/lockdown")
    if "[confidentiality]" in _text(lockdown):
        return f"the kernel's lockdown forbids tracing: {_UNLOCK}"
    # Where nobody mounts securityfs, only this tells of the lockdown.
    if any(map(_is_empty, map(Path, _PLACES))):
        return f"tracefs is mounted and empty, as where the kernel's lockdown forbids tracing: {_UNLOCK}"
    mountable = refused is None and _has_tracefs() and _may_mount()
    if in_container() and not mountable:
        return (
            "this is a container, and its tracefs is not there or read-only: record on the machine itself, or start "
            "the container with --privileged -v /sys/kernel/tracing:/sys/kernel/tracing"
        )
    if refused is not None and refused.errno == errno.EROFS:
        return f"tracefs is mounted read-only: mount -o remount,rw {refused.filename}"
    if refused is not None:
        return f"tracefs refuses ({refused.strerror}): are rights dropped, or a security module in its way?"
    if _has_tracefs():
        return "tracefs is not mounted: mount -t tracefs tracefs /sys/kernel/tracing"
    return "this kernel has no tracefs (CONFIG_FTRACE): record with a kernel that has it, such as a distribution's"


def _is_empty(place: Path) -> bool:
    """Whether tracefs is mounted at a place, and has nothing in it."""
    try:
        device, names = place.stat().st_dev, os.listdir(place)
    except OSError:
        return False
    kind = rf"^\S+ \S+ {os.major(device)}:{os.minor(device)} .* - tracefs "
    return not names and re.search(kind, _text(Path("/proc/self/mountinfo")), re.MULTILINE) is not None


def _has_tracefs() -> bool:
    return "\ttracefs\n" in _text(Path("/proc/filesystems"))


def _may_mount() -> bool:
    """Whether this process may mount file systems, as root in most containers may not."""
    match = re.search(r"^CapEff:\s*([0-9a-f]+)$", _text(Path("/proc/self/status")), re.MULTILINE)
    return match is not None and bool(int(match[1], 16) >> _CAP_SYS_ADMIN & 1)


def _is_user_namespace() -> bool:
    """Whether this root is another user of the machine."""
    rows = [line.split() for line in _text(Path("/proc/self/uid_map")).splitlines()]
    return any(row[0] == "0" and row[1] != "0" for row in rows if len(row) == 3)


def in_container() -> bool:
    """Whether this looks like the inside of a container."""
    if Path("/.dockerenv").exists() or Path("/run/.containerenv").exists():
        return True
    try:
        environment = Path("/proc/1/environ").read_bytes()
    except OSError:
        return False
    return any(entry.startswith(b"container=") for entry in environment.split(b"\0"))


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _instances(tracefs: Path) -> Iterator[tuple[Path, int]]:
    """Pagehint's instances, each with an open descriptor of its folder."""
    for path in sorted((tracefs / "instances").glob(f"{_PREFIX}*")):
        try:
            folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError:  # it has just ended
            continue
        try:
            yield path, folder
        finally:
            os.close(folder)


def _lock(folder: int) -> bool:
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def living_instances(tracefs: Path) -> list[Path]:
    """The instances of recorders that run now."""
    living = []
    for path, folder in _instances(tracefs):
        if _lock(folder):
            fcntl.flock(folder, fcntl.LOCK_UN)
        else:
            living.append(path)
    return living


def remove_stale(tracefs: Path) -> int:
    """Remove the instances that killed recorders left; returns how many."""
    removed = 0
    for path, folder in _instances(tracefs):
        if _lock(folder):
            _remove(tracefs, path)
            removed += not path.exists()
    return removed


def _remove(tracefs: Path, path: Path) -> None:
    with suppress(OSError):
        (path / "tracing_on").write_text("0")
    with suppress(OSError):
        (path / "events" / "enable").write_text("0")
    _remove_probes(tracefs, path, [*(name for name, *_ in PROBES), *ZONE_PROBES])
    with suppress(OSError):
        path.rmdir()


def _remove_probes(tracefs: Path, path: Path, names: Iterable[str]) -> None:
    group = _group(path)
    if not re.search(rf":{group}/", _text(tracefs / "kprobe_events")):
        return
    for name in names:
        with suppress(OSError):
            (path / "events" / group / name / "enable").write_text("0")
        with suppress(OSError):
            _append(tracefs / "kprobe_events", f"-:{group}/{name}\n")


# Python's own append seeks to the end first, which kprobe_events refuses; and without it, others' probes were removed.
def _append(path: Path, text: str) -> None:
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
    try:
        os.write(file, text.encode())
    finally:
        os.close(file)


def _release() -> tuple[int, int]:
    return release_of(os.uname().release) or (0, 0)


# Since 6.10 one function frees to the zone. Before, that of large blocks did it by itself, but for 6.9 and kernels that
# took its freeing of folios over, where some pass it by.
def _straight() -> tuple[_Probe, ...]:
    if _release() >= (6, 10):
        return _STRAIGHT
    return () if " free_unref_folios\n" in _text(Path("/proc/kallsyms")) else _STRAIGHT_BEFORE


def _group(path: Path) -> str:
    return path.name.replace("-", "_")


class Instance:
    """An instance that records the page allocator's events of `level`; a context manager that removes it.

    `buffer_kib` is the size of each CPU's ring buffer. `folder` is its folder; `missing` names events that this kernel
    lacks. Raises InputError where this machine can't record.
    """

    def __init__(self, tracefs: Path, level: Level, buffer_kib: int) -> None:
        self.tracefs = tracefs
        self.level = level
        self.missing: list[str] = []
        self.formats: dict[str, str] = {}
        self._on: list[Path] = []
        if not (tracefs / "events" / "kmem" / "mm_page_alloc").is_dir():
            raise InputError("this kernel traces no page allocations (kmem:mm_page_alloc): it was built without them")
        self.folder, self._lock = self._make()
        try:
            self._set_up(buffer_kib)
        except OSError as error:
            self.close()
            if error.errno == errno.ENOMEM:
                raise InputError(
                    f"there is no memory for ring buffers of {buffer_kib} KiB a CPU: choose smaller --buffers"
                ) from None
            name = Path(str(error.filename)).name if error.filename else "tracefs"
            raise InputError(f"tracefs refuses {name} ({error.strerror}): {_why_not(error)}") from None
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    # Until it is locked, somebody who tidies up may take it away.
    def _make(self) -> tuple[Path, int]:
        for number in range(_TRIES):
            path = self.tracefs / "instances" / f"{_PREFIX}{os.getpid()}-{number}"
            try:
                path.mkdir()
                folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            except (FileExistsError, FileNotFoundError):
                continue
            except OSError as error:
                with suppress(OSError):
                    path.rmdir()
                if error.errno == errno.ENOMEM:
                    raise InputError("there is no memory for a tracing instance: free some first") from None
                raise InputError(f"tracefs makes no instance ({error.strerror}): {_why_not(error)}") from None
            if _lock(folder) and path.exists():
                return path, folder
            os.close(folder)
        raise InputError(f"{self.tracefs / 'instances'}: no instance can be made: others take them away")

    def close(self) -> None:
        """Remove the instance."""
        if self._lock < 0:
            return
        _remove(self.tracefs, self.folder)
        os.close(self._lock)
        self._lock = -1

    def write(self, name: str, text: str) -> None:
        """Write one of the instance's files. Raises OSError, which names it."""
        try:
            (self.folder / name).write_text(text)
        except OSError as error:
            raise OSError(error.errno, error.strerror, name) from None

    def _set_up(self, buffer_kib: int) -> None:
        self.write("tracing_on", "0")
        self.write("trace_clock", "mono")
        self.write("buffer_size_kb", str(buffer_kib))
        with suppress(OSError):
            self.write("buffer_percent", str(round(100 * FILL)))
        for option, value in (("overwrite", "1"), ("markers", "1"), ("record-cmd", "0")):
            with suppress(OSError):
                self.write(f"options/{option}", value)
        for name in event_names(self.level):
            event = self.folder / "events" / "kmem" / name
            if not event.is_dir():
                self.missing.append(name)
                continue
            self.formats[name] = (event / "format").read_text()
            if self.level == "zone" and name in ("mm_page_alloc", "mm_page_free"):
                if self._probe_instead(name):
                    continue
                (event / "filter").write_text(self.past_lists(name))
            if self.level == "page" or name != "mm_page_alloc":
                self._turn_on(event / "enable")
            else:
                self._follow_compaction()
        self.formats["print"] = (self.tracefs / "events" / "ftrace" / "print" / "format").read_text()
        self._probe()

    def past_lists(self, name: str) -> str:
        """A filter of an event: the orders that pass no per-CPU list, and for allocations that of a huge page too.

        Since 5.14 orders up to 3 and that of a huge page are on lists. To which of these a free goes is told when it
        leaves the list; an allocation that compacts memory may have captured its block.
        """
        if _release() < (5, 14):
            return "order >= 1"
        huge = _text(_HUGE_PAGE).strip()
        if name == "mm_page_alloc" or not huge.isdecimal():
            return "order >= 4"
        return f"order >= 4 && order != {(int(huge) // os.sysconf('SC_PAGE_SIZE')).bit_length() - 1}"

    # For an event that is on, the kernel makes a call of each allocation or free of a page, which costs a program that
    # faults pages in 2 to 5 %: where it can, the zone level has probes of functions that few of them reach.
    def _probe_instead(self, name: str) -> bool:
        probes = _COMPACTED if name == "mm_page_alloc" else _straight()
        if not probes or _text(_ARMED).strip() == "0" or not is_guessable(platform.machine(), pfn_end()):
            return False
        try:
            for each, event in [(each[0], self._make_probe(*each)) for each in probes]:
                self._enable_probe(each, event)
        except OSError:  # a function that the compiler changed is not there by its name
            for each, *_ in probes:
                self.formats.pop(each, None)
            self._on = [each for each in self._on if each.parent.parent.name != _group(self.folder)]
            _remove_probes(self.tracefs, self.folder, [each for each, *_ in probes])
            return False
        return True

    # Only a block that direct compaction captures leaves without another event: the kernel itself enables allocations
    # when the first one begins. A kernel without compaction has no such event.
    def _follow_compaction(self) -> None:
        with suppress(FileNotFoundError):
            self.write(f"events/{_COMPACTION}/trigger", "enable_event:kmem:mm_page_alloc")

    # Reporting has no events of its own. Where the kernel has no probes, the recording is whole without them.
    def _probe(self) -> None:
        for name, kind, function, fetch in PROBES:
            for symbol in (function, f"virtio_balloon:{function}"):
                with suppress(OSError):
                    self._enable_probe(name, self._make_probe(name, kind, symbol, fetch))
                    break
            else:
                self.missing.append(name)

    def _make_probe(self, name: str, kind: str, symbol: str, fetch: str) -> Path:
        group = _group(self.folder)
        _append(self.tracefs / "kprobe_events", f"{kind}:{group}/{name} {symbol} {fetch}\n")
        return self.folder / "events" / group / name

    def _enable_probe(self, name: str, event: Path) -> None:
        self._turn_on(event / "enable")
        self.formats[name] = (event / "format").read_text()

    def _turn_on(self, switch: Path) -> None:
        switch.write_text("1")
        self._on.append(switch)

    def turned_off(self) -> int:
        """How many of the switches that were turned on somebody has turned off, as who tidies all instances does."""
        return sum(not _text(switch).startswith("1") for switch in self._on)

    def start(self) -> None:
        """Begin to record."""
        self._turn_on(self.folder / "tracing_on")

    def stop(self) -> None:
        """Record no more; what the buffers hold stays."""
        self.write("tracing_on", "0")
        self._on.clear()  # whoever turns something off now turns off nothing of the recording

    def mark(self, text: str) -> None:
        """Write a mark among the events."""
        self.write("trace_marker", text)

    def header_page(self) -> str:
        """What tracefs says of a ring buffer page."""
        return (self.tracefs / "events" / "header_page").read_text()

    def missed(self) -> int:
        """How often a probe did not fire, as happens while another does."""
        rows = (line.split() for line in _text(self.tracefs / "kprobe_profile").splitlines())
        return sum(int(row[2]) for row in rows if len(row) == 3 and row[0] in self.formats)

    def stats(self) -> dict[int, str]:
        """The counters of each CPU's ring buffer."""
        return {cpu: _text(self.folder / "per_cpu" / f"cpu{cpu}" / "stats") for cpu in self.cpus()}

    def cpus(self) -> list[int]:
        """The CPUs that have a ring buffer."""
        return sorted(int(path.name[3:]) for path in (self.folder / "per_cpu").glob("cpu*"))

    def vmemmap(self) -> int | None:
        """The address of the page array, where the kernel prints addresses (since 5.12); None where it doesn't tell."""
        with suppress(OSError):
            self.write("options/hash-ptr", "0")
            with (self.folder / "trace").open(errors="replace") as file:
                for _, line in zip(range(2000), file, strict=False):
                    match = re.search(r" page=(?:0x)?([0-9a-f]{16}) pfn=0x([0-9a-f]+)", line)
                    if match is not None and int(match[1], 16) >> 60 == 0xF:
                        return int(match[1], 16) - 64 * int(match[2], 16)
        return None


class Buffers:
    """The ring buffers of an instance, read page by page as they fill."""

    def __init__(self, instance: Instance, page_size: int) -> None:
        self._files: dict[int, int] = {}
        self._without: set[int] = set()
        self._size = page_size
        self._room = bytearray(page_size * _PAGES)
        try:
            for cpu in instance.cpus():
                path = instance.folder / "per_cpu" / f"cpu{cpu}" / "trace_pipe_raw"
                self._files[cpu] = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except BaseException:
            self.close()
            raise

    @property
    def files(self) -> set[int]:
        """The descriptors to wait for: but of CPUs found without a buffer, as before they first are online."""
        return set(self._files.values()) - self._without

    def close(self) -> None:
        """Close the files."""
        while self._files:
            os.close(self._files.popitem()[1])

    def drain(self, take: Callable[[int, memoryview], None]) -> int:
        """Give `take` all that is there, by CPU; returns the most pages that a CPU had."""
        room, size = memoryview(self._room), self._size
        most = 0
        for cpu, file in self._files.items():
            pages = full = 0
            while True:
                got = self._read(file, room[full * size : (full + 1) * size])
                if got == 0:
                    break
                if got < size:
                    room[full * size + got : (full + 1) * size] = bytes(size - got)
                full += 1
                pages += 1
                if full == _PAGES:
                    take(cpu, room)
                    full = 0
            if full:
                take(cpu, room[: full * size])
            most = max(most, pages)
        return most

    def _read(self, file: int, room: memoryview) -> int:
        """Read a page; returns its bytes, 0 where there is none now."""
        try:
            got = os.readv(file, [room])
        except BlockingIOError:
            got = 0
        except OSError as error:
            if error.errno != errno.ENODEV:
                raise
            self._without.add(file)
            return 0
        self._without.discard(file)
        return got
