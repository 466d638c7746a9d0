"""Mutated inputs over every reader: each is done or refused, within its limits, without a traceback or a crash.

``python benchmarks/fuzz.py --inputs 100000`` prints what went wrong, and how to see one again; exit status 1 if
anything did. An input is made of the seed and its number alone. Limits: 10 s of processor time and 1 GiB.
"""

import argparse
import multiprocessing
import os
import resource
import signal
import sys
import tempfile
import traceback
from collections import Counter
from multiprocessing.connection import Connection, wait
from pathlib import Path

from fuzz_inputs import Corpus

_SECONDS = 10
_BYTES = 1 << 30


def _work(folder: str, seed: int, numbers: range, progress: Connection) -> None:
    resource.setrlimit(resource.RLIMIT_DATA, (2 * _BYTES, 2 * _BYTES))
    corpus = Corpus(Path(folder))
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


def fuzz(seed: int, first: int, inputs: int, workers: int) -> tuple[Counter[str], list[str]]:
    """Use inputs `first` to `first` + `inputs`; returns how many of each kind were, and what went wrong."""
    kinds: Counter[str] = Counter()
    problems: list[str] = []
    context = multiprocessing.get_context("forkserver")
    left = [range(first + index, first + inputs, workers) for index in range(workers)]
    with tempfile.TemporaryDirectory(prefix="pagehint-fuzz-") as folder:
        at: dict[Connection, tuple[multiprocessing.process.BaseProcess, range, int]] = {}

        def begin(numbers: range) -> None:
            if not len(numbers):
                return
            ours, theirs = context.Pipe(duplex=False)
            process = context.Process(target=_work, args=(tempfile.mkdtemp(dir=folder), seed, numbers, theirs))
            process.start()
            theirs.close()
            at[ours] = process, numbers, numbers.start - 1

        for numbers in left:
            begin(numbers)
        while at:
            for ours in wait(list(at)):
                assert isinstance(ours, Connection)
                process, numbers, last = at[ours]
                try:
                    what, number, text = ours.recv()
                except EOFError:
                    process.join()
                    del at[ours]
                    problems.append(f"input {last}: the process ended with {process.exitcode} (-27: took too long)")
                    begin(range(last + numbers.step, numbers.stop, numbers.step))
                    continue
                if what in ("ended", "memory"):
                    process.join()
                    del at[ours]
                    if what == "memory":
                        problems += [f"input {number}: {text}"] * bool(text)
                        begin(range(number + numbers.step, numbers.stop, numbers.step))
                elif what == "begins":
                    at[ours] = process, numbers, number
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
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    given = parser.parse_args()
    kinds, problems = fuzz(given.seed, given.first, given.inputs, given.workers)
    for problem in problems:
        print(problem)
    print(f"{kinds.total():,} inputs were done or refused ({dict(kinds)}), {len(problems)} were not; seed {given.seed}")
    sys.exit(bool(problems))


if __name__ == "__main__":
    main()
