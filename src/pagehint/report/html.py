"""One self-contained page of one run or several: charts and figures, without anything to load."""

from collections.abc import Sequence
from html import escape, unescape
from pathlib import Path
from typing import Any

import plotly.graph_objects as go

from pagehint.errors import InputError
from pagehint.hinting.designs.registry import NONE
from pagehint.host.blocks import PAGE_BYTES
from pagehint.replays.run import LONGEST_WAIT, Run, is_as_recorded
from pagehint.report import figures as drawn
from pagehint.report.chart_style import figures_data
from pagehint.report.output import Output
from pagehint.report.page import (
    chart,
    charts,
    colour_key,
    filled_page,
    html_table,
    html_tables,
    section,
    warning_box,
)
from pagehint.report.words import (
    BEST_POSSIBLE,
    WITHOUT_HINTING,
    about,
    alike_lines,
    anomaly_lines,
    describe_guest,
    describe_recorded,
    design_line,
    fit_columns,
    ground_line,
    headline,
    is_fall,
    labels,
    mean_size,
    placed_line,
    reasons_in,
    saved,
    seconds,
    waited,
    warning_lines,
)
from pagehint.units import MIB, format_count, gib_min, mib, percent, several, shown

__all__ = ["figures_of", "page_of", "summary_of", "write_html"]

_MOST_TOLD = 3  # beside the best: the table has all


def write_html(runs: Run | Sequence[Run], path: str | Path, baseline: Run | None = None) -> None:
    """Write the page of a run, or of some of one recording; `baseline` is that one without hinting, on the same host.

    Raises InputError.
    """
    with Output(path) as file:
        file.write(page_of(several(runs), baseline).encode())


def figures_of(runs: Sequence[Run]) -> dict[str, go.Figure]:
    """The page's charts, by name. Raises InputError where a run has no timeline."""
    page = _Page(list(runs), None)
    page.sections()
    return page.figures


def summary_of(run: Run) -> str:
    """A run in a few lines of HTML, for notebooks."""
    title = escape(f"{run.recording['name']}: {design_line(run)}")
    warnings = warning_box(f"{line}." for line in warning_lines(run))
    about_it = escape(f"{describe_guest(run)}; {ground_line(run)}")
    return f"<p><b>{title}</b><br>{about_it}</p>{warnings}{html_table(*_totals_table([run], ['']))}"


def page_of(runs: list[Run], baseline: Run | None = None) -> str:
    """The page; `baseline` is the same recording without hinting, against which the runs are shown.

    Raises InputError where a run has no timeline.
    """
    page = _Page(runs, baseline)
    first = runs[0]
    about_it = [describe_guest(first), ground_line(first)]
    if len(runs) == 1:
        title = f"{first.recording['name']}: {design_line(first)}"
        lead = _lead(first, baseline)
    else:
        what = ", ".join(page.names) if page.short else f"{len(runs)} runs beside each other"
        title = f"{first.recording['name']}: {what}"
        lead = _lead_of_several(page.names, runs, baseline)
        about_it += alike_lines(runs)
    return filled_page(
        title,
        f"pagehint on {'; '.join(about_it)}.",
        lead,
        [f"{line}." for line in warning_lines(*runs)],
        [f"{line}." for line in anomaly_lines(first)],
        page.sections(),
        figures_data(page.figures),
    )


def _lead(run: Run, baseline: Run | None) -> str:
    if not run.totals.given_back:
        return "Nothing was given back."
    lead = f"{mib(run.totals.given_back)} came back"
    share = None if baseline is None or baseline is run else saved(run, baseline)
    if share is not None:
        more = "less" if share >= 0 else "more"
        lead += f"; over the time that is {percent(abs(share), 1)} {more} host memory than without hinting"
    return f"{lead}. It cost the guest {about(run.totals.refault_time)}, and the host {about(run.totals.device_time)}."


