"""What to do about free memory that the host still backs, ranked by MiB for cost; and what can't be helped."""

from dataclasses import replace

from pagehint.diagnosis.bounds import ZERO, Bounds, exactly
from pagehint.diagnosis.findings import Advice, Diagnosis
from pagehint.diagnosis.free_memory import closed_by, free_from
from pagehint.diagnosis.hypervisors import HYPERVISORS
from pagehint.diagnosis.kernel_can import reporting_order
from pagehint.kernel.profiles import release_of
from pagehint.kernel.reporting import ORDER_PARAMETER, PARAMETERS
from pagehint.units import MIB, format_size, mib

__all__ = ["advise", "cannot_be_helped"]

_WORTH = 4 * MIB
_MUCH = 1.1
_WSL = "microsoft-standard"  # of its kernels' names
_ON_WINDOWS = "pageReporting=true below [wsl2] in .wslconfig, then wsl --shutdown"
_LISTS, _LISTS_SINCE = "percpu_pagelist_high_fraction", (5, 14)


def advise(found: Diagnosis) -> list[Advice]:
    """What to do, the most MiB for least cost first: what brings something for sure before what may bring nothing, and
    last what may bring or take anything. Where reporting is off, first to turn it on; where nothing is sure, first to
    find out what decides; nothing where no file tells of the machine's free memory.
    """
    device = _device(found)
    if found.free is None:
        return device if found.evidence.reporting.on is False else []
    offers = [*device, *_order(found), *_actions(found), *_lists(found), *_watermarks(found), *_huge_pages(found)]
    worth = [each for each in offers if (most := _at_most(each.brings)) is None or most >= _WORTH]
    sure = [each for each in worth if each in device or found.page_map is not None or each.brings.least > 0]

    def rank(each: Advice) -> tuple[bool, bool, float]:
        is_open = each.brings.most is None or found.tells_nothing(each.apply, each.brings)
        return not is_open, each in sure, 0 if is_open else each.worth

    first = device if worth else []
    others = sorted((each for each in worth if each not in device), key=rank, reverse=True)
    if first and others:
        condition = "without it nothing of what follows brings anything"
        first = [replace(each, risk=f"{each.risk}; {condition}") for each in first]
    elif not sure and worth:
        first = _look(found)
    return [*first, *others]


# Where it is guessed, unless something unusual happens.
def _at_most(brings: Bounds) -> float | None:
    return brings.most if brings.likely is None else brings.likely[1]


def _look(found: Diagnosis) -> list[Advice]:
    if found.next_file is None:
        return []
    file, tells = found.next_file
    return [
        Advice(
            f"first find out {tells}",
            ZERO,
            "none",
            "sudo pagehint doctor" if found.evidence.live else f"pagehint doctor with a copy of {file} too",
            "nothing of what follows is sure to bring anything",
        )
    ]


def _device(found: Diagnosis) -> list[Advice]:
    if found.setting.on is not False:
        return []
    ready = found.free_resident.get("no_device", ZERO)
    device = found.evidence.reporting.device
    if not device and (whose := found.evidence.hypervisor) is not None:
        return [
            Advice(
                f"let the host take it: {HYPERVISORS[whose].lacks}",
                ready,
                "medium",
                HYPERVISORS[whose].command,
                "the guest has that much less until it is raised again",
            )
        ]
    if reporting_order(found.evidence) == "none":
        return [
            Advice(
                "take a kernel that has free page reporting, and turn it on",
                ready,
                "high",
                "a kernel of 5.7 or later, and a balloon device with free-page-reporting=on",
                "the guest boots anew",
            )
        ]
    if _WSL in (found.evidence.kernel or ""):
        command = f"{_ON_WINDOWS} (on Windows)"
    elif device:
        command = "modprobe virtio_balloon"
    else:
        command = (
            "-device virtio-balloon-pci,free-page-reporting=on (QEMU), or <memballoon model='virtio' "
            "freePageReporting='on'/> (libvirt), at start"
        )
        if found.evidence.kernel is None:
            command = f"{command}; or {_ON_WINDOWS} (WSL)"
    return [
        Advice(
            "turn free page reporting on",
            ready,
            "low" if device else "medium",
            command,
            "memory that is used again faults on the host: some microseconds each time",
        )
    ]


