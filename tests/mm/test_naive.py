"""The naive model itself: it gives every golden output, so that it can be trusted where no golden file reaches."""

import gzip
import zlib
from collections import deque
from pathlib import Path

import pytest

from .naive import NaiveHinting, NaiveZone

DATA = Path(__file__).parents[1] / "golden" / "data"
NAMES = sorted(path.name.removesuffix(".ops.gz") for path in DATA.glob("*.ops.gz"))
JIFFY = 10**6


class NaiveScript:
    """Op scripts (docs/spec/3) on the naive model; well-formed ones only. It is also the scripts' device."""

    def __init__(self):
        self.printed, self.slots, self.queue = [], {}, deque()

    def line(self, text):
        op, *arguments = text.split() or ["#"]
        if op == "r":
            self.queue.append(arguments)
        elif not op.startswith("#"):
            getattr(self, f"op_{op}")(*map(int, arguments))

    def react(self, blocks):
        self.printed.append(f"react {len(blocks)} " + " ".join(f"{pfn}:{order}" for pfn, order in blocks))
        while self.queue and (words := self.queue.popleft()) != ["|"]:
            self.line(" ".join(words))

    def op_init(self, pages):
        self.zone = NaiveZone(pages)
        self.hinting = NaiveHinting(self.zone, on_work=lambda now: self.printed.append(f"work {now // JIFFY}"))

    def op_startup(self, capacity):
        if self.hinting.device is None:
            self.capacity = capacity
        self.printed.append(f"startup {self.hinting.start(self)}")

    def op_shutdown(self):
        self.printed.append("shutdown" if self.hinting.device else "shutdown none")
        self.hinting.stop()

    def op_a(self, slot, order, mt):
        pfn = self.zone.alloc(order, mt)
        if pfn >= 0:
            self.slots[slot] = pfn
        self.printed.append(f"a {slot} {pfn}")

    def op_f(self, slot):
        if slot in self.slots:
            self.zone.free(self.slots.pop(slot))

    def op_i(self, pfn):
        self.printed.append(f"i {pfn} {self.zone.isolate(pfn)}")

    def op_u(self, pfn, mt=1):
        self.zone.unisolate(pfn, mt)
        self.printed.append(f"u {pfn}")

    def op_tick(self, jiffies):
        self.hinting.tick(jiffies * JIFFY)

    def op_check(self):
        self.printed.append("check ok")

    def op_dump(self):
        self.printed += self.dump()

    def op_sum(self):
        text = "".join(f"{line}\n" for line in self.dump()).encode()
        self.printed.append(f"sum {zlib.crc32(text):08x} {len(text)}")

    def dump(self):
        zone, hinting = self.zone, self.hinting
        yield "dump"
        yield f"jiffies {hinting.now // JIFFY}"
        yield f"flags R={zone.requested:d} A={zone.active:d}"
        yield f"refcnt {'-' if hinting.device is None else int(zone.requested)}"
        yield f"pending {'-' if hinting.due is None else hinting.due // JIFFY}"
        yield f"free_pages {zone.free_pages}"
        yield f"isolated {zone.isolated}"
        yield " ".join(["nr_free", *map(str, zone.nr_free)])
        yield " ".join(["hinted", *map(str, "-" if zone.nr_hinted is None else zone.nr_hinted[9:])])
        yield f"pageblocks {''.join(map(str, zone.types.values()))}"
        for (order, mt), pfns in zone.lists.items():
            if pfns:
                yield " ".join([f"list {order} {mt} :", *(f"{pfn}{'*' * (pfn in zone.hinted)}" for pfn in pfns)])
        yield "end"


@pytest.mark.parametrize("name", NAMES)
def test_golden(name):
    script = NaiveScript()
    for line in gzip.decompress((DATA / f"{name}.ops.gz").read_bytes()).decode().splitlines():
        script.line(line)
    expected = gzip.decompress((DATA / f"{name}.out.gz").read_bytes()).decode()
    assert "".join(f"{line}\n" for line in script.printed) == expected
