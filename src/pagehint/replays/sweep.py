"""Settings against recordings: the front of memory and time, the best setting at a price or within a budget."""

import fcntl
import hashlib
import io
import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from pagehint.errors import InputError
from pagehint.hinting.design import Design
from pagehint.hinting.designs.registry import DESIGNS, NONE, sources_of
from pagehint.inputs import as_path, read_input
from pagehint.replays.plan import CAPACITY, OWN_PRICE, Plan, grid_of, kind_of, kinds_of, no_hinting, plans_of
from pagehint.replays.recording import Recording
from pagehint.replays.run import Run, vars_of
from pagehint.replays.study import Ground, Task, ground_of, run_tasks
from pagehint.trace.bundle import Trace
from pagehint.units import LONGEST_TIME, check_kind, format_count, is_between, parse_price, several, shown, whole_number

__all__ = ["CAPACITIES", "DELAYS", "ORDERS", "ROWS", "Budget", "Sweep", "cost_at", "sweep"]

ORDERS = (0, 2, 4, 6, 8, 9, 10)
DELAYS = ("5ms", "20ms", "100ms", "500ms", "2s", "10s", "30s")
CAPACITIES = (32, 256)
ROWS = "rows.jsonl"
_OF_FILES = frozenset((".parquet", ".csv", ".tsv", ".json", ".jsonl", ".html", ".txt", ".gz", ".xlsx", ".png", ".svg"))
_NEAR = 0.05


@dataclass(frozen=True)
class Budget:
    """What a setting may cost the guest at most, in each recording; None: anything. Raises InputError."""

    refaults: int | None = None
    slowdown: float | None = None
    """The share of the guest's time that it may wait: for faults again, and for blocks in flight."""
    within: int | None = None
    """ns from free to given back, for 99 % of what comes back."""

    def __post_init__(self) -> None:
        if self.refaults is not None:
            whole_number("the most faults again", self.refaults, 0, 1 << 62)
        if self.slowdown is not None and not is_between(self.slowdown, 0, 1):
            raise InputError(f"a slowdown of {shown(self.slowdown)}: expected a share of the guest's time, 0 to 1")
        if self.within is not None:
            whole_number("the ns within which memory comes back", self.within, 0, LONGEST_TIME)

    def asked(self) -> dict[str, float]:
        """What there is a limit for, by its name."""
        return {name: limit for name, limit in asdict(self).items() if limit is not None}

    def keeps(self, row: Mapping[str, Any]) -> bool:
        """Whether a row of a sweep keeps to it."""
        return all(_spent(row, name) <= limit for name, limit in self.asked().items())

    @property
    def is_any(self) -> bool:
        """Nothing is asked for."""
        return not self.asked()


# What of a budget a row takes.
def _spent(row: Mapping[str, Any], name: str) -> float:
    if name == "refaults":
        return float(row["refaults"])
    if name == "slowdown":
        return float(row["guest_time"] / row["duration"]) if row["duration"] else 0.0
    return math.inf if row["wait_p99"] is None else float(row["wait_p99"])


@dataclass(frozen=True)
class Sweep:
    """What a sweep found."""

    rows: list[dict[str, Any]]
    """A run each: recording, design, settings, footprint, ideal_footprint, guest_time, host_time, cost and more."""
    front: list[dict[str, Any]]
    """The settings that no other beats in both memory and time, over all recordings, from most memory to least."""
    best: list[dict[str, Any]]
    """The best at each price, and then within the budget, if one was given.

    ``regret``: by recording, what it loses against the best setting for it alone, as a share. ``best_possible``: CPU
    seconds, for where the best placed its pages, None where there is no such bound; ``regret_possible``: against that.
    Within a budget: ``least``, the least of each of its limits' kinds that any setting takes. ``released``: the best of
    what kernels before 7.3 can be set to (``Design.released``), off included; None, where nothing of that was tried.
    """
    present: list[dict[str, Any]]
    """The rows of the recorded guests' own settings."""
    warnings: list[str]
    """What its figures don't rest on firmly."""

    def __repr__(self) -> str:
        runs, front = format_count(len(self.rows), "run"), format_count(len(self.front), "setting")
        return f"<Sweep: {runs}, {front} on the front>"

    def to_dict(self) -> dict[str, Any]:
        """In plain types: what `--json` prints."""
        return vars_of(self)


