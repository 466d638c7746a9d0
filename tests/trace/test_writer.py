import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from pagehint.errors import InputError
from pagehint.trace import Event, Meta, Trace, TraceWriter
from pagehint.trace.events import EVENT_SCHEMA

META = Meta(recorder="test", source="test")


def events(times: list[int], **columns: list[int]) -> dict[str, NDArray[Any]]:
    values: dict[str, list[int]] = {
        "time": times,
        "event": [Event.FREE] * len(times),
        **{name: [0] * len(times) for name in EVENT_SCHEMA.names if name not in ("time", "event")},
        **columns,
    }
    return {field.name: np.array(values[field.name], field.type.to_pandas_dtype()) for field in EVENT_SCHEMA}


COLUMNS = {
    "cpu": st.integers(0, 8191),
    "pid": st.integers(0, 2**31 - 1),
    "event": st.sampled_from(list(Event)),
    "pfn": st.integers(-1, 2**40 - 1),
    "order": st.integers(0, 20) | st.just(255),
    "migratetype": st.integers(0, 255),
    "gfp": st.integers(0, 2**32 - 1),
    "detail": st.integers(-(2**31), 2**31 - 1),
}


@given(
    st.lists(st.tuples(st.integers(-(2**62), 2**62), *COLUMNS.values()), min_size=1, max_size=30), st.integers(1, 30)
)
def test_round_trip(tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[int, ...]], cut: int) -> None:
    path = tmp_path_factory.mktemp("writer") / "t.pagetrace"
    columns = [list(column) for column in zip(*sorted(rows), strict=True)]
    written = events(columns[0], **dict(zip(COLUMNS, columns[1:], strict=True)))
    with TraceWriter(path) as writer:
        for part in (slice(0, cut), slice(cut, None)):
            writer.add_events({name: array[part] for name, array in written.items()})
        writer.finish(META)
    (batch,) = Trace.open(path).batches()
    for name, array in written.items():
        assert np.array_equal(batch[name], array), name


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"pid": [1, 1 << 40]}, "events: column pid: Integer value 1099511627776 not in range"),
        ({"gfp": [-1, 2]}, "events: column gfp: Integer value -1 not in range"),
        ({"event": [65, 1000]}, "events: column event: Integer value 1000 not in range"),
        ({"time": [1.5, 2.5]}, "events: column time: Float value 1.5"),
        ({"detail": ["a", "b"]}, "events: column detail: "),
        ({"cpu": [[1], [1, 2]]}, "events: column cpu: "),
        ({"pid": [1 << 70, 1]}, "events: column pid: Python int too large"),
        ({"pid": [1]}, "events: columns of several lengths"),
        ({"pid": None}, "events: no column pid: expected time, cpu, pid"),
    ],
)
def test_columns_that_can_not_be(tmp_path: Path, change: dict[str, Any], error: str) -> None:
    """Arrow's errors were tracebacks, and one value was taken for all rows."""
    columns = {name: list(column) for name, column in events([5, 9]).items()} | change
    with TraceWriter(tmp_path / "t") as writer, pytest.raises(InputError, match=f"^{error}"):
        writer.add_events({name: column for name, column in columns.items() if column is not None})


RESIDENCY = {"time": [1], "ram_resident_kib": [2], "rss_kib": [3], "memfd_kib": [None]}


@pytest.mark.parametrize(
    ("table", "error"),
    [
        (pa.table({"time": [1], "rss_kib": [2]}), "Target schema"),
        (pa.table(RESIDENCY | {"rss_kib": ["x"]}), "Failed to parse string"),
        (pa.table(RESIDENCY | {"rss_kib": [[3]]}), "Unsupported cast from list"),
        (RESIDENCY, "{'time'.*: expected a pyarrow Table"),
    ],
)
def test_a_table_that_can_not_be(tmp_path: Path, table: Any, error: str) -> None:
    """A type that Arrow casts to no number was a traceback: that error of its is no ValueError."""
    with TraceWriter(tmp_path / "t") as writer, pytest.raises(InputError, match=rf"^residency: {error}"):
        writer.add_residency(table)


@pytest.mark.parametrize(
    ("time", "text", "error"),
    [(1 << 70, "", "time 1180591620717411303424"), ("now", "", "time 'now'"), (1, 7, "text 7")],
)
def test_a_mark_that_can_not_be(tmp_path: Path, time: Any, text: Any, error: str) -> None:
    with TraceWriter(tmp_path / "t") as writer, pytest.raises(InputError, match=rf"^a mark's {error}: expected "):
        writer.add_mark(time, text)


def test_a_mark_is_utf8_and_may_come_before_the_clocks_beginning(tmp_path: Path) -> None:
    """Of a text that is not, it was said that the output's name is not."""
    with TraceWriter(tmp_path / "t") as writer:
        writer.add_events(events([5]))
        assert writer.add_mark(-(10**9), "MARK a") == 0
        writer.add_mark(1, "\udcff")
        with pytest.raises(InputError, match=r"^marks: 'utf-8' codec can't encode"):
            writer.finish(META)


@pytest.mark.parametrize(("time", "error"), [(1 << 70, "Python int too large"), ("now", "Could not convert 'now'")])
def test_a_bitmap_that_can_not_be(tmp_path: Path, time: Any, error: str) -> None:
    with TraceWriter(tmp_path / "t") as writer, pytest.raises(InputError, match=f"^residency_bitmaps: {error}"):
        writer.add_residency_bitmaps([(time, np.zeros(1, np.uint8))])


