"""Totals of memory as tools print them: top, atop, vmstat, sar, numastat, and crash on a dump."""

import itertools
import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field

from pagehint.diagnosis.evidence import ZoneKey
from pagehint.diagnosis.figure import FIGURE_UNITS, SMALLEST_PAGE, Size, ends_of, parse_figure, slack_of

__all__ = [
    "Totals",
    "crash_page_size",
    "crash_zones_as_proc",
    "parse_crash_blocks",
    "parse_numastat",
    "parse_totals",
    "refused_text",
]

_SIZE = r"(\d[\d.,]{0,20})([bBkKMGTPE]?)"
_MOST_WORDS = 60

# Translated too: of the newer ones the places are known.
_TOP = re.compile(
    r"([KMGTPE])iB \S{1,20}(?P<later> ?): *" + ", *".join([r"(\d[\d.,]{0,20})[^\s,\d]?[ +][^\d,]{1,30}"] * 4), re.ASCII
)
_OLD_TOP = re.compile(r"Mem ?: *\d[\d.,]{0,20}[kKMGT]? (?:total|used),(?!.{0,100}\bCPUs:).{1,200}", re.ASCII)
_OLD_TOP_PART = re.compile(rf"{_SIZE}\+? ?(total|used|free|shrd|buffers|buff|cached)\b", re.ASCII)
_TOP_COLUMNS = "total", "free", "used", "buff_cache"
_EARLY_COLUMNS = {"free": "used", "used": "free", "buff_cache": "buffers"}
_AVAILABLE = re.compile(r"([KMGTPE])iB Swap ?:.{1,120}?(\d[\d.,]{0,20}) avail Mem", re.ASCII)
_USED_FIRST = re.compile(r" total, *[\d.,]{1,21}\D? ?used")
_OLD_CACHED = re.compile(
    r"(?:([KMGTPE])iB )?Swap ?: .{1,120}?(?<![\d.])(\d{1,20}(?:\.\d{1,3})?)([kKMGT]?) cached", re.ASCII
)
_ATOP = re.compile(r"MEM\s+tot\s.{1,300}", re.ASCII)
_ATOP_PART = re.compile(r"\b(tot|free|cache|buff|shmem)\s+(\d[\d.,]{0,20})([BKMGTPE])\b", re.ASCII)
_STATISTIC = re.compile(
    r"(\d{1,20}) (?:([bBkKmM]) )?(?:bytes )?(total memory|free memory|buffer memory|swap cache)", re.ASCII
)
_THOUSANDS = {"k": 1000, "m": 1000**2}
_CRASH_TOTAL = re.compile(
    r"(TOTAL MEM|FREE|SHARED|BUFFERS|CACHED)\s+(\d{1,15})\s+(\d[\d.]{0,12}) ?(KB|MB|GB|TB)?\s.{0,60}", re.ASCII
)
_CRASH_NODE = re.compile(r"(\d{1,4})(?:\s+\d{1,15}\s+[0-9a-f]{8,16}\s.{0,80})?", re.ASCII)
_CRASH_NAMED = re.compile(r"NODE: (\d{1,4})\s+ZONE: \d\s.{0,80}NAME: \"?([A-Z]\w{1,15})\"?(?:\s.{0,40})?", re.ASCII)
_CRASH_SIZES = re.compile(
    r"SIZE: (\d{1,15})(?:\s+PRESENT: (\d{1,15}))?\s+MIN(?:: (\d{1,15})\s+LOW: (\d{1,15})\s+HIGH: (\d{1,15})"
    r"|/LOW/HIGH: (\d{1,15})/(\d{1,15})/(\d{1,15})).{0,40}",
    re.ASCII,
)
_CRASH_FREE = re.compile(r"NR_FREE_PAGES: (\d{1,15})", re.ASCII)
_CRASH_ZONE = re.compile(
    r"\d\s+([A-Z]\w{1,15})\s+\d{1,15}\s+\d{1,15}\s+(?:[0-9a-f]{8,16}\s+)?[0-9a-f]{1,16}\s+\d{1,15}", re.ASCII
)
_CRASH_AREA = re.compile(r"(\d{1,2})\s+(\d{1,9})k\s+[0-9a-f]{8,16}\s+(\d{1,15})\s+(\d{1,15})", re.ASCII)
_ANDROID_TOTAL = re.compile(r"Total RAM:\s{0,20}([\d,]{1,20}) ?(?:K|kB)\b.{0,80}", re.ASCII)
_ANDROID_FREE = re.compile(
    r"Free RAM:.{1,120}?([\d,]{1,20})(?:K| ?kB)? cached kernel\s{0,9}\+\s{0,20}([\d,]{1,20})(?:K| ?kB)? free\b.{0,80}",
    re.ASCII,
)
_NUMASTAT_HEAD = re.compile(r"(?:Node\s\d{1,4}\s+){0,1024}Total", re.ASCII)
_NUMASTAT = re.compile(r"([A-Z][\w()]{2,30})((?:\s+\d{1,12}(?:\.\d{2})?){1,1025})", re.ASCII)
_NUMACTL = re.compile(r"node (\d{1,4}) (size|free): (\d{1,12}) MB|available: (\d{1,4}) nodes? .{1,200}", re.ASCII)
_PAGE_SIZES = (4096, 16384, 65536)
# Which column of a table is what, and in which unit; None: whole pages in KiB, or MiB.
_TABLES: dict[str, tuple[str, dict[str, str], int | None]] = {
    "vmstat's lines": ("swpd", {"free": "free", "buff": "buffers", "cache": "cached"}, None),
    "sar -r": (
        "kbmemfree",
        {"kbmemfree": "free", "kbavail": "available", "kbbuffers": "buffers", "kbcached": "cached"},
        1 << 10,
    ),
    "nmon": (
        "memtotal,",
        {"memtotal": "total", "memfree": "free", "cached": "cached", "buffers": "buffers"},
        1 << 20,
    ),
    "atopsar -m": (
        "swptotal",
        {"memtotal": "total", "memfree": "free", "buffers": "buffers", "cached": "cached"},
        1,
    ),
    "glances --stdout-csv": (
        "mem.free,",
        {f"mem.{name}": name for name in ("total", "free", "available", "buffers", "cached")},
        1,
    ),
    "osquery": (
        "memory_total",
        {"memory_total": "total", "memory_free": "free", "buffers": "buffers", "cached": "cached"},
        1,
    ),
    "dool": ("used  free  cach  avai", {"free": "free", "cach": "cached", "avai": "available"}, 1),
    "dstat": ("used  free  buff  cach", {"free": "free", "buff": "buffers", "cach": "cached"}, 1),
    "dstat before 0.7.3": ("used  buff  cach  free", {"free": "free", "buff": "buffers", "cach": "cached"}, 1),
}
# Translated: what stands third and fourth is known.
_VMSTAT_HEAD = re.compile(
    r"^(\s{0,9}r\s{1,9}b\s{1,20})[^\W\d_]{2,20}\s{1,20}[^\W\d_]{2,20}(?=(?:\s{1,20}[^\s\d]{1,20}){2}\s{1,9}si\s{1,9}so\s)"
)
# On one line with the head, where that was broken.
_RULES_ABOVE = re.compile(r"^(?:procs\s+)?(?:-{1,40}[\w-]{0,40}-\s+)+")
_OF_ONE_ROW = {"osquery"}  # a machine
_ASKED_UNIT = re.compile(r"\bvmstat\s(?:.{0,60}\s)?(?:-\w{0,8}S|--unit)[\s=]{0,3}([kKmM])\b")
_CELLS = re.compile(r"[\s|]+")
_TIME = re.compile(r"(?:\d\d(?::\d\d){1,2}|\d{4}-\d\d-\d\d|\d{10})(?:[T.,]\S{0,30})?:?", re.ASCII)
_SEPARATORS = re.compile("[,;]")
# Of sar's next table, behind a time and what else stands before a line; sadf's.
_OTHER_HEAD = re.compile(
    r"(?:\S{0,30}\d\S{0,30}\s+){1,3}(?:[AP]M\s+)?[A-Za-z%][\w%/.-]{0,30}(?:\s+[A-Za-z%][\w%/.-]{0,30}){1,40}"
    r"|# hostname;.{1,400}",
    re.ASCII,
)
# Of a head that was broken: the rests of its rows would be rows.
_REST_OF_HEAD = re.compile(r"[a-z]{1,8}(?:\s+[a-z]{1,8}){1,20}(?P<times>\s+[A-Z]{2,5})?", re.ASCII)
# Of a table whose head begins so, the rows do.
_BEGINNINGS = re.compile("MEM,"), re.compile(r"\d\d[:.]\d\d[:.]\d\d\b", re.ASCII)
_MOST_CUT = 2  # words of a row less than its head, where both are cut off
_FIGURES, _ANYTHING = re.compile(r"\d", re.ASCII), re.compile("")
# Times and words may stand around their rows, or the end be cut off.
_OF_ANY_LENGTH = {
    "swpd",
    "kbmemfree",
    "swptotal",
    "used  free  buff  cach",
    "used  buff  cach  free",
    "used  free  cach  avai",
}
_CELL = re.compile(r"(\d{1,18}(?:\.\d{1,6})?)([BkKMGT]?)", re.ASCII)
_SMALL = 16 << 10  # KiB: what no machine's free memory and page cache are
_MOST_MIB = 2 << 20
_NO_FREE = {
    "top with bars (the key m makes figures of them)": r"[KMGTPE]iB Mem ?:.{1,40}\[[|# ]{1,200}\].{0,120}",
    "htop": r"Mem\[.{0,200}?[\d.]{1,12}[KMGT]?/[\d.]{1,12}[KMGT]\].{0,80}",
    "sar without -r": (
        r".{0,40}\b(?:pgpgin/s\s+pgpgout/s|kbswpfree\s+kbswpused|pswpin/s\s+pswpout/s|kbhugfree\s+kbhugused)\b.{0,160}"
    ),
    "slabtop": r"Active / Total Objects \(% used\).{1,80}|OBJS\s+ACTIVE\s+USE\s+OBJ SIZE\s.{1,80}",
    "vmstat -m": r"Cache\s+Num\s+Total\s+Size\s+Pages",
    "tegrastats": r"(?:\S{1,40} \S{1,40} )?RAM \d{1,9}/\d{1,9}[kM]B \(lfb .{1,800}",
    "Hyper-V's Get-VM": r"Name\s+State\s+CPUUsage\(%\)\s+MemoryAssigned\(M\).{0,120}",
    "docker stats": r"CONTAINER ID\s+NAME\s+CPU %\s.{1,120}",
    "podman stats": r"ID\s+NAME\s+CPU %\s.{1,160}",
    "crictl stats": r"CONTAINER\s+NAME\s+CPU %\s+MEM\s.{1,80}",
    "kubectl top": r"(?:NAMESPACE\s+)?(?:POD\s+)?NAME\s+CPU\(cores\).{1,80}MEMORY\(bytes\).{0,40}",
    "kubectl describe node": r"ephemeral-storage: .{1,40}",
    "the kubelet's summary": r'.{0,200}"workingSetBytes":.{1,400}',
    "systemd-cgtop": r"(?:Control Group|CGroup)\s+(?:Tasks|Proc\S*)\s+%CPU\s+Memory.{0,60}",
    "a cgroup's memory.stat": r"(?:(?:in)?active_)?(?:anon|file) \d{1,20}",
    "smem": r"PID\s+User\s+Command\s+Swap\s+USS\s+PSS\s+RSS",
    "ps_mem": r"Private\s+\+\s+Shared\s+=\s+RAM used.{0,40}",
    "ps": r"USER\s+PID\s+%CPU\s+%MEM\s.{1,80}|PID\s.{0,80}\bRSS\b.{0,80}",
    "hostnamectl": r"(?:Static hostname|Machine ID): .{1,120}",
    "inxi": r"System RAM: total: .{1,120}|.{0,120}\bMemory: [\d./ ]{1,30}[KMG]iB.{0,20}used: .{1,80}",
    "neofetch": r"Memory: [\d.]{1,12} ?[MG]iB / [\d.]{1,12} ?[MG]iB.{0,40}",
    "facter": (
        r"memory => \{|memory(?:free|size)(?:_mb)? => .{1,40}"
        r'|.{0,400}\bavailable_bytes"?(?: =>|:) \d{1,20}\b.{0,400}'
    ),
    "lsmem": r"RANGE\s+SIZE\s+STATE\s.{1,40}|Total online memory: .{1,40}",
    "lshw": r"\*-memory.{0,20}",
    "dmidecode": r"Handle 0x[0-9A-F]{4}, DMI type .{1,40}",
    "docker info": r"Total Memory: [\d.]{1,12} ?[MG]iB",
    "QEMU's info balloon": r"balloon: actual=\d{1,20}.{0,200}|.{0,80}\"return\": ?\{\"actual\": ?\d{1,20}\}.{0,80}",
    "virsh dommemstat without the guest's own figures (its balloon driver gave none)": r"actual \d{4,15}",
    "QEMU's guest-stats without figures (the guest's balloon driver gave none)": (
        r'.{0,2000}"stat-free-memory": ?(?:18446744073709551615|-1)\b.{0,2000}'
    ),
    "virsh dominfo": r"Max memory: {1,40}\d{1,20} KiB",
    "xl list": r"Name\s+ID\s+Mem\s+VCPUs.{1,80}",
    "xentop (it has the host's memory, not a machine's)": r"xentop - .{1,80}|Mem: .{1,100} free +CPUs: .{1,40}",
    "Proxmox' node status (it counts caches as free)": (
        r'.{0,2000}(?:"memory": ?|[|│] memory +[|│] )\{"(?:free|total|used|available)": ?\d{1,20},.{1,4000}'
    ),
    "arc_summary": r"ARC size \(current\): .{1,80}",
    "xl info": r"xen_version\s+: .{1,40}",
    "systemd-oomd": r"(?:.{0,80}: )?(?:Killed|Marked) /\S{1,200} (?:\(.{0,40}\) )?(?:due to|for killing).{1,300}",
    "/proc/PID/status": r"VmRSS: {0,9}\d{1,15} kB",
    "/proc/PID/smaps": r"Shared_Hugetlb: {0,24}\d{1,15} kB",
    "zramctl": r"NAME\s+ALGORITHM\s+DISKSIZE\s.{1,80}",
    "earlyoom": r"(?:.{0,80}: )?mem avail: +\d{1,12} of +\d{1,12} MiB .{1,80}",
    "vmstat -d": r"disk- -+reads-+ -+writes-+ -+IO-+",
    "numastat without -m": r"numa_foreign(?:\s+\d{1,20}){1,64}",
}
_UNREAD = {
    "ZFS' arcstats": r"memory_free_bytes\s+\d\s+\d{1,20}",
    "pminfo": r"mem\.util\.free",
    "jc --proc-zoneinfo": r'.{0,4000}"pagesets": ?\[.{0,4000}',
    "sadf -x": r"<memfree>\d{1,20}</memfree>",
    "page-types": r"flags\s+page-count\s+MB\s+symbolic-flags.{0,60}",
    "atop -P": r"MEM \S{1,80} \d{10} \d{4}/\d\d/\d\d \d\d:\d\d:\d\d \d{1,9} .{1,400}",
    "netdata": (
        r'NETDATA_SYSTEM_RAM_FREE="\d.{0,40}|.{0,200}"labels": ?\["time", ?"free", ?"used",.{0,4000}'
        r"|netdata_system_ram_\w{1,40}\{.{1,400}"
    ),
    "btop": r"[|│┃]?Available: .{0,40}[\d.]{1,12} [KMGT]iB ?[|│┃].{0,400}",
    "vmstat -s in this language (`LC_ALL=C vmstat -s` is read)": (
        r"\d{4,15} [KM] (?!(?:total|used|active|inactive|free|buffer|swap)\b)[^\W\d_][^\d]{3,60}"
    ),
    "munin": r"(?:slab|page_tables|vmalloc_used|apps|fp_n\d{1,4}_z\w{1,40})\.value \d{1,20}",
    "Metricbeat's linux.pageinfo": r'.{0,200}(?:linux\.pageinfo\.|"pageinfo": ?\{).{0,200000}',
}
_BROKEN = {
    "numastat -m": r"Per-node system memory usage \(in MBs\):",
    "numactl -H": r"node \d{1,4} free: \d{1,12} MB",
    "free": (
        rf"Mem:(?=.{{0,200}}[1-9])(?:\s+{_SIZE}i?B?){{1,7}}|Mem:(?=.{{0,60}}[OoIlZS|])(?:\s+[\dOoIlZS|.,]{{1,14}}){{3,7}}"
        r"|-/\+ buffers/cache: .{1,60}"
    ),
    "atop": r"MEM\s+(?:\|\s+)?tot\s.{1,300}",
    "top": r"[KMGTPE]iB Mem ?: .{0,40}[1-9].{0,200}",
}
_FOREIGN = {
    "macOS' vm_stat": r"Mach Virtual Memory Statistics: .{1,60}",
    "macOS' top": r"PhysMem: .{1,80} unused\.",
    "FreeBSD's top": r"Mem: .{1,80} Wired,.{1,80} Free",
    "FreeBSD's sysctl": r"vm\.stats\.vm\.v_free_count(?:: ?|=)\d{1,15}",
    "a BSD's or AIX' vmstat": r"r\s+(?:b|s)\s+(?:w\s+)?avm\s+fre\s.{1,200}",
    "Solaris' vmstat": r"r\s+b\s+w\s+swap\s+free\s+re\s+mf\s.{1,200}",
    "macOS' memory_pressure": r"The system has \d{1,15} \(\d{1,12} pages with a page size of \d{4,6}\)\.",
    "Windows": (
        r"[^:]{1,40}: {1,40}Microsoft Windows.{0,80}|Total Physical Memory: .{1,60}"
        r"|(?:.{1,80}\s)?TotalVisibleMemorySize\b.{0,80}|Image Name +PID Session Name.{0,80}"
        r"|\\\\.{1,80}\\memory\\available \w{1,9} :"
    ),
    "ESXi's esxtop": r"PMEM {1,9}/MB: .{1,120}",
}
_OF_KERNEL = {
    "the OOM killer's last lines, which don't tell what is free: give all of them, from `invoked oom-killer` on": (
        r"(?:.{0,80}: )?(?:Memory cgroup out|Out) of memory: Kill(?:ed)? process .{1,400}|oom-kill:constraint=.{1,800}"
    ),
    "a warning of the page allocator, which doesn't tell what is free: most often more was asked for than its largest "
    "block, at any time": r"(?:.{0,80} )?WARNING: (?:CPU: .{1,30} at )?mm/page_alloc\.c:.{1,120}",
    "Kubernetes' words of an eviction, which don't tell what is free: give the node's /proc/meminfo": (
        r".{0,200}\b(?:was low on resource: memory|[Ee]viction manager: |EvictionThresholdMet\s|SystemOOM\s).{0,400}"
    ),
    "a container's end, which doesn't tell what is free": r"(?:Reason: +)?OOMKilled|\"OOMKilled\": true,?",
    "SLUB's lines, which don't tell what is free: give the `page allocation failure` beside them": (
        r"(?:.{0,40}: )?SLUB: Unable to allocate memory on .{1,120}"
    ),
    "vmalloc's lines, whose range of addresses is full, not memory: a 32-bit kernel takes more with vmalloc=SIZE": (
        r"(?:.{0,80}: )?vmap allocation for size \d{1,20} failed.{0,120}"
    ),
    "a contiguous area's lines, which don't tell what is free beside it: give /proc/meminfo and /proc/pagetypeinfo": (
        r"cma: .{1,200}|(?:.{0,40}: )?cma_alloc: .{0,80}alloc failed.{0,80}"
    ),
    "the boot's line of memory, which tells what was free before anything ran": (
        r"Memory: \d{1,15}[kK]/\d{1,15}[kK] available .{0,300}"
    ),
    "Android's lowmemorykiller's lines, which don't tell what is free": (
        r"(?:.{0,80}: ?)?(?:lowmemorykiller: Kill(?:ing)?|Killing) '[^']{1,80}' \(.{1,300}"
        r"|(?:.{0,80} )?lowmemorykiller: Kill.{1,300}"
    ),
    "the balloon driver's lines, which don't tell what is free": r"(?:.{0,40}: )?Out of puff! .{1,80}",
    "a balloon device's name, which doesn't tell whether it reports free pages, nor what is free": (
        r".{1,60}Virtio (?:1\.0 )?memory balloon.{0,40}|virtio_balloon +\d{1,9} +\d.{0,80}"
    ),
}
_REFUSED = {
    **_OF_KERNEL,
    **{f"the output of {tool}, which doesn't tell what is free": words for tool, words in _NO_FREE.items()},
    **{f"the output of {tool}, a form of it that is not read": words for tool, words in _UNREAD.items()},
    **{
        f"the output of {tool}, whose lines are broken or missing: give all of them, from a wide window": words
        for tool, words in _BROKEN.items()
    },
    **{f"the output of {tool}, which is no Linux machine's": words for tool, words in _FOREIGN.items()},
}


