"""What people give the doctor, found by content: /proc files, free, kernel logs, page maps, in any mixture."""

import gzip
import io
import os
import re
import select
import stat
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from pagehint.diagnosis.cells import as_meminfo_lines
from pagehint.diagnosis.evidence import Evidence, hypervisor_of
from pagehint.diagnosis.figure import FIGURE_UNITS, parse_figure
from pagehint.diagnosis.free_tool import parse_free
from pagehint.diagnosis.memory_report import parse_memory_reports
from pagehint.diagnosis.named_figures import parse_named_figures
from pagehint.diagnosis.node_exporter import as_proc_lines, parse_exported_blocks
from pagehint.diagnosis.pasted import decoded, is_wide, machines_of, plain_lines, telling
from pagehint.diagnosis.repeats import without_repeats
from pagehint.diagnosis.tools import parse_crash_blocks, parse_numastat, parse_totals, tells_nothing_free
from pagehint.errors import InputError, printable
from pagehint.inputs import as_argument, packed_elsewise, reading, standard_input
from pagehint.proc.counters import parse_pressure, parse_unused_names, parse_vmstat
from pagehint.proc.kpageflags import KPageFlag
from pagehint.proc.pagetypeinfo import PageTypeInfo, of_another_machine, parse_buddyinfo, parse_pagetypeinfo
from pagehint.proc.slabinfo import parse_slabinfo
from pagehint.proc.zoneinfo import ZoneInfo, parse_zoneinfo
from pagehint.units import format_size

__all__ = ["read_files"]

_MOST_TEXT = 256 << 20
_MOST_MAP = 512 << 20
_MOST_STREAM = 4 << 30  # a page map whose size nobody tells: of 2 TiB
_MOST_FLAGS = (1 << 48) - 1
_MOST_END = 4 << 20
_PACKED = b"\x1f\x8b"
_CHUNK = 1 << 20
_MOST_ZEROS = 64 << 20  # of 32 GiB of pages of 4 KiB some are reserved, or free
# Text that is packed: each line of it is work.
_FREE_TEXT = 4 << 20
_RATIO = 10
_PATIENCE = 5000  # ms
_NEAR = 1.3  # pages of one size are at least twice as large as those of the next
_ROUNDED = 1 / 12  # GB and GiB, and what is given in two digits
_PRINTED = bytes([9, 10, 13, 27, *range(32, 127)])
_STANDARD_INPUT = Path("-")
_KERNEL_LOG = "a kernel log"  # of several, all reports count
_OF_FOLDERS = [
    *(
        f"{folder}{name}"
        for folder in ("proc/", "")
        for name in ("buddyinfo", "zoneinfo", "meminfo", "pagetypeinfo", "vmstat", "slabinfo", "pressure/memory")
    ),
    *("kpageflags", "kpagecount", "kpageflags.gz", "kpagecount.gz"),
    *("sos_commands/kernel/dmesg", "var/log/dmesg", "dmesg", "dmesg.txt"),
]
_PAGE_EVENT = re.compile(r"\bmm_page_(?:alloc|free|pcpu_drain)\w*: ", re.ASCII)
# "Node 0, zone Normal", and a count for each order from 0 to 10: kernels for larger pages have more orders.
_LEAST_COLUMNS = 4 + 11
_FEWEST_ORDERS = 9  # of ppc64 and s390x

