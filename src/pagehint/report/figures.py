"""The charts of the page, as plotly figures."""

from itertools import cycle
from typing import Any

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from pagehint.replays.run import Run, is_as_recorded
from pagehint.report.cells import cell_states
from pagehint.report.chart_style import (
    COLOURS,
    FAINT,
    PAPER,
    REASON_COLOURS,
    RUN_COLOURS,
    USED_BEHIND,
    chart_layout,
    chart_text,
    colour_steps,
)
from pagehint.report.words import WITHOUT_HINTING, describe_recorded
from pagehint.units import MIB

__all__ = [
    "STATES",
    "attribution_figure",
    "batch_sizes_figure",
    "batches_figure",
    "compared_figure",
    "given_back_figure",
    "map_figure",
    "residency_figure",
    "waits_figure",
]

_PAGES_A_MIB = 256
_MOST_POINTS = 2000
_MOST_LABELS = 0.014  # of the time: marks that are closer share a label
_MOST_PHASES = 60  # beyond that, only those that give back are marked
_BINS = 120
_FEW = 16
_DECADE = 0.5  # on both sides of a single wait, in powers of ten
_TICKS = [factor * 10.0**k for k in range(-3, 4) for factor in (1, 2, 5)]
_DASHES = ("solid", "dash", "dot", "dashdot")


def _over_time(run: Run, y: str, height: int, **more: Any) -> dict[str, Any]:
    return chart_layout("seconds", y, height, hovermode="x unified", xaxis={"range": [0, _last(run) or 1.0]}, **more)


# Every chart's time is in seconds from the timeline's first row, and a long one is drawn by every n-th row.
def _seconds(run: Run, times: Any) -> NDArray[np.float64]:
    rows = run.timeline.column("time")
    begin = rows[0].as_py() if len(rows) else 0
    return np.round((np.asarray(times, np.int64) - begin) / 1e9, 4)


def _last(run: Run) -> float:
    return float(_seconds(run, run.timeline.column("time")[-1:].to_numpy())[0])


