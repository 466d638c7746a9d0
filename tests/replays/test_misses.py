"""Where a replay with the guest's own settings goes another way than it: said with its size, and only then."""

import re
from pathlib import Path

import numpy as np
import pytest

from pagehint.hinting.designs.reporting import PageReporting
from pagehint.host.model import ModelHost
from pagehint.replays.misses import misses
from pagehint.replays.playback import Playback
from pagehint.replays.start import guest_reporting, recorded_passes
from pagehint.trace import Trace
from pagehint.trace.shipped import example

from .test_scan import Event, record

MS = 10**6
SECOND = 10**9


def played(trace: Trace, design: PageReporting | None, host: ModelHost | None = None) -> Playback:
    one = Playback(trace, design, host, "simulated", "50ms", None, frozenset({"alloc"}), None)
    one.run(lambda playback: playback)
    return one


@pytest.fixture(scope="module")
def own() -> Playback:
    """The shipped guest with its own settings, which goes as it was recorded."""
    trace = example()
    return played(trace, guest_reporting(trace))


def test_where_nothing_is_missed_nothing_is_said(own: Playback) -> None:
    assert len(own.passes) > 10
    assert misses(own) == []


def test_of_another_design_nothing_is_missed() -> None:
    trace = example()
    guest = guest_reporting(trace)
    assert guest is not None
    for design in (None, PageReporting(order=3), PageReporting(order=guest.order, delay="100ms")):
        one = played(trace, design)
        one.passes[:] = [time + 500 * MS for time in one.passes]
        assert misses(one) == []


def test_another_host_than_the_recorded_is_named_with_what_it_misses() -> None:
    """``--host memfd`` of the shipped guest said only how far off it was, as if the model were wrong."""
    trace = example()
    (line,) = misses(played(trace, guest_reporting(trace), ModelHost("4KiB")))
    assert line.startswith("residency is 0.593 % off")
    assert line.endswith("host backed it by THP pages, as its residency shows, and this one by 4KiB")


@pytest.mark.parametrize(("shift", "way"), [(-300 * MS, "after their timer"), (300 * MS, "before those here")])
def test_passes_that_came_earlier_or_later_are_counted(own: Playback, shift: int, way: str) -> None:
    passes = list(own.passes)
    try:
        own.passes[:] = [time + shift for time in passes]
        (line, *_) = misses(own)
    finally:
        own.passes[:] = passes
    found = re.match(r"(\d+) of the guest's (\d+) passes came up to ([\d.]+) ms ([a-z ]+)", line)
    assert found is not None, line
    assert int(found[1]) == int(found[2]) == len(recorded_passes(own.trace))
    assert float(found[3]) == pytest.approx(300, abs=40)
    assert found[4] == way


def test_a_pass_here_is_only_one_of_the_guests(own: Playback) -> None:
    """One between two of the guest's was both: 0.8 s before its timer, and 1.9 s after it, "as on a busy host"."""
    recorded = recorded_passes(own.trace)
    k = int(np.flatnonzero(np.diff(recorded) < 3 * SECOND)[0])
    passes = list(own.passes)
    try:
        kept = [time for time in passes if np.abs(recorded[k : k + 2] - time).min() > SECOND // 2]
        own.passes[:] = sorted([*kept, int(recorded[k + 1]) - 900 * MS])
        lines = misses(own)
    finally:
        own.passes[:] = passes
    (late,) = [line for line in lines if "after their timer" in line]
    assert late.startswith("1 of the guest's ")
    assert "up to 900 ms after" in late
    assert not any("before those here" in line for line in lines)
    (none,) = [line for line in lines if "none here" in line]
    assert none.startswith("1 of ")
    assert f"the first at {recorded[k] / 1e9:.2f} s" in none


def test_passes_that_have_none_here_are_said_with_the_first(own: Playback) -> None:
    passes, marks = list(own.passes), list(own.placed_by)
    recorded = recorded_passes(own.trace)
    try:
        kept = len(passes) // 2
        del own.passes[kept:], own.placed_by[kept:]
        (line, *_) = [line for line in misses(own) if "have none here" in line]
    finally:
        own.passes[:], own.placed_by[:] = passes, marks
    found = re.match(r"(\d+) of the guest's (\d+) passes have none here, the first at ([\d.]+) s", line)
    assert found is not None, line
    assert 0 < int(found[1]) <= len(recorded) - kept + 1
    assert any(abs(time / 1e9 - float(found[3])) < 0.01 for time in recorded)


@pytest.mark.parametrize("away", [True, False])
def test_passes_that_the_guest_had_none_of_are_said(tmp_path: Path, away: bool) -> None:
    """A guest whose balloon's driver was unbound for 12 s was 11 % off, and nothing said what was wrong."""
    blocks = [1024 * k for k in (*range(8, 40), *range(8))]  # as they stand behind the first pass
    events: list[Event] = [(0, 0, "D", pfn, 9, 1, 0) for pfn in sorted(blocks)]
    events += [(2 * SECOND, 1, "R", -1, 255, 255, 32), (2 * SECOND + MS, 1, "r", -1, 255, 255, 0)]
    events += [(3 * SECOND, 0, kind, blocks[0], 9, 1, 0) for kind in "ZAFD"]
    if not away:
        events += [(5 * SECOND, 1, "R", -1, 255, 255, 1), (5 * SECOND + MS, 1, "r", -1, 255, 255, 0)]
    events += [(9 * SECOND, 0, "Z", pfn, 9, 1, 0) for pfn in blocks]
    trace = record(tmp_path / "t", events, 40960, "6.1.0")
    one = played(trace, guest_reporting(trace))
    said = [line for line in misses(one) if "have none in the guest" in line]
    assert len(said) == away
    for line in said:
        assert re.match(
            r"1 of the 2 passes that gave memory back here .*, the first at 5\.\d\d s of the guest's clock:", line
        )
