"""A figure as tools and people write it: with thousands apart, a decimal comma, and a unit."""

import re
from collections.abc import Mapping
from typing import NamedTuple

__all__ = ["FIGURE_UNITS", "SMALLEST_PAGE", "Size", "ends_of", "parse_figure", "slack_of"]

FIGURE_UNITS = {"B": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40, "P": 1 << 50, "E": 1 << 60}
"""Bytes by a unit's first letter."""
SMALLEST_PAGE = 4096
"""Bytes: what counts memory in pages gives multiples of it, whatever the machine."""

_COARSE = 1 << 20
_DECIMALS = re.compile(r"[.,](\d{1,20})\Z", re.ASCII)
_PLAIN = re.compile(r"\d+(?:[.,]\d*)?", re.ASCII)
_APART = re.compile(r"\d{1,3}([ ,.'_])\d{3}((?:\1\d{3})*)((?!\1)[.,]\d+)?", re.ASCII)
# As in India: by thousands once, and by hundreds of them.
_BY_LAKHS = re.compile(r"\d{1,2}(?:,\d{2})+,\d{3}", re.ASCII)


def parse_figure(text: str, unit: str = "", decimals: str = "MGTPE") -> float | None:
    """The number that a text says, not multiplied by its unit; None where it is none, such as ``"1.2.3"``.

    One point or comma before three digits parts thousands where there is no unit or a small one, of which nobody writes
    thousandths, and is the decimal one where the unit is one of `decimals`. O(length).
    """
    if _BY_LAKHS.fullmatch(text):
        return float(text.replace(",", ""))
    apart = _APART.fullmatch(text)
    if apart is not None:
        only_one = apart[1] in ".," and not apart[2] and apart[3] is None
        if not (only_one and (unit[:1].upper() in tuple(decimals) or text.startswith("0"))):
            fraction = apart[3] or ""
            return float(re.sub(r"\D", "", text[: len(text) - len(fraction)]) + fraction.replace(",", "."))
    return float(text.replace(",", ".")) if _PLAIN.fullmatch(text) else None


class Size(NamedTuple):
    """Bytes, and by how many they may be too many or too few, as printed."""

    size: int
    slack: int = 0


def slack_of(text: str, unit: float) -> int:
    """Bytes by which a figure that was rounded may be off: half of its last digit. O(length)."""
    decimals = _DECIMALS.search(text)
    return int(unit / 10 ** (len(decimals[1]) if decimals else 0) / 2)


def ends_of(sizes: Mapping[str, Size]) -> dict[str, tuple[int, int]]:
    """The least and the most of those that are rounded by more than a MiB. O(sizes)."""
    return {name: (max(size - slack, 0), size + slack) for name, (size, slack) in sizes.items() if slack > _COARSE}
