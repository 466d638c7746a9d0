"""What guests hold together, against what it is by counting every case."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pagehint.fleets.fits import MOST_GUESTS, fits
from pagehint.fleets.superpose import Crowd, apportioned, held, risk
from tests.fleets.guests import MIB, ONE, OTHER, S, steps


def enumerated(guests, memory, overhead=0):
    """The share of time above it, each combination of the guests' values weighted by its share."""
    over = mean = 0.0
    for case in itertools.product(*(list(zip(one.weights, one.values, strict=True)) for one in guests)):
        share = np.prod([weight for weight, _ in case])
        total = sum(int(value) + overhead for _, value in case)
        over += share * (total > memory)
        mean += share * total
    return over, mean


@pytest.mark.parametrize("memory", [300, 450, 700, 1000, 1200, 1500, 1900])
def test_each_case_counted(memory):
    for guests in ([ONE], [ONE, ONE], [ONE, OTHER], [ONE, ONE, OTHER, OTHER]):
        crowds = [Crowd(ONE, guests.count(ONE), 7 * MIB), Crowd(OTHER, guests.count(OTHER), 7 * MIB)]
        over, mean = enumerated(guests, memory * MIB, 7 * MIB)
        found = held(crowds, memory * MIB)
        assert found.p_over == pytest.approx(over, abs=1e-9)
        assert found.mean == pytest.approx(mean, rel=1e-9)


def test_a_parked_guest_keeps_what_it_held_before_any_of_its_passes():
    crowd = Crowd(steps((2, 100), (1, 400), (1, 200), (1, 150)), 1, 7 * MIB, parked=0.25)  # 400 and 200 fell
    values, shares = crowd.values()
    found = dict.fromkeys(values.tolist(), 0.0)
    for value, share in zip(values.tolist(), shares.tolist(), strict=True):
        found[value] += share
    assert found == {
        107 * MIB: pytest.approx(0.75 * 0.4),
        407 * MIB: pytest.approx(0.75 * 0.2 + 0.125),
        207 * MIB: pytest.approx(0.75 * 0.2 + 0.125),
        157 * MIB: pytest.approx(0.75 * 0.2),
    }
    assert crowd.mean == pytest.approx(values @ shares)


def test_how_deep_and_how_often_each_case_counted():
    guests = [ONE, ONE, OTHER]
    crowds = [Crowd(ONE, 2, 7 * MIB), Crowd(OTHER, 1, 7 * MIB)]
    for memory in (650, 1000, 1300):
        over = deep = rate = 0.0
        for case in itertools.product(*(list(zip(one.weights, one.values, strict=True)) for one in guests)):
            total = sum(int(value) + 7 * MIB for _, value in case) - memory * MIB
            share = np.prod([weight for weight, _ in case])
            over += share * (total > 0)
            deep += share * max(total, 0)
            # From here each one goes to its next value once in a period, wherever the others are.
            for which, one in enumerate(guests):
                at = one.values.tolist().index(case[which][1])
                after = total + int(np.roll(one.values, -1)[at]) - int(case[which][1])
                rate += share / case[which][0] / (one.period / S) * (total <= 0 < after)
        found = held(crowds, memory * MIB)
        assert found.depth == pytest.approx(deep / over, rel=1e-3)
        assert found.seconds == pytest.approx(over / rate, rel=1e-6)


@pytest.mark.parametrize("together", [0.0, 0.5, 1.0])
def test_what_the_host_needs_beside_each_guest_is_as_if_it_had_less(together):
    found = [
        held([Crowd(ONE, 4, more * MIB), Crowd(OTHER, 2, more * MIB)], (1500 + 6 * more) * MIB, together)
        for more in (0, 333)
    ]
    assert 0 < found[0].p_over < 1
    for name in ("p_over", "seconds", "depth"):
        assert getattr(found[1], name) == pytest.approx(getattr(found[0], name), rel=1e-3)


def test_a_parked_guest_never_goes_up():
    found = held([Crowd(ONE, 1, parked=0.4)], 200 * MIB)
    assert found.p_over == pytest.approx(0.6 * 0.1 + 0.4)  # it keeps the 400 MiB before its pass
    assert found.seconds == pytest.approx(found.p_over / (0.6 / 10))


