"""No live byte is ever lost: fills blocks with patterns of their own and verifies each before it is freed.

    python benchmarks/stress_arena.py --gigabytes 1000

Each process has an arena, again and again a new one that grows by hotplug from its first section on, of every kind of
memory in turn. Its threads allocate random sizes; the idle time is 1 ms, so that hinting never rests; devices fail and
dawdle at random; blocks are trimmed, kept over a fork (the child verifies what it inherited, and works in the arena
that it got), and sent to another process, which verifies them through a handle after the owner has dropped them.
Prints one line of JSON; exit status 1 if a byte was wrong or an arena unsound.
"""

import argparse
import contextlib
import json
import multiprocessing as mp
import os
import queue
import random
import resource
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from multiprocessing import resource_sharer
from typing import Any

import numpy as np

from pagehint import check
from pagehint.arena import Arena, ArenaFullError

KINDS: list[dict[str, Any]] = [
    {"host": "anonymous"},
    {"host": "memfd"},
    {"host": "anonymous", "hugepages": False},
    {"host": "memfd", "hugepages": False},
]
CHUNK = 1 << 15  # of 8 bytes: what stays in a core's cache
HANGS = 1200  # seconds: only what hangs waits so long


@dataclass
class Tally:
    verified_bytes: int = 0
    blocks: int = 0
    full: int = 0
    trims: int = 0
    forks: int = 0
    shared: int = 0
    arenas: int = 0
    given_back_bytes: int = 0
    device_errors: int = 0
    errors: list[str] = field(default_factory=list)

    def add(self, other: "Tally") -> None:
        for name, value in asdict(other).items():
            setattr(self, name, getattr(self, name) + value)


def verify(array: np.ndarray, pattern: int) -> None:
    for start in range(0, len(array), CHUNK):
        part = array[start : start + CHUNK]
        if part.min() != pattern or part.max() != pattern:
            wrong = int(np.flatnonzero(part != pattern)[0])
            raise AssertionError(f"word {start + wrong} of {len(array)} is {part[wrong]:#x}, expected {pattern:#x}")


class Worker(threading.Thread):
    """One thread: allocates, fills, verifies, frees, until told to stop, or until all have verified their share."""

    def __init__(
        self, arena: Arena, seed: int, stop: threading.Event, parcels: Any, tallies: list[Tally], share: float
    ) -> None:
        super().__init__()
        self.arena = arena
        self.random = random.Random(seed)
        self.stop = stop
        self.parcels = parcels
        self.tally = Tally()
        self.tallies = tallies
        self.tallies.append(self.tally)
        self.share = share
        self.seed = seed
        self.held: list[tuple[int, np.ndarray]] = []

    def run(self) -> None:
        try:
            while not self.stop.is_set():
                self.step()
                if sum(tally.verified_bytes for tally in self.tallies) >= self.share:
                    self.stop.set()
            while self.held:
                self.release()
        except BaseException:
            self.tally.errors.append(traceback.format_exc())
            self.stop.set()

    def step(self) -> None:
        chance = self.random.random()
        if len(self.held) > 4 or (self.held and chance < 0.45):
            self.release()
        else:
            self.allocate()
        if chance < 0.02:
            self.fork()
        elif chance > 0.98:
            with contextlib.suppress(OSError):
                self.arena.trim()
            self.tally.trims += 1

    def allocate(self) -> None:
        words = int(2 ** self.random.uniform(10, 22.5))
        pattern = self.random.getrandbits(63) | 1
        zeroed = self.random.random() < 0.05
        try:
            array = (self.arena.zeros if zeroed else self.arena.empty)(words, np.uint64)
        except ArenaFullError:
            self.tally.full += 1
            if self.held:
                self.release()
            return
        if zeroed:
            verify(array, 0)
        array.fill(pattern)
        self.held.append((pattern, array))

    def release(self) -> None:
        pattern, array = self.held.pop(self.random.randrange(len(self.held)))
        verify(array, pattern)
        self.tally.blocks += 1
        self.tally.verified_bytes += array.nbytes
        if self.parcels is not None and not self.arena.pages.foreign and self.random.random() < 0.05:
            self.parcels.put((pattern, self.arena.share(array, readonly=True)))
            self.tally.shared += 1

    def fork(self) -> None:
        self.tally.forks += 1
        pid = os.fork()
        if not pid:
            status = 1
            try:
                signal.alarm(HANGS)
                self.child()
                status = 0
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(status)
        _, status = os.waitpid(pid, 0)
        if status:
            raise AssertionError(f"a forked child failed: {status}")

    def child(self) -> None:
        for pattern, array in self.held:
            verify(array, pattern)
        if self.arena.pages.foreign:
            return
        self.parcels = None
        self.arena.host.__dict__.pop("react", None)
        self.arena.start()
        for pattern, array in self.held[:1]:
            array.fill(pattern ^ 5)
            verify(array, pattern ^ 5)
        self.held.clear()
        for _ in range(20):
            self.allocate()
            if len(self.held) > 3:
                self.release()
        self.arena._worker.stop()  # checked at rest
        problems = check(self.arena.pages)
        assert not problems, problems


