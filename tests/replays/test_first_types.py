"""The types of pageblocks before the first event: those that events tell, and what is made of the others."""

from pathlib import Path

import numpy as np
import pytest

from pagehint.kernel.migratetype import Migratetype
from pagehint.kernel.profiles import kernel_profile
from pagehint.proc.kpageflags import KPageFlag
from pagehint.replays.first_types import CMA, types_at_start
from pagehint.replays.scan import FREE_AT_START, USED_AT_START
from pagehint.replays.start import Start
from pagehint.replays.states import PageStates
from pagehint.trace import Trace

from .recording import Row, record, zone

UNMOVABLE, MOVABLE, RECLAIMABLE, UNSEEN = 0, 1, 2, 255
BLOCKS = 8
PAGES = BLOCKS * 512


def types(
    trace: Trace,
    seen: list[int],
    free: list[int] | None = None,
    flags: np.ndarray | None = None,
    booting: bool = False,
    reported: int | None = None,
) -> list[int]:
    """Of these pageblocks, of which those of the numbers `free` are wholly free, all others in use."""
    states = np.full(PAGES, USED_AT_START, np.uint8)
    for block in free or []:
        states[block * 512 : block * 512 + 512] = FREE_AT_START
    none = np.zeros(PAGES, np.bool_)
    found = PageStates(states, none, none.copy(), none.copy(), booting)
    if reported is not None:
        found.reported[reported] = True
    # And one behind the last.
    at = np.array([*seen, UNSEEN], np.uint8)
    left, order = np.zeros(PAGES, np.uint32), np.zeros(PAGES, np.uint8)
    return types_at_start(trace, [zone(PAGES)], at, found, flags, left, order).tolist()[:BLOCKS]


