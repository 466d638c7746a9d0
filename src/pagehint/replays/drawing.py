"""Results show themselves by what draws them, which is above and says here how it is loaded."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, cast

__all__ = ["Drawing", "draw_by", "drawing"]


class Drawing(Protocol):
    """What draws runs."""

    def write_html(self, runs: Sequence[Any], path: str | Path, baseline: Any = None) -> None:
        """Write one page of them."""

    def figures_of(self, runs: Sequence[Any]) -> Mapping[str, Any]:
        """Their charts, by name."""

    def summary_of(self, run: Any) -> str:
        """One run as HTML, for a notebook."""


_loaders: list[Callable[[], Any]] = []


def draw_by(load: Callable[[], Any]) -> None:
    """From now on, what `load` returns draws: it is called when a result is asked to show itself."""
    _loaders[:] = [load]


def drawing() -> Drawing:
    """What draws now."""
    return cast(Drawing, _loaders[0]())
