"""``/proc/buddyinfo`` and ``/proc/pagetypeinfo`` in the kernel's own format."""

from collections.abc import Sequence

import numpy as np

from pagehint.errors import InputError
from pagehint.kernel.migratetype import MIGRATE_TYPES
from pagehint.mm.check import check_zones
from pagehint.mm.zone import Zone
from pagehint.units import several

__all__ = ["buddyinfo", "pagetypeinfo"]

_TYPE_NAMES = ("Unmovable", "Movable", "Reclaimable", "HighAtomic", "Isolate")


def _listed(zones: Zone | Sequence[Zone]) -> list[Zone]:
    listed = several(zones)
    check_zones(listed, Zone)
    return listed


def buddyinfo(zones: Zone | Sequence[Zone]) -> str:
    """Free blocks by order, a line for each zone, as /proc/buddyinfo shows them.

    Raises InputError for what is no zone.
    """
    zones = _listed(zones)
    return "".join(
        f"Node {zone.node}, zone {zone.name:>8} " + "".join(f"{count:6} " for count in zone.nr_free) + "\n"
        for zone in zones
    )


def pagetypeinfo(zones: Zone | Sequence[Zone]) -> str:
    """Free blocks by migratetype and order, and pageblocks by migratetype, as /proc/pagetypeinfo shows them.

    O(free blocks + pageblocks). Raises InputError for no zone at all.
    """
    zones = _listed(zones)
    if not zones:
        raise InputError("pagetypeinfo of no zone: expected one at least")
    first = zones[0]
    lines = [
        f"Page block order: {first.pageblock_order}",
        f"Pages per block:  {1 << first.pageblock_order}",
        "",
        f"{'Free pages count per migrate type at order':<43} "
        + "".join(f"{order:6} " for order in range(first.max_order)),
    ]
    for zone in zones:
        for migratetype, name in enumerate(_TYPE_NAMES):
            counts = [len(zone.free_list(order, migratetype)) for order in range(zone.max_order)]
            lines.append(
                f"Node {zone.node:4}, zone {zone.name:>8}, type {name:>12} "
                + "".join(f"{count:6} " for count in counts)
            )
    lines += ["", f"{'Number of blocks type':<23}" + "".join(f"{name:>12} " for name in _TYPE_NAMES)]
    for zone in zones:
        blocks = np.bincount(zone.pageblock_types, minlength=MIGRATE_TYPES)
        lines.append(f"Node {zone.node}, zone {zone.name:>8} " + "".join(f"{count:12} " for count in blocks))
    return "\n".join(lines) + "\n"
