"""Importing a run folder: events as CSV with the guest's snapshots and the host's measurements beside them."""

import json
import re
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pagehint.errors import InputError
from pagehint.inputs import open_input, read_input
from pagehint.kernel.reporting import MAINLINE_CAPACITY, MAINLINE_DELAY, offers_reporting
from pagehint.trace.check import places
from pagehint.trace.csv_tables import add_residency, csv_batches, csv_table, guest_times
from pagehint.trace.events import LETTERS, NO_PFN, NONE, Event, pack_fallback
from pagehint.trace.meta import MAX_CPUS, Clock, GuestReporting, Lost, Meta, ZoneLayout
from pagehint.trace.snapshot import END, START, TEXTS
from pagehint.trace.snapshot_folder import kernel_of
from pagehint.trace.tables import first_line
from pagehint.trace.writer import TraceWriter

__all__ = ["has_events", "import_run_folder", "is_run_folder"]

_EVENT_TYPES = {
    "dt_ns": pa.int64(),
    "cpu": pa.uint16(),
    "pid": pa.int32(),
    "ev": pa.string(),
    "pfn": pa.int64(),
    "order": pa.uint8(),
    "mt": pa.uint8(),
    "x": pa.string(),
}
_EVENT_FILES = ("events.csv.gz", "events.csv")
_RUN_FILES = ("decode.json", "ctl.txt", "rss.csv.gz", "timeline.txt")


def is_run_folder(path: Path) -> bool:
    """Whether a folder looks like that of a run, with events or without."""
    return any((path / name).exists() for name in (*_EVENT_FILES, *_RUN_FILES))


def has_events(path: Path) -> bool:
    """Whether a folder holds a run's events."""
    return _find(path, *_EVENT_FILES) is not None


def import_run_folder(source: Path, writer: TraceWriter, progress: Callable[[float], None]) -> Meta:
    """Write what a run folder holds; returns what to finish the bundle with. Raises InputError."""
    events = _find(source, *_EVENT_FILES)
    if events is None:
        have = ", ".join(sorted(path.name for path in source.iterdir())[:6])
        raise InputError(
            f"{source}: has no {_EVENT_FILES[0]}, so there are no events to import (it has {have}): "
            "is it a control run, with the host's measurements only?"
        )
    decode = _json(source / "decode.json")
    clock = _clock(decode, source / "decode.json")
    zones, pageblock_order = _snapshots(source, writer)
    letters = _events(events, writer, progress)
    if clock is not None:
        if (residency := _find(source, "rss.csv.gz", "rss.csv")) is not None:
            add_residency(residency, clock, writer)
        _bitmaps(source, writer, clock)
        _reported(source, writer, clock)
    return Meta(
        recorder="run folder: tracefs in the guest, /proc and QEMU's discards on the host",
        source=source.resolve().name,
        kernel=kernel_of(source / "guest_version.txt"),
        pageblock_order=pageblock_order,
        zones=zones,
        clock=clock,
        reporting=_reporting(source, letters, pageblock_order),
        lost=_lost(decode, source / "decode.json"),
    )


def _find(source: Path, *names: str) -> Path | None:
    return next((source / name for name in names if (source / name).exists()), None)


