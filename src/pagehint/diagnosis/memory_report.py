"""The kernel's reports of memory in its log: a failed allocation or the OOM killer, with the Mem-Info block after it.

Kernels from 5.10 on, and older ones where their words are the same. Several reports may be in one log, each whole or
cut off at either end: what is missing is None or empty.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from pagehint.diagnosis.bounds import MOST_MEMORY
from pagehint.diagnosis.figure import SMALLEST_PAGE
from pagehint.kernel.gfp import GFP_BY_NAME

__all__ = [
    "MOST_REPORTS",
    "HugePool",
    "MemoryReport",
    "OrderCount",
    "ReportedZone",
    "parse_memory_reports",
    "zone_label",
]


@dataclass(frozen=True)
class OrderCount:
    """Free blocks of an order: how many, and the letters of the types that have some (U M E H C I), as printed."""

    blocks: int
    types: str


@dataclass
class ReportedZone:
    """A zone of a Mem-Info block. `values` are bytes by the kernel's names (``free``; ``min`` holds boost already).

    `reserve` is lowmem_reserve in pages, `orders` its free blocks by order.
    """

    node: int
    name: str
    values: dict[str, int] = field(default_factory=dict)
    reserve: list[int] = field(default_factory=list)
    orders: list[OrderCount] = field(default_factory=list)
    is_whole: bool = True
    """The line of orders is printed to its end."""
    is_cut: bool = False
    """The line of values is cut off: what stands at its end, as free_cma, is not known."""

    @property
    def has_odd_lists(self) -> bool:
        """Whether more is said to be on CPUs' lists than the zone has."""
        return self.values.get("free_pcp", 0) > self.values.get("managed", MOST_MEMORY)


class HugePool(NamedTuple):
    """Huge pages of one size: all of them, which the surplus is of; those that nobody uses, and the surplus."""

    pages: int
    free: int
    surplus: int


@dataclass
class MemoryReport:
    """One report.

    `kind` is ``"failure"``, ``"oom"``, ``"cgroup oom"``, ``"sysrq oom"`` or ``"report"`` (a Mem-Info block alone).
    """

    kind: str
    process: str | None = None
    order: int | None = None
    mode: int | None = None
    flags: tuple[str, ...] = ()
    """The names of mode, as printed: ``("GFP_ATOMIC", "__GFP_COMP")``."""
    nodes: frozenset[int] | None = None
    """Those that its memory policy allows; None: the report doesn't tell, or any."""
    cpuset_nodes: frozenset[int] | None = None
    """Those that its cpuset allows, which binds processes' own memory."""
    limit: int | None = None
    """Bytes that its cgroup may use, where that was reached."""
    vmalloc: int | None = None
    """Bytes asked of vmalloc, where it failed before any page was asked for."""
    kernel: str | None = None
    pages: dict[str, int] = field(default_factory=dict)
    """Counters in pages by the kernel's names (``active_anon``), and ``RAM``, ``reserved``, ``cma reserved``..."""
    page_size: int | None = None
    zones: dict[tuple[int, str], ReportedZone] = field(default_factory=dict)
    pools: dict[int, HugePool] = field(default_factory=dict)
    """hugetlb's, of all nodes, by bytes of a huge page."""
    odd_rows: dict[str, None] = field(default_factory=dict)
    """Zones whose free blocks don't add up to what is printed behind them: left out."""
    is_mixed: bool = False
    """A zone is there more than once, with other figures: the first counts."""
    misread: tuple[str, ...] = ()
    """Figures in which letters stand for digits: left out."""
    has_gaps: bool = False
    """The kernel or the journal says that messages of it were lost."""

    @property
    def hugetlb(self) -> int | None:
        """Bytes in hugetlb pools."""
        return sum(pool.pages * size for size, pool in self.pools.items()) if self.pools else None

    @property
    def present(self) -> int | None:
        """Bytes of memory that its zones have; None where one of them doesn't say."""
        sizes = [zone.values.get("present") for zone in self.zones.values()]
        return None if None in sizes else sum(filter(None, sizes))

    def total(self, page_size: int) -> int | None:
        """Bytes that the kernel manages; None where neither its counters nor its zones, all of them, tell."""
        if {"RAM", "reserved"} <= self.pages.keys():
            managed = (self.pages["RAM"] - self.pages["reserved"]) * page_size
            return managed if managed > 0 else None
        sizes = [zone.values.get("managed") for zone in self.zones.values()]
        is_whole = self.present == self.pages.get("RAM", -1) * page_size and None not in sizes
        return sum(filter(None, sizes)) if is_whole else None

    def begins_late(self, page_size: int) -> bool:
        """Whether zones may be missing before those that it has: nothing tells how much is free in all of them."""
        is_whole = "HighMem/MovableOnly" in self.pages and self.present is not None and not self.lacks_zones(page_size)
        return self.kind == "report" and bool(self.zones) and "free" not in self.pages and not is_whole

    def lacks_zones(self, page_size: int) -> bool:
        """Whether its zones are not all: the kernel counts their pages behind them, before 3.11 with holes."""
        whole = self.pages.get("RAM", 0) * page_size if "HighMem/MovableOnly" in self.pages else 0
        return self.present is not None and whole - self.present > _LACKING * whole


