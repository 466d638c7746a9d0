"""What runs are done with: each design with each combination of the settings that it has."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pagehint.errors import InputError
from pagehint.hinting.design import Design
from pagehint.hinting.designs.breakeven import BreakEven
from pagehint.hinting.designs.hinting import PageHinting
from pagehint.hinting.designs.reporting import PageReporting
from pagehint.hinting.setting import Setting
from pagehint.replays.plan import Plan, kind_of, plans_of
from pagehint.replays.start import guest_reporting
from pagehint.trace.shipped import example


@pytest.mark.parametrize("orders", [9, (9,), {9}, np.array([9]), np.int64(9), iter([9])])
def test_one_value_or_several_of_any_kind(orders):
    (plan,) = plans_of(example(), [PageReporting], {"order": orders, "delay": "100ms"})
    assert (plan.settings["order"], plan.settings["delay"]) == (9, 100_000_000)


class Own(Design):
    """With a setting of its own, and no order."""

    batches: int = Setting.count(2, "How many.", 1, 9)

    def work(self):
        yield from ()


class Broken(Own):
    def __init__(self, **settings):
        raise RuntimeError("not today")


TRACE = example()


@given(
    st.lists(st.integers(0, 10), max_size=3),
    st.lists(st.integers(0, 10**9), max_size=3),
    st.lists(st.integers(1, 99), max_size=3),
)
def test_each_combination_once_and_those_that_a_design_has(orders, delays, capacities) -> None:
    settings = {"order": orders, "delay": delays, "capacity": capacities}
    plans = plans_of(TRACE, ["reporting", "none", "hinting", Own], settings)
    guest = guest_reporting(TRACE)
    assert guest is not None

    def many(values, usual):
        return sorted(set(values)) or [usual]

    by_design = {
        name: [plan for plan in plans if plan.design == name] for name in ("reporting", "none", "hinting", Own)
    }
    assert sum(map(len, by_design.values())) == len(plans)
    (none,) = by_design["none"]
    for name, kind in (("reporting", PageReporting), ("hinting", PageHinting)):
        own = guest.values() if name == "reporting" else kind().values()
        found = sorted(
            (plan.settings.get("order", own["order"]), plan.settings.get("delay", own["delay"]), plan.capacity)
            for plan in by_design[name]
        )
        expected = itertools.product(
            many(orders, own["order"]), many(delays, own["delay"]), many(capacities, none.capacity)
        )
        assert found == sorted(expected)
    assert [plan.settings for plan in by_design[Own]] == [{}] * len(many(capacities, 0))
    for plan in plans:
        design = plan.make()
        assert (design is None) == (plan.design == "none")
        if design is not None:
            assert {name: getattr(design, name) for name in plan.settings} == plan.settings


def test_what_is_not_given_is_as_the_guest_had_it() -> None:
    (reporting, hinting) = plans_of(TRACE, ["reporting", PageHinting], {})
    guest = guest_reporting(TRACE)
    assert guest is not None
    made = reporting.make()
    assert made is not None
    assert made.values() == guest.values()
    assert hinting.settings == {}
    # And a setting that is given is no other's.
    (plan,) = plans_of(TRACE, ["reporting"], {"order": [3]})
    assert plan.settings["order"] == 3
    assert {**plan.settings, "order": guest.order} == guest.values()


def test_designs_that_are_made_have_their_place_and_their_settings() -> None:
    plans = plans_of(TRACE, [Own(3), "hinting", Own(4), "none"], {"capacity": [8, 16], "order": [9]})
    assert [(plan.label, plan.settings, plan.capacity) for plan in plans] == [
        ("Own", {"batches": 3}, 8),
        ("Own", {"batches": 3}, 16),
        ("hinting", {"order": 9}, 8),
        ("hinting", {"order": 9}, 16),
        ("Own", {"batches": 4}, 8),
        ("Own", {"batches": 4}, 16),
        ("none", {}, TRACE.meta.known_reporting.usual_capacity),
    ]


class Extra(Own):
    def __init__(self, extra=1, **settings):
        super().__init__(**settings)
        self.extra = extra


def test_plans_are_told_apart_by_what_was_chosen() -> None:
    (named, reporting) = plans_of(TRACE, [Own, "reporting"], {"batches": [3]})
    assert (named.label, named.chosen) == ("Own", {"batches": 3})
    assert reporting.label == "reporting"
    assert reporting.settings.keys() - reporting.chosen.keys() == {"timer_phase", "timer_tick"}


@pytest.mark.parametrize(
    ("designs", "settings", "error"),
    [
        (["reporting"], {"idle": ["1s"]}, "idle is no setting of reporting: expected some of order, delay, "),
        (["reporting", "none"], {"batches": [1]}, "batches is no setting of reporting or none"),
        (["none"], {"capacity": [1]}, "capacity is no setting of none: it has none"),
        (["reporting"], {"order": [99]}, "order 99: expected 0 to 31"),
        (["reporting"], {"capacity": [0]}, "capacity 0"),
        (["nothing"], {}, "'nothing' is no design"),
        (
            [Own(), Own(3)],
            {"batches": [1]},
            "batches: designs that are made have their settings: give names",
        ),
        ([Own(), "reporting"], {"batches": [1]}, "batches is no setting of reporting: expected some of order"),
        ([Extra(5)], {}, "Extra is made of 'extra' too, which is no setting: declare it as one"),
    ],
)
def test_what_can_not_be_planned(designs, settings, error) -> None:
    with pytest.raises(InputError, match=error):
        plans_of(TRACE, designs, settings)


def test_texts_of_a_command_line_name_its_options() -> None:
    (plan, other) = plans_of(TRACE, ["reporting"], {"delay": ["2s", "2000ms", "1s"]}, {"delay": "--delay"})
    assert (plan.settings["delay"], other.settings["delay"]) == (2 * 10**9, 10**9)  # the same twice is one
    for name, text in (("order", "11"), ("delay", "soon"), ("capacity", "many")):
        with pytest.raises(InputError, match=f"^--{name}"):
            plans_of(TRACE, ["reporting"], {name: [text]}, {name: f"--{name}"})
    with pytest.raises(InputError, match=r"^--idle is no setting of reporting"):
        plans_of(TRACE, ["reporting"], {"idle": ["1s"]}, {"idle": "--idle"})


def test_prices_are_a_designs_own_or_the_runs() -> None:
    (plan,) = plans_of(TRACE, ["breakeven"], {})
    assert [each.settings["price"] for each in plan.at_prices([1, 0, 15])] == [1, 15]
    assert plan.at_prices([0]) == [plan]
    made = plan.make(price=3.0)
    assert isinstance(made, BreakEven)
    assert made.price == 3.0
    given = Plan("breakeven", {"price": 7.0}, 32)
    assert given.at_prices([1, 15]) == [given]
    own = given.make(price=3.0)
    assert isinstance(own, BreakEven)
    assert own.price == 7.0
    (reporting,) = plans_of(TRACE, ["reporting"], {})
    assert reporting.at_prices([1, 15]) == [reporting]


def test_a_design_that_can_not_be_made_says_so() -> None:
    with pytest.raises(InputError, match="Broken: can't be made: RuntimeError: not today"):
        Plan(Broken, {}, 32).make()
    assert Plan("none", {}, 32).make() is None
    assert kind_of("none") is None
    assert kind_of(Own) is Own
