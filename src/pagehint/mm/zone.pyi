from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pagehint.kernel.profiles import KernelProfile
from pagehint.mm.pcp import PerCpuLists
from pagehint.mm.spans import Spans

__all__ = ["Watermarks", "Zone"]

class Watermarks(NamedTuple):
    min: int = 0
    low: int = 0
    high: int = 0

class Zone(Spans):
    name: str
    node: int
    page_size: int
    def __init__(
        self,
        pages: int,
        *,
        present: int | None = None,
        start_pfn: int = 0,
        page_size: int = 4096,
        max_order: int = 11,
        pageblock_order: int = 9,
        profile: KernelProfile = ...,
        watermarks: tuple[int, int, int] = ...,
        shuffle_order: int | None = None,
        seed: int = 0,
        hinting: bool = True,
        name: str = "Normal",
        node: int = 0,
    ) -> None: ...
    def alloc(self, order: int = 0, migratetype: int = 1, pcp: PerCpuLists | None = None) -> int: ...
    def alloc_nowait(
        self, order: int = 0, migratetype: int = 1, pcp: PerCpuLists | None = None, whole: bool = False
    ) -> int: ...
    def settle(self, attempt: Callable[[], int]) -> int: ...
    def free(self, pfn: int, order: int = 0, pcp: PerCpuLists | None = None) -> None: ...
    def bulk(
        self,
        ops: NDArray[np.uint8],
        slots: NDArray[np.uint32],
        orders: NDArray[np.uint8],
        migratetypes: NDArray[np.uint8],
        table: NDArray[np.int64],
        pcp: PerCpuLists | None = None,
    ) -> int: ...
    def drain_pcp(self, pcp: PerCpuLists) -> None: ...
    def decay_pcp(self, pcp: PerCpuLists) -> None: ...
    def check(self) -> list[str]: ...
    @property
    def watermarks(self) -> Watermarks: ...
    @watermarks.setter
    def watermarks(self, watermarks: tuple[int, int, int]) -> None: ...
