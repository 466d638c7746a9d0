"""The words of a diagnosis, the same on the terminal and on the page."""

import numpy as np
from numpy.typing import NDArray

from pagehint.diagnosis.bounds import ZERO, Bounds
from pagehint.diagnosis.failure import Failure, ZoneVerdict
from pagehint.diagnosis.findings import Advice, Diagnosis
from pagehint.diagnosis.free_memory import ACTIONS, CAUSES
from pagehint.diagnosis.holders import USED_WORDS
from pagehint.diagnosis.hypervisors import HYPERVISORS
from pagehint.diagnosis.page_map import HOLDER_WORDS, Holder, PageMap
from pagehint.errors import printable
from pagehint.kernel.reporting import ORDER_PARAMETER
from pagehint.report.cells import cell_states
from pagehint.units import MIB, format_count, format_size, mib

__all__ = [
    "MAP_STATES",
    "TITLES",
    "advice_brings",
    "brings_rows",
    "cause_rows",
    "failure_lines",
    "headline",
    "held_lines",
    "holders",
    "kernel_line",
    "map_shares",
    "map_states",
    "next_file_line",
    "order_columns",
    "pressure_line",
    "range_of",
    "reporting_line",
    "subject",
]

TITLES = {
    "causes": "Free memory, by what keeps it from the host",
    "map": "The machine's memory, from its first page to its last",
    "brings": "What would come back, by the order of reporting (MiB)",
    "used": "Who holds the rest",
    "held": "Few pages that keep much from being given back",
    "advice": "What to do, the most for the least cost first",
    "cannot": "What can't be helped",
}
"""The parts of a report, and what stands over them."""

MAP_STATES = {
    "none": "no memory",
    "used": "in use",
    "mixed": "in use, with free memory between",
    "free": "free, resident",
    "back": "given back",
}
"""What a cell of the map is: names of the page's COLOURS, and what they mean."""

_SHOWN_ORDERS = (0, 4, 5, 8)
_REASONS = {
    "watermark": "too little was free above the watermark",
    "boost": "enough was free, but for the watermark's boost, which passes",
    "reserve": "enough was free, but it is kept for other allocations",
    "lowmem": "enough was free, but it is kept from allocations that may take higher zones (lowmem_reserve)",
    "limit": "its cgroup's limit was reached",
    "sysrq": "somebody called it by SysRq F, whatever was free",
    "vmalloc": "not for want of free pages: it asked for more than the machine has, or vmalloc's addresses are used up",
    "fragmentation": "enough was free, but in blocks that are too small",
    "none": "it could have been served at the moment this was printed: memory was freed meanwhile, or a limit of the"
    " process's own (a cpuset, a cgroup) held",
    "unknown": "the log lacks what would tell why",
}
_KINDS = {
    "failure": "allocation failed",
    "oom": "the OOM killer was called",
    "sysrq oom": "the OOM killer was called",
    "cgroup oom": "the OOM killer was called for a cgroup that reached its limit, not for the machine",
}


def range_of(size: Bounds, unit: str = " MiB") -> str:
    """A size, or its bounds: ``"312 MiB"``, ``"44 MiB (17 to 73)"``, ``"0 to 40 MiB"``, ``"at least 3 MiB"``,
    ``"from 6 MiB less to 90 MiB more"``."""
    if size.value is not None or size.is_exact:
        ends = [_number(end) for end in size.likely or ()]
        return _number(size.best) + unit + (f" ({' to '.join(ends)})" if len(set(ends)) > 1 else "")
    if size.most is None:
        return f"at least {_number(size.least)}{unit}" if size.least > 0 else "not known"
    if _number(size.least) == _number(size.most):
        return _number(size.most) + unit
    if unit and size.least < 0 < size.most:
        return f"from {_number(-size.least)}{unit} less to {_number(size.most)}{unit} more"
    return f"{_number(size.least)} to {_number(size.most)}{unit}"


def cause_rows(found: Diagnosis) -> list[tuple[str, str, Bounds]]:
    """What keeps free memory from the host, in the order of CAUSES: words, key, bytes."""
    rows = [(words, name, found.free_resident[name]) for name, words in CAUSES.items() if name in found.free_resident]
    return [row for row in rows if row[2].most != 0]


def brings_rows(found: Diagnosis) -> list[list[str]]:
    """What each action brings: its words, and what comes back at each order of `order_columns`."""
    return [
        [words, *(_brings(found, name, found.would_bring[name][order], unit="") for order in order_columns(found))]
        for name, words in ACTIONS.items()
        if name in found.would_bring
    ]


def advice_brings(found: Diagnosis, advice: Advice) -> str:
    """What an advice brings: of one to look at more, nothing."""
    return "nothing by itself" if advice.brings == ZERO else _brings(found, advice.apply, advice.brings)


def _brings(found: Diagnosis, action: str | None, size: Bounds, unit: str = " MiB") -> str:
    return "not known" if found.tells_nothing(action, size) else range_of(size, unit)


