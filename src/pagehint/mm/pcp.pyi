from typing import final

import numpy as np
from numpy.typing import NDArray

from pagehint.kernel.profiles import KernelProfile
from pagehint.mm.buddy import Buddy

__all__ = ["PerCpuLists", "pcp_batch", "pcp_high", "pcp_high_max"]

def pcp_batch(managed: int) -> int: ...
def pcp_high(profile: KernelProfile, batch: int, low_watermark: int, cpus: int) -> int: ...
def pcp_high_max(high: int, managed: int, cpus: int) -> int: ...

@final
class PerCpuLists:
    buddy: Buddy
    cpu: int
    batch: int
    high: int
    orders_above_0: bool
    def __init__(self, buddy: Buddy, cpu: int, batch: int, high: int, high_max: int | None = None) -> None: ...
    def limit(self, batch: int, high: int, high_max: int | None = None) -> None: ...
    def resume(self, high: int) -> None: ...
    @property
    def count(self) -> int: ...
    def lists(self) -> list[NDArray[np.int64]]: ...
