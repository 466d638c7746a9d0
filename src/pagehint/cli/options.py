"""What the options of several commands have in common: their types, and what their texts mean."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter, Token

from pagehint.errors import InputError
from pagehint.hinting.designs.registry import DESIGNS, NONE
from pagehint.host.costs import Costs
from pagehint.trace import Trace
from pagehint.units import format_size, format_time, parse_size, parse_time, shown

__all__ = [
    "OUTPUT",
    "Address",
    "Counts",
    "Delays",
    "Designs",
    "Flag",
    "For",
    "Json",
    "Number",
    "Numbers",
    "Orders",
    "PageSize",
    "Sets",
    "Share",
    "Shares",
    "Size",
    "Time",
    "Whole",
    "costs_at",
    "executor_at",
    "naming",
    "print_json",
    "read_files",
    "recording",
    "seconds_of",
    "setting_texts",
    "split_names",
]


# Cyclopts rounds: a process 4711.6 was 4712.
def _whole(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ValueError(f"{shown(text)}: expected a whole number.") from None


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{shown(text)}: expected a number, such as 1.5.") from None


def _share(text: str) -> float:
    number, whole = (text[:-1], 100) if text.endswith("%") else (text, 1)
    try:
        share = float(number) / whole
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise InputError(f"{shown(text)} is not a share: expected 0 to 1, or percent, such as 1%")
    return share


def _read_by(parse: Callable[[str], Any]) -> Callable[[type, Sequence[Token]], Any]:
    return lambda kind, tokens: parse(tokens[0].value)


def _each_by(parse: Callable[[str], Any]) -> Callable[[type, Sequence[Token]], Any]:
    return lambda kind, tokens: [parse(token.value) for token in tokens]


# As it would be given: one word.
def _shown_by(words: Callable[[int], str]) -> Callable[[int | None], str | None]:
    return lambda value: None if value is None else words(value).replace(" ", "")


Whole = Annotated[int, Parameter(converter=_read_by(_whole), metavar="NUMBER")]
Number = Annotated[float, Parameter(converter=_read_by(_number), metavar="NUMBER")]
Numbers = Annotated[list[float] | None, Parameter(converter=_each_by(_number), negative=(), metavar="NUMBER...")]
Share = Annotated[float, Parameter(converter=_read_by(_share), metavar="SHARE")]
Shares = Annotated[list[float] | None, Parameter(converter=_each_by(_share), negative=(), metavar="SHARE...")]
Size = Annotated[int, Parameter(converter=_read_by(parse_size), metavar="SIZE", show_default=_shown_by(format_size))]
Time = Annotated[int, Parameter(converter=_read_by(parse_time), metavar="TIME", show_default=_shown_by(format_time))]
Designs = Annotated[list[str] | None, Parameter(negative=(), metavar="DESIGN...")]
Orders = Annotated[list[str] | None, Parameter(negative=(), metavar="ORDER...")]
Delays = Annotated[list[str] | None, Parameter(negative=(), metavar="TIME...", allow_leading_hyphen=True)]
Counts = Annotated[list[str] | None, Parameter(negative=(), metavar="NUMBER...")]
Sets = Annotated[list[str] | None, Parameter(name="--set", negative=(), metavar="NAME=VALUE...")]
Flag = Annotated[bool, Parameter(negative=(), show_default=False)]
Json = Annotated[bool, Parameter(name="--json", negative=(), show_default=False)]
For = Annotated[Time | None, Parameter(name="--for")]
Address = Annotated[str | None, Parameter(metavar="ADDRESS")]
PageSize = Literal["4KiB", "2MiB", "THP"]
OUTPUT = Parameter(name=["--output", "-o"])

_LEAST_TIME = 10**8


@contextmanager
def naming(option: str) -> Iterator[None]:
    """What is wrong in here is the option's."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{option}: {error}") from None


def print_json(data: dict[str, Any]) -> None:
    """What --json prints."""
    print(json.dumps(data, indent=1, allow_nan=False))


def split_names(texts: Sequence[str]) -> list[str]:
    """The names in texts such as ``"reporting,none"``."""
    return [name.strip() for text in texts for name in text.split(",")]


def recording(name: str | Path) -> Trace:
    """The recording of a command's argument. Raises InputError."""
    names = split_names([str(name)])
    if all(each in (*DESIGNS, NONE) for each in names) and not Path(name).exists():
        options = " ".join(f"--design {each}" for each in names)
        raise InputError(f"{name}: no such trace bundle, but a design: it is given as {options}")
    return Trace.open(name)


def setting_texts(
    given: Mapping[str, Sequence[str] | None], set_: Sequence[str] | None
) -> tuple[dict[str, list[str]], dict[str, str]]:
    """The texts of each setting, of options of their own and of --set, and the option that each came by."""
    texts = {name: list(values) for name, values in given.items() if values}
    options = {name: f"--{name.replace('_', '-')}" for name in texts}
    for name, value in map(_assignment, set_ or []):
        texts.setdefault(name, []).append(value)
        options.setdefault(name, f"--set {name}")
    return texts, options


def _assignment(text: str) -> tuple[str, str]:
    """Name and value of a text of --set. Raises InputError."""
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise InputError(f"--set {text[:40]}: expected NAME=VALUE, such as idle=10s")
    return name.strip().replace("-", "_"), value.strip()


def seconds_of(for_: int | None) -> float | None:
    """The seconds of --for. Raises InputError."""
    if for_ is None:
        return None
    if for_ < _LEAST_TIME:
        raise InputError(f"--for {format_time(for_)}: expected {format_time(_LEAST_TIME)} at the least")
    return for_ / 1e9


def read_files(sources: Iterable[str | Path], costs: Path | None, designs: Iterable[str]) -> list[str | Path]:
    """What a command reads, so that no output takes its place: recordings, costs, and designs' FILE.py:CLASS."""
    files = [*sources, *(name.rpartition(":")[0] for name in designs if ":" in name)]
    return files if costs is None else [*files, costs]


def costs_at(path: Path | None) -> Costs:
    """What the host's work costs, by a file of `pagehint calibrate`; typical costs without one. Raises InputError."""
    return Costs() if path is None else Costs.read(path)


def executor_at(address: str | None) -> AbstractContextManager[Executor | None]:
    """An executor on the workers of the scheduler at an address; None, which is this machine's threads, without one."""
    if address is None:
        return nullcontext()
    from pagehint.replays.scheduler import scheduler

    return scheduler(address)
