"""Mem-Info blocks of logs: whole, several, cut off, of several kernels and page sizes."""

import re
from pathlib import Path

import pytest

from pagehint.diagnosis.examine import diagnose
from pagehint.diagnosis.failure import explain_failures
from pagehint.diagnosis.findings import Diagnosis
from pagehint.diagnosis.memory_report import parse_memory_reports
from pagehint.diagnosis.pasted import plain_lines
from pagehint.report.doctor_words import failure_lines
from tests.diagnosis.samples import SAMPLES

HEAD = (
    "kworker/u8:2: page allocation failure: order:4, mode:0x40dc0(GFP_KERNEL|__GFP_COMP|__GFP_ZERO), nodemask=(null),"
    "cpuset=/,mems_allowed=0\n"
    "CPU: 1 PID: 133 Comm: kworker/u8:2 Not tainted 6.1.0-28-amd64 #1  Debian 6.1.119-1\n"
)
BLOCK = """Mem-Info:
active_anon:1000 inactive_anon:2000 isolated_anon:0
 active_file:100 inactive_file:200 isolated_file:0
 unevictable:0 dirty:5 writeback:0
 slab_reclaimable:50 slab_unreclaimable:60
 mapped:30 shmem:10 pagetables:20
 sec_pagetables:0 bounce:0
 kernel_misc_reclaimable:0
 free:{free} free_pcp:7 free_cma:0
Node 0 active_anon:4000kB inactive_anon:8000kB isolated(anon):0kB kernel_stack:1kB all_unreclaimable? no
Node 0 DMA free:15360kB boost:0kB min:500kB low:625kB high:750kB reserved_highatomic:0KB present:15992kB managed:15360kB free_cma:0kB
lowmem_reserve[]: 0 3899 3899 3899 3899
Node 0 DMA32 free:{kib}kB boost:{boost}kB min:{least}kB low:50000kB high:60000kB reserved_highatomic:2048KB present:2000000kB managed:1950000kB free_pcp:28kB local_pcp:0kB free_cma:0kB
lowmem_reserve[]: 0 0 0 0 0
Node 0 DMA: 0*4kB 0*8kB 0*16kB 0*32kB 0*64kB 0*128kB 0*256kB 0*512kB 1*1024kB (U) 1*2048kB (M) 3*4096kB (M) = 15360kB
Node 0 DMA32: {orders} = {total}kB
Node 0 hugepages_total=2 hugepages_free=2 hugepages_surp=0 hugepages_size=2048kB
300 total pagecache pages
0 pages in swap cache
Free swap  = 100kB
Total swap = 200kB
500000 pages RAM
0 pages HighMem/MovableOnly
12500 pages reserved
"""  # noqa: E501
SMALL = "12000*4kB (UME) 2000*8kB (UME) 10*16kB (UM) 0*32kB 0*64kB 0*128kB 0*256kB 0*512kB 0*1024kB 0*2048kB 0*4096kB"
LARGE = SMALL.replace("0*1024kB", "4*1024kB (UM)")
ATOMIC = SMALL.replace("0*1024kB", "4*1024kB (H)")


