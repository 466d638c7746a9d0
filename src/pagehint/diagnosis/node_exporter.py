"""What Prometheus' node_exporter tells of memory, in its own text format: meminfo and buddyinfo."""

import re

from pagehint.diagnosis.evidence import ZoneKey

__all__ = ["as_proc_lines", "parse_exported_blocks"]

# As promtool prints it too.
_VALUE = r" (?:=> )?(\d{1,20}(?:\.\d{1,20})?(?:e[+][01]\d)?)(?: \d{1,15}| @\[\d{1,12}(?:\.\d{1,9})?\])?"
_MEMINFO = re.compile(r"node_memory_(\w{2,40})_bytes(?:\{[^{}]{0,200}\})?" + _VALUE, re.ASCII)
_BLOCKS = re.compile(r"node_buddyinfo_blocks\{([^{}]{1,400})\}" + _VALUE, re.ASCII)
_OURS = "node_memory_", "node_buddyinfo_"  # zoneinfo has node_unreclaimable
_LABEL = re.compile(r'(node|size|zone)="(\w{1,9})"', re.ASCII)
_INSTANCE = re.compile(r'\binstance="([^"\n]{1,200})"')
_IN_BRACKETS = re.compile(r"_(anon|file)\Z")


def as_proc_lines(lines: list[str]) -> list[str]:
    """The lines as /proc/meminfo has them; others as they are. Of several machines, one's lines after the other's.
    O(length).
    """
    exported = [line for line in lines if line.startswith(_OURS)]
    if not exported:
        return lines
    places = {machine: place for place, machine in enumerate(dict.fromkeys(map(_instance, exported)))}
    exported.sort(key=lambda line: places[_instance(line)])
    return [*(line for line in lines if not line.startswith(_OURS)), *map(_as_proc, exported)]


def _instance(line: str) -> str | None:
    match = _INSTANCE.search(line)
    return None if match is None else match[1]


def _as_proc(line: str) -> str:
    if (match := _MEMINFO.fullmatch(line)) is not None:
        name = _IN_BRACKETS.sub(r"(\1)", match[1])
        return f"{name}: {round(float(match[2])) >> 10} kB"
    return line


def parse_exported_blocks(lines: list[str]) -> dict[ZoneKey, dict[int, int]]:
    """Free blocks by zone and order, of its collector of buddyinfo; of several machines, the last's. O(length)."""
    found: dict[ZoneKey, dict[int, int]] = {}
    rows = [match for match in map(_BLOCKS.fullmatch, lines) if match is not None]
    for match in rows:
        if _instance(match[1]) != _instance(rows[-1][1]):
            continue
        labels = dict(_LABEL.findall(match[1]))
        if labels.keys() == {"node", "size", "zone"} and labels["node"].isdecimal() and labels["size"].isdecimal():
            order = int(labels["size"])
            if order <= 20:
                found.setdefault((int(labels["node"]), labels["zone"]), {})[order] = round(float(match[2]))
    return found
