"""What files say again that others said before: the same, more of it, or something else."""

from collections.abc import Mapping
from hashlib import blake2b
from typing import TypeVar

from pagehint.diagnosis.evidence import Evidence

__all__ = ["Earlier", "agree", "figures_of", "is_kept", "more_of"]

_Key = TypeVar("_Key")
_Value = TypeVar("_Value")
# What a file is found to be, and what of the evidence it tells: parts of these add up.
_TELLS = {
    "buddyinfo": "buddy",
    "buddyinfo, more zones": "buddy",
    "zoneinfo": "zones",
    "zoneinfo, more zones": "zones",
    "meminfo": "meminfo",
    "vmstat": "vmstat",
}


class Earlier:
    """The texts that were read: who gives one twice gives it once."""

    def __init__(self) -> None:
        self._digests: set[bytes] = set()

    def has(self, data: bytes | bytearray) -> bool:
        """Whether a text was there before; from now on it was. O(length)."""
        digest = blake2b(data).digest()
        is_there = digest in self._digests
        self._digests.add(digest)
        return is_there


def figures_of(evidence: Evidence) -> Mapping[str, frozenset[str]]:
    """The figures of the files whose parts add up. O(figures)."""
    found = {}
    for name in set(_TELLS.values()):
        figures = getattr(evidence, name)
        found[name] = frozenset(map(repr, figures.items() if isinstance(figures, dict) else figures))
    return found


def is_kept(what: str, before: Mapping[str, frozenset[str]], now: Mapping[str, frozenset[str]]) -> bool:
    """Whether all that was told before what was found now still is; False where nobody tells. O(figures)."""
    return what in _TELLS and before[_TELLS[what]] <= now[_TELLS[what]]


def agree(known: Mapping[_Key, _Value], found: Mapping[_Key, _Value]) -> bool:
    """Whether what is in both is the same there. O(figures)."""
    return all(known.get(key, value) == value for key, value in found.items())


def more_of(known: dict[_Key, _Value], found: dict[_Key, _Value]) -> dict[_Key, _Value]:
    """Both, where they agree; else what was found last. O(figures)."""
    return known | found if agree(known, found) else found
