"""A guest of today: the nearest to break-even that a stock kernel can do, predicted, and measured in real guests.

    python benchmarks/stock_guest.py TRACE...
    python benchmarks/stock_guest.py --disk disk.img --kernels linux-image-cloud-amd64 ...

The first replays recordings with the order that `benchmarks/stock_guest.sh` should be given at a price, and with the
delay, where the kernel has that, beside mainline's usual setting and break-even; and asks the doctor what the script's
other means would bring at the recording's end. The second boots guests under QEMU that do the same work, three
each: as they come, with the script at order 9, and at the order of a price of 15. What the first of them predicts for
the others stands beside what the host measured. The disk is an ext4 image with Python, a C compiler (docs/record.md
says how to make one) and in /payload Lua's source (`apt-get source --download-only lua5.4`). Needs QEMU; some minutes a
boot without KVM. `--save FOLDER` keeps the recordings, and does not make again what is there.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
from doctor import files_of, host_kib

from pagehint.diagnosis.bounds import Bounds
from pagehint.diagnosis.examine import diagnose
from pagehint.hinting.designs.breakeven import BreakEven
from pagehint.kernel.reporting import DELAY_PARAMETER
from pagehint.replays.plan import Plan, plans_of
from pagehint.replays.recording import Recording
from pagehint.replays.replay import replay
from pagehint.replays.study import Ground, Task
from pagehint.replays.truth import measured_residency
from pagehint.report.doctor_words import range_of
from pagehint.trace import Trace
from pagehint.trace.recorder.guest.boot import GuestSettings, boot
from pagehint.trace.shipped import example
from pagehint.units import MIB

PRICES = (15.0, 5.0, 1.5)
USUAL_ORDER, USUAL_DELAY = 9, 2 * 10**9
KEPT = 64  # of memory, the share of cache that the script leaves
REST = 50  # seconds
SCRIPT = Path(__file__).with_suffix(".sh")

# Something large for a while, a compiler, and files that are read.
JOB = """python3 -c "x = b'x' * 230000000"
mkdir -p /build; tar xf /payload/lua*.orig.tar.gz -C /build
for each in lapi lgc ltable; do gcc -O2 -c -o /tmp/$each.o /build/lua*/src/$each.c; done
find /usr -type f | xargs cat 2> /dev/null | head -c 150000000 > /dev/null
rm -r /build /tmp/*.o"""
# A page of each 64 KiB of 160 MiB stays in use.
WORK = f"""mount -t cgroup2 cgroup2 /sys/fs/cgroup
fragment 160 10000000 &
for turn in 1 2; do
mark "job $turn"
{JOB}
mark "rest $turn"
sleep {REST}
mark "again $(grep -E '^workingset_refault(_file)? ' /proc/vmstat)"
mark "dentry-state $(cat /proc/sys/fs/dentry-state)"
mark looking
look
done"""


def stock_setting(price: float) -> tuple[int, int]:
    """The order and the delay (ns) for a price: break-even's first guess, for who can set one of each only.

    The lowest order of which a block is worth to be given back within the usual delay, and how long it should wait.
    """
    design = BreakEven(price=price)
    order = next((order for order in range(USUAL_ORDER) if design.wait(order) <= USUAL_DELAY), USUAL_ORDER)
    return order, design.wait(order)


def reporting(trace: Trace, order: int, delay: int) -> Plan:
    (plan,) = plans_of(trace, ["reporting"], {"order": [order], "delay": [delay]})
    return plan


def cost(recording: Recording, plan: Plan, price: float) -> float:
    return Task(recording, plan, Ground(price=price)).run_for_totals().totals.cost


def simulate(traces: list[Trace]) -> None:
    """Print what each design costs, a row a recording and price; then what the script's other means would bring."""
    print("| recording | price | order, delay | as it comes | the order | and the delay | break-even |")
    print("|---" * 7 + "|")
    for price in PRICES:
        order, delay = stock_setting(price)
        sums = np.zeros(4)
        for trace in traces:
            recording = Recording(trace)
            plans = [reporting(trace, each, wait) for each, wait in ((USUAL_ORDER, USUAL_DELAY), (order, USUAL_DELAY))]
            plans += [reporting(trace, order, delay), *plans_of(trace, ["breakeven"], {"price": [price]})]
            costs = [cost(recording, plan, price) for plan in plans]
            sums += costs
            cells = " | ".join(f"{each:.3f}" for each in costs)
            print(f"| {trace.name} | {price:g} | {order}, {delay / 1e6:.0f} ms | {cells} |", flush=True)
        print(f"| all | {price:g} | {order}, {delay / 1e6:.0f} ms | {' | '.join(f'{each:.3f}' for each in sums)} |")
    print("\n| at the end of | drop_caches, order 0 | order 9 | compact_memory, order 9 | both, order 9 |")
    print("|---" * 5 + "|")
    for trace in traces:
        final = trace.path / "final"
        if (final / "kpageflags.u64.gz").exists():
            brings = diagnose(sorted(final.iterdir())).would_bring
            cells = [brings["drop_caches"][0], *(brings[name][9] for name in ("drop_caches", "compact_memory", "both"))]
            print(f"| {trace.name} | {' | '.join(range_of(each, '') for each in cells)} |")


def booted(settings: GuestSettings, arguments: str | None, path: Path) -> Trace:
    """The recording of a guest that does the work, beside the script with these arguments; made unless it is there."""
    if path.exists():
        return Trace.open(path)
    policy = "" if arguments is None else f"cat > /tmp/stock_guest.sh << 'END'\n{SCRIPT.read_text()}END\n"
    policy += "" if arguments is None else f"sh /tmp/stock_guest.sh {arguments} &\n"
    mount, work = WORK.split("\n", 1)
    trace, _, status = boot(settings, f"{mount}\n{policy}{work}", path)
    if status:
        raise SystemExit(f"{settings.kernel}: the guest's command failed: {status}")
    return trace


def marked(trace: Trace, text: str) -> list[tuple[int, str]]:
    """The time and the rest of each mark that begins so."""
    return [(time, mark.split(text, 1)[1]) for time, mark in trace.mark_texts if text in mark]


def predicted(trace: Trace, look: int, order: int, delay: int, folder: Path) -> Bounds:
    """What the guest should hold at this look if it ran the script: what a replay says, less what the doctor does."""
    (time, _) = marked(trace, "looking")[look - 1]
    timeline = replay(trace, reporting(trace, order, delay).make(), sample="10ms").timeline
    held = float(np.interp(time, timeline["time"].to_numpy(), timeline["resident"].to_numpy()))
    brings = diagnose(files_of(trace, look, folder)).would_bring["both" if order else "drop_caches"][order]
    most = held if brings.most is None else brings.most
    kept = sum(zone.present for zone in trace.meta.zones or []) * trace.meta.page_size / KEPT
    best = None if brings.value is None else held - brings.value + kept
    return Bounds(held - most, held - brings.least + kept, best)


def compare(settings: GuestSettings, folder: Path) -> None:
    """Boot a kernel's three guests, and print a row each."""
    kernel = Path(settings.kernel).name
    stock = booted(settings, None, folder / f"{kernel}-stock.pagetrace")
    order, delay = stock_setting(15.0)
    has_delay = DELAY_PARAMETER in stock.meta.known_reporting.parameters
    rows: dict[str, tuple[str | None, int, int]] = {
        "stock": (None, USUAL_ORDER, USUAL_DELAY),
        "order9": ("9", USUAL_ORDER, USUAL_DELAY),
        "price15": (f"{order} {delay // 10**6}", order, delay // 10**6 * 10**6 if has_delay else USUAL_DELAY),
    }
    for name, (arguments, at, wait) in rows.items():
        trace = booted(settings, arguments, folder / f"{kernel}-{name}.pagetrace")
        held = host_kib(trace)
        cells = []
        for look, kib in enumerate(held, 1):
            if arguments is None:
                said = ""
            else:
                with tempfile.TemporaryDirectory() as temporary:
                    bounds = predicted(stock, look, at, wait, Path(temporary))
                said = f"{bounds.least / MIB:.0f} to {(bounds.most or 0) / MIB:.0f}; "
                if bounds.value is not None:
                    said = f"{bounds.value / MIB:.0f} ({said[:-2]}); "
            cells.append(f"{said}{kib / 1024:,.1f}")
        jobs, rests = marked(trace, "job "), marked(trace, "rest ")
        seconds = [f"{(rest - job) / 1e9:.1f}" for (job, _), (rest, _) in zip(jobs, rests, strict=True)]
        again = int(marked(trace, "again ")[-1][1].split()[-1])
        print(
            f"| {trace.meta.kernel} | {name} | {' | '.join(cells)} | {mean_held(trace) / MIB:,.1f} "
            f"| {' | '.join(seconds)} | {again} |",
            flush=True,
        )


def mean_held(trace: Trace) -> float:
    """Bytes resident on average between the first job and the last look, as measured."""
    measured = measured_residency(trace)
    assert measured is not None
    times, resident = measured["time"].to_numpy(), measured["resident"].to_numpy().astype(np.float64)
    begin, end = marked(trace, "job ")[0][0], marked(trace, "looking")[-1][0]
    inside = (times >= begin) & (times <= end)
    return float((resident[inside][:-1] * np.diff(times[inside])).sum() / (times[inside][-1] - times[inside][0]))


def main() -> None:
    """Simulate the recordings that are named, and boot the guests that are."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("traces", nargs="*", type=Path)
    parser.add_argument("--disk", type=Path)
    parser.add_argument("--kernels", nargs="+", default=["linux-image-cloud-amd64"])
    parser.add_argument("--memory", type=int, default=1024, help="MiB")
    parser.add_argument("--cpus", type=int, default=2)
    parser.add_argument("--accel", default="auto")
    parser.add_argument("--save", type=Path)
    given = parser.parse_args()
    if given.disk is None:
        simulate([Trace.open(path) for path in given.traces] or [example()])
        return
    columns = ("kernel", "guest", "end of rest 1, MiB: predicted; measured", "end of rest 2", "on average")
    columns += ("job 1, s", "job 2, s", "pages read again")
    print(f"| {' | '.join(columns)} |\n{'|---' * len(columns)}|", flush=True)
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.save or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        for kernel in given.kernels:
            compare(GuestSettings(kernel, given.memory, given.cpus, accel=given.accel, disk=given.disk), folder)


if __name__ == "__main__":
    main()
