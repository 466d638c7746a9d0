"""A naive model of a guest's memory: which zones an allocation tries, down to which mark, and how.

Written from docs/spec/4 (section 2), and the documentation of zonelists, watermarks and ``lowmem_reserve``.
"""

from dataclasses import dataclass

from pagehint.kernel.gfp import Gfp
from tests.mm.naive_pcp import NaivePcp
from tests.mm.naive_profiles import NaiveProfileZone

DMA, DMA32, NORMAL, MOVABLE = range(4)


@dataclass
class NaiveGuestZone:
    """``protection``: pages kept from allocations that could go to zone 0, 1, ...; ``pcps``: a CPU each."""

    zone: NaiveProfileZone
    node: int
    type: int
    protection: tuple[int, ...]
    pcps: list[NaivePcp]
    min: int = 0
    low: int = 0

    def holds(self, pfn):
        return self.zone.start <= pfn < self.zone.end

    def can_spare(self, order, mark):
        """It stays above the mark, and has a block for anybody."""
        zone = self.zone
        blocks = [which for which, pfns in zone.lists.items() if pfns and which[0] >= order and which[1] <= 2]
        return zone.free_pages - (2**order - 1) > mark and (order == 0 or bool(blocks))


class NaiveMemory:
    def __init__(self, zones):
        self.zones = zones

    def zonelist(self, node, highest, only_here):
        """The node's own zones, the highest first; then the next nodes', after the last the first's."""
        nodes = 1 + max(zone.node for zone in self.zones)
        return [
            zone
            for step in range(1 if only_here else nodes)
            for kind in range(highest, -1, -1)
            for zone in self.zones
            if zone.node == (node + step) % nodes and zone.type == kind
        ]

    def alloc(self, order, gfp, node, cpu):
        mt = 1 if gfp & Gfp.MOVABLE else 2 if gfp & Gfp.RECLAIMABLE else 0
        highest = NORMAL
        if gfp & Gfp.DMA:
            highest = DMA
        elif gfp & Gfp.DMA32:
            highest = DMA32
        elif gfp & Gfp.HIGHMEM and gfp & Gfp.MOVABLE:
            highest = MOVABLE
        zones = self.zonelist(node, highest, bool(gfp & Gfp.THISNODE))

        def scan(mark_of, whole=False):
            for zone in zones:
                if whole and zone.node != zones[0].node:
                    break
                if zone.can_spare(order, mark_of(zone) + zone.protection[highest]):
                    pfn = zone.pcps[cpu].alloc(order, mt, whole)
                    if pfn >= 0:
                        return pfn
            return -1

        def least(zone):
            mark = zone.min
            if gfp & Gfp.HIGH:
                mark -= mark // 2
            if gfp & Gfp.ATOMIC:
                mark -= mark // 4
            return mark

        pfn = -1
        if zones and zones[0].type == NORMAL:
            below = [zone for zone in self.zones if (zone.node, zone.type) == (zones[0].node, DMA32)]
            pfn = scan(lambda zone: zone.low, whole=True) if below else -1
        if pfn < 0:
            pfn = scan(lambda zone: zone.low)
        if pfn < 0:
            pfn = scan(least)
        if pfn < 0:
            self.drain_all()
            pfn = scan(least)
        return pfn

    def alloc_exact(self, pages, gfp, node, cpu):
        """The blocks (pfn, order) that are left of one; what is too much goes to the zone page by page, at the tail.

        docs/spec/4, section 5.
        """
        pfn = self.alloc((pages - 1).bit_length(), gfp, node, cpu)
        if pfn < 0:
            return []
        zone = self.zone_of(pfn).zone
        order, mt = zone.used.pop(pfn)
        for page in range(pfn + pages, pfn + 2**order):
            zone.free_one(page, 0, zone.type_of(page), put_back=True)
        blocks = []
        for part in range(order, -1, -1):
            if pages & 2**part:
                zone.used[pfn] = part, mt
                blocks.append((pfn, part))
                pfn += 2**part
        return blocks

    def zone_of(self, pfn):
        return next(zone for zone in self.zones if zone.holds(pfn))

    def free(self, pfn, cpu):
        self.zone_of(pfn).pcps[cpu].free(pfn)

    def drain_all(self):
        for zone in self.zones:
            for pcp in zone.pcps:
                pcp.drain_all()

    def decay(self):
        for zone in self.zones:
            for pcp in zone.pcps:
                pcp.decay()
