"""Where a guest's RAM lies, and what of it is resident; of a process of ours that stands for a VM."""

import subprocess
import sys

import numpy as np
import pytest

from pagehint.errors import InputError
from pagehint.trace.recorder.residency import HOST_SCHEMA, Sampler
from pagehint.trace.recorder.vmm import RamPart, find_ram, ram_of_tree
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
        (LARGE, [RamPart(0, 1 << 19, 0x7F0000000000), RamPart(1 << 20, 1 << 19, 0x7F0080000000)]),
    ],
)
def test_ram_as_qemu_says(tree, parts):
    assert ram_of_tree(tree, 0x7F0000000000) == parts


def test_no_ram():
    with pytest.raises(InputError, match="no RAM at guest-physical 0"):
        ram_of_tree("nothing", 0)
    with pytest.raises(InputError, match="no process"):
        find_ram(1 << 30)


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
