"""What a hinting design does to a zone, under the zone's lock (spec 1, sections 6 to 8; spec 2)."""

from operator import index

import cython

from pagehint.errors import BusyError, InputError
from pagehint.kernel.migratetype import MIGRATE_TYPES
from pagehint.units import whole_number

if cython.compiled:
    from cython.cimports.pagehint.mm.batch import Batch
    from cython.cimports.pagehint.mm.buddy import ISOLATE, NEVER, UNREACHABLE
    from cython.cimports.pagehint.mm.ranges import Ranges
else:
    from pagehint.kernel.migratetype import Migratetype
    from pagehint.mm.batch import Batch
    from pagehint.mm.page import NEVER, UNREACHABLE
    from pagehint.mm.ranges import Ranges

    ISOLATE = int(Migratetype.ISOLATE)


@cython.cclass
class Attachable(Ranges):
    """Free areas with a lock, which a device's design can be attached to."""

    def __init__(self, hinting, *arguments):
        super().__init__(*arguments)
        if not cython.compiled:
            self._lock = cython.pymutex()
            self._attached = False
        self.hinting = hinting
        self._device = self._doorbell = self._settle = None

    def attach(self, order, high_water_mark, device, doorbell, settle=None):
        """Let frees of at least ``order`` notify: ``doorbell()`` runs outside the lock when one sets ``requested``.

        A device other than the last one starts with nothing hinted; the first one, with what was loaded so.
        ``settle(zone, attempt)`` waits for blocks in flight, as ``Zone.settle`` says. Raises BusyError if a device is
        attached.
        """
        if not self.hinting:
            raise InputError("this zone was made without hinting")
        least: cython.int = whole_number("hinting order", order, 0, self.max_order - 1)
        mark: cython.Py_ssize_t = whole_number("high_water_mark", high_water_mark, 0, 1 << 32)
        busy: cython.bint
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
                self._request(self._requested)
                self._doorbell = doorbell  # None before, so that nothing is let go of under the lock
                self._settle = settle
        if busy:
            raise BusyError("this zone has a hinting device already")
        self._device = device

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

    def drain(self, batch: Batch, hinted):
        """Put a batch's blocks back: behind the warm ones, hinted if ``hinted`` and if they merge with nothing.

        Raises InputError, and changes nothing, if one of them is not in flight in this zone.
        """
        flag: cython.bint = hinted
        wrong: cython.Py_ssize_t
        with self._lock:
            wrong = self._not_in_flight(batch)
            if wrong < 0:
                self._put_back(batch, flag)
        if wrong >= 0:
            raise InputError(f"{batch!r}: its block {wrong}, {batch[wrong]}, is not in flight in this zone")

    def take_unreported(self, order, migratetype, batch: Batch, budget):
        """Walk a list from its head, step over the hinted blocks and take the others into ``batch`` (spec 2, a list).

        Returns 0 at the list's end, or where the zone's min watermark stops it; 1 if the batch is full; 2 if the
        budget is below 0. Where a walk ends at a block, the list is rotated so that it is first. O(blocks walked).
        Raises InputError for ISOLATE's lists, within a cycle that has boundaries, and if the batch holds other blocks
        than this zone's in flight.
        """
        ended: cython.int = 0
        ring: cython.Py_ssize_t = self._list(order, migratetype)
        which: cython.int = ring & 31
        kind: cython.int = ring >> 5
        left: cython.Py_ssize_t = budget
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
            raise InputError(f"{batch!r}: its block {wrong}, {batch[wrong]}, is not in flight in this zone")
        return ended

    @property
    def hinting_order(self):
        """The least order that is hinted, or 255 before a device was first attached."""
        return self._min_order

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

    def boundary(self, order, migratetype):
        """The pfn that the boundary of a list points at, or -1 for the list's head. Meaningful while ``active``."""
        which: cython.Py_ssize_t = self._list(order, migratetype)
        i: cython.Py_ssize_t = self._boundary[which]
        return i + self.start_pfn if i < self._pages else -1

    # What check() can't see from outside, a line for each that is wrong.
    def _wrong_marks(self):
        wrong = []
        order: cython.int
        on_lists: cython.Py_ssize_t = 0
        for order in range(32):
            mark = self._notify_at[order]
            due = self._hinted[order] + self._high_water_mark
            silent = order < self._notify_order or self._requested
            if (mark < UNREACHABLE >> 1) if silent else (mark != due):
                wrong.append(f"order {order}: frees notify at {mark} blocks, not {'never' if silent else due}")
            if order >= self.max_order and (self._nr_free[order] or self._hinted[order]):
                wrong.append(f"order {order}: {self._nr_free[order]} blocks, {self._hinted[order]} hinted: none can be")
            on_lists += self._nr_free[order] << order
        if self._free_pages + self._isolate_list_pages != on_lists:
            wrong.append(f"{self._isolate_list_pages} isolated pages, {self._free_pages} free: not {on_lists} in all")
        return wrong

    def _list(self, order, migratetype):
        if not 0 <= index(order) < self.max_order or not 0 <= index(migratetype) < MIGRATE_TYPES:
            raise InputError(f"no free list of order {order}, migratetype {migratetype}")
        return (int(migratetype) << 5) + int(order)
