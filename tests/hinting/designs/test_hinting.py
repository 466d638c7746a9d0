"""The published design in virtual time, from docs/spec/1, sections 7 and 8: when it works, and what it tells."""

import pytest

from pagehint.errors import BusyError, InputError
from pagehint.hinting.designs.hinting import PageHinting
from pagehint.mm.check import check
from pagehint.mm.zone import Zone
from tests.hinting.rig import BLOCK, MS, Device, Rig


def test_what_is_free_at_the_start_is_told_after_100_ms_the_largest_and_coldest_first():
    rig = Rig(pages=4 * BLOCK)
    device = rig.start(capacity=3)
    rig.tick(99)
    assert device.batches == []
    rig.tick(1)
    assert device.batches == [[(0, 10), (1024, 10), (2048, 10)], [(3072, 10)]]
    assert rig.begins == [100 * MS]
    assert not rig.zone.requested


@pytest.mark.parametrize(("freed", "works"), [(31, False), (32, True)])
def test_32_untold_blocks_of_an_order_start_the_work(freed, works):
    rig = Rig()
    blocks = rig.alloc_all()
    device = rig.start()
    rig.tick(200)  # of the start: nothing is free
    assert device.told == []
    for pfn in blocks[:freed]:
        rig.zone.free(pfn, 10)
    rig.tick(99)
    assert device.told == []
    rig.tick(1)
    assert len(device.told) == (32 if works else 0)


def test_a_request_that_is_pending_keeps_its_time():
    rig = Rig(high_water_mark=1)
    blocks = rig.alloc_all()
    device = rig.start()
    rig.tick(200)
    rig.zone.free(blocks[0], 10)
    rig.tick(60)
    rig.zone.free(blocks[1], 10)
    rig.tick(40)
    assert sorted(device.told) == sorted(blocks[:2])
    assert rig.begins[-1] == 300 * MS


def test_frees_below_the_order_ask_for_nothing():
    rig = Rig(pages=2 * BLOCK, high_water_mark=1)
    had = [rig.zone.alloc(8) for _ in range(8)]
    device = rig.start()
    rig.tick(100)
    told = len(device.told)
    for pfn in had[::2]:
        rig.zone.free(pfn, 8)
    rig.tick(1000)
    assert len(device.told) == told
    assert not rig.zone.requested


def test_a_full_batch_with_the_very_last_block_asks_once_more_for_nothing():
    rig = Rig(pages=2 * BLOCK)
    device = rig.start(capacity=2)
    rig.tick()
    assert device.batches == [[(0, 10), (1024, 10)]]
    assert rig.design.request_count == 0


@pytest.mark.parametrize("idle", [None, "50ms"])
def test_what_no_free_tells_of_is_told_after_an_idle_time(idle):
    """docs/spec/1, section 9, row 9: up to 31 blocks of an order are never told of."""
    rig = Rig(idle=idle)
    device = rig.start()
    rig.tick(200)
    blocks = rig.churn(20)
    told = len(device.told)
    rig.tick(500)
    assert len(device.told) - told == (0 if idle is None else 20)
    if idle is not None:
        assert sorted(device.told[told:]) == sorted(blocks)
        before = len(rig.begins)
        rig.tick(5000)  # and once that is done nothing is looked for
        assert len(rig.begins) == before


def test_why_a_block_is_still_untold():
    rig = Rig()
    rig.start()
    assert rig.design.holds_back(rig.zone) == "waiting"
    rig.tick()
    rig.churn(5)
    assert rig.design.holds_back(rig.zone) == "high_water_mark"
    assert "high_water_mark" in PageHinting.reasons


def test_a_second_start_is_busy_and_a_start_after_a_stop_goes_on():
    rig = Rig(pages=3 * BLOCK)
    device = rig.start()
    with pytest.raises(BusyError, match="a hinting device is started already"):
        rig.start()
    rig.tick()
    rig.worker.stop()
    rig.worker.start(device)
    rig.tick()
    assert len(device.told) == 3  # the same device was told already
    rig.worker.stop()
    other = rig.start()
    rig.tick()
    assert sorted(other.told) == [0, 1024, 2048]
    assert check(rig.zone) == []


def test_a_zone_without_pages_is_not_asked():
    zones = [Zone(BLOCK), Zone(BLOCK)]
    zones[1].offline(0, BLOCK)
    rig = Rig(zone=zones[1])
    rig.start()
    assert rig.design.request_count == 0
    rig.tick()
    assert rig.begins == []


@pytest.mark.parametrize(
    "settings", [{"order": 32}, {"idle": "1us"}, {"high_water_mark": -1}, {"once_a_delay": "often"}]
)
def test_settings_that_can_not_be(settings):
    with pytest.raises(InputError):
        PageHinting(**settings)
    with pytest.raises(InputError, match="capacity"):
        Rig().worker.start(Device(0))
