"""The arena beside other ways to have large blocks: time, and memory by the kernel's count.

    python benchmarks/arena.py [--rounds 3] [--json FILE]
    python benchmarks/arena.py --idle 20ms 200ms 2s

Each way runs in a process of its own, for each figure, in turn, as many rounds as asked; figures are medians over the
rounds. jemalloc and mimalloc are Debian's (apt install libjemalloc2 libmimalloc2.0); ways that the machine lacks are
left out, and named. ``--idle``: the arena alone, with each of these idle times, where it gives back and is used again.
"""

import argparse
import contextlib
import gc
import itertools
import json
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

MIB, GIB = 1 << 20, 1 << 30
Make = Callable[[int], Any]


@dataclass(frozen=True)
class Way:
    """How blocks are had: what the process is started with, and what makes a block in it."""

    name: str
    kind: str
    library: str = ""
    environment: dict[str, str] = field(default_factory=dict)


def _library(name: str) -> str:
    found = sorted(Path("/usr/lib").glob(f"*/{name}"))
    return str(found[0]) if found else ""


def ways() -> tuple[list[Way], list[str]]:
    """Those that this machine has, and the names of those that it lacks."""
    jemalloc, mimalloc = _library("libjemalloc.so.2"), _library("libmimalloc.so.2")
    decay = {"MALLOC_CONF": "background_thread:true,dirty_decay_ms:2000,muzzy_decay_ms:0"}
    found = [
        Way("arena", "arena"),
        Way("arena, hugepages=False", "arena-small"),
        Way("arena, NumPy drop-in", "drop-in"),
        Way("np.empty (glibc; NumPy asks for huge pages)", "numpy"),
        Way("np.empty (glibc), no huge pages", "numpy", "", {"NUMPY_MADVISE_HUGEPAGE": "0"}),
        Way("np.empty (glibc + MADV_HUGEPAGE)", "numpy", "", {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}),
        Way("np.empty on jemalloc", "numpy", jemalloc),
        Way("np.empty on jemalloc, decay 2 s in background", "numpy", jemalloc, decay),
        Way("np.empty on mimalloc", "numpy", mimalloc),
        Way("pyarrow system pool", "pyarrow-system"),
        Way("pyarrow jemalloc pool", "pyarrow-jemalloc"),
        Way("pyarrow mimalloc pool", "pyarrow-mimalloc"),
    ]
    import pyarrow as pa

    backends = pa.supported_memory_backends()
    lacking = [way for way in found if "malloc" in way.name and way.kind == "numpy" and not way.library]
    lacking += [way for way in found if way.kind.startswith("pyarrow-") and way.kind[8:] not in backends]
    return [way for way in found if way not in lacking], [way.name for way in lacking]


# In the process of one way


def maker(kind: str, inside: contextlib.ExitStack) -> Make:
    kind, _, idle = kind.partition(":")
    if kind in ("arena", "arena-small", "drop-in"):
        from pagehint.arena import Arena

        arena = inside.enter_context(Arena("6GiB", hugepages=kind != "arena-small", idle=idle or "2s"))
        if kind != "drop-in":
            return lambda nbytes: arena.empty(nbytes, "u1")
        inside.enter_context(arena.numpy())
    if kind.startswith("pyarrow-"):
        import pyarrow as pa

        pool = getattr(pa, f"{kind[8:]}_memory_pool")()
        return lambda nbytes: np.frombuffer(pa.allocate_buffer(nbytes, pool), np.uint8)
    return lambda nbytes: np.empty(nbytes, np.uint8)


def median_time(work: Callable[[], Any], seconds: float = 0.4, least: int = 5) -> float:
    for _ in range(2):
        work()
    times: list[float] = []
    end = time.perf_counter() + seconds
    while len(times) < least or time.perf_counter() < end:
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def rss() -> int:
    with open("/proc/self/smaps_rollup") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("Rss:")) * 1024


def touch_and_free(make: Make) -> dict[str, float]:
    def once(nbytes: int) -> None:
        make(nbytes)[::4096] = 1

    return {f"{size} MiB, s": median_time(lambda size=size: once(size * MIB)) for size in (1, 16, 64, 128, 256)}


def alloc_and_free(make: Make) -> dict[str, float]:
    def thousand() -> None:
        for _ in range(1000):
            make(64 * MIB)

    return {"64 MiB, s": median_time(thousand) / 1000}


