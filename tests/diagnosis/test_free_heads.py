"""Page maps with BUDDY on first pages only, made of real ones: what is free is found again, or said to be in doubt."""

import gzip
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from pagehint.diagnosis.examine import diagnose
from pagehint.diagnosis.free_heads import first_pages_only
from pagehint.diagnosis.page_map import whole_blocks
from pagehint.proc.kpageflags import KPageFlag
from pagehint.proc.zoneinfo import parse_zoneinfo
from tests.diagnosis.conftest import DATA, GUESTS

BUDDY = np.uint64(KPageFlag.BUDDY)


def real(guest: str) -> NDArray[np.uint64]:
    return np.frombuffer(gzip.decompress((DATA / guest / "kpageflags.u64.gz").read_bytes()), "<u8")


def first_pages(flags: NDArray[np.uint64]) -> tuple[NDArray[np.uint64], dict[int, int]]:
    free = (flags & BUDDY) != 0
    covered = np.zeros(len(free), np.bool_)
    orders = {}
    for order, blocks in reversed(list(enumerate(whole_blocks(free, 0, 10)))):
        for start in (np.flatnonzero(blocks) << order).tolist():
            if not covered[start]:
                orders[start] = order
                covered[start : start + (1 << order)] = True
    heads = np.zeros(len(free), np.bool_)
    heads[list(orders)] = True
    return np.where(free & ~heads, np.uint64(0), flags), orders


# Of one moment, which the snapshot's own is not.
def buddyinfo(guest: str, orders: dict[int, int]) -> str:
    rows = []
    for zone in parse_zoneinfo((DATA / guest / "zoneinfo.txt").read_text(), "zoneinfo"):
        begin = zone.start_pfn or 0
        inside = [order for pfn, order in orders.items() if begin <= pfn < begin + (zone.spanned or 0)]
        rows.append(f"Node {zone.node}, zone {zone.name} " + " ".join(str(inside.count(order)) for order in range(11)))
    return "\n".join(rows) + "\n"


@pytest.mark.parametrize("guest", GUESTS)
def test_with_buddyinfo_nearly_all_is_as_with_every_page_marked(guest: str, tmp_path: Path) -> None:
    marked, orders = first_pages(real(guest))
    (tmp_path / "kpageflags").write_bytes(marked.tobytes())
    (tmp_path / "buddyinfo").write_text(buddyinfo(guest, orders))
    others = [DATA / guest / "zoneinfo.txt", DATA / guest / "meminfo.txt", tmp_path / "buddyinfo"]
    found = diagnose([tmp_path / "kpageflags", *others])
    whole = diagnose([DATA / guest / "kpageflags.u64.gz", *others])
    assert any("first page of each free block" in line for line in found.warnings)
    for name, size in whole.free_resident.items():
        assert abs(found.free_resident[name].best - size.best) <= 4 << 20, name
    # Which of two blocks is the smaller one, counts do not tell.
    for order in (0, 4, 9):
        assert abs(found.would_bring["reporting"][order].best - whole.would_bring["reporting"][order].best) <= 8 << 20


def test_without_counts_it_says_what_it_takes_for_granted(tmp_path: Path) -> None:
    marked, _ = first_pages(real("press61"))
    (tmp_path / "kpageflags").write_bytes(marked.tobytes())
    found = diagnose(tmp_path / "kpageflags")
    assert any("some may be the kernel's" in line for line in found.warnings)
    whole = diagnose([DATA / "press61" / "kpageflags.u64.gz"])
    for name, size in whole.free_resident.items():
        assert abs(found.free_resident[name].best - size.best) <= 16 << 20, name


@pytest.mark.parametrize("guest", GUESTS)
def test_real_maps_mark_every_page(guest: str) -> None:
    assert first_pages_only(real(guest), 10, None) is False


def test_single_free_pages_among_the_kernels_can_be_told_only_by_counts(tmp_path: Path) -> None:
    flags = np.zeros(4096, np.uint64)
    flags[np.arange(0, 4096, 2)] = BUDDY
    assert first_pages_only(flags, 10, None) is None
    assert first_pages_only(flags, 10, 2048) is False
    assert first_pages_only(flags, 10, 4096) is True
    assert first_pages_only(flags, 10, 2300, 2040) is True
    assert first_pages_only(flags, 10, 2048, 2048) is False
    (tmp_path / "kpageflags").write_bytes(flags.tobytes())
    assert any("can't be told" in line for line in diagnose(tmp_path / "kpageflags").warnings)


def test_buddyinfo_tells_without_zoneinfo_too(tmp_path: Path) -> None:
    flags = np.zeros(4096, np.uint64)
    flags[np.arange(0, 4096, 4)] = BUDDY
    files = tmp_path / "kpageflags", tmp_path / "buddyinfo"
    files[0].write_bytes(flags.tobytes())
    for row, free in (("1024 0", 4), ("0 1024", 8), ("900 124", 4.484375)):
        files[1].write_text(f"Node 0, zone Normal {row} 0 0 0 0 0 0 0 0 0\n")
        found = diagnose(files)
        assert found.would_bring["reporting"][0].most == free * (1 << 20)
        assert not any("can't be told" in line for line in found.warnings)
    marked, orders = first_pages(real("press61"))
    files[0].write_bytes(marked.tobytes())
    files[1].write_text(buddyinfo("press61", orders))
    found, whole = diagnose(files), diagnose([DATA / "press61" / "kpageflags.u64.gz"])
    assert any("buddyinfo's counts decide" in line for line in found.warnings)
    assert found.would_bring["reporting"][0] == whole.would_bring["reporting"][0]
