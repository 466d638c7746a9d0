"""BreakEven against the best settings of the other designs, found in hindsight, and against the best possible.

``python benchmarks/breakeven.py TRACE... --out DIR`` prints a table: a cell is a recording, a kind of host and a price.
Runs are kept in DIR, and are not done again; with ``--again`` those of BreakEven are, after it was changed. Without
recordings: the one that ships with the package. ``--price`` limits the prices. ``--picture FILE.svg`` draws it.
``--ablation`` leaves out each of its parts. ``--budget 0.2% 10%``: whether budgets of faults are kept. ``--own-time``:
its passes and calls beside mainline's. ``--at-once``: how soon what is freed at once is back. Ten recordings of two
minutes take two to five minutes at first, and half a minute again.
"""

import argparse
import json
import math
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from pagehint.hinting.action import Work
from pagehint.hinting.clock import VirtualClock
from pagehint.hinting.design import Design
from pagehint.hinting.designs.breakeven import BreakEven
from pagehint.hinting.designs.registry import NONE
from pagehint.hinting.designs.reporting import PageReporting
from pagehint.hinting.designs.survival import FIRST_GUESS
from pagehint.hinting.drivers.virtual import VirtualWorker
from pagehint.host.model import ModelHost
from pagehint.mm.batch import Batch
from pagehint.mm.zone import Zone
from pagehint.replays.plan import Plan, plans_of
from pagehint.replays.recording import Recording
from pagehint.replays.replay import replay
from pagehint.replays.start import guest_reporting
from pagehint.replays.study import Ground, Task
from pagehint.trace import Trace
from pagehint.trace.shipped import example

PRICES = (1.5, 5.0, 15.0, 50.0)
HOSTS = ("THP", "4KiB")
OTHERS = {
    "reporting": {"order": (0, 3, 6, 9), "delay": ("5ms", "20ms", "100ms", "500ms", "2s")},
    "hinting": {"order": (0, 3, 6, 9), "delay": ("5ms", "20ms", "100ms"), "high_water_mark": (1, 32)},
}


class NotLearning(BreakEven):
    label = "breakeven, its first guess for ever"
    share = FIRST_GUESS


class OneWait(BreakEven):
    label = "breakeven, one wait for all orders"

    def waits(self, orders: int) -> list[int]:
        return super().waits(1) * orders


class AtOnce(BreakEven):
    label = "breakeven, no waiting for a call's worth"

    def worth_a_call(self) -> int:
        return 0


class NoLookSoon(BreakEven):
    label = "breakeven, no look soon after a free"

    def wake(self, zone: Zone) -> None:
        look = self.pending
        super().wake(zone)
        if look is not None:
            self.pending = look


class NoPerCpuTime(BreakEven):
    label = "breakeven, used as soon as off the lists"

    @property
    def per_cpu_time(self) -> float:
        return 0.0


class OnePerCpuTime(BreakEven):
    label = "breakeven, 2 s on CPUs' lists however full they are"

    @property
    def per_cpu_time(self) -> float:
        return 2e9


class NoAges(BreakEven):
    label = "breakeven, no waiting at all"

    def waits(self, orders: int) -> list[int]:
        return [5 * 10**6] * orders


class YoungestFirst(BreakEven):
    label = "breakeven, what was freed last first"

    def pull(self, zone: Zone, order: int, age: int, most: int | None, resume: bool) -> bool:
        return zone.pull(self.batch, order=order, age=age, most=most, resume=resume, from_head=True)


ABLATIONS = (NotLearning, OneWait, AtOnce, NoPerCpuTime, OnePerCpuTime, NoAges, NoLookSoon, YoungestFirst)
MAINLINE = {"order": 9, "delay": 2 * 10**9}
LOST, FAR = 1.05, 1.8
_RUNS = 3
COLUMNS = {"recording", "host", "design", "settings", "price", "free", "time", "possible", "attribution", "waits"}


@dataclass(frozen=True)
class Cell:
    """A recording, a kind of host, a price: what each design costs there (CPU seconds)."""

    recording: str
    host: str
    price: float
    ours: float
    best: float
    setting: tuple[str, dict[str, Any]]
    mainline: float
    possible: float
    free: float
    free_mainline: float
    waits: int