_ZONE_HEAD = re.compile(r"Node\s+\d{1,9}, zone\s+[^\s,]{1,40}", re.ASCII)
_TYPE_ROW = re.compile(r"Node\s+\d{1,9}, zone\s+[^\s,]{1,40},\s+type\s+\S{1,40}\s.*", re.ASCII)
_COUNT_ROW = re.compile(r"Node\s+\d{1,9}, zone\s+[^\s,]{1,40}(?:,?\s+>?\d{1,30})+", re.ASCII)
_ODD_ROW = re.compile(r"Node\s+\d{1,9},\s+zone\s+[^\s,]{1,40}(?:,\s+type\s+\S{1,40})?\W{1,9}\d", re.ASCII)
_TYPE_HEAD = re.compile(
    r"(?:Page block order:|Pages per block:|Free pages count per migrate type|Number of blocks type).*"
)
_ZONE_FIELD = re.compile(
    r"(?:(?:pages free|min|low|high|spanned|present|managed|count:)\s+-?\d+"
    r"|protection: \(.*|per-node stats|pagesets|cpu: \d+|vm stats threshold: \d+"
    r"|[a-z_]{2,40}:?\s+\d{1,30})",
    re.ASCII,
)
# As the kernel prints it, without a colon, or with figures and units that somebody made handy.
_MEMINFO = re.compile(
    r"\b([A-Z][A-Za-z0-9_]{2,40}(?:\([a-z]{1,10}\))?)(:\s+|[:=]\s{0,9}|\s+)"
    r"(\d{1,3}(?:([ ,.'])\d{3})(?:\4\d{3}){0,4}(?=\s?[kK]i?B\b)|\d{1,3}(?:,\d{3}){1,5}|\d{1,19}(?:[.,]\d{1,3})?)"
    r"(?:\s{0,40}([kKMGT]i?B|B|bytes)\b|(?=\s|$))",
    re.ASCII,
)
_BELOW_ZERO = re.compile(
    r"(?:Node\s+\d{1,9}, zone\s.{1,400}|(?:nr|pg|numa|workingset|thp|compact)_\w{1,60}"
    r"|([A-Z]\w{2,40}(?:\(\w{1,10}\))?):)\s+-\d{1,20}(?:\s.{0,400})?",
    re.ASCII,
)
_NODE_MEMINFO = re.compile(r"Node (\d{1,9}) [A-Z]\S{1,60}:\s+\d", re.ASCII)
_KNOWN = {
    "MemTotal", "MemFree", "MemAvailable", "Buffers", "Cached", "SwapCached", "Active", "Inactive", "Active(anon)",
    "Inactive(anon)", "Active(file)", "Inactive(file)", "Unevictable", "Mlocked", "SwapTotal", "SwapFree", "Zswap",
    "Zswapped", "Dirty", "Writeback", "AnonPages", "Mapped", "Shmem", "KReclaimable", "Slab", "SReclaimable",
    "SUnreclaim", "KernelStack", "PageTables", "SecPageTables", "Bounce", "Percpu", "HardwareCorrupted",
    "AnonHugePages", "ShmemHugePages", "FileHugePages", "FilePmdMapped", "CmaTotal", "CmaFree", "Unaccepted", "Balloon",
    "HugePages_Total", "HugePages_Free", "HugePages_Rsvd", "HugePages_Surp", "Hugepagesize", "Hugetlb", "VmallocUsed",
    "FilePages", "MemUsed", "CommitLimit", "Committed_AS", "DirectMap4k", "DirectMap64k", "DirectMap1M", "DirectMap2M",
    "DirectMap4M", "DirectMap1G", "HighTotal", "HighFree", "LowTotal", "LowFree",
}  # fmt: skip
_MAPPED_BY_4K = {"DirectMap2M", "DirectMap4M", "DirectMap1M"}
_VMSTAT = re.compile(
    r"(?:nr|pg|numa|workingset|thp|compact|balloon|drop|kswapd|allocstall|oom|unevictable|slabs|swap|zswp|zone|vma|ksm"
    r"|htlb|cma|direct|pageoutrun|cow|kstack)\w*\s+\d{1,20}",
    re.ASCII,
)
_VERSION = re.compile(
    r"(?:Linux version (\d{1,3}\.\d{1,3}\S{0,80})|Linux \S{1,80} (\d{1,3}\.\d{1,3}\S{0,80}) #\d)", re.ASCII
)
_ORDER = re.compile(r"(?:page_reporting[./])?page_reporting_order *[:=]? *(\d{1,3})(?!\d)", re.ASCII)
_DENTRY_STATE = re.compile(r"fs[./]dentry-state\s*[:=](.{1,200})")
_REPORTING_ON = "Free page reporting enabled"
_LOG = re.compile(
    r"Mem-[Ii]nfo:|page allocation (?:failure|stalls)|vmalloc error:|invoked oom-killer|\bfree:\d{1,19}\s?kB"
    r"|\*\d{1,9}kB"
)


