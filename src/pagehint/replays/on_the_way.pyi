__all__ = ["OnTheWay"]

class OnTheWay:
    def __init__(self, *args: object, **kwargs: object) -> None: ...
