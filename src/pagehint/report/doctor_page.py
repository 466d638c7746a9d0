"""One self-contained page of a diagnosis."""

from html import escape
from typing import Any

from pagehint.diagnosis.bounds import Bounds
from pagehint.diagnosis.findings import Diagnosis
from pagehint.diagnosis.free_memory import ACTIONS, CAUSES
from pagehint.report.chart_style import COLOURS, chart_layout, colour_steps
from pagehint.report.doctor_words import (
    MAP_STATES,
    TITLES,
    advice_brings,
    brings_rows,
    cause_rows,
    failure_lines,
    headline,
    held_lines,
    holders,
    kernel_line,
    map_shares,
    map_states,
    next_file_line,
    order_columns,
    pressure_line,
    range_of,
    reporting_line,
    subject,
)
from pagehint.report.page import chart, charts, colour_key, filled_page, html_table, section
from pagehint.units import MIB

__all__ = ["doctor_page"]

_CELLS = 1200
_COLUMNS = 60
_ACTION_COLOURS = {"reporting": "#e69f00", "drop_caches": "#0072b2", "compact_memory": "#cc79a7", "both": "#009e73"}


def doctor_page(found: Diagnosis) -> str:
    """The page, which needs nothing else."""
    figures: dict[str, dict[str, Any]] = {}
    sections = [_failures(found), _causes(found, figures), _map(found, figures), _brings(found, figures)]
    sections += [_used(found, figures), _held(found), _advice(found), _cannot(found)]
    notes = [
        f"{line[0].upper()}{line[1:]}" for line in (kernel_line(found), pressure_line(found)) if line
    ] + found.evidence.missing
    if (more := next_file_line(found)) is not None:
        notes.append(more)
    return filled_page(
        f"pagehint doctor: {subject(found)}",
        f"{reporting_line(found)}.",
        f"{headline(found)}.",
        [f"{line}." for line in found.warnings],
        [f"{line}." for line in notes],
        [part for part in sections if part],
        figures,
    )


def _figure(figures: dict[str, dict[str, Any]], name: str, data: list[dict[str, Any]], height: int, **more: Any) -> str:
    layout = chart_layout("", "", height, **more)
    figures[name] = {"data": data, "layout": layout}
    return charts([chart(name, height, TITLES[name])])


# Bounds are drawn as a bar to what is sure, and a line to what may be.
def _bar(
    names: list[str], sizes: list[Bounds], colour: str | list[str], lying: bool, label: str = ""
) -> dict[str, Any]:
    known = [max(size.least, 0.0) if size.value is None else size.value for size in sizes]
    sure = [round(bar / MIB, 3) for bar in known]
    ends = [size.likely or (size.least, size.most) for size in sizes]
    spans = [
        ((bar if most is None else most) - bar, bar - least) for (least, most), bar in zip(ends, known, strict=True)
    ]
    more, less = ([round(span[side] / MIB, 3) for span in spans] for side in (0, 1))
    lines = {"thickness": 1.5, "color": COLOURS["measured"], "visible": any(map(any, spans))}
    value, name = ("x", "y") if lying else ("y", "x")
    return {
        "type": "bar",
        "orientation": "h" if lying else "v",
        name: names,
        value: sure,
        f"error_{value}": {"type": "data", "symmetric": False, "array": more, "arrayminus": less, **lines},
        "marker": {"color": colour},
        "name": label,
        "text": [range_of(size) for size in sizes],
        "textposition": "none",
        "hovertemplate": "%{text}<extra>%{" + name + "}</extra>",
    }


def _lying(figures: dict[str, dict[str, Any]], name: str, rows: list[tuple[str, Bounds]], colour: str) -> str:
    rows = rows[::-1]
    colours = [COLOURS["back"] if words == CAUSES["given_back"] else colour for words, _ in rows]
    data = [_bar([words for words, _ in rows], [size for _, size in rows], colours, lying=True)]
    axes = {"xaxis": {"title": {"text": "MiB"}}, "yaxis": {"automargin": True}}
    drawn = _figure(figures, name, data, 70 + 28 * len(rows), **axes)
    return drawn + html_table(["", "MiB"], [[words, range_of(size, unit="")] for words, size in rows[::-1]])


