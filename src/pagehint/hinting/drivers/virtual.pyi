from collections.abc import Callable, Sequence
from typing import final

from pagehint.hinting.action import React
from pagehint.hinting.clock import VirtualClock
from pagehint.hinting.design import Design
from pagehint.hinting.device import Device
from pagehint.mm.zone import Zone

@final
class VirtualWorker:
    design: Design
    clock: VirtualClock
    stalls: int
    stalled: int
    def __init__(
        self,
        design: Design,
        zones: Sequence[Zone],
        clock: VirtualClock,
        react_time: Callable[[React], int] | None = None,
        on_begin: Callable[[int], None] | None = None,
        rest_time: Callable[[], int] | None = None,
    ) -> None: ...
    def start(self, device: Device) -> None: ...
    def stop(self) -> None: ...
    def wait_for_react(self) -> bool: ...
