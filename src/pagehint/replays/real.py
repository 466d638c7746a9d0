"""A replay on this machine's memory, beside the model: real touches, real give-back, residency by the kernel."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from pagehint.errors import InputError
from pagehint.host.anonymous import AnonymousHost
from pagehint.host.blocks import PAGE_BYTES, OtherBlocks
from pagehint.host.model import ModelHost
from pagehint.host.shared import MemfdHost
from pagehint.mm.batch import Batch
from pagehint.proc.counters import parse_meminfo
from pagehint.replays.engine import Engine
from pagehint.units import shown

__all__ = ["RealKind", "RealMemory", "RealResidency"]

RealKind = Literal["anonymous", "memfd"]
_SAMPLES = 400


@dataclass(frozen=True, eq=False)
class RealResidency:
    """What the kernel measured of a replay on real memory, beside the model of the same replay."""

    host: str
    pages_per_page: int
    """Guest pages that one page of this machine stands for: more than 1 where the guest does not fit."""
    error: float
    """Integral of the absolute difference of the two over the integral of the measured."""
    measured_mean: float
    """Bytes, times `pages_per_page`."""
    predicted_mean: float
    samples: pa.Table
    """time (ns), measured, predicted (bytes)."""

    def to_dict(self) -> dict[str, Any]:
        """All but the samples, in plain types."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__ if name != "samples"}


class RealMemory:
    """Memory of this machine for a guest of `pages` pages, thinned by powers of two until it is half of what is free.

    Raises InputError, OSError.
    """

    def __init__(self, kind: RealKind, host: ModelHost, pages: int) -> None:
        if kind not in ("anonymous", "memfd"):
            raise InputError(f"host {shown(kind)}: expected anonymous or memfd")
        if host.page_size == "2MiB" or host.memory is not None:
            raise InputError(f"host {kind}: this machine's memory is backed by 4KiB or THP, and not overcommitted here")
        if kind == "memfd" and host.page_size == "THP":
            raise InputError("host memfd: its memory is backed by 4KiB: say so as its page size")
        self.kind = kind
        self.shift = 0
        while (pages >> self.shift) * PAGE_BYTES > _available() // 2:
            self.shift += 1
        size = max(pages >> self.shift, 1) * PAGE_BYTES
        huge = host.page_size == "THP"
        self._host = AnonymousHost(size, hugepages=huge) if kind == "anonymous" else MemfdHost(size)
        self._model = host
        self._engine: Engine | None = None
        self._rows: list[tuple[int, int, int]] = []

    def attach(self, engine: Engine) -> None:
        """From here on the engine touches this memory too; what the model has backed is touched at once."""
        self._engine = engine
        engine.use_memory(self._host.address, self._host.size // PAGE_BYTES, self.shift)

    def react(self, blocks: Batch) -> None:
        """Give the blocks' memory back; a block smaller than one of this machine's pages has none of its own."""
        whole = blocks.orders >= self.shift
        self._host.react(OtherBlocks(blocks.pfns[whole] >> self.shift, blocks.orders[whole] - np.uint8(self.shift)))

    def sample(self, now: int) -> None:
        """Ask the kernel what is resident."""
        self._rows.append((now, self._host.resident() << self.shift, self._model.backing.resident * PAGE_BYTES))

    def result(self) -> RealResidency:
        """What was measured."""
        times, measured, predicted = np.array(self._rows, np.int64).T
        # A sample lasts until the next one; where all are of one instant, the last one counts.
        spans = np.diff(times, append=max(times[-1], times[0] + 1)).astype(np.float64)
        total = float(measured @ spans)
        return RealResidency(
            host=self.kind,
            pages_per_page=1 << self.shift,
            error=float(np.abs(measured - predicted) @ spans) / total if total else 0.0,
            measured_mean=total / float(spans.sum()),
            predicted_mean=float(predicted @ spans) / float(spans.sum()),
            samples=pa.table({"time": times, "measured": measured, "predicted": predicted}),
        )

    def close(self) -> None:
        """The memory goes back; the engine touches none of it any more."""
        if self._engine is not None:
            self._engine.use_memory(0, 0, 0)
        self._host.close()

    @staticmethod
    def step(duration: int) -> int:
        """Nanoseconds between samples."""
        return max(duration // _SAMPLES, 1)


def _available() -> int:
    counts = parse_meminfo(Path("/proc/meminfo").read_text(), "/proc/meminfo")
    if "MemAvailable" not in counts:
        raise InputError("/proc/meminfo does not say how much memory is available: expected a line MemAvailable")
    return counts["MemAvailable"] * 1024
