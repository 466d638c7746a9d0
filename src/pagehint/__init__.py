"""Free page hinting in Python: what a guest could give back to its host, and real memory that does it."""

import threading
from importlib import import_module
from typing import TYPE_CHECKING, Any

from pagehint.errors import AllocationError, BusyError, HostError, InputError, PagehintError
from pagehint.replays.drawing import draw_by

if TYPE_CHECKING:
    from pagehint.arena.arena import Arena
    from pagehint.arena.state import ArenaFullError, ArenaStatistics
    from pagehint.diagnosis.examine import diagnose, doctor
    from pagehint.diagnosis.findings import Diagnosis
    from pagehint.fleets.fleet import Fleet, Guests, fleet
    from pagehint.hinting.clock import VirtualClock
    from pagehint.hinting.design import Design, Statistics
    from pagehint.hinting.designs.breakeven import BreakEven
    from pagehint.hinting.designs.hinting import PageHinting
    from pagehint.hinting.designs.reporting import PageReporting
    from pagehint.hinting.device import Device
    from pagehint.hinting.drivers.stepper import Stepper
    from pagehint.hinting.drivers.thread import ThreadWorker
    from pagehint.hinting.drivers.virtual import VirtualWorker
    from pagehint.hinting.setting import Setting
    from pagehint.host.calibrate import calibrate
    from pagehint.host.costs import Costs
    from pagehint.host.model import ModelHost
    from pagehint.kernel.migratetype import Migratetype
    from pagehint.kernel.profiles import LINUX_5_3, LINUX_6_1, KernelProfile, kernel_profile
    from pagehint.mm.batch import Batch, Block
    from pagehint.mm.check import check
    from pagehint.mm.guest.memory import GuestMemory, PageCounts
    from pagehint.mm.guest.procfs import buddyinfo, pagetypeinfo
    from pagehint.mm.pcp import PerCpuLists
    from pagehint.mm.zone import Watermarks, Zone
    from pagehint.replays.host_clock import with_host
    from pagehint.replays.replay import replay
    from pagehint.replays.rows import replay_rows
    from pagehint.replays.run import Run
    from pagehint.replays.scheduler import scheduler
    from pagehint.replays.start import guest_reporting
    from pagehint.replays.study import Study, study
    from pagehint.replays.sweep import Budget, Sweep, sweep
    from pagehint.replays.truth import guest_host
    from pagehint.report.html import write_html
    from pagehint.trace.bundle import Trace
    from pagehint.trace.shipped import example

__all__ = [
    "LINUX_5_3",
    "LINUX_6_1",
    "AllocationError",
    "Arena",
    "ArenaFullError",
    "ArenaStatistics",
    "Batch",
    "Block",
    "BreakEven",
    "Budget",
    "BusyError",
    "Costs",
    "Design",
    "Device",
    "Diagnosis",
    "Fleet",
    "GuestMemory",
    "Guests",
    "HostError",
    "InputError",
    "KernelProfile",
    "Migratetype",
    "ModelHost",
    "PageCounts",
    "PageHinting",
    "PageReporting",
    "PagehintError",
    "PerCpuLists",
    "Run",
    "Setting",
    "Statistics",
    "Stepper",
    "Study",
    "Sweep",
    "ThreadWorker",
    "Trace",
    "VirtualClock",
    "VirtualWorker",
    "Watermarks",
    "Zone",
    "buddyinfo",
    "calibrate",
    "check",
    "diagnose",
    "doctor",
    "example",
    "fleet",
    "guest_host",
    "guest_reporting",
    "kernel_profile",
    "pagetypeinfo",
    "replay",
    "replay_rows",
    "scheduler",
    "study",
    "sweep",
    "with_host",
    "write_html",
]

# Loaded when they are asked for: most bring NumPy along, many pyarrow.
_LATER = {
    "Arena": "pagehint.arena.arena",
    "ArenaFullError": "pagehint.arena.state",
    "ArenaStatistics": "pagehint.arena.state",
    "Batch": "pagehint.mm.batch",
    "Block": "pagehint.mm.batch",
    "Budget": "pagehint.replays.sweep",
    "BreakEven": "pagehint.hinting.designs.breakeven",
    "Costs": "pagehint.host.costs",
    "Design": "pagehint.hinting.design",
    "Device": "pagehint.hinting.device",
    "Diagnosis": "pagehint.diagnosis.findings",
    "Fleet": "pagehint.fleets.fleet",
    "GuestMemory": "pagehint.mm.guest.memory",
    "Guests": "pagehint.fleets.fleet",
    "KernelProfile": "pagehint.kernel.profiles",
    "LINUX_5_3": "pagehint.kernel.profiles",
    "LINUX_6_1": "pagehint.kernel.profiles",
    "Migratetype": "pagehint.kernel.migratetype",
    "ModelHost": "pagehint.host.model",
    "PageCounts": "pagehint.mm.guest.memory",
    "PageHinting": "pagehint.hinting.designs.hinting",
    "PageReporting": "pagehint.hinting.designs.reporting",
    "PerCpuLists": "pagehint.mm.pcp",
    "Run": "pagehint.replays.run",
    "Setting": "pagehint.hinting.setting",
    "Statistics": "pagehint.hinting.design",
    "Stepper": "pagehint.hinting.drivers.stepper",
    "Study": "pagehint.replays.study",
    "Sweep": "pagehint.replays.sweep",
    "ThreadWorker": "pagehint.hinting.drivers.thread",
    "Trace": "pagehint.trace.bundle",
    "VirtualClock": "pagehint.hinting.clock",
    "VirtualWorker": "pagehint.hinting.drivers.virtual",
    "Watermarks": "pagehint.mm.zone",
    "Zone": "pagehint.mm.zone",
    "buddyinfo": "pagehint.mm.guest.procfs",
    "calibrate": "pagehint.host.calibrate",
    "check": "pagehint.mm.check",
    "diagnose": "pagehint.diagnosis.examine",
    "doctor": "pagehint.diagnosis.examine",
    "example": "pagehint.trace.shipped",
    "fleet": "pagehint.fleets.fleet",
    "guest_host": "pagehint.replays.truth",
    "guest_reporting": "pagehint.replays.start",
    "kernel_profile": "pagehint.kernel.profiles",
    "pagetypeinfo": "pagehint.mm.guest.procfs",
    "replay": "pagehint.replays.replay",
    "replay_rows": "pagehint.replays.rows",
    "scheduler": "pagehint.replays.scheduler",
    "study": "pagehint.replays.study",
    "sweep": "pagehint.replays.sweep",
    "with_host": "pagehint.replays.host_clock",
    "write_html": "pagehint.report.html",
}


draw_by(lambda: import_module("pagehint.report.html"))

# Two threads that load parts of it from different ends would each find the other's half loaded.
_loading = threading.RLock()


if not TYPE_CHECKING:  # to a type checker any name would be one of it

    def __getattr__(name: str) -> Any:
        if name not in _LATER:
            raise AttributeError(f"module 'pagehint' has no attribute {name!r}")
        with _loading:
            value = globals()[name] = getattr(import_module(_LATER[name]), name)
        return value


def __dir__() -> list[str]:
    return sorted(__all__)
