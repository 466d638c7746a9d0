"""What top, vmstat, crash, node_exporter and others print: totals are read; what tells nothing of free is named."""

import json
import re
import textwrap
from contextlib import suppress
from pathlib import Path

import pytest

from pagehint.diagnosis.examine import diagnose
from pagehint.errors import InputError
from tests.diagnosis.conftest import DATA
from tests.diagnosis.samples import SAMPLES

MIB = 1 << 20
TOP = """top - 14:23:01 up 12 days,  3:11,  1 user,  load average: 0.10, 0.05, 0.01
%Cpu(s):  0.3 us,  0.2 sy,  0.0 ni, 99.5 id,  0.0 wa,  0.0 hi,  0.0 si,  0.0 st
MiB Mem :   7953.6 total,   3012.5 free,   1211.7 used,   3729.4 buff/cache
MiB Swap:   2048.0 total,   2048.0 free,      0.0 used.   6410.0 avail Mem

    PID USER      PR  NI    VIRT    RES    SHR S  %CPU  %MEM     TIME+ COMMAND
      1 root      20   0  168020  11520   8320 S   0.0   0.1   0:12.33 systemd
"""
VMSTAT = """procs -----------memory---------- ---swap-- -----io---- -system-- ------cpu----- -----timestamp-----
 r  b   swpd   free   buff  cache   si   so    bi    bo   in   cs us sy id wa st                 UTC
 8  0      0 16977352  59544 3620920    0    0   715  1229  440 1113 43  6 50  0  0 2026-11-28 00:00:01
 9  0      0 16900000  59544 3620920    0    0     0     0 1120 4899 95  5  0  0  0 2026-11-28 00:00:02
"""
# Its lines are of one width, as those that a terminal broke.
NUMASTAT = """
Per-node system memory usage (in MBs):
                          Node 0          Node 1           Total
                 --------------- --------------- ---------------
MemTotal                64147.85        64506.37       128654.22
MemFree                 30441.17        12345.06        42786.23
MemUsed                 33706.68        52161.31        85867.99
Active(file)             1000.00         2000.00         3000.00
Inactive(file)           4000.00         5000.00         9000.00
FilePages               20000.00        30000.00        50000.00
Mapped                   1234.00         2234.00         3468.00
AnonPages               11234.00        18234.00        29468.00
Shmem                     123.00          234.00          357.00
SReclaimable             1000.00         2000.00         3000.00
SUnreclaim                523.00          534.00         1057.00
HugePages_Total          1024.00            0.00         1024.00
"""
CRASH = """crash> kmem -i
                 PAGES        TOTAL      PERCENTAGE
    TOTAL MEM   123621       7.5 GB         ----
         FREE    74011       4.5 GB   59% of TOTAL MEM
      BUFFERS     1234      77.1 MB    0% of TOTAL MEM
       CACHED    34567       2.1 GB   17% of TOTAL MEM

   TOTAL SWAP   524287         2 GB         ----
"""


def areas(lowest: int, highest: int) -> str:
    """What crash prints of a zone that has free blocks of order 0 and 10."""
    rows = ["AREA    SIZE  FREE_AREA_STRUCT  BLOCKS  PAGES"]
    for order in range(11):
        blocks = {0: lowest, 10: highest}.get(order, 0)
        rows.append(f"{order:3} {4 << order:7}k  ffff88013ffd5{order:03x}  {blocks:6}  {blocks << order:5}")
    return "\n".join(rows)