def make_it_fail(arena: Arena, seed: int) -> None:
    """Its device fails one time in ten, before or after it has done a part, and dawdles another."""
    react, chance = arena.host.react, random.Random(seed)

    def moody(blocks: Any) -> None:
        luck = chance.random()
        if luck < 0.05:
            raise OSError("before anything was done")
        if luck < 0.1:
            time.sleep(0.005)
        react(blocks)
        if luck > 0.95:
            raise OSError("when all was done")

    arena.host.react = moody  # type: ignore[method-assign]


def wait_for(arena: Arena, condition: Callable[[Arena], bool]) -> None:
    """Until it holds; what hangs is found by who looks next."""
    deadline = time.monotonic() + HANGS
    while not condition(arena) and time.monotonic() < deadline:
        time.sleep(0.01)


def own_arenas(number: int, arguments: argparse.Namespace, parcels: Any, results: Any) -> None:
    """A process: one arena after the other, until its share of bytes is verified."""
    total = Tally()
    wanted = arguments.gigabytes * 10**9 / arguments.processes
    seed = arguments.seed + 1000 * number
    while total.verified_bytes < wanted and not total.errors:
        seed += 1
        settings = KINDS[(seed + number) % len(KINDS)]
        arena = Arena(arguments.limit, idle="1ms", **settings)
        make_it_fail(arena, seed)
        stop = threading.Event()
        to = parcels if settings["host"] == "memfd" else None
        share = min(wanted - total.verified_bytes, arguments.per_arena * 10**9)
        tallies: list[Tally] = []
        workers = [Worker(arena, seed * 100 + k, stop, to, tallies, share) for k in range(arguments.threads)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
            total.add(worker.tally)
        wait_for(arena, lambda arena: not len(arena._leases))
        # On free-threaded Python the thread that made an object frees it, or one that has taken its place since: the
        # one that serves multiprocessing's descriptors does nothing until it is asked for the next.
        resource_sharer.stop()
        wait_for(arena, lambda arena: not (arena.stats().live or arena.stats().in_flight))
        arena._worker.stop()  # checked at rest
        statistics = arena.stats()
        problems = check(arena.pages)
        if statistics.live or problems:
            total.errors.append(f"at the end: {statistics}, {problems}")
        total.arenas += 1
        total.given_back_bytes += statistics.given_back
        total.device_errors += statistics.errors
        arena.close()
        del arena, workers, worker
    results.put(total)


def verify_parcels(parcels: Any, results: Any) -> None:
    """The process that verifies what others sent it, a while after they dropped it."""
    total = Tally()
    late: list[tuple[int, memoryview]] = []
    try:
        parcel: Any = ()
        while parcel is not None:
            try:
                parcel = parcels.get(timeout=0.5)
            except queue.Empty:
                parcel = ()
            arrived = bool(parcel)
            if parcel:
                late.append((parcel[0], parcel[1].open()))
                parcel = ()  # the view has a lease of its own
            while late and (not arrived or len(late) > 8):
                pattern, view = late.pop(0)
                verify(np.frombuffer(view, np.uint64), pattern)
                total.verified_bytes += view.nbytes
                del view
    except BaseException:
        total.errors.append(traceback.format_exc())
    results.put(total)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gigabytes", type=float, default=100, help="to verify, of 10**9 bytes")
    parser.add_argument("--per-arena", type=float, default=20, help="gigabytes verified before the next arena")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--threads", type=int, default=4)
    parser.add_argument("--limit", default="640MiB")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    context = mp.get_context("spawn")
    parcels, results = context.Queue(16), context.Queue()
    receiver = context.Process(target=verify_parcels, args=(parcels, results))
    owners = [
        context.Process(target=own_arenas, args=(number, arguments, parcels, results))
        for number in range(arguments.processes)
    ]
    start = time.monotonic()
    for process in (receiver, *owners):
        process.start()
    total = Tally()
    for _ in owners:
        total.add(results.get())
    parcels.put(None)
    total.add(results.get())
    for process in (receiver, *owners):
        process.join()
    crashed = [process.exitcode for process in (receiver, *owners) if process.exitcode]
    if crashed:
        total.errors.append(f"processes ended with {crashed}")
    seconds = time.monotonic() - start
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    print(json.dumps({**asdict(total), "seconds": round(seconds, 1), "peak_bytes_of_a_process": peak}))
    return bool(total.errors)


if __name__ == "__main__":
    sys.exit(main())
