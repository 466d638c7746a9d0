"""What the doctor predicts for an action in a real guest, beside what the action then brought there.

    python benchmarks/doctor.py --kernel linux-image-cloud-amd64 --work fragmented slab

Each guest is booted once without an action, which gives the page map that the doctor reads, and once for each action,
with the same work before it: before and after are two boots, which differ by some pages. A guest booted this way has no
disk, so there is no page cache to drop but a little of the kernel's. Needs QEMU; slow without KVM.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np

from pagehint.diagnosis.apply import STEPS
from pagehint.diagnosis.examine import diagnose
from pagehint.diagnosis.findings import Diagnosis
from pagehint.report.doctor_words import range_of
from pagehint.trace import Trace
from pagehint.trace.recorder.guest.boot import GuestSettings, boot

MIB = 1 << 20
ORDERS = (0, 4, 9)
SETTLE = 8  # seconds: three passes of reporting
WORK = {
    "fragmented": f"fragment 100 100000 & sleep {SETTLE}",
    "slab": f"find /sys /proc /bin > /dev/null 2>&1; find /sys > /dev/null; sleep {SETTLE}",
}


def booted(settings: GuestSettings, work: str, action: str | None, folder: Path) -> Trace:
    """The guest's recording; its end is after the action, and the mark `acting` before it."""
    steps = [f"echo {value} > {path}" for path, value in STEPS[action]] if action else []
    command = "; ".join([WORK[work], "mark acting", *steps, f"sleep {SETTLE}", "true"])
    trace, _, status = boot(settings, command, folder / f"{work}-{action}.pagetrace")
    if status:
        raise SystemExit(f"{work}, {action}: the guest's command failed: {status}")
    return trace


def seen(trace: Trace) -> Diagnosis:
    """What the doctor says of the recording's last snapshot."""
    return diagnose(sorted((trace.path / "final").iterdir()))


def free_from(found: Diagnosis, order: int) -> float:
    """Bytes free in blocks of `order` and more."""
    return sum(zone.free_from(order) or 0 for zone in found.zones) * found.setting.page_size


def host_brought(trace: Trace) -> float:
    """MiB by which the host's residency fell from the mark `acting` to the end."""
    (acting,) = (mark["time"] for mark in trace.marks.to_pylist() if mark["text"].endswith("acting"))
    times = trace.residency["time"].to_numpy()
    kib = trace.residency["ram_resident_kib"].to_numpy(zero_copy_only=False).astype(np.float64)
    known = ~np.isnan(kib)
    times, kib = times[known], kib[known]
    return float(kib[max(int(np.searchsorted(times, acting)) - 1, 0)] - kib[-1]) / 1024


def main() -> None:
    """Boot, compare and print a row for each action."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kernel", default="linux-image-cloud-amd64")
    parser.add_argument("--memory", type=int, default=256, help="MiB")
    parser.add_argument("--accel", default="auto")
    parser.add_argument("--work", nargs="+", choices=WORK, default=list(WORK))
    given = parser.parse_args()
    settings = GuestSettings(given.kernel, memory=given.memory, cpus=1, accel=given.accel, hold=1)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for work in given.work:
            before = seen(booted(settings, work, None, folder))
            for action in STEPS:
                trace = booted(settings, work, action, folder)
                after = seen(trace)
                cells = []
                for order in ORDERS:
                    came = (free_from(after, order) - free_from(before, order)) / MIB
                    bounds = before.would_bring[action][order]
                    holds = bounds.least <= came * MIB <= (bounds.most or 0)
                    cells.append(f"order {order}: {range_of(bounds)}, came {came:,.1f}{'' if holds else ' (outside)'}")
                print(
                    f"{given.kernel} {work} {action}: {'; '.join(cells)}; host {host_brought(trace):,.1f}", flush=True
                )


if __name__ == "__main__":
    main()
