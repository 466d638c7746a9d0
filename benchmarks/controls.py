"""What a replay says of settings that a guest did not have, beside a guest that had them.

``python benchmarks/controls.py RECORDING CONTROL ...``: pairs of recordings of the same work, a second or two each.
What the control's host measured is held against the replay of the recording with the control's settings, and the other
way round where both have page events. No two guests are alike to the second: both are compared at the same points of
their work, which their marks tell (``pagehint mark``), from the device's coming to the last mark that both have.
"""

import argparse
import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pagehint.hinting.design import Design
from pagehint.replays.replay import replay
from pagehint.replays.start import device_load, guest_reporting
from pagehint.replays.truth import measured_residency
from pagehint.trace.bundle import Trace
from pagehint.units import GIB_MINUTE, MIB

_STEP = 50 * 10**6


def points(trace: Trace) -> dict[str, int]:
    """When the device came, and the marks behind it: ns by text, of each text the first."""
    found = {"": device_load(trace)}
    for time, text in sorted(trace.mark_texts):
        if time > found[""]:
            found.setdefault(text, time)
    return found


def same_points(trace: Trace, control: Trace, at: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """When (ns) the one had come as far with its work as the other at these times; which of them both came to."""
    here, there = points(trace), points(control)
    known = [(time, there[text]) for text, time in here.items() if text in there]
    rising = known[:1]
    for pair in known[1:]:
        if pair[1] > rising[-1][1]:
            rising.append(pair)
    if len(rising) < 2:
        raise SystemExit(f"{trace.path.name} and {control.path.name}: no mark of the one is one of the other")
    ours, theirs = np.array(rising, np.float64).T
    return np.interp(at, theirs, ours), (at >= theirs[0]) & (at < theirs[-1])


def settings_of(trace: Trace) -> Design | None:
    """The design that the recorded guest ran."""
    reporting = trace.meta.reporting
    if reporting is None:
        raise SystemExit(f"{trace.path.name}: does not tell whether it reported")
    return guest_reporting(trace) if reporting.on else None


def compare(trace: Trace, control: Trace) -> dict[str, Any]:
    """A row: the replay of `trace` with the control's settings, and what the control's host measured, means in MiB."""
    run = replay(trace, settings_of(control), sample=_STEP)
    measured = measured_residency(control)
    if measured is None:
        raise SystemExit(f"{control.path.name}: its host measured nothing")
    # At the control's samples: one that is held until the next lags where memory grows, and so must the other.
    times, both = same_points(trace, control, measured.column("time").to_numpy())
    seen = measured.column("resident").to_numpy()[both].astype(np.float64)
    predicted = _held(run.timeline, times[both])
    spans = np.diff(times[both])
    if not len(spans):
        raise SystemExit(f"{control.path.name}: its host measured too seldom")
    seen, predicted = (values[:-1] * spans for values in (seen, predicted))
    whole = spans.sum()
    return {
        "recording": trace.name,
        "control": control.name,
        "settings": run.settings["design"],
        "seconds": whole / 1e9,
        "predicted": predicted.sum() / whole / MIB,
        "measured": seen.sum() / whole / MIB,
        "difference": predicted.sum() / seen.sum() - 1,
        "apart": np.abs(predicted - seen).sum() / seen.sum(),
        "footprint_predicted": predicted.sum() / GIB_MINUTE,
        "footprint_measured": seen.sum() / GIB_MINUTE,
    }


# A table's resident bytes, as they were from each row to the next, at these times.
def _held(table: Any, times: NDArray[np.float64]) -> NDArray[np.float64]:
    rows = np.searchsorted(table.column("time").to_numpy(), times, side="right") - 1
    values: NDArray[np.float64] = table.column("resident").to_numpy()[np.maximum(rows, 0)].astype(np.float64)
    return values


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pairs", nargs="+", metavar="RECORDING CONTROL")
    parser.add_argument("--json", action="store_true", help="print the rows as JSON")
    arguments = parser.parse_args()
    if len(arguments.pairs) % 2:
        parser.error("expected pairs: a recording and its control, and so on")
    opened = [Trace.open(path) for path in arguments.pairs]
    rows = []
    for one, other in zip(opened[::2], opened[1::2], strict=True):
        rows.append(compare(one, other))
        if other.meta.events.get("A") and one.residency is not None:
            rows.append(compare(other, one))
    if arguments.json:
        print(json.dumps(rows, indent=1))
        return
    print("recording         against           as          MiB: predicted measured  difference  apart  GiB*min")
    for row in rows:
        print(
            f"{row['recording']:<17} {row['control']:<17} {row['settings']:<10} {row['predicted']:>14.1f} "
            f"{row['measured']:>8.1f} {row['difference']:>+11.2%} {row['apart']:>6.2%}  "
            f"{row['footprint_predicted']:.4f} against {row['footprint_measured']:.4f}"
        )


if __name__ == "__main__":
    main()
