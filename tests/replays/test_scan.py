"""What a look at the whole recording tells of single events, and of how it began."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pagehint.kernel.profiles import kernel_profile, recorded_profile
from pagehint.replays import start
from pagehint.replays.columns import COLUMNS
from pagehint.replays.engine import Engine
from pagehint.replays.replay import replay
from pagehint.replays.scan import FREED_WHOLE_AT_START, USED_AT_START, Scan
from pagehint.replays.start import Start
from pagehint.trace import Meta, Trace, TraceWriter
from pagehint.trace.events import EVENT_SCHEMA, pack_fallback
from pagehint.trace.meta import GuestReporting

from .recording import zone

Event = tuple[int, int, str, int, int, int, int]
"""Time, CPU, letter, pfn, order, migratetype, detail."""


def record(path: Path, events: list[Event], pages: int, kernel: str = "6.12.118") -> Trace:
    columns = {field.name: np.zeros(len(events), field.type.to_pandas_dtype()) for field in EVENT_SCHEMA}
    for k, name in enumerate(COLUMNS):
        columns[name][:] = [ord(str(event[k])) if name == "event" else event[k] for event in events]
    with TraceWriter(path) as writer:
        writer.add_events(columns)
        reporting = GuestReporting(on=True, device_load_ns=1000)
        writer.finish(Meta(recorder="test", source="test", kernel=kernel, zones=[zone(pages)], reporting=reporting))
    return Trace.open(path)


def scanned(trace: Trace, pages: int, load: int = 1 << 60, zone_level: bool = False, batch: int = 1 << 31) -> Scan:
    scan = Scan(pages, 9, True, recorded_profile(trace.meta.kernel), load, zone_level, batch)
    for events in trace.batches(COLUMNS):
        scan.add(events)
    return scan


def verdicts(
    trace: Trace, pages: int, load: int = 1 << 60, booting: bool = False, zone_level: bool = False
) -> list[tuple[int, ...]]:
    scan = scanned(trace, pages, load, zone_level)
    return [tuple(int(value) for value in row) for row in zip(*scan.verdicts(booting), strict=True)]


STRAIGHT, BOOT, COMPACTED, REMOVAL, SCANNED = range(1, 6)


def test_a_fallback_is_a_removal_unless_its_page_has_just_left(tmp_path: Path) -> None:
    whole, part = pack_fallback(10, 1, 1), pack_fallback(5, 1, 1)
    events: list[Event] = [
        (1, 0, "Z", 7, 0, 0, 1),
        (2, 0, "X", 1024, 0, 0, whole),
        (3, 0, "Z", 1025, 0, 0, 1),
        (4, 0, "Z", 2080, 0, 0, 1),
        (4, 1, "Z", 9, 0, 0, 1),
        (5, 0, "X", 2080, 0, 0, part),
    ]
    assert verdicts(record(tmp_path / "new", events, 4096), 4096) == [(1, REMOVAL, -1)]
    assert verdicts(record(tmp_path / "old", events, 4096, "6.1.0"), 4096) == []
    trace = record(tmp_path / "run", [*events, (6, 0, "A", 1024, 0, 0, 0)], 4096)
    run = replay(trace)
    assert run.anomalies == {}
    assert (run.settings["kernel_profile"], run.settings["kernel_checked"]) == ("6.15", True)
    assert not any("fallbacks" in warning for warning in run.recording["warnings"])
    other = replay(trace, kernel="6.8")
    assert (other.settings["kernel_profile"], other.settings["kernel_checked"]) == ("6.8", True)
    assert any("1 of its fallbacks take their page at once" in line for line in other.recording["warnings"])
    assert replay(record(tmp_path / "nameless", events, 4096, "")).settings["kernel_profile"] == "6.15"
    # What moved along with its block is taken, as up to 6.9: a guest of 6.8 was said to be one from 6.10 on.
    events[2] = (3, 0, "Z", 1536, 0, 0, 1)
    assert not any(
        "fallbacks" in line
        for line in replay(record(tmp_path / "moved", events[:3], 4096, "6.8")).recording["warnings"]
    )


def test_a_fallback_took_its_page_where_the_next_one_follows_at_once(tmp_path: Path) -> None:
    """Of a block, the next one lies behind all of it; what is taken elsewhere tells nothing of the kernel."""
    events: list[Event] = []
    for k, (order, following) in enumerate(((0, 1), (2, 4), (3, 8), (2, 1), (0, 512), (2, 0))):
        pfn = 1024 * k
        events += [
            (2 * k, 0, "X", pfn, order, 0, pack_fallback(9, 1, 1)),
            (2 * k, 0, "Z", pfn + following, order, 0, 0),
        ]
    scan = scanned(record(tmp_path / "t", events, 8192), 8192)
    assert (scan.removals, scan.moves) == (3, 1)


def test_what_comes_to_a_list_at_once_is_beyond_a_batch_from_its_next_page_on(tmp_path: Path) -> None:
    events: list[Event] = [(k, 0, "Z", 64 + k, 0, 1, 1) for k in range(5)]
    events += [(5, 1, "Z", 80, 0, 1, 1), (6, 0, "A", 64, 0, 1, 0), (7, 0, "Z", 96, 0, 1, 1), (8, 0, "Z", 97, 1, 1, 1)]
    scan = scanned(record(tmp_path / "t", events, 4096), 4096, batch=4)
    assert (scan.refilled, scan.beyond_batch) == (7, 1)


def test_the_order_that_took_a_block_is_not_that_of_a_fallback(tmp_path: Path) -> None:
    events: list[Event] = [(1, 0, "Z", 64, 2, 1, 0), (2, 0, "X", 1024, 0, 0, pack_fallback(9, 1, 1))]
    events += [(3, 0, "Z", 1024, 0, 0, 1), (4, 0, "Z", 1025, 0, 0, 1)]
    scan = scanned(record(tmp_path / "t", events, 4096, "6.1.0"), 4096)
    assert [int(scan.first_order[pfn]) for pfn in (64, 1024, 1025)] == [3, 0, 1]


_CLAIMS = pack_fallback(8, 1, 1)


def test_what_a_fallback_claims_was_of_the_type_that_it_fell_back_to(tmp_path: Path) -> None:
    """Its page leaves first, and says for which type: of two pageblocks that counted as theirs from the start, a guest
    of 7.3 was placed as recorded to 22 %.
    """
    events: list[Event] = [(1, 0, "Z", 512, 0, 2, 0), (2, 0, "Z", 600, 0, 0, 1), (2, 0, "X", 600, 0, 0, _CLAIMS)]
    events += [(3, 0, "Z", 1024, 0, 0, 1), (3, 1, "Z", 2048, 0, 1, 1), (3, 0, "X", 1024, 0, 0, _CLAIMS)]
    events += [(4, 0, "Z", 1025, 0, 0, 1), (5, 0, "Z", 1536, 0, 0, 0)]
    scan = scanned(record(tmp_path / "t", events, 4096), 4096)
    assert scan.first_types[1:5].tolist() == [2, 1, 0, 1]
    assert [int(scan.first_order[pfn]) for pfn in (1024, 1025, 1536)] == [0, 1, 1]


@pytest.mark.parametrize(("order", "typed"), [(7, 0), (8, 254), (9, 254)])
def test_of_a_pageblock_half_of_which_was_told_its_first_type_is_not_known(
    order: int, typed: int, tmp_path: Path
) -> None:
    """To be told, half a pageblock makes it MOVABLE: what left it later had another type than it had at the start."""
    events: list[Event] = [(1, 0, "I", 512, order, 255, 0), (2, 0, "i", -1, 255, 255, 1 << order)]
    events += [(3, 0, "P", 512, order, 1, 0), (4, 0, "Z", 512, 0, 0, 0)]
    assert scanned(record(tmp_path / "t", events, 4096), 4096).first_types[1] == typed


@pytest.mark.parametrize(
    ("kernel", "said"),
    [
        ("6.1.0", None),
        ("6.18", None),
        ("6.8.12", None),
        ("5.4", "the rules of 5.3 are known from their description only: no guest with them was compared"),
        ("7.4-rc1", "the kernel is newer than those that are known: the rules of 6.17 are followed"),
    ],
)
def test_a_kernel_outside_what_was_compared_is_said(tmp_path: Path, kernel: str, said: str | None) -> None:
    trace = record(tmp_path / "t", [(1, 0, "Z", 7, 0, 0, 1), (2, 0, "A", 7, 0, 0, 0)], 4096, kernel)
    about = [line for line in replay(trace).recording["warnings"] if "the rules of" in line]
    assert about == ([] if said is None else [said])


def test_boots_frees_go_to_the_tail_and_later_ones_do_not(tmp_path: Path) -> None:
    events: list[Event] = [
        (1, 0, "F", 1024, 10, 255, 0),  # no CPU keeps a list of this order
        (2, 0, "F", 600, 0, 255, 0),  # straight to the zone: the page's next event is Z
        (3, 0, "F", 700, 0, 255, 0),
        (4, 0, "D", 700, 0, 1, 0),
        (5, 0, "Z", 600, 0, 1, 1),
        (6, 0, "A", 600, 0, 1, 0),
        (7, 0, "F", 600, 0, 255, 0),
        (8, 0, "Z", 600, 0, 1, 1),
    ]
    trace = record(tmp_path / "t", events, 4096)
    assert [row[:2] for row in verdicts(trace, 4096)] == [(0, BOOT), (1, BOOT), (6, STRAIGHT)]
    # Once the device has come, boot is over.
    assert [row[:2] for row in verdicts(trace, 4096, load=0)] == [(1, STRAIGHT), (6, STRAIGHT)]


def test_what_is_taken_off_to_be_told_had_gone_straight_to_the_zone(tmp_path: Path) -> None:
    """A guest of 6.1 that reports order 0 was placed as recorded to 87 % without, to 100 % with the times of passes."""
    events: list[Event] = [
        (1, 0, "Z", 600, 0, 1, 0),
        (1, 0, "Z", 601, 0, 1, 0),
        (1, 0, "Z", 701, 0, 1, 0),
        (2, 0, "F", 701, 0, 255, 0),  # it lies on a CPU's list
        (2, 0, "F", 601, 0, 255, 0),
        (2, 0, "F", 600, 0, 255, 0),
    ]
    isolated: list[Event] = [(3, 1, "I", 600, 1, 255, 0), (3, 1, "i", -1, 255, 255, 2), (4, 1, "P", 600, 1, 1, 0)]
    expected = [(4, STRAIGHT), (5, STRAIGHT)]
    told = verdicts(record(tmp_path / "told", [*events, *isolated], 4096), 4096, load=0)
    assert [row[:2] for row in told] == expected
    trace = record(tmp_path / "by the host", events, 4096)
    scan = Scan(4096, 9, True, kernel_profile("6.1"), 0)
    for batch in trace.batches(COLUMNS):
        scan.add(batch)
    scan.told(np.array([(600, 2)]))
    assert [(int(row), int(verdict)) for row, verdict in zip(*scan.verdicts()[:2], strict=True)] == expected


def test_a_huge_page_freed_long_after_boot_lies_on_a_cpus_list(tmp_path: Path) -> None:
    trace = record(tmp_path / "t", [(1, 0, "F", 1024, 9, 255, 0)], 4096)
    assert verdicts(trace, 4096) == []
    assert [row[:2] for row in verdicts(trace, 4096, booting=True)] == [(0, BOOT)]


def test_what_two_cpus_freed_at_boot_is_in_the_order_in_which_it_left(tmp_path: Path) -> None:
    blocks = [1024 * k for k in range(1, 7)]
    events: list[Event] = [(5, cpu, "F", pfn, 10, 255, 0) for cpu, pfn in zip((0, 0, 0, 1, 1, 1), blocks, strict=True)]
    left = [blocks[k] for k in (0, 3, 1, 4)]
    events += [(10 + k, 0, "Z", pfn, 10, 1, 0) for k, pfn in enumerate(left)]
    trace = record(tmp_path / "t", events, 8192)
    freed = [row[2] >> 5 for row in verdicts(trace, 8192)]
    assert freed == [*left, blocks[2], blocks[5]]
    assert replay(trace).prediction.placed_as_recorded == 1.0


def test_a_pageblock_that_boot_freed_without_its_buddy_tells_nothing_of_the_largest_blocks(tmp_path: Path) -> None:
    """The last of a CPU's stood on another list, and left it first: all of that CPU's seemed to come first."""
    freed = [(0, 512 * k) for k in (2, 3, 4, 5)] + [(1, 512 * k) for k in (6, 7, 8, 9, 10)]
    events: list[Event] = [(5, cpu, "F", pfn, 9, 255, 0) for cpu, pfn in freed]
    events += [(10, 0, "Z", 5120, 9, 1, 0)] + [(11, 0, "Z", 1024 * k, 10, 1, 0) for k in (1, 3, 2, 4)]
    trace = record(tmp_path / "t", events, 8192)
    assert [row[2] >> 14 for row in verdicts(trace, 8192)] == [2, 3, 6, 7, 4, 5, 8, 9, 10]
    assert replay(trace).prediction.placed_as_recorded == 1.0


def test_what_an_allocation_had_too_much_goes_to_the_tail(tmp_path: Path) -> None:
    """Two blocks of order 1: one was split off, and the pages of the other were given back one by one behind it."""
    events: list[Event] = [(1, 0, "Z", 1024, 0, 1, 0), (2, 0, "Z", 1025, 0, 1, 0), (3, 0, "Z", 1032, 3, 1, 0)]
    exact: list[Event] = [(4, 0, "A", 1032, 3, 1, 0), (5, 0, "F", 1038, 0, 255, 0), (6, 0, "F", 1039, 0, 255, 0)]
    behind: list[Event] = [(7, 0, "Z", 1026, 1, 1, 1), (8, 0, "Z", 1038, 1, 1, 1)]
    trace = record(tmp_path / "t", [*events, *exact, *behind], 4096)
    assert [row[:2] for row in verdicts(trace, 4096)] == [(4, BOOT), (5, BOOT)]
    assert replay(trace).prediction.placed_as_recorded == 1.0
    # Drained, they were on a CPU's list; and what nobody wants again is too much all the same.
    drained: list[Event] = [(7, 0, "D", 1038, 0, 1, 0), (8, 0, "D", 1039, 0, 1, 0)]
    assert verdicts(record(tmp_path / "drained", [*events, *exact, *drained], 4096), 4096) == []
    found = verdicts(record(tmp_path / "end", [*events, *exact], 4096), 4096)
    assert [row[:2] for row in found] == [(4, BOOT), (5, BOOT)]
    # Not right behind its allocation, or not of its block.
    for others in ([(4, 0, "Z", 9, 0, 1, 1)], [(4, 0, "F", 7, 0, 255, 0)]):
        late = record(tmp_path / f"late{others[0][3]}", [*events, exact[0], *others, *exact[1:], *behind], 4096)
        assert [row[1] for row in verdicts(late, 4096, load=0)] == [STRAIGHT, STRAIGHT]


@pytest.mark.parametrize("back", ["D", "A"])
def test_pages_that_were_freed_one_by_one_come_back_as_a_block(back: str, tmp_path: Path) -> None:
    """Seen of 7.2 and 7.3: all but the first seemed to have gone straight to the zone, 9 to 98 % were placed."""
    events: list[Event] = [(1, 0, "Z", 1024, 2, 0, 1), (2, 0, "A", 1024, 2, 0, 0)]
    events += [(3, 0, "F", 1024 + k, 0, 255, 0) for k in range(4)]
    events += [(4, 0, back, 1024, 2, 0, 0)]
    if back == "A":
        events += [(5, 0, "F", 1024, 2, 255, 0), (6, 0, "D", 1024, 2, 0, 0)]
    events += [(7, 0, "Z", 1024 + k, 0, 0, 1) for k in range(4)]
    trace = record(tmp_path / "t", events, 4096, "7.2.0")
    assert verdicts(trace, 4096) == []
    run = replay(trace)
    assert (run.prediction.placed_as_recorded, run.anomalies) == (1.0, {})


@pytest.mark.parametrize(("between", "state"), [("", USED_AT_START), ("Z", FREED_WHOLE_AT_START)])
def test_a_pageblock_was_in_use_where_its_first_free_went_to_a_cpus_list(
    between: str, state: int, tmp_path: Path
) -> None:
    """That it is drained tells, unless a refill took it off the zone's lists before."""
    events: list[Event] = [(k, 0, letter, 1024, 9, 1, 0) for k, letter in enumerate(f"F{between}D")]
    assert set(scanned(record(tmp_path / "t", events, 4096), 4096).at_start[1024:1536].tolist()) == {state}


