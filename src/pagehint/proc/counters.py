"""What /proc/meminfo, /proc/vmstat, /proc/pressure/memory and fs.dentry-state count."""

import re

from pagehint.proc.count import parse_count

__all__ = ["parse_meminfo", "parse_pressure", "parse_unused_names", "parse_vmstat"]

_MEMINFO = re.compile(r"([A-Z][\w()]{0,63}): *(\S+)(?: kB)?", re.ASCII)
_VMSTAT = re.compile(r"([a-z]\w{0,63}) (\d\S*)", re.ASCII)


def parse_meminfo(text: str, where: str) -> dict[str, int]:
    """KiB by name (``"MemFree"``); of ``HugePages_*`` pages. O(length). Raises InputError, which names the line."""
    return _counts(_MEMINFO, text, where)


def parse_vmstat(text: str, where: str) -> dict[str, int]:
    """The counters by name (``"nr_free_pages"``). O(length). Raises InputError, which names the line."""
    return _counts(_VMSTAT, text, where)


def _counts(pattern: re.Pattern[str], text: str, where: str) -> dict[str, int]:
    counts: dict[str, int] = {}
    for line, words in enumerate(text.split("\n"), 1):
        if (match := pattern.fullmatch(words.strip())) is not None:
            counts[match[1]] = parse_count(match[2], where, line)
    return counts


_PRESSURE = re.compile(
    r"\b(some|full) avg10=(\d{1,3}\.\d{1,6}) avg60=(\d{1,3}\.\d{1,6}) avg300=(\d{1,3}\.\d{1,6}) total=\d{1,20}\b",
    re.ASCII,
)


def parse_pressure(text: str) -> dict[str, dict[str, float]]:
    """``some`` and ``full``: the share of time in which some tasks, or all, waited, in % by ``avg10``... O(length)."""
    return {
        match[1]: {
            name: float(value) for name, value in zip(("avg10", "avg60", "avg300"), match.groups()[1:], strict=True)
        }
        for match in _PRESSURE.finditer(text)
    }


_DENTRY_STATE = re.compile(r"\s*(\d{1,15})\s+(\d{1,15})\s+\d{1,15}(?:\s+-?\d{1,15}){3}\s*", re.ASCII)


def parse_unused_names(text: str) -> float | None:
    """The share of the cached names of files (dentries) that nobody uses, of fs.dentry-state's six numbers, or None."""
    match = _DENTRY_STATE.fullmatch(text)
    return min(int(match[2]) / int(match[1]), 1.0) if match is not None and int(match[1]) else None
