"""What a result does not rest on firmly is said, and what it does is not."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pagehint.hinting.designs.reporting import PageReporting
from pagehint.host.model import ModelHost
from pagehint.replays.doubts import doubts
from pagehint.replays.playback import Playback
from pagehint.trace import GuestReporting, Meta, Trace, import_trace
from pagehint.trace.describe import OF_ONE_COMMAND
from pagehint.trace.meta import SHUFFLE, Lost
from pagehint.trace.shipped import example

from .recording import Row, record, zone, zoneinfo

ROWS: list[Row] = [("Z", 0, 0, 0), ("A", 0, 0, 0), ("F", 0, 0, 0), ("D", 0, 0, 0), ("Z", 0, 0, 0), ("A", 0, 0, 0)]


def said(
    trace: Trace,
    design: PageReporting | None = None,
    host: ModelHost | None = None,
    sample: str | None = None,
    kernel: str | None = None,
) -> str:
    one = Playback(trace, design, host, "simulated", sample, None, frozenset({"alloc"}), None, kernel=kernel)
    return "\n".join(one.run(doubts))


def made(path: Path, rows: list[Row] = ROWS, **more: object) -> Trace:
    given = {"recorder": "test", "source": "test", "kernel": "6.1.0", "zones": [zone(4096)], **more}
    return record(path, rows, [zone(4096)], Meta(**given))  # type: ignore[arg-type]


def test_of_a_whole_recording_nothing_is_doubted() -> None:
    assert said(example()) == ""


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"kernel": None}, "the kernel is not known: free lists are kept as"),
        ({"kernel": "99.1.0"}, "the kernel is newer than those that are known"),
        ({"kernel": "6.1.0-rt5-amd64"}, "the kernel has PREEMPT_RT"),
        ({"system": {SHUFFLE: "Y"}}, "the kernel shuffles its free lists (page_alloc.shuffle)"),
        ({"reporting": None}, "the guest's own reporting is not known"),
        ({"lost": Lost(overwritten=1234)}, "1,234 events were lost while recording"),
        ({"level": "zone"}, "recorded at zone level"),
        ({"zones": [zone(4096, name="HighMem")]}, "no guest of another architecture was compared"),
        ({"zones": [zone(4097, name="DMA")]}, "zone DMA ends at pfn 4,097, which it does not on x86-64"),
        ({"zones": [zone(4096, name="DMA"), zone((1 << 20) - 4095, 4096)]}, "zone DMA32 ends at pfn 1,048,577"),
        ({"zones": [replace(zone(4096), managed=3840)]}, "1 MiB are not managed by the guest's page allocator"),
    ],
)
def test_what_is_lacking_is_said_once_and_else_not(more: dict[str, object], words: str, tmp_path: Path) -> None:
    known = {"reporting": GuestReporting(on=False, device_load_ns=0), **more}
    assert said(made(tmp_path / "a", **known)).count(words) == 1
    assert words not in said(made(tmp_path / "b", reporting=GuestReporting(on=False, device_load_ns=0)))


def test_a_part_of_a_recording_is_doubted(tmp_path: Path) -> None:
    """Only import said so, and who had the bundle afterwards was told nothing."""
    lines = said(made(tmp_path / "a", anomalies={OF_ONE_COMMAND: 12345, "events of other kinds, left out": 7}))
    assert f"{OF_ONE_COMMAND}: 12,345" in lines
    assert "left out" not in lines


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (20 * [("A", 0, 0, 0)], "20 of 26 events take what was in use, or what is no memory (allocated twice: 20)"),
        (20 * [("A", 9000, 0, 0)], "(outside every zone: 20)"),
        (20 * [("Z", 8, 0, 0)], "(taken twice: 19)"),
        (20 * [("D", 64, 0, 0)], "events give back what was free (drained, never taken: "),
        (9 * [("A", 9000, 0, 0)], ""),
    ],
)
def test_events_that_contradict_each_other(rows: list[Row], words: str, tmp_path: Path) -> None:
    """Of a recording of one command only, or beside another guest's snapshot, no more was said than the counts."""
    lines = said(made(tmp_path / "a", [*ROWS, *rows]))
    assert words in lines
    assert (" of 26 events " in lines) is bool(words)


