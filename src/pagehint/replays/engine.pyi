from collections.abc import Mapping, Sequence
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from pagehint.host.backing import Backing
from pagehint.mm.pcp import PerCpuLists
from pagehint.mm.zone import Zone
from pagehint.replays.placing import Placing
from pagehint.replays.refills import Refills

__all__ = ["LONGEST_WAIT", "Engine"]

LONGEST_WAIT: int
"""From free to given back, ns: who waited longer is counted as this."""

@final
class Engine(Placing):
    zone_level: bool
    """Small allocations and frees were not recorded: what is off the zones' lists counts as in use, but for what a
    refill brought, which counts so one block after the other until the next one begins."""
    resident_time: float
    used_time: float
    waits: NDArray[np.int64]
    turned: int
    """How often compaction may have turned lists."""
    several_cpus: bool
    """False: no event can come while another CPU has a zone's lock."""
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
    def moves_to(self, given_back: NDArray[np.int64]) -> None: ...
    def go_offline(self, blocks: NDArray[np.int64]) -> None: ...
    def at_zone_level(self, refills: Refills) -> None: ...
    def lay_used(self, pfns: NDArray[np.int64], lists: NDArray[np.uint32]) -> None: ...
    def load(self, batch: Mapping[str, NDArray[Any]]) -> None: ...
    def run(self, until: int, give_up: bool = False) -> int: ...
    def pass_time(self, now: int) -> None: ...
    def end_frees(self) -> None: ...
    @property
    def next_time(self) -> int: ...
    def ring(self) -> None: ...
    def told(self, pfns: NDArray[np.int64], orders: NDArray[np.uint8]) -> None: ...
    def listed(self, index: int, order: int) -> tuple[int, int]: ...
