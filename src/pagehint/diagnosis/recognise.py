"""What people give the doctor, found by content: /proc files, free, kernel logs, page maps, in any mixture."""

import itertools
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from pagehint.diagnosis.again import Earlier, figures_of, is_kept, more_of
from pagehint.diagnosis.agreement import settle
from pagehint.diagnosis.cells import as_meminfo_lines
from pagehint.diagnosis.common_start import without_common_start
from pagehint.diagnosis.evidence import Evidence, ZoneKey
from pagehint.diagnosis.figure import ends_of
from pagehint.diagnosis.fragmentation import parse_indices
from pagehint.diagnosis.free_tool import FreeTool, parse_free
from pagehint.diagnosis.given import STANDARD_INPUT, SilentError, bytes_of, files_of, is_binary, page_map_of
from pagehint.diagnosis.host_setup import configured_reporting
from pagehint.diagnosis.interleaved import machines_of
from pagehint.diagnosis.memory_report import parse_memory_reports
from pagehint.diagnosis.named_figures import parse_named_figures
from pagehint.diagnosis.node_exporter import as_proc_lines, parse_exported_blocks
from pagehint.diagnosis.pasted import is_painted, plain_lines, telling, with_plain_quotes
from pagehint.diagnosis.pasted_counters import (
    MEMINFO_NAMES,
    is_below_zero,
    joined,
    read_meminfo,
    read_vmstat,
    sum_of_nodes,
)
from pagehint.diagnosis.pasted_zones import read_zones
from pagehint.diagnosis.repeats import without_repeats
from pagehint.diagnosis.single_lines import KERNEL, PAGE_SIZE, read_single_lines
from pagehint.diagnosis.tools import (
    Totals,
    crash_page_size,
    crash_zones_as_proc,
    parse_crash_blocks,
    parse_numastat,
    parse_totals,
    refused_text,
)
from pagehint.errors import InputError, printable
from pagehint.inputs import as_argument, as_path, decoded
from pagehint.proc.counters import parse_pressure
from pagehint.proc.pagetypeinfo import parse_buddyinfo, parse_pagetypeinfo
from pagehint.proc.slabinfo import parse_slabinfo

__all__ = ["read_files"]

_START = 1 << 18  # of what is refused
_MOST_END = 4 << 20
_KERNEL_LOG = "a kernel log"
_OF_NODES = "the meminfo of nodes"
_INDICES = "fragmentation indices"
_OF_MACHINE = {KERNEL, PAGE_SIZE}
_SEVERAL = {_KERNEL_LOG, _OF_NODES, _INDICES, *_OF_MACHINE}  # each counts
_MOST_SILENT = 3  # that are named
_PAGE_EVENT = re.compile(r"\bmm_page_(?:alloc|free|pcpu_drain)\w*: ", re.ASCII)
_USUAL_ORDERS = 11  # from 0 to 10: kernels for larger pages have more
_FEWEST_ORDERS = 9  # of ppc64 and s390x
_OF_USUAL_ORDERS = "DMA32"  # a zone that neither of them has
_WIDTH_OF_COUNT = 7
_ALIGNED = re.compile(
    r"Node\s+\d{1,9}, zone\s+\w{1,16}(?:, type\s+\w{1,16})?((?: [ \d]{5}\d){3,}+(?: {1,6}\d{1,5})?)", re.ASCII
)

