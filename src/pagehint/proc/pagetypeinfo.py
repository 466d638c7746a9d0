"""What /proc/pagetypeinfo and /proc/buddyinfo say of a machine's free blocks and pageblocks."""

import re
from dataclasses import dataclass, field

from pagehint.errors import InputError
from pagehint.proc.count import parse_count

__all__ = ["PageTypeInfo", "parse_buddyinfo", "parse_pagetypeinfo"]

_MOST_ORDER = 20


@dataclass
class PageTypeInfo:
    """What a text of /proc/pagetypeinfo says; a zone is named by its node and name.

    `types` are the names of the migratetypes, by number: with CMA, 4 is CMA and 5 Isolate. `free` has for each zone
    and type the free blocks of each order, `pageblocks` the pageblocks of each type. `at_least` are those
    (node, zone, type, order) whose count is a lower bound: the kernel stops counting at 100,000 and prints
    ``>100000``; /proc/buddyinfo has the exact sum over the types.
    """

    pageblock_order: int | None = None
    types: tuple[str, ...] = ()
    free: dict[tuple[int, str], dict[str, list[int]]] = field(default_factory=dict)
    at_least: set[tuple[int, str, str, int]] = field(default_factory=set)
    pageblocks: dict[tuple[int, str], dict[str, int]] = field(default_factory=dict)

    def bounds(self, node: int, zone: str) -> set[tuple[str, int]]:
        """The (type, order) of a zone whose count is a lower bound."""
        return {(kind, order) for of_node, name, kind, order in self.at_least if (of_node, name) == (node, zone)}


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
            if info.pageblock_order > _MOST_ORDER:
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
    if not words or (orders and len(words) != orders) or len(words) > _MOST_ORDER + 1:
        raise _wrapped(where, line, f"{len(words)} counts, where the heading has {orders or 'no'} orders")
    of_zone = info.free.setdefault(zone, {})
    if kind in of_zone:
        raise InputError(f"{where}: line {line}: type {kind} of zone {zone[1]} again: expected one /proc/pagetypeinfo")
    of_zone[kind] = [parse_count(word.removeprefix(">"), where, line) for word in words]
    info.at_least |= {(*zone, kind, order) for order, word in enumerate(words) if word.startswith(">")}


def _pageblocks(info: PageTypeInfo, zone: tuple[int, str], words: list[str], where: str, line: int) -> None:
    if len(words) != len(info.types):
        raise _wrapped(where, line, f"{len(words)} counts, where the heading has {len(info.types)} types")
    counts = [parse_count(word, where, line) for word in words]
    info.pageblocks[zone] = dict(zip(info.types, counts, strict=True))


def parse_buddyinfo(text: str, where: str) -> dict[tuple[int, str], list[int]]:
    """For each (node, zone) of a text of /proc/buddyinfo: free blocks of each order. O(length). Raises InputError."""
    zones: dict[tuple[int, str], list[int]] = {}
    orders = 0
    for count, line in enumerate(text.split("\n"), 1):
        if (row := _ROW.match(line)) is not None:
            words = row[3].split()
            orders = orders or len(words)
            if not words or len(words) != orders or orders > _MOST_ORDER + 1:
                raise _wrapped(where, count, f"{len(words)} counts, where the first zone has {orders}")
            zone = int(row[1]), row[2]
            if zone in zones:
                raise InputError(f"{where}: line {count}: zone {zone[1]} again: expected one /proc/buddyinfo")
            zones[zone] = [parse_count(word, where, count) for word in words]
        elif zones and _only_counts(line):
            raise _wrapped(where, count, "counts without a zone before them")
    return zones


def _only_counts(line: str) -> bool:
    words = line.split()
    return bool(words) and all(word.removeprefix(">").isdecimal() for word in words)


def _wrapped(where: str, line: int, what: str) -> InputError:
    return InputError(
        f"{where}: line {line}: {what}: is the line cut off, or wrapped by a mail program? Each zone's counts stand in "
        "one line"
    )
