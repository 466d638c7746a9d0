"""A bundle of a recording's pieces, as they come: of real ring buffer pages, whole, in pieces, and wrong."""

import gzip
import io
import json
import os
import re
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from pagehint.errors import InputError
from pagehint.kernel.reporting import PARAMETERS
from pagehint.trace import Trace, TraceWriter, import_trace
from pagehint.trace.describe import EMPTIED, FOLLOWED, TURNED_OFF, describe_parts
from pagehint.trace.recorder.frames import FrameWriter
from pagehint.trace.recorder.stream import RecordingImporter
from tests.replays.recording import rows_of

from .conftest import HEADER_PAGE

Piece = tuple[str, bytes]
BUDDY = b"Node 0, zone    DMA32      1      0      1      0      0      0      0      0      0      0      4\n"


def pieces(machine: object = None) -> Iterator[Piece]:
    """What a recorder of two CPUs of Linux 6.1 sends."""
    folder = Path(__file__).parent / "pages" / "6.1"
    yield "machine", json.dumps({"kernel": "6.1.0", "page_size": 4096} if machine is None else machine).encode()
    yield "header_page", HEADER_PAGE.encode()
    for text in (folder / "formats").read_text().split("name: ")[1:]:
        yield f"format/{text.split()[0]}", f"name: {text}".encode()
    for cpu in range(2):
        yield f"pages/{cpu}", gzip.decompress((folder / f"cpu{cpu}.raw.gz").read_bytes())


def bundle(path: Path, sent: Iterator[Piece]) -> Trace:
    with TraceWriter(path) as writer, RecordingImporter(writer, "a stream") as importer:
        for name, data in sent:
            importer.put(name, data)
        writer.finish(importer.finish())
    return Trace.open(path)


def test_the_events_of_both_cpus_are_one_order_of_time(tmp_path: Path) -> None:
    trace = bundle(tmp_path / "a", pieces())
    found = rows_of(trace)
    times = [row[0] for row in found]
    assert times == sorted(times)
    assert len(found) == trace.num_events > 5000
    assert (trace.meta.kernel, trace.meta.page_size, trace.meta.source) == ("6.1.0", 4096, "a stream")
    assert trace.meta.lost.overwritten == 0
    assert trace.meta.reporting is None


def test_in_smaller_pieces_it_is_the_same_recording(tmp_path: Path) -> None:
    def split() -> Iterator[Piece]:
        for name, data in pieces():
            step = 4096 if name.startswith("pages/") else len(data)
            yield from ((name, data[at : at + step]) for at in range(0, len(data), step))

    assert rows_of(bundle(tmp_path / "a", split())) == rows_of(bundle(tmp_path / "b", pieces()))


def test_a_cpu_that_is_kept_from_running_amid_an_event_is_waited_for(tmp_path: Path) -> None:
    """Its host let it run 0.4 s later: its events came rounds after those of the other CPU."""
    whole = bundle(tmp_path / "a", pieces())
    end = rows_of(whole)[-1][0]

    def stalled() -> Iterator[Piece]:
        *others, first, second = pieces()
        yield from (*others, second)
        yield from (("round", b"%d" % (end + milliseconds * 10**6)) for milliseconds in (0, 5, 10, 400))
        yield first

    trace = bundle(tmp_path / "b", stalled())
    assert trace.meta.anomalies == whole.meta.anomalies
    assert rows_of(trace) == rows_of(whole)


def test_snapshots_of_the_start_the_middle_and_the_end(tmp_path: Path) -> None:
    def with_snapshots() -> Iterator[Piece]:
        flags = bytes(range(256)) * 8
        yield "init/buddyinfo", BUDDY
        yield "init/kpageflags.gz", gzip.compress(flags[:1000])
        yield "init/kpageflags.gz", gzip.compress(flags[1000:])
        yield "init/end", b""
        yield from pieces()
        yield "look1/buddyinfo", BUDDY
        yield "look1/end", b""
        yield "final/buddyinfo", BUDDY
        yield "final/of_another_time", b"left out"

    trace = bundle(tmp_path / "a", with_snapshots())
    assert gzip.decompress((trace.path / "snapshot" / "kpageflags.u64.gz").read_bytes()) == bytes(range(256)) * 8
    for folder in ("snapshot", "look1", "final"):
        assert (trace.path / folder / "buddyinfo.txt").read_bytes() == BUDDY
    assert sorted(path.name for path in (trace.path / "final").iterdir()) == ["buddyinfo.txt"]


