"""Where the command line starts, before anything is loaded that takes its time."""

import codecs
import os
import signal
import sys
from io import BufferedWriter, FileIO, TextIOWrapper
from types import FrameType
from typing import Any

__all__ = ["main"]

_NARROWEST = 20  # columns
# What charts are drawn with, for who can't write it.
_PLAIN = dict(zip("█▓▒·▉▊▋▌▍▎▏│─└≥", "#%+.####   |-+>", strict=True))


# No exception: it would end up in a library that is being loaded, or in Python's own end.
def _interrupted(number: int, frame: FrameType | None) -> None:
    try:
        os.write(2, b"pagehint: interrupted\n")
    finally:
        os._exit(130)


class _Told(FileIO):
    """What is written for somebody to watch: once nobody can, as when a terminal has ended, it is dropped."""

    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except OSError:
            return len(data)


def _plainly(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)
    return "".join(_PLAIN.get(character, "?") for character in error.object[error.start : error.end]), error.end


def _told(stream: TextIOWrapper) -> TextIOWrapper:
    buffer = BufferedWriter(_Told(stream.fileno(), "w", closefd=False))
    return TextIOWrapper(buffer, stream.encoding, stream.errors, line_buffering=True)


def main() -> None:
    """Run the command line and exit: 0 done, 1 a check failed, 2 bad input, 130 interrupted, 141 the reader went."""
    interrupt = signal.getsignal(signal.SIGINT)
    if interrupt is signal.default_int_handler:
        signal.signal(signal.SIGINT, _interrupted)
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115
    # What is said and shown meanwhile isn't what a command makes: it goes on without.
    if isinstance(sys.stderr, TextIOWrapper):
        sys.stderr = _told(sys.stderr)
    if sys.stdout is None:
        print("pagehint: standard output is closed: redirect it to /dev/null instead", file=sys.stderr)
        raise SystemExit(2)
    # What it can't encode of a chart or a name is no reason to fail.
    codecs.register_error("pagehint", _plainly)
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="pagehint")
        if sys.stdout.isatty():
            sys.stdout = _told(sys.stdout)
    import shutil

    # Help would be wrapped for ever, and charts be of no width.
    columns = shutil.get_terminal_size().columns
    if columns < _NARROWEST or "COLUMNS" in os.environ:
        os.environ["COLUMNS"] = str(max(columns, _NARROWEST))
    from pagehint.cli.app import run

    run(interrupt)
