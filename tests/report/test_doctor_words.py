"""Sizes with bounds, in words."""

from pathlib import Path

import numpy as np
import pytest

from pagehint.diagnosis.bounds import UNKNOWN, ZERO, Bounds, exactly
from pagehint.diagnosis.examine import diagnose
from pagehint.report.doctor_words import MAP_STATES, advice_brings, map_states, range_of
from tests.diagnosis.conftest import DATA

MIB = 1 << 20


@pytest.mark.parametrize(
    ("size", "words"),
    [
        (exactly(312 * MIB), "312 MiB"),
        (ZERO, "0 MiB"),
        (UNKNOWN, "not known"),
        (Bounds(0, 40 * MIB), "0 to 40 MiB"),
        (Bounds(3 * MIB, None), "at least 3 MiB"),
        (Bounds(-6 * MIB, None), "not known"),
        (Bounds(20 * MIB, 20 * MIB + 1), "20 MiB"),
        (Bounds(0, 100 * MIB, 44 * MIB, (17 * MIB, 73 * MIB)), "44 MiB (17 to 73)"),
        (Bounds(0, 100 * MIB, 44 * MIB, (44 * MIB, 44 * MIB)), "44 MiB"),
        (Bounds(-6 * MIB, 1211 * MIB), "from 6 MiB less to 1,211 MiB more"),
        (Bounds(-90 * MIB, -20 * MIB), "-90 to -20 MiB"),
    ],
)
def test_ranges(size: Bounds, words: str) -> None:
    assert range_of(size) == words


def test_a_tables_cell_has_no_words() -> None:
    assert range_of(Bounds(-79 * MIB, 118 * MIB), "") == "-79 to 118"


def test_bounds_that_tell_nothing_are_no_figures(tmp_path: Path) -> None:
    """Of free's output alone it said that compaction brings up to 19,623 MiB, of 16,610 that are free."""
    path = tmp_path / "free.txt"
    path.write_text(
        "               total        used        free      shared  buff/cache   available\n"
        "Mem:        24683656     4329992    17008388        8924     3680956    20353664\n"
    )
    found = diagnose(path)
    words = {each.apply: advice_brings(found, each) for each in found.advice}
    assert (words["compact_memory"], words["both"]) == ("not known", "not known")
    assert words["drop_caches"] == "from 6 MiB less to 23,209 MiB more"
    assert [each.apply for each in found.advice[-2:]] == ["compact_memory", "both"]
    found = diagnose(DATA / "compile612" / f"{name}.txt" for name in ("buddyinfo", "zoneinfo", "meminfo"))
    assert not any(found.tells_nothing(each.apply, each.brings) for each in found.advice)


@pytest.mark.parametrize(
    ("shares", "state"),
    [
        ((0, 0, 0, 1), "none"),
        ((0.3, 0.1, 0.6, 0), "back"),
        ((0.05, 0.95, 0, 0), "free"),
        ((0.5, 0.5, 0, 0), "mixed"),
        ((0.95, 0.05, 0, 0), "used"),
        ((0.05, 0, 0, 0.95), "used"),
        ((0, 0.5, 0, 0.5), "free"),  # the terminal had it given back
        ((0, 0.1, 0.4, 0.5), "back"),  # the page had it free
    ],
)
def test_a_cell_of_the_map_is_one_thing_on_the_terminal_and_on_the_page(shares: tuple[float, ...], state: str) -> None:
    assert map_states(np.array([shares])) == [state]
    assert state in MAP_STATES
