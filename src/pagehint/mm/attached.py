"""What a hinting design does to a zone, under the zone's lock (docs/spec/1, sections 6 to 8; docs/spec/2)."""

from collections.abc import Callable

import cython
import numpy as np

from pagehint.errors import BusyError, InputError
from pagehint.kernel.migratetype import MIGRATE_TYPES
from pagehint.mm.batch import misplaced
from pagehint.units import check_kind, integer, shown, whole_number

if not cython.compiled:
    from pagehint.mm.batch import Batch
    from pagehint.mm.page import (
        AHEAD,
        FREE,
        HIGHATOMIC,
        HINTED,
        ISOLATE,
        KIND,
        LISTS,
        NEVER,
        ORDER,
        PCP,
        UNREACHABLE,
        block_pages,
        page_of,
        prefetch,
    )
    from pagehint.mm.ranges import WALKED, Ranges
    from pagehint.pointers import longlongs, uints


__all__ = ["Attachable"]

_OLDEST = 1 << 61  # ns
_MOST_BUDGET = 1 << 62


def _cpu(pcp):
    return pcp.cpu


# `whole_number`, without a call of Python code where all is well.
@cython.cfunc
@cython.exceptval(-1)
def _whole(what, value, least: cython.longlong, most: cython.longlong) -> cython.longlong:
    return value if type(value) is int and least <= value <= most else whole_number(what, value, least, most)


