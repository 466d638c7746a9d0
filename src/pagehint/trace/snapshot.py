"""A snapshot of a guest's zones: copies of its own /proc files, and its kpageflags."""

import gzip
import re
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pagehint.errors import InputError
from pagehint.trace.meta import ZoneLayout

__all__ = ["TEXTS", "Snapshot", "parse_pageblock_order", "parse_zoneinfo"]

TEXTS = ("zoneinfo", "pagetypeinfo", "buddyinfo", "meminfo")
"""The /proc files that a snapshot may hold, as NAME.txt."""

_KPAGEFLAGS = "kpageflags.u64.gz"


class Snapshot:
    """A snapshot folder of a bundle.

    `path` is the folder. Any of its files may be missing.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def text(self, name: str) -> str | None:
        """The text of one of TEXTS, such as ``"pagetypeinfo"``; None where the snapshot lacks it."""
        path = self.path / f"{name}.txt"
        return path.read_text(encoding="utf-8", errors="replace") if path.exists() else None

    def zones(self) -> list[ZoneLayout]:
        """The populated zones of zoneinfo; empty where the snapshot lacks it."""
        text = self.text("zoneinfo")
        return [] if text is None else parse_zoneinfo(text, str(self.path / "zoneinfo.txt"))

    def kpageflags(self) -> NDArray[np.uint64] | None:
        """/proc/kpageflags, one u64 per pfn from pfn 0; None where the snapshot lacks it. Raises InputError."""
        path = self.path / _KPAGEFLAGS
        if not path.exists():
            return None
        try:
            data = gzip.decompress(path.read_bytes())
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise InputError(f"{path}: damaged ({error}): take the snapshot again") from None
        if len(data) % 8:
            raise InputError(f"{path}: {len(data)} bytes are not whole u64 entries: take the snapshot again")
        return np.frombuffer(data, "<u8")

    def check(self) -> None:
        """Raise InputError unless the kpageflags cover the zones that zoneinfo names."""
        flags = self.kpageflags()
        if flags is None:
            return
        for zone in self.zones():
            if zone.end_pfn > len(flags):
                raise InputError(
                    f"{self.path}: zone {zone.name} ends at pfn {zone.end_pfn}, but kpageflags has {len(flags)} "
                    "entries: the two are not of one guest"
                )


_ZONE = re.compile(r"Node (\d+), zone +(\S+)", re.ASCII)
_NUMBER = re.compile(
    r" +(?:pages +)?(free|min|low|high|spanned|present|managed|start_pfn|batch)(?::| ) *(\d+)", re.ASCII
)
_PCP_HIGH = re.compile(r" +high: +(\d+)", re.ASCII)


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
        for line in text[head.end() : end].splitlines():
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
        yield ZoneLayout(node=int(head[1]), name=head[2], **values)


def parse_pageblock_order(text: str) -> int | None:
    """The pageblock order that the text of /proc/pagetypeinfo names."""
    match = re.search(r"^Page block order: (\d+)", text, re.ASCII | re.MULTILINE)
    return None if match is None else int(match[1])
