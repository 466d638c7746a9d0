"""Charts of characters."""

import numpy as np
import pytest

from pagehint.report.charts import area_chart, bar, columns_of


@pytest.mark.parametrize(
    ("value", "text"), [(0, ""), (1, "█"), (0.5, "▌"), (4, "████"), (9, "████"), (-1, ""), (2.25, "██▎")]
)
def test_bar(value: float, text: str) -> None:
    assert bar(value, 4, 4).plain == text
    assert bar(value, 0, 4).plain == ""


def test_columns_are_means_and_gaps_hold_the_value_before() -> None:
    times, values = np.array([0, 1, 2, 9]), np.array([4, 6, 2, 8])
    assert columns_of(times, values, np.array([0.0, 2, 4, 6, 10])).tolist() == [5, 2, 2, 8]


def test_area_chart() -> None:
    layers = [(np.array([1.0, 2, 0]), "#", ""), (np.array([2.0, 2, 0]), "+", "")]
    rows = area_chart(layers, 2, 2.0, ["2", ""])
    assert [row.plain for row in rows] == ["2│+# ", " │## "]
