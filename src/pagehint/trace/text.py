"""Importing the text that ``trace-cmd report``, ``perf script`` or tracefs' trace file prints."""

import os
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pagehint.errors import InputError, printable
from pagehint.host.blocks import PAGE_BYTES
from pagehint.inputs import (
    GZIP_MAGIC,
    CutOffError,
    as_argument,
    as_utf8,
    open_input,
    packed_elsewise,
    reading,
    unpacked,
)
from pagehint.kernel.reporting import MAINLINE_CAPACITY, MAINLINE_DELAY
from pagehint.trace.check import check_offset
from pagehint.trace.csv_tables import add_residency
from pagehint.trace.describe import BESIDE_FEWER_CPUS, OF_ONE_COMMAND, OF_ONE_CPU, OF_SEVERAL
from pagehint.trace.events import EVENT_SCHEMA, MAX_TIME, NO_PFN, NONE, Event
from pagehint.trace.kmem_text import HeadlessLineError, LineParser, LostLine, MarkLine, Row
from pagehint.trace.meta import Clock, GuestReporting, Level, Lost, Meta, ZoneLayout
from pagehint.trace.snapshot_folder import SnapshotFolder
from pagehint.trace.writer import TraceWriter

__all__ = ["import_text"]

_BATCH_ROWS = 1 << 16
# CPUs' buffers are merged by time, but not perfectly: so many events are held back, to be sorted with the next.
_HELD_ROWS = 1 << 13
# A share of the steps of time; of times that are differences it is near a half.
_MOST_BACKWARDS, _FEW = 0.25, 100
_AROUND = 10 * 10**9
# In so many events of a whole machine, over such a time (ns), some are of the kernel's own work.
_MANY, _LONG = 10_000, 500 * 10**6
_PER_DAMAGED = 1000  # events that are whole
_LONGEST_LINE = 1 << 16
_MOST_SILENT = 100_000
# Of tracefs' trace and of trace-cmd's report.
_HEADERS = ("# tracer: ", "cpus=")
_FOREIGN_MARKS = "marks beside it that are after all events, left out (were its times of another clock?)"
_EXPECTED = "expected what trace-cmd report, perf script or tracefs' trace print"

# `{0}` is the file, `{1}` a new one.
_BINARY = {
    b"\x17\x08Dtracing": "trace-cmd's own recording: print it with `trace-cmd report -i {0} > {1}`",
    GZIP_MAGIC: "packed twice: unpack it with `gzip -dc < {0} > {1}`",
    b"PERFILE2": "perf's own recording: print it with `perf script --ns --show-lost-events -i {0} > {1}`",
}


def import_text(
    source: Path,
    writer: TraceWriter,
    progress: Callable[[float], None],
    snapshot: Path | None = None,
    residency: Path | None = None,
    clock_offset: int | None = None,
) -> Meta:
    """Write the page events and marks of a text, gzipped or not; returns what to finish the bundle with.

    `snapshot` is a folder that snapshot.sh (docs/tracers.md) has left in the guest; any of its files may be
    missing. `residency` is a CSV file of the host's samples; `clock_offset` is by how much the host's wall clock is
    ahead of the guest's trace clock (ns), else a mark ``CLOCK ns`` of the recording tells. Raises InputError.
    """
    folder = None if snapshot is None else SnapshotFolder.read(snapshot)
    copy = None if folder is None else writer.add_snapshot(folder.files)
    parser = LineParser(str(source))
    rows = _Rows(str(source), writer)
    anomalies: Counter[str] = Counter()
    lost = _read(source, progress, parser, rows, anomalies)
    rows.finish(folder.marks if folder is not None else [])
    anomalies["events out of order, sorted"] = rows.out_of_order
    anomalies[_FOREIGN_MARKS] = rows.foreign_marks
    anomalies["events of other kinds, left out"] = parser.other_events
    zones = [] if copy is None else copy.zones
    _look_for_others(parser, rows, zones, anomalies)
    for name, count in parser.unknown_gfp.items():
        anomalies[f"unknown gfp flag {printable(name[:40])}"] = count
    try:
        clock = _clock(clock_offset, rows.clock_offset)
    except InputError as error:
        raise InputError(
            f"{source}: {error}: is its mark CLOCK, or what was given as the clock's offset, in ns?"
        ) from None
    if residency is not None:
        memory = sum(zone.present for zone in zones) * PAGE_BYTES >> 10
        _add_residency(residency, clock, rows, writer, memory)
    return Meta(
        recorder=parser.recorder,
        source=source.name,
        kernel=parser.kernel if folder is None or folder.kernel is None else folder.kernel,
        page_size=(None if copy is None else copy.page_size()) or PAGE_BYTES,
        pageblock_order=None if copy is None else copy.pagetypeinfo.pageblock_order,
        zones=zones,
        clock=clock,
        reporting=_reporting(None if folder is None else folder.reporting, Event.REPORT in rows.kinds),
        lost=lost,
        anomalies=dict(+anomalies),  # those of which there are any
        level=_level(rows.kinds),
    )


