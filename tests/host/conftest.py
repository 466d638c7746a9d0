from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray


@dataclass
class Batch:
    pfns: NDArray[np.int64]
    orders: NDArray[np.uint8]


@pytest.fixture
def batch() -> Callable[..., Batch]:
    """Makes a batch of (pfn, order) pairs."""

    def make(*blocks: tuple[int, int]) -> Batch:
        return Batch(np.array([pfn for pfn, _ in blocks], np.int64), np.array([order for _, order in blocks], np.uint8))

    return make
