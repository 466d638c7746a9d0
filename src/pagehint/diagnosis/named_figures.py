"""Totals of memory as monitoring, inventories and hypervisors give them: each figure beside its name."""

import re
from collections import deque
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from pagehint.diagnosis.bounds import MOST_MEMORY
from pagehint.diagnosis.figure import FIGURE_UNITS, SMALLEST_PAGE, Size, slack_of

__all__ = ["parse_named_figures"]

_FIGURE = r"(?P<figure>\d{1,20}(?:\.\d{1,20})?(?:e\+?[01]?\d)?)"
_ALONE = _FIGURE + r"(?![\d.eE]|,\d|\s?[kKMGTPE]i?[Bb]?\b)"  # a unit or thousands apart would say something else
_MOST_MOMENTS = 10_000  # that are read: the last
_KIB, _MIB = 1 << 10, 1 << 20


class _Source(NamedTuple):
    """A tool: `figure` finds one, with the groups name and figure, and unit and machine where it has them; `within`
    finds what holds all figures of one moment, where the names say too little alone. `needs` are counters that must be
    there beside what is free. Of `whole_pages`, other figures are none of the tool's, nor is a text without
    the `mark`.
    """

    mark: str
    figure: str
    names: dict[str, str]
    unit: int = 1
    within: str | None = None
    needs: frozenset[str] = frozenset()
    whole_pages: bool = False


