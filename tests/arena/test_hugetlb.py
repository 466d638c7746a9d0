"""An arena on hugetlb pages, by the pool's own count."""

from collections.abc import Callable
from pathlib import Path

import pytest

from pagehint import PagehintError
from pagehint.arena import Arena

MIB = 1 << 20
POOL = Path("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages")

needs_pool = pytest.mark.skipif(
    not POOL.exists() or int(POOL.read_text()) < 32, reason="the machine has no 32 free hugetlb pages of 2 MiB"
)


def free_pages() -> int:
    return int(POOL.read_text())


@needs_pool
def test_huge_pages_go_back_to_the_pool(make: Callable[..., Arena], until: Callable[..., bool]) -> None:
    before = free_pages()
    arena = make("64MiB", host="hugetlb", idle="20ms")
    assert arena.page_size == 2 * MIB
    kept = arena.empty(5 * MIB, "u1")
    kept[:] = 1
    arena.empty(40 * MIB, "u1")[:] = 2
    assert arena.stats().resident >= 6 * MIB
    assert until(lambda: arena.stats().resident == 6 * MIB)
    assert free_pages() == before - 3
    assert not arena.zeros(40 * MIB, "u1").any()
    view = arena.share(kept, readonly=True).open()
    assert view.nbytes == 5 * MIB
    assert view[0] == 1
    del view
    arena.close()
    assert (kept == 1).all()
    del kept
    assert until(lambda: free_pages() == before)


def test_more_than_the_pool_has() -> None:
    with pytest.raises(PagehintError, match="raise nr_hugepages"):
        Arena("64TiB", host="hugetlb")
