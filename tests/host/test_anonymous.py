import ctypes
import errno
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from pagehint.errors import InputError
from pagehint.host.anonymous import AnonymousHost
from pagehint.host.backing import Backing

MIB = 1 << 20
libc = ctypes.CDLL(None, use_errno=True)
Batches = Callable[..., Any]


def test_locked_pages_cannot_be_given_back(batch: Batches) -> None:
    host = AnonymousHost("8MiB")
    data = np.frombuffer(host.view(0, host.size), np.uint8)
    data[:] = 5
    locked = ctypes.c_void_p(host.address + 4 * MIB), ctypes.c_size_t(64 << 10)
    assert libc.mlock(*locked) == 0
    with pytest.raises(OSError, match="madvise: Invalid argument") as raised:
        host.react(batch((1024, 9)))
    assert raised.value.errno == errno.EINVAL
    assert (data == 5).all()
    assert host.resident() == 8 * MIB
    libc.munlock(*locked)
    host.react(batch((1024, 9)))
    assert host.resident() == 6 * MIB
    host.close()


def test_given_back_lazily(batch: Batches, kernel: Any) -> None:
    host = AnonymousHost("8MiB", give_back="free")
    data = np.frombuffer(host.view(0, host.size), np.uint8)
    data[:] = 5
    host.react(batch((0, 10)))
    assert not host.reads_zero
    assert host.resident() == 8 * MIB  # the kernel is not short of memory
    batched = 2 * 31 * 4096  # each CPU marks up to 31 pages later
    assert 4 * MIB - batched <= kernel.smaps(host.address, "LazyFree") <= 4 * MIB
    data[:MIB] = 6
    assert 3 * MIB - batched <= kernel.smaps(host.address, "LazyFree") <= 3 * MIB
    assert (data[:MIB] == 6).all()
    host.close()


def test_address_is_aligned_to_a_huge_page() -> None:
    hosts = [AnonymousHost(size) for size in (4096, "1MiB", "3MiB", "12KiB")]
    assert [host.address % (2 * MIB) for host in hosts] == [0] * 4


def test_no_address_space_left() -> None:
    code = (
        "import resource\n"
        "from pagehint.host.anonymous import AnonymousHost\n"
        "resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))\n"
        "try: AnonymousHost('64GiB')\n"
        "except OSError as error: print(error.errno)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ)
    assert done.stdout.strip() == str(errno.ENOMEM)


def test_bad_input() -> None:
    with pytest.raises(InputError, match="'sometime' is not a way to give memory back"):
        AnonymousHost("1MiB", give_back="sometime")  # type: ignore[arg-type]


def test_the_model_backs_as_this_kernel_does(batch: Batches, kernel: Any) -> None:
    """Random touches and discards of all sizes, of memory with huge pages: the model is right for every page."""
    if not kernel.huge_pages_on_fault():
        pytest.skip("the machine has no transparent huge pages")
    if kernel.version() < (6, 14):
        pytest.skip("the kernel keeps the page tables of memory given back")
    disturbed = ("thp_fault_fallback", "thp_collapse_alloc")
    areas = 8
    rng = np.random.default_rng(7)
    compared = 0
    for _ in range(20):
        host, model = AnonymousHost(areas * 2 * MIB, hugepages=True), Backing(areas * 512, "THP")
        pages = np.frombuffer(host.view(0, host.size), np.uint8).reshape(-1, 4096)
        before = [kernel.vmstat(name) for name in disturbed]
        different = 0
        for _ in range(100):
            order = int(rng.choice([0, 3, 6, 8, 9, 9, 9, 10]))
            pfn = int(rng.integers(0, areas * 512)) >> order << order
            if rng.random() < 0.5:
                pages[pfn : pfn + (1 << order), 0] = 1
                model.touch(pfn, order)
            else:
                host.react(batch((pfn, order)))
                model.discard(pfn, order)
            predicted = np.unpackbits(model.snapshot(), bitorder="little").view(np.bool_)
            different += int((host.resident_map() != predicted).sum())
        if [kernel.vmstat(name) for name in disturbed] == before:  # else the kernel had no huge page, or made one
            assert different == 0
            compared += 1
        host.close()
    assert compared > 0
