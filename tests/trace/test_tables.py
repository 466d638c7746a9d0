"""The Parquet files beside a bundle's events: what is read of them, and what is refused."""

import os
import resource
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pagehint.errors import InputError
from pagehint.trace.tables import HOST_STATE_SCHEMA, MARK_SCHEMA, REPORTED_SCHEMA, first_line, read_table


def write(path: Path, schema: pa.Schema, **more: Any) -> Path:
    columns = {field.name: ["a", "b"] if pa.types.is_string(field.type) else [1, 2] for field in schema}
    pq.write_table(pa.table({**columns, **more}), path)
    return path


@pytest.mark.parametrize("schema", [MARK_SCHEMA, REPORTED_SCHEMA, HOST_STATE_SCHEMA])
def test_what_was_written_is_read(tmp_path: Path, schema: pa.Schema) -> None:
    columns = {
        field.name: pa.array(["a", "b"] if pa.types.is_string(field.type) else [1, 2], field.type) for field in schema
    }
    pq.write_table(pa.table(columns, schema=schema), tmp_path / "a.parquet")
    table = read_table(tmp_path / "a.parquet", schema)
    assert table.schema == schema
    assert table.num_rows == 2
    # A column more is nothing to it.
    pq.write_table(pa.table({**columns, "more": [1, 2]}), tmp_path / "a.parquet")
    assert read_table(tmp_path / "a.parquet", schema).column_names == schema.names


@given(st.lists(st.integers(-(2**62), 2**62), max_size=20))
@settings(max_examples=50)
def test_times_go_on(tmp_path_factory: pytest.TempPathFactory, times: list[int]) -> None:
    path = tmp_path_factory.getbasetemp() / "times.parquet"
    pq.write_table(
        pa.table({"time": pa.array(times, pa.int64()), "text": pa.array([str(time) for time in times], pa.string())}),
        path,
    )
    if times == sorted(times):
        assert read_table(path, MARK_SCHEMA)["time"].to_pylist() == times
    else:
        at = next(at for at in range(1, len(times)) if times[at] < times[at - 1])
        with pytest.raises(InputError, match=f"times.parquet: row {at}: the time goes backwards"):
            read_table(path, MARK_SCHEMA)


@pytest.mark.parametrize(
    ("more", "error"),
    [
        ({"time": [1, None]}, "column 'time' has nulls: expected a value in every row"),
        ({"text": [None, "b"]}, "column 'text' has nulls"),
        ({"time": [1, (1 << 62) + 1]}, "has a time that no clock tells"),
        ({"time": ["1", "2"]}, "time"),
        ({"time": [1.0, 2.0]}, "time"),
        ({"text": [b"\xff", b"b"]}, "text"),
    ],
)
def test_what_can_not_be_is_named(tmp_path: Path, more: dict[str, Any], error: str) -> None:
    with pytest.raises(InputError, match=rf"a\.parquet: .*{error}"):
        read_table(write(tmp_path / "a.parquet", MARK_SCHEMA, **more), MARK_SCHEMA)


def test_a_column_that_is_there_twice_is_named(tmp_path: Path) -> None:
    """It was said to be missing, among those that were found."""
    path = tmp_path / "marks.parquet"
    table = pa.table({"time": pa.array([5]), "text": pa.array(["a"])})
    pq.write_table(table.append_column("text", table["text"]), path)
    with pytest.raises(InputError, match="has 2 columns 'text', expected one"):
        read_table(path, MARK_SCHEMA)


def test_a_long_footer_is_refused_before_it_takes_memory(tmp_path: Path) -> None:
    """It is 11 times as large in memory: a bundle of files of 20,000 tiny groups of rows took 1.2 GiB."""
    path, table = tmp_path / "marks.parquet", pa.table({"time": [5] * 1000, "text": ["a"] * 1000})
    pq.write_table(table.replace_schema_metadata({"more": "x" * (5 << 20)}), path)
    with pytest.raises(InputError, match=r"bytes only say where its columns and groups of rows are: write it anew in"):
        read_table(path, MARK_SCHEMA)
    pq.write_table(table, path, row_group_size=1)
    assert read_table(path, MARK_SCHEMA).num_rows == 1000


def test_a_column_that_is_missing_is_named(tmp_path: Path) -> None:
    pq.write_table(pa.table({"time": [1]}), tmp_path / "a.parquet")
    with pytest.raises(InputError, match=r"a\.parquet: .*text"):
        read_table(tmp_path / "a.parquet", MARK_SCHEMA)


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1PAR1", b"not parquet at all", bytes(1000)])
def test_what_is_no_parquet_file(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.parquet").write_bytes(content)
    with pytest.raises(InputError, match=r"a\.parquet: damaged, or not whole \(.*\): make it again"):
        read_table(tmp_path / "a.parquet", MARK_SCHEMA)


def test_rows_behind_a_damaged_page_are_missed(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    columns = {"time": pa.array(range(100)), "text": pa.array(["x"] * 100)}
    pq.write_table(pa.table(columns, schema=MARK_SCHEMA), path, use_dictionary=False)
    whole = bytearray(path.read_bytes())
    assert whole[5] == 0  # its kind: of data
    whole[5] = 2  # of an index
    path.write_bytes(whole)
    with pytest.raises(InputError, match=r"a\.parquet: damaged \(100 of its rows can't be read\)"):
        read_table(path, MARK_SCHEMA)


@given(st.data())
@settings(max_examples=150)
def test_a_flipped_bit_is_an_error_or_changes_nothing_that_is_read(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.getbasetemp() / "flipped.parquet"
    columns = {
        name: pa.array(range(100), type_)
        for name, type_ in zip(REPORTED_SCHEMA.names, REPORTED_SCHEMA.types, strict=True)
    }
    written = pa.table(columns, schema=REPORTED_SCHEMA)
    pq.write_table(written, path, write_page_checksum=True)
    whole = bytearray(path.read_bytes())
    whole[data.draw(st.integers(0, len(whole) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(whole)
    try:
        table = read_table(path, REPORTED_SCHEMA)
    except InputError:
        return
    assert table == written


@pytest.mark.parametrize(
    ("rows", "text", "error"),
    [(1 << 22, "x", r"unpacks to \d+ rows, far more than"), (1 << 18, "x" * 400, "more than")],
)
def test_a_small_file_of_much_is_refused(tmp_path: Path, rows: int, text: str, error: str) -> None:
    table = pa.table({"time": pa.array([7] * rows, pa.int64()), "text": pa.array([text] * rows, pa.string())})
    pq.write_table(table, tmp_path / "a.parquet")
    with pytest.raises(InputError, match=error):
        read_table(tmp_path / "a.parquet", MARK_SCHEMA)


def test_an_errors_first_line() -> None:
    assert first_line(ValueError("one.\ntwo")) == "one"
    assert first_line(ValueError("")) == "ValueError"
    assert first_line(ValueError("\x1b[31m")) == "\\x1b[31m"


def test_what_the_machine_refuses_is_no_damage(tmp_path: Path) -> None:
    """It said "damaged, or not whole: make it again"."""
    path = write(tmp_path / "a.parquet", MARK_SCHEMA)
    read_table(path, MARK_SCHEMA)  # what is loaded, and opened, the first time
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.open(path, os.O_RDONLY)
    os.close(free)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (free + 1, limits[1]))  # one more
        with pytest.raises(InputError, match=r"a\.parquet: Too many open files: it can't be read$"):
            read_table(path, MARK_SCHEMA)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
