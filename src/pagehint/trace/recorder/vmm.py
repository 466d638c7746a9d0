"""A virtual machine seen from its host: where its guest's RAM lies in the address space of its process."""

import os
import re
from collections import defaultdict
from collections.abc import Callable, Collection
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from pagehint.errors import InputError
from pagehint.trace.recorder.qmp import Qmp
from pagehint.units import format_size

__all__ = ["RamPart", "find_log", "find_ram", "ram_of_qmp", "ram_of_tree"]

_PAGE = os.sysconf("SC_PAGE_SIZE")
# Where RAM goes on above 4 GiB: from so many bytes on only so many lie below. By QEMU's machine; others leave 1 GiB.
_BELOW = {b"q35": (0xB0000000, 2 << 30), b"microvm": ((3 << 30) + 1, 3 << 30)}
_BELOW_PC = 0xE0000000, 3 << 30
_LOW = 3 << 30, 0xD0000000
_ABOVE = 1 << 20
_QEMU_MEMORY = 128 << 20
_SIZE = re.compile(rb"(\d{1,15}(?:\.\d{1,9})?)([BKMGT]?)", re.IGNORECASE)
_LEAST = 32 << 20
_MOST = 1 << 42
_RAM = re.compile(
    r"^ +([0-9a-f]{16})-([0-9a-f]{16}) \(prio -?\d+, (?:ram|rom|nv-ram)\): (\S+)(?: @([0-9a-f]{16}))?", re.MULTILINE
)
_ADDRESS = re.compile(r"is (0x[0-9a-f]{1,16})\b")


@dataclass(frozen=True)
class RamPart:
    """A part of a guest's RAM: its first pfn, its pages of 4 KiB, and its address in the process."""

    pfn: int
    pages: int
    address: int


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
    mapped = _spans(_mappings(qmp.pid))
    for part in parts:
        if not any(at <= part.address and part.address + (part.pages << 12) <= at + size for size, at in mapped):
            place = f"from {part.pfn << 12:#x} on at {part.address:#x}"
            raise InputError(f"QEMU has RAM {place}, where its process {qmp.pid} has none: is it another's?")
    return parts


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


class _Mapping(NamedTuple):
    begin: int
    end: int
    kind: tuple[str, ...]
    offset: int


def _mappings(pid: int) -> list[_Mapping]:
    """What a process has mapped to write and not to execute, by address."""
    try:
        text = Path(f"/proc/{pid}/maps").read_text(errors="replace")
    except FileNotFoundError:
        raise InputError(f"no process {pid}") from None
    except PermissionError:
        raise InputError(f"process {pid} may not be looked at: run this as its owner, or as the host's root") from None
    found = []
    for line in text.splitlines():
        place, rights, offset, *kind = line.split(maxsplit=5)
        if rights.startswith("rw-") and not kind[-1].startswith(("[heap", "[stack")):
            begin, end = (int(part, 16) for part in place.split("-"))
            # Of a file the next bytes go on; of memory without one, any.
            found.append(_Mapping(begin, end, (rights, *kind), int(offset, 16) if kind[1] != "0" else begin))
    return found


def _spans(mappings: list[_Mapping]) -> list[tuple[int, int]]:
    """(bytes, address), the largest first: neighbours of one kind are one, as memory policies and advice split it."""
    spans: list[tuple[int, int]] = []
    goes_on = None
    for mapping in mappings:
        begin, end, kind, offset = mapping
        if (begin, kind, offset) == goes_on:
            begin = spans.pop()[1]
        spans.append((end - begin, begin))
        goes_on = end, kind, offset + end - mapping.begin
    return sorted(spans, reverse=True)


def _of_size(mappings: list[_Mapping], size: int) -> list[int]:
    """Where so many bytes are mapped, in one mapping or in several that lie side by side."""
    found = []
    for at, first in enumerate(mappings):
        end = first.begin
        while at < len(mappings) and mappings[at].begin == end < first.begin + size:
            end = mappings[at].end
            at += 1
        if end == first.begin + size:
            found.append(first.begin)
    return found


