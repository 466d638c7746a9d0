"""What the engine costs: ns per operation, per hinted block, per call from Python; memory; times to start.

    python benchmarks/engine.py [--quick] [--only PART ...] [--json]

docs/benchmarks.md says what each row is. Every run has a fresh zone. Times are CPU time of this thread, so that a
shared machine's other work is not counted; what is compared is run in turn, and compared pair by pair.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing import get_context

import numpy as np
from rich.console import Console
from rich.table import Table

from pagehint.hinting.clock import VirtualClock
from pagehint.hinting.designs.hinting import PageHinting
from pagehint.hinting.drivers.virtual import VirtualWorker
from pagehint.mm.batch import Batch
from pagehint.mm.zone import Zone

PAGES_A_GIB = 1 << 18
SIZES = {"256 MiB": PAGES_A_GIB // 4, "4 GiB": 4 * PAGES_A_GIB, "16 GiB": 16 * PAGES_A_GIB}
TIMED = 5_000_000
CHUNK = 500  # operations to a millisecond of virtual time
MILLISECOND = 10**6
SECOND = 10**9
SEED = 1

now = time.thread_time_ns


@dataclass(frozen=True, slots=True)
class Churn:
    """Operations that each toggle a random slot: allocate if it is empty, else free."""

    name: str
    pages_a_slot: int
    orders: dict[int, int]  # order: per cent of the allocations
    types: dict[int, int]  # migratetype: per cent


CHURNS = (
    Churn("order-0", 2, {0: 100}, {1: 100}),
    Churn("order-9", 512, {9: 100}, {1: 100}),
    Churn(
        "mixed",
        28,
        {0: 60, 1: 12, 2: 10, 3: 8, 4: 3, 5: 1, 6: 1, 7: 1, 8: 1, 9: 2, 10: 1},
        {1: 60, 0: 25, 2: 15},
    ),
)
PARTS = (*(churn.name for churn in CHURNS), "pass", "calls", "memory", "start")
TARGETS = {"order-0": (15, 60, 90), "order-9": (13, 15, 20), "mixed": (15, 20, 60)}


@dataclass(frozen=True, slots=True)
class Figure:
    """One row: the median and the least of ``runs`` runs, and what it should be at most."""

    what: str
    median: float
    least: float
    unit: str
    target: float | None
    runs: int

    @property
    def met(self) -> bool | None:
        return None if self.target is None else self.median <= self.target


def figure(what: str, values: list[float], unit: str, target: float | None = None) -> Figure:
    return Figure(what, statistics.median(values), min(values), unit, target, len(values))


# The operations, made before anything is timed

Arrays = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


@dataclass(frozen=True, slots=True)
class Plan:
    """A churn's operations on a zone: fill the first half of the slots, warm up, then those that are timed."""

    pages: int
    slots: int
    fill: Arrays
    warm_up: Arrays
    timed: Arrays
    chunks: list[Arrays]


def allocations(which: np.ndarray, filled: int) -> np.ndarray:
    """Which toggles allocate: slot s starts filled if it is below ``filled``, and every toggle changes it."""
    order = np.argsort(which, kind="stable")
    ordered = which[order]
    firsts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    toggles_before = np.arange(len(which)) - np.repeat(firsts, np.diff(np.r_[firsts, len(which)]))
    allocates = np.empty(len(which), np.uint8)
    allocates[order] = (toggles_before + (ordered < filled)) % 2 == 0
    return allocates


def draw(rng: np.random.Generator, percent: dict[int, int], count: int) -> np.ndarray:
    hundred = np.repeat(np.array(list(percent), np.uint8), list(percent.values()))
    return hundred[rng.integers(0, 100, count, np.uint8)]


def plan(churn: Churn, pages: int, timed: int) -> Plan:
    rng = np.random.default_rng(SEED)
    slots = pages // churn.pages_a_slot
    filled = slots // 2
    toggled = rng.integers(0, slots, slots + timed, np.uint32)
    which = np.r_[np.arange(filled, dtype=np.uint32), toggled]
    ops = np.r_[np.ones(filled, np.uint8), allocations(toggled, filled)]
    everything = ops, which, draw(rng, churn.orders, len(which)), draw(rng, churn.types, len(which))

    def part(begin: int, end: int) -> Arrays:
        ops, which, orders, types = (array[begin:end] for array in everything)
        return ops, which, orders, types

    begin = filled + slots
    chunks = [part(k, min(k + CHUNK, begin + timed)) for k in range(begin, begin + timed, CHUNK)]
    return Plan(pages, slots, part(0, filled), part(filled, begin), part(begin, begin + timed), chunks)


