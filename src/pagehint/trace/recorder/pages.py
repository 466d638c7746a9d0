"""Decoding raw pages of the tracing ring buffer, as ``trace_pipe_raw`` gives them.

A page has a time, a commit word (the bytes that follow, and whether events were lost before them) and events one after
the other: a word of 5 bits of length or type and 27 of time since the one before, then the record. Of the types, 29 is
padding (to the end of the page, or a discarded event), 30 more bits of time, 31 a whole time stamp, 0 a length in the
next word. A page may come from anywhere: nothing in it is followed without a look at where it leads.
"""

from collections.abc import Iterable

import cython
import numpy as np

from pagehint.errors import InputError
from pagehint.trace.events import NO_PFN, NONE, Event
from pagehint.trace.recorder.formats import EVENTS, EventFormat, PageLayout

if not cython.compiled:
    ALLOC, FREE_BATCHED, ZONE_ALLOC, EXTFRAG, MARK = map(
        int, (Event.ALLOC, Event.FREE_BATCHED, Event.ZONE_ALLOC, Event.EXTFRAG, Event.MARK)
    )
    KIND, NEED, PID, PFN, ORDER, TYPE, GFP, DETAIL = map(int, (0, 1, *range(2, 14, 2)))
    DETAIL_TYPE, DETAIL_FLAG, BY_PAGE, WIDTH = map(int, (14, 16, 18, 19))
    from pagehint.kernel.orders import MOST_ORDER
    from pagehint.trace.events import NONE as NO_VALUE

    _WRAPS = (1 << 64) - 1  # as numbers in C do by themselves

__all__ = ["PageDecoder"]

_COLUMNS = {
    "time": np.int64,
    "pid": np.int32,
    "event": np.uint8,
    "pfn": np.int64,
    "order": np.uint8,
    "migratetype": np.uint8,
    "gfp": np.uint32,
    "detail": np.int32,
}

# Which field of the event a column comes from; those of the kprobes are named as the recorder defines them.
_FIELDS: dict[Event, dict[str, str]] = {
    Event.ALLOC: {"pfn": "pfn", "order": "order", "type": "migratetype", "gfp": "gfp_flags"},
    Event.FREE: {"pfn": "pfn", "order": "order"},
    Event.FREE_BATCHED: {"pfn": "pfn"},
    Event.ZONE_ALLOC: {"pfn": "pfn", "order": "order", "type": "migratetype", "detail": "percpu_refill"},
    Event.PCPU_DRAIN: {"pfn": "pfn", "order": "order", "type": "migratetype"},
    Event.EXTFRAG: {
        "pfn": "pfn",
        "order": "alloc_order",
        "type": "alloc_migratetype",
        "detail": "fallback_order",
        "detail_type": "fallback_migratetype",
        "detail_flag": "change_ownership",
    },
    Event.ISOLATE: {"pfn": "page", "order": "order"},
    Event.ISOLATE_RETURN: {"detail": "ret"},
    Event.PUTBACK: {"pfn": "page", "order": "order", "type": "mt"},
    Event.REPORT: {"detail": "nents"},
    Event.REPORT_RETURN: {"detail": "ret"},
    Event.MARK: {"detail": "buf"},
}
_PROBE_FIELDS = {
    "straight": {"pfn": "page", "order": "order"},
    "compact": {"order": "order", "gfp": "gfp"},
    "compact_ret": {"pfn": "page"},
}
_NO_PAGES = memoryview(b"")

# Since 5.17 only; before, a per-CPU list is filled when the order is 0.
_MAY_LACK = frozenset(("percpu_refill",))


