"""GuestMemory: layout, zonelists, watermarks, the report of a failure, ranges, hotplug, threads."""

import threading

import numpy as np
import pytest

from pagehint.errors import AllocationError, BusyError, InputError, PagehintError
from pagehint.hinting.clock import VirtualClock
from pagehint.hinting.designs.hinting import PageHinting
from pagehint.hinting.designs.reporting import PageReporting
from pagehint.hinting.drivers.thread import ThreadWorker
from pagehint.hinting.drivers.virtual import VirtualWorker
from pagehint.kernel.gfp import GFP_ATOMIC, GFP_DMA, GFP_DMA32, GFP_HIGHUSER_MOVABLE, GFP_KERNEL, Gfp
from pagehint.kernel.profiles import LINUX_5_3, LINUX_6_1, kernel_profile
from pagehint.mm.check import check
from pagehint.mm.guest.memory import GuestMemory
from pagehint.mm.page import IN_FLIGHT, KIND, OFFLINE
from tests.limits import HANGS

MIB = 256  # pages


class Device:
    def __init__(self, capacity=32):
        self.capacity, self.blocks = capacity, []

    def react(self, batch):
        self.blocks += [(block.pfn, block.order) for block in batch]


def exhaust(memory, order, gfp, node=0, cpu=0):
    """Allocate until it fails: the pfns, and the error."""
    pfns = []
    while True:
        try:
            pfns.append(memory.alloc_pages(order, gfp, node, cpu))
        except AllocationError as error:
            return pfns, error


def layout(memory):
    return [(zone.node, zone.name, zone.start_pfn, zone.pages) for zone in memory.zones]


def sound(memory):
    assert [problem for zone in memory.zones for problem in check(zone)] == []


def test_the_layout_of_one_node():
    assert layout(GuestMemory("8GiB", movable="1GiB")) == [
        (0, "DMA", 0, 4096),
        (0, "DMA32", 4096, (1 << 20) - 4096),
        (0, "Normal", 1 << 20, 3 << 18),
        (0, "Movable", 7 << 18, 1 << 18),
    ]


def test_the_layout_of_two_nodes_that_share_the_movable_memory():
    assert layout(GuestMemory("2GiB", nodes=2, movable="512MiB")) == [
        (0, "DMA", 0, 4096),
        (0, "DMA32", 4096, 768 * MIB - 4096),
        (0, "Movable", 768 * MIB, 256 * MIB),
        (1, "DMA32", 1024 * MIB, 768 * MIB),
        (1, "Movable", 1792 * MIB, 256 * MIB),
    ]


@pytest.mark.parametrize("size", ["4MiB", "20MiB", "1GiB", "4GiB", "5GiB"])
def test_zones_are_all_of_the_memory(size):
    memory = GuestMemory(size, cpus=3)
    assert memory.counts.free == memory.counts.span == sum(zone.pages for zone in memory.zones)
    sound(memory)


@pytest.mark.parametrize(
    ("size", "settings", "match"),
    [
        (0, {}, "size 0"),
        (4097, {}, "whole pages"),
        ("1PiB", {}, "16 TiB"),
        ("8MiB", {"nodes": 3}, "3 nodes"),
        ("1GiB", {"nodes": 0}, "nodes 0"),
        ("1GiB", {"cpus": 100000}, "cpus 100000"),
        ("1GiB", {"movable": "1GiB"}, "movable"),
        ("1GiB", {"min_free_kbytes": 1 << 30}, "min_free_kbytes"),
        ("1GiB", {"profile": None}, "profile None: expected a KernelProfile"),
        ("lots", {}, "not a size"),
    ],
)
def test_absurd_guests(size, settings, match):
    with pytest.raises(InputError, match=match) as raised:
        GuestMemory(size, **settings)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ((11, GFP_KERNEL), "order 11"),
        ((-1, GFP_KERNEL), "order -1"),
        ((0, GFP_KERNEL, 1), "node 1"),
        ((0, GFP_KERNEL, 0, 1), "cpu 1"),
        ((0, 0x3), "only one of"),
        ((0, 1 << 64), "gfp 18446744073709551616: expected 0 to"),
        ((0, -1), "gfp -1: expected 0 to"),
        (("x", GFP_KERNEL), "order 'x', gfp .*: expected whole numbers"),
        ((0, "x"), "gfp 'x': expected"),
        ((0, []), "expected whole numbers"),
        ((0, GFP_KERNEL, 0, None), "cpu None: expected a whole number"),
        ((0.5, GFP_KERNEL), "order 0.5, gfp .*: expected whole numbers"),
        ((0, GFP_KERNEL, 0, 0.0), "cpu 0.0: expected a whole number"),
    ],
)
def test_bad_requests(arguments, match):
    with pytest.raises(InputError, match=match):
        GuestMemory("64MiB").alloc_pages(*arguments)


