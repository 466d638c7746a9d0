"""Memory that goes offline and comes online while a guest is recorded."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from pagehint.replays.hotplug import SECTION
from pagehint.replays.playback import Playback
from pagehint.replays.replay import replay
from pagehint.replays.totals import make_run
from pagehint.trace import Meta, Trace, TraceWriter
from pagehint.trace.tables import REPORTED_SCHEMA

from .recording import Row, record, used_pages, zone, zoneinfo

_WHOLE = zone(2 * SECTION)
_FREE = np.full(2 * SECTION, 1 << 10, np.uint64)
_NOPAGE = 1 << 20


def of_blocks(letter: str, section: int, cpu: int = 0) -> list[Row]:
    """Such an event of each of a section's blocks."""
    return [(letter, pfn, 10, cpu) for pfn in range(section * SECTION, (section + 1) * SECTION, 1024)]


def all_free(path: Path, rows: Sequence[Row], left: int | None = None, gone: int = 0) -> Trace:
    """A recording of two sections that are free at the start; at its end zoneinfo has so many pages `left`, and the
    flags of the second are `gone`."""
    final = None if left is None else {"zoneinfo": zoneinfo([replace(_WHOLE, present=left, managed=left)])}
    flags = _FREE.copy()
    flags[SECTION:] = gone
    texts = {"zoneinfo": zoneinfo([_WHOLE], free=2 * SECTION)}
    meta = Meta(recorder="test", source="test", kernel="6.12.118")
    return record(path, rows, [_WHOLE], meta, texts=texts, flags=_FREE, final=final, final_flags=flags)


def played(trace: Trace) -> tuple[Playback, dict[str, int], list[str]]:
    """A replay of it, what did not fit, and what is said of memory that went."""
    one = Playback(trace, None, None, "simulated", None, True, frozenset({"alloc"}), None)
    run = one.run(make_run)
    lines = [line for line in run.recording["warnings"] if "went offline" in line or "plugged" in line]
    return one, run.anomalies, lines


USED_AND_FREED = [*of_blocks("Z", 1), *of_blocks("A", 1), *of_blocks("F", 1)]
FROM_ELSEWHERE: list[Row] = [("Z", 0, 10, 0), ("A", 0, 10, 0)]


def test_what_comes_back_had_been_gone(tmp_path: Path) -> None:
    """A guest of 6.12 was 8.3 % off, and 37 % of its blocks were placed as recorded: the model took them there."""
    rows = [*USED_AND_FREED, *FROM_ELSEWHERE, *of_blocks("F", 1), ("Z", 1024, 10, 0), ("A", 1024, 10, 0)]
    one, anomalies, said = played(all_free(tmp_path / "a.pagetrace", rows))
    assert anomalies == {}
    assert one.engine.placed_as_recorded == one.engine.placed
    assert used_pages(one.engine) == 2048
    assert said == [
        "128 MiB went offline meanwhile, and came back (0.10 s of the guest's clock): no event tells when it went. "
        "From its last event on it counts as in use, and stays with its host as it was"
    ]


def test_a_page_that_was_freed_as_it_went(tmp_path: Path) -> None:
    """It came to no CPU's list: 1,024 pages of a guest of 7.3 did not go, and 78 % of its blocks were elsewhere."""
    page: list[Row] = [(letter, SECTION + 7, 0, 0) for letter in "ZAF"]
    rows = [*USED_AND_FREED, *page, *FROM_ELSEWHERE, *of_blocks("F", 1)]
    one, anomalies, said = played(all_free(tmp_path / "a.pagetrace", rows))
    assert anomalies == {}
    assert used_pages(one.engine) == 1024
    assert len(said) == 1


@pytest.mark.parametrize("flags", [0, _NOPAGE])
def test_what_is_away_at_the_end(flags: int, tmp_path: Path) -> None:
    """A guest of 7.3 was 14.1 % off; of what is offline it has no flags."""
    rows = [*USED_AND_FREED, *FROM_ELSEWHERE]
    one, anomalies, said = played(all_free(tmp_path / "a.pagetrace", rows, SECTION, flags))
    assert anomalies == {}
    assert one.engine.placed_as_recorded == one.engine.placed
    assert used_pages(one.engine) == SECTION + 1024
    assert said == [
        "128 MiB went offline meanwhile: no event tells when it went. From its last event on it counts as in use, and "
        "stays with its host as it was"
    ]


