"""What a device is: whoever gives up the host memory behind a batch of free blocks."""

from collections.abc import Callable
from typing import Protocol

from pagehint.errors import InputError
from pagehint.mm.batch import Batch
from pagehint.units import shown

__all__ = ["Device", "react_of"]


class Device(Protocol):
    """Gives up the memory behind blocks. ``capacity`` is the most blocks it takes at once (1 to 2**20)."""

    @property
    def capacity(self) -> int:
        """The most blocks of one batch."""

    def react(self, blocks: Batch, /) -> None:
        """Give up the memory behind ``blocks``, which nobody can allocate meanwhile. Any exception is a failure:

        the blocks go back unhinted, the error is counted, and the device is told of them again later.
        """


def react_of(device: Device) -> Callable[[Batch], None]:
    """What a driver calls. Raises InputError for what is no device: its errors would be failures, and tried again."""
    if not callable(getattr(device, "react", None)):
        raise InputError(f"{shown(device)} is no device: expected capacity, and react(blocks)")
    return device.react