def _lead_of_several(names: list[str], runs: list[Run], baseline: Run | None) -> str:
    if baseline is None:
        told = list(zip(names, runs, strict=True))[: 1 + _MOST_TOLD]
        each = [f"{name} {gib_min(run.totals.footprint)} GiB·min" for name, run in told]
        if left := len(runs) - len(told):
            each.append(f"{format_count(left, 'other run')} below")
        return f"Host memory over the time: {'; '.join(each)}"
    shares = [
        (share, name)
        for name, run in zip(names, runs, strict=True)
        if run is not baseline and (share := saved(run, baseline)) is not None
    ]
    if not shares:
        return "Nothing was given back."
    best, *others = sorted(shares, reverse=True)
    lead = f"{best[1]} saves most: {percent(best[0], 1)} of the host memory that the guest holds without hinting"
    if others:
        lead += "; " + ", ".join(f"{name} {percent(share, 1)}" for share, name in others[:_MOST_TOLD])
    if less := others[_MOST_TOLD:]:
        lead += f"; {format_count(len(less), 'other')} down to {percent(less[-1][0], 1)}"
    return f"{lead}."


class _Page:
    def __init__(self, runs: list[Run], baseline: Run | None) -> None:
        if not runs:
            raise InputError("a page of no run: expected one at least")
        _check_alike(runs, baseline)
        if not all(run.timeline.num_rows for run in runs):
            raise InputError("a page needs a timeline: replay with a step, such as sample='50ms'")
        self.runs = runs
        self.baseline = baseline
        self.names = labels(runs)
        self.short = fit_columns(self.names)
        self.figures: dict[str, go.Figure] = {}

    def sections(self) -> list[str]:
        return [
            self._residency(),
            self._attribution(),
            self._told(),
            self._waits(),
            self._maps(),
            self._phases(),
            self._totals(),
        ]

    def _figure(self, name: str, figure: go.Figure, title: str = "") -> str:
        self.figures[name] = figure
        label = f"{title}: {_described(figure)}" if title else _described(figure)
        return chart(name, figure.layout.height, label, title)

    # A chart for each run that has anything to show, two beside each other.
    def _each(self, name: str, make: Any, shown: list[bool]) -> list[str]:
        several = len(self.runs) > 1
        return [
            self._figure(f"{name}-{index}", make(run), self.names[index] if several else "")
            for index, run in enumerate(self.runs)
            if shown[index]
        ]

    def _residency(self) -> str:
        run = self.runs[0]
        note = _measured_note(self.runs, self.names)
        if len(self.runs) == 1:
            figure = drawn.residency_figure(run, self.baseline or run)
            return section(headline(run), charts([self._figure("residency", figure)]), note)
        figure = drawn.compared_figure(self.runs, self.names, self.baseline)
        means = (
            f"{name} {mib(mean_size(one.totals.footprint, one.totals.duration))}"
            for name, one in zip(self.names, self.runs, strict=True)
        )
        title = f"Resident on average: {', '.join(means)}" if self.short else "Resident memory over time"
        return section(title, charts([self._figure("residency", figure)]), note)

    def _attribution(self) -> str:
        shown = [any(value > 0 for value in run.attribution.values()) for run in self.runs]
        note = "Every free byte that the host still backs, by what keeps it; the reasons add up to all of it."
        if len(self.runs) == 1:
            title = _left_behind(self.runs[0])
            return section(title, charts(self._each("attribution", drawn.attribution_figure, shown)), note)
        most = 1.05 * max(run.timeline.column("free_resident").to_numpy().max() / MIB for run in self.runs)
        figures = self._each("attribution", lambda run: drawn.attribution_figure(run, most), shown)
        return section("What stayed behind, and why", charts(figures, two=True), note)

    def _told(self) -> str:
        shown = [run.batches.num_rows > 0 for run in self.runs]
        if not any(shown):
            return ""
        note = "What the host was told of over time, and how many blocks a batch had."
        sizes = self._figure("sizes", drawn.batch_sizes_figure(self.runs, self.names))
        if len(self.runs) == 1:
            run = self.runs[0]
            totals = run.totals
            title = f"{format_count(totals.batches, 'batch', 'batches')} told of {format_count(totals.blocks, 'block')}"
            title += f"; {totals.blocks_again:,} had nothing behind them" if totals.blocks_again else ""
            batches = self._figure("batches", drawn.batches_figure(run))
            return section(title, charts([batches, sizes], two=True), note)
        back = self._figure("batches", drawn.given_back_figure(self.runs, self.names))
        return section("Batches", charts([back, sizes], two=True), note)

    def _waits(self) -> str:
        if not any(run.waits[:-1].any() for run in self.runs):
            return ""
        run = self.runs[0]
        title = "From free to given back"
        if len(self.runs) == 1 and run.totals.wait_p50 is not None and run.totals.wait_p99 is not None:
            title = (
                f"Half of what came back was back within {waited(run.totals.wait_p50)} of its free,"
                f" 99 % within {waited(run.totals.wait_p99)}"
            )
        note = "Memory that nobody freed during the recording, since it was free from the start, is not counted."
        for name, one in zip(self.names, self.runs, strict=True):
            if one.waits[-1]:
                whose = f" ({name})" if len(self.runs) > 1 else ""
                share = percent(one.waits[-1] / one.waits.sum(), 1)
                note += f" {share} of it{whose} waited {about(LONGEST_WAIT)} or longer: how much longer isn't known."
        return section(title, charts([self._figure("waits", drawn.waits_figure(self.runs, self.names))]), note)

    def _maps(self) -> str:
        shown = [len(run.memory_map["time"]) > 0 for run in self.runs]
        if not any(shown):
            return ""
        area = self.runs[0].memory_map["pages"] * PAGE_BYTES // self.runs[0].memory_map["counts"].shape[1]
        note = f"By page frame number (4 KiB pages): each cell is {mib(area)}, coloured by what most of it is."
        figures = self._each("map", drawn.map_figure, shown)
        body = charts(figures, two=len(self.runs) > 1) + colour_key(drawn.STATES)
        return section("Where in the guest's memory", body, note)

    def _phases(self) -> str:
        shown = [run for run in self.runs if run.totals.given_back]
        names = [name for name, run in zip(self.names, self.runs, strict=True) if run.totals.given_back]
        compare = len(self.runs) == 1 and is_as_recorded(self.runs[0])
        rows = []
        for phases in zip(*(run.phases for run in shown), strict=True):
            if all(phase["given_back_90"] is None for phase in phases):
                continue
            row = [phases[0]["name"]]
            row += [_came_back(phase["given_back"], phase["given_back_90"]) for phase in phases]
            if compare:
                fell = is_fall(phases[0])
                row.append(_came_back(phases[0]["measured_fall"], phases[0]["measured_90"]) if fell else "-")
            rows.append(row)
        if not rows:
            return ""
        head = ["after", *(names if len(self.runs) > 1 else ["came back, 90 % within"])]
        head += ["measured"] if compare else []
        title = "What came back in each phase, and how long 90 % of it took"
        return section(title, html_tables(head, rows))

    def _totals(self) -> str:
        runs, names = list(self.runs), list(self.names)
        if self.baseline is not None and not any(run is self.baseline for run in runs):
            runs.append(self.baseline)
            names.append(WITHOUT_HINTING)
        return section("Totals", html_tables(*_totals_table(runs, names)))


