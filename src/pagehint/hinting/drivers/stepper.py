"""A design driven by hand: it shows each action, and its caller decides what happens, and when."""

from collections.abc import Callable, Sequence

from pagehint.errors import InputError
from pagehint.hinting.action import Action, React
from pagehint.hinting.design import Design
from pagehint.hinting.device import Device
from pagehint.mm.zone import Zone
from pagehint.units import check_kind, several

__all__ = ["Stepper"]


class Stepper:
    """Runs a design over ``zones`` one action at a time, for tests and for looking. ``now`` (ns) is the caller's."""

    def __init__(self, design: Design, zones: Sequence[Zone], now: int = 0) -> None:
        check_kind("design", design, Design, "one, such as PageReporting()")
        self.design = design
        self.now = now
        self.reacting: React | None = None
        self._zones = tuple(several(zones))

    def __repr__(self) -> str:
        return f"<Stepper of {self.design!r}, {'started' if self.design.started else 'stopped'}>"

    def start(self, device: Device) -> None:
        """Start a device, whose ``capacity`` counts; ``react`` is for the caller to call. Raises as Design.start."""
        self.design.start(self._zones, device, self.now, self._notified, self._settle)

    def stop(self) -> None:
        """Stop it: frees stop notifying. A running react is the caller's to end; then step on to Idle."""
        self.design.stop()

    def step(self) -> Action:
        """What the design does now. After a React its blocks are in flight, until ``reacted``.

        Raises InputError while a react runs.
        """
        if self.reacting is not None:
            raise InputError("a react runs: end it with reacted() before the next step")
        action = self.design.next(self.now)
        if isinstance(action, React):
            self.reacting = action
        return action

    def reacted(self, error: BaseException | None = None) -> None:
        """The react ends, or fails with ``error``: its blocks go back. Raises InputError if none runs."""
        if self.reacting is None:
            raise InputError("no react runs")
        self.reacting = None
        self.design._end_react(error, self.now)

    def _notified(self, zone: Zone) -> None:
        self.design.notified(zone, self.now)

    # An allocation that waits ends the react: nobody else is there who could.
    def _settle(self, zone: Zone, attempt: Callable[[], int]) -> int:
        if self.reacting is not None:
            self.reacted()
        return attempt()
