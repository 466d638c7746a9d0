"""What a result does not rest on firmly is said, and what it does is not."""

from dataclasses import replace
from pathlib import Path

import pytest

from pagehint.hinting.designs.reporting import PageReporting
from pagehint.host.model import ModelHost
from pagehint.replays.doubts import doubts, zone_level
from pagehint.replays.playback import Playback
from pagehint.trace import GuestReporting, Meta, Trace
from pagehint.trace.meta import Lost
from pagehint.trace.shipped import example

from .recording import Row, record, zone

ROWS: list[Row] = [("Z", 0, 0, 0), ("A", 0, 0, 0), ("F", 0, 0, 0), ("D", 0, 0, 0), ("Z", 0, 0, 0), ("A", 0, 0, 0)]


def said(
    trace: Trace, design: PageReporting | None = None, host: ModelHost | None = None, sample: str | None = None
) -> str:
    one = Playback(trace, design, host, "simulated", sample, None, frozenset({"alloc"}), None)
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
        ({"reporting": None}, "the guest's own reporting is not known"),
        ({"lost": Lost(overwritten=1234)}, "1,234 events were lost while recording"),
        ({"level": "zone"}, "recorded at zone level"),
        ({"zones": [replace(zone(4096), managed=3840)]}, "1 MiB are not managed by the guest's page allocator"),
    ],
)
def test_what_is_lacking_is_said_once_and_else_not(more: dict[str, object], words: str, tmp_path: Path) -> None:
    known = {"reporting": GuestReporting(on=False, device_load_ns=0), **more}
    assert said(made(tmp_path / "a", **known)).count(words) == 1
    assert words not in said(made(tmp_path / "b", reporting=GuestReporting(on=False, device_load_ns=0)))


def test_without_zone_events_the_lists_are_the_models_own(tmp_path: Path) -> None:
    words = "no zone events were recorded"
    assert words not in said(made(tmp_path / "a"))
    assert words in said(made(tmp_path / "b", [row for row in ROWS if row[0] not in "ZD"]))


def test_without_residency_what_was_backed_is_assumed(tmp_path: Path) -> None:
    words = "the recording has no residency: what was backed at the start"
    assert words in said(made(tmp_path / "a"))
    assert words not in said(example())


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
    assert zone_level(made(tmp_path / "a")) == []
    (line,) = zone_level(made(tmp_path / "b", level="zone"))
    assert "`pagehint record --level page` tells it apart" in line
