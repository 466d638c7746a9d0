"""Guests whose steps are known."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pagehint.fleets.steps import Steps, steps_between

__all__ = ["MIB", "ONE", "OTHER", "S", "parquet", "steps"]

MIB = 1 << 20
S = 10**9


def steps(*pairs: tuple[float, float], name: str = "a") -> Steps:
    """(seconds, MiB) one after the other."""
    times = (np.cumsum([0, *(seconds for seconds, _ in pairs)]) * S).astype(np.int64)
    return steps_between(name, times, np.array([*(mib for _, mib in pairs), 0]) * MIB)


def parquet(path: Path, rows: list[tuple[object, object]]) -> Path:
    """A file of a guest's steps: (time, resident bytes)."""
    pq.write_table(pa.table({"time": [row[0] for row in rows], "resident": [row[1] for row in rows]}), path)
    return path


ONE = steps((3, 100), (1, 400), (6, 150))
OTHER = steps((1, 64), (1, 1024), (2, 512))