def plans(trace: Trace) -> list[Plan]:
    found = plans_of(trace, [NONE], {})
    for design, settings in OTHERS.items():
        found += plans_of(trace, [design], settings)
    return found


def run(recording: Recording, plan: Plan, host: str, price: float) -> dict[str, Any]:
    done = Task(recording, plan, Ground(host, price=price)).run_once()
    totals = done.totals
    return {
        "recording": recording.name,
        "host": host,
        "design": plan.label,
        "settings": plan.chosen,
        "price": price,
        "free": totals.footprint - totals.ideal_footprint,
        "time": (totals.refault_time + totals.allocation_delay + totals.device_time) / 1e9,
        "possible": totals.best_possible_lists,
        "attribution": done.attribution,
        "waits": totals.allocations_delayed,
        "refaults": totals.refaults,
    }


def key(recording: str, plan: Plan, host: str, price: float) -> str:
    return json.dumps([recording, plan.label, plan.chosen, host, price], default=str)


def read_rows(path: Path) -> dict[str, dict[str, Any]]:
    """The file's whole rows by their key. What was cut, as who wrote it was killed, is taken off the file."""
    lines = path.read_text().splitlines(keepends=True)
    whole = {line: row for line in lines if (row := read_row(line)) is not None}
    if len(whole) < len(lines):
        path.write_text("".join(whole))
    return dict(whole.values())


def read_row(line: str) -> tuple[str, dict[str, Any]] | None:
    """A row and its key, if the line is whole."""
    try:
        name, row = json.loads(line)
    except ValueError:
        return None
    return (name, row) if line.endswith("\n") and row.keys() >= COLUMNS else None


def rows(
    traces: list[Trace], out: Path, prices: Sequence[float], again: bool, ours: type[BreakEven] = BreakEven
) -> Iterator[dict[str, Any]]:
    """Every run's row, old ones from the file."""
    out.mkdir(parents=True, exist_ok=True)
    path = out / "rows.jsonl"
    known = read_rows(path) if path.exists() else {}
    if again:
        known = {name: row for name, row in known.items() if not row["design"].startswith("breakeven")}
    with path.open("a") as file:
        for trace in traces:
            recording = Recording(trace)
            for host in HOSTS:
                wanted = [(plan, 15.0) for plan in plans(trace)]
                wanted += [(plans_of(trace, [ours], {"price": [price]})[0], price) for price in prices]
                for plan, price in wanted:
                    name = key(trace.name, plan, host, price)
                    if name not in known:
                        known[name] = run(recording, plan, host, price)
                        file.write(json.dumps([name, known[name]]) + "\n")
                        file.flush()
                    yield known[name]


def cells(found: list[dict[str, Any]], prices: Sequence[float]) -> list[Cell]:
    made = []
    for recording in dict.fromkeys(each["recording"] for each in found):
        for host in HOSTS:
            here = [each for each in found if (each["recording"], each["host"]) == (recording, host)]
            others = [each for each in here if not each["design"].startswith("breakeven")]
            (mainline,) = (each for each in others if MAINLINE.items() <= each["settings"].items())
            for price in prices:
                (ours,) = (each for each in here if each["design"].startswith("breakeven") and each["price"] == price)
                costs = [price * each["free"] + each["time"] for each in others]
                best = min(range(len(costs)), key=costs.__getitem__)
                kept = ("per_cpu", "watermark")
                made.append(
                    Cell(
                        recording,
                        host,
                        price,
                        price * ours["free"] + ours["time"],
                        costs[best],
                        (others[best]["design"], others[best]["settings"]),
                        price * mainline["free"] + mainline["time"],
                        ours["possible"],
                        ours["free"] - sum(ours["attribution"][name] for name in kept),
                        mainline["free"] - sum(mainline["attribution"][name] for name in kept),
                        ours["waits"],
                    )
                )
    return made


