"""An arena's statistics for Prometheus; needs the package prometheus_client."""

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from pagehint.arena.arena import Arena
from pagehint.errors import PagehintError

__all__ = ["ArenaCollector"]

_GAUGES = {
    "limit": "Bytes that the arena may have",
    "present": "Bytes that are online",
    "live": "Bytes of blocks, in whole pages",
    "warm": "Bytes that are free and were not given back since they were used",
    "hinted": "Bytes that are free and were given back, or were never used",
    "in_flight": "Bytes that are being given back",
    "resident": "Bytes in memory, by the kernel",
}
_COUNTERS = {
    "given_back": ("given_back_bytes", "Bytes given back"),
    "cycles": ("cycles", "Calls that gave memory back"),
    "errors": ("errors", "Calls that failed to"),
}


class ArenaCollector:
    """A collector of one arena: ``REGISTRY.register(ArenaCollector(arena, "loader"))``; ``name`` labels its metrics.

    Raises PagehintError where prometheus_client isn't installed.
    """

    def __init__(self, arena: Arena, name: str = "arena") -> None:
        try:
            import prometheus_client.core as core
        except ImportError:
            raise PagehintError("metrics need the package prometheus_client: pip install prometheus_client") from None
        self._core: Any = core
        self._arena = arena
        self._name = name

    def collect(self) -> Iterator[Any]:
        """The metrics now."""
        figures = asdict(self._arena.stats())
        yield self._metric("GaugeMetricFamily", "blocks", "Blocks that are allocated", figures["blocks"])
        for field, text in _GAUGES.items():
            yield self._metric("GaugeMetricFamily", f"{field}_bytes", text, figures[field])
        for field, (name, text) in _COUNTERS.items():
            yield self._metric("CounterMetricFamily", name, text, figures[field])

    def _metric(self, kind: str, name: str, text: str, value: int) -> Any:
        metric = getattr(self._core, kind)(f"pagehint_arena_{name}", text, labels=["arena"])
        metric.add_metric([self._name], value)
        return metric
