"""Real memory for Python programs: an arena of large blocks, NumPy on it, and sharing it between processes."""

from pagehint.arena.arena import Arena
from pagehint.arena.block import Block
from pagehint.arena.shared import Handle
from pagehint.arena.state import ArenaFullError, ArenaStatistics

__all__ = ["Arena", "ArenaFullError", "ArenaStatistics", "Block", "Handle"]
