"""How old free blocks are, and what is pulled by that."""

import numpy as np
import pytest

from pagehint.errors import InputError
from pagehint.hinting.clock import VirtualClock
from pagehint.hinting.design import Design
from pagehint.hinting.drivers.virtual import VirtualWorker
from pagehint.kernel.profiles import LINUX_6_1
from pagehint.mm.batch import Batch
from pagehint.mm.pcp import PerCpuLists
from pagehint.mm.zone import Zone

SECOND = 10**9


def aged(pages=8192, order=9, **settings):
    zone = Zone(pages, **settings)
    zone.now = SECOND
    zone.attach(order, 0, "device", lambda: None, ages=True)
    return zone


def ages(zone, order=10):
    """In seconds, by pfn."""
    pfns = zone.free_list(order, 1)
    return dict(zip(pfns.tolist(), (zone.ages(pfns) / SECOND).tolist(), strict=True))


def test_what_is_free_when_a_device_comes_was_freed_then():
    zone = aged()
    zone.now = 4 * SECOND
    assert set(ages(zone).values()) == {3}


def test_a_freed_block_is_new_and_a_split_keeps_the_age():
    zone = aged()
    zone.now = 3 * SECOND
    pfn = zone.alloc(9)
    assert ages(zone, 9) == {pfn ^ 512: 2}
    small = zone.alloc(0)
    zone.now = 5 * SECOND
    assert ages(zone, 9) == {}
    zone.free(small)
    assert ages(zone, 9) == {pfn ^ 512: 0}
    zone.now = 6 * SECOND
    zone.free(pfn, 9)
    assert ages(zone)[pfn & ~1023] == 0, "its youngest part's"
    assert zone.check() == []


def test_what_is_left_of_a_block_of_which_a_range_is_taken_keeps_its_age():
    zone = aged()
    zone.now = 4 * SECOND
    zone.alloc_range(1024, 512)
    assert ages(zone, 9) == {1536: 3}


def test_no_ages_are_kept_once_their_device_is_gone():
    zone = aged()
    zone.detach()
    with pytest.raises(InputError, match="keeps no ages"):
        zone.ages(zone.free_list(10, 1))


def test_a_probe_tells_of_any_page():
    zone = aged(profile=LINUX_6_1)
    lists = PerCpuLists(zone, 0, 4, 64)
    zone.now = 3 * SECOND
    used = zone.alloc(9)
    kept = zone.alloc(0, pcp=lists)
    zone.free(kept, 0, pcp=lists)
    inside = zone.start_pfn + zone.pages - 7
    orders, freed = zone.probe(np.array([used, used + 300, kept, inside]))
    assert orders.tolist() == [-1, -1, -2, 10]
    assert freed[3] == 1000
    with pytest.raises(InputError, match="outside the zone"):
        zone.probe(np.array([zone.pages]))
    with pytest.raises(InputError, match="keeps no ages"):
        Zone(1024).probe(np.array([0]))


def test_being_told_of_changes_no_age_and_merging_takes_the_youngest():
    zone = aged(2048)
    first, second = zone.alloc(9), zone.alloc(9)
    zone.now = 3 * SECOND
    zone.free(first, 9)
    batch = Batch(8)
    assert not zone.pull(batch, order=9)
    assert batch.pfns.tolist() == [first]
    zone.now = 5 * SECOND
    zone.free(second, 9)
    zone.now = 6 * SECOND
    zone.drain(batch, True)
    assert ages(zone)[min(first, second)] == 1
    zone.pull(batch, order=10)
    zone.drain(batch, True)
    assert sorted(ages(zone).values()) == [1, 5]


def test_only_what_is_old_enough_is_pulled_the_oldest_first():
    zone = aged(profile=LINUX_6_1)
    pfns = [zone.alloc(10) for _ in range(8)]
    for pfn in pfns:
        zone.now = zone.now + SECOND
        zone.free(pfn, 10)
    batch = Batch(3)
    assert zone.pull(batch, age=4 * SECOND)
    assert batch.pfns.tolist() == pfns[:3]
    zone.drain(batch, True)
    assert not zone.pull(batch, age=4 * SECOND)
    assert batch.pfns.tolist() == [pfns[3]]
    zone.drain(batch, True)
    zone.pull(batch, most=2, from_head=True)
    assert batch.pfns.tolist() == [pfns[7], pfns[6]]
    zone.drain(batch, False)
    assert zone.check() == []


def test_ages_are_in_milliseconds_and_what_is_asked_for_is_rounded_up():
    zone = aged(1024)
    zone.now = SECOND + 10**6
    batch = Batch(1)
    zone.pull(batch, age=10**6 + 1)
    assert not batch
    zone.pull(batch, age=10**6)
    assert len(batch) == 1
    zone.drain(batch, False)
    for age in (-1, 1 << 62, 1 << 70, True, "1"):
        with pytest.raises(InputError, match="age"):
            zone.pull(batch, age=age)


