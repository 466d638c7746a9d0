"""Two guests at once on this host, beside what a fleet of the two should hold: ``python benchmarks/two_guests.py``.

It boots two guests under QEMU, the second some seconds after the first, each of which does its work again and again
with a period of its own, and takes four minutes. Their recordings (kept in DIR with ``--out DIR``, and not made again)
tell what the host measured of both, on the host's clock. Beside it stand both replays added up at the moments at which
they were, and what ``pagehint fleet`` says, which knows nothing of these. Needs what `pagehint guest` needs.
"""

import argparse
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pagehint.fleets.fleet import fleet
from pagehint.replays.replay import replay
from pagehint.replays.start import guest_reporting
from pagehint.trace.bundle import Trace
from pagehint.trace.recorder.guest.boot import GuestSettings, boot
from pagehint.units import MIB

_WORKS = ("anon 220 700; sleep 3; anon 120 2000; sleep 1", "tmpfs 200 800; sleep 2; anon 90 1200; sleep 3")
_TIMES = 12
_SHIFT = 7.0
_STEP = 20_000_000
_SHARES = (0.05, 0.25, 0.5, 0.75, 0.95, 0.99)


def record(folder: Path, kernels: list[str], accel: str) -> list[Trace]:
    """Both guests at once; those that are there already are not made again."""

    def one(which: int) -> Trace:
        path = folder / f"{which}.pagetrace"
        if path.exists():
            return Trace.open(path)
        time.sleep(which * _SHIFT)
        work = f"i=0; while [ $i -lt {_TIMES} ]; do {_WORKS[which]}; i=$((i+1)); done"
        settings = GuestSettings(kernels[which % len(kernels)], memory=512, cpus=1, accel=accel)
        return boot(settings, work, path, lambda text: print(f"guest {which}: {text}", flush=True))[0]

    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(one, range(2)))


def on_host(trace: Trace, times: NDArray[np.int64]) -> NDArray[np.float64]:
    """Seconds of the host's clock."""
    clock = trace.meta.clock
    assert clock is not None
    since = (clock.h0_ns + clock.offset_ns) / 1e9
    found: NDArray[np.float64] = since + (1 + clock.drift) * (times - clock.g0_ns) / 1e9
    return found


def measured(trace: Trace) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Seconds of the host's clock, and the guest's bytes there: its process's each 50 ms, less what QEMU itself has.

    The guest's own pages are looked at less often: what is beside them changes slowly.
    """
    table = trace.residency
    assert table is not None
    times, process = table["time"].to_numpy(), table["rss_kib"].to_numpy()
    looked = table["ram_resident_kib"].is_valid().to_numpy()
    own = process[looked] - table["ram_resident_kib"].drop_null().to_numpy()
    return on_host(trace, times), 1024.0 * (process - np.interp(times, times[looked], own))


def steps(times: NDArray[np.float64], values: NDArray[Any], at: NDArray[np.float64]) -> NDArray[np.float64]:
    """Each value until the next."""
    found: NDArray[np.float64] = values[np.searchsorted(times, at, "right") - 1].astype(np.float64)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kernel", action="append", help="as `pagehint guest --kernel`; twice: one for each")
    parser.add_argument("--accel", default="auto")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.out or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        compare(record(folder, given.kernel or ["linux-image-cloud-amd64"], given.accel))


def compare(traces: list[Trace]) -> None:
    """Print the table."""
    begins, ends, seen, said = [], [], [], []
    for trace in traces:
        run = replay(trace, guest_reporting(trace), sample=_STEP)
        seen.append(measured(trace))
        said.append((on_host(trace, run.timeline["time"].to_numpy()), run.timeline["resident"].to_numpy()))
        begins += [seen[-1][0][0], said[-1][0][0]]
        ends += [seen[-1][0][-1], said[-1][0][-1]]
        kernel, error = trace.meta.kernel, run.prediction.residency_error
        print(f"{trace.path.name}: Linux {kernel}, {trace.meta.num_events:,} events, residency error {error:.2%}")
    at = np.arange(max(begins), min(ends), _STEP / 1e9)
    shift = said[1][0][0] - said[0][0][0]
    print(f"both at once for {at[-1] - at[0]:.1f} s, the second {shift:.1f} s after the first")
    one, other = (steps(*each, at) for each in seen)
    both, known = one + other, sum(steps(*each, at) for each in said)
    apart = float(np.abs(known - both).sum() / both.sum())
    print(f"added up at the moments at which they were: {apart:.2%} apart (integral of the difference)")
    # With one of them a second later, or two, and so on: what else the two might have held.
    shifted = [one + np.roll(other, by) for by in range(0, len(at), round(1e9 / _STEP))]
    (outcome,) = fleet([(trace, 1) for trace in traces], int(both.max()) + 1, ["reporting"]).outcomes
    columns = ("not exceeded for", "measured", "replayed, at these moments", "off by")
    columns += ("fleet, at any moments", "measured, one shifted: 90 % of shifts", "all shifts", "fleet is off by")
    print(f"\n| {' | '.join(columns)} |\n{'|---' * len(columns)}|")
    for share in _SHARES:
        was, said_then, any_shift = (float(np.quantile(each, share)) for each in (both, known, np.array(shifted)))
        low, high = np.quantile([np.quantile(each, share) for each in shifted], [0.05, 0.95])
        said_ever = outcome.quantile(share)
        sizes = [f"{size / MIB:.1f}" for size in (was, said_then, said_ever, low, high, any_shift)]
        print(
            f"| {share:.0%} of the time | {sizes[0]} MiB | {sizes[1]} | {said_then / was - 1:+.1%} | {sizes[2]} "
            f"| {sizes[3]} to {sizes[4]} | {sizes[5]} | {said_ever / any_shift - 1:+.1%} |"
        )
    mean, always = float(both.mean()), outcome.mean
    print(
        f"| on average | {mean / MIB:.1f} MiB | {known.mean() / MIB:.1f} | {known.mean() / mean - 1:+.1%} "
        f"| {always / MIB:.1f} | | {mean / MIB:.1f} | {always / mean - 1:+.1%} |"
    )


if __name__ == "__main__":
    main()
