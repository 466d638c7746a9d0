import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pagehint.errors import InputError
from pagehint.trace import Event
from pagehint.trace.events import NONE, pack_fallback
from pagehint.trace.kmem_text import LineParser, LostLine, MarkLine, Row

ALLOC = "page=00000000f6ed0d3b pfn=0x10f2d order=0 migratetype=1 gfp_flags=GFP_KERNEL|__GFP_ZERO"
ALLOCATED = (Event.ALLOC, 0x10F2D, 0, 1, 0xDC0, 0)


def parse(line: str) -> Row | MarkLine | LostLine | None:
    return LineParser("trace.txt").parse(line + "\n", 3)


@pytest.mark.parametrize(
    ("line", "time", "cpu", "pid"),
    [
        (f"           <...>-12      [000] d..1.   123.456789: mm_page_alloc: {ALLOC}", 123456789000, 0, 12),
        (f"          <idle>-0       [003] ..s1     0.000001: mm_page_alloc: {ALLOC}", 1000, 3, 0),
        (f"     kworker/0:1-22275 ( 1234) [006] ....   889.213383: mm_page_alloc: {ALLOC}", 889213383000, 6, 22275),
        (f"           <...>-9   (-----) [001] ....   889.213383: mm_page_alloc: {ALLOC}", 889213383000, 1, 9),
        (f"     a b [9] c-77    [010]     1.000000002: mm_page_alloc:        {ALLOC}", 1000000002, 10, 77),
        (f"perf  6429 [000]    22.498450:             kmem:mm_page_alloc: {ALLOC}", 22498450000, 0, 6429),
        (f"perf  6429/6430 [000]    22.498450:     1   kmem:mm_page_alloc: {ALLOC}", 22498450000, 0, 6429),
        (f"sh-7   [001]     1.000002: (+65)    mm_page_alloc:        {ALLOC}", 1000002000, 1, 7),
        (f"sh-7\t[001]\td..1.\t1.000002:\tmm_page_alloc:\t{ALLOC}", 1000002000, 1, 7),
        (f"imp1:   a-b c-9809    0.....   608.229178422: mm_page_alloc:        {ALLOC}", 608229178422, 0, 9809),
        (f"      sh-8284     11d..1. 1016112us+: mm_page_alloc: {ALLOC}", 1016112000, 11, 8284),
        (f"      sh-8284      0..... 16112us : mm_page_alloc: {ALLOC}", 16112000, 0, 8284),
        (f"my task 1 6429 [000]    22.498450123: kmem:mm_page_alloc: {ALLOC}", 22498450123, 0, 6429),
    ],
)
def test_lines_of_all_tracers(line: str, time: int, cpu: int, pid: int) -> None:
    assert parse(line) == (time, cpu, pid, *ALLOCATED)


@pytest.mark.parametrize(
    ("event", "row"),
    [
        ("mm_page_alloc: page=ffffea000411b380 pfn=1066702 order=3 migratetype=0 nr_free=3 gfp_flags=GFP_KERNEL",
         (Event.ALLOC, 1066702, 3, 0, 0xCC0, 0)),
        ("mm_page_alloc: page= (null) pfn=0 order=0 migratetype=1 gfp_flags=GFP_NOWAIT|__GFP_NOWARN",
         (Event.ALLOC, -1, 0, 1, 0x2800, 0)),
        ("mm_page_alloc: page=(nil) pfn=0x0 order=9 migratetype=1 gfp_flags=0x3c24ca",
         (Event.ALLOC, -1, 9, 1, 0x3C24CA, 0)),
        ("mm_page_alloc: page=0000000000000000 pfn=0x0 order=9 migratetype=1 gfp_flags=GFP_TRANSHUGE_LIGHT|0x10",
         (Event.ALLOC, -1, 9, 1, 0x1C20DA, 0)),
        ("mm_page_alloc: page=0x176a17 pfn=18446744073709551615 order=0 migratetype=0 gfp_flags=GFP_ATOMIC",
         (Event.ALLOC, -1, 0, 0, 0xA20, 0)),
        # HarmonyOS' hitrace prints no page's address: each allocation counted as failed.
        ("mm_page_alloc: page=0000000000000000 pfn=0x10 order=0 migratetype=1 gfp_flags=GFP_NOWAIT",
         (Event.ALLOC, 16, 0, 1, 0x800, 0)),
        ("mm_page_alloc: page=00000000a pfn=0x0 order=0 migratetype=1 gfp_flags=GFP_NOWAIT",
         (Event.ALLOC, 0, 0, 1, 0x800, 0)),
        ("mm_page_free: page=00000000a pfn=0x10 order=4", (Event.FREE, 16, 4, 255, 0, 0)),
        ("mm_page_free_batched: page=00000000a pfn=0x10 order=0 cold=1", (Event.FREE_BATCHED, 16, 0, 255, 0, 0)),
        ("mm_page_alloc_zone_locked: page=00000000a pfn=16 order=0 migratetype=2 percpu_refill=1",
         (Event.ZONE_ALLOC, 16, 0, 2, 0, 1)),
        ("mm_page_pcpu_drain: page=00000000a pfn=16 order=3 migratetype=1", (Event.PCPU_DRAIN, 16, 3, 1, 0, 0)),
        ("mm_page_alloc_extfrag: page=ffffea0064142000 pfn=26235008 alloc_order=3 fallback_order=10 pageblock_order=9 "
         "alloc_migratetype=0 fallback_migratetype=2 fragmenting=1 change_ownership=1",
         (Event.EXTFRAG, 26235008, 3, 0, 0, pack_fallback(10, 2, 1))),
    ],
)  # fmt: skip
def test_events(event: str, row: tuple[int, ...]) -> None:
    assert parse(f"task-1 [000] d..1 1.000000: {event}") == (10**9, 0, 1, *row)


