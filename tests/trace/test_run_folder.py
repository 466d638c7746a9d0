import gzip
import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pagehint.errors import InputError
from pagehint.trace import Event, GuestReporting, Lost, Trace, import_trace

MakeRun = Callable[..., Path]


def test_events_as_recorded(trace: Trace) -> None:
    (batch,) = trace.batches()
    assert [chr(code) for code in batch["event"]] == list("ZAXZAMMFBDIiRrP")
    assert batch["time"][:4].tolist() == [1000, 1005, 1015, 1015]
    assert batch["time"][-1] == 3_000_001_227
    assert batch["cpu"].tolist() == [0, 0, 1, 1, 1] + 10 * [0]
    assert batch["pid"].tolist() == [7, 7, 8, 8, 8, 7, 7, 7, 7, 7] + 5 * [9]
    assert batch["pfn"].tolist() == [64, 64, 80, 80, -1, -1, -1, 64, 64, 64, 96, -1, -1, -1, 96]
    assert batch["order"].tolist() == [0, 0, 1, 1, 9, 255, 255, 0, 0, 0, 4, 255, 255, 255, 4]
    assert batch["migratetype"].tolist() == [1, 1, 0, 0, 1, 255, 255, 255, 255, 1, 255, 255, 255, 255, 1]
    assert [hex(gfp) for gfp in batch["gfp"] if gfp] == ["0x140dca", "0x3c24ca"]
    assert batch["detail"].tolist() == [1, 0, 4 | 1 << 8 | 1 << 16, 0, 0, 0, 1, 0, 0, 0, 0, 16, 1, 0, 0]


def test_what_the_guest_was(trace: Trace) -> None:
    meta = trace.meta
    assert meta.kernel == "6.1.0-56-cloud-amd64"
    assert meta.reporting == GuestReporting(on=True, order=4, delay_ns=2 * 10**9, capacity=32, device_load_ns=500)
    assert meta.lost == Lost(by_cpu={"1": 4})
    assert (meta.cpus, meta.pageblock_order, meta.pfn_end) == (2, 4, 112)
    assert [(zone.name, zone.start_pfn, zone.end_pfn) for zone in meta.zones] == [("DMA", 1, 64), ("DMA32", 64, 256)]
    assert meta.zones[1].high == 16
    assert meta.zones[1].pcp_high == 138


def test_truth_in_the_guests_time(trace: Trace) -> None:
    assert trace.marks is not None
    assert trace.marks.to_pylist() == [
        {"time": 1115, "text": "KPF-BEGIN init.kpageflags"},
        {"time": 1215, "text": "MARK phase, one"},
    ]
    assert trace.reported is not None
    assert trace.reported.to_pylist() == [{"time": 2000, "pfn": 96, "pages": 16, "ret": 0}]
    assert trace.residency is not None
    assert trace.residency.to_pylist() == [
        {"time": 1100, "ram_resident_kib": None, "rss_kib": 50, "memfd_kib": None},
        {"time": 2100, "ram_resident_kib": 40, "rss_kib": 60, "memfd_kib": 30},
    ]
    bitmaps = list(trace.residency_bitmaps())
    assert [time for time, _ in bitmaps] == [1100, 2100]
    assert np.flatnonzero(np.unpackbits(bitmaps[0][1])).tolist() == [0]
    assert np.unpackbits(bitmaps[1][1]).all()


def test_only_what_is_called_so_are_page_flags(tmp_path: Path, run: Path) -> None:
    """Without them a file called none was taken for them."""
    (run / "init.kpageflags.u64.gz").unlink()
    (run / "none").write_text("notes")
    snapshot = import_trace(run, tmp_path / "guest.pagetrace").snapshot
    assert snapshot is not None
    assert snapshot.kpageflags() is None


def test_a_large_host_time_keeps_its_nanoseconds(tmp_path: Path, make_run: MakeRun) -> None:
    run = make_run()
    rows = "".join(f"{1700000000000001000 + step},1,,,1\n" for step in range(20))
    (run / "rss.csv.gz").write_bytes(
        gzip.compress(("host_ns,rss_kib,ram_resident_kib,memfd_kib,cpu_ms\n" + rows).encode())
    )
    residency = import_trace(run, tmp_path / "t.pagetrace").residency
    assert residency is not None
    assert residency["time"].to_pylist() == list(range(1100, 1120))


