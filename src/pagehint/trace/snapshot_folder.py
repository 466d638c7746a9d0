"""The folder that snapshot.sh (docs/tracers.md) leaves in a guest: copies of its /proc files, and its settings."""

import re
from dataclasses import dataclass, replace
from pathlib import Path

from pagehint.errors import InputError
from pagehint.inputs import read_text
from pagehint.kernel.reporting import offers_reporting
from pagehint.trace.meta import GuestReporting
from pagehint.trace.reporting import reporting_by
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
            copies = f"expected a folder with copies of /proc/{', /proc/'.join(_WANTED)}, each a file of its own"
            raise InputError(
                f"{folder}: {f'is a file: {copies}' if folder.is_file() else 'no such folder of a snapshot'}"
            )
        files = _files(folder)
        if not files:
            inside = next((path for path in sorted(folder.iterdir()) if path.is_dir() and _files(path)), None)
            raise InputError(
                f"{folder}: no snapshot: expected copies of /proc/{', /proc/'.join(_WANTED)}"
                if inside is None
                else f"{folder}: no snapshot: it lies in {inside}: name that"
            )
        kernels = (kernel_of(path) for name in ("version", "uname", "osrelease") for path in _named(folder, name))
        return cls(files, next(filter(None, kernels), None), _reporting(folder), _marks(folder / "marks"))


_WANTED = (*TEXTS, "kpageflags")
_EARLY = re.compile(r"before|start|begin|init|first", re.ASCII)
_PACKED = frozenset((".xz", ".zst", ".bz2", ".lz4", ".zip", ".7z"))


def _files(folder: Path) -> dict[str, Path]:
    files = {}
    for name in _WANTED:
        found = _named(folder, name)
        if len(found) > 1:
            raise InputError(
                f"{folder}: {', '.join(path.name for path in found[:4])}: which is of the start? Call it {name}"
            )
        if found:
            files[name] = found[0]
    return files


def _named(folder: Path, name: str) -> list[Path]:
    """The files of a folder that are called so, by whatever else: the name itself before `proc_zoneinfo.log`, and what
    is read before what has to be unpacked, and what is called of the start before others."""
    usual = [name, f"{name}.txt", f"{name}.gz", f"{name}.u64.gz", f"{name}.u64"]
    if exact := [folder / each for each in usual if (folder / each).exists()]:
        return exact[:1]
    word = re.compile(rf"(?<![a-z]){name}(?![a-z])", re.ASCII)
    found = [path for path in sorted(folder.iterdir()) if word.search(path.name.lower()) and path.is_file()]
    found = [path for path in found if path.suffix not in _PACKED] or found
    early = [path for path in found if _EARLY.search(path.name.lower()) is not None]
    return early if len(early) == 1 else found


def _text(path: Path) -> str | None:
    return read_text(path, _SMALL) if path.exists() else None


# Of /proc/version, `uname -a` and `uname -r`.
_KERNEL = re.compile(
    r"\bLinux version (\S{1,80})|\bLinux \S{1,64} (\d{1,3}\.\d\S{0,76})|^(\d{1,3}\.\d{1,4}\.\d\S{0,70})\s*$",
    re.MULTILINE | re.ASCII,
)


def kernel_of(path: Path) -> str | None:
    """The kernel that a copy of /proc/version names, or what uname printed. Raises InputError if it can't be read."""
    match = _KERNEL.search(_text(path) or "")
    return None if match is None else match[match.lastindex or 0]


def _reporting(folder: Path) -> GuestReporting | None:
    features = (_text(folder / "balloon_features") or "").strip() or None
    folder /= "page_reporting"
    parameters = {path.name: (_text(path) or "").strip() for path in (folder.iterdir() if folder.is_dir() else ())}
    reporting = reporting_by(parameters)
    if features is None and not reporting.parameters:
        return None
    return replace(reporting, on=None if features is None else offers_reporting(features))


def _marks(path: Path) -> list[tuple[int, str]]:
    marks = []
    for number, line in enumerate((_text(path) or "").splitlines(), 1):
        time, _, text = line.partition(" ")
        if not re.fullmatch(r"\d{1,18}", time, re.ASCII):
            raise InputError(f"{path}: line {number}: expected the time in ns and a text")
        marks.append((int(time), text))
    return marks
