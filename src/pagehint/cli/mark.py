"""``pagehint mark``: begin a phase in the recording that runs."""

import errno
from pathlib import Path

from pagehint.cli.said import warn
from pagehint.errors import InputError
from pagehint.trace.describe import LONGEST_NAME
from pagehint.trace.recorder.tracefs import find_tracefs, living_instances
from pagehint.units import shown

__all__ = ["mark"]


def mark(name: str, /) -> None:
    """Begin a phase of the workload in the recordings that run on this machine.

    For example:

        pagehint mark "build begins"

    Parameters
    ----------
    name
        The phase, such as "compile".
    """
    if not name.strip() or len(name) > LONGEST_NAME or not name.isprintable():
        raise InputError(f"{shown(name)} is no name of a phase: expected a line of 1 to {LONGEST_NAME} characters")
    instances = living_instances(find_tracefs())
    if not instances:
        raise InputError("nothing is recorded here now: start `pagehint record` in another shell first")
    marked = sum(_marks(instance, name) for instance in instances)
    if not marked:
        raise InputError("the recording is just beginning, or ending: mark it once it shows its seconds")
    if missed := len(instances) - marked:
        warn(f"{missed} of {len(instances)} recordings just begin, or end: this mark is not in them")


# The kernel says so of an instance that doesn't record now, or is gone.
def _marks(instance: Path, name: str) -> bool:
    try:
        (instance / "trace_marker").write_text(f"MARK {name}")
    except OSError as error:
        if error.errno not in (errno.EBADF, errno.ENOENT, errno.ENODEV):
            raise
        return False
    return True
