"""Counts in the text of /proc files."""

from pagehint.errors import InputError

__all__ = ["parse_count", "parse_pages"]

_LARGEST = (1 << 63) - 1
_MOST_PAGES = 1 << 36  # and pfns: 256 TiB of 4 KiB; the largest machines have 64, at addresses of up to 48 bits


def parse_count(token: str, where: str, line: int) -> int:
    """The count that a word is, from 0 on. Raises InputError, which names `where` and the line. O(1)."""
    if len(token) <= 19 and token.isascii() and token.isdecimal() and (value := int(token)) <= _LARGEST:
        return value
    shown = token if len(token) <= 40 else f"{token[:37]}..."
    raise InputError(f"{where}: line {line}: {shown!r} is no count")


def parse_pages(token: str, where: str, line: int, order: int | None = None) -> int:
    """The count that a word is, of pages or of free blocks of an order, as machines have. Raises InputError. O(1)."""
    value = parse_count(token, where, line)
    if value << (order or 0) > _MOST_PAGES:
        what = f"free blocks of order {order}" if order is not None else "pages"
        raise InputError(f"{where}: line {line}: {value} {what}: no machine has so much memory")
    return value