def test_frees_of_what_is_not_allocated():
    memory = GuestMemory("64MiB")
    with pytest.raises(InputError, match="pfn 'x': expected a whole number"):
        memory.free_pages("x", 0)
    with pytest.raises(InputError, match="no zone"):
        memory.free_pages(1 << 20, 0)
    with pytest.raises(InputError, match="not allocated"):
        memory.free_pages(5, 0)
    pfn = memory.alloc_pages(3, GFP_KERNEL)
    with pytest.raises(InputError, match="allocated with order 3"):
        memory.free_pages(pfn, 2)


def test_flags_choose_the_zone():
    memory = GuestMemory("8GiB", movable="1GiB")
    where = {
        GFP_KERNEL: "Normal",
        GFP_HIGHUSER_MOVABLE: "Movable",
        GFP_DMA32: "DMA32",
        GFP_KERNEL | Gfp.MOVABLE: "Normal",
    }
    for gfp, name in where.items():
        assert memory.zone_of(memory.alloc_pages(0, gfp)).name == name
    dma = memory.alloc_pages(0, GFP_DMA)
    assert memory.zone_of(dma).name == "DMA"


def test_a_zonelist_goes_down_through_the_nodes_zones_and_then_to_the_next_node():
    memory = GuestMemory("16MiB", nodes=2, min_free_kbytes=128)
    assert layout(memory) == [(0, "DMA", 0, 2048), (1, "DMA", 2048, 2048)]
    for node in (0, 1):
        assert memory.zone_of(memory.alloc_pages(0, GFP_KERNEL, node)).node == node
    nodes = [memory.zone_of(pfn).node for pfn in exhaust(memory, 0, GFP_KERNEL, node=1)[0]]
    # Node 1 down to its low watermark, then node 0, then both down to min: node 1 first.
    changes = [node for node, before in zip(nodes, [None, *nodes], strict=False) if node != before]
    assert changes[:3] == [1, 0, 1]
    assert [zone.free_pages for zone in memory.zones] == [zone.watermarks.min for zone in memory.zones]


@pytest.mark.parametrize(("kernel", "nodes"), [("6.1", 1), ("6.10", 1), ("6.15", 1), ("6.15", 2)])
def test_a_nodes_zones_are_tried_before_a_pageblock_of_another_type_is_broken_up(kernel, nodes):
    """NOFRAGMENT: a guest with a Normal zone above DMA32. Of Normal only single pages are left, in every pageblock.

    Another node was tried before that, too.
    """
    memory = GuestMemory(f"{4100 * nodes}MiB", nodes=nodes, profile=kernel_profile(kernel))
    dma32, normal = memory.zones[1:3]
    assert (dma32.name, normal.name, normal.pages) == ("DMA32", "Normal", 4 * MIB)
    normal.alloc_range(normal.start_pfn, normal.pages)
    normal.watermarks = (0, 0, 0)
    for pfn in range(normal.start_pfn, normal.start_pfn + normal.pages, 2):
        normal.free_exact(pfn, 1)
    assert memory.zone_of(memory.alloc_pages(0, GFP_HIGHUSER_MOVABLE)) is normal
    assert memory.zone_of(memory.alloc_pages(0, GFP_KERNEL)) is dma32
    # With no other zone of the node to go to, in the second pass.
    for zone in memory.zones[:2]:
        zone.watermarks = (0, zone.pages, zone.pages)
    assert memory.zone_of(memory.alloc_pages(0, GFP_KERNEL, cpu=0)) is normal
    sound(memory)