def _order(found: Diagnosis) -> list[Advice]:
    setting, brings = found.setting, found.would_bring.get("reporting", {})
    if found.page_map is None and not any(zone.counts or zone.whole for zone in found.zones):
        return []
    rule = reporting_order(found.evidence)
    if setting.on is False or setting.order not in brings or rule in ("none", "fixed"):
        return []
    since = ""
    if rule is None:
        since = "; kernels before 5.14 have no such parameter, and those up to 6.1 take it after the driver is loaded"
    elif rule == "set after the driver":
        since = "; this kernel takes it only after the driver is loaded"
    offers: list[Advice] = []
    told = 0.0
    for order, cost in ((setting.pageblock_order - 1, "low"), (5, "medium"), (4, "medium"), (0, "high")):
        if not 0 <= order < setting.order or order not in brings:
            continue
        more = _more(found, order)
        most = more.best if more.value is not None or more.most is None else more.most
        # A lower order that brings hardly more is no advice.
        if most < _MUCH * told + _WORTH:
            continue
        told = most
        offers.append(
            Advice(
                f"report blocks from order {order} ({format_size(setting.page_size << order)}) on",
                more,
                cost,
                f"echo {order} > {PARAMETERS}{ORDER_PARAMETER}",
                f"more and smaller reports, which break up the host's huge pages{since}",
            )
        )
    return offers


# What reporting from a lower order on brings more: what lies in blocks between, which the order in use never told, and
# larger ones of a zone that is closed to that. A zone whose watermark is not known may be, but hardly is.
def _more(found: Diagnosis, order: int) -> Bounds:
    setting, brings = found.setting, found.would_bring["reporting"]
    one, other = brings[order], brings[setting.order]
    if one.is_exact and other.is_exact:
        return exactly(one.least - other.least)
    if found.page_map is not None and one.most is not None and other.most is not None:
        # Of a zone whose watermark is not known; what was given back is no part of either.
        return Bounds(0, one.most, one.most - other.most, (0, one.most))
    more = ZERO
    for zone in found.zones:
        larger, all_of = free_from(zone, setting.order, setting), free_from(zone, order, setting)
        if closed_by(zone, order, setting, zone.free) is not None:
            continue
        if zone.low is None and larger.is_exact and all_of.is_exact:
            more += Bounds(0, all_of.most, all_of.least - larger.least)
        elif zone.low is None or closed_by(zone, setting.order, setting, zone.free) is not None:
            more += Bounds(0, all_of.most)
        elif larger.is_exact and all_of.is_exact:
            more += exactly(all_of.least - larger.least)
        else:
            more += Bounds(0, None if all_of.most is None else all_of.most - larger.least)
    if not found.zones or more.most is None or more.value is None or more.is_exact:
        return more if found.zones else Bounds(0, one.most)
    return replace(more, likely=(more.least, more.most))


def _actions(found: Diagnosis) -> list[Advice]:
    order = found.setting.order
    texts = (
        ("drop_caches", "drop the page cache", "medium", "sync; echo 3 > /proc/sys/vm/drop_caches",
         "files are read again from disk: everything is slower until then"),
        ("compact_memory", "compact memory", "medium", "echo 1 > /proc/sys/vm/compact_memory",
         "takes processor time; processes wait for pages that move. What it frees goes to per-CPU lists first: where"
         " these are long, little of it comes back"),
        ("both", "drop the page cache, then compact", "high",
         "sync; echo 3 > /proc/sys/vm/drop_caches; echo 1 > /proc/sys/vm/compact_memory", "the risks of both"),
    )  # fmt: skip
    return [
        Advice(what, found.would_bring[name][order], cost, command, risk, name)
        for name, what, cost, command, risk in texts
        if order in found.would_bring.get(name, {})
    ]


