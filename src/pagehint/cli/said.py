"""What commands say while they work, on standard error."""

import sys

__all__ = ["live_line", "say", "warn"]


def say(text: str) -> None:
    """A line."""
    print(f"pagehint: {text}", file=sys.stderr)


def warn(text: str) -> None:
    """A warning, a line."""
    say(f"warning: {text}")


def live_line(text: str) -> None:
    """Show it in place of the line before, on a terminal; an empty text leaves nothing."""
    print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)
