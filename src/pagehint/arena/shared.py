"""Blocks that other processes map too: handles to them, and the leases that keep them.

A handle holds the write end of a pipe, its *lease*, and so does everything that is opened by it, in any process. The
owner of the arena keeps the block until the read end says that nobody has the write end any more: handles and views
were dropped, or their processes ended, however that came about.
"""

import _thread
import contextlib
import mmap
import os
import select
import threading
from collections.abc import Callable, Iterable
from multiprocessing import reduction
from typing import Any

from pagehint.host.shared import Descriptor

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
    """Views that are kept, each until its pipe is at its end; a thread waits for that while there are any.

    A signal handler or a finalizer may come in here wherever another call is, also in the thread that waits.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._kept: dict[Descriptor, memoryview] = {}  # by the read ends of their pipes
        self._ending: set[Descriptor] = set()
        self._waker: Descriptor | None = None  # an eventfd: there is more to wait for
        self._watched = False

    def __len__(self) -> int:
        return len(self._kept)

    def keep(self, view: memoryview) -> int:
        """Keep ``view`` until the returned descriptor, and all its duplicates, are closed.

        Raises OSError, or RuntimeError where no thread can be started, and keeps nothing then.
        """
        read, write = map(Descriptor, os.pipe())
        with self._lock:
            if self._waker is None:
                self._waker = Descriptor(os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK))
            if not self._watched:
                # Before there is anything: it waits for the lock. Not a Thread, whose start() takes locks of its own.
                _thread.start_new_thread(self._watch, (self._waker,))
                self._watched = True
            self._kept[read] = view
            os.eventfd_write(self._waker.fd, 1)
        return write.release()

    def end_dropped(self) -> None:
        """Let go of what nobody holds any more, without waiting for the thread that watches. O(leases)."""
        with self._lock:
            watched = dict(self._kept)
        self._end_of(watched, _poll(watched).poll(0))

    def _watch(self, waker: Descriptor) -> None:
        while True:
            with self._lock:
                self._watched = False  # first: who comes in between starts another
                if not self._kept:
                    return
                self._watched = True
                watched = dict(self._kept)
            poll = _poll(watched)
            poll.register(waker.fd, select.POLLIN)
            ended = poll.poll()
            with contextlib.suppress(BlockingIOError):
                os.eventfd_read(waker.fd)
            self._end_of(watched, ended)

    def _end_of(self, watched: dict[Descriptor, memoryview], ended: list[tuple[int, int]]) -> None:
        fds = {fd for fd, _ in ended}
        for read in [read for read in watched if read.fd in fds]:
            self._end(read, watched.pop(read))

    def _end(self, read: Descriptor, view: memoryview) -> None:
        with self._lock:
            if read not in self._kept or read in self._ending:  # another thread ends it
                return
            self._ending.add(read)
        view.release()  # outside the lock: this may free the block
        with self._lock:
            self._kept.pop(read, None)
            self._ending.discard(read)


def _poll(watched: Iterable[Descriptor]) -> select.poll:
    poll = select.poll()
    for read in watched:
        poll.register(read.fd, 0)  # its end is always reported
    return poll
