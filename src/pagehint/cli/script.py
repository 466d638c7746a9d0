"""``pagehint script``: run an op script (spec 3)."""

import gzip
import sys
import zlib
from typing import Annotated, BinaryIO

from cyclopts import Parameter

from pagehint.errors import InputError
from pagehint.replay.script import Script

__all__ = ["script"]

# With this, a lone - is a file, and no unknown option.
_FILE = Parameter(allow_leading_hyphen=True, help="an op script, or - for standard input; .gz is unpacked")


def script(file: Annotated[str, _FILE], /) -> None:
    """Run an op script on one zone, and print what the allocator and the hinting do."""
    source: BinaryIO
    if file == "-":
        name, source = "standard input", sys.stdin.buffer
    elif file.endswith(".gz"):
        name, source = file, gzip.open(file)  # type: ignore[assignment]  # noqa: SIM115
    else:
        name, source = file, open(file, "rb")  # noqa: SIM115
    run = Script(sys.stdout.write)
    number = 1
    with source:
        try:
            for number, line in enumerate(source, 1):
                run.line(line.decode("utf-8", "replace"))
        except (InputError, EOFError, zlib.error, gzip.BadGzipFile, MemoryError) as error:
            sys.stdout.flush()
            what = str(error) or "there is not enough memory for a zone of this size"
            raise InputError(f"{name}, line {number}: {what}") from None
