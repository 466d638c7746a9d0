"""The inner loop of a replay: events of a recording applied to zones and to the host's backing."""

import cython
import numpy as np

from pagehint.replays.columns import COLUMNS
from pagehint.replays.scan import CPUS
from pagehint.replays.ties import Ties

if not cython.compiled:
    from pagehint.host.backing import Backing
    from pagehint.mm.page import HINTED, LISTS, MOVABLE, block_pages, page_of
    from pagehint.mm.zone import Zone
    from pagehint.pointers import longlongs, uchars
    from pagehint.replays.columns import (
        ALLOC,
        CMA,
        EXTFRAG,
        FREED,
        ISOLATED,
        ISOLATING,
        PCPU_DRAIN,
        ZONE_ALLOC,
    )
    from pagehint.replays.list_searches import ListSearches
    from pagehint.replays.pages import MOST_MS, NOWHERE, has
    from pagehint.replays.placing import (
        AT_END,
        AT_TIME,
        BEYOND_ORDER,
        BY_PLACE,
        FAILED_IN_GUEST,
        FIRST_FIT,
        FREED_UNALLOCATED,
        ISOLATION,
        NEXT,
        NO_TYPE,
        OUTSIDE,
        RANG,
        STALLED,
        Placing,
    )
    from pagehint.replays.refills import NEVER
    from pagehint.replays.scan import BOOT, COMPACTED, ONLINE, SCANNED, TOLD

    AT_ONCE = 5 * 10**6
    INFLATED_AT_ONCE = 256


__all__ = ["LONGEST_WAIT", "Engine"]

LONGEST_WAIT = 200 * 10**9