def named(design: str, settings: dict[str, Any]) -> str:
    """Such as "hinting, order 9, 5 ms, 32"."""
    chosen = {**settings, "delay": f"{settings['delay'] / 1e6:g} ms"} if "delay" in settings else settings
    order = {"order": f"order {chosen['order']}"} if "order" in chosen else {}
    return ", ".join([design, *map(str, {**chosen, **order}.values())])


def one_for_all(found: list[dict[str, Any]], made: list[Cell]) -> None:
    """What the best of the others' settings costs that is chosen in hindsight too, but once a price for all cells."""
    for price in dict.fromkeys(cell.price for cell in made):
        cells = {(cell.recording, cell.host): cell for cell in made if cell.price == price}
        by: dict[str, dict[tuple[str, str], float]] = {}
        for row in found:
            if not row["design"].startswith("breakeven"):
                at = (row["recording"], row["host"])
                ratio = (price * row["free"] + row["time"]) / cells[at].best
                by.setdefault(named(row["design"], row["settings"]), {})[at] = ratio
        whole = {name: list(ratios.values()) for name, ratios in by.items() if len(ratios) == len(cells)}
        name = min(whole, key=lambda each: statistics.geometric_mean(whole[each]))
        print(f"price {price:g}: {name}: {spread(whole[name])}; breakeven: {over_the_best(list(cells.values()))}")


def spread(ratios: list[float]) -> str:
    """The mean is the geometric one."""
    middle, mean = statistics.median(ratios), statistics.geometric_mean(ratios)
    lost = f"{sum(ratio > LOST for ratio in ratios)} of {len(ratios)} lost"
    return f"median {middle:.3f}, mean {mean:.3f}, worst {max(ratios):.3f}, {lost}"


def over_the_best(made: list[Cell]) -> str:
    return spread([cell.ours / cell.best for cell in made])


def table(made: list[Cell]) -> str:
    """In Markdown: a row a recording and host, a column a price: over the best in hindsight, mainline, the bound."""
    prices = list(dict.fromkeys(cell.price for cell in made))
    heads = " | ".join(f"{price:g}" for price in prices)
    lines = ["", f"| recording | host | {heads} |", "|---" * (2 + len(prices)) + "|"]
    rows: dict[tuple[str, str], list[str]] = {}
    for cell in made:
        best = cell.ours / cell.best
        first = f"**{best:.2f}**" if best > LOST else f"{best:.2f}"
        words = f"{first} / {cell.ours / cell.mainline:.2f} / {cell.ours / cell.possible:.2f}"
        rows.setdefault((cell.recording, cell.host.replace("4K", "4 K")), []).append(words)
    lines += [f"| {recording} | {host} | {' | '.join(words)} |" for (recording, host), words in rows.items()]
    return "\n".join([*lines, ""])


def by_price(made: list[Cell]) -> str:
    """In Markdown: a row a price: over the best in hindsight, in all and by kind of host; over mainline's."""
    heads = ("price", "all", *HOSTS, "over mainline's: median, worst")
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for price in dict.fromkeys(cell.price for cell in made):
        here = [cell for cell in made if cell.price == price]
        parts = [here, *([cell for cell in here if cell.host == host] for host in HOSTS)]
        mainline = [cell.ours / cell.mainline for cell in here]
        words = f"{statistics.median(mainline):.2f}, {max(mainline):.2f}"
        lines.append(f"| {price:g} | {' | '.join(map(over_the_best, parts))} | {words} |")
    return "\n".join([*lines, ""])


def report(made: list[Cell]) -> None:
    print(
        f"{'recording':14} {'host':5} {'price':>5} {'cost, s':>8} {'/ best':>7} {'/ mainline':>10} {'/ possible':>10}  "
        "best"
    )
    for cell in made:
        ratios = f"{cell.ours / cell.best:7.3f} {cell.ours / cell.mainline:10.3f} {cell.ours / cell.possible:10.2f}"
        print(f"{cell.recording:14} {cell.host:5} {cell.price:5g} {cell.ours:8.3f} {ratios}  {named(*cell.setting)}")
    print(table(made))
    print(by_price(made))
    print(f"against the best in hindsight: {over_the_best(made)}")
    for name, costs in (("breakeven", [cell.ours for cell in made]), ("the best", [cell.best for cell in made])):
        possible = sorted(cost / cell.possible for cost, cell in zip(costs, made, strict=True))
        far = sum(ratio > FAR for ratio in possible)
        print(
            f"{name} against the best possible on the lists: median {statistics.median(possible):.2f}, "
            f"worst {possible[-1]:.2f}, {far} of {len(made)} cells above {FAR}"
        )
    at_15 = [cell.free / cell.free_mainline for cell in made if cell.price == 15 and cell.free_mainline > 0]
    if at_15:
        print(
            f"free and resident beyond per-CPU lists and watermark, at 15: {statistics.median(at_15):.2f} of mainline's"
        )
    print(f"allocations that waited: {sum(cell.waits for cell in made)}")


