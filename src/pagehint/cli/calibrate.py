"""``pagehint calibrate``: measure what this machine's part of a host's work costs."""

from dataclasses import fields
from pathlib import Path
from typing import Annotated, Literal

from rich.console import Console
from rich.table import Table

from pagehint.cli.options import OUTPUT
from pagehint.host.calibrate import calibrate as measure
from pagehint.host.costs import Costs
from pagehint.inputs import as_argument
from pagehint.report.output import output_if

__all__ = ["calibrate"]

_WORDS = {
    "react_call": "a batch: the guest's notification, to the device and back",
    "discard_block": "a block: one call, whatever is behind it",
    "discard_4kib": "a 4 KiB page given back",
    "discard_2mib": "a 2 MiB page given back",
    "fault_exit": "a fault's way out of the guest and back",
    "fault_4kib": "a 4 KiB fault, zeroing included",
    "fault_2mib": "a 2 MiB fault, zeroing included",
    "swap_out": "a 4 KiB page written to swap",
    "swap_in": "a 4 KiB page read from swap",
}


def calibrate(
    *,
    memory: Literal["anonymous", "memfd"] = "anonymous",
    output: Annotated[Path | None, OUTPUT] = None,
) -> None:
    """Measure what faults and giving memory back cost on this machine, for `pagehint run --costs`.

    For example:

        pagehint calibrate -o costs.json
        pagehint run --costs costs.json

    What can't be measured without a guest keeps its default, and the table says so.

    Parameters
    ----------
    memory
        What the host backs guests with: anonymous memory (madvise), or a memfd (punched holes).
    output
        Write the costs as JSON.
    """
    with output_if(output) as file:
        costs = measure(memory)
        if file is not None:
            file.write(costs.to_json().encode())
    _show(costs)
    if output is not None:
        print(f"\n{output}: written; `pagehint run --costs {as_argument(output)}` charges them")


def _show(costs: Costs) -> None:
    table = Table(box=None, pad_edge=False)
    table.add_column("cost", no_wrap=True)
    table.add_column("ns", justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    table.add_column("of", overflow="fold")
    for field in fields(costs):
        if field.name != "measured":
            source = "measured" if field.name in costs.measured else "[dim]default[/]"
            table.add_row(field.name, f"{getattr(costs, field.name):,.0f}", source, _WORDS[field.name])
    Console(highlight=False).print(table)
