"""Watermarks against the kernel's own: its documented table, and /proc/zoneinfo of the recorded guests."""

import pytest

from pagehint.kernel.migratetype import Migratetype
from pagehint.kernel.profiles import LINUX_5_3, LINUX_6_1
from pagehint.mm.guest.watermarks import default_min_free_kbytes, lowmem_reserve, watermark_ok, zone_watermarks
from pagehint.mm.pcp import pcp_batch, pcp_high
from pagehint.mm.zone import Zone

# The recorded guests: khugepaged raised min_free_kbytes to 45056. The kernel computed these figures before it gave back
# its init memory, when DMA32 had fewer managed pages than the 245,313 (phased_on) and 245,255 (churn_smp2) of zoneinfo.
# Protection 948 = managed // 256 says how many: 242,688 to 242,943; all of them give the recorded watermarks.
MANAGED_DMA = 3840
MIN_FREE_PAGES = 45056 >> 2


@pytest.mark.parametrize("managed", [242688, 242800, 242943])
def test_the_recorded_guests(managed):
    assert zone_watermarks([MANAGED_DMA, managed], MIN_FREE_PAGES) == [(175, 218, 261), (11088, 13860, 16632)]
    assert lowmem_reserve([MANAGED_DMA, managed, 0, 0], 0) == (0, 948, 948, 948)
    assert lowmem_reserve([MANAGED_DMA, managed, 0, 0], 1) == (0, 0, 0, 0)


def test_with_the_pages_that_zoneinfo_shows_they_are_off_by_two():
    dma, dma32 = zone_watermarks([MANAGED_DMA, 245313], MIN_FREE_PAGES)
    assert (dma.min, dma32.min) == (173, 11090)


def test_khugepageds_raise_is_two_pageblocks_and_nine_more_for_each_zone():
    assert MIN_FREE_PAGES == 2 * 512 * (2 + 3 * 3)


@pytest.mark.parametrize(
    ("megabytes", "kbytes"),
    [
        (16, 512),
        (32, 724),
        (64, 1024),
        (128, 1448),
        (256, 2048),
        (512, 2896),
        (1024, 4096),
        (2048, 5792),
        (16384, 16384),
    ],
)
def test_the_documented_table(megabytes, kbytes):
    assert default_min_free_kbytes(megabytes << 10, LINUX_6_1) == kbytes


def test_the_limits():
    assert default_min_free_kbytes(1, LINUX_6_1) == 128
    assert default_min_free_kbytes(1 << 40, LINUX_5_3) == 65536
    assert default_min_free_kbytes(1 << 40, LINUX_6_1) == 262144


def test_a_large_zones_marks_are_apart_by_a_thousandth():
    (marks,) = zone_watermarks([10**7], 1000)
    assert marks == (1000, 11000, 21000)


def test_protection_of_a_guest_with_all_zones():
    managed = [4000, 1000000, 3000000, 500000]
    assert lowmem_reserve(managed, 0) == (0, 3906, 15625, 17578)
    assert lowmem_reserve(managed, 1) == (0, 0, 11718, 13671)
    assert lowmem_reserve(managed, 2) == (0, 0, 0, 15625)
    assert lowmem_reserve(managed, 3) == (0, 0, 0, 0)


def test_order_0_needs_more_than_the_mark():
    zone = Zone(1024)
    assert watermark_ok(zone, 0, 1023)
    assert not watermark_ok(zone, 0, 1024)


def test_a_higher_order_needs_a_block_and_the_rest_above_the_mark():
    zone = Zone(2048, profile=LINUX_6_1)
    assert watermark_ok(zone, 4, 2048 - 16)
    assert not watermark_ok(zone, 4, 2048 - 15)
    pages = [zone.alloc(0) for _ in range(2048)]
    for pfn in pages[::2]:
        zone.free(pfn)
    assert watermark_ok(zone, 0, 0)
    assert not watermark_ok(zone, 1, 0)
    zone.free(pages[1])
    assert watermark_ok(zone, 1, 0)
    assert not watermark_ok(zone, 2, 0)


def test_isolated_and_highatomic_blocks_do_not_count_for_a_higher_order():
    zone = Zone(2048, profile=LINUX_6_1)
    kept = zone.alloc(10)
    rest = 1024 - kept
    zone.isolate(rest)
    zone.isolate(rest + 512)
    assert not watermark_ok(zone, 3, 0)
    for pfn in (rest, rest + 512):
        zone.unisolate(pfn, Migratetype.HIGHATOMIC)
    assert zone.free_pages == 1024
    assert len(zone.free_list(10, Migratetype.HIGHATOMIC)) + len(zone.free_list(9, Migratetype.HIGHATOMIC))
    assert not watermark_ok(zone, 3, 0)


@pytest.mark.parametrize(
    ("managed", "low", "cpus", "batch", "high"),
    [(245313, 13860, 1, 63, 13860), (245255, 13860, 2, 63, 6930), (3840, 218, 1, 1, 218), (3840, 218, 2, 1, 109)],
)
def test_per_cpu_lists_have_the_recorded_guests_batch_and_high(managed, low, cpus, batch, high):
    assert pcp_batch(managed) == batch
    assert pcp_high(LINUX_6_1, batch, low, cpus) == high
    assert pcp_high(LINUX_5_3, batch, low, cpus) == 6 * batch