def test_small_blocks_that_are_freed_at_boot_lie_on_a_cpus_list(tmp_path: Path) -> None:
    """Boot frees single pages and pageblocks: a block of order 3 that nobody wanted again was put on the zone's."""
    events: list[Event] = [(1, 0, "F", 1024, 3, 255, 0), (2, 0, "F", 2000, 0, 255, 0), (3, 0, "F", 2048, 10, 255, 0)]
    found = verdicts(record(tmp_path / "t", events, 4096), 4096, booting=True)
    assert [row[:2] for row in found] == [(1, BOOT), (2, BOOT)]


def test_a_pageblock_that_is_not_told_of_is_as_its_buddy(tmp_path: Path) -> None:
    events: list[Event] = [
        (1, 0, "Z", 1030, 0, 2, 1),
        (2, 0, "I", 1536, 9, 255, 0),
        (3, 0, "i", -1, 255, 255, 512),
        (4, 0, "Z", 1536, 0, 1, 1),  # MOVABLE since it was isolated: that says nothing of the start
        (5, 0, "Z", 2600, 0, 0, 1),
        (6, 0, "Z", 2048, 0, 1, 1),
    ]
    trace = record(tmp_path / "t", events, 4096)
    (begin,) = Start.of(trace, kernel_profile("6.12.118")).zones
    assert begin.pageblock_types.tolist() == [1, 1, 2, 2, 1, 0, 1, 1]


