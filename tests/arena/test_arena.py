"""Arenas on real memory, by the kernel's figures."""

import copy
import os
import pickle
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import FrozenInstanceError
from typing import Any

import numpy as np
import pytest

from pagehint import InputError, PagehintError
from pagehint.arena import Arena, ArenaFullError
from pagehint.errors import HostError
from pagehint.host.mapping import HUGE_PAGE
from tests.limits import HANGS

MIB = 1 << 20
Make = Callable[..., Arena]
Until = Callable[..., bool]
Tasks = Callable[[str], int]
SETTINGS: dict[str, dict[str, Any]] = {
    "anonymous": {},
    "anonymous-small": {"hugepages": False},
    "memfd": {"host": "memfd"},
    "memfd-small": {"host": "memfd", "hugepages": False},
}
each = pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)


def rss() -> int:
    """Bytes of this process in memory, of any kind, by smaps: statm's figure lags by some pages a CPU."""
    with open("/proc/self/smaps_rollup") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("Rss:")) * 1024


@each
def test_nothing_is_resident_until_it_is_touched(make: Make, settings: Any) -> None:
    arena = make("64GiB", **settings)
    assert arena.stats().resident == 0
    array = arena.empty((16, MIB), "u1")
    assert arena.stats().resident == 0
    array[:4] = 1
    assert arena.stats().resident == 4 * MIB
    assert arena.stats().live == 16 * MIB


@each
def test_the_idle_contract(make: Make, until: Until, settings: Any) -> None:
    """Nothing allocated or freed for T: resident <= live + one huge page; not before 3/4 of T."""
    arena = make("1GiB", idle="1s", **settings)
    kept = [arena.empty(7 * MIB, "u1") for _ in range(40)]
    for array in kept:
        array[:] = 1
    before = rss()
    assert arena.stats().resident >= 280 * MIB
    begin = time.monotonic()
    del kept[::2], array
    late = 0.0  # by how much a busy machine lets threads wait
    while True:
        resident, now = arena.stats().resident, time.monotonic()
        if now - begin < 0.75:
            assert resident >= 280 * MIB
        if resident <= arena.stats().live + HUGE_PAGE:
            break
        assert now - begin < 2 + late
        time.sleep(0.01)
        late += max(time.monotonic() - now - 0.02, 0)
    assert until(lambda: not arena.stats().in_flight)
    statistics = arena.stats()
    assert statistics.live <= 20 * 8 * MIB
    assert statistics.warm == statistics.in_flight == statistics.errors == 0
    assert statistics.given_back >= 140 * MIB
    assert before - rss() >= 130 * MIB
    assert all((array == 1).all() for array in kept)


def test_what_is_in_use_does_not_keep_the_rest(make: Make, until: Until) -> None:
    """A program that allocates all the time gives back what it does not use."""
    arena = make("1GiB", idle="400ms")
    burst = arena.empty(512 * MIB, "u1")
    burst[:] = 1
    del burst

    def work() -> bool:
        array = arena.empty(8 * MIB, "u1")
        array[:] = 1
        return arena.stats().resident <= 16 * MIB

    assert until(work)


@each
def test_freed_blocks_are_reused_warm(make: Make, kernel_faults: Callable[[], int], settings: Any) -> None:
    arena = make("1GiB", idle="60s", **settings)
    warm, other = arena.empty(64 * MIB, "u1"), arena.empty(64 * MIB, "u1")
    warm[:] = 1
    del warm
    before = kernel_faults()
    for size in (64, 32, 17, 64, 63):
        array = arena.empty(size * MIB, "u1")
        array[::4096] = 2
        del array
    assert kernel_faults() - before < 200
    assert arena.stats().resident <= 66 * MIB
    assert arena.stats().live == other.nbytes


