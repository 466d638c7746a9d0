"""What several machines, or tasks of one, wrote to one log in turns."""

import re
from operator import gt, lt

from pagehint.diagnosis.pieces import pieces_of

__all__ = ["by_machine", "by_task", "machines_of"]

# Each count bounded: what is no prefix is tried at each of its first characters.
_TASK = re.compile(
    r"[^\n]{0,80}?(?:\[ {0,12}(?P<s>\d{1,12}\.\d{1,9})\] ?\[ {0,12}"
    r"|\d{1,5},\d{1,20},(?P<us>\d{1,20}),[^;]{0,40}?caller=)(?P<task>[TC]\d{1,10})[\];,]",
    re.ASCII,
)
_MACHINE = re.compile(
    r"(?:<\d{1,3}>(?:1 )?)?(?:(?:\d{4} )?[A-Z][a-z]{2} {1,2}\d{1,2} \d\d:\d\d:\d\d(?:\.\d{1,9})?"
    r"|\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?:Z|[+-]\d\d:?\d\d)?)"
    r" (?P<machine>[\w.:-]{1,80}) kernel\b"
    # Of containers, and of a shell that asks many machines.
    r"|(?P<container>[\w.-]{1,80}) {1,40}\| |(?P<host>[\w.-]{1,80}): \[ {0,12}\d{1,12}\.\d{1,9}\]",
    re.ASCII,
)
# Where a report begins: at its head, or at its block where it has no head.
_REPORT = re.compile(
    r"(?P<info>\bMem-[Ii]nfo:)|\bpage[\s>]+allocation[\s>]+(?:failure|stalls)\b|\bvmalloc[\s>]+error:"
    r"|\bvmemmap[\s>]+alloc[\s>]+failure\b|\binvoked[\s>]+oom-killer:"
)
_OF_REPORTS = "Mem-", "allocation", "vmemmap", "vmalloc", "oom-killer"


def machines_of(text: str) -> list[str]:
    """The names of the machines whose kernels' reports of memory a log gathers, as syslog and journalctl write them.
    O(length).
    """
    lines = (line for block in pieces_of(text) if _report(block) for line in block.split("\n") if _report(line))
    found = filter(None, map(_MACHINE.match, lines))
    return list(dict.fromkeys(map(_name, found)))


def _name(match: re.Match[str]) -> str:
    name: str = next(filter(None, match.groups()))
    return name


def _report(text: str) -> re.Match[str] | None:
    return _REPORT.search(text) if any(word in text for word in _OF_REPORTS) else None


def by_machine(lines: list[str]) -> list[str]:
    """The lines that several machines wrote to one log at one time, each one's together. O(length)."""
    found: dict[str, list[str]] = {}
    machine = ""
    for line in lines:
        match = _MACHINE.match(line)
        machine = machine if match is None else _name(match)
        found.setdefault(machine, []).append(line)
    return [line for each in found.values() for line in each]


def by_task(lines: list[str]) -> list[str]:
    """The lines that tasks print in turns, where each names its task: each report's together, and the reports as they
    began. O(length).
    """
    found = [_TASK.match(line) for line in lines]
    if not any(found):
        return lines
    times = [float(match["s"] or match["us"]) for match in found if match is not None]
    if sum(map(gt, times, times[1:])) > sum(map(lt, times, times[1:])):
        lines, found = lines[::-1], found[::-1]
    reports: list[list[str]] = []
    latest: dict[str, list[str]] = {}
    headed: set[str] = set()
    task = ""
    for line, after, match in zip(lines, [*lines[1:], ""], found, strict=True):
        task = task if match is None else match["task"]
        begins = _report(f"{line}\n{after}")
        if begins is not None and begins.start() > len(line):
            begins = None
        if task not in latest or (begins is not None and not (begins["info"] and task in headed)):
            latest[task] = []
            reports.append(latest[task])
        if begins is not None:
            (headed.discard if begins["info"] else headed.add)(task)
        latest[task].append(line)
    return [line for report in reports for line in report]
