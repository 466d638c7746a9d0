"""What /proc/zoneinfo says of a machine's zones, of kernels 5.3 and later."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise

from pagehint.errors import InputError
from pagehint.proc.count import parse_count, parse_pages

__all__ = ["PerCpu", "ZoneInfo", "ZoneLayout", "check_apart", "layouts_of", "parse_zoneinfo", "zone_layouts"]


@dataclass
class PerCpu:
    """A CPU's lists of a zone: pages on them now, the most there may be now, and blocks a refill or drain.

    Since 6.7 `high` moves between `high_min` and `high_max`, which zoneinfo prints since 6.13.
    """

    cpu: int
    count: int | None = None
    high: int | None = None
    batch: int | None = None
    high_min: int | None = None
    high_max: int | None = None


@dataclass
class ZoneInfo:
    """A zone as zoneinfo prints it, in pages; None: the text lacks it.

    `min`, `low`, `high` and `promo` hold `boost` already. `stats` are the zone's counters (``nr_free_pages``),
    `node_stats` the node's, which the node's first populated zone has.
    """

    node: int
    name: str
    free: int | None = None
    boost: int | None = None
    min: int | None = None
    low: int | None = None
    high: int | None = None
    promo: int | None = None
    spanned: int | None = None
    present: int | None = None
    managed: int | None = None
    cma: int | None = None
    free_highatomic: int | None = None
    reserved_highatomic: int | None = None
    start_pfn: int | None = None
    protection: list[int] | None = None
    per_cpu: list[PerCpu] = field(default_factory=list)
    stats: dict[str, int] = field(default_factory=dict)
    node_stats: dict[str, int] = field(default_factory=dict)

    @property
    def listed(self) -> int | None:
        """Free pages that lie on lists: what a confidential guest has not accepted yet counts as free, and doesn't."""
        return None if self.free is None else max(self.free - self.stats.get("nr_unaccepted", 0), 0)

    @property
    def is_empty(self) -> bool:
        """Whether the allocator has nothing of it, as of zone Device and of what is unplugged: where it begins is not
        printed then."""
        return 0 in (self.spanned, self.present)

    @property
    def end_pfn(self) -> int:
        """One past the last pfn; 0 where it has none, or the text lacks it."""
        return 0 if self.is_empty else (self.start_pfn or 0) + (self.spanned or 0)


@dataclass(frozen=True)
class ZoneLayout:
    """A zone that has pages, as a replay needs it; everything in pages.

    `min`, `low` and `high` are without `boost`. `pcp_*` are the first CPU's; `pcp_high_min` and `pcp_high_max` are
    None where zoneinfo doesn't print them (before 6.13).
    """

    node: int
    name: str
    start_pfn: int
    spanned: int
    present: int
    managed: int
    min: int
    low: int
    high: int
    pcp_high: int | None = None
    pcp_batch: int | None = None
    cpus: int | None = None
    protection: list[int] | None = None
    boost: int = 0
    pcp_high_min: int | None = None
    pcp_high_max: int | None = None

    @property
    def end_pfn(self) -> int:
        """One past the last pfn."""
        return self.start_pfn + self.spanned


_ZONE = re.compile(r"(?<!\w)Node (\d{1,9}), zone +([^\s,]{1,40})$", re.ASCII)
_PROTECTION = re.compile(r"protection: \(([\d, ]*)\)", re.ASCII)
_PAGES = {name for name, each in ZoneInfo.__annotations__.items() if each == int | None} - {"free"}
_PER_CPU = PerCpu.__annotations__.keys() - {"cpu"}
_NEEDED = ("min", "low", "high", "spanned", "present", "managed", "start_pfn")


def parse_zoneinfo(text: str, where: str) -> list[ZoneInfo]:
    """The zones that a text of /proc/zoneinfo names, whole or cut off. O(length). Raises InputError.

    Of a zone's lines that are there again, without its name, the last count. Keys that no kernel known here prints are
    left out. `where` names the file.
    """
    zones: list[ZoneInfo] = []
    section = ""
    for count, line in enumerate(text.split("\n"), 1):
        if (head := _ZONE.search(line.rstrip())) is not None:
            zones.append(ZoneInfo(int(head[1]), head[2]))
            section = ""
            continue
        if not zones:
            continue
        zone, words = zones[-1], line.replace(":", " ", 1).split()
        if (match := _PROTECTION.match(line.lstrip())) is not None:
            zone.protection = [parse_pages(word.strip(), where, count) for word in match[1].split(",")]
            section = "stats"
        elif words == ["per-node", "stats"]:
            section = "node_stats"
        elif words[:2] == ["pages", "free"] and len(words) == 3:
            zone.free = parse_pages(words[2], where, count)
            section = "pages"
        elif words == ["pagesets"]:
            section = "pagesets"
        # A list's "high: 0", without the CPU's line before it as grep leaves them, is not the zone's "high 7055".
        elif (
            len(words) == 2
            and words[0].isidentifier()
            and (zone.per_cpu or ":" not in line or words[0] not in _PER_CPU)
        ):
            _keep(zone, section, words[0], words[1], where, count)
    for zone in zones:
        if zone.free is None and "nr_free_pages" in zone.stats:
            zone.free = zone.stats["nr_free_pages"]
        _check(zone, where)
    return zones


