"""Settings: the value that Python code means, and that a command line's text says."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pagehint.errors import InputError
from pagehint.hinting.setting import Setting


class Owner:
    """Whose settings have names."""

    order: Setting = Setting.order()
    delay: Setting = Setting.time("2s", "From one to the other.")
    idle: Setting = Setting.time(None, "Or never.", 10**6)
    passes: Setting = Setting.count(3, "How many.", 1, 100)
    once: Setting = Setting.switch(False, "Once a delay.")
    odd: Setting = Setting("x", "Any odd number.", lambda value: 1 / (int(value) % 2) and int(value))


@pytest.mark.parametrize(
    ("name", "given", "value"),
    [
        ("order", 9, 9),
        ("order", np.int64(0), 0),
        ("order", 31, 31),
        ("delay", "2s", 2 * 10**9),
        ("delay", "0", 0),
        ("delay", 5, 5),
        ("idle", None, None),
        ("idle", "none", None),
        ("idle", "1ms", 10**6),
        ("passes", 100, 100),
        ("once", True, True),
        ("once", np.bool_(True), True),
        ("once", 0, False),
        ("once", "no", False),
        ("once", "yes", True),
        ("odd", "7", 7),
    ],
)
def test_what_python_code_means(name, given, value):
    found = vars(Owner)[name].parse(given)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("name", "given", "error"),
    [
        ("order", 32, "order 32: expected 0 to 31"),
        ("order", True, "order True"),
        ("order", "9", "order '9'"),
        ("delay", None, "None is not a time"),
        ("delay", -1, "-1 is not a time: it is negative"),
        ("delay", "2 parsecs", "'2 parsecs' is not a time"),
        ("idle", "1us", "the idle time of '1us' is too short: expected at least 1 ms"),
        ("passes", 0, "passes 0: expected 1 to 100"),
        ("once", "maybe", "once maybe: expected yes or no"),
        ("once", 2, "once 2: expected True or False"),
        ("once", None, "once None"),
        ("odd", 2, "odd 2: ZeroDivisionError"),
        ("odd", "x" * 999, "odd 'xxx.*: ValueError: "),
    ],
)
def test_what_it_can_not_mean_is_named(name, given, error):
    with pytest.raises(InputError, match=f"^{error}"):
        vars(Owner)[name].parse(given)


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("order", "10", 10),
        ("passes", "007", 7),
        ("once", "TRUE", True),
        ("once", "off", False),
        ("idle", "none", None),
    ],
)
def test_what_a_command_lines_text_says(name, text, value):
    assert vars(Owner)[name].read("--x", text) == value


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("order", "11"), ("order", ""), ("order", "nine"), ("order", "9.0"), ("order", " 9"), ("order", "٩"),
        ("passes", "-1"), ("passes", "1" * 41), ("once", "maybe"), ("delay", "soon"), ("idle", "1ns"),
        ("odd", "2"),
    ],
)  # fmt: skip
def test_a_wrong_text_names_the_option(name, text):
    with pytest.raises(InputError, match=r"^--an-option[: ]") as raised:
        vars(Owner)[name].read("--an-option", text)
    assert len(str(raised.value)) < 150


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("order", 9, "order 9 (2 MiB)"),
        ("order", 0, "order 0 (4 KiB)"),
        ("delay", 2 * 10**9, "delay 2 s"),
        ("idle", None, "no idle"),
        ("idle", 10**7, "idle 10 ms"),
        ("passes", 5, "passes 5"),
        ("once", True, "once"),
        ("once", False, "not once"),
    ],
)
def test_a_value_in_a_label(name, value, words):
    assert vars(Owner)[name].words(value) == words


@given(st.text(max_size=60) | st.none() | st.integers() | st.floats() | st.booleans() | st.lists(st.integers()))
def test_anything_else_is_a_short_error(value):
    told = []
    for setting in vars(Owner).values():
        if isinstance(setting, Setting):
            for ask in (setting.parse, lambda value, setting=setting: setting.read("--x", str(value))):
                try:
                    ask(value)
                except InputError as error:
                    told.append(str(error))
    assert all(len(text) < 250 for text in told), told


@pytest.mark.parametrize("value", [object(), [1], {}, b"x", float("nan"), float("inf"), 1 << 63, np.int64(3), 1j])
def test_a_value_that_no_table_holds(value):
    setting = Setting(0, "Anything.", lambda given: value)
    setting.__set_name__(Owner, "any")
    with pytest.raises(
        InputError, match=r"^any 'x': its parse\(\) gave .*: expected a number of 64 bits, a text, True"
    ):
        setting.parse("x")
    setting = Setting(0, "Anything.", lambda given: given, lambda option, text: value)
    with pytest.raises(
        InputError, match=r"^--any 'x': its read\(\) gave .*: expected a number of 64 bits, a text, True"
    ):
        setting.read("--any", "x")


def test_an_option_that_can_not_be_read():
    setting = Setting(0, "Any.", int, lambda option, text: int(text))
    with pytest.raises(InputError, match=r"^--any 'x': ValueError: invalid literal"):
        setting.read("--any", "x")


def test_words_that_are_none():
    setting = Setting(0, "Any.", int, words=lambda value: value)
    setting.__set_name__(Owner, "any")
    with pytest.raises(InputError, match=r"any: its words\(\) gave 5: expected a text"):
        setting.words(5)
