import contextlib
import gzip
import os
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pagehint.errors import InputError
from pagehint.trace import Lost, Trace, import_trace
from pagehint.trace.describe import BESIDE_FEWER_CPUS, OF_ONE_COMMAND, OF_ONE_CPU, OF_SEVERAL
from pagehint.trace.kmem_text import LineParser

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


def marked(text: str, time: float = 1.0) -> str:
    return f"sh-7 [000] ..... {time:.6f}: tracing_mark_write: {text}\n"


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


def test_a_recorders_name_after_a_long_head(tmp_path: Path) -> None:
    tasks = "swapper 0 [000] 0.000000: PERF_RECORD_COMM: sh:7/7\n" * 300
    perf = "sh 8 [001] 1.000000: kmem:mm_page_free: page=0x1 pfn=1 order=0\n"
    assert import_text(tmp_path, tasks + perf).meta.recorder == "perf script"


def test_gzip(tmp_path: Path) -> None:
    assert import_text(tmp_path, gzip.compress(TRACE.encode())).num_events == 3


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le", "utf-16-be", "utf-32-le"])
@pytest.mark.parametrize("mark", ["\ufeff", ""])
def test_as_windows_writes_what_a_command_prints(tmp_path: Path, encoding: str, mark: str) -> None:
    text = mark + (TRACE + 4000 * free(1.1, 5)).replace("\n", "\r\n")
    trace = import_text(tmp_path, text.encode(encoding))
    assert trace.num_events == 4003
    assert trace.meta.recorder == "tracefs trace"
    (tmp_path / "packed").mkdir()
    assert import_text(tmp_path / "packed", gzip.compress(text.encode(encoding))).num_events == 4003
    (tmp_path / "odd").mkdir()
    assert import_text(tmp_path / "odd", text.encode(encoding)[:-1]).num_events == 4003


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


MEMINFO = "MemTotal: {} kB\nMemFree: {} kB\n"


@pytest.mark.parametrize(
    ("total", "free", "size"),
    [(960, 440, 4096), (3840, 1760, 16384), (15360, 7040, 65536), (15360, 440, 4096), (3640, 1760, 4096), (1, 1, 4096)],
)
def test_a_page_as_large_as_the_snapshot_tells(tmp_path: Path, zoneinfo: str, total: int, free: int, size: int) -> None:
    """A guest of 64 KiB pages came out a sixteenth of its size."""
    folder = tmp_path / "start"
    folder.mkdir()
    (folder / "zoneinfo").write_text(zoneinfo)
    (folder / "meminfo").write_text(MEMINFO.format(total, free))
    assert import_text(tmp_path, TRACE, folder).meta.page_size == size


@pytest.mark.parametrize(
    "pack",
    [
        lambda text: text.replace("\n", "\r\n").encode(),
        lambda text: b"\xef\xbb\xbf" + text.encode(),
        lambda text: text.encode("utf-16"),
        lambda text: gzip.compress(text.encode()),
        lambda text: b"[sudo] password for me: " + text.encode() + b"root@vm:~#\n",
        lambda text: b"==> /proc/zoneinfo <==\n" + text.encode(),
    ],
)
def test_a_snapshots_text_as_people_have_it(tmp_path: Path, zoneinfo: str, pack: Callable[[str], bytes]) -> None:
    """The first zone was lost, or all of them."""
    folder = tmp_path / "start"
    folder.mkdir()
    (folder / "zoneinfo").write_bytes(pack(zoneinfo))
    (folder / "pagetypeinfo").write_bytes(pack("\nPage block order: 4\n"))
    meta = import_text(tmp_path, TRACE, folder).meta
    assert [zone.name for zone in meta.zones] == ["DMA", "DMA32"]
    assert meta.pageblock_order == 4


