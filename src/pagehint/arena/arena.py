"""An arena: large blocks of real memory that stay warm in use, and go back to the machine while nobody uses them."""

import _thread
import contextlib
import math
import mmap
import os
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from functools import partial
from itertools import islice
from operator import index
from typing import TYPE_CHECKING, Any, Literal, NoReturn, Self, SupportsIndex, cast

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from pagehint.arena.aging import Aging
from pagehint.arena.block import Block, allocate
from pagehint.arena.extents import MOST_PAGES
from pagehint.arena.giver import Giver
from pagehint.arena.numpy_handler import NumpyHandler
from pagehint.arena.pressure import Pressure
from pagehint.arena.shared import Handle, Leases
from pagehint.arena.state import ArenaFullError, ArenaStatistics
from pagehint.arena.warm import WarmPages
from pagehint.errors import BusyError, InputError, PagehintError, without_frames
from pagehint.hinting.drivers.thread import ThreadWorker
from pagehint.host.anonymous import AnonymousHost
from pagehint.host.mapping import HUGE_PAGE, MappedHost
from pagehint.host.shared import HugetlbHost, MemfdHost
from pagehint.mm.batch import Batch
from pagehint.units import format_size, parse_size, shown

if TYPE_CHECKING:
    from pagehint.mm.zone import Zone

__all__ = ["Arena"]

_MOST_DIMENSIONS = 64  # NumPy's
_PATIENCE = 10.0  # seconds that an allocation waits for blocks in flight


def _sizes(shape: SupportsIndex | Sequence[SupportsIndex]) -> tuple[int, ...]:
    try:
        return (index(cast(SupportsIndex, shape)),)
    except TypeError:  # an array has __index__ too, whatever its size
        return tuple(map(index, islice(cast(Sequence[SupportsIndex], shape), _MOST_DIMENSIONS + 1)))


def _bytes_of(block: Any) -> memoryview:
    contiguous = not isinstance(block, np.ndarray) or block.flags.c_contiguous
    try:
        if contiguous and isinstance(block, np.ndarray):  # dates and times have no buffer of their own
            block = np.asarray(block).reshape(-1).view(np.uint8)
        view = memoryview(block if contiguous else b"")
    except TypeError:
        raise InputError(f"{shown(block)} can't be shared: expected a Block or an array of this arena") from None
    if not view.c_contiguous or not view.nbytes:
        raise InputError("only contiguous memory can be shared, of at least 1 byte")
    return view


