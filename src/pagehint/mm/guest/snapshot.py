"""A guest's zones as a running guest's /proc files tell them."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from pagehint.errors import InputError
from pagehint.kernel.gfp import ZoneType
from pagehint.kernel.migratetype import Migratetype
from pagehint.kernel.profiles import KernelProfile
from pagehint.mm.guest.zones import PAGE_SIZE, GuestZone, pcp_limits
from pagehint.mm.page import FREE, KIND, ORDER
from pagehint.mm.pcp import PerCpuLists
from pagehint.mm.zone import Zone
from pagehint.proc.kpageflags import page_states
from pagehint.proc.pagetypeinfo import PageTypeInfo, parse_pagetypeinfo
from pagehint.proc.zoneinfo import ZoneLayout, zone_layouts

__all__ = ["snapshot_zones"]

_GUESSED = {"Unmovable": Migratetype.UNMOVABLE, "Reclaimable": Migratetype.RECLAIMABLE}
_TYPES = {kind.title: kind for kind in ZoneType}


def snapshot_zones(
    zoneinfo: str, kpageflags: NDArray[np.uint64], pagetypeinfo: str | None, profile: KernelProfile
) -> list[GuestZone]:
    """The zones of a running guest, as ``GuestMemory.from_snapshot`` says. Raises InputError. O(pages)."""
    types = parse_pagetypeinfo(pagetypeinfo, "pagetypeinfo") if pagetypeinfo else PageTypeInfo()
    order = 9 if types.pageblock_order is None else types.pageblock_order
    return list(_zones(zone_layouts(zoneinfo, "zoneinfo"), kpageflags, types.free, order, profile))


def _zones(
    layouts: list[ZoneLayout],
    kpageflags: NDArray[np.uint64],
    counts: dict[tuple[int, str], dict[str, list[int]]],
    pageblock_order: int,
    profile: KernelProfile,
) -> Iterator[GuestZone]:
    for layout in layouts:
        if layout.name not in _TYPES:
            raise InputError(f"zoneinfo: zone {layout.name} of node {layout.node}: expected {', '.join(_TYPES)}")
        flags = kpageflags[layout.start_pfn : layout.end_pfn]
        if len(flags) < layout.spanned:
            raise InputError(
                f"kpageflags has {len(kpageflags)} words, but zone {layout.name} ends at pfn {layout.end_pfn}: "
                "the files are not of one guest"
            )
        zone = Zone(
            layout.spanned,
            start_pfn=layout.start_pfn,
            page_size=PAGE_SIZE,
            pageblock_order=pageblock_order,
            profile=profile,
            watermarks=(layout.min, layout.low, layout.high),
            name=layout.name,
            node=layout.node,
        )
        states = page_states(flags)
        zone.load(states.free, None, states.present, states.reported)
        if of_types := counts.get((layout.node, layout.name)):
            zone.load(states.free, _pageblock_types(zone, of_types), states.present, states.reported)
        kinds = len(ZoneType)
        protection = tuple(layout.protection or ())[:kinds]
        cpus = layout.cpus or 1
        limits = pcp_limits(layout, profile, cpus)
        pcps = tuple(PerCpuLists(zone, cpu, *limits) for cpu in range(cpus))
        yield GuestZone(zone, _TYPES[layout.name], protection + (0,) * (kinds - len(protection)), pcps)


# Pageblocks, in ascending pfn order, get the first type whose lists have room for all their free blocks. Nothing tells
# the type of a pageblock that has none.
def _pageblock_types(zone: Zone, of_types: dict[str, list[int]]) -> NDArray[np.uint8]:
    types = zone.pageblock_types.copy()
    heads = np.flatnonzero((zone.page_state & KIND) == FREE)
    orders = zone.page_state[heads] & ORDER
    pageblocks = (heads + zone.start_pfn >> zone.pageblock_order) - (zone.start_pfn >> zone.pageblock_order)
    with_free, firsts = np.unique(pageblocks, return_index=True)
    wanted = np.zeros((len(with_free), zone.max_order), np.int64)
    np.add.at(wanted, (np.repeat(np.arange(len(with_free)), np.diff(firsts, append=len(heads))), orders), 1)
    reach = np.maximum(1 << orders[firsts].astype(np.int64) >> zone.pageblock_order, 1)
    left = {kind: np.array(of_types.get(name, ()), np.int64) for name, kind in _GUESSED.items()}
    rooms = [(kind, room) for kind, room in left.items() if len(room) == zone.max_order]
    for pageblock, blocks, pageblocks_of_first in zip(with_free, wanted, reach, strict=True):
        for kind, room in rooms:
            if (room >= blocks).all():
                room -= blocks
                types[pageblock : pageblock + pageblocks_of_first] = kind
                break
    return types
