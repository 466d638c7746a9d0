"""Input files: regular ones only, read within bounds, packed by gzip or not."""

import codecs
import gzip
import io
import os
import select
import shlex
import stat
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from pagehint.errors import InputError
from pagehint.units import shown

__all__ = [
    "GZIP_MAGIC",
    "CutOffError",
    "as_argument",
    "as_path",
    "as_utf8",
    "check_not_packed",
    "decoded",
    "follows",
    "is_wide",
    "kind_of_file",
    "open_input",
    "packed_elsewise",
    "read_input",
    "read_text",
    "reading",
    "standard_input",
    "unpacked",
]

GZIP_MAGIC = b"\x1f\x8b"
"""What gzip's data begin with."""

# By their first bytes: what they are, and what unpacks them; and whether that is a filter, of any file's name.
_ARCHIVES = {
    b"\xfd7zXZ\0": ("an xz archive", "xz -dc", True),
    b"BZh": ("a bzip2 archive", "bzip2 -dc", True),
    b"(\xb5/\xfd": ("a zstd archive", "zstd -dc", True),
    b"PK\x03\x04": ("a zip archive", "unzip", False),
    b"7z\xbc\xaf\x27\x1c": ("a 7z archive", "7z x", False),
    b"\x04\x22\x4d\x18": ("an lz4 archive", "lz4 -dc", True),
}
# In this order: of UTF-32, one mark begins as one of UTF-16.
_MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
    codecs.BOM_UTF8: "utf-8-sig",
}
# Without a mark, of the ASCII that it begins with: where the first character's byte is, and how far apart they are.
_UNMARKED = {"utf-16-le": (0, 2), "utf-16-be": (1, 2), "utf-32-le": (0, 4), "utf-32-be": (3, 4)}
_LEAST_UNMARKED, _MOST_UNMARKED = 8, 64  # bytes
_NARROW = ("utf-8", "utf-8-sig")
_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
}
_MOST_TEXT = 64 << 20
_CHUNK = 1 << 16
# What a recording or a snapshot of a real guest unpacks to is far below; a small file that is all one byte is not.
_RATIO = 50
_FREE_BYTES = 16 << 20


class CutOffError(InputError):
    """Packed data that end before their end, as where what packed them was interrupted."""


def open_input(path: str | Path) -> io.BufferedReader:
    """Open a file to read it. Raises InputError where there is none, or where it is a folder, a pipe or a device."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from None
    kind = stat.S_IFMT(os.fstat(descriptor).st_mode)
    if kind != stat.S_IFREG:
        os.close(descriptor)
        do = "save what it sends in a file, and name that" if kind == stat.S_IFIFO else "name a file"
        raise InputError(f"{path}: is {_KINDS.get(kind, 'no file')}: {do}")
    return open(descriptor, "rb")


def as_path(given: Any, why: str) -> Path:
    """A path as a caller gives it. Raises InputError for what no file can have: `why` is what follows it there."""
    try:
        path = Path(given)
        if b"\0" in os.fsencode(path):
            raise ValueError
    except (TypeError, ValueError):
        raise InputError(f"{shown(given)} {why}") from None
    return path


def kind_of_file(path: Path) -> str:
    """What there is at a path: ``"a file"``, ``"an empty file"``, ``"a pipe"``. Raises OSError where nothing is."""
    status = path.stat()
    if stat.S_ISREG(status.st_mode):
        return "a file" if status.st_size else "an empty file"
    return _KINDS.get(stat.S_IFMT(status.st_mode), "no file")


def as_argument(path: str | Path) -> str:
    """A path as it is written in a shell's command."""
    text = str(path)
    return shlex.quote(f"./{text}" if text.startswith("-") else text)


def packed_elsewise(start: bytes, path: str | Path | None) -> str | None:
    """Of an archive that isn't unpacked here, by its first bytes: what it is, and what unpacks it; else None.

    `path` is None where it comes through a pipe.
    """
    found = next((each for magic, each in _ARCHIVES.items() if start.startswith(magic)), None)
    if found is None:
        return None
    what, tool, is_filter = found
    if path is None:
        do = f"send it through `{tool}`" if is_filter else f"save it in a file, unpack that with `{tool}`"
    elif is_filter:
        do = f"unpack it with `{tool} < {as_argument(path)} > {as_argument(f'{path}.unpacked')}`"
    else:
        do = f"unpack it with `{tool} {as_argument(path)}`"
    return f"{what}: {do}"


def check_not_packed(file: io.BufferedReader, path: str | Path) -> None:
    """Raise InputError where an open file is an archive that isn't unpacked here; its position stays."""
    if (packed := packed_elsewise(file.peek(16)[:16], path)) is not None:
        raise InputError(f"{path}: {packed}, and leave only that")


def standard_input() -> BinaryIO:
    """The bytes of standard input. Raises InputError where it is closed."""
    if sys.stdin is None:
        raise InputError("standard input is closed: name a file instead, or send something through a pipe")
    return sys.stdin.buffer


