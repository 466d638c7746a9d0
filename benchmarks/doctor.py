"""What the doctor predicts for each action in real guests, at each order, beside what the action then brought there.

    python benchmarks/doctor.py --disk disk.img --kernels linux-image-6.12.117+deb13-cloud-amd64 linux-image-cloud-amd64

Each guest is booted twice: once it drops its caches and then compacts, once it only compacts; 20 s after each action it
is looked at again. drop_caches should come within 10 % or 8 MiB of the prediction, and within the range beside it,
compaction within its bounds; what doesn't is marked. The disk is an ext4 image with coreutils and a few hundred MiB of
files (docs/record.md says how to make one). Needs QEMU; a minute or more a boot without KVM. `--save FOLDER` keeps what
each guest said: a folder a boot, with the files of the first look, and after_ACTION.txt, what was free after each.
`--saved FOLDER` makes its table without a boot, and sums it up; docs/doctor-guests.md and docs/doctor.md have these of
tests/diagnosis/data/actions.
"""

import argparse
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pagehint.diagnosis.apply import STEPS, Applied
from pagehint.diagnosis.bounds import Bounds
from pagehint.diagnosis.examine import diagnose
from pagehint.diagnosis.free_memory import ACTIONS
from pagehint.report.doctor_words import range_of
from pagehint.trace import Trace
from pagehint.trace.recorder.guest.boot import GuestSettings, boot
from pagehint.units import MIB

SETTLE = 20  # seconds: ten passes of reporting, so that it is done on a busy machine too
WORK = {
    "cache": "find /usr /opt /lib -type f | xargs cat 2> /dev/null | head -c {some}000000 > /dev/null",
    "slab": "mkdir /files; cd /files; for d in $(seq 200); do mkdir $d; cd $d; seq 200 | xargs touch; cd ..; done;"
    " cd /; sync; find /usr /files -xdev -size +100000",
    "fragmented": 'fragment {some} 1000000 & was=; now=0; while [ "$was" != $now ]; do was=$now; sleep 10;'
    " while read name kib unit; do [ $name = MemFree: ] && now=$((kib / 4096)); done < /proc/meminfo; done",
}
"""What a guest does, with `some` MiB: 300 for each GiB that it has; holding them, until what is free stays the same."""
CACHES = "^(dentry|buffer_head|radix_tree|kmalloc-rcl)|inode|extent_status|journal_head"
"""The rows of slabinfo that matter: each is a mark."""
AFTER, HOST = "after_", "host.txt"
CACHES_DROPPED = {
    (False, False): "`drop_caches`, guests that the guesses were fitted to",
    (False, True): "the same, guests held out",
    (True, False): "with slabinfo, guests that it was fitted to",
    (True, True): "with slabinfo, guests held out",
}
"""By whether the doctor had slabinfo, and whether the boot was held out, as its name says."""
COMPACTION = "`compact_memory`, alone or after `drop_caches`"
# What is done in a boot, and from which look to which it tells of an action.
BOOTS = {
    ("drop_caches", "compact_memory"): {"drop_caches": (1, 2), "both": (1, 3)},
    ("compact_memory",): {"compact_memory": (1, 2)},
}


def booted(settings: GuestSettings, work: str, actions: tuple[str, ...], folder: Path) -> Trace:
    """The guest's recording, with a look before and one after each action."""
    steps = []
    for action in actions:
        writes = "; ".join(f"echo {value} > {path}" for path, value in STEPS[action])
        steps.append(f"sync; {writes}; sleep {SETTLE}; mark looking; look")
    names = 'mark "dentry-state $(cat /proc/sys/fs/dentry-state)"'
    caches = f"grep -E '{CACHES}' /proc/slabinfo | while read -r row; do mark \"slabinfo $row\"; done"
    command = f"{work}; sleep {SETTLE}; {names}; {caches}; mark looking; look; {'; '.join(steps)}"
    trace, _, status = boot(settings, command, folder / f"{'-'.join(actions)}.pagetrace")
    if status:
        raise SystemExit(f"{settings.kernel}: the guest's command failed: {status}")
    return trace


def files_of(trace: Trace, look: int, folder: Path) -> list[Path]:
    """The files of the look, with the names that nobody used then, or when asked last, and the caches at first."""
    marks = [text for _, text in trace.mark_texts]
    states = [mark.split("dentry-state ")[1] for mark in marks if "dentry-state" in mark]
    state = states[min(look, len(states)) - 1]
    names = folder / "dentry-state.txt"
    names.write_text(f"fs.dentry-state = {' '.join(state.split())}\n")
    files = [*sorted((trace.path / f"look{look}").iterdir()), names]
    rows = [mark.split("slabinfo ")[1] for mark in marks if "slabinfo " in mark]
    if rows:
        files.append(folder / "slabinfo.txt")
        files[-1].write_text("\n".join([*rows, ""]))
    return files


def host_kib(trace: Trace) -> list[float]:
    """The guest's memory that the host backed at each look, in KiB."""
    assert trace.residency is not None
    times = trace.residency["time"].to_numpy()
    kib = trace.residency["ram_resident_kib"].to_numpy(zero_copy_only=False).astype(np.float64)
    known = ~np.isnan(kib)
    looks = [time for time, text in trace.mark_texts if text.endswith("looking")]
    return [float(kib[known][max(int(np.searchsorted(times[known], look)) - 1, 0)]) for look in looks]