_ZONE_HEAD = re.compile(r"Node\s+\d{1,9}, zone\s+[^\s,]{1,40}", re.ASCII)
_TYPE_ROW = re.compile(r"Node\s+\d{1,9}, zone\s+[^\s,]{1,40},\s+type\s+\S{1,40}\s.*", re.ASCII)
_COUNT_ROW = re.compile(r"Node\s+\d{1,9}, zone\s+[^\s,]{1,40}(?:,?\s+>?\d{1,30})+", re.ASCII)
# What somebody wrote behind it, or what else a script printed there.
_COUNT_ROW_AND_MORE = re.compile(
    r"(Node\s+\d{1,9}, zone\s+[A-Z]\w{1,15}(?:\s+\d{1,30}){11,21})\s+(?=\S{0,40}[^\d\s>])\S.*", re.ASCII
)
# And what a program that reads pictures makes of one, and whose node nobody tells.
_ODD_ROW = re.compile(
    r"Node\s+\d{1,9},\s+zone\s+[^\s,]{1,40}(?:,\s+type\s+\S{1,40})?\W{1,9}\d"
    r"|Node\s+\S{1,4}?[.,;]?\s*zone\s+[A-Z]\w{1,15}(?:,\s+type\s+\S{1,40})?(?:\s+[\dOoQIlSB?|]{1,12}){5}"
    r"|(?:[,\s]{0,4}zone\s+[A-Z]\w{1,15}(?:,\s+type\s+\S{1,40})?|(?:Zone )?(?:DMA|DMA32|Normal|HighMem|Movable)):?"
    r"(?:\s+\d{1,12}){9}",
    re.ASCII,
)
_ANY_ROW = re.compile(r"\bNode\W{1,9}(\d{1,4})\W{1,9}zone\W{1,30}([A-Z]\w{1,15})(?:[^\w.]{1,30}\d{1,12}){9}", re.ASCII)
_TYPE_HEAD = re.compile(
    r"(?:Page block order:|Pages per block:|Free pages count per migrate type|Number of blocks type).*"
)
_ARE_COUNTS = re.compile(
    r"Node\s+\d{1,9}, zone\s+\S{1,40}(?:\s+type\s+\S{1,40})?(?:\s+>?\d{1,30})*|Pages? [a-z ]{1,30}:\s*\d{1,9}"
    r"|Number .*|Free .*",
    re.ASCII,
)
_ZONE_FIELD = re.compile(
    r"(?:(?:pages free|min|low|high|spanned|present|managed|count:)\s+-?\d+"
    r"|protection: \(.*|per-node stats|pagesets|cpu: \d+|vm stats threshold: \d+"
    r"|[a-z_]{2,40}:?\s+\d{1,30})",
    re.ASCII,
)
_PAGES_FREE = re.compile(r"pages free\s+\d+", re.ASCII)
_OF_ZONE = re.compile(r"(?:pages free|spanned)\s+\d+", re.ASCII)
_EMPTY = re.compile(r"present\s+0")
_INDENTED = re.compile(r"(?:^|:) {5,8}nr_free_pages ", re.MULTILINE)
_OF_VMSTAT = "pgfault", "pgpgin"  # and of no zone
_VMSTAT = re.compile(
    r"(?:nr|pg|numa|workingset|thp|compact|balloon|drop|kswapd|allocstall|oom|unevictable|slabs|swap|zswp|zone|vma|ksm"
    r"|htlb|cma|direct|pageoutrun|cow|kstack)\w*\s+\d{1,20}",
    re.ASCII,
)
_LOG = re.compile(
    r"Mem-[Ii]nfo:|page allocation (?:failure|stalls)|vmemmap alloc failure|vmalloc error:|invoked oom-killer"
    r"|\bfree:\d{1,19}\s?kB|\*\d{1,9}kB"
)


def read_files(paths: Iterable[str | Path]) -> Evidence:
    """What the files tell of one machine. O(size). Raises InputError where one of them tells nothing."""
    evidence = Evidence()
    silent: list[SilentError] = []
    earlier = Earlier()
    for given in paths:
        path = as_path(given, "is no file: expected the path of one, such as a copy of /proc/buddyinfo")
        try:
            for file in files_of(path):
                _read_file(evidence, file, file != path, earlier)
        except SilentError as error:
            silent.append(error)
    if all(what in _OF_MACHINE for _, what in evidence.sources):
        if silent:
            raise silent[0]
        if evidence.sources:
            name, _ = evidence.sources[0]
            raise InputError(f"{name}: tells which machine it is, but nothing of free memory: add /proc/buddyinfo")
        raise InputError("no files that tell of memory: name some, such as a copy of /proc/buddyinfo, or a kernel log")
    evidence.warnings += _left_out(silent)
    if all(what == _INDICES for _, what in evidence.sources):
        raise InputError(f"{evidence.indices[-1]}, but not how much that is: add /proc/buddyinfo, which tells both")
    versions = [report.kernel for report in evidence.reports if report.kernel is not None]
    if versions:
        evidence.kernel = evidence.kernel or versions[-1]
        evidence.kernels.append((versions[-1], "the log's last report"))
    settle(evidence)
    evidence.warnings = list(dict.fromkeys(evidence.warnings))
    return evidence


