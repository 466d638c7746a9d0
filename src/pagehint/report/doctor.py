"""One screen of a diagnosis: what is free and resident and why, who holds the rest, what to do."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from pagehint.diagnosis.apply import Applied
from pagehint.diagnosis.bounds import Bounds, exactly
from pagehint.diagnosis.findings import Diagnosis
from pagehint.report.charts import bar, fitting, titled
from pagehint.report.doctor_words import (
    MAP_STATES,
    TITLES,
    advice_brings,
    brings_rows,
    cause_rows,
    failure_lines,
    headline,
    held_lines,
    holders,
    kernel_line,
    map_shares,
    map_states,
    next_file_line,
    order_columns,
    pressure_line,
    range_of,
    reporting_line,
    subject,
)
from pagehint.units import MIB, format_count

__all__ = ["applied_lines", "live_screen", "print_doctor"]

_MOST_WIDTH = 110
_MAP_ROWS = 6
_LEAVE_FIRST = {
    "cannot": "what can't be helped",
    "held": "few pages that keep much",
    "used": "who holds the rest",
    "brings": "what would come back",
    "map": "the map",
    "notes": "what could not be read",
    "causes": "free memory by cause",
    "subject": "the machine",
    "advice": "what to do",
}
_LEAVE_BEFORE_ADVICE = 6
_SOME_ADVICE = 3
_MOST_NAMED = 7
_SIGNS = {
    "used": ("█", "blue"),
    "mixed": ("▓", "red"),
    "free": ("▒", "yellow"),
    "back": ("·", "green"),
    "none": (" ", ""),
}
_CAUSE_STYLES = {"given_back": "green", "waiting": "yellow", "never": "red"}


def print_doctor(console: Console, found: Diagnosis) -> None:
    """Print a diagnosis."""
    console.print(Group(*_parts(found, min(console.width, _MOST_WIDTH), _Form(len(found.advice))).values()))


def live_screen(console: Console, found: Diagnosis) -> Group:
    """A diagnosis in the terminal's rows: the map shrinks first, then whole parts and the last advice go."""
    width = min(console.width, _MOST_WIDTH)
    screen = Group()
    for form in _forms(len(found.advice)):
        parts = _parts(found, width, form)
        gone = [words for name, words in _LEAVE_FIRST.items() if name in form.without and name in parts]
        if form.advice < len(found.advice) and "advice" not in form.without:
            gone.append(f"{len(found.advice) - form.advice} more to do")
        shown = [part for name, part in parts.items() if name not in form.without]
        if gone:
            left_out = f"No rows for: {', '.join(gone)}." if len(gone) <= _MOST_NAMED else "Too few rows for the rest."
            shown.append(Text(left_out, style="dim"))
        screen = Group(*shown)
        if len(console.render_lines(screen)) <= console.height:
            break
    return screen


class _Form(NamedTuple):
    advice: int
    map_rows: int = _MAP_ROWS
    without: Sequence[str] = ()
    brief: bool = False


# From all to the least: what is read first goes last.
def _forms(advice: int) -> Iterator[_Form]:
    for rows in range(_MAP_ROWS, 1, -1):
        yield _Form(advice, rows)
    names = list(_LEAVE_FIRST)
    some = min(advice, _SOME_ADVICE)
    for brief in (False, True):
        for number in range(3):
            yield _Form(advice, 1, names[:number], brief)
    for most in range(advice, some, -1):
        yield _Form(most, 1, names[:3], brief=True)
    for number in range(3, _LEAVE_BEFORE_ADVICE + 1):
        yield _Form(some, 1, names[:number], brief=True)
    for most in range(some, 0, -1):
        yield _Form(most, 1, names[:_LEAVE_BEFORE_ADVICE], brief=True)
    for number in range(_LEAVE_BEFORE_ADVICE + 1, len(names) + 1):
        yield _Form(1, 1, names[:number], brief=True)


