import errno
import fcntl
import mmap
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pagehint.errors import InputError, PagehintError
from pagehint.host import libc
from pagehint.host.backing import Backing
from pagehint.host.shared import HugetlbHost, MemfdHost

MIB = 1 << 20
F_SEAL_FUTURE_WRITE = 0x10
POOL = Path("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages")
Batches = Callable[..., Any]

needs_pool = pytest.mark.skipif(
    not POOL.exists() or int(POOL.read_text()) < 8, reason="the machine has no 8 free hugetlb pages of 2 MiB"
)


def elsewhere(host: MemfdHost, code: str) -> None:
    """Runs code in another process that has the memory mapped as `m`."""
    code = f"import mmap; m = mmap.mmap({host.fd}, {host.size})\n{code}"
    subprocess.run([sys.executable, "-c", code], pass_fds=[host.fd], check=True)


def test_memory_that_others_use_is_resident(batch: Batches, kernel: Any) -> None:
    host = MemfdHost("8MiB")
    elsewhere(host, "m[:4 << 20] = b'x' * (4 << 20)")
    assert host.resident() == 4 * MIB
    assert host.resident_map()[:1024].all()
    assert not host.resident_map()[1024:].any()
    assert not kernel.pagemap(host.address, host.size).any()
    assert bytes(host.view(0, 3)) == b"xxx"
    host.react(batch((0, 9)))
    assert host.resident() == 2 * MIB
    elsewhere(host, "assert m[:2 << 20] == bytes(2 << 20); assert m[2 << 20] == ord('x')")
    host.close()


def test_a_sealed_file_keeps_its_memory(batch: Batches) -> None:
    host = MemfdHost("8MiB")
    np.frombuffer(host.view(0, host.size), np.uint8)[:] = 3
    fcntl.fcntl(host.fd, fcntl.F_ADD_SEALS, F_SEAL_FUTURE_WRITE)
    with pytest.raises(OSError, match="fallocate: Operation not permitted") as raised:
        host.react(batch((512, 9)))
    assert raised.value.errno == errno.EPERM
    assert host.resident() == 8 * MIB
    assert set(bytes(host.view(0, host.size))) == {3}
    host.close()


def test_nobody_can_cut_it() -> None:
    host = MemfdHost("4MiB")
    for size in (0, 8 * MIB):
        with pytest.raises(PermissionError):
            os.ftruncate(host.fd, size)
    host.close()


def test_madvise_dontneed_frees_no_shared_memory() -> None:
    """Why holes are punched: the call succeeds, and the file has as many pages as before."""
    host = MemfdHost("8MiB")
    np.frombuffer(host.view(0, host.size), np.uint8)[:] = 1
    libc.madvise(host.address, host.size, mmap.MADV_DONTNEED)
    assert host.resident() == 8 * MIB
    host.close()


def test_the_descriptor_is_not_closed_under_a_react() -> None:
    host = MemfdHost("1MiB")
    held = host._open_file()
    fd = host.fd
    host.close()
    assert os.fstat(fd).st_size == MIB
    del held
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)
    with pytest.raises(PagehintError, match="is closed"):
        _ = host.fd


def test_the_model_backs_as_this_kernel_does(batch: Batches) -> None:
    compare(MemfdHost("16MiB"), Backing(4096, "4KiB"), batch)


@needs_pool
def test_the_model_backs_as_hugetlb_does(batch: Batches) -> None:
    compare(HugetlbHost("16MiB"), Backing(4096, "2MiB"), batch)


def compare(host: MemfdHost, model: Backing, batch: Batches) -> None:
    rng = np.random.default_rng(11)
    pages = np.frombuffer(host.view(0, host.size), np.uint8).reshape(-1, 4096)
    for _ in range(1000):
        order = int(rng.choice([0, 3, 6, 8, 9, 9, 9, 10]))
        pfn = int(rng.integers(0, len(pages))) >> order << order
        if rng.random() < 0.5:
            pages[pfn : pfn + (1 << order), 0] = 1
            model.touch(pfn, order)
        else:
            host.react(batch((pfn, order)))
            model.discard(pfn, order)
        assert host.resident() == model.resident * 4096
        predicted = np.unpackbits(model.snapshot(), bitorder="little").view(np.bool_)
        assert (host.resident_map() == predicted).all()
    host.close()


@needs_pool
def test_hugetlb_pages_go_back_to_the_pool(batch: Batches) -> None:
    free = int(POOL.read_text())
    host = HugetlbHost("16MiB")
    data = np.frombuffer(host.view(0, host.size), np.uint8)
    data[:] = 1
    assert host.resident() == 16 * MIB
    assert int(POOL.read_text()) == free - 8
    host.react(batch((512, 8), (768, 8), (2048, 10), (8, 3)))  # two halves, two huge pages, a part that stays
    assert host.resident() == 10 * MIB
    assert int(POOL.read_text()) == free - 5
    assert (data[: 2 * MIB] == 1).all()
    assert (data[2 * MIB : 4 * MIB] == 0).all()
    host.close()
    del data
    assert int(POOL.read_text()) == free


def test_no_hugetlb_pages() -> None:
    with pytest.raises(
        PagehintError, match=r"no 64 TiB of free hugetlb pages of 2 MiB \(.+\): raise nr_hugepages"
    ) as raised:
        HugetlbHost("64TiB")
    assert "\n" not in str(raised.value)
    with pytest.raises(InputError, match="expected a multiple of 2 MiB"):
        HugetlbHost("1MiB")
