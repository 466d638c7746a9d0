from typing import Any, final

from numpy.typing import NDArray

__all__ = ["COLUMNS", "Columns"]

COLUMNS: tuple[str, ...]

@final
class Columns:
    count: int
    def __init__(self, *args: object, **kwargs: object) -> None: ...
    def load(self, arrays: list[NDArray[Any]]) -> None: ...
