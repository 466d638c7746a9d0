from pagehint.mm.attached import Attachable

MOST_PAGES: int

class Extents(Attachable):
    def __init__(self, pages: int) -> None: ...
