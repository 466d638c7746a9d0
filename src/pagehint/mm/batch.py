"""A batch: the blocks that a device is told of at once."""

from collections import namedtuple

import cython
import numpy as np

from pagehint.errors import InputError
from pagehint.units import whole_number

if not cython.compiled:
    from pagehint.pointers import longlongs, uchars

__all__ = ["Batch", "Block", "misplaced"]

_MOST = 1 << 20

Block = namedtuple("Block", "pfn order", module="pagehint.mm.batch")


@cython.final
@cython.cclass
class Batch:
    """Up to ``capacity`` blocks (1 to 2**20), in the order in which they were pulled; a sequence of Block(pfn, order).

    ``pfns`` (int64) and ``orders`` (uint8) are read-only views of the blocks held now. Raises InputError.
    """

    def __init__(self, capacity):
        if getattr(self, "capacity", 0):
            raise InputError("a batch is made once")
        capacity = whole_number("a device's capacity", capacity, 1, _MOST)
        arrays = np.zeros(capacity, np.int64), np.zeros(capacity, np.uint8), np.zeros(capacity, np.uint8)
        self._pfns_array, self._orders_array, self._types_array = arrays
        self.capacity = capacity
        self._count = self._pages = 0
        self._pfns = longlongs(self._pfns_array)
        self._orders, self._types = uchars(self._orders_array), uchars(self._types_array)
        for array in (self._pfns_array, self._orders_array, self._types_array):
            array.flags.writeable = False

    def __len__(self):
        return self._count

    def __getitem__(self, index):
        if not -self._count <= index < self._count:
            raise IndexError(f"block {index} of a batch of {self._count}")
        if index < 0:
            index += self._count
        return Block(int(self._pfns[index]), int(self._orders[index]))

    def __iter__(self):
        return map(self.__getitem__, range(self._count))

    def reverse(self):
        """Turn the order of the blocks around."""
        k: cython.Py_ssize_t
        other: cython.Py_ssize_t = self._count
        for k in range(self._count // 2):
            other -= 1
            self._pfns[k], self._pfns[other] = self._pfns[other], self._pfns[k]
            self._orders[k], self._orders[other] = self._orders[other], self._orders[k]
            self._types[k], self._types[other] = self._types[other], self._types[k]

    @property
    def pages(self):
        """Pages in the batch's blocks."""
        return self._pages

    @property
    def pfns(self):
        """The blocks' pfns: int64, one each."""
        return self._pfns_array[: self._count]

    @property
    def orders(self):
        """The blocks' orders: uint8, one each."""
        return self._orders_array[: self._count]

    def __repr__(self):
        return f"<Batch of {self._count} of {self.capacity} blocks>"


def misplaced(batch, k):
    """The error of a batch whose `k`th block is not in flight in the zone that it is given to."""
    return InputError(f"{batch!r}: its block {k}, {batch[k]}, is not in flight in this zone")
