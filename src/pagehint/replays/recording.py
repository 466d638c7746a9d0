"""A recording for several replays: its events stay in memory once they were read, where there is room for them."""

import threading
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

from numpy.typing import NDArray

from pagehint.replays.columns import COLUMNS
from pagehint.trace.bundle import Trace

__all__ = ["Recording", "recording_of"]

_COLUMNS = frozenset(COLUMNS)
_MOST_EVENTS = 1 << 24
"""Of more, nothing is kept: these take 400 MiB."""


class Recording(Trace):
    """A trace that several replays read, at the same time too. Pickled, it is its path or URL:
    an open one of a process is used again."""

    def __init__(self, trace: Trace) -> None:
        super().__init__(trace.path, trace.meta, trace.url)
        self._lock = threading.Lock()
        self._kept: list[dict[str, NDArray[Any]]] | None = None

    def batches(
        self, columns: Sequence[str] | None = None, batch_size: int = 1 << 16
    ) -> Iterator[dict[str, NDArray[Any]]]:
        """As ``Trace.batches``."""
        if columns is None or not _COLUMNS.issuperset(columns) or self.num_events > _MOST_EVENTS:
            yield from super().batches(columns, batch_size)
            return
        with self._lock:
            if self._kept is None:
                self._kept = list(super().batches(COLUMNS))
            kept = self._kept
        for batch in kept:
            yield {name: batch[name] for name in columns}

    def forget(self) -> None:
        """As ``Trace.forget``, and the events too."""
        super().forget()
        with self._lock:
            self._kept = None

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return recording_of, super().__reduce__()[1]


@lru_cache(maxsize=2)
def recording_of(source: str) -> Recording:
    """The recording at a path or URL; the last two of a process stay open. Raises InputError."""
    return Recording(Trace.open(source))
