"""What is wrong, as far as the evidence goes: free memory that the host still backs, who keeps it, what to do."""

import itertools
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pagehint.diagnosis.advice import advise, cannot_be_helped
from pagehint.diagnosis.bounds import MOST_MEMORY, UNKNOWN, ZERO, Bounds
from pagehint.diagnosis.evidence import Evidence
from pagehint.diagnosis.failure import explain_failures
from pagehint.diagnosis.findings import Diagnosis
from pagehint.diagnosis.free_heads import block_orders, first_pages_only, spread
from pagehint.diagnosis.free_memory import (
    FreeMemory,
    Setting,
    closed_by,
    free_from,
    free_in,
    from_counts,
    from_map,
    from_total,
)
from pagehint.diagnosis.holders import HeldBack, drained_most, held_back, used_by_counters, used_by_map
from pagehint.diagnosis.kernel_can import kernel_can
from pagehint.diagnosis.live import read_machine
from pagehint.diagnosis.page_map import PageMap, Range
from pagehint.diagnosis.prediction import HELD, predict
from pagehint.diagnosis.recognise import read_files
from pagehint.diagnosis.slab import JOURNAL, Slab, by_order
from pagehint.diagnosis.zones import LISTS_SHARE, ZoneState, zone_states
from pagehint.errors import InputError, printable
from pagehint.kernel.orders import MOST_ORDER
from pagehint.kernel.reporting import MAINLINE_CAPACITY, ORDER_PARAMETER
from pagehint.proc.kpageflags import KPageFlag
from pagehint.units import several, shown

__all__ = ["diagnose", "doctor", "examine"]

_ALIKE, _NOTHING = 1.3, 64 << 20  # what two files count as free, bytes
_MOST_LOW = 1 / 3
_USUAL_ZONES = 3
_STAYS, _STAYS_LATE = 9 << 20, 2 << 20
_USUAL_PAGEBLOCK = {4096: 9, 16384: 11, 65536: 13}
# ppc64 has blocks up to order 8: pageblocks are of 2 MiB since POWER9, of 16 MiB before.
_PPC64_MAX_ORDER, _PPC64_PAGEBLOCK, _PPC64_HUGE = 8, 5, 16384
# 32-bit kernels have huge pages of 4 MiB, unless they address more, or none: pageblocks are as large as blocks then.
_LARGEST_HUGE, _LARGEST_PAGEBLOCK = 4 << 20, 10
_LEAST_ADDRESSES_OF_64 = 4 << 20  # KiB, for vmalloc
# s390x has pageblocks of 1 MiB, as its huge pages are, and names a mapping of that size.
_S390X_PAGEBLOCK, _S390X_MAPPING, _S390X_HUGE = 8, "DirectMap1M", 1 << 20


def doctor(page_map: bool = True) -> Diagnosis:
    """Diagnose this Linux machine from its own /proc and /sys; nothing is written. O(pages). Raises InputError.

    Without root much is not known: `evidence.missing` says what. `page_map=False` leaves /proc/kpageflags out.
    """
    if not isinstance(page_map, bool):
        raise InputError(f"page_map {shown(page_map)}: expected True or False; diagnose(files) reads files")
    return examine(read_machine(page_map))


def diagnose(files: str | Path | Iterable[str | Path]) -> Diagnosis:
    """Diagnose a machine from copies of its files, or from what somebody pasted, in any mixture. Raises InputError."""
    return examine(read_files(several(files)))


