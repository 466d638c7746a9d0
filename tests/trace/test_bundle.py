import io
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pagehint.errors import InputError
from pagehint.trace import Trace
from pagehint.trace.events import EVENT_SCHEMA
from pagehint.trace.tables import BITMAP_SCHEMA


def rewrite(bundle: Path, name: str = "events", **columns: object) -> None:
    path = bundle / f"{name}.parquet"
    table = pq.read_table(path)
    for column, values in columns.items():
        index = table.schema.get_field_index(column)
        table = table.set_column(index, column, values if isinstance(values, pa.Array) else pa.array(values))
    pq.write_table(table, path)


def replace(trace: Trace, name: str, row: int, value: int) -> pa.Array:
    values = next(iter(trace.batches([name])))[name].copy()
    values[row] = value
    return pa.array(values, EVENT_SCHEMA.field(name).type)


def test_batches_are_views_of_the_columns_asked_for(trace: Trace) -> None:
    batches = list(trace.batches(["pfn", "time"], batch_size=4))
    assert [list(batch) for batch in batches] == 4 * [["pfn", "time"]]
    assert [len(batch["pfn"]) for batch in batches] == [4, 4, 4, 3]
    whole = next(iter(trace.batches()))
    assert list(whole) == EVENT_SCHEMA.names
    assert {name: str(array.dtype) for name, array in whole.items()} == {
        field.name: str(field.type) for field in EVENT_SCHEMA
    }
    assert np.array_equal(np.concatenate([batch["pfn"] for batch in batches]), whole["pfn"])


def test_snapshot(trace: Trace) -> None:
    assert trace.snapshot is not None
    assert trace.final_snapshot is not None
    assert (trace.snapshot.text("pagetypeinfo") or "").startswith("Page block order: 4")
    assert trace.snapshot.text("buddyinfo") is None
    flags = trace.snapshot.kpageflags()
    assert flags is not None
    assert flags.tolist() == list(range(256))
    assert trace.snapshot.zones == trace.meta.zones


def test_a_column_that_is_not_there(trace: Trace) -> None:
    with pytest.raises(InputError, match="events have no column 'pnf': expected some of time, cpu"):
        next(trace.batches(["pnf"]))


def test_a_column_may_be_named_alone_or_twice(trace: Trace) -> None:
    """Of one name each letter was taken for a column, and of two the recording was said to be damaged."""
    for columns in ("pfn", ["pfn", "pfn"]):
        (batch,) = trace.batches(columns)
        assert list(batch) == ["pfn"]


@pytest.mark.parametrize("size", [0, -1, 1.5, True, None, "a", 1 << 70])
def test_a_size_that_no_batch_has(trace: Trace, size: Any) -> None:
    """The recording was said to be damaged."""
    with pytest.raises(InputError, match=r"^batch_size .*: expected 1 to 1073741824$"):
        next(trace.batches(batch_size=size))


