"""What actions would bring, beside what they then brought in real guests (benchmarks/doctor.py makes such folders)."""

from pathlib import Path

import numpy as np
import pytest

from pagehint.diagnosis.bounds import Bounds
from pagehint.diagnosis.examine import diagnose
from pagehint.diagnosis.free_memory import Setting
from pagehint.diagnosis.page_map import PageMap, Range
from pagehint.diagnosis.prediction import predict
from pagehint.diagnosis.slab import Slab, by_order
from pagehint.diagnosis.zones import ZoneState
from pagehint.proc.kpageflags import KPageFlag
from pagehint.proc.pagetypeinfo import parse_buddyinfo
from pagehint.proc.slabinfo import SlabCache
from tests.diagnosis.conftest import DATA

MIB = 1 << 20
AFTER = sorted((DATA / "actions").glob("*/after_*.txt"))
SETTING = Setting(9, 9, 10, 32, 4096, True)
OPEN = ZoneState(0, "Normal", low=-(32 << 10), per_cpu=0)  # to each order, whatever is free


def free_by_order(path: Path) -> list[int]:
    """Bytes in free blocks of each order and more."""
    counts = [sum(column) for column in zip(*parse_buddyinfo(path.read_text(), "buddyinfo").values(), strict=True)]
    return [sum(count << above << 12 for above, count in enumerate(counts) if above >= order) for order in range(11)]


