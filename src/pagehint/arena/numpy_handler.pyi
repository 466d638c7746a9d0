from types import TracebackType
from typing import Self, final

from pagehint.arena.warm import WarmPages

__all__ = ["NumpyHandler"]

@final
class NumpyHandler:
    def __init__(self, warm: WarmPages, memory: memoryview, address: int, threshold: int) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None: ...
