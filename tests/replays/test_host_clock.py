"""A recording and what its host saw, with the clock between them unknown."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from pagehint.errors import InputError
from pagehint.replays.host_clock import with_host
from pagehint.replays.replay import replay
from pagehint.replays.start import guest_reporting
from pagehint.trace import Trace
from pagehint.trace.copy import copy_bundle
from pagehint.trace.host_file import HOST_SCHEMA
from pagehint.trace.shipped import example
from tests.command import pagehint

AHEAD = 1_795_000_000_123_456_789
DRIFT = 20e-6


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The shipped recording without what its host saw."""
    with copy_bundle(example(), tmp_path_factory.mktemp("alone") / "guest.pagetrace") as (writer, meta):
        writer.finish(replace(meta, clock=None))
    return Trace.open(writer.path)


def host_file(path, shift=lambda values: values):
    """What `pagehint watch` would have seen of a process that grows, by a clock that is ahead and drifts."""
    trace = example()
    bits = {int(time): row.tobytes() for time, row in trace.residency_bitmaps()}
    rows = []
    for sample in trace.residency.to_pylist():
        row = dict.fromkeys(HOST_SCHEMA.names)
        row |= {"time": sample["time"], "rss_kib": sample["rss_kib"]}
        rows.append(row | {"ram_resident_kib": sample["ram_resident_kib"]})
    rows += [dict.fromkeys(HOST_SCHEMA.names) | {"time": at, "bits": bits[at]} for at in bits]
    for row in rows:
        if row["ram_resident_kib"] is not None:
            row |= {"huge_kib": 1 << 10, "swapped_kib": 0, "thp_collapse_alloc": row["time"] // 10**10, "pswpin": 7}
    rows.sort(key=lambda row: row["time"])
    for before, row in pairwise(rows):
        row["rss_kib"] = before["rss_kib"] if row["rss_kib"] is None else row["rss_kib"]
    for number, row in enumerate(rows):
        row["rss_kib"] += 20 * number
    first = rows[0]["time"]
    for row in rows:
        row["time"] = AHEAD + row["time"] + round((row["time"] - first) * DRIFT)
    table = pa.Table.from_pylist(rows, schema=HOST_SCHEMA)
    for name in ("rss_kib", "ram_resident_kib"):
        index = HOST_SCHEMA.get_field_index(name)
        values = shift(table[name].to_numpy(zero_copy_only=False))
        table = table.set_column(index, HOST_SCHEMA.field(index), pa.array(values, pa.int64(), from_pandas=True))
    discard = dict.fromkeys(HOST_SCHEMA.names) | {"discarded_pfn": 512, "discarded_pages": 512, "discarded_ret": 0}
    discard |= {"time": rows[6]["time"], "discarded_ns": rows[5]["time"]}
    discards = pa.Table.from_pylist([discard], schema=HOST_SCHEMA)
    pq.write_table(pa.concat_tables([table.slice(0, 6), discards, table.slice(6)]), path)
    return path


def ahead(both):
    """By how much the host's clock is said to be ahead in the middle of the recording (ns)."""
    clock, middle = both.meta.clock, (both.meta.first_ns + both.meta.last_ns) // 2
    return clock.h0_ns + (1 + clock.drift) * (middle - clock.g0_ns) - middle


def test_the_clock_is_found(alone, tmp_path):
    host = host_file(tmp_path / "host.parquet")
    told = []
    both = with_host(alone, host, tmp_path / "both.pagetrace", say=told.append)
    clock = both.meta.clock
    assert abs(ahead(both) - AHEAD) <= 3 * 10**6 < clock.error_ns
    assert clock.method is not None
    assert len(told) == 1
    assert both.num_residency_bitmaps == example().num_residency_bitmaps
    run = replay(both, guest_reporting(both), sample=None)
    assert run.prediction.residency_error < 0.002
    state = both.host_state
    assert pc.max(state["huge_kib"]).as_py() == 1 << 10
    assert state.num_rows == both.residency.num_rows - both.residency["ram_resident_kib"].null_count
    assert any("khugepaged made" in line for line in run.recording["warnings"])
    assert not any("swap" in line for line in run.recording["warnings"])
    (discard,) = both.reported.to_pylist()
    assert (discard["pfn"], discard["pages"], discard["ret"]) == (512, 512, 0)
    assert abs(discard["time"] - both.residency["time"][5].as_py()) < 10**9


def with_discards(trace, path, times):
    """A watch of a process that stays as it is, but for what the host gave back by its clock: (time, pfn, pages)."""
    sample = dict.fromkeys(HOST_SCHEMA.names) | {"rss_kib": 1 << 20}
    rows = [sample | {"time": AHEAD + trace.meta.first_ns + k * 50 * 10**6} for k in range(100)]
    for time, pfn, pages in times:
        at = AHEAD + round(time * (1 + DRIFT))
        rows.append(dict.fromkeys(HOST_SCHEMA.names) | {"time": at, "discarded_ns": at})
        rows[-1] |= {"discarded_pfn": pfn, "discarded_pages": pages, "discarded_ret": 0}
    rows.sort(key=lambda row: row["time"])
    pq.write_table(pa.Table.from_pylist(rows, schema=HOST_SCHEMA), path)
    return path


def test_the_blocks_that_the_host_gave_back_tell_of_its_clock(tmp_path):
    """Steps of residency that hardly change are no clock: a watch of a guest that rested was refused."""
    with copy_bundle(example("pandas"), tmp_path / "guest.pagetrace") as (writer, meta):
        writer.finish(replace(meta, clock=None))
    alone = Trace.open(writer.path)
    reported = example("pandas").reported
    times = list(zip(*(reported[name].to_pylist() for name in ("time", "pfn", "pages")), strict=True))
    # What was given back before and after the recording is there too.
    host = with_discards(alone, tmp_path / "host.parquet", times)
    told = []
    both = with_host(alone, host, tmp_path / "both.pagetrace", say=told.append)
    middle = (alone.meta.first_ns + alone.meta.last_ns) // 2
    clock = both.meta.clock
    off = clock.h0_ns + (1 + clock.drift) * (middle - clock.g0_ns) - (AHEAD + middle * (1 + DRIFT))
    assert abs(off) <= clock.error_ns <= 2 * 10**6
    assert told[0].endswith("as the blocks that it gave back tell")
    # Too few, another guest's, or one's that began alike: its first passes told of the same blocks.
    alike = len(times) * 3 // 4
    for since in (len(times), 0, alike):
        few = (
            times[:2]
            if since == len(times)
            else [(time + max(k - since, 0) * 10**8, pfn, pages) for k, (time, pfn, pages) in enumerate(times)]
        )
        host = with_discards(alone, tmp_path / "host.parquet", few)
        with pytest.raises(InputError, match="don't show this"):
            with_host(alone, host, tmp_path / "none.pagetrace")


def test_samples_of_a_time_long_before_the_recording(alone, tmp_path):
    """As where a recording begins late: the process has grown in great steps, which no event tells of."""
    host = host_file(tmp_path / "host.parquet")
    table = pq.read_table(host)
    rows = table.to_pylist()
    random = np.random.default_rng(12)
    before = []
    for number in range(1200):
        row = dict.fromkeys(HOST_SCHEMA.names) | {"time": rows[0]["time"] - (1200 - number) * 50_000_000}
        row["rss_kib"] = int(random.integers(1, 30) << 13)
        before.append(row)
    pq.write_table(pa.Table.from_pylist(before + rows, schema=HOST_SCHEMA), host)
    both = with_host(alone, host, tmp_path / "both.pagetrace")
    assert abs(ahead(both) - AHEAD) < 5 * 10**6
    assert both.residency.num_rows > 1200


def test_discards_that_take_their_time(alone, tmp_path):
    """The host gives back a batch of reports 40 ms after the guest said so: it is not the clock that is late."""
    host = host_file(tmp_path / "host.parquet")
    rows = pq.read_table(host).to_pylist()
    samples = [row for row in rows if row["rss_kib"] is not None]
    times, sizes = (np.array([row[name] for row in samples]) for name in ("time", "rss_kib"))
    for row, size in zip(samples, np.interp(times - 40_000_000, times, sizes), strict=True):
        row["rss_kib"] = max(row["rss_kib"], int(size))
    pq.write_table(pa.Table.from_pylist(rows, schema=HOST_SCHEMA), host)
    assert abs(ahead(with_host(alone, host, tmp_path / "both.pagetrace")) - AHEAD) < 5 * 10**6


def test_the_command(alone, tmp_path):
    host, both, given = host_file(tmp_path / "host.parquet"), tmp_path / "both.pagetrace", tmp_path / "given.pagetrace"
    done = pagehint("import", alone.path, "--host", host, "-o", both)
    assert done.returncode == 0, done.stderr
    assert "ahead of the guest's" in done.stderr
    assert Trace.open(both).residency is not None
    done = pagehint("import", alone.path, "--host", host, "--clock-offset", f"{AHEAD}ns", "-o", given)
    assert done.returncode == 0, done.stderr
    assert Trace.open(given).meta.clock.h0_ns == AHEAD
    refused = pagehint("import", alone.path, "--host", tmp_path, "-o", tmp_path / "none.pagetrace")
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)


