"""GFP flags: what an allocation asks for, in the bits of Linux 6.1, and the migratetype and zones that they mean."""

import enum

from pagehint.errors import InputError
from pagehint.kernel.migratetype import Migratetype

__all__ = [
    "GFP_ATOMIC",
    "GFP_BY_NAME",
    "GFP_DMA",
    "GFP_DMA32",
    "GFP_HIGHUSER",
    "GFP_HIGHUSER_MOVABLE",
    "GFP_KERNEL",
    "GFP_KERNEL_ACCOUNT",
    "GFP_NOFS",
    "GFP_NOIO",
    "GFP_NOWAIT",
    "GFP_TRANSHUGE",
    "GFP_TRANSHUGE_LIGHT",
    "GFP_USER",
    "Gfp",
    "ZoneType",
    "format_gfp",
    "gfp_migratetype",
    "gfp_zone",
]


class Gfp(enum.IntFlag):
    """Allocation flags; ``Gfp.DMA`` is the kernel's ``__GFP_DMA``."""

    DMA = 0x1
    HIGHMEM = 0x2
    DMA32 = 0x4
    MOVABLE = 0x8
    RECLAIMABLE = 0x10
    HIGH = 0x20
    IO = 0x40
    FS = 0x80
    ZERO = 0x100
    ATOMIC = 0x200
    DIRECT_RECLAIM = 0x400
    KSWAPD_RECLAIM = 0x800
    RECLAIM = 0xC00
    WRITE = 0x1000
    NOWARN = 0x2000
    RETRY_MAYFAIL = 0x4000
    NOFAIL = 0x8000
    NORETRY = 0x10000
    MEMALLOC = 0x20000
    COMP = 0x40000
    NOMEMALLOC = 0x80000
    HARDWALL = 0x100000
    THISNODE = 0x200000
    ACCOUNT = 0x400000
    ZEROTAGS = 0x800000
    SKIP_ZERO = 0x1000000
    SKIP_KASAN_UNPOISON = 0x2000000
    SKIP_KASAN_POISON = 0x4000000
    NOLOCKDEP = 0x8000000


GFP_NOWAIT = Gfp.KSWAPD_RECLAIM
GFP_ATOMIC = Gfp.HIGH | Gfp.ATOMIC | Gfp.KSWAPD_RECLAIM
GFP_NOIO = Gfp.RECLAIM
GFP_NOFS = GFP_NOIO | Gfp.IO
GFP_KERNEL = GFP_NOFS | Gfp.FS
GFP_KERNEL_ACCOUNT = GFP_KERNEL | Gfp.ACCOUNT
GFP_USER = GFP_KERNEL | Gfp.HARDWALL
GFP_HIGHUSER = GFP_USER | Gfp.HIGHMEM
GFP_HIGHUSER_MOVABLE = GFP_HIGHUSER | Gfp.MOVABLE
GFP_TRANSHUGE_LIGHT = (GFP_HIGHUSER_MOVABLE | Gfp.COMP | Gfp.NOMEMALLOC | Gfp.NOWARN) & ~Gfp.RECLAIM
GFP_TRANSHUGE = GFP_TRANSHUGE_LIGHT | Gfp.DIRECT_RECLAIM
GFP_DMA = Gfp.DMA
GFP_DMA32 = Gfp.DMA32

GFP_BY_NAME: dict[str, int] = {
    "GFP_NOWAIT": GFP_NOWAIT,
    "GFP_ATOMIC": GFP_ATOMIC,
    "GFP_NOIO": GFP_NOIO,
    "GFP_NOFS": GFP_NOFS,
    "GFP_KERNEL": GFP_KERNEL,
    "GFP_KERNEL_ACCOUNT": GFP_KERNEL_ACCOUNT,
    "GFP_USER": GFP_USER,
    "GFP_HIGHUSER": GFP_HIGHUSER,
    "GFP_HIGHUSER_MOVABLE": GFP_HIGHUSER_MOVABLE,
    "GFP_TRANSHUGE_LIGHT": GFP_TRANSHUGE_LIGHT,
    "GFP_TRANSHUGE": GFP_TRANSHUGE,
    "GFP_DMA": GFP_DMA,
    "GFP_DMA32": GFP_DMA32,
    **{f"__GFP_{name}": flag for name, flag in Gfp.__members__.items()},
}
"""The kernel's names of flags and their usual combinations."""

_LARGEST_FIRST = sorted(GFP_BY_NAME.items(), key=lambda item: -item[1].bit_count())


class ZoneType(enum.IntEnum):
    """The zones of a node, lowest first; a zonelist goes down from the highest that the flags allow."""

    DMA = 0
    DMA32 = 1
    NORMAL = 2
    MOVABLE = 3

    @property
    def title(self) -> str:
        """As /proc/zoneinfo writes it."""
        return ("DMA", "DMA32", "Normal", "Movable")[self]


def gfp_migratetype(gfp: int) -> Migratetype:
    """The migratetype that an allocation with these flags asks for. Raises InputError for a contradiction."""
    mobility = gfp & (Gfp.MOVABLE | Gfp.RECLAIMABLE)
    if mobility == Gfp.MOVABLE | Gfp.RECLAIMABLE:
        raise InputError(f"gfp {format_gfp(gfp)}: __GFP_MOVABLE and __GFP_RECLAIMABLE exclude each other")
    return Migratetype(mobility >> 3)


def gfp_zone(gfp: int) -> ZoneType:
    """The highest zone that these flags allow, on 64 bit. Raises InputError for a contradiction."""
    place = gfp & (Gfp.DMA | Gfp.HIGHMEM | Gfp.DMA32)
    if place.bit_count() > 1:
        raise InputError(f"gfp {format_gfp(gfp)}: only one of __GFP_DMA, __GFP_DMA32 and __GFP_HIGHMEM may be set")
    if place == Gfp.DMA:
        return ZoneType.DMA
    if place == Gfp.DMA32:
        return ZoneType.DMA32
    return ZoneType.MOVABLE if place and gfp & Gfp.MOVABLE else ZoneType.NORMAL


def format_gfp(gfp: int) -> str:
    """Flags as the kernel's reports write them: ``0x100cca(GFP_HIGHUSER_MOVABLE)``."""
    left, names = gfp, []
    for name, bits in _LARGEST_FIRST:
        if left & bits == bits:
            names.append(name)
            left &= ~int(bits)
    if left or not names:
        names.append(f"{left:#x}")
    return f"{gfp:#x}({'|'.join(names)})"