def test_not_a_bundle(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such trace bundle"):
        Trace.open(tmp_path / "nothing")
    with pytest.raises(InputError, match="not a whole trace bundle"):
        Trace.open(tmp_path)
    (tmp_path / "file").write_text("x")
    made = f"`pagehint import {tmp_path / 'file'} -o {tmp_path / 'file'}.pagetrace` makes one of it$"
    with pytest.raises(InputError, match=f"is a file, not a trace bundle: if it is a recording, {made}"):
        Trace.open(tmp_path / "file")


def test_what_holds_no_recording_is_not_said_to_be_imported(tmp_path: Path) -> None:
    """Of a device, a pipe and an empty file too, `pagehint import` was to make a bundle."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "empty").touch()
    do = "not a trace bundle: name a bundle's folder, NAME.pagetrace"
    for path, kind in (("/dev/null", "a device"), (tmp_path / "pipe", "a pipe"), (tmp_path / "empty", "an empty file")):
        with pytest.raises(InputError) as raised:
            Trace.open(path)
        assert str(raised.value) == f"{path}: is {kind}, {do}"


@pytest.mark.parametrize("content", [b"", b"PAR1", b"hello world, this is no Parquet file"])
def test_not_parquet(bundle: Path, content: bytes) -> None:
    (bundle / "events.parquet").write_bytes(content)
    with pytest.raises(InputError, match=r"events\.parquet: damaged, or not whole"):
        Trace.open(bundle)


def test_a_name_that_is_not_utf_8(bundle: Path) -> None:
    trace = Trace.open(bundle.rename(bundle.with_name("\udcff")))
    assert sum(len(batch["time"]) for batch in trace.batches()) == trace.num_events


def test_truncated_parquet(bundle: Path) -> None:
    data = (bundle / "events.parquet").read_bytes()
    for size in (4, len(data) // 2, len(data) - 1):
        (bundle / "events.parquet").write_bytes(data[:size])
        with pytest.raises(InputError, match=r"events\.parquet: damaged, or not whole"):
            Trace.open(bundle)


def test_flipped_bits_do_not_pass(bundle: Path) -> None:
    data = (bundle / "events.parquet").read_bytes()
    expected = [{name: array.tolist() for name, array in batch.items()} for batch in Trace.open(bundle).batches()]
    noticed = 0
    for place in range(0, len(data), 7):
        (bundle / "events.parquet").write_bytes(data[:place] + bytes([data[place] ^ 0x10]) + data[place + 1 :])
        try:
            found = [{name: array.tolist() for name, array in batch.items()} for batch in Trace.open(bundle).batches()]
        except InputError:
            noticed += 1
        else:
            assert found == expected
    assert noticed > len(data) / 7 / 4


def test_columns_missing_or_of_other_types(bundle: Path) -> None:
    path = bundle / "events.parquet"
    table = pq.read_table(path)
    pq.write_table(table.drop_columns(["pfn"]), path)
    with pytest.raises(InputError, match=re.escape("column 'pfn' is missing (found time, cpu, pid, event, order")):
        Trace.open(bundle)
    pq.write_table(table.set_column(4, "pfn", table["pfn"].cast(pa.string())), path)
    with pytest.raises(InputError, match="column 'pfn' is string, expected int64"):
        Trace.open(bundle)


def test_a_missing_file(bundle: Path) -> None:
    (bundle / "events.parquet").unlink()
    with pytest.raises(InputError, match=r"has no events\.parquet"):
        Trace.open(bundle)


@pytest.mark.parametrize(
    ("column", "row", "value", "error"),
    [
        ("time", 3, 7, "row 3: the time goes backwards, from 1015 to 7 ns"),
        ("event", 2, 0, "row 2: event 0 is unknown"),
        ("order", 0, 21, "row 0: order 21 is absurd"),
        ("pfn", 14, 1 << 41, "row 14: pfn 2199023255552 is no page of any machine"),
        ("pfn", 1, -5, "row 1: pfn -5 is no page of any machine"),
    ],
)
def test_rows_that_cannot_be(bundle: Path, column: str, row: int, value: int, error: str) -> None:
    rewrite(bundle, **{column: replace(Trace.open(bundle), column, row, value)})
    for size in (2, 1 << 16):
        with pytest.raises(InputError, match=re.escape(error)):
            list(Trace.open(bundle).batches(batch_size=size))


def test_nulls(bundle: Path) -> None:
    rewrite(bundle, order=pa.array([None] * 15, pa.uint8()))
    with pytest.raises(InputError, match="column 'order' has nulls"):
        list(Trace.open(bundle).batches())


def test_rows_and_counts_differ(bundle: Path) -> None:
    path = bundle / "events.parquet"
    pq.write_table(pq.read_table(path).slice(0, 3), path)
    with pytest.raises(InputError, match=r"has 3 rows, but meta\.json counts 15"):
        Trace.open(bundle)


@pytest.mark.parametrize(("key", "time"), [("first_ns", 999), ("first_ns", -5), ("last_ns", 1 << 50)])
def test_times_and_those_of_meta_differ(bundle: Path, key: str, time: int) -> None:
    meta = json.loads((bundle / "meta.json").read_text())
    (bundle / "meta.json").write_text(json.dumps({**meta, key: time}))
    with pytest.raises(InputError, match=rf"meta\.json: {key} is {time}, but that event's time is {meta[key]}"):
        list(Trace.open(bundle).batches(batch_size=4))


def test_no_events(bundle: Path) -> None:
    path = bundle / "events.parquet"
    pq.write_table(pq.read_table(path).slice(0, 0), path)
    meta = json.loads((bundle / "meta.json").read_text())
    (bundle / "meta.json").write_text(json.dumps({**meta, "events": {}}))
    with pytest.raises(InputError, match="holds no events"):
        Trace.open(bundle)


def test_a_damaged_table_of_truth(bundle: Path) -> None:
    (bundle / "residency.parquet").write_bytes(b"PAR1")
    with pytest.raises(InputError, match=r"residency\.parquet: damaged, or not whole"):
        _ = Trace.open(bundle).residency


@pytest.mark.parametrize(("name", "column"), [("residency", "ram_resident_kib"), ("reported", "pages")])
@pytest.mark.parametrize("number", [-1, 1 << 62])
def test_counts_that_cannot_be(bundle: Path, name: str, column: str, number: int) -> None:
    path = bundle / f"{name}.parquet"
    rewrite(bundle, name, **{column: pa.array([number] * pq.read_table(path).num_rows, pa.int64())})
    with pytest.raises(InputError, match=rf"{name}\.parquet: column '{column}' has a number that no machine has"):
        getattr(Trace.open(bundle), name)


def test_a_snapshot_that_does_not_fit(bundle: Path, zoneinfo: str) -> None:
    (bundle / "snapshot" / "zoneinfo.txt").write_text(zoneinfo.replace("spanned  192", "spanned  1920"))
    with pytest.raises(InputError, match="zone DMA32 ends at pfn 1984, but kpageflags has 256 entries"):
        _ = Trace.open(bundle).snapshot


def test_a_bundle_without_truth(bundle: Path) -> None:
    for name in ("residency", "residency_bitmaps", "reported", "marks"):
        (bundle / f"{name}.parquet").unlink()
    shutil.rmtree(bundle / "snapshot")
    trace = Trace.open(bundle)
    assert trace.residency is trace.reported is trace.marks is trace.snapshot is None
    assert trace.num_residency_bitmaps == 0


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_unreadable(bundle: Path) -> None:
    (bundle / "events.parquet").chmod(0)
    with pytest.raises(InputError, match=r"events\.parquet: permission denied"):
        Trace.open(bundle)


def test_a_long_text_in_every_mark(bundle: Path) -> None:
    texts = pa.DictionaryArray.from_arrays(pa.array(np.zeros(50_000, np.int32)), pa.array([1_000_000 * "x"]))
    table = pa.table({"time": np.full(50_000, 10**9), "text": texts})
    pq.write_table(table, bundle / "marks.parquet", compression="zstd", store_schema=False)
    code = f"""
import re
from pagehint.errors import InputError
from pagehint.trace import Trace
try:
    Trace.open({str(bundle)!r}).marks
except InputError as error:
    print(error)
print(re.search(r"VmHWM:\\s*(\\d+)", open("/proc/self/status").read())[1])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    error, peak = done.stdout.splitlines()
    assert "marks.parquet: unpacks to more than" in error
    assert int(peak) < 1 << 20  # KiB


@pytest.mark.parametrize("name", ["marks", "residency", "reported", "residency_bitmaps"])
def test_tables_without_nulls_and_in_order(bundle: Path, name: str) -> None:
    path = bundle / f"{name}.parquet"
    table = pq.read_table(path)
    if table.num_rows < 2:
        table = pa.concat_tables([table, table])
    times = table.column("time").to_pylist()
    for wrong, error in (([None, *times[1:]], "'time' has nulls"), ([times[0] + 10**9, *times[1:]], "goes backwards")):
        pq.write_table(table.set_column(0, "time", pa.array(wrong, pa.int64())), path)
        trace = Trace.open(bundle)
        with pytest.raises(InputError, match=error):
            list(trace.residency_bitmaps()) if name == "residency_bitmaps" else getattr(trace, name)


class OnlyADescriptor(io.FileIO):
    def _not_read(self, *ignored: object) -> NoReturn:
        raise AssertionError("read through Python")

    read = readinto = readall = seek = tell = _not_read


def test_arrow_reads_no_file_object_of_pythons(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its threads end after Python does: a buffer of Python's that they free then aborts the process."""
    monkeypatch.setattr("pagehint.trace.tables.open_input", OnlyADescriptor)
    trace = Trace.open(bundle)
    assert len(trace.marks) > 0
    assert sum(len(batch["time"]) for batch in trace.batches(["time"])) == trace.num_events


def test_a_small_file_of_a_huge_value(bundle: Path) -> None:
    """Its rows were blamed, of which there is one."""
    path = bundle / "residency_bitmaps.parquet"
    table = pa.table([pa.array([0], pa.int64()), pa.array([bytes((1 << 28) + 1)], pa.binary())], schema=BITMAP_SCHEMA)
    pq.write_table(table, path, compression="zstd", use_dictionary=False, write_statistics=False)
    with pytest.raises(InputError, match="a group of its rows unpacks to"):
        list(Trace.open(bundle).residency_bitmaps())


@pytest.mark.parametrize("path", [None, 3, b"guest.pagetrace", "", ["guest.pagetrace"]])
def test_what_is_no_path(path: object) -> None:
    with pytest.raises(InputError, match="is no recording: expected the path of a bundle"):
        Trace.open(path)  # type: ignore[arg-type]
