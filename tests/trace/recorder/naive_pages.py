"""Pages of the ring buffer with random events in them, and a naive reader of such pages.

Both are written from what tracefs says of itself (``events/header_page``, ``events/header_event``) and the kernel's
documentation of the ring buffer: plain Python, a bytes object at a time.
"""

from pagehint.trace.events import NO_PFN, NONE, Event
from pagehint.trace.recorder.formats import EVENTS

PADDING, TIME_EXTEND, TIME_STAMP = 29, 30, 31
MISSED, STORED = 1 << 31, 1 << 30
TIME_TOP = 0x1F << 59

KMEM = ("pfn", "order", "migratetype")
FIELDS = {
    "mm_page_alloc": (*KMEM, "gfp_flags"),
    "mm_page_free": ("pfn", "order"),
    "mm_page_free_batched": ("pfn",),
    "mm_page_alloc_zone_locked": (*KMEM, "percpu_refill"),
    "mm_page_pcpu_drain": KMEM,
    "mm_page_alloc_extfrag": (
        "pfn",
        "alloc_order",
        "fallback_order",
        "alloc_migratetype",
        "fallback_migratetype",
        "change_ownership",
    ),
    "isolate": ("page", "order"),
    "isolate_ret": ("ret",),
    "putback": ("page", "order", "mt"),
    "report": ("nents",),
    "report_ret": ("ret",),
    "straight": ("page", "order"),
    "compact": ("order", "gfp"),
    "compact_ret": ("page",),
    "print": ("ip",),
}


class Damage(Exception):
    """What can't be."""


def number(data, at, size, signed=False):
    if at < 0 or at + size > len(data):
        raise Damage
    return int.from_bytes(data[at : at + size], "little", signed=signed)