CRASH_BLOCKS = f"""crash> kmem -f
NODE
  0
ZONE  NAME        SIZE    FREE  MEM_MAP       START_PADDR  START_MAPNR
  0   DMA         4095    3840  ffffea0000000040      1000            1
{areas(2, 3)}

NODE
  1
ZONE  NAME        SIZE    FREE  MEM_MAP       START_PADDR  START_MAPNR
  2   Normal    524288   51200  ffffea0000000040      1000            1
{areas(0, 50)}
"""
LARGE_BLOCKS = re.sub(r"(\d+)k", lambda size: f"{int(size[1]) * 16}k", CRASH_BLOCKS)
TOTALS = {
    "top": (TOP, 3012.5, 7953.6),
    "top in one line": (" ".join(TOP.split()) + "\n", 3012.5, 7953.6),
    "top of RHEL 6 in one line": (
        "top - 14:23:01 up 12 days, load average: 0.10 Tasks: 123 total Mem:   8144488k total,  5059688k used,  "
        "3084800k free,   123456k buffers Swap:  2097148k total,        0k used,  2097148k free,  2345678k cached\n",
        3012.5, 7953.602
    ),
    "top in GiB, French": (
        "GiB Mem :   15,533 total,    1,250 libr,    4,210 util,   10,073 tamp/cache\n", 1280.0, 15905.792
    ),
    "top, German": (
        "MiB Spch :   7832,2 gesamt,    849,0 frei,   4000,8 belegt,   2982,4 Puff/Cache\n", 849.0, 7832.2
    ),
    "top, German, without a space": (
        "MiB Spch:   7832,2 gesamt,    849,0 frei,   4000,8 belegt,   2982,4 Puff/Cache\n", 849.0, 7832.2
    ),
    "top, old": ("KiB Mem :  8144488 total,  3084800 free,  1240780 used,  3818908 buff/cache\n", 3012.5, 7953.602),
    "top of RHEL 6": (
        "Mem:   8144488k total,  5059688k used,  3084800k free,   123456k buffers\n"
        "Swap:  2097148k total,        0k used,  2097148k free,  2345678k cached\n", 3012.5, 7953.602
    ),
    "top of BusyBox": ("Mem: 118160K used, 128636K free, 128K shrd, 4588K buff, 28636K cached\n", 125.621, 241.012),
    "dstat before 0.7.3": (
        "usr sys idl wai hiq siq| used  buff  cach  free\n  1   0  98   0   0   0|123M 12.0M 5512M  382M\n", 382.0, None
    ),
    "atop": (
        "MEM | tot     7.8G | free    3.0G | cache 3.1G  | buff  200.5M | slab  512.0M |\n", 3072.0, 7987.2
    ),
    "vmstat -t 1": (VMSTAT, 16503.906, None),
    "vmstat -a": (VMSTAT.replace("buff  cache", "inact active"), 16503.906, None),
    "vmstat -t 1, German": (VMSTAT.replace("swpd   free   buff  cache", "Swpd   frei   Puff  Cache"), 16503.906, None),
    "vmstat -a, French": (VMSTAT.replace("swpd   free   buff  cache", "swpd  libre  inact  actif"), 16503.906, None),
    "vmstat -S M": (
        "$ vmstat -w -S M 2\n" + VMSTAT.replace("16900000  59544 3620920", "   16503     58    3536"), 16503, None
    ),
    "vmstat -s": (
        "     24683656 K total memory\n     17009316 K free memory\n      59600 K buffer memory\n", 16610.66, 24105.133
    ),
    "vmstat -S k": (
        VMSTAT.replace("16900000", "17305601"), 17305601 * 1000 / MIB, None
    ),
    "vmstat -s -S k": (
        "     25276064 k total memory\n     17417541 k free memory\n      61030 k buffer memory\n", 16610.662, 24105.133
    ),
    "vmstat -s -S m": ("     25276 m total memory\n     17417 m free memory\n", 16610.146, 24105.072),
    "sar -r": (
        "12:00:01 AM kbmemfree   kbavail kbmemused  %memused kbbuffers  kbcached\n"
        "12:10:01 AM    211444   1811444   3600000     94.45     12000   1500000\n"
        "Average:       333333   1811444   3600000     94.45     12000   1500000\n", 206.488, None
    ),
    "sar -r -h": (
        "12:00:01 AM kbmemfree   kbavail kbmemused  %memused kbbuffers  kbcached\n"
        "12:10:01 AM      1.2G      7.9G      7.7G     49.5%    120.6M      6.4G\n", 1228.8, None
    ),
    "numastat -m": (NUMASTAT, 42786.23, 128654.22),
    "numastat -m, the total on a page of its own": (
        "Node 0          Node 1          Node 2\nMemTotal  64000.00  64000.00  64000.00\nMemFree  1.00  2.00  3.00\n\n"
        "                 Total\n       ---------------\nMemTotal     192000.00\nMemFree  6.00\n", 6.0, 192000.0
    ),
    "numactl -H": ("node 0 size: 1963 MB\nnode 0 free: 211 MB\nnode 1 size: 2000 MB\nnode 1 free: 100 MB\n", 311, 3963),
    "crash, kmem -i, pages of 64 KiB": (CRASH, 4625.688, 7726.312),
    "crash, kmem -f": (CRASH_BLOCKS, 212.008, None),
    "crash, kmem -f, pages of 64 KiB": (LARGE_BLOCKS, 3392.125, None),
    "dumpsys meminfo": (
        "Total RAM: 5,702,032K (status normal)\n Free RAM: 2,345,678K (  300,000K cached pss + 1,900,000K cached kernel"
        " +   145,678K free)\n Used RAM: 3,098,000K (2,500,000K used pss +   598,000K kernel)\n", 142.264, 5568.391
    ),
    "dumpsys meminfo, old": (
        "Total RAM: 2957612 kB (status normal)\n"
        " Free RAM: 1234567 kB (300000 cached pss + 900000 cached kernel + 34567 free)\n", 33.757, 2888.293
    ),
}  # fmt: skip


@pytest.mark.parametrize(
    ("text", "tool", "least", "most"),
    [
        (
            "GiB Mem :     15.5 total,      3.0 free,      7.9 used,      4.6 buff/cache\n"
            "GiB Swap:      0.0 total,      0.0 free,      0.0 used.      6.7 avail Mem\n",
            "top", 3020.8, 3123.2
        ),
        ("------memory-usage-----\n used  free  buff  cach\n7.9G 3.0G  195M 4.6G\n", "dstat", 3020.8, 3123.2),
        (
            "Area                           Used      Cache   Noncache \n"
            "kernel dynamic memory          1.2G       1.0G     200.0M \n"
            "userspace memory               8.0G       4.0G       4.0G \n"
            "free memory                    3.0G       3.0G          0 \n",
            "smem -w", 3020.8, 3123.2
        ),
    ],
    ids=["top", "dstat", "smem"],
)  # fmt: skip
def test_what_tools_round_lies_between_bounds(tmp_path: Path, text: str, tool: str, least: float, most: float) -> None:
    """3.0 GiB were said to be 3,072 MiB to the byte."""
    (tmp_path / "text").write_text(text)
    found = diagnose(tmp_path / "text")
    assert found.to_dict()["free_mib"] == pytest.approx([least, most], abs=0.001)
    assert f"{tool} rounds its figures: from 3,020 to 3,123 MiB are free" in "".join(found.warnings)
    assert found.free_resident["waiting"].most == pytest.approx(most * MIB, abs=1)