# Who gives all files of a folder gives others too.
def _left_out(silent: list[SilentError]) -> Iterator[str]:
    names: dict[str, list[str]] = {}
    for error in silent:
        names.setdefault(error.why, []).append(error.name)
    for why, all_of in names.items():
        more = f" and {len(all_of) - _MOST_SILENT:,} more" if len(all_of) > _MOST_SILENT else ""
        yield f"{', '.join(all_of[:_MOST_SILENT])}{more}: left out: {why}"


def _read_file(evidence: Evidence, path: Path, of_folder: bool, earlier: Earlier) -> None:
    before = figures_of(evidence)
    for what, name in _read(evidence, path, of_folder, earlier):
        is_again = what not in _SEVERAL and any(what == other for _, other in evidence.sources)
        if is_again and not is_kept(what, before, figures_of(evidence)):
            evidence.warnings.append(f"{name}: holds {what} again: what was read last counts")
        evidence.sources.append((name, what))


def _read(evidence: Evidence, path: Path, may_be_silent: bool, earlier: Earlier) -> Iterator[tuple[str, str]]:
    name = "standard input" if path == STANDARD_INPUT else printable(str(path))
    data = bytes_of(path, name)
    if is_binary(data):
        what, words = page_map_of(data, name)
        if what == "kpageflags":
            evidence.page_flags = words
        else:
            evidence.page_counts = words
        yield what, name
        return
    if earlier.has(data):
        return
    text = decoded(data)
    del data
    before = len(evidence.warnings)
    found = list(_text(evidence, text, name))
    if _OF_MACHINE.issuperset(found) and (rest := without_common_start(text)) is not None:
        warnings, evidence.warnings[before:] = evidence.warnings[before:], []
        then = list(_text(evidence, rest, name))
        if _OF_MACHINE.issuperset(then):
            evidence.warnings[before:] = warnings
        else:
            found = then
    if not found and not may_be_silent:
        why = "holds nothing that tells of free memory" if text.strip() else "is empty"
        start = text[:_START]
        if _PAGE_EVENT.search(start):
            file = "FILE" if path == STANDARD_INPUT else as_argument(path)
            raise SilentError(
                name,
                "a tracer's text of page events",
                f"`pagehint import {file} -o NAME.pagetrace` makes a recording of it, for `pagehint run`",
            )
        if (refused := refused_text({*plain_lines(start), *map(str.strip, start.split("\n"))})) is not None:
            why = f"holds {refused}"
        if left_out := [warning for warning in evidence.warnings[before:] if "left out" in warning]:
            raise InputError(f"{left_out[-1]}. Nothing else of it tells of free memory")
        raise SilentError(
            name,
            why,
            "expected buddyinfo, pagetypeinfo, zoneinfo, meminfo, vmstat, kpageflags, the output of free, or a kernel "
            "log with Mem-Info",
        )
    for what in found:
        yield what, name


