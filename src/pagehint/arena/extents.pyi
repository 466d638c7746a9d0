from pagehint.mm.attached import Attachable

class Extents(Attachable):
    def __init__(self, pages: int) -> None: ...