def _refusal(path: Path, text: str) -> str:
    path.write_text(text)
    with pytest.raises(InputError) as refused:
        diagnose(path)
    return str(refused.value)


@pytest.mark.parametrize("tool", TOTALS)
def test_totals_of_tools(tmp_path: Path, tool: str) -> None:
    text, free, total = TOTALS[tool]
    path = tmp_path / "text.txt"
    path.write_text(text)
    found = diagnose(path).to_dict()
    # Rounded to tenths of a GiB: half of one more or less.
    expected = [free - 51.2, free + 51.2] if tool in ("atop", "sar -r -h") else free
    assert (found["free_mib"], found["memory_mib"]) == (pytest.approx(expected, abs=0.001), total)
    guessed = {"vmstat -S k": "kB"}
    assert [word for word in ("MiB", "kB") if any(f"for {word}" in each for each in found["warnings"])] == [
        guessed[each] for each in guessed if each == tool
    ]


@pytest.mark.parametrize("text", [CRASH, LARGE_BLOCKS])
def test_crash_tells_the_size_of_a_page(tmp_path: Path, text: str) -> None:
    """It stayed 4 KiB."""
    path = tmp_path / "text.txt"
    path.write_text(text)
    assert diagnose(path).setting.page_size == 65536


@pytest.mark.parametrize(
    "text",
    [
        "TiB Mem :      0.0 total,      0.0 free,      0.0 used,      0.0 buff/cache\n",
        "       total       used       free     shared buff/cache  available\nMem:      0    0    0    0    0    0\n",
    ],
    ids=["top -E t", "free --tebi"],
)
def test_in_too_large_units_nothing_is_told(tmp_path: Path, text: str) -> None:
    path = tmp_path / "text.txt"
    path.write_text(text)
    with pytest.raises(InputError, match="holds nothing that tells of free memory"):
        diagnose(path)


