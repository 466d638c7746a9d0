"""The Parquet files of a bundle beside the events: the marks, and what the host measured."""

import errno
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pagehint.errors import NO_MORE_THREADS, InputError, printable
from pagehint.inputs import open_input
from pagehint.trace.events import MAX_KIB, MAX_TIME

__all__ = [
    "BITMAP_SCHEMA",
    "HOST_COLUMNS",
    "HOST_STATE_SCHEMA",
    "MARK_SCHEMA",
    "MISFITS",
    "REPORTED_SCHEMA",
    "RESIDENCY_SCHEMA",
    "first_line",
    "open_parquet",
    "read_batches",
    "read_table",
    "residency_table",
]


def _schema(*columns: tuple[str, pa.DataType], nullable: tuple[tuple[str, pa.DataType], ...] = ()) -> pa.Schema:
    return pa.schema([pa.field(*column, nullable=False) for column in columns] + [pa.field(*each) for each in nullable])


MARK_SCHEMA = _schema(("time", pa.int64()), ("text", pa.string()))

RESIDENCY_SCHEMA = _schema(
    ("time", pa.int64()),
    nullable=(("ram_resident_kib", pa.int64()), ("rss_kib", pa.int64()), ("memfd_kib", pa.int64())),
)

BITMAP_SCHEMA = _schema(("time", pa.int64()), ("bits", pa.binary()))

HOST_COLUMNS = ("huge_kib", "swapped_kib", "thp_fault_alloc", "thp_collapse_alloc", "pswpin", "pswpout")
HOST_STATE_SCHEMA = _schema(("time", pa.int64()), nullable=tuple((name, pa.int64()) for name in HOST_COLUMNS))

REPORTED_SCHEMA = _schema(("time", pa.int64()), ("pfn", pa.int64()), ("pages", pa.int64()), ("ret", pa.int32()))


# What a recording of a real guest has is far below; a small file of one repeated value is not.
_FREE_ROWS = 1 << 20
_ROWS_A_BYTE = 32
_MOST_GROUP = 1 << 28
_FREE_BYTES = 1 << 26
# Arrow takes some 11 bytes for each of what a file says of its groups of rows and columns, before it can be asked.
_FREE_FOOTER = 1 << 22
_FOOTER_SHARE = 4
_DESCRIPTORS = "/proc/self/fd" if Path("/proc/self/fd").is_dir() else "/dev/fd"  # a minimal guest lacks the latter
_BYTES_A_BYTE = 200
_BATCH_ROWS = 1 << 12
_BATCH_TEXTS = 1 << 5
# Arrow's errors are also Python's own of the kind, each of another: no one of those is a base of them all.
MISFITS = (pa.ArrowException, ValueError, TypeError, OverflowError)
"""What Arrow raises for values that a column or a table can't be made of."""
# What it raises for a file that is damaged; a flipped byte may ask for any amount of memory.
_PARQUET_ERRORS = (*MISFITS, OSError, KeyError, RuntimeError, MemoryError)


@contextmanager
def _parquet_errors(path: Path) -> Iterator[None]:
    """What Arrow raises for a damaged file becomes an InputError that names it."""
    try:
        yield
    except InputError:
        raise
    except _PARQUET_ERRORS as error:
        # What the machine refuses says nothing of the file.
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
            gone = error.errno == errno.ENOENT and "/proc is not mounted, and files are read through it"
            raise InputError(f"{path}: {gone or os.strerror(error.errno)}: it can't be read") from None
        if "Failed to launch" in str(error):
            raise InputError(f"{path}: {NO_MORE_THREADS}: it can't be read") from None
        raise InputError(f"{path}: damaged, or not whole ({first_line(error)}): make it again") from None


@contextmanager
def open_parquet(path: Path, schema: pa.Schema) -> Iterator[pq.ParquetFile]:
    """Open a Parquet file that has the columns of `schema`; the checksums of its pages are verified.

    Raises InputError where it isn't one, where it unpacks to more than a recording would, and for what Arrow raises
    in the with block.
    """
    with open_input(path) as file, _parquet_errors(path):
        size = os.fstat(file.fileno()).st_size
        _check_footer(path, file.fileno(), size)
        # Arrow's threads outlive Python's last line, and abort the process where they free a Python object after it:
        # they read from the descriptor.
        with (
            pa.OSFile(f"{_DESCRIPTORS}/{file.fileno()}") as source,
            pq.ParquetFile(source, page_checksum_verification=True) as parquet,
        ):
            _check_groups(path, parquet.metadata, size)
            _check_schema(path, parquet.schema_arrow, schema)
            yield parquet


def _check_footer(path: Path, descriptor: int, size: int) -> None:
    """Raise InputError where what a file says of its groups of rows is far more than their data want."""
    footer = int.from_bytes(os.pread(descriptor, 4, max(0, size - 8)), "little")
    if footer <= size and footer > _FREE_FOOTER + size // _FOOTER_SHARE:
        raise InputError(
            f"{path}: {footer} of its {size} bytes only say where its columns and groups of rows are: write it anew "
            "in groups of 10,000 rows and more (pyarrow.parquet.write_table's row_group_size)"
        )


