"""Writing a trace bundle: to a temporary folder beside it, renamed when it is whole."""

import dataclasses
import gzip
import os
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from errno import EDQUOT, EFBIG, ENOSPC
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import ArrayLike, NDArray

from pagehint.errors import InputError
from pagehint.inputs import GZIP_MAGIC, as_path, check_not_packed, open_input, read_text
from pagehint.partial import claim, partial_path, remove_leftovers
from pagehint.trace.bundle import Trace
from pagehint.trace.check import EventCheck, checksums, places
from pagehint.trace.events import EVENT_SCHEMA
from pagehint.trace.meta import Meta, ZoneLayout, write_meta
from pagehint.trace.snapshot import END, KPAGEFLAGS, LOOK, START, TEXTS, Snapshot
from pagehint.trace.tables import (
    BITMAP_SCHEMA,
    HOST_STATE_SCHEMA,
    MARK_SCHEMA,
    MISFITS,
    REPORTED_SCHEMA,
    RESIDENCY_SCHEMA,
    first_line,
)
from pagehint.units import check_kind, shown, whole_number

__all__ = ["TraceWriter"]

# Rows of a row group of the events: what a reader holds in memory at once is about 30 bytes each.
_GROUP_ROWS = 1 << 18
_BITMAP_GROUP_BYTES = 16 << 20

# Times are deltas that no general compressor would find; bytes of neighbouring pfns compress apart;
# the rest are few distinct values in long runs. LZ4 takes a fifth more than zstd, and is read in half the time.
_EVENT_ENCODING = {"time": "DELTA_BINARY_PACKED", "pfn": "BYTE_STREAM_SPLIT"}
_EVENT_DICTIONARY = [name for name in EVENT_SCHEMA.names if name not in _EVENT_ENCODING]


# A cast to what it is already takes as long as a copy of some thousand rows.
def _as(column: ArrayLike, field: pa.Field) -> NDArray[np.generic]:
    try:
        array = np.asarray(column)
        if array.dtype == field.type.to_pandas_dtype():
            return array
        cast: NDArray[np.generic] = pa.array(array).cast(field.type).to_numpy()
    except MISFITS as error:
        raise InputError(f"events: column {field.name}: {first_line(error)}") from None
    return cast


def _whole(columns: Mapping[str, ArrayLike]) -> dict[str, NDArray[np.generic]]:
    check_kind("events", columns, Mapping, "arrays by column")
    if missing := [name for name in EVENT_SCHEMA.names if name not in columns]:
        raise InputError(f"events: no column {missing[0]}: expected {', '.join(EVENT_SCHEMA.names)}")
    arrays = {field.name: _as(columns[field.name], field) for field in EVENT_SCHEMA}
    if len({array.shape for array in arrays.values()}) > 1 or arrays["time"].ndim != 1:
        raise InputError("events: columns of several lengths: expected a value of each for each event")
    return arrays


def _table(name: str, rows: Sequence[tuple[object, ...]], schema: pa.Schema) -> pa.Table:
    try:
        columns = [pa.array([row[place] for row in rows], field.type) for place, field in enumerate(schema)]
    except MISFITS as error:
        raise InputError(f"{name}: {first_line(error)}") from None
    return pa.table(columns, schema=schema)


