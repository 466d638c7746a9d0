"""What the doctor is given: files, folders and pipes, and the bytes in them."""

import gzip
import io
import os
import select
import stat
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from pagehint.errors import InputError, printable
from pagehint.inputs import GZIP_MAGIC, as_argument, is_wide, packed_elsewise, reading, standard_input
from pagehint.proc.kpageflags import KPageFlag

__all__ = ["STANDARD_INPUT", "SilentError", "bytes_of", "files_of", "is_binary", "page_map_of"]

STANDARD_INPUT = Path("-")
"""Its name on the command line."""

_MOST_TEXT = 256 << 20
_MOST_MAP = 512 << 20
_MOST_STREAM = 4 << 30  # a page map whose size nobody tells: of 2 TiB
_MOST_FLAGS = (1 << 48) - 1
_CHUNK = 1 << 20
_MOST_ZEROS = 64 << 20  # of 32 GiB of pages of 4 KiB some are reserved, or free
# Text that is packed: each line of it is work.
_FREE_TEXT = 4 << 20
_RATIO = 10
_PATIENCE = 5000  # ms
_PRINTED = bytes([9, 10, 13, 27, *range(32, 127)])
_OF_FOLDERS = [
    *(
        f"{folder}{name}"
        for folder in ("proc/", "")
        for name in ("buddyinfo", "zoneinfo", "meminfo", "pagetypeinfo", "vmstat", "slabinfo", "pressure/memory")
    ),
    *("proc/sys/fs/dentry-state", "sys/fs/dentry-state"),
    *("kpageflags", "kpagecount", "kpageflags.gz", "kpagecount.gz"),
    *("sos_commands/kernel/dmesg", "var/log/dmesg", "dmesg", "dmesg.txt"),
]
# By their first bytes: what they are, and what makes a text of them.
_DOCUMENTS = {
    b"{\\rtf": "a rich text document: save it as plain text",
    b"%PDF-": "a PDF document: copy its text into a file",
    b"\x89PNG": "a picture: copy the text that it shows into a file",
    b"\xff\xd8\xff": "a picture: copy the text that it shows into a file",
    b"LPKSHHRH": "a journal: `journalctl --file {} -k` prints what is in it",
    b"\x7fELF": "a dump of memory, or a program: of a dump, what crash's `kmem -i` and `kmem -f` print is read here",
    b"KDUMP   ": "a dump of memory: what crash's `kmem -i` and `kmem -f` print of it is read here",
    b"\x96\xd5": "sar's own file: `sar -r -f {}` prints what is in it",
    b"\xef\xbe\xed\xfe": "atop's own file: `atop -r {}` prints what is in it",
}


class SilentError(InputError):
    """A file or folder that tells nothing of memory: bad input where no other does."""

    def __init__(self, name: str, why: str, instead: str) -> None:
        super().__init__(f"{name}: {why}: {instead}")
        self.name, self.why = name, why


def files_of(path: Path) -> list[Path]:
    """The file itself; of a folder, such as a sos report's, those in it that tell of memory. Raises SilentError."""
    if path == STANDARD_INPUT or not path.is_dir():
        return [path]
    inside = [path / name for name in _OF_FOLDERS if (path / name).is_file()]
    if not inside:
        why = f"a folder in which there is no {', '.join(_OF_FOLDERS[:3])}..."
        raise SilentError(printable(str(path)), why, "name the files")
    return inside


def bytes_of(path: Path, name: str) -> bytearray:
    """What is in a file, unpacked; `name` is what errors call it. O(size)."""
    if path == STANDARD_INPUT:
        data = _whole(standard_input(), 0, name)
    else:
        with reading(name), _open(path, name) as file:
            data = _whole(file, os.fstat(file.fileno()).st_size, name)
    if data.startswith(GZIP_MAGIC):
        data = _unpacked(data, name)
    if len(data) > _MOST_TEXT and not is_binary(data):
        raise InputError(f"{name}: more than {_MOST_TEXT >> 20} MiB of text: cut out what matters")
    return data


