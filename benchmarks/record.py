"""What recording costs: CPU time of programs that only fault memory in, private and shared, and of a compile, without,
at zone level, at page level, in turn; and what the recorder itself takes.

    sudo python benchmarks/record.py [ROUNDS]
    python benchmarks/record.py --disk disk.img --kernel linux-image-cloud-amd64 [ROUNDS]

Prints the median ratio to the run without, of pairs side by side, and the recorder's CPU time while they ran. With
--disk it does so in a guest of one CPU that QEMU emulates with a clock of its own: a nanosecond is an instruction,
whatever else this machine does (a minute or two a round). So it counts instructions, of the program and of whatever
interrupts it, and knows of no caches, of no cost of exceptions and of no other CPU. The disk is an ext4 image of a
system with Python 3.11, a C compiler and pagehint:

    mmdebstrap --variant=minbase --include=python3,gcc,libc6-dev bookworm root
    pip install --target root/usr/local/lib/python3.11/dist-packages .
    mkfs.ext4 -q -d root disk.img 2500M
"""

import argparse
import gzip
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from pagehint.trace import Trace
from pagehint.trace.recorder.guest.image import cpio, find_kernel, system

FAULTS = """
import mmap
for _ in range(%d):
    memory = mmap.mmap(-1, 256 << 20, flags=mmap.%s | mmap.MAP_ANONYMOUS)
    memory.madvise(mmap.MADV_NOHUGEPAGE)
    memory[::4096] = bytes(65536)
    memory.close()
"""
FUNCTION = "int f%d(int *a, int n) {{ int s = %d; for (int i = 0; i < n; i++) s += a[i] * (s ^ i); return s; }}\n"
COMPILE = "for each in $(seq %d); do cc -O2 -c %s -o /dev/null; done"
# Of each program, how often it does its work: less where each instruction is emulated.
TIMES, TIMES_EMULATED = 6, 1

INIT = """#!/bin/sh
/bin/busybox --install -s /bin
mount -t devtmpfs dev /dev; mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t tracefs t /sys/kernel/tracing
while read -r each; do insmod $each; done < /modules
mkdir -p /disk; mount -t ext4 -o noatime /dev/vda /disk
for each in proc sys dev sys/kernel/tracing; do mount -o bind /$each /disk/$each; done
mount -t tmpfs tmpfs /disk/tmp; cp /record.py /disk/tmp
export PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin HOME=/root LC_ALL=C PYTHONDONTWRITEBYTECODE=1
uname -r
chroot /disk python3 /tmp/record.py --emulated %d
poweroff -f
"""
# -erms: with it a page is cleared by 4096 instructions, where 512 are nearer to what it takes.
QEMU = "qemu-system-x86_64 -nodefaults -no-user-config -display none -no-reboot -machine q35 -m 1024 -smp 1 -accel tcg"
QEMU += " -icount shift=0,sleep=off -cpu max,-erms,-fsrm -device virtio-blk-pci,drive=disk -serial stdio -append"
APPEND = "console=ttyS0 panic=-1 loglevel=3 tsc=reliable clocksource=tsc no_timer_check rdinit=/init"


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
    command = [sys.executable, "-m", "pagehint", "record", "--level", level, "-o", str(output)]
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


def in_guest(kernel: str, disk: Path, rounds: int) -> None:
    """Boot an emulated guest that runs this script."""
    found = find_kernel(kernel)
    entries = [("init", 0o100755, (INIT % rounds).encode()), ("record.py", 0o100644, Path(__file__).read_bytes())]
    drive = f"file={disk},if=none,id=disk,snapshot=on,cache=unsafe,format=raw"
    with tempfile.NamedTemporaryFile() as image:
        image.write(gzip.compress(cpio([*system(found, disk=True), *entries]), 1))
        image.flush()
        command = [*QEMU.split(), APPEND, "-drive", drive, "-kernel", str(found.image), "-initrd", image.name]
        subprocess.run(command, stdin=subprocess.DEVNULL, check=True)


def measure(rounds: int, times: int) -> None:
    """Measure on this machine."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = folder / "functions.c"
        source.write_text("".join(FUNCTION.format() % (number, number) for number in range(400)))
        programs = {
            "private": [sys.executable, "-c", FAULTS % (times, "MAP_PRIVATE")],
            "shared": [sys.executable, "-c", FAULTS % (times, "MAP_SHARED")],
            "compile": ["sh", "-c", COMPILE % (times, source)],
        }
        found: dict[tuple[str, str], list[tuple[float, int, float, float]]] = {}
        for _ in range(rounds):
            for what, program in programs.items():
                for level in ("zone", "page"):
                    plain = cpu(program)
                    seconds, events, wall, own = recorded(program, level, folder)
                    found.setdefault((what, level), []).append((seconds / plain, events, wall, own))
                    print(f"{what}, {level} level: {seconds:.3f} s for {plain:.3f}, {seconds / plain:.3f}", flush=True)
    for (what, level), rows in found.items():
        ratios = [ratio for ratio, *_ in rows]
        events, wall, own = (sum(row[column] for row in rows) for column in (1, 2, 3))
        print(
            f"{what}, {level} level: {statistics.median(ratios):.3f} times the CPU time ({min(ratios):.3f} to "
            f"{max(ratios):.3f}); {events / wall:,.0f} events/s, the recorder {own / wall:.1%} of a CPU, "
            f"{own / events * 1e6:.2f} us an event: {own / events * 1e5:.1%} at 100,000 events/s"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rounds", nargs="?", type=int, default=5, metavar="ROUNDS", help="pairs of each (5)")
    parser.add_argument("--disk", type=Path, metavar="IMAGE", help="measure in an emulated guest with this disk")
    parser.add_argument("--kernel", default="linux-image-cloud-amd64", help="its kernel, as `pagehint guest` takes it")
    parser.add_argument("--emulated", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.disk is not None:
        in_guest(given.kernel, given.disk, given.rounds)
    else:
        measure(given.rounds, TIMES_EMULATED if given.emulated else TIMES)


if __name__ == "__main__":
    main()
