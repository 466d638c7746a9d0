"""How many ticks a second kernels are built with: by their distribution, where that is known."""

import re

__all__ = ["TICK", "TICKS", "usual_tick"]

TICK = 4 * 10**6
"""Nanoseconds of a tick (a jiffy) where nobody knows: of 250 a second."""
TICKS = (10 * 10**6, TICK, 10**9 // 300, 10**6)
"""All that x86-64 can be built with: of 100, 250, 300 and 1000 a second."""

# Debian's as its packages were booted, the others as they are known to be built.
_USUAL = (
    (re.compile(r"\+deb\d|\.0-\d+-(?:cloud-|rt-)?amd64$"), TICK),
    (re.compile(r"\.(?:fc|el[89]|el1\d)"), 10**6),
    (re.compile(r"^(?:[45]\.\d+|6\.[0-8])\.0-\d+-generic$"), TICK),
)


def usual_tick(version: str | None) -> int | None:
    """A tick (ns) of the kernel of this version (``uname -r``), by its distribution; None: it isn't known."""
    return next((tick for form, tick in _USUAL if version is not None and form.search(version)), None)
