"""The command line: every command is a file of its own in this folder."""

import ast
import itertools
import os
import re
import select
import signal
import sys
from collections.abc import Callable
from errno import ENOSPC
from importlib.metadata import version
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import cyclopts

from pagehint.cli.no_pandas import NoPandas
from pagehint.errors import InputError, PagehintError, printable

__all__ = ["app", "run"]


def _version() -> str:
    return f"pagehint {version('pagehint')}: free page hinting in Python"


_HELP = """Free page hinting: what a guest could give back to its host.

To begin with: `pagehint doctor` looks at this machine, now; `pagehint run` replays a recording that ships here.
"""

app = cyclopts.App(name="pagehint", help=_HELP, version=_version)
app.register_install_completion_command(help="Have the shell complete pagehint's commands and options.")
_COMMANDS = {
    name: "import_" if name == "import" else name
    for name in (
        "run",
        "sweep",
        "fleet",
        "doctor",
        "script",
        "record",
        "watch",
        "guest",
        "mark",
        "import",
        "info",
        "calibrate",
    )
}
# By name: a command's libraries are loaded when it runs, or when its own help is shown.
for _name, _module in _COMMANDS.items():
    app.command(f"pagehint.cli.{_module}:{_module}", name=_name)


_RUN_A_COMMAND = ("record", "guest")
_OF_NOTHING = re.compile(r"--[\w-]+=")
_ENDS = (signal.SIGTERM, signal.SIGHUP)


class _Ended(BaseException):
    """A signal that ends the process."""


class _Signals:
    """What ends a command from outside: an exception, which a library that is being loaded can make another one of."""

    def __init__(self) -> None:
        self.raised: KeyboardInterrupt | _Ended | None = None

    def interrupted(self, number: int, frame: FrameType | None) -> NoReturn:
        self.raised = KeyboardInterrupt()
        raise self.raised

    def ended(self, number: int, frame: FrameType | None) -> NoReturn:
        self.raised = _Ended(number)
        raise self.raised


def run(interrupt: Callable[..., Any] | int | None) -> None:
    """Run the command line; `interrupt` handles SIGINT while a command runs."""
    loading = signal.getsignal(signal.SIGINT)
    ends = [number for number in _ENDS if signal.getsignal(number) is signal.SIG_DFL]
    signals = _Signals()
    if interrupt is signal.default_int_handler:
        interrupt = signals.interrupted
    try:
        for number in ends:
            signal.signal(number, signals.ended)
        _refuse_empty(sys.argv[1:])
        if not sys.argv[1:] or sys.argv[1] in app.help_flags:
            _describe_commands()
        command, bound, _ = app.parse_args(exit_on_error=False, print_error=False)
        try:
            signal.signal(signal.SIGINT, interrupt)
            with NoPandas():
                command(*bound.args, **bound.kwargs)
            sys.stdout.flush()
        finally:
            signal.signal(signal.SIGINT, loading)
        _done(ends)
    except cyclopts.CycloptsError as error:
        _refuse(_misused(error))
    except PagehintError as error:
        _refuse_own_design(error)
        _refuse(str(error))
    except BrokenPipeError as error:
        if _is_read():
            _refuse_own_design(error)
        _nobody_reads()
    except OSError as error:
        _refuse_own_design(error)
        where = f"{error.filename}: " if error.filename else "standard output: " if error.errno == ENOSPC else ""
        hint = ": it takes its owner, or root" if isinstance(error, PermissionError) else ""
        _refuse(f"{where}{error.strerror or error}{hint}")
    except MemoryError as error:
        _refuse_own_design(error)
        _refuse("there is not enough memory for this: is it a recording of this machine's size?")
    except SystemExit as ended:
        _refuse_own_design(ended)
        # Rich's own answer to it.
        if isinstance(ended.__context__, BrokenPipeError):
            _nobody_reads()
        _done(ends)
        raise
    except BaseException as error:
        signalled = error if isinstance(error, KeyboardInterrupt | _Ended) else signals.raised
        if signalled is None:
            _refuse_own_design(error)
            raise
        _end_by(signalled)


