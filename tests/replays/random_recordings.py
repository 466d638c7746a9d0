"""Recordings that nobody's kernel wrote: events of all kinds with odd values, and false claims of what was recorded.

A number makes the same one each time. Most events are about a few blocks, so that what is allocated is freed again.
"""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pyarrow as pa

from pagehint.hinting.design import Design
from pagehint.hinting.designs.breakeven import BreakEven
from pagehint.hinting.designs.hinting import PageHinting
from pagehint.hinting.designs.reporting import PageReporting
from pagehint.host.model import ModelHost
from pagehint.kernel.orders import MAX_PAGE_ORDER
from pagehint.kernel.profiles import PROFILES
from pagehint.proc.kpageflags import KPageFlag
from pagehint.proc.zoneinfo import ZoneLayout
from pagehint.replays.states import SNAPSHOT_BEGUN, SNAPSHOT_READ
from pagehint.trace import Meta, Trace, TraceWriter
from pagehint.trace.events import NONE, pack_fallback
from pagehint.trace.meta import GuestReporting
from pagehint.trace.tables import REPORTED_SCHEMA

from .recording import Row, record, zoneinfo

__all__ = ["a_recording", "how_to_replay"]

_BALLOON = 0x2_1102 | 0x2000 | 0x1_0000 | 0x8_0000
_FLAGS = (
    0,
    KPageFlag.BUDDY,
    KPageFlag.BUDDY | KPageFlag.UPTODATE,
    KPageFlag.NOPAGE,
    KPageFlag.OFFLINE,
    KPageFlag.RESERVED,
    KPageFlag.SLAB,
    KPageFlag.LRU | KPageFlag.ANON,
    KPageFlag.COMPOUND_HEAD,
    KPageFlag.COMPOUND_TAIL,
)
_KERNELS = (None, "a vendor's", *(f"{release}.{patch}.0" for release, patch in (row.since for row in PROFILES)))


