from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["COLUMNS", "CPUS", "FREE_AT_START", "UNSEEN", "USED_AT_START", "Scan"]

COLUMNS: tuple[str, ...]
CPUS: int
FREE_AT_START: int
UNSEEN: int
USED_AT_START: int

class Scan:
    pages: int
    zone_events: bool
    at_start: NDArray[np.uint8]
    first_types: NDArray[np.uint8]
    def __init__(
        self, pages: int, pageblock_order: int, zone_events: bool, pcp_above_order_0: bool, load: int
    ) -> None: ...
    def add(self, batch: Mapping[str, NDArray[Any]]) -> None: ...
    def cpus(self) -> list[int]: ...
    def straight(self) -> NDArray[np.int64]: ...
    def boot(self) -> NDArray[np.int64]: ...
    def compacted(self) -> NDArray[np.int64]: ...
    def in_bulk(self) -> NDArray[np.int64]: ...
