"""Counts in the text of /proc files."""

from pagehint.errors import InputError

__all__ = ["parse_count"]

_LARGEST = (1 << 63) - 1


def parse_count(token: str, where: str, line: int) -> int:
    """The count that a word is, from 0 on. Raises InputError, which names `where` and the line. O(1)."""
    if len(token) <= 19 and token.isascii() and token.isdecimal() and (value := int(token)) <= _LARGEST:
        return value
    shown = token if len(token) <= 40 else f"{token[:37]}..."
    raise InputError(f"{where}: line {line}: {shown!r} is no count")
