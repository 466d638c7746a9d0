"""The whole of it: from less evidence it says less, and nothing that more of it contradicts."""

import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pagehint.diagnosis.agreement import settle
from pagehint.diagnosis.bounds import Bounds, exactly
from pagehint.diagnosis.evidence import Evidence
from pagehint.diagnosis.examine import diagnose, doctor, examine
from pagehint.diagnosis.findings import Diagnosis
from pagehint.diagnosis.page_map import Holder
from pagehint.diagnosis.recognise import read_files
from pagehint.errors import InputError
from pagehint.proc.kpageflags import KPageFlag
from tests.diagnosis.conftest import DATA, GUESTS, snapshot_files
from tests.diagnosis.machines import Machine, after_compaction, after_drop_caches, make_machine
from tests.diagnosis.samples import SAMPLES

MIB = 1 << 20
SEEDS = range(12)
TEXTS = ("buddyinfo", "meminfo", "pagetypeinfo", "vmstat", "zoneinfo")


def _texts(guest: str, names: tuple[str, ...]) -> list[Path]:
    return [DATA / guest / f"{name}.txt" for name in names]


@pytest.mark.parametrize("guest", GUESTS)
def test_what_few_files_bound_all_of_them_agree_with(guest: str) -> None:
    whole = diagnose(snapshot_files(guest))
    assert whole.page_map is not None
    for names in itertools.chain.from_iterable(itertools.combinations(TEXTS, count) for count in (1, 2, 5)):
        less = diagnose(_texts(guest, names))
        assert less.free == pytest.approx(whole.free, abs=4 * MIB), names
        assert less.total is None or less.total == whole.total
        assert less.setting.order == whole.setting.order == 9
        sizes = [less.free_resident.get(name, Bounds(0, 0)) for name in whole.free_resident]
        for size, (name, exact) in zip(sizes, whole.free_resident.items(), strict=True):
            if "zoneinfo" not in names and name in ("waiting", "watermark", "never", "boost"):
                continue  # without watermarks, what is under one may be taken to wait
            assert size.least - 4 * MIB <= exact.least, (names, name)
            assert size.most is None or exact.least <= size.most + 4 * MIB, (names, name)


@pytest.mark.parametrize("seed", SEEDS)
def test_of_a_map_each_figure_is_what_the_machine_is(seed: int, tmp_path: Path) -> None:
    machine = make_machine(seed)
    found = diagnose(list(machine.write(tmp_path).values()))
    size = machine.page_size
    assert (found.setting.page_size, found.setting.pageblock_order, found.setting.max_order) == (
        size,
        machine.pageblock_order,
        machine.max_order,
    )
    causes = {cause: exactly(pages * size) for cause, pages in machine.causes(found.setting.order).items() if pages}
    assert {cause: each for cause, each in found.free_resident.items() if each.most} == causes
    now = machine.told_of([zone.of("free") for zone in machine.zones])
    assert [each.most for each in found.would_bring["reporting"].values()] == [pages * size for pages in now]
    everything = sum(int((~zone.of("absent")).sum()) for zone in machine.zones)
    assert sum(each.least for each in found.used_by.values()) == (everything - machine.of("free")) * size


@pytest.mark.parametrize("seed", SEEDS)
def test_what_actions_bring_lies_within_the_bounds_of_a_map(seed: int, tmp_path: Path) -> None:
    machine, random = make_machine(seed), np.random.default_rng(seed)
    found = diagnose(list(machine.write(tmp_path).values()))
    for action, order, brought in _brought(machine, random):
        bounds = found.would_bring[action][order]
        assert bounds.most is not None
        assert bounds.least <= brought <= bounds.most, (action, order)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("left_out", [("pagetypeinfo",), ("buddyinfo", "pagetypeinfo"), ("meminfo",), ("zoneinfo",)])
