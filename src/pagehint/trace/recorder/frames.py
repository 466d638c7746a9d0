"""A recording on its way: named pieces of bytes, one after the other, through a file, a pipe or a serial line.

The stream begins with a line that says what it is. A piece is a line ``NAME BYTES`` and then so many bytes; pieces of
one name belong together, in order. The last piece is ``end``: without it the stream was cut off.
"""

import re
from collections.abc import Callable, Iterator
from typing import BinaryIO

from pagehint.errors import InputError
from pagehint.inputs import GZIP_MAGIC, packed_elsewise

__all__ = ["MAGIC", "FrameWriter", "Put", "read_frames"]

MAGIC = b"pagehint recording 1\n"
_HEAD = re.compile(rb"([\w./+-]{1,200}) (\d{1,9})\n", re.ASCII)
_MOST_BYTES = 1 << 26
_MOST_HEAD = 256


Put = Callable[[str, bytes | memoryview], None]
"""Takes the pieces of a recording, by name; the caller may use the bytes again afterwards."""


class FrameWriter:
    """Writes pieces to a file."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        file.write(MAGIC)

    def __call__(self, name: str, data: bytes | memoryview) -> None:
        """Write a piece."""
        self._file.write(b"%s %d\n" % (name.encode("ascii"), len(data)))
        self._file.write(data)
        if name == "end":
            self._file.flush()


def read_frames(file: BinaryIO, where: str) -> Iterator[tuple[str, bytes]]:
    """The pieces of a stream, up to and without ``end``. Raises InputError where it isn't one, or was cut off."""
    start = file.read(len(MAGIC))
    if start != MAGIC:
        what = "not a recording of `pagehint record -o -`: save a tracer's text in a file, and import that"
        if start.startswith(GZIP_MAGIC):
            what = "is packed by gzip: send it through `gzip -dc`"
        elif (packed := packed_elsewise(start, None)) is not None:
            what = f"is {packed}"
        elif not start:
            what = "is empty: expected a recording of `pagehint record -o -`: did that end with an error?"
        raise InputError(f"{where}: {what}")
    number = 0
    while True:
        number += 1
        head = file.readline(_MOST_HEAD)
        match = _HEAD.fullmatch(head)
        if match is None or int(match[2]) > _MOST_BYTES:
            if len(head) < _MOST_HEAD and not head.endswith(b"\n"):
                raise InputError(
                    f"{where}: cut off after {number - 1} pieces: the recorder ended too soon: record it again"
                )
            raise InputError(f"{where}: piece {number}: expected NAME BYTES, found {head[:40]!r}: damaged on its way?")
        name, size = match[1].decode("ascii"), int(match[2])
        data = file.read(size)
        if len(data) != size:
            raise InputError(f"{where}: cut off in piece {number}: the recorder ended too soon: record it again")
        if name == "end":
            return
        yield name, data