def examine(evidence: Evidence) -> Diagnosis:
    """Diagnose from evidence. O(pages)."""
    zones = zone_states(evidence)
    memory = evidence.memory()
    setting = _setting(evidence, zones)
    warnings = list(evidence.warnings)
    in_zones = sum((free_in(zone, setting) for zone in zones), ZERO)
    free: int | None = int(in_zones.least)
    most_free = None if in_zones.most is None else int(in_zones.most)
    rounded = evidence.rounded()
    if not in_zones.is_exact or not in_zones.most:
        counted = memory.get("free")
        free = max(int(in_zones.least), counted or 0) or counted
        if counted is not None:
            most_free = max(free or 0, rounded.get("free", (0, counted))[1])
        elif not free:
            most_free = None
    page_map, mapped_zones = _page_map(evidence, zones, setting, warnings)
    held: list[HeldBack] = []
    drained = None
    if page_map is not None:
        found = from_map(page_map, mapped_zones, setting)
        found.brings = predict(page_map, mapped_zones, setting, _slab(evidence, memory, mapped_zones))
        unmanaged = sum(max((zone.present or 0) - (zone.managed or zone.present or 0), 0) for zone in mapped_zones)
        per_cpu = sum(zone.per_cpu or 0 for zone in mapped_zones)
        unaccepted = sum(zone.unaccepted for zone in mapped_zones)
        used = used_by_map(page_map, setting.page_size, per_cpu, unmanaged, unaccepted)
        drained = drained_most(page_map, setting.pageblock_order, per_cpu, setting.page_size)
        held = held_back(page_map, setting.pageblock_order, setting.page_size)
    else:
        found = from_counts(zones, setting) if zones else from_total(most_free, setting)
        per_cpu = sum(zone.per_cpu or 0 for zone in zones)
        used = used_by_counters(memory | {"per_cpu": per_cpu * setting.page_size}, rounded)
        total = rounded.get("total", (0, memory.get("total")))[1]
        _bring_from_counters(found, used, setting, most_free, total, zones)
    diagnosis = Diagnosis(
        evidence,
        zones,
        setting,
        memory.get("total"),
        free,
        found.causes,
        found.brings,
        used,
        held,
        explain_failures(evidence.reports, setting.page_size),
        drained,
        page_map,
        _next_file(evidence, zones),
        kernel_can(evidence, setting),
        warnings=warnings,
    )
    _warn(diagnosis, memory)
    diagnosis.advice = advise(diagnosis)
    diagnosis.cannot = cannot_be_helped(diagnosis)
    return diagnosis


def _setting(evidence: Evidence, zones: list[ZoneState]) -> Setting:
    counted = [len(zone.counts) for zone in zones if zone.counts]
    # A log's rows may be cut off.
    whole = [len(zone.counts) for zone in zones if zone.counts and not zone.is_lower_bound]
    columns = max(counted if evidence.buddy or evidence.types.free else whole, default=0)
    usual = _usual_pageblock(evidence, columns - 1)
    max_order = columns - 1 if columns else max(10, usual, *(number - 1 for number in counted))
    pageblock_order = evidence.types.pageblock_order
    if pageblock_order is None:
        pageblock_order = min(usual, max_order)
    reporting = evidence.reporting
    order = reporting.order
    # A parameter beyond the largest order stands for the default.
    if order is None or order > max_order:
        order = pageblock_order
    return Setting(
        min(order, MOST_ORDER),
        pageblock_order,
        max(max_order, pageblock_order),
        reporting.capacity or MAINLINE_CAPACITY,
        evidence.page_size,
        False if reporting.on is None and evidence.hypervisor is not None else reporting.on,
    )


def _usual_pageblock(evidence: Evidence, max_order: int) -> int:
    # First, as its largest blocks may be of order 8 too.
    huge = {evidence.meminfo.get("Hugepagesize", 0) << 10}.union(*(report.pools for report in evidence.reports))
    is_s390x = (
        evidence.architecture == "s390x"
        or _S390X_MAPPING in evidence.meminfo
        or _S390X_HUGE in huge
        or max_order == _S390X_PAGEBLOCK
    )
    if evidence.page_size == 4096 and is_s390x:
        return _S390X_PAGEBLOCK
    if max_order == _PPC64_MAX_ORDER:
        return max_order if evidence.meminfo.get("Hugepagesize") == _PPC64_HUGE else _PPC64_PAGEBLOCK
    if evidence.page_size == 4096 and (_LARGEST_HUGE in huge or (not any(huge) and _is_32_bit(evidence))):
        return _LARGEST_PAGEBLOCK
    return _USUAL_PAGEBLOCK.get(evidence.page_size, 9)