def test_thisnode_stays_on_its_node():
    memory = GuestMemory("16MiB", nodes=2)
    pfns, _ = exhaust(memory, 0, GFP_KERNEL | Gfp.THISNODE, node=1)
    assert min(pfns) >= 2048
    assert memory.zones[0].free_pages == 2048


def test_watermarks_and_the_reserves_below_them():
    memory = GuestMemory("16MiB", min_free_kbytes=1024, profile=LINUX_5_3)
    (zone,) = memory.zones
    marks = zone.watermarks
    assert marks.min == 256

    def take_all(gfp):
        exhaust(memory, 0, gfp)
        assert memory.counts.per_cpu == 0
        return zone.free_pages

    assert take_all(GFP_KERNEL) == 256
    assert take_all(GFP_KERNEL | Gfp.HIGH) == 128
    assert take_all(GFP_ATOMIC) == 96


def test_a_lower_zone_is_protected_from_those_who_could_go_higher():
    memory = GuestMemory("2GiB")
    dma, dma32 = memory.guest_zones
    assert dma.protection == (0, dma32.zone.pages // 256) + (dma32.zone.pages // 256,) * 2
    exhaust(memory, 10, GFP_KERNEL)
    left = dma.zone.free_pages
    assert left > dma.protection[2]
    memory.alloc_pages(10, GFP_DMA)
    assert dma.zone.free_pages == left - 1024


def test_the_report_of_a_failure():
    memory = GuestMemory("20MiB", min_free_kbytes=128)
    _, error = exhaust(memory, 9, GFP_HIGHUSER_MOVABLE)
    assert isinstance(error, PagehintError)
    assert isinstance(error, MemoryError)
    lines = str(error).splitlines()
    assert lines[0] == "page allocation failure: order:9, mode:0x100cca(GFP_HIGHUSER_MOVABLE), node:0, cpu:0"
    zone = memory.zones[0]
    assert lines[1].startswith(f"Node 0 DMA free:{zone.free_pages * 4}kB min:{zone.watermarks.min * 4}kB low:")
    assert "present:16384kB per_cpu:0kB in_flight:0kB lowmem_reserve[]: 0 4 4 4" in lines[1]
    assert lines[2].startswith("Node 0 DMA: ")
    assert lines[2].endswith(f"= {zone.free_pages * 4}kB")
    assert len(lines) == 1 + 2 * len(memory.zones)


def test_other_cpus_lists_are_drained_before_an_allocation_fails():
    memory = GuestMemory("16MiB", cpus=2, min_free_kbytes=128)
    (zone,) = memory.zones
    memory.alloc_pages(0, GFP_KERNEL, cpu=0)
    memory.free_pages(memory.alloc_pages(0, GFP_HIGHUSER_MOVABLE, cpu=0), 0, cpu=0)
    assert memory.counts.per_cpu > 0
    pfns, _ = exhaust(memory, 0, GFP_KERNEL, cpu=1)
    assert memory.counts.per_cpu == 0
    assert zone.free_pages == zone.watermarks.min
    assert len(pfns) == zone.pages - 1 - zone.watermarks.min


@pytest.mark.parametrize("design", [PageHinting(delay=5), PageReporting(delay=5)])
def test_an_allocation_waits_for_blocks_in_flight_of_any_zone(design):
    memory = GuestMemory("16MiB", nodes=2, min_free_kbytes=128, profile=LINUX_6_1)
    clock = VirtualClock()
    worker = VirtualWorker(design, memory.zones, clock, react_time=lambda react: 100)
    worker.start(Device(capacity=1))
    clock.run_until(10)
    assert memory.zones[0].in_flight_pages == 1024
    for order in (10, 9):
        assert memory.zone_of(memory.alloc_pages(order, GFP_KERNEL, 1)).node == 1
    # Node 1 has no such block, and node 0 none above its watermark, until the one in flight is back.
    assert worker.stalls == 0
    assert memory.zone_of(memory.alloc_pages(10, GFP_KERNEL, 1)).node == 0
    assert (worker.stalls, worker.stalled, clock.now) == (1, 95, 105)
    sound(memory)


def test_exact_ranges():
    memory = GuestMemory("64MiB")
    free = memory.counts.free
    pfn = memory.alloc_pages_exact(600, GFP_KERNEL)
    assert memory.counts.allocated == 600
    memory.free_pages_exact(pfn + 100, 500)
    memory.free_pages_exact(pfn, 100)
    assert memory.counts.free == free
    with pytest.raises(InputError, match="pages 1025"):
        memory.alloc_pages_exact(1025, GFP_KERNEL)
    with pytest.raises(InputError, match="not allocated"):
        memory.free_pages_exact(pfn, 1)
    sound(memory)


def test_a_contiguous_range_beyond_the_largest_block_and_through_per_cpu_lists():
    memory = GuestMemory("64MiB", cpus=2)
    pages = [memory.alloc_pages(0, GFP_KERNEL, cpu=1) for _ in range(300)]
    for pfn in pages:
        memory.free_pages(pfn, 0, cpu=1)
    assert memory.counts.per_cpu
    memory.alloc_contig_range(4096 + 100, 5000)
    assert memory.counts.allocated == 5000
    assert memory.counts.isolated == 0
    sound(memory)
    with pytest.raises(BusyError, match="pfn 4300 is not free"):
        memory.alloc_contig_range(4300, 1)
    memory.free_pages_exact(4096 + 100, 5000)
    assert memory.counts.free == memory.counts.span
    sound(memory)


def test_a_contiguous_range_waits_for_blocks_in_flight():
    memory = GuestMemory("64MiB")
    clock = VirtualClock()
    worker = VirtualWorker(PageHinting(delay=5), memory.zones, clock, react_time=lambda react: 100)
    worker.start(Device())
    clock.run_until(10)
    assert memory.zones[0].in_flight_pages == 3072  # a fourth block would be below the low watermark
    memory.alloc_contig_range(0, 4096)
    assert memory.counts.allocated == 4096
    assert clock.now == 105


def test_hotplug_across_zones_and_back():
    memory = GuestMemory("64MiB")
    memory.offline(4096 - 700, 2000)
    assert memory.counts.offline == 2000
    assert [zone.present_pages for zone in memory.zones] == [3396, 12288 - 1300]
    with pytest.raises(BusyError, match="is online"):
        memory.online(4096 - 701, 2000)
    assert memory.counts.offline == 2000
    memory.online(4096 - 700, 1000)
    memory.online(4096 + 300, 1000)
    assert memory.counts.offline == 0
    assert memory.counts.free == memory.counts.span
    sound(memory)


@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.uint64])
def test_numpys_integers_are_whole_numbers_of_any_size(kind):
    """A sum of a small one and the pages was an OverflowError."""
    memory = GuestMemory("64MiB")
    memory.offline(kind(100), 1000)
    assert memory.counts.offline == 1000
    memory.online(kind(100), 1000)
    memory.alloc_contig_range(kind(100), 500)
    memory.free_pages_exact(kind(100), 500)
    assert memory.zone_of(kind(100)) is memory.zones[0]
    assert memory.counts.offline == 0