def test_an_allocation_without_a_departure_was_captured(tmp_path: Path) -> None:
    events: list[Event] = [(k, 0, letter, 2048, 9, 1, 0) for k, letter in enumerate("ZAFD")]
    events += [(5, 0, "A", 2048, 9, 1, 0), (6, 0, "Z", 2560, 9, 1, 0)]
    run = replay(record(tmp_path / "t", events, 4096, "6.1.0"))
    assert run.anomalies == {}
    assert run.prediction.placed_as_recorded == 1.0


def test_compaction_turns_the_list_that_it_looks_into(tmp_path: Path) -> None:
    blocks = [512 * k for k in (1, 3, 5, 7)]
    # Drained one before the other, so that nothing is left to say of the order at the start.
    events: list[Event] = [(0, 0, "D", pfn, 9, 1, 0) for pfn in reversed(blocks)]
    events += [(1, 0, "I", blocks[1], 9, 255, 0), (2, 0, "i", -1, 255, 255, 512)]
    events += [(3 + k, 0, "Z", pfn, 9, 1, 0) for k, pfn in enumerate((blocks[2], blocks[3], blocks[0]))]
    run = replay(record(tmp_path / "t", events, 4096, "6.1.0"))
    assert run.prediction.placed_as_recorded == 1.0


