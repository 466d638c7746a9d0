"""meminfo's and vmstat's counters as people paste them: of a machine, or of its nodes."""

import re
from collections import Counter

from pagehint.diagnosis.again import agree, more_of
from pagehint.diagnosis.evidence import Evidence
from pagehint.diagnosis.figure import FIGURE_UNITS, SMALLEST_PAGE, parse_figure
from pagehint.errors import printable
from pagehint.proc.counters import parse_vmstat

__all__ = ["MEMINFO_NAMES", "is_below_zero", "joined", "read_meminfo", "read_vmstat", "sum_of_nodes"]

# As the kernel prints it, without a colon, or with figures and units that somebody made handy.
_MEMINFO = re.compile(
    r"\b([A-Z][A-Za-z0-9_]{2,40}(?:\([a-z]{1,10}\))?)(:\s+|[:=]\s{0,9}|\s{1,40}:\s|\s+)"
    r"(\d{1,2}(?:,\d{2}){1,5},\d{3}(?=\s?[kK]i?B\b)"
    r"|\d{1,3}(?:([ ,.'_])\d{3})(?:\4\d{3}){0,4}(?=\s?[kK]i?B\b)|\d{1,3}(?:,\d{3}){1,5}"
    r"|\d{1,19}(?:\.\d{4,9}|[.,]\d{1,3})?)"
    r"(?:\s{0,40}([kKMGT]i?B\b|B\b|bytes\b|k$)|(?=\s*$|\s+[^\d\s]))",
    re.ASCII,
)
_ODD_LINE = re.compile(r"(?:Node \d{1,9} )?([A-Z]\w{2,40}(?:\(\w{1,10}\))?)[:;]\s*[\dOoIl].{0,200}", re.ASCII)
_SIDE_BY_SIDE = re.compile(r"\bMemFree:?(?:\s+\d[\d,.]{0,20}\s?[kKMG]i?B\b){2}", re.ASCII)
_BELOW_ZERO = re.compile(
    r"(?:Node\s+\d{1,9}, zone\s.{1,400}|(?:nr|pg|numa|workingset|thp|compact)_\w{1,60}"
    r"|([A-Z]\w{2,40}(?:\(\w{1,10}\))?):)\s+-\d{1,20}(?:\s.{0,400})?",
    re.ASCII,
)
_NODE_MEMINFO = re.compile(r"Node (\d{1,9}) [A-Z]\S{1,60}:\s+\d", re.ASCII)
_COUNT = "HugePages_"  # not in KiB
_SMALLEST = 16 << 10  # KiB: of a machine
_OF_MEMINFO = "MemTotal", "MemFree"
_BEGINS = *_OF_MEMINFO, "nr_free_pages"
MEMINFO_NAMES = {
    "MemTotal", "MemFree", "MemAvailable", "Buffers", "Cached", "SwapCached", "Active", "Inactive", "Active(anon)",
    "Inactive(anon)", "Active(file)", "Inactive(file)", "Unevictable", "Mlocked", "SwapTotal", "SwapFree", "Zswap",
    "Zswapped", "Dirty", "Writeback", "AnonPages", "Mapped", "Shmem", "KReclaimable", "Slab", "SReclaimable",
    "SUnreclaim", "KernelStack", "PageTables", "SecPageTables", "Bounce", "Percpu", "HardwareCorrupted",
    "AnonHugePages", "ShmemHugePages", "FileHugePages", "FilePmdMapped", "CmaTotal", "CmaFree", "Unaccepted", "Balloon",
    "HugePages_Total", "HugePages_Free", "HugePages_Rsvd", "HugePages_Surp", "Hugepagesize", "Hugetlb", "VmallocTotal",
    "VmallocUsed", "FilePages", "MemUsed", "CommitLimit", "Committed_AS", "DirectMap4k", "DirectMap64k", "DirectMap1M",
    "DirectMap2M", "DirectMap4M", "DirectMap1G", "HighTotal", "HighFree", "LowTotal", "LowFree",
}  # fmt: skip
"""What /proc/meminfo and the nodes' meminfo call their figures."""