@pytest.mark.parametrize(
    "event",
    [
        "tracing_mark_write: MARK phase",
        "print:                tracing_mark_write: MARK phase",
        "print: ffffffff8114bc44s: MARK phase",
        "ftrace:print: (ffffffff8114bc44) MARK phase",
        "print: 0xffffffff8114bc44: MARK phase",
        "print:                 ip=tracing_mark_write buf=MARK phase",
        "tracing_mark_write <ffffffff814aa241>: MARK phase",
        "tracing_mark_write+0x41/0x1b0: MARK phase",
    ],
)
def test_marks(event: str) -> None:
    assert parse(f"sh-21 [001] ..... 1.000000: {event}") == MarkLine(10**9, 1, 21, "MARK phase")


@pytest.mark.parametrize(
    ("line", "lost"),
    [
        ("CPU:2 [LOST 1234 EVENTS]", LostLine(2, 1234)),
        ("CPU:0 [LOST EVENTS]", LostLine(0, None)),
        ("CPU:7 [204600 EVENTS DROPPED]", LostLine(7, 204600)),
        ("CPU:7 [EVENTS DROPPED]", LostLine(7, None)),
        ("swapper 0 [003] 1.000000001: PERF_RECORD_LOST lost 9", LostLine(3, 9)),
        ("PERF_RECORD_LOST lost=7", LostLine(None, 7)),
        ("[1234 events lost]", LostLine(None, 1234)),
        ("LOST 5 events!", LostLine(None, 5)),
        ("Lost 1 event", LostLine(None, 1)),
        ("Processed 34432 samples and lost 12.64%!", LostLine(None, None)),
        ("Processed 31321 events and lost 11 chunks!", LostLine(None, None)),
        ("PERF_RECORD_LOST_SAMPLES lost 7", LostLine(None, 7)),
        ("# entries-in-buffer/entries-written: 100/250   #P:4", LostLine(None, 150)),
        ("# entries-in-buffer/entries-written: 100/100   #P:4", LostLine(None, 0)),
    ],
)
def test_lost(line: str, lost: LostLine) -> None:
    assert parse(line) == lost


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("t-1 [000] .... 1.000000: mm_page_free: page=a pfn=0x10", "mm_page_free without order="),
        ("t-1 [000] .... 1.000000: mm_page_alloc: page=a pfn=1 order=0 migratetype=0", "without gfp_flags="),
        ("t-1 [000] .... 1.000000: mm_page_free: page=a pfn=zz order=0", "mm_page_free: pfn zz is no number"),
        ("t-1 [000] .... 1.000000: mm_page_free: page=a pfn=1 order=21", "order 21 is absurd, expected 0 to 20"),
        ("t-1 [000] .... 1.000000: mm_page_free: page=a pfn=1 order=-1", "order -1 is absurd"),
        ("t-1 [000] .... 1.000000: mm_page_free: page=a pfn=0x10000000000 order=0", "is no page of any machine"),
        (
            "t-1 [000] .... 1.000000: mm_page_pcpu_drain: page=a pfn=1 order=0 migratetype=-7",
            "migratetype -7 is absurd",
        ),
        (
            "            perf  9299   585.089125: kmem:mm_page_free: page=0x1 pfn=0x1 order=0",
            "as printed with context-info (tracefs), and by perf script without -F",
        ),
        ("t-1  [000]608229178422: mm_page_free: page=a pfn=1 order=0", "print it without trace-cmd report --raw-ts"),
        ("   0.034 :9518/9518 kmem:mm_page_alloc(pfn: 1778151, gfp_flags: 4459968)", "perf trace prints neither"),
        ("t-1 [000] .... 1.000000: mm_page_alloc: page=a pfn=0x10 order=0 migra", "is the line cut off"),
        ("t-1 [000] .... 1.000000: mm_page_free: order=0", "expected TASK-PID [CPU] SECONDS: mm_page_free: page=..."),
        ("t-1 [000] .... 81239123: mm_page_free: page=a pfn=1 order=0", "record with the trace clock mono"),
        ("t-1 [8192] .... 1.000000: mm_page_free: page=a pfn=1 order=0", "cpu 8192 is absurd"),
        ("CPU:8192 [LOST 5 EVENTS]", "cpu 8192 is absurd"),
        ("swapper 0 [8192] 1.000000001: PERF_RECORD_LOST lost 9", "cpu 8192 is absurd"),
        ("t-9999999999 [000] .... 1.000000: mm_page_free: page=a pfn=1 order=0", "pid 9999999999 is absurd"),
        ("t-1 [000] .... 99999999999.000000: mm_page_free: page=a pfn=1 order=0", "s is absurd"),
    ],
)
def test_errors_name_the_line(line: str, error: str) -> None:
    with pytest.raises(InputError, match=re.escape(error)) as caught:
        parse(line)
    assert str(caught.value).startswith("trace.txt: line 3: ")


