"""Snapshots of real guests on four kernels, with free page reporting on, and texts that people pasted."""

from pathlib import Path

import pytest

DATA = Path(__file__).parent / "data"
GUESTS = ("compile510", "press61", "compile612", "compile618")


def snapshot_files(guest: str) -> list[Path]:
    """All the files of a guest's snapshot."""
    return sorted((DATA / guest).iterdir())


@pytest.fixture
def pasted() -> Path:
    return DATA / "pasted"
