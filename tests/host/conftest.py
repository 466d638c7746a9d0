import mmap
import os
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray


class Kernel:
    """The kernel's own figures, read independently of the package."""

    @staticmethod
    def pagemap(address: int, size: int) -> NDArray[np.bool_]:
        """Which pages are present in this process's page tables."""
        with open("/proc/self/pagemap", "rb", buffering=0) as file:
            entries = os.pread(file.fileno(), size // mmap.PAGESIZE * 8, address // mmap.PAGESIZE * 8)
        return (np.frombuffer(entries, np.uint64) >> np.uint64(63)).astype(np.bool_)

    @staticmethod
    def _words(address: int, field: str) -> list[str]:
        found = False
        with open("/proc/self/smaps") as file:
            for line in file:
                name, *rest = line.split()
                if not name.endswith(":"):
                    start, end = (int(word, 16) for word in name.split("-"))
                    found = start <= address < end
                elif found and name == f"{field}:":
                    return rest
        return []

    @staticmethod
    def smaps(address: int, field: str) -> int:
        """Bytes of a field of /proc/self/smaps, of the mapping at the address."""
        words = Kernel._words(address, field)
        return int(words[0]) * 1024 if words else 0

    @staticmethod
    def flags(address: int) -> list[str]:
        """The VmFlags of the mapping at the address."""
        return Kernel._words(address, "VmFlags")

    @staticmethod
    def vmstat(field: str) -> int:
        with open("/proc/vmstat") as file:
            return next(int(line.split()[1]) for line in file if line.startswith(f"{field} "))

    @staticmethod
    def huge_pages_on_fault() -> bool:
        try:
            with open("/sys/kernel/mm/transparent_hugepage/enabled") as file:
                return "[never]" not in file.read()
        except FileNotFoundError:
            return False

    @staticmethod
    def version() -> tuple[int, ...]:
        return tuple(int(word) for word in os.uname().release.split("-")[0].split(".")[:2])


@pytest.fixture
def kernel() -> type[Kernel]:
    return Kernel


@dataclass
class Batch:
    pfns: NDArray[np.int64]
    orders: NDArray[np.uint8]


@pytest.fixture
def batch() -> Callable[..., Batch]:
    """Makes a batch of (pfn, order) pairs."""

    def make(*blocks: tuple[int, int]) -> Batch:
        return Batch(np.array([pfn for pfn, _ in blocks], np.int64), np.array([order for _, order in blocks], np.uint8))

    return make
