from typing import Any

from pagehint.mm.hinted import HintedLists

class Ranges(HintedLists):
    def __init__(self, *arguments: Any) -> None: ...