@pytest.mark.parametrize(
    ("pause", "zone_level", "found"), [(20, True, SCANNED), (50, True, COMPACTED), (50, False, SCANNED)]
)
def test_at_zone_level_a_pause_tells_what_compaction_took_at_once(
    tmp_path: Path, pause: int, zone_level: bool, found: int
) -> None:
    events: list[Event] = []
    for time, pfn, pages in ((1000, 1024, 4), (1000 * pause, 2048, 8)):
        events += [(time, 0, "I", pfn, 2, 255, 0), (time + 1, 0, "i", -1, 255, 255, pages)]
    told = verdicts(record(tmp_path / "t", events, 4096), 4096, zone_level=zone_level)
    assert [row[:2] for row in told] == [(1, found), (3, found)]


@pytest.mark.parametrize(("between", "given_back"), [("", [[1, 1024, 512]]), ("PZ", [])])
def test_what_was_put_back_is_not_what_compaction_gives_back_later(
    between: str, given_back: list[list[int]], tmp_path: Path
) -> None:
    """It was told, and came off the lists as anything else."""
    events: list[Event] = [(0, 0, "I", 1024, 9, 255, 0), (1, 0, "i", -1, 255, 255, 512)]
    events += [(2 + k, 0, letter, 1024, 9, 1, 0) for k, letter in enumerate(f"{between}D")]
    assert scanned(record(tmp_path / "t", events, 4096), 4096).given_back().tolist() == given_back


