"""``pagehint fleet``: how many guests fit on a host, and what they hold of its memory together."""

import re
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from rich.console import Console

from pagehint.cli.bar import bar
from pagehint.cli.options import (
    Address,
    Delays,
    Designs,
    Flag,
    Json,
    Orders,
    PageSize,
    Sets,
    Share,
    Shares,
    Size,
    Whole,
    costs_at,
    executor_at,
    naming,
    print_json,
    read_files,
    setting_texts,
    split_names,
)
from pagehint.errors import InputError
from pagehint.fleets.fleet import RISKS, Guests
from pagehint.fleets.fleet import fleet as fleet_of
from pagehint.replays.plan import kinds_of
from pagehint.replays.study import Ground
from pagehint.report.output import output_if
from pagehint.units import parse_time

__all__ = ["fleet"]

_GUESTS = re.compile(r"(.+):(\d{1,40})(?:@([^-@]+)-([^-@]+))?", re.DOTALL)


def fleet(
    *guests: str,
    host_memory: Size,
    design: Designs = None,
    order: Orders = None,
    delay: Delays = None,
    set_: Sets = None,
    risk: Shares = None,
    together: Share = 0.0,
    parked: Share = 0.0,
    overhead: Annotated[Size, Parameter(show_default=False)] = 0,
    measured: Flag = False,
    host_page_size: PageSize | None = None,
    khugepaged: Flag = False,
    costs: Path | None = None,
    seed: Whole = 1,
    html: Path | None = None,
    workers: Whole | None = None,
    scheduler: Address = None,
    json_: Json = False,
) -> None:
    """Tell how many guests fit on a host, without hinting and with each design, and what they hold together.

    For example:

        pagehint fleet web.pagetrace:40 batch.pagetrace:10 --host-memory 64GiB
        pagehint fleet office.parquet:100@8h-18h --host-memory 256GiB --html fleet.html

    Parameters
    ----------
    guests
        Recordings, and how many guests do what each one's did: NAME.pagetrace:COUNT. NAME.parquet:COUNT is a guest by
        its steps: columns time (ns) and resident (bytes). With @8h-18h they run only at these times of the day.
    host_memory
        The host's memory for guests, such as 256GiB.
    design
        none, reporting, hinting, breakeven, or one of your own (FILE.py:CLASS); default: all of them. May be repeated,
        as may the next four.
    order
        The least order of a block that is told.
    delay
        From the first request to the work.
    set_
        Any setting of a design, as NAME=VALUE.
    risk
        At most this share of the time may guests hold more than the host has. Default: 1e-3, 1e-4 and 1e-5.
    together
        The share of the guests that do the same at the same time, 0 to 1, such as after all are resumed at once.
    parked
        The share of the guests that are paused before their delay ran out, and keep what they held, 0 to 1.
    overhead
        What the host needs beside each guest's memory, such as 64MiB; default: nothing.
    measured
        What the recordings' hosts measured, instead of replays.
    host_page_size
        By what the host backs the guests; default: as seen in each recording.
    khugepaged
        The hosts' khugepaged runs, as with `pagehint run --khugepaged`.
    costs
        What the host's work costs, a file of `pagehint calibrate`.
    seed
        For the confidence intervals.
    html
        Write one page with the pictures, which needs nothing else.
    workers
        How many replays at a time; default: as many as there are processors.
    scheduler
        Replay on the workers of a Dask scheduler, tcp://HOST:PORT. They open the recordings by the same paths or URLs.
    json_
        Print it as JSON: bytes, seconds, shares of time.
    """
    listed = [_guests(text) for text in guests]
    texts, options = setting_texts({"order": order, "delay": delay}, set_)
    with naming("--design"):
        names = split_names(design or [])
        kinds_of(names)
    charged = costs_at(costs)
    read = read_files([str(each.source) for each in listed], costs, names)
    with output_if(html, read) as page:
        with executor_at(scheduler) as executor, bar("replaying", "all settings") as shown:
            found = fleet_of(
                listed,
                host_memory,
                names,
                texts,
                risks=risk or RISKS,
                together=together,
                parked=parked,
                overhead=overhead,
                seed=seed,
                measured=measured,
                options=options,
                ground=Ground(host_page_size, charged, khugepaged=khugepaged),
                executor=executor,
                workers=workers,
                progress=shown.advance,
                total=shown.expect,
            )
        if page is not None:
            from pagehint.report.fleet import fleet_page

            page.write(fleet_page(found).encode())
    if json_:
        print_json(found.to_dict())
        return
    from pagehint.report.fleet import print_fleet

    print_fleet(Console(highlight=False), found)


def _guests(text: str) -> Guests:
    match = _GUESTS.fullmatch(text)
    if match is None:
        raise InputError(f"{text[:80]}: expected a recording and how many guests, such as web.pagetrace:40")
    try:
        begin, end = (0.0, 86_400.0) if match[3] is None else (parse_time(part) / 1e9 for part in match.group(3, 4))
    except InputError:
        raise InputError(f"{text}: expected times of a day after @, such as @8h-18h") from None
    return Guests(match[1], int(match[2]), begin, end)
