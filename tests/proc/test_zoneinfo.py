import os
from pathlib import Path

import pytest

from pagehint.errors import InputError
from pagehint.proc.counters import parse_vmstat
from pagehint.proc.pagetypeinfo import parse_buddyinfo
from pagehint.proc.zoneinfo import PerCpu, parse_zoneinfo, zone_layouts

DATA = Path(__file__).parent / "data"
ZONE = """Node {node}, zone {name:>8}
  pages free     40
        boost    {boost}
        min      11
        low      13
        high     16
        spanned  {spanned}
        present  192
        managed  180
  start_pfn:           {start}
"""


def zone(node=0, name="DMA32", boost=0, spanned=192, start=64):
    return ZONE.format(node=node, name=name, boost=boost, spanned=spanned, start=start)


def test_two_nodes_with_lists_that_tune_themselves():
    zones = parse_zoneinfo((DATA / "zoneinfo_two_nodes_high_min_max.txt").read_text(), "zoneinfo")
    assert {each.node for each in zones} == {0, 1}
    dma = zones[0]
    assert (dma.free, dma.boost, dma.min, dma.promo, dma.cma) == (235154, 0, 5512, 9646, 0)
    assert dma.per_cpu[:2] == [PerCpu(0, 1722, 1722, 63, 1722, 7678), PerCpu(1, 781, 1722, 63, 1722, 7678)]
    assert (dma.protection, dma.stats["nr_free_pages"], dma.node_stats["nr_file_pages"]) == ([0] * 4, 235154, 464)
    layout = zone_layouts((DATA / "zoneinfo_two_nodes_high_min_max.txt").read_text(), "zoneinfo")[0]
    assert (layout.pcp_high, layout.pcp_high_min, layout.pcp_high_max, layout.cpus) == (1722, 1722, 7678, 8)


def test_this_machines_zones():
    zones = parse_zoneinfo(Path("/proc/zoneinfo").read_text(), "/proc/zoneinfo")
    populated = {(zone.node, zone.name) for zone in zones if zone.present}
    assert populated >= parse_buddyinfo(Path("/proc/buddyinfo").read_text(), "buddyinfo").keys()
    vmstat = parse_vmstat(Path("/proc/vmstat").read_text(), "vmstat")
    assert sum(zone.stats.get("nr_mlock", 0) for zone in zones) == vmstat["nr_mlock"]
    cpus = len(zones[0].per_cpu)
    assert [each.cpu for each in zones[0].per_cpu] == list(range(cpus))
    assert cpus == os.sysconf("SC_NPROCESSORS_ONLN")
    assert all(layout.cpus == cpus for layout in zone_layouts(Path("/proc/zoneinfo").read_text(), "zoneinfo"))


def test_watermarks_are_printed_with_their_boost():
    (layout,) = zone_layouts(zone(boost=8), "zoneinfo")
    assert (layout.min, layout.low, layout.high, layout.boost) == (3, 5, 8, 8)


def test_a_zone_of_which_the_allocator_has_nothing_is_none():
    """As a guest with virtiofs' DAX or pmem has one: the text counted as cut off, and pfns went to that zone's end."""
    device = zone(name="Device", spanned=1 << 30).replace("present  192", "present  0").partition("  start")[0]
    text = zone() + device.replace("managed  180", "managed  0")
    assert [layout.name for layout in zone_layouts(text, "zoneinfo")] == ["DMA32"]
    assert [each.end_pfn for each in parse_zoneinfo(text, "zoneinfo")] == [256, 0]


def test_a_text_that_is_cut_off_says_what_it_has():
    text = zone() + zone(name="Normal", start=256)
    (_, cut) = parse_zoneinfo(text[:-60], "zoneinfo")
    assert (cut.name, cut.high, cut.managed, cut.start_pfn) == ("Normal", 16, None, None)
    with pytest.raises(InputError, match=r"zone Normal of node 0 lacks managed, present, start_pfn: .*cut off"):
        zone_layouts(text[:-60], "zoneinfo")


def test_the_largest_machines_pass():
    pages = 64 << 28  # 64 TiB
    text = zone(start=1 << 33, spanned=pages).replace("192", str(pages))
    assert zone_layouts(text, "zoneinfo")[0].end_pfn == (1 << 33) + pages


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("nothing", "names no zone"),
        (zone().replace("low      13", "low      1x"), "line 5: '1x' is no count"),
        (zone().replace("low      13", "low      " + "9" * 100_000), r"line 5: '9{37}\.\.\.' is no count"),
        (zone().replace("low      13", "low      9223372036854775808"), "line 5: '9223372036854775808' is no count"),
        (zone(spanned=1 << 52), "line 7: 4503599627370496 pages: no machine has so much memory"),
        (zone(boost=12), "boost, min, low and high don't fit"),
        (zone(spanned=191), "192 pages are present, of 191 spanned"),
        (zone().replace("managed  180", "managed  193"), "193 pages are managed, 192 present and 192 spanned"),
        (
            zone() + zone(name="Normal", start=256).replace("free     40", "free     193"),
            "193 pages are free, of 192 spanned",
        ),
        (
            zone() + "  pagesets\n    cpu: 0\n              count: 100\n    cpu: 1\n              count: 93\n",
            "193 pages are on CPUs' lists, of 192 spanned",
        ),
        (zone() + zone(node=1, start=255), "zone DMA32 of node 1 begins at pfn 255, inside zone DMA32 of node 0"),
        (zone() + zone(), "zone DMA32 of node 0 is there twice: keep one copy of /proc/zoneinfo"),
    ],
)
def test_what_no_machine_says(text, error):
    with pytest.raises(InputError, match=error):
        zone_layouts(text, "zoneinfo")


def test_of_zoneinfo_as_grep_leaves_it_a_list_s_limit_is_not_the_zone_s() -> None:
    """`egrep 'Node|free|min|low|high'` leaves the lists' lines without their CPUs'."""
    (zone,) = parse_zoneinfo(
        "Node 0, zone   Normal\n  pages free     9000\n        min      100\n        low      125\n"
        "        high     150\n              high:  0\n              high_min:  378\n",
        "zoneinfo",
    )
    assert (zone.min, zone.low, zone.high) == (100, 125, 150)