def test_the_least_order_that_was_told(tmp_path: Path) -> None:
    events: list[Event] = []
    for k, order in enumerate((5, 3, 9)):
        events += [(k, 0, "I", 1024 * k, order, 255, 0), (k, 0, "i", -1, 255, 255, 1 << order)]
        events.append((k, 0, "P", 1024 * k, order, 1, 0))
    assert scanned(record(tmp_path / "t", events, 4096), 4096).least_told == 3


def test_what_is_too_large_here_is_taken_in_pieces(tmp_path: Path) -> None:
    # The model takes its first page from the pageblock that the guest kept whole; compaction then breaks the other.
    events: list[Event] = [(0, 0, "D", pfn, 9, 1, 0) for pfn in (1024, 512)]
    events += [(1, 0, "Z", 1024, 0, 1, 0), (2, 0, "I", 1030, 0, 255, 0), (3, 0, "i", -1, 255, 255, 1)]
    events += [(4, 0, "Z", 512, 9, 1, 0), (5, 0, "A", 512, 9, 1, 0)]
    events += [(6, 0, "Z", pfn, 0, 1, 0) for pfn in range(1024, 1536) if pfn not in (1024, 1030)]
    run = replay(record(tmp_path / "t", events, 4096, "6.1.0"))
    assert run.anomalies.keys() == {"taken in pieces, as no block so large was free here"}