@pytest.mark.parametrize(
    ("name", "content", "error"),
    [
        ("zoneinfo.xz", b"\xfd7zXZ\0\0", "zoneinfo.xz: an xz archive: unpack it with"),
        ("kpageflags", b"(\xb5/\xfd", "kpageflags: a zstd archive: unpack it with"),
        ("kpageflags.bin", 300 * b"0000000000000400\n", "kpageflags.bin: is text, not the bytes of /proc/kpageflags"),
        (
            "kpageflags.gz",
            gzip.compress(b"cat: /proc/kpageflags: Permission denied\n", mtime=0),
            "kpageflags.gz: is text",
        ),
        ("zoneinfo.log", b"cat: /proc/zoneinfo: Permission denied\n", "zoneinfo.log: names no zone that has pages"),
    ],
)
def test_a_snapshots_file_that_is_none_is_named(tmp_path: Path, name: str, content: bytes, error: str) -> None:
    folder = tmp_path / "start"
    folder.mkdir()
    (folder / name).write_bytes(content)
    with pytest.raises(InputError, match=re.escape(f"{folder}/{error}")):
        import_text(tmp_path, TRACE, folder)


def test_the_kernel_that_perf_names(tmp_path: Path) -> None:
    head = "# os release : 6.12.9-amd64\n# nrcpus online : 2\n"
    event = "sh 8 [001] 1.000000: kmem:mm_page_free: page=1 pfn=1 order=0\n"
    assert import_text(tmp_path, head + event).meta.kernel == "6.12.9-amd64"


def test_zones_that_are_there_twice(tmp_path: Path, zoneinfo: str) -> None:
    folder = tmp_path / "start"
    folder.mkdir()
    (folder / "zoneinfo").write_text(2 * zoneinfo)
    with pytest.raises(InputError, match=r"start/zoneinfo: zone DMA of node 0 is there twice: keep one copy"):
        import_text(tmp_path, TRACE, folder)


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


def test_times_between_events_are_no_times(tmp_path: Path) -> None:
    """As perf script --deltatime prints them: they were sorted."""
    lines = [
        f"sh 8 [001] {k * 7919 % 1000 / 1e6:.6f}: kmem:mm_page_free: page=0x1 pfn={k:#x} order=0\n" for k in range(999)
    ]
    with pytest.raises(InputError, match="are these the times between events"):
        import_text(tmp_path, "".join(lines))
    assert import_text(tmp_path, "".join(lines[:9])).num_events == 9


def test_most_steps_between_events_are_alike(tmp_path: Path) -> None:
    """Many events come within a microsecond: so few of perf's --deltatime went backwards that they were sorted."""
    lines = [
        f"sh 8 [001] 0.{(k // 4) * 7919 % 50:06d}: kmem:mm_page_free: page=0x1 pfn={k:#x} order=0\n"
        for k in range(3999)
    ]
    with pytest.raises(InputError, match="are these the times between events"):
        import_text(tmp_path, "".join(lines))


def test_the_first_line_may_be_cut_off(tmp_path: Path) -> None:
    trace = import_text(tmp_path, free(1, 5)[20:] + free(1.1, 6))
    assert trace.num_events == 1
    assert trace.meta.anomalies["first line cut off"] == 1


@pytest.mark.parametrize("lines", [1, 2])
def test_a_form_without_heads_names_the_line(tmp_path: Path, lines: int) -> None:
    with pytest.raises(InputError, match=rf"line {lines}: mm_page_free: expected TASK-PID"):
        import_text(tmp_path, lines * free(1, 5)[20:])


def test_a_few_damaged_lines_among_many(tmp_path: Path) -> None:
    """As a serial console leaves them, or a hole in a file: one such line was the end."""
    lines = [free(1 + index / 1e6, index) for index in range(2500)]
    lines[1500] = lines[1500].replace("order", "ord[ 812.3] usb 1-1")
    lines[2400] = lines[2400][:40] + 400 * "\0" + "\n"
    trace = import_text(tmp_path, "".join(lines))
    assert trace.num_events == 2498
    assert trace.meta.anomalies == {"damaged lines, left out": 2}
    assert trace.meta.lost == Lost(uncounted=2)
    lines[1600] = lines[1600].replace("order", "ord")
    (tmp_path / "more").mkdir()
    with pytest.raises(InputError, match="line 1601: mm_page_free without order="):
        import_text(tmp_path / "more", "".join(lines))