def next_file_line(found: Diagnosis) -> str | None:
    """The one file more that would tell most, unless the first advice is to give it."""
    if found.next_file is None or (found.advice and found.advice[0].cost == "none"):
        return None
    return f"One more would tell most: {found.next_file[0]}: {found.next_file[1]}"


def _number(size: float) -> str:
    text = mib(abs(size)).removesuffix(" MiB")
    return f"-{text}" if size < 0 and text != "0" else text


def subject(found: Diagnosis) -> str:
    """The machine in a line."""
    what = (
        "this machine"
        if found.evidence.live
        else "from " + ", ".join(dict.fromkeys(w for _, w in found.evidence.sources))
    )
    parts = [what]
    if found.evidence.hypervisor is not None:
        parts.append(f"a guest of {HYPERVISORS[found.evidence.hypervisor].called}")
    if found.total is not None:
        parts.append(format_size(found.total))
    if found.evidence.kernel is not None:
        parts.append(f"Linux {printable(found.evidence.kernel)}")
    if found.setting.page_size != 4096:
        parts.append(f"pages of {found.setting.page_size >> 10} KiB")
    return ", ".join(parts)


def reporting_line(found: Diagnosis, parameters: bool = True) -> str:
    """Whether reporting is on, and how; with the driver's other parameters or without."""
    reporting, setting = found.evidence.reporting, found.setting
    order = f"order {setting.order} ({format_size(setting.page_size << setting.order)})"
    if setting.on is None:
        assumed = "" if reporting.order is not None else " (assumed: the pageblock order)"
        device = "the VM has a device for it; " if reporting.device else ""
        return f"free page reporting: {device}not known whether it is on (the guest's boot log tells); {order}{assumed}"
    if not setting.on:
        why = (
            "a balloon device offers it, but no driver serves it"
            if reporting.device
            else "no device asks for free pages"
        )
        return f"free page reporting: off; {why}"
    delay = "2 s" if reporting.delay_ms is None else f"{reporting.delay_ms} ms"
    others = [f"{name} {value}" for name, value in reporting.parameters.items() if name != ORDER_PARAMETER]
    more = f"; {', '.join(others)}" if others and parameters else ""
    return f"free page reporting: on, {order}, delay {delay}{more}"


def kernel_line(found: Diagnosis) -> str | None:
    """What the kernel can do, where its version is known."""
    return None if found.kernel_can is None else f"what this kernel can do: {found.kernel_can}"


def pressure_line(found: Diagnosis) -> str | None:
    """Whether processes wait for memory."""
    some = found.evidence.pressure.get("some")
    if some is None:
        return None
    if not any(some.values()):
        return "memory pressure: nobody waited for memory in the last 5 minutes"
    full = found.evidence.pressure.get("full", {}).get("avg60", 0.0)
    text = (
        f"memory pressure: some processes waited for memory {some['avg10']:g} % of the last 10 s, {some['avg60']:g} %"
    )
    text += f" of the last minute, {some['avg300']:g} % of the last 5 minutes"
    return f"{text}; all of them {full:g} % of the last minute" if full else text


def headline(found: Diagnosis) -> str:
    """The diagnosis in a sentence."""
    causes = {name: size for name, size in found.free_resident.items() if name != "given_back"}
    if found.free is None and found.failures and all(failure.kind == "cgroup oom" for failure in found.failures):
        return "The kernel's report of a cgroup's limit doesn't tell how much of the machine's memory is free"
    if (free := found.free_bounds) is None:
        return "Nothing tells how much is free"
    given = found.free_resident.get("given_back", ZERO)
    whole = range_of(free)
    if found.lacks_zones or not all(size.is_exact for size in causes.values()):
        large = found.would_bring["reporting"][found.setting.order]
        if large.most is None or found.lacks_zones:
            return f"{whole} are free; how much of it reporting can still take, the files don't tell"
        return f"{whole} are free, {range_of(large)} of it in blocks that reporting can take and may not have taken yet"
    resident = sum(size.best for size in causes.values())
    most = max(causes, key=lambda name: causes[name].best, default=None)
    if most is None or not resident:
        return f"{whole} are free, and all of it has been given back"
    told = f"; {range_of(given)} have been given back" if given.best else ""
    why = {
        "waiting": "most of it comes with the next passes",
        "no_device": "nothing reports it to the host",
        "below_order": "most of it lies in blocks too small to report",
        "per_cpu": "most of it lies on per-CPU lists",
        "watermark": "most of it lies in zones below reporting's watermark",
        "boost": "the watermark's boost keeps most of it, for now",
        "never": "most of it lies in zones too small to report",
    }[most]
    return f"{mib(resident)} are free, but the host may still back them: {why}{told}"


