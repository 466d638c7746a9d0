"""What the parameters of a guest's module page_reporting say of its free page reporting."""

import re
from collections.abc import Mapping

from pagehint.kernel.reporting import DELAY_PARAMETER, MAINLINE_CAPACITY, MAINLINE_DELAY, ORDER_PARAMETER
from pagehint.trace.events import MAX_ORDER
from pagehint.trace.meta import GuestReporting

__all__ = ["reporting_by"]

_LONGEST_MS = 10**9


def reporting_by(texts: Mapping[str, str]) -> GuestReporting:
    """Reporting as these parameters, texts by name, set it; whether it is on, none of them says."""
    numbers = {
        name[:80]: int(text) for name, text in sorted(texts.items()) if re.fullmatch(r"-?\d{1,18}", text, re.ASCII)
    }
    order, delay = numbers.get(ORDER_PARAMETER, -1), numbers.get(DELAY_PARAMETER, -1)
    return GuestReporting(
        order=order if 0 <= order <= MAX_ORDER else None,
        delay_ns=delay * 10**6 if 0 <= delay <= _LONGEST_MS else MAINLINE_DELAY,
        capacity=MAINLINE_CAPACITY,
        parameters=numbers,
    )