@dataclass(frozen=True)
class Totals:
    """What a tool prints: bytes by the names of COUNTERS; the last output of several counts.

    `unit` is the one that was guessed, where the figures have none, `ends` the least and the most that a figure may
    stand for, and `others` says that there are totals of other machines, or of moments with more and less memory.
    """

    what: str
    sizes: dict[str, int]
    unit: str | None = None
    ends: dict[str, tuple[int, int]] = field(default_factory=dict)
    others: bool = False


def parse_totals(lines: list[str]) -> Iterator[Totals]:
    """What each tool prints whose output is in the lines. O(length)."""
    read = {
        "top": _top,
        "atop": _atop,
        "vmstat -s": _statistics,
        "numactl -H": _nodes,
        "crash's kmem -i": _crash_totals,
        "Android's dumpsys meminfo": _android,
    }
    for what, told in ((what, reader(lines)) for what, reader in read.items()):
        # In units that are larger than all of it nothing is told.
        if "free" in told and ("total" not in told or told["total"].size):
            yield Totals(what, {name: each.size for name, each in told.items()}, ends=ends_of(told))
    lines = [_VMSTAT_HEAD.sub(r"\1swpd free", line) for line in lines]
    for what, (mark, names, known) in _TABLES.items():
        found = list(_rows(lines, mark, names, known or 1))
        rows = [row for row, _ in found]
        # Without units, dool's are shares.
        if rows and (known != 1 or sum(rows[-1].values()) >= _SMALL << 10):
            least, unit, guessed = (1, 1, None) if known is not None else _table_unit(rows, lines)
            sizes = {name: int(value * unit) for name, value in rows[-1].items()}
            ends = ends_of({name: Size(size, found[-1][1][name]) for name, size in sizes.items()})
            if least < unit:
                ends = {name: (int(value * least), int((value + 1) * unit)) for name, value in rows[-1].items()}
            others = len({row.get("total") for row in rows}) > 1 or (
                what in _OF_ONE_ROW and any(map(rows[-1].__ne__, rows))
            )
            yield Totals(what, sizes, guessed, ends, others)