def follows(file: BinaryIO) -> bool:
    """Whether more can be read of an open file now. A pipe isn't waited for: what comes later isn't seen."""
    poll = select.poll()
    poll.register(file)
    return bool(poll.poll(0) and file.read(1))


def read_input(path: str | Path, most: int = _MOST_TEXT) -> bytes:
    """All that a file holds, up to `most` bytes. Raises InputError."""
    with open_input(path) as file, reading(path):
        return _whole(file, path, most)


def _whole(file: BinaryIO, path: str | Path, most: int) -> bytes:
    data = bytearray()
    while chunk := file.read(_CHUNK):
        data += chunk
        if len(data) > most:
            raise InputError(f"{path}: is larger than {most >> 20} MiB: nothing of the kind is")
    return bytes(data)


def read_text(path: str | Path, most: int = _MOST_TEXT) -> str:
    """The text of a file, up to `most` bytes, packed by gzip or not. Raises InputError."""
    with open_input(path) as file, reading(path):
        stream = unpacked(file, path)
        check_not_packed(stream, path)
        return decoded(_whole(stream, path, most))


def decoded(data: bytes | bytearray) -> str:
    """Text of bytes in UTF-8, UTF-16 or UTF-32; what isn't text in it is replaced."""
    encoding = _encoding_of(data)
    try:
        return data.decode(encoding)
    except UnicodeDecodeError:
        if encoding in _NARROW and b"\xa0" in data:
            data = data.replace(b"\xa0", b" ")  # what single bytes have for a space that no line breaks at
        return data.decode(encoding, "replace")


def is_wide(start: bytes | bytearray) -> bool:
    """Whether it begins like text in UTF-16 or UTF-32."""
    return _encoding_of(start) not in _NARROW


def _encoding_of(start: bytes | bytearray) -> str:
    """The codec of text by how it begins: with its mark, or in ASCII with zeros between, as Windows writes it."""
    marked = next((name for mark, name in _MARKS.items() if start.startswith(mark)), None)
    if marked is not None:
        return marked
    start = bytes(start[: min(_MOST_UNMARKED, len(start) & ~3)])
    if len(start) >= _LEAST_UNMARKED:
        for name, (first, step) in _UNMARKED.items():
            characters = start[first::step]
            if 0 not in characters and characters.isascii() and len(start.replace(b"\0", b"")) == len(characters):
                return name
    return "utf-8"


@contextmanager
def reading(path: str | Path) -> Iterator[None]:
    """What a read or an unpacking of `path` raises becomes an InputError that names it."""
    try:
        yield
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        kind = CutOffError if isinstance(error, EOFError) else InputError
        raise kind(f"{path}: the gzip data are damaged or cut off ({error}): copy it again") from None
    except OSError as error:
        raise _unreadable(path, error) from None


def _unreadable(path: str | Path, error: OSError | ValueError) -> InputError:
    reason = error.strerror or error if isinstance(error, OSError) else error
    hint = " but by its owner, or root" if isinstance(error, PermissionError) else ""
    return InputError(f"{path}: {reason}: it can't be read{hint}")


class _Unpacked(io.RawIOBase):
    def __init__(self, file: BinaryIO, path: str | Path, bounded: bool) -> None:
        self._file, self._path, self._bounded = file, path, bounded
        self._stream = gzip.GzipFile(fileobj=file)
        self._bytes = 0

    def readable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._file.fileno()

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        with reading(self._path):
            data = self._stream.read1(len(buffer))
        buffer[: len(data)] = data
        self._bytes += len(data)
        if self._bounded and self._bytes > _FREE_BYTES + _RATIO * self._file.tell():
            raise InputError(f"{self._path}: unpacks to more than {_RATIO} times its size: no recording does")
        return len(data)


def unpacked(file: io.BufferedReader, path: str | Path, bounded: bool = True) -> io.BufferedReader:
    """What an open file holds, unpacked where it is gzip.

    Reading raises InputError where it is damaged, and, if `bounded`, where it unpacks to more than a recording would.
    """
    with reading(path):
        packed = file.peek(2).startswith(GZIP_MAGIC)
    if not packed:
        return file
    return io.BufferedReader(_Unpacked(file, path, bounded), 1 << 18)


class _Recoded(io.RawIOBase):
    def __init__(self, file: BinaryIO, encoding: str) -> None:
        self._file, self._decoder = file, codecs.getincrementaldecoder(encoding)("replace")
        self._left = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        chunk = b"-"
        while not self._left and chunk:
            chunk = self._file.read(_CHUNK)
            self._left = self._decoder.decode(chunk, not chunk).encode("utf-8", "replace")
        size = min(len(buffer), len(self._left))
        buffer[:size], self._left = self._left[:size], self._left[size:]
        return size


def as_utf8(file: io.BufferedReader) -> io.BufferedReader:
    """What an open file holds, in UTF-8 without a mark."""
    encoding = _encoding_of(file.peek(_MOST_UNMARKED)[:_MOST_UNMARKED])
    return file if encoding == "utf-8" else io.BufferedReader(_Recoded(file, encoding))