def _text(evidence: Evidence, text: str, name: str) -> Iterator[str]:
    if not text.endswith(("\n", "\r")) and text.rstrip()[-1:].isdigit():
        evidence.warnings.append(f"{name}: ends without a line break: its last figure may be cut off")
    if is_painted(text):
        evidence.warnings.append(
            f"{name}: a program filled the screen with this: figures that it changed where they stood are left out, "
            "and the earlier ones count; give the output of the commands themselves"
        )
    kept = _ends(telling(without_repeats(text)), evidence, name)
    lines = as_meminfo_lines(as_proc_lines(plain_lines(kept)), MEMINFO_NAMES)
    plain = "\n".join(lines)
    parts = _parts(lines)
    whole = with_plain_quotes(_ends(text, evidence, name)) if "{" in text else ""
    yield from _of_zones(evidence, parts, lines, name)
    evidence.warnings += _lost_rows(evidence, kept, name) if parts["buddyinfo"] else ()
    meminfo, nodes = read_meminfo(lines, evidence, name)
    if meminfo:
        evidence.meminfo = joined(evidence.meminfo, meminfo)
        yield "meminfo"
    if nodes:
        evidence.warnings += [
            f"{name}: holds node {node}'s meminfo again: what was read last counts"
            for node, counts in nodes.items()
            if evidence.nodes.get(node, counts) != counts
        ]
        evidence.nodes |= nodes
        yield _OF_NODES
    counters = {} if _are_of_zones(parts, text, evidence, name) else read_vmstat(parts["vmstat"], evidence, name)
    # A cgroup's memory.stat and a VM's dommemstat have events by the same names, but no counts of pages.
    if any(counter.startswith("nr_") for counter in counters):
        evidence.vmstat = joined(evidence.vmstat, counters)
        yield "vmstat"
    if (of_free := parse_free(lines)) is not None:
        _take_free(evidence, *of_free, name)
        yield "the output of free"
    yield from _tools(evidence, lines, [plain, whole], name, of_free is not None)
    if caches := parse_slabinfo(plain):
        evidence.slab_caches = caches
        yield "slabinfo"
    if pressure := parse_pressure(plain):
        evidence.pressure = pressure
        yield "memory pressure"
    if _LOG.search(plain) is not None and _read_log(evidence, lines, name):
        evidence.machines = list(dict.fromkeys([*evidence.machines, *machines_of(kept)]))
        yield _KERNEL_LOG
    below_zero = [line for line in lines if "-" in line and is_below_zero(line)]
    if below_zero:
        evidence.warnings.append(
            f"{name}: no count is below zero: left out where it says {printable(below_zero[0][:80])}"
            + (f", and in {len(below_zero) - 1:,} more lines" if below_zero[1:] else "")
        )
    yield from read_single_lines(evidence, plain, name)
    if (device := configured_reporting(text)) is not None:
        evidence.reporting.device = evidence.reporting.device or device
        if not device and evidence.reporting.on is None:
            evidence.reporting.on = False
        yield "how the host sets up the VM"


# However a text is put, each zone's counts stand behind its name.
def _lost_rows(evidence: Evidence, text: str, name: str) -> Iterator[str]:
    if not evidence.buddy:
        return
    said = " ".join(" ".join(evidence.warnings).split())
    rows = dict.fromkeys((int(node), zone) for node, zone in _ANY_ROW.findall(text))
    lost = [
        f"zone {zone} of node {node}"
        for node, zone in rows
        if (node, zone) not in evidence.buddy and f"Node {node}, zone {zone}" not in said
    ]
    if lost:
        yield f"{name}: names zones whose rows are not understood, and left out: {printable(', '.join(lost[:4]))}"


# What rows tell of zones.
def _of_zones(evidence: Evidence, parts: dict[str, list[str]], lines: list[str], name: str) -> Iterator[str]:
    if parts["buddyinfo"] and (buddy := _longest(parts["buddyinfo"], evidence, name)):
        whole = more_of(evidence.buddy, buddy)
        yield "buddyinfo, more zones" if len(whole) > len(evidence.buddy) > 0 else "buddyinfo"
        evidence.buddy = whole
    if indices := parse_indices(parts["odd"]):
        evidence.indices += [f"{name}: {each}" for each in indices]
        parts["odd"] = []
        yield _INDICES
    for line in parts["odd"][:3]:
        before = "" if line.startswith("Node") else "; /proc/buddyinfo has `Node 0, zone` before it"
        evidence.warnings.append(
            f"{name}: a zone's row is not understood, and left out: {printable(line[:80])}{before}"
        )
    if parts["pagetypeinfo"] and _read_types(evidence, parts["pagetypeinfo"], name):
        yield "pagetypeinfo"
    parts["zoneinfo"] = parts["zoneinfo"] or crash_zones_as_proc(lines)
    if parts["zoneinfo"] and (zones := read_zones(parts["zoneinfo"], evidence, name)):
        known, found = ({(zone.node, zone.name): zone for zone in each} for each in (evidence.zones, zones))
        whole_zones = more_of(known, found)
        yield "zoneinfo, more zones" if len(whole_zones) > len(known) > 0 else "zoneinfo"
        evidence.zones = list(whole_zones.values())


