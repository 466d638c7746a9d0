"""One screen of what a replay tells: what came back, how fast, what it cost, what stayed behind and why."""

import numpy as np
from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from pagehint.replays.run import Run, is_as_recorded
from pagehint.report.charts import area_chart, bar, columns_of, fitting, titled
from pagehint.report.words import (
    WITHOUT_HINTING,
    about,
    anomaly_lines,
    describe_guest,
    describe_recorded,
    design_line,
    giving_back,
    ground_line,
    headline,
    is_fall,
    mean_size,
    placed_line,
    priced,
    saved,
    seconds,
    waited,
    warning_lines,
)
from pagehint.units import format_count, gib_min, mib, percent

__all__ = ["print_anomalies", "print_run", "print_warnings"]

_USED, _FREE, _BACK = ("█", "blue"), ("▒", "yellow"), ("·", "green")
_ROWS = 9


def print_run(console: Console, run: Run, baseline: Run) -> None:
    """Print a run; `baseline` is the same recording without hinting."""
    width = min(console.width, 110)
    console.print(f"[bold]{escape(run.recording['name'])}[/]: {escape(describe_guest(run))}")
    console.print(f"[bold]{escape(design_line(run))}[/]; {escape(ground_line(run))}")
    print_warnings(console, run)
    console.print()
    console.print(f"[bold]{escape(headline(run))}.[/]")
    console.print(_residency(run, baseline, width))
    console.print()
    for part in (_footprint(run, baseline, width), _phases(run, width), _left_behind(run, width), _cost(run)):
        console.print(part)
    for note in (*_prediction(run), *_real(run)):
        console.print(note)
    print_anomalies(console, run)


def print_warnings(console: Console, *runs: Run) -> None:
    """Print what the results don't rest on firmly, before them."""
    for line in warning_lines(*runs):
        console.print(Text(f"Warning: {line}.", style="bold red"))


def print_anomalies(console: Console, run: Run) -> None:
    """Print what is odd in the recording."""
    for line in anomaly_lines(run):
        console.print(Text(f"{line}.", style="dim"))


