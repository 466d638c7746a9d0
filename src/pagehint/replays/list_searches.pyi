from typing import final

import numpy as np
from numpy.typing import NDArray

__all__ = ["ListSearches"]

@final
class ListSearches:
    def __init__(self, mapped: NDArray[np.uint32]) -> None: ...