# The lines one after the other: their rows, what was lost, and what is odd of them.
def _read(
    source: Path, progress: Callable[[float], None], parser: LineParser, rows: "_Rows", anomalies: Counter[str]
) -> Lost:
    by_cpu: Counter[str] = Counter()
    overwritten = uncounted = number = said_at = damaged = 0
    cut: InputError | None = None
    for number, line in enumerate(_up_to_cut(_lines(source, progress), rows, anomalies), 1):
        if not rows.page_events:
            parser.note_recorder(line)
        elif line.startswith(_HEADERS):
            anomalies[OF_SEVERAL] += 1
        others = parser.other_events
        try:
            said = parser.parse(line, number)
        except InputError as error:
            if not line.endswith("\n") and rows.page_events:
                anomalies["last line cut off"] = 1
                break
            if number == 1 and isinstance(error, HeadlessLineError):
                cut = error
            elif rows.page_events < _PER_DAMAGED * (damaged + 1):
                raise
            else:
                damaged += 1
            continue
        if isinstance(said, Row | MarkLine):
            rows.add(said, number)
        elif isinstance(said, LostLine):
            if said.number is None:
                uncounted += 1
            elif said.cpu is None:
                overwritten += said.number
            else:
                by_cpu[str(said.cpu)] += said.number
        elif parser.other_events == others:
            if number - said_at > _MOST_SILENT:
                raise InputError(f"{source}: line {number}: {_MOST_SILENT} lines without an event: {_EXPECTED}")
            continue
        said_at = number
    if not number:
        raise InputError(f"{source}: is empty: {_EXPECTED}: did what wrote it end with an error?")
    if not rows.page_events:
        raise cut or InputError(
            f"{source}: no page events in {number} lines ({parser.other_events} other events): {_EXPECTED}, with the "
            "events kmem:mm_page_alloc, kmem:mm_page_free ..."
        )
    anomalies["first line cut off"] = int(cut is not None)
    anomalies["damaged lines, left out"] = damaged
    return Lost(by_cpu=dict(by_cpu), overwritten=overwritten, uncounted=uncounted + damaged)


def _level(kinds: set[int]) -> Level:
    lists, pages = {Event.ZONE_ALLOC, Event.PCPU_DRAIN}, {Event.ALLOC, Event.FREE}
    return "zone" if lists <= kinds and not pages <= kinds else "page"


def _look_for_others(parser: LineParser, rows: "_Rows", zones: list[ZoneLayout], anomalies: Counter[str]) -> None:
    """Count what was not recorded: the other CPUs, the other tasks."""
    cpus = max([parser.cpus or 0, *(zone.cpus or 0 for zone in zones)])
    if rows.page_events >= _FEW and len(rows.cpus) == 1 and cpus > 1:
        anomalies[OF_ONE_CPU] = cpus - 1
    known = max((zone.cpus or 0 for zone in zones), default=0)
    if known and len(rows.cpus) > known:
        anomalies[BESIDE_FEWER_CPUS] = len(rows.cpus) - known
    if rows.page_events >= _MANY and rows.last - rows.first >= _LONG and not parser.kernel_task:
        anomalies[OF_ONE_COMMAND] = rows.page_events


def _clock(said: int | None, marked: int | None) -> Clock | None:
    offset = marked if said is None else said
    return None if offset is None else Clock(g0_ns=0, h0_ns=offset, offset_ns=0.0, drift=0.0)


def _add_residency(path: Path, clock: Clock | None, rows: "_Rows", writer: TraceWriter, memory: int) -> None:
    if clock is None:
        raise InputError(
            f"{path}: nothing tells how its times fit the recording's: record a mark `CLOCK $(date +%s%N)`, "
            "or give --clock-offset"
        )
    check_offset(path, add_residency(path, clock, writer, memory), rows.first, rows.last)


def _reporting(settings: GuestReporting | None, seen: bool) -> GuestReporting | None:
    if not seen:
        return settings
    return replace(settings or GuestReporting(delay_ns=MAINLINE_DELAY, capacity=MAINLINE_CAPACITY), on=True)


def _up_to_cut(lines: Iterator[str], rows: "_Rows", anomalies: Counter[str]) -> Iterator[str]:
    try:
        yield from lines
    except CutOffError:
        if not rows.page_events:
            raise
        anomalies["gzip data cut off at their end"] = 1


