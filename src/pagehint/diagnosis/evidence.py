"""Everything that is known of one machine's memory, wherever it comes from: /proc, or what somebody pasted."""

import re
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from pagehint.diagnosis.memory_report import HugePool, MemoryReport
from pagehint.proc.pagetypeinfo import PageTypeInfo
from pagehint.proc.slabinfo import SlabCache
from pagehint.proc.zoneinfo import ZoneInfo

__all__ = ["COUNTERS", "Evidence", "Reporting", "ZoneKey", "architecture_of"]

ZoneKey = tuple[int, str]
"""A zone's node and name."""

COUNTERS = {
    "total": ("MemTotal", None),
    "free": ("MemFree", "nr_free_pages"),
    "active_file": ("Active(file)", "nr_active_file"),
    "inactive_file": ("Inactive(file)", "nr_inactive_file"),
    "cached": ("Cached", "nr_file_pages"),
    "buffers": ("Buffers", None),
    "anon": ("AnonPages", "nr_anon_pages"),
    "mapped": ("Mapped", "nr_mapped"),
    "shmem": ("Shmem", "nr_shmem"),
    "dirty": ("Dirty", "nr_dirty"),
    "writeback": ("Writeback", "nr_writeback"),
    "unevictable": ("Unevictable", "nr_unevictable"),
    "slab_reclaimable": ("SReclaimable", "nr_slab_reclaimable"),
    "slab_unreclaimable": ("SUnreclaim", "nr_slab_unreclaimable"),
    "page_tables": ("PageTables", "nr_page_table_pages"),
    "kernel_stack": ("KernelStack", None),
    "percpu": ("Percpu", None),
    "hugetlb": ("Hugetlb", None),
    "balloon": ("Balloon", "nr_balloon_pages"),
    "cma_free": ("CmaFree", "nr_free_cma"),
    "unaccepted": ("Unaccepted", "nr_unaccepted"),
    "compressed": ("Zswap", "nr_zspages"),
    "available": ("MemAvailable", None),
}
"""Our names of counters, and what /proc/meminfo (in KiB) and /proc/vmstat (in pages) call them."""

_FREE = "nr_free_pages"
_OF_ANON = {"active_anon", "inactive_anon", "shmem"}  # of which a report that lacks some tells nothing
_ROUNDED, _ROUNDED_LEAST = 0.03, 16 << 20  # what is no matter
# What a log calls them.
_REPORTED = {
    "free": "free",
    "active_file": "active_file",
    "inactive_file": "inactive_file",
    "mapped": "mapped",
    "shmem": "shmem",
    "dirty": "dirty",
    "writeback": "writeback",
    "unevictable": "unevictable",
    "slab_reclaimable": "slab_reclaimable",
    "slab_unreclaimable": "slab_unreclaimable",
    "page_tables": "pagetables",
    "cma_free": "free_cma",
}

# Alone, or as distributions put them behind a version.
_ARCHITECTURES = {
    name: re.compile(rf"(?:^|[.-])(?:{words})(?:-pae)?$", re.ASCII)
    for name, words in {
        "x86_64": "x86[_-]64|amd64",
        "i686": "i[3-6]86|[56]86",
        "s390x": "s390x",
        "riscv64": "riscv64",
    }.items()
}


@dataclass
class Reporting:
    """Free page reporting on a machine. None: not known.

    `device` is whether a balloon device with free page reporting is there, `on` whether its driver uses it.
    `parameters` are page_reporting's own, as they read.
    """

    on: bool | None = None
    device: bool | None = None
    order: int | None = None
    order_at_boot: int | None = None
    """The order on the kernel's command line."""
    delay_ms: int | None = None
    capacity: int | None = None
    parameters: dict[str, str] = field(default_factory=dict)


