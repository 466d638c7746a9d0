from typing import final

__all__ = ["OnTheWay"]

@final
class OnTheWay:
    def __init__(self, *args: object, **kwargs: object) -> None: ...