# Of too much, the start and the end: whole lines.
def _ends(text: str, evidence: Evidence, name: str) -> str:
    if len(text) <= 2 * _MOST_END:
        return text
    first, last = text.rfind("\n", 0, _MOST_END), text.find("\n", len(text) - _MOST_END)
    evidence.warnings.append(
        f"{name}: more than {2 * _MOST_END >> 20} MiB of it may tell of memory: the first and the last "
        f"{_MOST_END >> 20} MiB of that are read"
    )
    return f"{text[: _MOST_END if first < 0 else first]}\n{text[-_MOST_END if last < 0 else last + 1 :]}"


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
    evidence.warnings += [
        f"{name}: the free blocks of {zone} don't add up to what is printed behind them, and are left out: damaged, or "
        "lines of several reports"
        for report in reports
        for zone in report.odd_rows
    ]
    if any(report.is_mixed for report in reports):
        evidence.warnings.append(
            f"{name}: has a zone more than once in a report of memory: lines of several reports are mixed, and the "
            "first of each zone count"
        )
    if misread := [figure for report in reports for figure in report.misread]:
        evidence.warnings.append(
            f"{name}: figures of a report are not understood, and left out: {printable(', '.join(misread[:3]))}"
            + (f" and {len(misread) - 3:,} more" if misread[3:] else "")
            + ": misread from a picture?"
        )
    if any(report.begins_late(report.page_size or evidence.page_size) for report in reports):
        evidence.warnings.append(
            f"{name}: lacks the beginning of a report of memory, before its zones' lines: zones may be missing too"
        )
    if any(report.has_gaps for report in reports):
        evidence.warnings.append(
            f"{name}: the kernel's messages were lost within a report of memory: what it says of zones may not be all"
        )
    return bool(reports)


def _take_free(evidence: Evidence, found: FreeTool, others: bool, name: str) -> None:
    evidence.figures, evidence.figure_ends = found.sizes, found.ends
    _note_total(evidence, "the output of free", found.sizes)
    if others:
        evidence.warnings.append(f"{name}: has the output of free more than once: the last one counts")
    if found.unit is not None:
        evidence.warnings.append(f"{name}: free's figures are taken for {found.unit}, by their size")
    if (rough := evidence.rough("free")) is not None:
        least, most = rough
        why = "may be of powers of 1000 or of 1024" if found.is_doubtful else "are rounded"
        evidence.warnings.append(
            f"{name}: free's figures {why}: from {least >> 20:,} to {most >> 20:,} MiB are free; `free -b` tells it"
        )


# What /proc's files and free tell is not taken from others: these fill up what is not known. `texts` are the lines,
# and a text that is JSON, of which they hold no numbers.
def _tools(evidence: Evidence, lines: list[str], texts: list[str], name: str, beside_free: bool) -> Iterator[str]:
    for what, parse in (("crash's kmem -f", parse_crash_blocks), ("node_exporter's buddyinfo", parse_exported_blocks)):
        if not evidence.buddy and (rows := _as_rows(parse(lines))) and (blocks := _longest(rows, evidence, name)):
            evidence.buddy = blocks
            yield what
    evidence.told_page_size = crash_page_size(lines) or evidence.told_page_size
    if not (evidence.meminfo or evidence.nodes) and "MemFree" in (of_nodes := parse_numastat(lines)):
        evidence.meminfo = sum_of_nodes({0: of_nodes})
        yield "numastat -m"
    for what, sizes, machines, again in parse_named_figures(texts):
        ends = ends_of(sizes)
        _take_sizes(evidence, what, {key: size for key, (size, _) in sizes.items()}, ends, beside_free)
        _warn_of_rounded(evidence, what, ends, name)
        if machines:
            evidence.warnings.append(
                f"{name}: the figures of {what} are of several machines: those of {printable(machines[-1])} are read"
            )
        if again:
            evidence.warnings.append(f"{name}: has the figures of {what} more than once: the last whole ones count")
        yield what
    for totals in parse_totals(lines):
        _take_sizes(evidence, totals.what, totals.sizes, totals.ends, beside_free)
        _warn_of_totals(evidence, totals, name)
        yield totals.what


# Where each order has a line of its own, as in lists of Prometheus that are cut off or filtered: up to one that lacks.
def _as_rows(found: dict[ZoneKey, dict[int, int]]) -> list[str]:
    orders = {zone: itertools.takewhile(counts.__contains__, itertools.count()) for zone, counts in found.items()}
    return [
        f"Node {node}, zone {name} " + " ".join(str(found[node, name][order]) for order in of_zone)
        for (node, name), of_zone in orders.items()
    ]


