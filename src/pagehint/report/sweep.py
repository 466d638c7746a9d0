"""What a sweep found, in words, a table and a picture."""

import re
from collections.abc import Mapping
from itertools import cycle
from typing import Any

import plotly.graph_objects as go
from rich.console import Console
from rich.text import Text

from pagehint.hinting.designs.registry import NONE
from pagehint.hinting.setting import Setting
from pagehint.replays.plan import CAPACITY, in_words
from pagehint.replays.sweep import Sweep, cost_at
from pagehint.report.chart_style import COLOURS, FAINT, RUN_COLOURS, chart_layout, chart_text, figures_data
from pagehint.report.charts import fitting, titled
from pagehint.report.page import chart, charts, filled_page, html_table, section
from pagehint.report.words import about
from pagehint.units import format_count, gib_min, percent

__all__ = ["print_sweep", "sweep_page"]

_IN_PARENTHESES = re.compile(r" \([^)]*\)")
_NO_HINTING = "no hinting"
_SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross")  # of designs, for paper without colours
_GUESTS_OWN = ("order", "delay", CAPACITY)

Words = Mapping[str, Setting]
"""The settings of all designs of the sweep, by name."""


def _label(row: Mapping[str, Any], words: Words) -> str:
    if row["design"] is None:
        return "no setting"
    if row["design"] == NONE:
        return _NO_HINTING
    return in_words(row["design"], row["settings"], words)


def _own(row: Mapping[str, Any], words: Words) -> str:
    settings = {name: row["settings"][name] for name in _GUESTS_OWN}
    return _label({"design": row["design"], "settings": settings}, words)


def _recommended(sweep: Sweep, best: Mapping[str, Any], words: Words) -> str:
    if "budget" in best:
        return _within(best, words)
    price, cost = best["price"], best["cost"]
    line = f"At {price:g} CPU seconds a GiB·min: {_label(best, words)}; it costs {_seconds(cost)}"
    present = sum(cost_at(row, price) for row in sweep.present)
    owned = dict.fromkeys(_own(row, words) for row in sweep.present)
    line += f", as recorded ({'; or '.join(owned)}) it is {_seconds(present)}"
    if best["regret_possible"] is not None:
        line += f", and the best possible {_seconds(best['best_possible'])}"
    worst = max(best["regret"], key=lambda name: best["regret"][name])
    if len(best["regret"]) > 1:
        loss = percent(best["regret"][worst], 1)
        if loss == percent(0, 1):
            line += "; for each recording alone it is the best too"
        else:
            line += f"; {worst} loses most against its own best, {loss}"
    if best["near"]:
        others = format_count(best["near"], "other setting")
        line += f"; {others} within 5 % of it, so that the choice among them is not firm"
    return line


def _released(best: Mapping[str, Any], words: Words) -> list[str]:
    found = best["released"]
    if found is None or (found["design"], found["settings"]) == (best["design"], best["settings"]):
        return []
    figure = f"is {gib_min(found['footprint'])} GiB·min" if "budget" in best else f"costs {_seconds(found['cost'])}"
    where = "within that" if "budget" in best else f"at {best['price']:g}"
    return [f"The best that a kernel before 7.3 can be set to {where}: {_label(found, words)}; it {figure}"]


def _within(best: Mapping[str, Any], words: Words) -> str:
    line = f"With {_budget(best['budget'])} at the most, least memory is held with: {_label(best, words)}"
    if best["design"] is not None:
        return f"{line}; it is {gib_min(best['footprint'])} GiB·min"
    if not best["least"]:
        return f"{line}: none gives anything back"
    return f"{line}; the least that any takes, each for itself: {_budget(best['least'])}"


def _budget(limits: Mapping[str, float]) -> str:
    told = {
        "refaults": lambda limit: f"{format_count(round(limit), 'fault')} again",
        "slowdown": lambda limit: f"{100 * limit:.3g} % of the guest's time",
        "within": lambda limit: f"{about(round(limit))} until 99 % of what comes back is back",
    }
    return ", ".join(told[name](limit) for name, limit in limits.items())


def _seconds(cost: float) -> str:
    return about(round(cost * 1e9))