def crash_zones_as_proc(lines: list[str]) -> list[str]:
    """The zones that crash's ``kmem -z`` prints, as /proc/zoneinfo has them; empty without any. O(length)."""
    found: list[str] = []
    head: list[str] = []
    for line in lines:
        if (named := _CRASH_NAMED.fullmatch(line)) is not None:
            head = [f"Node {named[1]}, zone {named[2]}"]
        elif head and (sizes := _CRASH_SIZES.fullmatch(line)) is not None:
            spanned, present, *marks = filter(None, (sizes[1], sizes[2] or sizes[1], *sizes.groups()[2:]))
            fields = ("spanned", spanned), ("present", present), *zip(("min", "low", "high"), marks, strict=True)
            head[1:] = [f"{name} {pages}" for name, pages in fields]
        elif head and (free := _CRASH_FREE.fullmatch(line)) is not None:
            found += [head[0], f"pages free {free[1]}", *head[1:]]
            head = []
    return found


def parse_crash_blocks(lines: list[str]) -> dict[ZoneKey, dict[int, int]]:
    """Free blocks by zone and order, as crash's ``kmem -f`` prints them. O(length)."""
    found: dict[ZoneKey, dict[int, int]] = {}
    node, after_node = 0, False
    key: ZoneKey | None = None
    for line in lines:
        if after_node and (match := _CRASH_NODE.fullmatch(line)) is not None:
            node = int(match[1])
        after_node = line.startswith("NODE")
        if (match := _CRASH_ZONE.fullmatch(line)) is not None:
            key = node, match[1]
            found.pop(key, None)
        elif key is not None and (match := _CRASH_AREA.fullmatch(line)) is not None and int(match[1]) <= 20:
            found.setdefault(key, {})[int(match[1])] = int(match[3])
    return found


