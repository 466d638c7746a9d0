"""Colours that tell things apart for everybody."""

from itertools import combinations

import numpy as np
import pytest

from pagehint.hinting.designs.registry import reasons_of
from pagehint.report.chart_style import COLOURS, REASON_COLOURS, RUN_COLOURS, chart_layout

# How people without the red, or the green, cones see linear RGB (Machado, Oliveira and Fernandes 2009, severity 1).
_SEEN = {
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
    "trichromacy": np.eye(3).tolist(),
}
_LAB = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])


def _lab(colour: str, seen: str) -> np.ndarray:
    rgb = np.array([int(colour[k : k + 2], 16) for k in (1, 3, 5)]) / 255
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    xyz = _LAB @ np.clip(np.array(_SEEN[seen]) @ linear, 0, 1) / np.array([0.9505, 1, 1.089])
    x, y, z = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("seen", _SEEN)
@pytest.mark.parametrize(
    "colours",
    [
        RUN_COLOURS[:3],
        REASON_COLOURS[: len(reasons_of())],
        tuple(COLOURS[name] for name in ("used", "free", "back", "mixed")),
    ],
)
def test_colours_differ(colours: tuple[str, ...], seen: str) -> None:
    """By 12 in CIELAB at the least, about five times what is just noticeable."""
    for one, other in combinations(colours, 2):
        assert np.linalg.norm(_lab(one, seen) - _lab(other, seen)) > 12, (one, other)


def test_thousands_are_written_out() -> None:
    """18,834 MiB stood at an axis that ended with "18k"."""
    layout = chart_layout("seconds", "MiB")
    for axis in ("xaxis", "yaxis"):
        assert (layout[axis]["exponentformat"], layout[axis]["separatethousands"]) == ("none", True)
