"""`pagehint calibrate`: the table, and the file that `run` reads."""

import os
from dataclasses import fields
from pathlib import Path

import pytest

from pagehint.cli.calibrate import calibrate
from pagehint.errors import InputError
from pagehint.host.costs import Costs


def test_the_table_and_the_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "costs.json"
    calibrate(output=path)
    costs = Costs.read(path)
    assert {"fault_4kib", "discard_4kib", "discard_block"} <= costs.measured
    out = capsys.readouterr().out
    for field in fields(Costs):
        if field.name != "measured":
            line = next(line for line in out.splitlines() if line.startswith(f"{field.name} "))
            assert f"{getattr(costs, field.name):,.0f}" in line
            assert ("measured" if field.name in costs.measured else "default") in line


def test_the_output_is_refused_before_anything_is_measured(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is a folder"):
        calibrate(output=tmp_path)


def test_costs_are_read_as_they_were_written(tmp_path: Path) -> None:
    costs = Costs(fault_4kib=123.5, measured=frozenset({"fault_4kib"}))
    path = tmp_path / "costs.json"
    path.write_text(costs.to_json())
    assert Costs.read(path) == costs


def test_costs_in_a_pipe_that_nobody_writes_to(tmp_path: Path) -> None:
    """They were waited for."""
    os.mkfifo(tmp_path / "costs.json")
    with pytest.raises(InputError, match="is a pipe"):
        Costs.read(tmp_path / "costs.json")
