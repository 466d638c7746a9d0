"""What a forked child has: its own arena on private memory, the parent's on shared memory."""

import os
import pickle
import signal
import threading
import traceback
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from pagehint import PagehintError, check
from pagehint.arena import Arena
from tests.limits import HANGS

MIB = 1 << 20
Make = Callable[..., Arena]
Until = Callable[..., bool]


def in_child(work: Callable[[], Any], seconds: int = HANGS) -> Any:
    """What ``work`` returns in a forked child, which has this long."""
    read, write = os.pipe()
    pid = os.fork()
    if not pid:
        signal.alarm(seconds)
        try:
            result = work(), None
        except BaseException:
            result = None, traceback.format_exc()
        with open(write, "wb") as file:
            pickle.dump(result, file)
        os._exit(0)
    os.close(write)
    with open(read, "rb") as file:
        data = file.read()
    _, status = os.waitpid(pid, 0)
    assert status == 0
    value, error = pickle.loads(data)
    assert error is None, error
    return value


def test_a_child_has_an_arena_of_its_own(make: Make, tasks: Callable[[str], int]) -> None:
    arena = make("256MiB", idle="60s")
    kept = arena.empty(16 * MIB, "u1")
    kept[:] = 1
    dropped = [arena.empty(16 * MIB, "u1")]
    dropped[0][:] = 2

    def child() -> tuple[Any, ...]:
        workers = tasks("pagehint-arena")
        same = bool((kept == 1).all() and (dropped[0] == 2).all())
        kept[:] = 3
        dropped.clear()
        given = arena.trim()
        resident = arena.stats().resident
        other = arena.empty(64 * MIB, "u1")
        other[:] = 4
        return workers, same, given, resident, bool((kept == 3).all()), arena.stats().live, check(arena.pages)

    assert in_child(child) == (0, True, 16 * MIB, 16 * MIB, True, 80 * MIB, [])
    assert (kept == 1).all()
    assert (dropped[0] == 2).all()
    assert arena.stats().resident == 32 * MIB


def test_a_child_gives_back_what_was_warm_when_it_was_forked(make: Make, until: Until) -> None:
    arena = make("256MiB", idle="60s")
    arena.empty(16 * MIB, "u1")[:] = 1
    arena._idle = "50ms"  # the child's: the parent's worker has its own already

    assert in_child(lambda: until(lambda: arena.stats().resident == 0))
    assert arena.stats().resident == 16 * MIB


def test_a_child_has_a_worker_from_its_first_free(make: Make, until: Until, tasks: Callable[[str], int]) -> None:
    arena = make("256MiB", idle="50ms")

    def child() -> tuple[bool, int, bool]:
        array = arena.empty(16 * MIB, "u1")
        array[:] = 1
        before = tasks("pagehint-arena")
        del array
        started = until(lambda: tasks("pagehint-arena") == 1)
        arena.start()
        return started, before, until(lambda: arena.stats().resident == 0) and tasks("pagehint-arena") == 1

    assert in_child(child) == (True, 0, True)


def test_a_child_of_numpy_arrays_has_a_worker_too(make: Make, until: Until) -> None:
    arena = make("256MiB", idle="50ms")

    def child() -> bool:
        with arena.numpy():
            np.ones(4 * MIB)
        return until(lambda: arena.stats().resident == 0)

    assert in_child(child)


def test_shared_memory_stays_the_parents(make: Make) -> None:
    arena = make("256MiB", host="memfd", idle="60s")
    arrays = [arena.empty(16 * MIB, "u1") for _ in range(3)]
    for array in arrays:
        array[:] = 1
    arrays.pop()  # warm: the child must not give that back either
    del array

    def child() -> list[str]:
        errors = []
        for use in (lambda: arena.alloc(MIB), arena.start, lambda: arena.share(arrays[0])):
            try:
                use()
            except PagehintError as error:
                errors.append(str(error))
        arrays[0][:] = 7  # it is shared
        arrays.clear()
        arena.trim()
        with arena.numpy():
            np.ones(MIB)
        arena.close()
        return errors

    text = f"this arena's memory belongs to process {os.getpid()}, which forked this one: make an arena here"
    assert in_child(child) == [text] * 3
    assert (arrays[0] == 7).all()
    assert (arrays[1] == 1).all()
    assert arena.stats().live == 32 * MIB
    assert arena.stats().resident == 48 * MIB


def test_a_child_of_a_child(make: Make) -> None:
    arena = make("128MiB")
    array = arena.empty(MIB, "u1")
    array[:] = 1

    def child() -> Any:
        array[:] = 2
        arena.start()
        return in_child(lambda: (int(array[0]), arena.alloc(MIB).nbytes, arena.trim()))

    assert in_child(child)[:2] == (2, MIB)


def test_forking_while_blocks_are_in_flight(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    arena = make("64MiB", idle="4ms")
    arena.empty(32 * MIB, "u1")[:] = 1
    reacting, go = threading.Event(), threading.Event()
    react, parent = arena.host.react, os.getpid()

    def held(blocks: Any) -> None:
        if os.getpid() == parent:  # the child's worker may react before anything else runs there
            reacting.set()
            go.wait()
        react(blocks)

    monkeypatch.setattr(arena.host, "react", held)
    assert reacting.wait(HANGS)
    assert arena.stats().in_flight == 32 * MIB

    def child() -> tuple[Any, ...]:
        block = arena.alloc(64 * MIB)
        del block
        arena.trim()
        return arena.stats().resident, check(arena.pages)

    assert in_child(child) == (0, [])
    go.set()


def test_forking_while_everything_is_in_use(make: Make) -> None:
    """Threads allocate, free, trim and share as the process forks: each child works at once."""
    arena, shared = make("512MiB", idle="1ms"), make("512MiB", host="memfd", idle="1ms")
    stop = threading.Event()
    failures: list[BaseException] = []

    def work(arena: Arena, seed: int) -> None:
        rng = np.random.default_rng(seed)
        try:
            while not stop.is_set():
                array = arena.empty(int(rng.integers(1, 8 * MIB)), "u1")
                array[::4096] = seed
                assert (array[::4096] == seed).all()
                if rng.random() < 0.1:
                    arena.trim()
                if arena is shared and rng.random() < 0.2:
                    arena.share(array).open()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(each, seed)) for seed, each in enumerate([arena, shared] * 3)]
    for thread in threads:
        thread.start()

    def child() -> Any:
        arena.trim()
        array = arena.empty(100 * MIB, "u1")
        array[::4096] = 9
        problems = check(arena.pages)
        arena.start()
        del array
        return problems, bool(arena.zeros(20 * MIB, "u1").any())

    try:
        for _ in range(20):
            assert in_child(child) == ([], False)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert failures == []
