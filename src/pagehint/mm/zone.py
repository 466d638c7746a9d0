"""A zone: one range of page frames with its own free lists, counters and lock (docs/spec/1)."""

from functools import partial
from itertools import islice
from operator import index
from typing import NamedTuple

import cython
import numpy as np

from pagehint.errors import InputError
from pagehint.kernel.profiles import LINUX_5_3, check_profile
from pagehint.mm.check import check
from pagehint.units import check_kind, integer, power_of_two, shown, whole_number

if not cython.compiled:
    from pagehint.mm.fallback import choose_fallback
    from pagehint.mm.page import KIND, OFFLINE, ORDER, ORDINARY, RECLAIMABLE, USED
    from pagehint.mm.pcp import PerCpuLists
    from pagehint.mm.spans import Spans
    from pagehint.pointers import longlongs, uchars, uints


__all__ = ["Watermarks", "Zone"]

_MOST_PAGES = (1 << 32) - 512  # the entries of page_links have 32 bits
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


def _watermarks(given, pages):
    try:
        wanted = Watermarks(*map(index, islice(given, len(Watermarks._fields) + 1)))
    except TypeError:
        raise InputError(f"watermarks {shown(given)}: expected three whole numbers of pages") from None
    if not 0 <= wanted.min <= wanted.low <= wanted.high <= pages:
        raise InputError(f"{wanted}: expected 0 <= min <= low <= high <= the zone's {pages} pages")
    return wanted