@cython.final
@cython.cclass
class PageDecoder:
    """Decodes pages of one machine; `layout` and `formats` are what its tracefs says of them.

    `vmemmap`: the address of the page array, for the kprobes' pages; 0: the 1 GiB that an address lies in begins it,
    which is so on x86-64 up to 64 GiB. Afterwards `lost` counts the events that the pages say were lost before them,
    `uncounted` the pages that don't say how many, `damaged` the pages and events that can't be, `others` events of
    other kinds. Raises InputError where an event lacks a field.
    """

    def __init__(self, layout: PageLayout, formats: Iterable[EventFormat], vmemmap: int = 0) -> None:
        self.lost = self.uncounted = self.damaged = self.others = 0
        self._page_size, self._data, self._commit, self._commit_size = layout
        self._vmemmap = vmemmap
        ids = np.zeros(1 << 16, np.uint8)
        rows = []
        for form in formats:
            if form.name in EVENTS:
                rows.append(_row(form))
                ids[form.id] = len(rows)
        self._ids = memoryview(ids)
        self._table = memoryview(np.array(rows, np.int32).reshape(len(rows), WIDTH))
        self._room = 0
        self._arrays = ()

    def decode(self, pages, cpu: int) -> tuple[dict[str, np.ndarray], list[str]]:
        """The events of whole pages of a CPU: an array a column of EVENT_SCHEMA, and the texts of the marks, in order.

        gfp is as the kernel has it; `detail` of a mark counts from 0 in each call. The arrays are used again by the
        next call. O(bytes); the GIL is released.
        """
        # The smallest record that is known has an 8 byte head and 8 bytes more.
        room = len(pages) // 12 + 1
        if room > self._room:
            self._arrays = tuple(np.empty(room, kind) for kind in _COLUMNS.values())
            self._times, self._pids, self._kinds, self._pfns = self._arrays[:4]
            self._orders, self._types, self._gfps, self._details = self._arrays[4:]
            self._room = room
        data = np.frombuffer(pages, np.uint8)
        if len(data) % self._page_size:
            raise InputError(f"{len(data)} bytes are not whole ring buffer pages of {self._page_size}")
        self._pages = memoryview(data)
        count: cython.longlong
        with cython.nogil:
            count = self._decode()
        self._pages = _NO_PAGES
        columns = {name: array[:count] for name, array in zip(_COLUMNS, self._arrays, strict=True)}
        columns["cpu"] = np.broadcast_to(np.uint16(cpu), count)
        texts = []
        for row in np.flatnonzero(columns["event"] == MARK):
            start = int(columns["detail"][row])
            end = start + int(columns["gfp"][row])
            columns["detail"][row] = len(texts)
            columns["gfp"][row] = 0
            text = bytes(data[start:end])
            texts.append(text.split(b"\0", 1)[0].decode("utf-8", "replace").rstrip("\n"))
        return columns, texts

    # Little-endian numbers of the pages. Byte by byte: a C compiler makes one load of it.
    def _load4(self, at):
        return (
            cython.cast(cython.uint, self._pages[at])
            | cython.cast(cython.uint, self._pages[at + 1]) << 8
            | cython.cast(cython.uint, self._pages[at + 2]) << 16
            | cython.cast(cython.uint, self._pages[at + 3]) << 24
        )

    def _load8(self, at):
        high: cython.ulonglong = self._load4(at + 4)
        return high << 32 | self._load4(at)

    def _load(self, at, size):
        if size == 8:
            return self._load8(at)
        if size == 4:
            return self._load4(at)
        value: cython.ulonglong = 0
        index: cython.longlong
        for index in range(size - 1, -1, -1):
            value = value << 8 | cython.cast(cython.ulonglong, self._pages[at + index])
        return value

    def _decode(self):
        row: cython.longlong = 0
        start: cython.longlong = 0
        size: cython.longlong
        room: cython.longlong = self._page_size - self._data
        while start < self._pages.shape[0]:
            commit: cython.ulonglong = self._load(start + self._commit, self._commit_size)
            size = commit & 0xFFFFF
            if size > room:
                self.damaged += 1
                size = room
            if commit >> 31 & 1:
                missed: cython.ulonglong = 0
                if commit >> 30 & 1 and size + self._commit_size <= room:
                    missed = self._load(start + self._data + size, self._commit_size)
                if missed != 0 and missed >> 40 == 0:
                    self.lost += missed
                else:
                    self.uncounted += 1
            row = self._page(start, size, row)
            start += self._page_size
        return row

    def _page(self, start, size, row):
        begun: cython.ulonglong = self._load8(start)
        time: cython.ulonglong = begun
        at: cython.longlong = start + self._data
        end: cython.longlong = at + size
        word: cython.ulonglong
        delta: cython.ulonglong
        more: cython.ulonglong
        kind: cython.int
        record: cython.longlong
        length: cython.longlong
        entry: cython.int
        while at + 4 <= end:
            word = self._load4(at)
            kind = word & 31
            delta = word >> 5
            more = 0
            if kind == 0 or kind >= 29:
                if kind == 29 and delta == 0:
                    return row
                if at + 8 > end:
                    break
                more = self._load4(at + 4)
            if kind == 29:
                time += delta
                at += 4 + more
                if at > end:
                    break
                continue
            if kind == 30:
                time += delta + (more << 27)
                at += 8
                continue
            if kind == 31:
                time = (delta + (more << 27)) | (begun >> 59 << 59)
                at += 8
                continue
            time += delta
            if not cython.compiled:
                time &= _WRAPS
            if kind == 0:
                record = at + 8
                length = cython.cast(cython.longlong, more) - 4
            else:
                record = at + 4
                length = kind * 4
            if length < 4 or record + length > end or time >> 62 != 0:
                break
            at = record + ((length + 3) & ~3)
            entry = self._ids[self._load(record, 2)]
            if entry == 0:
                self.others += 1
            elif self._event(record, length, entry - 1, row):
                self._times[row] = time
                row += 1
            else:
                self.damaged += 1
        if at != end:
            self.damaged += 1
        return row

    def _event(self, record, length, entry, row):
        kind: cython.int = self._table[entry, KIND]
        if length < self._table[entry, NEED]:
            return False
        pid: cython.longlong = self._field(record, entry, PID, 0)
        if kind == MARK:
            self._kinds[row], self._pfns[row], self._orders[row], self._types[row] = MARK, -1, NO_VALUE, NO_VALUE
            # Where its text is; `decode` makes a number of it.
            self._details[row] = record + self._table[entry, DETAIL]
            self._gfps[row] = length - self._table[entry, DETAIL]
            self._pids[row] = pid
            return True
        pfn: cython.longlong = self._field(record, entry, PFN, -1)
        order: cython.longlong = self._field(record, entry, ORDER, NO_VALUE)
        migratetype: cython.longlong = self._field(record, entry, TYPE, NO_VALUE)
        detail: cython.longlong = self._field(record, entry, DETAIL, 0)
        if kind == FREE_BATCHED:
            order = 0
        elif kind == ZONE_ALLOC:
            if self._table[entry, DETAIL + 1] == 0:
                detail = 1 if order == 0 else 0
            detail = detail & 1
        elif kind == EXTFRAG:
            fallback: cython.longlong = self._field(record, entry, DETAIL_TYPE, 0)
            if not (0 <= detail <= MOST_ORDER and 0 <= fallback < NO_VALUE):
                return False
            detail |= fallback << 8 | (self._field(record, entry, DETAIL_FLAG, 0) & 1) << 16
        if self._table[entry, BY_PAGE] and pfn == 0:
            pfn = -1
        elif self._table[entry, BY_PAGE]:
            address: cython.ulonglong = cython.cast(cython.ulonglong, pfn)
            if self._vmemmap != 0:
                address -= self._vmemmap
                if not cython.compiled:
                    address &= _WRAPS
            else:
                address &= (1 << 30) - 1
            pfn = address >> 6
        if not (0 <= order <= MOST_ORDER or order == NO_VALUE) or not 0 <= migratetype <= NO_VALUE:
            return False
        if pfn >> 40 != 0 and not (pfn == -1 and (kind == ALLOC or self._table[entry, PFN + 1] == 0)):
            return False
        if detail >> 31 != 0 and detail >> 31 != -1:
            return False
        self._kinds[row], self._pfns[row], self._orders[row] = kind, pfn, order
        self._types[row], self._details[row] = migratetype, detail
        gfp: cython.longlong = self._field(record, entry, GFP, 0)
        self._gfps[row] = (gfp & 0xFFFF) | (gfp >> 16 & 0xFFFF) << 16
        self._pids[row] = pid
        return True

    def _field(self, record, entry, column, missing):
        size: cython.int = self._table[entry, column + 1]
        if size == 0:
            return missing
        signed: cython.bint = size < 0
        if signed:
            size = -size
        value: cython.ulonglong = self._load(record + self._table[entry, column], size)
        result: cython.longlong
        sign: cython.ulonglong
        if signed or size == 8:
            # As it is in C, whose numbers wrap.
            sign = cython.cast(cython.ulonglong, 1) << (8 * size - 1)
            result = value & (sign - 1)
            if value & sign:
                result -= sign - 1
                result -= 1
            return result
        result = value
        return result