@dataclass
class Evidence:
    """What is known. Empty or None: it is not there. `sources` are (file, what was found in it).

    `page_flags` and `page_counts` are /proc/kpageflags and /proc/kpagecount from pfn 0. `figures` are bytes by column
    of free's line Mem, or of what other tools print; `totals`, what each of these has in all. `pressure` is
    /proc/pressure/memory in %. `missing` are what could not be read of this machine, and why.
    """

    page_size: int = 4096
    told_page_size: int | None = None
    """As crash or getconf prints it."""
    live: bool = False
    sources: list[tuple[str, str]] = field(default_factory=list)
    buddy: dict[ZoneKey, list[int]] = field(default_factory=dict)
    types: PageTypeInfo = field(default_factory=PageTypeInfo)
    zones: list[ZoneInfo] = field(default_factory=list)
    meminfo: dict[str, int] = field(default_factory=dict)
    nodes: dict[int, dict[str, int]] = field(default_factory=dict)
    """meminfo of NUMA nodes, which each tells of a part of the machine."""
    vmstat: dict[str, int] = field(default_factory=dict)
    figures: dict[str, int] = field(default_factory=dict)
    figure_ends: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Bytes that a figure of `figures` stands for, at the least and at the most, where it is rounded."""
    totals: list[tuple[str, int]] = field(default_factory=list)
    indices: list[str] = field(default_factory=list)
    """What debugfs' fragmentation indices tell, in words."""
    reports: list[MemoryReport] = field(default_factory=list)
    machines: list[str] = field(default_factory=list)
    """Those whose reports these are, as syslog and journalctl name them."""
    reports_are_past: bool = False
    """Other files tell of another moment, in which more or less is free."""
    pressure: dict[str, dict[str, float]] = field(default_factory=dict)
    unused_names: float | None = None
    """The share of the cached names of files (dentries) that nobody uses."""
    slab_caches: dict[str, SlabCache] = field(default_factory=dict)
    page_flags: NDArray[np.uint64] | None = None
    page_counts: NDArray[np.uint64] | None = None
    architecture: str | None = None
    """As uname names it, of those whose pages have one size: ``"x86_64"``, ``"s390x"``; None: another, or not known."""
    kernel: str | None = None
    kernels: list[tuple[str, str]] = field(default_factory=list)
    """What each file says which kernel it is, and its name."""
    hypervisor: str | None = None
    """One of HYPERVISORS, which have no free page reporting; None: another, none, or not known."""
    reporting: Reporting = field(default_factory=Reporting)
    settings: dict[str, str] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @property
    def last_report(self) -> MemoryReport | None:
        """The log's last report that tells of zones: those of a cgroup's limit don't."""
        return next((report for report in reversed(self.reports) if report.zones), None)

    def memory(self) -> dict[str, int]:
        """Bytes by the names of COUNTERS: of meminfo, else vmstat, zoneinfo, the log's last report, or free.

        What is not accepted yet is no part of ``free``.
        """
        found: dict[str, int] = {}
        pages = self.vmstat or self._zone_counters()
        report = None if self.reports_are_past else self.last_report
        for name, (of_meminfo, of_vmstat) in COUNTERS.items():
            if of_meminfo in self.meminfo:
                found[name] = self.meminfo[of_meminfo] << 10
            elif of_vmstat is not None and of_vmstat in pages:
                found[name] = pages[of_vmstat] * self.page_size
            elif report is not None and _REPORTED.get(name) in report.pages:
                found[name] = report.pages[_REPORTED[name]] * self.page_size
            elif name in self.figures:
                found[name] = self.figures[name]
        if "free" in found:
            found["free"] = max(found["free"] - found.get("unaccepted", 0), 0)
        # zram's are no part of Zswap.
        if (zspages := self._zspages(pages, report)) > found.get("compressed", 0):
            found["compressed"] = zspages
        if "cached" not in found and "active_file" not in found and "buff_cache" in self.figures:
            found["buff_cache"] = self.figures["buff_cache"]
        if "total" not in found:
            managed = [zone.managed for zone in self.zones if not zone.is_empty]
            if managed and None not in managed:
                found["total"] = sum(filter(None, managed)) * self.page_size
            elif report is not None and (total := report.total(report.page_size or self.page_size)) is not None:
                found["total"] = total
        if report is not None and "anon" not in found and report.pages.keys() >= _OF_ANON:
            active, inactive, shmem = (report.pages[name] for name in ("active_anon", "inactive_anon", "shmem"))
            found["anon"] = max(active + inactive - shmem, 0) * self.page_size
        if report is not None and report.hugetlb is not None:
            found.setdefault("hugetlb", report.hugetlb)
        return found

    def huge_pools(self) -> dict[int, HugePool]:
        """hugetlb's pools by bytes of a huge page: of meminfo, which tells of one, else of the log's last report."""
        counts = self.meminfo
        if "HugePages_Total" in counts and (size := counts.get("Hugepagesize", 0) << 10):
            free = counts.get("HugePages_Free", 0) - counts.get("HugePages_Rsvd", 0)
            return {size: HugePool(counts["HugePages_Total"], free, counts.get("HugePages_Surp", 0))}
        report = None if self.reports_are_past else self.last_report
        return {} if counts or report is None else report.pools

    def rounded(self) -> dict[str, tuple[int, int]]:
        """Of memory()'s figures those that were printed rounded: bytes, at the least and at the most."""
        memory = self.memory()
        return {name: ends for name, ends in self.figure_ends.items() if memory.get(name) == self.figures[name]}

    def rough(self, name: str) -> tuple[int, int] | None:
        """The least and the most bytes of a figure of memory() that is printed so roughly that it matters; or None."""
        least, most = self.rounded().get(name, (0, 0))
        return (least, most) if most - least > max(_ROUNDED * most, _ROUNDED_LEAST) else None

    def free_pages(self) -> dict[str, int]:
        """Free pages on lists by the file that counts them; buddyinfo first, which alone may be there."""
        found: dict[str, int] = {}
        if self.buddy:
            found["buddyinfo"] = sum(
                count << order for counts in self.buddy.values() for order, count in enumerate(counts)
            )
        free = [zone.listed for zone in self.zones if not zone.is_empty]
        if free and None not in free:
            found["zoneinfo"] = sum(filter(None, free))
        if "nr_free_pages" in self.vmstat:
            found["vmstat"] = max(self.vmstat["nr_free_pages"] - self.vmstat.get("nr_unaccepted", 0), 0)
        return found

    @property
    def meminfo_free(self) -> int | None:
        """Bytes that meminfo counts as free and that lie on lists."""
        free = self.meminfo.get("MemFree")
        return None if free is None else max(free - self.meminfo.get("Unaccepted", 0), 0) << 10

    @property
    def free_in_bytes(self) -> tuple[str, int, int] | None:
        """Who counts free memory in bytes, meminfo or else a tool, and the least and the most that it may be."""
        if self.meminfo_free is not None:
            return "meminfo", self.meminfo_free, self.meminfo_free
        if (free := self.figures.get("free")) is None:
            return None
        least, most = self.figure_ends.get("free", (free, free))
        return self.totals[-1][0] if self.totals else "another file", least, most

    def _zspages(self, pages: dict[str, int], report: MemoryReport | None) -> int:
        in_zones = 0 if report is None else sum(zone.values.get("zspages", 0) for zone in report.zones.values())
        return pages["nr_zspages"] * self.page_size if "nr_zspages" in pages else in_zones

    def _zone_counters(self) -> dict[str, int]:
        counters: dict[str, int] = {}
        for zone in self.zones:
            for source in (zone.node_stats, zone.stats):
                for name, value in source.items():
                    counters[name] = counters.get(name, 0) + value
        # Of a zone that is cut off or damaged.
        if any(_FREE not in zone.stats for zone in self.zones if not zone.is_empty):
            counters.pop(_FREE, None)
        return counters


def architecture_of(words: str) -> str | None:
    """The architecture of Evidence that a kernel's version names, or that uname calls the machine."""
    return next((name for name, names in _ARCHITECTURES.items() if names.search(words)), None)
