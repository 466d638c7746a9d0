"""What a bundle must satisfy: each batch of its events, written or read, and its files beside each other."""

import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pagehint.errors import InputError, printable
from pagehint.inputs import open_input, reading
from pagehint.kernel.orders import MOST_ORDER
from pagehint.trace.events import LETTERS, MAX_PFN, NO_PFN, NONE, Event
from pagehint.trace.meta import MAX_CPUS, Meta, ZoneLayout, has_checksum
from pagehint.trace.snapshot import END, SNAPSHOT_FILES, START, Snapshot

__all__ = [
    "EventCheck",
    "MetaCheck",
    "check_batch",
    "check_bitmap",
    "check_offset",
    "check_snapshot",
    "check_times",
    "checksums",
    "odd_checksums",
    "odd_final",
    "places",
]

_KNOWN = np.zeros(256, bool)
_KNOWN[[int(event) for event in Event]] = True
_PAGES = np.array([1 << order if order <= MOST_ORDER else 0 for order in range(256)], np.int64)
_SECOND = 10**9
_LEAST_TOLD = 3
_CHUNK = 1 << 20
_READ = frozenset(
    [f"{table}.parquet" for table in ("marks", "residency", "reported", "host_state", "residency_bitmaps")]
    + [f"{folder}/{name}" for folder in (START, END) for name in SNAPSHOT_FILES]
)
_ONLY_GROW = frozenset(("pgalloc_dma", "pgalloc_dma32", "pgalloc_normal", "pgfree", "pgfault"))


def _first(bad: NDArray[np.bool_]) -> int:
    return int(bad.argmax())


def places(what: str, first: int) -> Callable[[int], str]:
    """Names the place of a row of a batch: `what` (``"events.parquet: row"``) and the number of its first row."""
    return lambda index: f"{what} {first + index}"


def check_batch(columns: Mapping[str, NDArray[Any]], place: Callable[[int], str], last_time: int | None) -> None:
    """Raise InputError at the first bad row of a batch; only the columns that it has are checked.

    Times may not go backwards (`last_time` is that of the row before), kinds of event must be known, and orders and
    pfns possible. `place` names the place of a row of the batch: file and line, or row.
    """
    time = columns.get("time")
    if time is not None and len(time):
        if last_time is not None and time[0] < last_time:
            raise _backwards(place(0), int(time[0]), last_time)
        if (bad := time[1:] < time[:-1]).any():
            index = _first(bad)
            raise _backwards(place(index + 1), int(time[index + 1]), int(time[index]))
    event = columns.get("event")
    if event is not None and not (known := _KNOWN.take(event)).all():
        index = _first(~known)
        raise InputError(
            f"{place(index)}: event {event[index]} is unknown: expected the ASCII code of one of {LETTERS}"
        )
    cpu = columns.get("cpu")
    if cpu is not None and len(cpu) and cpu.max() >= MAX_CPUS:
        index = _first(cpu >= MAX_CPUS)
        raise InputError(f"{place(index)}: cpu {cpu[index]} is absurd: expected 0 to {MAX_CPUS - 1}")
    order = columns.get("order")
    if order is not None and (bad := (order > MOST_ORDER) & (order != NONE)).any():
        index = _first(bad)
        raise InputError(f"{place(index)}: order {order[index]} is absurd: expected 0 to {MOST_ORDER}, or {NONE}")
    pfn = columns.get("pfn")
    if pfn is not None and len(pfn) and (int(pfn.max()) > MAX_PFN or int(pfn.min()) < NO_PFN):
        index = _first((pfn > MAX_PFN) | (pfn < NO_PFN))
        raise InputError(f"{place(index)}: pfn {pfn[index]} is no page of any machine")


def _backwards(place: str, time: int, before: int) -> InputError:
    return InputError(f"{place}: the time goes backwards, from {before} to {time} ns")


class _Sums:
    """What events add up to, batch after batch."""

    def __init__(self) -> None:
        self.counts = np.zeros(256, np.int64)
        self.pfn_end = 0
        self.cpus = 0

    def _add(self, columns: Mapping[str, NDArray[Any]]) -> None:
        self.counts += np.bincount(columns["event"], minlength=256)
        self.cpus = max(self.cpus, int(columns["cpu"].max()) + 1)
        pfn, order = columns["pfn"], columns["order"]
        single = order == 0  # most are
        large = np.flatnonzero(~single & (pfn != NO_PFN) & (order != NONE))
        last_single = int(pfn.max(where=single, initial=NO_PFN))
        self.pfn_end = max(self.pfn_end, last_single + 1, int((pfn[large] + _PAGES[order[large]]).max(initial=0)))

    @property
    def by_letter(self) -> dict[str, int]:
        """Events by letter, of those kinds that there are."""
        return {event.letter: int(self.counts[event]) for event in Event if self.counts[event]}


