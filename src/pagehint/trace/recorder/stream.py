"""A trace bundle of a recording's pieces, as they come: what the recorder, here or in a guest, sends."""

import gzip
import json
import re
import tempfile
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO, Self, cast, get_args

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pagehint.errors import InputError
from pagehint.inputs import follows
from pagehint.kernel.gfp import gfp_migratetype
from pagehint.kernel.reporting import PARAMETERS, offers_reporting
from pagehint.trace.describe import EMPTIED, FOLLOWED, TURNED_OFF
from pagehint.trace.events import NO_PFN, NONE, Event
from pagehint.trace.meta import MAX_CPUS, Clock, GuestReporting, Level, Lost, Meta
from pagehint.trace.recorder.formats import (
    EVENTS,
    EventFormat,
    GfpNames,
    PageLayout,
    is_guessable,
    parse_format,
    parse_header_page,
)
from pagehint.trace.recorder.frames import read_frames
from pagehint.trace.recorder.merge import Columns, Merge
from pagehint.trace.recorder.pages import PageDecoder
from pagehint.trace.reporting import reporting_by
from pagehint.trace.snapshot import END, LOOK, START, TEXTS, Snapshot
from pagehint.trace.writer import TraceWriter
from pagehint.units import shown, whole_number

__all__ = ["RecordingImporter", "import_stream"]

_SNAPSHOTS = {"init": START, "final": END}
_MOST_TEXT = 1 << 16
_PAGE_SIZES = 512, 1 << 30
_MOST_FORMATS = 255
# A virtual CPU may be kept from running amid the writing of an event, which has its time: for no longer than this (ns).
_STALLED = 5 * 10**8


