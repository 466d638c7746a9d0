"""A device at a zone: when frees ring its doorbell, what its going leaves, and what is seen of the lists."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pagehint.errors import BusyError, InputError
from pagehint.mm.batch import Batch
from pagehint.mm.check import check
from pagehint.mm.pcp import PerCpuLists
from pagehint.mm.zone import Zone


class Bell:
    """Counts how often it was rung."""

    def __init__(self):
        self.rung = 0

    def __call__(self):
        self.rung += 1


@given(st.integers(1, 40), st.integers(1, 40), st.integers(7, 9))
def test_a_free_rings_when_so_many_of_its_order_are_free_and_untold(mark, frees, order):
    """docs/spec/1, section 7: once, until the request is served; below the order never."""
    zone, bell = Zone(40 * 1024, max_order=11), Bell()
    # Every second block of an order stays in use, so that nothing merges.
    blocks = [zone.alloc(order, 1) for _ in range(80)]
    for each in range(zone.max_order):
        while zone.alloc_nowait(each, 1) >= 0:
            pass
    zone.attach(8, mark, object(), bell)
    for block in sorted(blocks)[::2][:frees]:
        zone.free(block, order)
    assert bell.rung == (order >= 8 and frees >= mark)
    assert zone.requested == bool(bell.rung)


def test_nobody_is_rung_twice_for_one_request_nor_once_it_is_gone():
    zone, bell = Zone(8192), Bell()
    blocks = [zone.alloc(10, 1) for _ in range(8)]
    zone.attach(9, 1, object(), bell)
    zone.free(blocks.pop(), 10)
    zone.free(blocks.pop(), 10)
    assert bell.rung == 1
    zone.request(False)
    zone.free(blocks.pop(), 10)
    assert bell.rung == 2
    zone.request(False)
    zone.mute()
    zone.free(blocks.pop(), 10)
    assert (bell.rung, zone.requested) == (2, False)
    zone.detach()
    zone.attach(9, 1, object(), bell)
    zone.free(blocks.pop(), 10)
    assert bell.rung == 3


@pytest.mark.parametrize("hinted", [True, False])
def test_what_is_put_back_rings_for_nobody(hinted):
    """docs/spec/1, section 2: not even where it merges."""
    zone, bell = Zone(2048), Bell()
    used = zone.alloc(9, 1)
    zone.attach(9, 1, object(), bell)
    zone.begin()
    batch = Batch(4)
    zone.fill(batch)
    zone.free(used, 9)  # its buddy is in flight
    bell.rung = 0
    zone.request(False)
    zone.drain(batch, hinted)
    assert zone.nr_free[9:] == [0, 2]
    assert (bell.rung, zone.requested) == (0, False)


def test_the_doorbell_runs_outside_the_lock():
    zone = Zone(4096)
    blocks = [zone.alloc(10, 1) for _ in range(4)]
    had = []
    zone.attach(9, 1, object(), lambda: had.append(zone.alloc_nowait(10, 1)))
    zone.free(blocks[0], 10)
    assert had == [blocks[0]]


def test_only_its_own_device_is_detached():
    zone, mine, others = Zone(2048), Bell(), Bell()
    zone.attach(9, 1, object(), mine)
    zone.detach(others)
    with pytest.raises(BusyError):
        zone.attach(9, 1, object(), others)
    zone.detach(mine)
    zone.attach(9, 1, object(), others)
    zone.detach()
    zone.detach()  # there is none


@pytest.mark.parametrize("same", [True, False])
def test_another_device_starts_with_nothing_hinted_and_the_same_one_goes_on(same):
    """docs/spec/1, section 9, row 17."""
    zone, device, bell = Zone(4096), object(), Bell()
    zone.attach(9, 32, device, bell)
    zone.begin()
    batch = Batch(3)
    zone.fill(batch)
    zone.drain(batch, True)
    zone.end()
    zone.detach()
    assert zone.nr_hinted[10] == 3
    zone.attach(9, 32, device if same else object(), bell)
    assert zone.nr_unhinted[10] == (1 if same else 4)
    assert check(zone) == []


def test_a_probe_tells_of_pages_in_blocks_and_of_those_that_are_in_none():
    zone = Zone(2048, start_pfn=1024)
    used = zone.alloc(0, 1)
    with pytest.raises(InputError, match="attach with ages=True"):
        zone.probe(np.array([used]))
    zone.now = 5_000_000
    zone.attach(9, 32, object(), lambda: None, ages=True)
    orders, freed = zone.probe(np.array([used, used + 1, used + 2, used + 511, used + 512, used + 1023]))
    assert orders.tolist() == [-1, 0, 1, 8, 9, 9]
    assert freed.tolist() == [0, 5, 5, 5, 5, 5]
    zone.now = 9_000_000
    zone.free(used, 0)
    orders, freed = zone.probe(np.array([used, used + 1023]))
    assert (orders.tolist(), freed.tolist()) == ([10, 10], [9, 9])
    batch = Batch(1)
    zone.pull(batch)
    assert zone.probe(np.array([pfn for pfn, _ in batch]))[0].tolist() == [-1]  # in flight
    zone.drain(batch, False)
    for pfns in ([1023], [3072], [1 << 62], [-1]):
        with pytest.raises(InputError, match="pfns outside the zone, which has 1024 to 3071"):
            zone.probe(np.array(pfns))
    assert len(zone.probe(np.zeros(0, np.int64))[0]) == 0
    for pfns in (1 << 64, "1024", [1024.5], [[1024]], [True], None):
        for call in (zone.probe, zone.ages, zone.is_hinted):
            with pytest.raises(InputError, match=r"pfns are .*: expected whole numbers, in one dimension"):
                call(pfns)
    with pytest.raises(InputError, match=r"budget .*: expected"):
        zone.take_unreported(9, 1, Batch(1), 1 << 63)


@given(st.data())
@settings(max_examples=60)
def test_what_is_pulled_is_what_was_asked_for(data):
    zone = Zone(16 * 1024)
    for _ in range(data.draw(st.integers(0, 20))):
        zone.alloc_nowait(data.draw(st.integers(0, 9)), data.draw(st.sampled_from([0, 1])))
    zone.attach(9, 32, object(), lambda: None)
    order = data.draw(st.none() | st.integers(0, 10))
    kind = data.draw(st.none() | st.integers(0, 3))
    batch = Batch(data.draw(st.integers(1, 12)))
    most = data.draw(st.none() | st.integers(0, 2 * batch.capacity))
    there = {(int(pfn), each): which for which in range(4) for each in range(11) for pfn in zone.free_list(each, which)}
    fits = {
        block for block, which in there.items()
        if (block[1] == order if order is not None else block[1] >= 9) and kind in (None, which)
    }  # fmt: skip
    room = batch.capacity if most is None else min(most, batch.capacity)
    free = zone.free_pages
    full = zone.pull(batch, order=order, migratetype=kind, most=most)
    pulled = list(batch)
    assert set(pulled) <= fits
    assert len(set(pulled)) == len(pulled) == min(room, len(fits))
    assert full == (len(pulled) == batch.capacity)
    assert [each for _, each in pulled] == sorted((each for _, each in pulled), reverse=True)
    assert zone.free_pages == free - sum(1 << each for _, each in pulled)
    zone.drain(batch, False)
    assert zone.free_pages == free
    assert check(zone) == []


@pytest.mark.parametrize(
    ("more", "error"),
    [
        ({"order": 11}, "order 11: expected 0 to 10"),
        ({"order": -1}, "order -1"),
        ({"migratetype": 4}, "migratetype 4: expected 0 to 3"),  # ISOLATE
        ({"most": -1}, "most -1: expected 0 to"),
        ({"age": -1}, "age -1"),
        ({"age": 1}, "keeps no ages"),
        ({"order": True}, "order True"),
        ({"most": 1.5}, "most 1.5"),
    ],
)
def test_what_can_not_be_asked_for_is_named_and_pulls_nothing(more, error):
    zone, batch = Zone(4096), Batch(4)
    zone.attach(9, 32, object(), lambda: None)
    with pytest.raises(InputError, match=error):
        zone.pull(batch, **more)
    assert (len(batch), zone.free_pages) == (0, 4096)


def test_pfns_may_be_in_any_array_of_integers_and_in_a_list():
    zone = Zone(1024, start_pfn=300)
    zone.attach(9, 32, object(), lambda: None, ages=True)
    for pfns in ([512, 1023], np.array([512, 1023], np.int16), np.array([512, 1023], np.uint64), []):
        assert zone.is_hinted(pfns).tolist() == [False] * len(pfns)
        assert zone.ages(pfns).shape == zone.probe(pfns)[0].shape == (len(pfns),)
    for ask in (zone.is_hinted, zone.ages, zone.probe):
        with pytest.raises(InputError, match="pfns outside the zone, which has 300 to 1323"):
            ask([299])


def test_pages_on_cpus_lists_are_counted():
    zone = Zone(8192)
    assert zone.per_cpu_pages == 0
    lists = [PerCpuLists(zone, cpu, 7, 100) for cpu in range(2)]
    pages = [zone.alloc(0, pcp=lists[0]) for _ in range(5)]
    zone.free(pages[0], 0, lists[1])
    assert zone.per_cpu_pages == sum(each.count for each in lists) > 1
    with pytest.raises(InputError, match="count 42: expected a function"):
        zone.count_per_cpu_by(42)
    zone.count_per_cpu_by(lambda: 42)
    assert zone.per_cpu_pages == 42


def test_frees_of_another_order_ring_from_then_on():
    zone, bell = Zone(8192), Bell()
    blocks = [zone.alloc(order, 1) for order in (9, 4, 9, 4, 9)]
    while zone.alloc_nowait(4, 1) >= 0:
        pass
    zone.attach(9, 0, object(), bell)
    zone.notify_from(4)
    zone.free(blocks[1], 4)
    assert bell.rung == 1
    zone.request(False)
    zone.notify_from(9)
    zone.free(blocks[3], 4)
    assert bell.rung == 1
    zone.free(blocks[0], 9)
    assert bell.rung == 2
    assert check(zone) == []


@pytest.mark.parametrize("state", ["no device", "a cycle", "ages"])
def test_where_the_order_can_not_be_changed_it_stays(state):
    zone = Zone(8192)
    if state != "no device":
        zone.attach(9, 0, object(), Bell(), ages=state == "ages")
    if state == "a cycle":
        zone.begin()
    with pytest.raises(InputError, match="its order can be changed with a device, and without a cycle and ages only"):
        zone.notify_from(4)
    with pytest.raises(InputError, match="hinting order"):
        zone.notify_from(-1)
