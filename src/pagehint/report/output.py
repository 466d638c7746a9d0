"""Files that are either whole or not there."""

import os
import stat
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext, suppress
from pathlib import Path
from typing import Self

from pagehint.errors import InputError
from pagehint.inputs import as_path
from pagehint.partial import claim, partial_path, remove_leftovers

__all__ = ["Output", "check_unread", "output_if"]


class Output:
    """A file that takes the place of `path` when it is written, whole; a context manager.

    It keeps the mode of a file that it replaces. That it can be written is seen at once, before work is spent on what
    it is to hold. A device or a pipe is written directly. Raises InputError, also where `path` is one of the files, or
    lies in one of the recordings, that are `read`.
    """

    def __init__(self, path: str | Path, read: Iterable[str | Path] = ()) -> None:
        self.path = as_path(path, "is no output: expected a path")
        self._target = self.path
        if not str(path) or self.path.is_dir():
            raise InputError(f"{path or repr(path)}: is a folder: name a file in it")
        check_unread(self.path, read)
        self._temp: Path | None = None
        self._lock = -1
        if self.path.exists() and not self.path.is_file():
            return
        self._target = Path(os.path.realpath(self.path))
        remove_leftovers(self._target)
        self._temp = partial_path(self._target)
        try:
            self._temp.open("xb").close()
            self._lock = claim(self._temp, self._target)
            # A file system that knows no modes, such as a USB stick's, refuses to change them.
            if self._target.exists() and (mode := _mode(self._target)) != _mode(self._temp):
                self._temp.chmod(mode)
        except BaseException as error:
            with suppress(OSError):
                self.__exit__()
            if isinstance(error, OSError):
                raise self._refused(error) from None
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._temp is not None:
            self._temp.unlink(missing_ok=True)
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    @property
    def partial(self) -> Path:
        """Where another writer writes it, before `keep`. Raises InputError where it is no file of a file system."""
        if self._temp is None:
            raise InputError(f"{self.path}: is no file: choose another output")
        return self._temp

    def keep(self) -> None:
        """What was written at `partial` is whole. Raises InputError."""
        try:
            self.partial.replace(self._target)
        except OSError as error:
            raise self._refused(error) from None

    def write(self, data: bytes) -> None:
        """Write it all. Raises InputError, and leaves what was there."""
        try:
            with (self._temp or self._target).open("wb") as file:
                file.write(data)
                if self._temp is not None:
                    file.flush()
                    os.fsync(file.fileno())
            if self._temp is not None:
                self._temp.replace(self._target)
        except BrokenPipeError:
            raise
        except OSError as error:
            raise self._refused(error) from None

    def _refused(self, error: OSError) -> InputError:
        return InputError(f"{self.path}: {error.strerror or error}: choose another output")


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def check_unread(path: Path, read: Iterable[str | Path]) -> None:
    """Raise InputError where an output is one of the files, or lies in one of the recordings, that are `read`."""
    target = Path(os.path.realpath(path))
    for each in read:
        real = Path(os.path.realpath(each))
        if target == real:
            raise InputError(f"{path}: is one of the files to read: choose another output")
        if real in target.parents and (real / "meta.json").exists():
            raise InputError(f"{path}: lies in the recording {each}: choose another output")


def output_if(path: Path | None, read: Iterable[str | Path] = ()) -> AbstractContextManager[Output | None]:
    """An output where one was asked for; None where `path` is. `read`: as for Output. Raises InputError."""
    return nullcontext() if path is None else Output(path, read)