# By what meminfo has of no others, or a whole report whose zones others don't have.
def _is_32_bit(evidence: Evidence) -> bool:
    if evidence.meminfo:
        return "HighTotal" in evidence.meminfo or 0 < evidence.meminfo.get("VmallocTotal", 0) < _LEAST_ADDRESSES_OF_64
    report = evidence.last_report
    if report is None or "RAM" not in report.pages or not report.zones:
        return False
    names = {name for _, name in report.zones}
    is_whole = all(zone.orders and zone.is_whole for zone in report.zones.values())
    return is_whole and not report.has_gaps and ("HighMem" in names or names <= {"Normal", "Movable"})


# What stays of the reclaimable slab was seen to be some 2 MiB, and before 6.6 the files of tracefs too, 16 MiB, where
# that is mounted: without a word of it, in the middle. The kernels that print promo are later than that.
def _slab(evidence: Evidence, memory: dict[str, int], zones: list[ZoneState]) -> Slab:
    late = any(zone.promo is not None for zone in evidence.zones)
    reclaimable = memory.get("slab_reclaimable")
    slab = Slab(
        None if reclaimable is None else reclaimable // evidence.page_size,
        memory.get("slab_unreclaimable", 0) // evidence.page_size,
        evidence.unused_names,
        (_STAYS_LATE if late else _STAYS) // evidence.page_size,
    )
    if evidence.unused_names is None:
        return slab
    caches = evidence.slab_caches
    # Until 5.13, whose lists are drained in turn, dropping a page that is written takes it from its journal.
    if any(zone.lists == "in turn" for zone in zones):
        caches = {name: cache for name, cache in caches.items() if name != JOURNAL}
    cached = memory.get("cached", 0) + memory.get("buffers", 0)
    kept = min((memory.get("mapped", 0) + memory.get("shmem", 0)) / max(cached, 1), 1.0)
    return replace(slab, by_order=by_order(caches, evidence.unused_names, kept))


def _page_map(
    evidence: Evidence, zones: list[ZoneState], setting: Setting, warnings: list[str]
) -> tuple[PageMap | None, list[ZoneState]]:
    if evidence.page_flags is None:
        return None, []
    page_size = setting.page_size
    pages = len(evidence.page_flags)
    placed = [zone for zone in zones if zone.begin is not None and zone.end is not None and zone.begin < pages]
    placed.sort(key=lambda zone: zone.begin or 0)
    for below, above in itertools.pairwise(placed):
        if (below.end or 0) > (above.begin or 0):
            raise InputError(
                f"zoneinfo: zones {below.label} and {above.label} overlap: expected a copy of /proc/zoneinfo"
            )
    if not placed:
        warnings.append("kpageflags without zoneinfo: all pages are taken as one zone, whose watermarks are not known")
        placed = [_all_of(zones if evidence.buddy or evidence.types.free else [], pages)]
    elif (end := max(zone.end or 0 for zone in placed)) > pages:
        warnings.append(
            f"kpageflags ends at page {pages:,}, before the last zone does, at {end:,}: what is behind is left out"
        )
    if evidence.page_counts is not None and len(evidence.page_counts) < pages:
        warnings.append("kpagecount is shorter than kpageflags: it is left out")
    counts = evidence.page_counts if evidence.page_counts is not None and len(evidence.page_counts) >= pages else None
    ranges = [Range(zone.begin or 0, zone.end or 0) for zone in placed]
    if outside := _free_outside(evidence.page_flags, ranges):
        warnings.append(
            f"kpageflags has free pages where zoneinfo has no zone ({outside:,} of them): it is of another machine or "
            "moment, or zoneinfo is not whole; what is there is left out"
        )
    free = sum(zone.free for zone in placed if zone.free is not None) or evidence.memory().get("free", 0) // page_size
    flags = _with_whole_blocks(evidence.page_flags, placed, ranges, setting, free, warnings)
    page_map = PageMap(flags, ranges, setting.max_order, counts)
    if not len(page_map.holders):
        warnings.append("kpageflags holds no page of any zone: it is left out")
        return None, []
    for zone, place in zip(placed, page_map.zones, strict=True):
        free = int((page_map.holders[place.begin : place.end] == 0).sum())
        if zone.free is not None and abs(free - zone.free) > 0.1 * max(free, zone.free) + 4096:
            warnings.append(
                f"zone {zone.label}: kpageflags has {free:,} free pages, zoneinfo {zone.free:,}: were they read at one "
                "time, on one machine?"
            )
    return page_map, placed


