"""A batch's columns, which compiled code reads by pointers: nothing but such columns gets there."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pagehint.replays.columns import COLUMNS, Columns
from pagehint.trace.events import EVENT_SCHEMA


def _arrays(rows: int) -> list[NDArray[Any]]:
    return [np.zeros(rows, EVENT_SCHEMA.field(name).type.to_pandas_dtype()) for name in COLUMNS]


@pytest.mark.parametrize("rows", [0, 1, 1000])
def test_columns_as_a_recording_has_them(rows: int) -> None:
    columns = Columns()
    assert columns.count == 0
    columns.load(_arrays(rows))
    assert columns.count == rows


@pytest.mark.parametrize("name", COLUMNS)
def test_nothing_else_is_read(name: str) -> None:
    columns, at = Columns(), COLUMNS.index(name)
    columns.load(_arrays(7))
    for spoil in (lambda a: a[:-1], lambda a: a.astype(np.float16), lambda a: np.zeros(14, a.dtype)[::2]):
        arrays = _arrays(7)
        arrays[at] = spoil(arrays[at])
        with pytest.raises(TypeError, match="contiguous values of"):
            columns.load(arrays)
    assert columns.count == 7
    with pytest.raises(ValueError, match="unpack"):
        columns.load(_arrays(7)[:at])
