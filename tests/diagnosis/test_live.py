"""The doctor's figures against the kernel's own, on this machine."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from pagehint.diagnosis.examine import doctor
from pagehint.diagnosis.live import read_machine
from pagehint.diagnosis.page_map import Holder, PageMap, Range, whole_blocks
from pagehint.diagnosis.zones import ZoneState, zone_states
from pagehint.proc.kpageflags import KPageFlag
from pagehint.proc.pagetypeinfo import parse_buddyinfo

_TRIES = 200
_as_root = pytest.mark.skipif(not os.access("/proc/kpageflags", os.R_OK), reason="/proc/kpageflags needs root")


@pytest.fixture
def extfrag(tmp_path: Path) -> Iterator[Path]:
    usual = Path("/sys/kernel/debug/extfrag")
    if usual.is_dir():
        yield usual
        return
    mounted = subprocess.run(["mount", "-t", "debugfs", "none", tmp_path], capture_output=True, check=False)
    if mounted.returncode or not (tmp_path / "extfrag").is_dir():
        pytest.skip("debugfs can't be mounted here, or has no extfrag")
    try:
        yield tmp_path / "extfrag"
    finally:
        subprocess.run(["umount", tmp_path], check=True)


def buddyinfo() -> dict[tuple[int, str], list[int]]:
    return parse_buddyinfo(Path("/proc/buddyinfo").read_text(), "buddyinfo")


def test_unusable_free_memory_is_the_kernels_own_index(extfrag: Path) -> None:
    checked = set()
    for _ in range(_TRIES):
        before = buddyinfo()
        unusable, index = ((extfrag / name).read_text() for name in ("unusable_index", "extfrag_index"))
        after = buddyinfo()
        for line, other in zip(unusable.splitlines(), index.splitlines(), strict=True):
            words = line.replace(",", " ").split()
            key = int(words[1]), words[3]
            if before[key] != after[key]:
                continue
            zone = ZoneState(*key, counts=before[key])
            free = zone.free_from(0)
            fits = [word == "-1.000" for word in other.split()[4:]]
            for order, word in enumerate(words[4:]):
                larger = zone.free_from(order)
                assert free is not None
                assert larger is not None
                # The kernel rounds down to thousandths, and calls a zone without free pages wholly unusable.
                expected = (free - larger) * 1000 // free if free else 1000
                assert round(float(word) * 1000) == expected
                assert fits[order] == (larger > 0 or not free)
            checked.add(key)
        if len(checked) == len(before):
            break
    assert checked


@_as_root
def test_free_blocks_of_the_map_are_those_of_buddyinfo() -> None:
    checked = set()
    for _ in range(10):
        before = buddyinfo()
        evidence = read_machine()
        after = buddyinfo()
        assert evidence.page_flags is not None
        for zone in zone_states(evidence):
            key = zone.node, zone.name
            if before[key] != after[key] or zone.begin is None or zone.end is None:
                continue
            pages = PageMap(evidence.page_flags, [Range(zone.begin, zone.end)], len(before[key]) - 1)
            free = pages.holders[zone.begin : zone.end] == Holder.FREE
            whole = [int(np.count_nonzero(each)) for each in whole_blocks(free, zone.begin, pages.max_order)]
            counts = [count - 2 * more for count, more in zip(whole, [*whole[1:], 0], strict=True)]
            # Blocks of pageblock order that the kernel does not merge, since their types differ, read as larger ones.
            assert counts[:9] == before[key][:9]
            assert sum(count << order for order, count in enumerate(counts)) == zone_free(before[key])
            checked.add(key)
        if checked:
            break
    assert checked, "no zone stood still"


def zone_free(counts: list[int]) -> int:
    return sum(count << order for order, count in enumerate(counts))


@_as_root
def test_free_and_used_add_up_to_what_the_kernel_says() -> None:
    for _ in range(20):  # the page flags are read after the kernel's sums: others use and free memory between
        found = doctor()
        meminfo = found.evidence.meminfo
        resident = sum(size.best for name, size in found.free_resident.items() if name != "per_cpu")
        total = meminfo["MemTotal"] << 10
        # Not MemFree: there are kernels that count in it what they have not given to the zones yet.
        free_differs = abs(resident - found.evidence.vmstat["nr_free_pages"] * found.evidence.page_size) / total
        slab_differs = abs(found.used_by["slab"].best - (meminfo["Slab"] << 10)) / total
        assert found.to_dict()["would_bring"]["reporting"]["0"] >= found.to_dict()["would_bring"]["reporting"]["9"]
        if free_differs < 0.05 and slab_differs < 0.02:
            return
    pytest.fail(f"free memory differs by {free_differs:.1%} of all, slab by {slab_differs:.1%}")


@_as_root
def test_the_caches_of_slab_are_those_that_meminfo_counts() -> None:
    evidence = read_machine()
    assert "dentry" in evidence.slab_caches
    slab = evidence.meminfo["Slab"] << 10
    assert 0.5 * slab < sum(cache.pages for cache in evidence.slab_caches.values()) * evidence.page_size <= 1.1 * slab


# In a process of its own, whose memory goes with it.
_HUGE = """
import ctypes, mmap, sys
memory = mmap.mmap(-1, 16 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
memory.madvise(mmap.MADV_HUGEPAGE)
for at in range(0, len(memory), 4096):
    memory[at] = 1
with open("/proc/self/pagemap", "rb") as pagemap:
    pagemap.seek(ctypes.addressof(ctypes.c_char.from_buffer(memory)) // 4096 * 8)
    entries = memoryview(pagemap.read(len(memory) // 512)).cast("Q")
for at in range(1 << 20, len(memory) - (1 << 20), 2 << 20):
    memory.madvise(mmap.MADV_DONTNEED, at, 1 << 20)
print(*(entry & (1 << 55) - 1 for entry in entries), flush=True)
sys.stdin.read()
"""


@_as_root
@pytest.mark.skipif(os.sysconf("SC_PAGE_SIZE") != 4096, reason="sizes are those of 4 KiB pages")
def test_parts_of_huge_pages_that_nobody_maps() -> None:
    command = [sys.executable, "-c", _HUGE]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        pfns = np.array(process.stdout.readline().split(), np.int64).reshape(-1, 256)
        found = doctor()
        process.communicate()
    assert found.page_map is not None
    assert found.evidence.page_flags is not None
    # Rows of 1 MiB of the process's memory: those that are unmapped begin at each second one.
    kept, unmapped = pfns[::2].ravel(), pfns[1:-1:2].ravel()
    huge = (found.evidence.page_flags[unmapped] & np.uint64(KPageFlag.THP)) != 0
    if not huge.any():
        pytest.skip("the kernel gives no huge pages here")
    # The kernel may split one while the map is read, and give its free part to others.
    assert np.mean(found.page_map.holders[unmapped[huge]] == Holder.THP_UNMAPPED) > 0.5
    assert Holder.THP_UNMAPPED not in found.page_map.holders[kept]


def test_without_the_page_map_it_says_less() -> None:
    found = doctor(page_map=False)
    assert found.page_map is None
    assert found.next_file is not None
    assert not found.free_resident["below_order"].least < 0


@_as_root
@pytest.mark.parametrize("name", ["zoneinfo", "meminfo", "buddyinfo", "kpageflags", "vmstat"])
def test_files_that_a_container_hides_are_said_to_be_that(name: str) -> None:
    """They read as if there were nothing in them: a map without a page was said to lack zoneinfo."""
    script = (
        "from pagehint.diagnosis.examine import doctor; found = doctor()\n"
        "print(*found.evidence.missing, *found.warnings, sep=chr(10))"
    )
    hidden = ["unshare", "-m", "sh", "-c", f'mount --bind /dev/null /proc/{name} && exec "$0" -c "$1"']
    done = subprocess.run([*hidden, sys.executable, script], capture_output=True, text=True, check=False)
    if "unshare" in done.stderr or "mount" in done.stderr:
        pytest.skip("nothing can be mounted here")
    assert done.returncode == 0, done.stderr
    (line,) = (line for line in done.stdout.splitlines() if line.startswith(f"/proc/{name} "))
    assert line.startswith(f"/proc/{name} is empty (a container may hide it)")
    assert "all pages are taken as one zone" not in done.stdout
