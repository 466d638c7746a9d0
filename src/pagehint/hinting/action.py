"""What a design says to its driver: what to do next."""

from collections.abc import Generator
from dataclasses import dataclass

from pagehint.errors import InputError
from pagehint.mm.batch import Batch
from pagehint.mm.zone import Zone
from pagehint.units import shown

__all__ = ["BEGIN", "IDLE", "Action", "Begin", "Idle", "Part", "React", "Sleep", "Work", "no_action"]


@dataclass(frozen=True, slots=True)
class Begin:
    """A run of the work begins."""


@dataclass(frozen=True, slots=True)
class React:
    """Tell the device of the batch, whose blocks came from the zone."""

    zone: Zone
    batch: Batch


@dataclass(frozen=True, slots=True)
class Sleep:
    """Nothing to do before ``until`` (nanoseconds)."""

    until: int


@dataclass(frozen=True, slots=True)
class Idle:
    """Nothing to do until a free notifies."""


Action = Begin | React | Sleep | Idle
Work = Generator[React, BaseException | None, None]
"""A run of the work: it yields what the device is to be told, and gets what that failed with, or None."""
Part = Generator[React, BaseException | None, bool]
"""A part of it, and whether it goes on."""
BEGIN = Begin()
IDLE = Idle()


def no_action(design: object, said: object) -> InputError:
    """The error of a design that said this instead."""
    return InputError(f"{type(design).__name__}: it said {shown(said)}: expected Idle or Sleep of rest()")