def _take_sizes(
    evidence: Evidence, what: str, sizes: dict[str, int], ends: dict[str, tuple[int, int]], beside_free: bool
) -> None:
    _note_total(evidence, what, sizes)
    for key, size in sizes.items():
        if not (beside_free and key in evidence.figures):
            evidence.figures[key] = size
            evidence.figure_ends.pop(key, None)
            if key in ends:
                evidence.figure_ends[key] = ends[key]


def _warn_of_rounded(evidence: Evidence, what: str, ends: dict[str, tuple[int, int]], name: str) -> None:
    if "free" in ends and (rough := evidence.rough("free")) is not None:
        least, most = rough
        evidence.warnings.append(
            f"{name}: {what} rounds its figures: from {least >> 20:,} to {most >> 20:,} MiB are free"
        )


def _warn_of_totals(evidence: Evidence, totals: Totals, name: str) -> None:
    what = totals.what
    if totals.ends and totals.unit is None:
        _warn_of_rounded(evidence, what, totals.ends, name)
    elif "free" in totals.ends:
        least, most = totals.ends["free"]
        evidence.warnings.append(
            f"{name}: {what} may be in MiB or, with -S m, of 1000 * 1000 bytes: from {least >> 20:,} to "
            f"{most >> 20:,} MiB are free; `vmstat -S K` tells it"
        )
    elif totals.unit is not None:
        evidence.warnings.append(f"{name}: the figures of {what} are taken for {totals.unit}, by their size")
    if totals.others:
        evidence.warnings.append(
            f"{name}: {what} tells of several machines, or of moments with more and less memory: the last row counts"
        )


def _note_total(evidence: Evidence, what: str, sizes: dict[str, int]) -> None:
    if sizes.get("total"):
        evidence.totals.append((what, sizes["total"]))


# One grammar a line; only a zone's row of counts needs the heading before it, and zoneinfo's fields their zone.
def _parts(lines: list[str]) -> dict[str, list[str]]:
    names = "buddyinfo", "pagetypeinfo", "zoneinfo", "vmstat", "odd", "headless"
    parts: dict[str, list[str]] = {name: [] for name in names}
    state = ""
    is_over = False
    for line in lines:
        # After a zone's own count, or one without pages, which has none, it is vmstat's.
        if state == "zoneinfo" and line.startswith("nr_free_pages "):
            state, is_over = ("", False) if is_over else (state, True)
        if _TYPE_HEAD.fullmatch(line):
            state = "pageblocks" if line.startswith("Number") else "pagetypeinfo"
            parts["pagetypeinfo"].append(line)
        elif _TYPE_ROW.fullmatch(line):
            state = "pagetypeinfo"
            parts["pagetypeinfo"].append(line)
        elif _COUNT_ROW.fullmatch(line):
            # Behind pagetypeinfo's counts of pageblocks a buddyinfo may stand: there are fewer types than orders.
            is_of_types = state == "pageblocks" and len(line.split()) < 4 + _FEWEST_ORDERS
            parts["pagetypeinfo" if is_of_types else "buddyinfo"].append(line)
        elif (row := _COUNT_ROW_AND_MORE.fullmatch(line)) is not None:
            parts["buddyinfo"].append(row[1])
        elif _ODD_ROW.match(line) and not is_below_zero(line):
            parts["odd"].append(line)
        elif _ZONE_HEAD.fullmatch(line):
            state, is_over = "zoneinfo", False
            parts["zoneinfo"].append(line)
        elif state == "zoneinfo" and _ZONE_FIELD.fullmatch(line):
            parts["zoneinfo"].append(line)
            is_over = _EMPTY.fullmatch(line) is not None or (is_over and _PAGES_FREE.fullmatch(line) is None)
            if line.startswith("start_pfn"):
                state = ""
        elif _VMSTAT.fullmatch(line):
            parts["vmstat"].append(line)
        elif _OF_ZONE.fullmatch(line):
            parts["headless"].append(line)
        elif state == "pageblocks" and not line.startswith("Node"):
            state = ""
    return parts


