"""Snapshots of two real guests (Linux 6.1, 1 GiB): the zones that we make of them, and the guests' own figures.

A guest lives on while its kpageflags are read (90 ms). Its buddyinfo was read before and after: an order whose count is
the same in both must be the same here, and one whose count moved must lie between the two.
"""

import gzip
from collections import deque
from pathlib import Path

import numpy as np
import pytest

from pagehint.errors import AllocationError, InputError
from pagehint.kernel.gfp import GFP_DMA, GFP_KERNEL
from pagehint.kernel.profiles import LINUX_6_1
from pagehint.mm.check import check
from pagehint.mm.guest.memory import GuestMemory
from pagehint.mm.guest.procfs import buddyinfo, pagetypeinfo
from pagehint.proc.pagetypeinfo import parse_buddyinfo, parse_pagetypeinfo
from pagehint.proc.zoneinfo import zone_layouts

DATA = Path(__file__).parent / "data"
SNAPSHOTS = ["phased_on.init", "phased_on.final", "churn_smp2.init", "churn_smp2.final"]

# Blocks of an order by which the guest's own buddyinfo moved while its kpageflags were read (zone DMA32).
MOVED = {
    "phased_on.init": {3: 1, 6: 1, 7: -1},
    "phased_on.final": {3: -1, 4: -3},
    "churn_smp2.init": {0: -1, 1: 1, 6: 1, 7: -1},
    "churn_smp2.final": {0: 1, 2: -2, 3: -10, 4: -2},
}


def text(snapshot, name):
    return (DATA / snapshot / f"{name}.txt").read_text()


def kpageflags(snapshot):
    return np.frombuffer(gzip.decompress((DATA / snapshot / "kpageflags.u64.gz").read_bytes()), "<u8")


def load(snapshot):
    return GuestMemory.from_snapshot(text(snapshot, "zoneinfo"), kpageflags(snapshot), types_of(snapshot))


# The reading that is nearest to the kpageflags.
def types_of(snapshot):
    return text(snapshot, "pagetypeinfo.after" if snapshot.startswith("phased_on") else "pagetypeinfo")


def counts(text):
    return {zone: numbers for (_, zone), numbers in parse_buddyinfo(text, "buddyinfo").items()}


def free_counts(text):
    return parse_pagetypeinfo(text, "pagetypeinfo").free


@pytest.mark.parametrize("snapshot", SNAPSHOTS)
def test_buddyinfo_is_the_guests(snapshot):
    memory = load(snapshot)
    assert [problem for zone in memory.zones for problem in check(zone)] == []
    ours = counts(buddyinfo(memory.zones))
    before, after = counts(text(snapshot, "buddyinfo")), counts(text(snapshot, "buddyinfo.after"))
    assert ours["DMA"] == before["DMA"] == after["DMA"]
    moved = [new - old for old, new in zip(before["DMA32"], after["DMA32"], strict=True)]
    assert {order: change for order, change in enumerate(moved) if change} == MOVED[snapshot]
    for order, (count, old, new) in enumerate(zip(ours["DMA32"], before["DMA32"], after["DMA32"], strict=True)):
        assert min(old, new) <= count <= max(old, new), order
    if snapshot != "churn_smp2.final":
        assert buddyinfo(memory.zones) in (text(snapshot, "buddyinfo"), text(snapshot, "buddyinfo.after"))


# Pageblocks' types are found by these counts; that they come out is a sign of right ones.
@pytest.mark.parametrize("snapshot", SNAPSHOTS)
def test_free_blocks_are_on_as_many_lists_as_pagetypeinfo_says(snapshot):
    theirs, ours = free_counts(types_of(snapshot)), free_counts(pagetypeinfo(load(snapshot).zones))
    if snapshot == "churn_smp2.final":  # 41 before, 31 after, 34 in the kpageflags
        assert theirs[0, "DMA32"]["Unmovable"][3] - ours[0, "DMA32"]["Unmovable"][3] == 7
        ours[0, "DMA32"]["Unmovable"][3] += 7
    for place, types in ours.items():
        assert types == {name: numbers for name, numbers in theirs[place].items() if name in types}


@pytest.mark.parametrize("snapshot", SNAPSHOTS)
def test_zones_are_as_zoneinfo_has_them(snapshot):
    memory = load(snapshot)
    cpus = 2 if "smp2" in snapshot else 1
    for guest_zone, layout in zip(memory.guest_zones, zone_layouts(text(snapshot, "zoneinfo"), ""), strict=True):
        zone = guest_zone.zone
        assert (zone.name, zone.node, zone.start_pfn, zone.pages) == (
            layout.name,
            layout.node,
            layout.start_pfn,
            layout.spanned,
        )
        assert zone.watermarks == (layout.min, layout.low, layout.high)
        assert list(guest_zone.protection) == layout.protection[:4]
        assert [(pcp.batch, pcp.high) for pcp in guest_zone.pcps] == [(layout.pcp_batch, layout.pcp_high)] * cpus
    assert memory.guest_zones[0].protection == (0, 948, 948, 948)
    free = np.count_nonzero(kpageflags(snapshot) >> np.uint64(10) & np.uint64(1))
    assert memory.counts.free == free
    assert memory.counts.span == sum(zone.pages for zone in memory.zones)


def test_a_guest_lives_on_from_its_snapshot():
    memory = load("churn_smp2.init")
    dma, dma32 = memory.zones
    taken = [memory.alloc_pages(0, GFP_KERNEL, cpu=turn % 2) for turn in range(1000)]
    assert all(memory.zone_of(pfn) is dma32 for pfn in taken)
    for pfn in taken:
        memory.free_pages(pfn, 0)
    on_lru = np.flatnonzero(kpageflags("churn_smp2.init")[4096:] >> np.uint64(5) & np.uint64(1)) + 4096
    for pfn in on_lru.tolist():
        memory.free_pages_exact(pfn, 1)
    memory.drain_all_pages()
    free = np.count_nonzero(kpageflags("churn_smp2.init") >> np.uint64(10) & np.uint64(1))
    assert memory.counts.free == free + len(on_lru)
    with pytest.raises(AllocationError, match="Node 0 DMA free:"):
        deque(memory.alloc_pages(10, GFP_DMA) for _ in range(9))
    assert dma.free_pages >= dma.watermarks.min
    assert [problem for zone in memory.zones for problem in check(zone)] == []


def test_without_pagetypeinfo_all_free_blocks_are_movable():
    memory = GuestMemory.from_snapshot(text("phased_on.init", "zoneinfo"), kpageflags("phased_on.init"))
    types = free_counts(pagetypeinfo(memory.zones))
    assert all(sum(types[place]["Unmovable"]) == 0 for place in types)
    assert buddyinfo(memory.zones) == text("phased_on.init", "buddyinfo.after")


def test_files_that_are_not_of_one_guest():
    with pytest.raises(InputError, match="not of one guest"):
        GuestMemory.from_snapshot(text("phased_on.init", "zoneinfo"), kpageflags("phased_on.init")[:5000])
    with pytest.raises(InputError, match="names no zone"):
        GuestMemory.from_snapshot("nothing", kpageflags("phased_on.init"), None, LINUX_6_1)
    with pytest.raises(InputError, match="zone Device"):
        GuestMemory.from_snapshot(
            text("phased_on.init", "zoneinfo").replace("zone    DMA32", "zone   Device"), kpageflags("phased_on.init")
        )