@each
def test_blocks_read_as_zeros_where_asked(make: Make, settings: Any) -> None:
    arena = make("256MiB", idle="60s", **settings)
    assert not arena.zeros(32 * MIB, "u1").any()
    arena.empty(32 * MIB, "u1")[:] = 9
    assert not arena.zeros((2, 4 * MIB), "f8").any()
    arena.empty(64 * MIB, "u1")[:] = 9
    arena.trim()
    assert arena.stats().resident == 0
    arena.empty(20 * MIB, "u1")[:] = 9
    mixed = arena.zeros(60 * MIB, "u1")
    assert arena.stats().resident == 20 * MIB  # only what was used was written
    assert not mixed.any()


@each
def test_trim(make: Make, settings: Any) -> None:
    arena = make("256MiB", idle="60s", **settings)
    kept = arena.empty(10 * MIB, "u1")
    kept[:] = 3
    arena.empty(100 * MIB, "u1")[:] = 1
    assert arena.stats().resident == 110 * MIB
    assert arena.trim() == 100 * MIB
    statistics = arena.stats()
    assert statistics.resident == 10 * MIB
    assert statistics.given_back == 100 * MIB
    assert (statistics.warm, statistics.errors) == (0, 0)
    assert statistics.cycles >= 1
    assert arena.trim() == 0
    assert (kept == 3).all()


@each
def test_row_13_what_a_discard_leaves_is_no_corruption(make: Make, settings: Any) -> None:
    """A pattern that a caller left in freed memory is gone after a discard, and nobody looks for it."""
    arena = make("64MiB", idle="60s", **settings)
    for _ in range(3):
        arena.empty(64 * MIB, "u1")[:] = 0xAA
        assert arena.trim() == 64 * MIB
        assert not arena.zeros(64 * MIB, "u1").any()
    assert (arena.stats().errors, arena.pages.check()) == (0, [])


@pytest.mark.parametrize("shape", [np.array([2, 3]), np.array([6]), np.array(6), [2, 3], (6,), np.int64(6)])
def test_shapes_as_numpy_takes_them(make: Make, shape: Any) -> None:
    assert make("64MiB").zeros(shape).shape == np.zeros(shape).shape


def test_the_limit(make: Make) -> None:
    arena = make("64MiB")
    blocks = [arena.alloc("16MiB") for _ in range(4)]
    with pytest.raises(ArenaFullError) as raised:
        arena.alloc(1)
    assert isinstance(raised.value, MemoryError)
    assert str(raised.value) == (
        "no room for 1 B in the arena (64 MiB of 64 MiB live, 0 B warm, 0 B in flight, "
        "the largest free range is 0 B): free blocks, or make the arena larger"
    )
    assert raised.value.statistics.live == 64 * MIB
    del blocks[1]
    with pytest.raises(MemoryError, match=r"16 MiB warm, .*the largest free range is 16 MiB"):
        arena.alloc("17MiB")
    assert arena.alloc("16MiB").nbytes == 16 * MIB
    with pytest.raises(MemoryError, match="no room for 10 PiB in the arena"):
        arena.alloc("10PiB")
    with pytest.raises(ArenaFullError, match=r"no room for 8,589,934,592 PiB in the arena"):
        arena.empty((1 << 40, 1 << 40))
    with pytest.raises(ArenaFullError):
        arena.alloc(10**30)


def test_the_tail_is_given_back_at_once(make: Make) -> None:
    arena = make("64MiB", hugepages=False)
    block = arena.alloc(33 * MIB + 1)
    assert arena.stats().live == 33 * MIB + 4096
    other = arena.alloc(31 * MIB - 4096)
    assert arena.stats().live == 64 * MIB
    assert block.offset + 33 * MIB + 4096 == other.offset or other.offset == 0


def test_alignment(make: Make) -> None:
    arena = make("64MiB")
    assert [arena.alloc(size).address % HUGE_PAGE for size in (1, 3 * MIB, 5)] == [0, 0, 0]
    arena = make("64MiB", hugepages=False)
    blocks = [arena.alloc(size) for size in (1, 5000, 2 * MIB, 4 * MIB)]
    assert [block.address % 4096 for block in blocks] == [0] * 4


