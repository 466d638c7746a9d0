"""What to do: what it brings is what was found, ranked by what it brings for its cost."""

from pathlib import Path

import numpy as np
import pytest

from pagehint.diagnosis.advice import advise, cannot_be_helped
from pagehint.diagnosis.bounds import ZERO, Bounds, exactly
from pagehint.diagnosis.evidence import Evidence
from pagehint.diagnosis.examine import diagnose, examine
from pagehint.diagnosis.findings import Advice, Diagnosis
from pagehint.diagnosis.recognise import read_files
from pagehint.proc.kpageflags import KPageFlag
from tests.diagnosis.conftest import DATA, GUESTS, snapshot_files
from tests.diagnosis.machines import make_machine
from tests.diagnosis.samples import SAMPLES

MIB = 1 << 20
FREE = (
    "               total        used        free      shared  buff/cache   available\n"
    "Mem:        24683656     4329992    17008388        8924     3680956    20353664\n"
)


def found(guest: str, **reporting: object) -> Diagnosis:
    """A guest of which it is known how it reports; if it doesn't, it has told nothing."""
    return examine(known(guest, **reporting))


def known(guest: str, **reporting: object) -> Evidence:
    evidence = read_files(snapshot_files(guest))
    if reporting.get("on") is False:
        assert evidence.page_flags is not None
        free = (evidence.page_flags & np.uint64(KPageFlag.BUDDY)) != 0
        evidence.page_flags = np.where(free, np.uint64(KPageFlag.BUDDY), evidence.page_flags)
    for name, value in reporting.items():
        setattr(evidence.reporting, name, value)
    return evidence


@pytest.mark.parametrize("guest", GUESTS)
@pytest.mark.parametrize("on", [True, False, None])
@pytest.mark.parametrize("order", [None, 0, 5, 10])
def test_it_is_ranked_and_promises_nothing_that_was_not_found(guest: str, on: bool | None, order: int | None) -> None:
    diagnosis = found(guest, on=on, order=order)
    others = diagnosis.advice[on is False :]  # without reporting nothing else brings anything
    worth = [each.worth for each in others]
    assert worth == sorted(worth, reverse=True)
    for each in others:
        assert each.brings.most is None or each.brings.most >= 4 * MIB, each.what
        if each.apply is not None:
            assert each.brings == diagnosis.would_bring[each.apply][diagnosis.setting.order]
    whats = [each.what for each in diagnosis.advice]
    assert len(set(whats)) == len(whats)
    assert ("turn free page reporting on" in whats) == (on is False)
    # Who doesn't report needs no other order first.
    assert not (on is False and any(what.startswith("report blocks") for what in whats))
    lower = [int(each.command.split()[1]) for each in diagnosis.advice if each.what.startswith("report blocks")]
    assert all(each < diagnosis.setting.order for each in lower)


def test_turning_it_on_brings_what_waits_for_a_device() -> None:
    diagnosis = found("press61", on=False, device=True)
    (advice,) = [each for each in diagnosis.advice if each.what == "turn free page reporting on"]
    assert advice.brings == diagnosis.free_resident["no_device"]
    assert (advice.cost, advice.command) == ("low", "modprobe virtio_balloon")
    # Without a device the host has to give it one first, which costs more.
    (advice,) = [each for each in found("press61", on=False).advice if each.what == "turn free page reporting on"]
    assert advice.cost == "medium"
    assert advice.command.startswith("-device virtio-balloon-pci,free-page-reporting=on")


def test_where_reporting_is_off_it_is_turned_on_before_all_else(tmp_path: Path) -> None:
    """What it brings by itself was less than 4 MiB: the page cache was to be dropped, which told the host nothing."""
    evidence = read_files(make_machine(5).write(tmp_path).values())
    evidence.reporting.on = False
    advice = examine(evidence).advice
    assert [each.what for each in advice[:2]] == ["turn free page reporting on", "drop the page cache"]
    assert advice[0].brings == ZERO
    assert advice[0].risk.endswith("; without it nothing of what follows brings anything")
    evidence.reporting.on = True
    assert advice[1] == examine(evidence).advice[0]


