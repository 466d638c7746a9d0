"""What refills brought to CPUs' lists, where a recording does not tell when it is allocated.

A list is refilled when it is empty: by then all that the refill before brought was allocated, but what was drained, the
last block first. It counts as allocated one block after the other, at equal distances from one refill to the next. Of
which some was drained, the list lay idle: the others went as fast as what the refill before had brought.
"""

from dataclasses import dataclass

import cython
import numpy as np

from pagehint.replays.columns import COLUMNS

if not cython.compiled:
    from pagehint.mm.page import MOVABLE, RECLAIMABLE, block_pages
    from pagehint.mm.pcp import MOST_FACTOR
    from pagehint.pointers import longlongs, uchars, uints
    from pagehint.replays.columns import CMA, EXTFRAG, PCPU_DRAIN, ZONE_ALLOC, Columns

    A_CPU, SMALL, PAUSE, NEVER = 14, 3, 20000, 1 << 62

__all__ = ["FoundRefills", "RefillScan", "Refills"]


@dataclass(frozen=True, slots=True)
class FoundRefills:
    """When each list was refilled, by a look at the whole recording: one list after the other, its refills in order.

    `zone_ends`, `above_order_0`, `pageblock_order`: as RefillScan had them. `cpus`: there are lists of so many.
    `first`: of each list, its first refill here; one more at the end. `begins`, `ends`: from when on blocks were
    allocated, and when the last was gone (ns). `used`: how many were, and not drained. `at_start`: blocks (pfns) that
    were drained after a list's first refill, and had come to one before the recording began; `at_start_on`: to that.
    """

    zone_ends: list
    above_order_0: bool
    pageblock_order: int
    cpus: int
    first: np.ndarray
    begins: np.ndarray
    ends: np.ndarray
    used: np.ndarray
    at_start: np.ndarray
    at_start_on: np.ndarray


@cython.cclass
class Lists:
    """The lists of CPUs in each zone (`zone_ends`: pfns, ascending): of single pages, and, where `above_order_0`, of a
    few more, and of pageblocks."""

    def __init__(self, zone_ends, above_order_0, pageblock_order):
        self._zone_ends_array = np.append(np.array(zone_ends, np.int64), NEVER)
        self._zones = len(self._zone_ends_array)
        self._above_order_0 = above_order_0
        self._pageblock_order = pageblock_order if above_order_0 else -1
        self._cpus = self._lists = 0
        self._zone_ends = longlongs(self._zone_ends_array)

    # There are so many CPUs: lists keep their numbers.
    def _grow(self, cpus):
        self._cpus = cpus
        self._lists = A_CPU * self._zones * cpus

    # The number of a list, or -1.
    def _list(self, pfn, cpu, order, migratetype):
        first: cython.Py_ssize_t = cpu
        if cpu >= self._cpus:
            return -1
        first = A_CPU * (first * self._zones + self._zone_of(pfn))
        if order == 0 or (order <= SMALL and self._above_order_0):
            return first + 3 * order + (migratetype if migratetype <= RECLAIMABLE else MOVABLE)
        if order != self._pageblock_order:
            return -1
        return first + A_CPU - (1 if migratetype == MOVABLE else 2)

    def _zone_of(self, pfn):
        zone: cython.int = 0
        while pfn >= self._zone_ends[zone]:
            zone += 1
        return zone

    def _order(self, which):
        kind: cython.int = which % A_CPU
        return self._pageblock_order if kind >= A_CPU - 2 else kind // 3


# So many of each, the new ones with its value.
def _longer(arrays, count, values):
    pairs = zip(arrays, values, strict=True)
    return [np.append(each, np.full(count - len(each), value, each.dtype)) for each, value in pairs]


