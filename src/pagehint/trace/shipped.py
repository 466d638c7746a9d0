"""The recording that ships with the package."""

from importlib.resources import files

from pagehint.trace.bundle import Trace

__all__ = ["example"]


def example() -> Trace:
    """The recording that ships with the package: a real guest of 1 GiB that frees in large steps, over 87 s."""
    return Trace.open(str(files("pagehint") / "examples" / "phased.pagetrace"))