class _Guest:
    """What its events are about."""

    def __init__(self, rng: Random) -> None:
        self.rng = rng
        self.zones = self._zones()
        self.end = self.zones[-1].end_pfn
        self.cpus = rng.choice((1, 1, 2, 3, 8))
        self.orders = rng.choice(((0,), (0, 0, 0, 1, 3), (0, 2, 4, 9, 10), tuple(range(11)), (9, 10)))
        self.types = rng.choice(((1,), (0, 1, 2), (1, 1, 4), tuple(range(6)), (0, 1, 2, 3, 4, 5, 7, 255)))
        self.odd = rng.choice((0.0, 0.0, 0.02, 0.2))
        self.hot = [self._block() for _ in range(rng.choice((2, 8, 40)))]

    def _zones(self) -> list[ZoneLayout]:
        rng, begin, zones = self.rng, self.rng.choice((0, 0, 0, 1, 64, 512, 1000)), []
        for name in rng.choice((("DMA32",), ("DMA", "DMA32"), ("DMA", "DMA32", "Normal"))):
            pages = rng.choice((64, 512, 777, 1024, 1 << 11, 1 << 12, 4097))
            present = rng.choice((pages, pages, max(pages - 64, 1), pages // 2))
            least = rng.choice((0, 0, pages // 16, pages // 3))
            batch = rng.choice((1, 7, 7, 63, 4096))
            zones.append(
                ZoneLayout(
                    *(0, name, begin, pages, present, rng.choice((present, present // 2)), least, least * 2, least * 3),
                    pcp_high=rng.choice((0, 30, 30, 1 << 20)),
                    pcp_batch=batch,
                )
            )
            begin += pages + rng.choice((0, 0, 0, 3, 512, 4096))
        return zones

    def _block(self) -> tuple[int, int]:
        zone, order = self.rng.choice(self.zones), self.rng.choice(self.orders)
        return zone.start_pfn + self.rng.randrange(zone.spanned) >> order << order, order

    def _oddly(self, value: int, *values: int) -> int:
        return self.rng.choice(values) if self.rng.random() < self.odd else value

    def _row(self, letter: str, block: tuple[int, int], cpu: int, detail: int = 0) -> Row:
        pfn = self._oddly(block[0], -1, 0, block[0] + 1, self.end - 1, self.end, self.end + 4096, max(block[0], 0) ^ 1)
        return (
            letter,
            pfn,
            self._oddly(block[1], 0, 1, 9, 10, 11, 20, NONE),
            self._oddly(cpu, 0, 7, 300),
            self._oddly(detail, -1, 1, 2, 3, 512, 1 << 20, (1 << 31) - 1, -(1 << 31)),
        )

    def rows(self, count: int) -> tuple[list[Row], list[int]]:
        """So many events, and the type of each."""
        rows: list[Row] = []
        types: list[int] = []
        while len(rows) < count:
            cpu, kind = self.rng.randrange(self.cpus), self.rng.choice(self.types)
            made = self._some(cpu, kind)
            rows += made
            types += [kind if self.rng.random() < 0.9 else self.rng.choice(self.types) for _ in made]
        return rows, types

    def _some(self, cpu: int, kind: int) -> list[Row]:
        rng = self.rng
        block = rng.choice(self.hot) if rng.random() < 0.8 else self._block()
        pfn, order = block
        listed = rng.choice((0, 1))
        what = rng.randrange(10)
        if what == 0:
            return [self._row("Z", block, cpu, listed), self._row("A", block, cpu)]
        if what == 1:
            return [self._row("F", block, cpu), *([self._row("D", block, cpu)] if rng.random() < 0.7 else [])]
        if what == 2:
            return [self._row(letter, block, cpu) for letter in rng.choice(("A", "F", "AF", "AFD", "B", "D", "ZD"))]
        if what == 3:  # a refill, or the drain of one
            letter, near = rng.choice("ZD"), pfn & ~63
            return [self._row(letter, (near + (k << order), order), cpu, 1) for k in range(rng.choice((2, 7, 63)))]
        if what == 4:  # a fallback, and what leaves for it
            stolen = pack_fallback(rng.choice((order, 10, 9)), rng.choice(self.types), rng.choice((0, 1)))
            return [self._row("X", block, cpu, stolen), self._row("Z", block, cpu, listed)]
        if what == 5:  # reporting
            told = [block, *(rng.choice(self.hot) for _ in range(rng.randrange(3)))]
            rows = [
                row for each in told for row in (self._row("I", each, cpu), self._row("i", each, cpu, 1 << each[1]))
            ]
            rows += [
                self._row("R", (-1, NONE), cpu, len(told)),
                self._row("r", (-1, NONE), cpu, rng.choice((0, 0, -5))),
            ]
            return rows + [self._row("P", each, cpu) for each in told]
        if what == 6:  # compaction
            return [
                *(self._row("I", block, cpu), self._row("i", block, cpu, rng.choice((1 << order, 0)))),
                *(self._row("F", (pfn + k, 0), cpu) for k in range(rng.choice((0, 1, 3)))),
            ]
        if what == 7:  # much at once, as boot or a program's end do
            letter = rng.choice("AFZ")
            return [self._row(letter, ((pfn & ~1023) + (k << order), order), cpu) for k in range(rng.choice((16, 64)))]
        if what == 8:
            return [self._row(rng.choice("AFBZDXIiPRr"), block, cpu, rng.randrange(4))]
        return [self._row("A", (-1, order), cpu)]


def a_recording(number: int, path: Path) -> Trace:
    """The recording of that number, at `path`. Raises InputError where it is none."""
    rng = Random(number)
    guest = _Guest(rng)
    rows, types = guest.rows(rng.choice((20, 100, 400, 800)))
    if number % 8 == 7:  # boot frees all memory
        freed = [
            ("F", pfn, 10, 0)
            for zone in guest.zones
            for pfn in range(-(-zone.start_pfn // 1024) * 1024, zone.end_pfn, 1024)
        ]
        rows, types = [*freed, *rows], [1] * len(freed) + types
    if number % 3 == 2:  # page events only: CPUs' lists are the model's own
        kept = [k for k, row in enumerate(rows) if row[0] not in "ZDX"] or [0]
        rows, types = [rows[k] for k in kept], [types[k] for k in kept]
    steps = rng.choice(((0,), (0, 10**3, 10**6), (10**6,), (10**6, 10**8), (0, 10**4, 10**7)))
    begin = rng.choice((0, 10**9, 10**15))
    times, now = [], begin
    for _ in rows:
        times.append(now)
        now += rng.choice(steps)
    zoned, texts, flags = rng.random() < 0.85, {}, None
    if zoned and rng.random() < 0.6:
        free = rng.choice((0, 10, min(each.present for each in guest.zones)))
        on_cpus = [rng.choice((0, 3, 20)) for _ in range(rng.choice((1, guest.cpus)))]
        guest.zones = [replace(each, pcp_high=30, pcp_batch=7, managed=each.present) for each in guest.zones]
        texts["zoneinfo"] = zoneinfo(guest.zones, free, on_cpus)
        if rng.random() < 0.7:
            flags = _flags(rng, guest.end)
    block_order = rng.choice((None, None, 9, 9, 10, 0, 1, 3, 4, 5))
    marks = [(rng.choice(times), text) for text in (SNAPSHOT_BEGUN, SNAPSHOT_READ, "phase one") if rng.random() < 0.4]
    reporting = None
    if rng.random() < 0.6:
        order = rng.choice((None, 0, 3, 9, 10))
        came = rng.choice((None, begin, begin - 10**9, now, now + 10**9))
        delay = rng.choice((None, 0, 10**6, 2 * 10**9))
        reporting = GuestReporting(rng.choice((None, True, False)), order, delay, rng.choice((None, 1, 32)), came)
    meta = Meta(
        recorder="test",
        source="test",
        kernel=rng.choice(_KERNELS),
        pageblock_order=block_order,
        zones=guest.zones if zoned else [],
        reporting=reporting,
        level=rng.choice((None, "page", "page", "zone")),
    )
    gfps = {row: rng.choice((0, 0xCC0, 0x1100CCA, _BALLOON)) for row in range(len(rows)) if rng.random() < 0.3}
    trace = record(
        path,
        rows,
        guest.zones if zoned else [],
        meta,
        texts=texts,
        flags=flags,
        marks=sorted(marks),
        final=texts if texts and rng.random() < 0.3 else None,
        migratetype=types,
        gfps=gfps,
        times=times,
        host=_host(rng, guest, times),
    )
    return _claimed(rng, trace) if rng.random() < 0.2 else trace


# Its meta.json says something else.
def _claimed(rng: Random, trace: Trace) -> Trace:
    path = trace.path / "meta.json"
    meta = json.loads(path.read_text())
    claims = {
        "events": {letter: count for letter, count in meta["events"].items() if rng.random() < 0.8},
        "cpus": rng.choice((1, 2, 8192)),
        "pfn_end": rng.choice((0, 1, 1 << 20)),
        "first_ns": meta["first_ns"] + rng.choice((-(10**9), 10**6, 10**9)),
        "last_ns": meta["last_ns"] + rng.choice((-(10**6), 10**9, 10**12)),
        "level": rng.choice((None, "page", "zone")),
        "pageblock_order": rng.choice((None, 0, 2, 10)),
        "kernel": rng.choice(_KERNELS),
    }
    name = rng.choice(list(claims))
    path.write_text(json.dumps({**meta, name: claims[name]}))
    return Trace.open(trace.path)


def _flags(rng: Random, end: int) -> np.ndarray[Any, np.dtype[np.uint64]]:
    flags, pfn = np.zeros(end, np.uint64), 0
    while pfn < end:
        pages = rng.choice((1, 3, 64, 512, 2048))
        flags[pfn : pfn + pages] = rng.choice(_FLAGS)
        pfn += pages
    return flags


def _host(rng: Random, guest: _Guest, times: list[int]) -> Callable[[TraceWriter], None]:
    looks = sorted(rng.sample(times, min(rng.randrange(3), len(times))))
    pages = guest.end + rng.choice((0, 8, 4096))
    bitmaps = [(time, np.frombuffer(rng.randbytes(-(-pages // 8)), np.uint8)) for time in looks]
    told = sorted((rng.choice(times), *rng.choice(guest.hot)) for _ in range(rng.choice((0, 0, 20))))

    def add(writer: TraceWriter) -> None:
        if bitmaps:
            writer.add_residency_bitmaps(bitmaps)
        if told:
            at, pfns, orders = zip(*told, strict=True)
            columns = [at, pfns, [1 << order for order in orders], [0] * len(told)]
            writer.add_reported(pa.table(columns, schema=REPORTED_SCHEMA))

    return add


def how_to_replay(number: int) -> tuple[Callable[[], Design | None], Callable[[], ModelHost], dict[str, Any]]:
    """What makes a design and a host, and how to replay: `Playback`'s, but for a trace."""
    rng = Random(-1 - number)
    order, delay = rng.choice((0, 1, 3, 5, 9, MAX_PAGE_ORDER)), rng.choice(("0s", "1us", "1ms", "100ms", "2s"))
    many, water = rng.choice((1, 2, 32, 1000)), rng.choice((0, 1, 4, 32))
    phase = rng.choice((None, 0, 10**6))
    page_size, price = rng.choice(("4KiB", "2MiB", "THP")), rng.choice((0.01, 15, 1e6))
    memory, often = rng.choice((None, None, "2MiB", "6MiB")), rng.random() < 0.3
    at_once, idle = rng.random() < 0.5, rng.choice((None, "1ms", "1s"))
    designs: tuple[Callable[[], Design | None], ...] = (
        lambda: None,
        lambda: PageReporting(order, delay, phase),
        lambda: PageHinting(order, water, delay, at_once, idle),
        lambda: BreakEven(),
        lambda: BreakEven(price=price),
    )
    how = {
        "placement": rng.choice(("simulated", "simulated", "recorded")),
        "backed": rng.choice((None, True, False)),
        "touch": rng.choice((frozenset({"alloc"}), frozenset({"alloc", "zone_alloc", "free"}), frozenset())),
        "kernel": rng.choice((None, None, *(kernel for kernel in _KERNELS if kernel and kernel[0].isdigit()))),
        "price": price,
    }
    return (
        rng.choice(designs),
        lambda: ModelHost(page_size, None, None if page_size == "2MiB" else memory, many, often and page_size == "THP"),
        how,
    )
