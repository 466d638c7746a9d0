"""What recording costs: CPU time of a program that only faults memory in, and of a compile, without, at zone level, at
page level, in turn; and what the recorder itself takes.

    sudo python benchmarks/record.py [ROUNDS]

Prints the median ratio to the run without, of pairs side by side, and the recorder's CPU time while they ran.
"""

import argparse
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from pagehint.trace import Trace

FAULTS = """
import mmap
for _ in range(6):
    memory = mmap.mmap(-1, 256 << 20)
    memory.madvise(mmap.MADV_NOHUGEPAGE)
    memory[::4096] = bytes(65536)
    memory.close()
"""
FUNCTION = "int f%d(int *a, int n) {{ int s = %d; for (int i = 0; i < n; i++) s += a[i] * (s ^ i); return s; }}\n"
COMPILE = "for each in 1 2 3 4 5 6; do cc -O2 -c %s -o /dev/null; done"


def cpu(children: list[str]) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(children, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def used(pid: int) -> float:
    """CPU seconds of a process's threads."""
    return sum(int((task / "schedstat").read_text().split()[0]) for task in Path(f"/proc/{pid}/task").iterdir()) / 1e9


def recorded(program: list[str], level: str, folder: Path) -> tuple[float, int, float, float]:
    """CPU seconds of a program while it is recorded, its events and seconds, and the recorder's CPU seconds."""
    output = folder / f"{time.monotonic_ns()}.pagetrace"
    command = ["pagehint", "record", "--level", level, "-o", str(output)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as recorder:
        while not any(folder.glob(f".{output.name}*/snapshot/kpageflags*")):
            if recorder.poll() is not None:
                raise SystemExit("this machine can't be recorded: `pagehint record` says why")
            time.sleep(0.05)
        time.sleep(0.5)
        begun, before = time.monotonic_ns(), used(recorder.pid)
        seconds = cpu(program)
        own, ended = used(recorder.pid) - before, time.monotonic_ns()
        recorder.terminate()
    events = sum(
        int(((batch["time"] >= begun) & (batch["time"] < ended)).sum())
        for batch in Trace.open(output).batches(["time"])
    )
    return seconds, events, (ended - begun) / 1e9, own


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rounds", nargs="?", type=int, default=5, metavar="ROUNDS", help="pairs of each (5)")
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = folder / "functions.c"
        source.write_text("".join(FUNCTION.format() % (number, number) for number in range(400)))
        programs = {"faults": [sys.executable, "-c", FAULTS], "compile": ["sh", "-c", COMPILE % source]}
        found: dict[tuple[str, str], list[tuple[float, int, float, float]]] = {}
        for _ in range(rounds):
            for what, program in programs.items():
                for level in ("zone", "page"):
                    plain = cpu(program)
                    seconds, events, wall, own = recorded(program, level, folder)
                    found.setdefault((what, level), []).append((seconds / plain, events, wall, own))
                    print(f"{what}, {level} level: {seconds / plain:.3f}", flush=True)
    for (what, level), rows in found.items():
        ratios = [ratio for ratio, *_ in rows]
        events, wall, own = (sum(row[column] for row in rows) for column in (1, 2, 3))
        print(
            f"{what}, {level} level: {statistics.median(ratios):.3f} times the CPU time ({min(ratios):.3f} to "
            f"{max(ratios):.3f}); {events / wall:,.0f} events/s, the recorder {own / wall:.1%} of a CPU, "
            f"{own / events * 1e6:.2f} us an event: {own / events * 1e5:.1%} at 100,000 events/s"
        )


if __name__ == "__main__":
    main()
