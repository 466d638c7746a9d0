"""Sizes, times and whole numbers as people and programs give them."""

import numpy as np
import pytest

from pagehint.errors import InputError
from pagehint.hinting.designs.hinting import PageHinting
from pagehint.mm.batch import Batch
from pagehint.mm.check import check
from pagehint.mm.guest.memory import GuestMemory
from pagehint.mm.zone import Zone
from pagehint.units import (
    format_count,
    format_time,
    gib_min,
    parse_price,
    parse_size,
    parse_time,
    percent,
    shown,
    whole_number,
)


class Shy:
    def __repr__(self):
        raise RuntimeError("not to be shown")


@pytest.mark.parametrize("value", [np.zeros((3, 3)), Shy(), "a\nb", "\ud800"])
def test_a_wrong_value_is_shown_in_one_line_that_can_be_printed(value):
    assert shown(value).isprintable()


@pytest.mark.parametrize("value", [5, np.uint8(5), np.int64(5)])
def test_whole_numbers(value):
    number = whole_number("x", value, 5, 5)
    assert (number, type(number)) == (5, int)


@pytest.mark.parametrize("value", [4, 6, 10**30, True, None, "5", 5.0, np.float64(5), np.bool_(True)])
def test_no_whole_number_in_range(value):
    with pytest.raises(InputError, match=r"x .*: expected 5 to 5"):
        whole_number("x", value, 5, 5)


def test_sizes_and_times():
    assert parse_size("1.5 KiB") == parse_size(1536) == parse_size(np.int32(1536)) == 1536
    assert parse_time("1.5us") == parse_time(1500) == parse_time(np.uint16(1500)) == 1500


def test_nothing_needs_no_unit():
    assert parse_time("0") == parse_time("0.0") == parse_size("0") == 0
    for parse in (parse_time, parse_size):
        with pytest.raises(InputError, match=r"'1' is not a (time|size)"):
            parse("1")


def test_prices():
    assert parse_price("1.5") == parse_price(1.5) == parse_price(np.float32(1.5)) == 1.5
    assert parse_price(0) == 0
    assert parse_price(10**9) == 1e9


@pytest.mark.parametrize("value", [-1, "nan", float("inf"), 1e308, 10**400, "dear", None, True, [15]])
def test_what_is_no_price(value):
    with pytest.raises(InputError, match="expected CPU seconds for a GiB"):
        parse_price(value)


@pytest.mark.parametrize("value", [None, 1.5, True, b"4KiB", [], "4 horses", "", -1, np.int8(-1)])
def test_what_is_no_size_or_time(value):
    for parse in (parse_size, parse_time):
        with pytest.raises(InputError, match="is not a"):
            parse(value)


def test_how_long_a_time_may_be():
    assert parse_time("1000000h") == parse_time(3600 * 10**15) == 3600 * 10**15
    for time in ("1000001h", 10**19):
        with pytest.raises(InputError, match="too long a time: expected up to 1000000 h"):
            parse_time(time)


def test_numpys_integers_are_taken_wherever_a_number_is():
    zone = Zone(
        np.int64(255), start_pfn=np.uint8(0), max_order=np.int32(9), pageblock_order=np.uint8(8), node=np.int8(1)
    )
    assert (zone.pages, zone.max_order, zone.node) == (255, 9, 1)
    assert (Batch(np.int64(4)).capacity, PageHinting(order=np.int64(3)).order) == (4, 3)
    assert GuestMemory(np.int64(1 << 26), nodes=np.int64(2), cpus=np.int32(1)).counts.span == 1 << 14


@pytest.mark.parametrize("call", ["alloc_range", "free_exact", "offline", "online"])
def test_small_numpy_integers_do_not_wrap_around_at_a_zones_end(call):
    zone = Zone(255)
    with pytest.raises(InputError, match="pfn 259"):
        getattr(zone, call)(np.uint8(250), np.uint8(10))
    zone.alloc_range(np.uint8(250), np.uint8(5))
    zone.free_exact(np.uint8(250), np.uint8(5))
    assert zone.free_pages == 255
    assert check(zone) == []


def test_how_many_and_what_share():
    assert [format_count(number, "pass", "passes") for number in (0, 1, 2000)] == ["0 passes", "1 pass", "2,000 passes"]
    assert [format_count(number, "CPU") for number in (1, 2)] == ["1 CPU", "2 CPUs"]
    assert (percent(0.395), percent(0.3949, 1)) == ("40 %", "39.5 %")


@pytest.mark.parametrize(
    "value", [10**5000, -(10**5000), [10**5000], "x" * 9999, list(range(9999)), 10**4000], ids=range(6)
)
def test_a_wrong_value_is_shown_in_short(value):
    """Python itself prints no int of more than 4,300 digits: such a one was a ValueError of another text."""
    assert 0 < len(shown(value)) <= 60
    for parse in (parse_size, parse_time, parse_price, lambda value: whole_number("pages", value, 0, 9), PageHinting):
        if parse is parse_size and isinstance(value, int) and value > 0:
            continue
        with pytest.raises(InputError) as raised:
            parse(value)
        assert len(str(raised.value)) < 170


def test_footprints_of_moments_and_of_weeks():
    """They were 0.000 and 1e+06 s."""
    assert [gib_min(each) for each in (0.0, 1e-17, 2.345e-5, 0.01, 12.3456, 12345.6789)] == [
        "0.000",
        "0.000",
        "2.35e-05",
        "0.010",
        "12.346",
        "12,345.679",
    ]
    assert format_time(1_234_567 * 10**9) == "1,234,567 s"
    assert format_time(9_999_400_000_000) == "9999 s"
    assert format_time(9_999_700_000_000) == "10,000 s"
