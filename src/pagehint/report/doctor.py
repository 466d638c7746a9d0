"""One screen of a diagnosis: what is free and resident and why, who holds the rest, what to do."""

from collections.abc import Iterator, Sequence

import numpy as np
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from pagehint.diagnosis.apply import Applied
from pagehint.diagnosis.bounds import Bounds, exactly
from pagehint.diagnosis.findings import Advice, Diagnosis
from pagehint.diagnosis.free_memory import ACTIONS, CAUSES
from pagehint.report.charts import bar, fitting, titled
from pagehint.report.doctor_words import (
    failure_lines,
    headline,
    held_lines,
    map_shares,
    order_columns,
    pressure_line,
    range_of,
    reporting_line,
    subject,
    used_words,
)

__all__ = ["applied_lines", "live_screen", "print_doctor"]

_MOST_WIDTH = 110
_MAP_ROWS = 6
_LEAVE_FIRST = {
    "cannot": "what can't be helped",
    "held": "few pages that keep much",
    "used": "who holds the rest",
    "map": "the map",
    "brings": "what would come back",
    "causes": "free memory by cause",
    "notes": "what could not be read",
}
_CAUSE_STYLES = {"given_back": "green", "waiting": "yellow", "never": "red"}


def print_doctor(console: Console, found: Diagnosis) -> None:
    """Print a diagnosis."""
    console.print(Group(*_parts(found, min(console.width, _MOST_WIDTH)).values()))


def live_screen(console: Console, found: Diagnosis) -> Group:
    """A diagnosis in the terminal's rows: the map shrinks first, then whole parts go; of what to do the last advice."""
    width = min(console.width, _MOST_WIDTH)
    screen = Group()
    for map_rows, without, risks, most in _forms(len(found.advice)):
        parts = _parts(found, width, map_rows, risks, most)
        gone = [words for name, words in _LEAVE_FIRST.items() if name in without and name in parts]
        if most < len(found.advice):
            gone.append(f"{len(found.advice) - most} more to do")
        shown = [part for name, part in parts.items() if name not in without]
        if gone:
            shown.append(Text(f"No rows for: {', '.join(gone)}.", style="dim"))
        screen = Group(*shown)
        if len(console.render_lines(screen)) <= console.height:
            break
    return screen


# Rows of the map, the parts that go, whether advice tells its risks, and how much there is: from all to the least.
def _forms(advice: int) -> Iterator[tuple[int, list[str], bool, int]]:
    for rows in range(_MAP_ROWS, 1, -1):
        yield rows, [], True, advice
    names = list(_LEAVE_FIRST)
    for number in range(len(names) + 1):
        yield 1, names[:number], True, advice
    for most in range(advice, 0, -1):
        yield 1, names, False, most


def _parts(
    found: Diagnosis, width: int, map_rows: int = _MAP_ROWS, risks: bool = True, most_advice: int | None = None
) -> dict[str, RenderableType]:
    parts: dict[str, RenderableType] = {"subject": _subject(found)}
    if found.failures:
        parts["failures"] = Group(*_failures(found))
    parts["headline"] = Text(f"{headline(found)}.\n", style="bold")
    if found.free is not None:
        causes = [(CAUSES[name], name, size) for name, size in found.free_resident.items() if size.most != 0]
        causes.sort(key=lambda row: list(CAUSES).index(row[1]))
        parts["causes"] = titled("Free memory, by what keeps it from the host", _bars(causes, width, "yellow"))
    if found.page_map is not None:
        parts["map"] = titled("The machine's memory, from its first page to its last", _map(found, width, map_rows))
    if found.free is not None:
        parts["brings"] = titled("What would come back, by the order of reporting (MiB)", _brings(found, width))
    if found.used_by:
        used = [(used_words(name), name, size) for name, size in found.used_by.items()]
        used.sort(key=lambda row: -row[2].best)
        parts["used"] = titled("Who holds the rest", _bars(used, width, "blue"))
    if held := held_lines(found):
        lines = Text("\n".join(f"  {line}" for line in held))
        parts["held"] = titled("Few pages that keep much from being given back", lines)
    if found.advice:
        parts["advice"] = titled(
            "What to do, the most for the least cost first", _advice(found.advice[:most_advice], risks)
        )
    if found.cannot:
        parts["cannot"] = titled("What can't be helped", Text("\n".join(f"  {line}" for line in found.cannot)))
    if notes := list(_notes(found)):
        parts["notes"] = Group(*notes)
    if found.warnings:
        parts["warnings"] = Group(*(Text(f"{line}.", style="bold red") for line in found.warnings))
    return parts


