"""Several runs of one recording in one table."""

from rich.console import Console, Group
from rich.markup import escape

from pagehint.replays.run import LONGEST_WAIT, Run
from pagehint.report.charts import fitting, titled
from pagehint.report.terminal import print_anomalies, print_warnings
from pagehint.report.words import (
    BEST_POSSIBLE,
    alike_lines,
    describe_guest,
    fit_columns,
    ground_line,
    labels,
    mean_size,
    priced,
    reasons_in,
    saved,
)
from pagehint.units import MIB, gib_min

__all__ = ["print_runs"]


def print_runs(console: Console, runs: list[Run], baseline: Run) -> None:
    """Print runs side by side; `baseline` is the same recording without hinting."""
    first, width = runs[0], console.width
    console.print(f"[bold]{escape(first.recording['name'])}[/]: {escape(describe_guest(first))}")
    console.print(escape(ground_line(first)))
    for line in alike_lines(runs):
        console.print(escape(line))
    print_warnings(console, *runs)
    console.print()
    names = labels(runs)
    if not fit_columns(names):
        for number, name in enumerate(names):
            console.print(f"[bold]{number + 1}[/]  {escape(name)}")
        console.print()
        names = [str(number + 1) for number in range(len(names))]
    console.print(titled("What came back, and what it cost", _costs(names, runs, baseline, width)))
    console.print(f"[dim]In all: {priced(first)}.[/]")
    if any(run.totals.best_possible is not None for run in runs):
        console.print(f"[dim]At best: {BEST_POSSIBLE}, and each design has them elsewhere.[/]")
    console.print()
    if reasons_in(runs):
        console.print(
            titled("Free, but resident: what stayed behind, MiB on average", _left_behind(names, runs, width))
        )
    print_anomalies(console, first)


def _costs(names: list[str], runs: list[Run], baseline: Run, width: int) -> Group:
    swapped = any(run.host.swapped_out for run in runs)
    bounded = any(run.totals.best_possible is not None for run in runs)
    head = [
        "",
        "memory\nGiB·min",
        "saved\n%",
        "back\nMiB",
        "half\nin\ns",
        "99 %\nin\ns",
        "faults\nagain",
        "guest\nms",
        "host\nms",
        "in\nall\nms",
        *(["at\nbest\nms"] if bounded else []),
        "blocks",
        *(["swap\nms"] if swapped else []),
    ]
    rows = []
    for name, run in zip(names, runs, strict=True):
        totals, share = run.totals, saved(run, baseline)
        row = [
            name,
            gib_min(totals.footprint),
            "-" if share is None else f"{100 * share:.1f}",
            f"{totals.given_back / MIB:,.0f}",
            _waited(totals.wait_p50),
            _waited(totals.wait_p99),
            f"{totals.refaults:,}",
            _ms(totals.refault_time + totals.allocation_delay),
            _ms(totals.device_time),
            _ms(round(totals.cost * 1e9)),
            *([_bound(totals.best_possible)] if bounded else []),
            f"{totals.blocks:,}",
            *([_ms(run.host.swap_time)] if swapped else []),
        ]
        rows.append(row)
    return fitting(width, head, rows)


# One unit a column, told in its head: so they stand side by side in 80 characters.
def _ms(time: int) -> str:
    return f"{time / 1e6:,.{0 if time >= 10**8 else 1}f}" if time else "-"


def _waited(time: int | None) -> str:
    if time is None:
        return "-"
    return f"{time / 1e9:.2f}" if time < LONGEST_WAIT else f"≥ {LONGEST_WAIT // 10**9}"


def _bound(cost: float | None) -> str:
    return "-" if cost is None else _ms(round(cost * 1e9))


def _left_behind(names: list[str], runs: list[Run], width: int) -> Group:
    rows = [
        [words, *(_mean(run, run.attribution.get(name, 0.0)) for run in runs)]
        for name, words in reasons_in(runs).items()
    ]
    rows.append(["all", *(_mean(run, sum(run.attribution.values())) for run in runs)])
    return fitting(width, ["", *names], rows)


def _mean(run: Run, gib_minutes: float) -> str:
    value = mean_size(gib_minutes, run.totals.duration) / MIB
    return f"{value:,.1f}" if value else "-"
