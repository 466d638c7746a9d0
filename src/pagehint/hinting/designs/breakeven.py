# cython: annotation_typing=False, boundscheck=True, wraparound=True, cdivision=False
"""Give back when it pays: a free block after a time that its size and the price of memory set."""

from math import ceil
from typing import Any, ClassVar

from pagehint.errors import InputError
from pagehint.hinting.action import Part, Work
from pagehint.hinting.design import Design
from pagehint.hinting.designs.survival import FIRST_GUESS, Survival
from pagehint.hinting.setting import Setting
from pagehint.mm.zone import Zone
from pagehint.units import parse_price, whole_number

__all__ = ["BreakEven"]

_USUAL_PRICE = 15.0
_SHORTEST, _LONGEST = 5 * 10**6, 60 * 10**9
_SOON = 100 * 10**6
_NEVER = -(1 << 62)
_LARGEST_BUDGET = 10**6

# What a host's work costs (ns): a typical x86 server's, whose memory is in transparent huge pages.
_CALL, _USUAL_BLOCKS = 20_000.0, 32
_BLOCK = 1_000.0
_PAGE, _LARGE = 60.0 + 1_500.0, (12_000.0 + 81_000.0) / 512  # a page given back and faulted in: alone, with its 2 MiB
_LARGE_ORDER = 9
_MOST_ORDERS = 32

# How long a page waits on CPUs' lists that are full (ns), with which share of all pages they are, and the least of it.
_ON_FULL_LISTS, _FULL, _LEAST = 2e9, 1 / 64, 1 / 4


def _order(value: int) -> int:
    return whole_number("order", value, 0, _MOST_ORDERS - 1)


def _price(value: Any) -> float:
    price = parse_price(value)
    if price == 0:
        raise InputError("a price of 0: expected one above 0, such as 15")
    return price


def _budget(value: Any) -> float | None:
    text = str(value).strip()
    if value is None or text == "none":
        return None
    share = float(text[:-1]) / 100 if text.endswith("%") else float(text)
    if not 0 < share <= _LARGEST_BUDGET:
        raise InputError(
            f"budget {value!s:.40}: expected a share above 0, up to {_LARGEST_BUDGET:,}, such as 0.2%, or none"
        )
    return share


