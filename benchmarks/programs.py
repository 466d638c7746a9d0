"""Two programs for which the arena is made, on it and without it, each in a process of its own.

    python benchmarks/programs.py [--json]

threads: 8 threads make, fill and drop NumPy arrays of 1 to 24 MiB, then idle: the time, and what is resident 4 s later.
loader: a spawned process hands over 24 arrays of 64 MiB: pickled through a queue, or shared by handles. It takes about
two minutes; each figure is the median of three runs.
"""

import argparse
import contextlib
import json
import multiprocessing
import statistics
import subprocess
import sys
import threading
import time
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

import pagehint
from pagehint.units import MIB

_RUNS = 3
_THREADS, _ARRAYS = 8, 300
_PARCELS, _PARCEL = 24, 64 * MIB


def _resident() -> float:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096 / MIB


def threads(on_arena: bool) -> dict[str, float]:
    arena = pagehint.Arena("8GiB", hugepages=False) if on_arena else None
    before = _resident()

    def work(seed: int) -> None:
        rng = np.random.default_rng(seed)
        kept: list[Any] = [None] * 8
        with arena.numpy("1MiB") if arena else contextlib.nullcontext():
            for number in range(_ARRAYS):
                kept[number % len(kept)] = np.full(int(rng.integers(MIB, 24 * MIB)), 1, "u1")

    workers = [threading.Thread(target=work, args=(seed,)) for seed in range(_THREADS)]
    begin = time.perf_counter()
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    took = time.perf_counter() - begin
    time.sleep(4)
    return {"seconds": took, "MiB resident while idle": _resident() - before}


def _produce(on_arena: bool, queue: Any, done: Any) -> None:
    arena = pagehint.Arena("4GiB", host="memfd") if on_arena else None
    for number in range(_PARCELS):
        array = arena.empty(_PARCEL, "u1") if arena else np.empty(_PARCEL, "u1")
        array[:] = number
        queue.put(arena.share(array) if arena else array)
        del array
    done.wait()


def loader(on_arena: bool) -> dict[str, float]:
    context = multiprocessing.get_context("spawn")
    queue, done = context.Queue(2), context.Event()
    process = context.Process(target=_produce, args=(on_arena, queue, done))
    process.start()
    begin = 0.0
    for number in range(_PARCELS):
        parcel = queue.get()
        begin = begin or time.perf_counter()  # the process's own start doesn't count
        data = np.frombuffer(parcel.open(), np.uint8) if on_arena else parcel
        assert data[0] == data[-1] == number
        del parcel, data
    took = time.perf_counter() - begin
    done.set()
    process.join()
    return {"seconds": took}


_PROGRAMS = {"threads": threads, "loader": loader}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(_PROGRAMS[arguments.one[0]](arguments.one[1] == "arena")))
        return
    figures: dict[str, dict[str, dict[str, float]]] = {}
    for name in _PROGRAMS:
        runs: dict[str, list[dict[str, float]]] = {"without": [], "arena": []}
        for _ in range(_RUNS):
            for way, found in runs.items():
                command = [sys.executable, __file__, "--one", name, way]
                found.append(json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout))
        figures[name] = {
            way: {what: statistics.median(run[what] for run in found) for what in found[0]}
            for way, found in runs.items()
        }
    if arguments.json:
        print(json.dumps(figures, indent=2))
        return
    table = Table("program", "what", "without", "the arena")
    for name, ways in figures.items():
        for what, figure in ways["without"].items():
            table.add_row(name, what, f"{figure:,.2f}", f"{ways['arena'][what]:,.2f}")
    Console().print(table)


if __name__ == "__main__":
    main()
