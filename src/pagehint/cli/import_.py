"""``pagehint import``: make a trace bundle of a recording."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from pagehint.cli.bar import bar
from pagehint.cli.options import OUTPUT, Time
from pagehint.cli.said import say, warn
from pagehint.errors import InputError
from pagehint.inputs import as_argument
from pagehint.partial import temporary_folder
from pagehint.replays.start import check_replayable
from pagehint.trace import Trace, import_trace
from pagehint.trace.describe import describe_anomalies, describe_lost, describe_missing
from pagehint.units import format_count

__all__ = ["import_"]


def import_(
    source: Annotated[Path, Parameter(allow_leading_hyphen=True)],
    /,
    *,
    output: Annotated[Path, OUTPUT],
    snapshot: Path | None = None,
    residency: Path | None = None,
    host: Path | None = None,
    clock_offset: Time | None = None,
) -> None:
    """Make a trace bundle of a recording of a guest's page allocator.

    For example:

        pagehint import trace.txt -o guest.pagetrace
        pagehint import guest.pagetrace --host host.parquet -o both.pagetrace

    Parameters
    ----------
    source
        A run folder (events.csv.gz and what lies beside it), the text that `trace-cmd report`, `perf script` or
        tracefs' trace file prints, or what `pagehint record -o -` wrote; gzipped or not. `-`: the latter on standard
        input, as it is. With --host a bundle too.
    output
        The bundle to make, NAME.pagetrace.
    snapshot
        For a text: a folder with the guest's zoneinfo, pagetypeinfo, buddyinfo, meminfo, vmstat, version and kpageflags
        from /proc, copied at the start of the recording, and what else snapshot.sh leaves there.
    residency
        For a text: what the host measured, a CSV file with the columns host_ns (its wall clock), ram_resident_kib,
        rss_kib, memfd_kib, or some of them.
    host
        What `pagehint watch` wrote beside the recording: the bundle has it, so that replays show predicted beside
        measured.
    clock_offset
        By how much the host's wall clock is ahead of the guest's trace clock, such as 1795821679.357s. Default: with
        --residency as a mark `CLOCK $(date +%s%N)` of the recording says; with --host it is fitted.
    """
    if host is not None:
        if residency is not None:
            raise InputError("--residency and --host: choose one of them")
        trace = _with_host(source, output, snapshot, host, clock_offset)
    else:
        with bar("importing", source.name, 1.0) as shown:
            trace = import_trace(source, output, snapshot, shown.reach, residency=residency, clock_offset=clock_offset)
    beside = source.parent / "start"
    if snapshot is None and source.is_file() and (beside / "zoneinfo").is_file():
        warn(f"{beside} looks like its snapshot, and is not named: `--snapshot {as_argument(beside)}` takes it")
    meta = trace.meta
    for line in describe_lost(meta.lost) + describe_missing(meta) + describe_anomalies(meta.anomalies):
        warn(line)
    try:
        check_replayable(trace)
    except InputError as error:
        warn(f"it is kept, and can't be replayed: {error}")
    print(f"{output}: {format_count(trace.num_events, 'event')}; `pagehint info {as_argument(output)}` shows them")


def _with_host(source: Path, output: Path, snapshot: Path | None, host: Path, offset: int | None) -> Trace:
    from pagehint.replays.host_clock import with_host

    if (source / "meta.json").exists():
        if snapshot is not None:
            raise InputError(f"{source}: a bundle has its own snapshots: leave out {snapshot}")
        return with_host(Trace.open(source), host, output, offset, say)
    with temporary_folder() as folder, bar("importing", source.name, 1.0) as shown:
        trace = import_trace(source, folder / "guest.pagetrace", snapshot, shown.reach)
        return with_host(trace, host, output, offset, say)
