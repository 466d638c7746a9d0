"""Devices that fail, hang or are slow, and what interrupts: no block is lost, and the service goes on."""

import ctypes
import errno
import fcntl
import gc
import mmap
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pagehint.arena.arena as module
from pagehint.arena import Arena, ArenaFullError
from tests.limits import HANGS

MIB = 1 << 20
F_SEAL_FUTURE_WRITE = 0x10
libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
Make = Callable[..., Arena]
Until = Callable[..., bool]


def used(arena: Arena, size: int = 16 * MIB, value: int = 5) -> np.ndarray:
    array = arena.empty(size, "u1")
    array[:] = value
    return array


def test_locked_pages(make: Make, until: Until) -> None:
    """One page that is locked keeps its own block only, and is given back once it is unlocked."""
    arena = make("256MiB", idle="20ms")
    kept = used(arena)
    blocks = [used(arena, 3 * MIB) for _ in range(8)]
    locked = ctypes.c_void_p(blocks[3].ctypes.data), ctypes.c_size_t(4096)
    assert libc.mlock(*locked) == 0
    del blocks
    assert until(lambda: arena.stats().resident <= kept.nbytes + 4 * MIB)
    assert until(lambda: arena.stats().errors > 0)
    error = arena.stats().last_error
    assert isinstance(error, OSError)
    assert error.errno == errno.EINVAL
    assert (kept == 5).all()
    assert until(lambda: arena.stats().errors > 8)
    used(arena, 64 * MIB)  # other memory is given back as soon as ever
    assert until(lambda: arena.stats().resident <= kept.nbytes + 4 * MIB)
    with pytest.raises(OSError, match="madvise: Invalid argument"):
        arena.trim()
    assert arena.stats().resident > kept.nbytes
    libc.munlock(*locked)
    arena.trim()
    assert until(lambda: arena.stats().resident == kept.nbytes)
    assert until(lambda: arena.stats().warm + arena.stats().in_flight == 0)
    assert (kept == 5).all()


def test_a_sealed_file(make: Make, until: Until) -> None:
    arena = make("64MiB", host="memfd", idle="10ms")
    kept = used(arena)
    fcntl.fcntl(arena.host.fd, fcntl.F_ADD_SEALS, F_SEAL_FUTURE_WRITE)
    used(arena)
    assert until(lambda: arena.stats().errors >= 2)
    error = arena.stats().last_error
    assert isinstance(error, OSError)
    assert error.errno == errno.EPERM
    assert until(lambda: not arena.stats().in_flight)
    assert arena.stats().warm == 16 * MIB
    assert not arena.zeros(32 * MIB, "u1").any()
    assert (kept == 5).all()


def test_a_hole_in_the_mapping(make: Make, until: Until) -> None:
    """ENOMEM: somebody unmapped some of the free memory."""
    arena = make("64MiB", idle="60s", hugepages=False)
    kept, other = used(arena), used(arena)
    hole = other.ctypes.data + 4 * MIB
    del other
    assert libc.munmap(ctypes.c_void_p(hole), ctypes.c_size_t(MIB)) == 0
    with pytest.raises(OSError, match="madvise: Cannot allocate memory"):
        arena.trim()
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x10  # MAP_FIXED
    assert libc.mmap(ctypes.c_void_p(hole), ctypes.c_size_t(MIB), 3, flags, -1, 0) == hole
    arena.trim()
    assert arena.stats().resident == 16 * MIB
    assert (kept == 5).all()


def test_a_device_that_raises(make: Make, until: Until, monkeypatch: pytest.MonkeyPatch) -> None:
    arena = make("64MiB", idle="8ms")
    kept = used(arena)
    calls = []

    def failing(blocks: Any) -> None:
        calls.append(len(blocks.pfns))
        raise RuntimeError("no")

    monkeypatch.setattr(arena.host, "react", failing)
    used(arena)
    assert until(lambda: arena.stats().errors >= 3)
    with pytest.raises(RuntimeError):
        arena.trim()
    assert repr(arena.stats().last_error) == "RuntimeError('no')"
    again = used(arena, 32 * MIB, 6)
    del again
    assert arena.stats().live == 16 * MIB
    monkeypatch.undo()
    arena.trim()
    assert until(lambda: arena.stats().resident == 16 * MIB)
    assert (kept == 5).all()


def test_a_device_that_hangs(make: Make, until: Until, monkeypatch: pytest.MonkeyPatch) -> None:
    arena = make("64MiB", idle="8ms")
    go = threading.Event()
    react = arena.host.react

    def hanging(blocks: Any) -> None:
        go.wait()
        react(blocks)

    monkeypatch.setattr(arena.host, "react", hanging)
    monkeypatch.setattr(module, "_PATIENCE", 0.1)
    used(arena)
    assert until(lambda: arena.stats().in_flight == 16 * MIB)
    for _ in range(100):
        used(arena, 48 * MIB)  # all the others can be had
    with pytest.raises(ArenaFullError, match=r"16 MiB in flight.*blocks have been in flight for 0\.1 s"):
        arena.alloc(49 * MIB)
    monkeypatch.setattr(module, "_PATIENCE", 60)
    found: list[int] = []
    waiting = threading.Thread(target=lambda: found.append(arena.alloc(64 * MIB).nbytes))
    waiting.start()
    assert until(lambda: arena.pages.waiting == 1)
    go.set()
    waiting.join(HANGS)
    assert found == [64 * MIB]
    assert until(lambda: arena.stats().resident == 0)


