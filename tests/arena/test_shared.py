"""Blocks that other processes map: real processes, started in every way."""

import contextlib
import gc
import mmap
import multiprocessing as mp
import os
import pickle
import resource
import signal
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import arena_processes
import numpy as np
import pytest

from pagehint import InputError, PagehintError
from pagehint.arena import Arena, Handle

MIB = 1 << 20
Make = Callable[..., Arena]
Until = Callable[..., bool]
NoThreads = Callable[[], contextlib.AbstractContextManager[None]]
start_methods = pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])


@start_methods
def test_as_an_argument_of_a_process(make: Make, until: Until, method: Any) -> None:
    arena = make("256MiB", host="memfd", idle="20ms")
    context = mp.get_context(method)
    array = arena.empty(4 * MIB, "u4")
    array[:] = 3
    handle = arena.share(array)
    ours, theirs = context.Pipe()
    process = context.Process(target=arena_processes.child_reads_and_writes, args=(handle, theirs))
    process.start()
    theirs.close()
    assert ours.recv() == 3 * 4 * MIB
    assert ours.recv() == "written"
    assert (array == 7).all()
    del array, handle
    gc.collect()
    assert not until(lambda: arena.stats().live == 0, 0.3)  # theirs still
    ours.send("end")
    process.join()
    assert until(lambda: arena.stats().live == 0)
    assert until(lambda: arena.stats().resident == 0)
    assert until(lambda: len(arena._leases) == 0)


@pytest.mark.parametrize("end", ["dropped", "killed"])
@start_methods
def test_nothing_that_another_process_holds_is_given_back(make: Make, until: Until, method: Any, end: str) -> None:
    arena = make("256MiB", host="memfd", idle="20ms")
    context = mp.get_context(method)
    ours, theirs = context.Pipe()
    process = context.Process(target=arena_processes.child_holds, args=(theirs,))
    process.start()
    theirs.close()
    array = arena.empty(8 * MIB, "u1")
    array[:] = 5
    ours.send(arena.share(array, readonly=True))
    assert ours.recv() == "open"
    del array
    gc.collect()
    for _ in range(3):
        arena.empty(100 * MIB, "u1")[::4096] = 9  # would reuse it, if it were free
        arena.trim()
        assert until(lambda: arena.stats().resident == 8 * MIB)
        ours.send("look")
        assert ours.recv() == (b"\5\5\5\5", b"\5\5\5\5", True)
    assert arena.stats().live == 8 * MIB
    if end == "killed":
        os.kill(process.pid or 0, signal.SIGKILL)
    else:
        ours.send("drop")
        assert ours.recv() == "dropped"
    assert until(lambda: arena.stats().live == 0)
    assert until(lambda: arena.stats().resident == 0)
    if end == "dropped":
        ours.send("end")
    process.join()


def test_read_only_is_read_only(make: Make) -> None:
    arena = make("64MiB", host="memfd")
    block = arena.alloc(3 * MIB)
    view = arena.share(block, readonly=True).open()
    memoryview(block)[:3] = b"abc"
    assert bytes(view[:3]) == b"abc"
    assert view.readonly
    with pytest.raises(TypeError):
        view[0] = 1
    handle = arena.share(block, readonly=True)
    with pytest.raises(PermissionError):
        mmap.mmap(handle.memory, 4096)


def test_a_part_of_an_array(make: Make) -> None:
    arena = make("64MiB", host="memfd", hugepages=False)
    array = arena.zeros((100, 1000), "u2")
    array[7] = np.arange(1000)
    handle = arena.share(array[7])
    del array
    view = handle.open()
    del handle
    gc.collect()
    assert (np.frombuffer(view, np.uint16) == np.arange(1000)).all()
    assert arena.stats().live > 0


def test_every_view_keeps_it(make: Make, until: Until) -> None:
    arena = make("64MiB", host="memfd")
    handle = arena.share(arena.alloc(5000))
    with pytest.raises(InputError, match="is not of this arena"):
        arena.share(np.ones(5))
    view = handle.open()
    other = np.frombuffer(handle.open(), np.uint8)[10:20]
    del handle
    view.release()
    assert not until(lambda: arena.stats().live == 0, 0.1)
    del other
    assert until(lambda: arena.stats().live == 0)
    handle = arena.share(arena.alloc(5000))
    assert until(lambda: len(arena._leases) == 1)
    del handle
    assert until(lambda: arena.stats().live == 0)


def test_a_shared_block_is_not_freed_by_hand(make: Make, until: Until) -> None:
    arena = make("64MiB", host="memfd")
    block = arena.alloc(MIB)
    handle = arena.share(block)
    with pytest.raises(BufferError, match="views of it are in use"):
        block.free()
    del handle
    assert until(lambda: len(arena._leases) == 0)
    block.free()


def test_by_its_descriptors(make: Make) -> None:
    arena = make("64MiB", host="memfd")
    array = arena.zeros(MIB, "u1")
    handle = arena.share(array)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        socket.send_fds(ours, [b"!"], [handle.memory, handle.lease])
        _, fds, _, _ = socket.recv_fds(theirs, 1, 2)
    again = Handle(*fds, handle.offset, handle.nbytes, handle.page_size, handle.readonly)
    again.open()[5:8] = b"xyz"
    assert bytes(array[5:8]) == b"xyz"


