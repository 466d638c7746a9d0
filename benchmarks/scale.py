"""Replays a second on threads, processes and a Dask scheduler's workers: ``python benchmarks/scale.py``.

It takes two minutes, and wants two idle cores: each way does the same sweep of the shipped recording, in turn, and the
best of the rounds counts. Without Dask (``pip install '.[dask]'``) that way is left out. Last, what a fleet's guests
hold: the exact distribution for 200 of them, and how many fit.
"""

import argparse
import json
import multiprocessing
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress

from pagehint.fleets.fits import fits
from pagehint.fleets.steps import steps_of_run
from pagehint.fleets.superpose import Crowd, held
from pagehint.replays.replay import replay
from pagehint.replays.start import guest_reporting
from pagehint.replays.sweep import sweep
from pagehint.trace.shipped import example

_GUESTS = 200


def one_sweep(executor: Executor) -> int:
    """How many replays it was: the usual grid of mainline's design, about a hundred."""
    return len(sweep([example()], ["reporting"], executor=executor).rows)


def timed(executor: Executor) -> float:
    """Seconds of a sweep."""
    return seconds(lambda: one_sweep(executor))


@contextmanager
def dask_workers() -> Iterator[Executor]:
    """Two worker processes of a scheduler on this machine."""
    from distributed import LocalCluster

    from pagehint.replays.scheduler import scheduler

    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
        scheduler(cluster.scheduler_address) as executor,
    ):
        yield executor


def seconds(run: Callable[[], object], clock: Callable[[], float] = time.perf_counter) -> float:
    begin = clock()
    run()
    return clock() - begin


def processor_ms(run: Callable[[], object]) -> float:
    """The least of five."""
    return 1e3 * min(seconds(run, time.process_time) for _ in range(5))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    with ExitStack() as stack:
        ways: dict[str, Executor] = {
            "1 thread": ThreadPoolExecutor(1),
            "2 threads": ThreadPoolExecutor(2),
            "2 processes": ProcessPoolExecutor(2, multiprocessing.get_context("forkserver")),
        }
        for way in ways.values():
            stack.enter_context(way)
        with suppress(ImportError):
            ways["Dask, 2 workers"] = stack.enter_context(dask_workers())
        replays = max([one_sweep(way) for way in ways.values()])  # what each process loads is loaded
        rounds = [{name: timed(way) for name, way in ways.items()} for _ in range(arguments.rounds)]
    best = {name: min(each[name] for each in rounds) for name in ways}
    figures: dict[str, float] = {f"replays/s, {name}": replays / best[name] for name in ways}
    figures |= {f"{name} / 1 thread": best["1 thread"] / best[name] for name in list(ways)[1:]}

    trace = example()
    crowd = [Crowd(steps_of_run(replay(trace, guest_reporting(trace), sample="50ms")), _GUESTS)]
    memory = _GUESTS * 400 << 20
    figures["200 guests, CPU ms for the distribution"] = processor_ms(lambda: held(crowd, memory))
    figures["200 guests, CPU ms for how many fit"] = processor_ms(lambda: fits(crowd, memory, [1e-4]))
    if arguments.json:
        print(json.dumps(figures, indent=2))
        return
    for name, figure in figures.items():
        print(f"{name:40} {figure:10.4g}")


if __name__ == "__main__":
    main()