def read_meminfo(lines: list[str], evidence: Evidence, name: str) -> tuple[dict[str, int], dict[int, dict[str, int]]]:
    """KiB by name of the machine's meminfo, and by node of the nodes'; empty where the lines tell too little.

    Of several of one, the last counts, which the evidence's warnings say. O(length).
    """
    tables: dict[int | None, list[dict[str, int]]] = {None: [{}]}
    bare: dict[tuple[int | None, int], dict[str, str]] = {}
    odd: list[str] = []
    cut: list[str] = []
    for line in lines:
        of_node = _NODE_MEMINFO.match(line)
        node = None if of_node is None else int(of_node[1])
        of_one = tables.setdefault(node, [{}])
        is_read = False
        for key, between, figure, _, unit in _MEMINFO.findall(line):
            if key not in MEMINFO_NAMES or (value := _kib(between, figure, unit)) is None:
                continue
            is_read = True
            if key in of_one[-1] and key in _OF_MEMINFO:
                of_one.append({})
            of_one[-1][key] = value
            if not unit and not key.startswith(_COUNT):
                bare.setdefault((node, len(of_one) - 1), {})[key] = line
        if not is_read and (match := _ODD_LINE.fullmatch(line)) is not None and match[1] in MEMINFO_NAMES:
            odd.append(line)
    for (node, place), lines_of in bare.items():
        if not _are_kib(counts := tables[node][place], lines_of):
            cut += lines_of.values()
            tables[node][place] = {key: value for key, value in counts.items() if key not in lines_of}
    found = {
        node: _last(of_one, "meminfo" if node is None else f"node {node}'s meminfo", evidence, name)
        for node, of_one in tables.items()
    }
    if any("MemFree" in line and _SIDE_BY_SIDE.search(line) for line in lines):
        evidence.warnings.append(f"{name}: has several figures of MemFree in a row: the first of each row counts")
    # Side by side, of one machine.
    for node, of_one in tables.items():
        totals = {counts["MemTotal"] for counts in of_one if "MemTotal" in counts}
        if found[node] and len(totals) == 1:
            found[node].setdefault("MemTotal", totals.pop())
    told = {node: counts for node, counts in found.items() if _tells(counts)}
    for left_out, why in (
        (odd, "a line of meminfo is not understood, and left out: "),
        (cut, "a figure of meminfo is cut off, or has another unit than kB, and is left out: "),
    ):
        if left_out and (told or any(line.startswith(_OF_MEMINFO) for line in left_out)):
            more = f", and {len(left_out) - 1:,} more" if left_out[1:] else ""
            evidence.warnings.append(f"{name}: {why}{printable(left_out[0][:80])}{more}")
    return told.pop(None, {}), {node: counts for node, counts in told.items() if node is not None}


# What has no unit is cut off where others have one, and where all figures are no whole pages, as no machine's are.
def _are_kib(counts: dict[str, int], bare: dict[str, str]) -> bool:
    if any(key not in bare and not key.startswith(_COUNT) for key in counts):
        return False
    of_pages = all(counts[key] % (SMALLEST_PAGE >> 10) == 0 for key in bare if not key.startswith("Vmalloc"))
    return of_pages and counts.get("MemTotal", _SMALLEST) >= _SMALLEST


def _tells(counts: dict[str, int]) -> bool:
    return "MemTotal" in counts or "MemFree" in counts or len(counts) > 2


def sum_of_nodes(nodes: dict[int, dict[str, int]]) -> dict[str, int]:
    """KiB by the names of the machine's meminfo, of nodes' together. O(counters)."""
    found: Counter[str] = Counter()
    for counts in nodes.values():
        found.update(counts)
    if "FilePages" in found:
        found.setdefault("Cached", found["FilePages"])
        found.setdefault("Buffers", 0)
    return dict(found)


def read_vmstat(rows: list[str], evidence: Evidence, name: str) -> dict[str, int]:
    """The counters by name; of several tables the last counts, which the evidence's warnings say. O(length)."""
    tables: list[list[str]] = [[]]
    for row in rows:
        if row.startswith("nr_free_pages") and any(each.startswith("nr_free_pages") for each in tables[-1]):
            tables.append([])
        tables[-1].append(" ".join(row.split()))
    return _last([parse_vmstat("\n".join(table), name) for table in tables], "vmstat", evidence, name)


def joined(table: dict[str, int], later: dict[str, int]) -> dict[str, int]:
    """Two parts of one table; the later one alone where both count what is free, or the whole, and differ.

    O(counters).
    """
    has_both = any(name in table and name in later for name in _BEGINS)
    return more_of(table, later) if has_both else table | later


# Of two machines or moments, none is made: the last alone counts. What a tool gives twice is one.
def _last(tables: list[dict[str, int]], what: str, evidence: Evidence, name: str) -> dict[str, int]:
    *others, last = tables
    for table in reversed(others):
        if agree(table, last):
            last = table | last
        else:
            evidence.warnings.append(f"{name}: has {what} more than once: the last one counts")
            break
    return last


def is_below_zero(line: str) -> bool:
    """Whether a line gives a count that is below zero, which none is. O(length)."""
    match = _BELOW_ZERO.fullmatch(line)
    return match is not None and (match[1] is None or match[1] in MEMINFO_NAMES)


# Without a unit only where it stands as the kernel prints it.
def _kib(between: str, figure: str, unit: str) -> int | None:
    as_printed = between[0] == ":" and len(between) > 1
    if (not unit and not as_printed) or (between.isspace() and unit != "kB"):
        return None
    number = parse_figure(figure, unit, decimals="GT")
    if number is None or not (unit or number.is_integer()):
        return None
    return int(number * FIGURE_UNITS[unit[0].upper()]) >> 10 if unit else int(number)
