"""docs/spec/1, section 9, in virtual time, rows 9 to 19: each test fails with the published code's defect."""

import pytest

from pagehint.errors import BusyError
from pagehint.kernel.profiles import LINUX_6_10
from pagehint.mm.pcp import PerCpuLists
from pagehint.mm.zone import Zone

from .rig import BLOCK, MS, TOP, Device, Rig


def unhinted(rig) -> int:
    """Pages in free blocks that could be hinted, and aren't."""
    free = sum(count << order for order, count in enumerate(rig.zone.nr_free) if order >= rig.design.order)
    return free - rig.hinted_pages


def few_blocks(rig):
    """A zone of fewer blocks than the high water mark, used once."""
    rig.churn(8)


def split(rig):
    """A split leaves three order 9 blocks, and nobody is notified."""
    for _ in range(3):
        rig.zone.alloc(9)
        rig.zone.alloc(TOP)


def below_the_mark(rig):
    rig.churn(31)


@pytest.mark.parametrize(("blocks", "spoil"), [(20, few_blocks), (64, split), (64, below_the_mark)])
@pytest.mark.parametrize("idle", [None, "1s"])
def test_row_9_idle_blocks_are_hinted_however_they_came_to_be_free(idle, blocks, spoil):
    rig = Rig(blocks * BLOCK, idle=idle)
    rig.start()
    rig.tick(5000)
    assert unhinted(rig) == 0
    spoil(rig)
    rig.tick(900)
    left = unhinted(rig)
    assert left > 0
    rig.tick(2000)
    assert unhinted(rig) == (0 if idle else left)
    rig.tick(10**6)
    assert unhinted(rig) == (0 if idle else left)
    rig.assert_sound()


@pytest.mark.parametrize("idle", [None, "1s"])
def test_row_9_blocks_that_a_drain_merged(idle):
    rig = Rig(8 * BLOCK, idle=idle)
    halves = [rig.zone.alloc(9) for _ in range(8)]
    for pfn in halves[::2]:
        rig.zone.free(pfn, 9)
    rest = halves[1::2]

    def free_the_buddies(blocks):
        if any(order == 9 for _, order in blocks):
            while rest:
                rig.zone.free(rest.pop(), 9)

    rig.start(64, free_the_buddies)
    rig.tick(500)
    assert rig.zone.nr_free[TOP] == 8
    assert unhinted(rig) == 4 * BLOCK
    rig.tick(3000)
    assert unhinted(rig) == (0 if idle else 4 * BLOCK)
    rig.assert_sound()


def test_row_9_a_zone_in_use_is_not_idle():
    rig = Rig(20 * BLOCK, idle="1s")
    rig.start()
    rig.tick(3000)
    few_blocks(rig)
    left = unhinted(rig)
    for _ in range(100):
        rig.tick(100)
        rig.zone.free(rig.zone.alloc(0))
    assert unhinted(rig) == left > BLOCK
    rig.tick(2000)
    assert unhinted(rig) == 0


@pytest.mark.parametrize("how", ["online", "unisolate", "drain"])
def test_row_9_blocks_that_no_free_of_their_own_made(how):
    rig = Rig(20 * BLOCK, idle="1s")
    zone, lists = rig.zone, PerCpuLists(rig.zone, 0, 7, 1 << 20)
    if how == "online":
        zone.offline(0, 4 * BLOCK)
    if how == "drain":
        pages = [zone.alloc(0, 1, lists) for _ in range(2 * BLOCK)]
        for pfn in pages:
            zone.free(pfn, 0, lists)
    rig.start()
    rig.tick(10_000)
    assert unhinted(rig) == 0
    if how == "online":
        zone.online(0, 4 * BLOCK)
    elif how == "unisolate":
        zone.isolate(0)
        zone.unisolate(0)
    else:
        zone.drain_pcp(lists)
    assert unhinted(rig) > 0
    rig.tick(3000)
    assert unhinted(rig) == 0
    rig.assert_sound()


def test_row_9_the_rest_of_a_block_that_isolating_split():
    rig = Rig(zone=Zone(20 * BLOCK, profile=LINUX_6_10), idle="1s")
    rig.start()
    rig.tick(10_000)
    rig.zone.isolate(0)
    assert unhinted(rig) == BLOCK, "and the pageblock beside it"
    rig.tick(3000)
    assert unhinted(rig) == 512, "what is isolated"
    rig.assert_sound()


def test_row_9_an_idle_zone_is_left_alone_once_it_is_hinted():
    rig = Rig(20 * BLOCK, idle="1s")
    rig.start()
    rig.tick(10_000)
    begun = len(rig.begins)
    rig.tick(100_000)
    assert len(rig.begins) == begun


def test_row_14_the_counter_when_a_block_that_spans_an_isolated_pageblock_is_split_merged_and_unisolated():
    zone = Zone(2 * BLOCK)
    rig = Rig(zone=zone)
    taken = [zone.alloc(TOP)]
    zone.isolate(taken[0] ^ BLOCK | 512)
    assert zone.free_pages == BLOCK, "the spanning block stays where it is"
    taken.append(zone.alloc(9))
    assert zone.free_pages == 512
    rig.assert_sound()
    zone.unisolate(taken[0] ^ BLOCK | 512)
    assert zone.free_pages == 512
    zone.isolate(taken[0] ^ BLOCK | 512)
    assert zone.free_pages == 0
    zone.free(taken[1], 9)
    assert zone.free_pages == 512
    zone.unisolate(taken[0] ^ BLOCK | 512)
    assert zone.free_pages == BLOCK
    zone.free(taken[0], TOP)
    assert (zone.free_pages, zone.nr_free[TOP]) == (2 * BLOCK, 2)
    rig.assert_sound()


