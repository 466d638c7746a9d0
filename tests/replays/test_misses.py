"""Where a replay with the guest's own settings goes another way than it: said with its size, and only then."""

import re

import pytest

from pagehint.hinting.designs.reporting import PageReporting
from pagehint.replays.misses import misses
from pagehint.replays.playback import Playback
from pagehint.replays.start import guest_reporting, recorded_passes
from pagehint.trace import Trace
from pagehint.trace.shipped import example

MS = 10**6


def played(trace: Trace, design: PageReporting | None) -> Playback:
    one = Playback(trace, design, None, "simulated", "50ms", None, frozenset({"alloc"}), None)
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


@pytest.mark.parametrize(("shift", "way"), [(-300 * MS, "after"), (300 * MS, "before")])
def test_passes_that_came_earlier_or_later_are_counted(own: Playback, shift: int, way: str) -> None:
    passes = list(own.passes)
    try:
        own.passes[:] = [time + shift for time in passes]
        (line, *_) = misses(own)
    finally:
        own.passes[:] = passes
    found = re.match(r"(\d+) of the guest's (\d+) passes came up to ([\d.]+) ms (before|after) their timer", line)
    assert found is not None, line
    assert int(found[1]) == int(found[2]) == len(recorded_passes(own.trace))
    assert float(found[3]) == pytest.approx(300, abs=40)
    assert found[4] == way


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
