"""What all the files together say: of which size a page is, and whether they are of one machine, and whole."""

import re
from collections.abc import Iterable, Iterator

from pagehint.diagnosis.bounds import MOST_MEMORY
from pagehint.diagnosis.evidence import Evidence, architecture_of
from pagehint.diagnosis.kernel_can import reporting_order
from pagehint.diagnosis.pasted_counters import sum_of_nodes
from pagehint.errors import printable
from pagehint.kernel.profiles import release_of
from pagehint.kernel.reporting import ORDER_PARAMETER
from pagehint.proc.pagetypeinfo import PageTypeInfo, of_another_machine
from pagehint.units import format_size

__all__ = ["settle"]

_MAPPED_BY_4K = {"DirectMap2M", "DirectMap4M", "DirectMap1M"}
_OF_X86 = {"direct_map_level2_splits", "direct_map_level3_splits", "nr_tlb_remote_flush"}
_NEAR, _EQUAL = 1.3, 1.03  # pages of one size are at least twice as large as those of the next
_COLUMNS = 11  # of 4 KiB, and of next to nothing else
_COLUMNS_OF_S390X = 9
_OF_KERNEL = re.compile(r"[+-](16|64)k$", re.ASCII)
_ROUNDED = 1 / 12  # GB and GiB, and what is given in two digits
_RULES_SINCE = 5, 3  # docs/spec/1
_BESIDE_TOTAL = {"total", "balloon", "unaccepted"}
_APART, _APART_LEAST = 0.1, 16 << 20  # by how much of it, and bytes, what is free is another figure
_TWICE = 2
_ZONEINFO = "zoneinfo"


def settle(evidence: Evidence) -> None:
    """Complete evidence of which all files are read: nodes' memory, the size of a page, what does not fit. O(zones)."""
    _add_nodes(evidence)
    if evidence.indices:
        instead = "buddyinfo tells it" if evidence.buddy else "it tells no amount: add /proc/buddyinfo"
        evidence.warnings.append(f"{evidence.indices[-1]}: left out, as {instead}")
    _leave_out_types_of_others(evidence)
    _settle_page_size(evidence)
    _count_huge_pages(evidence)
    if evidence.machines[1:]:
        names = printable(", ".join(evidence.machines[:4]))
        evidence.warnings.append(f"a log of several machines ({names}): what is free is the last report's")
    _warn_of_other_nodes("buddyinfo", (node for node, _ in evidence.buddy), evidence)
    _warn_of_other_nodes("pagetypeinfo", (node for node, _ in evidence.types.free), evidence)
    _warn_of_other_nodes("zoneinfo", (zone.node for zone in evidence.zones), evidence)
    _warn_of_lower_zones(evidence)
    _warn_of_several_machines(evidence)
    _warn_of_several_kernels(evidence)
    _warn_of_old_kernels(evidence)
    _tell_past_reports(evidence)
    _settle_order(evidence)
    evidence.warnings += [*_impossible(evidence), *_mixed(evidence)]


# What is read of a running machine counts before what its kernel was started with.
def _settle_order(evidence: Evidence) -> None:
    reporting = evidence.reporting
    if reporting.order is not None or reporting.order_at_boot is None:
        return
    if reporting_order(evidence) in (None, "set"):
        reporting.order = reporting.order_at_boot
        return
    evidence.warnings.append(
        f"{ORDER_PARAMETER}={reporting.order_at_boot} of the kernel's command line counts from 6.2 on: before, it is "
        "the pageblock order until it is set after boot"
    )


# A machine's own meminfo counts before its nodes'.
def _add_nodes(evidence: Evidence) -> None:
    if not evidence.nodes or evidence.meminfo:
        return
    evidence.meminfo = sum_of_nodes(evidence.nodes)
    _warn_of_other_nodes("meminfo", evidence.nodes, evidence)


