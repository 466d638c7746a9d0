"""Where a guest's RAM lies, and what of it is resident; of a process of ours that stands for a VM."""

import mmap
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pagehint.errors import InputError
from pagehint.trace.host_file import HOST_SCHEMA
from pagehint.trace.recorder.residency import Sampler
from pagehint.trace.recorder.vmm import RamPart, _memory_option, find_log, find_ram, ram_of_qmp, ram_of_tree
from pagehint.trace.tables import open_parquet

SMALL = """
FlatView #1
 AS "memory", root: system
  0000000000000000-000000000009ffff (prio 0, ram): pc.ram
  00000000000a0000-00000000000bffff (prio 1, i/o): vga-lowmem
  00000000000c0000-00000000000fffff (prio 0, rom): pc.ram @00000000000c0000
  0000000000100000-000000000fffffff (prio 0, ram): pc.ram @0000000000100000
  00000000fffc0000-00000000ffffffff (prio 0, rom): pc.bios
"""
LARGE = """
  0000000000000000-000000007fffffff (prio 0, ram): pc.ram
  00000000fffc0000-00000000ffffffff (prio 0, rom): pc.bios
  0000000100000000-000000017fffffff (prio 0, ram): pc.ram @0000000080000000
"""

NODES = """
  0000000000000000-00000000000bffff (prio 0, ram): m0
  00000000000c0000-00000000000dffff (prio 1, rom): pc.rom
  0000000000100000-000000001fffffff (prio 0, ram): m0 @0000000000100000
  0000000020000000-000000003fffffff (prio 0, ram): /objects/m1
  00000000c0000000-00000000c0ffffff (prio 1, ram): vga.vram
  0000000100000000-000000010fffffff (prio 0, ram): d0
"""

VM = """
import mmap, sys
ram = mmap.mmap(-1, 64 << 20)
ram.madvise(mmap.MADV_NOHUGEPAGE)
for page in range(0, 1000, 2):
    ram[page * 4096] = 1
print("ready", flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize(
    ("tree", "parts"),
    [
        (SMALL, [RamPart(0, 65536, 0x7F0000000000)]),
        (LARGE, [RamPart(0, 1 << 19, 0x7F0000000000), RamPart(1 << 20, 1 << 19, 0x7F0100000000)]),
        (
            NODES,
            [
                RamPart(0, 1 << 17, 0x7F0000000000),
                RamPart(1 << 17, 1 << 17, 0x7F0020000000),
                RamPart(1 << 20, 1 << 16, 0x7F0100000000),
            ],
        ),
    ],
)
def test_ram_as_qemu_says(tree, parts):
    """Of a guest of several nodes, or with memory that was plugged, the first backend alone was watched."""
    assert ram_of_tree(tree, ["m0", "m1", "d0"], lambda place: 0x7F0000000000 + place) == parts


@pytest.mark.parametrize(
    "row",
    [
        "ffffffffffff0000-0000000000000000 (prio 0, ram): m1",
        "0000000100000000-000000010000ffff (prio 0, ram): m1\n  0000000000000000-ffffffffffffffff (prio 0, ram): m1",
        "0000800000000000-000080000fffffff (prio 0, ram): m1",
    ],
)
def test_ram_where_no_guest_has_any(row):
    """Who listens may say anything: ranges that run backwards made up for too much elsewhere."""
    tree = f"\n  0000000000000000-000000000fffffff (prio 0, ram): m0\n  {row}\n"
    with pytest.raises(InputError, match="expected it below 4 TiB"):
        ram_of_tree(tree, {"m1"}, int)


@pytest.mark.parametrize(
    "spans",
    [
        [(0, 100)],
        [(0, 1 << 26), ((1 << 27) + 5, (1 << 27) + 4096)],
        [(0, 1 << 26), (1 << 25, 1 << 27)],
    ],
    ids=["part of a page", "no page's begin", "twice"],
)
def test_ram_that_no_machine_has(spans):
    """It was watched as 0 B, or counted twice."""
    rows = [f"  {begin:016x}-{end - 1:016x} (prio 0, ram): m{number}" for number, (begin, end) in enumerate(spans)]
    with pytest.raises(InputError, match="which no machine has"):
        ram_of_tree("\n".join(rows), ["m1"], int)


class _LyingQmp:
    pid = os.getpid()

    def __init__(self, address):
        self._address = address

    def execute(self, command):
        return []

    def human(self, line):
        ram = f"  {0:016x}-{(32 << 20) - 1:016x} (prio 0, ram): pc.ram\n"
        return ram if "mtree" in line else f"Host virtual address for 0x0 (pc.ram) is {self._address:#x}"


def test_ram_where_its_process_has_none():
    """It counted as not resident, or ended in a traceback."""
    with mmap.mmap(-1, 32 << 20) as memory:
        memory.madvise(mmap.MADV_NOHUGEPAGE, 8 << 20, 8 << 20)  # in three mappings: one is as good
        address = np.frombuffer(memory, np.uint8).ctypes.data
        assert ram_of_qmp(_LyingQmp(address)) == [RamPart(0, 32 << 8, address)]
        for other in (0, 1 << 63):
            with pytest.raises(InputError, match="is it another's"):
                ram_of_qmp(_LyingQmp(other))


def test_no_ram():
    with pytest.raises(InputError, match="no RAM at guest-physical 0"):
        ram_of_tree("nothing", [], int)
    with pytest.raises(InputError, match="no process"):
        find_ram(1 << 30)


VMM = """
import ctypes, mmap, os, sys
libc = ctypes.CDLL(None)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
libc.mprotect.argtypes = libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
def ram(size):
    at = libc.mmap(None, size + 8192, 0, 0x4000 | mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, -1, 0) + 4096
    libc.mprotect(at, size, 3)
    return at
