"""What the parameters of a guest's module page_reporting say of its free page reporting, and how they were changed."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pagehint.kernel.orders import MOST_ORDER
from pagehint.kernel.reporting import DELAY_PARAMETER, MAINLINE_CAPACITY, MAINLINE_DELAY, ORDER_PARAMETER
from pagehint.trace.meta import GuestReporting
from pagehint.units import format_time

__all__ = ["REPORTING", "SINCE", "ReportingChange", "changes_in_words", "is_state", "reporting_by", "reporting_changes"]

REPORTING = "REPORTING "
"""The mark of a recorder that sees reporting changed begins so; see docs/trace-format.md."""

SINCE = "since"
"""In it, beside the parameters: since when (ns) it is so; without it, since the mark's time."""

_LONGEST_MS = 10**9
_STATE = re.compile(r"REPORTING(?: (on|off))?((?: \w{1,80}=-?\d{1,18})*)", re.ASCII)
_MOST_TOLD = 6


def reporting_by(texts: Mapping[str, str]) -> GuestReporting:
    """Reporting as these parameters, texts by name, set it; whether it is on, none of them says."""
    numbers = {
        name[:80]: int(text) for name, text in sorted(texts.items()) if re.fullmatch(r"-?\d{1,18}", text, re.ASCII)
    }
    order, delay = numbers.get(ORDER_PARAMETER, -1), numbers.get(DELAY_PARAMETER, -1)
    return GuestReporting(
        order=order if 0 <= order <= MOST_ORDER else None,
        delay_ns=delay * 10**6 if 0 <= delay <= _LONGEST_MS else MAINLINE_DELAY,
        capacity=MAINLINE_CAPACITY,
        parameters=numbers,
    )


@dataclass(frozen=True)
class ReportingChange:
    """What the guest's reporting was changed to, and when (ns); None: it stayed as it was.

    `file_told`: its time is that of the file that was written, not when the recorder saw it.
    """

    time: int
    on: bool | None = None
    order: int | None = None
    delay_ns: int | None = None
    file_told: bool = False


def is_state(text: str) -> bool:
    """Whether a mark's text is a recorder's, of how reporting stands from then on."""
    return _STATE.fullmatch(text) is not None


def reporting_changes(marks: Iterable[tuple[int, str]], first: GuestReporting) -> list[ReportingChange]:
    """What these marks (time, text) tell that is not as it was before, at first as `first` says."""
    on, order, delay = first.on, first.order, first.delay_ns
    changes: list[ReportingChange] = []
    for seen, text in marks:
        match = _STATE.fullmatch(text)
        if match is None:
            continue
        found = reporting_by(dict(each.split("=") for each in match[2].split()))
        now_on = on if match[1] is None else match[1] == "on"
        now_order = order if found.order is None else found.order
        now_delay = found.delay_ns if DELAY_PARAMETER in found.parameters else delay
        if (now_on, now_order, now_delay) != (on, order, delay):
            told = found.parameters.get(SINCE, seen + 1)
            since = min(told, seen)
            changes.append(
                ReportingChange(
                    max(since, changes[-1].time) if changes else since,
                    None if now_on == on else now_on,
                    None if now_order == order else now_order,
                    None if now_delay == delay else now_delay,
                    told <= seen and not (changes and told < changes[-1].time),
                )
            )
        on, order, delay = now_on, now_order, now_delay
    return changes


def changes_in_words(changes: list[ReportingChange]) -> str:
    """When it was changed to what, by the guest's clock: "order 4 at 12.34 s, off at 20.00 s"."""
    told = [f"{_in_words(change)} at {change.time / 1e9:.2f} s" for change in changes[:_MOST_TOLD]]
    if (left := len(changes) - _MOST_TOLD) > 0:
        told.append(f"and {left:,} more")
    return ", ".join(told)


def _in_words(change: ReportingChange) -> str:
    parts = [] if change.on is None else ["on" if change.on else "off"]
    parts += [] if change.order is None else [f"order {change.order}"]
    parts += [] if change.delay_ns is None else [f"delay {format_time(change.delay_ns)}"]
    return " and ".join(parts)