# What is no page map is told by its first pages: a disk image is not read to its end, from a pipe neither.
def _whole(file: BinaryIO, size: int, name: str) -> bytearray:
    whole = bytearray()
    most = _MOST_TEXT + 1
    binary = False
    while len(whole) < most and (chunk := file.read(min(_CHUNK, most - len(whole)))):
        if not whole and chunk.startswith(GZIP_MAGIC):
            most = max(size, _MOST_MAP)
        elif not whole and (packed := packed_elsewise(chunk, name if size else None)) is not None:
            raise InputError(f"{name}: is {packed}{', and name what was in it' if size else ''}")
        elif not whole and (document := _document(chunk, name if size else "FILE")) is not None:
            raise InputError(f"{name}: is {document}")
        elif not whole and is_binary(chunk):
            binary, most = True, max(size, _MOST_STREAM)
        if binary and int(np.frombuffer(chunk, "<u8", len(chunk) // 8).max(initial=0)) > _MOST_FLAGS:
            raise _foreign(whole or chunk, name)
        whole += chunk
        if binary and len(whole) == _MOST_ZEROS and not whole.strip(b"\0"):
            raise _only_zeros(name)
    return whole


# Chunk by chunk into one buffer: what a few bytes unpack to is held once. Several members, one after the other, are one
# file: so a map that is written in pieces is packed.
def _unpacked(data: bytearray, name: str) -> bytearray:
    stream, whole = gzip.GzipFile(fileobj=io.BytesIO(data)), bytearray()
    most, most_text = _MOST_MAP, min(_MOST_TEXT, _FREE_TEXT + _RATIO * len(data))
    with reading(name):
        while len(whole) <= most and (chunk := stream.read(_CHUNK)):
            whole += chunk
            most = _MOST_MAP if is_binary(whole) else most_text
    if len(whole) > most:
        raise InputError(f"{name}: unpacks to more than {most >> 20} MiB: unpack it, and name the result")
    return whole


# A pipe may be read here, as in `pagehint doctor <(dmesg)`, but only one that somebody writes to. The kernel's own log
# ends where it would wait for more.
def _open(path: Path, name: str) -> BinaryIO:
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        is_pipe = stat.S_ISFIFO(os.fstat(descriptor).st_mode)
        if is_pipe:
            waiting = select.poll()
            waiting.register(descriptor, select.POLLIN)
            if not waiting.poll(_PATIENCE):
                raise InputError(f"{name}: a pipe that nobody writes to: name a file, or `<(command)`")
        os.set_blocking(descriptor, is_pipe or os.isatty(descriptor))
        return open(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def is_binary(data: bytes | bytearray) -> bool:
    """Whether it is no text, by its start."""
    start = data[:4096]
    others = start.replace(b"\0", b"")
    # Texts of a machine that went down hold zeros too.
    return len(others) < len(start) and not is_wide(start) and len(others.translate(None, _PRINTED)) >= len(others) / 8


def _document(start: bytes, name: str) -> str | None:
    found = next((each for magic, each in _DOCUMENTS.items() if start.startswith(magic)), None)
    return None if found is None else found.format(as_argument(name))


def _foreign(data: bytes | bytearray, name: str) -> InputError:
    if data[257:262] == b"ustar":
        return InputError(f"{name}: a tar archive of more than texts: unpack it, and name what was in it")
    return InputError(f"{name}: has no page of a free block in it: expected /proc/kpageflags, 8 bytes a page")


def _only_zeros(name: str) -> InputError:
    return InputError(f"{name}: nothing but zeros: expected /proc/kpageflags or kpagecount, copied whole")


def page_map_of(data: bytes | bytearray, name: str) -> tuple[str, NDArray[np.uint64]]:
    """Which page map it is, ``"kpageflags"`` or ``"kpagecount"``, and its words. O(size). Raises InputError."""
    if len(data) % 8:
        raise InputError(
            f"{name}: {len(data)} bytes are not whole 8-byte entries: expected /proc/kpageflags, copied whole"
        )
    words: NDArray[np.uint64] = np.frombuffer(data, "<u8")
    largest = int(words.max(initial=0))
    if not largest:
        raise _only_zeros(name)
    # A count of mappings is small; among flags, some page is reserved or not there.
    file = name.rpartition("/")[2]
    if "kpagecount" in file or ("kpageflags" not in file and largest < KPageFlag.NOPAGE):
        return "kpagecount", words
    if largest > _MOST_FLAGS or not int(np.bitwise_or.reduce(words)) & KPageFlag.BUDDY:
        raise _foreign(data, name)
    return "kpageflags", words