# Zones have counters by the same names as vmstat. Without the zones' headings, as grep leaves them, nobody tells whose.
def _are_of_zones(parts: dict[str, list[str]], text: str, evidence: Evidence, name: str) -> bool:
    rows = parts["vmstat"]
    free = [int(row.split()[1]) for row in rows if row.startswith("nr_free_pages ")]
    only_free = free[1:] and all(row.startswith("nr_free_") for row in rows)
    only_free = only_free and (max(free) > 2 * min(free) or _INDENTED.search(text) is not None)
    if not (only_free or parts["headless"]) or any(row.startswith(_OF_VMSTAT) for row in rows):
        return False
    evidence.warnings.append(
        f"{name}: lines of zones without their headings, Node 0, zone ...: which are whose is not told, and they are "
        "left out; copy /proc/zoneinfo whole"
    )
    return True


# A row with fewer columns than the most is cut off. One with more than the others holds what stood after it, where the
# others can be whole.
def _longest(rows: list[str], evidence: Evidence, name: str) -> dict[tuple[int, str], list[int]]:
    columns = Counter(len(row.split()) for row in rows)
    width = max(columns, key=lambda number: (columns[number], number))
    if columns[width] == 1 or width < 4 + _USUAL_ORDERS:
        width = max(columns)
    if not _are_whole("buddyinfo", rows, width - 4, evidence, name):
        return {}
    whole: dict[str, str] = {}
    broken: dict[str, None] = {}
    again: dict[str, None] = {}
    for row in rows:
        words = row.split()
        key = " ".join(words[:4])
        if len(words) != width or _ends_within_figure(row):
            broken[key] = None
            continue
        if whole.pop(key, row).split() != words:
            again[key] = None
        whole[key] = row
    evidence.warnings += [
        *(f"{name}: a row of buddyinfo is cut off or broken, and left out: {printable(key)}" for key in broken),
        *(f"{name}: has {printable(key)} more than once: the last one counts" for key in again),
    ]
    return parse_buddyinfo("\n".join(whole.values()), name)


# As a window cuts it whose right edge is within a column: all others are of one width.
def _ends_within_figure(row: str) -> bool:
    counts = _ALIGNED.fullmatch(row)
    return counts is not None and len(counts[1]) % _WIDTH_OF_COUNT != 0


# Whether rows that all end behind so many orders may be whole: few kernels have fewer than 11.
def _are_whole(what: str, rows: list[str], orders: int, evidence: Evidence, name: str) -> bool:
    are_few = orders < _USUAL_ORDERS
    is_cut = are_few and any(row.split()[3].rstrip(",") == _OF_USUAL_ORDERS for row in rows)
    if orders < _FEWEST_ORDERS or is_cut or all(map(_ends_within_figure, rows)):
        evidence.warnings.append(
            f"{name}: rows of {what} are cut off behind order {max(orders - 1, 0)}, and left out: copy it from a wider "
            "window, or as a file"
        )
        return False
    if are_few:
        evidence.warnings.append(
            f"{name}: rows of {what} end behind order {orders - 1}, as on s390x and ppc64: if they were cut off, more "
            "is free"
        )
    return True


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
    of_types = [row for row in rows if ", type" in row]
    columns = max((len(row.split()) for row in of_types), default=0)
    if of_types and not _are_whole("pagetypeinfo", of_types, columns - 6, evidence, name):
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
        elif (blocks and len(words) != types + 4) or (
            not blocks and (len(words) != columns or _ends_within_figure(row))
        ):
            evidence.warnings.append(f"{name}: a row of pagetypeinfo is cut off, and left out")
            continue
        if not _ARE_COUNTS.fullmatch(row):
            evidence.warnings.append(
                f"{name}: a row of pagetypeinfo is not understood, and left out: {printable(row[:80])}"
            )
            continue
        key = f"{blocks} {' '.join(words[: 4 if blocks else 6])}" if words[0] == "Node" else words[0]
        kept.pop(key, None)
        kept[key] = row
    yield from sorted(kept.values(), key=_section)


def _section(row: str) -> int:
    if row.startswith(("Page", "Free")):
        return 0
    return 1 if ", type" in row else 2 if row.startswith("Number") else 3