def test_what_another_guest_did(alone, tmp_path):
    """Turned around in time, and asleep."""
    for shift in (lambda values: values[::-1], lambda values: np.where(np.isnan(values), np.nan, 4096)):
        host = host_file(tmp_path / "host.parquet", shift)
        with pytest.raises(InputError, match=r"don't show this|not what this recording's"):
            with_host(alone, host, tmp_path / "both.pagetrace")
        assert not list(tmp_path.glob("*.pagetrace")) + list(tmp_path.glob(".*"))


def test_no_host_file(alone, tmp_path):
    for text in (b"", b"PAR1 and no more"):
        (tmp_path / "host.parquet").write_bytes(text)
        with pytest.raises(InputError, match=r"host\.parquet"):
            with_host(alone, tmp_path / "host.parquet", tmp_path / "both.pagetrace")


def watched(path, times, **columns):
    rows = {name: columns.get(name, [None] * len(times)) for name in HOST_SCHEMA.names}
    rows |= {"time": times, "rss_kib": columns.get("rss_kib", list(range(len(times))))}
    pq.write_table(pa.table({name: pa.array(rows[name], HOST_SCHEMA.field(name).type) for name in rows}), path)
    return path


STEP = 50_000_000


@pytest.mark.parametrize(
    ("times", "columns", "offset", "expected"),
    [
        ([0] * 20, {}, None, "the watch lasts 0 ns"),
        (range(0, 20 * 10**15, 10**15), {}, None, "the watch lasts .* can't be fitted"),
        ([-(1 << 62), *range(18), 1 << 62], {}, None, r"the watch lasts 9,223,\d{3},\d{3} s"),
        (range(20, 0, -1), {}, 0, "the time goes backwards"),
        ([*range(19), None], {}, 0, "column 'time' has nulls"),
        (range(20), {"rss_kib": [*range(19), None]}, 0, "column 'rss_kib' has nulls"),
        (range(20), {"rss_kib": [*range(19), 1 << 60]}, 0, "'rss_kib' has a number that no machine has"),
        (range(20), {"ram_resident_kib": [*range(19), -1]}, 0, "'ram_resident_kib' has a number"),
        (range(0, 90 * 10**9, STEP), {}, 10**18, "none of its 1800 samples lies in the recording's time"),
        (range(0, 90 * 10**9, STEP), {"bits": [b"x"] * 1800}, 0, "it watched 32 KiB, but the guest's .* 1024 MiB"),
        (range(0, 90 * 10**9, STEP), {"bits": [b"x"] * 1800}, None, "it watched 32 KiB, but the guest's .* 1024 MiB"),
        (range(0, 90 * 10**9, STEP), {"bits": [b"x" * (1 << 15)] * 1799 + [b"x"]}, 0, "of different lengths"),
    ],
)
def test_what_no_watch_writes(alone, tmp_path, times, columns, offset, expected):
    """Some took all of the machine's memory, some were believed."""
    host = watched(tmp_path / "host.parquet", list(times), **columns)
    with pytest.raises(InputError, match=expected):
        with_host(alone, host, tmp_path / "both.pagetrace", offset)
    assert [each.name for each in tmp_path.iterdir()] == ["host.parquet"]