def test_reporting_off(run: Path, tmp_path: Path) -> None:
    off = "1 SAY 500 balloon insmod rc=0 order=11\n2 SAY 600 features 0x3  " + "0100000" + 57 * "0" + "\n"
    (run / "ctl.txt").write_text(off)
    assert import_trace(run, tmp_path / "t").meta.reporting == GuestReporting(on=False, device_load_ns=500)


def test_events_alone(tmp_path: Path, events_csv: str) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / "events.csv").write_text(events_csv)
    trace = import_trace(run, tmp_path / "t.pagetrace")
    assert trace.num_events == 15
    assert trace.snapshot is trace.residency is trace.reported is None
    assert list(trace.residency_bitmaps()) == []
    assert trace.meta.span_pages == 112
    assert trace.meta.reporting == GuestReporting(on=True, delay_ns=2 * 10**9, capacity=32)


@pytest.mark.parametrize(
    ("row", "error"),
    [
        ("-1,0,7,F,64,0,,", "line 16: dt_ns is -1: the time goes backwards"),
        ("1,0,7,Q,64,0,,", "line 16: ev is 'Q', expected one of A F B"),
        ("1,0,7,AB,64,0,,", "line 16: ev is 'AB'"),
        ("1,0,7,A,64,0,1,zz", "line 16: x is 'zz' for ev A"),
        ("1,0,7,X,64,0,1,4:1", "line 16: x is '4:1' for ev X"),
        (",0,7,F,64,0,,", "line 16: dt_ns is empty"),
        ("1,,7,F,64,0,,", "line 16: cpu is empty"),
        ("x,0,7,F,64,0,,", "column #0: line 16: CSV conversion error to int64: invalid value 'x'"),
        ("1,0,7,F,64,300,,", "CSV conversion error to uint8: invalid value '300'"),
        ("1,0,7,F,64,0", "Expected 8 columns, got 6"),
        ("1,0,7,F,64,30,,", "line 16: order 30 is absurd"),
        ("1,0,7,F,-2,0,,", "line 16: pfn -2 is no page of any machine"),
        (f"1,0,7,F,{1 << 40},0,,", "line 16: pfn 1099511627776 is no page of any machine"),
    ],
)
def test_bad_rows(tmp_path: Path, row: str, error: str, make_run: MakeRun, events_csv: str) -> None:
    run = make_run(events_csv.rsplit("\n", 2)[0] + "\n" + row + "\n")
    with pytest.raises(InputError, match=re.escape(error)) as caught:
        import_trace(run, tmp_path / "t.pagetrace")
    assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_columns_missing(tmp_path: Path, make_run: MakeRun) -> None:
    run = make_run("dt_ns,cpu,pid,ev,pfn,order,mt\n1,0,0,F,64,0,\n")
    with pytest.raises(InputError, match=r"events\.csv\.gz: .*'x'"):
        import_trace(run, tmp_path / "t.pagetrace")


@pytest.mark.parametrize("text", ["", "dt_ns,cpu,pid,ev,pfn,order,mt,x\n"])
def test_no_events(tmp_path: Path, text: str, make_run: MakeRun) -> None:
    run = make_run(text)
    with pytest.raises(InputError, match=r"run: holds no events|Empty CSV file"):
        import_trace(run, tmp_path / "t.pagetrace")


def test_a_control_run_has_no_events(run: Path, tmp_path: Path) -> None:
    (run / "events.csv.gz").unlink()
    with pytest.raises(InputError, match=r"has no events\.csv\.gz, so there are no events to import"):
        import_trace(run, tmp_path / "t.pagetrace")