def test_without_a_map_bounds_hold_what_the_machine_is(seed: int, left_out: tuple[str, ...], tmp_path: Path) -> None:
    machine, random = make_machine(seed), np.random.default_rng(seed)
    files = machine.write(tmp_path)
    found = diagnose([files[name] for name in files.keys() - {"kpageflags", *left_out}])
    if (found.setting.pageblock_order, found.setting.max_order) != (machine.pageblock_order, machine.max_order):
        return  # Nothing told of them.
    assert found.setting.order == machine.order
    assert found.free == machine.of("free") * machine.page_size
    causes = {cause: pages * machine.page_size for cause, pages in machine.causes(machine.order).items()}
    for cause, size in causes.items():
        # Without its watermark a zone is taken to be open, or to be under it.
        if "zoneinfo" not in left_out or cause not in ("boost", "never"):
            assert _holds(found.free_resident.get(cause, exactly(0)), size), cause
    now = machine.told_of([zone.of("free") for zone in machine.zones])
    for order, bounds in found.would_bring["reporting"].items():
        assert _holds(bounds, now[order] * machine.page_size), order
    closed = any(
        zone.closed(0, free) and 3 * free * machine.page_size > (found.total or 0)
        for zone in machine.zones
        if (free := int(zone.of("free").sum()))
    )
    for action, order, brought in _brought(machine, random):
        # No kernel's watermark is as large: where nobody tells, such a zone is taken to be open to order 0.
        assert (order == 0 and closed and "zoneinfo" in left_out) or _holds(
            found.would_bring[action][order], brought
        ), (action, order)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("counted", [1, 3, 100_000])
@pytest.mark.parametrize("beside", [(), ("meminfo",)])
def test_lists_that_are_not_counted_to_their_end_bound_what_is_free(
    seed: int, counted: int, beside: tuple[str, ...], tmp_path: Path
) -> None:
    """What was counted of them was said to be all that is free, whatever meminfo said."""
    machine, random = make_machine(seed), np.random.default_rng(seed)
    files = machine.write(tmp_path)
    files["pagetypeinfo"].write_text(machine.pagetypeinfo(counted))
    found = diagnose([files[name] for name in ("pagetypeinfo", "version", *beside)])
    assert found.setting.order == machine.order
    size = machine.page_size
    assert found.free_bounds is not None
    assert _holds(found.free_bounds, machine.of("free") * size)
    assert found.free_bounds.is_exact or not beside
    for cause, pages in machine.causes(machine.order).items():
        if cause not in ("boost", "never"):
            assert _holds(found.free_resident.get(cause, exactly(0)), pages * size), cause
    for order, pages in enumerate(machine.told_of([zone.of("free") for zone in machine.zones])):
        assert _holds(found.would_bring["reporting"][order], pages * size), order
    exact = max(
        (order for zone in machine.zones for order, count in enumerate(machine.counts(zone)) if count >= counted),
        default=-1,
    )
    if exact < machine.order:
        large = sum(
            pages for cause, pages in machine.causes(machine.order).items() if cause not in ("below_order", "per_cpu")
        )
        assert found.would_bring["reporting"][machine.order].most == large * size
    closed = any(3 * int(zone.of("free").sum()) * size > (found.total or 0) for zone in machine.zones)
    for action, order, brought in _brought(machine, random):
        assert (order == 0 and closed) or _holds(found.would_bring[action][order], brought), (action, order)


@pytest.mark.parametrize("seed", SEEDS)
def test_which_slab_can_be_freed_a_map_alone_does_not_tell(seed: int, tmp_path: Path) -> None:
    """Without meminfo it was said that none can."""
    machine, random = make_machine(seed), np.random.default_rng(seed)
    files = machine.write(tmp_path)
    found = diagnose([files[name] for name in ("zoneinfo", "kpageflags", "pagetypeinfo", "version")])
    assert all(bounds.value is None for bounds in found.would_bring["drop_caches"].values())
    for action, order, brought in _brought(machine, random):
        assert _holds(found.would_bring[action][order], brought), (action, order)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_map_without_watermarks_does_not_tell_which_zones_are_under_them(seed: int, tmp_path: Path) -> None:
    """All were taken to be open: what lay under a watermark was said to wait for the next pass."""
    machine, random = make_machine(seed), np.random.default_rng(seed)
    files = machine.write(tmp_path)
    found = diagnose([files[name] for name in ("kpageflags", "pagetypeinfo", "meminfo", "version")])
    size = machine.page_size
    for cause, pages in machine.causes(machine.order).items():
        assert cause in ("boost", "never") or _holds(found.free_resident.get(cause, exactly(0)), pages * size), cause
    for order, pages in enumerate(machine.told_of([zone.of("free") for zone in machine.zones])):
        assert _holds(found.would_bring["reporting"][order], pages * size), order
    for action, order, brought in _brought(machine, random):
        assert _holds(found.would_bring[action][order], brought), (action, order)


