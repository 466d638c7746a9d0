"""``pagehint sweep``: many settings on recordings, and the best of them at a price or within a budget."""

from pathlib import Path

from rich.console import Console

from pagehint.cli.bar import bar
from pagehint.cli.options import (
    Address,
    Counts,
    Delays,
    Designs,
    Flag,
    Json,
    Numbers,
    Orders,
    PageSize,
    Sets,
    Share,
    Time,
    Whole,
    costs_at,
    executor_at,
    naming,
    print_json,
    read_files,
    recording,
    setting_texts,
    split_names,
)
from pagehint.hinting.designs.registry import DESIGNS, all_settings
from pagehint.replays.plan import kinds_of
from pagehint.replays.run import PRICE
from pagehint.replays.study import Ground
from pagehint.replays.sweep import ROWS, Budget
from pagehint.replays.sweep import sweep as sweep_of
from pagehint.report.output import check_unread, output_if
from pagehint.trace.shipped import example

__all__ = ["sweep"]

_TYPICAL = "The host's costs are typical ones: `pagehint calibrate` measures this machine's"


def sweep(
    *traces: str,
    design: Designs = None,
    order: Orders = None,
    delay: Delays = None,
    capacity: Counts = None,
    set_: Sets = None,
    price: Numbers = None,
    at_most_refaults: Whole | None = None,
    at_most_slowdown: Share | None = None,
    give_back_within: Time | None = None,
    host_page_size: PageSize | None = None,
    khugepaged: Flag = False,
    costs: Path | None = None,
    out: Path | None = None,
    html: Path | None = None,
    workers: Whole | None = None,
    scheduler: Address = None,
    json_: Json = False,
) -> None:
    """Try many settings on recordings: which is the best at a price or within a budget, and which none beats.

    For example:

        pagehint sweep guest.pagetrace other.pagetrace --html sweep.html
        pagehint sweep --design reporting --order 9 --order 5 --at-most-slowdown 1%

    Without --order, --delay, --capacity and --design: all designs, orders 0 to 10, delays of 5 ms to 30 s, devices of
    32 and 256 blocks.

    Parameters
    ----------
    traces
        The recordings, NAME.pagetrace or a URL of one. Without any: the one that ships with the package.
    design
        reporting, hinting, breakeven, or one of your own (FILE.py:CLASS); default: all of them. May be repeated, as may
        the next four.
    order
        The least order of a block that is told.
    delay
        From the first request to the work.
    capacity
        How many blocks the device takes at a time.
    set_
        Any setting of a design, as NAME=VALUE.
    price
        CPU seconds that a GiB*minute of host memory is worth. May be repeated.
    at_most_refaults
        A budget: at most so many host faults on memory that was given back, in each recording.
    at_most_slowdown
        A budget: at most this share of the guest's time for such faults, and waiting for blocks in flight; such as 1%.
    give_back_within
        A budget: 99 % of what comes back is back within this time of its free, such as 2s.
    host_page_size
        By what the host backs the guests; default: as seen in each recording, else THP.
    khugepaged
        The hosts' khugepaged runs, as with `pagehint run --khugepaged`.
    costs
        What the host's work costs, a file of `pagehint calibrate`.
    out
        Keep each row in this folder as it comes; what is there already is not run again.
    html
        Write one page with the picture, which needs nothing else.
    workers
        How many runs at a time; default: as many as there are processors.
    scheduler
        Run on the workers of a Dask scheduler, tcp://HOST:PORT. They open the recordings by the same paths or URLs.
    json_
        Print all rows, the front and the best as JSON.
    """
    opened = [recording(trace) for trace in traces] or [example()]
    given = {"order": order, "delay": delay, "capacity": capacity}
    texts, options = setting_texts(given, set_)
    with naming("--design"):
        names = split_names(design or [*DESIGNS])
        kinds = [kind for kind in kinds_of(names) if kind is not None]
    prices = price or [PRICE]
    budget = Budget(at_most_refaults, at_most_slowdown, give_back_within)
    charged = costs_at(costs)
    ground = Ground(host_page_size, charged, price=prices[0], khugepaged=khugepaged)
    read = read_files([each.path for each in opened], costs, names)
    if out is not None:
        check_unread(out, read)
        read.append(out / ROWS)
    with output_if(html, read) as page:
        with executor_at(scheduler) as executor, bar("replaying", "all settings") as shown:
            found = sweep_of(
                opened,
                names,
                texts,
                prices,
                budget,
                options=options,
                ground=ground,
                out=out,
                executor=executor,
                workers=workers,
                progress=shown.advance,
                total=shown.expect,
            )
        words = {**all_settings(), **{name: setting for kind in kinds for name, setting in kind.settings.items()}}
        doubts = [] if charged.measured else [_TYPICAL]
        if page is not None:
            from pagehint.report.sweep import sweep_page

            page.write(sweep_page(found, words, doubts).encode())
    if json_:
        print_json(found.to_dict())
        return
    from pagehint.report.sweep import print_sweep

    print_sweep(Console(highlight=False), found, words, doubts)
