"""What a fleet holds and how many guests fit, in words, tables and pictures."""

from collections.abc import Mapping
from itertools import cycle
from typing import Any

import plotly.graph_objects as go
from rich.console import Console
from rich.text import Text

from pagehint.fleets.fits import MOST_GUESTS
from pagehint.fleets.fleet import Fleet, Outcome
from pagehint.hinting.designs.registry import NONE
from pagehint.report.chart_style import RUN_COLOURS, chart_layout, chart_text, figures_data
from pagehint.report.charts import fitting, titled
from pagehint.report.page import chart, charts, filled_page, html_table, section
from pagehint.report.words import about
from pagehint.units import format_count, format_size, percent

__all__ = ["fleet_page", "fleet_sentences", "print_fleet"]

_HEADLINE = 1e-4
_GIB = 1 << 30


def _label(outcome: Outcome) -> str:
    return "no hinting" if outcome.design == NONE else outcome.label


def _risk(found: Fleet) -> float:
    return min(found.outcomes[0].fits, key=lambda risk: abs(risk - _HEADLINE))


def fleet_sentences(found: Fleet) -> list[str]:
    """How many fit, with each design."""
    risk = _risk(found)
    parts = [f"{_fits(outcome, risk)} with {_label(outcome)}" for outcome in found.outcomes]
    parts[0] = parts[0].replace("with no hinting", "without hinting").replace("with measured", "as measured")
    lines = [
        f"On {format_size(found.memory)} fit, at a risk of {_plain(risk)} "
        "(the share of time in which more is held than there is): " + "; ".join(parts)
    ]
    if all(not outcome.fits[risk] for outcome in found.outcomes):
        lines.append("One guest alone is more than this host has")
    return lines


# 1e-05 is nothing that people read.
def _plain(risk: float) -> str:
    return f"{risk:.12f}".rstrip("0")


def _fits(outcome: Outcome, risk: float) -> str:
    guests = outcome.fits[risk]
    return f"{guests:,}" + " or more" * (guests == MOST_GUESTS)


def _table(found: Fleet) -> tuple[list[str], list[list[str]]]:
    risks = list(found.outcomes[0].fits)
    head = [
        "",
        *(f"fit at\n{_plain(risk)}" for risk in risks),
        "held on\naverage",
        "99.99 %\nof the time",
        "above host",
    ]
    head += ["so long\nat a time", "back after a storm\n50 / 90 / 99 %", "stalled\nan hour"]
    rows = []
    for outcome in found.outcomes:
        worst = outcome.worst
        low, high = outcome.interval
        over = f"{outcome.p_over:.2g}" if outcome.p_over >= 1e-12 else "never"
        over += f" ({low:.2g} to {high:.2g})" if high >= 1e-12 else ""
        rows.append(
            [
                _label(outcome),
                *(_fits(outcome, risk) for risk in risks),
                format_size(round(outcome.mean)),
                format_size(round(outcome.quantile(0.9999))),
                over,
                "-" if worst.seconds is None or outcome.p_over < 1e-12 else _long(worst.seconds),
                " / ".join("-" if each is None else f"{each:.2g} s" for each in outcome.back),
                f"{outcome.stalled:,.0f} s" if outcome.stalled else "-",
            ]
        )
    return head, rows


def _long(seconds: float) -> str:
    return about(round(seconds * 1e9)) if seconds < 86_400 else "over a day"


def print_fleet(console: Console, found: Fleet) -> None:
    """Print how many fit, and what the given guests hold."""
    for line in fleet_sentences(found):
        console.print(Text(f"{line}.", style="bold"))
    for line in found.warnings:
        console.print(Text(f"Warning: {line}.", style="yellow"))
    console.print()
    console.print(titled(_title(found), fitting(console.width, *_table(found))))


def _title(found: Fleet) -> str:
    parts = [f"{format_count(found.guests, 'guest')} on {format_size(found.memory)}"]
    parts += [f"{percent(found.together)} of them at the same time"] * bool(found.together)
    parts += [f"{percent(found.parked)} parked"] * bool(found.parked)
    return ", ".join(parts)


def fleet_page(found: Fleet) -> str:
    """A page with what is held over the day, and how many fit at which risk."""
    figures = {"day": _day(found), "fit": _fit(found)}
    titles = {"day": "What the guests hold over a day", "fit": "How many fit, at which risk"}
    notes = {
        "day": "The median, and dotted what is not exceeded 99.99 % of the time.",
        "fit": "The risk is the share of time in which more is held than the host has.",
    }
    sections = [
        section(titles[name], charts([chart(name, figure.layout.height, titles[name])]), notes[name])
        for name, figure in figures.items()
    ]
    sections.append(section("Figures", html_table(*_table(found))))
    lead, *others = [f"{line}." for line in fleet_sentences(found)]
    return filled_page(
        _title(found),
        "pagehint fleet.",
        lead,
        [f"{line}." for line in found.warnings],
        others,
        sections,
        figures_data(figures),
    )


def _day(found: Fleet) -> go.Figure:
    traces: list[dict[str, Any]] = []
    for outcome, colour in zip(found.outcomes, cycle(RUN_COLOURS), strict=False):
        hours, middle, most = [], [], []
        for begin, end, each in outcome.day:
            hours += [begin / 3600, end / 3600]
            middle += [each.quantile(0.5) / _GIB] * 2
            most += [each.quantile(0.9999) / _GIB] * 2
        name = chart_text(_label(outcome))
        traces.append(_line(name, hours, middle, {"width": 2, "color": colour}))
        line = {"width": 1, "dash": "dot", "color": colour}
        traces.append({**_line(f"{name}, 99.99 %", hours, most, line), "showlegend": False})
    host = [found.memory / _GIB] * 2
    traces.append(_line("the host's memory", [0, 24], host, {"width": 3, "dash": "dash", "color": "#888888"}))
    axis = {"dtick": 3, "range": [0, 24]}
    return go.Figure(data=traces, layout=chart_layout("hour of the day", "held by guests, GiB", 420, xaxis=axis))


def _line(name: str, x: list[float], y: list[float], line: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "scatter", "mode": "lines", "name": name, "x": x, "y": y, "line": dict(line)}


def _fit(found: Fleet) -> go.Figure:
    traces = [
        {
            "type": "scatter",
            "mode": "lines+markers",
            "name": chart_text(_label(outcome)),
            "x": [_plain(risk) for risk in outcome.fits],
            "y": list(outcome.fits.values()),
            "line": {"color": colour},
        }
        for outcome, colour in zip(found.outcomes, cycle(RUN_COLOURS), strict=False)
    ]
    layout = chart_layout("risk", "guests that fit", 360, xaxis={"type": "category"})
    return go.Figure(data=traces, layout=layout)
