from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from pagehint.errors import InputError
from pagehint.host.costs import Costs
from pagehint.host.model import ModelHost

COSTS = Costs(
    react_call=1_000_000_000,
    discard_block=10_000_000,
    discard_4kib=3,
    discard_2mib=5_000,
    fault_exit=100,
    fault_4kib=7,
    fault_2mib=9_000,
    swap_out=11,
    swap_in=13,
)


def test_what_it_costs(batch: Callable[..., Any]) -> None:
    host = ModelHost("THP", COSTS)
    host.start(4096)
    host.backing.touch(0, 11)  # four areas, whole
    host.backing.touch(0, 3)
    blocks = batch((0, 9), (512, 4), (2048, 9), (1024, 10))
    time = 1_000_000_000 + 4 * 10_000_000 + 16 * 3 + 3 * 5_000
    assert host.react_time(blocks) == time
    host.react(blocks)
    assert host.react_time(blocks) == 1_000_000_000 + 4 * 10_000_000
    done = host.statistics()
    assert done.device_time == time
    assert (done.calls, done.blocks, done.empty_blocks, done.splits) == (1, 4, 1, 1)
    assert done.given_back == 512 + 16 + 1024
    assert done.resident == 2048 - done.given_back
    host.backing.touch(0, 10)  # a whole area and 16 pages again, and
    host.backing.touch(2048, 0)  # an area that never was
    done = host.statistics()
    assert (done.faults_4kib, done.refaults_4kib) == (16, 16)
    assert (done.faults_2mib, done.refaults_2mib) == (4 + 1 + 1, 1)
    assert done.fault_time == 16 * 107 + 6 * 9_100
    assert done.refault_time == 16 * 107 + 9_100
    assert done.swap_time == 0


def test_react_time_is_the_time_of_react(batch: Callable[..., Any]) -> None:
    for page_size in ("4KiB", "2MiB", "THP"):
        host = ModelHost(page_size, COSTS)
        host.start(10_000, np.random.default_rng(3).random(10_000) < 0.5)
        told = 0
        for blocks in (batch((0, 4)), batch((0, 9), (1024, 3), (8192, 10)), batch(), batch((9728, 9), (4096, 12))):
            told += host.react_time(blocks)
            host.react(blocks)
            assert host.statistics().device_time == told


def test_khugepaged_backs_areas_of_which_a_part_is_backed(batch: Callable[..., Any]) -> None:
    host = ModelHost("THP", COSTS, khugepaged=True)
    host.start(20 * 512)
    for area in (2, 9, 12):
        host.backing.touch(area * 512, 9)
    host.react(batch((2 * 512, 0), (9 * 512, 8), (12 * 512, 9)))
    # 8 areas at a time, round and round; what was given back whole stays so.
    assert [host.collapse() for _ in range(4)] == [1, 256, 0, 0]
    done = host.statistics()
    assert (done.resident, done.collapsed, done.refaults_4kib) == (1024, 257, 0)
    with pytest.raises(InputError, match="khugepaged makes huge pages of a THP host's small ones"):
        ModelHost("4KiB", khugepaged=True)


def test_overcommit(batch: Callable[..., Any]) -> None:
    host = ModelHost("4KiB", COSTS, memory="4MiB")
    host.start(4096)
    host.backing.touch(0, 11)
    done = host.statistics()
    assert (done.resident, done.swapped, done.swapped_out) == (1024, 1024, 1024)
    host.backing.touch(0, 9)  # back from swap; the hand is at the third area
    done = host.statistics()
    assert (done.resident, done.swapped, done.swapped_out, done.swapped_in) == (1024, 1024, 1536, 512)
    assert (done.faults_4kib, done.refaults_4kib) == (2048, 0)
    assert done.swap_time == 1536 * 11 + 512 * 13
    host.react(batch((512, 9)))  # in swap: freed, but the host's memory stays as it is
    done = host.statistics()
    assert (done.given_back, done.empty_blocks, done.swapped) == (0, 0, 512)


def test_giving_back_spares_swapping(batch: Callable[..., Any]) -> None:
    swapped = {}
    for hinting in (False, True):
        host = ModelHost("THP", COSTS, memory="8MiB")
        host.start(8192)
        for pfn in range(0, 8192, 512):
            host.backing.touch(pfn, 9)
            if hinting:
                host.react(batch((pfn, 9)))
        swapped[hinting] = host.statistics().swapped_out
    assert swapped == {False: (16 - 4) * 512, True: 0}


def test_start_is_a_new_guest(batch: Callable[..., Any]) -> None:
    host = ModelHost()
    host.start(512)
    host.backing.touch(0, 9)
    host.react(batch((0, 9)))
    host.start(1024, np.ones(1024, np.bool_))
    done = host.statistics()
    assert (done.resident, done.calls, done.blocks, done.given_back, done.device_time) == (1024, 0, 0, 0, 0)


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: ModelHost("1GiB"), "'1GiB' is not a page size of a host: expected one of 4KiB, 2MiB, THP"),
        (lambda: ModelHost(capacity=0), "a device's capacity 0: expected 1 to"),
        (lambda: ModelHost(capacity=1.5), "a device's capacity 1.5: expected 1 to"),
        (lambda: ModelHost(costs=5), "costs 5: expected Costs"),
        (lambda: ModelHost("THP", khugepaged="no"), "khugepaged 'no': expected True or False"),
        (lambda: ModelHost(memory=int), "<class 'int'> is not a size"),
        (lambda: ModelHost(memory="1MiB"), "256 pages are too little memory"),
        (lambda: ModelHost(memory="lots"), "'lots' is not a size"),
        (lambda: ModelHost("2MiB", memory="1GiB"), "huge pages are not swapped"),
        (lambda: ModelHost().backing, "start(pages) comes first"),
        (lambda: ModelHost().start(0), "a guest's pages 0: expected 1"),
        (lambda: ModelHost().start(512, np.ones(5, np.bool_)), "bool of shape (5,): expected bool of shape (512,)"),
        (lambda: Costs(fault_4kib=-1), "the cost fault_4kib is -1 ns"),
        (lambda: Costs(swap_in=float("nan")), "the cost swap_in is nan ns"),
    ],
)
def test_bad_input(make: Callable[[], object], text: str) -> None:
    with pytest.raises(InputError) as raised:
        make()
    assert text in str(raised.value)
    assert "\n" not in str(raised.value)