def _lists(found: Diagnosis) -> list[Advice]:
    size = found.free_resident.get("per_cpu", ZERO)
    release = release_of(found.evidence.kernel)
    has_setting = _LISTS in found.evidence.settings or (release is not None and release >= _LISTS_SINCE)
    if size.most is None or size.most < _WORTH or not (has_setting or release is None):
        return []
    since = "" if has_setting else "; kernels before 5.14 have no such setting"
    return [
        Advice(
            "keep fewer free pages on per-CPU lists",
            Bounds(0, max(size.most, found.drained_most or 0)),
            "low",
            f"sysctl vm.{_LISTS}=1024",
            f"the zone's lock is taken more often; 0 undoes it. The lists shrink as pages are freed{since}",
        )
    ]


def _watermarks(found: Diagnosis) -> list[Advice]:
    offers = []
    boosted = found.free_resident.get("boost", ZERO)
    if boosted.most:
        offers.append(
            Advice(
                "wait for kswapd to take the boost away, or boost no more",
                boosted,
                "low",
                "sysctl vm.watermark_boost_factor=0",
                "reclaim no longer makes room for large blocks after fragmentation",
            )
        )
    under = found.free_resident.get("watermark", ZERO)
    setting = found.setting
    if under.most and any(closed_by(zone, setting.order, setting, zone.free) == "watermark" for zone in found.zones):
        offers.append(
            Advice(
                "lower the watermarks",
                Bounds(0, under.most),
                "high",
                "sysctl vm.watermark_scale_factor=10 vm.min_free_kbytes=SMALLER",
                "allocations that can't wait fail earlier",
            )
        )
    return offers


# A pool's pages are nobody's until somebody maps them. Those that are promised stay, which a log doesn't tell, and
# surplus ones go by themselves.
def _unused_huge_pages(found: Diagnosis) -> dict[int, int]:
    return {size: max(pool.free - pool.surplus, 0) for size, pool in found.evidence.huge_pools().items()}


def _huge_pages(found: Diagnosis) -> list[Advice]:
    pools = found.evidence.huge_pools()
    # meminfo tells of those that sysctl sets.
    of_default = "HugePages_Total" in found.evidence.meminfo
    offers = []
    for size, unused in _unused_huge_pages(found).items():
        kept = pools[size].pages - pools[size].surplus - unused
        folder = f"/sys/kernel/mm/hugepages/hugepages-{size >> 10}kB"
        offers.append(
            Advice(
                "let go of huge pages that nobody uses",
                Bounds(0, unused * size),
                "medium",
                f"sysctl vm.nr_hugepages={kept}" if of_default else f"echo {kept} > {folder}/nr_hugepages",
                "what asks for huge pages later (a database, a VM) may get none",
            )
        )
    return offers


def cannot_be_helped(found: Diagnosis) -> list[str]:
    """What no action brings, in words."""
    lines = []
    never = found.free_resident.get("never", ZERO)
    if never.least:
        lines.append(f"{mib(never.least)} are free in zones that are too small for reporting's watermark at this order")
    for name, words in (
        ("kernel", "are the kernel's own (drivers, vmalloc, stacks): they go with what uses them"),
        ("page_tables", "are page tables: they go with their processes"),
        ("hugetlb", "are reserved for hugetlb: lower vm.nr_hugepages"),
        ("unevictable", "are locked by processes (mlock)"),
        ("slab_unreclaimable", "are slab that can't be freed"),
        ("unmanaged", "were never given to the page allocator"),
        ("reserved", "are reserved by the kernel or the firmware"),
    ):
        size = found.used_by.get(name, ZERO).least
        if name == "hugetlb":
            size -= sum(unused * size_of_page for size_of_page, unused in _unused_huge_pages(found).items())
        if size >= 16 * MIB:
            lines.append(f"{mib(size)} {words}")
    return lines