def _free_outside(flags: NDArray[np.uint64], ranges: list[Range]) -> int:
    of_zone = np.zeros(len(flags), np.bool_)
    for place in ranges:
        of_zone[place.begin : place.end] = True
    return int(np.count_nonzero((flags[~of_zone] & np.uint64(KPageFlag.BUDDY)) != 0))


# Without zoneinfo nobody tells where a zone lies: the zones' free blocks, together, are those of the map.
def _all_of(zones: list[ZoneState], pages: int) -> ZoneState:
    whole = ZoneState(0, "all", begin=0, end=pages)
    counted = [zone.counts for zone in zones if zone.counts]
    if counted:
        whole.counts = [sum(column) for column in itertools.zip_longest(*counted, fillvalue=0)]
        whole.exact_from = None if any(zone.is_lower_bound for zone in zones) else 0
        whole.free = None if whole.is_lower_bound else whole.free_from(0)
    return whole


# Maps in which only a free block's first page is marked: every page of it gets the mark.
def _with_whole_blocks(
    flags: NDArray[np.uint64],
    zones: list[ZoneState],
    ranges: list[Range],
    setting: Setting,
    free: int,
    warnings: list[str],
) -> NDArray[np.uint64]:
    counted = all(zone.counts and not zone.is_lower_bound for zone in zones if zone.free != 0)
    blocks = sum(sum(zone.counts or ()) for zone in zones) if counted else None
    only_first = first_pages_only(flags, setting.max_order, free or None, blocks or None)
    if only_first is None:
        warnings.append(
            "kpageflags: it can't be told whether each page of a free block is marked, or its first one only: the "
            "marked pages are taken for all; zoneinfo, buddyinfo or meminfo of the same moment would tell"
        )
    if not only_first:
        return flags
    whole = flags.copy()
    larger = 0
    for zone, place in zip(zones, ranges, strict=True):
        inside = flags[place.begin : place.end]
        heads = np.flatnonzero((inside & np.uint64(KPageFlag.BUDDY)) != 0)
        most = block_orders(inside, heads, place.begin, setting.max_order)
        orders = most
        if zone.counts and not zone.is_lower_bound:
            orders = block_orders(inside, heads, place.begin, setting.max_order, zone.counts)
        larger += int(((1 << most) - (1 << orders)).sum())
        whole[place.begin : place.end] = spread(inside, heads, orders)
    settled = (
        f"where the pages behind could be the kernel's ({larger * setting.page_size >> 20:,} MiB), buddyinfo's counts "
        "decide"
        if counted
        else "pages behind it without flags are taken for the block's, though some may be the kernel's; buddyinfo of "
        "the same moment would tell"
    )
    warnings.append(f"kpageflags marks only the first page of each free block: {settled}")
    return whole