def test_a_log_of_a_32_bit_kernel_without_huge_pages(tmp_path: Path) -> None:
    """Of routers, and Raspberry Pis, blocks of 2 MiB were said to be reported."""
    path, pools = tmp_path / "log", "Node 0 hugepages_total=0 hugepages_free=0 hugepages_surp=0 hugepages_size={}kB\n"
    without = SAMPLES["6.18"].replace(pools.format(2048), "")
    for text, order in (
        (SAMPLES["6.18"], 9),
        (without, 10),
        (without.replace("Node 0 Normal", "Node 0 HighMem"), 10),
        (without.replace("Node 0 Normal", "Node 0 DMA32"), 9),
        (without.replace("500000 pages RAM\n", ""), 9),  # cut off
        (f"{without}{pools.format(4096)}", 10),
    ):
        path.write_text(text)
        assert diagnose(path).setting.pageblock_order == order


@pytest.mark.parametrize("with_map", [False, True])
@pytest.mark.parametrize("seed", SEEDS)
def test_what_is_not_accepted_yet_is_no_part_of_what_is_free(seed: int, with_map: bool, tmp_path: Path) -> None:
    files = make_machine(seed).write(tmp_path)
    if not with_map:
        del files["kpageflags"]
    found = diagnose(list(files.values()))
    most = sum(each.most or 0 for cause, each in found.free_resident.items() if cause != "per_cpu")
    assert found.free is not None
    assert sum(each.least for cause, each in found.free_resident.items() if cause != "per_cpu") <= found.free <= most
    pages, kib = 8, found.setting.page_size >> 10

    def more(count: re.Match[str]) -> str:
        return f"{count[1]}{int(count[2]) + pages}"

    zoneinfo = re.sub(r"(pages free +)(\d+)", more, files["zoneinfo"].read_text(), count=1)
    zoneinfo = re.sub(r"(nr_free_pages )(\d+)", lambda x: f"{more(x)}\n      nr_unaccepted {pages}", zoneinfo, count=1)
    files["zoneinfo"].write_text(zoneinfo)
    free = re.search(r"MemFree: +(\d+)", files["meminfo"].read_text())
    assert free is not None
    meminfo = files["meminfo"].read_text().replace(free[0], f"MemFree: {int(free[1]) + pages * kib}")
    files["meminfo"].write_text(f"{meminfo}Unaccepted: {pages * kib} kB\n")
    then = diagnose(list(files.values()))
    assert (then.free, then.free_resident) == (found.free, found.free_resident)
    assert then.would_bring["reporting"] == found.would_bring["reporting"]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("beside", [(), ("meminfo",), ("buddyinfo",), ("zoneinfo",), ("buddyinfo", "meminfo")])
def test_a_log_of_the_same_moment_agrees_with_other_files(seed: int, beside: tuple[str, ...], tmp_path: Path) -> None:
    machine, random = make_machine(seed), np.random.default_rng(seed)
    files = machine.write(tmp_path)
    log = tmp_path / "log"
    log.write_text(machine.log())
    found = diagnose([log, *(files[name] for name in ("version", *beside))])
    assert not any("of another moment" in line or "several machines" in line for line in found.warnings)
    if (found.setting.pageblock_order, found.setting.max_order) != (machine.pageblock_order, machine.max_order):
        return  # Nothing told of them.
    assert found.free == machine.of("free") * machine.page_size
    for cause, pages in machine.causes(machine.order).items():
        assert _holds(found.free_resident.get(cause, exactly(0)), pages * machine.page_size), cause
    for order, pages in enumerate(machine.told_of([zone.of("free") for zone in machine.zones])):
        assert _holds(found.would_bring["reporting"][order], pages * machine.page_size), order
    for action, order, brought in _brought(machine, random):
        assert _holds(found.would_bring[action][order], brought), (action, order)
    if "buddyinfo" in beside:
        # What only the log tells shrinks the bounds: they are those that zoneinfo would make.
        with_zoneinfo = diagnose([files[name] for name in ("zoneinfo", "version", *beside)])
        assert found.free_resident == with_zoneinfo.free_resident
        assert found.would_bring["reporting"] == with_zoneinfo.would_bring["reporting"]


