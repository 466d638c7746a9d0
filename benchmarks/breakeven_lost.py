"""Of what the loss of each cell is made in which BreakEven costs more than 5 % above the best of the other designs.

``python benchmarks/breakeven_lost.py TRACE... --out DIR`` prints a table in Markdown, of the runs that `breakeven.py`
keeps in DIR, which it does where they aren't there yet. A lost cell takes as long as two replays.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from breakeven import LOST, PRICES, Cell, cells, named, rows
from numpy.typing import NDArray

from pagehint.hinting.design import Design
from pagehint.hinting.designs.breakeven import BreakEven
from pagehint.host.blocks import Blocks
from pagehint.host.model import ModelHost
from pagehint.replays.plan import plans_of
from pagehint.replays.replay import replay
from pagehint.trace import Trace


class Told(ModelHost):
    """Counts the pages that were given back and are backed again, by whether they were told of in a block of order 9
    or more."""

    def start(self, pages: int, backed: NDArray[np.bool_] | None = None) -> None:
        super().start(pages, backed)
        self.again = [0, 0]
        self._told = np.zeros(pages, np.uint8)  # 1: in a small block, 2: in a large one

    def react(self, blocks: Blocks) -> None:
        backed = self._backed()
        for pfn, order in zip(blocks.pfns.tolist(), blocks.orders.tolist(), strict=True):
            pages = slice(pfn, pfn + (1 << order))
            self._count(self._told[pages][backed[pages]])
            self._told[pages][backed[pages]] = 1 + (order >= 9)
        super().react(blocks)

    def end(self) -> None:
        self._count(self._told[self._backed()])

    def _backed(self) -> NDArray[np.bool_]:
        return np.unpackbits(self.backing.snapshot(), bitorder="little")[: self.backing.pages].astype(bool)

    def _count(self, told: NDArray[np.uint8]) -> None:
        for large in (0, 1):
            self.again[large] += int(np.count_nonzero(told == 1 + large))


def parts(trace: Trace, cell: Cell, design: str | type[Design], settings: dict[str, Any]) -> tuple[float, ...]:
    """Of what its cost is made: memory, faults on what was told of in blocks below order 9, from it on, the host."""
    (plan,) = plans_of(trace, [design], {name: [value] for name, value in settings.items()})
    host = Told(cell.host)
    totals = replay(trace, plan.make(cell.price), host, sample=None).totals
    host.end()
    memory = cell.price * (totals.footprint - totals.ideal_footprint)
    faults = [totals.refault_time / 1e9 * each / max(sum(host.again), 1) for each in host.again]
    return memory, *faults, (totals.device_time + totals.allocation_delay) / 1e9


def report(traces: list[Trace], made: list[Cell]) -> None:
    """The lost cells, and by how much each part of the cost is above the best's, in hundredths of that."""
    print("| recording | host | price | over the best | the best | memory | faults, below order 9 | from 9 | host |")
    print("|---" * 9 + "|")
    by = {trace.name: trace for trace in traces}
    for cell in sorted(made, key=lambda each: -each.ours / each.best):
        if cell.ours <= LOST * cell.best:
            break
        trace = by[cell.recording]
        ours, best = parts(trace, cell, BreakEven, {"price": cell.price}), parts(trace, cell, *cell.setting)
        more = " | ".join(f"{100 * (a - b) / cell.best:+.0f}" for a, b in zip(ours, best, strict=True))
        host = cell.host.replace("4K", "4 K")
        row = f"{cell.recording} | {host} | {cell.price:g} | {cell.ours / cell.best:.2f} | {named(*cell.setting)}"
        print(f"| {row} | {more} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("traces", nargs="+", type=Path)
    parser.add_argument("--out", type=Path, default=Path("breakeven"))
    given = parser.parse_args()
    traces = [Trace.open(path) for path in given.traces]
    report(traces, cells(list(rows(traces, given.out, PRICES, again=False)), PRICES))


if __name__ == "__main__":
    main()