def _causes(found: Diagnosis, figures: dict[str, dict[str, Any]]) -> str:
    rows = [(words, size) for words, _, size in cause_rows(found)]
    if not rows or found.free is None:
        return ""
    return section(TITLES["causes"], _lying(figures, "causes", rows, COLOURS["free"]))


def _used(found: Diagnosis, figures: dict[str, dict[str, Any]]) -> str:
    rows = [(words, size) for words, _, size in holders(found)]
    return section(TITLES["used"], _lying(figures, "used", rows, COLOURS["used"])) if rows else ""


def _map(found: Diagnosis, figures: dict[str, dict[str, Any]]) -> str:
    if found.page_map is None:
        return ""
    shares = map_shares(found.page_map, _CELLS)
    names = list(MAP_STATES)
    states = [names.index(state) for state in map_states(shares)]
    rows = [states[start : start + _COLUMNS] for start in range(0, len(states), _COLUMNS)]
    texts = [
        f"in use {100 * used:.0f} %, free and resident {100 * resident:.0f} %, given back {100 * told:.0f} %"
        for used, resident, told, _ in shares
    ]
    heat = {
        "type": "heatmap",
        "z": rows,
        "text": [texts[start : start + _COLUMNS] for start in range(0, len(texts), _COLUMNS)],
        "hovertemplate": "%{text}<extra></extra>",
        "zmin": -0.5,
        "zmax": len(names) - 0.5,
        "showscale": False,
        "xgap": 1,
        "ygap": 1,
        "colorscale": colour_steps(names),
    }
    plain = {"visible": False}
    drawn = _figure(figures, "map", [heat], 60 + 14 * len(rows), xaxis=plain, yaxis={**plain, "autorange": "reversed"})
    area = len(found.page_map.holders) * found.setting.page_size / len(shares) / MIB
    note = f"Left to right, then down; each cell is {area:,.1f} MiB, coloured by what most of it is."
    return section(TITLES["map"], drawn + colour_key(MAP_STATES), note)


def _brings(found: Diagnosis, figures: dict[str, dict[str, Any]]) -> str:
    if found.free is None:
        return ""
    orders = order_columns(found)
    names = [f"order {order}" for order in orders]
    data = [
        _bar(
            list(map(str, orders)),
            [found.would_bring[action][order] for order in orders],
            _ACTION_COLOURS[action],
            False,
            words,
        )
        for action, words in ACTIONS.items()
        if action in found.would_bring
    ]
    axes = {"yaxis": {"title": {"text": "MiB"}}, "xaxis": {"title": {"text": "order"}, "type": "category"}}
    drawn = _figure(figures, "brings", data, 340, barmode="group", **axes)
    note = "The bars are what is sure, or the best guess; the lines, and the figures in brackets, what it may be."
    return section(TITLES["brings"], drawn + html_table(["", *names], brings_rows(found)), note)


def _failures(found: Diagnosis) -> str:
    parts = []
    for failure in found.failures:
        title, *lines = failure_lines(failure)
        parts.append(f"<h3>{escape(title)}</h3>{_list(lines)}")
    return section("Failed allocations", "".join(parts)) if parts else ""


def _held(found: Diagnosis) -> str:
    lines = held_lines(found)
    return section(TITLES["held"], _list(lines)) if lines else ""


def _advice(found: Diagnosis) -> str:
    rows = [[each.what, advice_brings(found, each), each.cost, each.command, each.risk] for each in found.advice]
    if not rows:
        return ""
    return section(TITLES["advice"], html_table(["", "brings", "cost", "command", "risk"], rows, "words"))


def _cannot(found: Diagnosis) -> str:
    return section(TITLES["cannot"], _list(found.cannot)) if found.cannot else ""


def _list(lines: list[str]) -> str:
    return "<ul>" + "".join(f"<li>{escape(line)}</li>" for line in lines) + "</ul>"