def test_what_the_host_took(tmp_path: Path) -> None:
    """virtio-mem unplugged 320 MiB of a guest of 7.3, which was 36 % off: it stayed where it was."""
    told: list[Row] = [("I", 0, 10, 0), ("i", -1, 255, 0, 1024), ("P", 0, 10, 0)]
    rows = [*told, *USED_AND_FREED, ("Z", 512, 9, 0), ("A", 512, 9, 0)]
    last = len(rows) * 10**8

    def host(writer: TraceWriter) -> None:
        times, pfns, pages = [2 * 10**8, last - 1, last + 9 * 10**8], [0, SECTION, 0], [1024, SECTION - 512, 512]
        columns = {"time": times, "pfn": pfns, "pages": pages, "ret": [0, 0, 0]}
        writer.add_reported(pa.table(columns, schema=REPORTED_SCHEMA))

    texts = {"zoneinfo": zoneinfo([_WHOLE], free=2 * SECTION)}
    marks = [(last + k * 10**8, "the end") for k in range(10)]
    rows += [("M", -1, 255, 0, k) for k in range(len(marks))]
    path = tmp_path / "a.pagetrace"
    trace = record(path, rows, [_WHOLE], texts=texts, flags=_FREE, step=10**8, host=host, marks=marks)
    one = Playback(trace, None, None, "simulated", None, True, frozenset({"alloc"}), None)
    run = one.run(make_run)
    assert run.anomalies == {}
    assert used_pages(one.engine) == SECTION
    assert one.engine.resident_in(np.array([SECTION, 2 * SECTION - 512]), np.array([10, 9])) == 512
    assert any(
        line.startswith("the host took 126 MiB that the guest had not told") for line in run.recording["warnings"]
    )


def test_what_went_is_not_known(tmp_path: Path) -> None:
    rows = [*USED_AND_FREED, *FROM_ELSEWHERE]
    for k, (left, flags) in enumerate(((SECTION, 1 << 10), (SECTION - 512, 0))):
        one, _, said = played(all_free(tmp_path / f"{k}.pagetrace", rows, left, flags))
        assert used_pages(one.engine) == 1024
        assert ["what was unplugged meanwhile stays as it was at the start" in line for line in said] == [True]


def test_what_was_plugged_is_left_out(tmp_path: Path) -> None:
    """It was said that events of a guest of 7.3 were missing, or its snapshot another guest's."""
    rows: list[Row] = [*FROM_ELSEWHERE, *20 * [("A", 9 * SECTION, 0, 0)]]
    texts = [{"zoneinfo": zoneinfo([zone(pages)], free=pages)} for pages in (SECTION, 2 * SECTION)]
    flags = _FREE[:SECTION]
    trace = record(
        tmp_path / "a.pagetrace", rows, [zone(SECTION)], texts=texts[0], flags=flags, final=texts[1], final_flags=_FREE
    )
    said = replay(trace, sample=None).recording["warnings"]
    assert "events take what was in use" not in " ".join(said)
    assert (
        "zone DMA32 of node 0 had 128 MiB at the start and 256 MiB at the end: what was plugged meanwhile is left out "
        "(20 events outside every zone), and so are the passes that its frees asked for"
    ) in said


@pytest.mark.parametrize(
    "frees",
    [
        of_blocks("F", 1)[:-1],  # memory comes by whole sections
        [(*row[:3], k % 2) for k, row in enumerate(of_blocks("F", 1))],
        [*of_blocks("F", 1)[::-1]],
    ],
)
def test_other_frees_of_what_is_free(frees: list[Row], tmp_path: Path) -> None:
    one, anomalies, said = played(all_free(tmp_path / "a.pagetrace", [*USED_AND_FREED, *FROM_ELSEWHERE, *frees]))
    assert anomalies["freed, never allocated"] == len(frees)
    assert said == []
    assert used_pages(one.engine) == 1024


def test_what_was_taken_did_not_go(tmp_path: Path) -> None:
    rows = [*of_blocks("Z", 1), *of_blocks("A", 1), *of_blocks("F", 1), *FROM_ELSEWHERE]
    one, anomalies, said = played(all_free(tmp_path / "a.pagetrace", rows))
    assert (anomalies, said, used_pages(one.engine)) == ({}, [], 1024)
    assert one.start.seen.hotplug.online.tolist() == []