_OF_PSUTIL = {name: name for name in ("total", "free", "available", "buffers", "cached", "shmem", "slab")} | {
    "buffered": "buffers",
    "shared": "shmem",
}
_PSUTIL_NAMES = "|".join(_OF_PSUTIL)
_TOOLS = {
    "glances, psutil or telegraf": _Source(
        "ercent",
        rf"\b(?P<name>{_PSUTIL_NAMES})['\"]?(?:=|: ?){_FIGURE}(?=\s{{0,40}}[,)}}])",
        _OF_PSUTIL,
        within=r"[({][^(){}]{0,4000}+[)}]",
        needs=frozenset({"total", "available", "buffers"}),
    ),
    "glances": _Source(
        "mem.free",
        rf"^mem\.(?P<name>{_PSUTIL_NAMES}): {_FIGURE}$",
        _OF_PSUTIL,
    ),
    "glances' screen": _Source(
        "MEM",
        rf"\b(?P<name>total|free) +{_FIGURE}(?P<unit>[KMGT])\b.*",
        {"total": "total", "free": "free"},
        within=r"^.{0,300}?\bMEM\b.{1,60}\bSWAP\b.{0,60}\n(?:.{1,200}\n){2}.{1,200}",
        needs=frozenset({"total"}),
    ),
    "nmon's screen": _Source(
        "RAM-Memory",
        rf"\b(?P<name>Total|Free|Cached|Buffers)(?: {{1,3}}\(MB\)|\s{{0,3}}=)\s{{1,40}}{_FIGURE}(?![\d.,])",
        {"Total": "total", "Free": "free", "Cached": "cached", "Buffers": "buffers"},
        _MIB,
    ),
    "Ansible's facts": _Source(
        "ansible_mem",
        rf"\bansible_mem(?P<name>total|free)_mb\b['\"]?: {_ALONE}",
        {"total": "total", "free": "free"},
        _MIB,
    ),
    "Ansible's ansible_memory_mb": _Source(
        "ansible_memory_mb",
        rf"\b(?P<name>total|free)\b['\"]?: {_ALONE}",
        {"total": "total", "free": "free"},
        _MIB,
        within=r"\breal['\"]?:\s{0,40}\{?(?:\s{0,40}['\"]?(?:free|total|used)['\"]?: \d{1,12},?){2,3}",
    ),
    "Ohai": _Source(
        '"total":',
        rf'"(?P<name>total|free|buffers|cached|available)": ?"{_FIGURE}kB"',
        {name: name for name in ("total", "free", "buffers", "cached", "available")},
        _KIB,
        within=r'"total": ?"\d{1,12}kB",\s{0,40}"free": ?"\d{1,12}kB",[^{}]{0,200}"buffers"[^{}]{0,400}',
    ),
    "collectd": _Source(
        "/memory/memory-",
        rf'(?P<machine>[^"/\s]{{1,80}})/memory/memory-(?P<name>free|cached|buffered|slab_recl|slab_unrecl)"? .{{0,60}}?'
        rf"\d:{_FIGURE}$",
        {
            "free": "free",
            "cached": "cached",
            "buffered": "buffers",
            "slab_recl": "slab_reclaimable",
            "slab_unrecl": "slab_unreclaimable",
        },
    ),
    "OpenWrt's ubus": _Source(
        '"buffered"',
        rf'"(?P<name>{_PSUTIL_NAMES})": ?{_ALONE}',
        _OF_PSUTIL,
        within=r'"memory": ?\{[^{}]{0,600}\}',
        needs=frozenset({"total", "buffers"}),
    ),
    "procrank": _Source(
        "RAM:",
        rf"\b{_FIGURE}K (?P<name>total|free|buffers|cached|shmem|slab)\b",
        {name: name for name in ("total", "free", "buffers", "cached", "shmem")},
        _KIB,
        within=r"^RAM: \d{1,12}K total, \d{1,12}K free, .{1,200}",
        needs=frozenset({"total"}),
    ),
    "telegraf": _Source(
        "mem,",
        rf"[ ,](?P<name>{_PSUTIL_NAMES})={_FIGURE}i?(?=[, ]|$)",
        _OF_PSUTIL,
        within=r"^mem,(?>\S{0,400}?\bhost=(?P<machine>[^,\s]{1,80}))?\S{0,400}+ \S{1,4000}",
        needs=frozenset({"total", "available"}),
    ),
    "telegraf, as Prometheus has it": _Source(
        "mem_free",
        rf'^mem_(?P<name>{_PSUTIL_NAMES})(?:\{{(?:[^{{}}\n]{{0,200}}?\bhost="(?P<machine>[^"]{{1,80}}))?[^{{}}\n]{{0,200}}\}})?'
        rf" {_FIGURE}(?=\s|$)",
        _OF_PSUTIL,
        needs=frozenset({"total"}),
    ),
    "Metricbeat": _Source(
        "system.memory.free",
        r"\bsystem\.memory\.(?P<name>total|free|cached)['\"]? ?[:=]? {0,9}"
        rf"(?:\[\s{{0,40}}(?=\d{{1,20}}\s{{0,40}}\]))?{_ALONE}",
        {name: name for name in ("total", "free", "cached")},
        needs=frozenset({"total"}),
    ),
    "Zabbix": _Source(
        "vm.memory.size[",
        rf"vm\.memory\.size\[(?P<name>total|free|available|buffers|cached|slab|shared)\]['\"]?\s?[:=,]?\s{{0,60}}"
        rf"(?:\[[us]\|)?['\"]?{_ALONE}",
        {name: name for name in ("total", "free", "available", "buffers", "cached")},
    ),
    "sadf -p": _Source(
        "kbmemfree",
        rf"\bkb(?P<name>memfree|avail|buffers|cached)\s{_FIGURE}$",
        {"memfree": "free", "avail": "available", "buffers": "buffers", "cached": "cached"},
        _KIB,
    ),
    "sadf -j": _Source(
        '"memfree"',
        rf'"(?P<name>memfree|avail|buffers|cached)": {_ALONE}(?=\s{{0,40}}[,}}])',
        {"memfree": "free", "avail": "available", "buffers": "buffers", "cached": "cached"},
        _KIB,
    ),
    "SNMP": _Source(
        "memAvailReal",
        rf"\bmem(?P<name>TotalReal|AvailReal|Buffer|Cached)\.0\s{{0,4}}[=:]\s{{0,4}}(?:INTEGER: )?{_FIGURE}"
        r"(?![\d.,eE])",
        {"TotalReal": "total", "AvailReal": "free", "Buffer": "buffers", "Cached": "cached"},
        _KIB,
    ),
    "smem -w": _Source(
        "userspace memory",
        rf"^(?P<name>free memory)\s+{_FIGURE}(?P<unit>[KMGT]?)(?=\s|$)",
        {"free memory": "free"},
        _KIB,
    ),
    "Proxmox' info balloon": _Source(
        "free_mem=",
        rf"\b(?P<name>total_mem|free_mem)={_ALONE}",
        {"total_mem": "total", "free_mem": "free"},
        _MIB,
        within=r"\bballoon: actual=\d{1,12} max_mem=.{1,300}",
        needs=frozenset({"total"}),
    ),
    "virsh dommemstat": _Source(
        "unused",
        rf"^(?:balloon\.)?(?P<name>actual|current|unused|available|usable|disk_caches)[ =]{_FIGURE}$",
        {"unused": "free", "available": "total", "usable": "available", "disk_caches": "buff_cache"},
        _KIB,
        within=r"^(?:Domain: '(?P<machine>[^'\n]{1,80})'?\n(?:(?!balloon\.)[\w.=:/ -]{1,200}\n){0,40}+)?"
        r"(?:balloon\.)?(?:actual|current)[ =]\d{1,20}$(?:\n[\w. =-]{1,80}$){1,20}",
    ),
    "libvirt's memoryStats()": _Source(
        "unused",
        rf"['\"](?P<name>unused|available|usable|disk_caches)['\"]: ?{_ALONE}",
        {"unused": "free", "available": "total", "usable": "available", "disk_caches": "buff_cache"},
        _KIB,
        within=r"\{(?=[^{}]{0,2000}['\"]actual['\"]: ?\d)[^{}]{0,2000}\}",
        needs=frozenset({"total"}),
    ),
    "QEMU's guest-stats": _Source(
        "stat-free-memory",
        rf"\bstat-(?P<name>free-memory|total-memory|available-memory|disk-caches)['\"]?\s?[:=]\s?{_ALONE}",
        {
            "free-memory": "free",
            "total-memory": "total",
            "available-memory": "available",
            "disk-caches": "buff_cache",
        },
        whole_pages=True,
    ),
    "Firecracker's balloon statistics": _Source(
        "actual_pages",
        rf"\b(?P<name>free_memory|total_memory|available_memory|disk_caches)['\"]?\s?[:=]\s?{_ALONE}",
        {
            "free_memory": "free",
            "total_memory": "total",
            "available_memory": "available",
            "disk_caches": "buff_cache",
        },
        needs=frozenset({"total"}),
        whole_pages=True,
    ),
    "Proxmox' ballooninfo": _Source(
        "total_mem",
        rf"\b(?P<name>free_mem|total_mem)['\"]?: ?{_ALONE}",
        {"free_mem": "free", "total_mem": "total"},
        needs=frozenset({"total"}),
    ),
    "podman info": _Source(
        "memFree",
        rf"\bmem(?P<name>Free|Total)['\"]?: {_ALONE}",
        {"Free": "free", "Total": "total"},
        needs=frozenset({"total"}),
        whole_pages=True,
    ),
    "virsh nodememstats": _Source(
        "KiB",
        rf"^(?P<name>total|free|buffers|cached)\s{{0,10}}: {{1,20}}{_FIGURE} KiB$",
        {name: name for name in ("total", "free", "buffers", "cached")},
        _KIB,
        needs=frozenset({"total", "buffers", "cached"}),
    ),
}  # fmt: skip
_FIGURES = {tool: re.compile(source.figure, re.ASCII | re.MULTILINE) for tool, source in _TOOLS.items()}
_WITHIN = {
    tool: re.compile(source.within, re.ASCII | re.MULTILINE)
    for tool, source in _TOOLS.items()
    if source.within is not None
}