def sweep(
    recordings: Trace | str | Path | Sequence[Trace | str | Path],
    designs: str | type[Design] | Sequence[str | type[Design] | None] | None = (),
    settings: Mapping[str, Any] | None = None,
    prices: float | Sequence[float] = (),
    budget: Budget | None = None,
    *,
    options: Mapping[str, str] | None = None,
    ground: Ground | None = None,
    out: str | Path | None = None,
    executor: Executor | None = None,
    workers: int | None = None,
    progress: Callable[[int], None] | None = None,
    total: Callable[[int], None] | None = None,
) -> Sweep:
    """Replay each recording with each setting, and without hinting, and with the guest's own settings.

    ``settings``: values, or lists of them, by name; without ``order``, ``delay`` and ``capacity``, ORDERS,
    DELAYS and CAPACITIES.
    ``prices``: CPU seconds for a GiB*minute; without any, the ground's. A design that has a price of its own is tried
    at each of them. ``out``: a folder where each row is kept as it comes, of one sweep at a time; what is there already
    is not run again. ``executor``, ``workers``, ``progress`` and ``options``: as for ``study`` and ``plans_of``;
    ``total(events)`` is called once, with how many ``progress`` will be told of. Raises InputError.
    """
    shared = ground_of(ground)
    opened = [Recording(each if isinstance(each, Trace) else Trace.open(each)) for each in several(recordings)]
    if not opened:
        raise InputError("a sweep needs a recording at least")
    if len({each.name for each in opened}) < len(opened):
        raise InputError("two recordings have the same name: rename one of them")
    kinds = several(designs) or list(DESIGNS)
    classes = [kind for kind in kinds_of(kinds) if kind is not None]
    has = {name for kind in classes for name in (*kind.settings, CAPACITY)}
    usual = {name: values for name, values in _usual_grid(options).items() if name in has}
    grid = {**usual, **grid_of(settings)}
    check_kind("budget", budget, Budget | None, "a Budget, or None")
    check_kind("total", total, Callable | None, "a function, or None")
    asked = list(dict.fromkeys(map(parse_price, several(prices)))) or [shared.price]
    tasks = [Task(each, plan, shared) for each in opened for plan in _plans(each, kinds, grid, options, asked)]
    with closing(_Kept(out)) as kept:
        marks = {each: _mark(each) for each in opened} if out is not None else {}
        keys = [_key(task, marks.get(task.recording)) for task in tasks]
        # Not by what they are: a guest's own settings may be among the others.
        each_has = len(tasks) // len(opened)
        own = range(each_has - 2, len(tasks), each_has)
        first = {keys[k]: tasks[k] for k in own if _DOUBTS not in kept.rows.get(keys[k], ())}
        missing = {
            key: task for key, task in zip(keys, tasks, strict=True) if key not in first and key not in kept.rows
        }
        if total is not None:
            total(sum(task.events for task in (*first.values(), *missing.values())))
        _run_missing(_row_with_doubts, kept, first, executor, workers, progress)
        _run_missing(_row, kept, missing, executor, workers, progress)
        found = [kept.rows[key] for key in keys]
        task_of = {id(row): task for row, task in zip(found, tasks, strict=True)}

        # Rows have the bound of the ground's price.
        def possible(rows: Sequence[dict[str, Any]], price: float) -> float | None:
            wanted = [replace(task_of[id(row)], ground=replace(shared, price=price)) for row in rows]
            priced = {_key(task, marks.get(task.recording)): task for task in wanted}
            unknown = {key: task for key, task in priced.items() if key not in kept.rows}
            _run_missing(_row, kept, unknown, executor, workers, None)
            bounds = [kept.rows[key]["best_possible"] for key in priced]
            return None if None in bounds else sum(bounds)

        present = [found[k] for k in own]
        in_grid = [(row, tasks[k].plan) for k, row in enumerate(found) if k not in own]
        groups = _by_setting(in_grid, grid)
        fixed = {kind.label: kind.released for kind in classes if kind.released is not None}
        released = [group for group in groups if _is_released(group, fixed)]
        best = _best(groups, released, asked, budget or Budget(), possible)
        doubts = [row[_DOUBTS] for row in present]
        warnings = [f"{row['recording']}: {line}" for row, lines in zip(present, doubts, strict=True) for line in lines]
        rows, own_rows = ([_told(row) for row in each] for each in ([row for row, _ in in_grid], present))
        return Sweep(rows, _front(groups), best, own_rows, warnings)