class RecordingImporter:
    """Takes the pieces of one recording and writes its events and snapshots with `writer`; a context manager.

    `put` takes pieces, `finish` returns what to finish the bundle with. Raises InputError at a piece that can't be.
    """

    def __init__(self, writer: TraceWriter, source: str) -> None:
        self._writer = writer
        self._source = source
        # Not elsewhere: what a killed recorder leaves goes with the bundle that it began.
        self._folder = tempfile.TemporaryDirectory(dir=writer.partial)
        self._machine: dict[str, Any] = {}
        self._layout: PageLayout | None = None
        self._formats: dict[int, EventFormat] = {}
        self._decoder: PageDecoder | None = None
        self._decoders: list[PageDecoder] = []
        self._gfp = GfpNames(())
        self._merge = Merge(self._emit)
        self._complete = 0
        self._stats: dict[str, str] = {}
        self._read: Counter[int] = Counter()
        self._missed = self._turned_off = 0
        self._compacting: dict[int, tuple[int, int]] | None = None
        self._system: dict[str, str] = {}
        self._device_load: int | None = None
        self._snapshots: dict[str, Snapshot] = {}
        self._open: tuple[str, dict[str, Path]] | None = None
        self.num_events = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._folder.cleanup()

    def put(self, name: str, data: bytes | memoryview) -> None:
        """Take the next piece; those of names that aren't known are left out."""
        kind, _, rest = name.partition("/")
        if kind == "pages":
            self._pages(rest, data)
        elif name == "round":
            self._round(self._integer(name, data))
        elif name == "machine":
            self._machine = self._json(name, data)
        elif name == "header_page":
            self._layout = parse_header_page(bytes(data).decode("ascii", "replace"), f"{self._source}: header_page")
        elif kind == "format":
            form = parse_format(bytes(data).decode("utf-8", "replace"), f"{self._source}: {name}")
            # A module's events come with it, anew each time that it is loaded: who knows them reads on.
            self._formats[form.id] = form._replace(name=rest)
            self._decoder = None
            if len(self._formats) > _MOST_FORMATS:
                raise InputError(f"{self._source}: {name}: more than {_MOST_FORMATS} formats of events: damaged?")
        elif kind == "file":
            self._system[rest] = bytes(data[:_MOST_TEXT]).decode("utf-8", "replace").strip()
        elif name == "balloon":
            self._device_load = self._integer(name, data)
        elif name == "missed":
            self._missed = self._integer(name, data)
        elif name == "turned_off":
            self._turned_off = self._integer(name, data)
        elif kind == "stats":
            self._check_cpu(name, rest)
            self._stats[rest] = bytes(data).decode("ascii", "replace")
        elif kind in _SNAPSHOTS or LOOK.fullmatch(kind):
            self._snapshot_file(kind, rest, data)

    @property
    def lost(self) -> int:
        """Events known to be lost so far."""
        return sum(decoder.lost for decoder in self._decoders)

    def _json(self, name: str, data: bytes | memoryview) -> dict[str, Any]:
        try:
            value = json.loads(bytes(data))
        except (ValueError, RecursionError) as error:
            raise InputError(f"{self._source}: {name}: not JSON ({error})") from None
        if not isinstance(value, dict):
            raise InputError(f"{self._source}: {name}: expected an object")
        return value

    def _check_cpu(self, name: str, cpu: str) -> None:
        if not re.fullmatch(r"0|[1-9]\d{0,3}", cpu, re.ASCII) or int(cpu) >= MAX_CPUS:
            raise InputError(f"{self._source}: {name}: no number of a CPU")

    def _integer(self, name: str, data: bytes | memoryview) -> int:
        text = bytes(data[:32]).strip()
        if not text.isdigit() or len(text) > 18:
            raise InputError(f"{self._source}: {name}: {shown(text)}: expected a whole number")
        return int(text)

    # Events are complete up to an earlier round: one may be written while a round is read.
    def _round(self, time: int) -> None:
        if time - self._complete >= _STALLED:
            self._merge.complete(self._complete)
            self._complete = time

    def _start(self) -> PageDecoder:
        if self._layout is None:
            raise InputError("come before header_page")
        known = [form for form in self._formats.values() if form.name in EVENTS]
        if not any(EVENTS[form.name] != Event.MARK for form in known):
            raise InputError("no format of a page event came before: what did it record?")
        vmemmap = self._machine.get("vmemmap")
        vmemmap = vmemmap if isinstance(vmemmap, int) and 0 < vmemmap < 1 << 64 else 0
        if not vmemmap and not is_guessable(self._machine.get("architecture"), self._machine.get("pfn_end")):
            known = [form for form in known if "page" not in form.fields]
            known = [form for form in known if EVENTS[form.name] != Event.ISOLATE_RETURN]
        for form in known:
            if form.name == "compact_ret":
                self._compacting = self._compacting or {}
            if form.name == "mm_page_alloc":
                self._gfp = GfpNames(form.flags)
        self._decoder = PageDecoder(self._layout, known, vmemmap)
        self._decoders.append(self._decoder)
        return self._decoder

    def _pages(self, cpu: str, data: bytes | memoryview) -> None:
        self._check_cpu(f"pages/{cpu}", cpu)
        try:
            decoder = self._decoder or self._start()
            before = decoder.others
            columns, texts = decoder.decode(data, int(cpu))
        except InputError as error:
            raise InputError(f"{self._source}: pages/{cpu}: {error}") from None
        self._read[int(cpu)] += len(columns["time"]) + decoder.others - before
        self._merge.add(columns, texts)

    def _emit(self, rows: Columns, texts: list[str]) -> None:
        allocations = rows["event"] == Event.ALLOC
        if self._compacting is not None and allocations.any():
            rows = self._compacted(rows, allocations, self._compacting)
            allocations = rows["event"] == Event.ALLOC
        rows["gfp"][allocations] = self._gfps(rows["gfp"][allocations])
        if self._compacting is not None:
            rows["migratetype"][allocations] = [gfp_migratetype(int(gfp)) for gfp in rows["gfp"][allocations]]
        marks = np.flatnonzero(rows["event"] == Event.MARK)
        rows["detail"][marks] = [
            self._writer.add_mark(int(rows["time"][row]), text) for row, text in zip(marks, texts, strict=True)
        ]
        self.num_events += len(rows["time"])
        self._writer.add_events(rows, lambda row: f"{self._source}: event {self.num_events - len(rows['time']) + row}")

    # Of an allocation that compacts memory, two rows of its task tell: its order and flags, and then its page.
    def _compacted(self, rows: Columns, which: NDArray[np.bool_], begun: dict[int, tuple[int, int]]) -> Columns:
        stay = ~which
        for row in np.flatnonzero(which).tolist():
            pid, order = int(rows["pid"][row]), int(rows["order"][row])
            if order != NONE:
                begun[pid] = order, int(rows["gfp"][row])
            elif pid in begun:
                rows["order"][row], rows["gfp"][row] = begun.pop(pid)
                stay[row] = rows["pfn"][row] != NO_PFN
        return {name: column[stay] for name, column in rows.items()}

    def _gfps(self, raw: NDArray[np.uint32]) -> NDArray[np.uint32]:
        found = pc.dictionary_encode(pa.array(raw))
        known = np.array([self._gfp[value] for value in found.dictionary.to_pylist()], np.uint32)
        mapped: NDArray[np.uint32] = known[found.indices.to_numpy()]
        return mapped

    def _snapshot_file(self, when: str, name: str, data: bytes | memoryview) -> None:
        if self._open is not None and self._open[0] != when:
            self._close_snapshot()
        if when in self._snapshots:
            raise InputError(f"{self._source}: {when}/{name}: that snapshot was whole already")
        if self._open is None:
            self._open = when, {}
        if name in ("kpageflags", "kpageflags.gz"):
            # Each piece is a member of its own, and one after the other they are a whole gzip file.
            self._append(when, "kpageflags", data if name.endswith(".gz") else gzip.compress(data, 1, mtime=0))
        elif name in TEXTS:
            self._append(when, name, data)
        elif name == "end":
            self._close_snapshot()

    def _append(self, when: str, name: str, data: bytes | memoryview) -> None:
        assert self._open is not None
        path = self._open[1].setdefault(name, Path(self._folder.name) / f"{when}.{name}")
        with path.open("ab") as file:
            file.write(data)

    def _close_snapshot(self) -> None:
        if self._open is None:
            return
        when, files = self._open
        self._open = None
        if files:
            self._snapshots[when] = self._writer.add_snapshot(files, _SNAPSHOTS.get(when, when))

    def finish(self, clock: Clock | None = None, recorder: str = "pagehint record") -> Meta:
        """Write the rest; returns what to finish the bundle with. `clock`: the host's, where it is known."""
        self._close_snapshot()
        self._folder.cleanup()
        self._merge.finish()
        if not self._decoders:
            raise InputError(f"{self._source}: holds no events: nothing was recorded")
        snapshot = self._snapshots.get("init")
        pageblock_order = None if snapshot is None else snapshot.pagetypeinfo.pageblock_order
        kernel = self._machine.get("kernel")
        reports = not self._writer.events.keys().isdisjoint((Event.REPORT.letter, Event.REPORT_RETURN.letter))
        return Meta(
            recorder=recorder,
            source=self._source,
            kernel=kernel if isinstance(kernel, str) else None,
            page_size=whole_number(
                f"{self._source}: machine: page_size", self._machine.get("page_size", 4096), *_PAGE_SIZES
            ),
            pageblock_order=pageblock_order,
            zones=[] if snapshot is None else snapshot.zones,
            clock=clock,
            reporting=None
            if self._machine.get("hyperv") is True
            else _reporting(self._system, pageblock_order, self._device_load, reports),
            lost=self._lost(),
            level=self._level(),
            system=self._system,
            anomalies=self._anomalies(),
        )

    def _level(self) -> Level | None:
        level = self._machine.get("level")
        if level not in (None, *get_args(Level)):
            expected = " or ".join(get_args(Level))
            raise InputError(f"{self._source}: machine: level {shown(level)}: expected {expected}")
        return cast(Level | None, level)

    def _lost(self) -> Lost:
        by_cpu = {}
        for cpu, text in self._stats.items():
            numbers = re.findall(r"^(?:overrun|commit overrun|dropped events): (\d{1,18})$", text, re.MULTILINE)
            if number := sum(int(each) for each in numbers):
                by_cpu[cpu] = number
        if by_cpu:
            return Lost(by_cpu=by_cpu)
        return Lost(overwritten=self.lost, uncounted=sum(decoder.uncounted for decoder in self._decoders))

    # Each reader's events are counted as read, and who empties a buffer begins to count anew.
    def _emptied(self) -> int:
        if any(decoder.damaged for decoder in self._decoders):
            return 0
        told = {cpu: re.search(r"^read events: (\d{1,18})$", text, re.MULTILINE) for cpu, text in self._stats.items()}
        return sum(match is not None and int(match[1]) != self._read[int(cpu)] for cpu, match in told.items())

    def _anomalies(self) -> dict[str, int]:
        found = {
            "events that came late, moved to the time of the last one": self._merge.late,
            "ring buffer pages or events that are damaged": sum(decoder.damaged for decoder in self._decoders),
            "events of other kinds, left out": sum(decoder.others for decoder in self._decoders),
            "times that a probe of the recorder missed": self._missed,
            TURNED_OFF: self._turned_off,
            EMPTIED: self._emptied(),
        }
        found |= {f"unknown gfp flag {name[:40]}": count for name, count in self._gfp.unknown.items()}
        return {kind: count for kind, count in found.items() if count}


def _reporting(
    system: dict[str, str], pageblock_order: int | None, load: int | None, reports: bool
) -> GuestReporting | None:
    """What the machine's files say of free page reporting, and that it `reports`; None where they say nothing."""
    features = [text for path, text in system.items() if path.endswith("/features")]
    parameters = {path.removeprefix(PARAMETERS): text for path, text in system.items() if path.startswith(PARAMETERS)}
    if not features and not parameters and not reports:
        return None
    found = reporting_by(parameters)
    if not any(map(offers_reporting, features)):
        if not reports:
            return GuestReporting(on=False, device_load_ns=load, parameters=found.parameters)
        load = None  # its driver came after the files were read
    order = pageblock_order if found.order is None else found.order
    return replace(found, on=True, order=order, device_load_ns=load)


def import_stream(file: BinaryIO, where: str, writer: TraceWriter) -> Meta:
    """Write a bundle of what `pagehint record -o -` wrote; returns what to finish it with. Raises InputError."""
    with RecordingImporter(writer, where) as importer:
        for name, data in read_frames(file, where):
            importer.put(name, data)
        meta = importer.finish()
    return replace(meta, anomalies=meta.anomalies | {FOLLOWED: 1}) if follows(file) else meta
