"""Which of compaction's blocks were looked for in a list, and which it came upon in a pageblock."""

import numpy as np
import pytest

from pagehint.replays.compaction import came_upon, new_sources

# Pfn and pages; None: other events of the CPU come between.
_ONE_AFTER_THE_OTHER = [(9000, 8), None, (5000, 8), None, (7000, 4)]
_IN_ONE_GO = [(9000, 8), (5000, 4), (9100, 1)]
_DOWN_BY_PAGEBLOCKS = [(9728, 32), (9312, 8), (9344, 16), (8704, 64)]
_UPWARDS = [(8704, 4), (8720, 8), (8800, 1)]
_AROUND = [(8960, 128), (8704, 4), (8720, 8)]
_FROM_ONE_TO_ANOTHER = [(9728, 32), (9312, 8), (9216, 1), (9230, 2), (8960, 2), (8704, 1), (8720, 1), (8192, 1)]
_RESUMED = [(8704, 64), None, (8960, 64), None, (8832, 64)]


@pytest.mark.parametrize(
    ("blocks", "expected"),
    [
        (_ONE_AFTER_THE_OTHER, [False, False, False]),
        (_IN_ONE_GO, [False, False, False]),
        (_DOWN_BY_PAGEBLOCKS, [True] * 4),
        (_UPWARDS, [True] * 3),
        (_AROUND, [False, True, True]),
        (_FROM_ONE_TO_ANOTHER, [True, False, True, True, False, True, True, True]),
        (_RESUMED, [False, False, False]),
        ([], []),
    ],
)
def test_came_upon(blocks: list[tuple[int, int] | None], expected: list[bool]) -> None:
    together, rows = 0, []
    for block in blocks:
        together += block is None
        if block is not None:
            rows.append([len(rows), *block, together, -1])
    assert came_upon(np.array(rows, np.int64).reshape(-1, 5), 9).tolist() == expected


def test_two_cpus_compact_at_once() -> None:
    rows = [(0, 9728, 32, 1, -1), (1, 8704, 4, 2, -1), (2, 9312, 64, 1, -1), (3, 8720, 8, 2, -1)]
    assert came_upon(np.array(rows, np.int64), 9).tolist() == [True] * 4
    rows = [(0, 9728, 32, 1, -1), (1, 8704, 8, 2, -1), (2, 9312, 8, 1, -1), (3, 4720, 4, 2, -1)]
    assert came_upon(np.array(rows, np.int64), 9).tolist() == [False] * 4


def test_new_sources() -> None:
    """What is moved next tells where from; a pageblock is gone on to once."""
    rows = [(k, 9000 - k, 1, k, source) for k, source in enumerate((-1, 7, 7, -1, 7, 9, 9, 7, -1))]
    assert new_sources(np.array(rows, np.int64)).tolist() == [-1, 7, -1, -1, -1, 9, -1, 7, -1]
    assert len(new_sources(np.zeros((0, 5), np.int64))) == 0
