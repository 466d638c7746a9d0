"""What a recording measured on its host's side: made by hand, so that each page is known."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from pagehint.kernel.profiles import LINUX_6_1
from pagehint.replays.start import Start
from pagehint.replays.truth import backed_at_start, guest_host, measured_residency, resident_beyond, seen_page_size
from pagehint.trace import Meta, Trace, TraceWriter
from pagehint.trace.events import EVENT_SCHEMA

from .recording import zone

_PAGES, _BEYOND = 8192, 512
_S = 10**9
Sample = tuple[int, int | None, int | None]
"""Time (ns), what is resident of the guest's RAM, and of a memfd (KiB)."""


def measured(
    path: Path,
    samples: Sequence[Sample],
    bitmaps: Sequence[tuple[int, NDArray[np.bool_]]] = (),
    marks: Sequence[tuple[int, str]] = (),
) -> Trace:
    """A recording of ten seconds, of one allocation and its free."""
    columns = {field.name: np.zeros(2, field.type.to_pandas_dtype()) for field in EVENT_SCHEMA}
    columns["time"][:] = _S, 11 * _S
    columns["event"][:] = ord("A"), ord("F")
    columns["migratetype"][:] = 1
    times, resident, memfd = zip(*samples, strict=True)
    with TraceWriter(path) as writer:
        writer.add_events(columns)
        for mark in marks:
            writer.add_mark(*mark)
        writer.add_residency(
            pa.table(
                {
                    "time": pa.array(times, pa.int64()),
                    "ram_resident_kib": pa.array(resident, pa.int64()),
                    "rss_kib": pa.array([None] * len(times), pa.int64()),
                    "memfd_kib": pa.array(memfd, pa.int64()),
                }
            )
        )
        writer.add_residency_bitmaps((time, np.packbits(bits)) for time, bits in bitmaps)
        writer.finish(Meta(recorder="test", source="test", zones=[zone(_PAGES)]))
    return Trace.open(path)


def pages(*ranges: tuple[int, int]) -> NDArray[np.bool_]:
    bits = np.zeros(_PAGES, np.bool_)
    for begin, end in ranges:
        bits[begin:end] = True
    return bits


def test_the_first_bitmap_after_the_snapshot_tells_what_is_backed(tmp_path: Path) -> None:
    early, first, later = pages((0, 7)), pages((0, 100), (600, 1000)), pages((0, 3))
    trace = measured(
        tmp_path / "a.pagetrace",
        [(2 * _S, 28, None)],
        [(2 * _S, early), (4 * _S, first), (5 * _S, later)],
        [(3 * _S, "KPF-END init")],
    )
    found = backed_at_start(trace, Start.of(trace, LINUX_6_1), None)
    assert (found.recorded, found.time, found.doubt) == (True, 4 * _S, None)
    assert np.array_equal(found.backed[:_PAGES], first)
    assert not found.backed[_PAGES:].any()


def test_a_bitmap_after_the_end_tells_nothing_of_the_start(tmp_path: Path) -> None:
    trace = measured(tmp_path / "a.pagetrace", [(2 * _S, 28, None)], [(12 * _S, pages((0, 7)))])
    found = backed_at_start(trace, Start.of(trace, LINUX_6_1), None)
    assert not found.recorded
    assert found.source.startswith("assumed")


@pytest.mark.parametrize(
    ("backed", "memfd", "expected"),
    [
        (pages((0, 512), (1024, 4096)), None, "THP"),
        (pages((0, 512), (1024, 4095)), None, "4KiB"),
        (pages(), None, "4KiB"),
        (pages((0, 512), (1024, 4096)), 4, "4KiB"),  # a memfd has small pages
    ],
)
def test_the_hosts_pages_show_in_a_bitmap(
    tmp_path: Path, backed: NDArray[np.bool_], memfd: int | None, expected: str
) -> None:
    trace = measured(tmp_path / "a.pagetrace", [(2 * _S, 28, memfd)], [(2 * _S, backed)])
    assert seen_page_size(trace) == guest_host(trace).page_size == expected
    assert guest_host(trace, "4KiB").page_size == "4KiB"


def test_without_a_bitmap_the_hosts_pages_are_huge(tmp_path: Path) -> None:
    trace = measured(tmp_path / "a.pagetrace", [(2 * _S, 28, None)])
    assert seen_page_size(trace) == "THP"


def test_what_is_resident_beyond_the_zones_is_not_the_guests(tmp_path: Path) -> None:
    samples: list[Sample] = [(2 * _S, 4 * (7 + _BEYOND), None), (3 * _S, None, None), (4 * _S, 4 * 3, None)]
    trace = measured(tmp_path / "a.pagetrace", samples, [(2 * _S, pages((0, 7)))])
    assert resident_beyond(trace) == _BEYOND * 4096
    table = measured_residency(trace)
    assert table is not None
    # Without the sample that has no figure; and less than nothing is nothing.
    assert table.to_pydict() == {"time": [2 * _S, 4 * _S], "resident": [7 * 4096, 0]}


@pytest.mark.parametrize(
    "samples", [[(3 * _S, 4 * 700, None)], [(2 * _S, None, None)]], ids=["no sample then", "no figure then"]
)
def test_a_bitmap_without_its_sample_tells_of_nothing_beyond(tmp_path: Path, samples: list[Sample]) -> None:
    trace = measured(tmp_path / "a.pagetrace", samples, [(2 * _S, pages((0, 7)))])
    assert resident_beyond(trace) == 0


def test_nothing_was_measured(tmp_path: Path) -> None:
    assert measured_residency(measured(tmp_path / "a.pagetrace", [(2 * _S, None, None)])) is None
