"""Importing the text that ``trace-cmd report``, ``perf script`` or tracefs' trace file prints."""

import gzip
import io
import zlib
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pagehint.errors import InputError
from pagehint.trace.events import EVENT_SCHEMA, NO_PFN, NONE, Event
from pagehint.trace.kmem_text import LineParser, LostLine, MarkLine, Row
from pagehint.trace.meta import Lost, Meta
from pagehint.trace.snapshot import TEXTS
from pagehint.trace.writer import TraceWriter

__all__ = ["import_text"]

_BATCH_ROWS = 1 << 16
# CPUs' buffers are merged by time, but not perfectly: so many events are held back, to be sorted with the next.
_HELD_ROWS = 1 << 13
_HEADER_LINES = 200

_BINARY = {
    b"\x17\x08Dtracing": "trace-cmd's own recording: print it with `trace-cmd report -i {0} > trace.txt`",
    b"PERFILE2": "perf's own recording: print it with `perf script --ns --show-lost-events -i {0} > trace.txt`",
}


def import_text(source: Path, snapshot: Path | None, writer: TraceWriter, progress: Callable[[float], None]) -> Meta:
    """Write the page events and marks of a text, gzipped or not; returns what to finish the bundle with.

    `snapshot` is a folder of the guest's zoneinfo, pagetypeinfo, buddyinfo, meminfo, version and kpageflags, taken at
    the start of the recording; any may be missing. Raises InputError.
    """
    zones, pageblock_order, kernel = [], None, None
    if snapshot is not None:
        files = _snapshot_files(snapshot)
        copy = writer.add_snapshot(files)
        zones = copy.zones()
        pageblock_order = copy.pagetypeinfo().pageblock_order
        kernel = _kernel(snapshot)
    parser = LineParser(str(source))
    rows = _Rows(str(source), writer)
    by_cpu: dict[str, int] = {}
    overwritten = uncounted = 0
    anomalies: dict[str, int] = {}
    number = 0
    for number, line in enumerate(_lines(source, progress), 1):
        if number <= _HEADER_LINES:
            parser.note_recorder(line)
        try:
            said = parser.parse(line, number)
        except InputError:
            if line.endswith("\n"):
                raise
            anomalies["last line cut off"] = 1
            break
        if isinstance(said, Row):
            rows.add(said, number)
        elif isinstance(said, MarkLine):
            mark = writer.add_mark(said.time, said.text)
            rows.add(Row(said.time, said.cpu, said.pid, Event.MARK, NO_PFN, NONE, NONE, 0, mark), number)
        elif isinstance(said, LostLine):
            if said.number is None:
                uncounted += 1
            elif said.cpu is None:
                overwritten += said.number
            else:
                by_cpu[str(said.cpu)] = by_cpu.get(str(said.cpu), 0) + said.number
    if not rows.page_events:
        raise InputError(
            f"{source}: no page events in {number} lines ({parser.other_events} other events): expected the text of "
            "trace-cmd report, perf script or tracefs' trace, with the events kmem:mm_page_alloc, kmem:mm_page_free ..."
        )
    rows.finish()
    if rows.out_of_order:
        anomalies["events out of order, sorted"] = rows.out_of_order
    if parser.other_events:
        anomalies["events of other kinds, left out"] = parser.other_events
    for name, count in parser.unknown_gfp.items():
        anomalies[f"unknown gfp flag {name[:40]}"] = count
    return Meta(
        recorder=parser.recorder,
        source=source.name,
        kernel=kernel,
        pageblock_order=pageblock_order,
        zones=zones,
        lost=Lost(by_cpu=by_cpu, overwritten=overwritten, uncounted=uncounted),
        anomalies=anomalies,
    )


def _lines(path: Path, progress: Callable[[float], None]) -> Iterator[str]:
    """The lines of a file. Raises InputError where it isn't text."""
    size = path.stat().st_size  # 0 of a pipe, which can't tell how far it is
    with path.open("rb") as raw:
        try:
            stream = gzip.GzipFile(fileobj=raw) if raw.peek(2).startswith(b"\x1f\x8b") else raw
            start = stream.peek(64)[:4096]
            for magic, hint in _BINARY.items():
                if start.startswith(magic):
                    raise InputError(f"{path}: {hint.format(path.name)} and import that")
            if b"\0" in start:
                raise InputError(
                    f"{path}: not text: expected what trace-cmd report, perf script or tracefs' trace print"
                )
            text = io.TextIOWrapper(stream, encoding="utf-8", errors="replace", newline="\n")
            for number, line in enumerate(text):
                yield line
                if size and number % 4096 == 0:
                    progress(min(1.0, raw.tell() / size))
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise InputError(f"{path}: the gzip data are damaged or cut off ({error})") from None
        except OSError as error:
            raise InputError(f"{path}: {error.strerror}: it can't be read") from None


class _Rows:
    """Gathers rows into batches for the writer, sorting those that are a little out of order."""

    def __init__(self, path: str, writer: TraceWriter) -> None:
        self.path = path
        self.page_events = 0
        self.out_of_order = 0
        self._writer = writer
        self._rows: list[Row] = []
        self._lines: list[int] = []
        self._last = -(1 << 62)

    def add(self, row: Row, line: int) -> None:
        self._rows.append(row)
        self._lines.append(line)
        self.page_events += row.event != Event.MARK
        if len(self._rows) >= _BATCH_ROWS + _HELD_ROWS:
            self._flush(_BATCH_ROWS)

    def finish(self) -> None:
        self._flush(len(self._rows))

    def _flush(self, count: int) -> None:
        times = [row.time for row in self._rows]
        if backwards := sum(after < before for before, after in pairwise(times)):
            order = sorted(range(len(times)), key=times.__getitem__)
            self.out_of_order += backwards
            self._rows = [self._rows[index] for index in order]
            self._lines = [self._lines[index] for index in order]
        if self._rows and self._rows[0].time < self._last:
            raise InputError(
                f"{self.path}: line {self._lines[0]}: the time goes backwards, from {self._last} to "
                f"{self._rows[0].time} ns, past more than {_HELD_ROWS} events: not one recording?"
            )
        ready = self._rows[:count]
        if ready:
            self._last = ready[-1].time
            self._writer.add_events(_columns(ready))
        self._rows, self._lines = self._rows[count:], self._lines[count:]


def _columns(rows: list[Row]) -> dict[str, NDArray[Any]]:
    return {
        field.name: np.array(values, field.type.to_pandas_dtype())
        for field, values in zip(EVENT_SCHEMA, zip(*rows, strict=True), strict=True)
    }


def _snapshot_files(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder of a snapshot")
    wanted: dict[str, tuple[str, ...]] = {name: (name, f"{name}.txt") for name in TEXTS}
    wanted["kpageflags"] = ("kpageflags", "kpageflags.gz", "kpageflags.u64", "kpageflags.u64.gz")
    files = {name: folder / found for name, names in wanted.items() for found in names if (folder / found).is_file()}
    if not files:
        raise InputError(f"{folder}: no snapshot: expected copies of /proc/{', /proc/'.join(wanted)}")
    return files


def _kernel(folder: Path) -> str | None:
    path = folder / "version"
    words = path.read_text(encoding="utf-8", errors="replace").split() if path.is_file() else []
    return words[2] if words[:2] == ["Linux", "version"] and len(words) > 2 else None
