"""Hypothesis runs the same examples every time (profile ci; quick has fewer); HYPOTHESIS_PROFILE=long looks for new
ones, for longer.
"""

import os
import signal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

import pagehint

_QUIET = (HealthCheck.too_slow, HealthCheck.data_too_large)
settings.register_profile("ci", derandomize=True, deadline=None, suppress_health_check=_QUIET)
settings.register_profile("quick", settings.get_profile("ci"), max_examples=20)
settings.register_profile("long", max_examples=2000, deadline=None, suppress_health_check=_QUIET, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))

# What a script starts in its background ignores Ctrl-C, and so would all that the tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)


def _tasks(name):
    names = []
    for comm in Path("/proc/self/task").glob("*/comm"):
        try:
            names.append(comm.read_text().strip())
        except OSError:  # it has just ended
            continue
    return names.count(name)


@pytest.fixture
def tasks():
    """``tasks(name)``: how many threads of this process have the name, as the kernel sees them."""
    return _tasks


@pytest.fixture(scope="session")
def phased():
    """The recording that ships with the package, for tests that only read it."""
    return pagehint.example()


def pytest_configure(config):
    config.addinivalue_line("markers", "slow: takes seconds; leave it out with -m 'not slow'")
