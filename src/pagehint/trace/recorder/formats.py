"""What tracefs says of its own data: the layout of a ring buffer page, the fields of each event, the names of flags."""

import ast
import operator
import re
from typing import NamedTuple

from pagehint.errors import InputError
from pagehint.trace.events import KMEM_EVENTS, PROBE_EVENTS, Event
from pagehint.trace.gfp import parse_gfp

__all__ = [
    "EVENTS",
    "ZONE_PROBES",
    "EventFormat",
    "Field",
    "GfpNames",
    "PageLayout",
    "is_guessable",
    "parse_format",
    "parse_header_page",
]

ZONE_PROBES = {"straight": Event.FREE, "compact": Event.ALLOC, "compact_ret": Event.ALLOC}
"""The kprobes of the zone level: frees past the per-CPU lists; what an allocation that compacts asks for, and the
page that it gets."""

EVENTS = {**KMEM_EVENTS, **PROBE_EVENTS, **ZONE_PROBES, "print": Event.MARK}
"""The events that are read, by tracefs' name."""


class Field(NamedTuple):
    """A field of an event: bytes from the record's start on, how many, and whether it has a sign."""

    offset: int
    size: int
    signed: bool


class EventFormat(NamedTuple):
    """An event's ``format`` file. `flags` are (value, name) of its ``__print_flags``, in order."""

    name: str
    id: int
    fields: dict[str, Field]
    flags: tuple[tuple[int, str], ...]


class PageLayout(NamedTuple):
    """A page of the ring buffer: where its data begin, and how large the whole page and its commit word are (bytes)."""

    size: int
    data: int
    commit: int
    commit_size: int


_FIELD = re.compile(
    r"field:[^;\n]{0,200}?\b(\w{1,80})(?:\[\w{0,80}\])?;\s*offset:(\d{1,9});\s*size:(\d{1,9});(?:\s*signed:([01]);)?",
    re.ASCII,
)
_FLAG = re.compile(r'\{([^{}"]*),\s*"(\w+)"\s*\}', re.ASCII)
_LARGEST_PAGE = 1 << 20
_GUESSABLE_PFNS = 1 << 24  # of x86-64: 64 GiB, whose page array fits the 1 GiB that it begins at


def is_guessable(architecture: object, pfn_end: object) -> bool:
    """Whether a page's address in the page array tells its pfn, though nobody knows where the array begins."""
    return architecture == "x86_64" and isinstance(pfn_end, int) and 0 < pfn_end <= _GUESSABLE_PFNS


def parse_header_page(text: str, where: str = "header_page") -> PageLayout:
    """Read ``events/header_page``. Raises InputError where it isn't one this reader knows."""
    fields = {match[1]: (int(match[2]), int(match[3])) for match in _FIELD.finditer(text)}
    try:
        (stamp, stamp_size), (commit, commit_size), (data, data_size) = (
            fields[name] for name in ("timestamp", "commit", "data")
        )
    except KeyError as error:
        raise InputError(f"{where}: no field {error.args[0]}: expected tracefs' events/header_page") from None
    if (stamp, stamp_size, commit) != (0, 8, 8) or commit_size not in (4, 8) or data != commit + commit_size:
        raise InputError(f"{where}: a layout of ring buffer pages that this reader doesn't know")
    if not 256 <= data + data_size <= _LARGEST_PAGE:
        raise InputError(f"{where}: pages of {data + data_size} bytes are absurd")
    return PageLayout(data + data_size, data, commit, commit_size)


def parse_format(text: str, where: str = "format") -> EventFormat:
    """Read an event's ``format`` file. Raises InputError where it isn't one."""
    name = re.search(r"^name: (\S+)", text, re.ASCII | re.MULTILINE)
    number = re.search(r"^ID: (\d{1,5})(?!\S)", text, re.ASCII | re.MULTILINE)
    if name is None or number is None or int(number[1]) > 0xFFFF:
        raise InputError(f"{where}: no name and ID: expected the format file of an event")
    fields = {}
    for match in _FIELD.finditer(text):
        offset, size = int(match[2]), int(match[3])
        if offset > 0xFFFF or size > 0xFFFF:
            raise InputError(f"{where}: field {match[1]} lies at {offset}, {size} bytes: no event is so large")
        fields[match[1]] = Field(offset, size, match[4] == "1")
    flags = []
    for match in _FLAG.finditer(text):
        value = _number(match[1])
        if value:
            flags.append((value, match[2]))
    return EventFormat(name[1], int(number[1]), fields, tuple(flags))


_OPERATORS = {
    ast.BitOr: operator.or_,
    ast.BitAnd: operator.and_,
    ast.LShift: lambda value, by: value << by if 0 <= by < 64 else 0,
    ast.Add: operator.add,
    ast.Sub: operator.sub,
}


def _number(text: str) -> int | None:
    """The value of a C expression of integers, casts, ``| & << + - ~``; None where it's another one."""
    text = re.sub(r"\(\s*(?:unsigned |signed )?(?:long|int|char|gfp_t|__force gfp_t|u64|u32)\s*\)", "", text)
    text = re.sub(r"\b(0x[0-9a-fA-F]+|\d+)[uUlL]+\b", r"\1", text)
    text = re.sub(r"\b0+(?=\d)", "0o", text)
    try:
        return _value(ast.parse(text.strip(), mode="eval").body) & 0xFFFFFFFF if len(text) < 4096 else None
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return None


def _value(node: ast.expr) -> int:
    if isinstance(node, ast.Constant) and type(node.value) is int:
        return node.value & 0xFFFFFFFFFFFFFFFF
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Invert):
        return ~_value(node.operand) & 0xFFFFFFFFFFFFFFFF
    if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
        both = _OPERATORS[type(node.op)](_value(node.left), _value(node.right))
        return int(both) & 0xFFFFFFFFFFFFFFFF
    raise ValueError(ast.dump(node))


class GfpNames:
    """Turns a kernel's allocation flags into the bits of the bundle's `gfp` column, by their names.

    As the kernel prints them: a name whose bits are all there takes them away, the names of many bits first. A flag's
    own name says what a bit is even where a name of many bits took it. Bits without a name are kept.
    """

    def __init__(self, flags: tuple[tuple[int, str], ...]) -> None:
        self._flags = flags
        self.unknown: dict[str, int] = {}
        self._known: dict[int, int] = {}

    def __getitem__(self, raw: int) -> int:
        """The bundle's bits of the kernel's."""
        bits = self._known.get(raw)
        if bits is None:
            bits = self._known[raw] = self._bits(raw)
        return bits

    def _bits(self, raw: int) -> int:
        if not self._flags:
            return raw
        bits, left, unnamed = 0, raw, raw
        for value, name in self._flags:
            single = value & (value - 1) == 0
            if left & value == value or (single and raw & value):
                known, unknown = parse_gfp(name)
                bits |= known
                for flag in unknown:
                    self.unknown[flag] = self.unknown.get(flag, 0) + 1
                if left & value == value:
                    left &= ~value
                unnamed &= ~value
        return bits | unnamed