def test_an_order_of_reporting_that_was_changed_meanwhile_is_said(tmp_path: Path) -> None:
    """A guest whose order was 9, then 5, then 9 was 6 % off, and nothing said why."""
    told: list[Row] = [("D", 64, 5, 0), ("I", 64, 5, 0), ("i", -1, 255, 0, 32), ("P", 64, 5, 0)]
    words = "the guest told blocks of order 5, and its reporting's order was 9 at the start"
    for order, count in ((9, 1), (5, 0), (None, 0)):
        trace = made(tmp_path / f"{order}", told, reporting=GuestReporting(on=True, order=order, delay_ns=2 * 10**9))
        assert said(trace).count(words) == count
    # What compaction takes is not told.
    compacted = made(tmp_path / "c", told[:3], reporting=GuestReporting(on=True, order=9, delay_ns=2 * 10**9))
    assert words not in said(compacted)


def test_a_change_of_reporting_that_was_noted_is_said_as_such(tmp_path: Path) -> None:
    told: list[Row] = [("M", -1, 255, 0, 0), ("D", 64, 5, 0), ("I", 64, 5, 0), ("i", -1, 255, 0, 32), ("P", 64, 5, 0)]
    meta = Meta("test", "test", "6.1.0", reporting=GuestReporting(on=True, order=9, delay_ns=2 * 10**9))
    trace = record(
        tmp_path / "t", told, [zone(4096)], meta, marks=[(0, "REPORTING on page_reporting_order=5")], begin=0
    )
    changed = "the guest's reporting was changed while it was recorded (order 5 at 0.00 s"
    for design, words in ((PageReporting(9), "and so it is here"), (PageReporting(4), "here the settings stay")):
        lines = said(trace, design)
        assert changed in lines
        assert words in lines
        assert "the guest told blocks of order" not in lines
    assert changed not in said(trace)


@pytest.mark.parametrize(
    ("marks", "ends"),
    [
        ((" since=0", " since=9"), ")"),
        (("", ""), ", when the recorder saw it)"),
        (("", " since=9"), ", some only when the recorder saw it)"),
    ],
)
def test_whether_a_change_is_dated_by_its_file_or_by_when_it_was_seen(
    tmp_path: Path, marks: tuple[str, str], ends: str
) -> None:
    """What its file dated to a ms was said to be when the recorder saw it, which was up to 0.1 s later."""
    told: list[Row] = [
        ("M", -1, 255, 0, 0),
        ("M", -1, 255, 0, 1),
        ("D", 64, 5, 0),
        ("I", 64, 5, 0),
        ("i", -1, 255, 0, 32),
        ("P", 64, 5, 0),
    ]
    meta = Meta("test", "test", "6.1.0", reporting=GuestReporting(on=True, order=9, delay_ns=2 * 10**9))
    texts = [(10**6 * k, f"REPORTING on page_reporting_order={5 - k}{since}") for k, since in enumerate(marks)]
    trace = record(tmp_path / "t", told, [zone(4096)], meta, marks=texts, begin=0)
    assert f"of the guest's clock{ends}, and so it is here" in said(trace, PageReporting(9))


def test_without_zone_events_the_lists_are_the_models_own(tmp_path: Path) -> None:
    words = "no zone events were recorded"
    assert words not in said(made(tmp_path / "a"))
    assert words in said(made(tmp_path / "b", [row for row in ROWS if row[0] not in "ZD"]))


def test_without_residency_what_was_backed_is_assumed(tmp_path: Path) -> None:
    words = "the recording has no residency: what was backed at the start"
    assert words in said(made(tmp_path / "a"))
    assert words not in said(example())


def test_what_was_measured_stands_beside_what_is_assumed(tmp_path: Path) -> None:
    """It was called a recording without residency."""
    text = tmp_path / "trace.txt"
    text.write_text(
        "sh-7 [000] ..... 1.000000: tracing_mark_write: CLOCK 1700000000000000000\n"
        "sh-7 [000] d..1. 1.000001: mm_page_alloc: page=a pfn=64 order=0 migratetype=1 gfp_flags=GFP_KERNEL\n"
    )
    (tmp_path / "rss.csv").write_text("host_ns,ram_resident_kib\n1700000000000000500,128\n")
    lines = said(import_trace(text, tmp_path / "t.pagetrace", residency=tmp_path / "rss.csv"))
    assert "what was measured on the host does not tell which pages were resident: " in lines
    assert ", where 128 KiB were measured" in lines
    assert "no residency" not in lines


