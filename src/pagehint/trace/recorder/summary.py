"""What a recording that was just made here can tell, and what it can't: a line each."""

from collections.abc import Collection

from pagehint.trace.bundle import Trace
from pagehint.trace.events import Event

__all__ = ["can_tell", "cannot_tell"]


def can_tell(trace: Trace) -> list[str]:
    """What a replay of it rests on."""
    lines = []
    if trace.meta.level == "zone":
        lines.append("every block that leaves or comes back to the zones' free lists: what can be given back, and when")
    elif trace.meta.has(Event.ALLOC):
        lines.append("every page that is allocated and freed, and where it lies: in use, per-CPU lists, free lists")
    if trace.meta.has(Event.REPORT):
        lines.append("the guest's own free page reporting, to compare with")
    return lines


def cannot_tell(trace: Trace, missing: Collection[str]) -> list[str]:
    """What it lacks, and what would help; `missing`: events and files that the machine doesn't have."""
    meta = trace.meta
    lines = []
    if meta.level == "zone":
        lines.append("what lies on per-CPU lists and what is in use are told together: --level page tells them apart")
    snapshot = trace.snapshot
    if snapshot is None or not snapshot.known_pages:
        lines.append("what was free at the start, but for what its events show: /proc/kpageflags can't be read here")
    if meta.reporting is None:
        lines.append("whether this guest reports its free pages: it has no device or parameters that tell")
    elif not meta.reporting.on:
        lines.append("its own free page reporting, which is off: a replay shows what it would give")
    elif "report" in missing:
        lines.append("when this guest itself reported its free pages: the kernel has no kprobes for it")
    lines.append("what its host really held: `pagehint guest` boots one that is watched from outside too")
    return lines
