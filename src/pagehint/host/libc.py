"""The system calls that Python's library lacks, or makes with the GIL held: ctypes lets go of it during a call.

Each raises OSError with the kernel's errno.
"""

import ctypes
import os

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "MAP_NORESERVE",
    "madvise",
    "mincore",
    "nothing",
    "punch_hole",
]

# The mmap module names it from Python 3.13 on. Linux's value on x86, ARM, RISC-V and s390.
MAP_NORESERVE = 0x4000

_FALLOC_FL_KEEP_SIZE = 1
_FALLOC_FL_PUNCH_HOLE = 2

_libc = ctypes.CDLL(None, use_errno=True)
_libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
_libc.mincore.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p]
_libc.fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_long, ctypes.c_long]
# Of the shape of the others, and returns 0 at once when there are 0 bytes to compare.
_libc.memcmp.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]


def _check(result: int, call: str) -> None:
    if result != 0:
        error = ctypes.get_errno()
        raise OSError(error, f"{call}: {os.strerror(error)}")


def madvise(address: int, length: int, advice: int) -> None:
    """madvise(2) on `length` bytes."""
    _check(_libc.madvise(address, length, advice), "madvise")


def mincore(address: int, length: int, resident: NDArray[np.uint8]) -> None:
    """mincore(2) on `length` bytes: a byte for each page of the machine, whose lowest bit says that it is in memory."""
    _check(_libc.mincore(address, length, resident.ctypes.data), "mincore")


def punch_hole(fd: int, offset: int, length: int) -> None:
    """fallocate(2): frees `length` bytes of a file, which then read as zeros; its size stays."""
    _check(_libc.fallocate(fd, _FALLOC_FL_PUNCH_HOLE | _FALLOC_FL_KEEP_SIZE, offset, length), "fallocate")


def nothing(address: int, length: int, advice: int) -> None:
    """A call that does nothing at all, made in the same way: what the others cost beyond it is the kernel's."""
    _check(_libc.memcmp(address, length, advice), "memcmp")
