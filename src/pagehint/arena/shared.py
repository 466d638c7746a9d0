"""Blocks that other processes map too: handles to them, and the leases that keep them.

A handle holds the write end of a pipe, its *lease*, and so does everything that is opened by it, in any process. The
owner of the arena keeps the block until the read end says that nobody has the write end any more: handles and views
were dropped, or their processes ended, however that came about.
"""

import contextlib
import mmap
import os
import select
import threading
from collections.abc import Callable, Iterable
from multiprocessing import reduction
from typing import Any

__all__ = ["Handle", "Leases"]


class _Mapping(mmap.mmap):
    """A mapping of a block, with a lease that ends with its last view."""

    _lease = -1

    def __del__(self) -> None:
        if self._lease >= 0:
            os.close(self._lease)


class Handle:
    """A claim on ``nbytes`` of an arena's memory, which stays theirs until it and all that it opened are gone.

    Made by ``Arena.share``; it can be pickled to other processes by multiprocessing. To pass it on in other ways, send
    the descriptors ``memory`` and ``lease`` and the numbers, and make it again: it closes the descriptors at its end.
    """

    def __init__(self, memory: int, lease: int, offset: int, nbytes: int, page_size: int, readonly: bool) -> None:
        self.memory = memory
        self.lease = lease
        self.offset = offset
        self.nbytes = nbytes
        self.page_size = page_size
        self.readonly = readonly

    def open(self) -> memoryview:
        """The memory itself, in bytes, in this process, until its last view is dropped. Raises OSError."""
        protection = mmap.PROT_READ if self.readonly else mmap.PROT_READ | mmap.PROT_WRITE
        start = self.offset % self.page_size
        length = -(-(start + self.nbytes) // self.page_size) * self.page_size
        mapping = _Mapping(self.memory, length, prot=protection, offset=self.offset - start)
        mapping._lease = os.dup(self.lease)
        return memoryview(mapping)[start : start + self.nbytes]

    def __reduce__(self) -> tuple[Callable[..., "Handle"], tuple[Any, ...]]:
        fds = reduction.DupFd(self.memory), reduction.DupFd(self.lease)
        return _received, (*fds, self.offset, self.nbytes, self.page_size, self.readonly)

    def __del__(self) -> None:
        # Not there if __init__ was called wrongly.
        for fd in (getattr(self, "memory", -1), getattr(self, "lease", -1)):
            if fd >= 0:
                os.close(fd)


def _received(memory: Any, lease: Any, *rest: Any) -> Handle:
    handle = Handle(memory.detach(), -1, *rest)  # closes what it has, if the rest fails
    handle.lease = lease.detach()
    return handle


class Leases:
    """Views that are kept, each until its pipe is at its end; a thread waits for that while there are any."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: dict[int, memoryview] = {}
        self._ending: set[int] = set()
        self._waker = -1

    def __len__(self) -> int:
        return len(self._kept)

    def keep(self, view: memoryview) -> int:
        """Keep ``view`` until the returned descriptor, and all its duplicates, are closed.

        Raises OSError, RuntimeError (no thread), and keeps nothing then.
        """
        with self._lock, contextlib.ExitStack() as undo:
            read, write = _pipe(undo)
            self._kept[read] = view
            undo.callback(self._kept.pop, read)
            if self._waker >= 0:
                os.write(self._waker, b"!")
            else:
                woken, waker = _pipe(undo)
                # It waits for the lock, and ends if nothing is kept.
                threading.Thread(target=self._watch, args=(woken,), name="pagehint-leases", daemon=True).start()
                self._waker = waker
            undo.pop_all()
        return write

    def end_dropped(self) -> None:
        """Let go of what nobody holds any more, without waiting for the thread that watches. O(leases)."""
        with self._lock:
            watched = dict(self._kept)
        poll = _poll(watched)
        for fd, _ in poll.poll(0):
            self._end(fd, watched[fd])

    def _watch(self, woken: int) -> None:
        while True:
            with self._lock:
                if not self._kept:
                    os.close(woken)
                    os.close(self._waker)
                    self._waker = -1
                    return
                watched = dict(self._kept)
            poll = _poll(watched)
            poll.register(woken, select.POLLIN)
            ended = [fd for fd, _ in poll.poll() if fd != woken]
            if not ended:
                os.read(woken, 4096)
            for fd in ended:
                self._end(fd, watched[fd])

    def _end(self, fd: int, view: memoryview) -> None:
        with self._lock:
            # Another thread may have ended it since, and its number may be another's.
            if self._kept.get(fd) is not view or fd in self._ending:
                return
            self._ending.add(fd)
        view.release()  # outside the lock: this may free the block
        with self._lock:
            del self._kept[fd]
            self._ending.remove(fd)
        os.close(fd)


# Both ends are closed by `undo`.
def _pipe(undo: contextlib.ExitStack) -> tuple[int, int]:
    read, write = os.pipe()
    undo.callback(os.close, read)
    undo.callback(os.close, write)
    return read, write


def _poll(watched: Iterable[int]) -> select.poll:
    poll = select.poll()
    for fd in watched:
        poll.register(fd, 0)  # its end is always reported
    return poll
