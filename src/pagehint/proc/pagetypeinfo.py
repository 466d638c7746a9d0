"""What /proc/pagetypeinfo and /proc/buddyinfo say of a machine's free blocks and pageblocks."""

import re
from dataclasses import dataclass, field

from pagehint.errors import InputError
from pagehint.kernel.orders import MOST_ORDER
from pagehint.proc.count import parse_count, parse_pages
from pagehint.proc.zoneinfo import ZoneInfo

__all__ = ["PageTypeInfo", "of_another_machine", "parse_buddyinfo", "parse_pagetypeinfo"]

_ALIKE, _NOTHING = 1.3, 1 << 14  # what two files count as free, pages


@dataclass
class PageTypeInfo:
    """What a text of /proc/pagetypeinfo says; a zone is named by its node and name.

    `types` are the names of the migratetypes, by number: with CMA, 4 is CMA and 5 Isolate. `free` has for each zone
    and type the free blocks of each order, `pageblocks` the pageblocks of each type. `at_least` has those
    (type, order) of a zone whose count is a lower bound: the kernel stops counting at 100,000 and prints ``>100000``;
    /proc/buddyinfo has the exact sum over the types.
    """

    pageblock_order: int | None = None
    types: tuple[str, ...] = ()
    free: dict[tuple[int, str], dict[str, list[int]]] = field(default_factory=dict)
    at_least: dict[tuple[int, str], set[tuple[str, int]]] = field(default_factory=dict)
    pageblocks: dict[tuple[int, str], dict[str, int]] = field(default_factory=dict)


_ROW = re.compile(r"Node +(\d{1,9}), zone +([^\s,]{1,40})(?:,? +|$)(.*)", re.ASCII)
_TYPE = re.compile(r"type +(\S{1,40})(?: +|$)(.*)", re.ASCII)


def parse_pagetypeinfo(text: str, where: str) -> PageTypeInfo:
    """What a text of /proc/pagetypeinfo says. O(length). Raises InputError, which names the line; `where` the file.

    What the text lacks (it may be cut off between two lines) is empty; a line that was cut or wrapped is refused.
    """
    info = PageTypeInfo()
    orders = 0
    blocks = False
    for count, line in enumerate(text.split("\n"), 1):
        line = line.rstrip()
        if line.startswith("Page block order:"):
            info.pageblock_order = parse_count(line.partition(":")[2].strip(), where, count)
            if info.pageblock_order > MOST_ORDER:
                raise InputError(f"{where}: line {count}: page block order {info.pageblock_order}: no kernel has that")
        elif line.startswith("Free pages count per migrate type at order"):
            orders = len(line.split()) - 8
            blocks = False
        elif line.startswith("Number of blocks type"):
            info.types = tuple(line.split()[4:])
            blocks = True
        elif (row := _ROW.match(line)) is not None:
            if blocks:
                _pageblocks(info, (int(row[1]), row[2]), row[3].split(), where, count)
            elif (kind := _TYPE.match(row[3])) is not None:
                _free(info, (int(row[1]), row[2]), kind[1], kind[2].split(), orders, where, count)
        elif (orders or blocks) and _only_counts(line):
            raise _wrapped(where, count, "counts without a zone before them")
    if not info.types:
        info.types = tuple(dict.fromkeys(kind for kinds in info.free.values() for kind in kinds))
    return info


def _free(
    info: PageTypeInfo, zone: tuple[int, str], kind: str, words: list[str], orders: int, where: str, line: int
) -> None:
    if not words or (orders and len(words) != orders):
        raise _wrapped(where, line, f"{len(words)} counts, where the heading has {orders or 'no'} orders")
    of_zone = info.free.setdefault(zone, {})
    if kind in of_zone:
        raise InputError(f"{where}: line {line}: type {kind} of zone {zone[1]} again: expected one /proc/pagetypeinfo")
    of_zone[kind] = _blocks([word.removeprefix(">") for word in words], where, line)
    if bounds := {(kind, order) for order, word in enumerate(words) if word.startswith(">")}:
        info.at_least.setdefault(zone, set()).update(bounds)


