"""``pagehint script``: run an op script (docs/spec/3)."""

import sys
from collections.abc import Iterator
from importlib.resources import files
from typing import Annotated

from cyclopts import Parameter

from pagehint.cli.said import warn
from pagehint.errors import InputError, printable
from pagehint.inputs import open_input, reading, standard_input, unpacked
from pagehint.replays.script import Script
from pagehint.units import format_count

__all__ = ["script"]

# With this, a lone - is a file, and no unknown option.
_FILE = Parameter(allow_leading_hyphen=True, help="An op script, gzipped or not, or - for standard input.")
_LONGEST_LINE = 1 << 16
_STORY = files("pagehint") / "examples" / "cycle.ops"


def _lines(file: str, name: str) -> Iterator[bytes]:
    if file == "-":
        with standard_input() as source, reading(name):
            yield from iter(lambda: source.readline(_LONGEST_LINE), b"")
    else:
        with open_input(file) as opened, reading(name), unpacked(opened, name, bounded=False) as source:
            yield from iter(lambda: source.readline(_LONGEST_LINE), b"")


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
    first_empty = 0
    for number, line in enumerate(_lines(file, name), 1):
        try:
            if len(line) == _LONGEST_LINE and not line.endswith(b"\n"):
                raise InputError(f"a line of more than {_LONGEST_LINE} bytes: this is no op script")
            run.line(line.decode("utf-8", "replace"))
        except (InputError, MemoryError) as error:
            what = str(error) or "there is not enough memory for a zone of this size"
            raise InputError(f"{name}, line {number}: {what}") from None
        if run.empty_frees and not first_empty:
            first_empty = number
    sys.stdout.flush()
    if not run.begun:
        warn(f"{printable(name)}: has no op, so that nothing was done: expected init NR_PAGES, and more")
    if first_empty:
        slots = format_count(run.empty_frees, "slot was", "slots were")
        where = f"{printable(name)}, line {first_empty}"
        warn(f"{where}: {slots} freed with nothing in, as if freed twice{', from here on' * (run.empty_frees > 1)}")
