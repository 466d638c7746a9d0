"""A zone: one range of page frames with its own free lists, counters and lock (spec 1)."""

from typing import NamedTuple

import cython
import numpy as np

from pagehint.errors import BusyError, InputError
from pagehint.mm.migratetype import LINUX_5_3, MIGRATE_TYPES

if cython.compiled:
    from cython.cimports.pagehint.mm.batch import Batch
    from cython.cimports.pagehint.mm.buddy import FREE, HINTED, ISOLATE, KIND, NEVER, ORDER, RECLAIMABLE, USED
    from cython.cimports.pagehint.mm.hinted import HintedLists
else:
    from pagehint.mm.batch import Batch
    from pagehint.mm.hinted import HintedLists
    from pagehint.mm.migratetype import Migratetype
    from pagehint.mm.page import FREE, HINTED, KIND, NEVER, ORDER, USED

    UNMOVABLE, MOVABLE, RECLAIMABLE, HIGHATOMIC, ISOLATE = map(int, Migratetype)

__all__ = ["Watermarks", "Zone"]

_MOST_PAGES = (1 << 32) - 256
_BULK_ARRAYS = (
    ("ops", np.dtype(np.uint8)),
    ("slots", np.dtype(np.uint32)),
    ("orders", np.dtype(np.uint8)),
    ("migratetypes", np.dtype(np.uint8)),
    ("table", np.dtype(np.int64)),
)


class Watermarks(NamedTuple):
    """A zone's watermarks, in pages."""

    min: int = 0
    low: int = 0
    high: int = 0


