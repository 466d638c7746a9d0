"""Costs: what a file of them may hold, and what it may not."""

import json
from dataclasses import fields, replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pagehint.errors import InputError
from pagehint.host.costs import Costs

_NAMES = [field.name for field in fields(Costs) if field.name != "measured"]
_TIMES = st.integers(0, 10**15) | st.floats(0, 1e15)


@given(st.dictionaries(st.sampled_from(_NAMES), _TIMES), st.frozensets(st.sampled_from(_NAMES)))
def test_they_are_read_as_they_were_written(
    tmp_path_factory: pytest.TempPathFactory, values: dict[str, float], measured: frozenset[str]
) -> None:
    path = tmp_path_factory.getbasetemp() / "costs.json"
    costs = Costs(**values, measured=measured)
    path.write_text(costs.to_json())
    assert Costs.read(path) == costs
    # What is not named keeps its default.
    path.write_text(json.dumps(values))
    assert Costs.read(path) == replace(Costs(), **values)


@pytest.mark.parametrize("value", [-1, -1e-9, 10**15 + 1, float("nan"), float("inf"), True, "5", None, [1], 10**400])
def test_what_is_no_time_is_refused(tmp_path: Path, value: object) -> None:
    path = tmp_path / "costs.json"
    path.write_text(json.dumps({"swap_in": value}))
    with pytest.raises(InputError) as raised:
        Costs.read(path)
    assert str(raised.value).startswith(f"{path}: the cost swap_in is ")
    assert str(raised.value).endswith(f" ns: expected a time of 0 to {10**15}")
    assert len(str(raised.value)) < len(str(path)) + 130


@pytest.mark.parametrize(
    "text", ["", "{", "5", "[]", '"react_call"', "null", "[" * 100_000, "\xff\xfe\0", '{"a": 1' + "0" * 5000]
)
def test_what_holds_no_costs_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "costs.json"
    path.write_text(text, encoding="latin-1")
    with pytest.raises(
        InputError, match=r"costs\.json: not a file of costs: `pagehint calibrate -o FILE\.json` makes one"
    ):
        Costs.read(path)


def test_a_cost_that_there_is_not(tmp_path: Path) -> None:
    path = tmp_path / "costs.json"
    path.write_text('{"swap_in": 1, "swap": 2}')
    with pytest.raises(InputError, match="'swap' is no cost: expected some of react_call, discard_block, "):
        Costs.read(path)


@pytest.mark.parametrize("measured", ['"swap_in"', "5", "null", '["swap"]', "[[]]", "[1]", '["measured"]'])
def test_only_costs_are_measured(tmp_path: Path, measured: str) -> None:
    path = tmp_path / "costs.json"
    path.write_text(f'{{"measured": {measured}}}')
    with pytest.raises(InputError, match="measured: expected a list of names of costs"):
        Costs.read(path)


def test_where_there_is_none_it_says_who_makes_one(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file of costs: `pagehint calibrate"):
        Costs.read(tmp_path / "costs.json")
    (tmp_path / "large.json").write_text(" " * ((1 << 20) + 1))
    with pytest.raises(InputError, match="is larger than 1 MiB"):
        Costs.read(tmp_path / "large.json")
