"""The modelled host: a hinting device that frees its backing of what it is told of, and what that costs in time.

Nothing here reads a clock: times are counts of the backing's events times `Costs`. The costs of faults are those of the
whole fault, so that the time of refaults is what hinting costs the guest, and `device_time` what it costs the host.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pagehint.errors import InputError
from pagehint.host.backing import Backing
from pagehint.host.blocks import PAGE_BYTES, Blocks, check_capacity
from pagehint.host.costs import Costs
from pagehint.units import format_size, parse_size, shown

__all__ = ["KHUGEPAGED_PERIOD", "HostStatistics", "ModelHost"]

KHUGEPAGED_PERIOD = 10 * 10**9
"""From one look of khugepaged to its next (ns)."""

_MOST_MEMORY = 1 << 60
_SCANNED_AREAS = 8


@dataclass(frozen=True)
class HostStatistics:
    """What a modelled host did since its start: memory in 4 KiB pages, times in nanoseconds."""

    resident: int
    """Pages backed, now."""
    swapped: int
    """Pages in swap, now."""
    given_back: int
    """Pages."""
    faults_4kib: int
    faults_2mib: int
    refaults_4kib: int
    """4 KiB faults on memory that had been given back, and not been touched since."""
    refaults_2mib: int
    calls: int
    """Batches."""
    blocks: int
    """Blocks in them."""
    empty_blocks: int
    """Blocks with nothing behind them."""
    splits: int
    """2 MiB pages of which a part was given back."""
    swapped_out: int
    """Pages."""
    swapped_in: int
    collapsed: int
    """Pages that khugepaged brought back."""
    device_time: int
    fault_time: int
    """Of all faults, refaults included."""
    refault_time: int
    swap_time: int


class ModelHost:
    """A device over a modelled host that backs the guest by `page_size`: 4KiB, 2MiB or THP; see `Backing`.

    `memory`: bytes, or a size such as ``512MiB``, that the host has for this guest; None: as much as it needs.
    `khugepaged`: the host's runs, as Linux sets it up: it looks at 8 areas of 2 MiB each KHUGEPAGED_PERIOD, and backs
    all of those that have any page; what that costs the host is not counted. Only with THP. `start` comes before
    anything else. Raises InputError.
    """

    def __init__(
        self,
        page_size: str = "4KiB",
        costs: Costs | None = None,
        memory: int | str | None = None,
        capacity: int = 32,
        khugepaged: bool = False,
    ) -> None:
        check_capacity(capacity)
        if not isinstance(khugepaged, bool):
            raise InputError(f"khugepaged {shown(khugepaged)}: expected True or False")
        if khugepaged and page_size != "THP":
            raise InputError(f"khugepaged makes huge pages of a THP host's small ones: this one backs by {page_size}")
        self.khugepaged = khugepaged
        self.page_size = page_size
        if costs is not None and not isinstance(costs, Costs):
            raise InputError(f"costs {shown(costs)}: expected Costs, or None")
        self.costs = Costs() if costs is None else costs
        self.memory = None if memory is None else min(parse_size(memory), _MOST_MEMORY)
        self.capacity = capacity
        self._calls = 0
        self._backing: Backing | None = None
        Backing(1, page_size, self._limit)  # refuses bad arguments here, not at the start

    def __repr__(self) -> str:
        memory = "" if self.memory is None else f" in {format_size(self.memory)}"
        return f"<ModelHost: {self.page_size} pages{memory}{', khugepaged' * self.khugepaged}>"

    @property
    def _limit(self) -> int | None:
        return None if self.memory is None else self.memory // PAGE_BYTES

    @property
    def backing(self) -> Backing:
        """The backing of the guest that was started; its counters are the statistics' source."""
        if self._backing is None:
            raise InputError("the modelled host has no guest yet: start(pages) comes first")
        return self._backing

    def start(self, pages: int, backed: NDArray[np.bool_] | None = None) -> None:
        """Backs a new guest of `pages` 4 KiB pages, of which `backed` (bool, one a page) are resident already."""
        backing = Backing(pages, self.page_size, self._limit)
        if backed is not None:
            backing.load(backed)
        self._backing = backing
        self._calls = 0

    def react(self, blocks: Blocks) -> None:
        """Gives the blocks back."""
        self.backing.discard_blocks(blocks.pfns, blocks.orders)
        self._calls += 1

    def collapse(self) -> int:
        """khugepaged's next look; returns the pages that it brought back."""
        return self.backing.collapse(_SCANNED_AREAS)

    def react_time(self, blocks: Blocks) -> int:
        """The time in ns that a react to the blocks would take now."""
        small, large = self.backing.count_blocks(blocks.pfns, blocks.orders)
        return self._react_time(1, len(blocks.pfns), small, large)

    def _react_time(self, calls: int, blocks: int, small: int, large: int) -> int:
        costs = self.costs
        return round(
            calls * costs.react_call
            + blocks * costs.discard_block
            + small * costs.discard_4kib
            + large * costs.discard_2mib
        )

    def _fault_time(self, small: int, large: int) -> int:
        costs = self.costs
        return round(small * (costs.fault_exit + costs.fault_4kib) + large * (costs.fault_exit + costs.fault_2mib))

    def statistics(self) -> HostStatistics:
        """What the host did so far."""
        backing = self.backing
        return HostStatistics(
            resident=backing.resident,
            swapped=backing.swapped,
            given_back=backing.given_back,
            faults_4kib=backing.faults_4kib,
            faults_2mib=backing.faults_2mib,
            refaults_4kib=backing.refaults_4kib,
            refaults_2mib=backing.refaults_2mib,
            calls=self._calls,
            blocks=backing.discards,
            empty_blocks=backing.empty_discards,
            splits=backing.splits,
            swapped_out=backing.swapped_out,
            swapped_in=backing.swapped_in,
            collapsed=backing.collapsed,
            device_time=self._react_time(
                self._calls, backing.discards, backing.given_back_4kib, backing.given_back_2mib
            ),
            fault_time=self._fault_time(backing.faults_4kib, backing.faults_2mib),
            refault_time=self._fault_time(backing.refaults_4kib, backing.refaults_2mib),
            swap_time=round(backing.swapped_out * self.costs.swap_out + backing.swapped_in * self.costs.swap_in),
        )