def parse_numastat(lines: list[str]) -> dict[str, int]:
    """KiB of all nodes by meminfo's names, as ``numastat -m`` prints them in MB. O(length)."""
    found: dict[str, int] = {}
    columns = 0
    for line in lines:
        if _NUMASTAT_HEAD.fullmatch(line):
            columns = line.count("Node") + 1
        elif columns and (match := _NUMASTAT.fullmatch(line)) is not None:
            values = match[2].split()
            if len(values) == columns:
                name = "Hugetlb" if match[1] == "HugePages_Total" else match[1]
                if not name.startswith("HugePages_"):
                    found[name] = round(float(values[-1]) * 1024)
    return found


def refused_text(lines: Collection[str]) -> str | None:
    """What this is, and why it is not read, if it is known. O(length)."""
    for what, words in _REFUSED.items():
        if any(map(re.compile(words, re.ASCII).fullmatch, lines)):
            return what
    return None


# Without a unit in KiB. By name, without those that are no figures.
def _sizes(figures: Iterable[tuple[str, str, str]]) -> dict[str, Size]:
    read = ((name, text, parse_figure(text, unit), FIGURE_UNITS[unit.upper() or "K"]) for name, text, unit in figures)
    return {
        name: Size(int(figure * unit), slack_of(text, unit)) for name, text, figure, unit in read if figure is not None
    }


