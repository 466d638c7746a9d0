"""The device of a replay: whoever a design tells of blocks there."""

from pagehint.hinting.clock import VirtualClock
from pagehint.host.model import ModelHost
from pagehint.mm.batch import Batch
from pagehint.replays.engine import Engine
from pagehint.replays.real import RealMemory

__all__ = ["ReplayDevice"]


class ReplayDevice:
    """The modelled host gives blocks back, `real` memory too (None: none), and `batches` tells of each batch:

    time (ns), zone, blocks, pages, and pages that were backed.
    """

    def __init__(self, host: ModelHost, engine: Engine, clock: VirtualClock) -> None:
        self.capacity = host.capacity
        self.real: RealMemory | None = None
        self.batches: list[tuple[int, str, int, int, int]] = []
        self._host = host
        self._engine = engine
        self._clock = clock

    def react(self, blocks: Batch) -> None:
        """The host gives the blocks back."""
        now, backing = self._clock.now, self._host.backing
        self._engine.pass_time(now)
        self._engine.told(blocks.pfns, blocks.orders)
        before = backing.resident
        self._host.react(blocks)
        if self.real is not None:
            self.real.react(blocks)
        self.batches.append((now, self._zone_of(blocks), len(blocks), blocks.pages, before - backing.resident))

    def leave(self) -> None:
        """There is nothing more to be told: let go of the engine, and so of the zones."""
        del self._engine

    def _zone_of(self, blocks: Batch) -> str:
        first = int(blocks.pfns[0])
        return next(zone.name for zone in self._engine.zones if zone.start_pfn <= first < zone.start_pfn + zone.pages)