# What a recording is replayed with: the guest's own settings are the last but one.
def _plans(
    recording: Recording,
    kinds: Sequence[str | type[Design]],
    grid: Mapping[str, Any],
    options: Mapping[str, str] | None,
    prices: Sequence[float],
) -> list[Plan]:
    asked = [plan for plan in plans_of(recording, kinds, grid, options) if plan.design != NONE]
    plans = [priced for plan in asked for priced in plan.at_prices(prices)]
    return [*plans, *plans_of(recording, [next(iter(DESIGNS))], {}), no_hinting(recording)]


def _run_missing(
    row_of: Callable[..., dict[str, Any]],
    kept: "_Kept",
    missing: Mapping[str, Task],
    executor: Executor | None,
    workers: int | None,
    progress: Callable[[int], None] | None,
) -> None:
    names = list(missing)
    run_tasks(
        list(missing.values()), row_of, executor, workers, progress, lambda index, row: kept.add(names[index], row)
    )


def _usual_grid(options: Mapping[str, str] | None) -> dict[str, list[Any]]:
    texts = options is not None
    numbers = {"order": ORDERS, "capacity": CAPACITIES}
    return {**{name: [str(each) if texts else each for each in of] for name, of in numbers.items()}, "delay": [*DELAYS]}


# What the row of a guest's own settings is kept with: the sweep's warnings.
_DOUBTS = "warnings"


def _told(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name != _DOUBTS}


def _row(task: Task, progress: Callable[[int], None] | None = None) -> dict[str, Any]:
    return row_of_sweep(task.run_for_totals(progress))


def _row_with_doubts(task: Task, progress: Callable[[int], None] | None = None) -> dict[str, Any]:
    run = task.run_once(progress)
    return {**row_of_sweep(run), _DOUBTS: run.recording[_DOUBTS]}


_COLUMNS: dict[str, Callable[[Run], Any]] = {
    "recording": lambda run: run.recording["name"],
    "design": lambda run: run.settings["design"],
    "settings": lambda run: run.settings,
    "duration": lambda run: run.totals.duration,
    "footprint": lambda run: run.totals.footprint,
    "ideal_footprint": lambda run: run.totals.ideal_footprint,
    "guest_time": lambda run: run.totals.refault_time + run.totals.allocation_delay,
    "host_time": lambda run: run.totals.device_time,
    "cost": lambda run: run.totals.cost,
    "best_possible": lambda run: run.totals.best_possible,
    "best_possible_lists": lambda run: run.totals.best_possible_lists,
    "refaults": lambda run: run.totals.refaults,
    "wait_p99": lambda run: run.totals.wait_p99,
    "given_back": lambda run: run.totals.given_back,
    "blocks": lambda run: run.totals.blocks,
}


def row_of_sweep(run: Run) -> dict[str, Any]:
    """A run as a row of a sweep."""
    return {name: of(run) for name, of in _COLUMNS.items()}


# The same recording elsewhere, or fetched again, is the same.
def _mark(recording: Recording) -> str:
    mark = hashlib.sha256(os.fsencode(recording.path.name))
    for path in sorted(path for path in recording.path.rglob("*") if path.is_file()):
        mark.update(os.fsencode(path.relative_to(recording.path)))
        with path.open("rb") as file:
            mark.update(hashlib.file_digest(file, "sha256").digest())
    return mark.hexdigest()


