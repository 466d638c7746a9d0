"""Reading a trace bundle: a recording of a guest's page allocator, streamed in bounded memory."""

import threading
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import AbstractContextManager
from functools import cached_property
from html import escape
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pagehint.errors import InputError, printable
from pagehint.inputs import as_argument, as_path, kind_of_file
from pagehint.trace.check import (
    MetaCheck,
    check_batch,
    check_bitmap,
    check_snapshot,
    check_times,
    odd_checksums,
    odd_final,
    places,
)
from pagehint.trace.events import EVENT_SCHEMA, Event
from pagehint.trace.meta import Meta, read_meta
from pagehint.trace.remote import is_url, local_copy
from pagehint.trace.reporting import ReportingChange, reporting_changes
from pagehint.trace.snapshot import END, START, Snapshot
from pagehint.trace.tables import (
    BITMAP_SCHEMA,
    HOST_STATE_SCHEMA,
    MARK_SCHEMA,
    REPORTED_SCHEMA,
    RESIDENCY_SCHEMA,
    open_parquet,
    read_batches,
    read_table,
)
from pagehint.units import check_kind, format_time, several, shown, whole_number

__all__ = ["Trace"]

Found = TypeVar("Found")

_HUGE_PAGE = 512
_MOST_ROWS = 1 << 30