def test_what_they_tell_besides_free(tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_text(NUMASTAT)
    used = diagnose(path).used_by
    assert (used["slab_reclaimable"].best, used["hugetlb"].best) == (3000 * MIB, 1024 * MIB)
    assert used["cache_clean"].most == 12000 * MIB
    path.write_text(TOP)
    found = diagnose(path)
    assert found.used_by["cache_and_slab"].best == int(3729.4 * MIB)
    # The cache, what lists may hold, and what zones under their watermarks may have.
    most = 3729.4 + 7953.6 / 8 + 7953.6 / 3
    assert found.would_bring["drop_caches"][0].most == pytest.approx(most * MIB, abs=2)
    path.write_text(CRASH_BLOCKS)
    zones = diagnose(path).zones
    assert [(zone.node, zone.name, (zone.counts or [])[10]) for zone in zones] == [(0, "DMA", 3), (1, "Normal", 50)]


def test_what_vmstats_m_is_its_command_tells_or_it_lies_between_bounds(tmp_path: Path) -> None:
    """10^6 bytes were taken for a MiB, 5 % more."""
    path = tmp_path / "text.txt"
    rows = VMSTAT.replace("16977352  59544 3620920", "   17384     60    3707").replace(
        "16900000  59544 3620920", "   17305     60    3707"
    )
    path.write_text(rows)
    found = diagnose(path)
    assert found.free == 17305 * MIB
    assert found.to_dict()["free_mib"] == [pytest.approx(16503.334), 17306]
    assert "from 16,503 to 17,306 MiB are free; `vmstat -S K` tells it" in found.warnings[0]
    for command, unit in (("vmstat -S m 1", 10**6), ("vmstat -t -SM 1 2", MIB), ("vmstat -wt --unit m", 10**6)):
        path.write_text(f"root@web-1:~# {command}\n{rows}")
        found = diagnose(path)
        assert (found.free, found.evidence.rounded(), found.warnings) == (17305 * unit, {}, [])


def test_a_column_that_is_damaged_tells_nothing_of_what_is_free(tmp_path: Path) -> None:
    path = tmp_path / "vmstat.txt"
    path.write_text(VMSTAT.replace("16900000  59544 3620920", "   16503     58    3536").replace("free", "fr&e"))
    found = diagnose(path)
    assert any("are taken for MiB, by their size" in line for line in found.warnings)
    assert found.free is None


def test_tables_of_several_machines(tmp_path: Path) -> None:
    """The last one's were read without a word."""
    rows = [
        {"host": host, "memory_total": str(8 << 30), "memory_free": str(free << 20), "buffers": "0", "cached": "4096"}
        for host, free in (("web-1", 1000), ("db-2", 3000))
    ]
    path = tmp_path / "text.txt"
    for several in (rows, rows[::-1]):
        path.write_text(json.dumps(several))
        found = diagnose(path)
        assert found.free == int(several[1]["memory_free"])
        assert any("osquery tells of several machines, or of moments with" in line for line in found.warnings)
    path.write_text(json.dumps(rows[:1] * 2))
    assert not diagnose(path).warnings
    path.write_text(
        "22:01:46  memtotal memfree buffers cached dirty slabmem  swptotal swpfree _mem_\n"
        "22:01:47    24105M  17917M     50M  3477M   27M    435M        0M      0M\n"
        "22:01:48    12105M   7917M     50M  3477M   27M    435M        0M      0M\n"
    )
    assert any("atopsar -m tells of several machines" in line for line in diagnose(path).warnings)


def test_proc_counts_before_tools(tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_text(f"{TOP}MemTotal: 4000000 kB\nMemFree: 1024 kB\n")
    assert diagnose(path).free == MIB


@pytest.mark.parametrize(
    ("tool", "text"),
    [
        ("htop", "  Mem[|||||||||||||||||||||||             1.21G/7.77G]\n  Swp[                          0K/2.00G]\n"),
        ("slabtop", " Active / Total Objects (% used)    : 1234567 / 1300000 (95.0%)\n"),
        ("docker stats", "CONTAINER ID   NAME      CPU %     MEM USAGE / LIMIT   MEM %     NET I/O\n"),
        ("ps", "USER         PID %CPU %MEM    VSZ   RSS TTY      STAT START   TIME COMMAND\n"),
    ],
)
def test_what_tells_nothing_of_free_memory_is_named(tmp_path: Path, tool: str, text: str) -> None:
    path = tmp_path / "text.txt"
    path.write_text(text)
    with pytest.raises(InputError, match=f"holds the output of {tool}.*, which doesn't tell what is free: expected"):
        diagnose(path)


def exported(name: str) -> str:
    """What node_exporter makes of a guest's file."""
    lines = [line.split() for line in (DATA / "compile612" / f"{name}.txt").read_text().splitlines()]
    if name == "buddyinfo":
        return "".join(
            f'node_buddyinfo_blocks{{node="0",size="{order}",zone="{line[3]}"}} {count}\n'
            for line in lines
            for order, count in enumerate(line[4:])
        )
    return "".join(
        f"node_memory_{line[0].replace('(', '_').replace(')', '')[:-1]}_bytes {int(line[1]) * 1024:.15e}\n"
        for line in lines
        if line[-1] == "kB"
    )


def test_node_exporter_of_no_machine(tmp_path: Path) -> None:
    path = tmp_path / "metrics"
    for node, count in (("0", "9e+99"), ("9" * 20, "5")):
        path.write_text(f'node_buddyinfo_blocks{{node="{node}",size="0",zone="Normal"}} {count}\n')
        with pytest.raises(InputError, match="holds nothing that tells of free memory"):
            diagnose(path)


@pytest.mark.parametrize("name", ["meminfo", "buddyinfo"])
def test_node_exporter_tells_what_the_files_do(tmp_path: Path, name: str) -> None:
    path = tmp_path / "metrics.txt"
    path.write_text(f"# HELP node_memory_MemFree_bytes Memory information field.\n{exported(name)}")
    told, expected = (diagnose(each).to_dict() for each in (path, DATA / "compile612" / f"{name}.txt"))
    for key in ("free_mib", "memory_mib", "zones", "used_by", "free_resident"):
        assert told[key] == expected[key]


@pytest.mark.parametrize(
    ("kept", "zones", "warning"),
    [
        (r'size="(?:0|1|10|2)"', set(), "rows of buddyinfo are cut off behind order 2, and left out"),
        (r'size="(?:9|10)"', set(), "rows of buddyinfo are cut off"),
        (r'size="\d"', set(), "rows of buddyinfo are cut off behind order 9"),
        (r'^(?!.*"DMA",size="7)', {"DMA32"}, "cut off or broken, and left out: Node 0, zone DMA"),
    ],
)
def test_exported_blocks_that_lack_orders_are_not_taken_for_none(
    tmp_path: Path, kept: str, zones: set[str], warning: str
) -> None:
    """Prometheus sorts sizes as words: a list that is cut off, or filtered, told of less than is free."""
    lines = [re.sub(r'(size="\d+"),(zone="\w+")', r"\2,\1", line) for line in exported("buddyinfo").splitlines()]
    path = tmp_path / "metrics"
    path.write_text("MemFree: 500000 kB\n" + "".join(f"{line}\n" for line in lines if re.search(kept, line)))
    found = diagnose(path)
    assert {zone.name for zone in found.zones} == zones
    assert any(warning in line for line in found.warnings)


def test_crashs_blocks_that_are_cut_off_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "kmem"
    path.write_text(CRASH_BLOCKS[: CRASH_BLOCKS.rindex("  5 ")])
    found = diagnose(path)
    assert [(zone.node, zone.name) for zone in found.zones] == [(0, "DMA")]
    assert any("cut off or broken, and left out: Node 1, zone Normal" in line for line in found.warnings)


def test_meminfo_taken_apart_as_json(tmp_path: Path) -> None:
    path = tmp_path / "facts.json"
    path.write_text(json.dumps({"host": "web", "memory": {"MemTotal": "4000000 kB", "MemFree": "1024 kB"}}))
    assert (diagnose(path).free, diagnose(path).total) == (MIB, 4000000 << 10)


def test_of_several_files_the_last_counts_as_is_said(tmp_path: Path) -> None:
    (tmp_path / "one").write_text(TOP)
    (tmp_path / "two").write_text(TOP.replace("3012.5 free", "4096.0 free"))
    found = diagnose([tmp_path / "one", tmp_path / "two"])
    assert found.free == 4096 * MIB
    assert any("holds top again: what was read last counts" in warning for warning in found.warnings)


def test_of_several_logs_every_report_counts(tmp_path: Path) -> None:
    """It was said that the last log counts."""
    for name in ("6.1, two nodes", "6.18"):
        (tmp_path / name).write_text(SAMPLES[name])
    found = diagnose([tmp_path / "6.1, two nodes", tmp_path / "6.18"])
    assert len(found.failures) == 2
    assert not any("again" in warning for warning in found.warnings)


def test_the_tables_after_the_one_with_what_is_free_are_not_read(tmp_path: Path) -> None:
    """Of sar -A the last table's figures were taken for free memory: none; nmon's rows of disks for its memory."""
    path = tmp_path / "text"
    head = "Linux 6.18.44 (vm) \t11/29/26 \t_x86_64_\t(2 CPU)\n\n"
    path.write_text(
        f"{head}21:16:07    kbmemfree   kbavail kbmemused  %memused kbbuffers  kbcached  kbcommit\n"
        "21:16:08     22506028  23600332    749440      3.04     18552   1207892    991552\n"
        "21:16:09     22476540  23574212    775556      3.14     18552   1211068   1014324\n"
        "Average:     22491284  23587272    762498      3.09     18552   1209480   1002938\n\n"
        "21:16:07    kbswpfree kbswpused  %swpused  kbswpcad   %swpcad\n"
        "21:16:08            0         0      0.00         0      0.00\n\n"
        "21:16:07      pgpgin/s pgpgout/s   fault/s  majflt/s  pgfree/s pgscank/s pgscand/s\n"
        "21:16:08          0.00      0.00    111.00      0.00    222.00      0.00      0.00\n"
    )
    assert diagnose(path).free == 22476540 << 10
    path.write_text(
        "# hostname;interval;timestamp;kbmemfree;kbavail\nvm;1;2026-11-29 21:16:08 UTC;22506028;23600332\n"
        "# hostname;interval;timestamp;kbswpfree;kbswpused;%swpused\nvm;1;2026-11-29 21:16:08 UTC;0;0;0\n"
    )
    assert diagnose(path).free == 22506028 << 10
    path.write_text(
        "MEM,Memory MB vm,memtotal,hightotal,lowtotal,swaptotal,memfree,highfree\n"
        "DISKBUSY,Disk %Busy vm,loop0,loop1,loop2,vda,vdb,vdc,vdd\n"
        "MEM,T0001,24105.6,-0.0,-0.0,0.0,21917.9,-0.0\n"
        "DISKBUSY,T0001,0.0,0.0,0.0,2.3,0.0,0.0,0.0\n"
    )
    assert diagnose(path).free == int(21917.9 * MIB)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Mach Virtual Memory Statistics: (page size of 16384 bytes)\nPages free:     12345.\n", "macOS' vm_stat, "),
        (
            "PhysMem: 15G used (2100M wired, 1500M compressor), 512M unused.\n",
            "macOS' top, which is no Linux machine's",
        ),
        ("Mem: 123M Active, 456M Inact, 789M Wired, 100M Buf, 12M Free\n", "FreeBSD's top, which is no Linux"),
        ("OS Name:       Microsoft Windows 11 Pro\nAvailable Physical Memory: 8,012 MB\n", "Windows, which is no"),
        ("FreePhysicalMemory  TotalVisibleMemorySize\n8204288             16701440\n", "Windows, which is no"),
        ("vm.stats.vm.v_page_count: 2012345\nvm.stats.vm.v_free_count: 591912\n", "FreeBSD's sysctl, which is no"),
        (" r b w   avm   fre   flt  re  pi  po    fr\n 0 0 0  1.2G  2.2G   123   0   0   0   234\n", "a BSD's or AIX'"),
        (" r   s   avm     fre  flt  re  pi  po\n 1  85   45M   1623M   56   0   0   0\n", "a BSD's or AIX' vmstat, "),
        (" r  b   avm   fre  re  pi  po  fr\n 1  1 1234567 12345   0   0   0   0\n", "a BSD's or AIX' vmstat, "),
        (" r b w   swap  free  re  mf pi po\n 0 0 0 4123456 1234567 3  12  0  0\n", "Solaris' vmstat, which is no"),
        ("The system has 17179869184 (1048576 pages with a page size of 16384).\n", "macOS' memory_pressure, which"),
        ("Betriebssystemname:          Microsoft Windows 11 Pro\n", "Windows, which is no Linux"),
        ("Image Name                     PID Session Name        Session#    Mem Usage\n", "Windows, which is no"),
        ("\\\\pc1\\memory\\available mbytes :\n8012\n", "Windows, which is no Linux"),
        ("     16266256 K Gesamtspeicher\n       382000 K freier Speicher\n", "vmstat -s in this language (`LC_ALL=C"),
        ("PMEM  /MB: 65535   total: 1234     vmk,45678 other,  18623 free\n", "ESXi's esxtop, which is no"),
        ('{"memory": {"system": {"available_bytes": 2320671, "total_bytes": 25276}}}', "facter, which doesn't tell"),
        ("memory => {\n  available_bytes => 2320671,\n", "facter, which doesn't tell"),
        (
            "OBJS ACTIVE  USE OBJ SIZE  SLABS OBJ/SLAB CACHE SIZE NAME\n2369 2369 99% 0.19K 112 21 451K dentry\n",
            "slabtop, which doesn't tell",
        ),
        (
            "Per-node system memory usage (in MBs):\n                 Node 0 Node 1\nMemTotal         490303  97280\n",
            "numastat -m, whose lines are broken or missing",
        ),
        ("numa_hit   1\nnuma_miss  0\nnuma_foreign   0\n", "numastat without -m, which doesn't tell"),
        (
            "earlyoom[1]: mem avail:  1234 of  7953 MiB (15.52%), swap free: 0 of 0 MiB ( 0.00%)\n",
            "earlyoom, which doe",
        ),
        ("             flags\tpage-count       MB  symbolic-flags\t\t\tlong-symbolic-flags\n", "page-types, a form of"),
        ("free.value 23206715392\nslab.value 23206715\n", "munin, a form of it that is not read"),
        (
            "xentop - 12:00:00   Xen 4.17.3\n2 domains: 1 running, 1 blocked, 0 paused, 0 crashed, 0 dying\n"
            "Mem: 16665208k total, 9065208k used, 7600000k free    CPUs: 4 @ 2400MHz\n",
            "xentop (it has the host's memory",
        ),
        ('{"cpu":0.01,"memory":{"free":3221225472,"total":16590675968,"used":13369450496}}\n', "Proxmox' node status"),
        ('│ memory         │ {"free":3221225472,"total":16590675968,"used":13369450496} │\n', "Proxmox' node st"),
        ("MEM web01 1795844795 2026/11/28 22:13:20 60 4096 4050458 786432 1000000 50000\n", "atop -P, a form of it"),
        (
            '{"labels":["time","free","used","cached","buffers"],"data":[[1795844795,3072.5,8000.1]]}\n',
            "netdata, a form",
        ),
        ("memoryfree => 3.00 GB\nmemoryfree_mb => 3072.00\n", "facter, which"),
        ("12-07-2026 10:11:12 RAM 2847/7772MB (lfb 512x4MB) SWAP 0/3886MB CPU [12%@1574]\n", "tegrastats, which doe"),
        ("Name  State   CPUUsage(%) MemoryAssigned(M) Uptime   Status   Version\n", "Hyper-V's Get-VM, which doe"),
        ("│Used:   38%    11.9 GiB││\n│Available:   62%    19.3 GiB││Free: 59%   549 GiB  │\n", "btop, a form of it"),
        ("<memory>\n<memfree>22506028</memfree>\n</memory>\n", "sadf -x, a form of it that is not read"),
    ],
)
def test_what_else_is_refused_is_named(tmp_path: Path, text: str, words: str) -> None:
    assert f"text: holds the output of {words}" in _refusal(tmp_path / "text", text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "[1.5] Out of memory: Killed process 12 (java) total-vm:8kB, anon-rss:4kB\n",
            "the OOM killer's last lines, which",
        ),
        (
            "Nov 28 00:47:11 n1 kernel: Memory cgroup out of memory: Kill process 12 (java) score 1\n",
            "from `invoked oom-",
        ),
        (
            "oom-kill:constraint=CONSTRAINT_NONE,nodemask=(null),cpuset=/,mems_allowed=0,global_oom\n",
            "the OOM killer's",
        ),
        ("      Reason:       OOMKilled\n      Exit Code:    137\n", "a container's end, which doesn't tell"),
        ("[12.3] virtio_balloon virtio3: Out of puff! Can't get 1 pages\n", "the balloon driver's lines, which"),
        ("00:05.0 Unclassified device [00ff]: Red Hat, Inc. Virtio memory balloon\n", "a balloon device's name, which"),
        ("virtio_balloon         28672  0\n", "a balloon device's name, which"),
        ("MEM | tot     7.8G | free    3.", "the output of atop, whose lines are broken"),
        ("[ 12.345678] SLUB: Unable to allocate memory on node -1, gfp=0xcc0(GFP_KERNEL)\n", "SLUB's lines, which"),
        ("[ 12.3] vmap allocation for size 8392704 failed: use vmalloc=<size> to increase size\n", "vmalloc's lines,"),
        ("[ 10.1] cma: cma_alloc: linux,cma: alloc failed, req-size: 2048 pages, ret: -12\n", "a contiguous area's"),
        ("[ 0.1] Memory: 3912345K/4193744K available (20480K kernel code)\n", "the boot's line of memory, which"),
        ("01-05 09:12:33.1 512 512 I lowmemorykiller: Kill 'a.b' (12), uid 10100\n", "Android's lowmemorykiller's l"),
    ],
)
def test_lines_that_tell_too_little_are_named(tmp_path: Path, text: str, words: str) -> None:
    assert words in _refusal(tmp_path / "text", text)


