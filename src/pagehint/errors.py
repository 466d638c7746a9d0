"""The errors that pagehint raises for its callers' mistakes and for what the machine refuses."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

__all__ = [
    "NO_MORE_THREADS",
    "AllocationError",
    "BusyError",
    "HostError",
    "InputError",
    "PagehintError",
    "printable",
    "starting_threads",
    "without_frames",
]


NO_MORE_THREADS = "no more threads can be started here"
_NO_THREAD = "can't start new thread"  # Python's own words


def printable(text: str) -> str:
    """The text in one line: what is no character to print is escaped."""
    return "".join(each if each.isprintable() else repr(each)[1:-1] for each in text)


class PagehintError(Exception):
    """Base of every error of pagehint's own; its text is one line that says what is wrong, where, and what to do."""

    # Another process makes it of its text too, and not of what its class was made of: a pool would never tell of it.
    def __reduce__(self) -> tuple[Any, ...]:
        return _again, (type(self), self.args), self.__dict__


def _again(kind: type[PagehintError], arguments: tuple[Any, ...]) -> PagehintError:
    return kind.__new__(kind, *arguments)


def without_frames(error: BaseException) -> BaseException:
    """The same error, to be kept: its traceback would keep alive what the functions that it passed through hold."""
    # Not by copy.copy: libraries that send errors to other processes have it copy the traceback too.
    try:
        make, arguments, *state = cast("tuple[Any, ...]", error.__reduce_ex__(4))
        kept = make(*arguments)
        if state:
            kept.__setstate__(*state)
    except Exception:  # its class can't be made of its arguments
        kept = None
    return kept if type(kept) is type(error) else PagehintError(f"{type(error).__name__}: {error}")


class InputError(PagehintError, ValueError):
    """Bad input: a file, an option or an argument. The command line prints it and exits with status 2."""


class BusyError(PagehintError, OSError):
    """A device is started already (EBUSY, -16)."""

    def __init__(self, text: str) -> None:
        super().__init__(errno.EBUSY, text)

    # An OSError that is made by a method of its own has no errno before.
    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (str(self),), self.__dict__

    def __str__(self) -> str:
        return str(self.strerror)


class HostError(PagehintError, OSError):
    """The machine refuses memory, or a thread."""

    def __str__(self) -> str:
        return str(self.strerror)


@contextmanager
def starting_threads() -> Iterator[None]:
    """What Python raises where no thread can be started becomes a HostError."""
    try:
        yield
    except RuntimeError as error:
        if str(error) != _NO_THREAD:
            raise
        do = "allow more processes and memory (ulimit -u, ulimit -v), or ask for fewer workers"
        raise HostError(errno.EAGAIN, f"{NO_MORE_THREADS}: {do}") from None


# In this order: libraries that make errors again in another process ask Python's own class to.
class AllocationError(MemoryError, PagehintError):
    """A guest has no such pages; its text tells the state of each zone, as the kernel's report does."""
