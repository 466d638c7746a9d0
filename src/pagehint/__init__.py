"""Free page hinting in Python: what a guest could give back to its host, and real memory that does it."""

from pagehint.arena.arena import Arena
from pagehint.arena.state import ArenaFullError, ArenaStatistics
from pagehint.errors import BusyError, InputError, PagehintError
from pagehint.hinting.boundary import PageHinting
from pagehint.hinting.clock import VirtualClock
from pagehint.hinting.design import Design, Statistics
from pagehint.hinting.device import Device
from pagehint.hinting.reporting import PageReporting
from pagehint.hinting.thread import ThreadWorker
from pagehint.hinting.virtual import VirtualWorker
from pagehint.mm.batch import Batch, Block
from pagehint.mm.check import check
from pagehint.mm.migratetype import LINUX_5_3, LINUX_6_1, ListRules, Migratetype
from pagehint.mm.procfs import buddyinfo, pagetypeinfo
from pagehint.mm.zone import Watermarks, Zone

__all__ = [
    "LINUX_5_3",
    "LINUX_6_1",
    "Arena",
    "ArenaFullError",
    "ArenaStatistics",
    "Batch",
    "Block",
    "BusyError",
    "Design",
    "Device",
    "InputError",
    "ListRules",
    "Migratetype",
    "PageHinting",
    "PageReporting",
    "PagehintError",
    "Statistics",
    "ThreadWorker",
    "VirtualClock",
    "VirtualWorker",
    "Watermarks",
    "Zone",
    "buddyinfo",
    "check",
    "pagetypeinfo",
]