def _json(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    text = read_input(path)
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not JSON ({error})") from None
    if not isinstance(data, dict):
        raise InputError(f"{path}: expected an object")
    return data


def _clock(decode: dict[str, Any], path: Path) -> Clock | None:
    data = decode.get("clock")
    if data is None:
        return None
    try:
        return msgspec.convert(data, Clock, strict=False)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: clock: {error}") from None


def _lost(decode: dict[str, Any], path: Path) -> Lost:
    stats = {key: match[1] for key in decode if (match := re.fullmatch(r"cpu(\d{1,9})\.stats", key, re.ASCII))}
    for key, cpu in stats.items():
        if int(cpu) >= MAX_CPUS:
            raise InputError(f"{path}: {key}: expected a CPU from 0 to {MAX_CPUS - 1}")
    names = ("overrun", "commit overrun", "dropped events")
    try:
        counts = {cpu: sum(int(decode[key].get(name, 0)) for name in names) for key, cpu in stats.items()}
        by_cpu = {cpu: count for cpu, count in counts.items() if count}
        return msgspec.convert({"by_cpu": by_cpu, "uncounted": int(decode.get("lost_page_flags", 0))}, Lost)
    except (AttributeError, TypeError, ValueError, OverflowError):
        raise InputError(f"{path}: the counts of lost events are not numbers") from None


def _snapshots(source: Path, writer: TraceWriter) -> tuple[list[ZoneLayout], int | None]:
    zones: list[ZoneLayout] = []
    pageblock_order = None
    for when, name in (("init", START), ("final", END)):
        found = {each: _find(source, f"{when}.{each}.txt") for each in TEXTS}
        found["kpageflags"] = _find(source, f"{when}.kpageflags.u64.gz", f"{when}.kpageflags.u64")
        files = {each: path for each, path in found.items() if path is not None}
        if not files:
            continue
        snapshot = writer.add_snapshot(files, name)
        if when == "init":
            zones = snapshot.zones
            pageblock_order = snapshot.pagetypeinfo.pageblock_order
    return zones, pageblock_order


# Every number is bounded: what is longer is none, and no pattern takes longer than a line's length.
_GUEST_TIME = re.compile(
    r"^\d{1,19} (?:SAY|SYNC2? \S{1,80} \d{1,19}(?: \d{1,19} \d{1,19})?) (\d{1,19})", re.ASCII | re.MULTILINE
)
_LOADED = re.compile(
    r"^\d{1,19} SAY (\d{1,19}) balloon insmod rc=0(?: order=(\d{1,2})(?!\d))?", re.ASCII | re.MULTILINE
)
_FEATURES = re.compile(
    r"^\d{1,19} SAY \d{1,19} features (?:\S{1,31} +){0,8}([01]{32,256})\s*$", re.ASCII | re.MULTILINE
)


def _reporting(source: Path, letters: set[str], pageblock_order: int | None) -> GuestReporting | None:
    """The guest's own settings: from the lines of ctl.txt that its init wrote when it loaded the balloon driver."""
    path = source / "ctl.txt"
    text = read_input(path).decode("utf-8", "replace") if path.exists() else ""
    load = _LOADED.search(text)
    features = _FEATURES.search(text)
    if load is None and features is None and "R" not in letters:
        return None
    on = "R" in letters if features is None else offers_reporting(features[1])
    # The driver registers while its module loads: after the line before, and before the one that tells of it.
    before = [] if load is None else _GUEST_TIME.findall(text[: load.start()])
    loaded = None if load is None else int(before[-1] if before else load[1])
    if not on:
        return GuestReporting(on=False, device_load_ns=loaded)
    order = pageblock_order if load is None or load[2] is None else int(load[2])
    return GuestReporting(
        on=True, order=order, delay_ns=MAINLINE_DELAY, capacity=MAINLINE_CAPACITY, device_load_ns=loaded
    )


def _events(path: Path, writer: TraceWriter, progress: Callable[[float], None]) -> set[str]:
    letters: set[str] = set()
    line, last = 2, 0
    for batch, done in csv_batches(path, _EVENT_TYPES):
        delta = _numbers(batch, "dt_ns", path, line)
        if (delta < 0).any():
            bad = int((delta < 0).argmax())
            raise InputError(f"{path}: line {line + bad}: dt_ns is {delta[bad]}: the time goes backwards")
        time = last + np.cumsum(delta)
        last = int(time[-1]) if len(time) else last
        columns = _columns(batch, time, path, line)
        columns["detail"][columns["event"] == Event.MARK] = [
            writer.add_mark(int(time[row]), batch["x"][int(row)].as_py())
            for row in np.flatnonzero(columns["event"] == Event.MARK)
        ]
        writer.add_events(columns, places(f"{path}: line", line))
        letters |= {chr(code) for code in np.unique(columns["event"])}
        line += batch.num_rows
        progress(done)
    return letters


def _numbers(batch: pa.RecordBatch, name: str, path: Path, line: int, fill: int | None = None) -> NDArray[Any]:
    """A column as numbers, its empty fields as `fill`. Raises InputError where they may not be empty."""
    column = batch[name]
    if column.null_count:
        if fill is None:
            row = int(column.is_null().to_numpy(zero_copy_only=False).argmax())
            raise InputError(f"{path}: line {line + row}: {name} is empty")
        column = pc.fill_null(column, pa.scalar(fill, column.type))
    values: NDArray[Any] = column.to_numpy(zero_copy_only=False)
    return values


def _columns(batch: pa.RecordBatch, time: NDArray[np.int64], path: Path, line: int) -> dict[str, NDArray[Any]]:
    kinds = batch["ev"].dictionary_encode()
    codes = []
    for letter in kinds.dictionary.to_pylist():
        if len(letter) != 1 or ord(letter) not in list(Event):
            row = pc.index(batch["ev"], letter).as_py()
            raise InputError(f"{path}: line {line + row}: ev is {letter!r:.40}, expected one of {LETTERS}")
        codes.append(ord(letter))
    event = np.array(codes, np.uint8)[kinds.indices.to_numpy()]
    gfp = np.zeros(len(event), np.uint32)
    detail = np.zeros(len(event), np.int32)
    for code in codes:
        parse = _DETAILS.get(code)
        if parse is None:
            continue
        rows = np.flatnonzero(event == code)
        texts = batch["x"].take(pa.array(rows)).dictionary_encode()
        values = []
        for index, text in enumerate(texts.dictionary.to_pylist()):
            try:
                values.append(parse(text))
            except ValueError:
                row = int(rows[(texts.indices.to_numpy() == index).argmax()])
                raise InputError(f"{path}: line {line + row}: x is {text!r:.40} for ev {chr(code)}") from None
        target = gfp if code == Event.ALLOC else detail
        target[rows] = np.array(values, target.dtype)[texts.indices.to_numpy()]
    return {
        "time": time,
        "cpu": _numbers(batch, "cpu", path, line),
        "pid": _numbers(batch, "pid", path, line),
        "event": event,
        "pfn": _numbers(batch, "pfn", path, line, NO_PFN),
        "order": _numbers(batch, "order", path, line, NONE),
        "migratetype": _numbers(batch, "mt", path, line, NONE),
        "gfp": gfp,
        "detail": detail,
    }


def _gfp(text: str) -> int:
    value = int(text, 16)
    if not 0 <= value < 1 << 32:
        raise ValueError(text)
    return value


def _int(text: str) -> int:
    value = int(text)
    if not -(1 << 31) <= value < 1 << 31:
        raise ValueError(text)
    return value


def _fallback(text: str) -> int:
    order, migratetype, change = (int(each) for each in text.split(":"))
    if not (0 <= order < 256 and 0 <= migratetype < 256 and change in (0, 1)):
        raise ValueError(text)
    return pack_fallback(order, migratetype, change)


_DETAILS: dict[int, Callable[[str], int]] = {
    Event.ALLOC: _gfp,
    Event.ZONE_ALLOC: _int,
    Event.EXTFRAG: _fallback,
    Event.ISOLATE_RETURN: _int,
    Event.REPORT: _int,
    Event.REPORT_RETURN: _int,
}


def _reported(source: Path, writer: TraceWriter, clock: Clock) -> None:
    path = _find(source, "reported.csv.gz", "reported.csv")
    if path is None:
        return
    types = {"t_host_ns": pa.int64(), "gpa": pa.int64(), "len": pa.int64(), "ret": pa.int32()}
    table = csv_table(path, types)
    if not table.num_rows:
        return
    if any(table[name].null_count for name in types):
        raise InputError(f"{path}: a line has an empty field")
    gpa, length = table["gpa"].to_numpy(), table["len"].to_numpy()
    if (bad := ((gpa | length) & 4095 != 0) | (gpa < 0) | (length < 0)).any():
        raise InputError(f"{path}: line {int(bad.argmax()) + 2}: a discarded range is not whole pages of 4096 bytes")
    time = guest_times(clock, table["t_host_ns"], path)
    writer.add_reported(pa.table({"time": time, "pfn": gpa >> 12, "pages": length >> 12, "ret": table["ret"]}))


# What zipfile and NumPy's header raise for a damaged archive.
_NPZ_ERRORS = (
    *(ValueError, KeyError, EOFError, OSError, NotImplementedError, RuntimeError, SyntaxError),
    *(zipfile.BadZipFile, zlib.error, struct.error, tokenize.TokenError),
)
_MOST_TIMES = 1 << 20
_MOST_ROW = 1 << 28  # bytes: a bit a page of 8 TiB


def _bitmaps(source: Path, writer: TraceWriter, clock: Clock) -> None:
    path = source / "resident.npz"
    if not path.exists():
        return
    expected = f"{path}: expected t_ns int64 [n] and bits uint8 [n, pages / 8]"
    try:
        with (
            open_input(path) as file,
            zipfile.ZipFile(file) as archive,
            archive.open("t_ns.npy") as times_file,
            archive.open("bits.npy") as bits_file,
        ):
            shape, _, kind = _header(times_file)
            rows, fortran, bits_kind = _header(bits_file)
            if kind != np.int64 or bits_kind != np.uint8 or len(rows) != 2 or rows[:1] != shape or fortran:
                raise InputError(expected)
            if shape[0] > _MOST_TIMES or not 0 < rows[1] <= _MOST_ROW:
                raise InputError(f"{expected}, of a real guest")
            times = np.frombuffer(_read(times_file, 8 * shape[0]), np.int64)
            bits = (np.frombuffer(_read(bits_file, rows[1]), np.uint8) for _ in range(rows[0]))
            ours = guest_times(clock, pa.chunked_array([times]), path).tolist()
            writer.add_residency_bitmaps(zip(ours, bits, strict=True))
    except InputError:
        raise
    except _NPZ_ERRORS as error:
        raise InputError(f"{path}: not the residency bitmaps of a run ({first_line(error)})") from None


def _header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    return read(file)


def _read(file: IO[bytes], size: int) -> bytes:
    data = file.read(size)
    if len(data) < size:
        raise EOFError("cut off")
    return data
