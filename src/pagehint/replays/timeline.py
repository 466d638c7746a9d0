"""Samples of a replay on its way: what is resident, what of it is free, and why it stayed behind."""

from collections.abc import Collection
from struct import Struct
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pagehint.errors import InputError
from pagehint.hinting.design import Design
from pagehint.hinting.designs.registry import label_of
from pagehint.host.blocks import PAGE_BYTES
from pagehint.host.model import ModelHost
from pagehint.mm.zone import Zone
from pagehint.replays.device import ReplayDevice
from pagehint.replays.engine import Engine
from pagehint.replays.start import Start
from pagehint.replays.truth import measured_residency
from pagehint.trace.bundle import Trace
from pagehint.units import shown

__all__ = ["MOST_ROWS", "RUN", "SOON", "Timeline", "reserve_of"]

SOON = 20 * 10**6
"""A sample of residency is read within this time (ns)."""
MOST_ROWS = 1 << 15
"""A timeline has no more."""
RUN = "run"
"""The column that tells the runs of one table of timelines apart."""

_NEVER = 1 << 62
# The kernel zeroes what it allocates before the event is written: it is resident up to so much sooner.
_ZEROING = 5 * 10**5
_AT, _ZEROED, _SOON = range(3)
_AFTER = 0, _ZEROING, SOON
_COUNT_STEP = 50 * 10**6
_MAP_COLUMNS = 120
_MAP_ROWS = 256