# By its own files, as a checkout's version stays the same. Some ms.
@cache
def _own_code() -> str:
    mark = hashlib.sha256()
    for path in sorted(Path(__file__).parents[1].rglob("*.py")):
        mark.update(path.read_bytes())
    return mark.hexdigest()


def _key(task: Task, mark: str | None) -> str:
    plan = task.plan
    ground = {**asdict(task.ground), "touch": sorted(task.ground.touch), "sample": None}
    ground["costs"] = {**ground["costs"], "measured": sorted(ground["costs"]["measured"])}
    what = {
        "recording": task.recording.path.name if mark is None else mark,
        "code": None if mark is None else _own_code(),
        "design": [plan.label, *([] if (kind := kind_of(plan.design)) is None else sources_of(kind))],
        "settings": dict(plan.settings),
        "capacity": plan.capacity,
        "ground": ground,
    }
    return hashlib.sha256(json.dumps(what, sort_keys=True, default=str).encode()).hexdigest()[:32]


# A pipe that nobody reads is refused, where it would be waited for.
def _open_at_once(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK, 0o666)


# A bound or a wait that there is none of is None.
def _is_row(row: Mapping[str, Any]) -> bool:
    return (
        _told(row).keys() == _COLUMNS.keys()
        and isinstance(lines := row.get(_DOUBTS, []), list)
        and all(isinstance(line, str) for line in lines)
        and isinstance(row["settings"], dict)
        and all(math.isfinite(value) for value in row.values() if isinstance(value, int | float))
    )


class _Kept:
    """The rows in a folder, a line of JSON each: one that was cut off as it was written is as if it were not there."""

    def __init__(self, folder: str | Path | None) -> None:
        self.rows: dict[str, dict[str, Any]] = {}
        self._file: io.FileIO | None = None
        if folder is None:
            return
        path = self._path = as_path(folder, "is no folder: expected the path of one, for its rows") / ROWS
        if path.parent.suffix.lower() in _OF_FILES and not path.parent.exists():
            raise InputError(
                f"{folder}: ends like a file: rows are kept in a folder, name one, such as {path.parent.stem}"
            )
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = open(path, "ab", buffering=0, opener=_open_at_once)  # noqa: SIM115
            self._lock()
            *whole, cut = read_input(path).split(b"\n")
            for line in filter(None, whole):
                kept = json.loads(line)
                if not _is_row(kept["row"]):
                    raise ValueError
                self.rows[kept["key"]] = kept["row"]
            if cut:
                self._file.truncate(path.stat().st_size - len(cut))
        except BaseException as error:
            self.close()
            if isinstance(error, OSError):
                raise InputError(f"{path}: {error.strerror or error}: choose another folder") from None
            if isinstance(error, ValueError | KeyError | TypeError | AttributeError) and not isinstance(
                error, InputError
            ):
                raise InputError(f"{path}: not a sweep's: choose another folder") from None
            raise

    # It ends with the process; a file system that knows no locks has none.
    def _lock(self) -> None:
        assert self._file is not None
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if isinstance(error, BlockingIOError):
                raise InputError(
                    f"{self._path}: another sweep writes it: wait for it, or choose another folder"
                ) from None

    def add(self, key: str, row: dict[str, Any]) -> None:
        self.rows[key] = row
        if self._file is None:
            return
        try:
            line = json.dumps({"key": key, "row": row}).encode() + b"\n"
            while line:
                line = line[self._file.write(line) :]
        except OSError as error:
            raise InputError(f"{self._path}: {error.strerror or error}: what is there is kept") from None

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


_Possible = Callable[[Sequence[dict[str, Any]], float], float | None]
_Group = tuple[str, dict[str, Any], list[dict[str, Any]]]


# The rows of one setting, over all recordings.
def _by_setting(rows: Sequence[tuple[dict[str, Any], Plan]], grid: Mapping[str, Any]) -> list[_Group]:
    groups: dict[str, _Group] = {}
    for row, plan in rows:
        design = row["design"]
        names = [*grid, CAPACITY, *({OWN_PRICE} & plan.settings.keys())]
        varied = {} if design == NONE else {name: row["settings"].get(name) for name in names}
        settings = {name: value for name, value in varied.items() if value is not None}
        key = json.dumps([design, settings], sort_keys=True, default=str)
        groups.setdefault(key, (design, settings, []))[2].append(row)
    return list(groups.values())