@cython.cclass
class Attachable(Ranges):
    """Free areas with a lock, which a device's design can be attached to."""

    def __init__(self, hinting, *arguments):
        super().__init__(*arguments)
        if not cython.compiled:
            self._lock = cython.pymutex()
            self._attached = False
        self.hinting = hinting
        self._device = self._doorbell = self._settle = self._count_per_cpu = None

    def attach(self, order, high_water_mark, device, doorbell, settle=None, ages=False):
        """Let frees of at least ``order`` notify: ``doorbell()`` runs outside the lock when one sets ``requested``.

        A device other than the last one starts with nothing hinted; the first one, with what was loaded so.
        ``settle(zone, attempt)`` waits for blocks in flight, as ``Zone.settle`` says. ``high_water_mark``: how many
        unhinted blocks of its order a free must find to set ``requested``; 0 for any free. ``ages``: each free block of
        at least ``order`` has an age from now on (see ``ages``), and the end of isolation notifies too; 4 bytes a page.
        Raises BusyError if a device is attached.
        """
        if not self.hinting:
            raise InputError("this zone was made without hinting")
        least: cython.int = whole_number("hinting order", order, 0, self.max_order - 1)
        mark: cython.Py_ssize_t = whole_number("high_water_mark", high_water_mark, 0, 1 << 32)
        busy: cython.bint
        aged: cython.bint = ages
        freed_at = np.zeros(self._pages if aged else 1, np.uint32)
        places = uints(freed_at)
        now: cython.uint
        i: cython.Py_ssize_t
        other: cython.bint = self._device is not None and self._device is not device
        with self._lock:
            busy = self._attached
            if not busy:
                self._attached = True
                self._active = False  # boundaries stand for the last cycle's least order
                if other:
                    self._forget()
                self._high_water_mark = mark
                self._min_order = self._notify_order = least
                self._begin_walks(0, self._top, 0, HIGHATOMIC)
                # Whatever is free was freed now, as far as anybody knows.
                self._ages = False
                self._freed_at_array, freed_at = freed_at, self._freed_at_array
                self._freed_at = places
                i = 0
                now = self._tick()
                while aged and i < self._pages:
                    self._freed_at[i] = now
                    i += block_pages(self._state[i] & ORDER)
                self._ages = aged
                self._request(self._requested)
                self._doorbell = doorbell  # None before, so that nothing is let go of under the lock
                self._settle = settle
        if busy:
            raise BusyError("this zone has a hinting device already")
        self._device = device

    def notify_from(self, order):
        """Let frees of at least ``order`` notify from now on, instead of those that ``attach`` said.

        Raises InputError where no device is attached, within a cycle, and where ages are kept: these are of an order.
        """
        least: cython.int = whole_number("hinting order", order, 0, NEVER)
        can: cython.bint
        with self._lock:
            can = self._attached and not self._active and not self._ages
            if can:
                self._min_order = self._notify_order = least
                self._request(self._requested)
        if not can:
            raise InputError(f"{self!r}: its order can be changed with a device, and without a cycle and ages only")

    def mute(self):
        """Frees stop notifying. What is hinted or requested stays so."""
        with self._lock:
            self._notify_order = NEVER
            self._request(self._requested)

    def detach(self, doorbell=None):
        """The device is gone: frees stop notifying, another may be attached. What is hinted or requested stays so.

        With a ``doorbell``: only if it is the attached device's.
        """
        old = settle = None  # kept until the lock is free: who lets go of them may run anything
        with self._lock:
            if doorbell is None or self._doorbell is doorbell:
                old, settle = self._doorbell, self._settle
                self._doorbell = self._settle = None
                self._notify_order = NEVER
                self._ages = False
                self._request(self._requested)
                self._attached = False
        del old, settle

    def _rings(self):
        ring: cython.bint = self._ring
        self._ring = False
        return ring

    def _ring_doorbell(self):
        with self._lock:
            doorbell = self._doorbell
        if doorbell is not None:
            doorbell()

    @property
    def requested(self):
        """A free asked for a cycle, and none has served it yet (REQUESTED)."""
        return self._requested

    def request(self, wanted=True):
        """Set or clear ``requested``."""
        with self._lock:
            self._request(wanted)

    def begin(self):
        """A cycle begins (ACTIVE): the hinted counts exist, every boundary stands at its list's head. O(lists)."""
        with self._lock:
            self._begin()

    def end(self):
        """The cycle ends: ACTIVE is cleared."""
        with self._lock:
            self._active = False

    def fill(self, batch: Batch):
        """Pull unhinted blocks into ``batch``, largest first; true if it is full, else ``requested`` is cleared.

        A pull never takes the zone's free pages below its low watermark. O(blocks + orders). Raises InputError if no
        cycle began, or if the batch holds blocks: they are in flight, and would be lost.
        """
        full: cython.bint = False
        begun: cython.bint
        held: cython.bint
        with self._lock:
            begun = self._active
            held = batch._count > 0
            if begun and not held:
                full = self._fill(batch)
        if held:
            raise InputError(f"{batch!r}: drain it before it is filled again")
        if not begun:
            raise InputError(f"{self!r}: begin a cycle before a batch is filled")
        return full

    # Raises InputError if one of a batch's blocks is not in flight in this zone.
    def _check_batch(self, batch: Batch):
        with self._lock:
            wrong = self._not_in_flight(batch)
        if wrong >= 0:
            raise misplaced(batch, wrong)

    def drain(self, batch: Batch, hinted):
        """Put a batch's blocks back: behind the warm ones, hinted if ``hinted`` and if they merge with nothing.

        Raises InputError, and changes nothing, if one of them is not in flight in this zone.
        """
        wrong: cython.Py_ssize_t
        with self._lock:
            wrong = self._not_in_flight(batch)
            if wrong < 0:
                self._put_back(batch, hinted)
        if wrong >= 0:
            raise misplaced(batch, wrong)

    def pull(self, batch: Batch, *, order=None, migratetype=None, age=0, most=None, from_head=False, resume=False):
        """Take unhinted free blocks, at least ``age`` ns old, off their lists into ``batch``; true if it is full.

        Of one ``order``, or all from the largest down to the attached one; of one ``migratetype``, or all but ISOLATE.
        ``most``: blocks at most, and never more than the batch holds. Lists are walked from the block that is allocated
        last, which is about the one that was freed first, or ``from_head``; within a cycle (``begin``), without what is
        hinted. The batch may hold blocks of this zone already. Never takes the zone's free pages below its low
        watermark. ``resume``: each list from where the last pull from it stopped, as its batch was full; one that was
        walked to its end gives nothing. Raises InputError for an age where none are kept, as of orders below the
        attached one, and if the batch holds other blocks than this zone's in flight. O(blocks walked); the lock is let
        go of after each 1,024.
        """
        first: cython.int = self.max_order - 1
        last: cython.int = self._min_order
        kind: cython.int
        wrong: cython.Py_ssize_t
        kept: cython.bint
        room: cython.Py_ssize_t = batch.capacity
        old: cython.longlong = (_whole("age", age, 0, _OLDEST) + 999999) // 1000000
        head_first: cython.bint = from_head
        if most is not None:
            room = min(batch._count + _whole("most", most, 0, _MOST_BUDGET), batch.capacity)
        if order is not None:
            first = last = _whole("order", order, 0, self.max_order - 1)
        high: cython.int = HIGHATOMIC
        low: cython.int = 0
        if migratetype is not None:
            high = low = _whole("migratetype", migratetype, 0, HIGHATOMIC)
        goes_on: cython.bint = resume
        which: cython.int
        at: cython.Py_ssize_t
        with self._lock:
            wrong = self._not_in_flight(batch)
            kept = self._keeps(last) or not old
            if wrong < 0 and kept and not goes_on:
                self._begin_walks(last, first, low, high)
        while wrong < 0 and kept and first >= last and batch._count < room:
            for kind in range(high, low - 1, -1):
                which = (kind << 5) + first
                with self._lock:
                    at = self._stopped[which]
                while kept and at != WALKED and batch._count < room:
                    with self._lock:
                        kept = self._keeps(last) or not old  # whoever attached meanwhile may keep none
                        if kept:
                            at = self._pull_old(first, kind, batch, room, old, head_first, at)
                            self._stopped[which] = at
            first -= 1
        if not kept:
            raise InputError(f"{self!r} keeps no ages of order {last}: attach with ages=True, from that order on")
        if wrong >= 0:
            raise misplaced(batch, wrong)
        return batch._count == batch.capacity

    # Whether the ages of blocks of this order are kept.
    def _keeps(self, order):
        return self._ages and order >= self._min_order

    @property
    def now(self):
        """The time (ns): of this machine's monotonic clock, or as whoever keeps virtual time sets it."""
        return self._time()

    @now.setter
    def now(self, now):
        self._now = whole_number("now", now, 0, (1 << 63) - 1)

    def _indices(self, pfns):
        given = np.asarray(pfns)
        if given.ndim != 1 or (len(given) and given.dtype.kind not in "iu"):
            raise InputError(f"pfns are {given.dtype} of shape {given.shape}: expected whole numbers, in one dimension")
        pages = given.astype(np.int64) - self.start_pfn
        if len(pages) and not 0 <= pages.min() <= pages.max() < self._pages:
            raise InputError(f"pfns outside the zone, which has {self.start_pfn} to {self.start_pfn + self._pages - 1}")
        return pages

    def ages(self, pfns):
        """How long each of these free blocks (pfns, an integer array) has been free: ns, to the millisecond.

        Of a block that merged, its youngest part; of one that was split, the whole's. Being told to a device doesn't
        change it. Raises InputError where no ages are kept (see ``attach``), and for pfns outside of the zone.
        """
        pages = self._indices(pfns)
        with self._lock:
            kept: cython.bint = self._ages
            freed_at = self._freed_at_array
            now = self._time()
        if not kept:
            raise InputError(f"{self!r} keeps no ages: attach with ages=True")
        return ((now // 1000000 - freed_at[pages].astype(np.int64)) & 0xFFFFFFFF) * 1000000

    def probe(self, pfns):
        """Of each of these pages (pfns, an int64 array): the order of the free block that it is in (int8; -2: it is
        on a per-CPU list; -1: neither), and when that block was freed (ms, modulo 2^32; uint32).

        Raises InputError where no ages are kept (see ``attach``), and for pfns outside of the zone.
        """
        pages = self._indices(pfns)
        orders = np.empty(len(pages), np.int8)
        freed = np.empty(len(pages), np.uint32)
        self._probe(memoryview(pages), len(pages), memoryview(orders), memoryview(freed))
        return orders, freed

    # The same of the first ``count`` of these indices.
    def _probe(self, places, count, orders, freed):
        k: cython.Py_ssize_t
        head: cython.Py_ssize_t
        kept: cython.bint
        with self._lock:
            kept = self._ages
            for k in range(count if kept else 0):
                if cython.compiled and k + AHEAD < count:
                    prefetch(cython.address(self._state[places[k + AHEAD]]))
                head = self._head_of(places[k])
                orders[k] = -1
                freed[k] = 0
                if head >= 0 and (self._state[head] & KIND) == FREE:
                    orders[k] = self._state[head] & ORDER
                    freed[k] = self._freed_at[head]
                elif head >= 0 and (self._state[head] & KIND) == PCP:
                    orders[k] = -2
        if not kept:
            raise InputError(f"{self!r} keeps no ages: attach with ages=True")
        return True

    def take_unreported(self, order, migratetype, batch: Batch, budget):
        """Walk a list from its head, step over the hinted blocks and take the others into ``batch`` (docs/spec/2).

        Returns 0 at the list's end, or where the zone's min watermark stops it; 1 if the batch is full; 2 if the
        budget is below 0. Where a walk ends at a block, the list is rotated so that it is first. O(blocks walked).
        Raises InputError for ISOLATE's lists, within a cycle that has boundaries, and if the batch holds other blocks
        than this zone's in flight.
        """
        ended: cython.int = 0
        ring: cython.Py_ssize_t = self._list(order, migratetype)
        which: cython.int = ring & 31
        kind: cython.int = ring >> 5
        left: cython.Py_ssize_t = _whole("budget", budget, -_MOST_BUDGET, _MOST_BUDGET)
        wrong: cython.Py_ssize_t
        begun: cython.bint
        if kind == ISOLATE:
            raise InputError("isolated blocks are not reported: they can't be allocated, and are no free pages")
        with self._lock:
            begun = self._active
            wrong = self._not_in_flight(batch)
            if wrong < 0 and not begun:
                ended = self._take_unreported(which, kind, batch, left)
        if begun:
            raise InputError(f"{self!r}: a cycle with boundaries runs, which lists that are rotated would break")
        if wrong >= 0:
            raise misplaced(batch, wrong)
        return ended

    @property
    def active(self):
        """A cycle is processing the zone (ACTIVE)."""
        return self._active

    @property
    def in_flight_pages(self):
        """Pages of blocks that a device is being told of."""
        return self._in_flight_pages

    @property
    def nr_hinted(self):
        """Hinted blocks of each order, or None before hinting first runs here."""
        counts = [self._hinted[order] for order in range(self.max_order)]
        return counts if self._counts_exist or any(counts) else None

    @property
    def nr_unhinted(self):
        """Free blocks of each order that are not hinted, and can be: none that is isolated. O(max_order), and isolated
        blocks."""
        order: cython.int
        blocks: cython.Py_ssize_t
        counts = []
        for order in range(self.max_order):
            blocks = self._nr_free[order] - self._hinted[order]
            if blocks and self._isolate_list_pages:
                with self._lock:
                    blocks = self._nr_free[order] - self._hinted[order] - self._unhinted_isolated(order)
            counts.append(blocks)
        return counts

    def boundary(self, order, migratetype):
        """The pfn that the boundary of a list points at, or -1 for the list's head. Meaningful while ``active``."""
        which: cython.Py_ssize_t = self._list(order, migratetype)
        e: cython.Py_ssize_t = self._boundary[which]
        return page_of(e) + self.start_pfn if e >= LISTS else -1

    # What can be read

    @property
    def pages(self):
        """Pages in the zone."""
        return self._pages

    @property
    def present_pages(self):
        """Pages that are online."""
        return self._pages - self._offline_pages

    @property
    def free_pages(self):
        """The free page counter: pages on lists other than ISOLATE."""
        return self._free_pages

    @property
    def isolated(self):
        """Isolated pageblocks."""
        return self._nr_isolated

    @property
    def nr_free(self):
        """Free blocks of each order: a list of ``max_order`` numbers."""
        return [self._nr_free[order] for order in range(self.max_order)]

    @property
    def pcps(self):
        """The CPUs' lists of this zone that there are, by CPU."""
        return sorted(self._pcps, key=_cpu)

    def count_per_cpu_by(self, count):
        """``per_cpu_pages`` is what ``count()`` says from now on: the CPUs' lists are a recording's.

        Raises InputError for what is no function.
        """
        check_kind("count", count, Callable, "a function")
        self._count_per_cpu = count

    @property
    def per_cpu_pages(self):
        """Free pages that are on CPUs' lists. O(CPUs), of a recording's lists O(pages / 64)."""
        if self._count_per_cpu is not None:
            return self._count_per_cpu()
        return sum([pcp.count for pcp in self._pcps])

    def is_hinted(self, pfns):
        """Which of these pfns (an integer array) start hinted blocks: bool, one each."""
        pages = self._indices(pfns)
        return (self.page_state[pages] & (KIND | HINTED)) == (FREE | HINTED)

    def free_list(self, order, migratetype):
        """The pfns on a free list, head first (int64). O(blocks). A ring that is broken ends where it breaks."""
        ring: cython.Py_ssize_t = self._list(order, migratetype)
        which: cython.int = ring & 31
        e: cython.Py_ssize_t
        n: cython.Py_ssize_t = 0
        room: cython.Py_ssize_t = 0
        most: cython.Py_ssize_t = max(self._nr_free[which], 0) + 1
        while room < most:
            # Not under the lock: NumPy runs Python code here, and so do signal handlers, which may want the lock.
            room = most
            pfns = np.empty(room, np.int64)
            out = longlongs(pfns)
            with self._lock:
                most = max(self._nr_free[which], 0) + 1
                e = self._links[2 * ring] if most <= room else ring
                while 0 <= page_of(e) < self._pages and n < most:
                    out[n] = page_of(e) + self.start_pfn
                    n += 1
                    e = self._links[2 * e]
        return pfns[:n]

    # What check() can't see from outside, a line for each that is wrong.
    def _wrong_marks(self):
        wrong = []
        order: cython.int
        on_lists: cython.Py_ssize_t = 0
        for order in range(32):
            mark = self._notify_at[order]
            due = self._hinted[order] + self._high_water_mark
            if order >= self._notify_order and self._ages:
                right, expected = mark < -(UNREACHABLE >> 1), "always"
            elif order < self._notify_order or self._requested:
                right, expected = mark > UNREACHABLE >> 1, "never"
            else:
                right, expected = mark == due, due
            if not right:
                wrong.append(f"order {order}: frees notify at {mark} blocks, not {expected}")
            if order >= self.max_order and (self._nr_free[order] or self._hinted[order]):
                wrong.append(f"order {order}: {self._nr_free[order]} blocks, {self._hinted[order]} hinted: none can be")
            on_lists += self._nr_free[order] << order
        if self._free_pages + self._isolate_list_pages != on_lists:
            wrong.append(f"{self._isolate_list_pages} isolated pages, {self._free_pages} free: not {on_lists} in all")
        return wrong

    def _list(self, order, migratetype):
        order, migratetype = integer("order", order), integer("migratetype", migratetype)
        if not 0 <= order < self.max_order or not 0 <= migratetype < MIGRATE_TYPES:
            raise InputError(f"no free list of order {shown(order)}, migratetype {shown(migratetype)}")
        return (migratetype << 5) + order

    def _index(self, pfn):
        i = integer("pfn", pfn) - self.start_pfn
        if not 0 <= i < self._pages:
            raise InputError(f"pfn {shown(pfn)}: the zone has {self.start_pfn} to {self.start_pfn + self._pages - 1}")
        return i