def test_gzip_that_was_interrupted(tmp_path: Path) -> None:
    """As Ctrl-C leaves it of `cat trace_pipe | gzip`."""
    times = np.random.default_rng(1).integers(0, 10**9, 2000).cumsum()
    packed = gzip.compress("".join(free(time / 1e9, index) for index, time in enumerate(times)).encode())
    trace = import_text(tmp_path, packed[: len(packed) * 3 // 4])
    assert 1000 < trace.num_events < 2000
    assert trace.meta.anomalies["gzip data cut off at their end"] == 1


HEADER = "# tracer: nop\n#\n# entries-in-buffer/entries-written: 200/200   #P:2\n"


def odd(tmp_path: Path, text: str, snapshot: Path | None = None) -> list[str]:
    return list(import_text(tmp_path, text, snapshot).meta.anomalies)


def test_one_cpus_file(tmp_path: Path, zoneinfo: str) -> None:
    lines = "".join(free(1 + index / 1e6, index) for index in range(200))
    (tmp_path / "start").mkdir()
    (tmp_path / "start" / "zoneinfo").write_text(zoneinfo)
    for number, (text, snapshot) in enumerate(
        ((HEADER + lines, None), ("cpus=2\n" + lines, None), (lines, tmp_path / "start"))
    ):
        (tmp_path / f"{number}").mkdir()
        found = odd(tmp_path / f"{number}", text, snapshot)
        assert OF_ONE_CPU in found
    (tmp_path / "all").mkdir()
    assert not odd(tmp_path / "all", HEADER + lines + free(2, 1).replace("[001]", "[000]"))


def test_a_snapshot_with_fewer_cpus(tmp_path: Path, zoneinfo: str) -> None:
    (tmp_path / "start").mkdir()
    (tmp_path / "start" / "zoneinfo").write_text(zoneinfo)
    lines = [free(1, 64), free(2, 65).replace("[001]", "[000]"), free(3, 66).replace("[001]", "[007]")]
    (tmp_path / "two").mkdir()
    assert not odd(tmp_path / "two", "".join(lines[:2]), tmp_path / "start")
    assert odd(tmp_path, "".join(lines), tmp_path / "start") == [BESIDE_FEWER_CPUS]


def test_several_recordings_in_one_file(tmp_path: Path) -> None:
    assert odd(tmp_path, HEADER + free(1, 1) + HEADER + free(9, 1)) == [OF_SEVERAL]
    several = "host.dat: cpus=4\nguest.dat: cpus=2\n" + free(1, 1)
    (tmp_path / "two").mkdir()
    with pytest.raises(InputError, match="the report of several recordings: print one"):
        import_text(tmp_path / "two", several)


def test_one_commands_events(tmp_path: Path) -> None:
    """As perf record has them without -a."""
    lines = [free(1 + index / 1e4, index % 500) for index in range(10_000)]
    assert odd(tmp_path, "".join(lines)) == [OF_ONE_COMMAND]
    (tmp_path / "all").mkdir()
    assert not odd(tmp_path / "all", "".join(lines) + free(2.1, 1).replace("sh-8", "<idle>-0"))
    (tmp_path / "short").mkdir()
    assert not odd(tmp_path / "short", "".join(lines[:100]) + 10_000 * lines[100])


@pytest.mark.parametrize(
    ("kinds", "level"),
    [
        ("AFZD", "page"),
        ("AF", "page"),
        ("ZD", "zone"),
        ("AZD", "zone"),
        ("FZD", "zone"),
        ("AFZ", "page"),
        ("F", "page"),
    ],
)
def test_the_level_is_that_of_the_events(tmp_path: Path, kinds: str, level: str) -> None:
    """Without allocations and frees, what had left the lists was neither in use nor free."""
    names = {"A": "alloc", "F": "free", "Z": "alloc_zone_locked", "D": "pcpu_drain"}
    fields = "page=a pfn=1 order=0 migratetype=0 gfp_flags=GFP_KERNEL"
    lines = [f"<idle>-0 [000] .... 1.000000: mm_page_{names[kind]}: {fields}\n" for kind in kinds]
    assert import_text(tmp_path, "".join(lines)).meta.level == level


def test_marks_of_another_clock(tmp_path: Path, zoneinfo: str) -> None:
    """Of times since the first event, as in latency-format: the snapshot counted as taken late."""
    folder = tmp_path / "start"
    folder.mkdir()
    (folder / "zoneinfo").write_text(zoneinfo)
    (folder / "marks").write_text("500000000000 KPF-BEGIN init\n500000000600 KPF-END init\n")
    trace = import_text(tmp_path, free(1, 1) + free(2, 2), folder)
    assert trace.meta.events == {"F": 2}
    assert any("marks beside it that are after all events" in kind for kind in trace.meta.anomalies)


def test_the_last_line_may_be_cut_off(tmp_path: Path) -> None:
    trace = import_text(tmp_path, TRACE + free(1.1, 5)[:60])
    assert trace.num_events == 3
    assert trace.meta.anomalies["last line cut off"] == 1


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"", "trace.txt: is empty: expected what trace-cmd report, perf script"),
        (b"hello\nworld\n", "no page events in 2 lines (0 other events): expected what trace-cmd report"),
        (b"t-1 [000] .... 1.000000: sched_switch: a=1\n", "no page events in 1 lines (1 other events)"),
        (b"\x17\x08Dtracing6\0\0\0", "trace-cmd's own recording: print it with `trace-cmd report -i /"),
        (b"PERFILE2\x00\x00", "print it with `perf script"),
        (b"\x7fELF\0\0\0", "not text"),
        (gzip.compress(TRACE.encode(), mtime=0)[:80], "the gzip data are damaged or cut off"),
        (TRACE.replace("order=0\n", "order=\n").encode(), "line 10: mm_page_free without order="),
    ],
)
def test_bad_input(tmp_path: Path, content: bytes, error: str) -> None:
    with pytest.raises(InputError, match=re.escape(error)) as caught:
        import_text(tmp_path, content)
    assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["trace.txt"]


