"""``pagehint import``: make a trace bundle of a recording."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from pagehint.trace import import_trace
from pagehint.trace.describe import describe_anomalies, describe_lost, describe_missing
from pagehint.units import parse_time

__all__ = ["import_"]


def import_(
    source: Annotated[Path, Parameter(allow_leading_hyphen=True)],
    *,
    output: Annotated[Path, Parameter(name=["--output", "-o"])],
    snapshot: Path | None = None,
    residency: Path | None = None,
    clock_offset: str | None = None,
) -> None:
    """Make a trace bundle of a recording of a guest's page allocator.

    Parameters
    ----------
    source
        A run folder (events.csv.gz and what lies beside it), the text that `trace-cmd report`, `perf script` or
        tracefs' trace file prints, gzipped or not, or what `pagehint record -o -` wrote (`-`: on standard input).
    output
        The bundle to make, NAME.pagetrace.
    snapshot
        For a text: a folder with the guest's zoneinfo, pagetypeinfo, buddyinfo, meminfo, version and kpageflags from
        /proc, copied at the start of the recording, and what else snapshot.sh leaves there.
    residency
        For a text: what the host measured, a CSV file with the columns host_ns (its wall clock), ram_resident_kib,
        rss_kib, memfd_kib, or some of them.
    clock_offset
        By how much the host's wall clock is ahead of the guest's trace clock, such as 1795821679.357s. Default: as a
        mark `CLOCK $(date +%s%N)` of the recording says.
    """
    offset = None if clock_offset is None else parse_time(clock_offset)
    with _progress(source.name) as report:
        trace = import_trace(source, output, snapshot, report, residency=residency, clock_offset=offset)
    meta = trace.meta
    for line in describe_lost(meta.lost) + describe_missing(meta.events) + describe_anomalies(meta.anomalies):
        print(f"pagehint: warning: {line}", file=sys.stderr)
    print(f"{output}: {trace.num_events:,} events; `pagehint info {output}` shows them")


@contextmanager
def _progress(name: str) -> Iterator[Callable[[float], None] | None]:
    console = Console(stderr=True)
    if not console.is_terminal:
        yield None
        return
    columns = (TextColumn("importing {task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(name, total=1.0)
        yield lambda done: bar.update(task, completed=done)
