__all__ = ["OnTheWay"]

class OnTheWay:
    def __init__(self) -> None: ...