def test_shapes_and_thresholds_without_an_end(make: Make) -> None:
    """A range was counted to its end, and a threshold above 64 bits was an error of C's."""
    arena = make("64MiB", hugepages=False)
    with pytest.raises(ValueError, match="dimension"):
        arena.zeros(range(10**18))
    with arena.numpy(10**30):
        assert len(np.ones(1 << 20)) == 1 << 20
    assert arena.stats().live == 0


def test_huge_pages_where_they_are_asked_for(make: Make, huge_bytes: Callable[[int], int]) -> None:
    with open("/sys/kernel/mm/transparent_hugepage/enabled") as file:
        if "[never]" in file.read():
            pytest.skip("the machine has no transparent huge pages")
    array = make("64MiB").empty(16 * MIB, "u1")
    array[::HUGE_PAGE] = 1
    assert huge_bytes(array.ctypes.data) == 16 * MIB


def test_arrays(make: Make) -> None:
    arena = make("256MiB")
    array = arena.empty((3, 5, 7), np.float32)
    assert (array.shape, array.dtype, array.flags.c_contiguous) == ((3, 5, 7), np.float32, True)
    like = arena.empty_like(array[:, ::2])
    assert (like.shape, like.dtype) == ((3, 3, 7), np.float32)
    assert arena.empty(5).dtype == np.float64
    assert arena.zeros((0, 4)).shape == (0, 4)
    assert arena.zeros(()).shape == ()
    assert arena.empty(np.int64(5)).shape == (5,)
    assert arena.empty_like([1, 2, 3]).shape == (3,)
    assert np.from_dlpack(array).ctypes.data == array.ctypes.data


def test_bad_input(make: Make) -> None:
    for limit in (0, 4096, "1MiB"):
        with pytest.raises(InputError, match="too small a limit for an arena: expected 2 MiB or more"):
            make(limit)
    for limit in (-1, "much"):
        with pytest.raises(InputError, match="is not a size"):
            make(limit)
    with pytest.raises(InputError, match="'disk' is no host of an arena"):
        make("1GiB", host="disk")
    with pytest.raises(InputError, match="is too short"):
        make("1GiB", idle=1)
    with pytest.raises(InputError, match="is not a time"):
        make("1GiB", idle="soon")
    for host in ("anonymous", "memfd"):
        with pytest.raises(PagehintError, match=r"the machine refuses 1 PiB of memory .*: ask for less"):
            make("1PiB", host=host)
    with pytest.raises(InputError, match="'5PiB' is too large a limit for an arena: expected up to 4 PiB"):
        make("5PiB")
    with pytest.raises(InputError, match="expected up to 8 TiB, of pages of 4 KiB"):
        make("9TiB", hugepages=False)
    arena = make("64MiB")
    for shape in ("x", None, (1.5, 2)):
        with pytest.raises(InputError, match="is not a shape: expected whole numbers"):
            arena.empty(shape)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="expected at least 1 byte"):
        arena.alloc(0)
    with pytest.raises(InputError, match="is not a size"):
        arena.alloc("some")
    with pytest.raises(InputError, match="holds Python objects"):
        arena.empty(3, object)
    with pytest.raises(InputError, match="a size is negative"):
        arena.zeros((3, -1))


def test_it_is_neither_copied_nor_pickled(make: Make) -> None:
    arena = make("64MiB")
    for takes in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError, match="can't be copied or pickled"):
            takes(arena)


def test_that_it_is_full_is_told_to_other_processes(make: Make) -> None:
    with pytest.raises(ArenaFullError) as told:
        make("64MiB").alloc("65MiB")
    told.value.add_note("in the pool")
    again = pickle.loads(pickle.dumps(told.value))
    assert (type(again), str(again), again.wanted) == (ArenaFullError, str(told.value), 65 << 20)
    assert again.statistics == told.value.statistics
    assert again.__notes__ == ["in the pool"]