# A number at the very end of a text may be cut off: something must follow it. Each begins with what is rare, and spaces
# are counted: the time is in proportion to the text, whatever is in it.
_EVENT = re.compile(
    r"(?P<failure>(?::\s{1,9}|(?m:^))(?:"
    r"(?:(?:page\s{1,9}allocation\s{1,9}(?:failure|stalls)|vmemmap\s{1,9}alloc\s{1,9}failure)[:.,]?"
    r"[^\n]{0,60}?(?:\n[^\n]{0,60}?)?\border:"
    r"|vmalloc\s{1,9}(?:error:\s{1,9})?size\s{1,9}\d{1,19}(?:,|\s{1,9}allocation\s{1,9}failure:)\s{1,9}page\s{1,9}order\s{1,9})"
    r"(?P<order>-?\d{1,3})(?=\W)(?:,?\s{1,9}failed\s{1,9}to\s{1,9}allocate\s{1,9}pages|\s{1,9}allocation\s{1,9}failed)?"
    r"|vmalloc\s{1,9}(?:error:\s{1,9})?size\s{1,9}\d{1,19}(?:,|\s{1,9}allocation\s{1,9}failure:)"
    r"(?:\s{1,9}failed\s{1,9}to\s{1,9}allocated?)?\s{1,9}page\s{1,9}array\s{1,9}size\s{1,9}\d{1,19}"
    r"(?:\s{1,9}allocation\s{1,9}failed)?"
    r"|vmalloc:\s{1,9}allocation\s{1,9}failure,\s{1,9}allocated\s{1,9}\d{1,19}\s{1,9}of\s{1,9}\d{1,19}\s{1,9}bytes"
    r"|vmalloc(?::\s{1,9}allocation\s{1,9}failure:\s{1,9}(?P<bytes>\d{1,19})\s{1,9}bytes"
    r"|\s{1,9}(?:error:\s{1,9})?size\s{1,9}(?P<size>\d{1,19})(?:,|\s{1,9}allocation\s{1,9}failure:)"
    r"\s{1,9}(?:exceeds\s{1,9}total\s{1,9}pages|vm_struct\s{1,9}allocation\s{1,9}failed)))"
    r"(?:,\s*mode:(?P<mode>0x[0-9a-fA-F]{1,16}|\d{1,10})(?=\W)(?:\((?P<flags>[A-Za-z0-9_|\s]{0,800})\))?)?)"
    r"|(?P<oom>\sinvoked\s{1,9}oom-killer:\s{1,9}gfp_mask=(?P<oom_mode>0x[0-9a-fA-F]{1,16})(?=\W)"
    r"(?:\((?P<oom_flags>[A-Za-z0-9_|\s]{0,800})\))?[^\n]{0,200}?(?:\n[^\n]{0,200}?)?\border=(?P<oom_order>-?\d{1,3})(?=\W))"
    r"|(?P<info>\bMem-[Ii]nfo:)"
)
_KERNEL = re.compile(r"[Cc]omm:(?:[^\n]{0,300}\n)?[^\n]{0,300}?\s(\d{1,2}\.\d{1,3}[\w.+~-]{0,80})\s+#", re.ASCII)
_ZONE = re.compile(r"(?:Node\s+(\d{1,9})\s+)?\b([A-Z]\w{2,15})\s+free:(?=\d+\s?[kK]B)", re.ASCII)
# As a program that reads pictures takes digits for letters.
_MISREAD = re.compile(r"(?<![\w|])(?=[\d|]{0,19}[OoQIl])[\dOoQIl|]{1,19}(?:[*x]\d{1,9})?[kK]B\b", re.ASCII)
_LOST = "printk messages dropped", " kernel messages", " messages lost due to rate-limiting"
_VALUE = re.compile(r"\b([a-z_]{2,30}(?:\([a-z]{1,6}\))?):\s?(\d{1,19})\s?[kK]B", re.ASCII)
_RESERVE = re.compile(r"lowmem_reserve\[\]:((?:[^\S\n]+\d{1,19}(?=[^\w*:]))+)(?=[^\S\n]*[\n\"'<}\]])", re.ASCII)
_ORDERS = re.compile(
    r"(?:Node\s+(\d{1,9})\s+)?\b([A-Z]\w{2,15}):\s*"
    r"((?:\d{1,12}[*_x]\d{1,9}kB\s*(?:\([A-Z]{0,8}\)\s*)?)+)(?:=\s*(\d{1,19})kB)?",
    re.ASCII,
)
_ORDER = re.compile(r"(\d{1,12})[*_x](\d{1,9})kB\s*(?:\(([A-Z]{0,8})\))?", re.ASCII)
# Where Markdown took stars in pairs for emphasis. There is one way to read a count: the time of several would double
# with each order.
_STARLESS = re.compile(
    r"\b[A-Z]\w{2,15}:\s*((?:(?:\d{1,12}\*\d{1,9}|\d{2,21})kB\s*(?:\([A-Z]{0,8}\)\s*)?){9,20})=\s*(\d{1,19})kB",
    re.ASCII,
)
_BLOCKS = re.compile(r"(\d+)(\*?\d*)(?=kB)", re.ASCII)
_SMALLEST_BLOCKS = 4, 16, 64, 8  # KiB
_PAGES = re.compile(r"\b([a-z_]{2,30}):(\d{1,19})(?=[^\w*.])(?!\s?[kK]B)", re.ASCII)
_TAIL = re.compile(
    r"\b(\d{1,19})\s+pages\s+(RAM|reserved|cma\s+reserved|hwpoisoned|HighMem/MovableOnly|in\s+swap\s+cache)"
)
_HUGE = re.compile(
    r"hugepages_total=(\d{1,12})\s+hugepages_free=(\d{1,12})\s+hugepages_surp=(\d{1,12})\s+hugepages_size=(\d{1,12})kB"
)
# The first of these says whose memory ran out: kills of later times may follow without a report of their own.
_WHOSE = re.compile(
    r"(?P<cgroup>Memory\s+cgroup\s+out\s+of\s+memory|constraint=CONSTRAINT_MEMCG"
    r"|memory:\s+usage\s+\d{1,19}kB,\s+limit\s+\d{1,19}kB)"
    r"|\bMem-[Ii]nfo:|constraint=CONSTRAINT_|\bOut\s+of\s+memory:"
)
_NODES = re.compile(
    r"\b(nodemask|mems_allowed)=(\d{1,4}(?:-\d{1,4})?(?:,\d{1,4}(?:-\d{1,4})?){0,100})(?=,\D|[^\d,-])", re.ASCII
)
_LIMIT = re.compile(r"\b(?:memory|memory\+swap|kmem):\s+usage\s+(\d{1,19})kB,\s+limit\s+(\d{1,19})kB")
# Of a zone's line, before 4.7 and since 3.7; and before 2.6.31, when there was no CMA.
_LAST = {"writeback_tmp", "free_cma"}
_LAST_WORDS = "all_unreclaimable?"
_MOST_NAME = 80
_LONGEST_NAME = 15  # of a process, to the kernel
_BEFORE_NAME = re.compile(r".*(?:[][>`|{}]|: )")
_LACKING = 0.02
_FEWEST_PAGES = 100
_USUAL_SIZES = 4096, 16384, 65536
_QUOTE = re.compile("[\"']")
MOST_REPORTS = 1000
"""Reports that are read of a text: its first."""


