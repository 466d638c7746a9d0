from collections.abc import Mapping, Sequence
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from pagehint.host.backing import Backing
from pagehint.mm.pcp import PerCpuLists
from pagehint.mm.zone import Zone
from pagehint.replays.observers.best_possible import BestPossible
from pagehint.replays.pages import Pages
from pagehint.replays.refills import Refills

__all__ = ["ANOMALY_NAMES", "Engine"]

ANOMALY_NAMES: tuple[str, ...]

@final
class Engine(Pages):
    _row: int
    zones: list[Zone]
    recorded: bool
    zone_events: bool
    zone_level: bool
    """Small allocations and frees were not recorded: what is off the zones' lists counts as in use, but for what a
    refill brought, which counts so one block after the other until the next one begins."""
    mapped: NDArray[np.uint32]
    now: int
    resident_time: float
    used_time: float
    waits: NDArray[np.int64]
    placed: int
    placed_as_recorded: int
    turned: int
    """How often compaction may have turned lists."""
    followed: int
    """Blocks that were taken as recorded since then, where the engine `follows`."""
    several_cpus: bool
    """False: no event can come while another CPU has a zone's lock."""
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
        verdicts: tuple[NDArray[np.int64], NDArray[np.uint8], NDArray[np.int64]],
        ties: NDArray[np.int64],
        follows: bool = False,
    ) -> None: ...
    def start_from(self, states: NDArray[np.uint8]) -> None: ...
    def moves_to(self, given_back: NDArray[np.int64]) -> None: ...
    def may_come_straight(self, rows: NDArray[np.int64]) -> None: ...
    def lay_on_lists(self, pfns: NDArray[np.int64], lists: NDArray[np.uint32]) -> None: ...
    def at_zone_level(self, refills: Refills) -> None: ...
    def lay_used(self, pfns: NDArray[np.int64], lists: NDArray[np.uint32]) -> None: ...
    def watch(self, best: BestPossible, backed: NDArray[np.bool_]) -> None: ...
    def still_used(self, pfns: NDArray[np.int64]) -> None: ...
    def model_pages(self, keys: NDArray[np.bool_]) -> NDArray[np.bool_]: ...
    def load(self, batch: Mapping[str, NDArray[Any]]) -> None: ...
    def run(self, until: int, give_up: bool = False) -> int: ...
    def pass_time(self, now: int) -> None: ...
    def end_frees(self) -> None: ...
    @property
    def next_time(self) -> int: ...
    @property
    def anomalies(self) -> dict[str, int]: ...
    def ring(self) -> None: ...
    def told(self, pfns: NDArray[np.int64], orders: NDArray[np.uint8]) -> None: ...
    def listed(self, index: int, order: int) -> tuple[int, int]: ...