def test_offline_takes_nothing_if_a_page_of_a_later_zone_is_in_use():
    memory = GuestMemory("64MiB")
    memory.alloc_contig_range(5000, 1)
    with pytest.raises(BusyError, match="pfn 5000 is not free"):
        memory.offline(0, 6000)
    assert memory.counts.offline == 0
    sound(memory)


def test_a_zone_that_loses_its_last_page_drops_its_counts_and_its_request():
    # Row 12 of docs/spec/1, section 9.
    memory = GuestMemory("64MiB")
    clock = VirtualClock()
    design = PageHinting(high_water_mark=1)
    worker = VirtualWorker(design, memory.zones, clock)
    device = Device()
    worker.start(device)
    clock.advance(10**9)
    dma = memory.zones[0]
    assert dma.nr_hinted[10] == 3
    block = memory.alloc_pages(10, GFP_DMA)
    memory.free_pages(block, 10)
    assert dma.requested
    assert design.request_count == 1
    memory.offline(0, 4096)
    assert dma.nr_hinted is None
    assert not dma.requested
    assert design.request_count == 0
    # After a restart the count is right: the work comes to rest, and a later free schedules it.
    worker.stop()
    worker.start(device)
    assert not dma.requested
    clock.advance(10**9)
    assert design.request_count == 0
    memory.online(0, 4096)
    assert dma.requested
    clock.advance(10**9)
    assert dma.nr_hinted[10] == 3
    assert not dma.requested
    sound(memory)


