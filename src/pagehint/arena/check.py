"""The invariants of an arena's pages beyond those of every zone: their extents."""

import numpy as np
from numpy.typing import NDArray

__all__ = ["check_extents"]


def check_extents(extents: NDArray[np.int64], pages: int, warm_pages: int) -> list[str]:
    """What is wrong with the warm extents of so many pages, a line each; empty if nothing is. O(extents).

    `extents`: int64 (extents, 3), as of ``WarmPages.extents``.
    """
    begins, ends, ages = extents.T
    problems = [
        f"warm extent {begins[k]} to {ends[k] - 1}: not a range of pages of this arena"
        for k in np.flatnonzero((begins < 0) | (begins >= ends) | (ends > pages))[:10]
    ]
    problems += [
        f"warm extent {begins[k + 1]} to {ends[k + 1] - 1}: not behind the one before it"
        for k in np.flatnonzero(ends[:-1] > begins[1:])[:10]
    ]
    problems += [
        f"warm extent {begins[k]} to {ends[k] - 1}: freed in the future" for k in np.flatnonzero(ages < 0)[:10]
    ]
    counted = int((ends - begins).sum())
    if counted != warm_pages:
        problems.append(f"warm pages: {warm_pages} counted, {counted} in extents")
    return problems
