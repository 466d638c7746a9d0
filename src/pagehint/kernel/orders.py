"""Orders of blocks that all kernels have in common."""

__all__ = ["MAX_PAGE_ORDER", "MOST_ORDER", "PAGEBLOCK_ORDER"]

MAX_PAGE_ORDER = 10
"""The largest block's, of every kernel so far."""

MOST_ORDER = 20
"""No kernel is built for larger blocks: an order above it is refused."""

PAGEBLOCK_ORDER = 9
"""Of pageblocks, and so of reporting, where nothing tells."""
