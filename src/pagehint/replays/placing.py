"""Where recorded pages are in the model: which block an allocation takes, and to which lists what is freed goes.

A recorded page is a key: ``_map`` says which page of the model it is now. Where the model chooses the pages, keys and
pages differ; with recorded placement they are the same. Two sets of model pages, a bit each, say where a page is:
``taken`` (off the buddy lists), and of those ``used`` (by the guest; the others are on per-CPU lists).
"""

import cython
import numpy as np

from pagehint.replays.scan import NO_ROWS

if not cython.compiled:
    from pagehint.host.backing import Backing
    from pagehint.mm.fallback import alloc_next, claim_told, take_told
    from pagehint.mm.page import AT_TAIL, HIGHATOMIC, KIND, MOVABLE, ORDER, ORDINARY, PCP, RECLAIMABLE, block_pages
    from pagehint.mm.pcp import PCP_LISTS, PerCpuLists
    from pagehint.mm.zone import Zone
    from pagehint.pointers import longlongs, uchars, uints
    from pagehint.replays.columns import CMA, EXTFRAG, Columns
    from pagehint.replays.observers.best_possible import BestPossible
    from pagehint.replays.on_the_way import OnTheWay
    from pagehint.replays.pages import MOST_MS, NOWHERE, Pages, has
    from pagehint.replays.refills import NEVER
    from pagehint.replays.scan import STARTS_USED

    AT_END, AT_TIME, RANG, STALLED = range(4)
    FIRST_FIT, NEXT, BY_PLACE, ISOLATION = range(4)
    AGREED = 10000
    NO_TYPE = 255
    (
        OUTSIDE,
        ALLOCATED_TWICE,
        FREED_UNALLOCATED,
        DRAINED_FREE,
        TAKEN_TWICE,
        NOT_PLACED,
        FAILED_HERE,
        FAILED_IN_GUEST,
        ALLOCATED_IN_BULK,
        BEYOND_ORDER,
        IN_PIECES,
        ANOMALIES,
    ) = range(12)


__all__ = ["ANOMALY_NAMES", "Placing"]

ANOMALY_NAMES = (
    "outside every zone",
    "allocated twice",
    "freed, never allocated",
    "drained, never taken",
    "taken twice",
    "not placed",
    "allocation failed here",
    "allocation failed in the guest",
    "allocated without an event (in bulk)",
    "of an order beyond the largest",
    "taken in pieces, as no block so large was free here",
)


