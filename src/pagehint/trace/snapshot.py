"""A snapshot of a guest's zones: copies of its own /proc files, and its kpageflags."""

import gzip
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pagehint.errors import InputError
from pagehint.proc.pagetypeinfo import PageTypeInfo, parse_pagetypeinfo
from pagehint.proc.zoneinfo import ZoneInfo, ZoneLayout, parse_zoneinfo, zone_layouts

__all__ = ["TEXTS", "Snapshot"]

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
        return [] if text is None else zone_layouts(text, str(self.path / "zoneinfo.txt"))

    def zoneinfo(self) -> list[ZoneInfo]:
        """All that zoneinfo says, per-CPU counts too; empty where the snapshot lacks it."""
        return parse_zoneinfo(self.text("zoneinfo") or "", str(self.path / "zoneinfo.txt"))

    def pagetypeinfo(self) -> PageTypeInfo:
        """What pagetypeinfo says; an empty one where the snapshot lacks it."""
        return parse_pagetypeinfo(self.text("pagetypeinfo") or "", str(self.path / "pagetypeinfo.txt"))

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