def _residency(run: Run, baseline: Run, width: int) -> RenderableType:
    times = run.timeline.column("time").to_numpy()
    columns = max(width - 12, 1)
    edges = np.linspace(times[0], times[-1] + 1, columns + 1)
    used, resident = (columns_of(times, run.timeline.column(name).to_numpy(), edges) for name in ("used", "resident"))
    without = columns_of(
        baseline.timeline.column("time").to_numpy(), baseline.timeline.column("resident").to_numpy(), edges
    )
    most = max(float(resident.max()), float(without.max()), 1.0)
    marks = [""] * _ROWS
    for row in (0, _ROWS // 2):
        marks[row] = mib(most * (_ROWS - row) / _ROWS)
    layers = [(used, *_USED), (resident, *_FREE), (without, *_BACK)]
    left = max(len(mark) for mark in marks)
    lines = area_chart(layers, _ROWS, most, marks)
    lines.append(_time_axis(edges, left))
    if found := giving_back(run):
        numbers = [" "] * (left + 1 + columns)
        for index, phase in enumerate(found[:9]):
            place = int((phase["time"] - times[0]) / max(times[-1] - times[0], 1) * (columns - 1))
            if 0 <= place < columns:
                numbers[left + 1 + place] = str(index + 1)
        lines.append(Text("".join(numbers).rstrip(), style="bold"))
    legend = Text(" " * (left + 1))
    for (character, style), name in (
        (_USED, "in use"),
        (_FREE, "free, but resident"),
        (_BACK, "given back"),
    ):
        legend.append(character * 2, style).append(f" {name}   ")
    legend.rstrip()
    return Group(*lines, legend)


def _time_axis(edges: np.ndarray[tuple[int], np.dtype[np.float64]], left: int) -> Text:
    columns = len(edges) - 1
    span = (edges[-1] - edges[0]) / 1e9
    line = list(" " * left + "└" + "─" * columns)
    step = next(
        (s for k in range(-3, 9) for s in (10.0**k, 2 * 10.0**k, 5 * 10.0**k) if span / s <= columns / 12), span or 1.0
    )
    number = 0
    while number * step <= span:
        text = f"{number * step:,.10g} s"
        place = left + 1 + int(number * step / (span or 1.0) * (columns - 1))
        if place + len(text) <= len(line):
            line[place : place + len(text)] = text
        number += 1
    return Text("".join(line), style="dim")


# Words wrap in a narrow terminal, figures never do.
def _grid(*justify: str) -> Table:
    table = Table.grid(padding=(0, 2))
    for index, each in enumerate(justify):
        right = each == "right"
        table.add_column(justify="right" if right else "left", no_wrap=right or index > 0, overflow="fold")
    return table


def _footprint(run: Run, baseline: Run, width: int) -> Group:
    table = _grid("left", "right", "left")
    most = max(baseline.totals.footprint, run.totals.footprint)
    share = saved(run, baseline)
    rows = [(WITHOUT_HINTING, baseline.totals.footprint, "green")]
    if run is not baseline:
        rows.append((f"with {run.settings['design']}", run.totals.footprint, "yellow"))
    rows.append(("in use", run.totals.ideal_footprint, "blue"))
    for name, value, style in rows:
        table.add_row(f"  {escape(name)}", f"{gib_min(value)} GiB·min", bar(value, most, max(width - 40, 0), style))
    title = "Host memory over the time"
    if run is not baseline and share is not None:
        rest = run.totals.footprint - run.totals.ideal_footprint
        possible = baseline.totals.footprint - run.totals.ideal_footprint
        title += f": {percent(abs(share), 1)} {'less' if share >= 0 else 'more'} than without hinting"
        if possible > 0 and share >= 0:
            title += f", {percent(1 - rest / possible)} of what could be saved"
    return titled(title, table)


def _phases(run: Run, width: int) -> RenderableType:
    found = giving_back(run)
    totals = run.totals
    if not totals.given_back:
        return Text("Nothing was given back.\n")
    waits = ""
    if totals.wait_p50 is not None and totals.wait_p99 is not None:
        waits = f"; half within {waited(totals.wait_p50)} of its free, 99 % within {waited(totals.wait_p99)}"
    title = f"{mib(totals.given_back)} came back, in {format_count(totals.runs, 'pass', 'passes')}{waits}"
    compare = is_as_recorded(run) and any(phase["measured_90"] is not None and is_fall(phase) for phase in found)
    head = ["after", "came\nback", "90 %\nwithin"] + (["\nmeasured", "90 %\nwithin"] if compare else [])
    rows: list[list[str]] = []
    most = sorted(found, key=lambda phase: -phase["given_back"])[:6]
    for number, phase in enumerate(found):
        if phase not in most:
            continue
        row = [f"{number + 1}  {phase['name']}", mib(phase["given_back"]), seconds(phase["given_back_90"])]
        if compare:
            fall = is_fall(phase)
            row += [mib(phase["measured_fall"] or 0), seconds(phase["measured_90"])] if fall else ["", ""]
        rows.append(row)
    if len(found) > len(most):
        left = len(found) - len(most)
        rows.append([f"and {format_count(left, 'more phase')}", *[""] * (len(head) - 1)])
    return titled(title, fitting(width, head, rows)) if found else Text(f"{title}\n")


def _left_behind(run: Run, width: int) -> RenderableType:
    duration = run.totals.duration
    reasons = {name: mean_size(value, duration) for name, value in run.attribution.items() if value > 0}
    whole = sum(reasons.values())
    if not whole:
        return Text("No free memory stayed resident.\n")
    table = _grid("left", "right", "right", "left")
    for name, value in sorted(reasons.items(), key=lambda item: -item[1]):
        chart = bar(value, max(reasons.values()), max(width - 72, 0), "yellow")
        table.add_row(f"  {escape(run.reasons[name])}", mib(value), f"{percent(value / whole)}", chart)
    mean = mib(mean_size(run.totals.footprint, duration))
    return titled(f"Stayed behind: of {mean} resident, {mib(whole)} were free on average", table)


def _cost(run: Run) -> RenderableType:
    totals = run.totals
    if run.design is None:
        return Text()
    table = _grid("left", "left")
    table.columns[1].no_wrap = False
    share = totals.refault_time / totals.duration if totals.duration else 0.0
    faults = f"{format_count(totals.refaults, 'fault')} on memory that had been given back"
    table.add_row("  guest", f"{faults}: {about(totals.refault_time)}, {percent(share, 2)} of its time")
    empty = f" ({totals.blocks_again:,} with nothing behind)" if totals.blocks_again else ""
    batches = format_count(totals.batches, "batch", "batches")
    table.add_row("  host", f"{batches} of {format_count(totals.blocks, 'block')}{empty}: {about(totals.device_time)}")
    held = f"{totals.allocations_delayed:,} waited for blocks in flight"
    if totals.allocations_delayed:
        held += f", {about(totals.allocation_delay)} in all"
    table.add_row("  allocations", f"{held}; {totals.allocations_failed:,} failed")
    best = ""
    if totals.best_possible is not None and totals.best_possible_lists is not None:
        least, listed = (about(round(each * 1e9)) for each in (totals.best_possible, totals.best_possible_lists))
        best = f"; the best possible is {least}, and {listed} with CPUs' lists left alone"
    table.add_row("  in all", f"{about(round(totals.cost * 1e9))} {priced(run)}{best}")
    if run.host.swapped_out:
        swap = (
            f"{format_count(run.host.swapped_out, 'page')} out, {run.host.swapped_in:,} in: {about(run.host.swap_time)}"
        )
        table.add_row("  swap", swap)
    return titled("Cost", table)


def _real(run: Run) -> list[Text]:
    real = run.real
    if real is None:
        return []
    line = (
        f"On this machine's memory ({real.host}): {mib(real.measured_mean)} resident on average by the kernel's count, "
        f"{mib(real.predicted_mean)} by the model, {percent(real.error, 3)} apart over the time"
    )
    if real.pages_per_page > 1:
        line += f"; one page stood for {real.pages_per_page} of the guest's, which did not fit"
    return [Text(f"{line}.")]


def _prediction(run: Run) -> list[Text]:
    prediction = run.prediction
    if run.measured is None or prediction.predicted_mean is None:
        return []
    recorded = describe_recorded(run)
    if prediction.residency_error is None or prediction.measured_mean is None or not is_as_recorded(run):
        what = "whether it reported is not known" if recorded is None else f"it ran {recorded}"
        return [Text(f"What was measured on the recorded guest's host is not comparable: {what}.", style="dim")]
    line = (
        f"Predicted beside measured: {mib(prediction.predicted_mean)} and {mib(prediction.measured_mean)} resident on"
        f" average, {percent(prediction.residency_error, 3)} apart over the time"
    )
    if "reported_mib" in run.truth:
        line += f"; {prediction.reported_mib:,.0f} and {run.truth['reported_mib']:,.0f} MiB told to the host"
    placed = placed_line(run)
    return [Text(f"{line}. {placed}." if placed else f"{line}.")]
