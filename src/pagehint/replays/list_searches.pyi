import numpy as np
from numpy.typing import NDArray

__all__ = ["ListSearches"]

class ListSearches:
    def __init__(self, mapped: NDArray[np.uint32]) -> None: ...
