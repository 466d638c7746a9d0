"""A first look at a whole recording: what must be known of it before its first event can be replayed.

What each page's first event says of its state at the start, each pageblock's first migratetype, and of single events
what only later ones tell: which frees went straight to the zone, what compaction took, which fallbacks took a page.
"""

import cython
import numpy as np

from pagehint.replays.columns import COLUMNS
from pagehint.replays.compaction import came_upon, new_sources
from pagehint.replays.ties import MOST_LOOKS, groups_of

if not cython.compiled:
    from pagehint.kernel.orders import MAX_PAGE_ORDER
    from pagehint.mm.page import MOVABLE, RECLAIMABLE, block_pages
    from pagehint.pointers import longlongs, uchars, uints
    from pagehint.replays.columns import (
        ALLOC,
        BATCHED,
        CMA,
        EXTFRAG,
        FREED,
        ISOLATED,
        ISOLATING,
        PCPU_DRAIN,
        PUTBACK,
        ZONE_ALLOC,
        Columns,
    )

    STRAIGHT, BOOT, COMPACTED, REMOVAL, SCANNED, INFLATED, TOLD, ONLINE = range(1, 9)
    STARTS_FREE, STARTS_USED, STARTS_PER_CPU, STARTS_FREED_WHOLE = range(1, 5)
    PLAIN, FIRST, FIRST_PAGEBLOCK, SURPLUS = range(4)
    FIRST_OF_ALL = 0x7FFFFFFF
    IN_A_ROW = 30000
    KEPT_FOR = 10**8
    UNTOLD = 254

__all__ = [
    "CPUS",
    "FREED_WHOLE_AT_START",
    "FREE_AT_START",
    "NO_ROWS",
    "PER_CPU_AT_START",
    "UNSEEN",
    "USED_AT_START",
    "Scan",
]

UNSEEN, FREE_AT_START, USED_AT_START, PER_CPU_AT_START, FREED_WHOLE_AT_START = range(5)
CPUS = 1 << 16
NO_ROWS = np.zeros(0, np.int64), np.zeros(0, np.int64)