def test_a_kernel_without_reporting_is_not_told_to_turn_it_on() -> None:
    """A device was advised, which such a kernel has no driver for."""
    evidence = known("press61", on=False)
    evidence.kernel = "5.4.0-200-generic"
    (first, *_) = [each for each in examine(evidence).advice if "free page reporting" in each.what]
    assert first.what == "take a kernel that has free page reporting, and turn it on"


@pytest.mark.parametrize(
    ("kernel", "told"),
    [
        ("5.10.0-28-amd64", None),  # it has no such parameter
        ("5.13.19", None),
        ("5.14.0", "; this kernel takes it only after the driver is loaded"),
        ("6.1.0-28-amd64", "; this kernel takes it only after the driver is loaded"),
        ("6.2.0", ""),
        ("6.12.9", ""),
        (None, "; kernels before 5.14 have no such parameter, and those up to 6.1 take it after the driver is loaded"),
    ],
)
def test_a_lower_order_where_the_kernel_takes_one(kernel: str | None, told: str | None) -> None:
    evidence = read_files(snapshot_files("press61"))
    evidence.kernel, evidence.reporting.on = kernel, True
    offers = [each for each in examine(evidence).advice if each.what.startswith("report blocks")]
    assert bool(offers) == (told is not None)
    for each in offers:
        assert each.risk == f"more and smaller reports, which break up the host's huge pages{told}"
        order = int(each.command.split()[1])
        size = 4 << order
        assert f"from order {order} ({size} KiB)" in each.what or f"({size >> 10} MiB)" in each.what


@pytest.mark.parametrize(
    ("whose", "command"),
    [
        ("Xen", "xl mem-set"),
        ("Apple", "targetVirtualMachineMemorySize"),
        ("VMware", "govc vm.change"),
        ("EC2", "aws ec2"),
    ],
)
def test_where_the_host_has_no_reporting_nobody_is_told_to_turn_it_on(whose: str, command: str) -> None:
    evidence = known("press61", on=False)
    evidence.hypervisor, evidence.reporting.on = whose, None
    (first, *_) = [each for each in examine(evidence).advice if "has no free page reporting" in each.what]
    assert first.command.startswith(command)
    assert not [each for each in examine(evidence).advice if each.what == "turn free page reporting on"]


def test_of_nothing_known_there_is_no_advice() -> None:
    evidence = read_files([DATA / "press61" / "vmstat.txt"])
    evidence.vmstat = {}
    diagnosis = examine(evidence)
    assert diagnosis.free is None
    assert diagnosis.advice == advise(diagnosis) == []


def test_what_is_guessed_to_bring_nothing_is_no_advice(tmp_path: Path) -> None:
    """Its zone would tell of 7 MiB if as much slab went as may at the very most."""
    found = diagnose(list(make_machine(4).write(tmp_path).values()))
    brings = found.would_bring["drop_caches"][found.setting.order]
    assert brings.likely is not None
    assert brings.likely[1] < 4 * MIB < (brings.most or 0)
    assert "drop_caches" not in {each.apply for each in found.advice}


def test_worth_is_what_it_brings_for_its_cost() -> None:
    """docs/doctor.md: none 1, low 2, medium 4, high 8; of what lies between bounds a quarter counts."""

    def worth(brings: Bounds, cost: str) -> float:
        return Advice("", brings, cost, "", "").worth

    assert [worth(exactly(80), cost) for cost in ("none", "low", "medium", "high")] == [80, 40, 20, 10]
    assert worth(Bounds(10, 50), "none") == 20
    assert worth(Bounds(10, 50, 40), "none") == 40  # guessed
    assert worth(Bounds(10, None), "none") == 10


def test_what_cannot_be_helped_is_said_with_its_size() -> None:
    diagnosis = found("compile612")
    lines = cannot_be_helped(diagnosis)
    assert diagnosis.cannot == lines
    for line in lines:
        assert int(line.split(" MiB")[0].replace(",", "")) >= 16 or "too small for reporting" in line
    kernel = diagnosis.used_by["kernel"].least
    assert (kernel >= 16 * MIB) == any("the kernel's own" in line for line in lines)
    diagnosis.used_by["hugetlb"] = exactly(1 << 30)
    assert "1,024 MiB are reserved for hugetlb: lower vm.nr_hugepages" in cannot_be_helped(diagnosis)
    diagnosis.used_by["hugetlb"] = exactly(15 * MIB)
    assert not any("hugetlb" in line for line in cannot_be_helped(diagnosis))


