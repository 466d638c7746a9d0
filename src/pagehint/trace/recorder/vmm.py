"""A virtual machine seen from its host: where its guest's RAM lies in the address space of its process."""

import json
import os
import re
import socket
import struct
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from pagehint.errors import InputError

__all__ = ["Qmp", "RamPart", "find_log", "find_ram", "ram_of_qmp", "socket_address"]

_PAGE = os.sysconf("SC_PAGE_SIZE")
# Where RAM goes on above 4 GiB: from so many bytes on only so many lie below. By QEMU's machine; others leave 1 GiB.
_BELOW = {"q35": (0xB0000000, 2 << 30), "pc": (0xE0000000, 3 << 30)}
_LEAST = 32 << 20
_MOST = 1 << 42
_TIMEOUT = 20.0
_LONGEST = 1 << 20
_LONGEST_ADDRESS = 107


@dataclass(frozen=True)
class RamPart:
    """A part of a guest's RAM: its first pfn, its pages of 4 KiB, and its address in the process."""

    pfn: int
    pages: int
    address: int


@contextmanager
def socket_address(path: Path) -> Iterator[str]:
    """A Unix socket's path as the kernel takes it, of 107 bytes at the most: a longer one by its open folder."""
    if len(os.fsencode(path)) <= _LONGEST_ADDRESS:
        yield str(path)
        return
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


class Qmp:
    """A connection to QEMU's QMP socket, of 20 s at the most; a context manager. Raises InputError."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._socket = socket.socket(socket.AF_UNIX)
        self._got = b""
        self._until = time.monotonic() + _TIMEOUT
        try:
            self._greet()
        except BaseException:
            self._close()
            raise

    def _greet(self) -> None:
        try:
            self._socket.settimeout(_TIMEOUT)
            with socket_address(self._path) as address:
                self._socket.connect(address)
            greeting = self._read()
        except OSError as error:
            hint = f"is it QEMU's -qmp unix:{self._path},server=on?"
            raise InputError(f"{self._path}: {error.strerror or error}: {hint}") from None
        if "QMP" not in greeting:
            raise InputError(f"{self._path}: no QMP socket: it greets with {str(greeting)[:60]}")
        self.execute("qmp_capabilities")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def _close(self) -> None:
        self._socket.close()

    # However it is split, or many others come before it: the next answer is there by then, or none is.
    def _read(self) -> dict[str, Any]:
        while b"\n" not in self._got and len(self._got) < _LONGEST:
            left = self._until - time.monotonic()
            if left <= 0:
                raise TimeoutError("timed out")
            self._socket.settimeout(left)
            data = self._socket.recv(1 << 16)
            if not data:
                break
            self._got += data
        line, _, self._got = self._got.partition(b"\n")
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            value = None
        if not isinstance(value, dict):
            raise InputError(f"{self._path}: no QMP socket: it says {line[:60]!r}")
        return value

    @property
    def pid(self) -> int:
        """QEMU's process: who listens at the socket."""
        credentials = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        return int(struct.unpack("3i", credentials)[0])

    def execute(self, command: str, **arguments: Any) -> Any:
        """Execute a command; returns what QEMU does."""
        try:
            self._socket.sendall(json.dumps({"execute": command, "arguments": arguments}).encode() + b"\n")
            while True:
                answer = self._read()
                if "return" in answer:
                    return answer["return"]
                if "error" in answer:
                    said = answer["error"]
                    said = said.get("desc", said) if isinstance(said, dict) else said
                    raise InputError(f"{self._path}: {command}: {str(said)[:200]}")
        except OSError as error:
            raise InputError(f"{self._path}: {command}: {error}") from None

    def human(self, line: str) -> str:
        """What a command of QEMU's monitor prints."""
        return str(self.execute("human-monitor-command", **{"command-line": line}))


_RAM = re.compile(
    r"^ +([0-9a-f]{16})-([0-9a-f]{16}) \(prio -?\d+, (?:ram|rom|nv-ram)\): (\S+)(?: @([0-9a-f]{16}))?", re.MULTILINE
)
_ADDRESS = re.compile(r"is (0x[0-9a-f]{1,16})\b")


def ram_of_qmp(qmp: Qmp) -> list[RamPart]:
    """A guest's RAM as QEMU itself says. Raises InputError."""

    def address_of(place: int) -> int:
        found = _ADDRESS.search(qmp.human(f"gpa2hva {place:#x}"))
        if found is None:
            raise InputError(f"QEMU doesn't say where the guest's RAM at {place:#x} lies (gpa2hva)")
        return int(found[1], 16)

    backends = qmp.execute("query-memdev")
    names = (
        {str(each.get("id")) for each in backends if isinstance(each, dict)} if isinstance(backends, list) else set()
    )
    parts = ram_of_tree(qmp.human("info mtree -f"), names, address_of)
    mapped = _joined(_mappings(qmp.pid))
    for part in parts:
        if not any(begin <= part.address and part.address + (part.pages << 12) <= end for begin, end in mapped):
            place = f"from {part.pfn << 12:#x} on at {part.address:#x}"
            raise InputError(f"QEMU has RAM {place}, where its process {qmp.pid} has none: is it another's?")
    return parts


