"""Arrays as compiled code reads and writes them: each function's a pointer to what C calls these numbers.

Uncompiled, it is a view of the array, a number after the other. Whoever has either keeps the array.
"""

from typing import Any

from numpy.typing import NDArray

__all__ = ["ints", "longlongs", "uchars", "uints", "ulonglongs", "ushorts"]


def _view(array: NDArray[Any]) -> memoryview:
    return array.reshape(-1).data


uchars = ushorts = uints = ints = longlongs = ulonglongs = _view
