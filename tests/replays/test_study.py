"""Studies: the same on any executor, rows equal to single runs, baselines, and what goes wrong in one of the runs."""

import multiprocessing
import os
import pickle
import shutil
import threading
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import pagehint as ph
from pagehint.errors import InputError
from pagehint.kernel.profiles import LINUX_6_1, LINUX_6_15
from pagehint.replays.plan import Plan
from pagehint.replays.recording import Recording
from pagehint.replays.run import vars_of
from pagehint.replays.start import Start
from pagehint.replays.study import Ground, Task, _usual_workers, run_tasks
from tests.limits import HANGS

from .recording import record, zone

SETTINGS = {"order": [9, 4], "delay": "500ms"}


@pytest.fixture(scope="module")
def alone(phased: ph.Trace) -> ph.Study:
    return ph.study(phased, ["reporting", "hinting", "none"], SETTINGS, workers=1)


def test_rows_are_single_runs(alone: ph.Study, phased: ph.Trace) -> None:
    rows = alone.table.to_pylist()
    assert [(row["design"], row["settings"]["order"]) for row in rows] == [
        ("reporting", 9),
        ("reporting", 4),
        ("hinting", 9),
        ("hinting", 4),
        ("none", None),
    ]
    wheel = ph.guest_reporting(phased).timer_phase
    single = ph.replay(phased, ph.PageReporting(4, "500ms", wheel), ph.ModelHost("THP"), sample=None)
    assert {name: rows[1][name] for name in vars_of(single.totals)} == vars_of(single.totals)
    assert rows[1]["settings"] == {**single.settings, "capacity": 32}
    assert rows[1]["recording"] == "phased"
    assert alone.baseline.to_pylist() == rows[-1:]
    assert alone.runs == []


@pytest.mark.parametrize("make", [lambda: ThreadPoolExecutor(2), lambda: None, "processes"])
def test_the_same_on_any_executor(make: Any, alone: ph.Study, phased: ph.Trace) -> None:
    if make == "processes":
        executor: Any = ProcessPoolExecutor(2, multiprocessing.get_context("forkserver"))
    else:
        executor = make()
    try:
        events: list[int] = []
        designs = ["reporting", "hinting", "none"]
        other = ph.study(phased, designs, SETTINGS, executor=executor, workers=3, progress=events.append)
    finally:
        if executor is not None:
            executor.shutdown()
    assert other.table.equals(alone.table)
    assert other.baseline.equals(alone.baseline)
    assert sum(events) == 5 * 2 * phased.num_events


def test_several_recordings_by_path_and_a_page(phased: ph.Trace, tmp_path: Path) -> None:
    done = ph.study([phased.path, phased], [ph.PageReporting(), None], keep=True, sample="1s")
    assert done.table.column("design").to_pylist() == ["reporting", "none"] * 2
    assert done.baseline.num_rows == 2
    page = tmp_path / "page.html"
    ph.study(phased, keep=True, sample="1s").to_html(page)
    assert "reporting" in page.read_text(encoding="utf-8")
    with pytest.raises(InputError, match="a page shows runs"):
        ph.study(phased, sample="1s").to_html(page)


def test_a_design_that_can_not_go_to_another_process_is_named(phased: ph.Trace) -> None:
    """It was pickle's own error; on threads any class will do, also one of a notebook."""

    class Local(ph.PageReporting):
        pass

    says = pytest.raises(InputError, match=r"Local: can't be sent to another process: .*: expected a class at a module")
    with ProcessPoolExecutor(1, multiprocessing.get_context("forkserver")) as pool, says:
        ph.study(phased, [Local], baseline=False, executor=pool)
    assert ph.study(phased, [Local], baseline=False).table.num_rows == 1


class Failing(ph.PageReporting):
    label = "failing"

    def work(self) -> Any:
        raise RuntimeError("of a design's own")


def test_what_fails_ends_them_all(phased: ph.Trace) -> None:
    with pytest.raises(RuntimeError, match="of a design's own"):
        ph.study(phased, [Failing], {"order": list(range(9))}, baseline=False)


class Endless(ph.PageReporting):
    label = "endless"
    reached = threading.Event()
    ended: BaseException | None = None

    def work(self) -> Any:
        self.reached.set()
        deadline = time.monotonic() + HANGS
        try:
            while time.monotonic() < deadline:
                pass
        except BaseException as error:
            Endless.ended = error
            raise
        yield


class FailingBeside(ph.PageReporting):
    label = "failing beside"

    def work(self) -> Any:
        Endless.reached.wait()
        raise RuntimeError("of a design's own")


def test_what_fails_ends_a_design_that_never_returns(phased: ph.Trace) -> None:
    with pytest.raises(RuntimeError, match="of a design's own"):
        ph.study(phased, [Endless, FailingBeside], baseline=False, workers=2)
    assert type(Endless.ended).__name__ == "_StoppedError"


class Text(ph.PageReporting):
    mode: str = ph.Setting.of("fast", "How.", str)
    share: float = ph.Setting.of(1, "How much.", float)


class Number(ph.PageReporting):
    mode: int = ph.Setting.of(3, "How.", int)
    share: int = ph.Setting.of(2, "How much.", int)


