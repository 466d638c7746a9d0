"""What the doctor found, as data."""

from dataclasses import dataclass, field
from typing import Any

from pagehint.diagnosis.bounds import ZERO, Bounds, exactly
from pagehint.diagnosis.evidence import Evidence
from pagehint.diagnosis.failure import Failure
from pagehint.diagnosis.free_memory import Setting, free_in
from pagehint.diagnosis.holders import HeldBack
from pagehint.diagnosis.page_map import PageMap
from pagehint.diagnosis.zones import ZoneState
from pagehint.units import MIB, format_count, format_size

__all__ = ["Advice", "Diagnosis"]

_APART, _APART_LEAST = 0.1, 16 << 20  # what a log's zones have, and its counter
_COSTS = {"none": 1, "low": 2, "medium": 4, "high": 8}


@dataclass(frozen=True)
class Advice:
    """One thing to do: bytes that it brings at the reporting order, `cost` one of none, low, medium, high.

    `apply` is the name of the ACTION that ``pagehint doctor --apply`` takes for it, where it can do it.
    """

    what: str
    brings: Bounds
    cost: str
    command: str
    risk: str
    apply: str | None = None

    @property
    def worth(self) -> float:
        """Bytes for cost: by this advice is ranked. Of what lies between bounds a quarter counts."""
        brings = self.brings
        between = 0 if brings.value is not None or brings.most is None else brings.most - brings.least
        return (brings.best + between / 4) / _COSTS[self.cost]

    def to_dict(self) -> dict[str, Any]:
        """In types that JSON has."""
        texts = {name: getattr(self, name) for name in ("what", "cost", "command", "risk", "apply")}
        return {**texts, "brings": _mib(self.brings)}


@dataclass
class Diagnosis:
    """What the doctor found; sizes in bytes, `Bounds` where they are not known exactly.

    `free_resident` has the keys of CAUSES, `would_bring` those of ACTIONS and by order; `used_by` those of USED_WORDS.
    `page_map` is there where kpageflags was. `next_file` is the one file more that would tell most, and what it tells.
    """

    evidence: Evidence
    zones: list[ZoneState]
    setting: Setting
    total: int | None
    free: int | None
    free_resident: dict[str, Bounds]
    would_bring: dict[str, dict[int, Bounds]]
    used_by: dict[str, Bounds]
    held_back: list[HeldBack]
    failures: list[Failure]
    drained_most: int | None = None
    """Bytes more in whole pageblocks, at the most, if per-CPU lists were empty; None without a page map."""
    page_map: PageMap | None = None
    next_file: tuple[str, str] | None = None
    kernel_can: str | None = None
    """What the kernel can do, in words, where its version is known."""
    advice: list[Advice] = field(default_factory=list)
    cannot: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def __repr__(self) -> str:
        free = "nothing tells how much is" if self.free is None else format_size(self.free)
        return f"<Diagnosis: {free} free, {format_count(len(self.advice), 'piece', 'pieces')} of advice>"

    @property
    def free_bounds(self) -> Bounds | None:
        """`free`, or the bounds between which it lies, where it is printed roughly, a log lacks zones, or blocks of a
        zone are not all counted."""
        memory = self.evidence.memory()
        in_zones = sum((free_in(zone, self.setting) for zone in self.zones), ZERO)
        if self.free is not None and not in_zones.is_exact and "free" not in memory:
            return in_zones
        counted = memory.get("free", 0)
        if self.free is not None and counted > self.free and self.lacks_zones:
            return Bounds(self.free, counted)
        return self._bounds("free", self.free)

    @property
    def lacks_zones(self) -> bool:
        """Whether the zones are those of a log that lacks some: what is free in these is not told."""
        evidence, report = self.evidence, self.evidence.last_report
        if report is None or not self.zones or evidence.zones or evidence.buddy or evidence.types.free:
            return False
        counted, free = evidence.memory().get("free", 0), self.free or 0
        return report.lacks_zones(self.setting.page_size) or counted - free > _APART * counted + _APART_LEAST

    def _bounds(self, name: str, size: int | None) -> Bounds | None:
        ends = self.evidence.rough(name) if size == self.evidence.memory().get(name) else None
        return None if size is None else exactly(size) if ends is None else Bounds(*ends)

    def tells_nothing(self, action: str | None, size: Bounds) -> bool:
        """Whether bounds of what compaction, a key of ACTIONS, brings are as far apart as all that it could move."""
        if self.free is None or action not in ("compact_memory", "both") or size.most is None or size.least >= 0:
            return False
        dropped = self.would_bring["drop_caches"]
        cache = (dropped[0].most or 0) if action == "both" else 0
        # At order 0 there is no more in it than what is dropped and what is under watermarks, at others what is free.
        if not self.zones:
            cache = min(cache, max((dropped[max(dropped)].most or 0) - self.free, 0))
        return size.most - size.least > self.free + cache

    def to_dict(self) -> dict[str, Any]:
        """In types that JSON has: sizes in MiB, a number where they are known, else [least, most]; null: no bound."""
        reporting = self.evidence.reporting
        return {
            "sources": [{"file": name, "what": what} for name, what in self.evidence.sources],
            "kernel": self.evidence.kernel,
            "kernel_can": self.kernel_can,
            "page_size": self.setting.page_size,
            "pageblock_order": self.setting.pageblock_order,
            "hypervisor": self.evidence.hypervisor,
            "reporting": {
                "on": self.setting.on,
                "device": reporting.device,
                "order": reporting.order,
                "order_taken": self.setting.order,
                "delay_ms": reporting.delay_ms,
                "parameters": reporting.parameters,
            },
            "pressure": self.evidence.pressure,
            "settings": self.evidence.settings,
            "memory_mib": _mib(self._bounds("total", self.total)),
            "free_mib": _mib(self.free_bounds),
            "zones": [_zone(zone) for zone in self.zones],
            "free_resident": {name: _mib(size) for name, size in self.free_resident.items()},
            "would_bring": {
                action: {str(order): _mib(size) for order, size in by_order.items()}
                for action, by_order in self.would_bring.items()
            },
            "bounds": {
                action: {str(order): [_round(size.least), _round(size.most)] for order, size in by_order.items()}
                for action, by_order in self.would_bring.items()
            },
            "likely": {
                action: {
                    str(order): [_round(end) for end in size.likely]
                    for order, size in by_order.items()
                    if size.likely is not None
                }
                for action, by_order in self.would_bring.items()
                if any(size.likely is not None for size in by_order.values())
            },
            "used_by": {name: _mib(size) for name, size in self.used_by.items()},
            "per_cpu_holds_at_most": None if self.drained_most is None else round(self.drained_most / MIB, 3),
            "held_back": [each.to_dict() for each in self.held_back],
            "failures": [failure.to_dict() for failure in self.failures],
            "advice": [each.to_dict() for each in self.advice],
            "cannot_be_helped": self.cannot,
            "next_file": None if self.next_file is None else {"file": self.next_file[0], "tells": self.next_file[1]},
            "missing": self.evidence.missing,
            "warnings": self.warnings,
        }


def _mib(size: Bounds | None) -> float | list[float | None] | None:
    if size is None:
        return None
    if size.value is not None or size.is_exact:
        return _round(size.best)
    return [_round(size.least), _round(size.most)]


def _round(size: float | None) -> float | None:
    # A zero has no sign.
    return None if size is None else round(size / MIB, 3) + 0.0


def _zone(zone: ZoneState) -> dict[str, Any]:
    names = ("node", "name", "free", "managed", "min", "low", "high", "boost", "counts", "per_cpu")
    return {name: getattr(zone, name) for name in names}