@pytest.mark.parametrize(("ago", "told"), [(300 * 10**9, True), (10**8, False)])
def test_a_snapshot_of_long_before(tmp_path: Path, ago: int, told: bool) -> None:
    (tmp_path / "start").mkdir()
    (tmp_path / "start" / "zoneinfo").write_text(zoneinfo([zone(4096)]))
    first = 1000 * 10**9
    (tmp_path / "start" / "marks").write_text(f"{first - ago - 5} KPF-BEGIN init\n{first - ago} KPF-END init\n")
    (tmp_path / "trace.txt").write_text("sh-7 [000] d..1. 1000.000000: mm_page_free: page=a pfn=64 order=0\n")
    lines = said(import_trace(tmp_path / "trace.txt", tmp_path / "t.pagetrace", tmp_path / "start"))
    assert ("the snapshot was read 300 s before the first event" in lines) is told


def test_what_is_said_of_one_thing_is_one_warning(tmp_path: Path) -> None:
    """A first recording of one's own had seven before any figure: of them two pairs said the same."""
    trace = record(tmp_path / "a", [*ROWS, ("F", 4095, 0, 0)], [], Meta(recorder="test", source="test", kernel="6.1.0"))
    lines = said(trace).splitlines()
    assert len(lines) == 3
    (snapshot, reporting, backed) = lines
    assert "no snapshot: of 15.99 MiB" in snapshot
    assert "in areas of 128MiB" not in snapshot
    assert "reporting is not known" in reporting
    assert "its device is there from the first event on" in reporting
    assert "is assumed (used and free memory); of free memory" in backed
    known = made(tmp_path / "b", reporting=GuestReporting(True, 9, 2 * 10**9))
    assert "when the guest's device came is not known: it is there from the first event on" in said(known)


def test_at_zone_level_what_lies_on_lists_is_said_once(tmp_path: Path) -> None:
    texts = {"zoneinfo": zoneinfo([zone(4096)], on_cpus=1000)}
    for level, words in (("page", "3.906 MiB lay on per-CPU lists"), ("zone", "what lies on per-CPU lists, up to")):
        flags = np.zeros(4096, np.uint64)
        meta = Meta(recorder="test", source="test", kernel="6.1.0", zones=[zone(4096)], level=level)
        trace = record(tmp_path / level, ROWS, [zone(4096)], meta, texts=texts, flags=flags)
        (line,) = [each for each in said(trace).splitlines() if "per-CPU lists" in each]
        assert words in line


def test_at_zone_level_lists_are_as_long_as_the_kernel_that_is_followed_has_them(tmp_path: Path) -> None:
    old, new = (made(tmp_path / name, level="zone", kernel=name) for name in ("6.1.0", "6.8.0"))
    lists = [re.search("on per-CPU lists, up to [^,]*,", said(trace, kernel="6.8")) for trace in (old, new)]
    assert [None if found is None else found[0] for found in lists] == ["on per-CPU lists, up to 2 MiB,"] * 2


def test_a_timeline_that_is_coarser_than_was_asked_for(tmp_path: Path) -> None:
    far: list[Row] = [*ROWS, ("F", 0, 0, 0)]
    trace = record(tmp_path / "a", far, [zone(4096)], step=3600 * 10**9)
    assert "the timeline has a row each" in said(trace, sample="1ms")
    assert "the timeline has a row each" not in said(made(tmp_path / "b"), sample="1ms")


def test_khugepaged_where_no_residency_map_shows_whether_it_ran(tmp_path: Path) -> None:
    trace = made(tmp_path / "a")
    words = "the recording has no residency map that shows whether it did"
    assert words in said(trace, host=ModelHost("THP", khugepaged=True))
    assert words not in said(trace, host=ModelHost("THP"))


def test_of_page_level_no_list_is_doubted(tmp_path: Path) -> None:
    assert "recorded at zone level" not in said(made(tmp_path / "a"))
    (line,) = [each for each in said(made(tmp_path / "b", level="zone")).splitlines() if "at zone level" in each]
    assert "`pagehint record --level page` tells it apart" in line
