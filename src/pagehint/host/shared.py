"""Shared memory: a memfd, of ordinary or of hugetlb pages, which other processes can map too.

Given back by punching holes in the file, always: MADV_DONTNEED on shared memory succeeds and frees nothing.
"""

import fcntl
import mmap
import os

from pagehint.errors import PagehintError
from pagehint.host import libc
from pagehint.host.mapping import HUGE_PAGE, MappedHost
from pagehint.units import format_size

__all__ = ["Descriptor", "HugetlbHost", "MemfdHost"]


class Descriptor:
    """A descriptor that is closed with the last reference, and so not during a call that uses it."""

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def release(self) -> int:
        """The descriptor, which is the caller's to close now."""
        fd, self.fd = self.fd, -1
        return fd

    def __del__(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)


class MemfdHost(MappedHost):
    """A device over `size` bytes of a memfd, mapped shared and sealed in its size. Raises InputError, OSError.

    `hugepages`: asks for transparent huge pages, which does nothing unless the machine's shmem_enabled allows it; else
    for small pages in this mapping.
    """

    _flags = os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING
    _file: Descriptor | None = None

    def __init__(self, size: int | str, hugepages: bool = False, capacity: int = 32) -> None:
        super().__init__(size, capacity)
        self._ask_for_pages(hugepages)

    def _reserve(self) -> mmap.mmap:
        self._file = Descriptor(os.memfd_create("pagehint", self._flags))
        os.ftruncate(self.fd, self.size)
        fcntl.fcntl(self.fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW)
        return mmap.mmap(self.fd, self.size)

    def _open_file(self) -> Descriptor:
        file = self._file
        if file is None:
            raise PagehintError(f"this {type(self).__name__} is closed: its memory can't be used any more")
        return file

    @property
    def fd(self) -> int:
        """The memfd's descriptor: the zone's first page is at offset 0. Good until `close`."""
        return self._open_file().fd

    def _give_back(self, offset: int, length: int) -> None:
        file = self._open_file()
        libc.punch_hole(file.fd, offset, length)
        del file  # held until here

    def resident(self) -> int:
        """Bytes that the file has, by fstat's st_blocks, at once: in memory or swap, whoever mapped or touched them."""
        file = self._open_file()
        resident = os.fstat(file.fd).st_blocks * 512
        del file
        return resident

    def close(self) -> None:
        """Lets go of the memory, which is freed with its last view, here or elsewhere; more than once does nothing."""
        super().close()
        self._file = None


class HugetlbHost(MemfdHost):
    """A device over `size` bytes of the machine's hugetlb pages of 2 MiB. Raises InputError, OSError, PagehintError.

    All of its huge pages are taken out of the pool at the start. Those given back are anyone's: touching their memory
    takes one from the pool again, and ends the process with SIGBUS if the pool is empty. What is less than a huge page
    of a batch stays.
    """

    _granule = HUGE_PAGE
    _flags = MemfdHost._flags | os.MFD_HUGETLB | os.MFD_HUGE_2MB

    def __init__(self, size: int | str, capacity: int = 32) -> None:
        super().__init__(size, capacity=capacity)

    def _ask_for_pages(self, huge: bool) -> None:
        pass  # they are what they are

    def _reserve(self) -> mmap.mmap:
        try:
            return super()._reserve()
        except OSError as error:
            raise PagehintError(
                f"the machine has no {format_size(self.size)} of free hugetlb pages of 2 MiB ({error.strerror}): "
                "raise nr_hugepages, or use another kind of memory"
            ) from None

    def _give_back(self, offset: int, length: int) -> None:
        start = -(-offset // HUGE_PAGE) * HUGE_PAGE
        end = (offset + length) // HUGE_PAGE * HUGE_PAGE
        if start < end:
            super()._give_back(start, end - start)