def file(size):
    memory = os.memfd_create("ram")
    os.ftruncate(memory, size)
    return libc.mmap(None, size, 3, mmap.MAP_SHARED, memory, 0)
{layout}
print(*found, flush=True)
sys.stdin.read()
"""
GIB = 1 << 30
ABOVE = 1 << 20


def ram_of_layout(layout, name="vmm"):
    """(first pfn, bytes, address) of each part, and the addresses that the process says."""
    with subprocess.Popen(
        [name, "-c", VMM.format(layout=layout)],
        executable=sys.executable,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        said = [int(word) for word in process.stdout.readline().split()]
        found = [(part.pfn, part.pages << 12, part.address) for part in find_ram(process.pid)]
        process.stdin.close()
    return found, said


def test_ram_that_advice_splits():
    """The largest of three pieces was watched; or what a compiler writes its code to, which is larger."""
    code = "; code = mmap.mmap(-1, 1 << 27, prot=7)"
    layout = f"found = [ram(96 << 20)]; libc.madvise(found[0] + (32 << 20), 16 << 20, 15){code}"
    found, (address,) = ram_of_layout(layout)
    assert found == [(0, 96 << 20, address)]


def test_ram_of_a_shared_file_that_advice_splits():
    found, (address,) = ram_of_layout("found = [file(96 << 20)]; libc.madvise(found[0] + (32 << 20), 16 << 20, 15)")
    assert found == [(0, 96 << 20, address)]


@pytest.mark.parametrize("low", [3 * GIB, 0xD0000000])
def test_ram_below_and_above_4_gib(low):
    found, (first, second) = ram_of_layout(f"found = [ram({low}), ram({5 * GIB})]")
    assert found == [(0, low, first), (ABOVE, 5 * GIB, second)]


def test_two_parts_of_ram_of_one_size():
    """One of them alone was watched."""
    found, (first, second) = ram_of_layout(f"found = [ram({3 * GIB}), ram({3 * GIB})]")
    assert found == [(0, 3 * GIB, first), (ABOVE, 3 * GIB, second)]


def test_two_parts_of_ram_in_one_mapping():
    """It was taken for RAM without a hole, and then refused as another guest's."""
    layout = f"at = ram({5 * GIB}); found = [at + {2 * GIB}, at]"
    found, (first, second) = ram_of_layout(layout, "cloud-hypervisor")
    assert found == [(0, 3 * GIB, first), (ABOVE, 2 * GIB, second)]


LOGGING = """
import ctypes, mmap, sys
ram = mmap.mmap(-1, 64 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
ram.madvise(mmap.MADV_HUGEPAGE)
ram[:] = bytes(len(ram))
print("ready", ctypes.addressof(ctypes.c_char.from_buffer(ram)), flush=True)
sys.stdin.read()
"""


