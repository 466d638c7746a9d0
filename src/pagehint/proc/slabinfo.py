"""What /proc/slabinfo says of the kernel's caches of objects."""

import re
from typing import NamedTuple

__all__ = ["SlabCache", "parse_slabinfo"]

_ROW = re.compile(
    r"([\w:.-]{1,64}) +(\d{1,15}) +(\d{1,15}) +\d{1,9} +\d{1,9} +(\d{1,9}) : tunables(?: +\d{1,9}){3} : slabdata"
    r" +\d{1,15} +(\d{1,15}) +\d{1,15}(?! *\d)",
    re.ASCII,
)
_IN_ROW = " : slabdata "


class SlabCache(NamedTuple):
    """A cache: its objects in use (with those free on CPUs' slabs) and in all, and its slabs of so many pages."""

    active: int
    objects: int
    pages_per_slab: int
    slabs: int

    @property
    def pages(self) -> int:
        """Pages of all slabs."""
        return self.slabs * self.pages_per_slab


def parse_slabinfo(text: str) -> dict[str, SlabCache]:
    """The caches by name; lines without a row are left out. O(length)."""
    lines = text.split("\n") if _IN_ROW in text else []
    rows = (_ROW.search(line) for line in lines if _IN_ROW in line)
    return {row[1]: SlabCache(*map(int, row.groups()[1:])) for row in rows if row is not None}
