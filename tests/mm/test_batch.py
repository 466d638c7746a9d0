"""A batch: a sequence of blocks, and views of them."""

import pickle

import numpy as np
import pytest

from pagehint.errors import InputError
from pagehint.mm.batch import Batch, Block
from pagehint.mm.check import check
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


def test_a_device_can_not_change_what_goes_back(batch):
    for view in (batch.pfns, batch.orders):
        with pytest.raises(ValueError, match="read-only"):
            view += 1


def test_reverse(batch):
    blocks = list(batch)
    batch.reverse()
    assert list(batch) == blocks[::-1]
    assert batch.orders.tolist() == [9, 10, 10]


@pytest.mark.parametrize("start_pfn", [0, 1 << 22])
def test_a_batch_goes_back_only_to_the_zone_that_it_is_of(start_pfn):
    zone, other, batch = Zone(8192, start_pfn=start_pfn), Zone(8192), Batch(2)
    zone.attach(9, 32, object(), lambda: None)
    zone.begin()
    assert zone.fill(batch)
    with pytest.raises(InputError, match="is not in flight in this zone"):
        other.drain(batch, True)
    with pytest.raises(InputError, match="drain it before"):
        zone.fill(batch)
    zone.drain(batch, True)
    assert (check(zone), check(other), zone.in_flight_pages) == ([], [], 0)


def test_a_block_can_be_pickled(batch):
    assert pickle.loads(pickle.dumps(batch[0])) == batch[0]
    assert Block.__module__ == "pagehint.mm.batch"
