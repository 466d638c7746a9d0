"""A long text in pieces of whole lines, so that what is made of each is soon gone."""

from collections.abc import Iterator

__all__ = ["PIECE", "pieces_of"]

PIECE = 1 << 14
"""Characters of a piece, where nothing else is asked for."""


def pieces_of(text: str, end: int | None = None, size: int = PIECE) -> Iterator[str]:
    """The text up to `end` in pieces of whole lines, of `size` characters and more, without the line break between.

    O(length).
    """
    begin = 0
    while (stop := text.find("\n", begin + size, end)) >= 0:
        yield text[begin:stop]
        begin = stop + 1
    yield text[begin:end]