def _exactly(sizes: dict[str, int]) -> dict[str, Size]:
    return {name: Size(size) for name, size in sizes.items()}


def _top(lines: list[str]) -> dict[str, Size]:
    found: dict[str, Size] = {}
    for line in lines:
        if (match := _TOP.match(line)) is not None:
            sizes = _sizes((name, match[column], match[1]) for column, name in enumerate(_TOP_COLUMNS, 3))
            if _is_early(match, sizes):
                sizes = {_EARLY_COLUMNS.get(name, name): size for name, size in sizes.items()}
            found = {name: size for name, size in sizes.items() if name != "used"}
        elif _OLD_TOP.fullmatch(line):
            figures = _OLD_TOP_PART.findall(line)
            parts = _sizes((name, number, unit) for number, unit, name in figures)
            # Without units they are whole pages in KiB, or of anything.
            has_units = any(unit for _, unit, _ in figures)
            of_pages = not any(size % SMALLEST_PAGE for size, _ in parts.values())
            if "free" in parts and (has_units or (of_pages and max(parts.values()).size >= _SMALL << 10)):
                used, free = parts.get("used", Size(0)), parts["free"]
                all_of = Size(used.size + free.size, used.slack + free.slack)
                found = {"total": parts.get("total", all_of), "free": free}
                for name, word in (
                    ("buffers", "buffers"),
                    ("buffers", "buff"),
                    ("cached", "cached"),
                    ("shmem", "shrd"),
                ):
                    if word in parts:
                        found[name] = parts[word]
        elif found and (match := _AVAILABLE.match(line)) is not None:
            found |= _sizes([("available", match[2], match[1])])
        elif "buffers" in found and (match := _OLD_CACHED.match(line)) is not None:
            found |= _sizes([("cached", match[2], match[1] or match[3])])
    return found


