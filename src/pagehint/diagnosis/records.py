"""JSON's objects of memory, as the file or the tool prints what they were made of."""

import re
from collections.abc import Iterator

from pagehint.diagnosis.pasted_counters import MEMINFO_NAMES

__all__ = ["KEYS", "as_printed"]

_NAMES = "name", "key", "field", "metric"
_COUNTER = re.compile(r"(?:nr|pg|thp|numa|compact|workingset)_?[a-z]\w{1,60}", re.ASCII)
_OF_VMSTAT = {"nr_free_pages", "pgfault"}  # a zone has no faults
_OF_METRICBEAT = {"actual", "total", "free"}
_FREE_COLUMNS = "total", "used", "free", "shared", "buff_cache", "buffers", "cache", "available"
# jc's objects of free, vmstat, top, buddyinfo and pagetypeinfo, and osquery's of memory_info, by their keys.
_FORMS = {
    ("free_mem", "buffer_mem", "cache_mem"): "swpd free buff cache\n0 {free_mem} {buffer_mem} {cache_mem}",
    ("mem_unit", "mem_total", "mem_free", "mem_used", "mem_buff_cache"): (
        "{mem_unit} Mem : {mem_total} total, {mem_free} free, {mem_used} used, {mem_buff_cache} buff/cache"
    ),
    ("memory_total", "memory_free", "buffers", "cached"): (
        "memory_total memory_free buffers cached\n{memory_total} {memory_free} {buffers} {cached}"
    ),
    ("zone", "node", "free_chunks"): "Node {node}, zone {zone} {free_chunks}",
    ("zone", "node", "type", "free"): "Node {node}, zone {zone}, type {type} {free}",
}
KEYS = {keys[0] for keys in _FORMS} | {"value", "MemFree", "nr_free_pages", "type", "actual", "page_block_order"}
"""What has none of them as a key is no object of memory."""


def as_printed(entry: dict[str, object]) -> str | list[object] | None:
    """What an object says, as lines, or what they are made of; None where it is none of memory. O(size)."""
    if KEYS.isdisjoint(entry):
        return None
    if "value" in entry:
        return _figure(entry)
    if ("MemFree" in entry and "MemTotal" in entry) or entry.keys() >= _OF_VMSTAT:
        named = ((name, _text(value)) for name, value in entry.items())
        return "\n".join(f"{name} {text}" if text.isdigit() else f"{name}: {text}" for name, text in named if text)
    if entry.get("type") == "Mem" and "free" in entry:
        columns = [name for name in _FREE_COLUMNS if name in entry]
        return f"{' '.join(columns)}\nMem: {' '.join(str(entry[name]) for name in columns)}"
    if entry.keys() >= _OF_METRICBEAT:
        return "\n".join(
            f"system.memory.{name}: {entry[name]}" for name in ("total", "free", "cached") if name in entry
        )
    if "page_block_order" in entry:
        return list(_of_types(entry))
    for keys, form in _FORMS.items():
        if entry.keys() >= set(keys) and None not in (texts := [_text(entry[key]) for key in keys]):
            return form.format(**dict(zip(keys, texts, strict=True)))
    return None


# One figure of many: its name, and its unit where there is one.
def _figure(entry: dict[str, object]) -> str | None:
    figure, unit = _text(entry["value"]), entry.get("unit")
    if figure is None or not isinstance(unit, str | None):
        return None
    name = next((entry[key] for key in _NAMES if key in entry), None)
    if name is None:
        return f"{figure} {unit}" if unit and len(entry) == 2 else None
    if not isinstance(name, str) or (name not in MEMINFO_NAMES and _COUNTER.fullmatch(name) is None):
        return None
    return f"{name}: {figure} {unit}" if unit else f"{name} {figure}"


def _of_types(entry: dict[str, object]) -> Iterator[object]:
    yield f"Page block order: {entry['page_block_order']}"
    if "pages_per_block" in entry:
        yield f"Pages per block: {entry['pages_per_block']}"
    yield entry.get("free_pages")


def _text(value: object) -> str | None:
    if isinstance(value, list):
        return " ".join(map(str, value))
    return str(value) if isinstance(value, str | int | float) else None