def _setting(group: _Group) -> dict[str, Any]:
    return {"design": group[0], "settings": group[1]}


def _summary(group: _Group) -> dict[str, Any]:
    rows = group[2]
    return {
        **_setting(group),
        "footprint": sum(row["footprint"] for row in rows),
        "ideal_footprint": sum(row["ideal_footprint"] for row in rows),
        "guest_time": sum(row["guest_time"] for row in rows),
        "host_time": sum(row["host_time"] for row in rows),
    }


def cost_at(row: Mapping[str, Any], price: float) -> float:
    """CPU seconds that a row of a sweep costs at this price of a GiB*minute."""
    held: float = row["footprint"] - row["ideal_footprint"]
    seconds: float = (row["guest_time"] + row["host_time"]) / 1e9
    return price * held + seconds


def _cost_of(group: _Group, price: float) -> float:
    return sum(cost_at(row, price) for row in group[2])


def _front(groups: Sequence[_Group]) -> list[dict[str, Any]]:
    # What gives nothing back is no hinting.
    found = sorted(
        map(_summary, groups),
        key=lambda row: (row["guest_time"] + row["host_time"], row["footprint"], row["design"] != NONE),
    )
    front: list[dict[str, Any]] = []
    for row in found:
        if not front or row["footprint"] < front[-1]["footprint"]:
            front.append(row)
    return front


def _is_released(group: _Group, fixed: Mapping[str, Mapping[str, Any]]) -> bool:
    design, _, rows = group
    return design in fixed and all(fixed[design].items() <= row["settings"].items() for row in rows)


def _best(
    groups: Sequence[_Group],
    released: Sequence[_Group],
    prices: Sequence[float],
    budget: Budget,
    possible: _Possible,
) -> list[dict[str, Any]]:
    best = [_best_at(groups, released, price, possible) for price in prices]
    if not budget.is_any:
        tried = [group for group in groups if group[0] != NONE]
        found, found_released = _least_within(tried, budget), _least_within(released, budget)
        least = {
            name: min((max(_spent(row, name) for row in rows) for _, _, rows in tried), default=math.inf)
            for name in budget.asked()
        }
        known = {name: value for name, value in least.items() if value < math.inf}
        none: dict[str, Any] = {"design": None, "settings": None}
        best.append({"budget": budget.asked(), "least": known, "released": found_released, **(found or none)})
    return best


def _least_within(groups: Sequence[_Group], budget: Budget) -> dict[str, Any] | None:
    keeping = [group for group in groups if all(map(budget.keeps, group[2]))]
    return min(map(_summary, keeping), key=lambda row: row["footprint"], default=None)


def _best_at(groups: Sequence[_Group], released: Sequence[_Group], price: float, possible: _Possible) -> dict[str, Any]:
    costs = [_cost_of(group, price) for group in groups]
    off = [group for group in groups if released and group[0] == NONE]
    cheapest = min((*released, *off), key=lambda group: _cost_of(group, price), default=None)
    which = min(range(len(groups)), key=lambda k: costs[k])
    rows = groups[which][2]
    least = {row["recording"]: min(cost_at(other[2][k], price) for other in groups) for k, row in enumerate(rows)}
    losses = {row["recording"]: cost_at(row, price) - least[row["recording"]] for row in rows}
    bound = possible(rows, price)
    return {
        "price": price,
        **_setting(groups[which]),
        "cost": costs[which],
        "regret": {name: loss / least[name] if least[name] else 0.0 for name, loss in losses.items()},
        "best_possible": bound,
        "regret_possible": costs[which] / bound - 1 if bound else None,
        "released": None if cheapest is None else {**_setting(cheapest), "cost": _cost_of(cheapest, price)},
        "near": sum(cost <= (1 + _NEAR) * costs[which] for cost in costs) - 1,
    }