# Churn


class NoDevice:
    """Takes 32 blocks a batch, and does nothing."""

    capacity = 32

    def react(self, blocks: Batch) -> None:
        pass


def churn_run(plan: Plan, hinting: bool, chunked: bool) -> float:
    """ns per operation; in one call of ``bulk``, or in chunks with a millisecond of virtual time after each."""
    zone = Zone(plan.pages, hinting=hinting)
    clock = VirtualClock()
    worker = VirtualWorker(PageHinting(), [zone], clock)
    if hinting:
        worker.start(NoDevice())
        clock.advance(SECOND)
    table = np.full(plan.slots, -1, np.int64)
    zone.bulk(*plan.fill, table)
    zone.bulk(*plan.warm_up, table)
    clock.advance(SECOND)
    bulk = zone.bulk
    if chunked:
        began = now()
        for ops, which, orders, types in plan.chunks:
            bulk(ops, which, orders, types, table)
            clock.advance(MILLISECOND)
        took = now() - began
    else:
        began = now()
        bulk(*plan.timed, table)
        took = now() - began
    worker.stop()
    return took / len(plan.timed[0])


def more(baseline: list[float], other: list[float]) -> list[float]:
    """Per cent that ``other`` takes beyond ``baseline``, pair by pair."""
    return [100 * (b / a - 1) for a, b in zip(baseline, other, strict=True)]


def churn_rows(churn: Churn, runs: int, timed: int) -> Iterator[Figure]:
    ways = {
        "absent": (False, False),
        "idle": (True, False),
        "absent, in chunks": (False, True),
        "busy, in chunks": (True, True),
    }
    limits = {"order-0": (1, None), "order-9": (None, 2), "mixed": (None, None)}
    for (size, pages), target in zip(SIZES.items(), TARGETS[churn.name], strict=True):
        operations = plan(churn, pages, timed)
        took: dict[str, list[float]] = {way: [] for way in ways}
        for run in range(runs):
            # Forwards and backwards in turn: whoever goes first has no advantage.
            for way in list(ways)[:: -1 if run % 2 else 1]:
                took[way].append(churn_run(operations, *ways[way]))
        absent, idle, plain, busy = took.values()
        name = f"{churn.name} churn, {size}"
        idle_target, busy_target = limits[churn.name]
        yield figure(name, absent, "ns/op", target)
        yield figure(f"{name}: started and idle", more(absent, idle), "% more", idle_target)
        yield figure(f"{name}: busy", more(plain, busy), "% more", busy_target)
        extra = [b - a for a, b in zip(plain, busy, strict=True)]
        yield figure(f"{name}: busy, beyond absent", extra, "ns/op")


# A full pass


def free_in_order(pages: int, order: int) -> Zone:
    """A zone whose free blocks all have one order: the largest, or a smaller one with every other block in use."""
    zone = Zone(pages)
    if order < zone.max_order - 1:
        pfns = [zone.alloc(order) for _ in range(pages >> order)]
        for pfn in pfns[::2]:
            zone.free(pfn, order)
    return zone


def pass_run(pages: int, order: int) -> float:
    """ns per block that a device which does nothing is told of."""
    zone = free_in_order(pages, order)
    clock = VirtualClock()
    design = PageHinting()
    worker = VirtualWorker(design, [zone], clock)
    worker.start(NoDevice())
    began = now()
    clock.advance(SECOND)
    took = now() - began
    worker.stop()  # or the zones of the runs before are there still, and are collected within the pass
    blocks = design.statistics.blocks
    assert blocks == zone.nr_free[order] == (zone.nr_hinted or [])[order], "every free block is hinted"
    return took / blocks


def pass_rows(runs: int) -> Iterator[Figure]:
    for size, pages in SIZES.items():
        target = None if pages < SIZES["4 GiB"] else 25
        for order in (10, 9):
            values = [pass_run(pages, order) for _ in range(runs)]
            yield figure(f"full pass, {size} free in order-{order} blocks", values, "ns/block", target)


# From Python


def call_run(zone: Zone, calls: int) -> float:
    """ns per pair of alloc and free, the loop included."""
    alloc, free = zone.alloc, zone.free
    began = now()
    for _ in range(calls):
        free(alloc())
    return (now() - began) / calls


