"""Free page hinting in Python: what a guest could give back to its host, and real memory that does it."""

from pagehint.errors import AllocationError, BusyError, InputError, PagehintError
from pagehint.hinting.boundary import PageHinting
from pagehint.hinting.clock import VirtualClock
from pagehint.hinting.design import Design, Statistics
from pagehint.hinting.device import Device
from pagehint.hinting.reporting import PageReporting
from pagehint.hinting.stepper import Stepper
from pagehint.hinting.thread import ThreadWorker
from pagehint.hinting.virtual import VirtualWorker
from pagehint.mm.batch import Batch, Block
from pagehint.mm.check import check
from pagehint.mm.memory import GuestMemory, PageCounts
from pagehint.mm.migratetype import LINUX_5_3, LINUX_6_1, ListRules, Migratetype
from pagehint.mm.pcp import PerCpuLists
from pagehint.mm.procfs import buddyinfo, pagetypeinfo
from pagehint.mm.zone import Watermarks, Zone

__all__ = [
    "LINUX_5_3",
    "LINUX_6_1",
    "AllocationError",
    "Batch",
    "Block",
    "BusyError",
    "Design",
    "Device",
    "GuestMemory",
    "InputError",
    "ListRules",
    "Migratetype",
    "PageCounts",
    "PageHinting",
    "PageReporting",
    "PagehintError",
    "PerCpuLists",
    "Statistics",
    "Stepper",
    "ThreadWorker",
    "VirtualClock",
    "VirtualWorker",
    "Watermarks",
    "Zone",
    "buddyinfo",
    "check",
    "pagetypeinfo",
]
