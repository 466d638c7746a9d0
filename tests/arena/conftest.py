import contextlib
import gc
import resource
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pagehint.arena import Arena
from pagehint.mm.check import check
from tests.host.conftest import Kernel
from tests.limits import HANGS

# Processes that are spawned import what they run by its name.
sys.path.insert(0, str(Path(__file__).parent))


class Until:
    """Waits until the kernel's figure, or another condition, is as expected; false at the deadline.

    Only what hangs waits so long.
    """

    def __call__(self, condition: Callable[[], bool], seconds: float = HANGS) -> bool:
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.002)
        return True


@pytest.fixture
def until() -> Until:
    return Until()


@pytest.fixture
def make() -> Iterator[Callable[..., Arena]]:
    """Makes arenas, which are sound at the end."""
    arenas: list[Arena] = []

    def opened(*arguments: Any, **settings: Any) -> Arena:
        arenas.append(Arena(*arguments, **settings))
        return arenas[-1]

    yield opened
    gc.collect()
    for arena in arenas:
        arena.close()
        arena._worker.stop()  # closing does not wait for it, and the check wants a zone at rest
        assert Until()(lambda arena=arena: not len(arena._leases))
        assert check(arena.pages) == []


@pytest.fixture
def no_threads() -> Callable[[], contextlib.AbstractContextManager[None]]:
    """A context in which no thread can be started: there is no memory for its stack."""

    @contextlib.contextmanager
    def without() -> Iterator[None]:
        before = threading.stack_size(1 << 46)
        try:
            yield
        finally:
            threading.stack_size(before)

    return without


@pytest.fixture
def kernel_faults() -> Callable[[], int]:
    """Page faults of this thread so far."""
    return lambda: resource.getrusage(resource.RUSAGE_THREAD).ru_minflt


@pytest.fixture
def huge_bytes() -> Callable[[int], int]:
    """Bytes of transparent huge pages in the mapping at an address."""
    return lambda address: Kernel.smaps(address, "AnonHugePages")