class BreakEven(Design):
    """Gives back a block of any order once it has been free and untouched for ``wait(order)``, the largest first.

    ``price``: CPU seconds that a GiB*minute of the host's memory is worth. ``budget``: no more pages are given back
    than may fault again (but by ``park``). Both may be set while the design runs: from the next look on. ``park()``:
    give back everything now, what is on CPUs' lists too. Nothing is looked at while nothing is due.
    Why a block waits as long as it does: docs/breakeven.md.
    """

    label: ClassVar[str] = "breakeven"
    ages: ClassVar[bool] = True

    price: Any = Setting(
        _USUAL_PRICE,
        "CPU seconds that a GiB*minute of host memory is worth; the run's own, unless set.",
        _price,
        words=lambda price: f"price {price:g}",
    )
    budget: Any = Setting(
        None,
        "Pages that may fault again a minute, as a share of those in use, such as 0.2%; none: any.",
        _budget,
        words=lambda share: f"budget {100 * share:g} %",
    )

    def forget(self) -> None:
        self._looked: dict[Zone, list[int]] = {}  # when each order was last looked at
        self._asked = self._parking = False
        self._survival: Survival | None = None
        self._later = _ON_FULL_LISTS  # per_cpu_time when it was last asked
        self._credit = 0.0  # pages that may be given back
        self._credited: int | None = None

    @property
    def _hold(self) -> float:
        """What a page that is kept for a ns costs (ns)."""
        return _price(self.price) / 60 / (1 << 18)

    @property
    def share(self) -> float:
        """How often free pages are used again while their age grows e-fold, as learnt so far."""
        return FIRST_GUESS if self._survival is None else self._survival.share

    @property
    def per_cpu_time(self) -> float:
        """How long (ns) a page waits on a CPU's list before it is used: a guess, by how many are there."""
        listed, pages = 0, 0
        for zone in self.zones:
            listed += zone.per_cpu_pages
            pages += zone.present_pages
        if not pages:
            return _ON_FULL_LISTS
        return _ON_FULL_LISTS * min(max(listed / (_FULL * pages), _LEAST), 1.0)

    def break_even(self, order: int) -> float:
        """For how long (ns) a block of this order is kept at the cost of giving it back and faulting it in again.

        Raises InputError unless the order is 0 to 31.
        """
        order = _order(order)
        return self._break_evens(order + 1)[order]

    def _break_evens(self, orders: int) -> list[float]:
        call = _CALL * max(self._batches, 1) / max(self._blocks, 1) if self._batches > 20 else _CALL / _USUAL_BLOCKS
        block, hold = call + _BLOCK, self._hold
        return [(block / (1 << order) + (_LARGE if order >= _LARGE_ORDER else _PAGE)) / hold for order in range(orders)]

    def wait(self, order: int) -> int:
        """How long a block of this order stays free before it is given back (ns): 5 ms to 60 s.

        Raises InputError unless the order is 0 to 31.
        """
        order = _order(order)
        return self.waits(order + 1)[order]

    def waits(self, orders: int) -> list[int]:
        """``wait`` of each order below this one. Raises InputError unless it is 0 to 32."""
        orders = whole_number("orders", orders, 0, _MOST_ORDERS)
        share, later = self.share, self._later
        return [round(min(max(share * (even - later), _SHORTEST), _LONGEST)) for even in self._break_evens(orders)]

    def park(self) -> None:
        """All that is free is due now, however young, and what is on CPUs' lists: before a pause. From any thread."""
        self._asked = True
        self.ring()

    def begin_anew(self) -> None:
        self._looked.clear()
        for zone in self.zones:
            zone.request()
        self.schedule(_SHORTEST)

    def wake(self, zone: Zone) -> None:
        if self._asked and not self.stopping:
            self._asked, self._parking = False, True
            self.pending = self.now
        if self.pending is not None and not self._failures:  # the next look was set before this free
            self.pending = min(self.pending, self.now + _SOON)
        self.schedule(_SHORTEST)

    @property
    def _earns(self) -> float:
        """Pages of the budget a ns."""
        used = sum(zone.present_pages - zone.free_pages for zone in self.zones)
        return float(self.budget or 0) * used / 60e9

    def _earn(self) -> None:
        if self._credited is not None:
            self._credit += self._earns * (self.now - self._credited)
        self._credited = self.now

    def _affordable(self, order: int, parking: bool) -> int | None:
        """How many blocks the batch may still take; None: as many as it holds."""
        if self.budget is None or parking:
            return None
        room = self.batch.capacity - len(self.batch)
        return min(room, max(int(self._credit) - self.batch.pages, 0) >> order)

    def work(self) -> Work:
        if self._survival is None:
            self._survival, self._later = Survival(self.zones), self.per_cpu_time
        if self._survival.look(self.now):
            self._later = self.per_cpu_time
        self._earn()
        parking, self._parking = self._parking, False
        if parking:
            self._looked.clear()
            for zone in self.zones:
                for pcp in zone.pcps:
                    zone.drain_pcp(pcp)
        waits = self.waits(max((zone.max_order for zone in self.zones), default=0))
        pauses = self._pauses(waits)
        for zone in self.zones:
            zone.request(False)
            if zone.free_pages >= self.reserve(zone) and not (yield from self._process(zone, parking, waits, pauses)):
                return
        self._look_again(self._pauses(waits))

    def _look_again(self, pauses: list[int]) -> None:
        """The next look is due as soon as an order is that has untold blocks."""
        young = [
            (self._looks(zone)[order] + pauses[order], order)
            for zone in self.zones
            if zone.free_pages >= self.reserve(zone)
            for order, blocks in enumerate(zone.nr_unhinted)
            if blocks
        ]
        if young:
            self.schedule(max(min(young)[0] - self.now, self._saves_for(min(order for _, order in young)), _SHORTEST))

    def _saves_for(self, order: int) -> int:
        """How long until the budget allows for a block of this order (ns)."""
        lacks = (1 << order) - self._credit
        if self.budget is None or lacks <= 0:
            return 0
        return ceil(min(lacks / max(self._earns, 1e-12), _LONGEST))

    def _pauses(self, waits: list[int]) -> list[int]:
        """How long after a look at an order the next one comes (ns)."""
        worth = self.worth_a_call()
        return [max(_SHORTEST, min(max(wait // 4, worth), wait)) for wait in waits]

    def _looks(self, zone: Zone) -> list[int]:
        """When each order of the zone was last looked at."""
        return self._looked.setdefault(zone, [_NEVER] * zone.max_order)

    def worth_a_call(self) -> int:
        """How long all that is untold may wait at the cost of a call (ns)."""
        pages = sum(blocks << order for zone in self.zones for order, blocks in enumerate(zone.nr_unhinted))
        return int(_CALL / (self._hold * max(pages, 1)))

    def _process(self, zone: Zone, parking: bool, waits: list[int], pauses: list[int]) -> Part:
        """A look at a zone, from its largest blocks down; false if the run must end."""
        untold, looks = zone.nr_unhinted, self._looks(zone)
        for order in range(zone.max_order - 1, -1, -1):
            if self.now < looks[order] + pauses[order] // 2:  # one pass for what is nearly due
                continue
            looks[order] = self.now
            if not untold[order]:
                continue
            age = 0 if parking else waits[order]
            resume = False
            while (most := self._affordable(order, parking)) != 0 and self.pull(zone, order, age, most, resume):
                resume = True
                if not (yield from self._told(zone, parking)):
                    return False
        return not self.batch or (yield from self._told(zone, parking))

    def pull(self, zone: Zone, order: int, age: int, most: int | None, resume: bool) -> bool:
        """Pull the blocks of an order that are at least ``age`` ns old, those that were freed first, first."""
        return zone.pull(self.batch, order=order, age=age, most=most, resume=resume)

    def _told(self, zone: Zone, parking: bool) -> Part:
        pages = 0 if parking or self.budget is None else self.batch.pages
        self._credit -= pages
        if (yield self.tell(zone)) is not None:
            self._credit += pages
            self._parking = parking
            self._looked.clear()
            zone.request()
            self.retry_later()
            return False
        return not self.stopping
