"""CSV files of a recording, and the host's times in them."""

import io
import os
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
from numpy.typing import NDArray

from pagehint.errors import InputError
from pagehint.inputs import open_input, unpacked
from pagehint.trace.events import MAX_KIB, MAX_TIME
from pagehint.trace.meta import Clock
from pagehint.trace.tables import RESIDENCY_SCHEMA, first_line, residency_table
from pagehint.trace.writer import TraceWriter

__all__ = ["add_residency", "csv_batches", "csv_table", "guest_times"]

_RESIDENCY = RESIDENCY_SCHEMA.names[1:]
_BLOCK = 4 << 20
_MOST_BEYOND = 16  # what a VM holds beside its guest's zones is no such multiple of them
_ROW = re.compile(r"Row #(\d{1,9})", re.ASCII)


def csv_batches(
    path: Path, types: dict[str, pa.DataType], whole_lines: bool = False
) -> Iterator[tuple[pa.RecordBatch, float]]:
    """The rows of a CSV file, gzipped or not, batch by batch, with the part of the file read so far (0 to 1).

    Raises InputError.
    """
    with open_input(path) as file:
        size = os.fstat(file.fileno()).st_size or 1
        for block, line in _blocks(unpacked(file, path), path, whole_lines):
            try:
                table = pa.csv.read_csv(
                    pa.BufferReader(block),
                    read_options=pa.csv.ReadOptions(use_threads=False),
                    convert_options=pa.csv.ConvertOptions(
                        column_types=types, include_columns=list(types), strings_can_be_null=False
                    ),
                )
            except pa.ArrowException as error:
                raise InputError(f"{path}: {_with_line(first_line(error), line)}") from None
            for batch in table.to_batches():
                yield batch, min(1.0, file.tell() / size)


def _with_line(what: str, before: int) -> str:
    row = _ROW.search(what)
    return what if row is None else f"{what[: row.start()]}line {int(row[1]) + before}{what[row.end() :]}"


# Whole lines behind the head, and how many lines of the file stand between the two. Arrow doesn't read the file itself:
# where it calls back into Python, an error there ends the process now and then.
def _blocks(file: io.BufferedReader, path: Path, whole_lines: bool) -> Iterator[tuple[bytes, int]]:
    head, rest, lines = b"", b"", 0
    while chunk := file.read(_BLOCK):
        end = chunk.rfind(b"\n") + 1
        if not end:
            rest += chunk
            if len(rest) > 2 * _BLOCK:
                raise InputError(f"{path}: line {lines + 1} is longer than {_BLOCK >> 20} MiB: no table's is")
            continue
        block, rest = rest + chunk[:end], chunk[end:]
        yield head + block, max(lines - 1, 0)
        head = head or block[: block.index(b"\n") + 1]
        lines += block.count(b"\n")
    if (rest and not (whole_lines and lines)) or not lines:
        yield head + rest, max(lines - 1, 0)


def csv_table(path: Path, types: dict[str, pa.DataType], whole_lines: bool = False) -> pa.Table:
    """A CSV file that fits into memory as a table; with `whole_lines` without a last line that has no end.

    Raises InputError.
    """
    return pa.Table.from_batches(
        [batch for batch, _ in csv_batches(path, types, whole_lines)], schema=pa.schema(list(types.items()))
    )


def _check(path: Path, name: str, numbers: NDArray[np.int64], bad: NDArray[np.bool_], why: str) -> None:
    if bad.any():
        row = int(bad.argmax())
        raise InputError(f"{path}: line {row + 2}: {name} is {numbers[row]}{why}")


def guest_times(clock: Clock, host: pa.ChunkedArray, path: Path) -> NDArray[np.int64]:
    """Guest ns of host ns, which must not go backwards. Raises InputError, which names the line of `path`."""
    if host.null_count:
        raise InputError(f"{path}: a line has no host time")
    times = host.to_numpy()
    bad = (times < 0) | (times > MAX_TIME)
    bad[1:] |= times[1:] < times[:-1]
    _check(path, "the host's time", times, bad, " ns: absurd, or before the line above")
    return clock.guest_times(times)


def add_residency(path: Path, clock: Clock, writer: TraceWriter, memory: int = 0) -> NDArray[np.int64]:
    """Write the host's samples of a CSV file: `host_ns` and some of the columns of residency.parquet.

    `memory` is the guest's in KiB (0: not known). What is written last may be in the midst of a line: that is left out.
    Returns their times, ns of the guest's clock. Raises InputError.
    """
    with open_input(path) as file:
        head = unpacked(file, path).readline(4096).decode("utf-8-sig", "replace").strip().split(",")
    names = [name for name in _RESIDENCY if name in head]
    if "host_ns" not in head or not names:
        raise InputError(f"{path}: expected the columns host_ns and one of {', '.join(_RESIDENCY)}, named in line 1")
    table = csv_table(path, {"host_ns": pa.int64(), **{name: pa.int64() for name in names}}, whole_lines=True)
    times = guest_times(clock, table["host_ns"], path)
    for name in names:
        numbers = table[name].fill_null(0).to_numpy()
        absurd = (numbers < 0) | (numbers > MAX_KIB)
        _check(path, name, numbers, absurd, ": no machine has so much, or less than 0")
        if memory:
            beyond = numbers > _MOST_BEYOND * memory
            _check(path, name, numbers, beyond, f", and the guest has {memory} KiB: is that in bytes?")
    writer.add_residency(residency_table(times, {name: table[name] for name in names}))
    return times
