"""Recordings at a URL: each process copies a bundle once, by fsspec, and drops the copy when it ends."""

import threading
from contextlib import ExitStack
from multiprocessing.util import Finalize
from pathlib import Path
from typing import TypeGuard

from pagehint.errors import InputError, printable
from pagehint.partial import temporary_folder

__all__ = ["is_url", "local_copy"]

_copies: dict[str, Path] = {}
_copying = threading.Lock()


def is_url(source: object) -> TypeGuard[str]:
    """Whether it is a URL, such as s3://recordings/web.pagetrace, and no path."""
    return isinstance(source, str) and "://" in source


def local_copy(url: str) -> Path:
    """The folder of a bundle's copy on this machine. Raises InputError where there is none, or it can't be read."""
    with _copying:
        if url not in _copies:
            with ExitStack() as stack:
                _copies[url] = _copied(url, stack.enter_context(temporary_folder()))
                # A pool's worker ends without what atexit knows; with a priority below 0, our own ones have ended.
                Finalize(None, stack.pop_all().close, exitpriority=-1)
        return _copies[url]


def _copied(url: str, folder: Path) -> Path:
    try:
        from fsspec.core import url_to_fs
    except ImportError:
        raise InputError(f"{printable(url)}: URLs need fsspec: pip install 'pagehint[dask]'") from None
    # What stores' packages raise is their own.
    try:
        store, path = url_to_fs(url)
        path = path.rstrip("/")
        copy: Path = folder / path.rsplit("/", 1)[-1]
        whole = store.exists(f"{path}/meta.json")
        if whole:
            store.get(f"{path}/", f"{copy}/", recursive=True)
    except Exception as error:
        why = f"{type(error).__name__}: {printable(str(error))}"
        raise InputError(f"{printable(url)}: can't be copied: {why}") from None
    if not whole:
        raise InputError(f"{printable(url)}: no whole trace bundle: there is no meta.json")
    return copy