# Before 3.3.10 what is used stands before what is free, and both are all there is. Later ones have a space before the
# colon, but not in all languages.
def _is_early(row: re.Match[str], sizes: dict[str, Size]) -> bool:
    if " total, " in row[0]:
        return _USED_FIRST.search(row[0]) is not None
    if row["later"] or not {"total", "free", "used"} <= sizes.keys():
        return False
    parts = sizes["free"], sizes["used"], sizes["total"]
    return abs(parts[0].size + parts[1].size - parts[2].size) <= sum(part.slack for part in parts)


def _atop(lines: list[str]) -> dict[str, Size]:
    names = {"tot": "total", "free": "free", "cache": "cached", "buff": "buffers", "shmem": "shmem"}
    found: dict[str, Size] = {}
    for line in lines:
        if _ATOP.fullmatch(line):
            found = _sizes((names[name], number, unit) for name, number, unit in _ATOP_PART.findall(line))
    return found


def _statistics(lines: list[str]) -> dict[str, Size]:
    names = {"total memory": "total", "free memory": "free", "buffer memory": "buffers", "swap cache": "cached"}
    found: dict[str, int] = {}
    for match in filter(None, map(_STATISTIC.fullmatch, lines)):
        unit = _THOUSANDS.get(match[2]) or FIGURE_UNITS[(match[2] or "K").upper()]
        found[names[match[3]]] = int(match[1]) * unit
    return _exactly(found)


