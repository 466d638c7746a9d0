"""``pagehint doctor``: what could come back now, and what keeps the rest, without a recording."""

import sys
import time
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter
from rich.console import Console
from rich.live import Live
from rich.text import Text

from pagehint.cli.bar import bar
from pagehint.cli.options import Json, Time, print_json
from pagehint.diagnosis.apply import STEPS, apply_action, check_action
from pagehint.diagnosis.examine import diagnose
from pagehint.diagnosis.examine import doctor as examine_machine
from pagehint.diagnosis.findings import Diagnosis
from pagehint.errors import InputError
from pagehint.report.doctor import applied_lines, live_screen, print_doctor
from pagehint.report.output import output_if
from pagehint.units import format_time

__all__ = ["doctor"]

_LEAST_WATCH = 10**9
_LOOKING = "looking at", "this machine's memory"


def doctor(
    *files: Annotated[Path, Parameter(allow_leading_hyphen=True)],
    html: Path | None = None,
    watch: Annotated[Time | None, Parameter(allow_leading_hyphen=True)] = None,
    apply: Literal["drop_caches", "compact_memory", "both"] | None = None,
    json_: Json = False,
) -> None:
    """Tell what of this machine's free memory the host still backs, why, and what to do; or of what somebody pasted.

    For example:

        pagehint doctor
        pagehint doctor dmesg.txt buddyinfo.txt kpageflags.gz
        journalctl -k | pagehint doctor -
        pagehint doctor --apply drop_caches

    Nothing is written to the machine without --apply.

    Parameters
    ----------
    files
        Copies of /proc/buddyinfo, pagetypeinfo, zoneinfo, meminfo, vmstat, kpageflags (.gz too), the output of free,
        or a kernel log, in any mixture, in one file or many, or a folder of them; - is standard input. Without any:
        this machine, now.
    html
        Write one page with the charts, which needs nothing else.
    watch
        A live screen, renewed after each such time, such as 10s.
    apply
        Do it, after asking, and tell what it brought.
    json_
        Print it as JSON, sizes in MiB.
    """
    _check(files, html, watch, apply, json_)
    if watch is not None:
        _watch(watch / 1e9)
        return
    if apply is not None:
        check_action(apply)
    with output_if(html, files) as page:
        if files:
            found = diagnose(files)
        else:
            with bar(*_LOOKING):
                found = examine_machine()
        if page is not None:
            from pagehint.report.doctor_page import doctor_page

            page.write(doctor_page(found).encode())
    if apply is not None:
        _apply(apply, found, json_)
    elif json_:
        print_json(found.to_dict())
    else:
        print_doctor(Console(highlight=False), found)


def _check(files: tuple[Path, ...], html: Path | None, watch: int | None, apply: str | None, json_: bool) -> None:
    for each in map(str, files):
        if each.startswith("-") and each != "-":
            raise InputError(
                f"Unknown option: {each}. `pagehint doctor --help` tells more; a file of that name: ./{each}"
            )
    if files and (watch is not None or apply is not None):
        raise InputError(f"--{'watch' if watch is not None else 'apply'} is for this machine: leave the files out")
    if watch is None:
        return
    if html is not None or json_ or apply is not None:
        raise InputError("--watch shows a live screen: leave --html, --json and --apply out")
    if watch < _LEAST_WATCH:
        raise InputError(f"--watch {format_time(watch)}: expected 1s or more")
    if not sys.stdout.isatty():
        raise InputError("--watch needs a terminal: use --json for programs")


def _watch(seconds: float) -> None:
    console = Console(highlight=False)
    with Live(console=console, screen=True, auto_refresh=False) as live:
        live.update(Text(" ".join(_LOOKING)), refresh=True)
        while sys.stdout.isatty():  # until it ends
            live.update(live_screen(console, examine_machine()), refresh=True)
            time.sleep(seconds)


def _apply(action: str, found: Diagnosis, json_: bool) -> None:
    console = Console(highlight=False, stderr=True)
    if not json_:
        print_doctor(Console(highlight=False), found)
    writes = ", then ".join(f"{value} to {path}" for path, value in STEPS[action])
    risk = next((f"; {each.risk}" for each in found.advice if each.apply == action), "")
    console.print(f"{action} writes {writes}{risk}. Do it? [y/N] ", end="", markup=False)
    if sys.stdin is None or sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise InputError(f"--apply {action}: not confirmed: nothing was written")
    done = apply_action(action, found)
    if json_:
        print_json({**done.after.to_dict(), "applied": done.to_dict()})
        return
    for line in applied_lines(done):
        print(line)
