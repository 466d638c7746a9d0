"""What nearly all lines of a text begin with, whatever it is: numbers of lines, a patch's plus, a container's name."""

import itertools
import re
from collections import Counter

__all__ = ["without_common_start"]

_MOST = 1 << 20
_FEWEST_LINES = 3
_LONGEST = 480
_MOST_STARTS = 16  # that are tried
_SHARE = 0.8  # of the lines
_DIGITS, _SPACES = re.compile(r"[0-9]+"), re.compile(r"\s+")
_WHOLE = re.compile(r".*[\s:|>\],;+)=\"']", re.ASCII)


def without_common_start(text: str) -> str | None:
    """The text without what most of its lines begin with, in whatever digits; None where they begin with nothing, or
    the text is long. O(length).
    """
    lines = text.split("\n") if len(text) <= _MOST else []
    said = [line for line in lines if line.strip()]
    if len(said) < _FEWEST_LINES:
        return None
    shapes = list(map(_shape, said))
    starts = Counter(filter(None, itertools.starmap(_common, itertools.pairwise(shapes))))
    covered = {
        start: sum(shape.startswith(start) or shape == start.rstrip() for shape in shapes)
        for start, _ in starts.most_common(_MOST_STARTS)
    }
    start = max(covered, key=lambda each: (covered[each], len(each)), default="")
    if not start.strip() or covered[start] < _SHARE * len(said):
        return None
    prefix = re.compile(
        "".join({"0": "[0-9]+", " ": r"\s+"}.get(char, re.escape(char)) for char in start.rstrip())
        + (r"(?:\s+|\Z)" if start.endswith(" ") else "")
    )
    return "\n".join(prefix.sub("", line, count=1) if prefix.match(line) else line for line in lines)


def _shape(line: str) -> str:
    return _SPACES.sub(" ", _DIGITS.sub("0", line)).rstrip()


# Up to where a word ends.
def _common(shape: str, other: str) -> str:
    pairs = itertools.islice(zip(shape, other, strict=False), _LONGEST)
    length = sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs))
    match = _WHOLE.match(shape[:length])
    return match[0] if match else ""