def _subject(found: Diagnosis) -> Group:
    lines = [Text(subject(found), style="bold"), Text(reporting_line(found))]
    if (pressure := pressure_line(found)) is not None:
        lines.append(Text(pressure))
    return Group(*lines, Text())


def _failures(found: Diagnosis) -> Iterator[RenderableType]:
    for failure in found.failures[-3:]:
        lines = failure_lines(failure)
        yield titled(lines[0], Text("\n".join(f"  {line}" for line in lines[1:])))
    if len(found.failures) > 3:
        yield Text(f"{len(found.failures) - 3:,} failures before these are in --json.\n", style="dim")


def _notes(found: Diagnosis) -> Iterator[Text]:
    if found.next_file is not None:
        yield Text(f"One more would tell most: {found.next_file[0]}: {found.next_file[1]}.", style="dim")
    for line in found.evidence.missing:
        yield Text(f"{line}.", style="yellow")


def _bars(rows: list[tuple[str, str, Bounds]], width: int, style: str) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(overflow="fold")
    table.add_column(justify="right", no_wrap=True)
    table.add_column(no_wrap=True)
    most = max((size.most or size.best for _, _, size in rows), default=0)
    room = max(width - max((len(words) for words, _, _ in rows), default=0) - 30, 0)
    for words, name, size in rows:
        drawn = size.most if size.most is not None and size.value is None else size.best
        table.add_row(f"  {words}", range_of(size), bar(drawn, most, room, _CAUSE_STYLES.get(name, style)))
    return table


def _brings(found: Diagnosis, width: int) -> RenderableType:
    orders = order_columns(found)
    head = ["", *(f"order {order}" for order in orders)]
    rows = [
        [f"  {words}", *(range_of(found.would_bring[name][order], unit="") for order in orders)]
        for name, words in ACTIONS.items()
        if name in found.would_bring
    ]
    return fitting(width, head, rows)


def _map(found: Diagnosis, width: int, rows: int) -> Group:
    assert found.page_map is not None
    columns = max(width - 4, 20)
    shares = map_shares(found.page_map, columns * rows)
    lines = []
    for row in np.array_split(shares, rows):
        line = Text("  ")
        for used, resident, told, absent in row:
            if absent >= 0.99:
                line.append(" ")
            elif told >= 0.5:
                line.append("·", "green")
            elif resident >= 0.9:
                line.append("▒", "yellow")
            elif resident > 0.1 and used > 0:
                line.append("▓", "red")
            elif used > 0:
                line.append("█", "blue")
            else:
                line.append("·", "green")
        lines.append(line)
    legend = Text("  ")
    for character, style, words in (
        ("█", "blue", "in use"),
        ("▓", "red", "in use, with free memory between"),
        ("▒", "yellow", "free, resident"),
        ("·", "green", "given back"),
    ):
        legend.append(character * 2, style).append(f" {words}   ")
    area = len(found.page_map.holders) * found.setting.page_size / len(shares)
    legend.append(f"{area / (1 << 20):,.1f} MiB each", "dim")
    return Group(*lines, legend)


def _advice(advice: Sequence[Advice], risks: bool) -> Table:
    table = Table.grid(padding=(0, 1))
    table.add_column(justify="right", no_wrap=True)
    table.add_column(overflow="fold")
    for number, each in enumerate(advice, 1):
        text = Text(f"{each.what}: {range_of(each.brings)}, cost {each.cost}\n", style="bold")
        text.append(each.command, "cyan")
        if risks:
            text.append(f"\n{each.risk}.", "dim")
        table.add_row(f"  {number}.", text)
    return table


def applied_lines(done: Applied) -> list[str]:
    """What an action brought, beside what was predicted."""
    lines = [
        f"{done.action} is done. More free in blocks of an order and above, and what was predicted",
        "(what processes took or freed meanwhile counts too):",
    ]
    for order in order_columns(done.after):
        brought = done.brought(order)
        predicted = done.before.would_bring.get(done.action, {}).get(order)
        beside = "" if predicted is None else f"  (predicted {range_of(predicted)})"
        lines.append(f"  order {order:<2}  {range_of(exactly(brought)):>12}{beside}")
    return lines