@dataclass(frozen=True)
class Outcome:
    """Bytes that an action should bring in blocks of an order and more, and what came."""

    brings: Bounds
    came: int

    @property
    def in_bounds(self) -> bool:
        return self.brings.least <= self.came <= (self.brings.most or 0)

    @property
    def in_range(self) -> bool:
        least, most = self.brings.likely or (self.brings.least, self.brings.most or 0)
        return least <= self.came <= most

    @property
    def near_guess(self) -> bool:
        off = abs(self.brings.best - self.came)
        return self.brings.value is None or off <= max(8 * MIB, 0.1 * abs(self.came))

    def __str__(self) -> str:
        """Marked where the guess is off, and where it came outside what was likely, or bounds."""
        mark = " **out**" if not self.in_range else "" if self.near_guess else " **!**"
        return f"{range_of(self.brings, '')}; {round(self.came / MIB, 1) + 0.0:,.1f}{mark}"


@dataclass(frozen=True)
class Done:
    """An action in a boot that was kept: the MiB that the host counted, and what came by order."""

    name: str
    action: str
    host: str
    outcomes: list[Outcome]

    def __str__(self) -> str:
        """Its row."""
        return f"| {self.name} | {self.action} | {self.host} | {' | '.join(map(str, self.outcomes))} |"

    @property
    def kind(self) -> str:
        """Its row in the sums."""
        if self.action != "drop_caches":
            return COMPACTION
        return CACHES_DROPPED["slabinfo" in self.name, "held-out" in self.name]


def done(kept: Path) -> Iterator[Done]:
    """What was done in a boot that was kept."""
    host = dict(line.rsplit(" ", 1) for line in (kept.parent / HOST).read_text().splitlines())
    before = diagnose([path for path in sorted(kept.iterdir()) if not path.name.startswith(AFTER)])
    for action in ACTIONS:
        path = kept / f"{AFTER}{action}.txt"
        if path.exists():
            applied, brings = Applied(action, before, diagnose(path)), before.would_bring[action]
            outcomes = [Outcome(brings[order], applied.brought(order)) for order in before.setting.orders]
            yield Done(kept.name, action, host.get(f"{kept.name} {action}", "not kept"), outcomes)


def sums(found: list[Done]) -> Iterator[str]:
    """The rows that say in how many cells bounds, ranges and guesses held."""
    for kind in (*CACHES_DROPPED.values(), COMPACTION):
        here = [each for each in found if each.kind == kind]
        cells = [outcome for each in here for outcome in each.outcomes]
        held = [sum(each.in_bounds for each in cells)]
        if kind != COMPACTION:
            held += [sum(each.in_range for each in cells), sum(each.near_guess for each in cells)]
        counts = [str(each) for each in (len(here), len(cells), *held)]
        yield f"| {kind} | {' | '.join(counts)} |{' |' * (5 - len(counts))}"


def keep(trace: Trace, name: str, spans: dict[str, tuple[int, int]], folder: Path, temporary: Path) -> Path:
    """What the guest said at the first look, its free blocks after each action, and what the host counted meanwhile."""
    kept = folder / name
    kept.mkdir(parents=True)
    for path in files_of(trace, 1, temporary):
        shutil.copy(path, kept)
    host = host_kib(trace)
    with (folder / HOST).open("a") as counts:
        for action, (one, other) in spans.items():
            shutil.copy(trace.path / f"look{other}" / "buddyinfo.txt", kept / f"{AFTER}{action}.txt")
            counts.write(f"{name} {action} {(host[one - 1] - host[other - 1]) / 1024:.1f}\n")
    return kept


def main() -> None:
    """Boot, compare and print a row for each action."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kernels", nargs="+", default=["linux-image-cloud-amd64"])
    parser.add_argument("--disk", type=Path)
    parser.add_argument("--memory", type=int, default=1024, help="MiB")
    parser.add_argument("--cpus", type=int, default=2)
    parser.add_argument("--accel", default="auto")
    parser.add_argument("--guests", nargs="+", choices=WORK, default=list(WORK))
    parser.add_argument("--save", type=Path)
    parser.add_argument("--saved", type=Path)
    given = parser.parse_args()
    if (given.disk is None) == (given.saved is None):
        parser.error("name a --disk to boot guests with, or the --saved of guests that were")
    print("| kernel, guest | action | by the host |" + "".join(f" order {order} |" for order in range(11)))
    print("|---" * 14 + "|")
    if given.saved is not None:
        found = []
        for kept in sorted(path for path in given.saved.iterdir() if path.is_dir()):
            found += (here := list(done(kept)))
            print(*here, sep="\n", flush=True)
        print("\n| action | guests | cells | within the bounds | within the range | within the guess |")
        print("|---" * 6 + "|", *sums(found), sep="\n")
        return
    for kernel in given.kernels:
        settings = GuestSettings(kernel, given.memory, given.cpus, accel=given.accel, hold=1, disk=given.disk)
        for guest in given.guests:
            for actions, spans in BOOTS.items():
                with tempfile.TemporaryDirectory() as temporary:
                    work = WORK[guest].format(some=300 * given.memory // 1024)
                    trace = booted(settings, work, actions, Path(temporary))
                    folder = given.save or Path(temporary) / "kept"
                    name = f"{trace.meta.kernel}-{guest}-{given.memory}-{actions[0]}"
                    print(*done(keep(trace, name, spans, folder, Path(temporary))), sep="\n", flush=True)


if __name__ == "__main__":
    main()
