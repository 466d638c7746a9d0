"""debugfs' extfrag/unusable_index and extfrag_index: shares for each order of a zone, which tell of no amount."""

import re

__all__ = ["parse_indices"]

_ROW = re.compile(r"Node\s+(\d{1,9}), zone\s+([^\s,]{1,40})((?:\s+-?[01]\.\d{3}){9,21})", re.ASCII)
_USUAL = 9  # the order of a huge page of 2 MiB


def parse_indices(lines: list[str]) -> list[str]:
    """What each row tells, in words. A failing allocation's extfrag_index is near 1 for fragmentation, near 0 for too
    little memory, and -1 where it would not fail; unusable_index is the share in smaller blocks. O(length).
    """
    found = []
    for row in filter(None, map(_ROW.fullmatch, lines)):
        where = f"zone {row[2]} of node {row[1]}"
        shares = list(map(float, row[3].split()))
        order = min(_USUAL, len(shares) - 1)
        if min(shares) >= 0:
            share = f"{shares[order] * 100:.1f} %"
            found.append(f"unusable_index: of what is free in {where}, {share} is in blocks below order {order}")
        elif max(shares) < 0:
            found.append(f"extfrag_index: {where} has free blocks of every order")
        else:
            largest = max((each for each, share in enumerate(shares) if share < 0), default=-1)
            free = f"free blocks up to order {largest}" if largest >= 0 else "no free block"
            found.append(f"extfrag_index: {where} has {free}; above, {_cause(shares[largest + 1])}")
    return found


def _cause(index: float) -> str:
    return "it is fragmented" if index > 0.5 else "too little is free"
