"""The folder that snapshot.sh (docs/trace-format.md) leaves in a guest: copies of its /proc files, and its settings."""

import re
from dataclasses import dataclass
from pathlib import Path

from pagehint.errors import InputError
from pagehint.inputs import read_input
from pagehint.kernel.reporting import (
    DELAY_PARAMETER,
    MAINLINE_CAPACITY,
    MAINLINE_DELAY,
    ORDER_PARAMETER,
    offers_reporting,
)
from pagehint.trace.events import MAX_ORDER
from pagehint.trace.meta import GuestReporting
from pagehint.trace.snapshot import TEXTS

__all__ = ["SnapshotFolder", "kernel_of"]

_SMALL = 1 << 20


@dataclass(frozen=True)
class SnapshotFolder:
    """What a folder holds: its files by name (TEXTS and kpageflags), the kernel, reporting's settings, and marks.

    `marks` are (ns, text). Any of it may be missing.
    """

    files: dict[str, Path]
    kernel: str | None
    reporting: GuestReporting | None
    marks: list[tuple[int, str]]

    @classmethod
    def read(cls, folder: Path) -> "SnapshotFolder":
        """Read a folder. Raises InputError where it holds no snapshot."""
        if not folder.is_dir():
            raise InputError(f"{folder}: no such folder of a snapshot")
        wanted: dict[str, tuple[str, ...]] = {name: (name, f"{name}.txt") for name in TEXTS}
        wanted["kpageflags"] = ("kpageflags", "kpageflags.gz", "kpageflags.u64", "kpageflags.u64.gz")
        files = {name: folder / found for name, names in wanted.items() for found in names if (folder / found).exists()}
        if not files:
            raise InputError(f"{folder}: no snapshot: expected copies of /proc/{', /proc/'.join(wanted)}")
        return cls(files, kernel_of(folder / "version"), _reporting(folder), _marks(folder / "marks"))


def _text(path: Path) -> str | None:
    return read_input(path, _SMALL).decode("utf-8", "replace") if path.exists() else None


def kernel_of(path: Path) -> str | None:
    """The kernel that a copy of /proc/version names, as in ``uname -r``. Raises InputError where it can't be read."""
    words = (_text(path) or "").split()
    return words[2][:80] if words[:2] == ["Linux", "version"] and len(words) > 2 else None


def _reporting(folder: Path) -> GuestReporting | None:
    features = (_text(folder / "balloon_features") or "").strip() or None
    parameters: dict[str, int] = {}
    if (folder / "page_reporting").is_dir():
        for path in sorted((folder / "page_reporting").iterdir()):
            text = (_text(path) or "").strip()
            if re.fullmatch(r"-?\d{1,18}", text, re.ASCII):
                parameters[path.name[:80]] = int(text)
    if features is None and not parameters:
        return None
    on = None if features is None else offers_reporting(features)
    order, delay = parameters.get(ORDER_PARAMETER, -1), parameters.get(DELAY_PARAMETER, -1)
    return GuestReporting(
        on=on,
        order=order if 0 <= order <= MAX_ORDER else None,
        delay_ns=delay * 10**6 if 0 <= delay <= 10**9 else MAINLINE_DELAY,
        capacity=MAINLINE_CAPACITY,
        parameters=parameters,
    )


def _marks(path: Path) -> list[tuple[int, str]]:
    marks = []
    for number, line in enumerate((_text(path) or "").splitlines(), 1):
        time, _, text = line.partition(" ")
        if not re.fullmatch(r"\d{1,18}", time, re.ASCII):
            raise InputError(f"{path}: line {number}: expected the time in ns and a text")
        marks.append((int(time), text))
    return marks
