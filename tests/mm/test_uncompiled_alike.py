"""The engine gives the same results uncompiled: what the golden files don't reach."""

import shutil
import subprocess
import sys
from pathlib import Path

import pagehint
from tests.limits import HANGS

STORY = """
import numpy as np
import pagehint as ph
from pagehint.mm import buddy

zone = ph.Zone(3000, start_pfn=700, profile=ph.LINUX_6_1)
zone.load(np.arange(3000) // 300 % 2 == 0)
print(zone.nr_free)
zone.free_exact(1000, 300)
for _ in range(2):
    print(pfn := zone.alloc(7), zone.free_exact(pfn + 100, 28))
    print(pfn := zone.alloc(3, 0), zone.free_exact(pfn + 5, 3))
zone.offline(2560, 60)
zone.online(2560, 30)

told = []
class Device:
    capacity = 3
    def react(self, blocks):
        told.append([(block.pfn, block.order) for block in blocks])

clock = ph.VirtualClock()
for design in (ph.PageReporting(order=4), ph.PageHinting(order=5, high_water_mark=1)):
    worker = ph.VirtualWorker(design, [zone], clock)
    worker.start(Device())
    clock.advance(10**10)
    zone.reorder(int(zone.free_list(7, 1)[0]))
    clock.advance(10**10)
    worker.stop()
print(told, zone.nr_hinted)

memory = ph.GuestMemory("32MiB", cpus=2)
blocks = [memory.alloc_pages(order, 0xCC0, cpu=order % 2) for order in (0, 0, 1, 3, 9, 10)]
memory.alloc_contig_range(7300, 600)
for pfn, order in zip(blocks, (0, 0, 1, 3, 9, 10), strict=True):
    memory.free_pages(pfn, order)
print(blocks, memory.counts)
memory.drain_all_pages()
print(ph.buddyinfo(memory.zones), ph.pagetypeinfo(memory.zones))
print([problem for each in (zone, *memory.zones) for problem in ph.check(each)])
"""


def tell(folder: Path) -> tuple[str, str]:
    told = subprocess.run(
        [sys.executable, "-c", STORY + "print(buddy.__file__)"],
        capture_output=True,
        timeout=HANGS,
        check=False,
        text=True,
        env={"PYTHONPATH": str(folder), "PATH": ""},
    )
    assert told.returncode == 0, told.stderr
    story, _, module = told.stdout.strip().rpartition("\n")
    return story, module


def test_ranges_lists_and_both_designs(tmp_path):
    package = Path(pagehint.__file__).parent
    shutil.copytree(package, tmp_path / "pagehint", ignore=shutil.ignore_patterns("*.so", "*.pyd", "__pycache__"))
    story, module = tell(package.parent)
    assert story.endswith("[]")
    assert not module.endswith(".py")
    assert tell(tmp_path) == (story, str(tmp_path / "pagehint" / "mm" / "buddy.py"))