@cython.cclass
class Zone(Spans):
    """A zone of ``pages`` pages from ``start_pfn`` on, all free, all pageblocks MOVABLE.

    The first ``present`` pages (default: all) are online, the others are room for memory hotplug.
    ``max_order`` is exclusive (1 to 32), ``pageblock_order`` below it. ``shuffle_order``: blocks of at least this
    order are freed to a list's end that a coin (``seed``) chooses. ``hinting=False`` leaves hinting out. Safe to call
    from any thread. Memory: 10 bytes a page, resident where touched. Raises InputError. Source: docs/spec/1.

    ``start_pfn``, ``page_size``, ``max_order``, ``pageblock_order``, ``profile``, ``hinting``, ``name`` and ``node``
    are attributes; ``nr_alloc``, ``nr_free_ops`` and ``nr_other_ops`` count blocks allocated, blocks freed, and what
    else was done to it.
    """

    def __init__(
        self,
        pages,
        *,
        present=None,
        start_pfn=0,
        page_size=4096,
        max_order=11,
        pageblock_order=9,
        profile=LINUX_5_3,
        watermarks=(0, 0, 0),
        shuffle_order=None,
        seed=0,
        hinting=True,
        name="Normal",
        node=0,
    ):
        pages = whole_number("pages", pages, 1, _MOST_PAGES)
        present = pages if present is None else whole_number("present", present, 0, pages)
        start_pfn = whole_number("start_pfn", start_pfn, 0, 1 << 52)
        max_order = whole_number("max_order", max_order, 1, 32)
        pageblock_order = whole_number("pageblock_order", pageblock_order, 0, max_order - 1)
        if shuffle_order is not None:
            shuffle_order = whole_number("shuffle_order", shuffle_order, 0, max_order - 1)
        seed = whole_number("seed", seed, 0, (1 << 63) - 1)
        node = whole_number("node", node, 0, 1023)
        page_size = power_of_two("page_size", page_size, 1 << 40)
        check_profile(profile)
        marks = _watermarks(watermarks, pages)
        check_kind("name", name, str, "a str")
        super().__init__(hinting, start_pfn, pages, max_order, pageblock_order, profile, shuffle_order, seed)
        choose_fallback(self)
        populated: cython.Py_ssize_t = present
        self._boot(0, populated, profile.boot_to_tail)
        self._mark(populated, pages, OFFLINE)
        self._offline_pages = pages - populated
        self.page_size = page_size
        self.name = str(name)
        self.node = node
        self.watermarks = marks

    def __repr__(self):
        return f"<Zone {self.name}: {self.pages} pages from pfn {self.start_pfn}, {self.free_pages} free>"

    # Allocating and freeing

    def alloc(self, order=0, migratetype=1, pcp: PerCpuLists = None):
        """The pfn of a block of ``2**order`` pages, or -1 if there is none. O(max_order); a steal looks at a pageblock.

        One that finds nothing while blocks are in flight has their driver settle it: wait for them, and try again.
        ``pcp``: a CPU's lists of this zone, to allocate through. Raises InputError for an order or a migratetype (0 to
        2) out of range.
        """
        pfn: cython.Py_ssize_t = self._try(order, migratetype, pcp, False)
        if pfn < -1:
            return self.settle(partial(self.alloc_nowait, order, migratetype, pcp))
        return pfn

    def alloc_nowait(self, order=0, migratetype=1, pcp: PerCpuLists = None, whole=False):
        """The same, but it never waits for blocks in flight. ``whole``: of another migratetype, only blocks of whole
        pageblocks (NOFRAGMENT)."""
        return max(self._try(order, migratetype, pcp, whole), -1)

    def settle(self, attempt):
        """Wait for the zone's blocks in flight, and call ``attempt()`` when they are back: it returns a pfn, or -1.

        Again while it finds nothing and blocks are in flight. Returns the pfn; -1, too, if no driver is attached.
        """
        last = None
        pfn = -1
        while pfn < 0:
            with self._lock:
                settle = self._settle
            if settle is None or settle == last:  # another driver's blocks may be in flight now
                return -1
            last = settle
            pfn = settle(self, attempt)
        return pfn

    # Lists point into their own zone's pages, and are guarded by its lock.
    def _check_lists(self, pcp: PerCpuLists):
        if pcp is not None and pcp.buddy is not self:
            raise InputError(f"the per-CPU lists of CPU {pcp.cpu} are not of this zone, but of {pcp.buddy!r}")
        return 0

    def _try(self, order, migratetype, pcp: PerCpuLists, whole):
        wanted: cython.int
        kind: cython.int
        i: cython.Py_ssize_t
        self._check_lists(pcp)
        if not isinstance(order, int) or not isinstance(migratetype, int):
            order, migratetype = integer("order", order), integer("migratetype", migratetype)
        try:
            wanted = order
        except OverflowError:
            wanted = -1
        try:
            kind = migratetype
        except OverflowError:
            kind = -1
        if not 0 <= wanted < self.max_order:
            raise InputError(f"order {shown(order)}: expected 0 to {self.max_order - 1}")
        if not 0 <= kind <= RECLAIMABLE:
            raise InputError(
                f"migratetype {shown(migratetype)}: expected 0 (UNMOVABLE), 1 (MOVABLE) or 2 (RECLAIMABLE)"
            )
        with self._lock:
            if whole:
                self._least_fallback = self.pageblock_order
            i = self._alloc(wanted, kind) if pcp is None else pcp._alloc(wanted, kind)
            self._least_fallback = 0
            if i >= 0:
                self.nr_alloc += 1
                i += self.start_pfn
            elif self._in_flight_pages:
                i = -2
        return i

    def free(self, pfn, order=0, pcp: PerCpuLists = None):
        """Free the block that ``alloc`` gave, through a CPU's lists if ``pcp`` is given. O(max_order).

        Raises InputError, and changes nothing, if no block of this order was allocated at ``pfn``.
        """
        wanted: cython.int
        i: cython.Py_ssize_t
        state: cython.int
        ring: cython.bint
        self._check_lists(pcp)
        if not isinstance(pfn, int) or not isinstance(order, int):
            pfn, order = integer("pfn", pfn), integer("order", order)
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
                    if pcp is None:
                        self._free(i, wanted, ORDINARY)
                    else:
                        pcp._free(i, wanted)
                    self.nr_free_ops += 1
                    ring = self._rings()
                else:
                    i = -1
        else:
            i = -1
        if i < 0:
            found = f"allocated with order {state & ORDER}" if (state & KIND) == USED else "not allocated"
            where = f"free of pfn {shown(pfn)}, order {shown(order)}"
            raise InputError(f"{where}: it is {found} (zone: pfn {self.start_pfn} and on)")
        if ring:
            self._ring_doorbell()

    def _operate(self, begin, end, ops, slots, orders, types, table, table_size, pcp: PerCpuLists):
        if pcp is None:
            return self._bulk(begin, end, ops, slots, orders, types, table, table_size)
        return pcp._bulk(begin, end, ops, slots, orders, types, table, table_size)

    def bulk(self, ops, slots, orders, migratetypes, table, pcp: PerCpuLists = None):
        """Run many operations in one compiled loop without the GIL; returns how many allocations found nothing.

        Arrays of one length: ``ops`` (uint8: 1 allocates, 0 frees), ``slots`` (uint32: index into ``table``),
        ``orders`` and ``migratetypes`` (uint8, read where an operation allocates). ``table`` (int64) holds each slot's
        pfn, -1 where empty; it is read and written. Freeing an empty slot does nothing. ``pcp``: a CPU's lists to go
        through. An allocation that finds nothing while blocks are in flight waits, as in ``alloc``. Raises InputError
        at the first operation that can't be done; those before it stand.
        """
        self._check_lists(pcp)
        arrays = ops, slots, orders, migratetypes, table
        if any(not isinstance(array, np.ndarray) for array in arrays):
            raise InputError("bulk: expected NumPy arrays")
        # What a subclass says of itself need not be so.
        arrays = ops, slots, orders, migratetypes, table = [np.asarray(array) for array in arrays]
        for (what, dtype), array in zip(_BULK_ARRAYS, arrays, strict=True):
            if array.dtype != dtype or array.ndim != 1:
                raise InputError(f"bulk: {what} must be a one-dimensional array of {dtype}")
            if not array.flags.c_contiguous or (what == "table" and not array.flags.writeable):
                raise InputError(f"bulk: {what} must be contiguous, and the table writable")
        if not len(ops) == len(slots) == len(orders) == len(migratetypes):
            raise InputError("bulk: ops, slots, orders and migratetypes must have one length")
        count: cython.Py_ssize_t = len(ops)
        table_size: cython.Py_ssize_t = len(table)
        begin: cython.Py_ssize_t = 0
        done: cython.Py_ssize_t = -1
        failed: cython.Py_ssize_t = 0
        ring: cython.bint
        _ops, _slots, _orders = uchars(ops), uints(slots), uchars(orders)
        _types, _table = uchars(migratetypes), longlongs(table)
        while done < 0:
            with cython.nogil, self._lock:
                while True:
                    done = self._operate(begin, count, _ops, _slots, _orders, _types, _table, table_size, pcp)
                    if done >= 0 or self._in_flight_pages:
                        break
                    failed += 1
                    begin = ~done + 1
                ring = self._rings()
            if ring:
                self._ring_doorbell()
            if done < 0:
                begin = ~done
                pfn = self.settle(partial(self.alloc_nowait, orders[begin], migratetypes[begin], pcp))
                if pfn < 0:
                    failed += 1
                else:
                    table[slots[begin]] = pfn
                begin += 1
        if done < count:
            raise InputError(
                f"bulk: operation {done} can't be done: ops {ops[done]}, slot {slots[done]}, order {orders[done]}, "
                f"migratetype {migratetypes[done]}"
            )
        return failed

    def drain_pcp(self, pcp: PerCpuLists):
        """Empty a CPU's lists into the zone. O(pages on them). Raises InputError if they are another zone's."""
        ring: cython.bint
        self._check_lists(pcp)
        with self._lock:
            pcp._drain_all()
            self.nr_other_ops += 1
            ring = self._rings()
        if ring:
            self._ring_doorbell()

    def decay_pcp(self, pcp: PerCpuLists):
        """What a CPU does once a second with lists that tune themselves: their `high` falls by an eighth.

        What is then too much goes back. Nothing for other lists. O(pages). Raises InputError if they are another
        zone's.
        """
        ring: cython.bint
        self._check_lists(pcp)
        with self._lock:
            pcp._decay()
            self.nr_other_ops += 1
            ring = self._rings()
        if ring:
            self._ring_doorbell()

    def check(self):
        """What is wrong with the zone, a line each; empty if nothing is. The zone must be at rest. O(pages)."""
        return check(self)

    # Its watermarks

    @property
    def watermarks(self):
        """Watermarks(min, low, high) in pages."""
        # Costs nothing but on free-threaded Python, where another thread may replace them now.
        with cython.critical_section(self):
            return self._watermarks

    @watermarks.setter
    def watermarks(self, watermarks):
        wanted = _watermarks(watermarks, self._pages)
        least: cython.Py_ssize_t = wanted.min
        low: cython.Py_ssize_t = wanted.low
        high: cython.Py_ssize_t = wanted.high
        with cython.critical_section(self):
            self._watermarks = wanted
        with self._lock:
            self._min_watermark = least
            self._low_watermark = low
            self._high_watermark = high
