"""Migratetypes, and the rules of the two generations of free lists (spec 1 and spec 2)."""

import enum
from dataclasses import dataclass

from pagehint.errors import InputError

__all__ = ["LINUX_5_3", "LINUX_6_1", "MIGRATE_TYPES", "ListRules", "Migratetype", "check_rules"]


class Migratetype(enum.IntEnum):
    """What kind of pages a pageblock, or a free list, holds (spec 1, section 1)."""

    UNMOVABLE = 0
    MOVABLE = 1
    RECLAIMABLE = 2
    HIGHATOMIC = 3
    ISOLATE = 4


MIGRATE_TYPES = len(Migratetype)


@dataclass(frozen=True, slots=True)
class ListRules:
    """How one generation of Linux orders its lists and sets its limits: one explicit choice per guest."""

    name: str
    moved_to_tail: bool
    """A block that changes lists (stealing, isolating) goes to the tail, still hinted; else to the head, unhinted."""
    boot_to_tail: bool
    """Boot's frees go to the tail, so lists start in ascending pfn order; else section 2 of spec 1 places them."""
    merge_by_type: bool
    """From pageblock order on, different types merge only if both are types 0 to 2; else only ISOLATE stands apart."""
    pcp_above_order_0: bool
    """CPUs keep lists of orders 0 to 3 and of pageblocks; else of order 0 only."""
    most_min_free_kbytes: int
    """The most that min_free_kbytes is set to by itself."""


def check_rules(rules: object) -> None:
    """Raise InputError unless these are ListRules."""
    if not isinstance(rules, ListRules):
        raise InputError(f"rules {rules!r}: expected ListRules, such as LINUX_6_1")


LINUX_5_3 = ListRules(
    "5.3",
    moved_to_tail=False,
    boot_to_tail=False,
    merge_by_type=False,
    pcp_above_order_0=False,
    most_min_free_kbytes=65536,
)
LINUX_6_1 = ListRules(
    "6.1",
    moved_to_tail=True,
    boot_to_tail=True,
    merge_by_type=True,
    pcp_above_order_0=True,
    most_min_free_kbytes=262144,
)