def test_numastat_in_few_columns_atopsar_and_vmstat_in_bytes(tmp_path: Path) -> None:
    """Bytes were taken for KiB, without a word, and the others refused."""
    path = tmp_path / "text"
    path.write_text(
        "Per-node system memory usage (in MBs):\n                 Node 0 Node 1 Total\n"
        "                 ------ ------ -----\nMemTotal          13530  13530 27060\n"
        "MemFree            7314   7314 14628\n"
    )
    assert diagnose(path).free == 14628 * MIB
    path.write_text(
        "22:01:46  memtotal memfree buffers cached dirty slabmem  swptotal swpfree _mem_\n"
        "22:01:47    24105M  17917M     50M  3477M   27M    435M        0M      0M\n"
    )
    assert (diagnose(path).free, diagnose(path).total) == (17917 * MIB, 24105 * MIB)
    path.write_text(
        " r  b   swpd   free   buff  cache   si   so    bi    bo   in   cs us sy id wa st\n"
        " 7  0      0 18988171264 52625408 4055093248    0    0   597  1313  441 1071 80  9 10  0  0\n"
    )
    assert diagnose(path).free == 18988171264
    assert "taken for bytes" in diagnose(path).warnings[0]


@pytest.mark.parametrize("name", ["dool", "dstat", "vmstat_-w_-s_m"])
def test_a_table_that_is_cut_off_at_its_right_is_read_or_refused(tmp_path: Path, name: str) -> None:
    """The line above its head was one with the head, whose columns then were other rows' columns."""
    text = (DATA / "tools" / "read" / f"{name}.txt").read_text()
    expected = diagnose(DATA / "tools" / "read" / f"{name}.txt").free
    path = tmp_path / "text"
    for width in range(10, 90):
        path.write_text("".join(f"{line[:width]}\n" for line in text.splitlines()))
        with suppress(InputError):
            assert diagnose(path).free in (expected, None), width