def _check_groups(path: Path, metadata: pq.FileMetaData, size: int) -> None:
    """Raise InputError where a file's groups of rows are damaged, or unpack to more than a recording would."""
    groups = [metadata.row_group(index) for index in range(metadata.num_row_groups)]
    rows = sum(group.num_rows for group in groups)
    if rows != metadata.num_rows or any(group.num_rows < 0 for group in groups):
        raise InputError(f"{path}: damaged (it counts its rows in two ways): make it again")
    if (most := max((group.total_byte_size for group in groups), default=0)) > _MOST_GROUP:
        raise InputError(f"{path}: a group of its rows unpacks to {most} bytes, expected up to {_MOST_GROUP}")
    if rows > _FREE_ROWS + _ROWS_A_BYTE * size:
        raise InputError(f"{path}: unpacks to {rows} rows, far more than its {size} bytes: no recording does")


def read_batches(file: pq.ParquetFile, path: Path, schema: pa.Schema, rows: int) -> Iterator[pa.RecordBatch]:
    """The columns of `schema`, batch by batch, without a null where the schema has none. Raises InputError."""
    missing = file.metadata.num_rows
    for batch in file.iter_batches(rows, columns=schema.names, use_threads=False):
        missing -= batch.num_rows
        for field in schema:
            column = batch.column(field.name)
            if column.null_count and not field.nullable:
                raise InputError(f"{path}: column {field.name!r} has nulls: expected a value in every row")
            if pa.types.is_string(field.type):
                column.validate(full=True)
        yield pa.RecordBatch.from_arrays([batch.column(name) for name in schema.names], schema=schema)
    # Arrow ends at a page whose header says that it is none.
    if missing:
        raise InputError(f"{path}: damaged ({missing} of its rows can't be read): make it again")


def read_table(path: Path, schema: pa.Schema, counted: Iterable[str] = ()) -> pa.Table:
    """A small table, whole; its times don't go backwards. `counted`: columns of pages or KiB. Raises InputError."""
    batches: list[pa.RecordBatch] = []
    size = 0
    with open_parquet(path, schema) as file:
        most = _FREE_BYTES + _BYTES_A_BYTE * path.stat().st_size
        # A text that is stored once may stand in every row.
        texts = any(pa.types.is_string(field.type) for field in schema)
        for batch in read_batches(file, path, schema, _BATCH_TEXTS if texts else _BATCH_ROWS):
            size += batch.nbytes
            if size > most:
                raise InputError(f"{path}: unpacks to more than {most} bytes: no recording does")
            batches.append(batch)
    table = pa.Table.from_batches(batches, schema=schema)
    times = table.column("time").to_numpy()
    if len(times) and not -MAX_TIME <= times.min() <= times.max() <= MAX_TIME:
        raise InputError(f"{path}: has a time that no clock tells: make it again")
    if (backwards := times[1:] < times[:-1]).any():
        raise InputError(f"{path}: row {int(backwards.argmax()) + 1}: the time goes backwards: make it again")
    for column in counted:
        numbers = table[column].drop_null()
        if len(numbers) and not 0 <= pc.min(numbers).as_py() <= pc.max(numbers).as_py() <= MAX_KIB:
            raise InputError(f"{path}: column {column!r} has a number that no machine has: make it again")
    return table


def residency_table(times: NDArray[np.int64], columns: Mapping[str, pa.ChunkedArray]) -> pa.Table:
    """A table of RESIDENCY_SCHEMA, null in all but `columns`, which may be some of its own."""
    absent = pa.nulls(len(times), pa.int64())
    return pa.table({"time": times, **{name: columns.get(name, absent) for name in RESIDENCY_SCHEMA.names[1:]}})


def _check_schema(path: Path, found: pa.Schema, expected: pa.Schema) -> None:
    """Raise InputError unless `found` has the columns of `expected`; more columns are allowed."""
    for field in expected:
        if found.names.count(field.name) > 1:
            raise InputError(
                f"{path}: has {found.names.count(field.name)} columns {field.name!r}, expected one: make it again"
            )
        index = found.get_field_index(field.name)
        if index < 0:
            raise InputError(
                f"{path}: column {field.name!r} is missing (found {', '.join(found.names)[:200] or 'none'}): "
                "docs/trace-format.md defines the columns"
            )
        if found.field(index).type != field.type:
            raise InputError(f"{path}: column {field.name!r} is {found.field(index).type}, expected {field.type}")


def first_line(error: Exception) -> str:
    """The first line of an error's text, without its full stop."""
    return printable((str(error).splitlines() or [type(error).__name__])[0][:200].rstrip("."))