# Of what lacks some of them, nothing is told.
def _nodes(lines: list[str]) -> dict[str, Size]:
    found: dict[str, dict[str, int]] = {"size": {}, "free": {}}
    expected = None
    for node, what, size, nodes in (match.groups() for match in map(_NUMACTL.fullmatch, lines) if match is not None):
        if nodes is not None:
            expected = int(nodes)
        else:
            found[what][node] = int(size) << 20
    total, free = found["size"], found["free"]
    if not free or total.keys() != free.keys() or expected not in (None, len(free)):
        return {}
    return _exactly({"total": sum(total.values()), "free": sum(free.values())})


# What processes of no use hold goes when they do, not with the page cache.
def _android(lines: list[str]) -> dict[str, Size]:
    found: dict[str, Size] = {}
    for line in lines:
        if (match := _ANDROID_TOTAL.fullmatch(line)) is not None:
            found |= _sizes([("total", match[1], "K")])
        elif (match := _ANDROID_FREE.fullmatch(line)) is not None:
            found |= _sizes([("buff_cache", match[1], "K"), ("free", match[2], "K")])
    return found


def crash_page_size(lines: list[str]) -> int | None:
    """Bytes of a page, as crash's ``kmem -f`` prints them, or ``kmem -i`` by its totals; None where they don't tell.

    O(length).
    """
    for line in lines:
        if (area := _CRASH_AREA.fullmatch(line)) is not None and int(area[1]) <= 20:
            return int(area[2]) << 10 >> int(area[1])
        total = _CRASH_TOTAL.fullmatch(line)
        if total is not None and total[1] == "TOTAL MEM" and total[4] and int(total[2]):
            size = _sizes([("total", total[3], total[4][0])]).get("total", Size(0)).size / int(total[2])
            return min(_PAGE_SIZES, key=lambda each: abs(each - size))
    return None


