from typing import Any

from pagehint.mm.buddy import Buddy

class HintedLists(Buddy):
    def __init__(self, *arguments: Any) -> None: ...
