"""The recording that ships with the package."""

from importlib.resources import files
from pathlib import Path

__all__ = ["SHIPPED"]

SHIPPED = Path(str(files("pagehint") / "examples" / "phased.pagetrace"))
