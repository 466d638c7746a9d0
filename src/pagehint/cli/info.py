"""``pagehint info``: what a trace bundle holds."""

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from pagehint.cli.bar import bar
from pagehint.cli.options import Json, print_json
from pagehint.errors import InputError, printable
from pagehint.kernel.reporting import DELAY_PARAMETER, ORDER_PARAMETER
from pagehint.replays.start import check_replayable
from pagehint.trace import Event, Trace
from pagehint.trace.describe import EVENT_NAMES, describe, describe_anomalies, describe_lost, describe_missing
from pagehint.trace.reporting import ReportingChange, changes_in_words
from pagehint.trace.shipped import example
from pagehint.units import format_count, format_size, format_time

__all__ = ["info"]

_MOST_PHASES = 100


def info(trace: str | Path | None = None, /, *, json_: Json = False) -> None:
    """Show what a trace bundle holds.

    For example:

        pagehint info guest.pagetrace

    Parameters
    ----------
    trace
        The bundle, NAME.pagetrace or a URL of one. Without it: the one that ships with the package.
    json_
        Print it as JSON, times in ns of the guest's clock.
    """
    opened = example() if trace is None else Trace.open(trace)
    with bar("reading", opened.path.name, opened.num_events) as shown:
        opened.check_events(shown.advance)
    data = describe(opened)
    try:
        check_replayable(opened)
    except InputError as error:
        data["warnings"].append(f"it can't be replayed: {printable(str(error))}")
    if json_:
        print_json(data)
        return
    console = Console(highlight=False)
    console.print(f"[bold]{escape(printable(data['path']))}[/]  {escape(data['source'])}, {escape(data['recorder'])}")
    console.print()
    console.print(_guest(data, opened.reporting_changes))
    console.print(_events(data))
    for line in describe_lost(opened.meta.lost) + describe_missing(opened.meta) + data["warnings"]:
        console.print(f"[bold red]{escape(line)}.[/]\n")
    if data["anomalies"]:
        console.print("Odd in the recording: " + escape("; ".join(describe_anomalies(data["anomalies"]))) + "\n")
    console.print(_truth(data))
    if data["phases"]:
        console.print(_phases(data))


def _grid() -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", overflow="fold")
    table.add_column(overflow="fold")
    return table


# As wide as its title, whatever is in it.
def _figures(title: str) -> Table:
    table = Table(title=title, title_justify="left", box=None, show_header=False, min_width=len(title))
    table.add_column(justify="right", no_wrap=True)
    table.add_column(overflow="fold")
    return table


def _guest(data: dict[str, Any], changes: list[ReportingChange]) -> Table:
    page = data["page_size"]
    table = _grid()
    table.add_row("kernel", escape(data["kernel"] or "not recorded"))
    managed = data["managed_bytes"]
    memory = f"up to pfn {data['span_bytes'] // page} ({format_size(data['span_bytes'])})"
    table.add_row("memory", memory if managed is None else f"{format_size(managed)} managed, {memory}")
    table.add_row("CPUs", str(data["cpus"] or "not recorded"))
    for zone in data["zones"]:
        pages = f"pfn {zone['start_pfn']} to {zone['end_pfn'] - 1}, {format_size(zone['managed'] * page)} managed"
        table.add_row(f"zone {escape(zone['name'])}, node {zone['node']}", pages)
    table.add_row("reporting", _reporting(data))
    if changes:
        table.add_row("reporting changed", f"{changes_in_words(changes)} by the guest's clock")
    snapshot = data["snapshot"]
    table.add_row("start", "not recorded: no snapshot" if snapshot is None else f"snapshot: {', '.join(snapshot)}")
    span = data["last_ns"] - data["first_ns"]
    begins, ends = _seconds(data["first_ns"]), _seconds(data["last_ns"])
    table.add_row("time", f"{format_time(span)}, from {begins} to {ends} by the guest's clock")
    table.add_row()
    return table


def _reporting(data: dict[str, Any]) -> str:
    reporting = data["reporting"]
    if reporting is None:
        return "not recorded"
    if reporting["on"] is False:
        return "off"
    parts = ["on" if reporting["on"] else "not known if on"]
    if reporting["order"] is not None:
        parts.append(f"order {reporting['order']} ({format_size(data['page_size'] << reporting['order'])})")
    if reporting["delay_ns"] is not None:
        parts.append(f"delay {format_time(reporting['delay_ns'])}")
    if reporting["capacity"] is not None:
        parts.append(f"{reporting['capacity']} blocks a batch")
    if reporting["device_load_ns"] is not None:
        parts.append(f"device loaded at {_seconds(reporting['device_load_ns'])}")
    parts += [
        f"{escape(printable(name))} {value}"
        for name, value in reporting["parameters"].items()
        if name not in (ORDER_PARAMETER, DELAY_PARAMETER)
    ]
    return ", ".join(parts)


def _events(data: dict[str, Any]) -> Table:
    table = _figures(format_count(data["num_events"], "event"))
    for event in Event:
        if count := data["events"].get(event.letter):
            table.add_row(f"{count:,}", f"{EVENT_NAMES[event]} [dim]{event.letter}[/]")
    lost = data["lost"]
    if not lost["total"] and not lost["uncounted"]:
        table.add_row("0", "lost")
    table.add_row()
    return table


def _truth(data: dict[str, Any]) -> Table:
    truth = data["truth"]
    table = _figures("Measured on the host")
    discarded = f"ranges discarded, {format_size(truth['reported_bytes'])}"
    rows = {
        "samples of the VM's resident memory": truth["residency_samples"],
        "of them with the guest's RAM alone": truth["ram_resident_samples"],
        "bitmaps of which pages were resident": truth["residency_bitmaps"],
        discarded: truth["reported_ranges"],
    }
    for name, count in rows.items():
        if count:
            table.add_row(f"{count:,}", name)
    state = truth["host_state"]
    for name in ("huge", "swapped"):
        if (most := state[f"most_{name}_bytes"]) is not None:
            table.add_row(format_size(most), f"at the most in the host's {'huge pages' if name == 'huge' else 'swap'}")
    if state["collapsed"] is not None:
        table.add_row(f"{state['collapsed']:,}", "huge pages made by the host's khugepaged meanwhile")
    if not any(rows.values()):
        table.add_row("nothing", "")
    table.add_row()
    return table


def _phases(data: dict[str, Any]) -> Table:
    table = _figures("Phases")
    for phase in data["phases"][:_MOST_PHASES]:
        table.add_row(_seconds(phase["time"]), escape(phase["name"]))
    if left := len(data["phases"][_MOST_PHASES:]):
        table.add_row("", f"and {format_count(left, 'more phase')} (--json has all)")
    return table


def _seconds(time: int) -> str:
    return f"{time / 1e9:.3f} s"
