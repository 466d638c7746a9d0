"""Making a trace bundle of a recording: finds out what it is, and reads it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from pagehint.errors import InputError
from pagehint.inputs import as_path, open_input, reading, standard_input, unpacked
from pagehint.trace.bundle import Trace
from pagehint.trace.recorder.frames import MAGIC
from pagehint.trace.recorder.stream import import_stream
from pagehint.trace.run_folder import has_events, import_run_folder, is_run_folder
from pagehint.trace.text import import_text
from pagehint.trace.writer import TraceWriter
from pagehint.units import check_kind

__all__ = ["import_trace"]

# As docs/tracers.md has tracers write them.
_NO_SOURCE = "is nothing to import: expected the path of a recording"
_RECORDINGS = ("trace.txt.gz", "trace.txt", "trace.dat", "perf.data")


def import_trace(
    source: str | Path,
    output: str | Path,
    snapshot: str | Path | None = None,
    progress: Callable[[float], None] | None = None,
    *,
    residency: str | Path | None = None,
    clock_offset: int | None = None,
) -> Trace:
    """Make the bundle `output` of a run folder, of the text of trace-cmd report, perf script or tracefs' trace, or of
    what ``pagehint record -o -`` wrote (``"-"``: on standard input).

    For a text: `snapshot` is a folder of copies of the guest's /proc files, `residency` a CSV file of the host's
    samples, `clock_offset` by how much the host's wall clock is ahead of the guest's trace clock (ns). `progress` is
    told the part done, 0 to 1. Raises InputError; nothing is left behind then.
    """
    check_kind("progress", progress, Callable | None, "a function, or None")
    source, report = as_path(source, _NO_SOURCE), progress or (lambda done: None)
    if _is_stream(source):
        if snapshot is not None:
            raise InputError(f"{source}: a recording has its own snapshots: leave out {snapshot}")
        where = "standard input" if str(source) == "-" else str(source)
        with TraceWriter(output) as writer, _opened(source) as file:
            writer.finish(import_stream(file, where, writer))
        return Trace.open(output)
    if not source.exists():
        raise InputError(f"{source}: no such file or folder to import")
    if source.is_dir():
        _check_folder(source)
        for given in (snapshot, residency, clock_offset):
            if given is not None:
                raise InputError(f"{source}: the folder of a run has its own snapshots and samples: leave out {given}")
    if clock_offset is not None and residency is None:
        raise InputError("a clock's offset goes with the host's samples: name them too")
    with TraceWriter(output) as writer:
        if source.is_dir():
            meta = import_run_folder(source, writer, report)
        else:
            folder, samples = (None if each is None else as_path(each, _NO_SOURCE) for each in (snapshot, residency))
            meta = import_text(source, writer, report, folder, samples, clock_offset)
        writer.finish(meta)
    return Trace.open(output)


def _check_folder(folder: Path) -> None:
    """Raise InputError unless it is that of a run."""
    if (folder / "meta.json").exists():
        raise InputError(f"{folder}: is a trace bundle already")
    if (recording := _recording_in(folder)) is not None:
        raise InputError(f"{folder}: is a folder: import the recording in it, {recording}")
    if not is_run_folder(folder):
        raise InputError(
            f"{folder}: not the folder of a run: expected events.csv.gz in it; a tracer's text is named itself"
        )


def _recording_in(folder: Path) -> Path | None:
    if has_events(folder):
        return None
    return next((folder / name for name in _RECORDINGS if (folder / name).is_file()), None)


@contextmanager
def _opened(source: Path) -> Iterator[BinaryIO]:
    if str(source) == "-":
        yield standard_input()
    else:
        with open_input(source) as file:
            yield unpacked(file, source)


def _is_stream(source: Path) -> bool:
    if str(source) == "-":
        return True
    if not source.is_file():
        return False
    # Not waited for where nothing comes, as in tracefs' trace_pipe.
    try:
        with open_input(source) as file, reading(source):
            return unpacked(file, source).read(len(MAGIC)) == MAGIC
    except InputError:  # who reads it says why
        return False