@cython.final
@cython.cclass
class Engine(Placing):
    """Applies events to `zones` and `backing`: `Placing` says what else it is given. `verdicts`: what a Scan found.
    `ties`: rows of several CPUs' events at one instant (`Ties`).

    The caller's thread is alone with the zones and the backing while it runs.
    """

    def __init__(self, zones, backing: Backing, pages, recorded, pcps, verdicts, ties, follows=False):
        super().__init__(zones, backing, pages, recorded, pcps, follows)
        self.zone_level = False
        self._refills = None
        self._next_use = NEVER
        self._max_order = zones[0].max_order
        self._most_wait = LONGEST_WAIT // 10**6
        self.waits = np.zeros(self._most_wait + 1, np.int64)
        self._verdict_arrays = np.append(verdicts[0], -1), np.append(verdicts[1], np.uint8(0)), verdicts[2].copy()
        self._v = 0
        self.resident_time = self.used_time = 0.0
        self.turned = 0
        self._started = False
        self._refilling = -1
        self._isolating_array = np.full(CPUS, -1, np.int64)
        self._inflated_count = 0
        self._searches = ListSearches(self.mapped)
        self.several_cpus = True
        self.moves_to(np.zeros((0, 3), np.int64))
        self.go_offline(np.zeros((0, 4), np.int64))
        self._g = self._o = 0
        self._waits = longlongs(self.waits)
        self._verdict_rows = longlongs(self._verdict_arrays[0])
        self._verdicts = uchars(self._verdict_arrays[1])
        self._blocks = longlongs(self._verdict_arrays[2])
        self._isolating = longlongs(self._isolating_array)
        if not cython.compiled:
            self._inflated = [0] * INFLATED_AT_ONCE
            self._is_pcp = [False] * 32
        self._is_pcp[0] = True
        if zones[0].profile.pcp_above_order_0:
            for order in (1, 2, 3, zones[0].pageblock_order):
                self._is_pcp[order] = True
        self._ties = Ties(ties, *self._verdict_arrays, [bool(self._is_pcp[order]) for order in range(32)])

    # The state at the start

    def moves_to(self, given_back):
        """Compaction moved pages to all that it took, but what it gave back: int64 (blocks, 3), as a Scan says it."""
        self._given_array = np.append(given_back, [[NEVER, 0, 0]], axis=0)
        self._given = longlongs(self._given_array)

    def go_offline(self, blocks):
        """These blocks are gone from their times (ns, ascending) on: int64 (blocks, 4), as `Hotplug.gone`."""
        self._offline_array = np.append(blocks, [[NEVER, 0, 0, 0]], axis=0)
        self._offline = longlongs(self._offline_array)

    def at_zone_level(self, refills):
        """Allocations and frees of small orders were not recorded: what `refills` brought is used as they say."""
        self.zone_level = True
        self._refills = refills

    def lay_used(self, pfns, lists):
        """At zone level, these blocks lie on lists: see `Refills.lay`. But those of which a page is somewhere else."""
        blocks = zip(pfns.tolist(), lists.tolist(), strict=True)
        still = np.array([self._is_in_place(pfn, self._refills._order(which)) for pfn, which in blocks], np.bool_)
        for pfn, order in self._refills.lay(pfns[still], lists[still], self.now):
            self._next_use = self.now
            for page in range(pfn, pfn + (1 << order)):
                self._set_used(page, False)

    def _is_in_place(self, pfn, order):
        return self._map[pfn] == pfn and self._enter(pfn, order, self._cpu) and self._contiguous(pfn, order)

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
            if page != NOWHERE and not has(self._used, page):
                self._set_used(page, True)
            if self.touch_alloc:
                self._touch(pfn, 0)
            pfn += 1

    # Nobody has what went offline; its host may have taken it. What was freed last went past CPUs' lists,
    # as its pageblock was isolated; at zone level there may be no event of that.
    def _go_offline(self, pfn, order, taken):
        k: cython.Py_ssize_t
        if not self._enter(pfn, order, self._cpu):
            return
        if not self._contiguous(pfn, order) or not has(self._used, self._map[pfn]):
            for k in range(pfn, pfn + block_pages(order)):
                if self._map[k] != NOWHERE:
                    self._give(k, 0, False, NO_TYPE)
            if self._take(pfn, order, MOVABLE, ISOLATION) == STALLED:
                return
        for k in range(pfn, pfn + block_pages(order)):
            if self._map[k] != NOWHERE:
                if not has(self._used, self._map[k]):
                    self._set_used(self._map[k], True)
                if taken:
                    self._withdraw_page(self._map[k])

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
        ended: cython.int = AT_END
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
        if kind == PCPU_DRAIN:
            self._drain_event(k, pfn, order)
        elif kind == ALLOC:
            ended = self._alloc_event(k, pfn, order, verdict)
        elif kind in (ISOLATED, EXTFRAG, ZONE_ALLOC):
            ended = self._take_event(k, kind, pfn, order, cpu, verdict)
        else:
            self._free_event(k, kind, pfn, order, cpu, verdict)
        if ended == STALLED and verdict:
            self._v -= 1
        return ended

    # A CPU's list gives a block back.
    def _drain_event(self, k, pfn, order):
        keeps: cython.bint = self._keeps_types and self._columns._types[k] != CMA
        late: cython.bint
        if self.zone_level and self._was_used(pfn, order, True):
            self._freed(pfn, order, True)
        if not self.zone_events:
            return
        late = self._on_the_way.count > 0 and self._on_the_way._wait_for_lock(
            self._zone, self._columns, self._row, k, self._on_the_way._before_on_cpu(self._columns, k)
        )
        self._give(pfn, order, False, self._columns._types[k] if keeps else NO_TYPE)
        if late:
            self._on_the_way._redo_held(self._zone, self._row + k)

    # A block is in use from now on.
    def _alloc_event(self, k, pfn, order, verdict):
        ended: cython.int = AT_END
        if not self.zone_events:
            ended = self._take(pfn, order, self._columns._types[k], FIRST_FIT)
        elif self._map[pfn] == NOWHERE:
            # It never was on a list: compaction captured it as it was freed.
            ended = self._take(pfn, order, self._columns._types[k], BY_PLACE)
        elif self.zone_level:
            self._was_used(pfn, order, False)
            return AT_END
        if ended != STALLED:
            self._allocated(pfn, order)
            if verdict:
                self._inflate(pfn, order, verdict == TOLD)
        return ended

    # A block is in use no more. Where a CPU puts what it freed on its list (BATCHED), a verdict says what it left out.
    def _free_event(self, k, kind, pfn, order, cpu, verdict):
        to_tail: cython.bint = verdict in (BOOT, ONLINE)
        if kind == FREED:
            if not self.zone_events and self._map[pfn] == NOWHERE:
                self._anomalies[FREED_UNALLOCATED] += 1
                return
            if self.zone_level:
                self._was_used(pfn, order, False)
            self._freed(pfn, order, to_tail)
            if self._last_rows[self._last_row] <= self._row + k:
                self._note_last_free(pfn, order)
        if verdict or not self.zone_events or not self._is_pcp[order]:
            if self.several_cpus and kind == FREED and not to_tail and self.zone_events and not self.recorded:
                self._frees_straight(pfn, order, cpu)
            self._give(pfn, order, to_tail, NO_TYPE)

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
            while self._offline[self._o] < self._columns._times[self._k]:
                self._go_offline(self._offline[self._o + 1], self._offline[self._o + 2], self._offline[self._o + 3])
                self._o += 4
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
        at: cython.uint = max((self.now // 1000000) & MOST_MS, 1)
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
                        wait = (at - self._freed_at[page]) & MOST_MS
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