def test_statistics_are_frozen(make: Make) -> None:
    statistics = make("64MiB").stats()
    with pytest.raises(FrozenInstanceError):
        statistics.live = 0  # type: ignore[misc]


def test_what_is_freed_after_closing_is_trimmed_no_more() -> None:
    """It was an error of the arena's host, which no user has made."""
    arena = Arena("64MiB")
    kept, freed = arena.empty(2 * MIB, "u1"), arena.empty(16 * MIB, "u1")
    freed[:] = 1
    arena.close()
    del freed
    assert arena.stats().warm == 16 * MIB
    assert arena.trim() == 0
    assert arena.stats().in_flight == arena.stats().errors == 0
    assert (len(kept), arena.stats().live) == (2 * MIB, 2 * MIB)


def test_where_no_file_can_be_opened_less_memory_is_no_help() -> None:
    """Asking for less was."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        with pytest.raises(
            HostError, match=r"refuses 64 MiB of memory \(Too many open files\): close some, or allow more"
        ):
            Arena("64MiB", "memfd")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_closing_with_live_blocks(until: Until) -> None:
    with Arena("256MiB") as arena:
        kept = arena.empty(16 * MIB, "u1")
        kept[:] = 5
        arena.empty(64 * MIB, "u1")[:] = 1
        address = arena.host.address
        before = rss()
    assert before - rss() >= 60 * MIB
    assert (kept == 5).all()
    kept[:] = 6
    with pytest.raises(PagehintError, match="this arena is closed"):
        arena.alloc(1)
    with pytest.raises(PagehintError, match="is closed"):
        arena.start()
    arena.close()
    assert repr(arena) == "<Arena of 256 MiB, 16 MiB live, closed>"
    assert until(lambda: not arena._worker.running)
    before = rss()
    del kept
    assert before - rss() >= 15 * MIB
    with open("/proc/self/maps") as file:
        assert not any(int(line.split("-")[0], 16) == address for line in file)


def test_an_arena_that_is_dropped_ends_its_worker(until: Until, tasks: Tasks) -> None:

    def workers() -> int:
        return tasks("pagehint-arena")

    before = workers()
    arena = Arena("64MiB")
    kept = arena.empty(MIB, "u1")
    assert until(lambda: workers() == before + 1)
    del arena
    assert until(lambda: workers() == before)
    kept[:] = 1


def test_one_worker(make: Make, tasks: Tasks, until: Until) -> None:
    assert until(lambda: tasks("pagehint-arena") == 0)
    arena = make("64MiB")
    arena.start()
    arena.trim()
    assert until(lambda: tasks("pagehint-arena") == 1)


def test_threads_share_an_arena(make: Make, until: Until) -> None:
    arena = make("512MiB", idle="20ms")
    failures: list[BaseException] = []

    def work(seed: int) -> None:
        rng = np.random.default_rng(seed)
        try:
            held: list[tuple[int, Any]] = []
            for step in range(300):
                array = arena.empty(int(rng.integers(1, 2 * MIB)) * 8, "u1")
                mark = seed << 4 | step & 15
                array[::4096] = mark
                array[-1] = mark
                held.append((mark, array))
                if len(held) > 3:
                    mark, array = held.pop(int(rng.integers(len(held))))
                    assert (array[::4096] == mark).all()
                    assert array[-1] == mark
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert until(lambda: arena.stats().resident == 0)
    assert arena.stats().live == 0


def test_leaving_the_interpreter_with_blocks_alive() -> None:
    code = (
        "import numpy as np, pagehint.arena\n"
        "arena = pagehint.arena.Arena('1GiB', idle='1ms')\n"
        "kept = [arena.empty(1 << 24, 'u1') for _ in range(8)]\n"
        "for a in kept: a[:] = 1\n"
        "del kept[::2]\n"
        "import builtins; builtins.kept = kept; kept.append(arena)\n"
    )
    for _ in range(3):
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, env=os.environ, timeout=HANGS
        )
        assert (done.returncode, done.stderr) == (0, "")
