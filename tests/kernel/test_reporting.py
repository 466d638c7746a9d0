"""What is seen of Linux's free page reporting from outside."""

import pytest

from pagehint.kernel.reporting import offers_reporting


@pytest.mark.parametrize(
    ("features", "offered"),
    [
        ("0100010000000000000000000000010010000000100000000000000000000000", True),
        ("0100000000000000000000000000010010000000100000000000000000000000", False),
        ("000001", True),
        ("00000", False),  # cut off
        ("", False),
    ],
)
def test_a_balloons_features_tell_whether_it_offers_it(features: str, offered: bool) -> None:
    assert offers_reporting(features) is offered