def test_the_memory_outlives_its_arena(until: Until) -> None:
    arena = Arena("64MiB", host="memfd")
    handle = arena.share(arena.zeros(MIB, "u1"))
    arena.close()
    zone = arena.pages
    handle.open()[:2] = b"ab"
    assert bytes(handle.open()[:2]) == b"ab"
    with pytest.raises(PagehintError, match="is closed"):
        arena.share(b"")
    del arena, handle
    assert until(lambda: zone.blocks == 0)


def test_what_can_not_be_shared(make: Make) -> None:
    anonymous = make("64MiB")
    with pytest.raises(InputError, match="can't be shared: make the arena with host='memfd'"):
        anonymous.share(anonymous.alloc(MIB))
    arena = make("64MiB", host="memfd")
    with pytest.raises(InputError, match="only contiguous memory"):
        arena.share(arena.empty((10, 10))[:, :5])
    with pytest.raises(InputError, match="only contiguous memory"):
        arena.share(arena.empty((10, 10), "M8[s]").T)
    for nothing in (None, "x", np.empty(3, object)):
        with pytest.raises(InputError, match="can't be shared: expected a Block or an array"):
            arena.share(nothing)
    block = arena.alloc(MIB)
    block.free()
    with pytest.raises(ValueError, match="is freed"):
        arena.share(block)


@pytest.mark.parametrize("kind", ["M8[ns]", "m8[s]", "f2", "U3", [("a", "u1"), ("b", "M8[D]")]])
def test_arrays_of_any_type(make: Make, kind: Any) -> None:
    arena = make("64MiB", host="memfd")
    array = arena.zeros((3, 5), kind)
    array[1] = np.ones(1, "u1").astype(kind) if isinstance(kind, str) else (1, 1)
    handle = arena.share(array)
    assert bytes(handle.open()) == array.tobytes()


@pytest.fixture
def descriptors() -> Iterator[Callable[[int], None]]:
    """Has room for so many descriptors more."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)

    def leave(room: int) -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        with contextlib.ExitStack() as held:
            free = [held.enter_context(open(os.devnull)).fileno() for _ in range(room + 1)][room]
        resource.setrlimit(resource.RLIMIT_NOFILE, (free, limits[1]))

    yield leave
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def test_what_there_are_no_descriptors_for_leaves_none_open(
    make: Make, until: Until, descriptors: Callable[[int], None]
) -> None:
    arena = make("64MiB", host="memfd")
    block = arena.alloc(MIB)
    before = len(os.listdir("/proc/self/fd"))
    for room in range(4):
        descriptors(room)
        with pytest.raises(OSError, match="Too many open files"):
            arena.share(block)
        assert len(arena._leases) == 0
    descriptors(6)
    assert bytes(arena.share(block).open()[:2]) == b"\0\0"
    assert until(lambda: not arena._leases._watched)
    assert len(os.listdir("/proc/self/fd")) == before + 1  # what wakes the thread stays


def test_without_a_thread_that_watches_nothing_is_shared(make: Make, until: Until, no_threads: NoThreads) -> None:
    arena = make("64MiB", host="memfd")
    before = len(os.listdir("/proc/self/fd"))
    with no_threads(), pytest.raises(RuntimeError, match="can't start new thread"):
        arena.share(arena.alloc(MIB))
    assert len(os.listdir("/proc/self/fd")) == before + 1  # what wakes the thread stays
    assert arena.stats().live == 0
    arena.share(arena.alloc(MIB))
    assert until(lambda: arena.stats().live == 0)


def test_descriptors_are_closed(make: Make, until: Until) -> None:
    arena = make("64MiB", host="memfd")
    arena.share(arena.alloc(MIB)).open().release()
    assert until(lambda: not arena._leases._watched)
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(50):
        handle = arena.share(arena.alloc(MIB))
        handle.open()[:] = b"x" * MIB
        del handle
    assert until(lambda: len(arena._leases) == 0)
    assert until(lambda: len(os.listdir("/proc/self/fd")) == before)


def test_what_was_dropped_has_room_before_its_watcher_has_run(
    make: Make, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    arena = make("64MiB", host="memfd")
    leases, watch, woken = arena._leases, arena._leases._watch, list[Any]()
    monkeypatch.setattr(leases, "_watch", woken.append)
    kept = arena.share(arena.alloc(MIB))
    for _ in range(100):
        arena.share(arena.alloc(MIB))
    assert len(leases) < 40
    del kept
    assert until(lambda: len(woken) == 1)
    watch(woken[0])
    assert len(leases) == 0


def test_leases_are_ended_by_several_threads(make: Make, until: Until) -> None:
    arena = make("64MiB", host="memfd")

    def share(_: int) -> None:
        for _ in range(200):
            handle = arena.share(arena.alloc(MIB))
            handle.open()[:1] = b"x"
            del handle
            arena._leases.end_dropped()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(share, range(4)))
    assert until(lambda: arena.stats().live == 0)


def test_pickling_within_a_process(make: Make) -> None:
    arena = make("64MiB", host="memfd")
    handle = arena.share(arena.zeros(MIB, "u1"))
    copy = pickle.loads(pickle.dumps(handle))  # in the same process, by the same server of descriptors
    assert bytes(copy.open()[:4]) == bytes(4)
