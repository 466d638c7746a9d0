"""What a row of ``events.parquet`` holds: the kinds of event, the columns, and the `detail` of each kind."""

from enum import IntEnum

import pyarrow as pa

__all__ = [
    "EVENT_SCHEMA",
    "KMEM_EVENTS",
    "LETTERS",
    "MAX_KIB",
    "MAX_PFN",
    "MAX_TIME",
    "NONE",
    "NO_PFN",
    "PROBE_EVENTS",
    "Event",
    "pack_fallback",
]

NO_PFN = -1
"""`pfn` of a failed allocation, and of events that name no page."""

NONE = 255
"""`order` or `migratetype` of an event that has none."""

MAX_PFN = (1 << 40) - 1
"""The last page of a 52-bit physical address space of 4 KiB pages: an event above it is refused."""

MAX_KIB = 4 * (MAX_PFN + 1)
"""What these pages hold: a count of pages or KiB above it is refused."""

MAX_TIME = 1 << 62
"""Nanoseconds, of either sign: times are added and subtracted in 64 bits, and one beyond is refused."""


class Event(IntEnum):
    """Kinds of event; the value is the ASCII code of the letter that stands for it."""

    ALLOC = ord("A")
    FREE = ord("F")
    FREE_BATCHED = ord("B")
    ZONE_ALLOC = ord("Z")
    PCPU_DRAIN = ord("D")
    EXTFRAG = ord("X")
    ISOLATE = ord("I")
    ISOLATE_RETURN = ord("i")
    PUTBACK = ord("P")
    REPORT = ord("R")
    REPORT_RETURN = ord("r")
    MARK = ord("M")

    @property
    def letter(self) -> str:
        """The letter that stands for the event: ``"A"`` for ALLOC."""
        return chr(self.value)


LETTERS = " ".join(event.letter for event in Event)
"""Of all kinds, for messages."""

KMEM_EVENTS = {
    "mm_page_alloc": Event.ALLOC,
    "mm_page_free": Event.FREE,
    "mm_page_free_batched": Event.FREE_BATCHED,
    "mm_page_alloc_zone_locked": Event.ZONE_ALLOC,
    "mm_page_pcpu_drain": Event.PCPU_DRAIN,
    "mm_page_alloc_extfrag": Event.EXTFRAG,
}
"""The kernel's own events, by name."""

PROBE_EVENTS = {
    "isolate": Event.ISOLATE,
    "isolate_ret": Event.ISOLATE_RETURN,
    "putback": Event.PUTBACK,
    "report": Event.REPORT,
    "report_ret": Event.REPORT_RETURN,
}
"""The kprobes of the guest's own reporting, by the names that docs/tracers.md and the recorder give them."""

EVENT_SCHEMA = pa.schema(
    [
        pa.field("time", pa.int64(), nullable=False),
        pa.field("cpu", pa.uint16(), nullable=False),
        pa.field("pid", pa.int32(), nullable=False),
        pa.field("event", pa.uint8(), nullable=False),
        pa.field("pfn", pa.int64(), nullable=False),
        pa.field("order", pa.uint8(), nullable=False),
        pa.field("migratetype", pa.uint8(), nullable=False),
        pa.field("gfp", pa.uint32(), nullable=False),
        pa.field("detail", pa.int32(), nullable=False),
    ]
)
"""Columns of ``events.parquet``; docs/trace-format.md says what each holds."""


def pack_fallback(order: int, migratetype: int, change_ownership: int) -> int:
    """The `detail` of EXTFRAG: the stolen block's order and migratetype, and whether its pageblock changed type."""
    return order | migratetype << 8 | change_ownership << 16