def _row(form: EventFormat) -> list[int]:
    event = EVENTS[form.name]
    row = [0] * WIDTH
    row[KIND] = event
    need = 8
    columns = {"pfn": PFN, "order": ORDER, "type": TYPE, "gfp": GFP}
    columns |= {"detail": DETAIL, "detail_type": DETAIL_TYPE, "detail_flag": DETAIL_FLAG, "pid": PID}
    fields = _PROBE_FIELDS.get(form.name) or _FIELDS[event]
    row[BY_PAGE] = fields.get("pfn") == "page"
    for what, name in {"pid": "common_pid", **fields}.items():
        field = form.fields.get(name)
        if field is None:
            if name in _MAY_LACK:
                continue
            raise InputError(f"event {form.name} has no field {name}: this kernel's tracing is not known here")
        if name == "buf":
            row[DETAIL], need = field.offset, max(need, field.offset)
            continue
        if not 1 <= field.size <= 8:
            raise InputError(f"event {form.name}: field {name} has {field.size} bytes, expected 1 to 8")
        row[columns[what]] = field.offset
        row[columns[what] + 1] = -field.size if field.signed else field.size
        need = max(need, field.offset + field.size)
    row[NEED] = need
    return row


assert (NO_PFN, NONE) == (-1, 255)