# (begin, end): what lies side by side is one, as memory policies and advice split it.
def _joined(mappings: list[tuple[int, int]]) -> list[tuple[int, int]]:
    spans: list[tuple[int, int]] = []
    for begin, size in sorted((begin, size) for size, begin in mappings):
        first = spans.pop()[0] if spans and spans[-1][1] == begin else begin
        spans.append((first, begin + size))
    return spans


def ram_of_tree(tree: str, backends: Collection[str], address_of: Callable[[int], int]) -> list[RamPart]:
    """The parts of RAM in what ``info mtree -f`` prints: of the memory at guest-physical 0, and of these backends.

    `address_of` tells the address of a guest-physical one. Raises InputError.
    """
    rows = [
        (int(row[1], 16), int(row[2], 16) + 1, row[3].rpartition("/")[2], int(row[4] or "0", 16))
        for row in _RAM.finditer(tree)
    ]
    first = next((name for begin, _, name, _ in rows if begin == 0), None)
    if first is None:
        raise InputError("QEMU's memory map has no RAM at guest-physical 0")
    # What firmware lies over is RAM before and behind it; what goes on elsewhere, such as above 4 GiB, is a part.
    parts = defaultdict(list)
    for begin, end, name, at in rows:
        if name == first or name in backends:
            if not begin < end <= _MOST:
                raise InputError(f"QEMU's memory map has RAM from {begin:#x} to {end:#x}: expected it below 4 TiB")
            parts[name, begin - at].append((begin, end))
    spans = sorted((min(begin for begin, _ in part), max(end for _, end in part)) for part in parts.values())
    for (begin, end), (after, _) in pairwise([*spans, (_MOST, _MOST)]):
        if begin % 4096 or end % 4096 or end > after:
            raise InputError(f"QEMU's memory map has RAM from {begin:#x} to {end:#x}, which no machine has")
    return [RamPart(begin >> 12, (end - begin) >> 12, address_of(begin)) for begin, end in spans]


def _mappings(pid: int) -> list[tuple[int, int]]:
    """(bytes, address) of what a process has mapped to write, the largest first; neighbours of one kind are one."""
    try:
        text = Path(f"/proc/{pid}/maps").read_text(errors="replace")
    except FileNotFoundError:
        raise InputError(f"no process {pid}") from None
    except PermissionError:
        raise InputError(f"process {pid} may not be looked at: run this as root, or as its owner") from None
    found = []
    for line in text.splitlines():
        words = line.split(maxsplit=5)
        begin, end = (int(part, 16) for part in words[0].split("-"))
        if words[1].startswith("rw") and (len(words) < 6 or not words[5].startswith(("[heap", "[stack"))):
            found.append((end - begin, begin))
    return sorted(found, reverse=True)


def _command_line(pid: int) -> list[bytes]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return []


def _own_pid(pid: int) -> int:
    """What a process is to itself."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(errors="replace")
    except OSError:
        return pid
    found = re.search(r"^NSpid:.*\t(\d+)$", status, re.MULTILINE)
    return int(found[1]) if found else pid


def find_log(pid: int) -> Path:
    """Where a QEMU writes its trace events: the file of its option -D, else its standard error, as this process sees
    them; they need not be there."""
    words = _command_line(pid)
    named = next((after for word, after in pairwise(words) if word in (b"-D", b"--D")), None)
    # By its own root, folder and number: it may run in a container.
    if named is None:
        return Path(f"/proc/{pid}/fd/2")
    name = os.fsdecode(named).replace("%d", str(_own_pid(pid)))
    return Path(f"/proc/{pid}/root{name}" if name.startswith("/") else f"/proc/{pid}/cwd/{name}")


def find_ram(pid: int) -> list[RamPart]:
    """A guest's RAM by the mappings of its VM's process: the largest, or two of which one ends below 4 GiB.

    Raises InputError where there is none, and where QEMU was given several memory backends.
    """
    words = _command_line(pid)
    if words and b"qemu" in words[0] and sum(b"memory-backend-" in word for word in words) > 1:
        raise InputError(
            f"process {pid}: its guest's RAM is in several memory backends: name QEMU's --qmp socket instead"
        )
    mappings = _mappings(pid)
    if not mappings or mappings[0][0] < _LEAST:
        raise InputError(f"process {pid} has no mapping of {_LEAST >> 20} MiB or more: is it a virtual machine?")
    size, address = mappings[0]
    if words and b"qemu" in words[0]:
        machine = next((after for word, after in pairwise(words) if word in (b"-machine", b"-M")), b"pc")
        least, below = _BELOW["q35" if b"q35" in machine else "pc"]
        if size >= least:
            return [RamPart(0, below >> 12, address), RamPart(1 << 20, (size - below) >> 12, address + below)]
        return [RamPart(0, size >> 12, address)]
    # Firecracker and Cloud Hypervisor map each part of its own; the one below 4 GiB is 3 or 3.25 GiB.
    low = next((each for each in mappings[1:] if each[0] in (3 << 30, 0xD0000000)), None)
    if low is not None and size not in (3 << 30, 0xD0000000):
        return [RamPart(0, low[0] >> 12, low[1]), RamPart(1 << 20, size >> 12, address)]
    return [RamPart(0, size >> 12, address)]
