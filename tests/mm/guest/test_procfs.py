"""A model's zones in the kernel's own format, read back by what reads the kernel's."""

import pytest

from pagehint.errors import InputError
from pagehint.mm.check import check
from pagehint.mm.guest.memory import GuestMemory
from pagehint.mm.guest.procfs import buddyinfo, pagetypeinfo
from pagehint.mm.zone import Zone
from pagehint.proc.pagetypeinfo import parse_buddyinfo, parse_pagetypeinfo


def test_what_is_shown_is_read_back():
    zones = [Zone(4096, name="DMA32"), Zone(2048, start_pfn=1 << 20, name="Normal", node=1)]
    for order, migratetype in ((0, 1), (3, 0), (9, 2)):
        zones[0].alloc(order, migratetype)
    counts = {(zone.node, zone.name): zone.nr_free for zone in zones}
    assert parse_buddyinfo(buddyinfo(zones), "here") == counts
    read = parse_pagetypeinfo(pagetypeinfo(zones), "here")
    assert read.pageblock_order == 9
    assert read.types == ("Unmovable", "Movable", "Reclaimable", "HighAtomic", "Isolate")
    for key, free in counts.items():
        assert [sum(column) for column in zip(*read.free[key].values(), strict=True)] == free
    assert sum(read.pageblocks[0, "DMA32"].values()) == 8
    assert read.pageblocks[1, "Normal"] == {
        "Unmovable": 0,
        "Movable": 4,
        "Reclaimable": 0,
        "HighAtomic": 0,
        "Isolate": 0,
    }


def test_no_zone():
    assert buddyinfo([]) == ""
    with pytest.raises(InputError, match="of no zone"):
        pagetypeinfo([])


@pytest.mark.parametrize("given", [None, 3, "DMA", [None], GuestMemory("64MiB")])
def test_what_is_no_zone(given):
    for show in (buddyinfo, pagetypeinfo):
        with pytest.raises(InputError, match=r"is no zone: expected one, such as each of guest\.zones"):
            show(given)
    with pytest.raises(InputError, match="is no zone: expected one"):
        check(given)


def test_one_zone_alone():
    zone = Zone(1024)
    assert (buddyinfo(zone), pagetypeinfo(zone)) == (buddyinfo([zone]), pagetypeinfo([zone]))
