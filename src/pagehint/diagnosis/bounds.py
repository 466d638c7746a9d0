"""Figures that may be known only within bounds."""

from dataclasses import dataclass

__all__ = ["MOST_MEMORY", "UNKNOWN", "ZERO", "Bounds", "exactly"]


MOST_MEMORY = 1 << 52
"""Bytes that no machine has more of: 2^36 pages of 64 KiB."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """Bytes: at least `least`, at most `most` (None: no bound is known). `value` is the best guess, where there is one,
    and `likely` what it comes to, at the least and at the most, unless something unusual happens.

    Exact where least and most are the same.
    """

    least: float
    most: float | None
    value: float | None = None
    likely: tuple[float, float] | None = None

    @property
    def is_exact(self) -> bool:
        """Whether the figure is known."""
        return self.most == self.least

    @property
    def best(self) -> float:
        """The best guess, else what is sure."""
        return self.least if self.value is None else self.value

    def __add__(self, other: "Bounds") -> "Bounds":
        most = None if self.most is None or other.most is None else self.most + other.most
        known = self.value is not None and other.value is not None
        return Bounds(self.least + other.least, most, self.best + other.best if known else None)


def exactly(value: float) -> Bounds:
    """A figure that is known."""
    return Bounds(value, value, value)


ZERO = exactly(0)
UNKNOWN = Bounds(0, None)
