"""What all hosts of real memory do, on each of them, by the kernel's figures."""

import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pagehint.errors import InputError, PagehintError
from pagehint.host.anonymous import AnonymousHost
from pagehint.host.mapping import MappedHost
from pagehint.host.shared import MemfdHost

MIB = 1 << 20
KINDS: dict[str, Callable[[int | str], MappedHost]] = {
    "anonymous": AnonymousHost,
    "anonymous-free": lambda size: AnonymousHost(size, give_back="free"),
    "anonymous-huge": lambda size: AnonymousHost(size, hugepages=True),
    "memfd": MemfdHost,
    "memfd-huge": lambda size: MemfdHost(size, hugepages=True),
}
Make = Callable[[int | str], MappedHost]
Batches = Callable[..., Any]


def every(*but: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in but])


@pytest.fixture
def make(kind: str) -> Iterator[Make]:
    hosts: list[MappedHost] = []

    def opened(size: int | str) -> MappedHost:
        hosts.append(KINDS[kind](size))
        return hosts[-1]

    yield opened
    for host in hosts:
        host.close()


def memory(host: MappedHost) -> NDArray[np.uint8]:
    return np.frombuffer(host.view(0, host.size), np.uint8)


@every()
def test_nobody_moves_the_memory(make: Make) -> None:
    """What was set was taken: mincore wrote beyond its answer, and what was given back lay anywhere."""
    host = make("1MiB")
    for name in ("size", "page_size", "address"):
        with pytest.raises(AttributeError):
            setattr(host, name, 1 << 40)
    for size in ("1PiB", "2MiB", 7):
        with pytest.raises(InputError, match="is made once"):
            type(host).__init__(host, size)  # type: ignore[arg-type]
    assert (host.size, len(host.resident_map()), host.resident()) == (MIB, 256, 0)


@every("anonymous-free")
def test_a_batch_comes_back(make: Make, batch: Batches, kernel: Any) -> None:
    host = make("16MiB")
    assert host.resident() == 0
    assert not host.resident_map().any()
    data = memory(host)
    data[:] = 7
    assert host.resident() == 16 * MIB
    host.react(batch((512, 9), (2048, 10), (8, 3)))
    given = np.zeros(4096, np.bool_)
    given[512:1024] = given[2048:3072] = given[8:16] = True
    assert host.resident() == 16 * MIB - given.sum() * 4096
    assert (host.resident_map() == ~given).all()
    assert (kernel.pagemap(host.address, host.size) == ~given).all()
    assert kernel.smaps(host.address, "Rss") >= host.resident()  # it may have merged the mapping with a neighbour
    pages = data.reshape(-1, 4096)
    assert (pages[~given] == 7).all()
    assert (pages[given] == 0).all()
    assert host.reads_zero


@every()
def test_an_empty_batch(make: Make, batch: Batches) -> None:
    make("1MiB").react(batch())


@every()
def test_giving_back_twice_and_what_never_was(make: Make, batch: Batches) -> None:
    host = make("8MiB")
    for _ in range(2):
        host.react(batch((0, 9), (1024, 10)))
    memory(host)[4096] = 1


@every()
def test_far_more_than_memory_can_be_reserved(make: Make, batch: Batches) -> None:
    host = make("256GiB")
    data = memory(host)
    data[-1] = data[0] = 1
    assert 2 * 4096 <= host.resident() <= 4 * MIB
    host.react(batch((0, 9), ((256 << 18) - 512, 9)))
    if host.reads_zero:
        assert host.resident() == 0


@every()
def test_a_block_outside_is_refused_and_nothing_given_back(make: Make, batch: Batches) -> None:
    host = make("4MiB")
    memory(host)[:] = 1
    for block in ((1024, 0), (-1, 0), (512, 10), (0, 11), (0, 60), (0, 64), (1 << 52, 9), ((1 << 63) - 1, 9)):
        with pytest.raises(InputError, match="not in the host's 4 MiB"):
            host.react(batch((0, 9), block))
    assert (memory(host) == 1).all()