def _crash_totals(lines: list[str]) -> dict[str, Size]:
    names = {"TOTAL MEM": "total", "FREE": "free", "BUFFERS": "buffers", "CACHED": "cached"}
    page_size = crash_page_size(lines) or _PAGE_SIZES[0]
    found = filter(None, map(_CRASH_TOTAL.fullmatch, lines))
    pages = {names[match[1]]: int(match[2]) for match in found if match[1] in names}
    return {name: Size(number * page_size) for name, number in pages.items()} if "total" in pages else {}


# Rows, and by how many bytes their figures may be off. A row may have words behind the last column, as the time is
# printed, and figures with units of their own. It may be cut off behind what is read of it.
def _rows(
    lines: list[str], mark: str, names: dict[str, str], unit: int
) -> Iterator[tuple[dict[str, float], dict[str, int]]]:
    columns: dict[str, int] = {}
    least = most = named_words = 0
    separator, begins = _CELLS, _FIGURES
    for above, line in itertools.pairwise(["", *lines]):
        line = line.strip("| ")
        if mark in line:
            line = _RULES_ABOVE.sub("", line)
            separator = _SEPARATORS if _SEPARATORS.search(line) else _CELLS
            head = separator.split(line)[:_MOST_WORDS]
            columns = {names[word]: place for place, word in enumerate(head) if word in names}
            others = _ANYTHING if separator is _SEPARATORS else _FIGURES
            begins = next((each for each in _BEGINNINGS if each.match(line)), others)
            least = most = named_words = len(head)
            if mark in _OF_ANY_LENGTH and separator is _CELLS:
                least = max(min(least, max(columns.values(), default=0) + 2), least - _MOST_CUT)
                most = 2 * _MOST_WORDS
        elif not columns:
            continue
        elif _OTHER_HEAD.fullmatch(line) or (
            mark in above
            and (rest := _REST_OF_HEAD.fullmatch(line)) is not None
            # Below a time zone's name a date and a time stand, and a row may be broken earlier than its head.
            and len(line.split()) + 2 * (rest["times"] is not None) >= least
        ):
            columns = {}
        elif begins.match(line) is not None:
            words = separator.split(line)
            # What a script put before the rows alone.
            while mark == "swpd" and len(words) > named_words and _TIME.fullmatch(words[0]):
                del words[0]
            is_whole = least <= len(words) <= most
            cells = [_CELL.fullmatch(words[place]) for place in columns.values()] if is_whole else [None]
            if None not in cells:
                figures = [(cell[1], FIGURE_UNITS[cell[2].upper()] if cell[2] else unit) for cell in cells if cell]
                row = {name: float(text) * each for name, (text, each) in zip(columns, figures, strict=True)}
                # The rest of a broken row has no total, or a wrong one.
                if "total" not in row or 0 < row["total"] >= row.get("free", 0):
                    yield row, {name: slack_of(*each) for name, each in zip(columns, figures, strict=True)}


# The least and the most that one of vmstat's figures stands for, and its unit if it was guessed. Whole pages are
# multiples of 4 KiB; with -S k, m or M they are not.
def _table_unit(rows: list[dict[str, float]], lines: list[str]) -> tuple[int, int, str | None]:
    asked = {match[1] for line in lines if "vmstat" in line and (match := _ASKED_UNIT.search(line)) is not None}
    if len(asked) == 1:
        (letter,) = asked
        unit = _THOUSANDS.get(letter) or FIGURE_UNITS[letter]
        return unit, unit, None
    size = sum(rows[-1].values())
    if size >= _SMALL << 10 and all(value % SMALLEST_PAGE == 0 for row in rows for value in row.values()):
        return 1, 1, "bytes"
    if all(value % 4 == 0 for row in rows for value in row.values()) and size >= _SMALL:
        return 1 << 10, 1 << 10, None
    return (1000, 1000, "kB") if size >= _MOST_MIB else (1000**2, 1 << 20, "MiB")