def test_a_boost_is_waited_for_and_a_watermark_lowered() -> None:
    files = [DATA / "compile612" / f"{name}.txt" for name in ("buddyinfo", "meminfo")]
    evidence = read_files([*files, DATA / "compile612" / "zoneinfo.txt"])
    for zone in evidence.zones:
        zone.low, zone.boost, zone.high = zone.free, 0, zone.free
    (lowered,) = [each for each in examine(evidence).advice if each.what == "lower the watermarks"]
    assert lowered.cost == "high"
    assert lowered.brings.least == 0
    for zone in evidence.zones:
        zone.boost = zone.free
    (boosted,) = [each for each in examine(evidence).advice if "boost no more" in each.what]
    assert boosted.brings == examine(evidence).free_resident["boost"]
    assert diagnose(files).free_resident.get("boost") is None


@pytest.mark.parametrize("name", ["free", "meminfo", "vmstat", "zoneinfo", "buddyinfo", "pagetypeinfo", "a log"])
def test_where_nothing_is_sure_to_look_at_what_decides_comes_first(tmp_path: Path, name: str) -> None:
    """Of free alone it said first to report from order 8 on, which was to bring 0 to all that is free."""
    path = DATA / "compile612" / f"{name}.txt"
    if name in ("free", "a log"):
        path = tmp_path / "text.txt"
        path.write_text(FREE if name == "free" else SAMPLES["6.18"])
    diagnosis = diagnose(path)
    first, *others = diagnosis.advice
    assert diagnosis.next_file is not None
    assert first.what == f"first find out {diagnosis.next_file[1]}"
    assert first.command == f"pagehint doctor with a copy of {diagnosis.next_file[0]} too"
    assert (first.brings, first.cost) == (ZERO, "none")
    assert others
    assert all(each.brings.least <= 0 for each in others)
    # What nothing bounds is last.
    is_open = [each.brings.most is None or diagnosis.tells_nothing(each.apply, each.brings) for each in others]
    assert is_open == sorted(is_open)
    diagnosis.evidence.live = True
    assert advise(diagnosis)[0].command == "sudo pagehint doctor"
    # A lower order is no advice where nothing tells of blocks.
    lower = [each for each in others if each.what.startswith("report blocks")]
    assert bool(lower) == (name in ("buddyinfo", "pagetypeinfo", "a log"))


def test_a_zone_whose_watermark_is_not_known_is_guessed_to_be_open() -> None:
    """Of buddyinfo alone a lower order was to bring up to all free memory, though next to all of it lies above."""
    diagnosis = diagnose(DATA / "compile612" / "buddyinfo.txt")
    blocks = {order: diagnosis.would_bring["reporting"][order].most or 0 for order in (5, 9)}
    (five,) = [each for each in diagnosis.advice if each.command.startswith("echo 5 ")]
    assert five.brings.value == blocks[5] - blocks[9]
    assert five.brings.likely == (five.brings.least, five.brings.most) == (0, blocks[5])


def test_what_is_sure_leads_and_nobody_is_told_to_look_first() -> None:
    files = [DATA / "compile612" / f"{name}.txt" for name in ("buddyinfo", "zoneinfo", "meminfo")]
    diagnosis = diagnose(files)
    assert diagnosis.advice[0].brings.least > 0
    assert not any(each.what.startswith("first find out") for each in diagnosis.advice)
    # Without a device nothing else helps, however little is known of how much waits.
    evidence = read_files([DATA / "compile612" / "meminfo.txt"])
    evidence.reporting.on = False
    assert examine(evidence).advice[0].what == "turn free page reporting on"