class Trace:
    """A recording of a guest; `Trace.open` makes one.

    `path` is the bundle's folder, `meta` what meta.json says; `url` where that folder is the copy of another.
    """

    def __init__(self, path: Path, meta: Meta, url: str | None = None) -> None:
        self.path = path
        self.meta = meta
        self.url = url
        self._found: dict[Hashable, Any] = {}
        self._finding = threading.RLock()
        self._events_checked = False

    def __repr__(self) -> str:
        return f"<Trace {self.path.name}: Linux {self.meta.kernel or 'unknown'}, {self.num_events:,} events>"

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return Trace.open, (str(self.path.absolute()) if self.url is None else self.url,)

    @property
    def name(self) -> str:
        """For people: its folder's, in one line."""
        return printable(self.path.name.removesuffix(".pagetrace"))

    @property
    def where(self) -> str:
        """By what it was opened: its path, or a URL."""
        return str(self.path) if self.url is None else self.url

    def _repr_html_(self) -> str:
        meta = self.meta
        rows = [
            ("recording", self.path.name),
            ("kernel", meta.kernel or "not recorded"),
            ("CPUs", str(meta.cpus or "not recorded")),
            ("time", format_time(meta.last_ns - meta.first_ns)),
            ("events", f"{self.num_events:,}"),
            ("events lost", f"{meta.lost.total:,}"),
        ]
        return f"<table>{''.join(f'<tr><th>{name}</th><td>{escape(text)}</td></tr>' for name, text in rows)}</table>"

    @classmethod
    def open(cls, path: str | Path) -> "Trace":
        """Open a bundle, by its path or a URL that fsspec knows; its events are checked as they are read.

        Raises InputError where it isn't a whole one.
        """
        url = path if is_url(path) else None
        no_bundle = "is no recording: expected the path of a bundle, NAME.pagetrace"
        folder = as_path(path or None, no_bundle) if url is None else local_copy(url)
        if not folder.is_dir():
            if not folder.exists():
                raise InputError(f"{folder}: no such trace bundle: `pagehint record` and `pagehint import` make them")
            kind = kind_of_file(folder)
            do = "name a bundle's folder, NAME.pagetrace"
            if kind == "a file":
                command = f"pagehint import {as_argument(folder)} -o {as_argument(f'{folder}.pagetrace')}"
                do = f"if it is a recording, `{command}` makes one of it"
            raise InputError(f"{folder}: is {kind}, not a trace bundle: {do}")
        if not (folder / "meta.json").exists():
            raise InputError(
                f"{folder}: not a whole trace bundle: it has no meta.json; `pagehint import` makes bundles"
            )
        trace = cls(folder, read_meta(folder / "meta.json"), url)
        with trace._open("events", EVENT_SCHEMA) as events:
            rows = events.metadata.num_rows
        if rows != trace.meta.num_events:
            raise InputError(
                f"{folder}: events.parquet has {rows} rows, but meta.json counts {trace.meta.num_events}: "
                "the bundle is damaged, import it again"
            )
        if not rows:
            raise InputError(f"{folder}: holds no events")
        return trace

    def once(self, what: Hashable, find: Callable[[], Found]) -> Found:
        """What `find()` finds in this recording, which nobody may change: the first to ask for it looks, others wait.

        It stays with the recording until it is told to `forget`, so that each further replay is spared the first look.
        """
        with self._finding:
            if what not in self._found:
                self._found[what] = find()
            found: Found = self._found[what]
            return found

    def forget(self) -> None:
        """Drop what was found of the recording, some 8 bytes a page of the guest: a replay looks again."""
        with self._finding:
            self._found = {}

    @property
    def num_events(self) -> int:
        """How many events there are."""
        return self.meta.num_events

    @cached_property
    def report_times(self) -> NDArray[np.int64]:
        """When the recorded guest told its device of batches (ns): by its events, else by what its host discarded then.

        Ascending; empty where neither was recorded. Reads the events once.
        """
        # Where the driver's module came later, only the probe of what it returns was there.
        for event in (Event.REPORT, Event.REPORT_RETURN):
            if self.meta.has(event):
                batches = self.batches(("time", "event"))
                return np.concatenate([batch["time"][batch["event"] == event] for batch in batches])
        times: NDArray[np.int64] = self.discarded_blocks["time"].to_numpy()
        return times

    @cached_property
    def discarded_blocks(self) -> pa.Table:
        """What the host gave back from the first event on, but for what a balloon took, page by page: as `reported`.

        Empty where no host told.
        """
        if self.reported is None:
            return REPORTED_SCHEMA.empty_table()
        least = 0 if self.least_order is None else 1 << self.least_order
        blocks = self.reported.filter(pc.greater_equal(self.reported["pages"], least))
        return blocks.slice(int(np.searchsorted(blocks["time"].to_numpy(), self.meta.first_ns)))

    @cached_property
    def snapshot(self) -> Snapshot | None:
        """The zones at the start of the recording. Raises InputError where its files don't fit each other, or meta."""
        if not (self.path / START).is_dir():
            return None
        snapshot = Snapshot(self.path / START)
        check_snapshot(snapshot, self.meta)
        return snapshot

    @cached_property
    def final_snapshot(self) -> Snapshot | None:
        """The zones at the end of the recording, to compare with; None too where `warnings` says why."""
        return None if self._odd_final is not None else self._final

    @cached_property
    def _final(self) -> Snapshot | None:
        return Snapshot(self.path / END) if (self.path / END).is_dir() else None

    @cached_property
    def _odd_final(self) -> str | None:
        return None if self._final is None else odd_final(self._final, self.snapshot)

    @cached_property
    def warnings(self) -> list[str]:
        """What of the bundle is left out, and which of its files are not those that were written: sentences.

        Reads all of them but the events. Raises InputError.
        """
        lines = []
        if self._odd_final is not None:
            lines.append(f"{self._odd_final}: the snapshot of the end is left out")
        changed, added, gone = odd_checksums(self.path, self.meta.crc32)
        if changed:
            lines.append(
                f"{', '.join(changed)}: not as written with this recording (meta.json has other checksums): of another "
                "one, or changed since, and what rests on it is as wrong"
            )
        if added:
            lines.append(
                f"{', '.join(added)}: added since this recording was written: nothing tells that it is of this guest, "
                "and what rests on it is as uncertain"
            )
        if gone:
            lines.append(f"{', '.join(gone)}: written with this recording, and gone since: it is done without")
        return lines

    def batches(
        self, columns: str | Sequence[str] | None = None, batch_size: int = 1 << 16
    ) -> Iterator[dict[str, NDArray[Any]]]:
        """The events in order: for up to `batch_size` of them at a time, an array a column (all, or those named).

        The arrays are read-only views. Raises InputError at a row that can't be (times backwards, an absurd order
        or pfn, an unknown kind), where the file is damaged, and, when all were read, where other files say otherwise.
        """
        batch_size = whole_number("batch_size", batch_size, 1, _MOST_ROWS)
        asked = EVENT_SCHEMA.names if columns is None else several(columns)
        for name in asked:
            if name not in EVENT_SCHEMA.names:
                raise InputError(
                    f"events have no column {shown(name)}: expected some of {', '.join(EVENT_SCHEMA.names)}"
                )
        names = list(dict.fromkeys(asked))
        path = self.path / "events.parquet"
        row, last_time = 0, None
        sums = MetaCheck() if not self._events_checked and MetaCheck.COLUMNS.issubset(names) else None
        wanted = pa.schema([EVENT_SCHEMA.field(name) for name in names])
        with self._open("events", EVENT_SCHEMA) as events:
            for batch in read_batches(events, path, wanted, batch_size):
                arrays = {name: batch.column(name).to_numpy() for name in names}
                check_batch(arrays, places(f"{path}: row", row), last_time)
                if "time" in arrays:
                    if not row:
                        self._check_time("first_ns", self.meta.first_ns, int(arrays["time"][0]))
                    last_time = int(arrays["time"][-1])
                if sums is not None:
                    sums.add(arrays)
                row += batch.num_rows
                yield arrays
        if row != self.num_events:
            raise InputError(f"{path}: damaged ({row} of {self.num_events} rows): make it again")
        if last_time is not None:
            self._check_time("last_ns", self.meta.last_ns, last_time)
        if sums is not None:
            sums.finish(self.meta, self.marks, self.reported, self.path)
            self._events_checked = True

    def check_events(self, progress: Callable[[int], None] | None = None) -> None:
        """Raise InputError unless all events can be read, and are those that the other files tell of; as any first
        reading of all does. `progress` is told how many more were read. O(events)."""
        check_kind("progress", progress, Callable | None, "a function, or None")
        for batch in self.batches(tuple(MetaCheck.COLUMNS)):
            if progress is not None:
                progress(len(batch["time"]))

    def _check_time(self, key: str, said: int, time: int) -> None:
        if said != time:
            raise InputError(
                f"{self.path / 'meta.json'}: {key} is {said}, but that event's time is {time}: "
                "the bundle is damaged, import it again"
            )

    @cached_property
    def marks(self) -> pa.Table | None:
        """What was written into the recording while it ran: columns time (ns), text."""
        return self._table("marks", MARK_SCHEMA)

    @property
    def mark_texts(self) -> list[tuple[int, str]]:
        """The marks as (time, text), in order; empty where none were kept."""
        return [] if self.marks is None else [(mark["time"], mark["text"]) for mark in self.marks.to_pylist()]

    @cached_property
    def reporting_changes(self) -> list[ReportingChange]:
        """What the guest's reporting was changed to while it was recorded, as its marks tell."""
        return reporting_changes(self.mark_texts, self.meta.known_reporting)

    @property
    def least_order(self) -> int | None:
        """The least order of a block that the guest's reporting was ever set to tell; None: not known."""
        orders = [self.meta.known_reporting.order, *(change.order for change in self.reporting_changes)]
        return min((order for order in orders if order is not None), default=None)

    @cached_property
    def residency(self) -> pa.Table | None:
        """The host's samples: columns time (ns of the guest's clock), ram_resident_kib, rss_kib, memfd_kib."""
        return self._table("residency", RESIDENCY_SCHEMA, *RESIDENCY_SCHEMA.names[1:], sampled=True)

    @cached_property
    def reported(self) -> pa.Table | None:
        """The ranges that the host discarded: columns time (ns of the guest's clock), pfn, pages, ret."""
        return self._table("reported", REPORTED_SCHEMA, "pfn", "pages")

    @cached_property
    def host_state(self) -> pa.Table | None:
        """How the host held the guest's memory: columns time (ns of the guest's clock); huge_kib, of the VM's process;
        swapped_kib, of the guest's RAM; and the whole host's thp_fault_alloc, thp_collapse_alloc, pswpin, pswpout."""
        return self._table("host_state", HOST_STATE_SCHEMA, "huge_kib", "swapped_kib", sampled=True)

    @cached_property
    def num_residency_bitmaps(self) -> int:
        """How often the host recorded which pages were resident."""
        if not (self.path / "residency_bitmaps.parquet").exists():
            return 0
        with self._open("residency_bitmaps", BITMAP_SCHEMA) as file:
            return int(file.metadata.num_rows)

    def residency_bitmaps(self) -> Iterator[tuple[int, NDArray[np.uint8]]]:
        """Which pages were resident: (time, bits) one after the other; `np.unpackbits(bits)` has an entry a pfn.

        The bits end with the guest's last page, or some pages after it.
        """
        if not self.num_residency_bitmaps:
            return
        path = self.path / "residency_bitmaps.parquet"
        most = -(-self.meta.span_pages // _HUGE_PAGE) * _HUGE_PAGE // 8
        last = None
        with self._open("residency_bitmaps", BITMAP_SCHEMA) as file:
            for batch in read_batches(file, path, BITMAP_SCHEMA, 1):
                time = batch.column("time")[0].as_py()
                if last is not None and time < last:
                    raise InputError(f"{path}: the time goes backwards, from {last} to {time} ns: make it again")
                last = time
                bits = np.frombuffer(batch.column("bits")[0].as_buffer(), np.uint8)[:most]
                check_bitmap(path, bits, self.meta)
                yield time, bits

    def check(self) -> None:
        """Raise InputError unless all but the events, which are checked as they are read, can be read."""
        for snapshot in (self.snapshot, self.final_snapshot):
            _ = snapshot and snapshot.zoneinfo
        _ = self.marks, self.residency, self.host_state, self.reported
        for _ in self.residency_bitmaps():
            break

    def _open(self, name: str, schema: pa.Schema) -> AbstractContextManager[pq.ParquetFile]:
        path = self.path / f"{name}.parquet"
        if not path.exists():
            raise InputError(f"{self.path}: not a whole trace bundle: it has no {path.name}; import it again")
        return open_parquet(path, schema)

    # `counted`: columns of pages or KiB. `sampled`: the host looked while it was recorded.
    def _table(self, name: str, schema: pa.Schema, *counted: str, sampled: bool = False) -> pa.Table | None:
        path = self.path / f"{name}.parquet"
        if not path.exists():
            return None
        table = read_table(path, schema, counted)
        if sampled:
            check_times(path, table["time"].to_numpy(), self.meta)
        return table
