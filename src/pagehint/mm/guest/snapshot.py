"""A guest's zones as a running guest's /proc files tell them."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from pagehint.errors import InputError
from pagehint.kernel.gfp import ZoneType
from pagehint.kernel.profiles import KernelProfile
from pagehint.mm.guest.pageblock_types import fit_pageblock_types
from pagehint.mm.guest.zones import PAGE_SIZE, GuestZone, pcp_limits
from pagehint.mm.pcp import PerCpuLists
from pagehint.mm.zone import Zone
from pagehint.proc.kpageflags import page_states
from pagehint.proc.pagetypeinfo import PageTypeInfo, parse_pagetypeinfo
from pagehint.proc.zoneinfo import ZoneLayout, zone_layouts
from pagehint.units import shown

__all__ = ["snapshot_zones"]

_TYPES = {kind.title: kind for kind in ZoneType}


def snapshot_zones(
    zoneinfo: str, kpageflags: NDArray[np.uint64], pagetypeinfo: str | None, profile: KernelProfile
) -> list[GuestZone]:
    """The zones of a running guest, as ``GuestMemory.from_snapshot`` says. Raises InputError. O(pages)."""
    for what, text in (("zoneinfo", zoneinfo), ("pagetypeinfo", pagetypeinfo or "")):
        if not isinstance(text, str):
            raise InputError(f"{what} {shown(text)}: expected the file's text")
    if not isinstance(kpageflags, np.ndarray) or kpageflags.ndim != 1 or kpageflags.dtype != np.uint64:
        raise InputError(f"kpageflags {shown(kpageflags)}: expected a one-dimensional array of uint64")
    types = parse_pagetypeinfo(pagetypeinfo, "pagetypeinfo") if pagetypeinfo else PageTypeInfo()
    order = 9 if types.pageblock_order is None else types.pageblock_order
    return list(_zones(zone_layouts(zoneinfo, "zoneinfo"), kpageflags, types, order, profile))


def _zones(
    layouts: list[ZoneLayout],
    kpageflags: NDArray[np.uint64],
    info: PageTypeInfo,
    pageblock_order: int,
    profile: KernelProfile,
) -> Iterator[GuestZone]:
    cpus = max(layout.cpus or 1 for layout in layouts)  # a zone's list of them may be cut off
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
        key = layout.node, layout.name
        if counts := info.free.get(key):
            types = fit_pageblock_types(zone, flags, counts, None, info.at_least.get(key, ()))
            zone.load(states.free, types, states.present, states.reported)
        kinds = len(ZoneType)
        protection = tuple(layout.protection or ())[:kinds]
        limits = pcp_limits(layout, profile, cpus)
        pcps = tuple(PerCpuLists(zone, cpu, *limits) for cpu in range(cpus))
        yield GuestZone(zone, _TYPES[layout.name], protection + (0,) * (kinds - len(protection)), pcps)