def chain(make: Make) -> dict[str, float]:
    found = {}
    for size in (1, 2, 4, 16, 64, 256):
        x = np.ones(size * MIB // 8)
        y = np.ones(size * MIB // 8)
        found[f"{size} MiB, s"] = median_time(lambda x=x, y=y: np.sqrt(x * x + y * y) / (x + 1) - y * 0.5)
        del x, y
    return found


def burst(make: Make, blocks: int = 32) -> tuple[float, list[Any]]:
    """Allocates and fills 2 GiB, with 100 MiB in between that are kept; then frees the 2 GiB."""
    start = time.perf_counter()
    kept, dropped = [], []
    for k in range(blocks):
        dropped.append(make(64 * MIB))
        dropped[-1][:] = 1
        if not k % 3 and len(kept) < 10:
            kept.append(make(10 * MIB))
            kept[-1][:] = 2
    dropped.clear()
    gc.collect()
    return time.perf_counter() - start, kept


def after_a_burst(make: Make) -> dict[str, float]:
    make(MIB)[:] = 1
    before = rss()
    first, kept = burst(make)
    time.sleep(5)
    resident = rss() - before
    assert all((array == 2).all() for array in kept)
    times = []
    for _ in range(4):
        again, more = burst(make)
        times.append(again)
        del more
        time.sleep(5)
    return {
        "resident after 5 s, MiB": resident / MIB,
        "first burst, s": first,
        "burst again after 5 s, s": statistics.median(times),
        "the fastest of 4, s": min(times),
    }


def bursty(make: Make) -> dict[str, float]:
    """3 times: work on 60 blocks of 64 to 128 MiB, 10 of them held, then 4 s of nothing."""
    make(MIB)[:] = 1
    base = rss()
    samples: list[tuple[float, int]] = []
    stop = threading.Event()

    def sample() -> None:
        while not stop.wait(0.02):
            samples.append((time.perf_counter(), rss() - base))

    sampler = threading.Thread(target=sample)
    sampler.start()
    busy, cpu = 0.0, time.process_time()
    for _ in range(3):
        start = time.perf_counter()
        held: list[Any] = []
        for k in range(60):
            array = make((64 + k % 5 * 16) * MIB)
            array[::4096] = 1
            held.append(array)
            if len(held) > 10:
                del held[0]
        del array
        held.clear()
        busy += time.perf_counter() - start
        time.sleep(4)
    cpu = time.process_time() - cpu
    stop.set()
    sampler.join()
    integral = sum((b[0] - a[0]) * a[1] for a, b in itertools.pairwise(samples)) / GIB
    return {"busy, s": busy, "CPU, s": cpu, "resident, GiB*s": integral, "product": integral * busy}


FIGURES: dict[str, Callable[[Make], dict[str, float]]] = {
    "allocate + touch + free": touch_and_free,
    "allocate + free": alloc_and_free,
    "expression chain": chain,
    "after a burst of 2 GiB": after_a_burst,
    "bursty work": bursty,
}
ONLY_NUMPY = ("expression chain",)
WITH_IDLE = ("after a burst of 2 GiB", "bursty work")


def one(kind: str, figure: str) -> None:
    with contextlib.ExitStack() as inside:
        print(json.dumps(FIGURES[figure](maker(kind, inside))))


# In the process that compares


def run(way: Way, figure: str) -> dict[str, float]:
    environment = {**os.environ, **way.environment}
    if way.library:
        environment["LD_PRELOAD"] = way.library
    done = subprocess.run(
        [sys.executable, __file__, "--one", way.kind, figure],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    found: dict[str, float] = json.loads(done.stdout)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--only", choices=FIGURES)
    parser.add_argument("--idle", nargs="+")
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        one(*arguments.one)
        return
    present, lacking = ways()
    figures = [arguments.only] if arguments.only else list(FIGURES)
    if arguments.idle:
        present, lacking = [Way(f"arena, idle {idle}", f"arena:{idle}") for idle in arguments.idle], []
        figures = [figure for figure in figures if figure in WITH_IDLE]
    results: dict[str, dict[str, dict[str, float]]] = {}
    for figure in figures:
        taken = [way for way in present if figure not in ONLY_NUMPY or way.kind in ("drop-in", "numpy")]
        rounds = [[run(way, figure) for way in taken] for _ in range(arguments.rounds)]
        results[figure] = {
            way.name: {key: statistics.median(each[k][key] for each in rounds) for key in rounds[0][k]}
            for k, way in enumerate(taken)
        }
        keys = list(rounds[0][0])
        print(f"\n## {figure}\n\n| | {' | '.join(keys)} |\n|---|{'---|' * len(keys)}", flush=True)
        for name, row in results[figure].items():
            print(f"| {name} | {' | '.join(f'{row[key]:.4g}' for key in keys)} |", flush=True)
    for name in lacking:
        print(f"\nnot on this machine: {name}")
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
