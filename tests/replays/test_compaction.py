"""Which of compaction's blocks were looked for in a list, and which it came upon in a pageblock."""

from pathlib import Path

import numpy as np
import pytest

from pagehint.replays.compaction import came_upon
from pagehint.replays.replay import replay

from .test_scan import Event, record

# Pfn and pages; None: other events of the CPU come between.
_ONE_AFTER_THE_OTHER = [(9000, 8), None, (5000, 8), None, (7000, 4)]
_IN_ONE_GO = [(9000, 8), (5000, 4), (9100, 1)]
_DOWN_BY_PAGEBLOCKS = [(9728, 32), (9312, 8), (9344, 16), (8704, 64)]
_UPWARDS = [(8704, 4), (8720, 8), (8800, 1)]
_AROUND = [(8960, 128), (8704, 4), (8720, 8)]
_RESUMED = [(8704, 64), None, (8960, 64), None, (8832, 64)]


@pytest.mark.parametrize(
    ("blocks", "expected"),
    [
        (_ONE_AFTER_THE_OTHER, [False, False, False]),
        (_IN_ONE_GO, [False, False, False]),
        (_DOWN_BY_PAGEBLOCKS, [True] * 4),
        (_UPWARDS, [True] * 3),
        (_AROUND, [False, True, True]),
        (_RESUMED, [False, False, False]),
        ([], []),
    ],
)
def test_came_upon(blocks: list[tuple[int, int] | None], expected: list[bool]) -> None:
    together, rows = 0, []
    for block in blocks:
        together += block is None
        if block is not None:
            rows.append([len(rows), *block, together])
    assert came_upon(np.array(rows, np.int64).reshape(-1, 4), 9).tolist() == expected


def test_two_cpus_compact_at_once() -> None:
    rows = [(0, 9728, 32, 1), (1, 8704, 4, 2), (2, 9312, 64, 1), (3, 8720, 8, 2)]
    assert came_upon(np.array(rows, np.int64), 9).tolist() == [True] * 4
    rows = [(0, 9728, 32, 1), (1, 8704, 8, 2), (2, 9312, 8, 1), (3, 4720, 4, 2)]
    assert came_upon(np.array(rows, np.int64), 9).tolist() == [False] * 4


def test_what_compaction_comes_upon_turns_no_list(tmp_path: Path) -> None:
    """Each pageblock's first turned its list: 0.96 % off under pressure, 0.45 % without that."""
    blocks = [512 * k for k in (1, 3, 5, 7)]
    events: list[Event] = [(0, 0, "D", pfn, 3, 1, 0) for pfn in reversed(blocks)]
    # Of one order, and in pageblocks downwards.
    for pfn in (blocks[2], blocks[1]):
        events += [(1, 0, "I", pfn, 3, 255, 0), (1, 0, "i", -1, 255, 255, 8)]
    events += [(3, 0, "Z", pfn, 3, 1, 0) for pfn in (blocks[0], blocks[3])]
    assert replay(record(tmp_path / "t", events, 4096, "6.1.0")).prediction.placed_as_recorded == 1.0