def call_rows(runs: int) -> Iterator[Figure]:
    zone = Zone(SIZES["4 GiB"])
    splits = [call_run(zone, 100_000) for _ in range(runs)]
    pfns = [zone.alloc() for _ in range(1001)]
    for pfn in pfns[::2]:
        zone.free(pfn)
    plain = [call_run(zone, 100_000) for _ in range(runs)]
    yield figure("one alloc + free from Python", plain, "ns", 250)
    yield figure("the same, splitting an order-10 block and merging it", splits, "ns", 250)


# Memory


def resident() -> int:
    """Bytes of this process that are resident now."""
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmRSS"))


def memory_of(pages: int, churned: bool) -> tuple[float, float]:
    """In a process of its own: MiB that a zone makes resident (and never gives back), bytes of metadata a page."""
    operations = plan(CHURNS[0], pages, 1000) if churned else None
    table = np.full(operations.slots if operations else 0, -1, np.int64)
    before = resident()
    zone = Zone(pages)
    if operations is not None:
        zone.bulk(*operations.fill, table)
        zone.bulk(*operations.warm_up, table)
    arrays = zone.page_state, zone.page_links, zone.pageblock_types, zone.pageblock_movable
    return (resident() - before) / 2**20, sum(array.nbytes for array in arrays) / pages


def memory_rows() -> Iterator[Figure]:
    # A process a figure: what one zone made resident is not there for the next.
    with ProcessPoolExecutor(1, mp_context=get_context("spawn"), max_tasks_per_child=1) as pool:
        for size, pages in SIZES.items():
            fresh, _ = pool.submit(memory_of, pages, False).result()
            churned, a_page = pool.submit(memory_of, pages, True).result()
            yield figure(f"metadata, {size}", [a_page], "bytes/page", 16)
            yield figure(f"peak memory, {size}, fresh", [fresh], "MiB")
            yield figure(f"peak memory, {size}, after order-0 churn", [churned], "MiB", 16 * pages / 2**20)


# Starting


def seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def start_rows(runs: int) -> Iterator[Figure]:
    yield figure("opening a 64 GiB zone", [seconds(lambda: Zone(64 * PAGES_A_GIB)) for _ in range(runs)], "s", 0.3)

    def start(code: str) -> float:
        return 1000 * seconds(lambda: subprocess.run([sys.executable, "-c", code], check=True))

    whole = "import pagehint.mm.zone, pagehint.hinting.designs.hinting, pagehint.hinting.drivers.thread"
    start(whole)
    for what, code in (("import pagehint", "import pagehint"), ("import the engine and the hinting", whole)):
        values = [start("import numpy, " + code.removeprefix("import ")) - start("import numpy") for _ in range(runs)]
        yield figure(f"{what}, beyond numpy", values, "ms", 150)


# All of it


def rows(quick: bool, only: list[str]) -> Iterator[Figure]:
    runs = 3 if quick else 11
    timed = TIMED // 10 if quick else TIMED
    parts = {churn.name: churn_rows(churn, runs, timed) for churn in CHURNS}
    parts |= {
        "pass": pass_rows(3 * runs),
        "calls": call_rows(runs),
        "memory": memory_rows(),
        "start": start_rows(runs),
    }
    for name, part in parts.items():
        if not only or name in only:
            yield from part


def shown(figures: list[Figure]) -> Table:
    table = Table("what", "unit")
    for column in ("median", "least", "target", ""):
        table.add_column(column, justify="right")
    for row in figures:
        target = "" if row.target is None else f"{row.target:g}"
        met = {True: "met", False: "MISSED", None: ""}[row.met]
        table.add_row(row.what, row.unit, f"{row.median:.3g}", f"{row.least:.3g}", target, met)
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description="What the engine costs.")
    parser.add_argument("--quick", action="store_true", help="fewer and shorter runs: rough figures in seconds")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--only", nargs="*", default=[], metavar="PART", choices=PARTS, help=f"of {', '.join(PARTS)}")
    arguments = parser.parse_args()
    figures = list(rows(arguments.quick, arguments.only))
    if arguments.json:
        print(json.dumps([asdict(row) | {"met": row.met} for row in figures], indent=1))
    else:
        Console(width=None if sys.stdout.isatty() else 120).print(shown(figures))


if __name__ == "__main__":
    main()
