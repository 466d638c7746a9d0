"""What the host's work costs, in nanoseconds."""

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from pagehint.errors import InputError
from pagehint.inputs import as_path, read_input
from pagehint.units import shown

__all__ = ["Costs"]

_MOST_BYTES = 1 << 20
_MOST_NS = 10**15


@dataclass(frozen=True)
class Costs:
    """Nanoseconds of each piece of the host's work; the defaults are typical of x86 servers. Raises InputError.

    `pagehint.host.calibrate` measures those that can be measured without a guest, and names them in `measured`.
    """

    react_call: float = 20_000.0
    """A batch: the guest's notification, the way to the device, and the interrupt back."""
    discard_block: float = 1_000.0
    """A block: one madvise or fallocate, whatever is behind it."""
    discard_4kib: float = 60.0
    """A 4 KiB page given back: unmapped and freed."""
    discard_2mib: float = 12_000.0
    """A 2 MiB page given back."""
    fault_exit: float = 1_000.0
    """What a fault of either size costs in a guest beyond what it costs in a process: the exit and the way back."""
    fault_4kib: float = 500.0
    """A 4 KiB fault, zeroing included."""
    fault_2mib: float = 80_000.0
    """A 2 MiB fault, zeroing included."""
    swap_out: float = 10_000.0
    """A 4 KiB page written to swap."""
    swap_in: float = 80_000.0
    """A 4 KiB page read from swap, its fault included."""
    measured: frozenset[str] = frozenset()
    """The names of the costs that were measured on this machine."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name == "measured":
                continue
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _MOST_NS:
                raise InputError(f"the cost {field.name} is {shown(value)} ns: expected a time of 0 to {_MOST_NS}")

    def to_json(self) -> str:
        """What `read` reads."""
        return json.dumps({**asdict(self), "measured": sorted(self.measured)}, indent=1) + "\n"

    @classmethod
    def read(cls, path: str | Path) -> "Costs":
        """The costs that a file holds; those that it doesn't name keep their defaults. Raises InputError."""
        path = as_path(path, "is no file: expected the path of one that `pagehint calibrate -o FILE.json` made")
        if not path.exists():
            raise InputError(f"{path}: no such file of costs: `pagehint calibrate -o FILE.json` makes one")
        text = read_input(path, _MOST_BYTES)
        try:
            data = json.loads(text)
        except (ValueError, RecursionError):
            data = None
        if not isinstance(data, dict):
            raise InputError(f"{path}: not a file of costs: `pagehint calibrate -o FILE.json` makes one")
        names = [field.name for field in fields(cls)]
        if unknown := [name for name in data if name not in names]:
            raise InputError(f"{path}: {unknown[0]!r} is no cost: expected some of {', '.join(names)}")
        measured = data.pop("measured", [])
        if not isinstance(measured, list) or not all(name in names and name != "measured" for name in measured):
            raise InputError(f"{path}: measured: expected a list of names of costs")
        try:
            return cls(**data, measured=frozenset(measured))
        except InputError as error:
            raise InputError(f"{path}: {error}") from None