def test_how_much_fits_on_lists_a_log_does_not_tell(tmp_path: Path) -> None:
    """It was taken for nothing: all clean page cache was sure to come back as single pages."""
    path = tmp_path / "log"
    path.write_text(SAMPLES["6.18"].replace("inactive_file:200", "inactive_file:90000"))
    bounds = diagnose(path).would_bring["drop_caches"][0]
    # An eighth of the zone's 1,950,000 KiB, less the 28 that are there; a pageblock may be taken meanwhile, and then
    # the zone, in which 64,160 KiB are free, is under its watermark.
    clean = (90000 + 100 - 5 - 30) * 4096
    assert bounds.least == clean - (1_950_000 // 4 // 8 - 7) * 4096 - 2 * MIB - (64160 << 10)


@pytest.mark.parametrize(("free_gib", "may_be_closed"), [(1, True), (4, False)])
def test_a_zone_with_little_free_may_be_closed_to_order_0(free_gib: int, may_be_closed: bool) -> None:
    """Where nobody told of its watermark it was taken to be open: what it has free came on top of what was dropped."""
    counts = {"MemTotal": 8 << 20, "MemFree": free_gib << 20, "Cached": 1 << 20, "Buffers": 0, "Dirty": 0}
    for buddy, closed in (
        ({(0, "Normal"): [0] * 10 + [free_gib << 8]}, free_gib * may_be_closed),
        # Of several zones one may be open, and another not: a third of the memory at the most.
        ({}, min(free_gib, 8 / 3)),
    ):
        most = examine(Evidence(meminfo=counts, buddy=buddy)).would_bring["drop_caches"][0].most
        assert most == pytest.approx((1 + 1 + closed) * (1 << 30))


@pytest.mark.parametrize("with_map", [False, True])
@pytest.mark.parametrize("seed", SEEDS)
def test_in_which_order_files_and_zones_come_changes_nothing(seed: int, with_map: bool, tmp_path: Path) -> None:
    machine = make_machine(seed)
    files = machine.write(tmp_path)
    if not with_map:
        del files["kpageflags"]
    found = _figures(diagnose(list(files.values())))
    assert _figures(diagnose(list(files.values())[::-1])) == found
    # Zones of nodes, each in a file of its own; meminfo's lines turned round.
    parts = []
    for name in ("buddyinfo", "zoneinfo"):
        for part, text in enumerate(re.split("(?m)^(?=Node)", files.pop(name).read_text())[:0:-1]):
            parts.append(tmp_path / f"{name}-{part}.txt")
            parts[-1].write_text(text)
    files["meminfo"].write_text("".join(files["meminfo"].read_text().splitlines(keepends=True)[::-1]))
    assert _figures(diagnose([*parts, *files.values()])) == found


def _figures(found: Diagnosis) -> dict[str, Any]:
    names = ("free_resident", "would_bring", "bounds", "likely", "used_by", "held_back", "advice", "free_mib")
    return {name: found.to_dict()[name] for name in names}


def _holds(bounds: Bounds, size: float) -> bool:
    return bounds.least <= size and (bounds.most is None or size <= bounds.most)


def _brought(machine: Machine, random: np.random.Generator) -> Iterator[tuple[str, int, int]]:
    """What actions bring in some ways in which they may go: the action, the order, and bytes."""
    now = machine.told_of([zone.of("free") for zone in machine.zones])
    for kinds in ((), ("cache_clean",), ("cache_clean", "cache_dirty", "slab", "per_cpu")):
        dropped = after_drop_caches(machine, random, kinds)
        then = {
            "drop_caches": machine.told_of(dropped),
            ("both" if kinds else "compact_memory"): machine.told_of(after_compaction(machine, random, dropped)),
        }
        if not kinds:
            del then["drop_caches"]
        for action, told in then.items():
            for order, pages in enumerate(told):
                yield action, order, (pages - now[order]) * machine.page_size


def test_the_next_file_is_one_that_is_not_there_and_tells_more() -> None:
    asked = []
    names: tuple[str, ...] = ("vmstat",)
    while (next_file := diagnose(_texts("press61", names)).next_file) is not None:
        name = next_file[0].split()[0].removeprefix("/proc/")
        asked.append(name)
        if name == "kpageflags":
            break
        assert name not in names
        names = (*names, name)
    assert asked == ["buddyinfo", "zoneinfo", "kpageflags"]
    assert diagnose(snapshot_files("press61")).next_file is None


@pytest.mark.parametrize(("parameter", "order"), [(None, 9), (0, 0), (10, 10), (11, 9), (2**31, 9)])
def test_an_order_beyond_the_largest_stands_for_the_default(parameter: int | None, order: int) -> None:
    """The parameter's own default, MAX_ORDER or -1 as unsigned, is beyond the largest order."""
    evidence = read_files(snapshot_files("press61"))
    evidence.reporting.order = parameter
    found = examine(evidence)
    assert found.setting.order == order
    assert any("beyond the largest order" in line for line in found.warnings) == (
        parameter is not None and parameter > 10
    )


def test_zones_that_overlap_are_no_machines() -> None:
    evidence = read_files(snapshot_files("press61"))
    first, second = [zone for zone in evidence.zones if zone.spanned][:2]
    second.start_pfn = first.start_pfn
    with pytest.raises(InputError, match=r"zoneinfo: zones DMA and DMA32 overlap: expected a copy of /proc/zoneinfo"):
        examine(evidence)


def test_a_map_without_zones_is_one_zone_and_it_is_said() -> None:
    (path,) = (path for path in snapshot_files("press61") if "kpageflags" in path.name)
    found = diagnose(path)
    assert found.page_map is not None
    assert len(found.page_map.zones) == 1
    assert any(line.startswith("kpageflags without zoneinfo") for line in found.warnings)
    whole = diagnose(snapshot_files("press61"))
    assert whole.page_map is not None
    assert found.page_map.counts()[Holder.FREE] == whole.page_map.counts()[Holder.FREE]


def test_a_map_that_ends_early_is_said_and_used() -> None:
    evidence = read_files(snapshot_files("press61"))
    assert evidence.page_flags is not None
    end = len(evidence.page_flags)
    evidence.page_flags = evidence.page_flags[: end - 5000]
    found = examine(evidence)
    assert any(re.match(r"kpageflags ends at page [\d,]+, before the last zone does", line) for line in found.warnings)
    assert found.page_map is not None
    evidence.page_flags = np.zeros(0, np.uint64)
    assert examine(evidence).page_map is None


def test_counts_of_mappings_that_end_early_are_said_and_left_out(tmp_path: Path) -> None:
    (tmp_path / "kpagecount").write_bytes(np.ones(100, "<u8").tobytes())
    found = diagnose([*snapshot_files("press61"), tmp_path / "kpagecount"])
    assert "kpagecount is shorter than kpageflags: it is left out" in found.warnings


def test_a_map_of_another_moment_is_said() -> None:
    evidence = read_files(snapshot_files("press61"))
    assert evidence.page_flags is not None
    assert not any("were they read at one time" in line for line in examine(evidence).warnings)
    flags = evidence.page_flags.copy()
    flags[10_000:60_000] = int(KPageFlag.BUDDY)
    evidence.page_flags = flags
    assert any("were they read at one time, on one machine?" in line for line in examine(evidence).warnings)


def test_nothing_at_all_is_an_answer_too() -> None:
    found = examine(Evidence())
    assert (found.total, found.free, found.zones, found.advice, found.page_map) == (None, None, [], [], None)
    assert {size.most for name, size in found.free_resident.items()} == {None}
    assert found.next_file is not None
    assert found.next_file[0] == "/proc/buddyinfo"


def test_pinned_and_unaccepted_memory_is_said() -> None:
    evidence = read_files(_texts("press61", ("meminfo", "vmstat")))
    evidence.vmstat |= {"nr_foll_pin_acquired": 300, "nr_foll_pin_released": 44}
    evidence.meminfo["Unaccepted"] = 512 << 10
    lines = "\n".join(examine(evidence).warnings)
    assert "drivers hold up to 1.0 MiB of processes' memory pinned" in lines
    assert "512 MiB are not accepted yet" in lines
    evidence.vmstat["nr_foll_pin_released"] = 300
    assert "pinned" not in "\n".join(examine(evidence).warnings)


@pytest.mark.parametrize("guest", GUESTS)
def test_what_lies_on_cpus_lists_is_not_the_kernels(guest: str) -> None:
    """Without a map it counted as *kernel, drivers, and what the files don't tell*: 875 MiB of 4,419 in one guest."""
    alone, beside = (diagnose(_texts(guest, names)) for names in (("meminfo",), ("meminfo", "zoneinfo")))
    lists = sum(zone.per_cpu or 0 for zone in beside.zones) << 12
    assert lists
    assert beside.used_by["per_cpu"] == exactly(lists)
    assert beside.used_by.get("other", exactly(0)).best == max(alone.used_by["other"].best - lists, 0)


def test_page_cache_of_which_the_dirty_part_is_not_known_is_dropped_once() -> None:
    """It counted as clean, and as dirty too."""
    evidence = Evidence(
        meminfo={"MemTotal": 8 << 20, "MemFree": 4 << 20, "Cached": 1 << 20, "Buffers": 0},
        buddy={(0, "Normal"): [0] * 10 + [1024]},
    )
    most = examine(evidence).would_bring["drop_caches"][0].most
    assert most == (1 << 30) + (1 << 30)  # the cache, and an eighth of the memory: what lists may hold
    evidence.meminfo |= {"Dirty": 1000, "Writeback": 0}
    assert examine(evidence).would_bring["drop_caches"][0].most == most


@pytest.mark.parametrize(
    "names",
    [
        ("buddyinfo", "meminfo", "vmstat", "zoneinfo"),
        ("buddyinfo", "meminfo"),
        ("meminfo",),
        ("vmstat",),
        ("zoneinfo",),
        ("buddyinfo", "zoneinfo"),
    ],
)
def test_what_a_confidential_guest_has_not_accepted_is_free_on_no_list(names: tuple[str, ...]) -> None:
    """It was taken for small blocks, which compaction could put together, and its files for several machines'."""
    evidence = read_files(_texts("press61", names))
    before = examine(evidence)
    pages = 1 << 20
    for counters, kib, names_of in (
        (evidence.meminfo, 4, ("MemTotal", "MemFree", "Unaccepted")),
        (evidence.vmstat, 1, ("nr_free_pages", "nr_unaccepted")),
    ):
        if counters:
            counters |= {name: counters.get(name, 0) + pages * kib for name in names_of}
    if evidence.zones:
        zone = max(evidence.zones, key=lambda zone: zone.managed or 0)
        zone.free, zone.managed = (zone.free or 0) + pages, (zone.managed or 0) + pages
        zone.stats |= {"nr_free_pages": zone.free, "nr_unaccepted": pages}
    settle(evidence)
    found = examine(evidence)
    assert (found.free, found.setting, found.free_resident) == (before.free, before.setting, before.free_resident)
    assert found.used_by == before.used_by | {"unaccepted": exactly(pages << 12)}
    actions = [diagnosis.would_bring["compact_memory"][9].least for diagnosis in (found, before)]
    assert actions[0] == actions[1]
    assert [line for line in found.warnings if "are not accepted yet" not in line] == before.warnings


def test_a_containers_memory_is_said_to_be_that() -> None:
    """It was taken for a machine's."""
    evidence = read_files(_texts("press61", ("meminfo",)))
    assert not any("container" in line for line in examine(evidence).warnings)
    evidence.meminfo |= {"Slab": 0, "SReclaimable": 0, "SUnreclaim": 0}
    (line,) = examine(evidence).warnings
    assert line.startswith("meminfo has no slab: it is of a container")
    evidence.nodes = {1: evidence.meminfo}
    assert not any("container" in line for line in examine(evidence).warnings)


def test_a_log_whose_free_memory_is_not_in_its_blocks_is_said_to_be_odd(tmp_path: Path) -> None:
    sample = SAMPLES["6.1, two nodes"]
    (tmp_path / "log").write_text(sample.replace("Node 1 Normal free:64160kB", "Node 1 Normal free:864160kB"))
    (line,) = (line for line in diagnose(tmp_path / "log").warnings if "lie in blocks" in line)
    assert line.startswith("the log's zone Normal of node 1 has 843 MiB free, of which 62 lie in blocks")
    (tmp_path / "log").write_text(sample)
    assert not any("lie in blocks" in line for line in diagnose(tmp_path / "log").warnings)


@pytest.mark.parametrize("files", [None, 3, b"buddyinfo", [None]])
def test_what_is_no_file(files: Any) -> None:
    with pytest.raises(InputError, match="is no file: expected the path of one"):
        diagnose(files)


def test_a_file_is_not_taken_for_an_option_of_this_machines() -> None:
    """It told of this machine, as if the file had said it."""
    with pytest.raises(InputError, match=r"page_map 'buddyinfo.txt': .* diagnose\(files\) reads files"):
        doctor("buddyinfo.txt")  # type: ignore[arg-type]


def test_free_pages_of_a_map_where_zoneinfo_has_no_zone_are_said(tmp_path: Path) -> None:
    """They were left out without a word, as of a zoneinfo that was cut off."""
    files = make_machine(0).write(tmp_path)
    named = [files[name] for name in ("zoneinfo", "kpageflags", "version")]
    assert not any("has no zone" in line for line in diagnose(named).warnings)
    text = files["zoneinfo"].read_text()
    files["zoneinfo"].write_text(text[: text.rindex("Node ")])
    (warning,) = (line for line in diagnose(named).warnings if "has no zone" in line)
    free = make_machine(0).zones[-1].of("free").sum()
    assert f"kpageflags has free pages where zoneinfo has no zone ({free:,} of them)" in warning
