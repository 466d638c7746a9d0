__all__ = ["Refills"]

class Refills:
    def __init__(self, pages: int, cpus: int, pageblock_order: int) -> None: ...
