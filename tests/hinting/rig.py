"""One zone, one design and one device, driven in virtual time: what the tests of hinting stand on."""

from collections.abc import Callable

from pagehint.errors import BusyError
from pagehint.hinting.clock import VirtualClock
from pagehint.hinting.designs.hinting import PageHinting
from pagehint.hinting.drivers.virtual import VirtualWorker
from pagehint.mm.check import check
from pagehint.mm.zone import Zone

MS = 10**6
TOP = 10
BLOCK = 1 << TOP


class Device:
    """Notes what it is told; ``on_react(blocks)`` runs first, and may raise."""

    def __init__(self, capacity=32, on_react: Callable[[list], object] = lambda blocks: None):
        self.capacity, self.on_react = capacity, on_react
        self.batches: list[list[tuple[int, int]]] = []

    def react(self, blocks):
        told = [(int(pfn), int(order)) for pfn, order in blocks]
        self.on_react(told)
        self.batches.append(told)

    @property
    def told(self) -> list[int]:
        """The pfns of all blocks told of, in their order."""
        return [pfn for batch in self.batches for pfn, _ in batch]

    @property
    def pages(self) -> int:
        """How many pages it was told of."""
        return sum(1 << order for batch in self.batches for _, order in batch)


class Driven:
    """A side of a comparison with a design that really runs: over ``zones``, by ``worker``, told to ``devices``."""

    def drive(self, design, zones, react_time=None):
        self.clock, self.design = VirtualClock(), design
        begun = lambda now: self.seen.append(("work", now))  # noqa: E731
        self.worker = VirtualWorker(design, zones, self.clock, react_time, begun)

    def start(self, device):
        try:
            self.worker.start(self.devices[device])
        except BusyError as error:
            return -error.errno
        return 0

    def stop(self):
        self.worker.stop()

    def tick(self, milliseconds):
        self.clock.advance(milliseconds * MS)


class Rig:
    def __init__(self, pages=64 * BLOCK, react_time=None, zone: Zone | None = None, **design):
        self.zone = Zone(pages) if zone is None else zone
        self.clock = VirtualClock()
        self.design = PageHinting(**design)
        self.begins: list[int] = []
        self.worker = VirtualWorker(self.design, [self.zone], self.clock, react_time, self.begins.append)

    def start(self, capacity=32, on_react=lambda blocks: None) -> Device:
        device = Device(capacity, on_react)
        self.worker.start(device)
        return device

    def tick(self, milliseconds=100):
        self.clock.advance(milliseconds * MS)

    def alloc_all(self, order=TOP) -> list[int]:
        """Every block of this order that can be allocated."""
        pfns = []
        while (pfn := self.zone.alloc_nowait(order)) >= 0:
            pfns.append(pfn)
        return pfns

    def churn(self, count, order=TOP) -> list[int]:
        """Allocate and free so many blocks; returns them in the order in which they were freed."""
        pfns = [self.zone.alloc(order) for _ in range(count)]
        for pfn in pfns:
            self.zone.free(pfn, order)
        return pfns

    @property
    def hinted_pages(self) -> int:
        return sum(count << order for order, count in enumerate(self.zone.nr_hinted or []))

    def assert_sound(self):
        assert check(self.zone) == []