# What is not of the recording, its label or the design is the host's.
_HOST = ("host_page_size", "host_memory", "khugepaged")


def _check_alike(runs: list[Run], baseline: Run | None) -> None:
    known = [*runs, *([] if baseline is None else [baseline])]
    if others := [each for each in known if not isinstance(each, Run)]:
        raise InputError(f"{shown(others[0])} is no run: expected what replay(trace) returns")
    if len({(*_guest(run), run.totals.events) for run in known}) > 1:
        names = dict.fromkeys(run.recording["name"] for run in known)
        raise InputError(f"a page of runs of several recordings ({', '.join(names)}): expected those of one")
    if baseline is None:
        return
    if baseline.settings["design"] != NONE:
        design = baseline.settings["design"]
        raise InputError(f"a baseline with {design}: expected a run without hinting, such as replay(trace)")
    for name in _HOST:
        if differ := [run for run in runs if run.settings[name] != baseline.settings[name]]:
            there, here = (shown(run.settings[name]) for run in (differ[0], baseline))
            raise InputError(f"a baseline with {name} {here}, and a run with {there}: replay both with the same host")


def _guest(run: Run) -> tuple[object, ...]:
    return tuple(run.recording[name] for name in ("kernel", "cpus", "memory"))


def _totals_table(runs: Sequence[Run], names: Sequence[str]) -> tuple[list[str], list[list[str]]]:
    """Head and rows of the runs' totals, a column a run."""
    rows: list[tuple[str, list[str]]] = [
        ("host memory over the time, GiB·min", [gib_min(run.totals.footprint) for run in runs]),
        ("of it in use", [_gib(run.totals.ideal_footprint) for run in runs]),
    ]
    for name, words in reasons_in(runs).items():
        rows.append((f"of it free, {words}", [_gib(run.attribution.get(name)) for run in runs]))
    rows += [
        ("given back", [mib(run.totals.given_back) for run in runs]),
        ("from free to given back, half within", [waited(run.totals.wait_p50) for run in runs]),
        ("from free to given back, 99 % within", [waited(run.totals.wait_p99) for run in runs]),
        ("host faults on memory given back", [f"{run.totals.refaults:,}" for run in runs]),
        ("their time", [_time(run.totals.refault_time) for run in runs]),
        ("time of all host faults", [_time(run.totals.fault_time) for run in runs]),
        ("the host's time to give back", [_time(run.totals.device_time) for run in runs]),
        (
            f"cost at {runs[0].settings['cost_price']:g} CPU seconds a GiB·min",
            [_time(round(run.totals.cost * 1e9)) for run in runs],
        ),
        (f"the best possible: {BEST_POSSIBLE}", [_cost(run.totals.best_possible) for run in runs]),
        ("the same with CPUs' lists left alone", [_cost(run.totals.best_possible_lists) for run in runs]),
        ("runs of the work (passes)", [f"{run.totals.runs:,}" for run in runs]),
        ("batches", [f"{run.totals.batches:,}" for run in runs]),
        ("blocks", [f"{run.totals.blocks:,}" for run in runs]),
        ("of them with nothing behind", [f"{run.totals.blocks_again:,}" for run in runs]),
        ("allocations that waited for blocks in flight", [f"{run.totals.allocations_delayed:,}" for run in runs]),
        ("allocations that failed", [f"{run.totals.allocations_failed:,}" for run in runs]),
        ("resident at the most", [mib(run.totals.peak_resident) for run in runs]),
        ("resident at the end", [mib(run.totals.end_resident) for run in runs]),
    ]
    if any(run.host.swapped_out for run in runs):
        rows.append(("pages swapped out", [f"{run.host.swapped_out:,}" for run in runs]))
        rows.append(("time of swapping", [_time(run.host.swap_time) for run in runs]))
    return ["", *names], [[name, *cells] for name, cells in rows]


