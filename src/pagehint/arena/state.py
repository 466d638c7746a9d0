"""What an arena tells of itself: its statistics, and the error when it is full."""

from dataclasses import dataclass

from pagehint.errors import PagehintError
from pagehint.units import format_size

__all__ = ["ArenaFullError", "ArenaStatistics"]


@dataclass(frozen=True, slots=True)
class ArenaStatistics:
    """An arena's memory, in bytes, and what its hinting did.

    ``live``: of blocks, in whole pages; ``warm``: free, and not given back since it was used; ``in_flight``: being
    given back now; ``hinted``: the rest of what is ``present`` (online): given back or never used. ``resident``: in
    memory, by the kernel; 0 once it is closed, as nobody looks then. ``given_back``: in total; ``cycles``: calls of the
    device that succeeded; ``errors``: those that failed.
    """

    limit: int
    present: int
    live: int
    blocks: int
    warm: int
    hinted: int
    in_flight: int
    resident: int
    given_back: int
    cycles: int
    errors: int
    last_error: BaseException | None


class ArenaFullError(MemoryError, PagehintError):
    """An arena has no room for a block; ``statistics`` is its state."""

    def __init__(self, wanted: int, largest_free: int, statistics: ArenaStatistics, note: str) -> None:
        self.wanted = wanted
        self.largest_free = largest_free
        self.statistics = statistics
        parts = [
            f"{format_size(statistics.live)} of {format_size(statistics.limit)} live",
            f"{format_size(statistics.warm)} warm",
            f"{format_size(statistics.in_flight)} in flight",
            f"the largest free range is {format_size(largest_free)}",
        ]
        super().__init__(f"no room for {format_size(wanted)} in the arena ({', '.join(parts)}): {note}")