def zone_label(node: int, name: str) -> str:
    """How a zone is named to people: ``"Normal"``, ``"Normal, node 1"``."""
    return f"{name}, node {node}" if node else name


def parse_memory_reports(lines: list[str]) -> tuple[list[MemoryReport], bool]:
    """The reports in plain lines of a log, in their order, and whether there are more than are read. O(length)."""
    text = "\n".join(lines)
    events: list[re.Match[str]] = []
    taken = False
    for event in _EVENT.finditer(text):
        # The block of the failure before it.
        if event["info"] and events and not events[-1]["info"] and not taken:
            taken = True
            continue
        taken = bool(event["info"])
        events.append(event)
        if len(events) > MOST_REPORTS:
            break
    cut = len(events) > MOST_REPORTS
    starts = [event.start() for event in events[:MOST_REPORTS]]
    if not starts:
        report = _report(None, text)
        return ([report] if report.zones else []), False
    reports = []
    head = _report(None, text[: starts[0]])
    if head.zones:
        reports.append(head)
    ends = [*starts[1:], events[MOST_REPORTS].start() if cut else len(text)]
    for event, end in zip(events, ends, strict=False):
        reports.append(_report(event, text[event.start() : end]))
    return [report for report in reports if report.zones or report.kind != "report"], cut


