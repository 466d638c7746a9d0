"""How far fixed delays are from the best possible on recordings: ``python benchmarks/best_possible.py TRACE...``

Three tables in Markdown, some seconds a recording. Whole 2 MiB areas alone, read from the events without the engine:
each is given back when it has been free for the delay. Page by page: replays of reporting at order 0 on a host of 4 KiB
pages, over the bound on the lists; and what a design that knows the future reaches there if it gives back single pages
in full batches. And what computing the bound takes of a replay's time.
"""

import argparse
import math
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from numpy.typing import NDArray

from pagehint.hinting.designs.reporting import PageReporting
from pagehint.host.costs import Costs
from pagehint.kernel.profiles import KernelProfile, recorded_profile
from pagehint.replays import playback
from pagehint.replays.columns import COLUMNS
from pagehint.replays.observers.best_possible import page_costs
from pagehint.replays.playback import Playback
from pagehint.replays.recording import Recording
from pagehint.replays.run import Totals
from pagehint.replays.scan import FREE_AT_START
from pagehint.replays.start import Start
from pagehint.replays.totals import make_run
from pagehint.replays.truth import backed_at_start, guest_host
from pagehint.trace.bundle import Trace
from pagehint.trace.events import Event
from pagehint.trace.shipped import example

_PRICES = (15.0, 1.5)
_CAPACITY = 32
_AREA = 512
_GIB_MINUTE = 512 * 60  # areas and seconds
_REMOVAL = 4
_ROUNDS = 9


# Whole areas


