"""What the host's work costs, in nanoseconds."""

from dataclasses import dataclass, fields

from pagehint.errors import InputError

__all__ = ["Costs"]


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
            if field.name != "measured" and not 0 <= value < float("inf"):
                raise InputError(f"the cost {field.name} is {value} ns: expected a time of 0 or more")