# What a chart is, for those who can't see it: the figures themselves are in the tables.
def _described(figure: go.Figure) -> str:
    axes = f"{figure.layout.yaxis.title.text} by {figure.layout.xaxis.title.text}"
    names = [unescape(trace.name) for trace in figure.data if trace.name]
    return f"chart of {axes}{': ' if names else ''}{'; '.join(names)}"


def _left_behind(run: Run) -> str:
    reasons = {name: value for name, value in run.attribution.items() if value > 0}
    if not reasons:
        return "No free memory stayed resident"
    whole = sum(reasons.values())
    most = max(reasons, key=lambda name: reasons[name])
    mean = mean_size(whole, run.totals.duration)
    return (
        f"{mib(mean)} are free but resident on average: {percent(reasons[most] / whole)} of it is {run.reasons[most]}"
    )


def _measured_note(runs: list[Run], names: list[str]) -> str:
    run = runs[0]
    if run.measured is None:
        return "The recording has no measurement of the host's side."
    alike = [(one, name) for one, name in zip(runs, names, strict=True) if is_as_recorded(one)]
    if alike and (error := alike[0][0].prediction.residency_error) is not None:
        which = f" ({alike[0][1]})" if len(runs) > 1 else ""
        line = f"Predicted{which} and measured are {percent(error, 3)} apart over the time."
        placed = placed_line(alike[0][0])
        return f"{line} {placed}." if placed else line
    recorded = describe_recorded(run)
    return f"What was measured is a guest {recorded or 'of unknown settings'}: not what these settings would do."


def _cost(cost: float | None) -> str:
    return "-" if cost is None else _time(round(cost * 1e9))


def _time(time: int) -> str:
    return f"{time / 1e6:,.1f} ms" if time else "-"


def _gib(value: float | None) -> str:
    return gib_min(value) if value else "-"


def _came_back(size: int | None, wait: int | None) -> str:
    return f"{mib(size)}, {seconds(wait)}" if size and wait is not None else mib(size or 0)
