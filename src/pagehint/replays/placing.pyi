from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from pagehint.host.backing import Backing
from pagehint.mm.pcp import PerCpuLists
from pagehint.mm.zone import Zone
from pagehint.replays.observers.best_possible import BestPossible
from pagehint.replays.pages import Pages

__all__ = ["ANOMALY_NAMES", "Placing"]

ANOMALY_NAMES: tuple[str, ...]

class Placing(Pages):
    _row: int
    zones: list[Zone]
    recorded: bool
    follows: bool
    zone_events: bool
    mapped: NDArray[np.uint32]
    now: int
    placed: int
    placed_as_recorded: int
    followed: int
    """Blocks that were taken as recorded since compaction may have turned lists, where the engine `follows`."""
    touch_alloc: bool
    touch_zone_alloc: bool
    touch_free: bool
    def __init__(
        self,
        zones: Sequence[Zone],
        backing: Backing,
        pages: int,
        recorded: bool,
        pcps: Mapping[tuple[int, int], PerCpuLists],
        follows: bool,
    ) -> None: ...
    def start_from(self, states: NDArray[np.uint8]) -> None: ...
    def may_come_straight(self, rows: NDArray[np.int64]) -> None: ...
    def lay_on_lists(self, pfns: NDArray[np.int64], lists: NDArray[np.uint32]) -> None: ...
    def watch(self, best: BestPossible, backed: NDArray[np.bool_]) -> None: ...
    def still_used(self, pfns: NDArray[np.int64]) -> None: ...
    def model_pages(self, keys: NDArray[np.bool_]) -> NDArray[np.bool_]: ...
    @property
    def anomalies(self) -> dict[str, int]: ...