def test_together_whenever_their_clocks_began():
    late = replace(ONE, times=ONE.times + 7 * S)
    for other in (OTHER, replace(OTHER, times=OTHER.times + 3 * S)):
        found = held([Crowd(late, 1), Crowd(other, 1)], 900 * MIB, together=1.0)
        assert found.p_over == held([Crowd(ONE, 1), Crowd(OTHER, 1)], 900 * MIB, together=1.0).p_over > 0


def test_together_is_the_sum_at_each_time():
    both = held([Crowd(ONE, 2)], 490 * MIB, together=1.0)
    assert both.p_over == pytest.approx(0.1, abs=1e-9)  # 2 * 400 MiB, a second in ten
    assert both.seconds == pytest.approx(1.0)
    assert both.depth == pytest.approx(310 * MIB, rel=1e-3)
    apart = held([Crowd(ONE, 2)], 490 * MIB)
    assert apart.p_over == pytest.approx(1 - 0.9**2, abs=1e-9)


@pytest.mark.parametrize("memory", [500, 700, 900, 1150, 1400])
def test_some_together_each_case_counted(memory):
    # Of four and two, half go through theirs at the same time, the shorter one stretched.
    alike = steps(
        (2.5, 2 * 100 + 64), (0.5, 2 * 100 + 1024), (1, 2 * 400 + 1024), (1, 2 * 150 + 1024), (5, 2 * 150 + 512)
    )
    guests = [ONE, ONE, OTHER, alike]
    found = held([Crowd(ONE, 4), Crowd(OTHER, 2)], memory * MIB, together=0.5)
    over, mean = enumerated(guests, memory * MIB)
    assert found.p_over == pytest.approx(over, abs=1e-9)
    assert found.mean == pytest.approx(mean, rel=1e-9)
    same = held([Crowd(ONE, 2), Crowd(OTHER, 1), Crowd(alike, 1)], memory * MIB)
    assert found.seconds == same.seconds


def test_together_are_guests_of_many_recordings_too():
    kinds = [steps((k + 1, 100), (1, 400), (10 - k, 150)) for k in range(10)]
    found = held([Crowd(each, 1) for each in kinds], 1800 * MIB, together=0.3)
    three = sum(each.at(np.arange(0, 12 * S, S)) for each in kinds[:3])
    alike = steps(*((1, size / MIB) for size in three.tolist()))
    same = held([Crowd(alike, 1), *(Crowd(each, 1) for each in kinds[3:])], 1800 * MIB)
    assert found.p_over == pytest.approx(same.p_over, rel=1e-6)
    assert found.p_over != pytest.approx(held([Crowd(each, 1) for each in kinds], 1800 * MIB).p_over, rel=1e-2)


def test_the_parked_are_not_among_those_together():
    # Three in four of eight are parked, and hold 400 MiB; half of the others are together.
    found = held([Crowd(ONE, 8, parked=0.75)], 1, together=0.5)
    seven = 7 * (6 / 7 * 400 + 1 / 7 * ONE.mean / MIB)
    assert found.mean / MIB == pytest.approx(seven + ONE.mean / MIB)


def test_how_long_and_how_much_it_is_too_much():
    found = held([Crowd(ONE, 1)], 300 * MIB)
    assert found.seconds == pytest.approx(1.0)
    assert found.depth == pytest.approx(100 * MIB, rel=1e-3)
    # Two that go up for a second in ten: their time above is a second, or up to two where they overlap.
    two = held([Crowd(ONE, 2)], 490 * MIB)
    assert two.seconds == pytest.approx((1 - 0.9**2) / (2 * 0.9 / 10), rel=1e-6)


def test_a_simulation_agrees():
    crowds = [Crowd(ONE, 5), Crowd(OTHER, 3)]
    random = np.random.default_rng(3)
    draws = 200_000
    total = np.zeros(draws, np.int64)
    for crowd in crowds:
        for _ in range(crowd.count):
            total += crowd.steps.at(random.integers(0, crowd.steps.period, draws))
    found = held(crowds, 3000 * MIB)
    share = float((total > 3000 * MIB).mean())
    assert found.p_over == pytest.approx(share, abs=4 * np.sqrt(share / draws))
    assert found.quantile(0.9) == pytest.approx(np.quantile(total, 0.9), rel=0.01)


