import numpy as np
from numpy.typing import NDArray

from pagehint.mm.attached import Attachable

__all__ = ["Loadable"]

class Loadable(Attachable):
    def load(self, words: NDArray[np.uint16], counts: NDArray[np.int64]) -> None: ...