@pytest.mark.parametrize(
    ("files", "on", "order", "delay"),
    [
        ({"/sys/x/features": "00000100"}, True, None, 2 * 10**9),
        ({"/sys/x/features": "00000000", "/sys/y/features": "000001"}, True, None, 2 * 10**9),
        ({"/sys/x/features": "11111011"}, False, None, None),
        ({f"{PARAMETERS}page_reporting_order": "5"}, False, None, None),
        (
            {
                "/sys/x/features": "000001",
                f"{PARAMETERS}page_reporting_order": "5",
                f"{PARAMETERS}page_reporting_delay_ms": "100",
                f"{PARAMETERS}of_a_vendor": "-7",
            },
            True,
            5,
            10**8,
        ),
        ({"/sys/x/features": "000001", f"{PARAMETERS}page_reporting_order": "4294967295"}, True, None, 2 * 10**9),
    ],
)
def test_whether_the_machine_reports(
    tmp_path: Path, files: dict[str, str], on: bool, order: int | None, delay: int | None
) -> None:
    def with_files() -> Iterator[Piece]:
        yield from pieces()
        yield from ((f"file/{path}", f"{text}\n".encode()) for path, text in files.items())
        yield "balloon", b"12345"

    found = bundle(tmp_path / "a", with_files()).meta.reporting
    assert found is not None
    assert (found.on, found.order, found.delay_ns, found.device_load_ns) == (on, order, delay, 12345)
    told = {path.removeprefix(PARAMETERS): int(text) for path, text in files.items() if path.startswith(PARAMETERS)}
    assert found.parameters == told


# Of a module that comes later, only the probe of what its function returns may be there.
@pytest.mark.parametrize("probe", ["report", "report_ret"])
def test_a_driver_that_comes_while_it_is_recorded(probe: str, tmp_path: Path) -> None:
    """Its device had no features yet when they were read, but batches were told."""

    def with_reports() -> Iterator[Piece]:
        sent = list(pieces())
        (freed,) = (text.split(b"\n")[1] for name, text in sent if name == "format/mm_page_free_batched")
        for name, data in sent:
            if name == f"format/{probe}":
                lines = data.split(b"\n")
                yield name, re.sub(rb"offset:\d\d", b"offset:8", b"\n".join([lines[0], freed, *lines[2:]]))
            elif name != "format/mm_page_free_batched":
                yield name, data
        yield "file//sys/x/features", b"000000\n"
        yield f"file/{PARAMETERS}page_reporting_order", b"5\n"

    trace = bundle(tmp_path / "a", with_reports())
    found = trace.meta.reporting
    assert found is not None
    assert (found.on, found.order, found.delay_ns, found.device_load_ns) == (True, 5, 2 * 10**9, None)
    assert len(trace.report_times) == 2319


def test_what_the_rings_lost_is_counted(tmp_path: Path) -> None:
    def with_stats() -> Iterator[Piece]:
        yield from pieces()
        yield "stats/0", b"entries: 5\noverrun: 7\ncommit overrun: 1\ndropped events: 2\n"
        yield "stats/1", b"entries: 5\noverrun: 0\ncommit overrun: 0\ndropped events: 0\n"
        yield "missed", b"3"
        yield "turned_off", b"2"

    meta = bundle(tmp_path / "a", with_stats()).meta
    assert meta.lost.by_cpu == {"0": 10}
    assert meta.anomalies["times that a probe of the recorder missed"] == 3
    assert describe_parts(meta.anomalies) == [f"{TURNED_OFF}: 2"]


def test_a_ring_that_somebody_else_read_or_emptied_is_told(tmp_path: Path) -> None:
    """Each reader's events count as read; who empties a ring starts the count anew. Nothing was said."""
    found, whole = [], bundle(tmp_path / "whole", pieces())
    counts = np.concatenate([np.bincount(batch["cpu"], minlength=2)[None] for batch in whole.batches(["cpu"])]).sum(0)
    for name, more in (("ours", 0), ("read", 7), ("emptied", -7)):

        def with_stats(more: int = more) -> Iterator[Piece]:
            yield from pieces()
            for cpu in range(2):
                yield f"stats/{cpu}", b"entries: 0\nread events: %d\n" % (counts[cpu] + cpu * more)

        found.append(describe_parts(bundle(tmp_path / name, with_stats()).meta.anomalies))
    assert found == [[], [f"{EMPTIED}: 1"], [f"{EMPTIED}: 1"]]


def test_a_name_that_is_not_utf_8(tmp_path: Path) -> None:
    """Of a recording in such a file the bundle was said to be damaged: to import it again."""
    path = tmp_path / os.fsdecode(b"a\xff")
    path.write_bytes(_stream())
    assert import_trace(path, tmp_path / "b").meta.source == f"{tmp_path}/a?"