# Nodes are numbered from 0 on.
def _warn_of_other_nodes(what: str, nodes: Iterable[int], evidence: Evidence) -> None:
    told = sorted(set(nodes))
    if told and told[0] > 0:
        named = f"node {told[0]}" if len(told) == 1 else f"nodes {', '.join(map(str, told[:4]))}"
        evidence.warnings.append(f"{what} is of {named} alone: what other nodes have is not counted")


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
    evidence.architecture = evidence.architecture or architecture_of(evidence.kernel or "")
    printed = [report.page_size for report in evidence.reports if report.page_size is not None]
    if evidence.told_page_size in sizes:
        printed = [evidence.told_page_size, *printed]
    columns = max(map(len, evidence.buddy.values()), default=0)
    columns = max([columns, *(len(row) for kinds in evidence.types.free.values() for row in kinds.values())])
    huge = evidence.meminfo.get("Hugepagesize")
    free, pages = evidence.meminfo_free, _free_pages(evidence)
    # A container's meminfo counts other memory than the machine's.
    ratio = free / pages if free and pages and pages > 1000 and evidence.meminfo.get("Slab") != 0 else 0
    near = [size for size in sizes if size / (by := _likeness(size, columns, evidence)) < ratio < size * by]
    if printed:
        evidence.page_size = printed[-1]
    elif of_kernel := _OF_KERNEL.search(evidence.kernel or ""):
        evidence.page_size = int(of_kernel[1]) << 10
    elif evidence.architecture is not None:
        evidence.page_size = 4096
    elif not _MAPPED_BY_4K.isdisjoint(evidence.meminfo) and "DirectMap64k" not in evidence.meminfo:
        evidence.page_size = 4096  # x86 and s390x, whatever else its kernel counts as free
    elif near:
        (evidence.page_size,) = near
    elif huge == 1024:  # s390x
        evidence.page_size = 4096
    elif (by_place := _size_by_place(evidence)) is not None:
        evidence.page_size = by_place
    elif _is_s390x(columns, evidence):
        evidence.page_size = 4096
        evidence.warnings.append("pages are taken to be of 4 KiB, as on s390x, by what the files hold")
    elif evidence.types.pageblock_order == 13 or columns in (9, 14) or huge == 524288:
        evidence.page_size = 65536
    elif evidence.types.pageblock_order == 11 or columns == 12 or huge == 32768:
        evidence.page_size = 16384
    else:
        if evidence.vmstat and not (evidence.zones or columns) and _OF_X86.isdisjoint(evidence.vmstat):
            evidence.warnings.append(
                "pages are taken to be of 4 KiB, which vmstat doesn't tell: where `getconf PAGESIZE` says more, all is "
                "that much more; /proc/meminfo beside it would tell"
            )
        return
    if evidence.page_size != 4096 and not printed:
        evidence.warnings.append(f"pages are taken to be of {evidence.page_size >> 10} KiB, by what the files hold")


# How far a ratio may be from a size that it shows. One zone of several, or twice as much free at another moment, looks
# like larger pages: where nothing else does, and for 8 KiB, which hardly a machine has, it must be nearly that.
def _likeness(size: int, columns: int, evidence: Evidence) -> float:
    is_of_4_kib = columns == _COLUMNS or (not columns and evidence.zones)
    return _EQUAL if size == 8192 or (size != 4096 and is_of_4_kib) else _NEAR


# Of the two that have no blocks above order 8, ppc64 has one zone; s390x keeps 2 GiB for devices.
def _is_s390x(columns: int, evidence: Evidence) -> bool:
    names = {name for _, name in [*evidence.buddy, *evidence.types.free]}
    return columns == _COLUMNS_OF_S390X and names >= {"DMA", "Normal"}


