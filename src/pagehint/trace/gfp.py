"""Allocation flags as tracers print them, parsed to the bits of the `gfp` column (those of Linux 6.1)."""

from pagehint.kernel.gfp import GFP_BY_NAME

__all__ = ["parse_gfp"]

_BITS = {
    **GFP_BY_NAME,
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
