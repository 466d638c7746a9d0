from typing import final

import numpy as np
from numpy.typing import NDArray

from pagehint.host.costs import Costs

__all__ = ["BestPossible", "page_costs"]

def page_costs(page_size: str, costs: Costs, capacity: int) -> tuple[tuple[float, float], tuple[float, float]]: ...

@final
class BestPossible:
    free: float
    listed: float
    def __init__(
        self,
        pages: int,
        rate: float,
        whole: tuple[float, float],
        gone: tuple[float, float],
        begin: int,
        end: int,
    ) -> None: ...
    def start(self, backed: NDArray[np.bool_], used: NDArray[np.bool_], taken: NDArray[np.bool_]) -> None: ...
    def end(self, now: int) -> None: ...
    def freed(self, page: int, now: int) -> None: ...
    def allocated(self, page: int, now: int) -> None: ...
    def took(self, page: int, pages: int, now: int) -> None: ...
    def gave(self, page: int, pages: int, now: int) -> None: ...