@pytest.mark.parametrize("design", [PageHinting(high_water_mark=1, delay=5), PageReporting(delay=5)])
def test_hotplug_while_hinting_runs(design):
    clock = VirtualClock()
    kinds = []

    class Looking(Device):
        def react(self, batch):
            kinds.extend(int(memory.zone_of(block.pfn).page_state[block.pfn]) & KIND for block in batch)

    memory = GuestMemory("16MiB", min_free_kbytes=128, profile=LINUX_6_1)
    worker = VirtualWorker(design, memory.zones, clock, react_time=lambda react: 10)
    worker.start(Looking(capacity=1))
    for turn in range(200):
        clock.advance(7)
        begin = turn * 512 % 3072
        memory.offline(begin, 1024)
        clock.advance(7)
        memory.online(begin, 1024)
    clock.advance(10**12)
    worker.stop()
    assert len(kinds) > 100
    assert set(kinds) == {IN_FLIGHT}
    assert memory.counts.offline == 0
    sound(memory)
    assert memory.counts.free == memory.counts.span


@pytest.mark.parametrize("kind", [PageHinting, PageReporting])
def test_threads_and_a_worker_share_a_guest(kind):
    memory = GuestMemory("256MiB", nodes=2, cpus=3, movable="64MiB", min_free_kbytes=512)
    worker = ThreadWorker(kind(delay=0), memory.zones)
    worker.start(Device())
    errors = []

    def use(cpu):
        try:
            held = []
            for turn in range(4000):
                order = (0, 0, 3, 9, 10, 1)[turn % 6]
                try:
                    held.append((memory.alloc_pages(order, GFP_HIGHUSER_MOVABLE, cpu % 2, cpu), order))
                except AllocationError:
                    while len(held) > 5:
                        memory.free_pages(*held.pop(), cpu)
                if len(held) > 60:
                    memory.free_pages(*held.pop(turn % 50), cpu)
            for block in held:
                memory.free_pages(*block, cpu)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=use, args=(cpu,)) for cpu in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(HANGS)
        assert not thread.is_alive()
    worker.stop()
    assert errors == []
    memory.drain_all_pages()
    assert memory.counts.free == memory.counts.span
    sound(memory)


def test_offline_pages_are_marked():
    memory = GuestMemory("16MiB")
    memory.offline(100, 10)
    (zone,) = memory.zones
    assert (zone.page_state[100:110] & KIND).any()
    assert set((zone.page_state[100:110] & KIND).tolist()) <= {0, OFFLINE}