def test_closing_and_dropping_with_a_device_that_hangs(until: Until, monkeypatch: pytest.MonkeyPatch) -> None:
    arena = Arena("64MiB", idle="8ms")
    reacting, go = threading.Event(), threading.Event()

    def hanging(blocks: Any) -> None:
        reacting.set()
        go.wait()

    monkeypatch.setattr(arena.host, "react", hanging)
    used(arena)
    assert reacting.wait(HANGS)
    worker = arena._worker
    arena.close()
    del arena
    gc.collect()
    assert worker.running
    go.set()
    assert until(lambda: not worker.running)


def test_finalizers_in_the_worker(make: Make, until: Until, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is dropped during a react frees and allocates in the same arena, on the worker's thread."""
    arena = make("64MiB", idle="8ms")
    react = arena.host.react
    done: list[str] = []

    class Finalized:
        def __init__(self) -> None:
            self.array = used(arena, 4 * MIB)
            self.cycle = self

        def __del__(self) -> None:
            del self.array
            done.append(f"{arena.alloc(MIB).nbytes}")
            with pytest.raises(ArenaFullError):
                arena.alloc(64 * MIB)  # some is in flight, and this is whom it waits for
            done.append(Path("/proc/thread-self/comm").read_text().strip())

    box = [Finalized()]

    def dropping(blocks: Any) -> None:
        box.clear()
        gc.collect()
        react(blocks)

    used(arena)
    monkeypatch.setattr(arena.host, "react", dropping)
    assert until(lambda: len(done) == 2)
    assert done == [str(MIB), "pagehint-arena"]
    assert until(lambda: arena.stats().resident == 0)


def test_signal_handlers_use_the_arena(make: Make) -> None:
    """A handler that runs between any two steps of the main thread allocates and frees in the same arena."""
    arena = make("512MiB", idle="4ms")
    ran = [0]

    def handler(*_: Any) -> None:
        ran[0] += 1
        array = arena.empty(3 * MIB, "u1")
        array[::4096] = 1
        if not ran[0] % 5:
            arena.trim()

    previous = signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
    try:
        while ran[0] <= 200:
            array = arena.empty(5 * MIB, "u1")
            array[::4096] = 7
            arena.trim()
            assert (array[::4096] == 7).all()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
    del array
    assert arena.stats().live == arena.stats().in_flight == 0


def test_signal_handlers_share(make: Make, until: Until) -> None:
    """And make arenas: it waited for a lock that the interrupted share or arena had."""
    arena = make("64MiB", host="memfd")
    blocks, ran = [arena.alloc(MIB)], [0]

    def handler(*_: Any) -> None:
        ran[0] += 1
        arena.share(blocks[0])
        if not ran[0] % 10:
            Arena("4MiB").close()

    previous = signal.signal(signal.SIGALRM, handler)
    try:
        while ran[0] < 40:
            signal.setitimer(signal.ITIMER_REAL, 0.0002)
            before = ran[0]
            while ran[0] == before:
                arena.share(blocks[0])
                Arena("4MiB").close()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
    blocks.clear()
    assert until(lambda: arena.stats().live == 0)


def test_ctrl_c_at_any_moment(make: Make) -> None:
    """KeyboardInterrupt in alloc, trim or a react leaves nothing allocated and nothing in flight."""
    arena = make("512MiB", idle="4ms")
    interrupted = 0
    previous = signal.signal(signal.SIGALRM, signal.default_int_handler)
    try:
        for step in range(400):
            try:
                signal.setitimer(signal.ITIMER_REAL, 0.00005 + step * 5e-6)
                while True:
                    array = arena.empty(5 * MIB, "u1")
                    array[::4096] = 7
                    del array
                    arena.trim()
            except KeyboardInterrupt:
                interrupted += 1
            array = None
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
    assert interrupted == 400
    assert arena.stats().live == 0
    assert arena.trim() >= 0
    deadline = time.monotonic() + HANGS
    while arena.stats().in_flight and time.monotonic() < deadline:
        time.sleep(0.002)
    assert (arena.stats().in_flight, arena.stats().resident, arena.pages.waiting) == (0, 0, 0)


def test_ctrl_c_ends_a_program_during_a_react() -> None:
    code = (
        "import pagehint.arena, time\n"
        "arena = pagehint.arena.Arena('2GiB', idle='1ms', hugepages=False)\n"
        "kept = arena.empty(1 << 24, 'u1')\n"
        "print('ready', flush=True)\n"
        "while True: arena.empty(1 << 28, 'u1')[::4096] = 1\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=HANGS)
    assert process.returncode == -signal.SIGINT
    assert errors.rstrip().endswith("KeyboardInterrupt")
    assert errors.count("Traceback") == 1


@pytest.mark.parametrize("refused", [OSError("no"), RuntimeError("no")])
def test_an_error_that_is_kept_keeps_nobodys_memory(
    make: Make, monkeypatch: pytest.MonkeyPatch, refused: Exception
) -> None:
    arena = make("64MiB", idle="60s")

    def failing(blocks: Any) -> None:
        raise type(refused)(*refused.args)

    def work() -> None:
        mine = used(arena)
        used(arena)
        with pytest.raises(type(refused)):
            arena.trim()
        assert mine[0] == 5

    gc.disable()
    try:
        monkeypatch.setattr(arena.host, "react", failing)
        work()
        assert arena.stats().live == 0
    finally:
        gc.enable()
