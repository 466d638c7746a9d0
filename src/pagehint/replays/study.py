"""Several runs: recordings, designs and settings, all of them beside each other, on any executor."""

import ctypes
import os
import pickle
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence, Set
from concurrent.futures import (
    BrokenExecutor,
    Executor,
    Future,
    ProcessPoolExecutor,
    ThreadPoolExecutor,
    as_completed,
    wait,
)
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa

from pagehint.errors import InputError, starting_threads
from pagehint.hinting.design import Design
from pagehint.hinting.designs.registry import DESIGNS, NONE, label_of
from pagehint.host.costs import Costs
from pagehint.replays.drawing import drawing
from pagehint.replays.plan import Plan, grid_of, kind_of, no_hinting, plans_of
from pagehint.replays.playback import Placement, Playback
from pagehint.replays.real import RealKind
from pagehint.replays.recording import Recording
from pagehint.replays.replay import replay
from pagehint.replays.run import PRICE, Run, vars_of
from pagehint.replays.totals import make_run
from pagehint.replays.truth import guest_host
from pagehint.trace.bundle import Trace
from pagehint.units import check_kind, format_count, several, shown, whole_number

__all__ = ["Ground", "Study", "Task", "ground_of", "row_of", "run_tasks", "study", "study_plans"]

_MEMORY = 2 << 30  # of all replays at once, where nobody says how many
_BYTES_A_PAGE = 40
_MOST_WORKERS = 1 << 16
_PATIENCE = 1  # s for runs that aren't waited for any more to notice

Result = TypeVar("Result")


@dataclass(frozen=True)
class Ground:
    """What all runs of a study have in common: the host, and how a recording is replayed (see ``replay``)."""

    host_page_size: str | None = None
    """None: as seen in each recording."""
    costs: Costs = field(default_factory=Costs)
    host_memory: int | str | None = None
    placement: Placement = "simulated"
    sample: str | int | None = None
    backed: bool | None = None
    touch: Set[str] = frozenset({"alloc"})
    kernel: str | None = None
    price: float = PRICE
    khugepaged: bool = False
    """The host's runs; see `ModelHost`."""


def ground_of(ground: Ground | None, **common: Any) -> Ground:
    """What is given, or without it one of these fields. Raises InputError for both, and for what is no Ground."""
    shared = Ground(**common) if ground is None else ground
    check_kind("ground", shared, Ground, "a Ground")
    if ground is not None and common:
        raise InputError(f"{', '.join(common)} beside a ground: expected a Ground with it")
    return shared


@dataclass(frozen=True)
class Task:
    """One run: picklable, so that any process can do it; the recording goes by its path."""

    recording: Recording
    plan: Plan
    ground: Ground
    real: RealKind | None = None

    @property
    def is_baseline(self) -> bool:
        """Whether it is the recording without hinting, against which others are held."""
        return self.plan.design == NONE and self.ground.placement == "simulated"

    def run(self, progress: Callable[[int], None] | None = None) -> Run:
        """Do it."""
        return replay(**self._as_asked(progress))

    def run_once(self, progress: Callable[[int], None] | None = None) -> Run:
        """Do it without the second replay that ``Prediction.followed_error`` may take."""
        return Playback(**self._as_asked(progress)).run(make_run)

    def run_for_totals(self, progress: Callable[[int], None] | None = None) -> Run:
        """Do it for its totals, but the peak: nothing else of the run is known."""
        return Playback(**self._as_asked(progress), totals_only=True).run(make_run)

    def _as_asked(self, progress: Callable[[int], None] | None) -> dict[str, Any]:
        ground, capacity = self.ground, self.plan.capacity
        host = guest_host(
            self.recording, ground.host_page_size, ground.costs, ground.host_memory, capacity, ground.khugepaged
        )
        return {
            "trace": self.recording,
            "design": self.plan.make(ground.price),
            "host": host,
            "placement": ground.placement,
            "sample": ground.sample,
            "backed": ground.backed,
            "touch": ground.touch,
            "progress": progress,
            "real": self.real,
            "kernel": ground.kernel,
            "price": ground.price,
        }

    def row(self, progress: Callable[[int], None] | None = None) -> dict[str, Any]:
        """Do it, and tell its row (``row_of``)."""
        return row_of(self.run_once(progress))

    @property
    def events(self) -> int:
        """How many events ``progress`` is told of."""
        return 2 * self.recording.num_events


@dataclass(frozen=True, eq=False)
class Study:
    """The runs of a study, in the order recordings, designs, settings."""

    table: pa.Table
    """A row a run: ``recording``, ``design``, ``settings`` and ``attribution`` (structs), and all totals."""
    baseline: pa.Table
    """The same of each recording without hinting, where that was asked for."""
    runs: list[Run]
    """The runs themselves, where they were kept."""
    baseline_runs: list[Run]

    def __repr__(self) -> str:
        return f"<Study: {format_count(self.table.num_rows, 'run')}>"

    def to_html(self, path: str | Path) -> None:
        """Write one page of the runs beside each other. Raises OSError, and InputError if they were not kept, or are of

        more than one recording.
        """
        if not self.runs or len({run.trace for run in self.runs}) > 1:
            raise InputError("a page shows runs of one recording: study(recording, ..., keep=True, sample='50ms')")
        drawing().write_html(self.runs, path, self.baseline_runs[0] if self.baseline_runs else None)


