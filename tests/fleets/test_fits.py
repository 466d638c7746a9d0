"""How many fit, and how sure a risk is."""

from dataclasses import replace
from functools import partial

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from pagehint.fleets.fits import fits, interval
from pagehint.fleets.superpose import Crowd, held, risk
from tests.fleets.guests import MIB, ONE, S, steps


def test_how_many_fit():
    risks = (0.3, 1e-2, 1e-6)
    for most, count in zip(risks, fits([Crowd(ONE, 1)], 2000 * MIB, risks), strict=True):
        assert held([Crowd(ONE, count)], 2000 * MIB).p_over <= most < held([Crowd(ONE, count + 1)], 2000 * MIB).p_over
    assert fits([Crowd(ONE, 1)], 50 * MIB, [0.5]) == [0]


def test_more_fit_than_the_average_allows_where_one_seldom_holds_much():
    """No more were looked for than whose average the host has: at a risk of 0.2 it said 11."""
    seldom = steps((99, 0), (1, 10_240))
    assert fits([Crowd(seldom, 1)], 1024 * MIB, [0.05, 0.2, 0.9]) == [5, 22, 229]  # 1 - 0.99**n
    assert fits([Crowd(steps((1, 100), (1, 300)), 1)], 1050 * MIB, [0.95]) == [7]


def test_a_mixture_keeps_its_shares():
    # Of one in four that holds 300 MiB and three that hold 100, always: 4 hold 600 MiB, and the fifth is one of 100.
    large, small = Crowd(steps((1, 300)), 1), Crowd(steps((1, 100)), 3)
    assert fits([large, small], 600 * MIB, [1e-3]) == [4]
    assert fits([large, small], 6000 * MIB, [1e-3]) == [40]
    # The counts tell shares, and no more.
    many = [Crowd(steps((1, 300)), 100), Crowd(steps((1, 100)), 300)]
    assert fits(many, 6000 * MIB, [1e-3]) == [40]


def test_overhead_is_held_too():
    assert fits([Crowd(steps((1, 100)), 1, overhead=25 * MIB)], 1000 * MIB, [1e-3]) == [8]


@given(st.lists(st.tuples(st.integers(1, 9), st.integers(1, 500)), min_size=1, max_size=4), st.integers(500, 5000))
@settings(max_examples=15)
def test_more_memory_and_more_risk_never_fit_fewer(pairs, mib):
    crowds = [Crowd(steps(*pairs), 1)]
    less, more = (fits(crowds, size * MIB, [1e-6, 1e-3, 0.1, 0.5]) for size in (mib, 2 * mib))
    assert less == sorted(less)
    assert more == sorted(more)
    assert all(a <= b for a, b in zip(less, more, strict=True))
    peak = max(each for _, each in pairs)
    assert less[0] >= mib // peak  # as many as never hold too much


def _over(memory, crowds):
    return risk(crowds, memory)


def test_an_interval_tells_what_a_recording_is_too_short_to_say():
    steady = steps(*[(1, 100), (1, 400)] * 160)
    (low, high) = interval([Crowd(steady, 1)], partial(_over, 200 * MIB), np.random.default_rng(1))
    assert low <= held([Crowd(steady, 1)], 200 * MIB).p_over <= high
    assert high - low < 0.01  # all its stretches are alike
    once = steps((31, 100), (1, 400))  # one stretch of 16 has all of it: drawn 0, 1, 2 or 3 times
    (low, high) = interval([Crowd(once, 1)], partial(_over, 200 * MIB), np.random.default_rng(1))
    assert low == 0
    assert 2 / 32 <= high <= 4 / 32
    same = [interval([Crowd(once, 1)], partial(_over, 200 * MIB), np.random.default_rng(7)) for _ in range(2)]
    assert same[0] == same[1]
    later = replace(once, times=once.times + 7 * S)
    assert interval([Crowd(later, 1)], partial(_over, 200 * MIB), np.random.default_rng(7)) == same[0]
    assert interval([Crowd(steps((1, 100)), 5)], partial(_over, 499 * MIB), np.random.default_rng(1)) == (1, 1)
