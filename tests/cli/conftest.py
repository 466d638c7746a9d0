"""What tests of commands share."""

import pytest

from pagehint.errors import InputError
from pagehint.trace.recorder.tracefs import find_tracefs


@pytest.fixture(scope="module")
def tracefs():
    """This machine's tracefs; skips where there is none to record by."""
    try:
        return find_tracefs()
    except InputError as refused:
        pytest.skip(f"this machine can't be recorded: {refused}")