def study(
    recordings: Trace | str | Path | Sequence[Trace | str | Path],
    designs: str | type[Design] | Design | Sequence[str | type[Design] | Design | None] | None = (),
    settings: Mapping[str, Any] | None = None,
    *,
    ground: Ground | None = None,
    baseline: bool = True,
    keep: bool = False,
    executor: Executor | None = None,
    workers: int | None = None,
    progress: Callable[[int], None] | None = None,
    **common: Any,
) -> Study:
    """Replay each recording with each design and each combination of the settings that it has.

    ``recordings``: traces, or paths of bundles. ``designs``: names, classes or designs (None: no hinting); without any,
    the guest's own reporting. ``settings``: values, or lists of them, by name (``capacity`` too). ``common`` is what
    all runs share, a ``Ground``'s fields: ``sample``, ``placement``, ``host_page_size``, ``costs``, ``host_memory``,
    ``backed``, ``touch``, ``price``. ``baseline``: each recording without hinting as well. ``keep``: keep the runs
    themselves, with their timelines.

    Runs are done by ``executor``, any concurrent.futures.Executor (``workers`` threads if None: the engine releases the
    GIL), and are the same with each. ``progress(events)`` is called as events were read, of which there are twice as
    many as a recording has, for each run; from any thread. Raises InputError; memory: ``workers`` replays, and the
    events of as many recordings (up to 16 million each).
    """
    shared = ground_of(ground, **common)
    listed = several(recordings)
    if not listed:
        raise InputError("a study needs a recording at least")
    wanted = several(designs) or [next(iter(DESIGNS))]
    grid = grid_of(settings)
    opened = [each if isinstance(each, Trace) else Trace.open(each) for each in listed]
    planned = [(each, plans_of(each, wanted, grid)) for each in opened]
    return study_plans(planned, shared, baseline, keep, executor, workers, progress)


def study_plans(
    planned: Sequence[tuple[Trace, Sequence[Plan]]],
    ground: Ground,
    baseline: bool = True,
    keep: bool = False,
    executor: Executor | None = None,
    workers: int | None = None,
    progress: Callable[[int], None] | None = None,
    real: RealKind | None = None,
) -> Study:
    """As ``study``, with the plans for each recording. ``real``: the runs (but no baselines) on this machine's memory
    too, one after the other."""
    opened = [(Recording(trace), plans) for trace, plans in planned]
    tasks = [Task(each, plan, ground, real) for each, plans in opened for plan in plans]
    # Without hinting a guest uses other pages: what it took, placed as recorded, can't be the baseline.
    bare = replace(ground, placement="simulated")
    bases = [Task(each, no_hinting(each), bare) for each, _ in opened] if baseline else []
    wanted = list(tasks)
    which = []
    for base in bases:
        alike = [k for k, task in enumerate(wanted) if task.is_baseline and task.recording is base.recording]
        which.append(alike[0] if alike else len(wanted))
        if not alike:
            wanted.append(base)
    if real is not None:
        workers = 1
    if keep:
        runs = run_tasks(wanted, Task.run, executor, workers, progress)
        rows = [row_of(run) for run in runs]
    else:
        runs, rows = [], run_tasks(wanted, Task.row, executor, workers, progress)
    return Study(
        table=pa.Table.from_pylist(_of_one_kind(rows[: len(tasks)])),
        baseline=pa.Table.from_pylist([rows[index] for index in which]),
        runs=runs[: len(tasks)],
        baseline_runs=[runs[index] for index in which] if keep else [],
    )