def _pageblocks(info: PageTypeInfo, zone: tuple[int, str], words: list[str], where: str, line: int) -> None:
    if len(words) != len(info.types):
        raise _wrapped(where, line, f"{len(words)} counts, where the heading has {len(info.types)} types")
    counts = [parse_pages(word, where, line) for word in words]
    info.pageblocks[zone] = dict(zip(info.types, counts, strict=True))


def parse_buddyinfo(text: str, where: str) -> dict[tuple[int, str], list[int]]:
    """For each (node, zone) of a text of /proc/buddyinfo: free blocks of each order. O(length). Raises InputError."""
    zones: dict[tuple[int, str], list[int]] = {}
    orders = 0
    for count, line in enumerate(text.split("\n"), 1):
        if (row := _ROW.match(line)) is not None:
            words = row[3].split()
            orders = orders or len(words)
            if not words or len(words) != orders:
                raise _wrapped(where, count, f"{len(words)} counts, where the first zone has {orders}")
            zone = int(row[1]), row[2]
            if zone in zones:
                raise InputError(f"{where}: line {count}: zone {zone[1]} again: expected one /proc/buddyinfo")
            zones[zone] = _blocks(words, where, count)
        elif zones and _only_counts(line):
            raise _wrapped(where, count, "counts without a zone before them")
    return zones


def _blocks(words: list[str], where: str, line: int) -> list[int]:
    if len(words) > MOST_ORDER + 1:
        raise InputError(f"{where}: line {line}: {len(words):,} counts: no kernel has blocks of so many orders")
    return [parse_pages(word, where, line, order) for order, word in enumerate(words)]


def of_another_machine(
    types: PageTypeInfo, buddy: dict[tuple[int, str], list[int]], zones: list[ZoneInfo]
) -> str | None:
    """What in a pagetypeinfo doesn't fit the buddyinfo and zoneinfo of a machine, or None. O(zones).

    Either of these may be empty. What is free may differ by a third and by 64 MiB, as from moment to moment. Memory
    that the kernel has not initialised yet is no pageblock, and is not managed.
    """
    free = {(zone.node, zone.name): zone.listed or 0 for zone in zones if zone.free}
    free |= {zone: sum(count << order for order, count in enumerate(counts)) for zone, counts in buddy.items()}
    layouts = {
        (zone.node, zone.name): (zone.present if zone.managed is None else zone.managed, zone.spanned)
        for zone in zones
        if zone.present is not None and zone.spanned is not None
    }
    if free and types.free and free.keys().isdisjoint(types.free):
        return f"it has zones {', '.join(name for _, name in types.free)}, none of which the others have"
    for zone, blocks in types.pageblocks.items():
        if zone not in layouts or types.pageblock_order is None:
            continue
        least, most = (pages >> types.pageblock_order for pages in layouts[zone])
        count = sum(blocks.values())
        if not least - 2 <= count <= most + 2:
            return f"zone {zone[1]} has {count:,} pageblocks, zoneinfo's has {least:,} to {most + 1:,}"
    for zone, kinds in types.free.items():
        pages = sum(count << order for counts in kinds.values() for order, count in enumerate(counts))
        # A row of it may be cut off.
        if zone not in free or not kinds.keys() >= set(types.types):
            continue
        least, most = sorted((pages, free[zone]))
        if most > _ALIKE * least + _NOTHING and not (pages == least and zone in types.at_least):
            return f"zone {zone[1]} has {pages:,} free pages, the others count {free[zone]:,}"
    return None


def _only_counts(line: str) -> bool:
    words = line.split()
    return bool(words) and all(word.removeprefix(">").isdecimal() for word in words)


def _wrapped(where: str, line: int, what: str) -> InputError:
    return InputError(
        f"{where}: line {line}: {what}: is the line cut off, or wrapped by a mail program? Each zone's counts stand in "
        "one line"
    )