def _lines(path: Path, progress: Callable[[float], None]) -> Iterator[str]:
    """The lines of a file. Raises InputError where it isn't text."""
    with open_input(path) as raw, reading(path):
        size = os.fstat(raw.fileno()).st_size or 1
        stream = as_utf8(unpacked(raw, path))
        start = stream.peek(4096)[:4096]
        for magic, hint in _BINARY.items():
            if start.startswith(magic):
                made = as_argument(f"{path}.txt")
                raise InputError(f"{path}: {hint.format(as_argument(path), made)} and import that")
        if (packed := packed_elsewise(start, path)) is not None:
            raise InputError(f"{path}: {packed} and import what was in it")
        if start[257:262] == b"ustar":
            packed = f"a tar archive: unpack it with `tar xf {as_argument(path)}`"
            raise InputError(f"{path}: {packed} and import what was in it")
        if b"\0" in start:
            raise InputError(f"{path}: not text: {_EXPECTED}")
        number = 0
        while data := stream.readline(_LONGEST_LINE + 1):
            number += 1
            if len(data) > _LONGEST_LINE:
                raise InputError(f"{path}: line {number}: longer than {_LONGEST_LINE} bytes: {_EXPECTED}")
            yield data.decode("utf-8", "replace")
            if number % 4096 == 0:
                progress(min(1.0, raw.tell() / size))


_CLOCK_MARK = re.compile(r"CLOCK (\d{16,19})", re.ASCII)


class _Rows:
    """Gathers rows into batches for the writer, sorting those that are a little out of order.

    Knows afterwards the time of the first and the last, the kinds of event, the CPUs, and by how much the wall clock is
    ahead (ns) where a mark tells.
    """

    def __init__(self, path: str, writer: TraceWriter) -> None:
        self.path = path
        self.page_events = 0
        self.out_of_order = 0
        self.kinds: set[int] = set()
        self.cpus: set[int] = set()
        self.first = 0
        self.last = -MAX_TIME
        self.clock_offset: int | None = None
        self.foreign_marks = 0
        self._writer = writer
        self._rows: list[Row | MarkLine] = []
        self._lines: list[int] = []
        self._marks = self._steps = 0

    def add(self, row: Row | MarkLine, line: int) -> None:
        self._rows.append(row)
        self._lines.append(line)
        self.page_events += isinstance(row, Row)
        if len(self._rows) >= _BATCH_ROWS + _HELD_ROWS:
            self._flush(_BATCH_ROWS)

    def finish(self, marks: list[tuple[int, str]]) -> None:
        """Write the rest; `marks` (ns, text) are taken where the recording has none of its own."""
        self._flush(len(self._rows))
        if self.out_of_order > max(_FEW, _MOST_BACKWARDS * self._steps):
            raise InputError(
                f"{self.path}: the time runs backwards {self.out_of_order} of the {self._steps} times that it changes: "
                "are these the times between events? Print it without perf script --deltatime"
            )
        if self._marks or not marks:
            return
        # Of the clock that it should have, some are not after all of its events.
        if min(time for time, _ in marks) > self.last + _AROUND:
            self.foreign_marks = len(marks)
            return
        for time, text in sorted(marks):
            self._mark(time, text)

    def _mark(self, time: int, text: str) -> int:
        if self.clock_offset is None and (match := _CLOCK_MARK.fullmatch(text.strip())) is not None:
            self.clock_offset = int(match[1]) - time
        self._marks += 1
        return self._writer.add_mark(time, text)

    # There is a row at the least.
    def _flush(self, count: int) -> None:
        times = [row.time for row in self._rows]
        self._steps += sum(after != before for before, after in pairwise(times))
        if backwards := sum(after < before for before, after in pairwise(times)):
            order = sorted(range(len(times)), key=times.__getitem__)
            self.out_of_order += backwards
            self._rows = [self._rows[index] for index in order]
            self._lines = [self._lines[index] for index in order]
        if self._rows[0].time < self.last:
            raise InputError(
                f"{self.path}: line {self._lines[0]}: the time goes backwards, from {self.last} to "
                f"{self._rows[0].time} ns, past more than {_HELD_ROWS} events: not one recording, or one CPU's after "
                "another's? Import what one recording tells of all CPUs in the order of time"
            )
        ready = [row if isinstance(row, Row) else self._row(row) for row in self._rows[:count]]
        if not self.kinds:
            self.first = ready[0].time
        self.last = ready[-1].time
        self.kinds.update(row.event for row in ready)
        self.cpus.update(row.cpu for row in ready)
        self._writer.add_events(_columns(ready))
        self._rows, self._lines = self._rows[count:], self._lines[count:]

    def _row(self, mark: MarkLine) -> Row:
        index = self._mark(mark.time, mark.text)
        return Row(mark.time, mark.cpu, mark.pid, Event.MARK, NO_PFN, NONE, NONE, 0, index)


def _columns(rows: list[Row]) -> dict[str, NDArray[Any]]:
    return {
        field.name: np.array(values, field.type.to_pandas_dtype())
        for field, values in zip(EVENT_SCHEMA, zip(*rows, strict=True), strict=True)
    }