def _end_by(signalled: BaseException) -> NoReturn:
    if isinstance(signalled, KeyboardInterrupt):
        _end("interrupted", 130)
    # What was begun is taken back; then it ends as whoever asked expects.
    (number,) = signalled.args
    print(f"pagehint: ended by {signal.Signals(number).name}", file=sys.stderr, flush=True)
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
    raise SystemExit(128 + number)


def _refuse_own_design(error: BaseException) -> None:
    from pagehint.hinting.designs.registry import blame

    if (said := blame(error)) is not None:
        _refuse(said)


# Nothing is left to be ended but Python, whose end takes some 10 ms: the status is that of what was done.
def _done(ends: list[signal.Signals]) -> None:
    for number in (signal.SIGINT, *ends):
        signal.signal(number, signal.SIG_IGN)


# In the list of commands each has its docstring's first line, which is read here: to import them takes a second.
def _describe_commands() -> None:
    for name, module in _COMMANDS.items():
        source = ast.parse(Path(__file__).with_name(f"{module}.py").read_bytes())
        (command,) = (each for each in source.body if isinstance(each, ast.FunctionDef) and each.name == module)
        del app[name]
        app.command(f"pagehint.cli.{module}:{module}", name=name, help=ast.get_docstring(command))


# A path of nothing would be the folder that it is called in, and without its command a recording would go on for ever.
def _refuse_empty(arguments: list[str]) -> None:
    for number, each in enumerate(itertools.takewhile(lambda each: each != "--", arguments), 1):
        if not each or _OF_NOTHING.fullmatch(each):
            raise InputError(f"argument {number} is empty: is it a variable that isn't set?")
    if "--" in arguments and not any(arguments[arguments.index("--") + 1 :][:1]):
        raise InputError("nothing comes after --: is it a variable that isn't set?")


def _misused(error: cyclopts.CycloptsError) -> str:
    command = " ".join(("pagehint", *(error.command_chain or ())))
    said = " ".join(str(error).split())
    if isinstance(error, cyclopts.MissingArgumentError) and error.argument is not None:
        name = error.argument.name
        if error.keyword is None:
            said = f"{_as_given(error.argument)}: it is needed, and isn't given."
        elif name.startswith("-"):
            said = f"{name}: its value is missing: one that begins with a dash is written {name}=VALUE."
    if isinstance(error, cyclopts.CoercionError) and error.argument is not None and error.msg is not None:
        # What a converter in cli/options.py says of the value.
        said = f"{_as_given(error.argument)}: {error.msg}"
        if isinstance(error.__cause__, InputError):
            return said
    if isinstance(error, cyclopts.UnknownOptionError) and "-" in (error.token.keyword, error.token.value):
        said = "-: standard input is not read here: name a file or a bundle."
    elif isinstance(error, cyclopts.UnknownOptionError) and command.endswith(_RUN_A_COMMAND) and "--" not in sys.argv:
        said = f"{said} What is to run comes after --."
    if isinstance(error, cyclopts.UnusedCliTokensError):
        said = f"{' '.join(error.unused_tokens or ())}: nothing more is expected."
    return f"{said} `{command} --help` tells more."


def _as_given(argument: cyclopts.Argument) -> str:
    return argument.name.removeprefix("--").upper() if argument.field_info.is_positional else argument.name


def _refuse(text: str) -> NoReturn:
    _end(printable(text), 2)


def _end(text: str, status: int) -> NoReturn:
    print(f"pagehint: {text}", file=sys.stderr, flush=True)
    raise SystemExit(status) from None


def _is_read() -> bool:
    poll = select.poll()
    poll.register(sys.stdout, 0)
    return not poll.poll(0)


def _nobody_reads() -> NoReturn:
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    raise SystemExit(141) from None