def residency(tmp_path: Path, *rows: str) -> Path:
    path = tmp_path / "rss.csv"
    path.write_text("host_ns,ram_resident_kib\n" + "".join(f"{row}\n" for row in rows))
    return path


HOST = 1_700_000_000_000_000_000


def test_the_hosts_samples(tmp_path: Path) -> None:
    text = marked(f"CLOCK {HOST}") + free(2, 1) + free(3, 2)
    path = residency(tmp_path, f"{HOST + 10**9},4096", f"{HOST + 2 * 10**9},2048")
    (tmp_path / "trace.txt").write_text(text)
    trace = import_trace(tmp_path / "trace.txt", tmp_path / "t.pagetrace", residency=path)
    assert trace.residency is not None
    assert trace.residency["time"].to_pylist() == [2 * 10**9, 3 * 10**9]
    assert trace.residency["ram_resident_kib"].to_pylist() == [4096, 2048]
    assert trace.residency["rss_kib"].null_count == 2
    assert trace.meta.clock is not None
    assert trace.meta.clock.h0_ns == HOST - 10**9
    path.write_text(path.read_text(), encoding="utf-8-sig")  # as spreadsheets save it
    said = import_trace(
        tmp_path / "trace.txt", tmp_path / "said.pagetrace", residency=path, clock_offset=HOST - 2 * 10**9
    )
    assert said.residency is not None
    assert said.residency["time"].to_pylist() == [3 * 10**9, 4 * 10**9]


@pytest.mark.parametrize(
    ("text", "rows", "error"),
    [
        (free(2, 1), [f"{HOST},1"], r"rss\.csv: nothing tells how its times fit"),
        (marked(f"CLOCK {HOST}") + free(2, 1), [f"{HOST + 10**12},1"], r"none of its 1 samples lies in the recording"),
        (
            marked(f"CLOCK {HOST}") + free(2, 1),
            [f"{HOST + 2},1", f"{HOST + 1},1"],
            "line 3: the host's time .* before the",
        ),
        (marked(f"CLOCK {HOST}") + free(2, 1), [",1"], "a line has no host time"),
        (
            marked(f"CLOCK {HOST}") + free(2, 1),
            [f"{HOST},1", f"{HOST},-3"],
            "line 3: ram_resident_kib is -3",
        ),
        (marked(f"CLOCK {HOST}") + free(2, 1), [f"{HOST},{1 << 50}"], r"rss\.csv: line 2: ram_resident_kib is "),
        (marked(f"CLOCK {HOST}") + free(2, 1), [f"{HOST},x"], r"rss\.csv: .*invalid value"),
    ],
)
def test_samples_that_do_not_fit(tmp_path: Path, text: str, rows: list[str], error: str) -> None:
    (tmp_path / "trace.txt").write_text(text)
    with pytest.raises(InputError, match=error):
        import_trace(tmp_path / "trace.txt", tmp_path / "t.pagetrace", residency=residency(tmp_path, *rows))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["rss.csv", "trace.txt"]


