"""The system calls: what the kernel does of them, and what it refuses."""

import errno
import mmap
import os
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pagehint.host import libc

PAGE = mmap.PAGESIZE
PAGES = 16


@pytest.fixture
def data() -> NDArray[np.uint8]:
    """Private memory of 16 pages, each written to."""
    mapping = mmap.mmap(-1, PAGES * PAGE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | libc.MAP_NORESERVE)
    found = np.frombuffer(mapping, np.uint8)
    found[:] = 7
    return found


def _resident(data: NDArray[np.uint8]) -> list[bool]:
    resident = np.zeros(PAGES, np.uint8)
    libc.mincore(data.ctypes.data, len(data), resident)
    return ((resident & 1) != 0).tolist()


def test_what_is_given_up_is_no_longer_there_and_reads_as_zeros(data: NDArray[np.uint8]) -> None:
    assert _resident(data) == [True] * PAGES
    libc.madvise(data.ctypes.data + 3 * PAGE, 2 * PAGE, mmap.MADV_DONTNEED)
    assert _resident(data) == [page not in (3, 4) for page in range(PAGES)]
    assert data.reshape(PAGES, PAGE).max(axis=1).tolist() == [0 if page in (3, 4) else 7 for page in range(PAGES)]


def test_a_hole_frees_a_files_blocks_and_keeps_its_size() -> None:
    fd = os.memfd_create("test")
    try:
        os.write(fd, b"\x07" * (PAGES * PAGE))
        before = os.fstat(fd)
        libc.punch_hole(fd, 3 * PAGE, 2 * PAGE)
        after = os.fstat(fd)
        assert after.st_size == before.st_size == PAGES * PAGE
        assert (before.st_blocks - after.st_blocks) * 512 == 2 * PAGE
        held = np.frombuffer(os.pread(fd, PAGES * PAGE, 0), np.uint8).reshape(PAGES, PAGE)
        assert held.max(axis=1).tolist() == [0 if page in (3, 4) else 7 for page in range(PAGES)]
        libc.punch_hole(fd, 100 * PAGE, PAGE)  # behind its end there is nothing, and it stays as long as it is
        assert os.fstat(fd).st_size == PAGES * PAGE
    finally:
        os.close(fd)


@pytest.mark.parametrize(
    ("call", "number"),
    [
        (lambda address: libc.madvise(address + 1, PAGE, mmap.MADV_DONTNEED), errno.EINVAL),
        (lambda address: libc.madvise(address, PAGE, 12345), errno.EINVAL),
        (lambda address: libc.madvise(0, PAGE, mmap.MADV_DONTNEED), errno.ENOMEM),
        (lambda address: libc.mincore(address + 1, PAGE, np.zeros(1, np.uint8)), errno.EINVAL),
        (lambda address: libc.mincore(0, PAGE, np.zeros(1, np.uint8)), errno.ENOMEM),
        (lambda address: libc.punch_hole(-1, 0, PAGE), errno.EBADF),
        (lambda address: libc.punch_hole(0, 0, 0), errno.EINVAL),
    ],
)
def test_what_the_kernel_refuses_is_told_with_its_errno(
    data: NDArray[np.uint8], call: Callable[[int], Any], number: int
) -> None:
    with pytest.raises(OSError, match=os.strerror(number)) as raised:
        call(data.ctypes.data)
    assert raised.value.errno == number
    assert (data == 7).all()


def test_the_call_that_does_nothing_touches_nothing(data: NDArray[np.uint8]) -> None:
    libc.nothing(data.ctypes.data, len(data), 0)
    libc.nothing(0, PAGE, 0)  # it would be a fault
    assert (data == 7).all()


def test_each_thread_is_told_its_own_errno() -> None:
    def ask(call: Callable[[], None]) -> None:
        for _ in range(2000):
            try:
                call()
            except OSError as error:
                found.append((call, error.errno))

    found: list[tuple[Callable[[], None], int | None]] = []

    def bad_file() -> None:
        libc.punch_hole(-1, 0, PAGE)

    def no_memory() -> None:
        libc.madvise(0, PAGE, mmap.MADV_DONTNEED)

    threads = [threading.Thread(target=ask, args=[call]) for call in (bad_file, no_memory)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4000
    assert set(found) == {(bad_file, errno.EBADF), (no_memory, errno.ENOMEM)}
