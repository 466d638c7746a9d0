"""What the guest around the zone costs: per-CPU lists, GuestMemory, and a pass that finds nothing to report.

    python benchmarks/guest.py

Operations run in one compiled loop (``Zone.bulk``), with and without a CPU's lists, in turn; times are CPU time of this
thread, and each figure is the median of its runs. docs/benchmarks.md says what was measured.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass

import numpy as np
from rich.console import Console
from rich.table import Table

from pagehint.hinting.clock import VirtualClock
from pagehint.hinting.designs.reporting import PageReporting
from pagehint.hinting.drivers.virtual import VirtualWorker
from pagehint.kernel.profiles import LINUX_6_1
from pagehint.mm.batch import Batch
from pagehint.mm.guest.watermarks import default_min_free_kbytes, zone_watermarks
from pagehint.mm.pcp import PerCpuLists, pcp_batch, pcp_high
from pagehint.mm.zone import Zone

RUNS = 9
OPERATIONS = 2_000_000
SIZES_MIB = (256, 4096, 16384)
now = time.thread_time_ns


@dataclass(frozen=True, slots=True)
class Pattern:
    """Operations on slots, of which those from ``filled.start`` to ``filled.stop`` hold a page from the start."""

    ops: np.ndarray
    which: np.ndarray
    filled: range
    warm_up: int


def lifo(pages: int) -> Pattern:
    """16 allocations, then 16 frees, the last one first, again and again; half of the zone is in use by others."""
    turns = OPERATIONS // 32
    which = np.tile(np.r_[np.arange(16), np.arange(16)[::-1]], turns)
    ops = np.tile(np.repeat([1, 0], 16), turns)
    return Pattern(ops.astype(np.uint8), which.astype(np.uint32), range(16, pages // 2), OPERATIONS // 4)


def churn(pages: int) -> Pattern:
    """Each operation toggles a random one of pages/2 slots, half of which are filled; as many as slots warm up."""
    slots = pages // 2
    which = np.random.default_rng(1).integers(0, slots, slots + OPERATIONS, np.uint32)
    order = np.argsort(which, kind="stable")
    ordered = which[order]
    firsts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    nth = np.arange(len(which)) - np.repeat(firsts, np.diff(np.r_[firsts, len(which)]))
    ops = np.empty(len(which), np.uint8)
    ops[order] = (nth + (ordered < slots // 2)) % 2 == 0
    return Pattern(ops, which, range(slots // 2), slots)


def nanoseconds(pages: int, pattern: Pattern, through_lists: bool) -> float:
    """Per operation, on a new zone."""
    (watermarks,) = zone_watermarks([pages], default_min_free_kbytes(pages * 4, LINUX_6_1) // 4)
    zone = Zone(pages, profile=LINUX_6_1, watermarks=watermarks)
    pcp = None
    if through_lists:
        batch = pcp_batch(pages)
        pcp = PerCpuLists(zone, 0, batch, pcp_high(LINUX_6_1, batch, watermarks.low, 1))
    count, filled = len(pattern.ops), len(pattern.filled)
    zeros, ones = np.zeros(max(count, filled), np.uint8), np.ones(max(count, filled), np.uint8)
    table = np.full(pages // 2, -1, np.int64)
    slots = np.arange(pattern.filled.start, pattern.filled.stop, dtype=np.uint32)
    zone.bulk(ones[:filled], slots, zeros[:filled], ones[:filled], table, pcp)

    def run(begin: int, end: int) -> int:
        start = now()
        orders, types = zeros[begin:end], ones[begin:end]
        failed = zone.bulk(pattern.ops[begin:end], pattern.which[begin:end], orders, types, table, pcp)
        took = now() - start
        assert not failed
        return took

    run(0, pattern.warm_up)
    return run(pattern.warm_up, count) / (count - pattern.warm_up)


def per_cpu_lists(table: Table) -> None:
    for name, make in (("16 allocations, 16 frees", lifo), ("random toggles", churn)):
        for mib in SIZES_MIB:
            pages = mib << 8
            pattern = make(pages)
            pairs = [[nanoseconds(pages, pattern, lists) for lists in (False, True)] for _ in range(RUNS)]
            zone, lists = (statistics.median(side) for side in zip(*pairs, strict=True))
            ratio = statistics.median(lists / zone for zone, lists in pairs)
            table.add_row(
                f"order 0, {name}, {mib} MiB: zone, per-CPU lists", f"{zone:.1f} ns, {lists:.1f} ns", f"{ratio:.2f}"
            )


OPEN = """
import json, sys, time
import numpy
from pagehint.mm.guest.memory import GuestMemory
def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096
before, begin = resident(), time.perf_counter()
memory = GuestMemory(sys.argv[1], nodes=int(sys.argv[2]), cpus=4)
took = time.perf_counter() - begin
print(json.dumps([took, (resident() - before) / 2**20]))
"""


def opening(table: Table) -> None:
    for size, nodes, runs in (("64GiB", 2, RUNS), ("1TiB", 4, 3)):
        results = []
        for _ in range(runs):
            command = [sys.executable, "-c", OPEN, size, str(nodes)]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            results.append(json.loads(done.stdout))
        took, resident = (statistics.median(side) for side in zip(*results, strict=True))
        least = min(result[0] for result in results)
        table.add_row(
            f"GuestMemory of {size}, {nodes} nodes", f"{took:.3f} s (least {least:.3f} s)", f"{resident:.0f} MiB"
        )


class NoDevice:
    capacity = 1024

    def react(self, batch: Batch) -> None:
        pass


def empty_passes(table: Table) -> None:
    for count in (1_000, 10_000, 100_000, 1_000_000):
        # Every other page is in use, so that the free ones stay apart.
        pages = 2 * count + 4096
        zone = Zone(pages, profile=LINUX_6_1)
        held = np.full(2 * count, -1, np.int64)
        some = np.arange(2 * count, dtype=np.uint32)
        zeros, ones = np.zeros(2 * count, np.uint8), np.ones(2 * count, np.uint8)
        zone.bulk(ones, some, zeros, ones, held)
        zone.bulk(zeros[::2].copy(), some[::2].copy(), zeros[::2].copy(), ones[::2].copy(), held)
        clock = VirtualClock()
        design = PageReporting(order=0)
        VirtualWorker(design, [zone], clock).start(NoDevice())
        clock.advance(3600 * 10**9)
        assert zone.nr_hinted is not None
        assert zone.nr_hinted[0] >= count
        times = []
        for _ in range(RUNS):
            batch = Batch(1)
            begin = now()
            zone.take_unreported(0, 1, batch, 1)
            times.append(now() - begin)
            assert not batch
        took = statistics.median(times)
        table.add_row(
            f"walk of a list of {count:,} reported blocks, none unreported",
            f"{took / 1e6:.3f} ms",
            f"{took / count:.1f} ns/block",
        )


def main() -> None:
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()  # for --help
    table = Table("what", "median", "")
    per_cpu_lists(table)
    opening(table)
    empty_passes(table)
    Console().print(table)


if __name__ == "__main__":
    main()
