"""Uncompiled, a pointer is a view: what is written by it is in the array, whatever its shape."""

import numpy as np
import pytest

from pagehint import pointers


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("uchars", np.uint8),
        ("ushorts", np.uint16),
        ("uints", np.uint32),
        ("ulonglongs", np.uint64),
        ("ints", np.int32),
        ("longlongs", np.int64),
    ],
)
def test_what_is_written_is_in_the_array(name: str, kind: type[np.integer]) -> None:
    most = int(np.iinfo(kind).max)
    array = np.zeros((3, 2), kind)
    numbers = getattr(pointers, name)(array)
    numbers[5] = most
    numbers[2] = numbers[5] - 1
    assert array.tolist() == [[0, 0], [most - 1, 0], [0, most]]