# Of a zone that is cut off, as far as it goes.
def _check(zone: ZoneInfo, where: str) -> None:
    if not zone.spanned:
        return
    named = f"{where}: zone {zone.name} of node {zone.node}"
    on_lists = sum(each.count or 0 for each in zone.per_cpu)
    free = max(zone.free or 0, zone.stats.get("nr_free_pages", 0))
    for pages, what in ((zone.present or 0, "present"), (free, "free"), (on_lists, "on CPUs' lists")):
        if pages > zone.spanned:
            raise InputError(f"{named}: {pages} pages are {what}, of {zone.spanned} spanned: no kernel says so")
    if zone.managed is not None and zone.present is not None and zone.managed > zone.present:
        raise InputError(
            f"{named}: {zone.managed} pages are managed, {zone.present} present and {zone.spanned} spanned: no kernel "
            "says so"
        )


def _keep(zone: ZoneInfo, section: str, key: str, word: str, where: str, line: int) -> None:
    if section == "pagesets" and key == "cpu":
        number = parse_count(word, where, line)
        # The zone's lines are there again: the last count.
        if zone.per_cpu and number == zone.per_cpu[0].cpu:
            zone.per_cpu.clear()
        zone.per_cpu.append(PerCpu(number))
    elif section == "pagesets" and key in _PER_CPU and zone.per_cpu:
        setattr(zone.per_cpu[-1], key, parse_pages(word, where, line))
    elif key in _PAGES and section in ("pages", "pagesets"):
        setattr(zone, key, parse_pages(word, where, line))
    # As grep leaves it, below the zone's name.
    elif section == "stats" or (not section and key == "nr_free_pages"):
        zone.stats[key] = parse_count(word, where, line)
    elif section == "node_stats":
        zone.node_stats[key] = parse_count(word, where, line)


def zone_layouts(text: str, where: str) -> list[ZoneLayout]:
    """The zones that have pages, of a whole text of /proc/zoneinfo, in ascending pfn order. Raises InputError."""
    return layouts_of(parse_zoneinfo(text, where), where)


def layouts_of(zones: list[ZoneInfo], where: str) -> list[ZoneLayout]:
    """As `zone_layouts`, of a text that was parsed."""
    layouts = sorted((_layout(zone, where) for zone in zones if not zone.is_empty), key=_start)
    if not layouts:
        raise InputError(f"{where}: names no zone that has pages: expected a copy of /proc/zoneinfo")
    check_apart(layouts, where)
    return layouts


def _start(zone: ZoneLayout) -> int:
    return zone.start_pfn


def _layout(zone: ZoneInfo, where: str) -> ZoneLayout:
    missing = ", ".join(sorted(name for name in _NEEDED if getattr(zone, name) is None))
    if missing:
        raise InputError(
            f"{where}: zone {zone.name} of node {zone.node} lacks {missing}: expected /proc/zoneinfo; is it cut off?"
        )
    pages: dict[str, int] = {name: getattr(zone, name) for name in _NEEDED}
    boost = zone.boost or 0
    for name in ("min", "low", "high"):
        pages[name] -= boost
    if not 0 <= pages["min"] <= pages["low"] <= pages["high"]:
        raise InputError(f"{where}: zone {zone.name} of node {zone.node}: its boost, min, low and high don't fit")
    first = zone.per_cpu[0] if zone.per_cpu else PerCpu(0)
    return ZoneLayout(
        node=zone.node,
        name=zone.name,
        **pages,
        pcp_high=first.high,
        pcp_batch=first.batch,
        cpus=len(zone.per_cpu) or None,
        protection=zone.protection,
        boost=boost,
        pcp_high_min=first.high_min,
        pcp_high_max=first.high_max,
    )


def check_apart(zones: Iterable[ZoneLayout], where: str) -> None:
    """Raise InputError where zones overlap. O(n log n)."""
    for below, above in pairwise(sorted(zones, key=_start)):
        if (above.node, above.name, above.start_pfn) == (below.node, below.name, below.start_pfn):
            raise InputError(
                f"{where}: zone {above.name} of node {above.node} is there twice: keep one copy of /proc/zoneinfo"
            )
        if above.start_pfn < below.end_pfn:
            raise InputError(
                f"{where}: zone {above.name} of node {above.node} begins at pfn {above.start_pfn}, inside zone "
                f"{below.name} of node {below.node}, which ends at {below.end_pfn}: zones that overlap can't be told "
                "apart"
            )