@cython.final
@cython.cclass
class RefillScan(Lists):
    """Looks for the refills in batches of events, before a replay. Memory: 12 bytes a page, 40 a refill.

    `batches`: the lists' batch in each zone, pages.
    """

    def __init__(self, pages, zone_ends, batches, profile, pageblock_order):
        super().__init__(zone_ends, profile.pcp_above_order_0, pageblock_order)
        self._made_of = zone_ends, profile.pcp_above_order_0, pageblock_order
        self._pages = pages
        self._count = 0
        self._factor = MOST_FACTOR if profile.pcp_tunes else 0
        self._fallback_removes = profile.fallback != "moving"
        self._batches_array = np.append(np.array(batches, np.int64), 1)
        self._batches = longlongs(self._batches_array)
        self._columns = Columns()
        # Of a page: its refill, plus one; the how manieth it was there; and the list on which it was before, plus one.
        self._of_array, self._place_array, self._at_start_array = (np.zeros(pages, np.uint32) for _ in range(3))
        # Of a list: its refill, plus one; when that began, and brought its latest block.
        self._of_lists = np.zeros(0, np.uint32), np.zeros(0, np.int64), np.zeros(0, np.int64)
        # Of a CPU: the list of its last event, and the page that this took; of a zone: the list of its last event.
        self._of_cpus = np.zeros(0, np.int64), np.zeros(0, np.int64)
        self._in_zone_array = np.full(self._zones, -1, np.int64)
        self._of, self._place = uints(self._of_array), uints(self._place_array)
        self._at_start, self._in_zone = uints(self._at_start_array), longlongs(self._in_zone_array)
        # Of a refill: its list, begin, end, and how many were used; how many it brought; whose rest it may be (plus
        # one; 0: nobody's), and how many had come before.
        self._found = [np.zeros(0, dtype) for dtype in (*(np.int64,) * 3, *(np.uint32,) * 4)]

    def add(self, batch):
        """Look at a batch of events: a dict of the columns of Scan."""
        self._columns.load([batch[name] for name in COLUMNS])
        cpus = int(batch["cpu"].max(initial=0)) + 1
        if cpus > self._cpus:
            self._of_cpus = _longer(self._of_cpus, cpus, (-1, -1))
            self._grow(cpus)
            self._of_lists = _longer(self._of_lists, self._lists, (0, -2 * PAUSE, -2 * PAUSE))
        room = self._count + int(((batch["event"] == ZONE_ALLOC) | (batch["event"] == EXTFRAG)).sum())
        if room > len(self._found[0]):
            self._found = _longer(self._found, room + len(self._found[0]), (0,) * 7)
        self._point()
        with cython.nogil:
            self._look(self._columns)

    # Where those are that grow.
    def _point(self):
        now, first, last = self._of_lists
        on_cpu, took = self._of_cpus
        lists, begins, ends, used, brought, rest_of, before = self._found
        self._now, self._first, self._last = uints(now), longlongs(first), longlongs(last)
        self._on_cpu, self._took = longlongs(on_cpu), longlongs(took)
        self._list_of, self._begins, self._ends = longlongs(lists), longlongs(begins), longlongs(ends)
        self._used, self._brought = uints(used), uints(brought)
        self._rest_of, self._before = uints(rest_of), uints(before)

    # The least and the most that one of its refills brings at once, unless the list has no room.
    def _batch(self, which):
        batch: cython.longlong = self._batches[which // A_CPU % self._zones]
        return max(batch >> self._order(which), min(batch, 2))

    def _most(self, which):
        return self._batch(which) << (0 if self._order(which) > 0 else self._factor)

    def _is_whole(self, which, blocks):
        batch: cython.longlong = self._batch(which)
        while batch < blocks and batch < self._most(which):
            batch <<= 1
        return blocks == batch

    # What counts as a list's latest refill may be the rest of the one before, and so on: the host took the CPU away.
    # Together they are one if they brought what one brings.
    def _settle(self, which):
        first: cython.Py_ssize_t = self._now[which]
        k: cython.Py_ssize_t = first - 1
        rest: cython.Py_ssize_t
        joins: cython.bint
        if first == 0 or self._rest_of[k] == 0:
            return
        joins = self._is_whole(which, self._before[k] + self._brought[k])
        while self._rest_of[first - 1]:
            first = self._rest_of[first - 1]
        while k != first - 1:
            rest, k = k, self._rest_of[k] - 1
            if joins:
                self._rest_of[rest] = first
                self._used[first - 1] += self._used[rest]
                self._brought[first - 1] += self._brought[rest]
            else:
                self._rest_of[rest] = self._before[rest] = 0
        if joins:
            self._now[which] = first
            self._ends[first - 1] = NEVER

    def _look(self, columns: Columns):
        times, cpus, events, pfns = columns._times, columns._cpus, columns._events, columns._pfns
        orders, types, details = columns._orders, columns._types, columns._details
        k: cython.Py_ssize_t
        which: cython.Py_ssize_t
        zone: cython.Py_ssize_t
        refill: cython.Py_ssize_t
        was: cython.Py_ssize_t
        cpu: cython.int
        at: cython.uint
        pfn: cython.longlong
        pause: cython.longlong
        begins_now: cython.bint
        goes_on: cython.bint
        brings: cython.bint
        for k in range(columns.count):
            pfn = pfns[k]
            cpu = cpus[k]
            # A fallback takes its page by itself, unless it has been taken already.
            if events[k] == EXTFRAG and (not self._fallback_removes or self._took[cpu] == pfn):
                continue
            self._took[cpu] = pfn if events[k] == ZONE_ALLOC else -1
            if not 0 <= pfn < self._pages or events[k] not in (ZONE_ALLOC, EXTFRAG, PCPU_DRAIN):
                self._on_cpu[cpu] = -1
                continue
            which = self._list(pfn, cpu, orders[k], types[k])
            zone = self._zone_of(pfn)
            brings = events[k] == EXTFRAG or (events[k] == ZONE_ALLOC and (details[k] > 0 or types[k] == CMA))
            if brings and which >= 0:
                was = self._now[which]
                pause = times[k] - self._last[which]
                goes_on = False
                if was == 0 or self._brought[was - 1] >= self._most(which):
                    begins_now = True
                else:
                    begins_now = pause > max(self._last[which] - self._first[which], PAUSE)
                    # It has the zone's lock meanwhile: no other event comes, of its CPU or of the zone.
                    goes_on = begins_now and self._on_cpu[cpu] == which and self._in_zone[zone] == which
                    if goes_on:
                        goes_on = not self._is_whole(which, self._before[was - 1] + self._brought[was - 1])
                if begins_now:
                    if not goes_on:
                        self._settle(which)
                        was = self._now[which]
                    if was and self._ends[was - 1] == NEVER:
                        self._ends[was - 1] = times[k]
                    self._list_of[self._count] = which
                    self._begins[self._count] = self._first[which] = times[k]
                    self._ends[self._count] = NEVER
                    self._used[self._count] = self._brought[self._count] = 0
                    self._rest_of[self._count] = was if goes_on else 0
                    self._before[self._count] = self._before[was - 1] + self._brought[was - 1] if goes_on else 0
                    self._count += 1
                    self._now[which] = self._count
                refill = self._now[which] - 1
                self._last[which] = times[k]
                self._on_cpu[cpu] = self._in_zone[zone] = which
                self._used[refill] += 1
                self._brought[refill] += 1
                if self._before[refill] + self._brought[refill] > self._most(which):
                    self._settle(which)
                self._of[pfn] = refill + 1
                self._place[pfn] = self._brought[refill]
                continue
            self._on_cpu[cpu] = self._in_zone[zone] = -1
            if events[k] == PCPU_DRAIN and not self._place[pfn]:
                self._place[pfn] = 1
                if which >= 0 and self._now[which]:
                    self._at_start[pfn] = which + 1
            elif events[k] == PCPU_DRAIN and self._of[pfn]:
                # A list is drained from its end: first of what its refill brought last, if that was not used.
                refill = self._of[pfn] - 1
                self._of[pfn] = 0
                self._settle(self._list_of[refill])
                at = self._before[refill] + self._place[pfn]
                if self._rest_of[refill]:
                    refill = self._rest_of[refill] - 1
                if self._ends[refill] == NEVER and at == self._used[refill]:
                    self._used[refill] -= 1
                elif self._list_of[refill] == which and self._ends[self._now[which] - 1] == NEVER:
                    self._ends[self._now[which] - 1] = times[k]

    def found(self, end, flags):
        """All of them, where the recording ends at `end`.

        Of what was brought last, those up to the last whose page has any of kpageflags (`flags`, uint64) at the end are
        used by then; where nothing tells (None), half.
        """
        lists, begins, ends, used, brought, rest_of, before = (each[: self._count] for each in self._found)
        for which in range(self._lists):
            self._settle(which)
        left = ends == NEVER
        at_end = np.where(used < brought, used, (used + 1) // 2)
        if flags is not None:
            of = self._of_array[: len(flags)]
            pfns = np.flatnonzero((of > 0) & (flags[: len(of)] != 0))
            at_end = np.ones(self._count, np.uint32)
            of = of[pfns] - 1
            np.maximum.at(at_end, np.where(rest_of[of], rest_of[of] - 1, of), before[of] + self._place_array[pfns])
        used = np.where(left, np.minimum(used, at_end), used)
        order = np.argsort(lists, kind="stable")
        order = order[rest_of[order] == 0]
        lists, begins, ends, used, brought = (
            each[order] for each in (lists, begins, np.minimum(ends, end), used, brought)
        )
        steps = (ends - begins) / np.maximum(used, 1)
        previous = np.roll(steps, 1)
        previous[lists != np.roll(lists, 1)] = np.inf
        previous[:1] = np.inf
        idle = (used < brought) & (previous < steps)
        ends[idle] = begins[idle] + (previous[idle] * used[idle]).astype(np.int64)
        first = np.searchsorted(lists, np.arange(self._lists + 1))
        at_start = np.flatnonzero(self._at_start_array)
        return FoundRefills(
            *self._made_of,
            self._cpus,
            first.astype(np.int64),
            begins,
            ends,
            used.astype(np.uint32),
            at_start,
            self._at_start_array[at_start] - 1,
        )


@cython.final
@cython.cclass
class Refills(Lists):
    """Blocks that wait on the lists while a recording is replayed: a ring each, in the order of their refill.

    `pages`: of the guest; 9 bytes each. `found`: by RefillScan.
    """

    def __init__(self, pages, found):
        super().__init__(found.zone_ends, found.above_order_0, found.pageblock_order)
        self._grow(found.cpus)
        self._pages = pages
        self._next_array, self._before_array = (np.arange(pages + self._lists, dtype=np.uint32) for _ in range(2))
        self._waits_array = np.zeros(pages, np.uint8)  # a waiting block's order, plus one
        self._refill_array = found.first[: self._lists].copy()
        self._refilled_array = np.flatnonzero(np.diff(found.first))  # the lists that ever are
        self._refilled_count = len(self._refilled_array)
        self._found_arrays = found.first, found.begins, found.ends, found.used
        self._left_array, self._step_array = (np.zeros(self._lists, np.int64) for _ in range(2))
        self._due_array = np.full(self._lists, NEVER, np.int64)
        self._next = uints(self._next_array)
        self._before = uints(self._before_array)
        self._waits = uchars(self._waits_array)
        self._refilled = longlongs(self._refilled_array)
        self._refill = longlongs(self._refill_array)
        self._found_first, self._found_begins = longlongs(found.first), longlongs(found.begins)
        self._found_ends, self._found_used = longlongs(found.ends), uints(found.used)
        self._left = longlongs(self._left_array)
        self._step = longlongs(self._step_array)
        self._due = longlongs(self._due_array)

    def lay(self, pfns, lists, now):
        """These blocks lie on these lists (int64, uint32; as FoundRefills has them), and are used before it is first
        refilled, as fast as what it gets then. Which do so, as that comes after `now`: their pfns and orders."""
        which: cython.Py_ssize_t
        pfn: cython.Py_ssize_t
        refill: cython.Py_ssize_t
        laid = []
        for pfn, which in zip(pfns.tolist(), lists.tolist(), strict=True):
            if self._found_begins[self._found_first[which]] > now:
                self._add(which, pfn)
                self._left[which] += 1
                laid.append((pfn, self._order(which)))
        for which in np.unique(lists).tolist():
            refill = self._found_first[which]
            if self._left[which] and self._found_begins[refill] > now:
                self._step[which] = min(
                    (self._found_ends[refill] - self._found_begins[refill]) // max(self._found_used[refill], 1),
                    (self._found_begins[refill] - now) // self._left[which],
                )
                self._due[which] = self._found_begins[refill] - self._left[which] * self._step[which]
        return laid

    # Whether a refill of this list begins.
    def _begins(self, which, now):
        refill: cython.longlong = self._refill[which]
        return refill < self._found_first[which + 1] and self._found_begins[refill] <= now

    # It does, and its first block is used at once. Returns when its next one is.
    def _begin(self, which, now):
        refill: cython.longlong = self._refill[which]
        used: cython.longlong
        while refill < self._found_first[which + 1] and self._found_begins[refill] <= now:
            refill += 1
        self._refill[which] = refill
        refill -= 1
        used = self._found_used[refill]
        self._due[which] = NEVER
        if used > 1:
            self._left[which] = used - 1
            self._step[which] = max((self._found_ends[refill] - now) // used, 1)
            self._due[which] = now + self._step[which]
        return self._due[which]

    # A block of this list that is used by now, or -1; what has not come yet is used later.
    def _use(self, which, now):
        pfn: cython.Py_ssize_t = -1
        while pfn < 0 and self._due[which] <= now:
            pfn = self._pop(which)
            self._left[which] -= 1
            self._due[which] = self._due[which] + self._step[which] if self._left[which] else NEVER
        return pfn

    def _add(self, which, pfn):
        head: cython.Py_ssize_t = self._pages + which
        last: cython.Py_ssize_t = self._before[head]
        self._next[last] = self._before[head] = pfn
        self._next[pfn] = head
        self._before[pfn] = last
        self._waits[pfn] = self._order(which) + 1

    # Whether it was there.
    def _remove(self, pfn):
        following: cython.Py_ssize_t = self._next[pfn]
        if not self._waits[pfn]:
            return False
        self._waits[pfn] = 0
        self._next[self._before[pfn]] = following
        self._before[following] = self._before[pfn]
        return True

    # The waiting block that a page is of: its first page, or -1.
    def _block_of(self, pfn):
        order: cython.int = 0
        first: cython.Py_ssize_t
        while order >= 0:
            first = pfn >> order << order
            if self._waits[first] and first + block_pages(self._waits[first] - 1) > pfn:
                return first
            if order < SMALL and self._above_order_0:
                order += 1
            else:
                order = self._pageblock_order if order < self._pageblock_order else -1
        return -1

    # The first of a list, or -1.
    def _pop(self, which):
        pfn: cython.Py_ssize_t = self._next[self._pages + which]
        if pfn >= self._pages:
            return -1
        self._remove(pfn)
        return pfn