def test_samples_that_end_in_the_midst_of_a_line(tmp_path: Path) -> None:
    """As those of a loop that is being copied: its last was a tenth of what it is."""
    path = residency(tmp_path, f"{HOST},4096", f"{HOST + 10**9},4096")
    (tmp_path / "trace.txt").write_text(marked(f"CLOCK {HOST}") + free(3, 2))
    for number, cut in enumerate((f"{HOST + 2 * 10**9},40", f"{HOST + 2 * 10**9}", "17")):
        path.write_text(path.read_text().rpartition("\n")[0] + "\n" + cut)
        trace = import_trace(tmp_path / "trace.txt", tmp_path / f"{number}.pagetrace", residency=path)
        assert trace.residency is not None
        assert trace.residency["ram_resident_kib"].to_pylist() == [4096, 4096]


def test_samples_in_bytes(tmp_path: Path, zoneinfo: str) -> None:
    folder = tmp_path / "start"
    folder.mkdir()
    (folder / "zoneinfo").write_text(zoneinfo)
    (tmp_path / "trace.txt").write_text(marked(f"CLOCK {HOST}") + free(3, 2))
    path = residency(tmp_path, f"{HOST},512", f"{HOST + 10**9},{512 << 10}")
    with pytest.raises(
        InputError,
        match=r"rss\.csv: line 3: ram_resident_kib is 524288, and the guest has 1020 KiB: is that in bytes\?",
    ):
        import_trace(tmp_path / "trace.txt", tmp_path / "t.pagetrace", folder, residency=path)


def test_reportings_settings_and_probes(tmp_path: Path, zoneinfo: str) -> None:
    folder = tmp_path / "start"
    (folder / "page_reporting").mkdir(parents=True)
    (folder / "zoneinfo").write_text(zoneinfo)
    (folder / "balloon_features").write_text("01000100" + 56 * "0" + "\n")
    (folder / "page_reporting" / "page_reporting_order").write_text("4\n")
    (folder / "page_reporting" / "min_free_ms").write_text("300\n")
    (folder / "marks").write_text("1000000500 KPF-BEGIN init\n1000000600 KPF-END init\n")
    head = "kworker/0:1-9 [001] d..1. 1.000001:"
    base = "base=0xffffea0000000000"
    text = free(1, 64) + "".join(
        f"{head} {line}\n"
        for line in (
            f"isolate: (__isolate_free_page+0x0/0x1a0) page=0xffffea0000001000 {base} order=4",
            "isolate_ret: (page_reporting_cycle+0x11f/0x3a0 <- __isolate_free_page) ret=16",
            "report: (virtballoon_free_page_report+0x0/0xa0 [virtio_balloon]) nents=1",
            "report_ret: (page_reporting_drain+0x1/0x2 <- virtballoon_free_page_report) ret=0",
            "putback: (__putback_isolated_page+0x0/0x60) page=0xfffff7de40001000 order=4 mt=1",
        )
    )
    trace = import_text(tmp_path, text, folder)
    (batch,) = trace.batches()
    assert [chr(code) for code in batch["event"]] == list("FIiRrP")
    assert batch["pfn"].tolist() == [64, 64, -1, -1, -1, 64]
    assert batch["order"].tolist() == [0, 4, 255, 255, 255, 4]
    assert batch["detail"].tolist() == [0, 0, 16, 1, 0, 0]
    reporting = trace.meta.reporting
    assert reporting is not None
    assert (reporting.on, reporting.order, reporting.delay_ns, reporting.capacity) == (True, 4, 2 * 10**9, 32)
    assert reporting.parameters == {"page_reporting_order": 4, "min_free_ms": 300}
    assert trace.marks is not None
    assert trace.marks["text"].to_pylist() == ["KPF-BEGIN init", "KPF-END init"]