@cython.cclass
class Zone(HintedLists):
    """A zone of ``pages`` pages from ``start_pfn`` on, all free, all pageblocks MOVABLE.

    ``max_order`` is exclusive (1 to 32), ``pageblock_order`` below it. ``shuffle_order``: blocks of at least this
    order are freed to a list's end that a coin (``seed``) chooses. ``hinting=False`` leaves hinting out. Safe to call
    from any thread. Memory: 10 bytes a page, resident where touched. Raises InputError. Source: spec 1.
    """

    def __init__(
        self,
        pages,
        *,
        start_pfn=0,
        page_size=4096,
        max_order=11,
        pageblock_order=9,
        rules=LINUX_5_3,
        watermarks=(0, 0, 0),
        shuffle_order=None,
        seed=0,
        hinting=True,
        name="Normal",
        node=0,
    ):
        for what, value, least, most in (
            ("pages", pages, 1, _MOST_PAGES),
            ("start_pfn", start_pfn, 0, 1 << 52),
            ("max_order", max_order, 1, 32),
            ("pageblock_order", pageblock_order, 0, max_order - 1),
            ("shuffle_order", 0 if shuffle_order is None else shuffle_order, 0, max_order - 1),
            ("seed", seed, 0, (1 << 63) - 1),
            ("node", node, 0, 1023),
        ):
            if not isinstance(value, int) or not least <= value <= most:
                raise InputError(f"{what} {value!r} of a zone: expected {least} to {most}")
        if page_size < 1 or page_size & (page_size - 1):
            raise InputError(f"page_size {page_size} of a zone: expected a power of two")
        super().__init__(start_pfn, pages, max_order, pageblock_order, rules, shuffle_order, seed)
        if not cython.compiled:
            self._lock = cython.pymutex()
            self.nr_alloc = self.nr_free_ops = 0
        self.page_size = page_size
        self.name = name
        self.node = node
        self.hinting = hinting
        self._device = self._doorbell = self._settle = None
        self._attached = False
        self.watermarks = watermarks
        self._boot(0, pages, rules.boot_to_tail)

    def __repr__(self):
        return f"<Zone {self.name}: {self.pages} pages from pfn {self.start_pfn}, {self.free_pages} free>"

    # Allocating and freeing

    def alloc(self, order=0, migratetype=1):
        """The pfn of a block of ``2**order`` pages, or -1 if there is none. O(max_order); a steal looks at a pageblock.

        One that finds nothing while blocks are in flight has their driver settle it: wait for them, and try again.
        Raises InputError for an order or a migratetype (0 to 2) out of range.
        """
        pfn: cython.Py_ssize_t = self._try(order, migratetype)
        if pfn < -1 and self._settle is not None:
            return self._settle(self, order, migratetype)
        return max(pfn, -1)

    def alloc_nowait(self, order=0, migratetype=1):
        """The same, but it never waits for blocks in flight."""
        return max(self._try(order, migratetype), -1)

    def _try(self, order, migratetype):
        wanted: cython.int
        kind: cython.int
        i: cython.Py_ssize_t
        try:
            wanted = order
            kind = migratetype
        except OverflowError:
            wanted = kind = -1
        if not 0 <= wanted < self.max_order:
            raise InputError(f"order {order}: expected 0 to {self.max_order - 1}")
        if not 0 <= kind <= RECLAIMABLE:
            raise InputError(f"migratetype {migratetype}: expected 0 (UNMOVABLE), 1 (MOVABLE) or 2 (RECLAIMABLE)")
        with self._lock:
            i = self._alloc(wanted, kind)
            if i >= 0:
                self.nr_alloc += 1
                i += self.start_pfn
            elif self._in_flight_pages:
                i = -2
        return i

    def free(self, pfn, order=0):
        """Free the block that ``alloc`` gave. O(max_order).

        Raises InputError, and changes nothing, if no block of this order was allocated at ``pfn``.
        """
        wanted: cython.int
        i: cython.Py_ssize_t
        state: cython.int
        ring: cython.bint
        try:
            i = pfn
            wanted = order
            i -= self.start_pfn
        except OverflowError:
            i = wanted = -1
        state = 0
        if 0 <= i < self._pages and 0 <= wanted < 32:
            with self._lock:
                state = self._state[i]
                if (state & (KIND | ORDER)) == (USED | wanted):
                    self._free(i, wanted)
                    self.nr_free_ops += 1
                    ring = self._ring
                    self._ring = False
                else:
                    i = -1
        else:
            i = -1
        if i < 0:
            found = f"allocated with order {state & ORDER}" if (state & KIND) == USED else "not allocated"
            raise InputError(f"free of pfn {pfn}, order {order}: it is {found} (zone: pfn {self.start_pfn} and on)")
        if ring:
            self._ring_doorbell()

    def bulk(self, ops, slots, orders, migratetypes, table):
        """Run many operations in one compiled loop without the GIL; returns how many allocations found nothing.

        Arrays of one length: ``ops`` (uint8: 1 allocates, 0 frees), ``slots`` (uint32: index into ``table``),
        ``orders`` and ``migratetypes`` (uint8, read where an operation allocates). ``table`` (int64) holds each slot's
        pfn, -1 where empty; it is read and written. Freeing an empty slot does nothing. Raises InputError at the first
        operation that can't be done; those before it stand.
        """
        arrays = ops, slots, orders, migratetypes, table
        for (what, dtype), array in zip(_BULK_ARRAYS, arrays, strict=True):
            if not isinstance(array, np.ndarray) or array.dtype != dtype or array.ndim != 1:
                raise InputError(f"bulk: {what} must be a one-dimensional array of {dtype}")
            if not array.flags.c_contiguous or (what == "table" and not array.flags.writeable):
                raise InputError(f"bulk: {what} must be contiguous, and the table writable")
        if not len(ops) == len(slots) == len(orders) == len(migratetypes):
            raise InputError("bulk: ops, slots, orders and migratetypes must have one length")
        count: cython.Py_ssize_t = len(ops)
        table_size: cython.Py_ssize_t = len(table)
        done: cython.Py_ssize_t = 0
        failed: cython.Py_ssize_t = 0
        ring: cython.bint
        if cython.compiled:
            _ops: cython.const[cython.uchar][::1] = ops
            _slots: cython.const[cython.uint][::1] = slots
            _orders: cython.const[cython.uchar][::1] = orders
            _types: cython.const[cython.uchar][::1] = migratetypes
            _table: cython.longlong[::1] = table
            with cython.nogil, self._lock:
                done = self._bulk(
                    0,
                    count,
                    cython.address(_ops[0]),
                    cython.address(_slots[0]),
                    cython.address(_orders[0]),
                    cython.address(_types[0]),
                    cython.address(_table[0]),
                    table_size,
                    cython.address(failed),
                )
                ring = self._ring
                self._ring = False
        else:
            failures = [0]
            views = [memoryview(array) for array in arrays]
            with self._lock:
                done = self._bulk(0, count, *views, table_size, failures)
                failed = failures[0]
                ring, self._ring = self._ring, False
        if ring:
            self._ring_doorbell()
        if done < count:
            raise InputError(
                f"bulk: operation {done} can't be done: ops {ops[done]}, slot {slots[done]}, order {orders[done]}, "
                f"migratetype {migratetypes[done]}"
            )
        return failed

    # Isolating

    def _index(self, pfn):
        if not isinstance(pfn, int) or not 0 <= pfn - self.start_pfn < self._pages:
            raise InputError(f"pfn {pfn}: the zone has {self.start_pfn} to {self.start_pfn + self._pages - 1}")
        return pfn - self.start_pfn

    def isolate(self, pfn):
        """Isolate the pageblock of ``pfn``: its free blocks can't be allocated. Raises BusyError if it is isolated."""
        i: cython.Py_ssize_t = self._index(pfn)
        done: cython.bint
        with self._lock:
            done = self._isolate(self._pageblock(i))
        if not done:
            raise BusyError(f"the pageblock of pfn {pfn} is isolated already")

    def unisolate(self, pfn, migratetype=1):
        """End the isolation of the pageblock of ``pfn``, which becomes ``migratetype``; nothing if there is none."""
        i: cython.Py_ssize_t = self._index(pfn)
        kind: cython.int = migratetype if 0 <= migratetype < ISOLATE else -1
        ring: cython.bint
        if kind < 0:
            raise InputError(f"migratetype {migratetype}: expected 0 to 3")
        with self._lock:
            self._unisolate(self._pageblock(i), kind)
            ring = self._ring
            self._ring = False
        if ring:
            self._ring_doorbell()

    # What a hinting design does to the zone (spec 1, sections 6 to 8)

    def attach(self, order, high_water_mark, device, doorbell, settle=None):
        """Let frees of at least ``order`` notify: ``doorbell()`` runs outside the lock when one sets ``requested``.

        A device other than the last one starts with nothing hinted. ``settle(zone, order, migratetype)`` allocates
        for a caller who found nothing while blocks were in flight. Raises BusyError if a device is attached.
        """
        least: cython.int = order
        if not self.hinting:
            raise InputError(f"zone {self.name} was made without hinting")
        if not 0 <= least < self.max_order:
            raise InputError(f"hinting order {order}: expected 0 to {self.max_order - 1}")
        busy: cython.bint
        other: cython.bint = self._device is not device
        with self._lock:
            busy = self._attached
            if not busy:
                self._attached = True
                if other:
                    self._forget()
                self._high_water_mark = high_water_mark
                self._min_order = self._notify_order = least
                self._request(self._requested)
        if busy:
            raise BusyError(f"zone {self.name} has a hinting device already")
        self._device = device
        self._doorbell = doorbell
        self._settle = settle

    def mute(self):
        """Frees stop notifying. What is hinted or requested stays so."""
        with self._lock:
            self._notify_order = NEVER
            self._request(self._requested)

    def detach(self):
        """The device is gone: frees stop notifying, another may be attached. What is hinted or requested stays so."""
        self._doorbell = self._settle = None
        with self._lock:
            self._notify_order = NEVER
            self._request(self._requested)
            self._attached = False

    def _ring_doorbell(self):
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

        A pull never takes the zone's free pages below its low watermark. O(blocks + orders).
        """
        full: cython.bint
        with self._lock:
            full = self._fill(batch)
        return full

    def drain(self, batch: Batch, hinted):
        """Put a batch's blocks back: behind the warm ones, hinted if ``hinted`` and if they merge with nothing."""
        flag: cython.bint = hinted
        with self._lock:
            self._put_back(batch, flag)

    # What can be read

    @property
    def pages(self):
        """Pages in the zone."""
        return self._pages

    @property
    def free_pages(self):
        """The free page counter: pages on lists other than ISOLATE."""
        return self._free_pages

    @property
    def in_flight_pages(self):
        """Pages of blocks that a device is being told of."""
        return self._in_flight_pages

    @property
    def isolated(self):
        """Isolated pageblocks."""
        return self._nr_isolated

    @property
    def active(self):
        """A cycle is processing the zone (ACTIVE)."""
        return self._active

    @property
    def nr_free(self):
        """Free blocks of each order: a list of ``max_order`` numbers."""
        return [self._nr_free[order] for order in range(self.max_order)]

    @property
    def nr_hinted(self):
        """Hinted blocks of each order, or None before hinting first runs here."""
        return [self._hinted[order] for order in range(self.max_order)] if self._counts_exist else None

    @property
    def watermarks(self):
        """Watermarks(min, low, high) in pages."""
        return self._watermarks

    @watermarks.setter
    def watermarks(self, watermarks):
        wanted = Watermarks(*watermarks)
        if not 0 <= wanted.min <= wanted.low <= wanted.high <= self._pages:
            raise InputError(f"{wanted}: expected 0 <= min <= low <= high <= the zone's {self._pages} pages")
        with self._lock:
            self._watermarks = wanted
            self._low_watermark = wanted.low

    def boundary(self, order, migratetype):
        """The pfn that the boundary of a list points at, or -1 for the list's head. Meaningful while ``active``."""
        i: cython.Py_ssize_t = self._boundary[(migratetype << 5) + order]
        return i + self.start_pfn if i < self._pages else -1

    @property
    def hinting_order(self):
        """The least order that is hinted, or 255 before a device was first attached."""
        return self._min_order

    def is_hinted(self, pfns):
        """Which of these pfns (an integer array) start hinted blocks: bool, one each."""
        return (self.page_state[pfns - self.start_pfn] & (KIND | HINTED)) == (FREE | HINTED)

    def free_list(self, order, migratetype):
        """The pfns on a free list, head first (int64). O(blocks). A ring that is broken ends where it breaks."""
        if not 0 <= order < self.max_order or not 0 <= migratetype < MIGRATE_TYPES:
            raise InputError(f"no free list of order {order}, migratetype {migratetype}")
        head: cython.Py_ssize_t = self._pages + (migratetype << 5) + order
        i: cython.Py_ssize_t
        n: cython.Py_ssize_t = 0
        most: cython.Py_ssize_t
        with self._lock:
            most = self._nr_free[order] + 1
            pfns = np.empty(most, np.int64)
            if cython.compiled:
                out = cython.cast(cython.p_longlong, cython.cast(cython.size_t, pfns.ctypes.data))
            else:
                out = memoryview(pfns)
            i = self._links[2 * head]
            while i < self._pages and n < most:
                out[n] = i + self.start_pfn
                n += 1
                i = self._links[2 * i]
        return pfns[:n]
