"""The Parquet files of a bundle beside the events: the marks, and what the host measured."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pagehint.errors import InputError

__all__ = ["BITMAP_SCHEMA", "MARK_SCHEMA", "REPORTED_SCHEMA", "RESIDENCY_SCHEMA", "check_schema", "open_parquet"]


def _schema(*columns: tuple[str, pa.DataType], nullable: tuple[tuple[str, pa.DataType], ...] = ()) -> pa.Schema:
    return pa.schema([pa.field(*column, nullable=False) for column in columns] + [pa.field(*each) for each in nullable])


MARK_SCHEMA = _schema(("time", pa.int64()), ("text", pa.string()))

RESIDENCY_SCHEMA = _schema(
    ("time", pa.int64()),
    nullable=(("ram_resident_kib", pa.int64()), ("rss_kib", pa.int64()), ("memfd_kib", pa.int64())),
)

BITMAP_SCHEMA = _schema(("time", pa.int64()), ("bits", pa.binary()))

REPORTED_SCHEMA = _schema(("time", pa.int64()), ("pfn", pa.int64()), ("pages", pa.int64()), ("ret", pa.int32()))


def open_parquet(path: Path) -> pq.ParquetFile:
    """Open a Parquet file whose pages' checksums are verified. Raises InputError where it isn't one."""
    try:
        return pq.ParquetFile(path, memory_map=True, page_checksum_verification=True)
    except UnicodeEncodeError:
        raise InputError(f"{path}: the name is not UTF-8: rename it") from None
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, PermissionError):
            raise InputError(f"{path}: permission denied: make it readable") from None
        raise InputError(f"{path}: not a whole Parquet file ({first_line(error)}): import the bundle again") from None


def check_schema(path: Path, found: pa.Schema, expected: pa.Schema) -> None:
    """Raise InputError unless `found` has the columns of `expected`; more columns are allowed."""
    for field in expected:
        index = found.get_field_index(field.name)
        if index < 0:
            raise InputError(
                f"{path}: column {field.name!r} is missing (found {', '.join(found.names) or 'none'}): "
                "docs/trace-format.md defines the columns"
            )
        if found.field(index).type != field.type:
            raise InputError(f"{path}: column {field.name!r} is {found.field(index).type}, expected {field.type}")


def first_line(error: Exception) -> str:
    """The first line of an error's text, without its full stop."""
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
