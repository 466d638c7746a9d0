"""``pagehint run``: replay a recording, and tell what came back, what it cost, and what stayed behind."""

import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from io import BytesIO
from itertools import product
from pathlib import Path
from typing import Annotated, Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq
from cyclopts import Parameter
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from pagehint.errors import InputError
from pagehint.hinting.design import Design
from pagehint.hinting.designs.boundary import PageHinting
from pagehint.hinting.designs.reporting import PageReporting
from pagehint.host.costs import Costs
from pagehint.host.model import ModelHost
from pagehint.replays.real import RealKind
from pagehint.replays.replay import replay
from pagehint.replays.run import Run
from pagehint.replays.start import guest_reporting
from pagehint.replays.truth import seen_page_size
from pagehint.report.compare import print_runs
from pagehint.report.output import Output
from pagehint.report.terminal import print_run
from pagehint.report.words import labels
from pagehint.trace import Trace
from pagehint.trace.shipped import example
from pagehint.units import parse_time

__all__ = ["run"]

Name = Literal["none", "hinting", "reporting"]
_NAMES = ("none", "hinting", "reporting")
_CAPACITY = 32
_MAX_ORDER = 10


def run(
    trace: Path | None = None,
    /,
    *,
    design: Name | None = None,
    compare: str | None = None,
    order: Annotated[list[str] | None, Parameter(negative=())] = None,
    delay: Annotated[list[str] | None, Parameter(negative=(), allow_leading_hyphen=True)] = None,
    high_water_mark: Annotated[list[str] | None, Parameter(negative=())] = None,
    capacity: Annotated[list[str] | None, Parameter(negative=())] = None,
    placement: Literal["simulated", "recorded"] = "simulated",
    host: RealKind | None = None,
    host_page_size: Literal["4KiB", "2MiB", "THP"] | None = None,
    host_memory: Annotated[str | None, Parameter(allow_leading_hyphen=True)] = None,
    costs: Path | None = None,
    sample: Annotated[str, Parameter(allow_leading_hyphen=True)] = "50ms",
    free_backed: bool = True,
    touch: Annotated[list[Literal["alloc", "zone_alloc", "free"]] | None, Parameter(negative=())] = None,
    out: Path | None = None,
    html: Path | None = None,
    json_: Annotated[bool, Parameter(name="--json", negative=())] = False,
) -> None:
    """Replay a recorded guest, and tell what came back, what it cost, and what stayed behind.

    Without --design and --compare, the guest's own free page reporting is replayed. --order, --delay,
    --high-water-mark and --capacity may be repeated: each combination is a run, all in one table and one page.

    Parameters
    ----------
    trace
        The recording, NAME.pagetrace. Without it: a real 1 GiB guest's "phased" workload, which ships with the package.
    design
        Linux' free page reporting, the 2019 page hinting with boundaries, or nothing given back.
    compare
        Several designs side by side, such as hinting,reporting,none.
    order
        The least order of a block that is told; 9 is 2 MiB.
    delay
        From the first request to the work, such as 2s.
    high_water_mark
        hinting: how many untold free blocks of an order start the work.
    capacity
        How many blocks the device takes at a time.
    placement
        Which block an allocation takes: the model's choice, or the one that the guest took (valid for the recorded
        settings only).
    host
        Do it on this machine's memory too, with real touches and real give-back, and show what the kernel measured
        beside the model (thinned where the guest does not fit).
    host_page_size
        By what the host backs the guest; default: as seen in the recording, else 4KiB; with --host memfd 4KiB.
    host_memory
        What the host has for this guest, such as 512MiB; the rest is swapped. Default: as much as it needs.
    costs
        What the host's work costs, a file of `pagehint calibrate`.
    sample
        The step of the timeline.
    free_backed
        What the recording may not tell: whether the host holds memory at the start that is free in the guest, since it
        was used before. It then stays resident until it is given back.
    touch
        When the guest touches memory, so that the host has to back it: as it is allocated (alloc), as it leaves the
        zone's free lists (zone_alloc), as it is freed (free). May be repeated; default: alloc.
    out
        Write the timeline as Parquet, a row a sample (several runs: all, with a column run).
    html
        Write one page with the charts, which needs nothing else.
    json_
        Print everything but the timeline as JSON.
    """
    names = _names(design, compare)
    opened = example() if trace is None else Trace.open(trace)
    settings: dict[str, list[Any] | None] = {
        "order": _numbers("--order", order, 0, _MAX_ORDER),
        "delay": _each("--delay", delay, parse_time),
        "high_water_mark": _numbers("--high-water-mark", high_water_mark, 0, 1 << 32),
        "capacity": _numbers("--capacity", capacity, 1, 1 << 20),
    }
    _check_outputs(opened, out, html)
    plans = _plans(names, settings, opened)
    charged = Costs() if costs is None else Costs.read(costs)
    page_size = host_page_size or ("4KiB" if host == "memfd" else seen_page_size(opened))
    touched = frozenset(touch or ["alloc"])
    with _naming("--host-memory"):
        ModelHost(page_size, charged, host_memory)
    with _naming("--sample"):
        if not parse_time(sample):
            raise InputError(f"{sample} is no step: expected one above 0, such as 50ms")

    def one(
        plan: "_Plan",
        report: Callable[[int], None] | None,
        where: Literal["simulated", "recorded"],
        real: RealKind | None = None,
    ) -> Run:
        model = ModelHost(page_size, charged, host_memory, plan[1])
        return replay(opened, plan[0], model, where, sample, free_backed, touched, report, real)

    with ExitStack() as stack:
        timeline = None if out is None else stack.enter_context(Output(out))
        page = None if html is None else stack.enter_context(Output(html))
        extra = not any(plan[0] is None and placement == "simulated" for plan in plans)
        with _progress(opened.path.name, 2 * opened.num_events * (len(plans) + extra)) as report:
            runs = [one(plan, report, placement, host) for plan in plans]
            bases = [run for run in runs if run.settings["design"] == "none" and placement == "simulated"]
            # Without hinting the guest would have used other pages: what it took can't be the baseline.
            baseline = bases[0] if bases else one((None, _CAPACITY), report, "simulated")
        if timeline is not None:
            data = BytesIO()
            pq.write_table(_timelines(runs), data, compression="zstd")
            timeline.write(data.getvalue())
        if page is not None:
            from pagehint.report.html import page_of

            page.write(page_of(runs, baseline).encode())
    if json_:
        print(json.dumps(_json(runs, baseline), indent=1, allow_nan=False))
        return
    console = Console(highlight=False)
    if len(runs) == 1:
        print_run(console, runs[0], baseline)
    else:
        print_runs(console, runs, baseline)


