from collections.abc import Iterator
from typing import NamedTuple, final

import numpy as np
from numpy.typing import NDArray

from pagehint.errors import InputError

__all__ = ["Batch", "Block", "misplaced"]

class Block(NamedTuple):
    pfn: int
    order: int

@final
class Batch:
    capacity: int
    def __init__(self, capacity: int) -> None: ...
    def __len__(self) -> int: ...
    def __iter__(self) -> Iterator[Block]: ...
    def __getitem__(self, index: int, /) -> Block: ...
    def reverse(self) -> None: ...
    @property
    def pages(self) -> int: ...
    @property
    def pfns(self) -> NDArray[np.int64]: ...
    @property
    def orders(self) -> NDArray[np.uint8]: ...

def misplaced(batch: Batch, k: int) -> InputError: ...
