import numpy as np
import pytest

from pagehint.report.cells import cell_states
from pagehint.report.figures import STATES


@pytest.mark.parametrize(
    ("cell", "state"),
    [
        ((1, 0, 0, 25599), "never"),  # a page in use made a cell of 100 MiB one in use
        ((1, 200, 25399, 0), "back"),
        ((1, 200, 20000, 5399), "back"),
        ((200, 0, 5399, 20001), "never"),
        ((20000, 0, 5600, 0), "used"),
        ((1600, 24000, 0, 0), "mixed"),  # one page in 16 keeps what is between
        ((0, 25600, 0, 0), "free"),
        ((10, 20, 0, 0), "none"),
        ((0, 0, 0, 0), "none"),
    ],
)
def test_a_cell_is_what_most_of_its_memory_is(cell: tuple[int, int, int, int], state: str) -> None:
    used, free, back, never = np.array([cell]).T
    assert cell_states(used, free, back, never, 25600).tolist() == [state]
    assert state in dict(STATES)
