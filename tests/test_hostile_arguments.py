"""What a caller gives wrongly is an InputError of one line: never an error from deep inside, and never a hang."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pagehint as ph
from pagehint.inputs import as_path
from pagehint.trace import Meta, TraceWriter, import_trace
from pagehint.trace.events import EVENT_SCHEMA
from pagehint.units import check_kind, integer

from .replays.recording import record, zone

ONE_EVENT = {name: [0] for name in EVENT_SCHEMA.names}
HUGE = 10**5000  # of more digits than Python prints
Given = Any  # arguments are of wrong types, and that is the point


@pytest.fixture(scope="module")
def trace(tmp_path_factory: pytest.TempPathFactory) -> ph.Trace:
    return record(
        tmp_path_factory.mktemp("hostile") / "t.pagetrace", [("Z", 0, 0, 0), ("F", 0, 0, 0)], [zone(4096)], step=10**9
    )


@pytest.mark.parametrize("given", [None, True, 3, b"t.pagetrace", "a\0b", "\ud800", ["t"], np.array("t"), object()])
def test_what_no_file_can_be_named_is_no_path(given: Given, tmp_path: Path, trace: ph.Trace) -> None:
    run = ph.replay(trace)
    written = tmp_path / "out.pagetrace"
    calls: list[Callable[[], object]] = [
        lambda: as_path(given, "is no path"),
        lambda: ph.Trace.open(given),
        lambda: ph.Costs.read(given),
        lambda: ph.diagnose([given]),
        lambda: ph.write_html(run, given),
        lambda: ph.with_host(trace, given, written),
        lambda: ph.with_host(trace, tmp_path, given),
        lambda: import_trace(given, written),
        lambda: TraceWriter(given),
    ]
    if given is not None:
        calls.append(lambda: ph.sweep(trace, settings={"order": 9, "delay": "1s"}, out=given))
    for call in calls:
        with pytest.raises(ph.InputError, match=r"\A.+\Z"):
            call()
    assert [*tmp_path.iterdir()] == []


def test_a_path_of_any_kind_is_one(tmp_path: Path) -> None:
    for given in ("a", "a\udcff", tmp_path):
        assert as_path(given, "") == Path(given)


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda trace: ph.study(None), "None is no recording"),
        (lambda trace: ph.study(trace, executor=3), r"executor 3: expected a concurrent\.futures\.Executor, or None"),
        (lambda trace: ph.study(trace, progress=3), "progress 3: expected a function, or None"),
        (lambda trace: ph.study(trace, ground=3), "ground 3: expected a Ground"),
        (lambda trace: ph.study(trace, host_page_size=4096), "4096 is not a page size of a host"),
        (lambda trace: ph.study(trace, settings=3), "settings 3: expected values by name"),
        (lambda trace: ph.replay(trace, progress=3), "progress 3: expected a function, or None"),
        (lambda trace: trace.check_events(3), "progress 3: expected a function, or None"),
        (lambda trace: ph.sweep(trace, total=3), "total 3: expected a function, or None"),
        (lambda trace: ph.sweep(trace, options=3), "options 3: expected options of a command line by name"),
        (lambda trace: ph.fleet([(trace, 2)], "1GiB", options=3), "options 3: expected options of a command line"),
        (lambda trace: ph.fleet([(trace, 2)], "1GiB", seed=np.zeros(2)), "the seed array.*: expected 0 to"),
        (
            lambda trace: ph.fleet([(trace, 2)], HUGE),
            "host memory of type int: expected 1 B to 1024 PiB, such as 64GiB",
        ),
        (lambda trace: ph.fleet([(trace, 2)], "1GiB", parked=HUGE), "parked of type int: expected a share"),
        (lambda trace: ph.scheduler(None).__enter__(), "address None: expected that of a Dask scheduler"),
        (lambda trace: ph.example(HUGE), "example of type int: expected one of phased"),
        (lambda trace: ph.ModelHost(None), "None is not a page size of a host"),
        (lambda trace: ph.Costs(HUGE), "the cost react_call is of type int ns: expected a time"),
        (lambda trace: ph.Costs("a\nb"), r"the cost react_call is 'a\\nb' ns: expected a time"),
        (lambda trace: ph.Budget(slowdown=HUGE), "a slowdown of of type int: expected a share"),
        (lambda trace: ph.Zone(9).alloc(None), "order None: expected a whole number"),
        (lambda trace: ph.Zone(9).alloc(HUGE), "order of type int: expected 0 to 10"),
        (lambda trace: ph.Zone(9).alloc(0, HUGE), "migratetype of type int: expected 0"),
        (lambda trace: ph.Zone(9).free(1.5), "pfn 1.5: expected a whole number"),
        (lambda trace: ph.Zone(9).free(HUGE), "free of pfn of type int, order 0: it is not allocated"),
        (lambda trace: ph.Zone(9, name=3), "name 3: expected a str"),
        (lambda trace: ph.GuestMemory("64MiB", movable=HUGE), "movable of type int: expected whole pages"),
        (lambda trace: ph.GuestMemory("64MiB").free_pages(1.5, 0), "pfn 1.5: expected a whole number"),
        (lambda trace: ph.GuestMemory("64MiB").free_pages(1, 0, None), "cpu None: expected a whole number"),
        (lambda trace: ph.GuestMemory("64MiB").offline(None, 1), "pfn None: expected a whole number"),
        (lambda trace: ph.GuestMemory("64MiB").alloc_pages(HUGE, 0), "order of type int: expected 0 to 10"),
        (lambda trace: ph.Stepper(None, []), "design None: expected one, such as PageReporting"),
        (lambda trace: ph.Stepper(ph.PageReporting(), None).start(ph.ModelHost()), "None is no zone"),
        (lambda trace: ph.ThreadWorker(None, []), "design None: expected one, such as PageReporting"),
        (lambda trace: ph.ThreadWorker(ph.PageReporting(), None).start(ph.ModelHost()), "None is no zone"),
        (lambda trace: ph.ThreadWorker(ph.PageReporting(), [], None), "name None: expected a str"),
        (lambda trace: ph.VirtualClock(None), "now None: expected a whole number"),
        (lambda trace: ph.VirtualClock().advance(float("nan")), "nanoseconds nan: expected a whole number"),
        (lambda trace: ph.VirtualClock().run_until(None), "time None: expected a whole number"),
    ],
)
def test_a_wrong_argument_is_named(call: Callable[[Given], object], told: str, trace: ph.Trace) -> None:
    with pytest.raises(ph.InputError, match=rf"\A{told}.*\Z"):
        call(trace)


def test_an_executor_that_was_shut_down_is_named(trace: ph.Trace) -> None:
    with ThreadPoolExecutor(1) as pool:
        pass
    with pytest.raises(ph.InputError, match=r"\Aexecutor <.*after shutdown: expected one that still runs\Z"):
        ph.study(trace, executor=pool)


@pytest.mark.parametrize(
    "call",
    [
        lambda writer: writer.add_events(range(10**12)),  # each of which was compared with a column's name
        lambda writer: writer.add_events({**ONE_EVENT, "time": [None]}),
        lambda writer: writer.add_events({**ONE_EVENT, "pfn": [{}]}),
        lambda writer: writer.add_mark(1 << 63, "a"),
        lambda writer: writer.add_mark(0, b"a"),
        lambda writer: writer.add_snapshot(None),
        lambda writer: writer.add_snapshot({}, "/"),
        lambda writer: writer.finish(None),
    ],
)
def test_a_writer_refuses_what_is_none_of_a_bundle(call: Callable[[Given], object], tmp_path: Path) -> None:
    with pytest.raises(ph.InputError, match=r"\A.+\Z"), TraceWriter(tmp_path / "t.pagetrace") as writer:
        call(writer)
    assert [*tmp_path.iterdir()] == []


def test_settings_that_no_option_names_are_called_by_their_names(trace: ph.Trace) -> None:
    """A fleet ended in a KeyError."""
    found = ph.fleet([(trace, 2)], "1GiB", "reporting", {"delay": ["1s"]}, options={})
    assert found.outcomes[0].settings["delay"] == 10**9
    with pytest.raises(ph.InputError, match="delay"):
        ph.fleet([(trace, 2)], "1GiB", "reporting", {"delay": ["x"]}, options={})


def test_the_checks_let_right_values_through() -> None:
    check_kind("x", None, int | None, "")
    assert integer("x", np.int64(3)) == integer("x", True) + 2 == 3
    assert Meta(recorder="a", source="b").source == "b"