@pytest.mark.parametrize("base", [AnonymousHost, MemfdHost])
def test_adjacent_blocks_take_one_call(base: type[Any], batch: Batches) -> None:
    calls: list[tuple[int, int]] = []

    class Watched(base):  # type: ignore[misc]
        def _give_back(self, offset: int, length: int) -> None:
            calls.append((offset, length))
            super()._give_back(offset, length)

    host = Watched("16MiB")
    host.react(batch((1024, 9), (512, 9), (0, 3), (1536, 4), (8, 0)))
    assert calls == [(0, 9 * 4096), (512 * 4096, 1040 * 4096)]
    host.close()


@every()
def test_the_memory_lives_as_long_as_its_views(make: Make, batch: Batches, kernel: Any) -> None:
    host = make("4MiB")
    address = host.address
    part = np.frombuffer(host.view(MIB, MIB), np.uint32)
    part[:] = 0xABCD
    host.close()
    host.close()
    assert (part == 0xABCD).all()
    assert part.ctypes.data == address + MIB
    for use in (lambda: host.react(batch((0, 9))), lambda: host.view(0, 1), host.resident, host.resident_map):
        with pytest.raises(PagehintError, match="is closed"):
            use()
    assert kernel.smaps(address + MIB, "Size") > 0
    del part
    assert kernel.smaps(address + MIB, "Rss") == 0


@every("anonymous-free", "anonymous-huge", "memfd-huge")
def test_closing_while_it_reacts(make: Make, batch: Batches) -> None:
    """Each react is done or tells that the host is closed; what is mapped at the same address next is not freed."""
    blocks = batch(*((pfn, 9) for pfn in range(0, 16384, 1024)))
    for _ in range(20):
        host = make("64MiB")
        failures: list[BaseException] = []

        def react(host: MappedHost = host, failures: list[BaseException] = failures) -> None:
            try:
                while True:
                    host.react(blocks)
            except BaseException as error:
                failures.append(error)

        thread = threading.Thread(target=react)
        memory(host)[::4096] = 1
        thread.start()
        time.sleep(0.001)
        host.close()
        other = make("64MiB")
        memory(other)[:] = 9
        thread.join()
        assert (memory(other) == 9).all()
        assert [type(failure) for failure in failures] == [PagehintError]
        other.close()


@every("anonymous-free", "anonymous-huge", "memfd-huge")
def test_others_run_during_a_react(make: Make, batch: Batches) -> None:
    """Threads change only where one lets go of the GIL itself: another one runs during the call, in some try."""
    host = make("256MiB")
    interval, ran = sys.getswitchinterval(), 0
    during: list[int] = []

    def react() -> None:
        before = ran
        host.react(batch((0, 16)))
        during.append(ran - before)

    sys.setswitchinterval(60)
    try:
        while len(during) < 50 and not any(during):
            memory(host)[::4096] = 1
            thread = threading.Thread(target=react)
            thread.start()
            while thread.is_alive():
                ran += 1
                time.sleep(0)
    finally:
        sys.setswitchinterval(interval)
    assert any(during)


@every()
def test_bad_input(make: Make) -> None:
    for size in (0, 4097, "1KiB", -4096, "many"):
        with pytest.raises(InputError, match="is not a size"):
            make(size)
    host = make("1MiB")
    for offset, length in ((-1, 4), (0, MIB + 1), (MIB, 1), (4096, -1)):
        with pytest.raises(InputError, match="are not in the host's 1 MiB"):
            host.view(offset, length)
    assert len(host.view(MIB, 0)) == 0


@pytest.mark.parametrize("base", [AnonymousHost, MemfdHost])
def test_bad_capacity(base: type[Any]) -> None:
    with pytest.raises(InputError, match="a device's capacity 0"):
        base("1MiB", capacity=0)


@pytest.mark.parametrize("huge", [False, True])
@pytest.mark.parametrize("host", [AnonymousHost, MemfdHost])
def test_it_asks_for_small_pages_or_huge_ones(kernel: Any, host: Any, huge: bool) -> None:
    """So it gets no huge pages either where the machine gives them to everybody."""
    mapped = host("8MiB", hugepages=huge)
    flags = kernel.flags(mapped.address)
    assert ("hg" in flags, "nh" in flags) == (huge, not huge)
    mapped.close()