class Timeline:
    """Takes a row each `step` ns (None: never), and the predicted residency where one was measured.

    Memory is bounded: beyond 32,768 rows every other one is dropped, and the step doubles. What is free and resident is
    counted by reason each 50 ms, whatever the step is; what changes between two counts, at one moment. `totals_only`:
    nothing is counted or compared.
    """

    def __init__(
        self,
        trace: Trace,
        start: Start,
        engine: Engine,
        host: ModelHost,
        design: Design | None,
        reasons: Collection[str],
        device: ReplayDevice,
        step: int | None,
        totals_only: bool = False,
    ) -> None:
        self._trace, self._start, self._engine, self._host = trace, start, engine, host
        self._design, self._reasons, self._device = design, reasons, device
        self.asked = self.step = step
        self._fields = ("resident", "used", "free_resident", *reasons, "free", "given_back", "blocks")
        names = [RUN, "time", *self._fields]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise InputError(f"{label_of(design)}: its reason {twice!r} is a column of the timeline too: rename it")
        self._packed = Struct(f"={len(self._fields)}q")
        # By its number, each row that differs from the one before.
        self._rows: dict[int, bytes] = {}
        self._row_count = 0
        self._row_added: tuple[int, ...] = ()
        self._next_row = _NEVER
        self._next_count = _NEVER
        self._counted_at = 0
        self._free_time = 0.0
        self._counts = (0,) * len(reasons)
        self._counted = [0.0] * len(reasons)
        self.measured = None if totals_only else measured_residency(trace)
        self._totals_only = totals_only
        self._truth: list[int] = []
        self._reached = [0] * len(_AFTER)
        self._next_truth = _NEVER
        self.predicted: list[tuple[int, int]] = []
        self._soon: list[int] = []
        self._told = 0
        self._map: list[tuple[int, NDArray[np.int32]]] = []
        self._next_map = _NEVER
        self.order = 9
        self._listed: list[tuple[int, int]] = []
        self._batches = -1
        self._held: list[str] = []
        self._row_before: tuple[int, ...] = ()
        self.peak_resident = 0
        self.begun = 0
        self._end = trace.meta.last_ns

    def begin(self, now: int) -> None:
        """What is backed is known: from here on it is sampled."""
        self.begun = now
        self._engine.resident_time = self._engine.used_time = 0.0
        if self._design is not None:
            self.order = self._design.order
        elif (order := self._trace.meta.known_reporting.order) is not None:
            self.order = order
        if self._totals_only:
            return
        self._engine.count_by(self.order)
        self._next_count = self._counted_at = now
        if self.step is not None:
            self._next_row = self._next_map = now
        if self.measured is not None:
            times = self.measured.column("time").to_numpy()
            self._truth = times[(times >= now) & (times <= self._end)].tolist()
            self._next_truth = self._due()

    @property
    def next_time(self) -> int:
        """When the next sample is to be taken."""
        return min(self._next_row, self._next_truth, self._next_count)

    def sample(self, now: int) -> None:
        """Take what is due."""
        resident = self._host.backing.resident * PAGE_BYTES
        self.peak_resident = max(self.peak_resident, resident)
        if now >= self._next_truth:
            self._predict(now, resident)
        if now >= self._next_row or now >= self._next_count:
            row = self._row()
        if now >= self._next_count:
            self._count(now, row[3:-3])
            self._next_count = now + _COUNT_STEP
        if now >= self._next_row:
            self._add_rows(row, now + 1)

    # A sample shows what is resident at its time and soon after; what a pass tells meanwhile, it need not.
    def _predict(self, now: int, resident: int) -> None:
        for which, after in enumerate(_AFTER):
            while (index := self._reached[which]) < len(self._truth) and self._truth[index] + after <= now:
                self._reached[which] += 1
                if which == _AT:
                    self.predicted.append((now, resident))
                    self._soon.append(resident)
                    self._told = len(self._device.batches)
                elif which == _ZEROED and len(self._device.batches) == self._told:
                    self.predicted[index] = self.predicted[index][0], resident
                elif which == _SOON:
                    self._soon[index] = resident
        self._next_truth = self._due()

    def _due(self) -> int:
        left = zip(self._reached, _AFTER, strict=True)
        return min((self._truth[at] + after for at, after in left if at < len(self._truth)), default=_NEVER)

    def beside_measured(self) -> tuple[NDArray[np.int64], ...]:
        """Of each sample, int64: its time (ns), bytes resident as predicted then, as predicted SOON after, measured."""
        if self.measured is None or not self.predicted:
            return (np.zeros(0, np.int64),) * 4
        times, predicted = np.array(self.predicted, np.int64).T
        known = self.measured.filter(pc.is_in(self.measured.column("time"), pa.array(times)))
        return times, predicted, np.array(self._soon, np.int64), known.column("resident").to_numpy()

    def rest_until(self, time: int) -> None:
        """Nothing happens before `time`: what was counted last holds until then, and all rows are alike."""
        if self._counted_at == self._engine.now and self._next_count < time:
            self._next_count += (time - self._next_count) // _COUNT_STEP * _COUNT_STEP
            self._hold(self._next_count)
        until = min(time, self._next_count, self._next_truth)
        if self._next_row < until:
            row = self._row()
            assert self.step is not None
            for each in range(self._next_row, until, self.step):
                self._engine.pass_time(each)
            self._add_rows(row, until)

    def _count(self, now: int, counts: tuple[int, ...]) -> None:
        """What was free and resident since the last count, whose integral is known, by reason.

        As if each reason's pages had changed at one moment: the one at which that gives the integral.
        """
        span, self._counted_at = now - self._counted_at, now
        before, self._counts = self._counts, counts
        free_time = self._engine.resident_time - self._engine.used_time
        free, self._free_time = free_time - self._free_time, free_time
        first, last = sum(before) * span, sum(counts) * span
        share = 0.5 if first == last else min(max((free - last) / (first - last), 0.0), 1.0)
        whole = share * first + (1 - share) * last
        if not whole:
            return
        scale = free / whole * span
        self._counted = [
            counted + (share * a + (1 - share) * b) * scale
            for counted, a, b in zip(self._counted, before, counts, strict=True)
        ]

    def _hold(self, until: int) -> None:
        """Nothing happens before `until`: what was counted just now holds until then."""
        span, self._counted_at = until - self._counted_at, until
        self._counted = [counted + count * span for counted, count in zip(self._counted, self._counts, strict=True)]
        self._free_time += sum(self._counts) * span

    def _add_rows(self, row: tuple[int, ...], until: int) -> None:
        """All rows before `until` that are not there yet are alike."""
        assert self.step is not None
        if row is not self._row_added:
            self._rows[self._row_count] = self._packed.pack(*row)
            self._row_added = row
        self._row_count = -((self.begun - until) // self.step)
        while self._row_count > MOST_ROWS:
            self.step *= 2
            self._row_count = (self._row_count + 1) // 2
            self._rows = {(number + 1) // 2: row for number, row in self._rows.items()}
        last = self.begun + (self._row_count - 1) * self.step
        while self._next_map <= last:
            at = last - (last - self._next_map) // self.step * self.step
            self._map.append((at, self._engine.map_row(_MAP_ROWS)))
            self._next_map = at + max((self._end - self.begun) // _MAP_COLUMNS, 1)
        self._next_row = last + self.step

    def _row(self) -> tuple[int, ...]:
        engine, zones, batches = self._engine, self._start.zones, len(self._device.batches)
        if self._host.memory is not None:
            engine.all_stale()  # it swaps wherever it likes
        if self._design is not None and self._design.order != self.order:
            self.order = self._design.order
            engine.count_by(self.order)
        design = self._design if self._design is not None and self._design.started else None
        batch = None if design is None else design.in_flight
        # What pages there are, and where, changes only with an event, or as a device is told of some.
        changed = engine.stale or batch is not None or batches != self._batches
        if changed:
            self._listed = [engine.listed(index, self.order) for index in range(len(zones))]
            self._batches = -1 if batch is not None else batches
        held = [
            "" if not untold else "no_device" if design is None else _reason(design, zone, self._reasons)
            for zone, (_, untold) in zip(zones, self._listed, strict=True)
        ]
        if not changed and held == self._held:
            return self._row_before
        listed, per_cpu, mixed = engine.free_resident()
        reasons = dict.fromkeys(self._reasons, 0)
        reasons["per_cpu"] = per_cpu
        reasons["mixed"] = mixed
        if batch is not None:
            reasons["in_flight"] = engine.resident_in(batch.pfns, batch.orders)
        large = reasons["in_flight"]
        free = 0
        for zone, (told, untold), reason in zip(zones, self._listed, held, strict=True):
            reasons["told"] += told
            if untold:
                reasons[reason] += untold
            large += told + untold
            free += zone.free_pages
        reasons["below_order"] = listed - mixed - large
        backing = self._host.backing
        free_resident = listed + per_cpu
        self._held = held
        self._row_before = (
            backing.resident,
            backing.resident - free_resident,
            free_resident,
            *reasons.values(),
            free,
            backing.given_back,
            backing.discards,
        )
        return self._row_before

    def end(self, now: int) -> None:
        """There are no more samples."""
        if not self._totals_only:
            self._count(now, self._row()[3:-3])

    def table(self) -> pa.Table:
        """The rows as an Arrow table."""
        columns = np.frombuffer(bytearray().join(self._rows.values()), np.int64).reshape(-1, len(self._fields)).T
        columns[:-1] *= PAGE_BYTES
        numbers = np.array([*self._rows, self._row_count], np.int64)
        alike = numbers[1:] - numbers[:-1]
        times = self.begun + np.arange(self._row_count) * (self.step or 0)
        rows = {name: np.repeat(column, alike) for name, column in zip(self._fields, columns, strict=True)}
        return pa.table({"time": times, **rows})

    def attribution(self, free_footprint: float) -> dict[str, float]:
        """`free_footprint`, the exact integral of what is free and resident (GiB * minutes), by reason.

        Each reason's share is its share of what was counted.
        """
        whole = max(sum(self._counted), 1)
        return {
            reason: count / whole * free_footprint for reason, count in zip(self._reasons, self._counted, strict=True)
        }

    def memory_map(self) -> dict[str, Any]:
        """Times (ns), and resident and used pages of equal areas at each."""
        return {
            "time": [time for time, _ in self._map],
            "pages": self._start.pages,
            "memory": self._start.memory_of_areas(_MAP_ROWS),
            "counts": np.stack([row for _, row in self._map]) if self._map else np.zeros((0, _MAP_ROWS, 2), np.int32),
        }


def reserve_of(design: Design, zone: Zone) -> int:
    """The design's ``reserve`` of the zone (pages). Raises InputError for what is none."""
    pages: object = design.reserve(zone)
    if not isinstance(pages, int) or not 0 <= pages < _NEVER:
        raise InputError(f"{design.label}: reserve() said {shown(pages)}: expected a whole number of pages")
    return pages


def _reason(design: Design, zone: Zone, known: Collection[str]) -> str:
    reason = "watermark" if zone.free_pages < reserve_of(design, zone) else design.holds_back(zone)
    if not isinstance(reason, str) or reason not in known:
        raise InputError(f"{design.label}: holds_back() said {shown(reason)}, which is none of its reasons: declare it")
    return reason