# Each order's blocks are twice as large as those before, and all of them make up the total.
def _with_stars(row: re.Match[str]) -> str:
    items = _BLOCKS.findall(row[1])
    for smallest in _SMALLEST_BLOCKS:
        sizes = [str(smallest << order) for order in range(len(items))]
        counts = ["".join(item).replace("*", "").removesuffix(size) for item, size in zip(items, sizes, strict=True)]
        starred = map("*".join, zip(counts, sizes, strict=True))
        total = sum(int(count or 0) * int(size) for count, size in zip(counts, sizes, strict=True))
        if all(counts) and total == int(row[2]):
            return row[0].replace(row[1], _BLOCKS.sub("{}", row[1]).format(*starred), 1)
    return row[0]


def _before(event: re.Match[str]) -> str | None:
    before = event.string[max(event.start() - _MOST_NAME, 0) : event.start()]
    name = _QUOTE.split(before.rpartition("\n")[2])[-1].strip()
    if len(name) > _LONGEST_NAME:
        # A prefix that is not known stands before it.
        name = _BEFORE_NAME.sub("", name)[-_LONGEST_NAME - 1 :]
        name = name.partition(" ")[2] if len(name) > _LONGEST_NAME and " " in name else name
    return name.strip() or None


# Hexadecimal where it says so; a zero before a decimal number means nothing.
def _mode(text: str | None) -> int | None:
    return None if not text else int(text, 16 if text[:2] in ("0x", "0X") else 10)


def _report(event: re.Match[str] | None, text: str) -> MemoryReport:
    report = MemoryReport("report")
    if event is not None and event["failure"]:
        report.kind = "failure"
        report.process = _before(event)
        report.mode = _mode(event["mode"])
        if size := event["bytes"] or event["size"]:
            report.vmalloc = int(size)
        else:
            report.order = max(int(event["order"] or 0), 0)
        report.flags = _names(event["flags"])
    elif event is not None and event["oom"]:
        order = int(event["oom_order"])
        # By SysRq F the kernel prints order -1: nothing was asked for.
        report.kind = "oom" if order >= 0 else "sysrq oom"
        report.process = _before(event)
        report.order, report.mode = order if order >= 0 else None, int(event["oom_mode"], 16)
        report.flags = _names(event["oom_flags"])
        if (whose := _WHOSE.search(text)) is not None and whose["cgroup"]:
            report.kind = "cgroup oom"
            report.limit = _limit(text)
    allowed = _NODES.findall(text)
    report.nodes, report.cpuset_nodes = _nodes(allowed, "nodemask"), _nodes(allowed, "mems_allowed")
    if (kernel := _KERNEL.search(text)) is not None:
        report.kernel = kernel[1]
    for zone in _zones(text):
        if report.zones.setdefault((zone.node, zone.name), zone).values != zone.values:
            report.is_mixed = True
    _read_orders(report, text)
    if not all(zone.orders and zone.is_whole for zone in report.zones.values()):
        _read_orders(report, _STARLESS.sub(_with_stars, text))
    if event is not None or report.zones:
        report.misread = tuple(dict.fromkeys(_MISREAD.findall(text)))
    if not report.zones:
        return report
    lost = max(map(text.find, _LOST))
    if lost >= 0:
        report.has_gaps = any(words.search(text, lost) for words in (_ZONE, _ORDERS, _TAIL))
    first = _ZONE.search(text)
    for name, value in _PAGES.findall(text[: first.start() if first else len(text)]):
        report.pages.setdefault(name, int(value))
    for value, name in _TAIL.findall(text):
        report.pages.setdefault(" ".join(name.split()), int(value))
    report.page_size = report.page_size or _size_by_counters(report)
    for *counts, kib in _HUGE.findall(text):
        sums = map(sum, zip(map(int, counts), report.pools.get(size := int(kib) << 10, (0, 0, 0)), strict=True))
        report.pools[size] = HugePool(*sums)
    return report