def block(kib: int = 64160, least: int = 40000, boost: int = 0, orders: str = SMALL) -> str:
    total = sum(int(count) * int(size) for count, size in re.findall(r"(\d+)\*(\d+)kB", orders))
    return BLOCK.format(free=kib // 4, kib=kib, least=least, boost=boost, orders=orders, total=total)


def reason(text: str) -> tuple[str, str | None]:
    reports, _ = parse_memory_reports(plain_lines(text))
    (failure,) = explain_failures(reports, 4096)
    return failure.reason, None if failure.closest is None else failure.closest.zone


def test_what_is_read() -> None:
    reports, cut = parse_memory_reports(plain_lines(HEAD + block()))
    (report,) = reports
    assert not cut
    assert (report.kind, report.process, report.order, report.mode) == ("failure", "kworker/u8:2", 4, 0x40DC0)
    assert report.flags == ("GFP_KERNEL", "__GFP_COMP", "__GFP_ZERO")
    assert report.kernel == "6.1.0-28-amd64"
    assert report.pages["active_anon"] == 1000
    assert report.pages["reserved"] == 12500
    assert report.hugetlb == 4 << 20
    zone = report.zones[0, "DMA32"]
    assert zone.values["min"] == 40000 << 10
    assert zone.values["reserved_highatomic"] == 2 << 20
    assert [count.blocks for count in zone.orders] == [12000, 2000, 10, *[0] * 8]
    assert zone.orders[0].types == "UME"
    assert report.zones[0, "DMA"].reserve == [0, 3899, 3899, 3899, 3899]


def test_surplus_huge_pages_are_of_the_pool() -> None:
    """They were counted twice."""
    pool = "Node 0 hugepages_total=12 hugepages_free=0 hugepages_surp=10 hugepages_size=2048kB"
    text = SAMPLES["6.18"].replace(
        "Node 0 hugepages_total=0 hugepages_free=0 hugepages_surp=0 hugepages_size=2048kB", pool
    )
    assert [report.hugetlb for report in parse_memory_reports(plain_lines(text))[0]] == [24 << 20]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (block(), "fragmentation"),
        (block(orders=LARGE), "none"),
        (block(orders=ATOMIC), "fragmentation"),
        (block(kib=30000), "watermark"),
        (block(kib=60000, least=70000, boost=30000), "boost"),
        (block(kib=41000), "reserve"),
    ],
)
def test_why_it_failed(text: str, why: str) -> None:
    assert reason(HEAD + text) == (why, "DMA32")


def explained(path: Path, text: str) -> tuple[Diagnosis, str]:
    path.write_text(text)
    found = diagnose(path)
    return found, "\n".join(failure_lines(found.failures[0]))


def test_large_blocks_of_types_that_it_may_not_use_are_said_to_be_that(tmp_path: Path) -> None:
    told = [explained(tmp_path / "log.txt", HEAD + block(orders=orders))[1] for orders in (SMALL, ATOMIC)]
    assert ["of types that it may not use" in each for each in told] == [False, True]


