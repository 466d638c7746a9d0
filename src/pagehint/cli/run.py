"""``pagehint run``: replay a recording, and tell what came back, what it cost, and what stayed behind."""

import os
from io import BytesIO
from pathlib import Path
from typing import Annotated, Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq
from cyclopts import Parameter
from rich.console import Console

from pagehint.cli.bar import bar
from pagehint.cli.options import (
    Counts,
    Delays,
    Designs,
    Flag,
    Json,
    Number,
    Orders,
    PageSize,
    Sets,
    Size,
    Time,
    costs_at,
    naming,
    print_json,
    read_files,
    recording,
    setting_texts,
    split_names,
)
from pagehint.errors import InputError
from pagehint.hinting.designs.registry import DESIGNS
from pagehint.host.model import ModelHost
from pagehint.kernel.profiles import check_kernel
from pagehint.replays.plan import kinds_of, plans_of
from pagehint.replays.real import RealKind
from pagehint.replays.run import PRICE, Run
from pagehint.replays.study import Ground, study_plans
from pagehint.replays.timeline import RUN
from pagehint.replays.truth import seen_page_size
from pagehint.report.compare import print_runs
from pagehint.report.output import output_if
from pagehint.report.terminal import print_run
from pagehint.report.words import labels
from pagehint.trace.shipped import EXAMPLES
from pagehint.trace.shipped import example as shipped

__all__ = ["run"]