class EventCheck(_Sums):
    """Checks batch after batch of events while they are written, and sums up what they hold."""

    def __init__(self) -> None:
        super().__init__()
        self.rows = 0
        self.first_time = self.last_time = 0
        self.anomalies: dict[str, int] = {}

    def __call__(
        self, columns: Mapping[str, NDArray[Any]], zones: Sequence[ZoneLayout], place: Callable[[int], str]
    ) -> None:
        """Take the next batch. Raises InputError as `check_batch` does; pages outside all `zones` are counted."""
        rows = len(columns["time"])
        if not rows:
            return
        check_batch(columns, place, self.last_time if self.rows else None)
        self._add(columns)
        self.first_time = self.first_time if self.rows else int(columns["time"][0])
        self.last_time = int(columns["time"][-1])
        pfn, order = columns["pfn"], columns["order"]
        blocks = (pfn != NO_PFN) & (order != NONE)
        pfn, sizes = pfn[blocks], np.int64(1) << order[blocks].astype(np.int64)
        if zones:
            outside = np.ones(len(pfn), bool)
            for zone in zones:
                outside &= (pfn < zone.start_pfn) | (pfn >= zone.end_pfn)
            self._count("pfn outside every zone", int(outside.sum()))
        self._count("pfn not aligned to its order", int((pfn & (sizes - 1) != 0).sum()))
        self.rows += rows

    def _count(self, kind: str, number: int) -> None:
        if number:
            self.anomalies[kind] = self.anomalies.get(kind, 0) + number