# A column has one type: a setting that is a text here and a number there is told as texts.
def _of_one_kind(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    kinds: dict[str, set[type]] = {}
    for row in rows:
        for name, value in row["settings"].items():
            if value is not None:
                kind = next((each for each in (bool, int, float, str) if isinstance(value, each)), object)
                kinds.setdefault(name, set()).add(float if kind is int else kind)
    mixed = {name for name, found in kinds.items() if len(found) > 1}
    if not mixed:
        return rows

    def told(settings: dict[str, Any]) -> dict[str, Any]:
        return {name: str(value) if name in mixed and value is not None else value for name, value in settings.items()}

    return [{**row, "settings": told(row["settings"])} for row in rows]


def row_of(run: Run) -> dict[str, Any]:
    """A run as a row of a study's table."""
    return {
        "recording": run.recording["name"],
        "design": run.settings["design"],
        "settings": run.settings,
        **vars_of(run.totals),
        "attribution": run.attribution,
    }


class _StoppedError(BaseException):
    """Nobody waits for the run any more."""


class _Running:
    """The threads that are in a run: one whose design never returns can be ended by an exception only."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._threads: set[int] = set()

    def wrap(self, work: Callable[..., Result]) -> Callable[..., Result]:
        """The same work, of a thread that is known meanwhile."""

        def known(*arguments: Any) -> Result:
            with self._lock:
                self._threads.add(threading.get_ident())
            try:
                return work(*arguments)
            finally:
                with self._lock:
                    self._threads.discard(threading.get_ident())
                _arrive()

        return known

    def end(self) -> None:
        """Raise an exception in each of them, where it next runs Python code."""
        with self._lock:
            for thread in self._threads:
                ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(_StoppedError))


# What was raised in this thread comes here at the latest, as a call looks for it.
def _arrive() -> None:
    pass


def run_tasks(
    tasks: Sequence[Task],
    work: Callable[..., Result],
    executor: Executor | None = None,
    workers: int | None = None,
    progress: Callable[[int], None] | None = None,
    done: Callable[[int, Result], None] | None = None,
) -> list[Result]:
    """``work(task)`` of each, in their order; ``done(index, result)`` is called as each ends, in the caller's thread.

    What interrupts the caller, or one of them, ends them all.
    """
    check_kind("executor", executor, Executor | None, "a concurrent.futures.Executor, or None")
    check_kind("progress", progress, Callable | None, "a function, or None")
    if executor is not None:
        return _run_on(executor, tasks, work, progress, done)
    if workers is not None:
        workers = whole_number("workers", workers, 1, _MOST_WORKERS)
    if not tasks:
        return []
    threads = min(_usual_workers(tasks) if workers is None else workers, len(tasks))
    running = _Running()
    with ThreadPoolExecutor(threads, "pagehint study") as pool:
        return _run_on(pool, tasks, running.wrap(work), progress, done, running)


# A thread a processor, but for guests so large that as many replays at once would take gigabytes.
def _usual_workers(tasks: Sequence[Task]) -> int:
    largest = max(task.recording.meta.span_pages for task in tasks)
    return max(1, min(len(os.sched_getaffinity(0)), _MEMORY // (_BYTES_A_PAGE * max(largest, 1))))


def _run_on(
    executor: Executor,
    tasks: Sequence[Task],
    work: Callable[..., Result],
    progress: Callable[[int], None] | None,
    done: Callable[[int, Result], None] | None,
    running: _Running | None = None,
) -> list[Result]:
    stopped = threading.Event()

    def report(events: int) -> None:
        if stopped.is_set():
            raise _StoppedError
        if progress is not None:
            progress(events)

    if isinstance(executor, ProcessPoolExecutor):
        _check_can_be_sent(tasks)
    # What is told of as it goes on is in this process; another one's runs are told of when they end.
    here = isinstance(executor, ThreadPoolExecutor)
    futures: dict[Future[Result], int] = {}
    try:
        for index, task in enumerate(tasks):
            futures[_submitted(executor, work, task, report) if here else _submitted(executor, work, task)] = index
        return _collect(futures, tasks, None if here else progress, done)
    finally:
        stopped.set()
        begun = [future for future in futures if not future.cancel()]
        if running is not None and wait(begun, _PATIENCE).not_done:
            running.end()


# Other executors have ways of their own to send a class.
def _check_can_be_sent(tasks: Sequence[Task]) -> None:
    for design in {task.plan.design for task in tasks}:
        try:
            pickle.dumps(design)
        except Exception as error:
            raise InputError(
                f"{label_of(kind_of(design))}: can't be sent to another process: {error}: expected a class at a "
                "module's top level, or FILE.py:CLASS"
            ) from None


def _submitted(executor: Executor, work: Callable[..., Result], *arguments: Any) -> Future[Result]:
    try:
        with starting_threads():
            return executor.submit(work, *arguments)
    except BrokenExecutor:
        raise
    except RuntimeError as error:  # it was shut down
        raise InputError(f"executor {shown(executor)}: {error}: expected one that still runs") from None


# On its own, as Python does not enter the finally of a loop that a signal handler ends where it jumps back.
def _collect(
    futures: dict[Future[Result], int],
    tasks: Sequence[Task],
    progress: Callable[[int], None] | None,
    done: Callable[[int, Result], None] | None,
) -> list[Result]:
    results: dict[int, Result] = {}
    left = Counter(task.recording for task in tasks)
    for future in as_completed(futures):
        index = futures[future]
        results[index] = future.result()
        left[tasks[index].recording] -= 1
        if not left[tasks[index].recording] and len(results) < len(tasks):
            tasks[index].recording.forget()
        if progress is not None:
            progress(tasks[index].events)
        if done is not None:
            done(index, results[index])
    return [results[index] for index in range(len(tasks))]