def read_files(paths: Iterable[str | Path]) -> Evidence:
    """What the files tell of one machine. O(size). Raises InputError where one of them tells nothing."""
    evidence = Evidence()
    for path, may_be_silent in _files(map(Path, paths)):
        for what, name in _read(evidence, path, may_be_silent):
            if what != _KERNEL_LOG and any(what == earlier for _, earlier in evidence.sources):
                evidence.warnings.append(f"{name}: holds {what} again: what was read last counts")
            evidence.sources.append((name, what))
    if not evidence.sources:
        raise InputError("no files that tell of memory: name some, such as a copy of /proc/buddyinfo, or a kernel log")
    evidence.warnings = list(dict.fromkeys(evidence.warnings))
    _leave_out_types_of_others(evidence)
    _settle_page_size(evidence)
    _warn_of_several_machines(evidence)
    versions = [report.kernel for report in evidence.reports if report.kernel is not None]
    if evidence.kernel is None and versions:
        evidence.kernel = versions[-1]
    return evidence


# Of a folder, such as a sos report's, those files that tell of memory, where they do.
def _files(paths: Iterable[Path]) -> Iterator[tuple[Path, bool]]:
    for path in paths:
        if path == _STANDARD_INPUT or not path.is_dir():
            yield path, False
            continue
        inside = [path / name for name in _OF_FOLDERS if (path / name).is_file()]
        if not inside:
            raise InputError(
                f"{printable(str(path))}: a folder in which there is no {', '.join(_OF_FOLDERS[:3])}...: name the files"
            )
        yield from ((each, True) for each in inside)


def _read(evidence: Evidence, path: Path, may_be_silent: bool) -> Iterator[tuple[str, str]]:
    name = "standard input" if path == _STANDARD_INPUT else printable(str(path))
    data = _contents(path, name)
    if _is_binary(data):
        yield _page_map(evidence, data, name), name
        return
    if len(data) > _MOST_TEXT:
        raise InputError(f"{name}: more than {_MOST_TEXT >> 20} MiB of text: cut out what matters")
    text = decoded(data)
    del data
    before = len(evidence.warnings)
    found = list(_text(evidence, text, name))
    if not found and not may_be_silent:
        what = "holds nothing that tells of free memory" if text.strip() else "is empty"
        start = text[:_CHUNK]
        if _PAGE_EVENT.search(start):
            file = "FILE" if path == _STANDARD_INPUT else as_argument(path)
            raise InputError(
                f"{name}: a tracer's text of page events: `pagehint import {file} -o NAME.pagetrace` makes a recording "
                "of it, for `pagehint run`"
            )
        if (tool := tells_nothing_free([*plain_lines(start), *map(str.strip, start.split("\n"))])) is not None:
            what = f"holds the output of {tool}, which doesn't tell what is free"
        if left_out := [warning for warning in evidence.warnings[before:] if "left out" in warning]:
            raise InputError(f"{left_out[-1]}. Nothing else of it tells of free memory")
        raise InputError(
            f"{name}: {what}: expected buddyinfo, pagetypeinfo, zoneinfo, meminfo, vmstat, kpageflags, the output of "
            "free, or a kernel log with Mem-Info"
        )
    for what in found:
        yield what, name


def _contents(path: Path, name: str) -> bytearray:
    if path == _STANDARD_INPUT:
        data = _whole(standard_input(), 0, name)
    else:
        with reading(name), _open(path, name) as file:
            data = _whole(file, os.fstat(file.fileno()).st_size, name)
    return _unpacked(data, name) if data[:2] == _PACKED else data


