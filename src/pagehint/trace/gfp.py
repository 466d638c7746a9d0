"""Allocation flags: the names that tracers print, as the bits of the `gfp` column (those of Linux 6.1)."""

__all__ = ["parse_gfp"]

_BITS = {
    "__GFP_DMA": 0x1,
    "__GFP_HIGHMEM": 0x2,
    "__GFP_DMA32": 0x4,
    "__GFP_MOVABLE": 0x8,
    "__GFP_RECLAIMABLE": 0x10,
    "__GFP_HIGH": 0x20,
    "__GFP_IO": 0x40,
    "__GFP_FS": 0x80,
    "__GFP_ZERO": 0x100,
    "__GFP_ATOMIC": 0x200,
    "__GFP_DIRECT_RECLAIM": 0x400,
    "__GFP_KSWAPD_RECLAIM": 0x800,
    "__GFP_RECLAIM": 0xC00,
    "__GFP_WRITE": 0x1000,
    "__GFP_NOWARN": 0x2000,
    "__GFP_RETRY_MAYFAIL": 0x4000,
    "__GFP_NOFAIL": 0x8000,
    "__GFP_NORETRY": 0x10000,
    "__GFP_MEMALLOC": 0x20000,
    "__GFP_COMP": 0x40000,
    "__GFP_NOMEMALLOC": 0x80000,
    "__GFP_HARDWALL": 0x100000,
    "__GFP_THISNODE": 0x200000,
    "__GFP_ACCOUNT": 0x400000,
    "__GFP_ZEROTAGS": 0x800000,
    "__GFP_SKIP_ZERO": 0x1000000,
    "__GFP_SKIP_KASAN_UNPOISON": 0x2000000,
    "__GFP_SKIP_KASAN_POISON": 0x4000000,
    "__GFP_NOLOCKDEP": 0x8000000,
    "GFP_NOWAIT": 0x800,
    "GFP_ATOMIC": 0xA20,
    "GFP_NOIO": 0xC00,
    "GFP_NOFS": 0xC40,
    "GFP_KERNEL": 0xCC0,
    "GFP_KERNEL_ACCOUNT": 0x400CC0,
    "GFP_USER": 0x100CC0,
    "GFP_HIGHUSER": 0x100CC2,
    "GFP_HIGHUSER_MOVABLE": 0x100CCA,
    "GFP_TRANSHUGE_LIGHT": 0x1C20CA,
    "GFP_TRANSHUGE": 0x1C24CA,
    "GFP_DMA": 0x1,
    "GFP_DMA32": 0x4,
    "none": 0,
    # Flags of older or newer kernels: by the bit that took their place, or none.
    "__GFP_WAIT": 0x400,
    "__GFP_REPEAT": 0x4000,
    "GFP_TEMPORARY": 0xCD0,
    "__GFP_COLD": 0,
    "__GFP_NOTRACK": 0,
    "__GFP_OTHER_NODE": 0,
    "__GFP_NO_OBJ_EXT": 0,
    "__GFP_SKIP_KASAN": 0x4000000,
}


def parse_gfp(text: str) -> tuple[int, list[str]]:
    """The bits of flags such as ``"GFP_KERNEL|__GFP_ZERO|0x100"``, and the names that aren't known.

    A number keeps its value: tracers print one for bits that they have no name for.
    """
    bits, unknown = 0, []
    for name in text.split("|"):
        if name in _BITS:
            bits |= _BITS[name]
            continue
        try:
            bits |= int(name, 0) & 0xFFFFFFFF
        except ValueError:
            unknown.append(name)
    return bits, unknown
