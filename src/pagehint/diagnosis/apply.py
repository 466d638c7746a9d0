"""The only place that writes to the machine: dropping caches and compacting, and what it brought."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pagehint.diagnosis.examine import doctor
from pagehint.diagnosis.findings import Diagnosis
from pagehint.errors import InputError
from pagehint.units import MIB

__all__ = ["STEPS", "Applied", "apply_action", "check_action"]

_DROP, _COMPACT = Path("/proc/sys/vm/drop_caches"), Path("/proc/sys/vm/compact_memory")
STEPS = {
    "drop_caches": ((_DROP, "3"),),
    "compact_memory": ((_COMPACT, "1"),),
    "both": ((_DROP, "3"), (_COMPACT, "1")),
}
"""For each action the files that are written, and what."""


@dataclass(frozen=True)
class Applied:
    """What an action did: the diagnosis before and after."""

    action: str
    before: Diagnosis
    after: Diagnosis

    def brought(self, order: int) -> int:
        """Bytes more in free blocks of `order` and more than before."""
        return self._free(self.after, order) - self._free(self.before, order)

    def _free(self, found: Diagnosis, order: int) -> int:
        return sum(zone.free_from(order) or 0 for zone in found.zones) * found.setting.page_size

    def to_dict(self) -> dict[str, Any]:
        """In types that JSON has; MiB by order."""
        orders = self.after.setting.orders
        return {
            "action": self.action,
            "brought": {str(order): round(self.brought(order) / MIB, 3) for order in orders},
            "predicted": self.before.to_dict()["would_bring"].get(self.action),
        }


def check_action(action: str) -> None:
    """Raise InputError where this machine doesn't let us do it."""
    for path, _ in STEPS[action]:
        if not path.exists():
            raise InputError(f"--apply {action}: this kernel has no {path}")
        if not os.access(path, os.W_OK):
            raise InputError(f"--apply {action}: {path} can't be written: run it as root, outside of a container")


def apply_action(action: str, before: Diagnosis) -> Applied:
    """Do it, and look again. Raises InputError. `before` is the diagnosis that led to it."""
    check_action(action)
    for path, value in STEPS[action]:
        if path == _DROP:
            os.sync()
        try:
            path.write_text(value)
        except OSError as error:
            raise InputError(f"--apply {action}: {path}: {error.strerror}: nothing more was done") from None
    return Applied(action, before, doctor(before.page_map is not None))
