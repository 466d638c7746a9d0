from typing import Never

class HintingState:
    def __init__(self, *none: Never) -> None: ...
