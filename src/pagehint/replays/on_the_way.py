"""Frees that go straight to a zone, between their event and the zone's lock.

Such an event comes before the free has the lock; what else a list gets or loses is told under it. Until its CPU's next
event the free may still be on its way, while other CPUs take blocks and give some back. It counts as done at once,
and is moved behind what another CPU does where that tells that it was not: in the midst of a refill or a drain, which
hold the lock to their end, or where a list gives the recorded block only without what the free has brought.
"""

import cython

if not cython.compiled:
    from pagehint.mm.page import (
        FREE,
        HINTED,
        KIND,
        LISTS,
        ORDER,
        ORDINARY,
        TYPE_SHIFT,
        USED,
        block_pages,
        entry,
        page_of,
    )
    from pagehint.mm.zone import Zone
    from pagehint.replays.columns import EXTFRAG, PCPU_DRAIN, ZONE_ALLOC, Columns

    MOST, AHEAD, LEVELS, FIELDS, NEVER_WHOLE, NEAR = 16, 8, 16, 4, 31, 256
    LONGEST = 5 * 10**7

__all__ = ["OnTheWay"]


@cython.final
@cython.cclass
class OnTheWay:
    """The latest free of each CPU that went straight to a zone, until the CPU's next event. At most MOST of them: O(1).

    Of each: its CPU, the row behind which it stands, the zone's first pfn, its block and order, and the block that it
    became part of; and of each buddy that it merged with where that stood: its list, and what was before and behind.
    """

    def __init__(self):
        self.count = self._ends = self._next_past = 0
        self.has_any = False
        if not cython.compiled:
            self._cpu, self._row, self._zone, self._block, self._order = ([0] * MOST for _ in range(5))
            self._head, self._whole, self._type, self._before, self._behind = ([0] * MOST for _ in range(5))
            self._is_off, self._is_held, self._time = [False] * MOST, [False] * MOST, [0] * MOST
            self._past_zone, self._past_head, self._past_whole, self._past_type = ([0] * MOST for _ in range(4))
            self._past_count, self._past_ahead = [0] * MOST, [0] * (MOST * AHEAD)
            self._buddies = [0] * (MOST * LEVELS * FIELDS)

    # What a CPU freed before it goes on is done, and so is what was freed long ago (-1: all of it). The pfn of one to
    # `_end`, or -1.
    def _done(self, cpu, now):
        k: cython.int = self.count - 1
        while k >= 0:
            if cpu < 0 or self._cpu[k] == cpu or now - self._time[k] > LONGEST:
                self._ends = k
                return self._zone[k] + self._block[k]
            k -= 1
        return -1

    # It is done; what came to its list since its event may have come before it.
    def _end(self, zone: Zone):
        k: cython.int = self._ends
        head: cython.Py_ssize_t = (self._type[k] << 5) + self._whole[k]
        e: cython.Py_ssize_t
        ahead: cython.int = 0
        at: cython.int
        if self._is_off[k]:
            self._redo(zone, k, 0)
        elif self._time[k] < zone._now and self._is_whole(zone, self._head[k], self._whole[k], self._type[k]):
            at = self._next_past
            e = zone._links[2 * entry(self._head[k]) + 1]
            while e != head and ahead < AHEAD:
                self._past_ahead[at * AHEAD + ahead] = e
                ahead += 1
                e = zone._links[2 * e + 1]
            if ahead and e == head:
                self._past_zone[at], self._past_head[at] = zone.start_pfn, self._head[k]
                self._past_whole[at], self._past_type[at] = self._whole[k], self._type[k]
                self._past_count[at] = ahead
                self._next_past = at + 1 if at + 1 < MOST else 0
        self._drop(k)

    def _is_whole(self, zone: Zone, head, whole, kind):
        return whole != NEVER_WHOLE and zone._state[head] == (FREE | whole | (kind << TYPE_SHIFT))

    # Of what is done: a block that is taken, and stands behind one that may have come before it.
    def _came_later(self, zone: Zone, first, i):
        k: cython.int
        j: cython.int
        head: cython.Py_ssize_t
        for k in range(MOST):
            head = self._past_head[k]
            if not self._past_count[k] or self._past_zone[k] != zone.start_pfn:
                continue
            # It would be taken if it were its list's first, as `first` is now.
            if head != i or (zone._state[first] & ~HINTED) != zone._state[head]:
                continue
            if not self._is_whole(zone, head, self._past_whole[k], self._past_type[k]):
                self._past_count[k] = 0
                continue
            for j in range(self._past_count[k]):
                if self._past_ahead[k * AHEAD + j] == entry(first):
                    zone._unlink(head)
                    zone._add(head, self._past_whole[k], self._past_type[k], False)
                    self._past_count[k] = 0
                    return

    def _drop(self, k):
        j: cython.int
        last: cython.int = self.count - 1
        self.count = last
        if k == last:
            return
        self._cpu[k], self._row[k], self._zone[k] = self._cpu[last], self._row[last], self._zone[last]
        self._block[k], self._order[k], self._time[k] = self._block[last], self._order[last], self._time[last]
        self._is_off[k], self._is_held[k] = self._is_off[last], self._is_held[last]
        self._head[k], self._whole[k], self._type[k] = self._head[last], self._whole[last], self._type[last]
        self._before[k], self._behind[k] = self._before[last], self._behind[last]
        for j in range(LEVELS * FIELDS):
            self._buddies[k * LEVELS * FIELDS + j] = self._buddies[last * LEVELS * FIELDS + j]

    # A block is about to be freed straight to the zone: what it will merge with, and where that stands.
    def _frees(self, zone: Zone, i, order, cpu, row, now):
        k: cython.int = self.count
        if k == MOST or zone._active or zone._isolate_list_pages or zone._nr_isolated:
            return
        self._cpu[k], self._row[k], self._zone[k] = cpu, row, zone.start_pfn
        self._block[k], self._order[k] = i, order
        self._type[k] = zone._types[zone._pageblock(i)]
        self._is_off[k] = self._is_held[k] = False
        self._time[k] = now
        if self._look(zone, k):
            self.count += 1
            self.has_any = True

    # False where undoing it would take more than to bring its buddies back.
    def _look(self, zone: Zone, k):
        buddy: cython.Py_ssize_t
        i: cython.Py_ssize_t = self._block[k]
        order: cython.int = self._order[k]
        at: cython.Py_ssize_t
        while order < zone.pageblock_order:
            buddy = ((i + zone._lo) ^ block_pages(order)) - zone._lo
            if not 0 <= buddy < zone._pages or (zone._state[buddy] & (KIND | ORDER)) != (FREE | order):
                self._head[k], self._whole[k] = i, order
                return True
            if zone._state[buddy] & HINTED:
                return False
            at = (k * LEVELS + order) * FIELDS
            self._buddies[at] = buddy
            self._buddies[at + 1] = zone._state[buddy] >> TYPE_SHIFT
            self._buddies[at + 2] = zone._links[2 * entry(buddy) + 1]
            self._buddies[at + 3] = zone._links[2 * entry(buddy)]
            i = min(i, buddy)
            order += 1
        return False

    # Take it off the lists, where nothing has become of it since.
    def _undo(self, zone: Zone, k):
        order: cython.int = self._whole[k]
        head: cython.Py_ssize_t = self._head[k]
        at: cython.Py_ssize_t
        if zone._active or not self._is_whole(zone, head, order, self._type[k]):
            return False
        self._before[k], self._behind[k] = zone._links[2 * entry(head) + 1], zone._links[2 * entry(head)]
        zone._unlink(head)
        zone._state[head] = 0
        while order > self._order[k]:
            order -= 1
            at = (k * LEVELS + order) * FIELDS
            self._stand(
                zone, self._buddies[at], order, self._buddies[at + 1], self._buddies[at + 2], self._buddies[at + 3]
            )
        zone._state[self._block[k]] = USED | self._order[k]
        zone._count(self._type[k], -block_pages(self._order[k]))
        self._is_off[k] = True
        return True

    # Put a block where it stood, as far as its neighbours are still there.
    def _stand(self, zone: Zone, i, order, kind, before, behind):
        if self._is_on(zone, behind, order, kind):
            before = zone._links[2 * behind + 1]
        elif not self._is_on(zone, before, order, kind):
            before = (kind << 5) + order
        zone._insert(i, order, kind, before)

    # Whether a list's entry is still on it; its head is.
    def _is_on(self, zone: Zone, e, order, kind):
        if e < LISTS:
            return True
        return (zone._state[page_of(e)] & ~HINTED) == (FREE | order | (kind << TYPE_SHIFT))

    # As if it had not been undone; what was undone after it is back already.
    def _put_back(self, zone: Zone, k):
        order: cython.int
        self._is_off[k] = False
        for order in range(self._order[k], self._whole[k]):
            zone._unlink(self._buddies[(k * LEVELS + order) * FIELDS])
            zone._state[self._buddies[(k * LEVELS + order) * FIELDS]] = 0
        zone._state[self._block[k]] = 0
        self._stand(zone, self._head[k], self._whole[k], self._type[k], self._before[k], self._behind[k])
        zone._count(self._type[k], block_pages(self._order[k]))

    # Block `i` is taken at row `k` of the columns, which begin at the recording's row `first`. True if frees come right
    # behind that: `_redo_held` them once it is done.
    def _wait(self, zone: Zone, columns: Columns, first, k, i, order, migratetype):
        falls_back: cython.bint = False
        late: cython.bint = False
        before: cython.Py_ssize_t
        if self.count:
            before = self._before_on_cpu(columns, k)
            falls_back = columns._events[k] == EXTFRAG or (before >= 0 and columns._events[before] == EXTFRAG)
            late = self._wait_for_lock(zone, columns, first, k, before)
        self._wait_for_take(zone, first + k, i, order, migratetype, falls_back)
        return late

    # A refill or a drain holds the lock from its first block to its last: undo the frees that come behind what it does
    # now, at row `k`; `before`: as of `_before_on_cpu`. True if there are any.
    def _wait_for_lock(self, zone: Zone, columns: Columns, first, k, before):
        free: cython.int
        start: cython.Py_ssize_t = zone.start_pfn
        found: cython.bint = False
        if before < 0 or not start <= columns._pfns[before] < start + zone._pages:
            return False
        if self._goes_on_as(columns, k) == 0 or self._goes_on_as(columns, before) != self._goes_on_as(columns, k):
            return False
        for free in range(self.count):
            self._is_held[free] = (
                not self._is_off[free]
                and self._row[free] >= first + before
                and self._zone[free] == zone.start_pfn
                and self._time[free] < zone._now
                and self._undo(zone, free)
            )
            found = found or self._is_held[free]
        return found

    # What comes one after the other under one lock: 1 a refill, 2 a drain, 0 neither.
    def _goes_on_as(self, columns: Columns, k):
        kind: cython.int = columns._events[k]
        if kind == PCPU_DRAIN:
            return 2
        return 1 if kind == EXTFRAG or (kind == ZONE_ALLOC and columns._details[k] > 0) else 0

    # The row of the CPU's event before this one, if it is near; or -1.
    def _before_on_cpu(self, columns: Columns, k):
        before: cython.Py_ssize_t = k - 1
        while before >= max(k - NEAR, 0):
            if columns._cpus[before] == columns._cpus[k]:
                return before
            before -= 1
        return -1

    # The row of the CPU's event after this one, if it is near; or -1.
    def _next_on_cpu(self, columns: Columns, k):
        after: cython.Py_ssize_t = k + 1
        while after < min(k + NEAR, columns.count):
            if columns._cpus[after] == columns._cpus[k]:
                return after
            after += 1
        return -1

    # Undo the frees that come behind what takes block `i`, and redo what came before. `falls_back`: its own type
    # has no block left.
    def _wait_for_take(self, zone: Zone, row, i, order, migratetype, falls_back):
        k: cython.int = self.count - 1
        first: cython.Py_ssize_t = zone._first_fit(order, migratetype)
        while k >= 0 and first != i and not (falls_back and first < 0):
            if self._zone[k] == zone.start_pfn and not self._is_held[k] and self._time[k] < zone._now:
                first = self._try(zone, k, row, first, i, order, migratetype, falls_back)
            k -= 1
        if first >= 0 and first != i:
            self._came_later(zone, first, i)

    # Undo a free, or redo it, and see what that gives.
    def _try(self, zone: Zone, k, row, first, i, order, migratetype, falls_back):
        before: cython.Py_ssize_t
        behind: cython.Py_ssize_t
        if self._is_off[k]:
            self._redo(zone, k, row)
        elif not self._hides(k, first, i) or not self._undo(zone, k):
            return first
        first = zone._first_fit(order, migratetype)
        if first == i or (falls_back and first < 0):
            return first
        if not self._is_off[k]:
            self._undo(zone, k)
            return zone._first_fit(order, migratetype)
        before, behind = self._before[k], self._behind[k]
        self._redo(zone, k, row)
        first = zone._first_fit(order, migratetype)
        if first != i and self._undo(zone, k):
            self._before[k], self._behind[k] = before, behind
            self._put_back(zone, k)
            first = zone._first_fit(order, migratetype)
        return first

    # Whether either lies in the block that the free became part of.
    def _hides(self, k, first, i):
        head: cython.Py_ssize_t = self._head[k]
        end: cython.Py_ssize_t = head + block_pages(self._whole[k])
        return head <= first < end or head <= i < end

    def _redo(self, zone: Zone, k, row):
        self._is_off[k] = False
        self._row[k] = row
        if not self._look(zone, k):
            self._whole[k] = NEVER_WHOLE
        zone._free_block(self._block[k], self._order[k], self._type[k], ORDINARY)

    def _redo_held(self, zone: Zone, row):
        k: cython.int
        for k in range(self.count):
            if self._is_held[k]:
                self._is_held[k] = False
                self._redo(zone, k, row)
