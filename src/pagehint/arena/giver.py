"""The device of an arena: it tells a host of its pages, which may be smaller than the arena's."""

import threading

import numpy as np
from numpy.typing import NDArray

from pagehint.host.blocks import OtherBlocks
from pagehint.host.mapping import MappedHost
from pagehint.mm.batch import Batch

__all__ = ["Giver"]

_CAPACITY = 16


class Giver:
    """Has ``host`` give back batches of blocks whose pages are ``2**order`` of the host's."""

    capacity = _CAPACITY

    def __init__(self, host: MappedHost, order: int) -> None:
        self.host = host
        self._order = order
        self._here = threading.local()

    @property
    def reacting(self) -> bool:
        """This thread is in ``react``: what it waits for would never come."""
        return getattr(self._here, "reacting", False)

    def react(self, blocks: Batch) -> None:
        """As Device.react; if the host fails, block by block, so that one that can't be given back keeps no other.

        Raises what the host raises.
        """
        pfns, orders = blocks.pfns << self._order, blocks.orders + np.uint8(self._order)
        try:
            self._here.reacting = True
            try:
                self.host.react(OtherBlocks(pfns, orders))
            except OSError:
                if len(blocks) == 1 or not self._react_singly(pfns, orders):
                    raise
        finally:
            self._here.reacting = False

    # True if all went well after all.
    def _react_singly(self, pfns: NDArray[np.int64], orders: NDArray[np.uint8]) -> bool:
        failed = 0
        for k in range(len(pfns)):
            try:
                self.host.react(OtherBlocks(pfns[k : k + 1], orders[k : k + 1]))
            except OSError:
                failed += 1
        return not failed
