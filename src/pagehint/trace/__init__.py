"""Recordings of a guest's page allocator: the bundle, reading and writing it, and importing what tracers print."""

from pagehint.trace.bundle import Trace
from pagehint.trace.events import Event
from pagehint.trace.importer import import_trace
from pagehint.trace.meta import Clock, GuestReporting, Lost, Meta, ZoneLayout
from pagehint.trace.snapshot import Snapshot
from pagehint.trace.writer import TraceWriter

__all__ = [
    "Clock",
    "Event",
    "GuestReporting",
    "Lost",
    "Meta",
    "Snapshot",
    "Trace",
    "TraceWriter",
    "ZoneLayout",
    "import_trace",
]