def test_discards_that_qemu_logs_and_huge_pages(tmp_path):
    """A process that stands for QEMU: its option -D says where it logs, and what was there before is not read."""
    log = tmp_path / "log"
    line = "7@{}.000250:ram_block_discard_range pc.ram@{:#x} + {:#x}: madvise: 1 fallocate: 0 ret: {}\n"
    log.write_text(line.format(1, 1 << 40, 4096, 0))
    with subprocess.Popen(
        [sys.executable, "-c", LOGGING, "-D", "log"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
    ) as process:
        address = int(process.stdout.readline().split()[1])
        part = RamPart(1 << 20, (64 << 20) >> 12, address)
        with Sampler(process.pid, [part], tmp_path / "host.parquet", find_log(process.pid)) as sampler:
            with log.open("a") as file:
                file.write(line.format(9_999_999_999, address, 4096, 0))  # no 64 bits hold such a time in ns
                file.write(line.format(1_795_000_000, address + (2 << 20), 2 << 20, 0))
                file.write(line.format(1_795_000_001, address + (4 << 20), 2 << 20, -22))
                file.write(line.format(1_795_000_002, address + (62 << 20), 4 << 20, 0) + "nonsense\nhalf a li")
            while sampler.discards < 2 or not sampler.bitmaps:
                assert not sampler.wait(0.01)
        process.stdin.close()
    with open_parquet(tmp_path / "host.parquet", HOST_SCHEMA) as file:
        rows = file.read().to_pylist()
    discards = [row for row in rows if row["discarded_pfn"] is not None]
    assert [
        (row["discarded_ns"], row["discarded_pfn"], row["discarded_pages"], row["discarded_ret"]) for row in discards
    ] == [
        (1_795_000_000_000_250_000, (1 << 20) + 512, 512, 0),
        (1_795_000_001_000_250_000, (1 << 20) + 1024, 512, -22),
    ]
    looks = [row for row in rows if row["bits"] is not None]
    assert all(row["thp_collapse_alloc"] is not None and row["swapped_kib"] == 0 for row in looks)
    thp = Path("/sys/kernel/mm/transparent_hugepage/enabled")
    if thp.exists() and "[never]" not in thp.read_text():
        assert looks[0]["huge_kib"] >= 32 << 10


HUGE = """
import mmap, sys
ram = mmap.mmap(-1, 32 << 20, flags=mmap.MAP_SHARED | mmap.MAP_ANONYMOUS | 0x40000)
ram[:] = bytes(len(ram))
print("ready", flush=True)
sys.stdin.read()
"""
MORE_HUGE_PAGES = Path("/proc/sys/vm/nr_overcommit_hugepages")


@pytest.mark.skipif(not os.access(MORE_HUGE_PAGES, os.W_OK), reason="huge pages are root's to allow")
def test_ram_of_hugetlb_is_memory_of_its_process(tmp_path):
    """The kernel counts it apart: the process's memory had no steps that a clock could be fitted to."""
    before = MORE_HUGE_PAGES.read_text()
    MORE_HUGE_PAGES.write_text(f"{int(before) + 16}\n")
    try:
        with subprocess.Popen(
            [sys.executable, "-c", HUGE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as process:
            if process.stdout.readline() != "ready\n":
                pytest.skip("no huge pages to be had")
            with Sampler(process.pid, find_ram(process.pid), tmp_path / "host.parquet") as sampler:
                while not sampler.bitmaps:
                    assert not sampler.wait(0.01)
            process.stdin.close()
    finally:
        MORE_HUGE_PAGES.write_text(before)
    with open_parquet(tmp_path / "host.parquet", HOST_SCHEMA) as file:
        row = next(row for row in file.read().to_pylist() if row["bits"] is not None)
    assert row["ram_resident_kib"] == 32 << 10
    assert row["rss_kib"] > row["ram_resident_kib"]


IDLE = "import sys; sys.stdin.read()"


@pytest.mark.parametrize("apart", [False, True], ids=["here", "in a namespace of its own"])
def test_a_log_that_is_named_by_its_process(tmp_path, apart):
    """QEMU puts its own number for %d, which in a container is another one than its host's."""
    before = ["unshare", "--pid", "--fork", "--kill-child"] if apart else []
    if apart and (os.geteuid() != 0 or shutil.which("unshare") is None):
        pytest.skip("only root makes a namespace")
    command = [*before, sys.executable, "-c", IDLE, "-D", str(tmp_path / "log-%d")]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        while apart and not children.read_text():
            assert process.poll() is None
        pid = int(children.read_text()) if apart else process.pid
        # Before it runs the program, a child of unshare has unshare's own command line.
        while Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[:2] != [sys.executable.encode(), b"-c"]:
            assert process.poll() is None
        log = find_log(pid)
        process.stdin.close()
    assert log.name == ("log-1" if apart else f"log-{pid}")


def test_what_is_resident_of_the_largest_mapping(tmp_path):
    with subprocess.Popen(
        [sys.executable, "-c", VM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "ready\n"
        (part,) = find_ram(process.pid)
        assert part.pages >= 64 << 8
        with Sampler(process.pid, [part], tmp_path / "host.parquet") as sampler:
            while not sampler.bitmaps:
                sampler.wait(0.01)
        process.stdin.close()
    with open_parquet(tmp_path / "host.parquet", HOST_SCHEMA) as file:
        row = file.read().filter(file.read()["bits"].is_valid()).to_pylist()[0]
    resident = np.unpackbits(np.frombuffer(row["bits"], np.uint8))[: part.pages]
    # The mapping may be one with a neighbour's: the pattern is somewhere in it.
    pattern = np.flatnonzero(resident)
    first = pattern[0] if len(pattern) == 500 else None
    assert row["ram_resident_kib"] == 4 * len(pattern) >= 2000
    if first is not None:
        assert pattern.tolist() == list(range(first, first + 1000, 2))


@pytest.mark.parametrize(
    ("said", "size"),
    [
        ("512", 512 << 20),
        ("1.5G", 3 << 29),
        ("size=1G,slots=2,maxmem=8G", 1 << 30),
        ("slots=2,maxmem=8G,size=1G", 1 << 30),
        ("1073741824B", 1 << 30),
        ("slots=2", 128 << 20),
        ("0x40000000", None),
    ],
)
def test_how_much_memory_qemu_was_told_of(said, size):
    assert _memory_option([b"qemu-system-x86_64", b"-m", said.encode()]) == size
