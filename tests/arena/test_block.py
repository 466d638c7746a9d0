import gc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from pagehint.arena import Arena, Block

MIB = 1 << 20
Make = Callable[..., Arena]


def test_a_buffer(make: Make) -> None:
    block = make("64MiB").alloc(5 * MIB + 3)
    with memoryview(block) as view:
        assert (view.nbytes, view.format, view.readonly, view.contiguous) == (5 * MIB + 3, "B", False, True)
        view[-3:] = b"end"
    assert bytes(np.frombuffer(block, np.uint8)[-3:]) == b"end"
    assert len(block) == block.nbytes == 5 * MIB + 3
    assert repr(block) == f"<Block of {5 * MIB + 3} bytes, at {block.address:#x}>"


def numpy_of(block: Block) -> Any:
    return np.frombuffer(block, np.uint8)


def dlpack_of(block: Block) -> Any:
    return np.from_dlpack(np.frombuffer(block, np.uint8))


VIEWS: dict[str, Callable[[Block], Any]] = {
    "memoryview": memoryview,
    "slice": lambda block: memoryview(block)[5:9],
    "numpy": numpy_of,
    "slice of numpy": lambda block: numpy_of(block)[3:].reshape(-1, 1),
    "dlpack": dlpack_of,
    "pyarrow": pa.py_buffer,
    "pyarrow array": lambda block: pa.Array.from_buffers(pa.uint8(), block.nbytes, [None, pa.py_buffer(block)]),
}


@pytest.mark.parametrize("of", VIEWS.values(), ids=VIEWS)
def test_the_memory_is_freed_with_the_last_view(make: Make, of: Callable[[Block], Any]) -> None:
    arena = make("64MiB")
    block = arena.alloc(4 * MIB)
    view = of(block)
    with pytest.raises(BufferError, match=r"a block of 4194304 bytes can't be freed: views of it are in use \(1\)"):
        block.free()
    del block
    gc.collect()
    assert arena.stats().live == 4 * MIB
    del view
    assert arena.stats().live == 0


def test_free(make: Make) -> None:
    arena = make("64MiB")
    block = arena.alloc(4 * MIB)
    memoryview(block).release()
    block.free()
    assert arena.stats().live == 0
    assert block.freed
    other = arena.alloc(4 * MIB)
    block.free()
    assert arena.stats().live == 4 * MIB
    assert not other.freed
    assert "freed" in repr(block)
    with pytest.raises(ValueError, match="this block is freed"):
        memoryview(block)
    del block
    assert arena.stats().live == 4 * MIB


def test_views_are_counted_from_any_thread(make: Make) -> None:
    arena = make("64MiB")
    block = arena.alloc(4 * MIB)

    def look(_: int) -> None:
        for _ in range(2000):
            memoryview(block).release()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(look, range(4)))
    with memoryview(block), pytest.raises(BufferError, match=r"views of it are in use \(1\)"):
        block.free()
    block.free()
    assert arena.stats().live == 0


def test_arrays_hold_their_block(make: Make) -> None:
    arena = make("64MiB")
    array = arena.empty((1024, 1024), "f4")
    part = array[10:20].T
    del array
    assert arena.stats().live == 4 * MIB
    del part
    assert arena.stats().live == 0


def test_blocks_are_not_made_by_hand() -> None:
    with pytest.raises(TypeError, match=r"made by Arena\.alloc"):
        Block()


def test_garbage_in_cycles_with_its_arena() -> None:
    """The collector may clear the arena before the block: nothing of the arena may be gone when the block is freed."""

    class Holder:
        pass

    for _ in range(50):
        holder: Any = Holder()
        holder.arena = Arena("1GiB")
        holder.block = holder.arena.alloc(32 * MIB)
        holder.array = holder.arena.empty(MIB)
        holder.zone = holder.arena.pages
        holder.self = holder
        holder.arena.close()
        del holder
        gc.collect()
