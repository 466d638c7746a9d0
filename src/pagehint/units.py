"""Sizes and times as people write them (``4GiB``, ``512 MiB``, ``100ms``, ``2s``), and whole numbers."""

import re
from numbers import Real
from operator import index
from typing import Any, SupportsFloat, SupportsIndex, cast

from pagehint.errors import InputError, printable

__all__ = [
    "GIB_MINUTE",
    "LONGEST_TIME",
    "MIB",
    "check_kind",
    "format_count",
    "format_size",
    "format_time",
    "gib_min",
    "integer",
    "is_between",
    "mib",
    "parse_price",
    "parse_size",
    "parse_time",
    "percent",
    "power_of_two",
    "several",
    "shown",
    "whole_number",
]

MIB = 1 << 20
GIB_MINUTE = (1 << 30) * 60e9
"""Of bytes * ns: what an integral of memory over time is divided by."""
_SIZES = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40, "PiB": 1 << 50}
_TIMES = {"ns": 1, "us": 10**3, "ms": 10**6, "s": 10**9, "min": 60 * 10**9, "h": 3600 * 10**9}
LONGEST_TIME = 10**6 * _TIMES["h"]
"""Nanoseconds: times are added up in 64 bits."""
_DEAREST = 10**9
_QUANTITY = re.compile(r"\s*(\d{1,40}(?:\.\d{1,40})?)\s*([A-Za-z]*)\s*", re.ASCII)


def shown(value: object) -> str:
    """A wrong value for people: in one line, not long, and what can't be printed is no error of its own."""
    try:
        text = printable(repr(value))
    except Exception:  # an int of more digits than Python prints, or a class whose own repr fails
        text = f"of type {type(value).__name__}"
    return text if len(text) <= 60 else f"{text[:50]}..."


def several(given: Any) -> list[Any]:
    """What a caller gives one of, or several: text, and what can't be gone through, is one."""
    if isinstance(given, str | bytes):
        return [given]
    try:
        each = iter(given)
    except TypeError:
        return [given]
    return list(each)


def check_kind(what: str, value: object, kind: Any, expected: str) -> None:
    """Raise InputError for what is none of a kind (as ``isinstance`` takes it)."""
    if not isinstance(value, kind):
        raise InputError(f"{what} {shown(value)}: expected {expected}")


def integer(what: str, value: object) -> int:
    """``value`` as an int, whatever it is. Raises InputError, which names ``what``, for what is no whole number."""
    try:
        return index(cast(SupportsIndex, value))
    except TypeError:
        raise InputError(f"{what} {shown(value)}: expected a whole number") from None


def whole_number(what: str, value: object, least: int, most: int) -> int:
    """``value`` as an int (NumPy's integers are fine, bools are not). Raises InputError, which names ``what``."""
    try:
        number = index(cast(SupportsIndex, value))
    except TypeError:
        number = least - 1
    if isinstance(value, bool) or not least <= number <= most:
        raise InputError(f"{what} {shown(value)}: expected {least} to {most}")
    return number


def is_between(value: object, least: float, most: float) -> bool:
    """Whether it is a number, no bool, from ``least`` to ``most``."""
    return not isinstance(value, bool) and isinstance(value, Real) and least <= cast(float, value) <= most


def power_of_two(what: str, value: object, most: int) -> int:
    """``value`` as ``whole_number`` takes it, from 1 on. Raises InputError for what is no power of two, too."""
    number = whole_number(what, value, 1, most)
    if number & (number - 1):
        raise InputError(f"{what} {number}: expected a power of two")
    return number


def _parse(text: object, units: dict[str, int], what: str, example: str) -> int:
    match = _QUANTITY.fullmatch(text) if isinstance(text, str) else None
    names = {name.lower(): factor for name, factor in units.items()}
    if match is not None and not match[2] and not match[1].strip("0."):
        return 0
    if match is None or match[2].lower() not in names:
        known = ", ".join(units)
        raise InputError(f"{shown(text)} is not a {what}: expected a number and one of {known}, such as {example}")
    factor = names[match[2].lower()]
    whole, _, fraction = match[1].partition(".")
    return int(whole) * factor + (int(fraction) * factor // 10 ** len(fraction) if fraction else 0)


def _quantity(value: str | SupportsIndex, units: dict[str, int], what: str, example: str) -> int:
    if isinstance(value, str):
        return _parse(value, units, what, example)
    try:
        number = index(value) if not isinstance(value, bool) else None
    except TypeError:
        number = None
    if number is None:
        raise InputError(f"{shown(value)} is not a {what}: expected a whole number, or text such as {example}")
    if number < 0:
        raise InputError(f"{shown(number)} is not a {what}: it is negative")
    return number


def parse_price(price: object) -> float:
    """CPU seconds that a GiB*minute of the host's memory is worth, as a number or its text. Raises InputError."""
    try:
        number = float(cast(SupportsFloat, price))
    except (TypeError, ValueError, OverflowError):
        number = -1.0
    if isinstance(price, bool) or not 0 <= number <= _DEAREST:
        raise InputError(
            f"a price of {shown(price)}: expected CPU seconds for a GiB*minute, 0 to {_DEAREST:,}, such as 15"
        )
    return number


def parse_size(size: str | SupportsIndex) -> int:
    """Bytes of a size such as ``"4GiB"``; a whole number is bytes already. Raises InputError."""
    return _quantity(size, _SIZES, "size", "4GiB")


def parse_time(time: str | SupportsIndex) -> int:
    """Nanoseconds of a time such as ``"100ms"``; a whole number is nanoseconds already. Raises InputError."""
    number = _quantity(time, _TIMES, "time", "100ms")
    if number > LONGEST_TIME:
        raise InputError(f"{shown(time)} is too long a time: expected up to {LONGEST_TIME // _TIMES['h']} h")
    return number


def _format(value: int, units: list[tuple[str, int]]) -> str:
    for name, factor in units:
        if abs(value) >= factor:
            number = value / factor
            return f"{number:,.0f} {name}" if abs(number) >= 9999.5 else f"{number:.4g} {name}"
    return f"{value} {units[-1][0]}"


def format_size(size: int) -> str:
    """A size in bytes for people: ``"1.5 GiB"``."""
    return _format(size, list(reversed(_SIZES.items())))


def format_time(time: int) -> str:
    """A time in nanoseconds for people: ``"100 ms"``."""
    return _format(time, [(name, _TIMES[name]) for name in ("s", "ms", "us", "ns")])


def mib(size: float) -> str:
    """Bytes as MiB for people: ``"1,256 MiB"``."""
    value = size / MIB
    if abs(value) >= 10 or value == 0:
        return f"{value:,.0f} MiB"
    return f"{value:.2g} MiB" if abs(value) >= 0.001 else "< 0.001 MiB"


def gib_min(footprint: float) -> str:
    """GiB*minutes as a number for people: ``"12.345"``; three digits of a small one."""
    return f"{footprint:.3g}" if 1e-9 < abs(footprint) < 0.01 else f"{footprint:,.3f}"


def format_count(number: int, one: str, many: str | None = None) -> str:
    """So many of something: ``"1 pass"``, ``"2,000 passes"``."""
    return f"{number:,} {one if number == 1 else many or f'{one}s'}"


def percent(share: float, digits: int = 0) -> str:
    """A share for people: ``"39.5 %"``."""
    return f"{100 * share:.{digits}f} %"