def test_a_line_of_nothing_but_equals_signs_takes_no_time() -> None:
    """Each of its 30,000 names was read on for 2,000 characters."""
    said = parse(f"sh-7 [001] 1.000002: mm_page_free: page=0 pfn=7 order=0 {'a=' * 30_000}")
    assert isinstance(said, Row)
    assert (said.pfn, said.order) == (7, 0)


@pytest.mark.parametrize(
    "line",
    ["", "# tracer: nop", " => __alloc_pages", "    ffffffffbe23e32e __alloc_pages_nodemask+0x22e (vmlinux)", "cpus=4"],
)
def test_other_lines_say_nothing(line: str) -> None:
    assert parse(line) is None


def test_other_events_are_counted() -> None:
    parser = LineParser("t")
    assert parser.parse("t-1 [000] .... 1.000000: sched_switch: prev_comm=a prev_pid=1\n", 1) is None
    assert parser.parse("t-1 [000] .... 1.000000: mm_page_other: page=a pfn=1 order=0\n", 2) is None
    assert parser.other_events == 2


def test_unknown_flags_are_counted() -> None:
    parser = LineParser("t")
    for _ in range(2):
        line = "t-1 [0] 1.000000: mm_page_alloc: page=a pfn=1 order=0 migratetype=0 gfp_flags=GFP_KERNEL|__GFP_X\n"
        row = parser.parse(line, 1)
        assert isinstance(row, Row)
        assert row.gfp == 0xCC0
    assert parser.unknown_gfp == {"__GFP_X": 2}


@given(
    st.from_regex(r"[\w/<>.: ]{0,15}", fullmatch=True).filter(lambda comm: not re.search(r"\d\s*$", comm)),
    st.integers(0, 2**31 - 1),
    st.integers(0, 8191),
    st.integers(0, 10**15),
    st.integers(0, 2**40 - 1),
    st.integers(0, 20),
    st.integers(0, 5),
    st.booleans(),
)
def test_any_event_is_read_back(
    comm: str, pid: int, cpu: int, time: int, pfn: int, order: int, migratetype: int, perf: bool
) -> None:
    seconds = f"{time // 10**9}.{time % 10**9:09d}"
    head = f"{comm} {pid} [{cpu:03d}] {seconds}: kmem:" if perf else f"{comm}-{pid} [{cpu:03d}] d..1. {seconds}: "
    page = f"{pfn}" if perf else f"0x{pfn:x}"
    line = f"{head}mm_page_pcpu_drain: page=00000000abcdef01 pfn={page} order={order} migratetype={migratetype}"
    assert parse(line) == Row(time, cpu, pid, Event.PCPU_DRAIN, pfn, order, migratetype, 0, 0)


