"""Mutated inputs over every reader: each is done or refused, within its limits, without a traceback or a crash.

``python benchmarks/fuzz.py --inputs 100000`` prints what went wrong, and how to see one again; exit status 1 if
anything did. An input is made of the seed, the kinds and its number alone. Limits: 10 s of processor time, 1 GiB, and
ten minutes.
"""

import argparse
import multiprocessing
import os
import resource
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from multiprocessing.connection import Connection, wait
from pathlib import Path

from fuzz_inputs import KINDS, Corpus

_SECONDS = 10
_BYTES = 1 << 30
_MOST_SILENT = 600


def _work(folder: str, seed: int, only: list[str], numbers: range, progress: Connection) -> None:
    resource.setrlimit(resource.RLIMIT_DATA, (2 * _BYTES, 2 * _BYTES))
    corpus = Corpus(Path(folder), only)
    for number in numbers:
        progress.send(("begins", number, ""))
        signal.setitimer(signal.ITIMER_PROF, _SECONDS)  # ends the process
        kind = ""
        try:
            kind = corpus(number, seed)
        except BaseException as error:
            progress.send(("raised", number, f"{type(error).__name__}: {error}\n{traceback.format_exc()}"))
        else:
            progress.send(("done", number, kind))
        signal.setitimer(signal.ITIMER_PROF, 0)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
        if peak > _BYTES:
            # What a script asks for it gets.
            progress.send(("memory", number, "" if kind == "script" else f"{peak >> 20} MiB at the most"))
            return
    progress.send(("ended", -1, ""))


def fuzz(seed: int, only: list[str], first: int, inputs: int, workers: int) -> tuple[Counter[str], list[str]]:
    """Use inputs `first` to `first` + `inputs`, of these kinds (none: all); how many of each were, what went wrong."""
    kinds: Counter[str] = Counter()
    problems: list[str] = []
    context = multiprocessing.get_context("forkserver")
    left = [range(first + index, first + inputs, workers) for index in range(workers)]
    with tempfile.TemporaryDirectory(prefix="pagehint-fuzz-") as folder:
        at: dict[Connection, tuple[multiprocessing.process.BaseProcess, range, int, float]] = {}

        def begin(numbers: range) -> None:
            if not len(numbers):
                return
            ours, theirs = context.Pipe(duplex=False)
            process = context.Process(target=_work, args=(tempfile.mkdtemp(dir=folder), seed, only, numbers, theirs))
            process.start()
            theirs.close()
            at[ours] = process, numbers, numbers.start - 1, time.monotonic()

        for numbers in left:
            begin(numbers)
        while at:
            for process, _, _, since in at.values():
                if time.monotonic() - since > _MOST_SILENT:
                    process.kill()
            for ours in wait(list(at), _MOST_SILENT):
                assert isinstance(ours, Connection)
                process, numbers, last, _ = at[ours]
                try:
                    what, number, text = ours.recv()
                except EOFError:
                    process.join()
                    del at[ours]
                    why = {-signal.SIGPROF: "took too long", -signal.SIGKILL: "waited too long"}.get(process.exitcode)
                    problems.append(f"input {last}: {why or f'the process ended with {process.exitcode}'}")
                    begin(range(last + numbers.step, numbers.stop, numbers.step))
                    continue
                if what in ("ended", "memory"):
                    process.join()
                    del at[ours]
                    if what == "memory":
                        problems += [f"input {number}: {text}"] * bool(text)
                        begin(range(number + numbers.step, numbers.stop, numbers.step))
                elif what == "begins":
                    at[ours] = process, numbers, number, time.monotonic()
                elif what == "raised":
                    problems.append(f"input {number}: {text}")
                else:
                    kinds[text] += 1
    return kinds, problems


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=100_000)
    parser.add_argument("--first", type=int, default=0, help="the number of the first input; with --inputs 1: that one")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kinds", default="", help="only these, such as log,host")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    given = parser.parse_args()
    only = [kind for kind in given.kinds.split(",") if kind]
    if unknown := [kind for kind in only if kind not in KINDS]:
        parser.error(f"--kinds {unknown[0]}: expected some of {', '.join(KINDS)}")
    kinds, problems = fuzz(given.seed, only, given.first, given.inputs, given.workers)
    for problem in problems:
        print(problem)
    print(f"{kinds.total():,} inputs were done or refused ({dict(kinds)}), {len(problems)} were not; seed {given.seed}")
    sys.exit(bool(problems))


if __name__ == "__main__":
    main()
