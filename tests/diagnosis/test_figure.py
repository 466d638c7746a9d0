"""Figures as tools and people write them: one rule for all."""

import pytest

from pagehint.diagnosis.figure import parse_figure
from pagehint.diagnosis.free_tool import parse_free
from pagehint.diagnosis.pasted import plain_lines
from pagehint.diagnosis.tools import parse_totals

HEAD = "               total        used        free      shared  buff/cache   available\n"


@pytest.mark.parametrize(
    ("text", "unit", "expected"),
    [
        ("1234", "", 1234),
        ("1,234", "", 1234),
        ("1.234", "K", 1234),
        ("1.234", "kB", 1234),
        ("1,234", "M", 1.234),
        ("15.517", "Gi", 15.517),
        ("1,234,567", "G", 1234567),
        ("1.234.567", "", 1234567),
        ("1 234 567", "", 1234567),
        ("1'234", "M", 1234),
        ("1_234_567", "", 1234567),
        ("13,10,728", "", 1310728),
        ("1,234.5", "M", 1234.5),
        ("1.234,5", "", 1234.5),
        ("1.234.567,25", "", 1234567.25),
        ("1234,5", "", 1234.5),
        ("0.123", "", 0.123),
        ("7.", "M", 7),
        ("1.2.3", "G", None),
        ("1,2345,678", "", None),
        ("12,3,567", "", None),
        ("1,234,567,8", "", None),
        ("1..2", "", None),
        (".", "", None),
        ("", "", None),
    ],
)
def test_a_figure(text: str, unit: str, expected: float | None) -> None:
    assert parse_figure(text, unit) == expected


def test_which_units_have_three_decimals_is_the_tools() -> None:
    assert parse_figure("15,822", "MB", decimals="GT") == 15822
    assert parse_figure("15,822", "GB", decimals="GT") == 15.822


@pytest.mark.parametrize("odd", ["1.2.3G", "12,3,567", "."])
def test_what_is_no_figure_is_not_0(odd: str) -> None:
    """A row of free in which one could not be read was taken as if nothing were free."""
    assert parse_free(plain_lines(HEAD + f"Mem: 15Gi 2.1Gi {odd} 8Mi 4.0Gi 12Gi\n")) is None
    top = f"MiB Mem :  15895.9 total,  {odd.strip('G')} free,  2211.7 used,  3729.4 buff/cache"
    assert [what for what, _, _ in parse_totals([top])] == []


def test_free_and_the_other_tools_read_alike() -> None:
    """Of thousands apart free's were read, and top's and atop's were 0 or thousandths."""
    found = parse_free(plain_lines(HEAD + "Mem: 16,384,000 2,097,152 8,388,608 8,192 5,898,240 12,582,912\n"))
    assert found is not None
    top = "Mem:  16,384,000k total,  2,097,152k used,  8,388,608k free,    59,544k buffers"
    atop = "MEM | tot   1.234,5M | free  987,6M | cache 1.005M |".replace(" | ", "  ").rstrip(" |")
    read = {totals.what: totals.sizes for totals in parse_totals([top, atop])}
    assert read["top"]["total"] == found[0].sizes["total"] == 16384000 << 10
    assert read["top"]["free"] == found[0].sizes["free"] == 8388608 << 10
    assert read["atop"] == {
        "total": int(1234.5 * (1 << 20)),
        "free": int(987.6 * (1 << 20)),
        "cached": int(1.005 * (1 << 20)),
    }
