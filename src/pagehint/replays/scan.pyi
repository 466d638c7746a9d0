from collections.abc import Mapping
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from pagehint.kernel.profiles import KernelProfile

__all__ = [
    "CPUS",
    "FREED_WHOLE_AT_START",
    "FREE_AT_START",
    "NO_ROWS",
    "PER_CPU_AT_START",
    "UNSEEN",
    "USED_AT_START",
    "Scan",
]

CPUS: int
NO_ROWS: tuple[NDArray[np.int64], NDArray[np.int64]]
FREE_AT_START: int
FREED_WHOLE_AT_START: int
PER_CPU_AT_START: int
UNSEEN: int
USED_AT_START: int

@final
class Scan:
    _row: int
    pages: int
    zone_events: bool
    zone_level: bool
    at_start: NDArray[np.uint8]
    first_types: NDArray[np.uint8]
    first_left: NDArray[np.uint32]
    first_order: NDArray[np.uint8]
    first_taker: NDArray[np.uint32]
    def __init__(
        self,
        pages: int,
        pageblock_order: int,
        zone_events: bool,
        profile: KernelProfile,
        load: int,
        zone_level: bool = False,
        batch: int = ...,
    ) -> None: ...
    moves: int
    removals: int
    drained_order: int
    least_told: int
    refilled: int
    beyond_batch: int
    def add(self, batch: Mapping[str, NDArray[Any]]) -> None: ...
    def told(self, blocks: NDArray[np.int64]) -> None: ...
    def cpus(self) -> list[int]: ...
    def has_list(self, orders: NDArray[np.integer[Any]]) -> NDArray[np.bool_]: ...
    def boot_end(self) -> int: ...
    def verdicts(
        self,
        booting: bool = False,
        balloon: tuple[NDArray[np.int64], NDArray[np.int64]] = ...,
        online: NDArray[np.int64] = ...,
    ) -> tuple[NDArray[np.int64], NDArray[np.uint8], NDArray[np.int64]]: ...
    def ties(self) -> NDArray[np.int64]: ...
    def given_back(self) -> NDArray[np.int64]: ...
    def last_freed(self) -> NDArray[np.int64]: ...
    def in_bulk(self) -> NDArray[np.int64]: ...