class MetaCheck(_Sums):
    """Checks what a bundle's other files say of its events, while these are read for the first time."""

    COLUMNS = frozenset(("time", "cpu", "event", "pfn", "order", "detail"))

    def __init__(self) -> None:
        super().__init__()
        self._marks: list[NDArray[np.int64]] = []
        self._told: list[NDArray[np.int64]] = []

    def add(self, columns: Mapping[str, NDArray[Any]]) -> None:
        """Take the next batch: COLUMNS, and maybe others."""
        self._add(columns)
        for event, column, found in ((Event.MARK, "detail", self._marks), (Event.PUTBACK, "pfn", self._told)):
            rows = np.flatnonzero(columns["event"] == event)
            if len(rows):
                found.append(np.stack([columns["time"][rows], columns[column][rows]]))

    def finish(self, meta: Meta, marks: pa.Table | None, reported: pa.Table | None, folder: Path) -> None:
        """All events were taken: raise InputError where a file of the bundle `folder` says otherwise."""
        for key, said, found in (
            ("events", {letter: count for letter, count in meta.events.items() if count}, self.by_letter),
            ("cpus", meta.cpus or self.cpus, self.cpus),
            ("pfn_end", meta.pfn_end or self.pfn_end, self.pfn_end),
        ):
            if said != found:
                raise InputError(
                    f"{folder / 'meta.json'}: {key} is {said}, but the events tell {found}: the bundle is damaged, "
                    "import it again"
                )
        if marks is not None and len(marks) and self._marks:
            self._check_marks(marks.column("time").to_numpy(), folder)
        if reported is not None and self._told:
            self._check_told(meta, reported, folder)

    def _check_marks(self, times: NDArray[np.int64], folder: Path) -> None:
        at, rows = np.concatenate(self._marks, axis=1)
        known = np.append(times, -1)[np.where((rows >= 0) & (rows < len(times)), rows, -1)]
        if not np.array_equal(known, at):
            what = f"its {len(times):,} marks are not those of the {len(at):,} events"
            raise _of_another(folder / "marks.parquet", what, meta=True)

    # A balloon's are given back page by page.
    def _check_told(self, meta: Meta, reported: pa.Table, folder: Path) -> None:
        if (order := meta.known_reporting.order) is None:
            return
        times, pfns, pages, ret = (reported.column(name).to_numpy() for name in ("time", "pfn", "pages", "ret"))
        here = (times >= meta.first_ns) & (times <= meta.last_ns) & (pages >= 1 << order) & (ret == 0)
        seconds = (times[here] - meta.first_ns) // _SECOND
        told_at, told = np.concatenate(self._told, axis=1)
        blocks = np.sort(_keys(told, (told_at - meta.first_ns) // _SECOND))
        alike = np.zeros(len(seconds), bool)
        for apart in (-1, 0, 1):
            keys = _keys(pfns[here], seconds + apart)
            # Not by np.isin, which loads numpy.ma.
            alike |= blocks[np.searchsorted(blocks, keys).clip(max=len(blocks) - 1)] == keys
        if len(alike) >= _LEAST_TOLD and 2 * alike.sum() < len(alike):
            what = f"only {alike.sum():,} of its {len(alike):,} ranges are blocks that the guest told of then"
            raise _of_another(folder / "reported.parquet", what)


def _keys(pfns: NDArray[np.int64], seconds: NDArray[np.int64]) -> NDArray[np.int64]:
    return (pfns << 24) + seconds


# `meta`: what it is beside is the bundle's heart.
def _of_another(path: Path, what: str, meta: bool = False) -> InputError:
    do = "import it again" if meta else "import it again, or remove the file to do without"
    return InputError(f"{path}: {what}: it is another recording's, or damaged: {do}")


# A short recording may lie between two of a busy host's looks, or a little beside the only one.
def _meet(times: NDArray[np.int64], first: int, last: int) -> bool:
    return bool(len(times) and times.min() <= last + _SECOND and times.max() >= first - _SECOND)


def check_times(path: Path, times: NDArray[np.int64], meta: Meta) -> None:
    """Raise InputError where all of the times at which a host looked lie before the recording's time, or behind."""
    first, last = meta.first_ns, meta.last_ns
    if len(times) and not _meet(times, first, last):
        span = f"none of its {len(times):,} times lies in the recording's, {first / 1e9:.3f} to {last / 1e9:.3f} s"
        raise _of_another(path, span)


def check_offset(path: Path, times: NDArray[np.int64], first: int, last: int) -> None:
    """Raise InputError where all of a host's times, ns of the guest's clock, lie before the recording's, or behind."""
    if not _meet(times, first, last):
        raise InputError(
            f"{path}: none of its {len(times)} samples lies in the recording's time, {first} to {last} ns of the "
            "guest's clock: is the clock's offset right?"
        )


def check_bitmap(path: Path, bits: NDArray[np.uint8], meta: Meta) -> None:
    """Raise InputError where a residency bitmap doesn't reach to the guest's last page."""
    end = max((zone.end_pfn for zone in meta.zones), default=0)
    if 8 * len(bits) < end:
        raise _of_another(path, f"has bits for {8 * len(bits):,} pages, of a guest whose memory ends at pfn {end:,}")


def check_snapshot(snapshot: Snapshot, meta: Meta) -> None:
    """Raise InputError unless the files of the snapshot at the start can be read, and are of this recording's guest."""
    snapshot.check()
    zones = {(zone.node, zone.name): asdict(zone) for zone in snapshot.zones}
    said = {(zone.node, zone.name): asdict(zone) for zone in meta.zones}
    path = snapshot.path / "zoneinfo.txt"
    if zones and said and zones.keys() != said.keys():
        raise _of_another(path, f"it has zones {_names(zones)}, but meta.json {_names(said)}", meta=True)
    for key, zone in zones.items():
        for name, value in said.get(key, {}).items():
            # What an older pagehint did not write down is not known.
            if value is not None and name != "boost" and value != zone[name]:
                what = f"{name} of zone {key[1]} of node {key[0]} is {zone[name]}, but meta.json says {value}"
                raise _of_another(path, what, meta=True)
    order = snapshot.pagetypeinfo.pageblock_order
    if order is not None and meta.pageblock_order is not None and order != meta.pageblock_order:
        what = f"pageblocks are of order {order}, but meta.json says {meta.pageblock_order}"
        raise _of_another(snapshot.path / "pagetypeinfo.txt", what, meta=True)


def odd_final(final: Snapshot, start: Snapshot | None) -> str | None:
    """Why a snapshot of the end, which only serves to compare with, is to be left out; None: it is as it should be."""
    try:
        final.check()
    except InputError as error:
        return str(error).partition(": make it")[0]
    if start is None:
        return None
    zones, ended = ({(zone.node, zone.name): zone.start_pfn for zone in each.zones} for each in (start, final))
    if zones and ended and zones.items().isdisjoint(ended.items()):
        return f"{final.path / 'zoneinfo.txt'}: has none of the zones of the start: it is another guest's"
    before, after = start.counters, final.counters
    for name in _ONLY_GROW & before.keys() & after.keys():
        if after[name] < before[name]:
            path = final.path / "vmstat.txt"
            return f"{path}: {name} is {after[name]}, and was {before[name]} at the start: it is another guest's"
    return None


def _names(zones: Mapping[tuple[int, str], object]) -> str:
    return ", ".join(f"{name} of node {node}" for node, name in zones)


def checksums(folder: Path) -> dict[str, int]:
    """The CRC-32 of each file of a bundle but meta.json and the events (whose pages have their own), by its path there.

    O(bytes). Raises InputError.
    """
    return {name: _crc32(folder / name) for name in _files(folder)}


def odd_checksums(folder: Path, said: Mapping[str, int]) -> tuple[list[str], list[str], list[str]]:
    """The files of a bundle that were changed since `said`, which is of `checksums`; of those that are read, the ones
    that were added since; and those that are gone.

    All empty where `said` is: an older pagehint, or another writer, tells no checksums. O(bytes). Raises InputError.
    """
    found = checksums(folder) if said else {}
    changed = [printable(name) for name, crc in found.items() if said.get(name, crc) != crc]
    added = [name for name in found if name not in said and name in _READ]
    return changed, added, [printable(name) for name in said if name not in found]


def _files(folder: Path) -> Iterator[str]:
    for path in sorted((*folder.glob("*.parquet"), *folder.glob("*/*"))):
        name = path.relative_to(folder).as_posix()
        if has_checksum(name) and path.is_file():
            yield name


def _crc32(path: Path) -> int:
    crc = 0
    with open_input(path) as file, reading(path):
        while chunk := file.read(_CHUNK):
            crc = zlib.crc32(chunk, crc)
    return crc
