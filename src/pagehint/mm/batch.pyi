from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Batch", "Block"]

class Block(NamedTuple):
    pfn: int
    order: int

class Batch:
    capacity: int
    def __init__(self, capacity: int) -> None: ...
    def __len__(self) -> int: ...
    def __iter__(self) -> Iterator[Block]: ...
    def __getitem__(self, index: int, /) -> Block: ...
    @property
    def pages(self) -> int: ...
    @property
    def pfns(self) -> NDArray[np.int64]: ...
    @property
    def orders(self) -> NDArray[np.uint8]: ...
