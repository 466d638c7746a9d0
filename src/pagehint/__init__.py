"""Free page hinting in Python: what a guest could give back to its host, and real memory that does it."""

import threading
from importlib import import_module
from typing import TYPE_CHECKING, Any

from pagehint.errors import AllocationError, BusyError, InputError, PagehintError

if TYPE_CHECKING:
    from pagehint.arena.arena import Arena
    from pagehint.arena.state import ArenaFullError, ArenaStatistics
    from pagehint.hinting.boundary import PageHinting
    from pagehint.hinting.clock import VirtualClock
    from pagehint.hinting.design import Design, Statistics
    from pagehint.hinting.device import Device
    from pagehint.hinting.reporting import PageReporting
    from pagehint.hinting.stepper import Stepper
    from pagehint.hinting.thread import ThreadWorker
    from pagehint.hinting.virtual import VirtualWorker
    from pagehint.host.calibrate import calibrate
    from pagehint.host.costs import Costs
    from pagehint.host.model import ModelHost
    from pagehint.mm.batch import Batch, Block
    from pagehint.mm.check import check
    from pagehint.mm.memory import GuestMemory, PageCounts
    from pagehint.mm.migratetype import LINUX_5_3, LINUX_6_1, ListRules, Migratetype
    from pagehint.mm.pcp import PerCpuLists
    from pagehint.mm.procfs import buddyinfo, pagetypeinfo
    from pagehint.mm.zone import Watermarks, Zone
    from pagehint.replay.replay import replay
    from pagehint.replay.run import Run
    from pagehint.replay.start import guest_reporting
    from pagehint.trace.bundle import Trace

__all__ = [
    "LINUX_5_3",
    "LINUX_6_1",
    "AllocationError",
    "Arena",
    "ArenaFullError",
    "ArenaStatistics",
    "Batch",
    "Block",
    "BusyError",
    "Costs",
    "Design",
    "Device",
    "GuestMemory",
    "InputError",
    "ListRules",
    "Migratetype",
    "ModelHost",
    "PageCounts",
    "PageHinting",
    "PageReporting",
    "PagehintError",
    "PerCpuLists",
    "Run",
    "Statistics",
    "Stepper",
    "ThreadWorker",
    "Trace",
    "VirtualClock",
    "VirtualWorker",
    "Watermarks",
    "Zone",
    "buddyinfo",
    "calibrate",
    "check",
    "guest_reporting",
    "pagetypeinfo",
    "replay",
]

# Loaded now, the package `replay` can't take the place of the function of that name when it would be loaded later.
import_module("pagehint.replay")
globals().pop("replay", None)

# Loaded when they are asked for: most bring NumPy along, many pyarrow.
_LATER = {
    "Arena": "pagehint.arena.arena",
    "ArenaFullError": "pagehint.arena.state",
    "ArenaStatistics": "pagehint.arena.state",
    "Batch": "pagehint.mm.batch",
    "Block": "pagehint.mm.batch",
    "Costs": "pagehint.host.costs",
    "Design": "pagehint.hinting.design",
    "Device": "pagehint.hinting.device",
    "GuestMemory": "pagehint.mm.memory",
    "LINUX_5_3": "pagehint.mm.migratetype",
    "LINUX_6_1": "pagehint.mm.migratetype",
    "ListRules": "pagehint.mm.migratetype",
    "Migratetype": "pagehint.mm.migratetype",
    "ModelHost": "pagehint.host.model",
    "PageCounts": "pagehint.mm.memory",
    "PageHinting": "pagehint.hinting.boundary",
    "PageReporting": "pagehint.hinting.reporting",
    "PerCpuLists": "pagehint.mm.pcp",
    "Run": "pagehint.replay.run",
    "Statistics": "pagehint.hinting.design",
    "Stepper": "pagehint.hinting.stepper",
    "ThreadWorker": "pagehint.hinting.thread",
    "Trace": "pagehint.trace.bundle",
    "VirtualClock": "pagehint.hinting.clock",
    "VirtualWorker": "pagehint.hinting.virtual",
    "Watermarks": "pagehint.mm.zone",
    "Zone": "pagehint.mm.zone",
    "buddyinfo": "pagehint.mm.procfs",
    "calibrate": "pagehint.host.calibrate",
    "check": "pagehint.mm.check",
    "guest_reporting": "pagehint.replay.start",
    "pagetypeinfo": "pagehint.mm.procfs",
    "replay": "pagehint.replay.replay",
}


# Two threads that load parts of it from different ends would each find the other's half loaded.
_loading = threading.RLock()


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module 'pagehint' has no attribute {name!r}")
    with _loading:
        value = globals()[name] = getattr(import_module(_LATER[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
