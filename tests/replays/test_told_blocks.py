"""What a guest told its host of, by what the host discarded."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pagehint.replays.told_blocks import departures, told_first
from pagehint.trace import Meta, Trace
from pagehint.trace.meta import GuestReporting
from tests.replays.recording import Row, record, zone

_MS = 10**6
_ZONES = [zone(4096, name="DMA"), zone(28672, 4096)]


def _recording(path: Path, discards: list[tuple[int, int, int]], rows: list[Row]) -> Trace:
    reporting = GuestReporting(True, order=9, delay_ns=2000 * _MS, capacity=2)
    trace = record(path, rows, _ZONES, Meta(recorder="test", source="test", reporting=reporting), step=5000 * _MS)
    columns = zip(*discards, strict=True)
    table = {name: pa.array(column, pa.int64()) for name, column in zip(("time", "pfn", "pages"), columns, strict=True)}
    pq.write_table(
        pa.table(table | {"ret": pa.array([0] * len(discards), pa.int32())}), trace.path / "reported.parquet"
    )
    return Trace.open(trace.path)


def test_a_batch_left_its_lists_last_discard_first(tmp_path: Path) -> None:
    discards = [
        (-1, 9216, 512),  # before the first event
        (2000 * _MS, 1024, 512),  # of a zone's last batch, which is not full
        (2001 * _MS, 5120, 1024),
        (2002 * _MS, 8192, 512),
        (2003 * _MS, 9216, 512),
        (2004 * _MS, 9300, 1),  # a balloon's page
        (4010 * _MS, 6144, 512),  # of the next pass
        (4011 * _MS, 7168, 512),
    ]
    rows: list[Row] = [("Z", 0, 0, 0), ("Z", 1, 0, 0)]
    found = [(time, blocks.tolist()) for time, blocks in departures(_recording(tmp_path / "t", discards, rows), _ZONES)]
    assert found == [
        (2000 * _MS, [[1024, 512]]),
        (2001 * _MS, [[8192, 512], [5120, 1024]]),
        (2003 * _MS, [[9216, 512]]),
        (4010 * _MS, [[7168, 512], [6144, 512]]),
    ]
    told: list[Row] = [("I", 5120, 0, 0), ("i", 5120, 0, 0, 1024), *rows]
    assert departures(_recording(tmp_path / "events", discards, told), _ZONES) == []


def test_what_the_first_pass_told_is_as_it_left_the_lists(tmp_path: Path) -> None:
    discards = [(2000 * _MS, 8192, 512), (2001 * _MS, 9216, 512), (4010 * _MS, 6144, 512)]
    rows: list[Row] = [("Z", 0, 0, 0), ("Z", 1, 0, 0)]
    by_host = _recording(tmp_path / "t", discards, rows)
    assert told_first(by_host, _ZONES, 512).tolist() == [[9216, 512], [8192, 512]]
    told: list[Row] = [("I", 5120, 10, 0), ("i", -1, 255, 0, 1024), ("I", 4100, 0, 0), ("R", -1, 255, 0, 2)]
    told[2:2] = [("I", pfn, order, 0) for pfn, order in ((5121, 9), (1 << 30, 10), (0, 255))]  # no blocks
    later: list[Row] = [("I", 6144, 9, 0), ("R", -1, 255, 0, 1)]
    times = [0, 0, 0, 0, 0, 1, 2, 2000 * _MS, 2000 * _MS]
    by_events = record(tmp_path / "events", [*told, *later], _ZONES, times=times)
    assert told_first(by_events, _ZONES, 512).tolist() == [[5120, 1024]]
    assert told_first(record(tmp_path / "none", rows, _ZONES), _ZONES, 512).tolist() == []