@pytest.mark.parametrize("width", range(40, 100))
def test_vmstats_rows_with_times_that_were_broken_are_read_or_refused(tmp_path: Path, width: int) -> None:
    """The rests of broken rows were rows, where a date and a time stand behind them."""
    path = tmp_path / "text"
    for prefix in ("", "[  532.610402][    T0] ", "Nov 28 00:47:11 web-1 collect: "):
        lines = [f"{prefix}{line}" for line in VMSTAT.splitlines()]
        path.write_text("".join(f"{part}\n" for line in lines for part in textwrap.wrap(line, width)))
        with suppress(InputError):
            assert diagnose(path).free in (16900000 << 10, None), prefix


def test_dools_shares_are_no_sizes(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("------memory-percent---\n used  free  cach  avai\n  5.1  60.2  30.1  90.2\n")
    with pytest.raises(InputError, match="nothing that tells of free memory"):
        diagnose(tmp_path / "text")


@pytest.mark.parametrize("width", range(20, 80))
def test_top_that_a_narrow_terminal_broke_is_read_or_refused(tmp_path: Path, width: int) -> None:
    path = tmp_path / "text.txt"
    lines = TOP.splitlines()
    path.write_text("".join(f"{line[at : at + width]}\n" for line in lines for at in range(0, len(line), width)))
    with suppress(InputError):
        assert diagnose(path).free == int(3012.5 * MIB)
    path.write_text("".join(f"{part}\n" for line in lines for part in textwrap.wrap(line, width)))
    assert diagnose(path).free == int(3012.5 * MIB)


@pytest.mark.parametrize("name", ["sar_-r", "sar_-A"])
def test_sar_that_is_shown_latest_first(tmp_path: Path, name: str) -> None:
    """It was said to have no table of memory, or to be no such thing."""
    (tmp_path / "text").write_text("\n".join((DATA / "tools" / "read" / f"{name}.txt").read_text().splitlines()[::-1]))
    assert diagnose(tmp_path / "text").free == 3072 * MIB


def test_numactl_that_is_there_twice_or_lacks_a_node(tmp_path: Path) -> None:
    """The first was added to itself, the other's nodes were all."""
    text = (
        "available: 2 nodes (0-1)\nnode 0 cpus: 0 1\nnode 0 size: 1963 MB\nnode 0 free: 211 MB\nnode 1 cpus: 2 3\n"
        "node 1 size: 2000 MB\nnode 1 free: 100 MB\nnode distances:\n"
    )
    path = tmp_path / "text"
    path.write_text(text + text)
    found = diagnose(path)
    assert (found.free, found.total) == (311 * MIB, 3963 * MIB)
    for cut in ("node 1 cpus", "node 1 size", "node 1 free"):
        assert "numactl -H, whose lines are broken or missing" in _refusal(path, text.partition(cut)[0])


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("The node was low on resource: memory. Threshold quantity: 100Mi, available: 88392Ki.", "of an eviction"),
        ("  Warning  EvictionThresholdMet  3m (x3 over 10m)   kubelet  Attempting to reclaim memory", "of an eviction"),
        ('I0612 08:11:02.1 1234 eviction_manager.go:366] "Eviction manager: attempting to reclaim"', "of an eviction"),
        ("Warning  SystemOOM  5m  kubelet  System OOM encountered, victim process: java, pid: 12345", "of an eviction"),
        ("[    5.2] WARNING: CPU: 1 PID: 133 at mm/page_alloc.c:4534 __alloc_pages+0x3f2/0x1230", "than its largest"),
        (
            "WARNING: mm/page_alloc.c:5136 at __alloc_frozen_pages_noprof+0x2a5/0x330, CPU#3: foo/133",
            "than its largest",
        ),
        ("        total    used    free\nMem:    782l    l4ll    9Z5", "of free, whose lines are broken"),
        ("-/+ buffers/cache:       2195       5786", "of free, whose lines are broken"),
        (
            "10:12:01 AM  pgpgin/s pgpgout/s   fault/s  majflt/s\n10:22:01 AM  1.10  12.30  1234.00  0.01",
            "sar without -r",
        ),
        ("actual 4194304\nrss 3912344", "virsh dommemstat without the guest's own figures"),
        ('{"return": {"stats": {"stat-free-memory": 18446744073709551615}, "last-update": 0}}', "guest-stats without"),
        ("Total Physical Memory:     16,280 MB", "Windows, which is no Linux machine's"),
        ("GiB Mem :   15.5/31.2     [|||||||||||||||||||||                ]", "top with bars .the key m"),
        ("MiB Mem : 31.3/15886.0   [||||||      ]     MiB Swap:  0.0/8191.0   [      ]", "top with bars .the key m"),
    ],
)
def test_notes_of_memory_without_figures_are_named(tmp_path: Path, text: str, named: str) -> None:
    path = tmp_path / "text"
    path.write_text(f"{text}\n")
    with pytest.raises(InputError, match=f"holds .*{named}"):
        diagnose(path)