class TraceWriter:
    """Writes the bundle `path`; a context manager.

    Call `finish` last: only then does the bundle exist. Leaving without it, or by an exception, leaves nothing.
    `live`: who records meanwhile wants it quick: events have no dictionaries. Raises InputError where `path` exists
    already.
    """

    def __init__(self, path: str | Path, live: bool = False) -> None:
        self.path = as_path(path, "is no output: expected the path of a bundle, NAME.pagetrace")
        if os.path.lexists(self.path):
            raise InputError(f"{self.path}: exists already: remove it first, or choose another output")
        if not self.path.parent.is_dir():
            raise InputError(f"{self.path.parent}: no such folder for the output: make it first")
        self._check = EventCheck()
        self._marks: list[tuple[int, str]] = []
        self._zones: list[ZoneLayout] = []
        self._group = [np.empty(_GROUP_ROWS, field.type.to_pandas_dtype()) for field in EVENT_SCHEMA]
        self._filled = 0
        remove_leftovers(self.path)
        self._temp = partial_path(self.path)
        self._lock = -1
        try:
            self._temp.mkdir()
            self._lock = claim(self._temp, self.path)
            self._events = self._parquet(
                "events",
                EVENT_SCHEMA,
                compression="zstd" if live else "lz4",
                use_dictionary=False if live else _EVENT_DICTIONARY,
                column_encoding=_EVENT_ENCODING,
            )
        except BaseException as error:
            self._remove()
            self._refuse(error)
            raise

    @property
    def partial(self) -> Path:
        """The folder that `finish` makes the bundle; what is temporary may lie in it until then."""
        return self._temp

    @property
    def events(self) -> dict[str, int]:
        """Events so far, by letter."""
        return self._check.by_letter

    def _remove(self) -> None:
        shutil.rmtree(self._temp, ignore_errors=True)
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        try:
            self._events.close()
        except OSError as refused:
            error = error or refused
        finally:
            self._remove()
        self._refuse(error)

    # Who reads names the file: what has no other name is of what is written here.
    def _refuse(self, error: BaseException | None) -> None:
        if isinstance(error, UnicodeEncodeError):
            raise InputError(f"{self.path}: the name is not UTF-8: choose another output") from None
        if not isinstance(error, OSError):
            return
        full = error.errno in (ENOSPC, EDQUOT, EFBIG)
        if full or error.filename is None or Path(os.fsdecode(error.filename)).is_relative_to(self._temp):
            reason = os.strerror(error.errno) if error.errno else str(error)
            raise InputError(f"{self.path}: {reason}: choose another output") from None

    def add_mark(self, time: int, text: str) -> int:
        """Add a mark at `time` ns; returns the `detail` of its MARK event, which the caller adds where it belongs."""
        time = whole_number("a mark's time", time, -(1 << 63), (1 << 63) - 1)
        check_kind("a mark's text", text, str, "a str")
        self._marks.append((time, text))
        return len(self._marks) - 1

    def add_events(self, columns: Mapping[str, ArrayLike], place: Callable[[int], str] | None = None) -> None:
        """Add events: an array a column of EVENT_SCHEMA, all of one length. Raises InputError on a bad row.

        `place` names the place of a row of these in the source, for the error.
        """
        arrays = _whole(columns)
        self._check(arrays, self._zones, place or places(f"{self.path}: row", self._check.rows))
        done, rows = 0, len(arrays["time"])
        while done < rows:
            more = min(rows - done, _GROUP_ROWS - self._filled)
            for group, array in zip(self._group, arrays.values(), strict=True):
                group[self._filled : self._filled + more] = array[done : done + more]
            self._filled += more
            done += more
            if self._filled == _GROUP_ROWS:
                self._flush()

    def _flush(self) -> None:
        rows = [pa.array(array[: self._filled]) for array in self._group]
        self._events.write_table(pa.table(rows, schema=EVENT_SCHEMA), row_group_size=_GROUP_ROWS)
        self._filled = 0

    def add_snapshot(self, files: Mapping[str, Path], name: str = START) -> Snapshot:
        """Copy a snapshot: `files` are paths by name (TEXTS, and kpageflags, raw or .gz). Returns the copy.

        That of the start (`name` "snapshot") gives the zones that events are checked against. Raises InputError
        where its files don't fit together.
        """
        check_kind("files", files, Mapping, "paths by name")
        if not isinstance(name, str) or (name not in (START, END) and not LOOK.fullmatch(name)):
            raise InputError(f"a snapshot named {shown(name)}: expected {START}, {END}, or look and a number")
        folder = self._temp / name
        folder.mkdir()
        copies = {each: folder / (KPAGEFLAGS if each == "kpageflags" else f"{each}.txt") for each in files}
        for each in TEXTS:
            if each in files:
                copies[each].write_text(read_text(files[each]), "utf-8", "replace", newline="")
        if "kpageflags" in files:
            _pack(files["kpageflags"], copies["kpageflags"])
        snapshot = Snapshot(folder)
        try:
            snapshot.check()
            if name == START:
                self._zones = snapshot.zones
        except InputError as error:
            text = str(error)
            for each, path in files.items():
                text = text.replace(str(copies[each]), str(path))
            raise InputError(text.replace(str(folder), str(next(iter(files.values())).parent))) from None
        return snapshot

    def add_residency(self, table: pa.Table) -> None:
        """Add the host's samples: a table of RESIDENCY_SCHEMA, times ns of the guest's clock."""
        self._write("residency", table, RESIDENCY_SCHEMA)

    def add_host_state(self, table: pa.Table) -> None:
        """Add how the host held the guest's memory: a table of HOST_STATE_SCHEMA, times ns of the guest's clock."""
        self._write("host_state", table, HOST_STATE_SCHEMA)

    def add_residency_bitmaps(self, rows: Iterable[tuple[int, NDArray[np.uint8]]]) -> None:
        """Add residency bitmaps: times (ns), and a bit per page, the first in the highest bit of byte 0.

        Holds 16 MiB of them at once.
        """
        with self._parquet("residency_bitmaps", BITMAP_SCHEMA) as file:
            group: list[tuple[int, bytes]] = []
            size = 0
            for time, bits in rows:
                group.append((time, bits.tobytes()))
                size += len(bits)
                if size >= _BITMAP_GROUP_BYTES:
                    self._bitmap_group(file, group)
                    group, size = [], 0
            self._bitmap_group(file, group)

    @staticmethod
    def _bitmap_group(file: pq.ParquetWriter, group: list[tuple[int, bytes]]) -> None:
        if group:
            file.write_table(_table("residency_bitmaps", group, BITMAP_SCHEMA))

    def add_reported(self, table: pa.Table) -> None:
        """Add the ranges that the host discarded: a table of REPORTED_SCHEMA, times ns of the guest's clock."""
        self._write("reported", table, REPORTED_SCHEMA)

    def _parquet(self, name: str, schema: pa.Schema, compression: str = "zstd", **options: Any) -> pq.ParquetWriter:
        path = self._temp / f"{name}.parquet"
        return pq.ParquetWriter(path, schema, compression=compression, write_page_checksum=True, **options)

    def _write(self, name: str, table: pa.Table, schema: pa.Schema) -> None:
        if not isinstance(table, pa.Table):
            raise InputError(f"{name}: {shown(table)}: expected a pyarrow Table")
        try:
            whole = table.cast(schema)
        except MISFITS as error:
            raise InputError(f"{name}: {first_line(error)}") from None
        with self._parquet(name, schema) as file:
            file.write_table(whole)

    def finish(self, meta: Meta) -> None:
        """Complete `meta` with what the events say, and make the bundle exist. Raises InputError where it has none."""
        check_kind("meta", meta, Meta, "a Meta")
        if not self._check.rows:
            raise InputError(f"{meta.source}: holds no events: nothing was written")
        self._flush()
        self._events.close()
        self._write("marks", _table("marks", self._marks, MARK_SCHEMA), MARK_SCHEMA)
        whole = dataclasses.replace(
            meta,
            cpus=self._check.cpus,
            events=self.events,
            first_ns=self._check.first_time,
            last_ns=self._check.last_time,
            pfn_end=self._check.pfn_end,
            anomalies={**meta.anomalies, **self._check.anomalies},
            crc32=checksums(self._temp),
        )
        write_meta(whole, self._temp / "meta.json")
        try:
            Trace.open(self._temp).check()
        except InputError as error:
            # What it was made of says so: there is no bundle yet.
            text = str(error).replace(str(self._temp / "meta.json"), meta.source)
            raise InputError(text.replace(str(self._temp), str(self.path))) from None
        try:
            self._temp.rename(self.path)
        except OSError:
            if not os.path.lexists(self.path):
                raise
            raise InputError(f"{self.path}: was made by somebody else meanwhile: choose another output") from None


# Streamed: the kpageflags of a guest of 256 GiB are 512 MiB.
def _pack(source: Path, target: Path) -> None:
    with open_input(source) as file, target.open("wb") as out:
        check_not_packed(file, source)
        if file.peek(2).startswith(GZIP_MAGIC):
            shutil.copyfileobj(file, out, 1 << 20)
            return
        with gzip.GzipFile(fileobj=out, mode="wb", compresslevel=6, mtime=0) as packed:
            shutil.copyfileobj(file, packed, 1 << 20)