# Without a page map: what could be dropped bounds what dropping brings, and nothing bounds compaction but free memory,
# which it may break up too, below pageblock order, and, where blocks below that are told, what was given back.
def _bring_from_counters(
    found: FreeMemory,
    used: dict[str, Bounds],
    setting: Setting,
    free: int | None,
    total: int | None,
    zones: list[ZoneState],
) -> None:
    cache = used.get("cache_clean") or used.get("cache_and_slab")
    dirty, slab = used.get("cache_dirty", ZERO), used.get("slab_reclaimable", ZERO)
    lists, room = _lists(found, used, total, zones, setting.page_size)
    least = max(cache.least - (room or 0), 0) if cache is not None and "cache_clean" in used else 0
    most = None
    if cache is not None and cache.most is not None and dirty.most is not None:
        hangs_on = min(used.get("slab_unreclaimable", ZERO).best, slab.best / 4)
        # How much of the cache is dirty may not be known: it is some of it.
        cached = cache.most + dirty.most if dirty.is_exact else max(cache.most, dirty.most)
        most = cached + slab.best + hangs_on + (lists or 0)

    def within(brings: float | None) -> float | None:
        return brings if brings is None or total is None else min(brings, max(total, least))

    retaken = _retaken(zones, setting, free)
    dropped, compacted, both = {}, {}, {}
    for order in setting.orders:
        taken = _taken(zones, order, setting, free)
        beside: float | None
        if zones:
            beside = _not_told_without(zones, order, setting, total)
        else:
            # No more lies in zones under their watermarks.
            beside = free if order or free is None or total is None else min(free, _MOST_LOW * total)
        loss = 0.0
        if order < setting.pageblock_order:
            most_parts = [free_from(zone, order, setting).most for zone in zones]
            whole_blocks = sum(free_from(zone, setting.pageblock_order, setting).least for zone in zones)
            loss = (free or 0) if not zones or None in most_parts else sum(filter(None, most_parts)) - whole_blocks
            if order == 0 and room is not None:
                loss = min(loss, room)
        whole = None if most is None or beside is None else most + beside
        up = None
        if beside is not None and retaken is not None and (order or lists is not None):
            up = beside + (lists or 0) + retaken
        dropped[order] = Bounds((0 if order else least) - taken, within(whole))
        compacted[order] = Bounds(-loss - taken, within(up))
        both[order] = Bounds(-loss - taken, within(None if whole is None or retaken is None else whole + retaken))
    found.brings |= {"drop_caches": dropped, "compact_memory": compacted, "both": both}


# Bytes at `order` that the guest may take meanwhile, a pageblock a zone: and all that reporting would tell of there,
# where the zone may so come under its watermark.
def _taken(zones: list[ZoneState], order: int, setting: Setting, free: int | None) -> float:
    size = setting.page_size
    pageblock = size << setting.pageblock_order
    if not zones:
        return min(_USUAL_ZONES * pageblock, pageblock if free is None else free)
    taken: float = 0
    for zone in zones:
        if zone.free is None:
            taken += pageblock
            continue
        taken += min(pageblock, zone.free * size)
        low = zone.free - (1 << setting.pageblock_order) - zone.lists_room - HELD
        if closed_by(zone, order, setting, zone.free) is None and closed_by(zone, order, setting, low) is not None:
            taken += free_from(zone, order, setting).most or 0
    return taken


# Bytes of pages that were given back and that others may move to, at the most: none in whole pageblocks.
def _retaken(zones: list[ZoneState], setting: Setting, free: int | None) -> float | None:
    if setting.order >= setting.pageblock_order or setting.on is False:
        return 0
    most = [free_from(zone, setting.order, setting).most for zone in zones] if zones else [free]
    return None if None in most else sum(each or 0 for each in most)


# Free bytes that reporting at `order` can't take by itself, at the most. Of a zone without a known watermark all of it
# is: it may be closed, and come to be open; but for order 0 where a third of the memory is free in it, as no watermark
# is larger (watermark_scale_factor).
def _not_told_without(zones: list[ZoneState], order: int, setting: Setting, total: int | None) -> float | None:
    left: float = 0
    for zone in zones:
        if zone.most_free is None and order == 0:
            continue
        if zone.most_free is None:
            return None
        size = zone.most_free * setting.page_size
        by_size = order == 0 and _is_open_to_pages(zone.least_free * setting.page_size, total)
        is_open = by_size if zone.low is None else closed_by(zone, order, setting, zone.free) is None
        left += max(size - free_from(zone, order, setting).least, 0) if is_open else size
    return left


def _is_open_to_pages(free: int | None, total: int | None) -> bool:
    return free is not None and total is not None and free > _MOST_LOW * total