@pytest.mark.parametrize("marks", ["MIN: 3049  LOW: 3811  HIGH: 4573", "MIN/LOW/HIGH: 3049/3811/4573"])
@pytest.mark.parametrize("present", ["  PRESENT: 760058", ""])
def test_crashs_zones_are_read(tmp_path: Path, marks: str, present: str) -> None:
    """They were refused."""
    path = tmp_path / "kmem"
    path.write_text(
        'crash> kmem -z\nNODE: 0  ZONE: 0  ADDR: ffff88813fffad00  NAME: "DMA"\n  [unpopulated]\n'
        'NODE: 1  ZONE: 1  ADDR: ffff88813fffb480  NAME: "DMA32"\n'
        f"  SIZE: 1044480{present}  {marks}\n  VM_STAT:\n          NR_FREE_PAGES: 540012\n"
        '      NR_ZONE_INACTIVE_ANON: 123\nNODE: 1  ZONE: 2  ADDR: ffff88813fffbc00  NAME: "Normal"\n  SIZE: 10\n'
    )
    found = diagnose(path)
    (zone,) = found.zones
    assert (zone.node, zone.name, zone.free, zone.min, zone.low, zone.high) == (1, "DMA32", 540012, 3049, 3811, 4573)
    assert found.free == 540012 << 12
    path.write_text(f"{path.read_text()}{CRASH_BLOCKS}")
    assert {(zone.node, zone.name) for zone in diagnose(path).zones} == {(0, "DMA"), (1, "DMA32"), (1, "Normal")}


