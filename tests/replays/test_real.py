"""Replays on this machine's memory: what the kernel measures is what the model says."""

import json
from pathlib import Path

import numpy as np
import pytest

from pagehint.errors import InputError
from pagehint.hinting.designs.reporting import PageReporting
from pagehint.host.model import ModelHost
from pagehint.replays import real
from pagehint.replays.replay import replay
from pagehint.replays.start import guest_reporting
from pagehint.trace import Trace

from .recording import Row, record, zone


@pytest.mark.parametrize("kind", ["anonymous", "memfd"])
def test_measured_is_predicted(phased: Trace, kind: str) -> None:
    run = replay(phased, guest_reporting(phased), ModelHost("4KiB"), sample=None, real=kind)  # type: ignore[arg-type]
    assert run.real is not None
    assert run.real.pages_per_page == 1
    assert run.real.samples.num_rows > 300
    assert run.real.measured_mean > 200 << 20
    assert run.real.error < 0.001
    assert run.totals.given_back > 1 << 30


def test_the_measured_falls_only_where_memory_is_given_back(phased: Trace) -> None:
    run = replay(phased, None, ModelHost("4KiB"), sample=None, real="anonymous")
    assert run.real is not None
    assert (np.diff(run.real.samples.column("measured").to_numpy()) >= 0).all()


def test_thinned_where_the_guest_does_not_fit(phased: Trace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(real, "_available", lambda: 600 << 20)
    run = replay(phased, PageReporting(), ModelHost("4KiB"), sample=None, real="anonymous")
    assert run.real is not None
    assert run.real.pages_per_page == 4
    assert run.real.error < 0.1


@pytest.mark.parametrize(
    ("kind", "host"),
    [("hugetlb", ModelHost()), ("memfd", ModelHost("THP")), ("anonymous", ModelHost("4KiB", memory="300MiB"))],
)
def test_what_this_machine_cannot_be(phased: Trace, kind: str, host: ModelHost) -> None:
    with pytest.raises(InputError, match="host"):
        replay(phased, None, host, real=kind)  # type: ignore[arg-type]


@pytest.mark.parametrize("rows", [[("A", 700, 0, 0)], [("A", 700, 0, 0), ("F", 700, 0, 0)]])
def test_a_recording_of_one_instant(rows: list[Row], tmp_path: Path) -> None:
    """The mean over no time was not a number, and no JSON."""
    trace = record(tmp_path / "t", rows, [zone(1 << 13)], step=0)
    run = replay(trace, None, ModelHost("4KiB"), real="memfd")
    assert run.real is not None
    assert run.real.measured_mean == run.real.predicted_mean > 0
    json.dumps(run.to_dict(), allow_nan=False)