@pytest.mark.parametrize(
    ("kernel", "told"),
    [("5.10.0-30-amd64", None), ("6.1.0-28-amd64", ""), (None, "; kernels before 5.14 have no such setting")],
)
def test_lists_are_shortened_where_the_kernel_has_a_setting_for_it(
    tmp_path: Path, kernel: str | None, told: str | None
) -> None:
    """It was advised to all: to 5.10 too, whose sysctl is another one and whose lists are short."""
    path = tmp_path / "zoneinfo"
    cpus = "".join(f"    cpu: {cpu}\n              count: 1000\n              high: 1722\n" for cpu in range(4))
    path.write_text(
        "Node 0, zone   Normal\n  pages free     235154\n        min      5512\n        low      6890\n"
        f"        spanned  262144\n        present  262144\n        managed  248725\n  pagesets\n{cpus}"
    )
    evidence = read_files([path])
    evidence.kernel = kernel
    offers = [each for each in examine(evidence).advice if "per-CPU lists" in each.what]
    assert [each.risk.partition("freed")[2] for each in offers] == ([] if told is None else [told])
    evidence.settings["percpu_pagelist_high_fraction"] = "0"
    assert any("per-CPU lists" in each.what for each in examine(evidence).advice)


@pytest.mark.parametrize(
    ("reserved", "surplus", "unused", "kept"), [(0, 0, 4000, 96), (1000, 0, 3000, 1096), (0, 200, 3800, 96)]
)
def test_huge_pages_that_nobody_uses_can_be_let_go(
    tmp_path: Path, reserved: int, surplus: int, unused: int, kept: int
) -> None:
    """They were said to be what can't be helped, all of the pool."""
    (tmp_path / "meminfo").write_text(
        "MemTotal: 16201832 kB\nMemFree: 1145728 kB\nHugePages_Total: 4096\nHugePages_Free: 4000\n"
        f"HugePages_Rsvd: {reserved}\nHugePages_Surp: {surplus}\nHugepagesize: 2048 kB\nHugetlb: 8388608 kB\n"
    )
    found = diagnose(tmp_path / "meminfo")
    (advice,) = (each for each in found.advice if "huge pages that nobody uses" in each.what)
    assert advice.brings == Bounds(0, unused * 2 * MIB)
    assert advice.command == f"sysctl vm.nr_hugepages={kept}"
    assert f"{8192 - 2 * unused:,} MiB are reserved for hugetlb: lower vm.nr_hugepages" in found.cannot


def test_huge_pages_of_a_logs_pools_that_nobody_uses_can_be_let_go(tmp_path: Path) -> None:
    """Its 20 GiB of them were said to be what can't be helped."""
    pool = "Node 0 hugepages_total=0 hugepages_free=0 hugepages_surp=0 hugepages_size=2048kB\n"
    pools = (
        "Node 0 hugepages_total=4 hugepages_free=0 hugepages_surp=0 hugepages_size=1048576kB\n"
        "Node 0 hugepages_total=5000 hugepages_free=5000 hugepages_surp=20 hugepages_size=2048kB\n"
        "Node 1 hugepages_total=5240 hugepages_free=5000 hugepages_surp=0 hugepages_size=2048kB\n"
    )
    (tmp_path / "log").write_text(
        SAMPLES["6.18"].replace(pool, pools).replace("500000 pages RAM", "50000000 pages RAM")
    )
    found = diagnose(tmp_path / "log")
    (advice,) = (each for each in found.advice if "huge pages that nobody uses" in each.what)
    assert advice.brings == Bounds(0, 9980 * 2 * MIB)
    assert advice.command == "echo 240 > /sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages"
    assert f"{4096 + 2 * 260:,} MiB are reserved for hugetlb: lower vm.nr_hugepages" in found.cannot


def test_a_lower_order_brings_no_more_than_a_map_without_watermarks_has() -> None:
    """What was given back was counted too."""
    files = [path for path in snapshot_files("compile612") if "zoneinfo" not in path.name]
    found = diagnose(files)
    offers = [each for each in found.advice if each.what.startswith("report blocks from order")]
    assert offers
    for each in offers:
        order = int(each.what.split()[4])
        most = found.would_bring["reporting"][order].most
        assert (each.brings.least, each.brings.most) == (0, most)