@pytest.mark.parametrize("pfn", [0, 512, BLOCK, BLOCK + 512])
def test_row_14_the_counter_when_isolation_changes_during_a_react(pfn):
    rig = Rig(3 * BLOCK)
    zone = rig.zone
    steps = [zone.isolate, zone.unisolate]

    def react(blocks):
        if steps:
            steps.pop(0)(pfn)
        rig.assert_sound()

    rig.start(1, react)
    rig.tick()
    assert (steps, zone.isolated) == ([], 0)
    assert zone.free_pages == 3 * BLOCK
    zone.isolate(pfn)
    zone.unisolate(pfn)
    assert zone.free_pages == 3 * BLOCK
    rig.assert_sound()


def test_row_15_stealing_over_an_isolated_pageblock_leaves_it_isolated():
    zone = Zone(BLOCK)
    zone.isolate(512)
    assert zone.alloc(0, 0) == 0
    assert zone.pageblock_types.tolist() == [0, 4]
    assert zone.isolated == 1
    zone.unisolate(512)
    assert zone.isolated == 0
    assert zone.pageblock_types.tolist() == [0, 1]
    zone.free(0)
    Rig(zone=zone).assert_sound()


def test_row_16_a_last_partial_pageblock_is_isolated_like_any():
    zone = Zone(BLOCK + 256)
    zone.isolate(BLOCK)
    assert zone.free_list(8, 4).tolist() == [BLOCK]
    assert zone.free_pages == BLOCK
    assert [zone.alloc(8) < BLOCK for _ in range(4)] == [True] * 4
    assert zone.alloc(8) == -1
    zone.unisolate(BLOCK, 2)
    assert zone.free_list(8, 2).tolist() == [BLOCK]
    assert zone.alloc(8) == BLOCK
    Rig(zone=zone).assert_sound()


def test_row_17_another_device_starts_with_nothing_hinted():
    rig = Rig()
    first = rig.start()
    rig.tick()
    rig.worker.stop()
    assert rig.hinted_pages == 64 * BLOCK
    second = rig.start()
    assert rig.hinted_pages == 0
    rig.assert_sound()
    rig.tick()
    assert sorted(second.told) == sorted(first.told)
    assert rig.hinted_pages == 64 * BLOCK


def test_row_17_the_same_device_goes_on():
    rig = Rig()
    device = rig.start()
    rig.tick()
    rig.worker.stop()
    rig.worker.start(device)
    rig.tick()
    assert len(device.told) == 64
    assert rig.hinted_pages == 64 * BLOCK


def test_row_17_another_device_in_between_counts():
    rig = Rig()
    device = rig.start()
    rig.tick()
    rig.worker.stop()
    rig.start()
    rig.worker.stop()
    rig.worker.start(device)
    rig.tick()
    assert len(device.told) == 128


def test_row_18_no_other_device_before_the_last_react_has_ended():
    rig = Rig(4 * BLOCK, react_time=lambda react: 10 * MS)
    first = rig.start(4)
    refused = []

    def overlap(blocks):
        rig.worker.stop()
        with pytest.raises(BusyError):
            rig.worker.start(Device())
        refused.append(True)

    first.on_react = overlap
    rig.tick(200)
    assert refused == [True]
    assert not rig.design.started
    second = rig.start(4)
    rig.tick(200)
    assert len(second.told) == 4
    rig.assert_sound()


def test_row_19_the_first_run_pulls_cold_blocks_first_and_later_runs_warm_ones():
    rig = Rig()
    device = rig.start(64)
    rig.tick()
    assert device.batches == [[(n * BLOCK, TOP) for n in range(64)]], "from the tail: the first freed"
    freed = rig.churn(40)
    rig.tick()
    assert device.batches[1] == [(pfn, TOP) for pfn in reversed(freed)], "from the head: the last freed"


@pytest.mark.parametrize("which", range(7))
def test_row_11_a_list_that_is_reordered_in_a_cycle_strands_no_block(which):
    rig = Rig(8 * BLOCK)
    turns = []

    def react(blocks):
        pfns = rig.zone.free_list(TOP, 1).tolist()
        if len(turns) < 6:  # each turn may make hinted blocks ordinary ones, so that there is more to tell
            turns.append(pfns[which])
            rig.zone.reorder(pfns[which])
        rig.assert_sound()

    device = rig.start(1, react)
    rig.tick()
    assert len(turns) == 6
    assert set(device.told) == {n * BLOCK for n in range(8)}
    assert rig.hinted_pages == 8 * BLOCK
    rig.assert_sound()


def test_row_12_a_zone_that_loses_its_last_page_asks_for_nothing():
    rig = Rig(2 * BLOCK)
    device = rig.start()
    assert rig.zone.requested
    rig.zone.offline(0, 2 * BLOCK)
    assert not rig.zone.requested
    assert rig.zone.nr_hinted is None
    assert rig.design.request_count == 0
    rig.worker.stop()
    rig.worker.start(device)
    assert rig.design.request_count == 0
    rig.tick()
    assert device.batches == []
    rig.worker.stop()
    rig.zone.online(0, 2 * BLOCK)
    rig.worker.start(device)
    assert rig.design.request_count == 1
    rig.tick()
    assert len(device.told) == 2
    rig.assert_sound()
