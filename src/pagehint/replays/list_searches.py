"""How compaction leaves a zone's lists when it takes a block: what no event tells, and decides what is taken next."""

import cython

if not cython.compiled:
    from pagehint.mm.page import FREE, KIND, MOVABLE, ORDER, block_pages, page_of
    from pagehint.mm.zone import Zone
    from pagehint.pointers import uints
    from pagehint.replays.pages import NOWHERE

    LEAST_LOOKED_AT, MOST_LOOKED_AT, WALKS = 3, 33, 4
    AT_REST = 10**7

__all__ = ["ListSearches"]


@cython.final
@cython.cclass
class ListSearches:
    """Turns lists as compaction does that looks into them for blocks. `mapped` (uint32, one a page): where the model
    has what the recording has there; what is nowhere is free."""

    def __init__(self, mapped):
        self._mapped = mapped
        self._pages = len(mapped)
        self._taken = self._reached = -1
        self._reached_at = self._walked = 0
        self._sweeping = False
        self._map = uints(mapped)

    # It takes a block by its place, at this row. Where it looked into a list for it, the list then starts behind the
    # block. `source`: the pageblock that it moves things from, or -1. False if no list has turned.
    def _takes(self, zone: Zone, row, pfn, order, looked, source):
        i: cython.Py_ssize_t = pfn - zone.start_pfn
        word: cython.int = zone._state[i]
        if self._taken == row:
            return False  # once more: it found nothing while blocks were in flight
        self._taken = row
        self._sweeping = self._sweeps(zone, row, pfn, looked and order >= LEAST_LOOKED_AT)
        self._reached, self._reached_at = pfn + block_pages(order), zone._now
        if self._sweeping:
            return False
        if source >= 0:
            self._look_for_source(zone, source)
        if looked and (word & (KIND | ORDER)) == (FREE | order):
            zone._turn_behind(i)
        return True

    # Whether compaction looks into no lists, as where no allocation waits for it: it takes what it comes to on its way
    # down from the zone's end. One that looks into them may go on like that where it finds no more.
    def _sweeps(self, zone: Zone, row, pfn, looked):
        shift: cython.int = zone.pageblock_order
        start: cython.Py_ssize_t = zone.start_pfn
        if start < self._reached <= start + zone._pages:
            if pfn >= self._reached if pfn >> shift == (self._reached - 1) >> shift else pfn < self._reached:
                return self._sweeping
            if zone._now - self._reached_at < AT_REST:
                return False
        return not looked and self._is_first_down(zone, row, pfn)

    # Whether nothing that compaction would take is free (in the recording) between the zone's end and this block. All
    # such walks together are as long as the events and four times the pages: what is farther is not known to be free.
    def _is_first_down(self, zone: Zone, row, pfn):
        size: cython.Py_ssize_t = block_pages(zone.pageblock_order)
        end: cython.Py_ssize_t = zone.start_pfn + zone._pages
        begin: cython.Py_ssize_t = (end - 1) & -size
        free: cython.Py_ssize_t
        k: cython.Py_ssize_t
        while begin > pfn:
            self._walked += end - begin
            if self._walked > WALKS * self._pages + row:
                return False
            if zone._types[zone._pageblock(begin - zone.start_pfn)] == MOVABLE:
                free = 0
                for k in range(begin, end):
                    free += self._map[k] == NOWHERE
                if 0 < free < size:
                    return False
            end = begin
            begin -= size
        for k in range(max(begin, zone.start_pfn), pfn):  # noqa: SIM110  (no generator where there is no GIL)
            if self._map[k] == NOWHERE:
                return False
        return True

    # For a pageblock to move things from, compaction looks at the first blocks of lists, the largest first. The list
    # where it found one in the pageblock, or had enough, then starts behind the last that it looked at.
    def _look_for_source(self, zone: Zone, pageblock):
        head: cython.Py_ssize_t
        e: cython.Py_ssize_t
        i: cython.Py_ssize_t
        looked: cython.int = 0
        order: cython.int = zone.pageblock_order - 1
        while order >= LEAST_LOOKED_AT and looked < MOST_LOOKED_AT:
            head = (MOVABLE << 5) + order
            e = zone._links[2 * head]
            while e != head:
                i = page_of(e)
                if looked == MOST_LOOKED_AT or (i + zone.start_pfn) >> zone.pageblock_order == pageblock:
                    zone._turn_behind(i)
                    return
                looked += 1
                e = zone._links[2 * e]
            order -= 1
