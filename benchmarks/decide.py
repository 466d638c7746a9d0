"""The tables of docs/should-i-turn-it-on.md, docs/which-settings.md and docs/how-many-fit.md, from recordings.

``python benchmarks/decide.py TRACE...`` (without any: the shipped ones) takes a minute a recording. It prints, in
Markdown, what reporting saves and costs, which setting is the best for each recording and for all, and how many such
guests fit on a host.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from pagehint.fleets.fleet import fleet
from pagehint.hinting.designs.breakeven import BreakEven
from pagehint.hinting.designs.reporting import PageReporting
from pagehint.replays.replay import replay
from pagehint.replays.start import guest_reporting
from pagehint.replays.sweep import sweep
from pagehint.replays.truth import guest_host
from pagehint.report.words import percent
from pagehint.trace.bundle import Trace
from pagehint.trace.shipped import example
from pagehint.units import format_size, format_time

_HOST = 256 << 30
_RISK = 1e-4
_PRICES = (15.0, 1.5)


def row(*cells: object) -> None:
    """A row of a table in Markdown."""
    print(f"| {' | '.join(map(str, cells))} |")


def head(*cells: str) -> None:
    """A table's first two rows."""
    print()
    row(*cells)
    print("|---" * len(cells) + "|")


def setting(design: str, settings: dict[str, int]) -> str:
    """A setting in words."""
    parts = [f"order {settings['order']}"] if "order" in settings else []
    parts += [format_time(settings["delay"])] if settings.get("delay") is not None else []
    return ", ".join([design, *parts])


def turn_on(traces: Sequence[Trace]) -> None:
    """What mainline's reporting saves and costs, beside no hinting, a shorter delay and break-even."""
    head(
        "recording",
        "memory",
        "no hinting",
        "saved",
        "faults again",
        "their time",
        "host's time",
        "saved at 100 ms",
        "break-even",
    )
    for trace in traces:
        designs = (None, guest_reporting(trace) or PageReporting(), PageReporting(delay="100ms"), BreakEven())
        none, mainline, *others = (replay(trace, each, guest_host(trace), sample=None).totals for each in designs)
        memory = sum(zone.present for zone in trace.meta.zones or []) * trace.meta.page_size
        saved = [percent(1 - each.footprint / none.footprint, 1) for each in (mainline, *others)]
        again = f"{100 * mainline.refault_time / mainline.duration:.3f} %"
        row(
            trace.name,
            format_size(memory),
            f"{none.footprint:.3f} GiB·min",
            saved[0],
            f"{mainline.refaults:,}",
            again,
            f"{mainline.device_time / 1e6:.1f} ms",
            *saved[1:],
        )


def settings(traces: Sequence[Trace]) -> None:
    """The best of each recording, and of all: its regret."""
    grid = {"order": [9, 7, 5, 2, 0], "delay": ["20ms", "100ms", "500ms", "2s", "10s"], "capacity": [32]}
    designs = ["reporting", "breakeven"]
    lost: list[tuple[float, dict[str, str]]] = []
    head("price", "recordings", "best", "costs", "the best possible", "as recorded")
    for group in [[each] for each in traces] + [list(traces)] * (len(traces) > 1):
        found = sweep(group, designs, grid, _PRICES)
        for best in found.best:
            price = best["price"]
            present = sum(
                price * (each["footprint"] - each["ideal_footprint"]) + (each["guest_time"] + each["host_time"]) / 1e9
                for each in found.present
            )
            which = group[0].name if len(group) == 1 else "all"
            bound = "-" if best["best_possible"] is None else f"{best['best_possible']:.3f} s"
            row(
                f"{price:g}",
                which,
                setting(best["design"], best["settings"]),
                f"{best['cost']:.3f} s",
                bound,
                f"{present:.3f} s",
            )
            if len(group) > 1:
                lost.append((price, {name: percent(loss, 0) for name, loss in best["regret"].items()}))
    for price, losses in lost:
        told = ", ".join(f"{name} {loss}" for name, loss in losses.items())
        print(f"\nAt {price:g} the best for all costs more than each recording's own best: {told}")


def fit(traces: Sequence[Trace]) -> None:
    """How many guests of each recording fit on a host."""
    designs = ["none", "reporting", "breakeven"]
    head(
        f"on {format_size(_HOST)}, risk {_RISK:g}",
        "without hinting",
        "reporting, as recorded",
        "at 100 ms",
        "break-even",
    )
    for trace in traces:
        usual = fleet([(trace, 1)], _HOST, designs, risks=[_RISK])
        (quick,) = fleet([(trace, 1)], _HOST, ["reporting"], {"delay": ["100ms"]}, risks=[_RISK]).outcomes
        none, reporting, even = (f"{each.fits[_RISK]:,}" for each in usual.outcomes)
        row(trace.name, none, reporting, f"{quick.fits[_RISK]:,}", even)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("traces", nargs="*", type=Path)
    traces = [Trace.open(each) for each in parser.parse_args().traces] or [example(), example("pandas")]
    turn_on(traces)
    fit(traces)
    settings(traces)


if __name__ == "__main__":
    main()
