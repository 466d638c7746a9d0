from collections.abc import Iterable
from typing import Any, final

from numpy.typing import NDArray

from pagehint.trace.recorder.formats import EventFormat, PageLayout

__all__ = ["PageDecoder"]

@final
class PageDecoder:
    lost: int
    uncounted: int
    damaged: int
    others: int
    def __init__(self, layout: PageLayout, formats: Iterable[EventFormat], vmemmap: int = 0) -> None: ...
    def decode(self, pages: bytes | memoryview, cpu: int) -> tuple[dict[str, NDArray[Any]], list[str]]: ...
