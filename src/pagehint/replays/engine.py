"""The inner loop of a replay: events of a recording applied to zones and to the host's backing.

A recorded page is a key: ``_map`` says which page of the model it is now. Where the model chooses the pages, keys and
pages differ; with recorded placement they are the same. Two sets of model pages, a bit each, say where a page is:
``taken`` (off the buddy lists), and of those ``used`` (by the guest; the others are on per-CPU lists).
"""

import cython
import numpy as np

from pagehint.replays.columns import COLUMNS
from pagehint.replays.scan import CPUS, NO_ROWS
from pagehint.replays.ties import Ties

if cython.compiled:
    from cython.cimports.pagehint.host.backing import Backing
    from cython.cimports.pagehint.mm.fallback import alloc_next, claim_told, take_told
    from cython.cimports.pagehint.mm.page import (
        HIGHATOMIC,
        HINTED,
        KIND,
        LISTS,
        MOVABLE,
        ORDER,
        PCP,
        RECLAIMABLE,
        block_pages,
        page_of,
    )
    from cython.cimports.pagehint.mm.pcp import PCP_LISTS, PerCpuLists
    from cython.cimports.pagehint.mm.zone import Zone
    from cython.cimports.pagehint.replays.columns import (
        ALLOC,
        CMA,
        EXTFRAG,
        FREED,
        ISOLATED,
        ISOLATING,
        PCPU_DRAIN,
        ZONE_ALLOC,
        Columns,
    )
    from cython.cimports.pagehint.replays.engine import (
        AGREED,
        ALLOCATED_IN_BULK,
        ALLOCATED_TWICE,
        ANOMALIES,
        AT_END,
        AT_ONCE,
        AT_TIME,
        BEYOND_ORDER,
        BY_PLACE,
        DRAINED_FREE,
        FAILED_HERE,
        FAILED_IN_GUEST,
        FIRST_FIT,
        FREED_UNALLOCATED,
        IN_PIECES,
        INFLATED_AT_ONCE,
        ISOLATION,
        NEXT,
        NO_TYPE,
        NOT_PLACED,
        OUTSIDE,
        RANG,
        STALLED,
        TAKEN_TWICE,
    )
    from cython.cimports.pagehint.replays.list_searches import ListSearches
    from cython.cimports.pagehint.replays.observers.best_possible import BestPossible
    from cython.cimports.pagehint.replays.on_the_way import OnTheWay
    from cython.cimports.pagehint.replays.pages import NOWHERE, Pages, has
    from cython.cimports.pagehint.replays.refills import NEVER
    from cython.cimports.pagehint.replays.scan import BOOT, COMPACTED, SCANNED, STARTS_USED, TOLD
else:
    from pagehint.host.backing import Backing
    from pagehint.kernel.migratetype import Migratetype
    from pagehint.mm.fallback import alloc_next, claim_told, take_told
    from pagehint.mm.page import HINTED, KIND, LISTS, ORDER, PCP, block_pages, page_of
    from pagehint.mm.pcp import PCP_LISTS, PerCpuLists
    from pagehint.mm.zone import Zone
    from pagehint.replays.columns import (
        ALLOC,
        CMA,
        EXTFRAG,
        FREED,
        ISOLATED,
        ISOLATING,
        PCPU_DRAIN,
        ZONE_ALLOC,
        Columns,
    )
    from pagehint.replays.list_searches import ListSearches
    from pagehint.replays.observers.best_possible import BestPossible
    from pagehint.replays.on_the_way import OnTheWay
    from pagehint.replays.pages import NOWHERE, Pages, has
    from pagehint.replays.refills import NEVER
    from pagehint.replays.scan import BOOT, COMPACTED, SCANNED, STARTS_USED, TOLD

    MOVABLE, RECLAIMABLE, HIGHATOMIC = map(int, (Migratetype.MOVABLE, Migratetype.RECLAIMABLE, Migratetype.HIGHATOMIC))
    AT_END, AT_TIME, RANG, STALLED = range(4)
    FIRST_FIT, NEXT, BY_PLACE, ISOLATION = range(4)
    AGREED = 10000
    AT_ONCE = 5 * 10**6
    INFLATED_AT_ONCE = 256
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


