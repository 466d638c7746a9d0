"""A figure as tools and people write it: with thousands apart, a decimal comma, and a unit."""

import re

__all__ = ["FIGURE_UNITS", "SMALLEST_PAGE", "parse_figure"]

FIGURE_UNITS = {"B": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40, "P": 1 << 50, "E": 1 << 60}
"""Bytes by a unit's first letter."""
SMALLEST_PAGE = 4096
"""Bytes: what counts memory in pages gives multiples of it, whatever the machine."""

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
