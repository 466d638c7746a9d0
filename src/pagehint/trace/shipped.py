"""The recordings that ship with the package."""

from importlib.resources import files

from pagehint.errors import InputError
from pagehint.trace.bundle import Trace
from pagehint.units import shown

__all__ = ["EXAMPLES", "example"]

EXAMPLES = ("phased", "pandas")


def example(name: str = "phased") -> Trace:
    """A recording that ships with the package, of a real guest of 1 GiB. Raises InputError for another name.

    ``phased``: Linux 6.1 frees in large steps, over 89.9 s. ``pandas``: Linux 6.12 runs a pandas job, over 67.1 s.
    """
    if name not in EXAMPLES:
        raise InputError(f"example {shown(name)}: expected one of {', '.join(EXAMPLES)}")
    return Trace.open(str(files("pagehint") / "examples" / f"{name}.pagetrace"))