@pytest.mark.parametrize("time", ["10:00:01", "2024-03-05 10:00:01", "2024-03-05T10:00:01+01:00", "1711111111"])
def test_times_that_a_script_put_before_vmstats_rows_move_no_column(tmp_path: Path, time: str) -> None:
    """What is swapped out was taken for what is free, without a word."""
    path = tmp_path / "vmstat"
    lines = VMSTAT.splitlines()
    path.write_text("".join(f"{time} {line}\n" if line.strip()[:1].isdigit() else f"{line}\n" for line in lines))
    plain = tmp_path / "plain"
    plain.write_text(VMSTAT)
    assert diagnose(path).free == diagnose(plain).free
    path.write_text(
        "".join(f"|{'|'.join(line.split())}|\n" for line in lines if "swpd" in line or line.strip()[:1].isdigit())
    )
    assert diagnose(path).free == diagnose(plain).free


def test_figures_without_units_are_no_tops(tmp_path: Path) -> None:
    """MiB were taken for KiB, without a word."""
    path = tmp_path / "text"
    path.write_text("Mem: 15885 total, 9973 used, 382 free, 5529 cache (MiB)\n")
    with pytest.raises(InputError, match="holds nothing that tells of free memory"):
        diagnose(path)
    path.write_text("Mem: 16266256 total, 9973000 used, 382000 free, 5529000 buffers\n")
    assert diagnose(path).free == 382000 << 10


@pytest.mark.parametrize("decimals", [False, True])
@pytest.mark.parametrize("is_french", [False, True])
def test_top_before_procps_3_3_10_has_used_before_free(tmp_path: Path, is_french: bool, decimals: bool) -> None:
    """As Debian 7 and 8 and Ubuntu 14.04 print it: what is used was taken for what is free, without a word."""
    text = (
        "KiB Mem:  16266256 total,  15884256 used,   382000 free,   151234 buffers\n"
        "KiB Swap:  2097148 total,     1232 used,  2095916 free.  5512344 cached Mem\n"
    )
    if decimals:
        text = re.sub(r"(\d+)(?= )", r"\1.000", text)
    if is_french:
        for word, other in (("total", "total "), ("used", "util"), ("free", "libr"), ("buffers", "tampons")):
            text = text.replace(f" {word}", f" {other}")
    path = tmp_path / "top"
    path.write_text(text)
    found = diagnose(path)
    assert (found.total, found.free) == (16266256 << 10, 382000 << 10)
    path.write_text(text.replace("Mem:", "Mem :").replace("used", "free", 1).replace("free,   15", "used,   15"))
    if not is_french:
        assert diagnose(path).free == 15884256 << 10
