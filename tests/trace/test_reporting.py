"""What the parameters of a guest's module page_reporting say."""

import pytest

from pagehint.trace.reporting import reporting_by


@pytest.mark.parametrize(
    ("texts", "order", "delay", "parameters"),
    [
        ({}, None, 2 * 10**9, {}),
        ({"page_reporting_order": "5"}, 5, 2 * 10**9, {"page_reporting_order": 5}),
        ({"page_reporting_order": "-1"}, None, 2 * 10**9, {"page_reporting_order": -1}),
        ({"page_reporting_delay_ms": "134"}, None, 134 * 10**6, {"page_reporting_delay_ms": 134}),
        ({"page_reporting_delay_ms": "-1"}, None, 2 * 10**9, {"page_reporting_delay_ms": -1}),
        ({"of_a_vendor": "Y", "another": "7", "third": "9" * 30}, None, 2 * 10**9, {"another": 7}),
    ],
)
def test_parameters(texts: dict[str, str], order: int | None, delay: int, parameters: dict[str, int]) -> None:
    found = reporting_by(texts)
    assert (found.on, found.order, found.delay_ns, found.parameters) == (None, order, delay, parameters)