def refills(memory, pages):
    """How many pages each refill of CPU 0's lists brought, and the pfns that were taken."""
    lists = memory.guest_zones[-1].pcps[0]
    brought, taken, before = [], [], lists.count
    for _ in range(pages):
        taken.append(memory.alloc_pages(0, GFP_HIGHUSER_MOVABLE))
        if lists.count >= before:
            brought.append(lists.count + 1 - before)
        before = lists.count
    return brought, taken


def test_lists_tune_themselves_from_6_7_on():
    # Recorded guests with Linux 6.12 have such refills, those with 6.1 only the first kind.
    assert refills(GuestMemory("1GiB", profile=kernel_profile("6.6")), 400)[0] == [63] * 7
    memory = GuestMemory("1GiB", profile=kernel_profile("6.12"))
    brought, taken = refills(memory, 4000)
    assert brought == [63, 126, 252, 504, 1008, 2016, 2016]
    for pfn in taken:
        memory.free_pages(pfn, 0)
    lists = memory.guest_zones[-1].pcps[0]
    kept, least = lists.count, memory.guest_zones[-1].zone.watermarks.low
    assert kept > least
    for _ in range(40):
        memory.decay_pcp_high()
    assert lists.high == least
    assert lists.count <= least
    sound(memory)


ZONEINFO = """Node 0, zone    DMA32
  pages free     4096
        min      16
        low      20
        high     24
        spanned  4096
        present  4096
        managed  4096
  pagesets
    cpu: 0
              count:    0
              high:     0
              batch:    7
{}  start_pfn:           4096
"""


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ((None, np.zeros(8192, np.uint64)), "zoneinfo None: expected the file's text"),
        ((b"Node", np.zeros(8192, np.uint64)), "zoneinfo b'Node': expected"),
        ((ZONEINFO, np.zeros(8192, np.uint64), 5), "pagetypeinfo 5: expected"),
        ((ZONEINFO, [0] * 8192), r"kpageflags \[0, 0.*: expected a one-dimensional array of uint64"),
        ((ZONEINFO, np.zeros(8192)), r"kpageflags array\(.*: expected"),
        ((ZONEINFO, np.zeros((2, 4096), np.uint64)), r"kpageflags array\(.*: expected"),
    ],
)
def test_what_is_no_snapshot_is_refused(files, says):
    with pytest.raises(InputError, match=says):
        GuestMemory.from_snapshot(*files)


def test_a_zone_whose_list_of_cpus_is_cut_off_has_lists_of_all():
    """An allocation of CPU 1 ended with an IndexError."""
    cpu = "    cpu: 1\n              count:    0\n              high:     0\n              batch:    7\n"
    first = ZONEINFO.format(cpu)
    second = (
        ZONEINFO.format("")
        .replace("zone    DMA32", "zone   Normal")
        .replace("start_pfn:           4096", "start_pfn: 8192")
    )
    memory = GuestMemory.from_snapshot(first + second, np.full(12288, 1 << 10, np.uint64))
    assert memory.zone_of(memory.alloc_pages(0, GFP_KERNEL, cpu=1)).name == "Normal"


@pytest.mark.parametrize(
    ("printed", "kernel", "high"),
    [("high_min: 90\nhigh_max: 300\n", "6.12", 90), ("", "6.12", 28)],
)
def test_a_snapshot_s_lists_are_never_shorter_than_they_may_become(printed, kernel, high):
    flags = np.full(8192, 1 << 10, np.uint64)
    memory = GuestMemory.from_snapshot(ZONEINFO.format(printed), flags, profile=kernel_profile(kernel))
    lists = memory.guest_zones[0].pcps[0]
    taken = [memory.alloc_pages(0, GFP_HIGHUSER_MOVABLE) for _ in range(600)]
    for pfn in taken:
        memory.free_pages(pfn, 0)
    for _ in range(60):
        memory.decay_pcp_high()
    assert lists.high == high
