"""Importing a run folder: events as CSV with the guest's snapshots and the host's measurements beside them."""

import gzip
import json
import os
import re
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
from numpy.typing import NDArray

from pagehint.errors import InputError
from pagehint.trace.check import places
from pagehint.trace.events import NO_PFN, NONE, Event, pack_fallback
from pagehint.trace.meta import Clock, GuestReporting, Lost, Meta
from pagehint.trace.snapshot import TEXTS
from pagehint.trace.tables import first_line
from pagehint.trace.writer import TraceWriter

__all__ = ["import_run_folder", "is_run_folder"]

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

# Linux's own, since 5.7: the batch that a device is told of, and how long the work waits.
_CAPACITY = 32
_DELAY_NS = 2_000_000_000
# VIRTIO_BALLOON_F_REPORTING, an index into the feature bits as sysfs prints them.
_FEATURE_REPORTING = 5


def is_run_folder(path: Path) -> bool:
    """Whether a folder looks like that of a run, with events or without."""
    return any((path / name).exists() for name in (*_EVENT_FILES, *_RUN_FILES))


def import_run_folder(source: Path, writer: TraceWriter, progress: Callable[[float], None]) -> Meta:
    """Write what a run folder holds; returns what to finish the bundle with. Raises InputError."""
    events = _find(source, *_EVENT_FILES)
    if events is None:
        have = ", ".join(sorted(path.name for path in source.iterdir())[:6])
        raise InputError(
            f"{source}: has no {_EVENT_FILES[0]}, so there are no events to import (it has {have}): "
            "a control run holds the host's measurements only"
        )
    decode = _json(source / "decode.json")
    clock = _clock(decode, source / "decode.json")
    zones, pageblock_order = _snapshots(source, writer)
    letters = _events(events, writer, progress)
    if clock is not None:
        _residency(source, writer, clock)
        _bitmaps(source, writer, clock)
        _reported(source, writer, clock)
    return Meta(
        recorder="run folder: tracefs in the guest, /proc and QEMU's discards on the host",
        source=source.resolve().name,
        kernel=_kernel(source),
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
    try:
        data = json.loads(path.read_bytes())
    except ValueError as error:
        raise InputError(f"{path}: not JSON ({error})") from None
    if not isinstance(data, dict):
        raise InputError(f"{path}: expected an object")
    return data


def _clock(decode: dict[str, Any], path: Path) -> Clock | None:
    data = decode.get("clock")
    if data is None:
        return None
    try:
        return Clock(
            g0_ns=int(data["g0_ns"]),
            h0_ns=int(data["h0_ns"]),
            offset_ns=float(data["offset_ns"]),
            drift=float(data["drift"]),
        )
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise InputError(f"{path}: clock: {error} is missing or not a number") from None


def _guest_times(clock: Clock, host: NDArray[np.int64]) -> NDArray[np.int64]:
    """Guest ns of host ns; the large part is subtracted as integers, so that nothing is rounded away."""
    since = (host - clock.h0_ns).astype(np.float64)
    return clock.g0_ns + np.rint((since - clock.offset_ns) / (1 + clock.drift)).astype(np.int64)


def _lost(decode: dict[str, Any], path: Path) -> Lost:
    by_cpu: dict[str, int] = {}
    try:
        for key, stats in decode.items():
            if (match := re.fullmatch(r"cpu(\d+)\.stats", key, re.ASCII)) is not None:
                names = ("overrun", "commit overrun", "dropped events")
                if number := sum(int(stats.get(name, 0)) for name in names):
                    by_cpu[match[1]] = number
        return Lost(by_cpu=by_cpu, uncounted=int(decode.get("lost_page_flags", 0)))
    except (AttributeError, TypeError, ValueError, OverflowError):
        raise InputError(f"{path}: the counts of lost events are not numbers") from None


def _snapshots(source: Path, writer: TraceWriter) -> tuple[list[Any], int | None]:
    zones: list[Any] = []
    pageblock_order = None
    for when, name in (("init", "snapshot"), ("final", "final")):
        files = {each: source / f"{when}.{each}.txt" for each in TEXTS}
        files["kpageflags"] = _find(source, f"{when}.kpageflags.u64.gz", f"{when}.kpageflags.u64") or source / "none"
        files = {each: path for each, path in files.items() if path.exists()}
        if not files:
            continue
        snapshot = writer.add_snapshot(files, name)
        if when == "init":
            zones = snapshot.zones()
            pageblock_order = snapshot.pagetypeinfo().pageblock_order
    return zones, pageblock_order


def _kernel(source: Path) -> str | None:
    path = source / "guest_version.txt"
    if not path.exists():
        return None
    words = path.read_text(encoding="utf-8", errors="replace").split()
    return words[2] if words[:2] == ["Linux", "version"] and len(words) > 2 else " ".join(words)[:80] or None


_GUEST_TIME = re.compile(r"^\d+ (?:SAY|SYNC2? \S+ \d+(?: \d+ \d+)?) (\d+)", re.ASCII | re.MULTILINE)


def _reporting(source: Path, letters: set[str], pageblock_order: int | None) -> GuestReporting | None:
    """The guest's own settings: from the lines of ctl.txt that its init wrote when it loaded the balloon driver."""
    path = source / "ctl.txt"
    text = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
    load = re.search(r"^\d+ SAY (\d+) balloon insmod rc=0(?: order=(\d+))?", text, re.ASCII | re.MULTILINE)
    features = re.search(r"^\d+ SAY \d+ features .*?([01]{32,})\s*$", text, re.ASCII | re.MULTILINE)
    if load is None and features is None and "R" not in letters:
        return None
    on = "R" in letters if features is None else features[1][_FEATURE_REPORTING] == "1"
    # The driver registers while its module loads: after the line before, and before the one that tells of it.
    before = [] if load is None else _GUEST_TIME.findall(text[: load.start()])
    loaded = None if load is None else int(before[-1] if before else load[1])
    if not on:
        return GuestReporting(on=False, device_load_ns=loaded)
    order = pageblock_order if load is None or load[2] is None else int(load[2])
    return GuestReporting(on=True, order=order, delay_ns=_DELAY_NS, capacity=_CAPACITY, device_load_ns=loaded)


def _csv(path: Path, types: dict[str, pa.DataType]) -> Iterator[tuple[pa.RecordBatch, float]]:
    """The rows of a CSV file, batch by batch, with the part of the file read so far (0 to 1). Raises InputError."""
    size = path.stat().st_size or 1
    try:
        with pa.OSFile(str(path)) as raw:
            stream = pa.CompressedInputStream(raw, "gzip") if path.suffix == ".gz" else raw
            reader = pa.csv.open_csv(
                stream,
                read_options=pa.csv.ReadOptions(use_threads=False, block_size=4 << 20),
                convert_options=pa.csv.ConvertOptions(
                    column_types=types, include_columns=list(types), strings_can_be_null=False
                ),
            )
            for batch in reader:
                yield batch, min(1.0, raw.tell() / size)
    except pa.ArrowException as error:
        raise InputError(f"{path}: {first_line(error)}") from None
    except OSError as error:
        if error.errno is not None:
            raise InputError(f"{path}: {os.strerror(error.errno)}: it can't be read") from None
        raise InputError(f"{path}: {first_line(error)}: the file is damaged or cut off") from None


def _events(path: Path, writer: TraceWriter, progress: Callable[[float], None]) -> set[str]:
    letters: set[str] = set()
    line, last = 2, 0
    for batch, done in _csv(path, _EVENT_TYPES):
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
            letters = " ".join(event.letter for event in Event)
            raise InputError(f"{path}: line {line + row}: ev is {letter!r}, expected one of {letters}")
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
                raise InputError(f"{path}: line {line + row}: x is {text!r} for ev {chr(code)}") from None
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


def _table(path: Path, types: dict[str, pa.DataType]) -> pa.Table:
    return pa.Table.from_batches([batch for batch, _ in _csv(path, types)], schema=pa.schema(list(types.items())))


def _residency(source: Path, writer: TraceWriter, clock: Clock) -> None:
    path = _find(source, "rss.csv.gz", "rss.csv")
    if path is None:
        return
    names = ("ram_resident_kib", "rss_kib", "memfd_kib")
    table = _table(path, {"host_ns": pa.int64(), **{name: pa.int64() for name in names}})
    time = _guest_times(clock, table["host_ns"].to_numpy())
    writer.add_residency(pa.table({"time": time, **{name: table[name] for name in names}}))


def _reported(source: Path, writer: TraceWriter, clock: Clock) -> None:
    path = _find(source, "reported.csv.gz", "reported.csv")
    if path is None:
        return
    types = {"t_host_ns": pa.int64(), "gpa": pa.int64(), "len": pa.int64(), "ret": pa.int32()}
    table = _table(path, types)
    if not table.num_rows:
        return
    gpa, length = table["gpa"].to_numpy(), table["len"].to_numpy()
    if ((gpa | length) & 4095).any():
        row = int(((gpa | length) & 4095 != 0).argmax())
        raise InputError(f"{path}: line {row + 2}: a discarded range is not whole pages of 4096 bytes")
    time = _guest_times(clock, table["t_host_ns"].to_numpy())
    writer.add_reported(pa.table({"time": time, "pfn": gpa >> 12, "pages": length >> 12, "ret": table["ret"]}))


def _bitmaps(source: Path, writer: TraceWriter, clock: Clock) -> None:
    path = source / "resident.npz"
    if not path.exists():
        return
    try:
        with np.load(path, allow_pickle=False) as data:
            times, bits = data["t_ns"], data["bits"]
    except (ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(f"{path}: not the residency bitmaps of a run ({first_line(error)})") from None
    if times.dtype != np.int64 or bits.dtype != np.uint8 or bits.shape[:1] != times.shape or bits.ndim != 2:
        raise InputError(f"{path}: expected t_ns int64 [n] and bits uint8 [n, pages / 8]")
    writer.add_residency_bitmaps(_guest_times(clock, times), bits)