def test_a_removal_without_zone_events_tells_nothing(tmp_path: Path) -> None:
    """It told of each page that was freed before, beyond the end of what was kept: Python was killed."""
    frees: list[Event] = [(k, 0, "F", k, 0, 255, 0) for k in range(4096)]
    trace = record(tmp_path / "t", [*frees, (5000, 0, "X", 0, 10, 0, pack_fallback(10, 1, 1))], 4096)
    scan = Scan(4096, 9, False, kernel_profile("6.18"), 1 << 60)
    for batch in trace.batches(COLUMNS):
        for k in range(0, len(batch["event"]), 4096):
            scan.add({name: np.ascontiguousarray(column[k : k + 4096]) for name, column in batch.items()})
    assert scan.verdicts()[0].tolist() == []
    assert replay(trace, sample=None, kernel="6.18").totals.events == 4097


def test_boots_pageblocks_that_are_not_known(tmp_path: Path) -> None:
    """A traceback: of no pageblock it was known when boot freed it."""
    frees: list[Event] = []
    for k in range(8):
        frees += [(2 * k, 0, "F", 512 * k, 0, 255, 0), (2 * k + 1, 0, "F", 512 * k, 9, 255, 0)]
    assert replay(record(tmp_path / "t", frees, 4096), sample=None).totals.events == 16


def test_rows_beyond_4_294_967_295(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was found of them was looked for 4,294,967,296 rows earlier."""
    blocks = [512 * k for k in (1, 3, 5, 7)]
    compacted: list[Event] = [(0, 0, "D", pfn, 9, 1, 0) for pfn in reversed(blocks)]
    compacted += [(1, 0, "I", blocks[1], 9, 255, 0), (2, 0, "i", -1, 255, 255, 512)]
    compacted += [(3 + k, 0, "Z", pfn, 9, 1, 0) for k, pfn in enumerate((blocks[2], blocks[3], blocks[0]))]
    removed: list[Event] = [(1, 0, "Z", 7, 0, 0, 1), (2, 0, "X", 1024, 0, 0, pack_fallback(10, 1, 1))]
    removed += [(3, 0, "A", 1024, 0, 0, 0), (4, 0, "Z", 1025, 0, 0, 1)]
    booted: list[Event] = [(k, k & 1, "F", 512 * k, 9, 255, 0) for k in range(4)]
    booted += [(5, 0, "F", 2048, 10, 255, 0), (2000, 0, "Z", 0, 9, 1, 0), (2001, 1, "Z", 512, 9, 1, 0)]
    tied: list[Event] = [(1, 0, "Z", 3072, 4, 1, 1), (1, 0, "A", 3072, 4, 1, 0), (1, 1, "F", 3072, 4, 255, 0)]
    tied += [(2, 0, "Z", 512, 0, 1, 0), (2, 0, "A", 512, 0, 1, 0), (2, 1, "D", 512, 0, 1, 0)]
    traces = [record(tmp_path / str(k), each, 4096) for k, each in enumerate((compacted, removed, booted, tied))]

    def late(first: int) -> list[tuple[object, ...]]:
        def begins(kind: type[Scan] | type[Engine]) -> Callable[..., Scan | Engine]:
            def made(*given: Any) -> Scan | Engine:
                rows = kind(*given)
                rows._row = first
                return rows

            return made

        monkeypatch.setattr(start, "Scan", begins(Scan))
        monkeypatch.setattr(start, "Engine", begins(Engine))
        runs = [replay(Trace.open(trace.path)) for trace in traces]
        return [(run.prediction, run.totals, run.anomalies) for run in runs]

    assert late((1 << 32) - 3) == late(1 << 32) == late(0)
