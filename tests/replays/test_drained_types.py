"""Blocks as large as pageblocks that come back from CPUs' lists as another type than their pageblock is of."""

from pathlib import Path

import pytest

from pagehint.trace.meta import Meta

from .recording import Row, pages_are_somewhere, record, zone

_RESERVE = 3


@pytest.mark.parametrize("order", [3, 4])
def test_they_merge_with_what_has_their_type(order: int, tmp_path: Path) -> None:
    """As movable, beside a pageblock of the atomic reserve: they stay two."""
    pages = 1 << order
    rows: list[Row] = [("Z", 0, order, 0), ("Z", pages, order, 0), ("D", 0, order, 0), ("D", pages, order, 0)]
    meta = Meta(recorder="test", source="test", kernel="6.6.0", pageblock_order=order)
    trace = record(tmp_path / "t", rows, [zone(1 << 10)], meta, migratetype=[_RESERVE, _RESERVE, 1, 1])
    pages_are_somewhere(trace)
