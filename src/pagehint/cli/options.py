"""What the options of several commands have in common: their types, and what their texts mean."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter, Token

from pagehint.errors import InputError
from pagehint.host.costs import Costs
from pagehint.units import format_time, parse_time, shown

__all__ = [
    "OUTPUT",
    "Flag",
    "For",
    "Hyphened",
    "Json",
    "PageSize",
    "Sets",
    "Texts",
    "Whole",
    "costs_at",
    "executor_at",
    "naming",
    "parse_for",
    "print_json",
    "read_files",
    "setting_texts",
    "split_names",
]


# Cyclopts rounds: a process 4711.6 was 4712.
def _whole(kind: type, tokens: Sequence[Token]) -> int:
    text = tokens[0].value
    try:
        return int(text)
    except ValueError:
        raise ValueError(f"{shown(text)}: expected a whole number.") from None


Whole = Annotated[int, Parameter(converter=_whole)]
Texts = Annotated[list[str] | None, Parameter(negative=())]
Hyphened = Annotated[list[str] | None, Parameter(negative=(), allow_leading_hyphen=True)]
Sets = Annotated[list[str] | None, Parameter(name="--set", negative=())]
Flag = Annotated[bool, Parameter(negative=())]
Json = Annotated[bool, Parameter(name="--json", negative=())]
For = Annotated[str | None, Parameter(name="--for")]
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


def parse_for(text: str) -> float:
    """The seconds of --for. Raises InputError."""
    with naming("--for"):
        time = parse_time(text)
    if time < _LEAST_TIME:
        raise InputError(f"--for {text}: expected {format_time(_LEAST_TIME)} at the least")
    return time / 1e9


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