# Bytes that lie on per-CPU lists and that may come to lie there, at the most; None: not known. Lists never hold more
# than an eighth of the memory, and what they hold is among what nobody accounts for.
def _lists(
    found: FreeMemory, used: dict[str, Bounds], total: int | None, zones: list[ZoneState], page_size: int
) -> tuple[float | None, float | None]:
    known = found.causes.get("per_cpu", UNKNOWN).most
    if known is not None:
        return known, sum(zone.lists_room for zone in zones) * page_size
    if total is None:
        return None, None
    return min(used["other"].best if "other" in used else total, total / LISTS_SHARE), total / LISTS_SHARE


def _next_file(evidence: Evidence, zones: list[ZoneState]) -> tuple[str, str] | None:
    if not any(zone.counts for zone in zones) and evidence.page_flags is None:
        return "/proc/buddyinfo", "how much of the free memory lies in blocks that are large enough"
    if not any(zone.low is not None for zone in zones):
        return "/proc/zoneinfo", "which zones are below reporting's watermark, and how much waits on per-CPU lists"
    if evidence.page_flags is None:
        return "/proc/kpageflags (as root)", "what has been given back already, and who holds the rest"
    if not evidence.meminfo and not evidence.vmstat:
        return "/proc/meminfo", "how much of the slab could be freed"
    return None


def _warn(diagnosis: Diagnosis, memory: dict[str, int]) -> None:
    evidence, setting = diagnosis.evidence, diagnosis.setting
    if evidence.reporting.order is not None and evidence.reporting.order > setting.max_order and not evidence.live:
        diagnosis.warnings.append(
            f"{ORDER_PARAMETER} {evidence.reporting.order} is beyond the largest order, {setting.max_order}: the "
            f"kernel then takes the pageblock order, {setting.pageblock_order}"
        )
    if any(zone.is_lower_bound for zone in diagnosis.zones):
        diagnosis.warnings.append(
            "some counts of free blocks are only known to be at least so many; buddyinfo has them all"
        )
    total = memory.get("total")
    if total and diagnosis.free and diagnosis.free > total and not evidence.live:
        diagnosis.warnings.append("more memory is free than there is: the files are not of one machine")
    if not evidence.live:
        diagnosis.warnings += [
            f"zone {printable(zone.label)} has more in free blocks than it has: damaged, or not of one machine"
            for zone in diagnosis.zones
            if zone.managed and (zone.free_from(0) or 0) > zone.managed
        ]
        free = diagnosis.free or 0
        if free > MOST_MEMORY:
            diagnosis.warnings.append(
                f"no machine has so much free ({free >> 20:,} MiB): what is computed of it means nothing"
            )
    counted = {name: pages * setting.page_size for name, pages in evidence.free_pages().items()}
    if evidence.free_in_bytes is not None:
        what, at_least, at_most = evidence.free_in_bytes
        counted[what] = min(max(next(iter(counted.values()), at_least), at_least), at_most)
    least, most = (choose(counted, key=counted.__getitem__, default="") for choose in (min, max))
    if least and not evidence.live and counted[most] > _ALIKE * counted[least] + _NOTHING:
        diagnosis.warnings.append(
            f"{most} tells of {counted[most] >> 20:,} MiB free, {least} of {counted[least] >> 20:,}: they are not of "
            "one machine, not of one moment, or not whole"
        )
    pins = evidence.vmstat.get("nr_foll_pin_acquired", 0) - evidence.vmstat.get("nr_foll_pin_released", 0)
    if pins > 0:
        diagnosis.warnings.append(
            f"drivers hold up to {pins * setting.page_size / (1 << 20):,.1f} MiB of processes' memory pinned (as for "
            "direct I/O, RDMA or a device of a VM): compaction can't move it, and the map doesn't tell which it is"
        )
    # Every kernel has slab.
    if evidence.meminfo.get("Slab") == 0 and not evidence.nodes:
        diagnosis.warnings.append(
            "meminfo has no slab: it is of a container (as lxcfs makes it), and its memory is what that may use, not "
            "the machine's: what is free of it may be in use there; /proc/meminfo outside of it tells"
        )
    if memory.get("unaccepted"):
        diagnosis.warnings.append(
            f"{memory['unaccepted'] >> 20:,} MiB are not accepted yet (a confidential guest): /proc counts them as "
            "free, but they are on no list"
        )
