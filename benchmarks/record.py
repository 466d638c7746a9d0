"""What recording costs a program that only faults memory in: CPU time without, at zone level, at page level, in turn.

    sudo python benchmarks/record.py [ROUNDS]

Prints the median ratio to the run without, of pairs side by side, and what the recorder itself took.
"""

import argparse
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

FAULTS = """
import mmap
for _ in range(6):
    memory = mmap.mmap(-1, 256 << 20)
    memory.madvise(mmap.MADV_NOHUGEPAGE)
    memory[::4096] = bytes(65536)
    memory.close()
"""


def cpu(children: list[str]) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(children, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rounds", nargs="?", type=int, default=5, metavar="ROUNDS", help="pairs of each level (5)")
    rounds = parser.parse_args().rounds
    ratios: dict[str, list[float]] = {"zone": [], "page": []}
    program = [sys.executable, "-c", FAULTS]
    for _ in range(rounds):
        for level, found in ratios.items():
            plain = cpu(program)
            with tempfile.TemporaryDirectory() as folder:
                record = ["pagehint", "record", "--level", level, "-o", str(Path(folder) / "a.pagetrace")]
                recorder = subprocess.Popen(record, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
                while not (Path(folder).exists() and any(Path(folder).glob(".*/snapshot/kpageflags*"))):
                    time.sleep(0.05)
                recorded = cpu(program)
                recorder.terminate()
                said, _ = recorder.communicate()
            found.append(recorded / plain)
            print(level, f"{recorded / plain:.3f}", said.decode().splitlines()[0].partition("; ")[2])
    for level, found in ratios.items():
        print(f"{level}: {statistics.median(found):.3f} times the CPU time ({min(found):.3f} to {max(found):.3f})")


if __name__ == "__main__":
    main()