@cython.cclass
class Placing(Pages):
    """Takes and frees the blocks of `zones` that a recording names. `pcps[zone index, cpu]`: per-CPU lists, for a
    recording that has no zone events. `recorded`: blocks stay where they were; `follows`: after compaction they do
    until the lists agree with the recording again.
    """

    def __init__(self, zones, backing: Backing, pages, recorded, pcps, follows):
        super().__init__(backing, pages)
        self.zones = list(zones)
        self.recorded = recorded
        self.follows = follows
        self.zone_events = not pcps
        # What a CPU's list got keeps the type of then; from 6.10 on it has its pageblock's.
        self._keeps_types = zones[0].profile.fallback == "moving"
        self._pcps = dict(pcps)
        self.touch_alloc = True
        self.touch_zone_alloc = self.touch_free = False
        self.mapped = np.full(pages, NOWHERE, np.uint32)
        self._freed_at_array = np.zeros(pages, np.uint32)
        self._k = self._row = 0
        self.now = self.placed = self.placed_as_recorded = self.followed = 0
        self._agreed = AGREED
        self._give_up = False
        self._cpu = -1
        self._columns = Columns()
        self._on_the_way = OnTheWay()
        self._last_freed_array = np.zeros(pages, np.uint8)
        self._has_last_freed = False
        self._last_row = 0
        self.may_come_straight(NO_ROWS[0])
        self._map = uints(self.mapped)
        self._freed_at = uints(self._freed_at_array)
        self._last_freed = uchars(self._last_freed_array)
        if not cython.compiled:
            self._anomalies = [0] * ANOMALIES
        self._zone = self.zones[0]
        self._pcp = None
        self._best = None

    # The state at the start

    def start_from(self, states):
        """Pages are where the recording has them: uint8 a page, of which USED_AT_START and PER_CPU_AT_START count."""
        pfn: cython.Py_ssize_t
        kinds = uchars(states)
        with cython.nogil:
            for pfn in range(self.pages):
                if kinds[pfn] >= STARTS_USED:
                    self._map[pfn] = pfn
                    self._set_taken(pfn, 1, True)
                    if kinds[pfn] == STARTS_USED:
                        self._set_used(pfn, True)

    def may_come_straight(self, rows):
        """After the frees of these rows (int64, ascending) no event says where their pages are: on the zone's lists,
        where one that merges with its buddy there is why allocations pass over that."""
        self._last_rows_array = np.append(rows, NEVER)
        self._last_rows = longlongs(self._last_rows_array)

    def lay_on_lists(self, pfns, lists):
        """These blocks (int64), which count as taken, lie on CPUs' lists: CPU << 8 | order << 4 | migratetype (uint32).

        The first of a list is taken first.
        """
        pfn: cython.Py_ssize_t
        order: cython.int
        i: cython.Py_ssize_t
        k: cython.Py_ssize_t
        for pfn, which in zip(pfns.tolist(), lists.tolist(), strict=True):
            order = which >> 4 & 15
            if not self._enter_another(pfn, order, which >> 8):
                continue
            i = pfn - self._zone.start_pfn
            if not self._zone._join_used(i, order):
                continue
            if not self._pcp._lay_behind(i, order, which & 15):
                self._zone._free(i, order, AT_TAIL)
            self._mark(self._taken, pfn, block_pages(order), False)
            for k in range(pfn, pfn + block_pages(order)):
                self._map[k] = NOWHERE

    def watch(self, best: BestPossible, backed):
        """From now on, with these pages backed (bool, one a page), `best` is told what becomes of each."""
        used, taken = (
            np.unpackbits(bits.view(np.uint8), bitorder="little")[: self.pages].view(np.bool_)
            for bits in (self.used, self.taken)
        )
        best.start(backed, used, taken)
        self._best = best

    def still_used(self, pfns):
        """These pages (int64), as the recording has them, were taken by now, and are in use without an event."""
        where = self.mapped[pfns]
        for page in where[where != NOWHERE].tolist():
            if not has(self._used, page):
                self._set_used(page, True)

    def model_pages(self, keys):
        """Where the pages that the recording has (bool, one a page) are in the model: bool, one a page, as many.

        A page that is free in the recording, and taken in the model, is the one that is taken in its place there.
        O(pages).
        """
        present = np.zeros(self.pages, np.bool_)
        key_of = np.full(self.pages, NOWHERE, np.uint32)
        page: cython.Py_ssize_t
        k: cython.Py_ssize_t
        _keys, _present, _key_of = uchars(keys), uchars(present), uints(key_of)
        with cython.nogil:
            for k in range(self.pages):
                if self._map[k] != NOWHERE:
                    _key_of[self._map[k]] = k
            for k in range(self.pages):
                if _keys[k]:
                    page = self._map[k]
                    if page == NOWHERE:
                        page = k
                        while _key_of[page] != NOWHERE:
                            page = _key_of[page]
                    _present[page] = 1
        return present

    @property
    def anomalies(self):
        """How often each thing happened that can't be replayed as it stands."""
        return {ANOMALY_NAMES[k]: self._anomalies[k] for k in range(ANOMALIES) if self._anomalies[k]}

    # Make the zone that holds the block the present one, and the CPU's lists of it; false if there is none.
    def _enter(self, pfn, order, cpu):
        if not (
            self._zone.start_pfn <= pfn
            and pfn + block_pages(order) <= self._zone.start_pfn + self._zone._pages
            and (self.zone_events or (cpu == self._cpu and self._pcp is not None))
        ):
            return self._enter_another(pfn, order, cpu)
        self._zone._now = self.now
        return True

    # On its own: a function that has Python objects takes the GIL whenever it is called.
    def _enter_another(self, pfn, order, cpu):
        found: cython.bint = False
        with cython.gil:
            for index, zone in enumerate(self.zones):
                if zone.start_pfn <= pfn and pfn + (1 << order) <= zone.start_pfn + zone.pages:
                    self._zone = zone
                    self._zone._now = self.now
                    self._pcp = self._pcps.get((index, cpu))
                    self._cpu = cpu
                    found = self.zone_events or self._pcp is not None
                    break
        return found

    # The guest uses a page from now on, or does no more.
    @cython.cfunc
    @cython.inline
    @cython.nogil
    @cython.exceptval(check=False)
    def _set_used(self, page: cython.Py_ssize_t, used: cython.bint) -> cython.void:
        self._mark_used(page, used)
        if self._best is not None:
            if used:
                self._best._allocated(page, self.now)
            else:
                self._best._freed(page, self.now)

    # A block is off the zone's lists from now on, or is back there.
    @cython.cfunc
    @cython.inline
    @cython.nogil
    @cython.exceptval(check=False)
    def _set_taken(self, page: cython.Py_ssize_t, pages: cython.Py_ssize_t, taken: cython.bint) -> cython.void:
        self._mark(self._taken, page, pages, taken)
        if self._best is not None:
            if taken:
                self._best._took(page, pages, self.now)
            else:
                self._best._gave(page, pages, self.now)

    # Whether the model has a block's pages as one block.
    def _contiguous(self, pfn, order):
        first: cython.Py_ssize_t = self._map[pfn]
        k: cython.Py_ssize_t
        if first == NOWHERE or first & (block_pages(order) - 1):
            return False
        for k in range(1, block_pages(order)):  # noqa: SIM110  (no generator where there is no GIL)
            if self._map[pfn + k] != first + k:
                return False
        return True

    def _touch(self, pfn, order):
        k: cython.Py_ssize_t
        if self._contiguous(pfn, order):
            self._touch_block(self._map[pfn], order)
            self._changed(self._map[pfn], block_pages(order))
            self._write(self._map[pfn], block_pages(order))
            return
        for k in range(pfn, pfn + block_pages(order)):
            if self._map[k] != NOWHERE:
                self._touch_block(self._map[k], 0)
                self._changed(self._map[k], 1)
                self._write(self._map[k], 1)

    # A block leaves the zone's lists. Returns STALLED if there is none, but some are in flight.
    def _take(self, pfn, order, migratetype, how):
        zone_pfn: cython.Py_ssize_t = pfn - self._zone.start_pfn
        i: cython.Py_ssize_t = -1
        k: cython.Py_ssize_t
        lost: cython.bint = False
        late: cython.bint = False
        for k in range(pfn, pfn + block_pages(order)):
            if self._map[k] != NOWHERE:
                if self._contiguous(pfn, order):
                    self._anomalies[TAKEN_TWICE] += 1
                    return AT_END
                lost = True
        if lost:
            self._give_lost(pfn, order)
        if migratetype == CMA and self._has_cma(order):
            migratetype = HIGHATOMIC
        elif migratetype > RECLAIMABLE:
            migratetype = MOVABLE
        if how == ISOLATION and self._zone._isolate_block(zone_pfn, order):
            i = zone_pfn
        elif self.recorded:
            if self._take_recorded(zone_pfn, order, migratetype):
                i = zone_pfn
        elif (how == BY_PLACE and self._zone._take_block(zone_pfn, order, migratetype)) or (
            self._agreed < AGREED and self._follow(zone_pfn, order, migratetype)
        ):
            i = zone_pfn
        elif self.zone_events:
            # Mostly the recorded block is its list's first, and nothing is on its way.
            if self._on_the_way.count or self._zone._first(order, migratetype) != zone_pfn:
                if self._on_the_way.has_any:
                    late = self._on_the_way._wait(
                        self._zone, self._columns, self._row, self._k, zone_pfn, order, migratetype
                    )
                if self._has_last_freed and order == 0:
                    self._pass_over(zone_pfn, order, migratetype)
                if not self._keeps_types and self._zone._first_fit(order, migratetype) < 0:
                    i = self._fall_back_as_told(zone_pfn, order, migratetype)
            if i < 0:
                i = alloc_next(self._zone, order, migratetype) if how == NEXT else self._zone._alloc(order, migratetype)
            if late:
                self._on_the_way._redo_held(self._zone, self._row + self._k)
        else:
            i = self._pcp._alloc(order, migratetype)
            if i < 0 and not self._zone._in_flight_pages:
                self._drain_all()
                i = self._pcp._alloc(order, migratetype)
        if i < 0:
            if self._zone._in_flight_pages and not self._give_up:
                return STALLED
            if order > 0 and self.zone_events and not self.recorded:
                self._anomalies[IN_PIECES] += 1
                how = ISOLATION if how == ISOLATION else BY_PLACE
                self._take(pfn, order - 1, migratetype, how)
                return self._take(pfn + block_pages(order - 1), order - 1, migratetype, how)
            self._anomalies[FAILED_HERE] += 1
            return AT_END
        self.placed += 1
        self.placed_as_recorded += i == zone_pfn
        self._zone.nr_alloc += 1
        i += self._zone.start_pfn
        for k in range(block_pages(order)):
            self._map[pfn + k] = i + k
        self._set_taken(i, block_pages(order), True)
        if self.touch_zone_alloc:
            self._touch(pfn, order)
        return AT_END

    # Its event tells what a fallback did: of a claim, behind the page's departure; of a page alone, it is that. Or -1.
    def _fall_back_as_told(self, i, order, migratetype):
        k: cython.Py_ssize_t = self._k
        alone: cython.bint = self._columns._events[k] == EXTFRAG
        found: cython.int
        kind: cython.int
        if not alone:
            k = self._on_the_way._next_on_cpu(self._columns, k)
            if k < 0 or self._columns._events[k] != EXTFRAG or self._columns._pfns[k] != self._columns._pfns[self._k]:
                return -1
        found = self._columns._details[k] & 0xFF
        kind = self._columns._details[k] >> 8 & 0xFF
        if found >= self._zone.pageblock_order or kind > RECLAIMABLE or alone == (self._columns._details[k] >> 16 & 1):
            return -1
        if alone:
            return take_told(self._zone, i, order, migratetype)
        return claim_told(self._zone, i, order, migratetype, found, kind)

    def _note_last_free(self, pfn, order):
        row: cython.Py_ssize_t = self._row + self._k
        while self._last_rows[self._last_row] < row:
            self._last_row += 1
        if self._last_rows[self._last_row] == row and order == 0:
            self._last_freed[pfn] = 1
            self._has_last_freed = True

    # A single page that is free, and not taken though it is the first: its buddy came too, and they merged.
    def _pass_over(self, i, order, migratetype):
        first: cython.Py_ssize_t = self._zone._first(0, migratetype)
        buddy: cython.Py_ssize_t
        while first >= 0 and first != i:
            buddy = (first + self._zone.start_pfn) ^ 1
            if not 0 <= buddy - self._zone.start_pfn < self._zone._pages or not self._last_freed[buddy]:
                return
            if self._map[buddy] != buddy or has(self._used, buddy):
                return
            self._give(buddy, 0, False, NO_TYPE)
            first = self._zone._first(0, migratetype)

    # What is free in contiguous areas, which movable pages are lent, stands on the atomic reserve's lists. CPUs' lists
    # of the model's own have none for it.
    def _has_cma(self, order):
        return self.zone_events and self._zone._first_fit(order, HIGHATOMIC) >= 0

    # Take the recorded block instead of the first that fits, until enough in a row have been the same.
    def _follow(self, i, order, migratetype):
        self.followed += 1
        if self._zone._first_fit(order, migratetype) == i:
            self._agreed += 1
            return False
        self._agreed = 0
        return self._zone._take_block(i, order, migratetype)

    # The recorded block. Where CPUs' lists are the model's own, it is on one, which is refilled first where it is
    # empty, or the zone's, to which then goes what of it lies on lists as other blocks.
    def _take_recorded(self, i, order, migratetype):
        k: cython.Py_ssize_t = i
        head: cython.Py_ssize_t
        lies: cython.int
        if not self.zone_events:
            self._pcp._refill_if_empty(order, migratetype)
            if self._take_off_lists(i, order):
                return True
            while k < i + block_pages(order):
                head = self._zone._head_of(k)
                lies = self._zone._state[head] & ORDER
                if self._take_off_lists(head, lies):
                    self._zone._free(head, lies, ORDINARY)
                k = max(k, head + block_pages(lies) - 1) + 1
        return self._zone._take_block(i, order, migratetype)

    # Mostly it is the CPU's own list.
    def _take_off_lists(self, i, order):
        if self._zone._state[i] & KIND != PCP:
            return False
        return self._pcp._take_off(i, order) or self._take_off_another(i, order)

    def _take_off_another(self, i, order):
        taken: cython.bint = False
        with cython.gil:
            for lists in self._pcps.values():
                pcp: PerCpuLists = lists
                if pcp.buddy is self._zone and pcp._take_off(i, order):
                    taken = True
                    break
        return taken

    # As direct reclaim does where nothing is free.
    def _drain_all(self):
        with cython.gil:
            for lists in self._pcps.values():
                pcp: PerCpuLists = lists
                if pcp.buddy is self._zone:
                    pcp._drain_all()

    # A block is taken over pages that are somewhere else in the model: that they came back was lost.
    def _give_lost(self, pfn, order):
        k: cython.Py_ssize_t
        self._anomalies[TAKEN_TWICE] += 1
        for k in range(pfn, pfn + block_pages(order)):
            if self._map[k] != NOWHERE:
                self._give(k, 0, False, NO_TYPE)

    # A block comes back to the zone's lists: whole if the model has it as one block, else page by page. To those of
    # this type, where it is the recorded block; NO_TYPE: its pageblock's.
    def _give(self, pfn, order, to_tail, migratetype):
        k: cython.Py_ssize_t
        if order > 0 and not self._contiguous(pfn, order):
            for k in range(pfn, pfn + block_pages(order)):
                self._give(k, 0, to_tail, migratetype)
            return
        page: cython.Py_ssize_t = self._map[pfn]
        if page == NOWHERE:
            self._anomalies[DRAINED_FREE] += 1
            return
        i: cython.Py_ssize_t = page - self._zone.start_pfn
        if not 0 <= i < self._zone._pages:
            return
        if not to_tail and not self.zone_events and self._zone._join_used(i, order):
            self._pcp._free(i, order)
        elif not self._zone._free_used(
            i, order, migratetype if page == pfn else NO_TYPE, AT_TAIL if to_tail else ORDINARY
        ):
            self._anomalies[DRAINED_FREE] += 1
            return
        self._zone.nr_free_ops += 1
        for k in range(block_pages(order)):
            self._map[pfn + k] = NOWHERE
            # Its free was lost.
            if has(self._used, page + k):
                self._set_used(page + k, False)
        self._set_taken(page, block_pages(order), False)

    def _allocated(self, pfn, order):
        k: cython.Py_ssize_t
        page: cython.Py_ssize_t
        missing: cython.bint = False
        twice: cython.bint = False
        for k in range(pfn, pfn + block_pages(order)):
            page = self._map[k]
            if page == NOWHERE:
                missing = True
            elif has(self._used, page):
                twice = True
            else:
                self._set_used(page, True)
        self._anomalies[NOT_PLACED] += missing
        self._anomalies[ALLOCATED_TWICE] += twice
        if self.touch_alloc:
            self._touch(pfn, order)

    # Nobody had allocated what boot frees.
    def _freed(self, pfn, order, by_boot):
        k: cython.Py_ssize_t
        page: cython.Py_ssize_t
        missing: cython.bint = False
        bulk: cython.bint = False
        at: cython.uint = max((self.now // 1000000) & MOST_MS, 1)
        if self.touch_free:
            self._touch(pfn, order)
        for k in range(pfn, pfn + block_pages(order)):
            page = self._map[k]
            if page == NOWHERE:
                missing = True
                continue
            if has(self._used, page):
                self._set_used(page, False)
            else:
                bulk = True
            self._freed_at[page] = at
        self._anomalies[FREED_UNALLOCATED] += missing
        self._anomalies[ALLOCATED_IN_BULK] += bulk and not by_boot

    # In a recording without zone events, per-CPU lists are the model's own: their pages count as taken for a moment.
    def _mark_pcps(self, value):
        pcp: PerCpuLists
        zone: Zone
        flag: cython.bint = value
        which: cython.int
        j: cython.Py_ssize_t
        i: cython.Py_ssize_t
        for (index, _), lists in self._pcps.items():
            pcp, zone = lists, self.zones[index]
            for which in range(PCP_LISTS):
                for j in range(pcp._length[which]):
                    i = pcp._ring[which][(pcp._first[which] + j) & pcp._mask[which]]
                    self._mark(self._taken, i + zone.start_pfn, block_pages(zone._state[i] & ORDER), flag)

    def free_resident(self):
        """As `Pages.free_resident`; where the per-CPU lists are the model's own, their pages count as per-CPU too."""
        self._mark_pcps(True)
        counts = Pages.free_resident(self)
        self._mark_pcps(False)
        return counts
