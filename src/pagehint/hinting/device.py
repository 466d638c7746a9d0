"""What a device is: whoever gives up the host memory behind a batch of free blocks."""

from typing import Protocol

from pagehint.mm.batch import Batch

__all__ = ["Device"]


class Device(Protocol):
    """Gives up the memory behind blocks. ``capacity`` is the most blocks it takes at once (1 to 2**20)."""

    @property
    def capacity(self) -> int:
        """The most blocks of one batch."""

    def react(self, blocks: Batch, /) -> None:
        """Give up the memory behind ``blocks``, which nobody can allocate meanwhile. Any exception is a failure:

        the blocks go back unhinted, the error is counted, and the device is told of them again later.
        """