_Plan = tuple[Design | None, int]


def _numbers(option: str, texts: list[str] | None, least: int, most: int) -> list[Any] | None:
    for text in texts or []:
        if not re.fullmatch(r"-?[0-9]{1,40}", text) or not least <= int(text) <= most:
            raise InputError(f"{option} {text[:40]}: expected a whole number, {least} to {most}")
    return _each(option, texts, int)


# Each value once: what is given twice is one setting.
def _each(option: str, texts: list[str] | None, parse: Callable[[str], int]) -> list[Any] | None:
    with _naming(option):
        return None if texts is None else list(dict.fromkeys(map(parse, texts)))


@contextmanager
def _naming(option: str) -> Iterator[None]:
    try:
        yield
    except InputError as error:
        raise InputError(f"{option}: {error}") from None


# A recording is never written over, nor one output over the other.
def _check_outputs(trace: Trace, *outputs: Path | None) -> None:
    targets = [Path(os.path.realpath(output)) for output in outputs if output is not None]
    for target in targets:
        if target.is_relative_to(trace.path.resolve()):
            raise InputError(f"{target}: lies in the recording {trace.path}: choose another output")
    if len(set(targets)) < len(targets):
        raise InputError(f"{targets[0]}: --out and --html name the same file: choose another for one of them")


def _names(design: Name | None, compare: str | None) -> list[str]:
    if compare is None:
        return [design or "reporting"]
    if design is not None:
        raise InputError("--design and --compare: use one of them")
    names = [name.strip() for name in compare.split(",")]
    for name in names:
        if name not in _NAMES:
            raise InputError(f"--compare: {name!r} is no design: expected some of {', '.join(_NAMES)}")
    if len(set(names)) < len(names):
        raise InputError("--compare: names a design twice")
    return names


def _plans(names: list[str], settings: dict[str, list[Any] | None], trace: Trace) -> list[_Plan]:
    useful = {"none": [], "hinting": list(settings), "reporting": ["order", "delay", "capacity"]}
    for name, values in settings.items():
        if values and not any(name in useful[design] for design in names):
            raise InputError(f"--{name.replace('_', '-')} is no setting of {' or '.join(names)}")
    recorded = trace.meta.reporting
    usual = _CAPACITY if recorded is None or recorded.capacity is None else recorded.capacity
    plans: list[_Plan] = []
    for name in names:
        if name == "none":
            plans.append((None, usual))
            continue
        default: Design = PageHinting() if name == "hinting" else guest_reporting(trace)
        marks = settings["high_water_mark"] if name == "hinting" else None
        for order, delay, mark, capacity in product(
            settings["order"] or [default.order],
            settings["delay"] or [default.delay],
            marks or [default.high_water_mark],
            settings["capacity"] or [usual],
        ):
            design = PageHinting(order, mark, delay) if name == "hinting" else PageReporting(order, delay)
            plans.append((design, capacity))
    return plans


def _json(runs: list[Run], baseline: Run) -> dict[str, Any]:
    whole = baseline.to_dict()
    against = {name: whole[name] for name in ("settings", "totals", "attribution")}
    if len(runs) == 1:
        return {**runs[0].to_dict(), "baseline": against}
    return {
        "runs": [{"label": label, **run.to_dict()} for label, run in zip(labels(runs), runs, strict=True)],
        "baseline": against,
    }


def _timelines(runs: list[Run]) -> pa.Table:
    if len(runs) == 1:
        return runs[0].timeline
    tables = []
    for label, one in zip(labels(runs), runs, strict=True):
        names = pa.array([label] * one.timeline.num_rows).dictionary_encode()
        tables.append(one.timeline.add_column(0, "run", names))
    return pa.concat_tables(tables).unify_dictionaries()


@contextmanager
def _progress(name: str, events: int) -> Iterator[Callable[[int], None] | None]:
    console = Console(stderr=True)
    if not console.is_terminal:
        yield None
        return
    columns = (TextColumn("replaying {task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(name, total=events)
        yield lambda done: bar.advance(task, done)