def test_rows_are_in_the_order_of_the_designs_whatever_their_settings_are(tmp_path: Path) -> None:
    trace = record(tmp_path / "t", [("Z", 0, 0, 0)], [zone(4096)])
    done = ph.study(trace, [Text(), "none", Number(mode=5), Text])
    rows = done.table.select(["design", "settings"]).to_pylist()
    assert [(row["design"], row["settings"]["mode"], row["settings"]["share"]) for row in rows] == [
        ("Text", "fast", 1.0),
        ("none", None, None),
        ("Number", "5", 2.0),
        ("Text", "fast", 1.0),
    ]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((("magic",),), "'magic' is no design"),
        (("reporting", {"magic": 3}), "magic is no setting of reporting"),
        (("reporting", {"order": 32}), "order 32: expected 0 to 31"),
        (("reporting", {"capacity": 0}), "capacity 0: expected"),
        ((5,), "5 is no design: expected a name, or a class"),
        ((None, [("order", 9)]), "settings .*: expected values by name"),
        ((int,), "<class 'int'> is no design"),
    ],
)
def test_what_no_study_can_do(arguments: Any, says: str, phased: ph.Trace) -> None:
    with pytest.raises(InputError, match=says):
        ph.study(phased, *arguments)
    with pytest.raises(InputError, match="needs a recording"):
        ph.study([])
    for call in (ph.study, ph.sweep):
        with pytest.raises(InputError, match="None is no recording: expected the path of a bundle"):
            call([phased, None])  # type: ignore[operator]
    with pytest.raises(InputError, match="ground 5: expected a Ground"):
        ph.study(phased, ground=5)
    with pytest.raises(InputError, match="price, backed beside a ground: expected a Ground with it"):
        ph.study(phased, ground=Ground(), price=3.0, backed=True)
    for workers in (0, float("nan"), "2"):
        with pytest.raises(InputError, match=r"workers .*: expected 1 to"):
            ph.study(phased, workers=workers)


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"prices": ["dear"]}, "a price of 'dear': expected"),
        ({"prices": [float("nan")]}, "a price of nan: expected"),
        ({"ground": 5}, "ground 5: expected a Ground"),
        ({"budget": 5}, "budget 5: expected a Budget"),
    ],
)
def test_what_no_sweep_can_do(asked: Any, says: str, phased: ph.Trace) -> None:
    """Replays were done first, and then it was an error from within."""
    with pytest.raises(InputError, match=says):
        ph.sweep([phased], ["reporting"], {"order": [9], "delay": ["2s"], "capacity": [32]}, **asked)


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"slowdown": "1%"}, "a slowdown of '1%': expected a share of the guest's time, 0 to 1"),
        ({"slowdown": float("nan")}, "a slowdown of nan"),
        ({"slowdown": True}, "a slowdown of True"),
        ({"within": "1s"}, "the ns within which memory comes back '1s': expected 0 to"),
        ({"within": -1}, "the ns within which memory comes back -1"),
    ],
)
def test_what_is_no_budget(asked: Any, says: str) -> None:
    """It was a TypeError when all settings were replayed, or none kept to it."""
    with pytest.raises(InputError, match=says):
        ph.Budget(**asked)


def test_recordings_of_one_name_are_no_sweep(phased: ph.Trace, tmp_path: Path) -> None:
    """Folders may differ by the suffix alone: of two, one's figures were the other's."""
    for name in ("a", "a.pagetrace"):
        shutil.copytree(phased.path, tmp_path / name)
    with pytest.raises(InputError, match="two recordings have the same name"):
        ph.sweep([tmp_path / "a", tmp_path / "a.pagetrace"], "none")


def test_guests_of_hundreds_of_gib_are_replayed_one_after_the_other(tmp_path: Path) -> None:
    """Two replays of a guest of 256 GiB at once took 5 GiB."""
    small, large = (
        Task(Recording(record(tmp_path / name, [("Z", 0, 0, 0)], [zone(pages)])), Plan("none", {}, 32), Ground())
        for name, pages in (("small", 4096), ("large", 1 << 26))
    )
    assert _usual_workers([small]) == len(os.sched_getaffinity(0))
    assert _usual_workers([small, large]) == 1


def test_a_recording_is_looked_at_once_for_all_its_replays(phased: ph.Trace) -> None:
    recording = Recording(phased)
    first, second = (Start.of(recording, LINUX_6_1) for _ in range(2))
    assert first.seen.at_start is second.seen.at_start
    assert first.zones[0] is not second.zones[0]
    told: list[int] = []
    Start.of(recording, LINUX_6_1, told.append)
    assert sum(told) == phased.num_events
    assert Start.of(recording, LINUX_6_15).seen.at_start is not first.seen.at_start
    recording.forget()
    assert Start.of(recording, LINUX_6_1).seen.at_start is not first.seen.at_start
    alone = Start.of(phased, LINUX_6_1)
    assert (alone.seen.at_start.states == first.seen.at_start.states).all()
    assert Start.of(phased, LINUX_6_1).seen.at_start is alone.seen.at_start
    phased.forget()
    assert Start.of(phased, LINUX_6_1).seen.at_start is not alone.seen.at_start


def test_threads_look_at_a_recording_once(tmp_path: Path) -> None:
    """Whoever asks while another looks waits for it; who looks may ask for something else."""
    trace = record(tmp_path / "t", [("Z", 0, 0, 0)], [zone(4096)])
    looks: list[int] = []

    def look() -> object:
        looks.append(trace.once("inner", lambda: 1))
        return object()

    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda _: trace.once("outer", look), range(64)))
    assert len(set(map(id, found))) == 1
    assert looks == [1]
    again = pickle.loads(pickle.dumps(trace))
    assert (type(again), again.path, again.num_events) == (ph.Trace, trace.path, 1)


def test_events_of_a_recording_that_is_done_are_dropped(phased: ph.Trace, tmp_path: Path) -> None:
    other = record(tmp_path / "other", [("Z", 0, 0, 0)], [zone(4096)])
    recordings = [Recording(phased), Recording(other)]
    tasks = [Task(each, Plan("none", {}, 32), Ground(price=price)) for each in recordings for price in (1, 2)]
    run_tasks(tasks, Task.row, workers=1)
    assert [each._kept is None for each in recordings] == [True, False]
