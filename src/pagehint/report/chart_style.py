"""How every chart of a page looks: colours, and axes."""

import json
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import plotly.graph_objects as go

__all__ = [
    "COLOURS",
    "DARK",
    "FAINT",
    "PAPER",
    "REASON_COLOURS",
    "RUN_COLOURS",
    "USED_BEHIND",
    "chart_layout",
    "chart_text",
    "colour_steps",
    "figures_data",
]

_FONT = "system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif"
_GRID, _INK, PAPER, FAINT, USED_BEHIND = "#e4e4e4", "#222222", "#ffffff", "#666666", "#d7dde2"
COLOURS = {
    "used": "#33658a",
    "free": "#f2a541",
    "back": "#cfe8cf",
    "mixed": "#a23b3b",
    "never": "#f4f4f4",
    "none": "#a9adb3",
    "measured": "#111111",
}
# Of Okabe and Ito: they differ for people who don't tell red from green too; and lines differ in their dashes.
RUN_COLOURS = ("#d55e00", "#0072b2", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7a6a53", "#44337a")
# In the order of the reasons, so that one has the same colour on every page.
REASON_COLOURS = (
    *("#a23b3b", "#e8b4a0", "#cc79a7", "#f0e442", "#c6c6c6", "#8c7b62", "#56b4e9", "#e69f00", "#0072b2"),
    *("#009e73", "#7a6a53", "#44337a", "#5d9c59"),
)
DARK = {
    _INK: "#e6e6e6",
    _GRID: "#3a3f45",
    PAPER: "#16191d",
    FAINT: "#a9b0b8",
    COLOURS["measured"]: "#fafafa",
    COLOURS["never"]: "#24292f",
    COLOURS["back"]: "#35503c",
    COLOURS["used"]: "#5b93bd",
    USED_BEHIND: "#39424b",
    "#44337a": "#b3a2e0",
}
"""The colours of a dark page, for those of a light one that differ there."""


def colour_steps(names: Sequence[str]) -> list[tuple[float, str]]:
    """A colour scale of so many steps, for values 0, 1, ...: each in the colour of COLOURS that it names."""
    return [((k + side) / len(names), COLOURS[name]) for k, name in enumerate(names) for side in (0, 1)]


def chart_text(words: str) -> str:
    """What comes from a recording or an option, as a chart's text: plotly takes some HTML in these."""
    return escape(words, quote=False)


def figures_data(figures: Mapping[str, go.Figure]) -> dict[str, Any]:
    """Figures as a page takes them: in types that JSON has, by name."""
    return {name: json.loads(figure.to_json()) for name, figure in figures.items()}


def chart_layout(x: str, y: str, height: int = 340, **more: Any) -> dict[str, Any]:
    """A chart's layout in plotly's terms: the axes' titles, the height in pixels, and what differs."""
    axis = {"gridcolor": _GRID, "linecolor": _INK, "zeroline": False, "ticks": "outside", "tickcolor": _INK}
    axis |= {"exponentformat": "none", "separatethousands": True}  # 18k MiB are 18,000
    layout: dict[str, Any] = {
        "template": "none",
        "height": height,
        "margin": {"l": 64, "r": 16, "t": 12, "b": 48},
        "font": {"family": _FONT, "size": 13, "color": _INK},
        "paper_bgcolor": PAPER,
        "plot_bgcolor": PAPER,
        "xaxis": {**axis, "title": {"text": x, "standoff": 8}, "automargin": True},
        "yaxis": {**axis, "title": {"text": y, "standoff": 8}, "rangemode": "tozero"},
        "legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom", "traceorder": "normal"},
        "hoverlabel": {"font": {"family": _FONT, "color": _INK}, "bgcolor": PAPER},
    }
    for key, value in more.items():
        layout[key] = {**layout.get(key, {}), **value} if isinstance(value, dict) else value
    return layout
