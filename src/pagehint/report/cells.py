"""What a cell of a map of memory is, on each page and screen: what most of it is."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["cell_states"]

_STATES = np.array(["none", "back", "never", "free", "mixed", "used"])


def cell_states(
    used: ArrayLike, free: ArrayLike, back: ArrayLike, never: ArrayLike, size: ArrayLike
) -> NDArray[np.str_]:
    """Names of colours, by what of each cell's memory is used, free and resident, given back, and not resident yet.

    A cell of `size` that is almost all none of these has no memory.
    """
    resident, away = np.add(used, free), np.add(back, never)
    kinds = [
        resident + away <= np.multiply(size, 0.01),
        (away >= resident) & np.greater_equal(back, never),
        away >= resident,
        np.greater_equal(free, 0.95 * resident),
        np.greater(free, 0.1 * resident),
    ]
    states: NDArray[np.str_] = _STATES[np.select(kinds, range(len(kinds)), default=len(kinds))]
    return states
