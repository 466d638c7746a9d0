"""What /proc/zoneinfo and /proc/pagetypeinfo say of a guest's zones."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from pagehint.errors import InputError

__all__ = ["ZoneLayout", "parse_free_counts", "parse_pageblock_order", "parse_zoneinfo"]


@dataclass(frozen=True)
class ZoneLayout:
    """A zone of a guest as /proc/zoneinfo tells it; everything in pages, `pcp_*` per CPU (of the first)."""

    node: int
    name: str
    start_pfn: int
    spanned: int
    present: int
    managed: int
    min: int
    low: int
    high: int
    pcp_high: int | None = None
    pcp_batch: int | None = None
    cpus: int | None = None
    protection: list[int] | None = None

    @property
    def end_pfn(self) -> int:
        """One past the last pfn."""
        return self.start_pfn + self.spanned


_ZONE = re.compile(r"Node (\d+), zone +(\S+)", re.ASCII)
_NUMBER = re.compile(
    r" +(?:pages +)?(free|min|low|high|spanned|present|managed|start_pfn|batch)(?::| ) *(\d+)", re.ASCII
)
_PCP_HIGH = re.compile(r" +high: +(\d+)", re.ASCII)
_CPU = re.compile(r"^ +cpu: +\d+$", re.ASCII | re.MULTILINE)
_PROTECTION = re.compile(r" +protection: \((\d+(?:, \d+)*)\)", re.ASCII)
_FREE_COUNTS = re.compile(r"^Node +(\d+), zone +(\S+), type +(\w+)((?: +\d+)+) *$", re.ASCII | re.MULTILINE)


def parse_zoneinfo(text: str, where: str) -> list[ZoneLayout]:
    """The zones that have pages, of the text of /proc/zoneinfo. Raises InputError; `where` names the file."""
    zones = [zone for zone in _zones(text, where) if zone.spanned]
    if not zones:
        raise InputError(f"{where}: names no zone that has pages: expected a copy of /proc/zoneinfo")
    return zones


def _zones(text: str, where: str) -> Iterator[ZoneLayout]:
    heads = list(_ZONE.finditer(text))
    ends = [head.start() for head in heads[1:]] + [len(text)]
    for head, end in zip(heads, ends, strict=False):
        values: dict[str, int] = {}
        body = text[head.end() : end]
        for line in body.splitlines():
            if (match := _PCP_HIGH.fullmatch(line)) is not None:
                values.setdefault("pcp_high", int(match[1]))
            elif (match := _NUMBER.fullmatch(line)) is not None:
                values.setdefault("pcp_batch" if match[1] == "batch" else match[1], int(match[2]))
        values.pop("free", None)
        if values.get("spanned") == 0:
            values.setdefault("start_pfn", 0)
        missing = {"min", "low", "high", "spanned", "present", "managed", "start_pfn"} - values.keys()
        if missing:
            names = ", ".join(sorted(missing))
            raise InputError(f"{where}: zone {head[2]} of node {head[1]} lacks {names}: expected /proc/zoneinfo")
        protection = _PROTECTION.search(body)
        yield ZoneLayout(
            node=int(head[1]),
            name=head[2],
            **values,
            cpus=len(_CPU.findall(body)) or None,
            protection=None if protection is None else [int(pages) for pages in protection[1].split(",")],
        )


def parse_pageblock_order(text: str) -> int | None:
    """The pageblock order that the text of /proc/pagetypeinfo names."""
    match = re.search(r"^Page block order: (\d+)", text, re.ASCII | re.MULTILINE)
    return None if match is None else int(match[1])


def parse_free_counts(text: str) -> dict[tuple[int, str], dict[str, list[int]]]:
    """For each (node, zone) of the text of /proc/pagetypeinfo: free blocks of each order, by the type's name."""
    counts: dict[tuple[int, str], dict[str, list[int]]] = {}
    for node, zone, kind, numbers in _FREE_COUNTS.findall(text):
        counts.setdefault((int(node), zone), {})[kind] = [int(number) for number in numbers.split()]
    return counts