def _command_line(pid: int) -> list[bytes]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return [b""]


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
    """A guest's RAM by the mappings of its VM's process: of QEMU's that of the size of its option -m, of others the
    largest, or two of which one ends below 4 GiB.

    Raises InputError where there is none, and where QEMU's options don't tell where it lies.
    """
    words, mappings = _command_line(pid), _mappings(pid)
    if _is_qemu(pid, words):
        return _ram_of_options(pid, words, mappings)
    spans = _spans(mappings)
    if not spans or spans[0][0] < _LEAST:
        raise InputError(f"process {pid} has no mapping of {_LEAST >> 20} MiB or more: is it a virtual machine?")
    # Firecracker and Cloud Hypervisor map each part of its own, the one below 4 GiB first, 3 or 3.25 GiB of it: where
    # all is free the next one lies before it, and unless something keeps them apart the two are one mapping.
    size, address = spans[0]
    low = next((each for each in spans[1:] if each[0] in _LOW), None)
    if low is not None and size not in _LOW:
        return _two_parts(low, (size, address))
    if low is not None and low[0] == size:
        return _two_parts((size, max(address, low[1])), (size, min(address, low[1])))
    if size > _LOW[0] and Path(os.fsdecode(words[0])).name.startswith("cloud-hyper"):
        return _two_parts((_LOW[0], address + size - _LOW[0]), (size - _LOW[0], address))
    return [RamPart(0, size >> 12, address)]


def _two_parts(low: tuple[int, int], high: tuple[int, int]) -> list[RamPart]:
    return [RamPart(0, low[0] >> 12, low[1]), RamPart(_ABOVE, high[0] >> 12, high[1])]


# Its name may be another, such as kvm of the distributions that have QEMU so.
def _is_qemu(pid: int, words: list[bytes]) -> bool:
    try:
        program = os.readlink(f"/proc/{pid}/exe")
    except OSError:
        program = ""
    return b"qemu" in words[0] or Path(program).name.startswith("qemu-")


def _ram_of_options(pid: int, words: list[bytes], mappings: list[_Mapping]) -> list[RamPart]:
    def refused(why: str) -> InputError:
        return InputError(f"process {pid}: {why}: name QEMU's --qmp socket instead")

    if sum(b"memory-backend-" in word for word in words) > 1:
        raise refused("its guest's RAM is in several memory backends")
    machine = b",".join(_options(words, b"machine", b"M"))
    if b"max-ram-below-4g" in machine:
        raise refused("its option max-ram-below-4g says where its guest's RAM lies")
    size = _memory_option(words)
    if size is None:
        raise refused("its option -m can't be read")
    found = _of_size(mappings, size)
    if len(found) != 1:
        what = "several mappings" if found else "no mapping"
        raise refused(f"it has {what} of the {format_size(size)} that its option -m says")
    (address,) = found
    least, below = next((split for name, split in _BELOW.items() if name in machine), _BELOW_PC)
    if size < least:
        return [RamPart(0, size >> 12, address)]
    return _two_parts((below, address), (size - below, address + below))


def _options(words: list[bytes], *names: bytes) -> list[bytes]:
    """The values of an option, in order."""
    return [after for word, after in pairwise(words) if word.startswith(b"-") and word.lstrip(b"-") in names]


def _memory_option(words: list[bytes]) -> int | None:
    size = _QEMU_MEMORY
    for value in _options(words, b"m"):
        parts = value.split(b",")
        named = [part[5:] for part in parts if part.startswith(b"size=")] + [parts[0]] * (b"=" not in parts[0])
        if not named:
            continue
        if (match := _SIZE.fullmatch(named[0])) is None:
            return None
        size = int(float(match[1]) * 1024 ** b"BKMGT".index(match[2].upper() or b"M"))
    return size
