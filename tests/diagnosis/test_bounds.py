"""Figures that are known within bounds: what is added up stays within them."""

from hypothesis import given
from hypothesis import strategies as st

from pagehint.diagnosis.bounds import UNKNOWN, ZERO, Bounds, exactly

_SIZES = st.integers(0, 1 << 50)


@st.composite
def _figures(draw: st.DrawFn) -> tuple[int, Bounds]:
    """What is true, and bounds in which it lies."""
    truth = draw(_SIZES)
    most = draw(st.none() | _SIZES.map(lambda more: truth + more))
    return truth, Bounds(draw(st.integers(0, truth)), most, draw(st.none() | st.just(truth)))


@given(_figures(), _figures())
def test_a_sum_lies_within_the_sum_of_bounds(one: tuple[int, Bounds], other: tuple[int, Bounds]) -> None:
    found = one[1] + other[1]
    assert found.least <= one[0] + other[0]
    assert found.most is None or one[0] + other[0] <= found.most
    assert (found.most is None) == (None in (one[1].most, other[1].most))
    # Where both are guessed right, so is the sum; where one isn't guessed, there is no guess, and what is sure stands.
    if None not in (one[1].value, other[1].value):
        assert found.best == one[0] + other[0]
    else:
        assert found.value is None
        assert found.best == found.least


@given(_figures())
def test_nothing_adds_nothing(figure: tuple[int, Bounds]) -> None:
    found = figure[1] + ZERO
    assert (found.least, found.most, found.value) == (figure[1].least, figure[1].most, figure[1].value)


@given(_SIZES, _SIZES)
def test_what_is_known_is_exact_and_stays_so(one: int, other: int) -> None:
    assert exactly(one) + exactly(other) == exactly(one + other)
    assert (exactly(one) + exactly(other)).is_exact
    assert not (exactly(one) + UNKNOWN).is_exact
    assert not Bounds(one, one + 1).is_exact