def _rows(run: Run, *names: str) -> list[NDArray[np.float64]]:
    step = max(1, -(-run.timeline.num_rows // _MOST_POINTS))
    columns = [run.timeline.column(name).to_numpy()[::step] for name in names]
    return [_seconds(run, columns[0]), *(np.round(column / MIB, 2).astype(np.float32) for column in columns[1:])]


def _area(x: Any, y: Any, name: str, colour: str) -> dict[str, Any]:
    return {**_curve(x, y, name, {"width": 0, "color": colour}), "fillcolor": colour, "stackgroup": "one"}


def _phases(run: Run) -> dict[str, Any]:
    shapes, annotations = [], []
    times = _seconds(run, [phase["time"] for phase in run.phases])
    last = _last(run)
    crowded = len(times) > _MOST_PHASES
    for index, (time, phase) in enumerate(zip(times, run.phases, strict=True)):
        if not 0 <= time <= last or (crowded and phase["given_back_90"] is None):
            continue
        # No room for its name: a line alone says nothing.
        if index + 1 < len(times) and times[index + 1] - time < _MOST_LABELS * last and times[index + 1] <= last:
            continue
        shapes.append(
            {
                "type": "line",
                "x0": time,
                "x1": time,
                "y0": 0,
                "y1": 1,
                "yref": "paper",
                "line": {"color": FAINT, "width": 1, "dash": "dot"},
            }
        )
        annotations.append(
            {
                "x": time,
                "y": 1,
                "yref": "paper",
                "text": chart_text(phase["name"]),
                "textangle": -90,
                "yanchor": "bottom",
                "xanchor": "center",
                "showarrow": False,
                "font": {"size": 11, "color": FAINT},
            }
        )
    room = 7 * max((len(note["text"]) for note in annotations), default=0)
    return {
        "shapes": shapes,
        "annotations": annotations,
        "margin": {"l": 64, "r": 16, "t": 14 + room, "b": 48},
        "legend": {"y": -0.25, "yanchor": "top"},
    }


def _measured(run: Run, as_recorded: bool) -> list[dict[str, Any]]:
    if run.measured is None:
        return []
    times = run.measured.column("time").to_numpy()
    rows = run.timeline.column("time")
    inside = (times >= rows[0].as_py()) & (times <= rows[-1].as_py())
    step = max(1, -(-int(inside.sum()) // _MOST_POINTS))
    resident = run.measured.column("resident").to_numpy()[inside][::step] / MIB
    name = "measured" if as_recorded else f"measured, {describe_recorded(run) or 'settings not recorded'}"
    return [
        {
            "type": "scatter",
            "x": _seconds(run, times[inside][::step]),
            "y": np.round(resident, 2).astype(np.float32),
            "name": name,
            "mode": "markers",
            "marker": {"size": 5, "color": "rgba(0,0,0,0)", "line": {"color": COLOURS["measured"], "width": 1}},
            "hovertemplate": "%{y:,.0f} MiB",
        }
    ]


def residency_figure(run: Run, baseline: Run) -> go.Figure:
    """Resident memory over time: in use, free, and what would be resident without hinting; measured beside it."""
    x, used, resident, free = _rows(run, "time", "used", "resident", "free_resident")
    traces = [
        _area(x, used, "in use", COLOURS["used"]),
        _area(x, free, "free, but resident", COLOURS["free"]),
    ]
    if run is not baseline:
        base_x, base = _rows(baseline, "time", "resident")
        without = base[np.clip(np.searchsorted(base_x, x, side="right") - 1, 0, None)]
        back = np.maximum(without - resident, 0)
        traces.append(_area(x, back, "given back: resident without hinting", COLOURS["back"]))
    layout = _over_time(run, "guest memory, MiB", 470, **_phases(run))
    return go.Figure(data=traces + _measured(run, is_as_recorded(run)), layout=layout)


def compared_figure(runs: list[Run], names: list[str], baseline: Run | None) -> go.Figure:
    """Resident memory of several runs over time."""
    x, used = _rows(runs[0], "time", "used")
    traces: list[dict[str, Any]] = [
        {**_area(x, used, "in use", USED_BEHIND), "stackgroup": None, "fill": "tozeroy"},
    ]
    shown = list(zip(names, runs, strict=True))
    if baseline is not None and not any(run is baseline for run in runs):
        shown.append((WITHOUT_HINTING, baseline))
    for index, (name, run) in enumerate(shown):
        x, resident = _rows(run, "time", "resident")
        traces.append(_curve(x, resident, name, _line(index, run is baseline)))
    layout = _over_time(runs[0], "resident, MiB", 470, **_phases(runs[0]))
    return go.Figure(data=traces + _measured(runs[0], any(map(is_as_recorded, runs))), layout=layout)


def _curve(x: Any, y: Any, name: str, line: dict[str, Any], hover: str = "%{y:,.0f} MiB") -> dict[str, Any]:
    return {
        "type": "scatter",
        "x": x,
        "y": y,
        "name": chart_text(name),
        "mode": "lines",
        "line": {"width": 2, "shape": "hv", **line},
        "hovertemplate": hover,
    }


def _line(index: int, is_baseline: bool = False) -> dict[str, Any]:
    if is_baseline:
        return {"color": FAINT, "dash": "longdash"}
    # Where the colours begin anew, a run has the dash after that which its colour had.
    around, place = divmod(index, len(RUN_COLOURS))
    return {"color": RUN_COLOURS[place], "dash": _DASHES[(place + around) % len(_DASHES)]}


def attribution_figure(run: Run, most: float | None = None) -> go.Figure:
    """Free and resident memory over time, by why it stayed behind; `most`: the top of the axis in MiB."""
    shown = [name for name in run.reasons if run.attribution[name] > 0]
    names = sorted(shown, key=lambda name: -run.attribution[name])
    x, *values = _rows(run, "time", *names)
    colours = dict(zip(run.reasons, cycle(REASON_COLOURS), strict=False))
    traces = [_area(x, y, run.reasons[name], colours[name]) for name, y in zip(names, values, strict=True)]
    layout = _over_time(run, "free, but resident, MiB", 360)
    if most is not None:
        layout["yaxis"]["range"] = [0, most]
    return go.Figure(data=traces, layout=layout)


def _binned(run: Run) -> tuple[NDArray[np.float64], float, list[NDArray[np.float64]]]:
    edges = np.linspace(0, _last(run) or 1.0, _BINS + 1)
    when = np.clip(_seconds(run, run.batches.column("time").to_numpy()), 0, edges[-1])
    back = run.batches.column("given_back").to_numpy() / MIB
    told = run.batches.column("pages").to_numpy() / _PAGES_A_MIB
    sums = [np.histogram(when, edges, weights=weights)[0] for weights in (back, told - back)]
    return (edges[:-1] + edges[1:]) / 2, float(edges[1] - edges[0]), sums


def batches_figure(run: Run) -> go.Figure:
    """What was told to the host over time: given back, or with nothing behind it."""
    x, width, (back, empty) = _binned(run)
    kept = (back > 0) | (empty > 0)
    traces = [
        {
            "type": "bar",
            "x": np.round(x[kept], 3),
            "y": np.round(y[kept], 2),
            "width": width,
            "name": name,
            "marker": {"color": colour, "line": {"width": 0.5, "color": PAPER}},
            "hovertemplate": "%{y:,.1f} MiB",
        }
        for y, name, colour in ((back, "given back", "#009e73"), (empty, "nothing behind it", "#b0b0b0"))
    ]
    return go.Figure(data=traces, layout=_over_time(run, "told, MiB", 320, barmode="stack"))


def batch_sizes_figure(runs: list[Run], names: list[str]) -> go.Figure:
    """How many batches had how many blocks."""
    traces: list[dict[str, Any]] = []
    for index, (name, run) in enumerate(zip(names, runs, strict=True)):
        sizes, counts = np.unique(run.batches.column("blocks").to_numpy(), return_counts=True)
        if len(sizes):
            traces.append(
                {
                    "type": "bar",
                    "x": sizes,
                    "y": counts,
                    "name": chart_text(name),
                    "marker": {"color": COLOURS["used"] if len(runs) == 1 else RUN_COLOURS[index % len(RUN_COLOURS)]},
                    "hovertemplate": "%{y:,} batches of %{x} blocks",
                }
            )
    found = np.concatenate([trace["x"] for trace in traces]) if traces else np.ones(1)
    least, most = int(found.min()), int(found.max())
    for trace in traces:  # a bar is seen, however far the sizes are apart
        trace["width"] = max(0.8, (most - least) / _BINS) / len(traces)
    axis: dict[str, Any] = {"range": [least - 1.5, most + 1.5] if most - least < _BINS else None, "tickformat": ",d"}
    if most - least < _FEW:
        axis["dtick"] = 1
    layout = chart_layout("blocks in a batch", "batches", 320, showlegend=len(runs) > 1, xaxis=axis)
    return go.Figure(data=traces, layout=layout)


def given_back_figure(runs: list[Run], names: list[str]) -> go.Figure:
    """What was given back until then, of several runs."""
    traces = []
    for index, (name, run) in enumerate(zip(names, runs, strict=True)):
        if run.batches.num_rows:
            x, _, (back, _) = _binned(run)
            traces.append(_curve(np.round(x, 3), np.round(np.cumsum(back), 2), name, _line(index)))
    return go.Figure(data=traces, layout=_over_time(runs[0], "given back so far, MiB", 320))


def waits_figure(runs: list[Run], names: list[str]) -> go.Figure:
    """The share of what was given back that had waited no longer since its free."""
    traces = []
    ends = []
    for index, (name, run) in enumerate(zip(names, runs, strict=True)):
        waited = np.flatnonzero(run.waits[:-1])
        if not len(waited):
            continue
        shares = 100 * np.cumsum(run.waits[waited]) / run.waits.sum()
        x = np.maximum(waited, 1) / 1e3
        ends += [float(x[0]), float(x[-1])]
        y = np.round(np.append(0, shares), 3)
        traces.append(_curve(np.append(x[0], x), y, name, _line(index), "%{y:.1f} % within %{x:.4~g} s"))
    layout = chart_layout(
        "seconds from free to given back",
        "% of what was given back",
        320,
        xaxis={
            "type": "log",
            "range": _decades(ends),
            "tickvals": _TICKS,
            "ticktext": [f"{tick:g}" for tick in _TICKS],
        },
        yaxis={"range": [0, 102]},
        showlegend=len(runs) > 1,
    )
    return go.Figure(data=traces, layout=layout)


# The range of a logarithmic axis for these values: at least a decade, or there would be no mark on it.
def _decades(values: list[float]) -> list[float]:
    low, high = (float(np.log10(f(values))) for f in (min, max))
    room = max(0.05, _DECADE - (high - low) / 2)
    return [low - room, high + room]


STATES = {
    "used": "in use",
    "mixed": "in use, with free memory between that is resident",
    "free": "free, but resident",
    "back": "given back",
    "never": "not resident yet",
    "none": "no memory",
}
"""What most of a cell of the map is: names of COLOURS, and what they mean."""


def map_figure(run: Run) -> go.Figure:
    """The guest's memory over time: what each area of it is."""
    times, counts = run.memory_map["time"], run.memory_map["counts"].astype(np.int64)
    rows = counts.shape[1]
    edges = np.arange(rows + 1) * run.memory_map["pages"] // rows
    memory = run.memory_map["memory"]
    sizes = np.maximum(memory, 1)
    resident, used = counts[:, :, 0], np.minimum(counts[:, :, 1], counts[:, :, 0])
    free = resident - used
    back = np.maximum.accumulate(resident, axis=0) - resident
    names = list(STATES)
    never = np.maximum(memory - resident - back, 0)
    states = cell_states(used, free, back, never, np.diff(edges))
    state = np.select([states == name for name in names], range(len(names))).astype(np.uint8)
    parts = [np.round(np.minimum(100 * part / sizes, 100)).astype(np.uint8) for part in (used, free, back)]
    shares = np.stack(parts, axis=-1)
    heat = {
        "type": "heatmap",
        "x": _seconds(run, times),
        "y": edges[:-1],
        "z": state.T,
        "customdata": shares.transpose(1, 0, 2),
        "zmin": -0.5,
        "zmax": len(STATES) - 0.5,
        "colorscale": colour_steps(names),
        "showscale": False,
        "hovertemplate": (
            "%{x:.1f} s, from page frame %{y:,}<br>in use %{customdata[0]} %<br>free, but resident %{customdata[1]} %"
            "<br>given back %{customdata[2]} %<extra></extra>"
        ),
    }
    layout = chart_layout(
        "seconds", "page frame number", 400, yaxis={"tickformat": ",", "rangemode": "normal", "automargin": True}
    )
    return go.Figure(data=[heat], layout=layout)
