"""``pagehint script``: run an op script (docs/spec/3)."""

import gzip
import sys
import zlib
from importlib.resources import files
from typing import Annotated, BinaryIO, cast

from cyclopts import Parameter

from pagehint.cli.said import warn
from pagehint.errors import InputError, printable
from pagehint.inputs import open_input, standard_input
from pagehint.replays.script import Script
from pagehint.units import format_count

__all__ = ["script"]

# With this, a lone - is a file, and no unknown option.
_FILE = Parameter(allow_leading_hyphen=True, help="an op script, or - for standard input; .gz is unpacked")
_LONGEST_LINE = 1 << 16
_STORY = files("pagehint") / "examples" / "cycle.ops"


def _open(file: str) -> BinaryIO:
    if file == "-":
        return standard_input()
    opened = open_input(file)
    return cast(BinaryIO, gzip.GzipFile(fileobj=opened)) if file.endswith(".gz") else opened


def _line_of(source: BinaryIO) -> bytes:
    try:
        return source.readline(_LONGEST_LINE)
    except gzip.BadGzipFile:
        raise
    except OSError as error:
        raise InputError(f"{error.strerror}: it can't be read") from None


def script(file: Annotated[str | None, _FILE] = None, /) -> None:
    """Run an op script on one zone, and print what the allocator and the hinting do.

    For example:

        pagehint script
        pagehint script my.ops

    Without FILE: a shipped one that tells the story of one hinting cycle, its lines printed too.
    """
    run = Script(sys.stdout.write)
    if file is None:
        for text in _STORY.read_text().splitlines():
            print(text if text.startswith("#") else f"> {text}")
            run.line(text)
        return
    name = "standard input" if file == "-" else file
    number = first_empty = 0
    with _open(file) as source:
        try:
            for line in iter(lambda: _line_of(source), b""):
                number += 1
                if len(line) == _LONGEST_LINE and not line.endswith(b"\n"):
                    raise InputError(f"a line of more than {_LONGEST_LINE} bytes: this is no op script")
                run.line(line.decode("utf-8", "replace"))
                if run.empty_frees and not first_empty:
                    first_empty = number
        except (InputError, EOFError, zlib.error, gzip.BadGzipFile, MemoryError) as error:
            sys.stdout.flush()
            what = str(error) or "there is not enough memory for a zone of this size"
            raise InputError(f"{name}, line {max(number, 1)}: {what}") from None
    sys.stdout.flush()
    if not run.begun:
        warn(f"{printable(name)}: has no op, so that nothing was done: expected init NR_PAGES, and more")
    if first_empty:
        slots = format_count(run.empty_frees, "slot was", "slots were")
        where = f"{printable(name)}, line {first_empty}"
        warn(f"{where}: {slots} freed with nothing in, as if freed twice{', from here on' * (run.empty_frees > 1)}")