@given(st.text(max_size=200) | st.from_regex(r"t-1 \[0+\] 1\.0{6}: mm_page_\w+: .*", fullmatch=True))
def test_any_text_is_read_or_refused(text: str) -> None:
    for line in text.splitlines():
        try:
            parse(line)
        except InputError as error:
            one_line = "\n" not in str(error)
            if not one_line:
                pytest.fail(f"an error of several lines: {error}")


@pytest.mark.parametrize(
    ("fields", "row"),
    [
        # 6.17's pageblock order is an expression that trace-cmd can't compute: it prints the fields as they are.
        ("mm_page_alloc_extfrag: [FAILED TO PARSE] pfn=0x29a800 alloc_order=0 fallback_order=10 alloc_migratetype=0 "
         "fallback_migratetype=1 change_ownership=1", (Event.EXTFRAG, 0x29A800, 0, 0, 0, pack_fallback(10, 1, 1))),
        ("mm_page_alloc: [FAILED TO PARSE] pfn=0x10f2d order=0 gfp_flags=3264 migratetype=0",
         (Event.ALLOC, 0x10F2D, 0, 0, 0xCC0, 0)),
        ("mm_page_alloc: page=0xffffffff981685f3 pfn=0x1d1ac1 order=0 migratetype=1 gfp_flags=0x140cca",
         (Event.ALLOC, 0x1D1AC1, 0, 1, 0x140CCA, 0)),
        ("mm_page_alloc: page=000000004b2335c2 pfn=970745 order=0 migratetype=0 nr_free=3650 gfp_flags=GFP_KERNEL",
         (Event.ALLOC, 970745, 0, 0, 0xCC0, 0)),
        # tracefs' options/fields
        ("mm_page_alloc: pfn=0x10f2d (69421) order=0x3 (3) gfp_flags=0x140dca (1314250) migratetype=0x1 (1)",
         (Event.ALLOC, 0x10F2D, 3, 1, 0x140DCA, 0)),
        ("mm_page_alloc: pfn=0xffffffffffffffff (-1) order=0x9 (9) gfp_flags=0x140dca (1314250) migratetype=0x1 (1)",
         (Event.ALLOC, -1, 9, 1, 0x140DCA, 0)),
        # trace-cmd report -R
        ("mm_page_alloc:         pfn=0x10f2d order=0 gfp_flags=0x140cca migratetype=1",
         (Event.ALLOC, 0x10F2D, 0, 1, 0x140CCA, 0)),
        ("mm_page_free_batched:  pfn=0x10f2d", (Event.FREE_BATCHED, 0x10F2D, 0, NONE, 0, 0)),
    ],
)  # fmt: skip
def test_what_tracers_print_of_other_kernels(fields: str, row: tuple[int, ...]) -> None:
    assert parse(f"t-1 [000] d..3. 1.000000: {fields}") == (10**9, 0, 1, *row)


def test_a_line_without_its_head_is_refused() -> None:
    with pytest.raises(InputError, match=r"mm_page_alloc: expected TASK-PID \[CPU\] SECONDS"):
        parse(f"  mm_page_alloc:  {ALLOC}")


@pytest.mark.parametrize(
    ("line", "kernel"),
    [
        ("python-82 [000] d..1. 1.0000000: ", False),
        ("my kworker-82 [000] d..1. 1.0000000: ", False),
        ("perf-exec  9301 [000]    22.498450: kmem:", False),
        ("<idle>-0 [000] d..1. 1.0000000: ", True),
        ("<...>-82 [000] d..1. 1.0000000: ", True),
        ("kworker/0:1-mm_-82 [000] d..1. 1.0000000: ", True),
        ("swapper     0 [000]    22.498450: kmem:", True),
        ("rcu_preempt    16 [000]    22.498450: kmem:", True),
    ],
)
def test_the_kernels_own_tasks(line: str, kernel: bool) -> None:
    parser = LineParser("t")
    assert isinstance(parser.parse(f"{line}mm_page_free: page=a pfn=1 order=0\n", 1), Row)
    assert parser.kernel_task is kernel
