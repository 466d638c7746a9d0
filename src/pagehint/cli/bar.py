"""A bar of what is done, on standard error where that is a terminal."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from typing import NamedTuple

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

__all__ = ["Bar", "bar"]


class Bar(NamedTuple):
    """What to tell a bar: so much more is done, so much is done, there is so much; None each without a terminal."""

    advance: Callable[[float], None] | None = None
    reach: Callable[[float], None] | None = None
    expect: Callable[[float], None] | None = None


@contextmanager
def bar(doing: str, what: str, total: float | None = None) -> Iterator[Bar]:
    """Show one while the block runs: "replaying guest.pagetrace"; `total` None: to be told.

    What is printed meanwhile, as by a design of somebody's own, goes to standard error: it is none of the result.
    """
    console = Console(stderr=True)
    if not console.is_terminal:
        with redirect_stdout(sys.stderr):
            yield Bar()
        return
    columns = (TextColumn(f"{doing} {{task.description}}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as shown:
        task = shown.add_task(what, total=total)
        yield Bar(
            lambda more: shown.advance(task, more),
            lambda done: shown.update(task, completed=done),
            lambda whole: shown.update(task, total=whole),
        )
