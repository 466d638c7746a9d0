from collections.abc import Sequence
from typing import final

import numpy as np
from numpy.typing import NDArray

__all__ = ["AREA_PAGES", "PAGE_SIZES", "Backing"]

AREA_PAGES: int
PAGE_SIZES: Sequence[str]

@final
class Backing:
    pages: int
    page_size: str
    limit: int
    resident: int
    swapped: int
    faults_4kib: int
    faults_2mib: int
    refaults_4kib: int
    refaults_2mib: int
    given_back: int
    given_back_4kib: int
    given_back_2mib: int
    discards: int
    empty_discards: int
    splits: int
    swapped_out: int
    swapped_in: int
    collapsed: int
    def __init__(self, pages: int, page_size: str = "4KiB", limit: int | None = None) -> None: ...
    def touch(self, pfn: int, order: int) -> tuple[int, int]: ...
    def discard(self, pfn: int, order: int) -> int: ...
    def discard_blocks(self, pfns: NDArray[np.int64], orders: NDArray[np.uint8]) -> int: ...
    def count_blocks(self, pfns: NDArray[np.int64], orders: NDArray[np.uint8]) -> tuple[int, int]: ...
    def load(self, backed: NDArray[np.bool_]) -> None: ...
    def collapse(self, areas: int) -> int: ...
    def snapshot(self) -> NDArray[np.uint8]: ...
