from collections.abc import Sequence

from pagehint.mm.zone import Zone

__all__ = ["FIRST_GUESS", "Survival"]

FIRST_GUESS: float

class Survival:
    def __init__(self, zones: Sequence[Zone]) -> None: ...
    @property
    def share(self) -> float: ...
    def look(self, now: int) -> bool: ...
