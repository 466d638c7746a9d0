"""zoneinfo as people paste it: whole, cut off, damaged, or there several times."""

from collections.abc import Iterator

from pagehint.diagnosis.evidence import Evidence
from pagehint.errors import printable
from pagehint.proc.zoneinfo import ZoneInfo, parse_zoneinfo

__all__ = ["read_zones"]

_ALIKE, _NOTHING = 2, 1024  # what two counts of one zone are
_WHOLE = "free", "managed", "low"  # what a zone with pages has


def read_zones(rows: list[str], evidence: Evidence, name: str) -> list[ZoneInfo]:
    """The zones of which lines of zoneinfo tell more than the name. Of several of one the last counts; the evidence's
    warnings say that, and what is missing. O(length). Raises InputError.
    """
    zones = parse_zoneinfo("\n".join(rows), name)
    by_key: dict[tuple[int, str], ZoneInfo] = {}
    for zone in zones:
        key = zone.node, zone.name
        if by_key.get(key, zone) != zone:
            evidence.warnings.append(f"{name}: has zone {_label(zone)} more than once: the last counts")
        by_key[key] = zone
    with_pages = [zone for zone in zones if not zone.is_empty]
    if with_pages and all(map(_says_nothing, with_pages)):
        evidence.warnings.append(
            f"{name}: names zones, {_label(with_pages[0])}, of which nothing else is understood, and which are left "
            "out: copy /proc/zoneinfo whole"
        )
        return []
    evidence.warnings += [f"{name}: {each}" for each in _missing(list(by_key.values()), with_pages)]
    evidence.warnings += [
        f"{name}: zone {_label(zone)} has two sizes: the heading of a zone is missing, and figures of two are mixed"
        for zone in _of_two_sizes(rows)
    ]
    evidence.warnings += [
        f"{name}: zone {_label(zone)} counts its free pages twice, as {zone.free:,} and {listed:,}: one is damaged"
        for zone in by_key.values()
        if zone.free is not None
        and (listed := zone.stats.get("nr_free_pages")) is not None
        and max(zone.free, listed) > _ALIKE * min(zone.free, listed) + _NOTHING
    ]
    # As grep leaves those that have no such line.
    return [zone for zone in by_key.values() if not _says_nothing(zone)]


def _missing(zones: list[ZoneInfo], with_pages: list[ZoneInfo]) -> Iterator[str]:
    # What a zone with pages ends with is where it begins.
    *others, last = with_pages or [ZoneInfo(0, "")]
    is_cut = last.start_pfn is None and (
        any(zone.start_pfn is not None for zone in others) if others else bool(last.per_cpu)
    )
    told = {figure for zone in with_pages for figure in _WHOLE if getattr(zone, figure) is not None}
    for zone in others if is_cut else with_pages:
        if _says_nothing(zone):
            continue
        if lacking := [figure for figure in _WHOLE if figure in told and getattr(zone, figure) is None]:
            yield (
                f"lines of zone {_label(zone)} are missing or damaged, which other zones have: {', '.join(lacking)}; "
                "what it has is not known"
            )
    if is_cut:
        yield (
            f"zoneinfo is cut off within zone {_label(last)}: CPUs' lists may hold more, and zones may be missing "
            "behind it"
        )
    for zone in {zone.node: zone for zone in zones}.values():
        if any(zone.protection or ()):
            yield f"zones above {_label(zone)} are missing, for which it keeps pages: is zoneinfo cut off?"


# Lines that are there again, without their heading, are those of one zone where its size is the same.
def _of_two_sizes(rows: list[str]) -> Iterator[ZoneInfo]:
    sizes: set[str] = set()
    head: str | None = None
    for row in [*rows, "Node"]:
        if row.startswith("Node"):
            if head is not None and len(sizes) > 1:
                yield parse_zoneinfo(head, "")[0]
            head, sizes = row, set()
        elif row.startswith("spanned"):
            sizes.add(row)


def _label(zone: ZoneInfo) -> str:
    return f"{printable(zone.name)} of node {zone.node}"


def _says_nothing(zone: ZoneInfo) -> bool:
    return zone == ZoneInfo(zone.node, zone.name, protection=zone.protection)