def budget_report(traces: list[Trace], budget: str, price: float = 15.0) -> None:
    """Faults on what was given back beside what the budget allows, and what it costs in memory: a row a recording."""
    share = BreakEven(budget=budget).budget
    columns = f"{'recording':14} {'allowed':>8} {'faults':>7} {'without':>8}"
    print(f"{columns}   free and resident, GiB*min: budget, without, none")
    for trace in traces:
        recording = Recording(trace)
        wanted = [{"price": [price], "budget": [budget]}, {"price": [price]}]
        found = [plans_of(trace, [BreakEven], settings)[0] for settings in wanted] + plans_of(trace, [NONE], {})
        kept, free, none = (Task(recording, plan, Ground("4KiB", price=price)).run().totals for plan in found)
        allowed = share * kept.ideal_footprint * (1 << 18)
        memory = "  ".join(f"{each.footprint - each.ideal_footprint:7.4f}" for each in (kept, free, none))
        print(f"{trace.name:14} {allowed:8.0f} {kept.refaults:7} {free.refaults:8}   {memory}")


def timed(kind: type[Design]) -> type[Design]:
    """The design, but each object counts its passes and its own CPU time in them (ns), the device's left out."""

    class Timed(kind):  # type: ignore[valid-type, misc]
        label = f"timed {kind.label}"
        passes = own_time = longest = 0

        def work(self) -> Work:
            work, answer, took = super().work(), None, 0
            self.passes += 1
            try:
                while True:
                    begun = time.thread_time_ns()
                    try:
                        action = work.send(answer)
                    except StopIteration:
                        return
                    finally:
                        took += time.thread_time_ns() - begun
                    answer = yield action
            finally:
                self.own_time += took
                self.longest = max(self.longest, took)

    return Timed


@dataclass(frozen=True)
class Effort:
    """What a design did in a recording: `free` in GiB*min, times in CPU seconds, but `longest` in ms."""

    name: str
    free: float
    passes: int
    own_time: float
    longest: float
    calls: int
    blocks: int
    device_time: float
    fault_time: float
    waits: int


def effort(recording: Recording, plan: Plan, name: str) -> Effort:
    """Of the run that took its passes the least time."""
    return min((measured(recording, plan, name) for _ in range(_RUNS)), key=lambda each: each.own_time)


def measured(recording: Recording, plan: Plan, name: str) -> Effort:
    design = plan.make()
    assert design is not None
    run = replay(recording, design, ModelHost("THP"))
    totals = run.totals
    free = totals.footprint - totals.ideal_footprint - run.attribution["per_cpu"] - run.attribution["watermark"]
    own_time, longest = design.own_time / 1e9, design.longest / 1e6  # type: ignore[attr-defined]
    passes = design.passes  # type: ignore[attr-defined]
    times = totals.device_time / 1e9, totals.refault_time / 1e9
    return Effort(
        name, free, passes, own_time, longest, totals.batches, totals.blocks, *times, totals.allocations_delayed
    )


