"""NumPy's own allocations on an arena."""

import contextlib
import contextvars
import gc
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from pagehint import InputError, PagehintError
from pagehint.arena import Arena

MIB = 1 << 20
Make = Callable[..., Arena]


def inside(arena: Arena, array: np.ndarray) -> bool:
    return 0 <= array.ctypes.data - arena.host.address < arena.limit


def handler_of(array: np.ndarray) -> str:
    return str(np._core.multiarray.get_handler_name(array))


def test_only_what_is_large_and_made_within(make: Make) -> None:
    arena = make("256MiB")
    before = np.ones(MIB)
    with arena.numpy():
        large, edge, small = np.ones(MIB), np.empty(MIB, "u1"), np.empty(MIB - 1, "u1")
        inner = large + 1
    after = np.ones(MIB)
    assert [inside(arena, array) for array in (before, large, edge, inner, small, after)] == [0, 1, 1, 1, 0, 0]
    assert handler_of(small) == "pagehint_arena"
    assert handler_of(after) == "default_allocator"
    assert arena.stats().live == 18 * MIB
    del large, edge, inner
    assert arena.stats().live == 0


def test_the_threshold(make: Make) -> None:
    arena = make("256MiB")
    with arena.numpy("16MiB"):
        assert not inside(arena, np.empty(16 * MIB - 1, "u1"))
        assert inside(arena, np.empty(16 * MIB, "u1"))
    with pytest.raises(InputError, match="is not a size"):
        arena.numpy("large")


def test_arrays_outlive_the_context_and_the_arena() -> None:
    arena = Arena("256MiB")
    with arena.numpy():
        array = np.arange(MIB)
    zone, address = arena.pages, arena.host.address
    arena.close()
    del arena
    gc.collect()
    assert address <= array.ctypes.data < address + (256 << 20)
    assert (array == np.arange(MIB)).all()
    assert zone.blocks == 1
    del array
    assert zone.blocks == 0


def test_contexts_nest_and_an_exception_ends_them(make: Make) -> None:
    outer, inner = make("64MiB"), make("64MiB")
    with outer.numpy():
        with contextlib.suppress(KeyError), inner.numpy():
            first = np.empty(2 * MIB, "u1")
            raise KeyError
        second = np.empty(2 * MIB, "u1")
        with outer.numpy("4MiB"):
            third = np.empty(2 * MIB, "u1")
    assert inside(inner, first)
    assert inside(outer, second)
    assert not inside(outer, third)
    assert handler_of(np.empty(MIB)) == "default_allocator"


def test_one_handler_can_be_entered_again(make: Make) -> None:
    arena = make("64MiB")
    handler = arena.numpy()
    for _ in range(2):
        with handler, handler:
            assert inside(arena, np.empty(2 * MIB, "u1"))
    assert handler_of(np.empty(MIB)) == "default_allocator"


def test_one_handler_in_several_contexts_leads_back_to_what_each_had(make: Make) -> None:
    outer, inner = make("64MiB"), make("64MiB")
    ours, theirs = contextvars.copy_context(), contextvars.copy_context()
    shared, around = inner.numpy(), outer.numpy()
    ours.run(around.__enter__)
    ours.run(shared.__enter__)
    theirs.run(shared.__enter__)
    ours.run(shared.__exit__, None, None, None)
    assert inside(outer, ours.run(np.empty, 2 * MIB, "u1"))
    theirs.run(shared.__exit__, None, None, None)
    assert theirs.run(lambda: handler_of(np.empty(MIB))) == "default_allocator"
    ours.run(around.__exit__, None, None, None)
    assert ours.run(lambda: handler_of(np.empty(MIB))) == "default_allocator"


def test_contexts_that_end_in_another_order(make: Make) -> None:
    first, second = make("64MiB"), make("64MiB")

    def suspended() -> Iterator[None]:
        with first.numpy():
            yield

    generator = suspended()
    next(generator)
    with second.numpy():
        generator.close()  # type: ignore[attr-defined]
        assert inside(second, np.empty(2 * MIB, "u1"))
    assert handler_of(np.empty(MIB)) == "default_allocator"


