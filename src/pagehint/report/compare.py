"""Several runs of one recording in one table."""

from rich.console import Console, Group
from rich.markup import escape

from pagehint.replays.run import Run
from pagehint.report.charts import fitting, titled
from pagehint.report.terminal import print_anomalies, print_warnings
from pagehint.report.words import describe_guest, ground_line, labels, mean_mib, percent, reasons_in, saved, waited

__all__ = ["print_runs"]

_MIB = 1 << 20
_LONG = 11


def print_runs(console: Console, runs: list[Run], baseline: Run) -> None:
    """Print runs side by side; `baseline` is the same recording without hinting."""
    first, width = runs[0], console.width
    console.print(f"[bold]{escape(first.recording['name'])}[/]: {escape(describe_guest(first))}")
    console.print(escape(ground_line(first)))
    print_warnings(console, *runs)
    console.print()
    names = labels(runs)
    if max(map(len, names)) > _LONG:
        for number, name in enumerate(names):
            console.print(f"[bold]{number + 1}[/]  {escape(name)}")
        console.print()
        names = [str(number + 1) for number in range(len(names))]
    console.print(titled("What came back, and what it cost", _costs(names, runs, baseline, width)))
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
        "\nsaved",
        "back\nMiB",
        "half\nin",
        "99 %\nin",
        "faults\nagain",
        "guest\ncost",
        "host\ncost",
        "in all",
        *(["best\npossible"] if bounded else []),
        "\nblocks",
        *(["swap\ncost"] if swapped else []),
    ]
    rows = []
    for name, run in zip(names, runs, strict=True):
        totals, share = run.totals, saved(run, baseline)
        row = [
            name,
            f"{totals.footprint:.3f}",
            "-" if share is None else percent(share, 1),
            f"{totals.given_back / _MIB:,.0f}",
            waited(totals.wait_p50),
            waited(totals.wait_p99),
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


def _ms(time: int) -> str:
    return f"{time / 1e6:,.1f} ms" if time else "-"


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
    value = mean_mib(gib_minutes, run.totals.duration)
    return f"{value:,.1f}" if value else "-"