def own_time_report(traces: list[Trace]) -> None:
    """What giving back takes, at price 15 on THP hosts, beside mainline's at that order 0 delay that holds as much."""
    sums: dict[str, list[Effort]] = {}
    worst = dict.fromkeys(("own time", "calls", "blocks"), 0.0)
    columns = ("own time", "calls", "blocks")
    print(f"{'recording':14} {'at equal memory':>16}   free: ours, its   ratios of {', '.join(columns)}")
    replay(Recording(traces[0]), BreakEven())  # what is imported once is no pass's
    for trace in traces:
        recording = Recording(trace)
        delays = OTHERS["reporting"]["delay"]
        mainline = timed(PageReporting)
        guest = guest_reporting(trace).values()
        found = [
            effort(recording, Plan(mainline, {**guest, "order": 0, "delay": delay}, 32), f"order 0, {delay}")
            for delay in delays
        ]
        ours = effort(recording, Plan(timed(BreakEven), {}, 32), "breakeven")
        usual = effort(recording, Plan(mainline, {**guest, "order": 9, "delay": "2s"}, 32), "order 9, 2s")
        equal = min(found, key=lambda each: abs(each.free - ours.free))
        ratios = (ours.own_time / equal.own_time, ours.calls / equal.calls, ours.blocks / equal.blocks)
        worst = {name: max(worst[name], ratio) for name, ratio in zip(columns, ratios, strict=True)}
        cells = " ".join(f"{ratio:6.2f}" for ratio in ratios)
        print(f"{trace.name:14} {equal.name:>16}   {ours.free:7.4f} {equal.free:7.4f}   {cells}", flush=True)
        for each in (usual, *found, ours):
            sums.setdefault(each.name, []).append(each)
        sums.setdefault("at equal memory", []).append(equal)
    print(f"worst: {', '.join(f'{name} {ratio:.2f}' for name, ratio in worst.items())}\n")
    print(
        "| all recordings | free, median | passes | own time, s | a pass, us | longest, ms | calls | blocks | gives, s "
        "| faults, s | waits |"
    )
    print("|---" * 11 + "|")
    for name, each in sums.items():
        passes, own = sum(one.passes for one in each), sum(one.own_time for one in each)
        cells = (
            f"{statistics.median(one.free for one in each):.4f} | {passes:,} | {own:.2f} | {1e6 * own / passes:.0f} "
            f"| {max(one.longest for one in each):.1f} | {sum(one.calls for one in each):,} "
            f"| {sum(one.blocks for one in each):,} | {sum(one.device_time for one in each):.2f} "
            f"| {sum(one.fault_time for one in each):.2f} | {sum(one.waits for one in each)}"
        )
        print(f"| {name} | {cells} |")


class Counting:
    """A device that gives back as the modelled host does, and counts the pages that it was told of."""

    capacity = 32

    def __init__(self, host: ModelHost) -> None:
        self.host, self.told = host, 0

    def react(self, batch: Batch) -> None:
        self.host.react(batch)
        self.told += batch.pages


