"""Keeps pandas out of a process whose own code has no use for it."""

import sys
from importlib.abc import MetaPathFinder

__all__ = ["NoPandas"]


class NoPandas(MetaPathFinder):
    """A context manager in which Arrow finds no pandas; others, such as a design, find it.

    Arrow imports pandas wherever there is one, which costs a second and 50 MiB, and fails where it doesn't fit NumPy.
    """

    def find_spec(self, name: str, path: object, target: object = None) -> None:
        if name == "pandas" and _asked_here():
            raise ModuleNotFoundError(name)

    def __enter__(self) -> None:
        sys.meta_path.insert(0, self)

    def __exit__(self, *exception: object) -> None:
        sys.meta_path.remove(self)


# Arrow is compiled: what asks is the Python code that called it.
def _asked_here() -> bool:
    frame = sys._getframe(2)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith("importlib."):
        frame = frame.f_back
    return str(frame.f_globals.get("__name__")).partition(".")[0] in ("pagehint", "pyarrow")
