"""What the devices of this folder use of a batch."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from pagehint.units import whole_number

__all__ = ["PAGE_BYTES", "Blocks", "OtherBlocks", "check_capacity"]

PAGE_BYTES = 4096


class Blocks(Protocol):
    """A batch: block i is the 2**orders[i] pages from pfns[i]."""

    @property
    def pfns(self) -> NDArray[np.int64]: ...

    @property
    def orders(self) -> NDArray[np.uint8]: ...


@dataclass(frozen=True, slots=True)
class OtherBlocks:
    """The blocks of a batch in pages of another size, or some of them."""

    pfns: NDArray[np.int64]
    orders: NDArray[np.uint8]


def check_capacity(capacity: int) -> None:
    """Raise InputError unless a device can take a block."""
    whole_number("a device's capacity", capacity, 1, 1 << 20)
