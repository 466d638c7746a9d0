"""Long texts of tables that are there again and again, as a loop in a shell leaves them: of each the last counts."""

import re
from collections import deque
from collections.abc import Iterator
from itertools import repeat
from operator import rshift

from pagehint.diagnosis.memory_report import MOST_REPORTS
from pagehint.diagnosis.pasted import tells
from pagehint.diagnosis.pieces import pieces_of

__all__ = ["without_repeats"]

_LONG = 4 << 20
_LAST = 1 << 20
_MOST_OF_ZONE = 4 << 20  # of 30,000 CPUs
# A log may begin with a bracket too.
_JSON = re.compile(r"\s*(?:[{\"]|\[\s*[\[{\"'])")
# Of reports in a log, each counts, as far as they are read.
_OF_REPORTS = ("Mem-", "oom-killer", "page alloc", "vmemmap", "vmalloc")
_OF_ZONE = re.compile(r" free:\d{1,19}\s?kB", re.ASCII)
_AROUND = 5  # blocks: of a report
_ZONE = re.compile(r"Node\s{1,9}\d{1,9}(?:, zone\s{1,20}\w{1,20})?", re.ASCII)
# What is behind these means nothing without them.
_HEADING = re.compile(r"Page block order:|Node\s{1,9}0, zone\s{1,20}\w{1,20}[^\w\n]{0,9}$", re.ASCII | re.MULTILINE)
_BARE = str.maketrans("", "", "0123456789 \t\r.,>|")


def without_repeats(text: str) -> str:
    """The text without lines that stand in its last part too, with other figures: most of tables that are often there.

    What follows a zone that isn't in that part stays too, as far as one's own lines may go. Texts of less than 4 MiB,
    kernel's reports and JSON stay as they are. O(length).
    """
    if len(text) < _LONG or _JSON.match(text) is not None:
        return text
    end = text.find("\n", len(text) - _LAST) + 1
    if not tells(text[end:]):
        return text
    start = end
    for heading in _HEADING.finditer(text, max(end - _LAST, 0), end):
        start = heading.start()
    end = text.rfind("\n", 0, start) + 1
    if not end:
        return text
    seen = set().union(*(_kinds(_once(block)) for block in pieces_of(text[end:])))
    zones = set(_ZONE.findall(text, end))
    kept: list[str] = []
    keeps = False
    of_other = 0
    for block, stays in _with_reports(text, end - 1):
        if stays:
            kept.append(block)
            continue
        words = {kind for kind in _kinds(_once(block)) if kind[0]}
        if of_other <= 0 and "Node" not in block and (not words or (not keeps and seen.issuperset(words))):
            kept += [block] if keeps else []
            continue
        for line, kind in zip(block.split("\n"), _kinds(block), strict=True):
            of_other -= len(line) + 1
            if "Node" in line and (zone := _ZONE.search(line)) is not None:
                of_other = 0 if zone[0] in zones else _MOST_OF_ZONE
            # A row's counts that a mail program broke go with their row.
            keeps = of_other > 0 or (kind not in seen if kind[0] else keeps)
            if keeps:
                kept.append(line)
    return "\n".join([*kept, text[end:]])


# The text's blocks up to its end, and whether a report may be there: of the first that are read.
def _with_reports(text: str, end: int) -> Iterator[tuple[str, bool]]:
    waiting: deque[str] = deque()
    after = reports = 0
    for block in pieces_of(text, end):
        waiting.append(block)
        if reports <= MOST_REPORTS and _has_report(block):
            reports += block.count("Mem-Info") + block.count("Mem-info")
            after = len(waiting) + _AROUND
        if len(waiting) > _AROUND:
            yield waiting.popleft(), after > 0
            after -= 1
    for block in waiting:
        yield block, after > 0
        after -= 1


def _has_report(block: str) -> bool:
    return any(word in block for word in _OF_REPORTS) or (" free:" in block and _OF_ZONE.search(block) is not None)


# Of a text with short lines most are there again.
def _once(block: str) -> str:
    return "\n".join(set(block.split("\n")))


# Of each line, without its figures; a row of them is longer than a heading.
def _kinds(block: str) -> Iterator[tuple[str, int]]:
    bare = block.translate(_BARE).split("\n")
    return zip(bare, map(rshift, map(len, block.split("\n")), repeat(4)), strict=False)