def test_what_exists_stays(tmp_path: Path) -> None:
    (tmp_path / "t").mkdir()
    with pytest.raises(InputError, match="exists already: remove it first"):
        TraceWriter(tmp_path / "t")
    # It was seen at the end, and what had been recorded was lost.
    (tmp_path / "link").symlink_to("nowhere")
    with pytest.raises(InputError, match="exists already: remove it first"):
        TraceWriter(tmp_path / "link")
    with pytest.raises(InputError, match="no such folder for the output"):
        TraceWriter(tmp_path / "nothing" / "t")


def test_nothing_is_left_of_a_failure(tmp_path: Path) -> None:
    with TraceWriter(tmp_path / "t") as writer:
        writer.add_events(events([5, 9]))
        with pytest.raises(InputError, match="row 2: the time goes backwards, from 9 to 8 ns"):
            writer.add_events(events([8]))
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_left_without_finish(tmp_path: Path) -> None:
    with TraceWriter(tmp_path / "t") as writer:
        writer.add_events(events([5, 9]))
    assert list(tmp_path.iterdir()) == []


def test_a_leftover_is_no_bundle(tmp_path: Path) -> None:
    writer = TraceWriter(tmp_path / "t")
    writer.add_events(events([5, 9]))
    (leftover,) = tmp_path.iterdir()
    with pytest.raises(InputError, match="not a whole trace bundle"):
        Trace.open(leftover)
    writer.__exit__(None, None, None)


def test_an_output_that_appears_meanwhile_stays(tmp_path: Path) -> None:
    with TraceWriter(tmp_path / "t") as writer:
        writer.add_events(events([5, 9]))
        (tmp_path / "t").mkdir()
        (tmp_path / "t" / "mine").touch()
        with pytest.raises(InputError, match="was made by somebody else"):
            writer.finish(META)
    assert [path.name for path in tmp_path.rglob("*")] == ["t", "mine"]


@pytest.mark.parametrize("name", ["x" * 250, "nothing/t.pagetrace", "\udcff"])
def test_outputs_that_cannot_be(tmp_path: Path, name: str) -> None:
    if "/" in name:
        (tmp_path / "nothing").symlink_to("/proc")
    with pytest.raises(InputError, match=r": choose another output$") as caught, TraceWriter(tmp_path / name):
        pass
    assert str(caught.value).startswith(f"{tmp_path / name}: ")
    assert "partial" not in str(caught.value)


def test_an_output_that_grows_too_large(tmp_path: Path) -> None:
    code = textwrap.dedent(f"""
        import resource, numpy as np
        from pagehint.trace import TraceWriter
        from pagehint.trace.events import EVENT_SCHEMA
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
        noise = np.random.default_rng(1).integers(0, 1 << 30, 300_000)
        columns = {{name: np.zeros(300_000, np.int64) for name in EVENT_SCHEMA.names}}
        with TraceWriter({str(tmp_path / "t.pagetrace")!r}) as writer:
            writer.add_events({{**columns, "event": columns["event"] + ord("A"), "pfn": noise}})
    """)
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    last = ended.stderr.splitlines()[-1]
    assert last.endswith(f"InputError: {tmp_path / 't.pagetrace'}: File too large: choose another output")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("signal_number", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_import_leaves_no_bundle(tmp_path: Path, signal_number: signal.Signals) -> None:
    text = tmp_path / "trace.txt"
    line = "sh-8 [001] 1.{:06d}: mm_page_free: page=0000000012345678 pfn=1 order=0\n"
    text.write_text("".join(map(line.format, range(100_000))))
    code = textwrap.dedent(f"""
        import os, signal
        from pagehint.trace.text import import_text
        from pagehint.trace import TraceWriter
        from pathlib import Path
        # A shell's background job, and what it starts, ignores SIGINT.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        interrupt = lambda done: done > 0.8 and os.kill(os.getpid(), {signal_number.value})
        with TraceWriter({str(tmp_path / "t.pagetrace")!r}) as writer:
            writer.finish(import_text(Path({str(text)!r}), writer, interrupt))
    """)
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    errors = process.stderr
    assert process.returncode != 0
    assert (b"KeyboardInterrupt" in errors) == (signal_number == signal.SIGINT)
    assert not (tmp_path / "t.pagetrace").exists()
    for leftover in tmp_path.glob(".*.partial"):
        assert signal_number == signal.SIGKILL
        with pytest.raises(InputError, match="not a whole trace bundle"):
            Trace.open(leftover)


def test_what_a_killed_import_left_is_removed_by_the_next(tmp_path: Path) -> None:
    path = tmp_path / "t.pagetrace"
    code = f"""
import os, signal
from pagehint.trace import TraceWriter
TraceWriter({str(path)!r})
os.kill(os.getpid(), signal.SIGKILL)
"""
    subprocess.run([sys.executable, "-c", code], check=False)
    (left,) = tmp_path.iterdir()
    with TraceWriter(path):
        (kept,) = tmp_path.iterdir()
        assert kept != left
        with pytest.raises(InputError, match="is being written by somebody else: choose another output"):
            TraceWriter(path)
        assert list(tmp_path.iterdir()) == [kept]
    assert list(tmp_path.iterdir()) == []