def test_a_zero_has_no_sign(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text("Mem-Info:\n" + block())
    assert "-0.0," not in str(diagnose(path).to_dict())


def test_lines_that_a_pager_cut_tell_less_and_it_is_said(tmp_path: Path) -> None:
    text = HEAD + block(orders=LARGE)
    cut = "".join(f"{line[:119]}>\n" if len(line) > 120 else f"{line}\n" for line in text.splitlines())
    found, told = explained(tmp_path / "log.txt", cut)
    # What CMA has of it isn't there, nor the blocks of the largest orders: none of these is taken for nothing.
    assert found.failures[0].reason == "unknown"
    (line,) = (line for line in told.splitlines() if line.startswith("zone DMA32"))
    assert "in such and larger" not in line
    assert (found.setting.pageblock_order, found.setting.max_order) == (9, 10)
    (warning,) = (warning for warning in found.warnings if "cut off at their right" in warning)
    assert "journalctl -k --no-pager" in warning
    assert not any("cut off at" in warning for warning in explained(tmp_path / "log.txt", text)[0].warnings)


@pytest.mark.parametrize("end", ['"}]', "'", '","web-1"', "</td>", "]"])
def test_what_a_zone_keeps_is_read_where_more_stands_after_it(end: str) -> None:
    text = "".join(f"{line}{end}\n" for line in (HEAD + block()).splitlines())
    (report,) = parse_memory_reports(text.splitlines())[0]
    assert report.zones[0, "DMA"].reserve == [0, 3899, 3899, 3899, 3899]


def test_a_zones_line_of_an_old_kernel_is_whole(tmp_path: Path) -> None:
    """Of kernels before 2.6.31, whose lines end otherwise, it was said that they are cut off."""
    line = (
        "Normal free:11868kB min:0kB low:0kB high:0kB active:0kB inactive:0kB present:16256kB pages_scanned:0 "
        "all_unreclaimable? no\n"
    )
    orders = "Normal: 267*4kB 268*8kB 251*16kB 145*32kB 0*64kB 0*128kB 0*256kB 0*512kB 0*1024kB = 11868kB\n"
    head = "modprobe: page allocation failure. order:{}, mode:0xd0\n"
    path = tmp_path / "log.txt"
    for order, why in ((7, "fragmentation"), (3, "none")):
        path.write_text(f"{head.format(order)}{line}lowmem_reserve[]: 0 0\n{orders}")
        found = diagnose(path)
        assert (found.failures[0].reason, found.warnings) == (why, [])


def test_a_zone_whose_line_is_cut_off_before_its_size_is_not_taken_for_small(tmp_path: Path) -> None:
    """The small zone below it was said to be the reason."""
    head = "httpd: page allocation failure. order:0, mode:0x20\n"
    path = tmp_path / "log.txt"
    path.write_text(
        f"{head}Node 0 DMA free:3988kB min:24kB low:28kB high:36kB present:6840kB pages_scanned:0 all_unrecl\n"
        "lowmem_reserve[]: 0 994 994 994\nNode 0 DMA32 free:1388kB min:4020kB low:5024kB high:6028kB active_a\n"
    )
    closest = diagnose(path).failures[0].closest
    assert closest is not None
    assert (closest.zone, closest.reason) == ("DMA32", "watermark")


def test_s390x_is_told_by_its_huge_pages(tmp_path: Path) -> None:
    text = (HEAD + block()).replace("hugepages_size=2048kB", "hugepages_size=1024kB")
    assert explained(tmp_path / "log.txt", text)[0].setting.pageblock_order == 8


def test_an_atomic_allocation_may_go_below_min_and_into_the_reserve() -> None:
    head = HEAD.replace("0x40dc0(GFP_KERNEL|__GFP_COMP|__GFP_ZERO)", "0x40820(GFP_ATOMIC|__GFP_COMP)")
    assert reason(head + block(kib=30000, orders=ATOMIC)) == ("none", "DMA32")
    assert reason(head + block(kib=14000)) == ("watermark", "DMA32")


def test_order_0_that_may_use_the_reserves_does_not_look_at_the_boost() -> None:
    head = HEAD.replace("0x40dc0(GFP_KERNEL|__GFP_COMP|__GFP_ZERO)", "0x820(GFP_ATOMIC)").replace("order:4", "order:0")
    (failure,) = explain_failures(parse_memory_reports(plain_lines(head + block(28000, 100000, 30000)))[0], 4096)
    assert failure.closest is not None
    # Half of what is left of min without the boost, less a quarter.
    assert (failure.closest.mark, failure.closest.boost) == (26252 << 10, 0)  # whole pages
    assert failure.reason == "none"


def test_what_a_lower_zone_keeps_is_no_reason_where_the_preferred_one_is_short() -> None:
    lower = block(kib=41000).replace("lowmem_reserve[]: 0 0 0 0 0", "lowmem_reserve[]: 0 0 4000 4000 4000")
    assert reason(HEAD + lower.replace("reserved_highatomic:2048KB", "reserved_highatomic:0KB")) == ("lowmem", "DMA32")
    normal = "Node 0 Normal free:30000kB boost:0kB min:40000kB low:50000kB high:60000kB managed:1950000kB\n"
    both = lower.replace("Node 0 DMA: ", f"{normal}lowmem_reserve[]: 0 0 0 0 0\nNode 0 DMA: ")
    assert reason(HEAD + both) == ("watermark", "Normal")


@pytest.mark.parametrize(
    ("said", "nodes"),
    [
        ("0-2,5", {0, 1, 2, 5}),
        ("7", {7}),
        ("1-9999", set(range(1, 10_000))),
        ("5-3", None),
        ("0-1-2", None),  # it ended the program
        ("0-,1", None),
    ],
)
def test_nodes_of_a_policy(said: str, nodes: set[int] | None) -> None:
    (report,), _ = parse_memory_reports(plain_lines(f"{HEAD.replace('(null)', said)}{block()}"))
    assert report.nodes == nodes


@pytest.mark.parametrize(
    "limit", ["nodemask=1,cpuset=/,mems_allowed=0-1", "nodemask=(null),cpuset=box,mems_allowed=1", "nodemask=1-2,3"]
)
def test_nodes_that_it_may_not_use_are_left_out(limit: str) -> None:
    head = HEAD.replace("nodemask=(null),cpuset=/,mems_allowed=0", limit).replace("GFP_KERNEL", "GFP_USER")
    second = "".join(
        line.replace("Node 0", "Node 1")
        for line in block(kib=30000).splitlines(keepends=True)[10:]
        if "DMA" not in line
    )
    zone = "Node 1 Normal free:30000kB boost:0kB min:40000kB low:50000kB high:60000kB managed:1950000kB\n"
    text = block(orders=LARGE).replace("Node 0 DMA: ", f"{zone}lowmem_reserve[]: 0 0 0 0 0\nNode 0 DMA: ") + second
    reports, _ = parse_memory_reports(plain_lines(head + text))
    (failure,) = explain_failures(reports, 4096)
    assert (failure.reason, failure.closest and failure.closest.zone) == ("watermark", "Normal, node 1")
    assert failure.skipped == ["DMA32", "DMA"]
    # The kernel's own allocations are not bound to a cpuset's nodes.
    of_kernel, _ = parse_memory_reports(plain_lines(head.replace("GFP_USER", "GFP_KERNEL") + text))
    (failure,) = explain_failures(of_kernel, 4096)
    assert (failure.skipped == []) == ("cpuset=box" in limit)


def test_a_cgroups_limit() -> None:
    text = (
        "java invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=984\n"
        "memory: usage 524288kB, limit 524288kB, failcnt 1234\n"
        "oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=x,mems_allowed=0,oom_memcg=/x,task=java\n"
    )
    (failure,) = explain_failures(parse_memory_reports(plain_lines(text))[0], 4096)
    assert (failure.kind, failure.reason, failure.limit) == ("cgroup oom", "limit", 512 << 20)


CGROUP_OOM = (
    "java invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=984\n"
    "memory: usage 524288kB, limit 524288kB, failcnt 1234\n"
    "oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=x,mems_allowed=0,oom_memcg=/x,task=java\n"
    "Memory cgroup out of memory: Killed process 812 (java) total-vm:900000kB, anon-rss:520000kB\n"
)
OOM = "python3 invoked oom-killer: gfp_mask=0x140dca(GFP_HIGHUSER_MOVABLE|__GFP_COMP), order=0, oom_score_adj=0\n"


@pytest.mark.parametrize(
    ("memory", "with_swap", "kernels", "limit"),
    [
        ((1048576, 1048576), (1048576, 2097152), (20000, 9007199254740988), 1 << 30),
        ((600000, 9007199254740988), (1048576, 1048576), (20000, 9007199254740988), 1 << 30),
        ((900000, 2097152), (900000, 4194304), (524000, 524288), 512 << 20),
        ((600000, 9007199254740988), (600000, 9007199254740988), (20000, 9007199254740988), None),
    ],
)
def test_which_of_a_cgroups_limits_was_reached(memory, with_swap, kernels, limit) -> None:
    """That of memory was told, though swap's was reached: 8,589,934,588 GiB, where it had none."""
    lines = "".join(
        f"{name}: usage {usage}kB, limit {most}kB, failcnt 9\n"
        for name, (usage, most) in (("memory", memory), ("memory+swap", with_swap), ("kmem", kernels))
    )
    (report,) = parse_memory_reports(plain_lines(OOM + lines))[0]
    assert (report.kind, report.limit) == ("cgroup oom", limit)


def test_a_kill_whose_report_the_kernel_left_out_is_not_the_one_before() -> None:
    kills = (
        "Memory cgroup out of memory: Killed process 71 (node) total-vm:9000kB\nOut of memory: Killed process 72 (a)\n"
    )
    reports, _ = parse_memory_reports(plain_lines(OOM + block(kib=30000) + kills + CGROUP_OOM + kills))
    machine, cgroup = explain_failures(reports, 4096)
    assert (machine.kind, machine.reason, machine.limit) == ("oom", "watermark", None)
    assert (cgroup.kind, cgroup.reason, cgroup.limit) == ("cgroup oom", "limit", 512 << 20)


def test_a_cgroups_report_behind_the_machines_takes_nothing_away(tmp_path: Path) -> None:
    machine = explained(tmp_path / "log.txt", OOM + block())[0].to_dict()
    both = explained(tmp_path / "log.txt", OOM + block() + CGROUP_OOM)[0].to_dict()
    assert machine.pop("failures") == both.pop("failures")[:1]
    assert machine["memory_mib"] is not None
    assert machine == both


def test_the_oom_killer_called_by_hand() -> None:
    head = "kworker/0:1 invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=-1, oom_score_adj=0\n"
    (failure,) = explain_failures(parse_memory_reports(plain_lines(head + block()))[0], 4096)
    assert (failure.kind, failure.order, failure.reason, failure.closest) == ("sysrq oom", None, "sysrq", None)
    assert failure_lines(failure)[:2] == [
        "kworker/0:1: the OOM killer was called",
        "Why: somebody called it by SysRq F, whatever was free.",
    ]


def test_vmalloc_fails_too() -> None:
    head = "python3: vmalloc error: size 4096, page order 0, failed to allocate pages, mode:0xcc2(GFP_KERNEL|__GFP_HIGHMEM), nodemask=(null)\n"  # noqa: E501
    (report,), _ = parse_memory_reports(plain_lines(head + block(kib=30000)))
    assert (report.kind, report.process, report.order, report.mode) == ("failure", "python3", 0, 0xCC2)
    assert reason(head + block(kib=30000)) == ("watermark", "DMA32")


@pytest.mark.parametrize(
    ("words", "order", "size", "why"),
    [
        ("vmemmap alloc failure: order:9", 9, 2 << 20, "watermark"),  # memory that is added, as by Xen's balloon
        ("vmalloc: allocation failure, allocated 1048576 of 8388608 bytes", 0, 4096, "watermark"),
        ("vmalloc size 8388608 allocation failure: page order 9 allocation failed", 9, 2 << 20, "watermark"),
        ("vmalloc error: size 8388608, failed to allocated page array size 16384", 0, 4096, "watermark"),
        ("vmalloc size 8388608 allocation failure: page array size 16384 allocation failed", 0, 4096, "watermark"),
        ("vmalloc: allocation failure: 8388608 bytes", None, 8388608, "vmalloc"),
        ("vmalloc size 8388608 allocation failure: vm_struct allocation failed", None, 8388608, "vmalloc"),
        ("vmalloc error: size 83886080000, exceeds total pages", None, 83886080000, "vmalloc"),
        ("vmalloc error: size 8388608, vm_struct allocation failed", None, 8388608, "vmalloc"),
    ],
)
def test_vmalloc_and_vmemmap_in_each_kernels_words(words: str, order: int | None, size: int, why: str) -> None:
    head = f"insmod: {words}, mode:0xcc0(GFP_KERNEL), nodemask=(null)\n"
    reports, _ = parse_memory_reports(plain_lines(head + block(kib=30000)))
    (failure,) = explain_failures(reports, 4096)
    assert (failure.process, failure.order, failure.size, failure.flags) == ("insmod", order, size, ("GFP_KERNEL",))
    assert failure.reason == why
    assert f"insmod: allocation failed: {'' if order is None else 'order'}" in failure_lines(failure)[0]


def test_an_allocation_for_dma_looks_at_no_other_zone() -> None:
    head = HEAD.replace("0x40dc0(GFP_KERNEL|__GFP_COMP|__GFP_ZERO)", "0x1(GFP_DMA)")
    reports, _ = parse_memory_reports(plain_lines(head + block()))
    (failure,) = explain_failures(reports, 4096)
    assert failure.skipped == ["DMA32"]
    assert failure.closest is not None
    assert failure.closest.zone == "DMA"


def test_several_with_prefixes_and_the_oom_killer() -> None:
    oom = "python3 invoked oom-killer: gfp_mask=0x140dca(GFP_HIGHUSER_MOVABLE|__GFP_COMP), order=0, oom_score_adj=0\n"
    text = HEAD + block() + oom + block(kib=20000) + HEAD.replace("order:4", "order:9") + block()
    prefixed = "".join(f"Nov 28 00:00:01 host kernel: [  12.345678] {line}\n" for line in text.splitlines())
    reports, _ = parse_memory_reports(plain_lines(prefixed))
    assert [(report.kind, report.order, report.process) for report in reports] == [
        ("failure", 4, "kworker/u8:2"),
        ("oom", 0, "python3"),
        ("failure", 9, "kworker/u8:2"),
    ]
    assert [failure.reason for failure in explain_failures(reports, 4096)] == [
        "fragmentation",
        "watermark",
        "fragmentation",
    ]


def test_what_lacks_its_beginning_is_no_error() -> None:
    text = HEAD + block()
    for begin in range(0, len(text), 7):
        reports, _ = parse_memory_reports(plain_lines(text[begin:]))
        assert len(explain_failures(reports, 4096)) <= 1


def test_wrapped_at_any_width_reads_alike() -> None:
    whole, _ = parse_memory_reports(plain_lines(HEAD + block()))
    for width in (60, 72, 80, 100):
        lines = []
        for line in (HEAD + block()).splitlines():
            words, current = line.split(" "), ""
            for word in words:
                if current and len(current) + 1 + len(word) > width:
                    lines.append(current)
                    current = word
                else:
                    current = f"{current} {word}" if current else word
            lines.append(current)
        wrapped, _ = parse_memory_reports(plain_lines("\n".join(lines)))
        assert wrapped[0].zones == whole[0].zones
        assert wrapped[0].pages == whole[0].pages


def test_a_case_without_nodes_with_boost_and_cma(pasted: Path) -> None:
    text = (pasted / "meminfo_block_boost_highatomic.txt").read_text()
    (report,), _ = parse_memory_reports(plain_lines(text))
    assert report.kind == "report"
    assert list(report.zones) == [(0, "DMA"), (0, "DMA32"), (0, "Normal")]
    assert report.zones[0, "Normal"].values["free_highatomic"] == 2032 << 10
    assert report.zones[0, "DMA"].reserve == [0, 3008, 6962, 6962]


@pytest.mark.parametrize(
    ("name", "size"), [("6.18", 4096), ("arm64, 16 KiB pages", 16384), ("arm64, 64 KiB pages", 65536)]
)
def test_where_no_blocks_are_printed_counters_tell_the_size_of_a_page(tmp_path: Path, name: str, size: int) -> None:
    """Of 64 KiB it was 4: a sixteenth of what processes have, and of what there is."""
    kib = int(re.findall(r"Normal free:(\d+)kB", SAMPLES[name])[0])
    text = re.sub(r"(?m)^ free:\d+ ", f" free:{(kib << 10) // size} ", SAMPLES[name])
    path = tmp_path / "log.txt"
    found = []
    for log in (
        text,
        re.sub(r"(?m)^Node 0 Normal: .*\n|^Node 0 huge.*\n", "", text).replace("-64k", "").replace("-16k", ""),
    ):
        path.write_text(log)
        found.append(diagnose(path))
    assert [each.setting.page_size for each in found] == [size, size]
    assert found[0].used_by["anon"] == found[1].used_by["anon"]
    assert found[0].total == found[1].total


def test_pages_of_64_kib() -> None:
    text = (
        "Node 0 Normal: 5*64kB (UME) 0*128kB 1*256kB (M) 0*512kB 0*1024kB 0*2048kB 0*4096kB 0*8192kB 0*16384kB = 576kB"
    )
    (report,), _ = parse_memory_reports([text])
    assert report.page_size == 65536
    assert [count.blocks for count in report.zones[0, "Normal"].orders] == [5, 0, 1, 0, 0, 0, 0, 0, 0]


@pytest.mark.parametrize(("mode", "value"), [("0x40dc0", 0x40DC0), ("0111111111", 111111111), ("007", 7)])
def test_modes_in_any_base(mode: str, value: int) -> None:
    lines = plain_lines(HEAD.replace("0x40dc0", mode))
    (report,), _ = parse_memory_reports(lines)
    assert report.mode == value


GONE = re.compile(r"\*(?=\d)")


@pytest.mark.parametrize("star", ["", "_", "\u00d7", "\u2217", "x"])
@pytest.mark.parametrize("name", ["6.18", "6.12, CMA", "arm64, 64 KiB pages", "arm64, 16 KiB pages"])
def test_blocks_whose_stars_the_web_took_for_emphasis(name: str, star: str) -> None:
    """They were left out without a word."""
    assert parse_memory_reports(plain_lines(GONE.sub(star, SAMPLES[name]))) == parse_memory_reports(
        plain_lines(SAMPLES[name])
    )


def test_blocks_of_which_some_stars_are_gone_and_others_are_not() -> None:
    first, second, rest = SAMPLES["6.18"].split("*", 2)
    mixed = plain_lines(f"{first}{second}*{GONE.sub('', rest)}")
    assert parse_memory_reports(mixed) == parse_memory_reports(plain_lines(SAMPLES["6.18"]))


def test_blocks_whose_stars_and_total_are_gone_are_no_riddle() -> None:
    """The ways to part each count from its size were tried with those of all others: hours."""
    text = SAMPLES["arm64, 64 KiB pages"]
    rows = re.sub("= [0-9]+kB", "", GONE.sub("", text)).replace("kB ", "00000kB ")
    assert [len(report.zones) for report in parse_memory_reports(plain_lines(rows))[0]] == [
        len(report.zones) for report in parse_memory_reports(plain_lines(text))[0]
    ]


@pytest.mark.parametrize(
    ("whole", "damaged"), [("12000*4kB", "1200*4kB"), ("10*16kB (UM) ", ""), ("= 64160kB", "= 6416kB")]
)
def test_blocks_that_are_not_the_total_behind_them_are_left_out(tmp_path: Path, whole: str, damaged: str) -> None:
    """They were told without a word, and an eighth of what was free was all."""
    path = tmp_path / "log.txt"
    path.write_text(SAMPLES["6.18"].replace(whole, damaged))
    found = diagnose(path)
    assert [zone.counts for zone in found.zones] == [None]
    assert any(
        "the free blocks of Normal don't add up to what is printed behind them" in each for each in found.warnings
    )
    assert [failure.reason for failure in found.failures] == ["unknown"]


@pytest.mark.parametrize(
    "lost",
    [
        "** 37 printk messages dropped **",
        "web-1 systemd-journald[412]: Missed 9 kernel messages",
        "db1 rsyslogd: imjournal: 17734 messages lost due to rate-limiting (20000 allowed within 600 seconds)",
    ],
)
def test_messages_that_were_lost_within_a_report_are_said(tmp_path: Path, lost: str) -> None:
    path = tmp_path / "log.txt"
    whole, line = SAMPLES["6.18"], "lowmem_reserve[]: 0 0 0 0 0\n"
    for text, is_said in ((whole.replace(line, f"{lost}\n"), True), (f"{lost}\n{whole}{lost}\n", False)):
        path.write_text(text)
        said = [warning for warning in diagnose(path).warnings if "messages were lost within a report" in warning]
        assert bool(said) == is_said


def test_flags_whose_underscores_the_web_took_for_emphasis() -> None:
    """GFP_THISNODE said nothing of the node: that the allocation could have been served, by another one."""
    flags = "GFP_ATOMIC|__GFP_THISNODE|__GFP_COMP|__GFP_MEMALLOC"
    head = HEAD.replace("GFP_KERNEL|__GFP_COMP|__GFP_ZERO", flags)
    ((bare,), _), ((whole,), _) = (
        parse_memory_reports(plain_lines(text + block())) for text in (head.replace("__", ""), head)
    )
    assert bare.flags == whole.flags == tuple(flags.split("|"))


def test_a_failure_whose_first_line_another_cpu_broke(tmp_path: Path) -> None:
    """Kernels before 4.19 print it in pieces: it was no failure."""
    head = HEAD.replace("kworker/u8:2: page", "kworker/u8:2: \nStack : 00000000 00000000\npage")
    found, _ = explained(tmp_path / "log.txt", head + block())
    (failure,) = found.failures
    assert (failure.process, failure.order, failure.reason) == (None, 4, "fragmentation")


def test_the_kernel_of_2_6_is_read() -> None:
    line = "Pid: 1663, comm: swapper Tainted: P        W  ----------------   2.6.32-754.el6.x86_64 #1"
    ((report,), _) = parse_memory_reports(plain_lines(re.sub("CPU: .*", line, HEAD) + block()))
    assert report.kernel == "2.6.32-754.el6.x86_64"


@pytest.mark.parametrize(
    ("kernel", "order", "is_said"),
    [("3.10.0-1160.el7.x86_64", 4, True), ("5.4.0-42-generic", 4, False), ("3.10.0-1160.el7.x86_64", 0, False)],
)
def test_a_failure_of_a_kernel_whose_rules_are_not_known_is_told_with_a_warning(
    kernel: str, order: int, is_said: bool, tmp_path: Path
) -> None:
    head = HEAD.replace("6.1.0-28-amd64", kernel).replace("order:4", f"order:{order}")
    found, _ = explained(tmp_path / "log.txt", head + block())
    assert any("may be otherwise" in line for line in found.warnings) == is_said


@pytest.mark.parametrize("right", ["free:64160kB", "min:40000kB", "12000*4kB", "= 64160kB"])
def test_figures_that_were_misread_from_a_picture_are_named(tmp_path: Path, right: str) -> None:
    """The zone, its mark or its blocks were missing, without a word."""
    text = SAMPLES["6.18"].replace("order:9", "order:3")
    assert right in text
    misread = right.replace("0", "O")
    found, _ = explained(tmp_path / "log.txt", text.replace(right, misread, 1))
    figure = misread.rpartition(":")[2].removeprefix("= ")
    assert any(f"are not understood, and left out: {figure}: misread from a picture?" in w for w in found.warnings)
    whole, _ = explained(tmp_path / "log.txt", text)
    assert not any("misread" in warning for warning in whole.warnings)


def test_flags_that_were_damaged_do_not_say_that_it_could_not_wait(tmp_path: Path) -> None:
    for flags, can_wait in (("GFP_KERNEL", True), ("GFP_NOWAIT", False), ("GFP KERNEL", None), ("__GFP_COMP", False)):
        found, _ = explained(tmp_path / "log.txt", HEAD.replace("GFP_KERNEL|__GFP_COMP|__GFP_ZERO", flags) + block())
        assert found.failures[0].can_wait == can_wait


@pytest.mark.parametrize(
    "before",
    [
        "1 [Nov28 00:47] {}",
        "a.out: page allocation stalls for 140001ms, order:0[  624.646725] {}",
        "stdout F [  532.610402] Nov 28 00:47:11 web-1 kernel: {}",
        "<out><![CDATA[{}",
        "of-some-machine {}",
    ],
)
@pytest.mark.parametrize("name", ["kworker/u8:2", "Isolated Web Co"])
def test_what_stands_before_a_processs_name_is_no_part_of_it(before: str, name: str) -> None:
    head = HEAD.replace("kworker/u8:2: page", f"{before.format(name)}: page")
    *_, report = parse_memory_reports(head.splitlines())[0]
    assert report.process == name
