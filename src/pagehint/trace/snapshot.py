"""A snapshot of a guest's zones: copies of its own /proc files, and its kpageflags."""

import re
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pagehint.errors import InputError
from pagehint.inputs import open_input, read_input, unpacked
from pagehint.proc.counters import parse_meminfo, parse_vmstat
from pagehint.proc.pagetypeinfo import PageTypeInfo, of_another_machine, parse_pagetypeinfo
from pagehint.proc.zoneinfo import ZoneInfo, ZoneLayout, layouts_of, parse_zoneinfo

__all__ = ["END", "KPAGEFLAGS", "LOOK", "SNAPSHOT_FILES", "START", "TEXTS", "Snapshot"]

TEXTS = ("zoneinfo", "pagetypeinfo", "buddyinfo", "meminfo", "vmstat")
"""The /proc files that a snapshot may hold, as NAME.txt."""

KPAGEFLAGS = "kpageflags.u64.gz"
"""The name of its page flags."""

SNAPSHOT_FILES = (*(f"{name}.txt" for name in TEXTS), KPAGEFLAGS)
"""The names of a snapshot's files."""

START, END = "snapshot", "final"
"""The folders of the snapshots at a recording's start and end."""

LOOK = re.compile(r"look\d{1,9}", re.ASCII)
"""The name of the folder of a snapshot that was taken in between."""

_PAGE_SIZES = (1 << 12, 1 << 14, 1 << 16)
_ALIKE = 0.02
_CHUNK = 1 << 22
_SOME = 1 << 10
_PRINTED = bytes([9, 10, 13, *range(32, 127)])
_MOST_UNZONED = 1 << 24  # pages of a guest without zoneinfo: 64 GiB


class Snapshot:
    """A snapshot folder of a bundle.

    `path` is the folder. Any of its files may be missing. What its texts say is read once: nobody may change it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def text(self, name: str) -> str | None:
        """The text of one of TEXTS, such as ``"pagetypeinfo"``; None where the snapshot lacks it."""
        path = self.path / f"{name}.txt"
        return read_input(path).decode("utf-8", "replace") if path.exists() else None

    @cached_property
    def zones(self) -> list[ZoneLayout]:
        """The populated zones of zoneinfo; empty where the snapshot lacks it."""
        path = self.path / "zoneinfo.txt"
        return layouts_of(self.zoneinfo, str(path)) if path.exists() else []

    @cached_property
    def zoneinfo(self) -> list[ZoneInfo]:
        """All that zoneinfo says, per-CPU counts too; empty where the snapshot lacks it."""
        return parse_zoneinfo(self.text("zoneinfo") or "", str(self.path / "zoneinfo.txt"))

    @cached_property
    def pagetypeinfo(self) -> PageTypeInfo:
        """What pagetypeinfo says; an empty one where the snapshot lacks it."""
        return parse_pagetypeinfo(self.text("pagetypeinfo") or "", str(self.path / "pagetypeinfo.txt"))

    def odd_types(self) -> str | None:
        """What in pagetypeinfo doesn't fit zoneinfo, as if it were of another guest; None: it fits."""
        return of_another_machine(self.pagetypeinfo, {}, self.zoneinfo)

    @cached_property
    def counters(self) -> dict[str, int]:
        """What vmstat counts, by name; empty where the snapshot lacks it."""
        return parse_vmstat(self.text("vmstat") or "", str(self.path / "vmstat.txt"))

    def page_size(self) -> int | None:
        """Bytes of a page, where zoneinfo's pages and meminfo's KiB tell; None where they don't, or don't agree."""
        counts = parse_meminfo(self.text("meminfo") or "", str(self.path / "meminfo.txt"))
        managed, free = (sum(getattr(zone, name) or 0 for zone in self.zoneinfo) for name in ("managed", "free"))
        total, left = counts.get("MemTotal", 0) << 10, counts.get("MemFree", 0) << 10
        for size in _PAGE_SIZES:
            if abs(total - managed * size) < _ALIKE * total and left < 2 * free * size < 4 * left:
                return size
        return None

    def allocated(self) -> int | None:
        """Pages allocated since the guest's boot, each as often as it was; None where nothing tells.

        vmstat counts them; zoneinfo's NUMA counters allocations of any size, so that there may be more pages.
        """
        pages = [count for name, count in self.counters.items() if name.startswith("pgalloc_")]
        stats = [zone.stats for zone in self.zoneinfo] if not pages else []
        pages += [zone[name] for zone in stats for name in ("numa_hit", "numa_miss") if name in zone]
        return sum(pages) if pages else None

    def kpageflags(self) -> NDArray[np.uint64] | None:
        """/proc/kpageflags, one u64 per pfn from pfn 0 to the last zone's end; None where the snapshot lacks it.

        O(pages) time and memory, 8 bytes each. Raises InputError.
        """
        if not (self.path / KPAGEFLAGS).exists():
            return None
        data = bytearray()
        for chunk in self._flag_bytes():
            data += chunk
        return np.frombuffer(data, "<u8")

    @property
    def known_pages(self) -> int:
        """The zones' end, a pfn, where kpageflags tell what each page is; else 0."""
        return max((zone.end_pfn for zone in self.zones), default=0) if (self.path / KPAGEFLAGS).exists() else 0

    def check(self) -> None:
        """Raise InputError unless the texts can be read and the kpageflags cover the zones that zoneinfo names."""
        _ = self.pagetypeinfo, self.allocated()
        zones = self.zones
        if not (self.path / KPAGEFLAGS).exists():
            return
        entries = sum(map(len, self._flag_bytes())) // 8
        for zone in zones:
            if zone.end_pfn > entries:
                raise InputError(
                    f"{self.path}: zone {zone.name} ends at pfn {zone.end_pfn}, but kpageflags has {entries} "
                    "entries: it is cut off, or the two are not of one guest"
                )

    # No further than the zones go: a small file may unpack to anything.
    def _flag_bytes(self) -> Iterator[bytes]:
        path = self.path / KPAGEFLAGS
        zones = self.zones
        left = 8 * max((zone.end_pfn for zone in zones), default=_MOST_UNZONED)
        done = 0
        with open_input(path) as file, unpacked(file, path, bounded=False) as stream:
            while left > done and (chunk := stream.read(min(_CHUNK, left - done))):
                if not done and not chunk[:_SOME].translate(None, _PRINTED):
                    raise InputError(
                        f"{path}: is text, not the bytes of /proc/kpageflags: copy it with `cat`, as root, and pack it "
                        "with gzip or not at all"
                    )
                done += len(chunk)
                yield chunk
            if not zones and stream.read(1):
                raise InputError(
                    f"{path}: more pages than {_MOST_UNZONED}, and no zoneinfo that tells how many: add it"
                )
        if done % 8:
            raise InputError(f"{path}: {done} bytes are not whole u64 entries: take the snapshot again")
