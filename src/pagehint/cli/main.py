"""The command line: every command is a file of its own in this folder."""

import os
import sys

import cyclopts

from pagehint.errors import PagehintError

__all__ = ["app", "main"]

app = cyclopts.App(
    name="pagehint",
    help="Free page hinting: what a guest could give back to its host.",
    suppress_keyboard_interrupt=False,
)
# By name: a command's libraries are loaded when it runs.
for _name, _help in (
    ("run", "Replay a recording of a real guest: what comes back, how fast, at what cost, and what stays behind."),
    ("script", "Run an op script on one zone, and print what the allocator and the hinting do."),
    ("import", "Import a recording as a trace bundle."),
    ("info", "Show what a trace bundle holds."),
    ("calibrate", "Measure what giving back and faulting costs on this machine."),
):
    _module = "import_" if _name == "import" else _name
    app.command(f"pagehint.cli.{_module}:{_module}", name=_name, help=_help)


def main() -> None:
    """Run the command line and exit: 0 done, 1 a check failed, 2 bad input, 130 interrupted."""
    try:
        app(exit_on_error=False, print_error=False)
        sys.stdout.flush()
    except cyclopts.CycloptsError as error:
        text = " ".join(str(error).split())
        print(f"pagehint: {text} `pagehint --help` tells more.", file=sys.stderr)
        raise SystemExit(2) from None
    except PagehintError as error:
        print(f"pagehint: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise SystemExit(141) from None
        where = f"{error.filename}: " if error.filename else ""
        print(f"pagehint: {where}{error.strerror or error}", file=sys.stderr)
        raise SystemExit(2) from None
    except KeyboardInterrupt:
        print("pagehint: interrupted", file=sys.stderr)
        raise SystemExit(130) from None