class NaiveReader:
    """Reads whole pages; `rows` are (time, pid, event, pfn, order, migratetype, gfp, detail, text of a mark)."""

    def __init__(self, layout, formats, vmemmap=0):
        self.layout, self.vmemmap = layout, vmemmap
        self.formats = {form.id: form for form in formats}
        self.lost = self.uncounted = self.damaged = self.others = 0
        self.rows = []

    def read(self, data):
        for start in range(0, len(data), self.layout.size):
            self.page(data[start : start + self.layout.size])

    def page(self, page):
        size, data, commit, commit_size = self.layout
        word = number(page, commit, commit_size)
        length = word & 0xFFFFF
        if length > size - data:
            self.damaged += 1
            length = size - data
        if word & MISSED:
            count = 0
            if word & STORED and data + length + commit_size <= size:
                count = number(page, data + length, commit_size)
            if 0 < count < 1 << 40:
                self.lost += count
            else:
                self.uncounted += 1
        try:
            self.events(page[data : data + length], number(page, 0, 8))
        except Damage:
            self.damaged += 1

    def events(self, data, begun):
        at, time = 0, begun
        while at < len(data):
            word = number(data, at, 4)
            kind, delta = word & 31, word >> 5
            if kind == PADDING and delta == 0:
                return
            if kind == PADDING:
                time += delta
                at += 4 + number(data, at + 4, 4)
                if at > len(data):
                    raise Damage
            elif kind == TIME_EXTEND:
                time += delta + (number(data, at + 4, 4) << 27)
                at += 8
            elif kind == TIME_STAMP:
                time = (begun & TIME_TOP) | (delta + (number(data, at + 4, 4) << 27))
                at += 8
            else:
                time += delta
                at += 4
                length = 4 * kind
                if kind == 0:
                    length = number(data, at, 4) - 4
                    at += 4
                time %= 1 << 64
                if length < 4 or at + length > len(data) or time >= 1 << 62:
                    raise Damage
                self.record(data[at : at + length], time)
                at += -(-length // 4) * 4
            time %= 1 << 64
        if at > len(data):
            raise Damage

    def record(self, data, time):
        form = self.formats.get(number(data, 0, 2))
        if form is None:
            self.others += 1
            return
        try:
            self.rows.append((time, *self.row(form, data)))
        except Damage:
            self.damaged += 1

    def row(self, form, data):
        event, fields = EVENTS[form.name], {}
        if len(data) < 8:
            raise Damage
        for name in ("common_pid", *FIELDS[form.name]):
            if field := form.fields.get(name):
                fields[name] = number(data, *field[:2], field.signed or field.size == 8)
        pid = fields["common_pid"]
        if event is Event.MARK:
            begin = form.fields["buf"].offset
            if begin > len(data):
                raise Damage
            text = data[begin:].split(b"\0")[0].decode("utf-8", "replace").rstrip("\n")
            return pid, int(event), NO_PFN, NONE, NONE, 0, 0, text
        pfn, order, migratetype, gfp, detail = NO_PFN, NONE, NONE, 0, 0
        if "pfn" in fields:
            pfn = fields["pfn"]
            if not (0 <= pfn < 1 << 40 or (pfn == NO_PFN and event is Event.ALLOC)):
                raise Damage
        if "page" in fields:
            pfn = self.pfn_of(fields["page"] % (1 << 64), event)
        if event is Event.FREE_BATCHED:
            order = 0
        for name in ("order", "alloc_order"):
            order = fields.get(name, order)
        for name in ("migratetype", "mt", "alloc_migratetype"):
            migratetype = fields.get(name, migratetype)
        if not (0 <= order <= 20 or order == NONE) or not 0 <= migratetype <= NONE:
            raise Damage
        for name in ("gfp_flags", "gfp"):
            gfp = fields.get(name, gfp) % (1 << 32)
        if event is Event.ZONE_ALLOC:
            detail = fields.get("percpu_refill", int(order == 0)) & 1
        if event is Event.EXTFRAG:
            fallback, kind = fields["fallback_order"], fields["fallback_migratetype"]
            if not 0 <= fallback <= 20 or not 0 <= kind < NONE:
                raise Damage
            detail = fallback | kind << 8 | (fields["change_ownership"] & 1) << 16
        if event in (Event.ISOLATE_RETURN, Event.REPORT_RETURN, Event.REPORT):
            detail = fields["nents" if event is Event.REPORT else "ret"]
            if not -(1 << 31) <= detail < 1 << 31:
                raise Damage
        return pid, int(event), pfn, order, migratetype, gfp, detail, None

    def pfn_of(self, address, event):
        """Of a page's address in the page array, 64 bytes each; NULL is none, which only an allocation can have."""
        if address == 0 and event is Event.ALLOC:
            return NO_PFN
        pfn = (address - self.vmemmap) % (1 << 64) >> 6 if self.vmemmap else (address & ((1 << 30) - 1)) >> 6
        if address == 0 or pfn >> 40:
            raise Damage
        return pfn


class Machine:
    """A machine whose tracing has a layout of pages and formats of events of its own."""

    def __init__(self, chance):
        self.chance = chance
        self.commit_size = chance.choice((4, 8))
        self.data = 8 + self.commit_size
        self.size = chance.choice((256, 512, 4096, 4096, 65536))
        self.header_page = (
            "\tfield: u64 timestamp;\toffset:0;\tsize:8;\tsigned:0;\n"
            f"\tfield: local_t commit;\toffset:8;\tsize:{self.commit_size};\tsigned:1;\n"
            f"\tfield: char data;\toffset:{self.data};\tsize:{self.size - self.data};\tsigned:0;\n"
        )
        self.names = chance.sample(sorted(FIELDS), chance.randrange(1, len(FIELDS) + 1))
        ids = chance.sample(range(1, 1 << chance.choice((6, 16))), len(self.names) + 1)
        self.other = ids.pop()
        self.ids = dict(zip(self.names, ids, strict=True))
        self.fields = {name: self.lay_out(name) for name in self.names}
        self.formats = {name: self.format(name) for name in self.names}

    def lay_out(self, name):
        """(name, offset, size, signed) of an event's own fields, in a random order, with others between them."""
        chance, at, fields = self.chance, 8, []
        own = [field for field in FIELDS[name] if field != "percpu_refill" or chance.random() < 0.7]
        for field in chance.sample([*own, "of_another_time"], len(own) + 1):
            wide = field in ("pfn", "page", "ip")
            size = 8 if wide else chance.choice((1, 2, 4, 4, 4, 8))
            at += chance.choice((0, -at % size, -at % size))
            fields.append((field, at, size, not wide and chance.random() < 0.5))
            at += size
        return fields

    def format(self, name):
        lines = [
            "\tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;",
            "\tfield:unsigned char common_flags;\toffset:2;\tsize:1;\tsigned:0;",
            "\tfield:int common_pid;\toffset:4;\tsize:4;\tsigned:1;\n",
        ]
        for field, at, size, signed in self.fields[name]:
            lines.append(f"\tfield:some type {field};\toffset:{at};\tsize:{size};\tsigned:{signed:d};")
        if name == "print":
            lines.append(f"\tfield:char buf[];\toffset:{self.end(name)};\tsize:0;\tsigned:0;")
        return f"name: {name}\nID: {self.ids[name]}\nformat:\n" + "\n".join(lines) + "\n"

    def end(self, name):
        return max(at + size for _, at, size, _ in self.fields[name])

    # What the machine writes

    def value(self, field, size, signed):
        chance = self.chance
        if field in ("pfn", "page") and chance.random() < 0.05:
            return (1 << 64) - 1 if field == "pfn" else 0
        if field == "pfn":
            return chance.randrange(1 << chance.choice((8, 20, 40)))
        if field == "page":
            return 0xFFFFEA0000000000 + 64 * chance.randrange(1 << chance.choice((8, 24)))
        if field == "ret":
            return chance.choice((0, 1, -5 if signed else 5))
        if field in ("percpu_refill", "change_ownership"):
            return chance.randrange(2)
        if field in ("gfp", "gfp_flags", "ip", "of_another_time"):
            return chance.randrange(1 << (8 * size - signed))
        return chance.randrange(5 if field in ("migratetype", "mt", "nents") else 11)

    def record(self, name=None):
        """A record of an event, or of one that nobody knows."""
        chance = self.chance
        if name is None:
            return self.other.to_bytes(2, "little") + bytes(chance.randrange(6, 90))
        data = bytearray(self.end(name))
        data[0:2] = self.ids[name].to_bytes(2, "little")
        data[4:8] = chance.randrange(1 << 22).to_bytes(4, "little")
        for field, at, size, signed in self.fields[name]:
            data[at : at + size] = self.value(field, size, signed).to_bytes(
                size, "little", signed=signed and field == "ret"
            )
        if name == "print":
            data += chance.choice((b"MARK phase\n", b"", b"\xff\xfe of no text", "Füllen".encode())) + b"\0"
        return bytes(data)

    def word(self, kind, delta):
        return (kind | delta << 5).to_bytes(4, "little")

    def entry(self, now):
        """An entry of the buffer, and the time after it."""
        chance = self.chance
        what = chance.random()
        delta = chance.choice((0, 0, 1, chance.randrange(1 << 12), (1 << 27) - 1))
        if what < 0.07:
            more = chance.choice((0, 1, chance.randrange(1 << 10)))
            return self.word(TIME_EXTEND, delta) + more.to_bytes(4, "little")
        if what < 0.14:
            stamp = (now + delta) & ~TIME_TOP
            return self.word(TIME_STAMP, stamp & ((1 << 27) - 1)) + (stamp >> 27).to_bytes(4, "little")
        if what < 0.2:
            rest = 4 * chance.randrange(20)
            return self.word(PADDING, max(delta, 1)) + (rest + 4).to_bytes(4, "little") + chance.randbytes(rest)
        data = self.record(chance.choice((*self.names, None)))
        data += bytes(-len(data) % 4)
        if len(data) > 28 * 4 or chance.random() < 0.15:
            return self.word(0, delta) + (len(data) + 4).to_bytes(4, "little") + data
        return self.word(len(data) // 4, delta) + data

    def page(self, begun):
        """A whole page from this time on."""
        chance, data = self.chance, b""
        room = self.size - self.data
        for _ in range(chance.choice((0, 1, 5, 60, 2000))):
            entry = self.entry(begun)
            if len(data) + len(entry) > room:
                break
            data += entry
        commit = len(data)
        tail = b""
        if chance.random() < 0.3:
            if len(data) + 4 <= room:
                data += self.word(PADDING, 0)
            commit = chance.choice((len(data), room)) if len(data) > commit else commit
        if chance.random() < 0.2:
            commit |= MISSED
            if (commit & 0xFFFFF) + self.commit_size <= room and chance.random() < 0.7:
                commit |= STORED
                tail = chance.choice((0, 1, 77, (1 << 31) - 1)).to_bytes(self.commit_size, "little")
        data = data.ljust(commit & 0xFFFFF, b"\0") + tail
        head = begun.to_bytes(8, "little") + commit.to_bytes(self.commit_size, "little")
        return (head + data).ljust(self.size, b"\xa5")[: self.size]

    def pages(self, count):
        begun, pages = self.chance.choice((0, 10**9, 10**15, 3 << 59)), []
        for _ in range(count):
            pages.append(self.page(begun))
            begun += self.chance.randrange(1 << 31)
        return b"".join(pages)