@pytest.fixture(scope="module", params=["A", "Z"])
def trace(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Trace:
    """A recording without and with zone events."""
    return record(tmp_path_factory.mktemp("types") / "a", [(request.param, 0, 0, 0)], [zone(PAGES)])


def test_what_events_tell_stays_and_an_unknown_one_is_as_its_buddy(trace: Trace) -> None:
    seen = [UNMOVABLE, UNSEEN, UNSEEN, RECLAIMABLE, UNSEEN, UNSEEN, MOVABLE, UNMOVABLE]
    assert types(trace, seen) == [UNMOVABLE, UNMOVABLE, RECLAIMABLE, RECLAIMABLE, MOVABLE, MOVABLE, MOVABLE, UNMOVABLE]


def test_of_nothing_known_all_are_movable(trace: Trace) -> None:
    assert types(trace, [UNSEEN] * BLOCKS) == [MOVABLE] * BLOCKS
    assert int(Migratetype.MOVABLE) == MOVABLE


def test_what_was_wholly_free_was_taken_over_where_no_zone_event_says_otherwise(trace: Trace) -> None:
    """Without zone events a pageblock's first type may be what it became: it was MOVABLE while it was wholly free."""
    zone_events = "Z" in trace.meta.events
    found = types(trace, [UNMOVABLE] * BLOCKS, free=[2, 5])
    assert found == [UNMOVABLE if zone_events or block not in (2, 5) else MOVABLE for block in range(BLOCKS)]


_HEAD = "Page block order: 9\nPages per block:  512\n\nFree pages count per migrate type at order {}\n"
_NAMES = ("Unmovable", "Movable", "Reclaimable", "HighAtomic", "Isolate")


def _pagetypeinfo(free: dict[str, list[int]], pageblocks: list[int], names: tuple[str, ...] = _NAMES) -> str:
    rows = "".join(
        f"Node    0, zone    DMA32, type {name:>12} {' '.join(map(str, free.get(name, [0] * 11)))}\n" for name in names
    )
    orders = " ".join(f"{order:>6}" for order in range(11))
    return (
        f"{_HEAD.format(orders)}{rows}\nNumber of blocks type     {'    '.join(names)}\n"
        f"Node 0, zone    DMA32 {' '.join(map(str, pageblocks))}\n"
    )


def test_a_snapshots_counts_tell_of_pageblocks_that_no_event_names(tmp_path: Path) -> None:
    """Two halves of pageblocks are free: by the counts one is UNMOVABLE's, of order 8, the other MOVABLE's, of 7."""
    flags = np.full(PAGES, int(KPageFlag.LRU), np.uint64)
    flags[256:512] = int(KPageFlag.BUDDY)
    flags[3 * 512 : 3 * 512 + 128] = int(KPageFlag.BUDDY)
    text = _pagetypeinfo(
        {"Unmovable": [0] * 8 + [1, 0, 0], "Movable": [0] * 7 + [1, 0, 0, 0]}, [1, BLOCKS - 1, 0, 0, 0]
    )
    trace = record(tmp_path / "a", [("Z", 0, 0, 0)], [zone(PAGES)], texts={"pagetypeinfo": text}, flags=flags)
    found = types(trace, [UNSEEN] * BLOCKS, flags=flags.astype(np.uint32))
    assert found[0] == UNMOVABLE
    assert found[3] == MOVABLE
    # Where boot is recorded, its events tell: counts are of another moment.
    assert types(trace, [UNSEEN] * BLOCKS, flags=flags.astype(np.uint32), booting=True)[0] == MOVABLE
    # What an event told stays, whatever the counts say.
    assert types(trace, [RECLAIMABLE] + [UNSEEN] * 7, flags=flags.astype(np.uint32))[0] == RECLAIMABLE


@pytest.mark.parametrize("told", [1, 3])
def test_what_was_told_before_is_movable(told: int, tmp_path: Path) -> None:
    """Telling makes it so. A guest of 7.3 was placed to 25 % where other free pageblocks were taken for UNMOVABLE's."""
    flags = np.full(PAGES, int(KPageFlag.LRU), np.uint64)
    for block in (1, 3):
        flags[512 * block : 512 * block + 512] = int(KPageFlag.BUDDY)
    one = [0] * 9 + [1, 0]
    text = _pagetypeinfo({"Unmovable": one, "Movable": one}, [1, BLOCKS - 1, 0, 0, 0])
    trace = record(tmp_path / "a", [("Z", 0, 0, 0)], [zone(PAGES)], texts={"pagetypeinfo": text}, flags=flags)
    found = types(trace, [UNSEEN] * BLOCKS, flags=flags.astype(np.uint32), reported=512 * told)
    assert [found[told], found[4 - told]] == [MOVABLE, UNMOVABLE]


@pytest.mark.parametrize("named", [None, 0, 3])
def test_a_contiguous_area_is_where_what_is_free_of_it_is(named: int | None, tmp_path: Path) -> None:
    """Ubuntu's 7.0 has one of 310 MiB, of which events name a part: 25 % were placed as recorded."""
    flags = np.full(PAGES, int(KPageFlag.LRU), np.uint64)
    for begin, end in ((0, 1024), (1280, 2048), (3072, PAGES)):
        flags[begin:end] = int(KPageFlag.BUDDY)
    names = (*_NAMES[:4], "CMA", "Isolate")
    free = {"Movable": [0] * 10 + [1], "CMA": [0] * 8 + [1, 1, 1]}
    text = _pagetypeinfo(free, [0, BLOCKS - 4, 0, 0, 4, 0], names)
    trace = record(tmp_path / "a", [("Z", 0, 0, 0)], [zone(PAGES)], texts={"pagetypeinfo": text}, flags=flags)
    seen = [CMA if block == named else UNSEEN for block in range(BLOCKS)]
    found = types(trace, seen, flags=flags.astype(np.uint32), reported=0)
    assert [block for block in range(BLOCKS) if found[block] == Migratetype.HIGHATOMIC] == [0, 1, 2, 3]


def test_what_a_pass_tells_first_is_of_the_first_type(tmp_path: Path) -> None:
    """Which of three free pageblocks is of which type no file tells: 99.3 % were placed as recorded in a guest with a
    movable zone without, 100 % with it."""
    free, order = [1, 3, 5, 6], [5, 3, 1]
    flags = np.full(PAGES, int(KPageFlag.LRU), np.uint64)
    for block in free:
        flags[512 * block : 512 * block + 512] = int(KPageFlag.BUDDY)
    one = [0] * 9 + [1, 0]
    text = _pagetypeinfo({"Unmovable": one, "Movable": [0] * 9 + [2, 0], "Reclaimable": one}, [1, BLOCKS - 2, 1, 0, 0])
    rows: list[Row] = []
    for block in order:
        rows += [("I", 512 * block, 9, 1), ("i", -1, 255, 1, 512)]
    rows += [("R", -1, 255, 1, 3), ("r", -1, 255, 1, 0), ("Z", 0, 0, 0), ("I", 512 * 6, 9, 1)]
    times = [*range(10**7, 10**7 + 8), 5 * 10**9, 5 * 10**9]
    trace = record(
        tmp_path / "a", rows, [zone(PAGES)], texts={"pagetypeinfo": text}, flags=flags, times=times, begin=times[0]
    )
    told = [254 if block in order else UNSEEN for block in range(BLOCKS)]
    found = types(trace, told, flags=flags.astype(np.uint32))
    assert [found[block] for block in order] == [UNMOVABLE, MOVABLE, RECLAIMABLE]
    # An event of the pageblock tells more.
    told[5] = MOVABLE
    assert types(trace, told, flags=flags.astype(np.uint32))[5] == MOVABLE


@pytest.mark.parametrize(("order", "passes", "movable"), [(0, 2, False), (3, 2, False), (4, 2, True), (0, 1, True)])
def test_what_allocations_passed_over_is_of_another_type(
    order: int, passes: int, movable: bool, tmp_path: Path
) -> None:
    """They took larger blocks than the one that is MOVABLE by counts, which were read later. One such block, of 164 to
    177 on a machine that had run for hours, stood before all others, and 29 % were placed as recorded."""
    flags = np.full(PAGES, int(KPageFlag.LRU), np.uint64)
    flags[8:16] = int(KPageFlag.BUDDY)
    larger = [512 * block + 32 for block in (2, 4)]
    for pfn in larger:
        flags[pfn : pfn + 32] = int(KPageFlag.BUDDY)
    text = _pagetypeinfo({"Movable": [0, 0, 0, 1, 0, 2, 0, 0, 0, 0, 0]}, [0, BLOCKS, 0, 0, 0])
    rows: list[Row] = [("Z", pfn, order, 0) for pfn in larger[:passes]]
    trace = record(tmp_path / "a", rows, [zone(PAGES)], texts={"pagetypeinfo": text}, flags=flags)
    found = Start.of(trace, kernel_profile("6.12")).zones[0].pageblock_types
    assert (found[0] == MOVABLE) == movable
    assert found[2] == found[4] == MOVABLE