def held_lines(found: Diagnosis) -> list[str]:
    """The few pages that cost most."""
    lines = []
    for each in found.held_back:
        if each.size < MIB:
            continue
        words = HOLDER_WORDS[Holder[each.holder.upper()]]
        many = each.pages > 1
        blocks = format_count(each.blocks, "pageblock")
        line = f"{format_count(each.pages, 'page')} ({words}) {'keep' if many else 'keeps'} {mib(each.size)}"
        line += (
            f" from the host, free between them in {blocks}" if many else f" from the host, free beside it in {blocks}"
        )
        if each.half_pages < each.pages / 4:
            few = f"{each.half_pages:,} of these pages keep" if each.half_pages > 1 else "one of these pages keeps"
            line += f"; {few} {mib(each.half_size)} of that"
        lines.append(line)
    return lines


def holders(found: Diagnosis) -> list[tuple[str, str, Bounds]]:
    """Who holds what is not free: words, key, bytes; the most first. Pages on per-CPU lists are told of as free."""
    rows = [(USED_WORDS[name], name, size) for name, size in found.used_by.items() if name != "per_cpu"]
    return sorted(rows, key=lambda row: -row[2].best)


def order_columns(found: Diagnosis) -> list[int]:
    """The orders that a table shows."""
    setting = found.setting
    wanted = {*_SHOWN_ORDERS, setting.order, setting.pageblock_order, setting.max_order}
    return sorted(order for order in wanted if order <= setting.max_order)


def map_shares(pages: PageMap, cells: int) -> NDArray[np.float64]:
    """For each of about `cells` equal parts of memory: the shares used, free and resident, given back, absent."""
    if not len(pages.holders):
        return np.zeros((0, 4))
    cells = min(cells, len(pages.holders))
    edges = np.arange(cells + 1) * len(pages.holders) // cells
    size = np.maximum(np.diff(edges), 1)
    free = pages.holders == Holder.FREE
    absent = pages.holders == Holder.ABSENT
    masks = (~free & ~absent, free & ~pages.told, pages.told, absent)
    parts = [np.add.reduceat(mask.astype(np.int64), edges[:-1]) / size for mask in masks]
    return np.stack(parts, axis=1)


def map_states(shares: NDArray[np.float64]) -> list[str]:
    """What each cell of `map_shares` is: keys of MAP_STATES."""
    used, resident, told, _ = shares.T
    return [str(state) for state in cell_states(used, resident, told, 0, 1)]


def failure_lines(failure: Failure) -> list[str]:
    """A failed allocation explained: a title, and lines."""
    who = f"{printable(failure.process)}: " if failure.process else ""
    what = f"{who}{_KINDS[failure.kind]}"
    if failure.size is not None:
        size = format_size(failure.size)
        what += f": {size}" if failure.order is None else f": order {failure.order} ({size})"
        if failure.flags:
            what += f", {printable('|'.join(failure.flags))}"
    lines = [what, f"Why: {_why(failure)}{_where(failure)}."]
    lines += [_verdict(verdict, failure) for verdict in failure.verdicts]
    if failure.skipped:
        lines.append(f"not allowed for it: {printable(', '.join(failure.skipped))}")
    if failure.can_wait is False:
        lines.append("it could not wait for reclaim or compaction")
    if failure.reason in ("fragmentation", "boost", "reserve"):
        lines.append("NOFRAGMENT was no reason: the kernel lifts it before it gives up (unless vm.defrag_mode is set)")
    return lines


def _why(failure: Failure) -> str:
    forbidden = failure.closest is not None and _has_forbidden_blocks(failure.closest)
    return _REASONS[failure.reason] + (", or that it may not use" if forbidden else "")


def _has_forbidden_blocks(verdict: ZoneVerdict) -> bool:
    return verdict.reason == "fragmentation" and bool(verdict.in_larger_blocks)


def _where(failure: Failure) -> str:
    if failure.reason == "limit":
        return "" if failure.limit is None else f", {mib(failure.limit)}"
    return "" if failure.closest is None else f", in zone {printable(failure.closest.zone)}"


def _verdict(verdict: ZoneVerdict, failure: Failure) -> str:
    zone = printable(verdict.zone)
    if verdict.free is None or verdict.mark is None:
        return f"zone {zone}: the log lacks its watermarks"
    text = f"zone {zone}: {_kib(verdict.free)} free; needed more than {_kib(verdict.mark)} (min"
    if failure.may_use_reserves:
        text += ", lowered for it"
    if verdict.boost:
        text += f", {_kib(verdict.boost)} of it boost"
    text += ")"
    if verdict.lowmem_reserve:
        text += f" and {_kib(verdict.lowmem_reserve)} kept from higher zones' allocations"
    for size, name in ((verdict.highatomic, "atomic reserve"), (verdict.cma, "CMA")):
        if size:
            text += f"; {_kib(size)} unusable: {name}"
    if failure.order and verdict.in_smaller_blocks is not None and verdict.in_larger_blocks is not None:
        text += f"; {_kib(verdict.in_smaller_blocks)} in blocks below order {failure.order}"
        text += f", {_kib(verdict.in_larger_blocks)} in such and larger"
        if _has_forbidden_blocks(verdict):
            text += ", of types that it may not use"
    return text


# As the log has it: what is free is often close to what was needed.
def _kib(size: int) -> str:
    return f"{size >> 10:,} KiB"