def _stream() -> bytes:
    stream = io.BytesIO()
    put = FrameWriter(stream)
    for name, data in [*pieces(), ("end", b"")]:
        put(name, data)
    return stream.getvalue()


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
@pytest.mark.parametrize("more", [0, 2])
def test_a_file_of_several_recordings(tmp_path: Path, more: int, pack: Callable[[bytes], bytes]) -> None:
    """The first was taken, and nothing said of the others. One that was packed was read as a tracer's text."""
    (tmp_path / "a").write_bytes(pack(_stream()) * (1 + more))
    assert import_trace(tmp_path / "a", tmp_path / "b").meta.anomalies == ({FOLLOWED: 1} if more else {})


@pytest.mark.parametrize(("more", "ends"), [(0, True), (0, False), (2, True), (2, False)])
def test_a_pipe_of_several_recordings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: int, ends: bool) -> None:
    """One that stays open isn't waited for."""
    reader, writer = os.pipe()
    with open(reader, encoding="latin-1") as file, open(writer, "wb", 0) as pipe, ThreadPoolExecutor(1) as pool:
        monkeypatch.setattr(sys, "stdin", file)

        def write() -> None:
            with suppress(BrokenPipeError):
                pipe.write(_stream() * (1 + more))
            if ends:
                pipe.close()

        pool.submit(write)
        found = import_trace("-", tmp_path / "b").meta.anomalies
        file.close()
    assert found == ({FOLLOWED: 1} if more else {})


def _before(name: str, data: bytes) -> Callable[[], Iterator[Piece]]:
    def sent() -> Iterator[Piece]:
        yield name, data
        yield from pieces()

    return sent


def _formats_between(count: int, numbers: int = 1 << 15) -> Iterator[Piece]:
    """What is written comes with formats again and again, whose events have other numbers."""
    *others, first, second = pieces()
    text = next(data for name, data in others if name == "format/print")
    yield from others
    yield first
    for number in range(count):
        yield "format/print", re.sub(rb"ID: 5\n", b"ID: %d\n" % (30_000 + number % numbers), text)
        yield "pages/0", b""
    yield second


def test_formats_that_come_again_are_no_more_of_them(tmp_path: Path) -> None:
    """More than 255 in all were an OverflowError."""
    again = bundle(tmp_path / "a", _formats_between(300, 3))
    assert rows_of(again) == rows_of(bundle(tmp_path / "b", pieces()))


@pytest.mark.parametrize(
    ("sent", "error"),
    [
        (lambda: iter(()), "holds no events: nothing was recorded"),
        (_before("pages/0", bytes(4096)), "pages/0: come before header_page"),
        (_before("machine", b"{"), "machine: not JSON"),
        (_before("machine", b"[]"), "machine: expected an object"),
        (_before("round", b"soon"), "round: b'soon': expected a whole number"),
        (_before("format/x", b"x"), "format/x: no name and ID"),
        (_before("header_page", b"x"), "header_page: no field timestamp"),
        (
            lambda: (("pages/-1" if name == "pages/1" else name, data) for name, data in pieces()),
            "pages/-1: no number of a CPU",
        ),
        (_before("stats/8192", b"overrun: 1\n"), "stats/8192: no number of a CPU"),
        (
            lambda: (each for each in pieces() if not each[0].startswith("format/")),
            "pages/0: no format of a page event",
        ),
        (lambda: _formats_between(256), "format/print: more than 255 formats of events"),
        (
            lambda: ((name, data.replace(b"common_pid", b"pid")) for name, data in pieces()),
            "pages/0: event .* has no field common_pid",
        ),
        (
            lambda: iter([("init/end", b""), ("init/buddyinfo", BUDDY), ("init/end", b""), ("init/vmstat", b"x")]),
            "whole already",
        ),
        *[
            (lambda size=size: pieces({"page_size": size}), "machine: page_size .*: expected 512 to 1073741824")
            for size in ("x", None, 0, -4096, 4096.5, 10**30, True)
        ],
        *[
            (lambda level=level: pieces({"level": level}), "machine: level .*: expected page or zone")
            for level in ("zones", 5, [])
        ],
    ],
)
def test_a_piece_that_can_not_be_is_named_and_leaves_no_bundle(
    tmp_path: Path, sent: Callable[[], Iterator[Piece]], error: str
) -> None:
    """A page's size that can't be made a bundle that could not be opened."""
    with pytest.raises(InputError, match=f"^a stream: .*{error}"):
        bundle(tmp_path / "a", sent())
    assert list(tmp_path.iterdir()) == []


def test_pieces_of_names_that_nobody_knows_are_left_out(tmp_path: Path) -> None:
    assert rows_of(bundle(tmp_path / "a", _before("of/a/later/recorder", b"\0")())) == rows_of(
        bundle(tmp_path / "b", pieces())
    )
