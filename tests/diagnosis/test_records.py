"""JSON's objects of memory, as jc, osquery and others make them: read as the file or tool that they were made of."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from pagehint.diagnosis.examine import diagnose
from pagehint.diagnosis.records import as_printed

MEMINFO = {"MemTotal": 24684084, "MemFree": 22662808, "Buffers": 18196, "Cached": 1119680, "Active(file)": 403008}
FREE = [
    {"type": "Mem", "total": 24684084, "used": 1018468, "free": 22662808, "shared": 8872, "buff_cache": 1305416,
     "available": 23665616},
    {"type": "Swap", "total": 0, "used": 0, "free": 0},
]  # fmt: skip
VMSTAT = [
    {"runnable_procs": 7, "virtual_mem_used": 0, "free_mem": 22676288, "buffer_mem": 18216, "cache_mem": 1287632,
     "timestamp": None},
    {"runnable_procs": 6, "virtual_mem_used": 0, "free_mem": 22662808, "buffer_mem": 18216, "cache_mem": 1287632,
     "timestamp": None},
]  # fmt: skip
TOP = [{"time": "21:15:49", "mem_unit": "KiB", "mem_total": 24684084, "mem_free": 22662808, "mem_used": 823600,
        "mem_buff_cache": 1278100, "swap_unit": "KiB", "swap_total": 0.0, "processes": [{"pid": 1}]}]  # fmt: skip
OSQUERY = {"memory_total": 24684084 << 10, "memory_free": 22662808 << 10, "buffers": 18196 << 10, "cached": 1 << 30}
_BAR = "+--------------+-------------+---------+--------+\n"
GOPSUTIL = {"total": 24684084 << 10, "available": 24246382592, "used": 1030119424, "usedPercent": 4.07,
            "free": 22662808 << 10, "buffers": 19574784, "cached": 1432039424}  # fmt: skip


def _figures(form: Callable[[str, int], object]) -> str:
    return json.dumps([form(name, value) for name, value in MEMINFO.items()], indent=2)


TEXTS = {
    "meminfo": json.dumps(MEMINFO),
    "its units apart": json.dumps({name: {"value": value, "unit": "kB"} for name, value in MEMINFO.items()}),
    "in bytes": json.dumps({name: {"value": value << 10, "unit": "B"} for name, value in MEMINFO.items()}),
    "by name and value": _figures(lambda name, value: {"name": name, "value": value}),
    "in words": _figures(lambda name, value: {"key": name, "value": str(value), "unit": "kB"}),
    "in KiB": _figures(lambda name, value: {"field": name, "value": value, "unit": "KiB"}),
    "a line each": "\n".join(json.dumps({"key": name, "value": value}) for name, value in MEMINFO.items()),
    "jc --proc-vmstat": json.dumps({"nr_free_pages": 22662808 >> 2, "nr_zone_active_file": 1, "pgfault": 4}),
    "vmstat by name": json.dumps([{"name": "nr_free_pages", "value": 22662808 >> 2}, {"name": "pgfault", "value": 1}]),
    "jc --free": json.dumps(FREE),
    "jc --free -p, in a shell": f"$ free | jc --free -p\n{json.dumps(FREE, indent=2)}\n$ \n",
    "jc --free, in Markdown": f"Here it is:\n\n```json\n{json.dumps(FREE, indent=2)}\n```\n",
    "jc --vmstat": json.dumps(VMSTAT),
    "jc --vmstat-s": "\n".join(map(json.dumps, VMSTAT)),
    "jc --top": json.dumps(TOP),
    "osquery's JSON": json.dumps([{name: str(value) for name, value in OSQUERY.items()}]),
    "osquery's table": (f"{_BAR}| {' | '.join(OSQUERY)} |\n{_BAR}| {' | '.join(map(str, OSQUERY.values()))} |\n{_BAR}"),
    "osquery's CSV": f"{'|'.join(OSQUERY)}\n{'|'.join(map(str, OSQUERY.values()))}\n",
    "gopsutil": json.dumps(GOPSUTIL),
    "glances, in a shell": f"$ glances --stdout-json mem\n{json.dumps({'mem': {**GOPSUTIL, 'percent': 4.1}})}\n",
    "glances --stdout-csv": f"mem.total,mem.free,mem.percent\n{24684084 << 10},{22662808 << 10},4.1\n",
}


@pytest.mark.parametrize("form", TEXTS)
def test_what_tools_make_of_memory_is_read(tmp_path: Path, form: str) -> None:
    """All but the first were refused as if they told nothing."""
    (tmp_path / "text").write_text(f"{TEXTS[form]}\n")
    assert diagnose(tmp_path / "text").free == 22662808 << 10


def test_blocks(tmp_path: Path) -> None:
    zone = {"node": 0, "zone": "DMA32", "free_chunks": [2, 1, 4, 2, 5, 4, 4, 4, 5, 3, 751]}
    (tmp_path / "buddy").write_text(json.dumps([zone, {**zone, "node": 1}], indent=2))
    assert diagnose(tmp_path / "buddy").evidence.buddy == {
        (0, "DMA32"): zone["free_chunks"],
        (1, "DMA32"): zone["free_chunks"],
    }
    kinds = [{"node": 0, "zone": "DMA32", "type": kind, "free": zone["free_chunks"]} for kind in ("Movable", "CMA")]
    types = {"page_block_order": 9, "pages_per_block": 512, "free_pages": kinds, "num_blocks_type": []}
    (tmp_path / "types").write_text(json.dumps(types))
    found = diagnose(tmp_path / "types").evidence.types
    assert (found.pageblock_order, set(found.free[0, "DMA32"])) == (9, {"Movable", "CMA"})
    assert found.free[0, "DMA32"]["CMA"] == zone["free_chunks"]


@pytest.mark.parametrize(
    "entry",
    [
        {"nr_free_pages": 4, "spanned": 5},
        {"name": "MemFree"},
        {"name": "free", "value": 1},
        {"value": [1, 2]},
        {"type": "Mem"},
        {"zone": "Normal"},
        {"memory_total": 1},
        {"name": 1, "value": 1},
        {"value": 3, "unit": 4},
    ],
)
def test_other_objects_are_none_of_memory(entry: dict[str, object]) -> None:
    assert as_printed(entry) is None


def test_of_many_records_that_are_none_a_few_are_tried(tmp_path: Path) -> None:
    """Each may go to the end of the text."""
    text = tmp_path / "text"
    text.write_text("{\n" * 20000 + "MemTotal: 24684084 kB\nMemFree: 22662808 kB\n")
    assert diagnose(text).free == 22662808 << 10
