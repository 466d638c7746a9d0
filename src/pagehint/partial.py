"""What is being written beside its target, under a name of its own until it is whole; and temporary folders.

Who writes holds a lock on it as long as it lives: what has none was left by a process that was killed, and is removed
by the next.
"""

import fcntl
import glob
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from pagehint.errors import InputError

__all__ = ["claim", "partial_folder", "partial_path", "remove_leftovers", "temporary_folder"]


def partial_path(target: Path) -> Path:
    """A name beside `target` that nobody has."""
    return target.with_name(f".{target.name}.{secrets.token_hex(4)}.partial")


def remove_leftovers(target: Path) -> None:
    """Remove what killed processes left beside `target`: it has no lock. What is another user's may stay."""
    for left in _beside(target):
        if (descriptor := _lock(left)) >= 0:
            if left.is_dir():
                shutil.rmtree(left, ignore_errors=True)
            else:
                with suppress(OSError):
                    left.unlink()
            os.close(descriptor)


def claim(partial: Path, target: Path) -> int:
    """Lock a partial file or folder: a descriptor, to be closed. It ends with the process.

    -1 where the file system knows no locks. Raises InputError where somebody else is writing `target`.
    """
    own = _lock(partial, 0)  # others look whether it is locked, and let go of it at once
    if own >= 0 and not os.path.lexists(partial):
        os.close(own)
        raise InputError(f"{target}: somebody else begins to write it: choose another output, or try again")
    for other in _beside(target):
        if own < 0 or other == partial:
            continue
        if (descriptor := _lock(other)) >= 0:  # killed meanwhile
            os.close(descriptor)
        elif os.path.lexists(other):
            os.close(own)
            raise InputError(f"{target}: is being written by somebody else: choose another output")
    return own


@contextmanager
def partial_folder(target: Path) -> Iterator[Path]:
    """A folder beside `target`, until it is left. What killed processes left there goes, before it and after.

    Raises OSError where it can't be made.
    """
    remove_leftovers(target)
    folder, lock = partial_path(target), -1
    try:
        folder.mkdir(0o700)
        # Before it was locked, somebody may have tidied it up.
        while (lock := _lock(folder, 0)) < 0 or not folder.exists():
            if lock >= 0:
                os.close(lock)
            elif folder.exists():  # the file system knows no locks
                break
            folder.mkdir(0o700, exist_ok=True)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if lock >= 0:
            os.close(lock)
        remove_leftovers(target)


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """A folder for what is temporary, that ends as `partial_folder` does. Raises InputError where none can be made."""
    with ExitStack() as stack:
        try:
            folder = stack.enter_context(partial_folder(Path(tempfile.gettempdir()) / "pagehint"))
        except OSError as error:
            why = f"{error.filename or 'no folder'}: {error.strerror or error}"
            raise InputError(f"{why}: choose another folder for what is temporary, by TMPDIR") from None
        yield folder


def _beside(target: Path) -> Iterator[Path]:
    return target.parent.glob(f".{glob.escape(target.name)}.{'[0-9a-f]' * 8}.partial")


def _lock(path: Path, wait: int = fcntl.LOCK_NB) -> int:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return -1
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | wait)
    except OSError:
        os.close(descriptor)
        return -1
    return descriptor