def test_cut_off_gzip(run: Path, tmp_path: Path, events_csv: str) -> None:
    rows = events_csv + "".join(f"{step},0,7,F,{step % 200},0,,\n" for step in range(50000))
    data = gzip.compress(rows.encode())
    (run / "events.csv.gz").write_bytes(data[: len(data) // 2])
    with pytest.raises(InputError, match=r"events\.csv\.gz"):
        import_trace(run, tmp_path / "t.pagetrace")
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


@pytest.mark.parametrize(
    ("name", "content", "error"),
    [
        ("decode.json", b"{", "decode.json: not JSON"),
        ("decode.json", b"[]", "decode.json: expected an object"),
        ("decode.json", b'{"clock": {"g0_ns": 1}}', "clock: Object missing required field `h0_ns`"),
        ("decode.json", b'{"cpu0.stats": {"overrun": "many"}}', "the counts of lost events are not numbers"),
        ("decode.json", b'{"cpu0.stats": {"overrun": -5}}', "the counts of lost events are not numbers"),
        ("decode.json", b'{"lost_page_flags": 1e30}', "the counts of lost events are not numbers"),
        (
            "decode.json",
            b'{"cpu8192.stats": {"overrun": 1}}',
            "decode.json: cpu8192.stats: expected a CPU from 0 to 8191",
        ),
        (
            "decode.json",
            b'{"clock": {"g0_ns": 1e999, "h0_ns": 1, "offset_ns": 0, "drift": 0}}',
            "clock: Expected `int`, got `float`",
        ),
        ("init.zoneinfo.txt", b"hello", "names no zone that has pages"),
        ("init.zoneinfo.txt", b"Node 0, zone DMA\n", "zone DMA of node 0 lacks"),
        ("init.kpageflags.u64.gz", gzip.compress(bytes(12), mtime=0), "12 bytes are not whole u64 entries"),
        (
            "init.kpageflags.u64.gz",
            gzip.compress(bytes(800), mtime=0),
            "ends at pfn 256, but kpageflags has 100 entries",
        ),
        ("init.kpageflags.u64.gz", gzip.compress(bytes(800), mtime=0)[:20], "damaged"),
        ("resident.npz", b"PK", "not the residency bitmaps of a run"),
        (
            "reported.csv.gz",
            gzip.compress(b"t_host_ns,gpa,len,ret\n5,7,4096,0\n", mtime=0),
            "line 2: a discarded range is not whole",
        ),
    ],
)
def test_bad_files(run: Path, tmp_path: Path, name: str, content: bytes, error: str) -> None:
    (run / name).write_bytes(content)
    with pytest.raises(InputError, match=re.escape(error)) as caught:
        import_trace(run, tmp_path / "t.pagetrace")
    assert ".partial" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_pages_outside_the_zones_are_counted(tmp_path: Path, make_run: MakeRun, events_csv: str) -> None:
    run = make_run(events_csv + "1,0,7,F,5000,0,,\n1,0,7,F,65,1,,\n")
    trace = import_trace(run, tmp_path / "t.pagetrace")
    assert trace.meta.anomalies == {"pfn outside every zone": 1, "pfn not aligned to its order": 1}


def test_many_batches(tmp_path: Path, make_run: MakeRun, events_csv: str) -> None:
    count = 400_000
    rows = "".join(
        f"{step % 3},0,7,M,,,,t{step}\n" if step % 1000 == 0 else f"{step % 3},0,7,F,{step % 200},0,,\n"
        for step in range(count)
    )
    trace = import_trace(make_run(events_csv.splitlines()[0] + "\n" + rows), tmp_path / "t.pagetrace")
    assert trace.num_events == count
    times = np.concatenate([batch["time"] for batch in trace.batches(["time"])])
    assert np.array_equal(times, np.cumsum(np.arange(count) % 3))
    event, detail = (np.concatenate([batch[name] for batch in trace.batches([name])]) for name in ("event", "detail"))
    assert detail[event == Event.MARK].tolist() == list(range(400))
    assert trace.marks is not None
    assert trace.marks["text"].to_pylist()[-1] == "t399000"


def test_json_of_the_meta_is_plain(bundle: Path) -> None:
    data = json.loads((bundle / "meta.json").read_text())
    assert data["format"] == "pagetrace"
    assert data["version"] == 1
    assert data["events"]["F"] == 1


@pytest.mark.parametrize(
    "ctl",
    [
        f"1 SAY 500 balloon insmod rc=0 order={5000 * '9'}\n",
        f"1 SAY {5000 * '9'} balloon insmod rc=0\n",
        f"1 SAY 600 features {200_000 * '0'}x\n",
        20_000 * "1 SAY 600 features 0x1 ",
    ],
)
def test_numbers_without_end_are_none(run: Path, tmp_path: Path, ctl: str) -> None:
    (run / "ctl.txt").write_text(ctl)
    reporting = import_trace(run, tmp_path / "t").meta.reporting
    assert reporting is not None
    assert reporting.on
    assert reporting.device_load_ns in (None, 500)
