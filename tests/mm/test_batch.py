"""A batch: a sequence of blocks, and views of them."""

import numpy as np
import pytest

from pagehint.errors import InputError
from pagehint.mm.batch import Batch, Block
from pagehint.mm.zone import Zone


@pytest.fixture
def batch():
    zone = Zone(2048 + 512, start_pfn=1 << 40)
    zone.attach(9, 32, object(), lambda: None)
    zone.begin()
    batch = Batch(8)
    assert not zone.fill(batch)
    return batch


def test_a_sequence(batch):
    first = 1 << 40
    blocks = [Block(first, 10), Block(first + 1024, 10), Block(first + 2048, 9)]
    assert list(batch) == blocks
    assert (len(batch), batch.pages, batch.capacity) == (3, 2560, 8)
    assert (batch[0], batch[2], batch[-1], batch[-3]) == (blocks[0], blocks[2], blocks[2], blocks[0])
    assert (batch[0].pfn, batch[0].order) == (first, 10)
    assert repr(batch) == "<Batch of 3 of 8 blocks>"


@pytest.mark.parametrize("index", [3, -4, 10**30, -(10**30)])
def test_no_such_block(batch, index):
    with pytest.raises(IndexError):
        batch[index]


@pytest.mark.parametrize("index", ["0", None, 1.5, slice(2)])
def test_an_index_of_a_wrong_type(batch, index):
    with pytest.raises(TypeError):
        batch[index]


def test_views(batch):
    assert batch.pfns.dtype == np.int64
    assert batch.orders.tolist() == [10, 10, 9]
    assert batch.pfns.tolist() == [block.pfn for block in batch]


def test_an_empty_one():
    batch = Batch(4)
    assert (len(batch), list(batch), batch.pages, batch.pfns.tolist()) == (0, [], 0, [])
    assert not batch


@pytest.mark.parametrize("capacity", [0, -1, (1 << 20) + 1, 10**30, 1.5, "4", None])
def test_a_bad_capacity(capacity):
    with pytest.raises(InputError, match="capacity"):
        Batch(capacity)
