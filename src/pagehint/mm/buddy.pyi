import numpy as np
from numpy.typing import NDArray

from pagehint.kernel.profiles import KernelProfile
from pagehint.mm.hinting_state import HintingState

class Buddy(HintingState):
    start_pfn: int
    max_order: int
    pageblock_order: int
    profile: KernelProfile
    nr_alloc: int
    nr_free_ops: int
    nr_other_ops: int
    page_state: NDArray[np.uint16]
    page_links: NDArray[np.uint32]
    pageblock_types: NDArray[np.uint8]
    pageblock_movable: NDArray[np.uint32]
    def __init__(
        self,
        start_pfn: int,
        pages: int,
        max_order: int,
        pageblock_order: int,
        profile: KernelProfile,
        shuffle_order: int | None,
        seed: int,
    ) -> None: ...
