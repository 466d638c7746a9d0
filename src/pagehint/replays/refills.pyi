from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, final

from numpy import int64, uint32, uint64
from numpy.typing import NDArray

from pagehint.kernel.profiles import KernelProfile

__all__ = ["FoundRefills", "RefillScan", "Refills"]

@dataclass(frozen=True, slots=True)
class FoundRefills:
    zone_ends: list[int]
    above_order_0: bool
    pageblock_order: int
    cpus: int
    first: NDArray[int64]
    begins: NDArray[int64]
    ends: NDArray[int64]
    used: NDArray[uint32]
    at_start: NDArray[int64]
    at_start_on: NDArray[uint32]

class Lists:
    def __init__(self, zone_ends: list[int], above_order_0: bool, pageblock_order: int) -> None: ...

@final
class RefillScan(Lists):
    def __init__(
        self, pages: int, zone_ends: list[int], batches: list[int], profile: KernelProfile, pageblock_order: int
    ) -> None: ...
    def add(self, batch: Mapping[str, NDArray[Any]]) -> None: ...
    def found(self, end: int, flags: NDArray[uint64] | None) -> FoundRefills: ...

@final
class Refills(Lists):
    def __init__(self, pages: int, found: FoundRefills) -> None: ...
    def lay(self, pfns: NDArray[int64], lists: NDArray[uint32], now: int) -> list[tuple[int, int]]: ...
