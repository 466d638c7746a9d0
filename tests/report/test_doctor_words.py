"""Sizes with bounds, in words."""

import pytest

from pagehint.diagnosis.bounds import UNKNOWN, ZERO, Bounds, exactly
from pagehint.report.doctor_words import range_of

MIB = 1 << 20


@pytest.mark.parametrize(
    ("size", "words"),
    [
        (exactly(312 * MIB), "312 MiB"),
        (ZERO, "0 MiB"),
        (UNKNOWN, "not known"),
        (Bounds(0, 40 * MIB), "0 to 40 MiB"),
        (Bounds(3 * MIB, None), "at least 3 MiB"),
        (Bounds(20 * MIB, 20 * MIB + 1), "20 MiB"),
        (Bounds(0, 100 * MIB, 44 * MIB, (17 * MIB, 73 * MIB)), "44 MiB (17 to 73)"),
        (Bounds(0, 100 * MIB, 44 * MIB, (44 * MIB, 44 * MIB)), "44 MiB"),
        (Bounds(-6 * MIB, 1211 * MIB), "up to 1,211 MiB, or 6 MiB less"),
        (Bounds(-90 * MIB, -20 * MIB), "-90 to -20 MiB"),
    ],
)
def test_ranges(size: Bounds, words: str) -> None:
    assert range_of(size) == words


def test_a_tables_cell_has_no_words() -> None:
    assert range_of(Bounds(-79 * MIB, 118 * MIB), "") == "-79 to 118"
