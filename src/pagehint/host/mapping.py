"""What the hosts of real memory share: a mapping of this process whose pages are the zone's.

pfn 0 is the first page of the mapping; a page is the machine's. Nothing is resident until it is touched.

A react may run while another thread closes the host. It holds on to the mapping (and to the file behind it), so that it
never frees what came to be at the same address, or under the same descriptor, since.
"""

import contextlib
import ctypes
import mmap
from abc import ABC, abstractmethod
from errno import EMFILE, ENFILE

import numpy as np
from numpy.typing import NDArray

from pagehint.errors import HostError, InputError, PagehintError
from pagehint.host import libc
from pagehint.host.blocks import Blocks, check_capacity
from pagehint.units import format_size, parse_size, shown

__all__ = ["HUGE_PAGE", "MappedHost"]

HUGE_PAGE = 2 << 20  # bytes: of x86, and of ARM with 4 KiB pages


class MappedHost(ABC):
    """A device that gives back pages of a mapping in this process.

    `capacity`: blocks in a batch; `reads_zero`: whether memory reads as zeros once it was given back.
    """

    reads_zero = True
    _granule = mmap.PAGESIZE  # what the size is a multiple of
    _alignment = mmap.PAGESIZE

    def __init__(self, size: int | str, capacity: int) -> None:
        # What is given back lies between two addresses: nobody moves them.
        if hasattr(self, "_size"):
            raise InputError(f"{type(self).__name__}: is made once")
        self._size = parse_size(size)
        self.capacity = capacity
        if self.size < 1 or self.size % self._granule:
            raise InputError(
                f"{shown(size)} is not a size for this memory: expected a multiple of {format_size(self._granule)}"
            )
        check_capacity(capacity)
        try:
            self._map: mmap.mmap | None = self._reserve()
        except OSError as error:
            do = "close some, or allow more (ulimit -n)" if error.errno in (EMFILE, ENFILE) else "ask for less"
            text = f"the machine refuses {format_size(self.size)} of memory ({error.strerror}): {do}"
            raise HostError(error.errno, text) from None
        start = ctypes.addressof(ctypes.c_char.from_buffer(self._map))
        self._offset = -start % self._alignment
        self._address = start + self._offset

    @property
    def size(self) -> int:
        """Bytes."""
        return self._size

    @property
    def page_size(self) -> int:
        """Bytes: the machine's."""
        return mmap.PAGESIZE

    @property
    def address(self) -> int:
        """Of the first page, good until `close` and as long as views live."""
        return self._address

    # Makes a mapping that holds `size` bytes from the first aligned address in it.
    @abstractmethod
    def _reserve(self) -> mmap.mmap: ...

    @abstractmethod
    def _give_back(self, offset: int, length: int) -> None: ...

    @abstractmethod
    def resident(self) -> int:
        """Bytes of it that are in memory now, by the kernel's figures."""

    # A kernel without huge pages refuses both; it has small pages only, which is what there is to be had.
    def _ask_for_pages(self, huge: bool) -> None:
        with contextlib.suppress(OSError):
            libc.madvise(self.address, self.size, mmap.MADV_HUGEPAGE if huge else mmap.MADV_NOHUGEPAGE)

    def _open_map(self) -> mmap.mmap:
        mapping = self._map
        if mapping is None:
            raise PagehintError(f"this {type(self).__name__} is closed: its memory can't be used any more")
        return mapping

    def react(self, blocks: Blocks) -> None:
        """Gives the blocks' memory back, adjacent ones in one call; raises OSError, some of them given back or none."""
        mapping = self._open_map()
        for offset, length in self._ranges(blocks):
            self._give_back(offset, length)
        del mapping  # held until here

    # Offset and length, in bytes, of each run of adjacent blocks.
    def _ranges(self, blocks: Blocks) -> list[tuple[int, int]]:
        by_pfn = np.argsort(blocks.pfns)
        pfns = blocks.pfns[by_pfn]
        orders = blocks.orders[by_pfn].astype(np.int64)
        pages = self.size // self.page_size
        inside = (pfns >= 0) & (pfns < pages) & (orders < 48)
        ends = pfns + (np.int64(1) << np.where(inside, orders, 0))
        if not (inside & (ends <= pages)).all():
            raise InputError(f"a block of the batch is not in the host's {format_size(self.size)} of memory")
        first = np.ones(len(pfns), np.bool_)
        first[1:] = pfns[1:] != ends[:-1]
        starts = pfns[first]
        lengths = np.add.reduceat(ends - pfns, np.flatnonzero(first)) if len(pfns) else starts
        return [
            (start * self.page_size, length * self.page_size)
            for start, length in zip(starts.tolist(), lengths.tolist(), strict=True)
        ]

    def resident_map(self) -> NDArray[np.bool_]:
        """Which pages are in memory now, by mincore: bool, one for each page."""
        mapping = self._open_map()
        pages = np.empty(self.size // self.page_size, np.uint8)
        libc.mincore(self.address, self.size, pages)
        del mapping
        pages &= 1
        return pages.view(np.bool_)

    def view(self, offset: int, length: int) -> memoryview:
        """The memory itself, in bytes, writable. The mapping lives as long as the last view of it."""
        if not (offset >= 0 and length >= 0 and offset + length <= self.size):
            raise InputError(f"bytes {offset} to {offset + length} are not in the host's {format_size(self.size)}")
        start = self._offset + offset
        return memoryview(self._open_map())[start : start + length]

    def close(self) -> None:
        """Lets go of the memory, which is freed with its last view; more than once does nothing."""
        self._map = None
