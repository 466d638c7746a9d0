"""The lock of zones: one thread at a time, with and without the GIL; and it reads no clock."""

import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import pagehint
from pagehint.mm.check import check
from pagehint.mm.zone import Zone
from tests.limits import HANGS

ROUNDS, OPERATIONS = 40, 4_000
LIBRARIES = sorted(Path(pagehint.__file__).parent.rglob("*.so"))


def test_threads_that_all_want_a_zone_lose_no_page():
    zone = Zone(1 << 14)
    together = threading.Barrier(4)
    problems: list[BaseException] = []
    counted = [0] * 4

    # Without the GIL while it has the lock.
    def in_bulk(seed):
        rng = np.random.default_rng(seed)
        table = np.full(1_000, -1, np.int64)
        for _ in range(ROUNDS):
            slots = rng.integers(0, len(table), OPERATIONS, np.uint32)
            ops = np.zeros(OPERATIONS, np.uint8)
            filled = table >= 0
            for k, slot in enumerate(slots):
                ops[k] = not filled[slot]
                filled[slot] ^= True
            counted[seed] += int(ops.sum())
            orders, types = np.zeros(OPERATIONS, np.uint8), np.ones(OPERATIONS, np.uint8)
            assert zone.bulk(ops, slots, orders, types, table) == 0
        for pfn in table[table >= 0]:
            zone.free(int(pfn))

    def one_by_one(seed):
        for _ in range(ROUNDS * 100):
            pfn = zone.alloc()
            assert pfn >= 0
            zone.free(pfn)
            counted[seed] += 1

    def run(action, seed):
        try:
            together.wait()
            action(seed)
        except BaseException as problem:
            problems.append(problem)
            raise

    jobs = [(in_bulk, 0), (in_bulk, 1), (one_by_one, 2), (one_by_one, 3)]
    threads = [threading.Thread(target=run, args=job, daemon=True) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(HANGS)
        assert not thread.is_alive(), "it hangs"
    assert problems == []
    assert check(zone) == []
    assert zone.free_pages == zone.pages
    assert zone.nr_alloc == zone.nr_free_ops == sum(counted)


@pytest.mark.skipif(not LIBRARIES or sys.version_info >= (3, 13), reason="nothing is compiled, or Python's is used")
def test_every_module_means_the_same_lock():
    theirs = {path.name for path in LIBRARIES if b"PyThread_acquire_lock" in path.read_bytes()}
    ours = {path.name.split(".")[0] for path in LIBRARIES if b"pthread_mutex_trylock" in path.read_bytes()}
    assert not theirs, "made without lock.h"
    assert {"zone", "attached", "backing"} <= ours
