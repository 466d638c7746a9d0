"""Input files: regular ones only, read within bounds, packed by gzip or not."""

import gzip
import io
import os
import stat
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from pagehint.errors import InputError

__all__ = ["ARCHIVES", "open_input", "read_input", "reading", "standard_input", "unpacked"]

ARCHIVES = {
    b"\xfd7zXZ\0": "an xz archive: unpack it with `xz -d {0}`",
    b"BZh": "a bzip2 archive: unpack it with `bunzip2 {0}`",
    b"(\xb5/\xfd": "a zstd archive: unpack it with `zstd -d {0}`",
    b"PK\x03\x04": "a zip archive: unpack it with `unzip {0}`",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive: unpack it with `7z x {0}`",
    b"\x04\x22\x4d\x18": "an lz4 archive: unpack it with `lz4 -d {0}`",
}
"""By the first bytes of files that are not unpacked here: what they are, and what unpacks them (``{0}``: the file)."""

_KINDS = {stat.S_IFIFO: "a pipe", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device", stat.S_IFSOCK: "a socket"}
_MOST_TEXT = 64 << 20
_CHUNK = 1 << 16
# What a recording or a snapshot of a real guest unpacks to is far below; a small file that is all one byte is not.
_RATIO = 50
_FREE_BYTES = 16 << 20


def open_input(path: str | Path) -> io.BufferedReader:
    """Open a file to read it. Raises InputError where there is none, or where it is a folder, a pipe or a device."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from None
    kind = stat.S_IFMT(os.fstat(descriptor).st_mode)
    if kind != stat.S_IFREG:
        os.close(descriptor)
        what = "a folder: name a file" if kind == stat.S_IFDIR else f"{_KINDS.get(kind, 'no file')}: copy it to a file"
        raise InputError(f"{path}: is {what}")
    return open(descriptor, "rb")


def standard_input() -> BinaryIO:
    """The bytes of standard input. Raises InputError where it is closed."""
    if sys.stdin is None:
        raise InputError("standard input is closed: name a file instead, or send something through a pipe")
    return sys.stdin.buffer


def read_input(path: str | Path, most: int = _MOST_TEXT) -> bytes:
    """All that a file holds, up to `most` bytes. Raises InputError."""
    data = bytearray()
    with open_input(path) as file, reading(path):
        while chunk := file.read(_CHUNK):
            data += chunk
            if len(data) > most:
                raise InputError(f"{path}: is larger than {most >> 20} MiB: nothing of the kind is")
    return bytes(data)


@contextmanager
def reading(path: str | Path) -> Iterator[None]:
    """What a read or an unpacking of `path` raises becomes an InputError that names it."""
    try:
        yield
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise InputError(f"{path}: the gzip data are damaged or cut off ({error})") from None
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
        packed = file.peek(2).startswith(b"\x1f\x8b")
    if not packed:
        return file
    return io.BufferedReader(_Unpacked(file, path, bounded), 1 << 18)