def parse_named_figures(texts: list[str]) -> Iterator[tuple[str, dict[str, Size], list[str], bool]]:
    """Of each tool whose figures are in the first of the texts that has some: its name, sizes by the names of COUNTERS,
    the names of the machines, where they are several: the figures are of the last; and whether that one's are there
    again with others: the last that are whole count. O(length).
    """
    for tool, source in _TOOLS.items():
        for text in texts:
            if source.mark not in text:
                continue
            found: dict[str, dict[str, Size]] = {}
            others = set()
            for machine, sizes in _moments(tool, source, text):
                if "free" in sizes and source.needs <= sizes.keys():
                    if found.pop(machine, sizes) != sizes:
                        others.add(machine)
                    found[machine] = sizes
                elif tool not in _WITHIN:
                    others.add(machine)
            if found:
                machines = list(found)
                yield tool, found[machines[-1]], machines if machines[1:] else [], machines[-1] in others
                break


# The figures of one machine at one moment: another one begins where a name comes again with another figure.
def _moments(tool: str, source: _Source, text: str) -> Iterator[tuple[str, dict[str, Size]]]:
    figures = _FIGURES[tool]
    has_machine, has_unit = "machine" in figures.groupindex, "unit" in figures.groupindex
    for part, whose in _within(tool, source, text) if tool in _WITHIN else [(text, "")]:
        begun: dict[str, dict[str, Size]] = {}
        for match in figures.finditer(part):
            if (name := source.names.get(match["name"])) is None:
                continue
            machine = (match["machine"] or whose) if has_machine else whose
            unit = FIGURE_UNITS[match["unit"]] if has_unit and match["unit"] else source.unit
            size = Size(int(float(match["figure"]) * unit), slack_of(match["figure"], unit))
            if source.whole_pages and size.size % SMALLEST_PAGE:
                continue
            sizes = begun.setdefault(machine, {})
            if sizes.get(name, size) != size:
                yield machine, sizes
                sizes = begun[machine] = {}
            if size.size <= MOST_MEMORY:
                sizes[name] = size
        yield from begun.items()


# The last ones that may say what is free.
def _within(tool: str, source: _Source, text: str) -> Iterable[tuple[str, str]]:
    free = [name for name, ours in source.names.items() if ours == "free"]
    has_machine = "machine" in _WITHIN[tool].groupindex
    return deque(
        (
            (match[0], (match["machine"] or "") if has_machine else "")
            for match in _WITHIN[tool].finditer(text)
            if any(name in match[0] for name in free)
        ),
        maxlen=_MOST_MOMENTS,
    )