@cython.final
@cython.cclass
class Scan:
    """Looks at a recording's events, batch by batch; the rest says what was found.

    `at_start`: uint8 a page: UNSEEN, FREE_AT_START, USED_AT_START, PER_CPU_AT_START, or FREED_WHOLE_AT_START: used, and
    freed as whole pageblocks before anything else. `first_types`: uint8 a pageblock, 254 and more: unknown.
    `first_left`: uint32 a page: of those that are free at the start, the how manieth departure took it; 0: none.
    `first_order`: uint8 a page: the order that this departure was asked for, and 1; 0: it was no plain allocation.
    `first_taker`: without zone events, uint32 a page: of the blocks whose first event is an allocation, whose list it
    is, and 1: CPU << 8 | order << 4 | migratetype.
    `least_told`: the least order of a block that was told; above the largest: none was. `moves`, `removals`,
    `drained_order`, `refilled`, `beyond_batch` (`batch` pages): as in `Evidence`. `zone_events`: the recording has
    them; else pages come and go by their allocations and frees alone. `load`: when the device comes
    (ns). `zone_level`: allocations and frees of CPUs' lists were not recorded, but for some of pageblocks.
    """

    def __init__(self, pages, pageblock_order, zone_events, profile, load, zone_level=False, batch=1 << 31):
        self._columns = Columns()
        self.pages = pages
        self.zone_level = zone_level
        self.zone_events = zone_events
        self._pageblock_order = pageblock_order
        self._most_pcp_order = 3 if profile.pcp_above_order_0 else 0
        self._fallback_removes = profile.fallback != "moving"
        self.at_start = np.zeros(pages, np.uint8)
        self.first_types = np.full((pages >> pageblock_order) + 1, 255, np.uint8)
        self.first_left = np.zeros(pages, np.uint32)
        # A page each, also where nothing is to come: what a damaged recording says of its events need not be so.
        self.first_order = np.zeros(pages, np.uint8)
        self.first_taker = np.zeros(pages, np.uint32)
        self._last_free_array = np.zeros(pages, np.int64)
        self._isolated_array = np.zeros(pages, np.int64)
        self._last_was_array = np.zeros(pages, np.uint8)
        self._before_array = np.zeros(pages, np.uint32)
        self._skipped = [np.zeros((0, 2), np.int64)]
        self._skipped_count = 0
        self._found, self._ties = [], [np.zeros((0, 2), np.int64)]
        self._looks = MOST_LOOKS
        self._isolations = [np.zeros((0, 5), np.int64)]
        self._given_back = [np.zeros((0, 3), np.int64)]
        self._given_count = 0
        self._kept_array = np.zeros(pages, np.int64)
        self._last_isolation = -KEPT_FOR
        self._row = self._pending = self._n = self._bursts = 0
        self._burst_array = np.zeros(CPUS, np.int64)
        self._load = load
        self._taken_array = np.zeros(pages, np.uint8)
        self._seen_array = np.zeros(CPUS, np.uint8)
        self._isolating_array, self._last_pfn_array = np.full(CPUS, -1, np.int64), np.full(CPUS, -1, np.int64)
        self._last_kind_array = np.zeros(CPUS, np.uint8)
        self._typed_now_array = np.zeros(CPUS, np.uint8)
        self._surplus_end_array = np.zeros(CPUS, np.int64)
        # Boot's frees of whole pageblocks, by the pageblock: row, time, CPU, block (pfn << 5 | order), when it left.
        self._boot_blocks = np.full((len(self.first_types), 5), -1, np.int64)
        self._leaving = 0
        self._departures = self.moves = self.removals = 0
        self.drained_order = -1
        self.least_told = MAX_PAGE_ORDER + 1
        self.refilled = self.beyond_batch = 0
        self._batch = batch
        self._run_array = np.zeros(CPUS, np.uint32)
        self._at_start = uchars(self.at_start)
        self._first_types = uchars(self.first_types)
        self._first_left = uints(self.first_left)
        self._first_order = uchars(self.first_order)
        self._first_taker = uints(self.first_taker)
        self._last_free = longlongs(self._last_free_array)
        self._kept = longlongs(self._kept_array)
        self._isolated = longlongs(self._isolated_array)
        self._isolating = longlongs(self._isolating_array)
        self._last_pfn = longlongs(self._last_pfn_array)
        self._burst = longlongs(self._burst_array)
        self._surplus_end = longlongs(self._surplus_end_array)
        self._run = uints(self._run_array)
        self._last_kind = uchars(self._last_kind_array)
        self._typed_now = uchars(self._typed_now_array)
        self._boot = longlongs(self._boot_blocks)
        self._taken = uchars(self._taken_array)
        self._before = uints(self._before_array)
        self._last_was = uchars(self._last_was_array)
        self._seen_cpus = uchars(self._seen_array)

    def add(self, batch):
        """Look at a batch of events: a dict of the columns COLUMNS."""
        times, cpus, events = batch["time"], batch["cpu"], batch["event"]
        self._columns.load([batch[name] for name in COLUMNS])
        count = self._columns.count
        self._load_row = int(np.searchsorted(times, self._load))
        rows, verdicts = self._make_room(count)
        isolations = np.empty((np.count_nonzero(events == ISOLATED), 5), np.int64)
        skipped = np.empty((np.count_nonzero(events == BATCHED), 2), np.int64)
        given_back = np.empty((np.count_nonzero((events == FREED) | (events == PCPU_DRAIN)), 3), np.int64)
        self._isolation_count = self._skipped_count = self._given_count = 0
        self._isolations_out = longlongs(isolations)
        self._skipped_out = longlongs(skipped)
        self._given_out = longlongs(given_back)
        with cython.nogil:
            self._rows(self._columns)
        self._keep(rows, verdicts)
        self._isolations.append(isolations[: self._isolation_count])
        self._skipped.append(skipped[: self._skipped_count].copy())
        self._given_back.append(given_back[: self._given_count].copy())
        ties, looks = groups_of(times, cpus, self._looks)
        self._ties.append(ties + self._row)
        self._looks -= looks
        self._row += count

    def told(self, blocks):
        """Here the guest's device is told of these blocks, which no event says: int64 (blocks, 2), pfn and pages, in
        the order in which they left their lists."""
        rows, verdicts = self._make_room(0)
        for pfn, pages in blocks.tolist():
            if 0 <= pfn < self.pages:
                self._told(pfn, min(pfn + pages, self.pages))
        self._keep(rows, verdicts)

    # Where `_tell` writes. Each event has at most one verdict, be it told now or later.
    def _make_room(self, count):
        self._room, self._n = count + self._pending, 0
        rows, verdicts = np.empty(self._room, np.int64), np.empty(self._room, np.uint8)
        self._rows_out = longlongs(rows)
        self._verdicts_out = uchars(verdicts)
        return rows, verdicts

    def _keep(self, rows, verdicts):
        if self._n:
            self._found.append((rows[: self._n].copy(), verdicts[: self._n].copy()))

    def cpus(self):
        """The CPUs that have events, ascending."""
        return np.flatnonzero(self._seen_array).tolist()

    def verdicts(self, booting=False, balloon=NO_ROWS, online=NO_ROWS[0]):
        """Rows of which something was found (int64, ascending), what it is (uint8: STRAIGHT and so on), and the block
        that is freed there instead (int64: pfn << 5 | order, or -1).

        `booting`: where nothing else tells, first frees are boot's; without zone events, up to the last of a whole
        pageblock. `balloon`: the rows of the balloon's allocations, and of those the last of each batch. `online`:
        those of the frees with which memory came online."""
        # What nobody has wanted since: boot's frees, and the isolations that were not put back. In a recording that
        # begins after boot, such a free lies on a CPU's list, unless it is what was too much of an allocation.
        was = self._last_was_array
        pending = (self._last_free_array > 0) & ((was == SURPLUS) | (booting & (was != PLAIN)))
        boot = self._last_free_array[pending] - 1
        compacted = self._isolated_array[self._isolated_array > 0] - 1
        if booting and not self.zone_events:
            blocks = self._boot_blocks[self._boot_blocks[:, 0] >= 0, 0]
            pages = self._last_free_array[self._last_free_array > 0] - 1
            boot = np.concatenate([blocks, pages[pages < blocks.max(initial=-1)]])
        rows = [boot, compacted, np.setdiff1d(*balloon, assume_unique=True), balloon[1], np.setdiff1d(online, boot)]
        kinds = BOOT, COMPACTED, INFLATED, TOLD, ONLINE
        what = [np.full(len(each), kind, np.uint8) for each, kind in zip(rows, kinds, strict=True)]
        for found, verdicts in self._found:
            rows.append(found)
            what.append(verdicts)
        all_rows, all_verdicts = np.concatenate(rows), np.concatenate(what)
        in_order = np.argsort(all_rows)
        all_rows, all_verdicts = all_rows[in_order], all_verdicts[in_order]
        isolations = np.concatenate(self._isolations)
        isolations = isolations[np.isin(isolations[:, 0], all_rows[all_verdicts == COMPACTED])]
        scanned = isolations[came_upon(isolations, self._pageblock_order), 0]
        all_verdicts[np.searchsorted(all_rows, scanned)] = SCANNED
        sources = new_sources(isolations)
        blocks = self._boot_order(all_rows[all_verdicts == BOOT], all_rows)
        blocks[np.searchsorted(all_rows, isolations[sources >= 0, 0])] = -2 - sources[sources >= 0]
        skipped = np.concatenate(self._skipped)
        skipped = skipped[np.isin(skipped[:, 0], all_rows)]
        blocks[np.searchsorted(all_rows, skipped[:, 0])] = skipped[:, 1]
        return all_rows, all_verdicts, blocks

    # Several CPUs free boot's pageblocks at once, and its clock does not tell in which order. With equal times, the
    # block that left its list first came first, as far as each CPU's own order allows. Which block each of the rows
    # frees then; -1: what it says itself.
    def _boot_order(self, boot_rows, all_rows):
        blocks = np.full(len(all_rows), -1, np.int64)
        rows, times, cpus, block, left = self._boot_blocks[np.isin(self._boot_blocks[:, 0], boot_rows)].T
        # A pageblock without its buddy does not merge: it left another list.
        alone = (block & 31 == self._pageblock_order) & ~np.isin(block >> 5 ^ 1 << self._pageblock_order, block >> 5)
        left[alone] = -1
        by_row = np.lexsort((rows, cpus, times))
        rows, times, cpus, block = rows[by_row], times[by_row], cpus[by_row], block[by_row]
        left = np.where(left < 0, np.iinfo(np.int64).max, left)[by_row]
        ends = np.flatnonzero((np.diff(times, append=-1) != 0) | (np.diff(cpus, append=-1) != 0)) + 1
        for begin, end in zip([0, *ends.tolist()], ends.tolist(), strict=False):
            left[begin:end] = np.minimum.accumulate(left[begin:end][::-1])[::-1]
        # The sort is stable: what left together, as with each CPU, stays in order.
        freed = np.lexsort((left, times))
        blocks[np.searchsorted(all_rows, np.sort(rows))] = block[freed]
        return blocks

    def has_list(self, orders):
        """Which blocks of these orders (int array) CPUs keep on lists: bool, one each."""
        return (orders <= self._most_pcp_order) | (self._most_pcp_order > 0) & (orders == self._pageblock_order)

    def boot_end(self):
        """When boot freed the last of its whole pageblocks (ns), if it did."""
        return int(self._boot_blocks[:, 1].max())

    def ties(self):
        """Rows [begin, end) of several CPUs' events at one instant: int64 (groups, 2)."""
        return np.concatenate(self._ties)

    def in_bulk(self):
        """Pages that left their zone before the device came, and are in use without any event since: pfns, int64."""
        return np.flatnonzero(self._taken_array & (not self.zone_level))

    def given_back(self):
        """What compaction took and did not need: int64 (blocks, 3), by the row at which it took it, and the pfn: that
        row, pfn and pages."""
        given = np.concatenate(self._given_back)
        return given[np.lexsort((given[:, 1], given[:, 0]))]

    def last_freed(self):
        """Rows (int64, ascending) of frees to a CPU's list, or straight to the zone: no later event says which."""
        return np.sort(self._last_free_array[self._last_free_array > 0]) - 1 if self.zone_events else NO_ROWS[0]

    def _tell(self, row, verdict):
        if self._n < self._room:
            self._rows_out[self._n] = row
            self._verdicts_out[self._n] = verdict
            self._n += 1

    def _left(self, begin, end):
        k: cython.Py_ssize_t
        for k in range(begin >> self._pageblock_order, (end - 1 >> self._pageblock_order) + 1):
            if self._boot[5 * k] >= 0 and self._boot[5 * k + 4] < 0:
                self._departures += 1
                self._boot[5 * k + 4] = self._departures

    def _is_pcp(self, order):
        return order <= self._most_pcp_order or (self._most_pcp_order > 0 and order == self._pageblock_order)

    def _starts(self, begin, end, state):
        i: cython.Py_ssize_t
        leaves: cython.bint = False
        for i in range(begin, end):
            if not self._at_start[i]:
                self._at_start[i] = state
                if state == STARTS_FREE:
                    self._first_left[i] = self._leaving + 1
                    leaves = True
        self._leaving += leaves  # so there are never more than pages

    # Its first free went to a CPU's list: it wasn't boot's.
    def _was_used(self, begin, end):
        i: cython.Py_ssize_t
        for i in range(begin, end):
            self._at_start[i] = STARTS_USED

    def _touched(self, begin, end):
        i: cython.Py_ssize_t
        for i in range(begin, end):
            self._taken[i] = 0
            self._kept[i] = 0

    def _keeps(self, begin, end, since):
        i: cython.Py_ssize_t
        for i in range(begin, end):
            self._kept[i] = since

    def _typed(self, begin, end, migratetype):
        k: cython.Py_ssize_t
        for k in range(begin >> self._pageblock_order, (end - 1 >> self._pageblock_order) + 1):
            # CMA's stay so, whatever is taken off them to be told.
            if self._first_types[k] == 255 or (migratetype == CMA and self._first_types[k] == UNTOLD):
                self._first_types[k] = migratetype

    def _taken_off(self, pfn, end, before_load):
        i: cython.Py_ssize_t
        for i in range(pfn, end):
            self._taken[i] = before_load
        self._leaves(pfn, end)

    # What leaves the zone's lists now, and was freed last, went straight to them.
    def _leaves(self, begin, end):
        i: cython.Py_ssize_t
        if self.zone_events:
            for i in range(begin, end):
                if self._last_free[i]:
                    self._tell(self._last_free[i] - 1, BOOT if self._last_was[i] else STRAIGHT)
                    self._pending -= 1
                    self._last_free[i] = 0
        self._starts(begin, end, STARTS_FREE)
        self._left(begin, end)

    # Taken off its list, to be told or for compaction.
    def _told(self, begin, end):
        self._leaves(begin, end)
        # It makes pageblocks MOVABLE: what they were before, no later event tells.
        if end - begin >= block_pages(self._pageblock_order - 1):
            self._typed(begin, end, UNTOLD)

    # Pages may have been freed one by one, and come back as a block.
    def _settled(self, begin, end):
        i: cython.Py_ssize_t
        if not self.zone_events:
            return
        for i in range(begin, end):
            if self._last_free[i]:
                self._pending -= 1
                self._last_free[i] = 0

    def _note_isolation(self, k, pfn, pages, cpu):
        at: cython.Py_ssize_t = 5 * self._isolation_count
        self._isolations_out[at] = self._row + k
        self._isolations_out[at + 1] = pfn
        self._isolations_out[at + 2] = pages
        self._isolations_out[at + 3] = self._burst[cpu]
        self._isolations_out[at + 4] = -1
        self._isolation_count += 1

    # Compaction gives back what it did not need as it ends; what is freed later had been moved to.
    def _note_given_back(self, pfn, pages, time):
        at: cython.Py_ssize_t = 3 * self._given_count
        if not self._kept[pfn] or time - self._last_isolation >= KEPT_FOR:
            return
        self._given_out[at] = self._kept[pfn] - 1
        self._given_out[at + 1] = pfn
        self._given_out[at + 2] = pages
        self._given_count += 1

    # What is freed right behind a CPU's isolations was moved to there.
    def _note_source(self, pfn, cpu):
        k: cython.Py_ssize_t = self._isolation_count - 1
        while k >= 0 and self._isolations_out[5 * k + 3] == self._burst[cpu]:
            self._isolations_out[5 * k + 4] = pfn >> self._pageblock_order
            k -= 1

    # A CPU frees several pages, and only then puts one after the other on its list. What it left out before this one
    # went to the zone just now, where it went there at all.
    def _note_skipped(self, k, pfn):
        before: cython.Py_ssize_t = self._before[pfn]
        self._before[pfn] = 0
        if before == 0 or before == FIRST_OF_ALL:
            return
        before -= 1
        if self._before[before] and self._last_free[before] and self._last_was[before] == PLAIN:
            self._skipped_out[2 * self._skipped_count] = self._row + k
            self._skipped_out[2 * self._skipped_count + 1] = before << 5
            self._skipped_count += 1
            self._last_free[before] = self._row + k + 1

    # What an exact allocation has too much goes straight back, page by page to its end, and to the lists' tails.
    def _is_surplus(self, cpu, pfn, order, last, last_pfn):
        follows: cython.bint = (last == ALLOC and last_pfn < pfn) or (last == FREED and last_pfn + 1 == pfn)
        if order == 0 and follows and pfn < self._surplus_end[cpu]:
            return True
        self._surplus_end[cpu] = 0
        return False

    def _rows(self, columns: Columns):
        times, cpus, events, pfns = columns._times, columns._cpus, columns._events, columns._pfns
        orders, types, details = columns._orders, columns._types, columns._details
        k: cython.Py_ssize_t
        pfn: cython.Py_ssize_t
        end: cython.Py_ssize_t
        kind: cython.int
        last: cython.int
        last_pfn: cython.longlong
        cpu: cython.int
        order: cython.int
        for k in range(columns.count):
            kind = events[k]
            pfn = pfns[k]
            cpu = cpus[k]
            self._seen_cpus[cpu] = 1
            last, last_pfn = self._last_kind[cpu], self._last_pfn[cpu]
            self._last_kind[cpu], self._last_pfn[cpu] = kind, pfn
            if last == EXTFRAG:
                # Up to 6.9 another page may follow, of what moved along; from 6.10 on the next one.
                if kind == ZONE_ALLOC and pfn == last_pfn:
                    self.moves += 1
                elif kind != ZONE_ALLOC or pfn == last_pfn + block_pages(min(orders[k], MAX_PAGE_ORDER)):
                    self.removals += 1
            if kind == ISOLATED:
                pfn, self._isolating[cpu] = self._isolating[cpu], -1
                if 0 < details[k] <= block_pages(MAX_PAGE_ORDER) and 0 <= pfn < self.pages:
                    self._isolation(k, pfn, details[k], cpu, times[k])
                continue
            if pfn < 0 or orders[k] > MAX_PAGE_ORDER:
                continue
            order = orders[k]
            end = pfn + block_pages(order)
            if end > self.pages:
                continue
            if kind == ZONE_ALLOC:
                if order == 0 and details[k] > 0:
                    self._run[cpu] = self._run[cpu] + 1 if last == ZONE_ALLOC else 1
                    self.refilled += 1
                    self.beyond_batch += self._run[cpu] > self._batch
                if last != EXTFRAG and not self._at_start[pfn]:
                    self._first_order[pfn] = 1 + order
                self._taken_off(pfn, end, k < self._load_row)
                self._typed_now[cpu] = self._first_types[pfn >> self._pageblock_order] == 255
                self._typed(pfn, end, types[k])
            elif kind == PCPU_DRAIN:
                self.drained_order = max(self.drained_order, order)
                self._note_given_back(pfn, end - pfn, times[k])
                self._touched(pfn, end)
                if self._last_free[pfn] and self._last_was[pfn] == FIRST_PAGEBLOCK:
                    self._was_used(pfn, end)
                self._settled(pfn, end)
                self._starts(pfn, end, STARTS_USED if self.zone_level else STARTS_PER_CPU)
                self._typed(pfn, end, types[k])
            elif kind == ALLOC:
                self._surplus_end[cpu] = end
                self._touched(pfn, end)
                self._settled(pfn, end)
                if self.zone_events:
                    self._starts(pfn, end, STARTS_PER_CPU)
                else:
                    self._alloc_of_lists(pfn, order, cpu, types[k])
            elif kind == FREED:
                if last == ISOLATED:
                    self._note_source(pfn, cpu)
                self._note_given_back(pfn, end - pfn, times[k])
                self._touched(pfn, end)
                self._settled(pfn, end)
                if order >= self._pageblock_order and not self._at_start[pfn]:
                    self._note_boot(k, pfn, order, cpu, times[k])
                elif not self.zone_events and not self._at_start[pfn]:
                    self._last_free[pfn] = self._row + k + 1
                if self.zone_events:
                    self._free_beside_zone_events(k, pfn, order, cpu, last, last_pfn)
                self._starts(pfn, end, STARTS_USED if order < self._pageblock_order else STARTS_FREED_WHOLE)
            elif kind == BATCHED:
                if order == 0 and self.zone_events:
                    self._note_skipped(k, pfn)
            elif kind == EXTFRAG:
                # The stolen block's pageblocks had the type of the list that it was on. Where it has claimed one, its
                # page has left already, and tells the type that it was claimed for.
                if last == ZONE_ALLOC and last_pfn == pfn and self._typed_now[cpu]:
                    self._first_types[pfn >> self._pageblock_order] = 255
                    self._first_order[pfn] = 0
                self._typed(pfn, min(pfn + block_pages(details[k] & 31), self.pages), (details[k] >> 8) & 255)
                if last == ZONE_ALLOC and last_pfn == pfn:
                    self._last_kind[cpu] = 0  # its page has left already: nothing can be told of the kernel
                elif self._fallback_removes and self.zone_events:
                    self._taken_off(pfn, end, k < self._load_row)
                    self._tell(self._row + k, REMOVAL)
            elif kind == ISOLATING:
                self._isolating[cpu] = pfn
                # At zone level, what else the CPU did between is not there.
                if last != ISOLATED or (self.zone_level and times[k] - self._last_isolation > IN_A_ROW):
                    self._bursts += 1
                    self._burst[cpu] = self._bursts
            elif kind == PUTBACK and self._isolated[pfn]:
                if types[k] == CMA:
                    self._typed(pfn, end, CMA)
                self.least_told = min(self.least_told, order)
                self._isolated[pfn] = 0
                self._pending -= 1
                self._keeps(pfn, end, 0)

    # A block leaves its list by its place: compaction's, unless it is put back.
    def _isolation(self, k, pfn, pages, cpu, time):
        end: cython.Py_ssize_t = min(pfn + pages, self.pages)
        if self._isolated[pfn]:
            self._tell(self._isolated[pfn] - 1, COMPACTED)
            self._pending -= 1
        self._isolated[pfn] = self._row + k + 1
        self._pending += 1
        self._note_isolation(k, pfn, pages, cpu)
        self._told(pfn, end)
        self._last_isolation = time
        self._keeps(pfn, end, self._row + k + 1)

    # An allocation where no event tells of the zone: what is not on a CPU's list comes from there.
    def _alloc_of_lists(self, pfn, order, cpu, migratetype):
        end: cython.Py_ssize_t = pfn + block_pages(order)
        if not self._at_start[pfn]:
            # Lists are of these types alone; an event's is any byte.
            self._first_taker[pfn] = 1 + (
                cpu << 8 | order << 4 | (migratetype if migratetype <= RECLAIMABLE else MOVABLE)
            )
        self._starts(pfn, end, STARTS_FREE)
        self._typed(pfn, end, migratetype)
        self._left(pfn, end)

    # Boot frees whole pageblocks that nobody had allocated.
    def _note_boot(self, k, pfn, order, cpu, time):
        at: cython.Py_ssize_t = 5 * (pfn >> self._pageblock_order)
        self._boot[at] = self._row + k
        self._boot[at + 1] = time
        self._boot[at + 2] = cpu
        self._boot[at + 3] = pfn << 5 | order

    # A free goes to its CPU's list, or straight to the zone: the page's next event tells, and what this one was tells
    # whose it was then.
    def _free_beside_zone_events(self, k, pfn, order, cpu, last, last_pfn):
        has_list: cython.bint = self._is_pcp(order)
        was: cython.int = SURPLUS if self._is_surplus(cpu, pfn, order, last, last_pfn) else PLAIN
        if not self._at_start[pfn]:
            if order == self._pageblock_order:
                was = FIRST_PAGEBLOCK
            elif (order == 0 or not has_list) and k < self._load_row:
                was = FIRST
        self._last_was[pfn] = was
        if order == 0:
            self._before[pfn] = last_pfn + 1 if last == FREED and 0 <= last_pfn < self.pages else FIRST_OF_ALL
        if has_list:
            self._last_free[pfn] = self._row + k + 1
            self._pending += 1
        elif order >= self._pageblock_order and was != PLAIN:
            self._tell(self._row + k, BOOT)