def test_parked_guests_keep_what_they_held():
    assert held([Crowd(ONE, 1, parked=1.0)], 300 * MIB).p_over == pytest.approx(1.0)
    assert held([Crowd(ONE, 1, parked=0.5)], 300 * MIB).p_over == pytest.approx(0.05 + 0.5)


@pytest.mark.parametrize("count", [10**4, 10**5, 10**6])
def test_many_guests_are_nearly_normal(count):
    """Of so many, what is added by dividing values between bins must not show."""
    spread = np.sqrt(ONE.weights @ (ONE.values - ONE.mean) ** 2 * count)
    for far, chance in ((-3, 0.99865), (0, 0.5), (2, 0.02275), (4, 3.167e-5)):
        found = held([Crowd(ONE, count)], int(ONE.mean * count + far * spread))
        assert found.p_over == pytest.approx(chance, rel=0.2 if count == 10**4 else 0.05, abs=1e-5)
    assert len(found.chances) <= 1 << 19
    assert held([Crowd(ONE, count)], int(ONE.mean * count + 12 * spread)).p_over == 0


def test_guests_that_hold_nothing_or_always_the_same():
    nothing, same = steps((1, 0), (1, 0)), steps((1, 100), (1, 100))
    assert fits([Crowd(nothing, 1)], 1 << 30, [1e-4]) == [MOST_GUESTS]
    assert fits([Crowd(same, 1)], 1000 * MIB, [1e-4]) == [10]
    assert (held([Crowd(same, 7)], 700 * MIB).p_over, held([Crowd(same, 7)], 700 * MIB - 1).p_over) == (0, 1)
    assert held([], 1 << 30).p_over == 0


def test_quantiles_and_shares_below_are_those_of_the_values():
    # 107 MiB for 3 of 10, 157 for 6 and 407 for 1.
    found = held([Crowd(ONE, 1, 7 * MIB)], 400 * MIB)
    for share, mib in ((0.1, 107), (0.29, 107), (0.31, 157), (0.89, 157), (0.91, 407), (1.0, 407)):
        assert found.quantile(share) / MIB == pytest.approx(mib, rel=1e-3)
    for mib, share in ((1, 0.0), (106, 0.0), (108, 0.3), (156, 0.3), (158, 0.9), (406, 0.9), (408, 1.0)):
        assert found.below(mib * MIB) == pytest.approx(share, abs=1e-9)
    assert found.most >= 407 * MIB
    assert found.p_over == pytest.approx(1 - found.below(400 * MIB), abs=1e-12) == pytest.approx(0.1, abs=1e-9)


def test_what_never_happens_takes_no_time_and_what_never_ends_has_none():
    never, always = held([Crowd(ONE, 3)], 2000 * MIB), held([Crowd(ONE, 3)], 200 * MIB)
    assert (never.p_over, never.depth, never.seconds) == (0, 0, None)
    assert (always.p_over, always.seconds) == (pytest.approx(1), None)
    assert always.depth / MIB == pytest.approx(3 * ONE.mean / MIB - 200)


@given(
    st.lists(st.tuples(st.integers(1, 9), st.integers(0, 500)), min_size=1, max_size=5), st.integers(1, 4), st.data()
)
@settings(max_examples=40)
def test_any_few_guests_each_case_counted(pairs, count, data):
    one = steps(*pairs)
    memory = data.draw(st.integers(0, count * 500)) * MIB + MIB // 2  # between what may be held
    over, mean = enumerated([one] * count, memory)
    found = held([Crowd(one, count)], memory)
    assert found.p_over == pytest.approx(over, abs=1e-9)
    assert found.mean == pytest.approx(mean, rel=1e-9, abs=1)
    assert risk([Crowd(one, count)], memory) == found.p_over
    assert np.isclose(found.chances.sum(), 1)


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=8), st.integers(0, 3000))
def test_a_whole_is_apportioned_by_the_largest_remainders(weights, whole):
    if not sum(weights):
        return
    exact = [weight * whole / sum(weights) for weight in weights]
    counts = apportioned(exact, whole)
    assert sum(counts) == whole
    assert all(int(share) <= count <= int(share) + 1 for share, count in zip(exact, counts, strict=True))
    up = [share % 1 for share, count in zip(exact, counts, strict=True) if count > int(share)]
    down = [share % 1 for share, count in zip(exact, counts, strict=True) if count == int(share)]
    assert not up or not down or min(up) >= max(down) - 1e-9
