"""How long a test waits for what must come."""

HANGS = 1200
"""Seconds: only what hangs waits so long, also where other work leaves a test a hundredth of a CPU."""
