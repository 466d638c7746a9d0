"""Speed of a replay, and how close it comes: ``python benchmarks/replay.py``. It takes half a minute.

Each figure is the median of several runs; the two sides of a ratio are run in turn. Times are the process's CPU time: a
replay is one thread, and other work on the machine does not count.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from pagehint.replays.replay import replay
from pagehint.replays.start import guest_reporting
from pagehint.trace import Trace, TraceWriter
from pagehint.trace.shipped import example

_RUNS = 7


def seconds(run: Callable[[], object]) -> float:
    begin = time.process_time()
    run()
    return time.process_time() - begin


def in_turn(one: Callable[[], object], other: Callable[[], object]) -> tuple[float, float, float]:
    """Medians of both, and of the ratio other / one."""
    seconds(one)
    pairs = [(seconds(one), seconds(other)) for _ in range(_RUNS)]
    return (
        statistics.median(pair[0] for pair in pairs),
        statistics.median(pair[1] for pair in pairs),
        statistics.median(pair[1] / pair[0] for pair in pairs),
    )


def first_replay() -> float:
    """Seconds of the first replay of a recording, which looks at all of it before."""
    trace = example()
    return seconds(lambda: replay(trace, guest_reporting(trace), sample=None))


def repeated(trace: Trace, path: Path, times: int) -> None:
    """The recording's events, so many times over: what is freed at the end of one is allocated again in the next."""
    span = trace.meta.last_ns - trace.meta.first_ns + 1
    with TraceWriter(path) as writer:
        for k in range(times):
            for batch in trace.batches():
                kept = batch["event"] != ord("M")
                columns = {name: np.ascontiguousarray(column[kept]) for name, column in batch.items()}
                columns["time"] = columns["time"] + k * span
                writer.add_events(columns)
        writer.finish(trace.meta)


def peak_mib(path: Path | str) -> float:
    """Peak memory of a process that replays this."""
    program = f"import runpy; runpy.run_path({__file__!r}, run_name='peak')"
    done = subprocess.run([sys.executable, "-c", program, str(path)], capture_output=True, check=True)
    return float(done.stdout) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    arguments = parser.parse_args()
    trace = example()
    events = trace.num_events / 1e6

    def bare() -> object:
        return replay(trace, guest_reporting(trace), sample=None)

    def sampled() -> object:
        return replay(trace, guest_reporting(trace), sample="50ms")

    first = statistics.median(first_replay() for _ in range(_RUNS))
    without, with_timeline, ratio = in_turn(bare, sampled)
    run = replay(trace, guest_reporting(trace))
    with tempfile.TemporaryDirectory() as folder:
        for name, times in (("once", 1), ("eight", 8)):
            repeated(trace, Path(folder) / f"{name}.pagetrace", times)
        once, eight = (peak_mib(Path(folder) / f"{name}.pagetrace") for name in ("once", "eight"))
    figures = {
        "events": trace.num_events,
        "million events/s, its first replay": events / first,
        "million events/s, each further one": events / without,
        "million events/s, timeline each 50 ms": events / with_timeline,
        "timeline each 50 ms / none": ratio,
        "peak MiB, the recording": once,
        "peak MiB, eight times as long": eight,
        "residency error": run.prediction.residency_error,
        "reported MiB, predicted": run.prediction.reported_mib,
        "reported MiB, measured": run.truth["reported_mib"],
    }
    if arguments.json:
        print(json.dumps(figures, indent=2))
        return
    targets = (None, None, ">= 11", ">= 10.5", "<= 1.05", "<= 150", None, "<= 0.005", "as measured", None)
    for (what, figure), target in zip(figures.items(), targets, strict=True):
        print(f"{what:42} {figure:12.4g}   {target or ''}")


if __name__ == "peak":
    recording = Trace.open(sys.argv[1])
    replay(recording, guest_reporting(recording))
    # Not ru_maxrss, which begins with what the process that started this one had.
    print(next(line.split()[1] for line in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in line))
elif __name__ == "__main__":
    main()