# Where its blocks are not printed: of what the zones have in KiB, all of them, the kernel also counts the pages.
def _size_by_counters(report: MemoryReport) -> int | None:
    for name, counter in (("free", "free"), ("present", "RAM")):
        of_zones = [zone.values.get(name) for zone in report.zones.values()]
        pages = report.pages.get(counter, 0)
        size = 0 if None in of_zones or pages < _FEWEST_PAGES else sum(filter(None, of_zones)) / pages
        for each in _USUAL_SIZES:
            if abs(size - each) < _LACKING * each:
                return each
    return None


# That of memory, with swap or the kernel's part of it which was reached, or nearest to it; that of no limit is none.
def _limit(text: str) -> int | None:
    limits = [(int(usage), int(limit) << 10) for usage, limit in _LIMIT.findall(text)]
    real = [(usage, limit) for usage, limit in limits if 0 < limit <= MOST_MEMORY]
    return max(real, key=lambda each: each[0] / each[1], default=(0, None))[1]


def _nodes(found: list[tuple[str, str]], name: str) -> frozenset[int] | None:
    allowed = -1  # a bit a node
    for words in (words for whose, words in found if whose == name):
        nodes = 0
        for part in words.split(","):
            first, _, last = part.partition("-")
            nodes |= (2 << max(int(last or first), int(first) - 1)) - (1 << int(first))
        allowed &= nodes
    return frozenset(node for node in range(allowed.bit_length()) if allowed >> node & 1) if allowed > 0 else None


def _names(flags: str | None) -> tuple[str, ...]:
    names = filter(None, re.split(r"[|\s]+", flags or ""))
    # Two underscores are emphasis on the web, and go.
    return tuple(f"__{name}" if name not in GFP_BY_NAME and f"__{name}" in GFP_BY_NAME else name for name in names)


def _zones(text: str) -> Iterator[ReportedZone]:
    heads = list(_ZONE.finditer(text))
    ends = [head.start() for head in heads[1:]] + [len(text)]
    for head, end in zip(heads, ends, strict=False):
        zone = ReportedZone(int(head[1] or 0), head[2])
        body = text[head.end() - len("free:") : end]
        reserve = _RESERVE.search(body)
        line = body[: reserve.start()] if reserve else body[:4000]
        for name, value in _VALUE.findall(line):
            zone.values.setdefault(name, int(value) << 10)
        zone.is_cut = zone.values.keys().isdisjoint(_LAST) and _LAST_WORDS not in line
        zone.reserve = [int(pages) for pages in reserve[1].split()] if reserve else []
        yield zone


def _read_orders(report: MemoryReport, text: str) -> None:
    for match in _ORDERS.finditer(text):
        key = int(match[1] or 0), match[2]
        blocks = _ORDER.findall(match[3])
        if match[4] is not None and sum(int(count) * int(kib) for count, kib, _ in blocks) != int(match[4]):
            report.odd_rows[zone_label(*key)] = None
            continue
        # Cut off before its types, or none were printed at all.
        if match[4] is None and blocks[-1][0].strip("0") and not blocks[-1][2]:
            blocks.pop()
        if not blocks:
            continue
        smallest = int(blocks[0][1]) << 10
        if report.page_size is None and smallest >= SMALLEST_PAGE and smallest.bit_count() == 1:
            report.page_size = smallest
        zone = report.zones.setdefault(key, ReportedZone(*key))
        if not zone.orders or (match[4] is not None and not zone.is_whole):
            zone.orders = [OrderCount(int(count), types) for count, _, types in blocks]
            zone.is_whole = match[4] is not None