def list_changes(trace: Trace, start: Start, profile: KernelProfile) -> NDArray[np.int64]:
    """(area, time, pages that left its zone's lists), by area and time; compaction's are left out."""
    batches = list(trace.batches(COLUMNS))
    columns = {name: np.concatenate([batch[name] for batch in batches]) for name in COLUMNS}
    event, order, pfn = columns["event"], columns["order"].astype(np.int64), columns["pfn"]
    verdict = np.zeros(len(event), np.uint8)
    verdict[start.seen.verdicts[0]] = start.seen.verdicts[1]
    lists = (0, 1, 2, 3, 9) if profile.pcp_above_order_0 else (0,)
    took = (event == Event.ZONE_ALLOC) | (verdict == _REMOVAL)
    gave = (event == Event.PCPU_DRAIN) | ((event == Event.FREE) & ((verdict > 0) | ~np.isin(order, lists)))
    counts = (took | gave) & (pfn >= 0) & (order <= 10)
    sign = np.where(took, 1, -1)[counts]
    first, pages, when = pfn[counts], 1 << order[counts], columns["time"][counts]
    parts = []
    for part in (0, 1):
        there = pages > part * _AREA
        change = sign[there] * np.minimum(pages[there], _AREA)
        parts.append(np.column_stack([first[there] // _AREA + part, when[there], change]))
    rows: NDArray[np.int64] = np.concatenate(parts)
    return rows[np.lexsort((rows[:, 1], rows[:, 0]))]


def whole_areas(trace: Trace) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """How long areas were wholly on the lists (seconds), each time, and whether they were used again."""
    profile = recorded_profile(trace.meta.kernel)
    start = Start.of(trace, profile)
    rows = list_changes(trace, start, profile)
    first = backed_at_start(trace, start, None)
    areas = len(start.seen.at_start.states) // _AREA
    taken = (start.seen.at_start.states[: areas * _AREA] != FREE_AT_START).reshape(-1, _AREA).sum(axis=1)
    backed = first.backed[: areas * _AREA].reshape(-1, _AREA).mean(axis=1)
    spans, again = [], []
    edges = np.searchsorted(rows[:, 0], np.arange(areas + 1))
    for area in range(areas):
        here = rows[edges[area] : edges[area + 1]]
        level = taken[area] + np.concatenate([[0], np.cumsum(here[:, 2])])
        times = np.concatenate([[first.time], np.maximum(here[:, 1], first.time), [trace.meta.last_ns]])
        for k in np.flatnonzero((level == 0) & (np.diff(times) > 0)).tolist():
            if k or backed[area] > 0.5:
                spans.append((times[k + 1] - times[k]) / 1e9)
                again.append(k < len(here))
    return np.array(spans), np.array(again, np.bool_)


def areas_table(traces: Sequence[Trace]) -> None:
    """Fixed delays over the best possible, on whole areas."""
    costs = Costs()
    call = costs.discard_block + costs.react_call / _CAPACITY
    hosts = {
        "THP": (costs.discard_2mib + call, costs.fault_exit + costs.fault_2mib),
        "4 KiB": (_AREA * costs.discard_4kib + call, _AREA * (costs.fault_exit + costs.fault_4kib)),
    }
    print("| whole areas | host | price | at 20 ms | 100 ms | 2 s |\n|---|---|---|---|---|---|")
    for trace in traces:
        spans, again = whole_areas(trace)
        for host, (out, back) in hosts.items():
            for price in _PRICES:
                rate, way = price / _GIB_MINUTE, (out + back * again) / 1e9
                best = float(np.minimum(rate * spans, way).sum())
                told = [np.where(spans <= delay, rate * spans, rate * delay + way).sum() for delay in (0.02, 0.1, 2.0)]
                ratios = " | ".join(f"{each / best:.1f}" for each in told)
                print(f"| {trace.name} ({len(spans)}) | {host} | {price:g} | {ratios} |")


# Page by page


def single_pages(page_size: str, costs: Costs, capacity: int) -> Any:
    """As ``page_costs``, where each page is a block of its own."""
    whole, gone = page_costs(page_size, costs, capacity)
    more = (costs.react_call / capacity + costs.discard_block) * (1 - 1 / 1024)
    return tuple(each + more for each in whole), tuple(each + more for each in gone)


def totals(trace: Trace, delay: str, price: float) -> Totals:
    host = guest_host(trace, "4KiB", capacity=_CAPACITY)
    design = PageReporting(0, delay)
    return (
        Playback(trace, design, host, "simulated", None, None, frozenset({"alloc"}), None, price=price)
        .run(make_run)
        .totals
    )


def pages_table(traces: Sequence[Trace]) -> None:
    """Replays over the bound on the lists, and who knows the future."""
    print("\n| 4 KiB host, order 0 | price | at 10 ms | 100 ms | 2 s | single pages, the future known |")
    print("|---|---|---|---|---|---|")
    for trace in traces:
        for price in _PRICES:
            runs = [totals(trace, delay, price) for delay in ("10ms", "100ms", "2s")]
            with patch.object(playback, "page_costs", single_pages):
                known = totals(trace, "100ms", price)
            ratios = [each.cost / (each.best_possible_lists or math.nan) for each in runs]
            ratios.append((known.best_possible_lists or math.nan) / (runs[1].best_possible_lists or math.nan))
            print(f"| {trace.name} | {price:g} | {' | '.join(f'{each:.2f}' for each in ratios)} |")


# What it takes


class Without(Playback):
    """A replay that doesn't watch for the bound."""

    def _watch_best(self) -> None:
        pass


def seconds(kind: type[Playback], trace: Trace, sample: str | None) -> float:
    begin = time.thread_time()
    kind(trace, PageReporting(), guest_host(trace), "simulated", sample, None, frozenset({"alloc"}), None).run(make_run)
    return time.thread_time() - begin


def time_table(traces: Sequence[Trace]) -> None:
    """Medians of pairs."""
    print("\n| computing it takes more time | of a run with its reading | of a sweep's replay |\n|---|---|---|")
    for trace in traces:
        cells = []
        for opened, sample in ((Trace.open(trace.path), "50ms"), (trace, None)):
            seconds(Playback, opened, sample)
            pairs = [[seconds(kind, opened, sample) for kind in (Without, Playback)] for _ in range(_ROUNDS)]
            cells.append(f"{statistics.median(both / alone for alone, both in pairs) - 1:.0%}")
        print(f"| {trace.name} | {' | '.join(cells)} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("traces", nargs="*", type=Path)
    traces = [Recording(Trace.open(each)) for each in parser.parse_args().traces] or [Recording(example())]
    areas_table(traces)
    pages_table(traces)
    time_table(traces)


if __name__ == "__main__":
    main()
