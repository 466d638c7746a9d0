"""Recordings of real guests: the one that ships with the package, and a second with two CPUs (page events only)."""

from pathlib import Path

import pytest

from pagehint.trace import Trace

_DATA = Path(__file__).parent / "data"


@pytest.fixture(scope="session")
def churn() -> Trace:
    return Trace.open(_DATA / "churn_smp2.pagetrace")


@pytest.fixture(scope="session")
def control() -> Path:
    return _DATA / "control_phased_off.json"