def test_a_context_ends_where_it_was_entered(make: Make) -> None:
    handler = make("64MiB").numpy()
    with pytest.raises(InputError, match="was not entered here"):
        handler.__exit__(None, None, None)
    with handler, ThreadPoolExecutor(1) as pool:
        left = pool.submit(contextvars.Context().run, handler.__exit__, None, None, None)
        with pytest.raises(InputError, match="was not entered here"):
            left.result()


def test_zeros_after_use(make: Make) -> None:
    arena = make("256MiB", idle="60s")
    with arena.numpy():
        np.full(16 * MIB, 7, "u1")
        assert not np.zeros(16 * MIB, "u1").any()
        assert not np.zeros(64 * MIB, "u1").any()
        assert np.zeros(64 * MIB, "u1").flags.owndata


def test_what_the_arena_has_no_room_for(make: Make) -> None:
    arena = make("16MiB")
    with arena.numpy():
        arrays = [np.full(6 * MIB, number, "u1") for number in range(5)]
        zeros = np.zeros(20 * MIB, "u1")
    assert [inside(arena, array) for array in arrays] == [True, True, False, False, False]
    assert not inside(arena, zeros)
    assert all((array == number).all() for number, array in enumerate(arrays))


def test_a_closed_arena_gives_nothing() -> None:
    arena = Arena("64MiB")
    with arena.numpy():
        arena.close()
        array = np.ones(MIB)
    assert not inside(arena, array)
    with pytest.raises(PagehintError, match="is closed"):
        arena.numpy()


@pytest.mark.parametrize("hugepages", [True, False])
@pytest.mark.parametrize(("old", "new"), [(4, 8), (8, 4), (4, 4.001), (4, 0.5), (0.5, 8), (4, 500), (1.5, 1.6)])
def test_resizing(make: Make, hugepages: bool, old: float, new: float) -> None:
    arena = make("64MiB", hugepages=hugepages)
    sizes = int(old * MIB), int(new * MIB)
    pattern = np.arange(min(sizes), dtype="u4").astype("u1")
    with arena.numpy():
        array = np.empty(sizes[0], "u1")
        array[: len(pattern)] = pattern
        array.resize(sizes[1], refcheck=False)
    assert (array[: len(pattern)] == pattern).all()
    assert not array[sizes[0] :].any()
    del array
    assert arena.stats().live == 0


def test_a_free_that_wakes_the_worker_leaves_a_pending_error(make: Make, until: Callable[..., bool]) -> None:
    arena = make("256MiB", idle="5ms")
    with arena.numpy():
        for _ in range(3):
            assert until(lambda: not arena.pages.requested)
            with pytest.raises(TypeError, match="isnan"):
                np.isnan([None] * 300_000)
    assert until(lambda: arena.pages.given_pages > 0)


def test_temporaries_reuse_warm_memory(make: Make, kernel_faults: Callable[[], int]) -> None:
    arena = make("1GiB", idle="60s", hugepages=False)
    with arena.numpy():
        x = np.ones(4 * MIB)
        np.sqrt(x * 2 + 1) - x * 3
        before = kernel_faults()
        for _ in range(5):
            result = np.sqrt(x * 2 + 1) - x * 3
            del result
    assert kernel_faults() - before < 500


def test_it_holds_for_its_context_only(make: Make) -> None:
    arena = make("64MiB")
    found: list[bool] = []

    def allocate() -> None:
        found.append(inside(arena, np.empty(4 * MIB, "u1")))

    with arena.numpy():
        copy = contextvars.copy_context()
        for target in (allocate, lambda: copy.run(allocate)):
            thread = threading.Thread(target=target)
            thread.start()
            thread.join()
    copy.run(allocate)
    inherits = bool(getattr(sys.flags, "thread_inherit_context", False))  # as free-threaded Python does
    assert found == [inherits, True, True]


def test_freed_by_other_threads(make: Make) -> None:
    arena = make("256MiB", idle="5ms")
    boxes: list[list[np.ndarray]] = [[] for _ in range(4)]
    with arena.numpy():
        for number in range(200):
            boxes[number % 4].append(np.full(MIB + number, number, "u1"))
            if number % 16 == 15:
                threads = [threading.Thread(target=box.clear) for box in boxes]
                assert all((array == array[0]).all() for box in boxes for array in box)
                for thread in threads:
                    thread.start()
                for thread in threads:
                    thread.join()
    boxes.clear()
    assert arena.stats().live == 0