def test_settings_without_a_device(tmp_path: Path, zoneinfo: str) -> None:
    folder = tmp_path / "start"
    folder.mkdir()
    (folder / "zoneinfo").write_text(zoneinfo)
    (folder / "balloon_features").write_text(64 * "0" + "\n")
    reporting = import_text(tmp_path, TRACE, folder).meta.reporting
    assert reporting is not None
    assert reporting.on is False


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"x" * 70_000, "line 1: longer than 65536 bytes"),
        (b"\n" * 100_002, "line 100001: 100000 lines without an event"),
        (gzip.compress(b"\n" * (1 << 26), mtime=0), "lines without an event"),
        (gzip.compress((marked(60_000 * "x") * 600).encode(), mtime=0), "unpacks to more than 50 times its size"),
        (b"7z\xbc\xaf\x27\x1c", "a 7z archive: unpack it with `7z x {0}` and import what was in it"),
        (b"\x04\x22\x4d\x18", "an lz4 archive: unpack it with `lz4 -dc < {0} > {1}.unpacked'`"),
        (
            gzip.compress(gzip.compress(b"x", mtime=0), mtime=0),
            "packed twice: unpack it with `gzip -dc < {0} > {1}.txt'`",
        ),
        (gzip.compress(b"\0" * 257 + b"ustar", mtime=0), "a tar archive: unpack it with `tar xf {0}`"),
        (b"\xfd7zXZ\0\0", "an xz archive: unpack it with `xz -dc < {0} > {1}.unpacked'`"),
        (b"PK\x03\x04", "a zip archive"),
    ],
)
def test_archives_and_bombs(tmp_path: Path, content: bytes, error: str) -> None:
    source = tmp_path / "my trace.txt"
    source.write_bytes(content)
    with pytest.raises(InputError, match=re.escape(error.format(f"'{source}'", f"'{source}"))):
        import_trace(source, tmp_path / "t.pagetrace")
    assert [path.name for path in tmp_path.iterdir()] == ["my trace.txt"]


@pytest.mark.parametrize(
    "kind", ["1", "a", " ", "[1]", "1 [1] ", "CPU:1 ", "[1]PERF_RECORD_LOST ", "order=", "1/1 (1) "]
)
def test_long_lines_take_no_long_time(kind: str) -> None:
    parser = LineParser("t")
    line = (kind * 65_000)[:65_000]
    for head in ("", "t-1 [000] .... 1.000000: mm_page_alloc: page=a pfn=1 order=0 migratetype=0 gfp_flags=0 "):
        with contextlib.suppress(InputError):
            for _ in range(20):
                parser.parse(head + line + "\n", 1)


def test_a_pipe_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(InputError, match="fifo: is a pipe: save what it sends in a file, and name that"):
        import_trace(tmp_path / "fifo", tmp_path / "t.pagetrace")


@pytest.mark.parametrize("offset", [None, 1 << 70])
def test_a_clock_that_no_machine_has(tmp_path: Path, offset: int | None) -> None:
    """A bundle that was not made was said to have it, or it was a traceback."""
    (tmp_path / "trace.txt").write_text(marked(f"CLOCK {10**19 - 1}") + free(2, 5))
    samples = None if offset is None else residency(tmp_path, f"{10**9},5")
    with pytest.raises(InputError, match=r"trace\.txt: h0_ns \d+ of the clock is absurd: is its mark CLOCK"):
        import_trace(tmp_path / "trace.txt", tmp_path / "b", residency=samples, clock_offset=offset)


def test_what_makes_no_bundle_is_said_of_what_it_was_made_of(tmp_path: Path, zoneinfo: str) -> None:
    """The meta.json of a bundle was named that was not made."""
    (tmp_path / "start").mkdir()
    (tmp_path / "start" / "zoneinfo").write_text(zoneinfo.replace("Node 0", "Node 5000"))
    with pytest.raises(InputError, match=r"^trace\.txt: zones\[0\]\.node is 5000, expected 0 to 1023"):
        import_text(tmp_path, free(2, 5), tmp_path / "start")