def run(
    trace: str | Path | None = None,
    /,
    *,
    example: Annotated[str | None, Parameter(metavar="NAME")] = None,
    design: Designs = None,
    compare: Annotated[str | None, Parameter(metavar="DESIGN,...")] = None,
    order: Orders = None,
    delay: Delays = None,
    high_water_mark: Counts = None,
    capacity: Counts = None,
    set_: Sets = None,
    placement: Literal["simulated", "recorded"] = "simulated",
    host: RealKind | None = None,
    host_page_size: PageSize | None = None,
    host_memory: Annotated[Size | None, Parameter(allow_leading_hyphen=True)] = None,
    khugepaged: Flag = False,
    costs: Path | None = None,
    kernel: Annotated[str | None, Parameter(metavar="VERSION")] = None,
    price: Number = PRICE,
    sample: Annotated[Time, Parameter(allow_leading_hyphen=True)] = 50 * 10**6,
    free_backed: bool | None = None,
    touch: Annotated[list[Literal["alloc", "zone_alloc", "free"]] | None, Parameter(negative=())] = None,
    out: Path | None = None,
    html: Path | None = None,
    json_: Json = False,
) -> None:
    """Replay a recorded guest, and tell what came back, what it cost, and what stayed behind.

    For example:

        pagehint run --html report.html
        pagehint run guest.pagetrace --compare hinting,reporting,none
        pagehint run --order 9 --order 4 --delay 2s --delay 100ms --json
        pagehint run --design my.py:MyDesign --set batches=8

    Without --design and --compare, the guest's own free page reporting is replayed. --design, --order, --delay,
    --high-water-mark, --capacity and --set may be repeated: each combination is a run, all in one table and one page.

    Parameters
    ----------
    trace
        The recording, NAME.pagetrace or a URL of one. Without it: one that ships with the package.
    example
        Which of those: phased (Linux 6.1 frees in large steps; the default) or pandas (a pandas job on 6.12).
    design
        Linux' free page reporting (reporting), the 2019 page hinting with boundaries (hinting), give-back once it pays
        (breakeven), nothing given back (none), or one of your own (FILE.py:CLASS).
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
    set_
        Any setting of a design, as NAME=VALUE, such as idle=10s.
    placement
        Which block an allocation takes: the model's choice, or the one that the guest took (valid for the recorded
        settings only).
    host
        Do it on this machine's memory too, with real touches and real give-back, and show what the kernel measured
        beside the model (thinned where the guest does not fit).
    host_page_size
        By what the host backs the guest; default: as seen in the recording, else THP; with --host memfd 4KiB.
    host_memory
        What the host has for this guest, such as 512MiB; the rest is swapped. Default: as much as it needs.
    khugepaged
        The host's khugepaged runs: 16 MiB each 10 s, as Linux sets it up, it backs all of those 2 MiB of which any page
        is, so that memory comes back with no doing of the guest. Where the recording shows that it did is a warning.
    costs
        What the host's work costs, a file of `pagehint calibrate`.
    kernel
        Whose rules the guest's memory follows, such as 6.8; default: the recording's own kernel.
    price
        CPU seconds that a GiB*minute of host memory is worth, for the cost: 15 is that of a machine with 4 GiB a core
        whose memory is half of what it costs.
    sample
        The step of the timeline.
    free_backed
        What the recording may not tell: whether the host holds memory at the start that is free in the guest, since it
        was used before. It then stays resident until it is given back. Default: it does, unless the recording begins
        with the guest's boot: then only what lies below 16 MiB, where x86 loads the kernel; or soon after it, when the
        guest has hardly used its memory: then that, and all but the largest blocks.
    touch
        When the guest touches memory, so that the host has to back it: as it is allocated (alloc), as it leaves the
        zone's free lists (zone_alloc), as it is freed (free). May be repeated; default: alloc.
    out
        Write the timeline as Parquet, NAME.parquet, a row a sample (several runs: all, with a column run).
    html
        Write one page with the charts, which needs nothing else.
    json_
        Print everything but the timeline as JSON.
    """
    names = _names(design, compare)
    if trace is not None and example is not None:
        raise InputError(f"{trace} and --example {example}: choose one of them")
    opened = shipped(example or EXAMPLES[0]) if trace is None else recording(trace)
    given = {"order": order, "delay": delay, "high_water_mark": high_water_mark, "capacity": capacity}
    texts, options = setting_texts(given, set_)
    _check_outputs(out, html)
    plans = plans_of(opened, names, texts, options)
    charged = costs_at(costs)
    page_size = host_page_size or ("4KiB" if host == "memfd" else None)
    touched = frozenset(touch or ["alloc"])
    with naming("--host-memory"):
        ModelHost(page_size or "THP", charged, host_memory)
    backed_by = page_size or seen_page_size(opened)
    with naming("--khugepaged"):
        ModelHost(backed_by, khugepaged=khugepaged)
    if not sample:
        raise InputError("--sample 0s: expected a step above 0, such as 50ms")

    ground = Ground(
        page_size,
        charged,
        host_memory,
        placement,
        sample,
        free_backed,
        touched,
        check_kernel(kernel),
        price,
        khugepaged,
    )
    read = read_files([opened.path], costs, names)
    with output_if(out, read) as timeline, output_if(html, read) as page:
        # The recording is read twice a run, and once more without hinting.
        with bar("replaying", opened.path.name, 2 * opened.num_events * (len(plans) + 1)) as shown:
            done = study_plans([(opened, plans)], ground, keep=True, real=host, progress=shown.advance)
        runs, baseline = done.runs, done.baseline_runs[0]
        if timeline is not None:
            data = BytesIO()
            pq.write_table(_timelines(runs), data, compression="zstd")
            timeline.write(data.getvalue())
        if page is not None:
            from pagehint.report.html import page_of

            page.write(page_of(runs, baseline).encode())
    if json_:
        print_json(_json(runs, baseline))
        return
    console = Console(highlight=False)
    if len(runs) == 1:
        print_run(console, runs[0], baseline)
    else:
        print_runs(console, runs, baseline)


_NOT_PARQUET = frozenset((".csv", ".tsv", ".json", ".html", ".txt", ".xlsx"))


# One output is never written over the other.
def _check_outputs(out: Path | None, html: Path | None) -> None:
    targets = [Path(os.path.realpath(output)) for output in (out, html) if output is not None]
    if out is not None and out.suffix.lower() in _NOT_PARQUET:
        raise InputError(f"--out {out}: the timeline is written as Parquet: name it {out.with_suffix('.parquet').name}")
    if html is not None and html.suffix.lower() == ".parquet":
        raise InputError(f"--html {html}: a page is HTML: name it {html.with_suffix('.html').name}")
    if len(set(targets)) < len(targets):
        raise InputError(f"{targets[0]}: --out and --html name the same file: choose another for one of them")


def _names(design: list[str] | None, compare: str | None) -> list[str]:
    if design and compare is not None:
        raise InputError("--design and --compare: use one of them")
    option = "--design" if compare is None else "--compare"
    given = [compare] if compare is not None else design or [next(iter(DESIGNS))]
    names = split_names(given)
    with naming(option):
        kinds_of(names)
    return names


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
        tables.append(one.timeline.add_column(0, RUN, names))
    return pa.concat_tables(tables, promote_options="default").unify_dictionaries()
