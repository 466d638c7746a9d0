"""The bulk call: what single calls do, its errors, and that it notifies."""

import numpy as np
import pytest

from pagehint.errors import InputError
from pagehint.mm.check import check
from pagehint.mm.zone import Zone


def arrays(ops, slots, orders, types):
    return np.array(ops, np.uint8), np.array(slots, np.uint32), np.array(orders, np.uint8), np.array(types, np.uint8)


def test_bulk_does_what_single_calls_do():
    random = np.random.default_rng(5)
    one, other = Zone(20000, start_pfn=77), Zone(20000, start_pfn=77)
    count = 20000
    ops, slots = random.integers(0, 2, count), random.integers(0, 3000, count)
    orders, types = random.integers(0, 7, count), random.integers(0, 3, count)
    pfns, held = {}, {}
    failed = 0
    for k in range(count):
        slot = int(slots[k])
        ops[k] = ops[k] and slot not in pfns
        if ops[k]:
            pfn = one.alloc(int(orders[k]), int(types[k]))
            if pfn < 0:
                failed += 1
            else:
                pfns[slot], held[slot] = pfn, int(orders[k])
        elif slot in pfns:
            one.free(pfns.pop(slot), held.pop(slot))
    table = np.full(3000, -1, np.int64)
    assert other.bulk(*arrays(ops, slots, orders, types), table) == failed > 0
    assert {slot: pfn for slot, pfn in enumerate(table.tolist()) if pfn >= 0} == pfns
    assert np.array_equal(one.page_state, other.page_state)
    assert np.array_equal(one.page_links, other.page_links)
    assert (one.nr_alloc, one.nr_free_ops) == (other.nr_alloc, other.nr_free_ops)
    assert check(other) == []


def test_bulk_of_nothing_and_of_empty_slots(zone):
    table = np.full(4, -1, np.int64)
    assert zone.bulk(*arrays([], [], [], []), table) == 0
    assert zone.bulk(*arrays([0, 0], [1, 3], [0, 0], [0, 0]), table) == 0
    assert table.tolist() == [-1] * 4


@pytest.mark.parametrize(
    "bad",
    [
        (2, 1, 0, 0),  # no op
        (1, 4, 0, 0),  # no slot
        (1, 0, 0, 0),  # a slot in use
        (1, 1, 11, 0),  # no order
        (1, 1, 255, 0),
        (1, 1, 0, 3),  # no migratetype
        (1, 1, 0, 255),
        (0, 2, 0, 0),  # a pfn that is not allocated
        (0, 3, 0, 0),  # a pfn outside the zone
        (0, 1 << 31, 0, 0),
    ],
)
def test_bulk_stops_at_the_first_operation_that_cannot_be_done(zone, bad):
    table = np.array([-1, -1, 2000, 10**18], np.int64)
    ops = [(1, 0, 3, 1), bad, (1, 1, 0, 0)]
    with pytest.raises(InputError, match="bulk: operation 1 can't be done"):
        zone.bulk(*arrays(*zip(*ops, strict=True)), table)
    assert zone.nr_alloc == 2
    assert table[0] >= 0
    zone.free(int(table[0]), 3)


@pytest.mark.parametrize("which", range(5))
def test_bulk_of_wrong_arrays(zone, which):
    good = [*arrays([1], [0], [0], [0]), np.full(2, -1, np.int64)]
    dtype = good[which].dtype
    for wrong in (None, [1], np.zeros(1), np.zeros((1, 1), dtype), np.zeros(8, dtype)[::4]):
        values = good.copy()
        values[which] = wrong
        with pytest.raises(InputError, match="bulk: "):
            zone.bulk(*values)
    assert zone.nr_alloc == 1


def test_bulk_of_arrays_of_different_lengths_and_of_a_read_only_table(zone):
    table = np.full(2, -1, np.int64)
    with pytest.raises(InputError, match="one length"):
        zone.bulk(*arrays([1, 1], [0], [0, 0], [0, 0]), table)
    table.flags.writeable = False
    with pytest.raises(InputError, match="writable"):
        zone.bulk(*arrays([1], [0], [0], [0]), table)


def test_bulk_notifies(zone):
    rings = []
    zone.attach(9, 0, object(), lambda: rings.append(1))
    zone.bulk(*arrays([1, 0, 1, 0], [0, 0, 0, 0], [10, 0, 10, 0], [1] * 4), np.full(1, -1, np.int64))
    assert zone.requested
    assert rings == [1]