def at_once_report() -> None:
    """How long it takes until 95 % of what is freed at once are back, the host's time for each batch included."""
    pages = 1 << 20
    for host_page in HOSTS:
        for order, count in ((10, 512), (0, pages // 4)):
            zone, clock, host = Zone(pages), VirtualClock(), ModelHost(host_page)
            host.start(pages)
            blocks = sorted(zone.alloc(order) for _ in range(pages - 4096 >> order))
            blocks = blocks[:count] if order else blocks[: 2 * count : 2]  # single pages, no two beside each other
            for block in blocks:
                host.backing.touch(block, order)
            device = Counting(host)
            worker = VirtualWorker(
                BreakEven(), [zone], clock, react_time=lambda react, host=host: host.react_time(react.batch)
            )
            worker.start(device)
            clock.advance(20 * 10**9)
            device.told, begun, size = 0, clock.now, count << order
            for block in blocks:
                zone.free(block, order)
            while device.told < 0.95 * size:
                clock.advance(5 * 10**6)
            print(f"{host_page}: {size >> 8} MiB in blocks of order {order}: {(clock.now - begun) / 1e9:.3f} s")


def picture(made: list[Cell]) -> str:
    """A line a cell: the best possible at its left, mainline, the best in hindsight and ours, in multiples of it."""
    prices = {cell.price for cell in made}
    width, left, top, bottom = 760, 150 if len(prices) == 1 else 200, 70, 42
    height = top + 12 * len(made) + bottom
    most = max(2.0, *(max(cell.mainline, cell.best, cell.ours) / cell.possible for cell in made)) * 1.1

    def x(ratio: float) -> float:
        return left + (width - left - 20) * math.log(max(ratio, 1.0)) / math.log(most)

    title = "What free memory and giving it back cost, in multiples of the best possible"
    title += f", at {made[0].price:g} CPU seconds a GiB·min" if len(prices) == 1 else ""
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif"',
        'font-size="10">',
        f'<rect width="{width}" height="{height}" fill="#fff"/>',
        f'<text x="10" y="16" font-size="12" font-weight="bold">{title}</text>',
    ]
    for tick in (each for each in (1, 2, 3, 5, 10, 20, 50, 100) if each <= most):
        lines.append(f'<path d="M{x(tick):.1f} {top - 12}V{height - bottom}" stroke="#e0e0e0"/>')
        name = "best possible" if tick == 1 else f"{tick}x"
        lines.append(f'<text x="{x(tick):.1f}" y="{top - 16}" text-anchor="middle">{name}</text>')
    for number, cell in enumerate(made):
        y = top + 12 * number
        name = f"{cell.recording}, {cell.host.replace('KiB', ' KiB')}"
        name = escape(name if len(prices) == 1 else f"{name}, price {cell.price:g}")
        lines.append(f'<text x="{left - 12}" y="{y + 3}" text-anchor="end" fill="#444">{name}</text>')
        marks = ((cell.mainline, "#d55e00", 3.5), (cell.best, "#0072b2", 3.5), (cell.ours, "#111", 2.5))
        for cost, colour, size in marks:
            lines.append(f'<circle cx="{x(cost / cell.possible):.1f}" cy="{y}" r="{size}" fill="{colour}"/>')
    legend = (
        ("Linux' own: order 9, 2 s", "#d55e00", 4.0),
        ("the best of 45 settings, in hindsight", "#0072b2", 4.0),
        ("BreakEven", "#111", 3.0),
    )
    for number, (name, colour, size) in enumerate(legend):
        lines.append(f'<circle cx="{left + 210 * number}" cy="32" r="{size}" fill="{colour}"/>')
        lines.append(f'<text x="{left + 8 + 210 * number}" y="35.5">{name}</text>')
    notes = (
        "A row: a recording (61 in its name is Linux 6.1) on a host that backs it by THP or 4 KiB pages.",
        "Further left is better; the axis is logarithmic.",
    )
    for number, note in enumerate(notes):
        lines.append(f'<text x="10" y="{height - 22 + 13 * number}" fill="#444">{note}</text>')
    return "\n".join([*lines, "</svg>", ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("traces", nargs="*", type=Path)
    parser.add_argument("--out", type=Path, default=Path("breakeven"))
    parser.add_argument("--price", type=float, nargs="+", default=PRICES)
    parser.add_argument("--again", action="store_true")
    parser.add_argument("--ablation", action="store_true", help="each of its parts left out, in turn")
    parser.add_argument("--picture", type=Path)
    parser.add_argument("--budget", nargs="+", help="instead: is each kept (4 KiB hosts, price 15), and what it costs")
    parser.add_argument("--own-time", action="store_true", help="instead: what it takes beside mainline's")
    parser.add_argument("--at-once", action="store_true", help="instead: how soon what is freed at once is back")
    given = parser.parse_args()
    traces = [Trace.open(path) for path in given.traces] or [example()]
    for budget in given.budget or ():
        print(f"budget {budget}")
        budget_report(traces, budget)
    if given.own_time:
        own_time_report(traces)
    if given.at_once:
        at_once_report()
    if given.budget or given.own_time or given.at_once:
        return
    found = list(rows(traces, given.out, given.price, given.again))
    made = cells(found, given.price)
    report(made)
    one_for_all(found, made)
    for kind in ABLATIONS if given.ablation else ():
        without = cells(list(rows(traces, given.out, given.price, given.again, kind)), given.price)
        print(f"{kind.label}: {over_the_best(without)}")
    if given.picture is not None:
        given.picture.write_text(picture(made))


if __name__ == "__main__":
    main()
