"""The guest's timer wheel: how many ticks a second its kernel has, and when its passes come by that."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import pagehint as ph
from pagehint.hinting.designs.reporting import timer_delay, timer_step
from pagehint.kernel.ticks import TICKS, usual_tick
from pagehint.replays.run import is_as_recorded
from pagehint.replays.start import device_load
from pagehint.replays.timer import Tick, recorded_passes, steady_passes, timer_phase, timer_tick
from pagehint.trace import Meta, Trace
from pagehint.trace.meta import GuestReporting
from tests.replays.recording import record, zone

MS = 10**6
_PAGES = 32768


def _passes(path: Path, step: int, number: int, kernel: str | None = None, tick: str | None = None) -> Trace:
    """So many passes, each some of the wheel's steps (ms) and 5 ms after the one before, by 2 s and more."""
    times, at = [], 5
    for k in range(number):
        at += (2000 // step + 1 + k % 5) * step
        times.append(at)
    rows = [("R" if k in set(times) else "Z", k % _PAGES, 0, 0) for k in range(times[-1] + 2)]
    reporting = GuestReporting(True, order=9, delay_ns=2000 * MS, capacity=32, device_load_ns=1)
    system = {} if tick is None else {"clock_tick_ns": tick}
    meta = Meta(recorder="test", source="test", kernel=kernel, reporting=reporting, system=system)
    return record(path, rows, [zone(_PAGES)], meta)


def test_the_steps_of_each_kernel() -> None:
    assert [timer_step(2000 * MS, tick) for tick in TICKS] == [80 * MS, 32 * MS, 64 * (10**9 // 300), 64 * MS]
    assert timer_delay(2000 * MS, 16 * MS, 1 * MS) == 2032 * MS  # 2048 ms are 32 steps
    assert timer_delay(2000 * MS, 0, 10 * MS) == 2000 * MS + 80 * MS


@pytest.mark.parametrize(("step", "tick"), [(80, 10), (32, 4), (64, 1)])
def test_passes_tell_of_the_tick(step: int, tick: int, tmp_path: Path) -> None:
    trace = _passes(tmp_path / "t", step, 14)
    assert timer_tick(trace) == Tick(tick * MS, "passes")
    design = ph.guest_reporting(trace)
    assert (design.timer_phase, design.timer_tick) == (5 * MS - 100_000, None if tick == 4 else tick * MS)
    # Each of the recorded passes is a step of it, and the first was asked for a delay and half a step before.
    first = int(trace.report_times[0])
    assert device_load(trace) == first - 2000 * MS - step // 2 * MS
    asked = first - 2000 * MS
    assert asked + timer_delay(2000 * MS, asked - design.timer_phase, tick * MS) == first + step * MS - 100_000


@pytest.mark.parametrize(
    ("step", "number", "kernel", "tick", "known"),
    [
        (32, 14, None, "1000000", Tick(1 * MS, "recorder")),
        (32, 14, None, "3333333", Tick(10**9 // 300, "recorder")),
        (64, 4, None, None, Tick(4 * MS, None)),
        (64, 4, "6.12.0-55.el10.x86_64", None, Tick(1 * MS, "distribution")),
        (32, 4, "6.1.0-56-cloud-amd64", "absurd", Tick(4 * MS, "distribution")),
        (64, 4, None, "9" * 5000, Tick(4 * MS, None)),
    ],
)
def test_how_the_tick_is_known(
    step: int, number: int, kernel: str | None, tick: str | None, known: Tick, tmp_path: Path
) -> None:
    trace = _passes(tmp_path / "t", step, number, kernel, tick)
    assert timer_tick(trace) == known
    said = _of_ticks(trace, ph.guest_reporting(trace))
    assert len(said) == (known.by is None)
    if said:
        assert said[0].endswith("a pass comes with the next of its timer's steps of 32 ms")
    assert not _of_ticks(trace, ph.PageReporting())  # of which the delay ends by itself


def _of_ticks(trace: Trace, design: ph.PageReporting) -> list[str]:
    return [line for line in ph.replay(trace, design).recording["warnings"] if "ticks a second" in line]


def test_most_passes_tell_when_the_wheel_steps() -> None:
    """A guest of 1000 ticks a second on a busy host: most came right behind a step, others up to half a step later."""
    late = [336, 327, 324, 349, 364, 325, 324, 541, 367, 328, 208, 125, 526, 323, 365, 325]  # of 0.1 ms
    passes = np.array([64 * 33 * k * MS + each * MS // 10 for k, each in enumerate(late)], np.int64)
    assert timer_phase(passes, 64 * MS) == 323 * MS // 10
    assert timer_phase(passes[:1], 64 * MS) == 336 * MS // 10
    assert timer_phase(passes[[10, 11]], 64 * MS) == 125 * MS // 10  # of two alike, behind the larger gap


def test_half_a_step_where_no_pass_was_recorded(tmp_path: Path) -> None:
    reporting = GuestReporting(True, order=9, delay_ns=2000 * MS, device_load_ns=0)
    system = {"clock_tick_ns": "3333333"}
    meta = Meta(recorder="test", source="test", reporting=reporting, system=system)
    trace = record(tmp_path / "t", [("Z", 0, 0, 0)], [zone(_PAGES)], meta)
    design = ph.guest_reporting(trace)
    assert (design.delay, design.timer_phase) == (2000 * MS + 32 * (10**9 // 300), None)
    assert is_as_recorded(ph.replay(trace, design))
    assert not _of_ticks(trace, design)
    unsaid = record(tmp_path / "u", [("Z", 0, 0, 0)], [zone(_PAGES)], replace(meta, system={}))
    (line,) = _of_ticks(unsaid, ph.guest_reporting(unsaid))  # it said steps of 256 ms, which a delay of 2.016 s has
    assert line.endswith("so that half of its timer's step, 16 ms, is added to its delay")
    assert not _of_ticks(unsaid, ph.PageReporting(delay="100ms"))


def test_the_distributions_that_are_known() -> None:
    for kernel in ("6.1.0-56-cloud-amd64", "6.12.118+deb13-cloud-amd64", "6.1.0-9-rt-amd64", "6.8.0-31-generic"):
        assert usual_tick(kernel) == 4 * MS
    assert usual_tick("6.11.4-301.fc41.x86_64") == usual_tick("5.14.0-503.el9.x86_64") == 1 * MS
    assert usual_tick("6.6.0") is usual_tick(None) is usual_tick("6.11.0-9-generic") is None


def test_passes_with_a_short_delay_are_told_apart(tmp_path: Path) -> None:
    """With 100 ms those of six seconds were taken for one: a guest was 0.7 % off with its own times of passes."""
    short = [5000 + 104 * k for k in range(4)]
    times = [2000, 2400, 4500, *short, 5320, short[-1] + 103, 8000, 8400]
    rows = [("R", -1, 255, 0) for _ in times]
    reporting = GuestReporting(True, order=9, delay_ns=2000 * MS, capacity=32, device_load_ns=1)
    words = "REPORTING on page_reporting_delay_ms="
    marks = [(4800, f"{words}100"), (5600, f"{words}2000")]
    events = sorted([*zip(times, rows, strict=True), *((at, ("M", -1, 255, 0, k)) for k, (at, _) in enumerate(marks))])
    meta = Meta(recorder="test", source="test", reporting=reporting)
    trace = record(
        tmp_path / "t",
        [row for _, row in events],
        [zone(_PAGES)],
        meta,
        times=[at * MS for at, _ in events],
        marks=[(at * MS, text) for at, text in marks],
    )
    assert (recorded_passes(trace) // MS).tolist() == [2000, 4500, *short, short[-1] + 103, 8000]
    # The wheel's steps of a delay of 2 s are not those of the others.
    assert (steady_passes(trace) // MS).tolist() == [2000, 4500, 8000]
