import gzip
import re
from pathlib import Path

import numpy as np
import pytest

from pagehint.errors import InputError
from pagehint.trace import Lost, Trace, import_trace

PAGE = "page=0000000012345678 pfn=0x40 order=0"
TRACE = f"""# tracer: nop
#
# entries-in-buffer/entries-written: 5/25   #P:2
#
#           TASK-PID     CPU#  |||||  TIMESTAMP  FUNCTION
              sh-7       [000] d..1.     1.000000: mm_page_alloc: {PAGE} migratetype=1 gfp_flags=GFP_KERNEL
              sh-7       [000] .....     1.000001: tracing_mark_write: MARK begin
CPU:1 [LOST 10 EVENTS]
              sh-8       [001] d..1.     1.000002: sched_switch: prev_comm=a
              sh-8       [001] d..1.     1.000003: mm_page_free: {PAGE}
"""


def free(time: float, pfn: int) -> str:
    return f"sh-8 [001] d..1. {time:.6f}: mm_page_free: page=0000000012345678 pfn={pfn:#x} order=0\n"


def import_text(tmp_path: Path, text: str | bytes, snapshot: Path | None = None) -> Trace:
    path = tmp_path / "trace.txt"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return import_trace(path, tmp_path / "t.pagetrace", snapshot)


def test_a_tracefs_file(tmp_path: Path) -> None:
    trace = import_text(tmp_path, TRACE)
    (batch,) = trace.batches()
    assert [chr(code) for code in batch["event"]] == list("AMF")
    assert trace.meta.recorder == "tracefs trace"
    assert trace.meta.lost == Lost(by_cpu={"1": 10}, overwritten=20)
    assert trace.meta.anomalies == {"events of other kinds, left out": 1}
    assert (trace.meta.cpus, trace.meta.pfn_end, trace.meta.first_ns) == (2, 65, 10**9)
    assert trace.marks is not None
    assert trace.marks.to_pylist() == [{"time": 1_000_001_000, "text": "MARK begin"}]


@pytest.mark.parametrize(
    ("text", "recorder"),
    [
        ("cpus=2\n" + free(1, 1), "trace-cmd report"),
        (free(1, 1), "tracefs trace_pipe"),
        ("sh 8 [001] 1.000000: kmem:mm_page_free: page=0x1 pfn=1 order=0\n", "perf script"),
    ],
)
def test_who_printed_it(tmp_path: Path, text: str, recorder: str) -> None:
    assert import_text(tmp_path, text).meta.recorder == recorder


def test_gzip(tmp_path: Path) -> None:
    assert import_text(tmp_path, gzip.compress(TRACE.encode())).num_events == 3


def test_a_snapshot(tmp_path: Path, zoneinfo: str) -> None:
    folder = tmp_path / "start"
    folder.mkdir()
    (folder / "zoneinfo").write_text(zoneinfo)
    (folder / "version").write_text("Linux version 6.6.1 (x) #1\n")
    (folder / "kpageflags").write_bytes(np.zeros(256, "<u8").tobytes())
    trace = import_text(tmp_path, TRACE, folder)
    assert trace.meta.kernel == "6.6.1"
    assert [zone.name for zone in trace.meta.zones] == ["DMA", "DMA32"]
    assert trace.snapshot is not None
    assert len(trace.snapshot.kpageflags()) == 256  # type: ignore[arg-type]


def test_a_folder_that_is_no_snapshot(tmp_path: Path) -> None:
    (tmp_path / "start").mkdir()
    with pytest.raises(InputError, match="no snapshot: expected copies of /proc/zoneinfo"):
        import_text(tmp_path, TRACE, tmp_path / "start")
    with pytest.raises(InputError, match="no such folder"):
        import_text(tmp_path, TRACE, tmp_path / "nothing")


def test_a_little_disorder_is_sorted(tmp_path: Path) -> None:
    times = [1.000003, 1.000001, 1.000002, 1.000005, 1.000004]
    trace = import_text(tmp_path, "".join(free(time, index) for index, time in enumerate(times)))
    (batch,) = trace.batches(["pfn"])
    assert batch["pfn"].tolist() == [1, 2, 0, 4, 3]
    assert trace.meta.anomalies == {"events out of order, sorted": 2}


def test_disorder_between_batches_is_sorted(tmp_path: Path) -> None:
    count = 150_000
    lines = [free(1 + step / 10**6, step % 100) for step in range(count)]
    for place in range(0, count - 3000, 2999):
        lines[place], lines[place + 3000] = lines[place + 3000], lines[place]
    trace = import_text(tmp_path, "".join(lines))
    times = np.concatenate([batch["time"] for batch in trace.batches(["time"])])
    assert np.array_equal(times, 10**9 + 1000 * np.arange(count))


def test_times_that_go_back_far(tmp_path: Path) -> None:
    lines = [free(1 + step / 10**6, 1) for step in range(100_000)]
    with pytest.raises(InputError, match=r"line 100001: the time goes backwards, from \d+ to 500000000 ns"):
        import_text(tmp_path, "".join(lines) + free(0.5, 1))
    assert [path.name for path in tmp_path.iterdir()] == ["trace.txt"]


def test_the_last_line_may_be_cut_off(tmp_path: Path) -> None:
    trace = import_text(tmp_path, TRACE + free(1.1, 5)[:60])
    assert trace.num_events == 3
    assert trace.meta.anomalies["last line cut off"] == 1


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"", "no page events in 0 lines"),
        (b"hello\nworld\n", "no page events in 2 lines (0 other events): expected the text of trace-cmd report"),
        (b"t-1 [000] .... 1.000000: sched_switch: a=1\n", "no page events in 1 lines (1 other events)"),
        (b"\x17\x08Dtracing6\0\0\0", "print it with `trace-cmd report -i trace.txt > trace.txt`"),
        (b"PERFILE2\x00\x00", "print it with `perf script"),
        (b"\x7fELF\0\0\0", "not text"),
        (gzip.compress(TRACE.encode())[:80], "the gzip data are damaged or cut off"),
        (TRACE.replace("order=0\n", "order=\n").encode(), "line 10: mm_page_free without order="),
    ],
)
def test_bad_input(tmp_path: Path, content: bytes, error: str) -> None:
    with pytest.raises(InputError, match=re.escape(error)) as caught:
        import_text(tmp_path, content)
    assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["trace.txt"]
