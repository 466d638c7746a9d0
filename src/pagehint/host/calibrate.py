"""Measures on this machine what the modelled host is charged: faults with their zeroing, and giving memory back.

Each figure is the median of some rounds. A fault is the first write to each page of fresh memory less a second write to
the same pages; a page given back is a call on memory that is there less the same call when it is gone; the call itself
is the latter less a call of libc that does nothing. The faults are those of a process. What a guest's faults cost
beyond them, and a batch's way to the device, can't be measured without a guest, nor swap without swap: these keep their
defaults.
"""

import mmap
import time
from collections.abc import Callable
from statistics import median
from typing import Literal, NamedTuple

import numpy as np

from pagehint.errors import InputError
from pagehint.host import libc
from pagehint.host.anonymous import AnonymousHost
from pagehint.host.costs import Costs
from pagehint.host.mapping import HUGE_PAGE, MappedHost
from pagehint.host.shared import MemfdHost
from pagehint.units import shown

__all__ = ["calibrate"]

_ROUNDS = 9
_BYTES = 64 << 20
_BLOCKS = range(0, _BYTES, HUGE_PAGE)  # each is given back by one call


# Nanoseconds: of a fault, of giving a page back, of the call for a block.
class _Round(NamedTuple):
    fault: float
    page: float
    call: float


def calibrate(memory: Literal["anonymous", "memfd"] = "anonymous") -> Costs:
    """The costs of this machine, for memory given back by madvise (anonymous) or by punching holes (memfd).

    Takes about a second. `Costs.measured` names what was measured: costs of 2 MiB are only where the kernel backs this
    kind of memory by huge pages. Raises InputError, OSError.
    """
    if memory not in ("anonymous", "memfd"):
        raise InputError(f"{shown(memory)} can't be calibrated: expected anonymous or memfd")
    small = [_round(memory, mmap.PAGESIZE) for _ in range(_ROUNDS)]
    costs = {
        "fault_4kib": median(one.fault for one in small),
        "discard_4kib": median(one.page for one in small),
        "discard_block": median(one.call for one in small),
    }
    large = [_round(memory, HUGE_PAGE) for _ in range(_ROUNDS)] if _has_huge_pages(memory) else []
    if large:
        costs["fault_2mib"] = median(one.fault for one in large)
        costs["discard_2mib"] = median(one.page for one in large)
    return Costs(**costs, measured=frozenset(costs))


def _open(memory: str, page: int) -> MappedHost:
    kind = AnonymousHost if memory == "anonymous" else MemfdHost
    return kind(_BYTES, hugepages=page == HUGE_PAGE)


def _has_huge_pages(memory: str) -> bool:
    host = _open(memory, HUGE_PAGE)
    np.frombuffer(host.view(0, _BYTES), np.uint8)[::HUGE_PAGE] = 1
    backed = bool(host.resident_map().all())
    host.close()
    return backed


def _round(memory: str, page: int) -> _Round:
    host = _open(memory, page)
    touched = np.frombuffer(host.view(0, _BYTES), np.uint8)[::page]

    def touch() -> None:
        touched[:] = 1

    def give_back() -> None:
        if isinstance(host, MemfdHost):
            fd = host.fd
            for offset in _BLOCKS:
                libc.punch_hole(fd, offset, HUGE_PAGE)
        else:
            address = host.address
            for offset in _BLOCKS:
                libc.madvise(address + offset, HUGE_PAGE, mmap.MADV_DONTNEED)

    def nothing() -> None:
        address = host.address
        for offset in _BLOCKS:
            libc.nothing(address + offset, HUGE_PAGE, 0)

    first, again = _took(touch), _took(touch)
    there, gone = _took(give_back), median(_took(give_back) for _ in range(9))
    base = median(_took(nothing) for _ in range(9))
    host.close()
    return _Round(
        fault=max(0.0, first - again) / len(touched),
        page=max(0.0, there - gone) / len(touched),
        call=max(0.0, gone - base) / len(_BLOCKS),
    )


def _took(work: Callable[[], None]) -> int:
    start = time.perf_counter_ns()
    work()
    return time.perf_counter_ns() - start
