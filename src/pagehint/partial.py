"""What is being written beside its target, under a name of its own until it is whole."""

import fcntl
import glob
import os
import secrets
import shutil
from pathlib import Path

__all__ = ["lock", "partial_path", "remove_leftovers"]


def partial_path(target: Path) -> Path:
    """A name beside `target` that nobody has."""
    return target.with_name(f".{target.name}.{secrets.token_hex(4)}.partial")


def lock(path: Path) -> int:
    """Lock a partial file or folder: a descriptor, to be closed. It ends with the process.

    -1 where another process has it, or the file system knows no locks.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return -1
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return -1
    return descriptor


def remove_leftovers(target: Path) -> None:
    """Remove what killed processes left beside `target`: it has no lock."""
    for left in target.parent.glob(f".{glob.escape(target.name)}.{'[0-9a-f]' * 8}.partial"):
        if (descriptor := lock(left)) >= 0:
            if left.is_dir():
                shutil.rmtree(left, ignore_errors=True)
            else:
                left.unlink(missing_ok=True)
            os.close(descriptor)
