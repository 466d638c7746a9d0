"""Long texts of tables that are there again and again, as a loop in a shell leaves them: of each the last counts."""

import re
from itertools import islice

from pagehint.diagnosis.memory_report import MOST_REPORTS
from pagehint.diagnosis.pasted import blocks_of

__all__ = ["without_repeats"]

_LONG = 4 << 20
_LAST = 1 << 20
_REPORT = 1 << 16
_MOST_OF_ZONE = 4 << 20  # of 30,000 CPUs
# Of reports in a log, each counts, as far as they are read.
_OF_REPORTS = ("Mem-", "oom-killer", "page alloc", "vmalloc", " free:")
_INFO = re.compile("Mem-[Ii]nfo")
_ZONE = re.compile(r"Node\s{1,9}\d{1,9}(?:, zone\s{1,20}\w{1,20})?", re.ASCII)
# What is behind these means nothing without them.
_HEADING = re.compile(r"Page block order:|Node\s{1,9}0, zone\s{1,20}\w{1,20}[^\w\n]{0,9}$", re.ASCII | re.MULTILINE)
_BARE = str.maketrans("", "", "0123456789 \t\r.,>|")


def without_repeats(text: str) -> str:
    """The text without lines that stand in its last part too, with other figures: most of tables that are often there.

    What follows a zone that isn't in that part stays too, as far as one's own lines may go. Texts of less than 4 MiB,
    kernel's reports and JSON stay as they are. O(length).
    """
    if len(text) < _LONG or text.lstrip()[:1] in ("{", "[", '"'):
        return text
    begin = _after_reports(text)
    end = text.find("\n", len(text) - _LAST) + 1
    start = end
    for heading in _HEADING.finditer(text, max(end - _LAST, begin), end):
        start = heading.start()
    end = text.rfind("\n", begin, start) + 1
    if end <= begin:
        return text
    seen = set(map(_kind, text[end:].split("\n")))
    zones = set(_ZONE.findall(text, end))
    kept = [text[:begin]]
    keeps = False
    of_other = 0
    lines = (line for block in blocks_of(text[begin : end - 1]) for line in f"{block}\n".splitlines(keepends=True))
    for line in lines:
        of_other -= len(line)
        if "Node" in line and (zone := _ZONE.search(line)) is not None:
            of_other = 0 if zone[0] in zones else _MOST_OF_ZONE
        kind = _kind(line.removesuffix("\n"))
        # A row's counts that a mail program broke go with their row.
        keeps = of_other > 0 or (kind not in seen if kind[0] else keeps)
        if keeps:
            kept.append(line)
    return "".join([*kept, text[end:]])


def _after_reports(text: str) -> int:
    last = max(text.rfind(word) for word in _OF_REPORTS)
    for info in islice(_INFO.finditer(text), MOST_REPORTS, MOST_REPORTS + 1):
        last = info.start()
    if last < 0:
        return 0
    return text.find("\n", last + _REPORT) + 1 or len(text)


# Without its figures; a row of them is longer than a heading.
def _kind(line: str) -> tuple[str, int]:
    return line.translate(_BARE), len(line) >> 4
