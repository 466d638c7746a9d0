import errno
import mmap
import time
from typing import Any, Literal

import numpy as np
import pytest

from pagehint.errors import InputError
from pagehint.host import libc
from pagehint.host.anonymous import AnonymousHost
from pagehint.host.calibrate import calibrate
from pagehint.host.costs import Costs
from pagehint.host.shared import MemfdHost

SMALL = {"fault_4kib", "discard_4kib", "discard_block"}
LARGE = {"fault_2mib", "discard_2mib"}


@pytest.mark.parametrize("memory", ["anonymous", "memfd"])
def test_what_was_not_measured_keeps_its_default(memory: Literal["anonymous", "memfd"]) -> None:
    costs, defaults = calibrate(memory), Costs()
    assert costs.measured in (SMALL, SMALL | LARGE)
    for name in ("react_call", "fault_exit", "fault_2mib", "discard_2mib", "swap_out", "swap_in"):
        if name not in costs.measured:
            assert getattr(costs, name) == getattr(defaults, name)
    assert all(getattr(costs, name) > 0 for name in costs.measured)


def test_huge_pages_are_measured_where_the_machine_has_them(kernel: Any) -> None:
    if not kernel.huge_pages_on_fault():
        pytest.skip("the machine has no transparent huge pages")
    costs = calibrate()
    assert costs.measured >= LARGE
    assert costs.fault_2mib < 512 * costs.fault_4kib
    assert costs.discard_2mib < 512 * costs.discard_4kib


@pytest.mark.parametrize("kind", [AnonymousHost, MemfdHost])
def test_the_costs_predict_a_run(kind: type[AnonymousHost] | type[MemfdHost]) -> None:
    """Writing and giving back 128 MiB takes what the costs say, within a factor of 3, in one of some tries."""
    costs = calibrate("anonymous" if kind is AnonymousHost else "memfd")
    pages = 32768
    ratios = []
    for _ in range(5):
        host = kind(pages * mmap.PAGESIZE)
        libc.madvise(host.address, host.size, mmap.MADV_NOHUGEPAGE)
        data = np.frombuffer(host.view(0, host.size), np.uint8)
        start = time.perf_counter_ns()
        data[:: mmap.PAGESIZE] = 1
        touched = time.perf_counter_ns()
        host._give_back(0, host.size)
        given = time.perf_counter_ns()
        ratios.append(
            ((touched - start) / (pages * costs.fault_4kib), (given - touched) / (pages * costs.discard_4kib))
        )
        host.close()
    assert any(1 / 3 < fault < 3 and 1 / 3 < discard < 3 for fault, discard in ratios), ratios


@pytest.mark.parametrize("memory", ["anonymous", "memfd"])
def test_a_kernel_without_huge_pages(memory: Literal["anonymous", "memfd"], monkeypatch: pytest.MonkeyPatch) -> None:
    real = libc.madvise

    def madvise(address: int, length: int, advice: int) -> None:
        if advice in (mmap.MADV_HUGEPAGE, mmap.MADV_NOHUGEPAGE):
            raise OSError(errno.EINVAL, "as such a kernel refuses it")
        real(address, length, advice)

    monkeypatch.setattr(libc, "madvise", madvise)
    assert calibrate(memory).measured >= SMALL


def test_bad_input() -> None:
    with pytest.raises(InputError, match="'tape' can't be calibrated"):
        calibrate("tape")  # type: ignore[arg-type]