def test_a_walk_goes_on_where_the_lock_was_let_go_of_and_where_a_batch_was_full():
    zone = aged(8192, 0)
    mine = sorted(zone.alloc(0) for _ in range(8192))[::2]
    for pfn in mine[:10]:
        zone.free(pfn, 0)
    zone.now = 9 * SECOND
    for pfn in mine[10:]:  # 4,086 young ones, freed later: the old are at the tail
        zone.free(pfn, 0)
    batch = Batch(4)
    assert zone.pull(batch, order=0, age=5 * SECOND)
    zone.drain(batch, True)
    assert zone.pull(batch, order=0, age=5 * SECOND, resume=True)
    zone.drain(batch, True)
    assert not zone.pull(batch, order=0, age=5 * SECOND, resume=True)
    assert len(batch) == 2
    zone.drain(batch, True)
    old = Batch(16)
    assert not zone.pull(old, order=0, age=5 * SECOND, from_head=True)
    assert not old  # all 4,086 were looked at
    told = zone.nr_hinted[0]
    assert zone.nr_unhinted[0] == zone.nr_free[0] - told == 4086
    young = Batch(5000)
    assert not zone.pull(young, order=0, from_head=True)
    assert (told, len(young)) == (10, 4086)
    zone.drain(young, False)
    # The block to go on from is in use by now: from the beginning.
    assert zone.pull(batch, order=0)
    zone.drain(batch, False)
    while zone.free_pages > 5:
        zone.alloc(0)
    assert zone.check() == []
    zone.pull(batch, order=0, resume=True)
    zone.drain(batch, True)
    assert zone.check() == []


def test_a_first_walk_that_goes_on_begins_at_the_beginning():
    zone = aged(2048, 0)
    for pfn in sorted(zone.alloc(0) for _ in range(2048))[::2]:
        zone.free(pfn, 0)
    batch = Batch(2048)
    for _ in range(2):  # another device begins anew
        zone.pull(batch, order=0, resume=True)
        assert len(batch) == 1024
        zone.drain(batch, False)
        zone.detach()
        zone.attach(0, 0, object(), lambda: None, ages=True)


def test_a_walk_over_all_orders_does_not_end_where_an_earlier_one_did():
    """Its batch was full before it came to the lower orders, whose lists an earlier walk had been through: they gave
    nothing."""
    zone = aged(4096, 0)
    zone.alloc(0)
    batch, told = Batch(2), ([], [])
    for walk in told:
        more = zone.pull(batch)
        while batch:
            walk.extend(batch.pfns.tolist())
            zone.drain(batch, False)
            more = more and zone.pull(batch, resume=True)
    assert sorted(told[0]) == sorted(told[1]) == [0, 1024, 2048, *(3072 + (1 << order) for order in range(10))]


def test_within_a_cycle_what_is_hinted_is_not_walked():
    zone = aged()
    batch = Batch(4)
    told = []
    zone.begin()
    while zone.pull(batch, age=0):
        told += batch.pfns.tolist()
        zone.drain(batch, True)
        assert zone.check() == []
    zone.end()
    assert sorted(told) == list(range(0, 8192, 1024))
    assert zone.nr_hinted[10] == 8


def test_the_low_watermark_stops_it():
    zone = aged(watermarks=(1000, 3000, 4000))
    batch = Batch(32)
    zone.pull(batch)
    assert zone.free_pages == 8192 - 5 * 1024
    zone.drain(batch, False)


def test_the_machines_clock_runs_where_nobody_sets_the_time():
    zone = Zone(2048)
    zone.attach(9, 0, "device", lambda: None, ages=True)
    before = zone.now
    assert 0 <= zone.ages(zone.free_list(10, 1)).max() <= zone.now
    assert zone.now >= before


def test_ages_are_kept_where_they_are_wanted():
    zone = Zone(2048)
    zone.attach(9, 0, "device", lambda: None)
    with pytest.raises(InputError, match="keeps no ages"):
        zone.ages(np.array([0]))
    with pytest.raises(InputError, match="keeps no ages"):
        zone.pull(Batch(1), age=1)
    zone.pull(Batch(1))
    zone.detach()
    zone.attach(9, 0, "device", lambda: None, ages=True)
    with pytest.raises(InputError, match="keeps no ages of order 8: attach with ages=True, from that order on"):
        zone.pull(Batch(1), order=8, age=1)
    zone.pull(Batch(1), order=8)
    with pytest.raises(InputError, match="outside the zone"):
        zone.ages(np.array([2048]))
    with pytest.raises(InputError, match="migratetype"):
        zone.pull(Batch(1), migratetype=4)


class Patient(Design):
    """Gives back what has been free for two seconds, and looks each second."""

    ages = True
    order = 9
    delay = SECOND

    def work(self):
        for zone in self.zones:
            zone.begin()
            zone.pull(self.batch, age=2 * SECOND)
            while self.batch:
                yield self.tell(zone)
                zone.pull(self.batch, age=2 * SECOND)
            zone.end()
        self.schedule(self.delay)


class Told:
    capacity = 3

    def __init__(self, clock):
        self.clock, self.told = clock, []

    def react(self, blocks):
        self.told += [(self.clock.now // SECOND, pfn) for pfn in blocks.pfns.tolist()]


def test_a_design_of_a_few_lines_goes_by_age():
    zone, clock = Zone(4096), VirtualClock(SECOND)
    first, second = zone.alloc(10), zone.alloc(10)
    worker, device = VirtualWorker(Patient(), [zone], clock), Told(clock)
    worker.start(device)
    clock.advance(2 * SECOND)
    zone.free(first, 10)
    clock.advance(SECOND)
    zone.free(second, 10)
    clock.advance(5 * SECOND)
    worker.stop()
    times = {pfn: time for time, pfn in device.told}
    assert len(device.told) == len(times) == 4
    assert (times.pop(first), times.pop(second), set(times.values())) == (5, 6, {3})
    assert zone.check() == []