# Where there is a zone DMA32, Normal begins at 4 GiB.
def _size_by_place(evidence: Evidence) -> int | None:
    starts = {zone.start_pfn for zone in evidence.zones if zone.name == "Normal" and zone.present}
    if not any(zone.name == "DMA32" for zone in evidence.zones):
        return None
    return next((size for size in (65536, 16384) if (4 << 30) // size in starts), None)


# Kernels before 4.16 and nodes give the number of huge pages alone, nodes without their size.
def _count_huge_pages(evidence: Evidence) -> None:
    pages = evidence.meminfo.get("HugePages_Total", 0)
    if not pages or "Hugetlb" in evidence.meminfo:
        return
    size = evidence.meminfo.get("Hugepagesize")
    if size is None:
        size = (evidence.page_size >> 10) * (evidence.page_size >> 3)
        evidence.warnings.append(f"the nodes' {pages:,} huge pages are taken to be of {format_size(size << 10)}")
    evidence.meminfo["Hugetlb"] = pages * size


# Normal lies where others end, or begins with the machine's memory; those above it say what is kept for them.
def _warn_of_lower_zones(evidence: Evidence) -> None:
    placed = [zone for zone in evidence.zones if zone.present and zone.start_pfn is not None]
    lowest = min(placed, key=lambda zone: zone.start_pfn or 0, default=None)
    if lowest is None or not lowest.start_pfn:
        return
    names = [zone.name for zone in evidence.zones if zone.node == lowest.node]
    if lowest.name == names[0] == "Normal":
        evidence.warnings.append(
            f"zoneinfo: zone Normal of node {lowest.node} is the lowest, and begins at page {lowest.start_pfn:,}: if "
            "zones below it are missing, more is free; copy /proc/zoneinfo whole"
        )


# What is rounded, or counted in other units, is of one machine still, as is what a balloon took from a kernel.
def _warn_of_several_machines(evidence: Evidence) -> None:
    totals = [(what, size, size) for what, size in evidence.totals]
    if size := evidence.meminfo.get("MemTotal", 0) << 10:
        totals.insert(0, ("meminfo", size, size))
    if totals and (size := sum(counts.get("MemTotal", 0) for counts in evidence.nodes.values()) << 10):
        totals.append(("the nodes' meminfo", size, max(size, totals[0][1])))
    # Of a container, it is no total of the machine's.
    if evidence.meminfo.get("Slab") != 0 and (pages := sum(zone.managed or 0 for zone in evidence.zones)):
        totals.append((_ZONEINFO, pages * evidence.page_size, pages * evidence.page_size))
    for report in reversed(evidence.reports):
        counted, page_size = report.pages, report.page_size or evidence.page_size
        if counted.get("RAM", 0) > counted.get("reserved", 0):
            whole = counted["RAM"] * page_size
            totals.append(("a kernel log", whole - counted.get("reserved", 0) * page_size, whole))
    for what, least, most in totals[1:]:
        first, size, _ = totals[0]
        near = min(max(size, least), most)
        if abs(size - near) > max(size, near) * _ROUNDED + max(_rounded_to(size), _rounded_to(near)):
            part = ", or zoneinfo is not whole" if what == _ZONEINFO and near < size else ""
            evidence.warnings.append(
                f"{first} has {format_size(size)} in all, {what} {format_size(near)}: they are of several machines, or "
                f"of moments with more and less memory{part}: name the files of one"
            )
            return


# A log may be of several boots, a version be given in part.
def _warn_of_several_kernels(evidence: Evidence) -> None:
    counts = evidence.kernel or ""
    for kernel, name in evidence.kernels:
        short, long = sorted((kernel.rstrip(",;)"), counts), key=len)
        if not long.startswith(short) or long[len(short) :][:1].isdigit():
            evidence.warnings.append(
                f"{name} is of kernel {printable(kernel)}, others of {printable(counts)}, which counts: they are of "
                "several machines or boots: name the files of one"
            )
            return


def _warn_of_old_kernels(evidence: Evidence) -> None:
    for report in evidence.reports:
        release = release_of(report.kernel)
        if report.order and release is not None and release < _RULES_SINCE:
            evidence.warnings.append(
                f"kernel {printable(report.kernel or '')} is older than those whose rules are known here, 5.3 and "
                "later: why its allocations failed may be otherwise"
            )
            return


# What a failed allocation saw is no more what other files tell of.
def _tell_past_reports(evidence: Evidence) -> None:
    report = evidence.last_report
    told, pages = evidence.free_in_bytes, _free_pages(evidence)
    if pages is not None:
        least = most = pages * evidence.page_size
    elif told is not None:
        _, least, most = told
    else:
        return
    if report is None:
        return
    then = sum(zone.values.get("free", 0) for zone in report.zones.values())
    near = min(max(then, least), most)
    if abs(then - near) > _APART * max(then, near) + _APART_LEAST:
        evidence.reports_are_past = True
        evidence.warnings.append(
            f"the log's last report is of another moment, when {then >> 20:,} MiB were free, not {near >> 20:,} as in "
            "the other files: it tells why allocations failed, not what is free"
        )


def _rounded_to(size: int) -> int:
    return next((unit for unit in (1 << 30, 10**9) if size % unit == 0), 0)


def _free_pages(evidence: Evidence) -> int | None:
    return next(iter(evidence.free_pages().values()), None)


def _impossible(evidence: Evidence) -> Iterator[str]:
    memory = evidence.memory()
    total = min(memory.get("total", MOST_MEMORY), MOST_MEMORY)
    if memory.get("total", 0) > MOST_MEMORY:
        yield f"no machine has so much memory ({memory['total'] >> 20:,} MiB): what is computed of it means nothing"
    beyond = [
        name
        for name, size in memory.items()
        if name not in _BESIDE_TOTAL and size > (MOST_MEMORY if name == "free" else total)
    ]
    if beyond:
        yield f"more is counted than there is memory, as {', '.join(beyond[:4])}: damaged, or not of one machine"
    for zone in evidence.zones:
        marks = [mark for mark in (zone.min, zone.low, zone.high) if mark is not None]
        if marks != sorted(marks) or (zone.spanned and marks and marks[0] > zone.spanned):
            yield (
                f"zoneinfo: zone {printable(zone.name)} of node {zone.node} has watermarks that no kernel sets: min, "
                f"low, high {', '.join(map(str, marks))} of {zone.spanned} pages"
            )


# The kernel prints all of it at one moment.
def _mixed(evidence: Evidence) -> Iterator[str]:
    report = evidence.last_report
    if report is None:
        return
    page_size = report.page_size or evidence.page_size
    for zone in report.zones.values():
        if zone.has_odd_lists:
            yield f"the log's zone {printable(zone.name)} of node {zone.node} has less than is on CPUs' lists: damaged"
        in_blocks = sum(count.blocks << order for order, count in enumerate(zone.orders)) * page_size
        is_isolated = any("I" in count.types for count in zone.orders)
        if in_blocks > _TWICE * zone.values.get("free", in_blocks) + _APART_LEAST and not is_isolated:
            yield (
                f"the log's blocks of zone {printable(zone.name)} of node {zone.node} are {in_blocks >> 20:,} MiB, of "
                f"{zone.values['free'] >> 20:,} that are free: damaged, or of several reports"
            )
        elif zone.orders and zone.is_whole:
            free = zone.values.get("free", in_blocks)
            if free - in_blocks > _APART * free + _APART_LEAST:
                yield (
                    f"the log's zone {printable(zone.name)} of node {zone.node} has {free >> 20:,} MiB free, of which "
                    f"{in_blocks >> 20:,} lie in blocks: of a confidential guest that has not accepted the rest yet, "
                    "damaged, or of several reports"
                )
    for zone in report.zones.values():
        mark, has = zone.values.get("min", 0), zone.values.get("present", report.pages.get("RAM", 0) * page_size)
        if has and mark > has:
            yield (
                f"the log's zone {printable(zone.name)} of node {zone.node} has a watermark above all that it has: a "
                "fault of that kernel, or damaged"
            )
    if report.lacks_zones(page_size):
        yield (
            f"the log's last report counts {format_size(report.pages['RAM'] * page_size)} of memory, its zones have "
            f"{format_size(report.present or 0)}: some are missing, and what is free in them is not counted"
        )
        return
    if "free" not in report.pages or any("free" not in zone.values for zone in report.zones.values()):
        return
    counted = report.pages["free"] * page_size
    in_zones = sum(zone.values["free"] for zone in report.zones.values())
    if abs(counted - in_zones) > _APART * counted + _APART_LEAST:
        yield (
            f"the log's last report counts {counted >> 20:,} MiB free, its zones have {in_zones >> 20:,}: lines of "
            "several reports are mixed, or some are missing"
        )