__all__ = ["ANOMALY_NAMES", "Engine"]

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


@cython.final
@cython.cclass
class Engine(Pages):
    """Applies events to `zones` and `backing`. `pcps[zone index, cpu]`: per-CPU lists, for a recording that has no
    zone events. `verdicts`: what a Scan found. `ties`: rows of several CPUs' events at one instant (`Ties`).
    `recorded`: blocks stay where they were; `follows`: after compaction they do until the lists agree with the
    recording again.

    The caller's thread is alone with the zones and the backing while it runs.
    """

    def __init__(self, zones, backing: Backing, pages, recorded, pcps, verdicts, ties, follows=False):
        super().__init__(backing, pages)
        self.zones = list(zones)
        self.recorded = recorded
        self.follows = follows
        self.zone_events = not pcps
        # What a CPU's list got keeps the type of then; from 6.10 on it has its pageblock's.
        self._keeps_types = zones[0].profile.fallback == "moving"
        self.zone_level = False
        self._refills = None
        self._next_use = NEVER
        self._pcps = dict(pcps)
        self.touch_alloc = True
        self.touch_zone_alloc = self.touch_free = False
        self._max_order = zones[0].max_order
        self.mapped = np.full(pages, NOWHERE, np.uint32)
        self._freed_at_array = np.zeros(pages, np.uint32)
        self.waits = np.zeros(200_001, np.int64)
        self._most_wait = 200_000
        self._verdict_arrays = np.append(verdicts[0], -1), np.append(verdicts[1], np.uint8(0)), verdicts[2].copy()
        self._k = self._row = self._v = 0
        self.now = self.placed = self.placed_as_recorded = 0
        self.resident_time = self.used_time = 0.0
        self.turned = self.followed = 0
        self._agreed = AGREED
        self._started = self._give_up = False
        self._cpu = self._refilling = -1
        self._isolating_array = np.full(CPUS, -1, np.int64)
        self._inflated_count = 0
        self._columns = Columns()
        self._searches = ListSearches(self.mapped)
        self._on_the_way = OnTheWay()
        self._last_freed_array = np.zeros(pages, np.uint8)
        self._has_last_freed = False
        self.several_cpus = True
        self._last_row = 0
        self.may_come_straight(NO_ROWS[0])
        self.moves_to(np.zeros((0, 3), np.int64))
        self._g = 0
        if cython.compiled:
            self._map = cython.cast(cython.p_uint, cython.cast(cython.size_t, self.mapped.ctypes.data))
            self._freed_at = cython.cast(cython.p_uint, cython.cast(cython.size_t, self._freed_at_array.ctypes.data))
            self._waits = cython.cast(cython.p_longlong, cython.cast(cython.size_t, self.waits.ctypes.data))
            self._last_freed = cython.cast(
                cython.p_uchar, cython.cast(cython.size_t, self._last_freed_array.ctypes.data)
            )
            self._verdict_rows = cython.cast(
                cython.p_longlong, cython.cast(cython.size_t, self._verdict_arrays[0].ctypes.data)
            )
            self._verdicts = cython.cast(
                cython.p_uchar, cython.cast(cython.size_t, self._verdict_arrays[1].ctypes.data)
            )
            self._blocks = cython.cast(
                cython.p_longlong, cython.cast(cython.size_t, self._verdict_arrays[2].ctypes.data)
            )
            self._isolating = cython.cast(
                cython.p_longlong, cython.cast(cython.size_t, self._isolating_array.ctypes.data)
            )
        else:
            self._map, self._freed_at = memoryview(self.mapped), memoryview(self._freed_at_array)
            self._waits = memoryview(self.waits)
            self._last_freed = memoryview(self._last_freed_array)
            self._verdict_rows, self._verdicts, self._blocks = map(memoryview, self._verdict_arrays)
            self._anomalies = [0] * ANOMALIES
            self._isolating = memoryview(self._isolating_array)
            self._inflated = [0] * INFLATED_AT_ONCE
            self._is_pcp = [False] * 32
        self._is_pcp[0] = True
        if zones[0].profile.pcp_above_order_0:
            for order in (1, 2, 3, zones[0].pageblock_order):
                self._is_pcp[order] = True
        self._ties = Ties(ties, *self._verdict_arrays, [bool(self._is_pcp[order]) for order in range(32)])
        self._zone = self.zones[0]
        self._pcp = None
        self._best = None

    # The state at the start

    def start_from(self, states):
        """Pages are where the recording has them: uint8 a page, of which USED_AT_START and PER_CPU_AT_START count."""
        pfn: cython.Py_ssize_t
        if cython.compiled:
            kinds = cython.cast(cython.p_uchar, cython.cast(cython.size_t, states.ctypes.data))
        else:
            kinds = memoryview(states)
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
        if cython.compiled:
            self._last_rows = cython.cast(
                cython.p_longlong, cython.cast(cython.size_t, self._last_rows_array.ctypes.data)
            )
        else:
            self._last_rows = memoryview(self._last_rows_array)

    def moves_to(self, given_back):
        """Compaction moved pages to all that it took, but what it gave back: int64 (blocks, 3), as a Scan says it."""
        self._given_array = np.append(given_back, [[NEVER, 0, 0]], axis=0)
        if cython.compiled:
            self._given = cython.cast(cython.p_longlong, cython.cast(cython.size_t, self._given_array.ctypes.data))
        else:
            self._given = memoryview(self._given_array.reshape(-1))

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
                self._zone._free(i, order, True)
            self._mark(self._taken, pfn, block_pages(order), False)
            for k in range(pfn, pfn + block_pages(order)):
                self._map[k] = NOWHERE

    def at_zone_level(self, refills):
        """Allocations and frees of small orders were not recorded: what `refills` brought is used as they say."""
        self.zone_level = True
        self._refills = refills

    def lay_used(self, pfns, lists):
        """At zone level, these blocks, which count as used, lie on lists: see `Refills.lay`."""
        still = self.mapped[pfns] == pfns
        for pfn, order in self._refills.lay(pfns[still], lists[still], self.now):
            self._next_use = self.now
            for page in range(pfn, pfn + (1 << order)):
                self._set_used(page, False)

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
        if cython.compiled:
            _keys = cython.cast(cython.p_uchar, cython.cast(cython.size_t, keys.ctypes.data))
            _present = cython.cast(cython.p_uchar, cython.cast(cython.size_t, present.ctypes.data))
            _key_of = cython.cast(cython.p_uint, cython.cast(cython.size_t, key_of.ctypes.data))
        else:
            _keys, _present, _key_of = memoryview(keys), memoryview(present), memoryview(key_of)
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

    # Events

    def load(self, batch):
        """The next events: a dict of the columns COLUMNS."""
        arrays = [batch[name] for name in COLUMNS]
        self._row += self._columns.count
        self._k = 0
        arrays, self._tied = self._ties.load(arrays, self._row)
        self._columns.load(arrays)

    def run(self, until, give_up=False):
        """Apply events before time `until`. Returns AT_END (of this batch), AT_TIME, RANG (the event before notified:
        `now` is its time), or STALLED (the next one found nothing while blocks are in flight; `give_up` goes past it).
        """
        ended: cython.int
        last: cython.longlong = until
        self._give_up = give_up
        with cython.nogil:
            ended = self._run(last)
        return ended

    def pass_time(self, now):
        """Go on to a time without events."""
        self._pass_time(now)

    def end_frees(self):
        """The last event is over: what was on its way to a zone is there."""
        self._end_frees(-1)

    @property
    def next_time(self):
        """The time of the next change by this batch's events; where there is none, the present time."""
        return min(self._columns._times[self._k], self._next_use) if self._k < self._columns.count else self.now

    @property
    def anomalies(self):
        """How often each thing happened that can't be replayed as it stands."""
        return {ANOMALY_NAMES[k]: self._anomalies[k] for k in range(ANOMALIES) if self._anomalies[k]}

    def ring(self):
        """Ring the doorbell that the last event rang."""
        if self._zone._rings():
            self._zone._ring_doorbell()

    def _pass_time(self, now):
        span: cython.longlong = now - self.now
        if self._started and span > 0:
            self.resident_time += cython.cast(cython.double, self.backing.resident) * span
            self.used_time += cython.cast(cython.double, self.used_resident) * span
        if span > 0 or not self._started:
            self.now = now
        self._started = True

    # Of several CPUs' events at this instant, find the one that is next.
    def _untie(self):
        with cython.gil:
            self._tied = self._ties.next(self._k, self._v, self.mapped, self.used, self.zones)
        return 0

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

    # A balloon has the block. Its host takes the memory as it is told of several at once: at the latest of all that a
    # batch holds, as the event of its last one may be lost.
    def _inflate(self, pfn, order, told):
        block: cython.Py_ssize_t
        k: cython.Py_ssize_t
        self._inflated[self._inflated_count] = pfn << 5 | order
        self._inflated_count += 1
        if not told and self._inflated_count < INFLATED_AT_ONCE:
            return
        for block in range(self._inflated_count):
            pfn = self._inflated[block] >> 5
            for k in range(pfn, pfn + block_pages(self._inflated[block] & 31)):
                if self._map[k] != NOWHERE:
                    self._withdraw_page(self._map[k])
        self._inflated_count = 0

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

    # What is free in contiguous areas, which movable pages are lent, stands on the atomic reserve's lists.
    def _has_cma(self, order):
        return self._zone._first_fit(order, HIGHATOMIC) >= 0

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
                    self._zone._free(head, lies, False)
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
        elif not (
            self._zone._free_used_as(i, order, migratetype)
            if migratetype != NO_TYPE and page == pfn
            else self._zone._free_used(i, order, to_tail)
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
        at: cython.uint = max((self.now // 1000000) & NOWHERE, 1)
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

    # Compaction takes a block by its place.
    def _compact(self, pfn, order, looked, source):
        turns: cython.bint = self._searches._takes(self._zone, self._row + self._k, pfn, order, looked, source)
        ended: cython.int = self._take(pfn, order, MOVABLE, ISOLATION)
        if ended != STALLED:
            self._move_to(pfn, pfn + block_pages(order))
        if turns:
            self.turned += 1
            if self.follows:
                self._agreed = 0
        return ended

    # No event tells of the pages that compaction moves to. At zone level, some that it gave back are among them.
    def _move_to(self, pfn, end):
        page: cython.Py_ssize_t
        while self._given[self._g] < self._row + self._k:
            self._g += 3
        while pfn < end:
            if self._given[self._g] == self._row + self._k and self._given[self._g + 1] == pfn:
                pfn += self._given[self._g + 2]
                self._g += 3
                continue
            page = self._map[pfn]
            if page != NOWHERE:
                self._set_used(page, True)
            if self.touch_alloc:
                self._touch(pfn, 0)
            pfn += 1

    def _take_event(self, k, kind, pfn, order, cpu, verdict):
        how: cython.int = FIRST_FIT
        ended: cython.int
        # That what comes from contiguous areas goes to a list, its event does not say.
        refill: cython.bint = (
            kind == EXTFRAG or self._columns._details[k] > 0 or (self.zone_level and self._columns._types[k] == CMA)
        )
        if kind == ISOLATED:
            return self._compact(pfn, order, verdict == COMPACTED, -2 - self._blocks[self._v - 1])
        if not self.zone_events:
            return AT_END
        # A refill is the run of its blocks; a fallback in the middle doesn't say that it belongs to one.
        if self._refilling == cpu and refill:
            how = NEXT
        else:
            self._zone._steals = False
        ended = self._take(pfn, order, self._columns._types[k], how)
        if ended != STALLED:
            self._refilling = cpu if refill else -1
            if self.zone_level:
                self._left_at_zone_level(k, pfn, order, cpu, refill)
        return ended

    # At zone level, what leaves the zone is in use at once, but what a refill brings one after the other, and all of it
    # when its list's next one begins.
    def _left_at_zone_level(self, k, pfn, order, cpu, refill):
        which: cython.Py_ssize_t = -1
        waiting: cython.Py_ssize_t = 0
        self._refills._remove(pfn)  # that it came back was lost
        if refill:
            which = self._refills._list(pfn, cpu, order, self._columns._types[k])
        if which >= 0:
            if not self._refills._begins(which, self._columns._times[k]):
                self._refills._add(which, pfn)
                return
            while waiting >= 0:
                waiting = self._refills._pop(which)
                if waiting >= 0:
                    self._allocated(waiting, order)
            self._next_use = min(self._next_use, self._refills._begin(which, self._columns._times[k]))
        self._allocated(pfn, order)

    # What is on CPUs' lists, and used by now.
    def _use(self):
        k: cython.Py_ssize_t
        which: cython.Py_ssize_t
        pfn: cython.Py_ssize_t
        now: cython.longlong = self._next_use
        self._pass_time(now)
        self._next_use = NEVER
        for k in range(self._refills._refilled_count):
            which = self._refills._refilled[k]
            pfn = 0
            while pfn >= 0:
                pfn = self._refills._use(which, now)
                if pfn >= 0:
                    self._allocated(pfn, self._refills._order(which))
            self._next_use = min(self._next_use, self._refills._due[which])
        self._next_use = max(self._next_use, now + AT_ONCE)

    # Whether what an event names was in use before: not what a refill brought, and is drained as it came.
    def _was_used(self, pfn, order, drained):
        block: cython.Py_ssize_t = self._refills._block_of(pfn)
        brought: cython.int
        if block < 0:
            return True
        brought = self._refills._waits[block] - 1
        self._refills._remove(block)
        if drained and block == pfn and brought == order:
            return False
        self._allocated(block, brought)
        return True

    def _event(self, k):
        kind: cython.int = self._columns._events[k]
        order: cython.int = self._columns._orders[k]
        pfn: cython.Py_ssize_t = self._columns._pfns[k]
        cpu: cython.int = self._columns._cpus[k]
        verdict: cython.int = 0
        ended: cython.int
        keeps: cython.bint
        late: cython.bint
        if self._on_the_way.count:
            self._end_frees(cpu)
        # A refill is under the zone's lock: whatever else its CPU does, it does after it.
        if cpu == self._refilling and kind != ZONE_ALLOC and kind != EXTFRAG:
            self._refilling = -1
        if self._verdict_rows[self._v] == self._row + k:
            verdict = self._verdicts[self._v]
            if self._blocks[self._v] >= 0:
                pfn = self._blocks[self._v] >> 5
                order = self._blocks[self._v] & 31
            self._v += 1
        if kind == ISOLATING:
            self._isolating[cpu] = pfn
            return AT_END
        if kind == ISOLATED:
            if verdict != COMPACTED and verdict != SCANNED:
                return AT_END
            pfn = self._isolating[cpu]
            order = 0
            while block_pages(order) < self._columns._details[k]:
                order += 1
        elif kind != ALLOC and kind != FREED and kind != ZONE_ALLOC and kind != PCPU_DRAIN and verdict == 0:
            return AT_END
        if pfn < 0:
            self._anomalies[FAILED_IN_GUEST] += 1
            return AT_END
        if order >= self._max_order:
            self._anomalies[BEYOND_ORDER] += 1
            return AT_END
        if pfn & (block_pages(order) - 1) or not self._enter(pfn, order, cpu):
            self._anomalies[OUTSIDE] += 1
            return AT_END
        if kind in (ISOLATED, EXTFRAG, ZONE_ALLOC):
            ended = self._take_event(k, kind, pfn, order, cpu, verdict)
            if ended == STALLED and verdict:
                self._v -= 1
            return ended
        if kind == PCPU_DRAIN:
            if self.zone_level and self._was_used(pfn, order, True):
                self._freed(pfn, order, True)
            if self.zone_events:
                keeps = self._keeps_types and self._columns._types[k] != CMA
                late = self._on_the_way.count > 0 and self._on_the_way._wait_for_lock(
                    self._zone, self._columns, self._row, k, self._on_the_way._before_on_cpu(self._columns, k)
                )
                self._give(pfn, order, False, self._columns._types[k] if keeps else NO_TYPE)
                if late:
                    self._on_the_way._redo_held(self._zone, self._row + k)
            return AT_END
        if kind == ALLOC:
            if not self.zone_events:
                ended = self._take(pfn, order, self._columns._types[k], FIRST_FIT)
            elif self._map[pfn] == NOWHERE:
                # It never was on a list: compaction captured it as it was freed.
                ended = self._take(pfn, order, self._columns._types[k], BY_PLACE)
            elif self.zone_level:
                self._was_used(pfn, order, False)
                return AT_END
            else:
                ended = AT_END
            if ended == STALLED:
                self._v -= verdict != 0
                return STALLED
            self._allocated(pfn, order)
            if verdict:
                self._inflate(pfn, order, verdict == TOLD)
            return AT_END
        if kind == FREED:
            if not self.zone_events and self._map[pfn] == NOWHERE:
                self._anomalies[FREED_UNALLOCATED] += 1
                return AT_END
            if self.zone_level:
                self._was_used(pfn, order, False)
            self._freed(pfn, order, verdict == BOOT)
            if self._last_rows[self._last_row] <= self._row + k:
                self._note_last_free(pfn, order)
        if verdict or not self.zone_events or not self._is_pcp[order]:
            if self.several_cpus and kind == FREED and verdict != BOOT and self.zone_events and not self.recorded:
                self._frees_straight(pfn, order, cpu)
            self._give(pfn, order, verdict == BOOT, NO_TYPE)
        return AT_END

    def _frees_straight(self, pfn, order, cpu):
        i: cython.Py_ssize_t = self._map[pfn] - self._zone.start_pfn
        if self._contiguous(pfn, order) and 0 <= i < self._zone._pages:
            self._on_the_way._frees(self._zone, i, order, cpu, self._row + self._k, self.now)

    # What was on its way to a zone until now.
    def _end_frees(self, cpu):
        pfn: cython.Py_ssize_t = self._on_the_way._done(cpu, self.now)
        while pfn >= 0:
            self._enter(pfn, 0, cpu)
            self._on_the_way._end(self._zone)
            pfn = self._on_the_way._done(cpu, self.now)

    def _run(self, until):
        while self._k < self._columns.count:
            while self._next_use < self._columns._times[self._k] and self._next_use < until:
                self._use()
            if self._columns._times[self._k] >= until:
                return AT_TIME
            if self._k == self._tied:
                self._untie()
            self._pass_time(self._columns._times[self._k])
            if self._event(self._k) == STALLED:
                return STALLED
            self._give_up = False
            self._k += 1
            if self._zone._ring:
                return RANG
        return AT_END

    def told(self, pfns: cython.const[cython.longlong][:], orders: cython.const[cython.uchar][:]):
        """A device is being told of these blocks: note how long their resident pages waited since they were freed."""
        block: cython.Py_ssize_t
        page: cython.Py_ssize_t
        end: cython.Py_ssize_t
        wait: cython.uint  # ms, modulo 2**32, as the times of frees are
        at: cython.uint = max((self.now // 1000000) & NOWHERE, 1)
        if not cython.compiled:
            pfns, orders = memoryview(pfns), memoryview(orders)
        with cython.nogil:
            for block in range(pfns.shape[0]):
                page = pfns[block]
                if not 0 <= page < self.pages or orders[block] >= self._max_order:
                    continue
                end = page + block_pages(orders[block])
                if end > self.pages or not self._resident_in(page, orders[block]):
                    continue
                self._changed(page, end - page)
                while page < end:
                    if has(self.backing._backed, page) and self._freed_at[page]:
                        wait = (at - self._freed_at[page]) & NOWHERE
                        self._waits[min(wait, self._most_wait)] += 1
                        self._freed_at[page] = 0
                    page += 1

    # What is free and resident, and where

    def listed(self, index, order):
        """Resident pages of a zone's free blocks of at least `order`: (hinted, not hinted). O(blocks)."""
        zone: Zone = self.zones[index]
        least: cython.int = order
        told: cython.longlong = 0
        untold: cython.longlong = 0
        which: cython.Py_ssize_t
        e: cython.Py_ssize_t
        i: cython.Py_ssize_t
        pages: cython.longlong
        for which in range(LISTS):
            if (which & 31) < least:
                continue
            e = zone._links[2 * which]
            while e != which:
                i = page_of(e)
                pages = self._resident_in(i + zone.start_pfn, which & 31)
                if zone._state[i] & HINTED:
                    told += pages
                else:
                    untold += pages
                e = zone._links[2 * e]
        return told, untold

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