def print_sweep(console: Console, sweep: Sweep, words: Words, doubts: list[str]) -> None:
    """Print what the sweep recommends, and its front."""
    for best in sweep.best:
        for line in (_recommended(sweep, best, words), *_released(best, words)):
            console.print(Text(f"{line}.", style="bold"))
    for line in doubts:
        console.print(Text(f"{line}.", style="dim"))
    for line in sweep.warnings:
        console.print(Text(f"Warning: {line}.", style="yellow"))
    console.print()
    head, rows = _table(sweep, words)
    # An order's size is told above and on the page: without it settings and figures are one line of 80 characters.
    table = fitting(console.width, head, [[_IN_PARENTHESES.sub("", label), *row] for label, *row in rows])
    console.print(titled("No setting has both less memory and less time than one of these", table))


def _table(sweep: Sweep, words: Words) -> tuple[list[str], list[list[str]]]:
    rows = [
        [
            _label(row, words),
            gib_min(row["footprint"]),
            gib_min(row["footprint"] - row["ideal_footprint"]),
            about(row["guest_time"]) if row["guest_time"] else "-",
            about(row["host_time"]) if row["host_time"] else "-",
        ]
        for row in sweep.front
    ]
    return ["", "memory\nGiB·min", "of it\nfree", "guest\ncost", "host\ncost"], rows


def sweep_page(sweep: Sweep, words: Words, doubts: list[str]) -> str:
    """A page with the picture of all settings, the front among them, and the guests' own."""
    figure = _figure(sweep, words)
    lead = "\n".join(f"{_recommended(sweep, best, words)}." for best in sweep.best)
    others = [line for best in sweep.best for line in _released(best, words)]
    names = list(dict.fromkeys(row["recording"] for row in sweep.rows))
    head, rows = _table(sweep, words)
    title = "Memory against time"
    note = "Each point is a setting on a recording; down and to the left is better."
    front = html_table([cell.replace("\n", " ") for cell in head], rows)
    return filled_page(
        f"{', '.join(names)}: {len(sweep.rows)} runs",
        f"pagehint sweep of {format_count(len(names), 'recording')}.",
        lead,
        [f"{line}." for line in sweep.warnings],
        [f"{line}." for line in (*others, *doubts)],
        [
            section(title, charts([chart("front", figure.layout.height, title)]), note),
            section("The front", front),
        ],
        figures_data({"front": figure}),
    )


def _figure(sweep: Sweep, words: Words) -> go.Figure:
    traces = []
    looks = zip(cycle(RUN_COLOURS), cycle(_SYMBOLS), strict=True)
    for design in dict.fromkeys(row["design"] for row in sweep.rows):
        rows = [row for row in sweep.rows if row["design"] == design]
        name = _NO_HINTING if design == NONE else design
        colour, symbol = (FAINT, "x") if design == NONE else next(looks)
        look = {"size": 7, "color": colour, "symbol": symbol}
        traces.append(_points(name, rows, [f"{row['recording']}: {_own(row, words)}" for row in rows], look))
    present = [f"{row['recording']}: {_own(row, words)}" for row in sweep.present]
    look = {"size": 14, "color": COLOURS["measured"], "symbol": "star"}
    traces.append(_points("as recorded", sweep.present, present, look))
    if len({row["recording"] for row in sweep.rows}) == 1:
        look = {"size": 11, "color": FAINT, "symbol": "circle-open"}
        front = _points("the front", sweep.front, [_label(row, words) for row in sweep.front], look)
        traces.append({**front, "mode": "lines+markers", "line": {"width": 1, "shape": "vh", "color": FAINT}})
    return go.Figure(data=traces, layout=chart_layout("seconds of guest and host", "resident memory, GiB·min", 460))


def _points(name: str, rows: list[dict[str, Any]], texts: list[str], look: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "markers",
        "name": chart_text(name),
        "x": [(row["guest_time"] + row["host_time"]) / 1e9 for row in rows],
        "y": [row["footprint"] for row in rows],
        "text": [chart_text(text) for text in texts],
        "marker": look,
        "hovertemplate": "%{text}<br>%{y:.3f} GiB·min, %{x:.4g} s<extra></extra>",
    }
