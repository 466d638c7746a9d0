import sys
from collections.abc import Callable

import pytest

from pagehint import PagehintError
from pagehint.arena import Arena
from pagehint.arena.metrics import ArenaCollector


def test_what_prometheus_reads(make: Callable[..., Arena]) -> None:
    client = pytest.importorskip("prometheus_client")
    arena = make("64MiB", idle="60s")
    kept = arena.empty(2 << 20, "u1")
    kept[:] = 1
    arena.empty(4 << 20, "u1")[:] = 1
    arena.trim()
    registry = client.CollectorRegistry()
    registry.register(ArenaCollector(arena, "loader"))
    lines = client.generate_latest(registry).decode().splitlines()
    values = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    found = {name.split("{")[0].removeprefix("pagehint_arena_"): float(value) for name, value in values.items()}
    assert all('{arena="loader"}' in name for name in values)
    assert found == {
        "limit_bytes": 64 << 20,
        "present_bytes": 64 << 20,
        "live_bytes": 2 << 20,
        "warm_bytes": 0,
        "hinted_bytes": 62 << 20,
        "in_flight_bytes": 0,
        "resident_bytes": 2 << 20,
        "given_back_bytes_total": 4 << 20,
        "cycles_total": 1,
        "errors_total": 0,
        "blocks": 1,
    }


def test_without_the_package(make: Callable[..., Arena], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "prometheus_client.core", None)
    with pytest.raises(PagehintError, match="pip install prometheus_client"):
        ArenaCollector(make("64MiB"))