# What is no page map is told by its first pages: a disk image is not read to its end, from a pipe neither.
def _whole(file: BinaryIO, size: int, name: str) -> bytearray:
    whole = bytearray()
    most = _MOST_TEXT + 1
    binary = False
    while len(whole) < most and (chunk := file.read(min(_CHUNK, most - len(whole)))):
        if not whole and chunk[:2] == _PACKED:
            most = max(size, _MOST_MAP)
        elif not whole and (packed := packed_elsewise(chunk, name if size else None)) is not None:
            raise InputError(f"{name}: is {packed}{', and name what was in it' if size else ''}")
        elif not whole and _is_binary(chunk):
            binary, most = True, max(size, _MOST_STREAM)
        if binary and int(np.frombuffer(chunk, "<u8", len(chunk) // 8).max(initial=0)) > _MOST_FLAGS:
            raise _foreign(whole or chunk, name)
        whole += chunk
        if binary and len(whole) == _MOST_ZEROS and not whole.strip(b"\0"):
            raise _only_zeros(name)
    return whole


# Chunk by chunk into one buffer: what a few bytes unpack to is held once. Several members, one after the other, are one
# file: so a map that is written in pieces is packed.
def _unpacked(data: bytearray, name: str) -> bytearray:
    stream, whole = gzip.GzipFile(fileobj=io.BytesIO(data)), bytearray()
    most, most_text = _MOST_MAP, min(_MOST_TEXT, _FREE_TEXT + _RATIO * len(data))
    try:
        while len(whole) <= most and (chunk := stream.read(_CHUNK)):
            whole += chunk
            most = _MOST_MAP if _is_binary(whole) else most_text
    except EOFError:
        raise InputError(f"{name}: ends in the middle of its compressed data: copy it again") from None
    except (zlib.error, gzip.BadGzipFile) as error:
        raise InputError(f"{name}: damaged ({error}): copy it again") from None
    if len(whole) > most:
        raise InputError(f"{name}: unpacks to more than {most >> 20} MiB: unpack it, and name the result")
    return whole


# A pipe may be read here, as in `pagehint doctor <(dmesg)`, but only one that somebody writes to. The kernel's own log
# ends where it would wait for more.
def _open(path: Path, name: str) -> BinaryIO:
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        is_pipe = stat.S_ISFIFO(os.fstat(descriptor).st_mode)
        if is_pipe:
            waiting = select.poll()
            waiting.register(descriptor, select.POLLIN)
            if not waiting.poll(_PATIENCE):
                raise InputError(f"{name}: a pipe that nobody writes to: name a file, or `<(command)`")
        os.set_blocking(descriptor, is_pipe or os.isatty(descriptor))
        return open(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def _is_binary(data: bytes | bytearray) -> bool:
    start = data[:4096]
    others = start.replace(b"\0", b"")
    # Texts of a machine that went down hold zeros too.
    return len(others) < len(start) and not is_wide(start) and len(others.translate(None, _PRINTED)) >= len(others) / 8


def _foreign(data: bytes | bytearray, name: str) -> InputError:
    if data[257:262] == b"ustar":
        return InputError(f"{name}: a tar archive of more than texts: unpack it, and name what was in it")
    return InputError(f"{name}: has no page of a free block in it: expected /proc/kpageflags, 8 bytes a page")


def _only_zeros(name: str) -> InputError:
    return InputError(f"{name}: nothing but zeros: expected /proc/kpageflags or kpagecount, copied whole")


def _page_map(evidence: Evidence, data: bytes | bytearray, name: str) -> str:
    if len(data) % 8:
        raise InputError(
            f"{name}: {len(data)} bytes are not whole 8-byte entries: expected /proc/kpageflags, copied whole"
        )
    words: NDArray[np.uint64] = np.frombuffer(data, "<u8")
    largest = int(words.max(initial=0))
    if not largest:
        raise _only_zeros(name)
    # A count of mappings is small; among flags, some page is reserved or not there.
    if "kpagecount" in name or ("kpageflags" not in name and largest < KPageFlag.NOPAGE):
        evidence.page_counts = words
        return "kpagecount"
    if largest > _MOST_FLAGS or not int(np.bitwise_or.reduce(words)) & KPageFlag.BUDDY:
        raise _foreign(data, name)
    evidence.page_flags = words
    return "kpageflags"


def _text(evidence: Evidence, text: str, name: str) -> Iterator[str]:
    if not text.endswith(("\n", "\r")) and text.rstrip()[-1:].isdigit():
        evidence.warnings.append(f"{name}: ends without a line break: its last figure may be cut off")
    lines = as_meminfo_lines(as_proc_lines(plain_lines(_ends(telling(without_repeats(text)), evidence, name))), _KNOWN)
    plain = "\n".join(lines)
    parts = _parts(lines)
    whole = text if text.lstrip()[:1] in ("{", "[") else ""
    if parts["buddyinfo"] and (buddy := _longest(parts["buddyinfo"], evidence, name)):
        evidence.buddy = buddy
        yield "buddyinfo"
    for line in parts["odd"][:3]:
        evidence.warnings.append(f"{name}: a zone's row is not understood, and left out: {printable(line[:80])}")
    if parts["pagetypeinfo"] and _read_types(evidence, parts["pagetypeinfo"], name):
        yield "pagetypeinfo"
    if parts["zoneinfo"] and (zones := _zones(parts["zoneinfo"], evidence, name)):
        evidence.zones = zones
        yield "zoneinfo"
    if meminfo := _meminfo(lines, evidence, name):
        evidence.meminfo = meminfo
        yield "meminfo"
    counters = _counters(parts["vmstat"], evidence, name)
    # A cgroup's memory.stat and a VM's dommemstat have events by the same names, but no counts of pages.
    if any(counter.startswith("nr_") for counter in counters):
        evidence.vmstat = counters
        yield "vmstat"
    if (columns := parse_free(lines)) is not None:
        evidence.free_tool, unit, others = columns
        _note_total(evidence, "the output of free", evidence.free_tool)
        if others:
            evidence.warnings.append(f"{name}: has the output of free more than once: the last one counts")
        if unit is not None:
            evidence.warnings.append(f"{name}: free's figures are taken for {unit}, by their size")
        yield "the output of free"
    yield from _tools(evidence, lines, [plain, whole], name, columns is not None)
    if caches := parse_slabinfo(text):
        evidence.slab_caches = caches
        yield "slabinfo"
    if pressure := parse_pressure(plain):
        evidence.pressure = pressure
        yield "memory pressure"
    if _LOG.search(plain) is not None and _read_log(evidence, lines, name):
        if (machines := machines_of(text))[1:]:
            evidence.warnings.append(
                f"{name}: a log of several machines ({printable(', '.join(machines[:4]))}): what is free is the last "
                "report's"
            )
        yield _KERNEL_LOG
    below_zero = [line for line in lines if "-" in line and _is_below_zero(line)]
    if below_zero:
        evidence.warnings.append(
            f"{name}: no count is below zero: left out where it says {printable(below_zero[0][:80])}"
            + (f", and in {len(below_zero) - 1:,} more lines" if below_zero[1:] else "")
        )
    yield from _single_lines(evidence, plain, name)


# Of too much, the start and the end: whole lines.
def _ends(text: str, evidence: Evidence, name: str) -> str:
    first, last = text.rfind("\n", 0, _MOST_END) + 1, text.find("\n", max(len(text) - _MOST_END, 0))
    if last < first or len(text) <= 2 * _MOST_END:
        return text
    evidence.warnings.append(
        f"{name}: more than {2 * _MOST_END >> 20} MiB of it may tell of memory: the first and the last "
        f"{_MOST_END >> 20} MiB of that are read"
    )
    return text[:first] + text[last:]


# Whether it has reports.
def _read_log(evidence: Evidence, lines: list[str], name: str) -> bool:
    reports, cut = parse_memory_reports(lines)
    if cut:
        evidence.warnings.append(f"{name}: has more reports of memory than the first {len(reports):,}, which are read")
    # What was pasted twice, as tools that give a text and its lines do.
    for report in reports:
        if not report.zones or report not in evidence.reports:
            evidence.reports.append(report)
    if any(zone.is_cut for report in reports for zone in report.zones.values()):
        evidence.warnings.append(
            f"{name}: lines of zones are cut off at their right: what stands there, as CMA's share, is not known; "
            "`dmesg` and `journalctl -k --no-pager` print them whole"
        )
    return bool(reports)


# What one line tells alone, wherever it stands.
def _single_lines(evidence: Evidence, text: str, name: str) -> Iterator[str]:
    if evidence.kernel is None and (version := _VERSION.search(text)) is not None:
        evidence.kernel = version[1] or version[2]
    evidence.hypervisor = evidence.hypervisor or hypervisor_of(text)
    shares = [parse_unused_names(names[1]) for names in _DENTRY_STATE.finditer(text)]
    if known := [share for share in shares if share is not None]:
        evidence.unused_names = known[-1]
        yield "fs.dentry-state"
    orders = [int(order[1]) for order in _ORDER.finditer(text)]
    if _REPORTING_ON in text:
        evidence.reporting.on = evidence.reporting.device = True
        yield "the kernel's word that reporting is on"
    if orders:
        evidence.reporting.order = orders[-1]
        if len(set(orders)) > 1:
            evidence.warnings.append(f"{name}: has the reporting order more than once: the last one counts")
        yield "page_reporting_order"


# What /proc's files and free tell is not taken from others: these fill up what is not known. `texts` are the lines,
# and a text that is JSON, of which they hold no numbers.
def _tools(evidence: Evidence, lines: list[str], texts: list[str], name: str, beside_free: bool) -> Iterator[str]:
    for what, parse in (("crash's kmem -f", parse_crash_blocks), ("node_exporter's buddyinfo", parse_exported_blocks)):
        if not evidence.buddy and (blocks := parse(lines)):
            evidence.buddy = blocks
            yield what
    if not evidence.meminfo and "MemFree" in (of_nodes := parse_numastat(lines)):
        of_nodes.setdefault("Cached", of_nodes.get("FilePages", 0))
        of_nodes.setdefault("Buffers", 0)
        evidence.meminfo = of_nodes
        yield "numastat -m"
    for what, sizes, machines, again in parse_named_figures(texts):
        _note_total(evidence, what, sizes)
        evidence.free_tool = sizes | evidence.free_tool if beside_free else evidence.free_tool | sizes
        if machines:
            evidence.warnings.append(
                f"{name}: the figures of {what} are of several machines: those of {printable(machines[-1])} are read"
            )
        if again:
            evidence.warnings.append(f"{name}: has the figures of {what} more than once: the last whole ones count")
        yield what
    for what, sizes, unit in parse_totals(lines):
        _note_total(evidence, what, sizes)
        evidence.free_tool = sizes | evidence.free_tool if beside_free else evidence.free_tool | sizes
        if unit is not None:
            evidence.warnings.append(f"{name}: the figures of {what} are taken for {unit}, by their size")
        yield what


def _note_total(evidence: Evidence, what: str, sizes: dict[str, int]) -> None:
    if sizes.get("total"):
        evidence.totals.append((what, sizes["total"]))


# One grammar a line; only a zone's row of counts needs the heading before it, and zoneinfo's fields their zone.
def _parts(lines: list[str]) -> dict[str, list[str]]:
    parts: dict[str, list[str]] = {name: [] for name in ("buddyinfo", "pagetypeinfo", "zoneinfo", "vmstat", "odd")}
    state = ""
    for line in lines:
        if _TYPE_HEAD.fullmatch(line):
            state = "pageblocks" if line.startswith("Number") else "pagetypeinfo"
            parts["pagetypeinfo"].append(line)
        elif _TYPE_ROW.fullmatch(line):
            state = "pagetypeinfo"
            parts["pagetypeinfo"].append(line)
        elif _COUNT_ROW.fullmatch(line):
            parts["pagetypeinfo" if state == "pageblocks" else "buddyinfo"].append(line)
        elif _ODD_ROW.match(line) and not _is_below_zero(line):
            parts["odd"].append(line)
        elif _ZONE_HEAD.fullmatch(line):
            state = "zoneinfo"
            parts["zoneinfo"].append(line)
        elif state == "zoneinfo" and _ZONE_FIELD.fullmatch(line):
            parts["zoneinfo"].append(line)
            if line.startswith("start_pfn"):
                state = ""
        elif _VMSTAT.fullmatch(line):
            parts["vmstat"].append(line)
        elif state == "pageblocks":
            state = ""
    return parts


# A row with fewer columns than the most is cut off. One with more than the others holds what stood after it, where the
# others can be whole.
def _longest(rows: list[str], evidence: Evidence, name: str) -> dict[tuple[int, str], list[int]]:
    columns = Counter(len(row.split()) for row in rows)
    width = max(columns, key=lambda number: (columns[number], number))
    if columns[width] == 1 or width < _LEAST_COLUMNS:
        width = max(columns)
    if width < 4 + _FEWEST_ORDERS:
        evidence.warnings.append(_cut("buddyinfo", width - 4, name))
        return {}
    whole: dict[str, str] = {}
    broken: dict[str, None] = {}
    again: dict[str, None] = {}
    for row in rows:
        words = row.split()
        key = " ".join(words[:4])
        if len(words) != width:
            broken[key] = None
            continue
        if key in whole:
            again[key] = None
            del whole[key]
        whole[key] = row
    evidence.warnings += [
        *(f"{name}: a row of buddyinfo is cut off or broken, and left out: {printable(key)}" for key in broken),
        *(f"{name}: has {printable(key)} more than once: the last one counts" for key in again),
    ]
    return parse_buddyinfo("\n".join(whole.values()), name)


def _cut(what: str, orders: int, name: str) -> str:
    return (
        f"{name}: rows of {what} are cut off behind order {orders - 1}, and left out: kernels have {_FEWEST_ORDERS} "
        "orders and more; copy it from a wider window, or as a file"
    )


def _read_types(evidence: Evidence, rows: list[str], name: str) -> bool:
    again = [row.split() for row in rows if row.startswith("Node")]
    if len({tuple(row) for row in again}) > len({tuple(row[:6] if "type" in row else row[:4]) for row in again}):
        evidence.warnings.append(f"{name}: has pagetypeinfo more than once: the last rows count")
    rows = list(_whole_rows(rows, evidence, name))
    types = parse_pagetypeinfo("\n".join(rows), name)
    if not types.free and types.pageblock_order is None and not types.pageblocks:
        return False
    evidence.types = types
    return True


# The last copy of each row, and none that is cut off.
def _whole_rows(rows: list[str], evidence: Evidence, name: str) -> Iterator[str]:
    counts = [len(row.split()) for row in rows if ", type" in row]
    columns = max(counts, default=0)
    if counts and columns < 6 + _FEWEST_ORDERS:
        evidence.warnings.append(_cut("pagetypeinfo", columns - 6, name))
        rows = [row for row in rows if ", type" not in row]
    kept: dict[str, str] = {}
    blocks = False
    types = 0
    for row in rows:
        words = row.split()
        if row.startswith("Number of blocks"):
            blocks, types = True, len(words) - 4
        elif row.startswith(("Page", "Free")):
            blocks = False
            if row.startswith("Free") and len(words) != columns + 2:
                row = "Free pages count per migrate type at order " + " ".join(map(str, range(max(columns - 6, 0))))
        elif (blocks and len(words) != types + 4) or (not blocks and len(words) != columns):
            evidence.warnings.append(f"{name}: a row of pagetypeinfo is cut off, and left out")
            continue
        key = f"{blocks} {' '.join(words[: 4 if blocks else 6])}" if words[0] == "Node" else words[0]
        kept.pop(key, None)
        kept[key] = row
    yield from sorted(kept.values(), key=_section)


def _section(row: str) -> int:
    if row.startswith(("Page", "Free")):
        return 0
    return 1 if ", type" in row else 2 if row.startswith("Number") else 3


def _zones(rows: list[str], evidence: Evidence, name: str) -> list[ZoneInfo]:
    zones = parse_zoneinfo("\n".join(rows), name)
    by_key: dict[tuple[int, str], ZoneInfo] = {}
    for zone in zones:
        key = zone.node, zone.name
        if key in by_key:
            evidence.warnings.append(
                f"{name}: has zone {printable(zone.name)} of node {zone.node} more than once: the last counts"
            )
        by_key[key] = zone
    highest = {zone.node: zone for zone in by_key.values()}
    evidence.warnings += [
        f"{name}: zones above {printable(zone.name)} of node {zone.node} are missing, for which it keeps pages: is "
        "zoneinfo cut off?"
        for zone in highest.values()
        if any(zone.protection or ())
    ]
    return list(by_key.values())


def _counters(rows: list[str], evidence: Evidence, name: str) -> dict[str, int]:
    tables: list[list[str]] = [[]]
    for row in rows:
        if row.startswith("nr_free_pages") and any(each.startswith("nr_free_pages") for each in tables[-1]):
            tables.append([])
        tables[-1].append(" ".join(row.split()))
    return _last([parse_vmstat("\n".join(table), name) for table in tables], "vmstat", evidence, name)


# Of two machines or moments, none is made: the last alone counts. What a tool gives twice is one.
def _last(tables: list[dict[str, int]], what: str, evidence: Evidence, name: str) -> dict[str, int]:
    *others, last = tables
    for table in reversed(others):
        if all(table.get(key, value) == value for key, value in last.items()):
            last = table | last
        else:
            evidence.warnings.append(f"{name}: has {what} more than once: the last one counts")
            break
    return last


def _is_below_zero(line: str) -> bool:
    match = _BELOW_ZERO.fullmatch(line)
    return match is not None and (match[1] is None or match[1] in _KNOWN)


def _meminfo(lines: list[str], evidence: Evidence, name: str) -> dict[str, int]:
    whole: dict[str, int] = {}
    tables = [whole]
    nodes: dict[str, dict[str, int]] = {}
    for line in lines:
        of_node = _NODE_MEMINFO.match(line)
        for key, between, figure, _, unit in _MEMINFO.findall(line):
            if key not in _KNOWN or (value := _kib(between, figure, unit)) is None:
                continue
            if of_node is not None:
                nodes.setdefault(of_node[1], {})[key] = value
            else:
                if key in whole and key in ("MemTotal", "MemFree"):
                    whole = {}
                    tables.append(whole)
                whole[key] = value
    whole = _last(tables, "meminfo", evidence, name)
    by_node: Counter[str] = Counter()
    for counts in nodes.values():
        by_node.update(counts)
    if "FilePages" in by_node:
        by_node.setdefault("Cached", by_node["FilePages"])
        by_node.setdefault("Buffers", 0)
    found = whole if len(whole) > 1 or "MemTotal" in whole or "MemFree" in whole else by_node
    if found is by_node and len(nodes) == 1 and "0" not in nodes:
        evidence.warnings.append(f"{name}: is of node {min(nodes)} alone: what other nodes have is not counted")
    return dict(found) if "MemTotal" in found or "MemFree" in found or len(found) > 2 else {}


# Without a unit only where it stands as the kernel prints it.
def _kib(between: str, figure: str, unit: str) -> int | None:
    as_printed = between[0] == ":" and len(between) > 1
    if (not unit and not as_printed) or (between.isspace() and unit != "kB"):
        return None
    number = parse_figure(figure, unit, decimals="GT")
    if number is None or not (unit or number.is_integer()):
        return None
    return int(number * FIGURE_UNITS[unit[0].upper()]) >> 10 if unit else int(number)


def _leave_out_types_of_others(evidence: Evidence) -> None:
    odd = of_another_machine(evidence.types, evidence.buddy, evidence.zones)
    if odd is None:
        return
    left_out = ": it is left out" if evidence.buddy else ""
    evidence.warnings.append(f"pagetypeinfo is of another machine, or of another moment ({odd}){left_out}")
    if evidence.buddy:
        evidence.types = PageTypeInfo()


# Counts of pages beside counts of KiB tell a page's size; else what the kernel's settings for each size look like.
def _settle_page_size(evidence: Evidence) -> None:
    sizes = (4096, 16384, 65536, 8192)
    printed = [report.page_size for report in evidence.reports if report.page_size is not None]
    columns = max(map(len, evidence.buddy.values()), default=0)
    columns = max([columns, *(len(row) for kinds in evidence.types.free.values() for row in kinds.values())])
    huge = evidence.meminfo.get("Hugepagesize")
    kib, pages = evidence.meminfo.get("MemFree"), _free_pages(evidence)
    ratio = kib * 1024 / pages if kib and pages and pages > 1000 else 0
    near = [size for size in sizes if size / _NEAR < ratio < size * _NEAR]
    if printed:
        evidence.page_size = printed[-1]
    elif not _MAPPED_BY_4K.isdisjoint(evidence.meminfo) and "DirectMap64k" not in evidence.meminfo:
        evidence.page_size = 4096  # x86 and s390x, whatever else its kernel counts as free
    elif near:
        (evidence.page_size,) = near
    elif huge == 1024:  # s390x
        evidence.page_size = 4096
    elif evidence.types.pageblock_order == 13 or columns in (9, 14) or huge == 524288:
        evidence.page_size = 65536
    elif evidence.types.pageblock_order == 11 or columns == 12 or huge == 32768:
        evidence.page_size = 16384
    else:
        return
    if evidence.page_size != 4096 and not printed:
        evidence.warnings.append(f"pages are taken to be of {evidence.page_size >> 10} KiB, by what the files hold")


# What is rounded, or counted in other units, is of one machine still, as is what a balloon took from a kernel.
def _warn_of_several_machines(evidence: Evidence) -> None:
    totals = [(what, size, size) for what, size in evidence.totals]
    if size := evidence.meminfo.get("MemTotal", 0) << 10:
        totals.insert(0, ("meminfo", size, size))
    pages = evidence.reports[-1].pages if evidence.reports else {}
    if pages.get("RAM", 0) > pages.get("reserved", 0):
        whole = pages["RAM"] * evidence.page_size
        totals.append((_KERNEL_LOG, whole - pages.get("reserved", 0) * evidence.page_size, whole))
    for what, least, most in totals[1:]:
        first, size, _ = totals[0]
        near = min(max(size, least), most)
        if abs(size - near) > max(size, near) * _ROUNDED + max(_rounded_to(size), _rounded_to(near)):
            evidence.warnings.append(
                f"{first} has {format_size(size)} in all, {what} {format_size(near)}: they are of several machines, or "
                "of moments with more and less memory: name the files of one"
            )
            return


def _rounded_to(size: int) -> int:
    return next((unit for unit in (1 << 30, 10**9) if size % unit == 0), 0)


def _free_pages(evidence: Evidence) -> int | None:
    return next(iter(evidence.free_pages().values()), None)