def _parts(found: Diagnosis, width: int, form: _Form) -> dict[str, RenderableType]:
    parts: dict[str, RenderableType] = {"subject": _subject(found, form.brief)}
    if found.failures:
        parts["failures"] = Group(*_failures(found))
    parts["headline"] = Text(f"{headline(found)}.\n", style="bold")
    if found.free is not None:
        parts["causes"] = titled(TITLES["causes"], _bars(cause_rows(found), width, "yellow"))
    if found.page_map is not None:
        parts["map"] = titled(TITLES["map"], _map(found, width, form.map_rows))
    if found.free is not None:
        parts["brings"] = titled(TITLES["brings"], _brings(found, width))
    if used := holders(found):
        parts["used"] = titled(TITLES["used"], _bars(used, width, "blue"))
    if held := held_lines(found):
        parts["held"] = titled(TITLES["held"], _indented(held))
    if found.advice:
        parts["advice"] = titled(TITLES["advice"], _advice(found, form.advice, not form.brief))
    if found.cannot:
        parts["cannot"] = titled(TITLES["cannot"], _indented(found.cannot))
    if notes := list(_notes(found)):
        parts["notes"] = Group(*notes)
    if found.warnings:
        parts["warnings"] = Group(*(Text(f"{line}.", style="bold red") for line in found.warnings))
    return parts


def _subject(found: Diagnosis, brief: bool) -> Group:
    lines = [Text(subject(found), style="bold"), Text(reporting_line(found, parameters=not brief))]
    if not brief:
        lines += [Text(line) for line in (kernel_line(found), pressure_line(found)) if line is not None]
    return Group(*lines, Text())


def _failures(found: Diagnosis) -> Iterator[RenderableType]:
    for failure in found.failures[-3:]:
        lines = failure_lines(failure)
        yield titled(lines[0], _indented(lines[1:]))
    if len(found.failures) > 3:
        others = format_count(len(found.failures) - 3, "failure")
        yield Text(f"Before these: {others}, in --json.\n", style="dim")


# What doesn't fit a line goes on below its beginning, further in.
def _indented(lines: Sequence[str]) -> Table:
    table = Table.grid()
    table.add_column(width=2)
    table.add_column(overflow="fold")
    for line in lines:
        table.add_row("", Text(line))
    return table


def _notes(found: Diagnosis) -> Iterator[Text]:
    if (more := next_file_line(found)) is not None:
        yield Text(f"{more}.", style="dim")
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
    head = ["", *(f"order {order}" for order in order_columns(found))]
    return fitting(width, head, [[f"  {words}", *cells] for words, *cells in brings_rows(found)])


def _map(found: Diagnosis, width: int, rows: int) -> Group:
    assert found.page_map is not None
    columns = max(width - 4, 20)
    shares = map_shares(found.page_map, columns * rows)
    lines = []
    for row in np.array_split(shares, rows):
        line = Text("  ")
        for state in map_states(row):
            line.append(*_SIGNS[state])
        lines.append(line)
    area = len(found.page_map.holders) * found.setting.page_size / len(shares)
    return Group(*lines, *_legend(f"{area / MIB:,.1f} MiB each", width))


# Words stay beside their sign.
def _legend(last: str, width: int) -> list[Text]:
    entries = [
        Text("  ").append(sign * 2, style).append(f" {MAP_STATES[state]} ")
        for state, (sign, style) in _SIGNS.items()
        if style
    ]
    lines: list[Text] = []
    for entry in (*entries, Text(f"  {last}", "dim")):
        if lines and len(lines[-1]) + len(entry) <= width:
            lines[-1].append_text(entry)
        else:
            lines.append(entry)
    return lines


def _advice(found: Diagnosis, most: int, risks: bool) -> Table:
    table = Table.grid(padding=(0, 1))
    table.add_column(justify="right", no_wrap=True)
    table.add_column(overflow="fold")
    for number, each in enumerate(found.advice[:most], 1):
        text = Text(f"{each.what}: {advice_brings(found, each)}, cost {each.cost}\n", style="bold")
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