@pytest.mark.parametrize("after", AFTER, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_in_real_guests_at_every_order(after: Path) -> None:
    before = [path for path in sorted(after.parent.iterdir()) if not path.name.startswith("after_")]
    found = diagnose(before)
    now, then = free_by_order(after.parent / "buddyinfo.txt"), free_by_order(after)
    action = after.stem.removeprefix("after_")
    for order, bounds in found.would_bring[action].items():
        came = then[order] - now[order]
        assert bounds.most is not None
        assert bounds.least <= came <= bounds.most, order
        if action == "drop_caches":
            # What stays of slab, and on lists, differs from boot to boot: the range tells how far.
            more = 1.25 if "slab" in after.parent.name else 1
            if "held-out" not in after.parent.name and not (after.parent / "slabinfo.txt").exists():
                assert abs(bounds.best - came) <= more * max(8 * MIB, 0.1 * abs(came)), order
            assert bounds.likely is not None
            low, high = bounds.likely
            assert bounds.least <= low <= bounds.best <= high <= bounds.most, order
            assert low <= came <= high or "slabinfo-held-out" in after.parent.name, order


def within(folder: Path, names: list[str]) -> tuple[int, int]:
    """How many orders' guesses of drop_caches are within 10 % or 8 MiB, and how many came within the range."""
    found = diagnose([folder / name for name in names])
    now, then = free_by_order(folder / "buddyinfo.txt"), free_by_order(folder / "after_drop_caches.txt")
    near = inside = 0
    for order, bounds in found.would_bring["drop_caches"].items():
        came = then[order] - now[order]
        assert bounds.likely is not None
        near += abs(bounds.best - came) <= max(8 * MIB, 0.1 * abs(came))
        inside += bounds.likely[0] <= came <= bounds.likely[1]
    return near, inside


@pytest.mark.parametrize(
    ("held_out", "most", "least"), [(False, (80, 107), (104, 110)), (True, (114, 116), (120, 131))]
)
def test_slabinfo_tells_more(held_out: bool, most: tuple[int, int], least: tuple[int, int]) -> None:
    """Of the same boots: those that the guesses with slabinfo were fitted to, and those that were made after that."""
    names = ["buddyinfo.txt", "dentry-state.txt", "kpageflags.u64.gz", "meminfo.txt", "vmstat.txt", "zoneinfo.txt"]
    folders = [path.parent for path in AFTER if (path.parent / "slabinfo.txt").exists()]
    folders = [folder for folder in folders if ("held-out" in folder.name) == held_out]
    assert len(folders) == (12 if held_out else 10)
    without, known = (
        np.array([within(folder, files) for folder in folders]).sum(axis=0).tolist()
        for files in (names, [*names, "slabinfo.txt"])
    )
    assert all(here <= there for here, there in zip(without, most, strict=True))
    assert all(here >= there for here, there in zip(known, least, strict=True))


def test_names_in_use_keep_the_inodes_of_file_systems_in_memory() -> None:
    caches = {
        "dentry": SlabCache(2100, 2100, 1, 100),
        "ext4_inode_cache": SlabCache(1300, 1300, 4, 100),
        "inode_cache": SlabCache(480, 480, 2, 40),
        "lsm_inode_cache": SlabCache(1780, 1780, 1, 20),
        "shmem_inode_cache": SlabCache(0, 0, 8, 10),
        "task_struct": SlabCache(60, 60, 8, 20),
    }
    found = by_order(caches, 0.8, 0.5)
    assert found is not None
    # 420 names are in use: of 480 inodes of several file systems 60 go.
    assert found.going[2] == 400
    assert found.going[1] == pytest.approx(10)
    assert found.going[3] == 0
    assert found.going[0] == pytest.approx(100 * 0.8 + 20 * (1300 + 60) / 1780)
    assert by_order({"task_struct": caches["task_struct"]}, 0.8, 0.5) is None


def test_a_journal_holds_page_cache_and_the_slabs_of_its_buffers() -> None:
    buffers = {"dentry": SlabCache(0, 0, 1, 0), "buffer_head": SlabCache(3900, 3900, 1, 100)}
    found = by_order(buffers | {"jbd2_journal_head": SlabCache(780, 780, 1, 23)}, 1.0, 0.0)
    assert found is not None
    assert (found.going[0], found.journal, found.scattered) == (80, 780, 20)
    words = np.full(512 * 64, int(KPageFlag.LRU), np.uint64)
    words[: 512 * 32] |= np.uint64(KPageFlag.PRIVATE)
    pages = PageMap(words, [Range(0, len(words))])
    brings = predict(pages, [ZoneState(0, "Normal")], SETTING, Slab(by_order=found))["drop_caches"]
    assert brings[0].best == (len(words) - 780) << 12
    # They lie together.
    assert brings[9].best == pytest.approx((len(words) - 780) << 12, abs=MIB)
    assert brings[0].most == len(words) << 12


def test_single_pages_of_slab_stay_on_lists_that_are_seldom_drained() -> None:
    """Each pageblock's last eight pages are slabs of one page, the others of four."""
    words = np.full((64, 512), int(KPageFlag.SLAB), np.uint64)
    words[:, :504:4] |= np.uint64(KPageFlag.COMPOUND_HEAD)
    for tail in (1, 2, 3):
        words[:, tail:504:4] |= np.uint64(KPageFlag.COMPOUND_TAIL)
    pages = PageMap(words.reshape(-1), [Range(0, words.size)])
    caches = {"dentry": SlabCache(512, 512, 1, 512), "ext4_inode_cache": SlabCache(8064, 8064, 4, 8064)}
    slab = Slab(words.size, 0, 1.0, by_order=by_order(caches, 1.0, 0.0))
    often, seldom = (
        predict(pages, [ZoneState(0, "Normal", per_cpu=0, lists_room=1000, lists=lists)], SETTING, slab)["drop_caches"]
        for lists in ("tuned", "tuned, seldom")
    )
    assert seldom[9].best < 0.3 * often[9].best
    assert seldom[2].best > 0.9 * often[2].best


def slab_of_pageblocks(number: int) -> dict[int, Bounds]:
    words = np.zeros(512 * (number + 2), np.uint64)
    words[512 : 512 * (number + 1)] = int(KPageFlag.SLAB)
    slab = Slab(512 * number, 0, 1.0)
    return predict(PageMap(words, [Range(0, len(words))]), [ZoneState(0, "Normal")], SETTING, slab)["drop_caches"]


def width(bounds: Bounds) -> float:
    assert bounds.likely is not None
    return (bounds.likely[1] - bounds.likely[0]) / MIB


def test_the_range_is_wide_where_chance_decides() -> None:
    """A few pages stay of much slab: single pages come surely, whole pageblocks don't; and less so, the more slab."""
    few, many = slab_of_pageblocks(60), slab_of_pageblocks(600)
    assert width(few[0]) < width(few[6]) < width(few[9])
    assert width(many[9]) / many[9].best < width(few[9]) / few[9].best
    assert few[9].least < few[9].likely[0] < few[9].best < few[9].likely[1] < (few[9].most or 0)


def test_of_page_cache_the_range_is_narrow_and_of_nothing_there_is_none() -> None:
    words = np.full(512 * 64, int(KPageFlag.LRU), np.uint64)
    cache = predict(PageMap(words, [Range(0, len(words))]), [ZoneState(0, "Normal")], SETTING, Slab())["drop_caches"]
    assert width(cache[9]) <= 4
    words[:] = int(KPageFlag.RESERVED)
    nothing = predict(PageMap(words, [Range(0, len(words))]), [ZoneState(0, "Normal")], SETTING, Slab())["drop_caches"]
    assert nothing[9].likely == (0, 0)


@pytest.mark.parametrize(
    "names",
    [("buddyinfo", "meminfo", "zoneinfo"), ("buddyinfo", "meminfo"), ("buddyinfo",), ("meminfo",), ("zoneinfo",)],
)
def test_without_a_page_map_the_bounds_hold_too(names: tuple[str, ...]) -> None:
    for after in AFTER:
        found = diagnose([after.parent / f"{name}.txt" for name in names])
        now, then = free_by_order(after.parent / "buddyinfo.txt"), free_by_order(after)
        for order, bounds in found.would_bring[after.stem.removeprefix("after_")].items():
            came = then[order] - now[order]
            # While it is dropped, the guest took 1 MiB and less for itself.
            assert bounds.least <= came + MIB, (after, order)
            assert bounds.most is None or came <= bounds.most, (after, order)


def test_what_lies_in_large_blocks_already_is_not_brought_again() -> None:
    """Who isn't root was told that compaction might bring all that is free, and a lower order all in such blocks."""
    folder = DATA / "compile612"
    found = diagnose([folder / f"{name}.txt" for name in ("buddyinfo", "meminfo", "zoneinfo")])
    # DMA is under its watermark: what it has comes if it gets over.
    opened = [zone for zone in found.zones if zone.name != "DMA"]
    (dma,) = (zone for zone in found.zones if zone.name == "DMA")

    def large(order: int) -> int:
        return sum(zone.free_from(order) or 0 for zone in opened)

    all_pages = sum((zone.free or 0) + (zone.per_cpu or 0) for zone in found.zones)
    for order in (9, 10):
        assert found.would_bring["compact_memory"][order].most == (all_pages - large(order)) << 12
    advice = {each.what: each.brings for each in found.advice}
    for order, size in ((5, "128 KiB"), (4, "64 KiB")):
        brings = advice[f"report blocks from order {order} ({size}) on"]
        between = large(order) - large(9)
        assert brings.least == between << 12
        assert brings.most == (between + (dma.free_from(order) or 0)) << 12


def zone(per_cpu: int, room: int, **more: int) -> ZoneState:
    return ZoneState(0, "Normal", per_cpu=per_cpu, lists_room=room, **more)


def test_dirty_cache_is_written_first_and_so_dropped() -> None:
    words = np.full(1024, int(KPageFlag.LRU | KPageFlag.DIRTY), np.uint64)
    words[512:] = 0
    bounds = predict(PageMap(words, [Range(0, 1024)]), [OPEN], SETTING, Slab())["drop_caches"]
    assert (bounds[9].least, bounds[9].best, bounds[9].most) == (0, 2 * MIB, 2 * MIB)


def test_lists_overflow_when_much_is_freed_and_take_what_is_little() -> None:
    words = np.full(8192, int(KPageFlag.LRU), np.uint64)
    words[:1000] = 0
    pages = PageMap(words, [Range(0, 8192)])
    overflown = predict(pages, [zone(1000, 1000)], SETTING, Slab())["drop_caches"][0]
    # 440 pages stay on the lists, of 2,000 that they can hold.
    assert overflown.best >> 12 == pytest.approx(7192 + 1000 - 440, abs=4)
    little = words.copy()
    little[1500:] = int(KPageFlag.ANON)
    taken = predict(PageMap(little, [Range(0, 8192)]), [zone(1000, 8000)], SETTING, Slab())["drop_caches"][0]
    assert taken.best >> 12 == pytest.approx(500 - 416, abs=30)


def test_names_in_use_keep_their_slab() -> None:
    words = np.zeros(8192, np.uint64)
    words[512:4608] = int(KPageFlag.SLAB)
    pages = PageMap(words, [Range(0, 8192)])
    brings = [
        predict(pages, [ZoneState(0, "Normal")], SETTING, Slab(4096, 0, unused))["drop_caches"][0].best / MIB
        for unused in (0.0, 0.5, 1.0)
    ]
    assert brings[0] == 0
    assert 8 < brings[1] < 9 < 14 < brings[2] <= 16


def test_compaction_takes_from_the_blocks_that_it_fills() -> None:
    # Every other page of the lower half in use; the upper has gaps of four pages between its own.
    words = np.full(4096, int(KPageFlag.BUDDY), np.uint64)
    words[:2048:2] = int(KPageFlag.LRU | KPageFlag.ANON)
    words[2048::8] = int(KPageFlag.SLAB)
    bounds = predict(PageMap(words, [Range(0, 4096)]), [zone(0, 600)], SETTING, Slab())["compact_memory"]
    assert bounds[0].least == -(600 + 512) << 12
    assert bounds[2].least == -(1024 + 512) << 12  # as much as there is in such blocks, and a pageblock
    assert bounds[9].least == 0


def test_the_slab_that_goes_may_lie_anywhere() -> None:
    words = np.full(2048, int(KPageFlag.BUDDY), np.uint64)
    words[:512] = int(KPageFlag.SLAB)
    words[1024:1034] = int(KPageFlag.SLAB)
    words[1536:1600] = int(KPageFlag.SLAB)
    brings = predict(PageMap(words, [Range(0, 2048)]), [OPEN], SETTING, Slab(10))
    for action in ("drop_caches", "both"):
        assert brings[action][0].most == 10 << 12, action
        # Those of the third pageblock are just as many.
        assert (brings[action][9].most or 0) >= 512 << 12, action
        assert brings[action][9].least <= 0
