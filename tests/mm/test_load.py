"""A zone that starts from a given state: free, used and absent pages, and blocks that were reported before."""

import numpy as np
import pytest

from pagehint.errors import InputError
from pagehint.kernel.profiles import LINUX_5_3, LINUX_6_1
from pagehint.mm.batch import Batch
from pagehint.mm.zone import Zone

PAGES = 8192


def pages(*ranges):
    array = np.zeros(PAGES, np.bool_)
    for begin, end in ranges:
        array[begin:end] = True
    return array


def loaded(free, types=None, present=None, reported=None, ranks=None, profile=LINUX_6_1):
    zone = Zone(PAGES, profile=profile)
    zone.load(free, types, present, reported, ranks)
    assert zone.check() == []
    return zone


def test_absent_pages_are_offline_and_never_allocated():
    zone = loaded(pages((1024, 2048), (4096, 4100)), present=~pages((2048, 4096)))
    assert (zone.present_pages, zone.free_pages) == (PAGES - 2048, 1028)
    assert sum(zone.alloc() >= 0 for _ in range(2000)) == 1028
    with pytest.raises(InputError, match="not allocated"):
        zone.free_exact(2048, 1)
    zone.online(2048, 2048)
    assert zone.present_pages == PAGES
    assert zone.check() == []


def test_what_is_present_of_a_zone_with_room_for_hotplug():
    zone = Zone(PAGES, present=1024)
    with pytest.raises(InputError, match="which pages are present"):
        zone.load(pages((0, 1024)))
    zone.load(pages((0, 512)), present=pages((0, 4096)))
    assert (zone.present_pages, zone.free_pages) == (4096, 512)
    assert zone.check() == []


def test_reported_blocks_stand_behind_the_others():
    zone = loaded(pages((0, 4096), (5120, 5632)), reported=pages((0, 1), (1536, 1537), (2048, 2049), (5120, 5121)))
    assert zone.free_list(10, 1).tolist() == [1024, 3072, 0, 2048]
    assert zone.free_list(9, 1).tolist() == [5120]
    assert np.flatnonzero(zone.is_hinted(np.arange(PAGES))).tolist() == [0, 2048, 5120]
    assert zone.nr_hinted == [*[0] * 9, 1, 2]


def test_lists_stand_by_the_least_rank_of_each_block():
    ranks = np.full(PAGES, 9, np.uint8)
    ranks[[1030, 2050, 3072, 7679]] = 3, 1, 2, 0
    zone = loaded(pages((0, 4096), (5120, 5632), (7168, 7680)), reported=pages((0, 1), (2048, 2049)), ranks=ranks)
    assert zone.free_list(10, 1).tolist() == [2048, 3072, 1024, 0]
    assert zone.free_list(9, 1).tolist() == [7168, 5120]
    assert zone.nr_hinted == [*[0] * 10, 2]
    assert zone.check() == []


def test_a_cycle_takes_all_that_stands_between_reported_blocks():
    """It took one of 1,024 blocks: it looked from a list's two ends up to the first hinted one."""
    free = np.arange(PAGES) % 2 == 0
    zone = loaded(free, reported=np.arange(PAGES) % 4 == 0, ranks=np.arange(PAGES, dtype=np.uint32))
    zone.attach(0, 0, "first", lambda: None)
    zone.begin()
    batch, taken = Batch(64), 0
    while zone.fill(batch) or batch:
        taken += len(batch)
        zone.drain(batch, True)
        assert zone.check() == []
    assert taken >= PAGES // 4
    assert zone.nr_hinted[0] == PAGES // 2


def test_the_first_device_goes_on_from_what_was_reported_and_another_does_not():
    zone = loaded(pages((0, 4096)), reported=pages((2048, 2049)))
    zone.attach(9, 0, "first", lambda: None)
    batch = Batch(8)
    zone.take_unreported(10, 1, batch, 4)
    assert batch.pfns.tolist() == [0, 1024, 3072]
    assert zone.is_hinted(np.array([2048])).all()
    zone.drain(batch, True)
    zone.detach()
    zone.attach(9, 0, "second", lambda: None)
    assert zone.nr_hinted is None
    assert zone.check() == []


@pytest.mark.parametrize(("profile", "stays"), [(LINUX_5_3, False), (LINUX_6_1, True)])
def test_a_reported_block_that_moves_stays_one_where_it_goes_to_a_tail(profile, stays):
    zone = loaded(pages((1024, 1032), (1040, 1048)), reported=pages((1024, 1025)), profile=profile)
    zone.isolate(1024)
    zone.unisolate(1024)
    assert zone.is_hinted(np.array([1024, 1040])).tolist() == [stays, False]
    assert zone.check() == []


def test_hinting_goes_round_reported_blocks():
    zone = loaded(pages((0, PAGES)), reported=pages(*((k, k + 1) for k in range(1024, PAGES, 2048))))
    zone.attach(9, 0, "device", lambda: None)
    batch = Batch(32)
    zone.begin()
    assert not zone.fill(batch)
    assert sorted(batch.pfns.tolist()) == list(range(0, PAGES, 2048))
    zone.drain(batch, True)
    assert zone.nr_hinted[10] == 8
    assert zone.check() == []


def test_blocks_of_types_that_do_not_merge():
    types = np.ones(PAGES >> 9, np.uint8)
    types[1] = 3
    zone = loaded(pages((0, 2048)), types)
    assert zone.free_list(9, 1).tolist() == [0]
    assert zone.free_list(9, 3).tolist() == [512]
    assert zone.free_list(10, 1).tolist() == [1024]


def test_a_load_in_the_middle_of_a_cycle_ends_it():
    zone = Zone(PAGES)
    zone.begin()
    zone.load(pages((0, 4096)), reported=pages((0, 1), (1024, 1025)))
    assert not zone.active
    assert zone.check() == []


@pytest.mark.parametrize(
    ("given", "match"),
    [
        ({"free": pages((0, 9)), "reported": pages((9, 10))}, "reported: a page that is not free"),
        ({"free": pages((0, 9)), "present": pages((0, 8))}, "a page that is free is not present"),
        ({"free": np.zeros(5, np.bool_)}, "free: expected a bool array of 8192"),
        ({"free": pages(), "present": np.zeros(PAGES, np.uint8)}, "present: expected a bool array"),
        ({"free": pages(), "reported": [True] * PAGES}, "reported: expected a bool array"),
        ({"free": pages(), "ranks": np.zeros(PAGES)}, "ranks: expected 8192 unsigned whole numbers"),
        ({"free": pages(), "ranks": np.zeros(5, np.uint8)}, "ranks: expected 8192 unsigned whole numbers"),
    ],
)
def test_what_can_not_be_is_refused_and_changes_nothing(given, match):
    zone = Zone(PAGES)
    before = zone.page_state.copy()
    with pytest.raises(InputError, match=match):
        zone.load(**given)
    assert (zone.page_state == before).all()
    assert zone.check() == []
