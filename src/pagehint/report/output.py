"""Files that are either whole or not there."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from pagehint.errors import InputError

__all__ = ["replacing"]


@contextmanager
def replacing(path: str | Path) -> Iterator[BinaryIO]:
    """A file that takes the place of `path` when the block ends well, and is gone when it doesn't.

    A device or a pipe is written directly. Raises InputError where `path` can't be written.
    """
    target = Path(path)
    try:
        if target.is_dir():
            raise InputError(f"{target}: is a folder: name a file in it")
        if target.exists() and not target.is_file():
            with target.open("wb") as direct:
                yield direct
            return
        target = target.resolve()
        temp = target.with_name(f".{target.name}.{secrets.token_hex(4)}.partial")
        try:
            with temp.open("xb") as file:
                yield file
            temp.replace(target)
        finally:
            temp.unlink(missing_ok=True)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}: choose another output") from None