class Arena:
    """Up to ``limit`` bytes of memory of this process, of which only what is used is resident.

    ``host``: ``anonymous`` memory, a ``memfd`` that other processes can map, or the machine's ``hugetlb`` pages.
    ``hugepages``: asks for transparent huge pages; blocks are then whole huge pages of 2 MiB, else whole pages.
    ``idle``: memory that stayed free for this time (ns, or ``"2s"``) is given back. Safe to use from any thread.
    Raises InputError, OSError.
    """

    def __init__(
        self,
        limit: int | str,
        host: Literal["anonymous", "memfd", "hugetlb"] = "anonymous",
        *,
        hugepages: bool = True,
        idle: int | str = "2s",
    ) -> None:
        if host not in ("anonymous", "memfd", "hugetlb"):
            raise InputError(f"{shown(host)} is no host of an arena: expected anonymous, memfd or hugetlb")
        self.page_size = HUGE_PAGE if hugepages or host == "hugetlb" else mmap.PAGESIZE
        self.limit = parse_size(limit) // self.page_size * self.page_size
        if not self.limit:
            raise InputError(
                f"{shown(limit)} is too small a limit for an arena: expected {format_size(self.page_size)} or more"
            )
        if self.limit > MOST_PAGES * self.page_size:
            raise InputError(
                f"{shown(limit)} is too large a limit for an arena: expected up to "
                f"{format_size(MOST_PAGES * self.page_size)}, of pages of {format_size(self.page_size)}"
            )
        self._idle = idle
        self.pages = WarmPages(self.limit // self.page_size, self.page_size)
        self.host: MappedHost
        if host == "hugetlb":
            self.host = HugetlbHost(self.limit)
        elif host == "memfd":
            self.host = MemfdHost(self.limit, hugepages=hugepages)
        else:
            self.host = AnonymousHost(self.limit, hugepages=hugepages)
        self._memory: memoryview | None = self.host.view(0, self.limit)
        self._address = self.host.address
        self._giver = Giver(self.host, (self.page_size // self.host.page_size).bit_length() - 1)
        self._owner = os.getpid()
        self._leases = Leases()
        self._trims = self._trim_errors = 0
        self._trim_error: BaseException | None = None
        self._starter: Callable[[], None] | None = None
        self._hire()
        self.start()
        _arenas.add(self)

    def __reduce__(self) -> NoReturn:
        raise TypeError("an arena can't be copied or pickled: to other processes go handles (share)")

    def __repr__(self) -> str:
        live, limit = format_size(self.pages.used_pages * self.page_size), format_size(self.limit)
        return f"<Arena of {limit}, {live} live{', closed' if self._memory is None else ''}>"

    # Allocating

    def alloc(self, nbytes: int | str) -> Block:
        """A block of ``nbytes``, warm memory first, whose contents are not defined. O(free ranges).

        Waits for blocks in flight if there is no other room. Raises ArenaFullError (a MemoryError), InputError.
        """
        return self._alloc(nbytes, False)

    def empty(self, shape: SupportsIndex | Sequence[SupportsIndex], dtype: DTypeLike = float) -> NDArray[Any]:
        """A NumPy array whose contents are not defined. Its memory is freed with the last reference to it.

        Raises ArenaFullError (a MemoryError), InputError.
        """
        return self._array(shape, dtype, False)

    def zeros(self, shape: SupportsIndex | Sequence[SupportsIndex], dtype: DTypeLike = float) -> NDArray[Any]:
        """A NumPy array of zeros; only memory that has been used since it was last given back is written."""
        return self._array(shape, dtype, True)

    def empty_like(self, prototype: ArrayLike) -> NDArray[Any]:
        """A NumPy array of the shape and type of another."""
        array = np.asanyarray(prototype)
        return self._array(array.shape, array.dtype, False)

    def numpy(self, threshold: int | str = "1MiB") -> NumpyHandler:
        """A context manager: within it, NumPy's own arrays of at least ``threshold`` bytes come from this arena.

        They may outlive it. It holds for this thread. What the arena has no room for comes from malloc, as always.
        """
        return NumpyHandler(self.pages, self._open_memory(), self._address, min(parse_size(threshold), self.limit + 1))

    def _array(self, shape: SupportsIndex | Sequence[SupportsIndex], dtype: DTypeLike, zeroed: bool) -> NDArray[Any]:
        kind = np.dtype(dtype)
        if kind.hasobject:
            raise InputError(f"an array of {kind} can't lie in an arena: it holds Python objects")
        try:
            sizes = _sizes(shape)
        except TypeError:
            raise InputError(f"{shown(shape)} is not a shape: expected whole numbers") from None
        if any(size < 0 for size in sizes):
            raise InputError(f"{shown(shape)} is not a shape: a size is negative")
        nbytes = math.prod(sizes) * kind.itemsize
        if not nbytes:
            return np.empty(sizes, kind)
        # NumPy keeps no view of a buffer that it is given here: the memoryview does.
        return np.ndarray(sizes, kind, buffer=memoryview(self._alloc(nbytes, zeroed)))

    def _alloc(self, nbytes: int | str, zeroed: bool) -> Block:
        memory = self._open_memory()
        size = parse_size(nbytes)
        if size < 1:
            raise InputError(f"{shown(nbytes)} is not a size for a block: expected at least 1 byte")
        block = allocate(self.pages, memory, self._address, size, zeroed) if size <= self.limit else None
        return self._alloc_slowly(memory, size, zeroed) if block is None else block

    def _open_memory(self) -> memoryview:
        if self._memory is None:
            raise PagehintError("this arena is closed: nothing can be allocated in it any more")
        return self._memory

    def _alloc_slowly(self, memory: memoryview, size: int, zeroed: bool) -> Block:
        """Wait for blocks in flight, which may be all that is left."""
        self._check_owner()
        self._leases.end_dropped()
        note = "free blocks, or make the arena larger"
        deadline = time.monotonic() + _PATIENCE
        while size <= self.limit and self.pages.in_flight_pages:
            if self._giver.reacting:
                break
            lock = threading.Lock()
            lock.acquire()
            try:
                self.pages.wait(lock)
                if self.pages.in_flight_pages and not lock.acquire(timeout=max(deadline - time.monotonic(), 0)):
                    note = f"blocks have been in flight for {_PATIENCE:g} s, the kernel may be slow or stuck"
                    break
                block = allocate(self.pages, memory, self._address, size, zeroed)
            finally:
                self.pages.waited(lock)
            if block is not None:
                return block
        # What was in flight, or shared, may have come back before it was looked for.
        block = allocate(self.pages, memory, self._address, size, zeroed) if size <= self.limit else None
        if block is not None:
            return block
        self._open_memory()  # another thread may have closed it
        raise ArenaFullError(size, self.pages.largest_free * self.page_size, self.stats(), note)

    # Sharing

    def share(self, block: Any, readonly: bool = False) -> Handle:
        """A handle by which other processes can map ``block``: a Block or an array of this arena, contiguous.

        The memory is freed when neither is left, and no process has it mapped through the handle. Needs an arena on
        ``memfd`` or ``hugetlb``. Raises InputError, PagehintError, OSError.
        """
        self._open_memory()
        if not isinstance(self.host, MemfdHost):
            raise InputError("the memory of an anonymous arena can't be shared: make the arena with host='memfd'")
        self._check_owner()
        view = _bytes_of(block)
        offset = np.frombuffer(view, np.uint8).ctypes.data - self._address
        if not 0 <= offset < self.limit:
            raise InputError("this memory is not of this arena: only its blocks and arrays can be shared")
        flags = os.O_CLOEXEC | (os.O_RDONLY if readonly else os.O_RDWR)
        handle = Handle(-1, -1, offset, view.nbytes, self.page_size, readonly)  # closes what it has, if the rest fails
        handle.memory = os.open(f"/proc/self/fd/{self.host.fd}", flags)
        handle.lease = self._leases.keep(view)
        return handle

    def _check_owner(self) -> None:
        if self.pages.foreign:
            raise PagehintError(
                f"this arena's memory belongs to process {self._owner}, which forked this one: make an arena here"
            )

    # Giving back

    def trim(self) -> int:
        """Give back all that is free, now; bytes. What is in flight already isn't waited for. 0 once it is closed.

        What the kernel refuses stays warm, and is tried again later; the first such error is raised (OSError) when all
        else is given back.
        """
        batch = Batch(self._giver.capacity)
        given, refused = 0, None
        self.pages.tick()
        while True:
            pages, done = 0, False
            try:
                self.pages.fill_all(batch)
                pages = batch.pages
                if pages:
                    self._giver.react(batch)
                done = True
            except OSError as error:
                self._trim_errors += 1
                refused = refused or error
                self._trim_error = without_frames(refused)
            except PagehintError:
                if self._memory is not None:
                    raise
                pages = 0  # it was closed, maybe meanwhile: its memory goes with the last block
            finally:
                # In here also when a signal handler raised.
                self.pages.drain(batch, done)
            if not pages:
                break
            if done:
                self._trims += 1
                given += pages * self.page_size
        try:
            if refused is not None:
                raise refused
        finally:
            del refused  # it holds this frame, and its callers' memory with it
        return given

    def stats(self) -> ArenaStatistics:
        """The arena's state now. O(1), but for what is resident: about 1 ms for 2 GiB of resident memory."""
        pages, size, design = self.pages, self.page_size, self._design.statistics
        # The books first: their figures change together only by chance while others allocate.
        live, warm, in_flight = pages.used_pages * size, pages.warm_pages * size, pages.in_flight_pages * size
        present = pages.present_pages * size
        return ArenaStatistics(
            limit=self.limit,
            present=present,
            live=live,
            blocks=pages.blocks,
            warm=warm,
            hinted=max(present - live - warm - in_flight, 0),
            in_flight=in_flight,
            resident=0 if self._memory is None else self.host.resident(),
            given_back=pages.given_pages * size,
            cycles=design.batches + self._trims,
            errors=design.errors + self._trim_errors,
            last_error=design.last_error or self._trim_error,
        )

    # From start to end

    def _hire(self) -> None:
        self._design = Aging(self._idle)
        self._worker = ThreadWorker(self._design, cast("list[Zone]", [self.pages]), name="pagehint-arena")

    def start(self) -> None:
        """Start the worker thread, if it doesn't run: a forked child starts its own as soon as something is warm."""
        if self._memory is None:
            raise PagehintError("this arena is closed: it can't be started")
        self._check_owner()
        if self._starter is not None:
            self.pages.detach(self._starter)
        with contextlib.suppress(BusyError):
            self._worker.start(self._giver)
        _pressure.watch(self)

    def _after_fork(self) -> None:
        # Only the thread that forked is in the child: neither the worker nor who waits for it.
        self.pages.unlock()
        self.pages.detach()
        self._hire()
        if isinstance(self.host, MemfdHost):
            self.pages.disown()
            self._leases = Leases()
            return
        self.pages.orphan()
        if self._memory is None:
            return
        self._starter = partial(_start_soon, weakref.ref(self))
        self.pages.attach(self._design.order, self._design.threshold(), self._giver, self._starter)
        self.pages.request(False)
        if self.pages.warm_pages:
            self._starter()

    def close(self) -> None:
        """Allocate nothing more, end the worker, and free what is free now; the rest is freed with the last block.

        More than once does nothing.
        """
        if self._memory is None:
            return
        self._worker.ask_to_stop()
        self.pages.shut()
        try:
            if self.pages.blocks and not self.pages.foreign:
                self.trim()
        finally:
            self._memory = None
            self.host.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


# Whoever frees may be anywhere, holding anything: it waits for no start.
def _start_soon(arena: "weakref.ref[Arena]") -> None:
    _thread.start_new_thread(_start, (arena,))


def _start(reference: "weakref.ref[Arena]") -> None:
    arena = reference()
    if arena is not None:
        with contextlib.suppress(PagehintError):  # it was closed meanwhile
            arena.start()


_arenas: weakref.WeakSet[Arena] = weakref.WeakSet()
_pressure = Pressure()


def _after_fork() -> None:
    global _pressure
    _pressure = Pressure()
    for arena in list(_arenas):
        arena._after_fork()


os.register_at_fork(after_in_child=_after_fork)
