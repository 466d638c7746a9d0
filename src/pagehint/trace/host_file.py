"""The file in which a watch keeps what a virtual machine held of its host: its columns, and its way into a bundle."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pagehint.errors import InputError
from pagehint.trace.meta import Clock, ZoneLayout
from pagehint.trace.tables import HOST_COLUMNS, open_parquet, read_batches, read_table, residency_table
from pagehint.trace.writer import TraceWriter
from pagehint.units import format_size

__all__ = ["HOST_SCHEMA", "add_host", "check_watched", "read_host"]

_DISCARDED = ("discarded_ns", "discarded_pfn", "discarded_pages", "discarded_ret")
HOST_SCHEMA = pa.schema(
    [
        pa.field("time", pa.int64(), nullable=False),
        pa.field("rss_kib", pa.int64()),
        pa.field("ram_resident_kib", pa.int64()),
        pa.field("bits", pa.binary()),
        *(pa.field(name, pa.int64()) for name in HOST_COLUMNS),
        *(pa.field(name, pa.int64()) for name in _DISCARDED[:3]),
        pa.field(_DISCARDED[3], pa.int32()),
    ]
)
"""A row a sample: ns since 1970; of the process its memory; of the guest's RAM, now and then, what is resident, a bit a
pfn, and how the host holds it (as Trace.host_state has it). And a row a discard: when it was read of, and when it was.
"""

_SAMPLES = pa.schema([field for field in HOST_SCHEMA if field.name != "bits"])
_BITMAPS = pa.schema([HOST_SCHEMA.field("time"), HOST_SCHEMA.field("bits")])
_COUNTED = ("rss_kib", "ram_resident_kib", "huge_kib", "swapped_kib", "discarded_pfn", "discarded_pages")


def read_host(path: Path) -> pa.Table:
    """What a watch sampled, and the discards that it read of; without the bitmaps. Raises InputError."""
    table = read_table(path, _SAMPLES, _COUNTED)
    if pc.any(pc.and_(table["rss_kib"].is_null(), table[_DISCARDED[0]].is_null())).as_py():
        raise InputError(f"{path}: column 'rss_kib' has nulls: expected a value in every sample")
    return table


def check_watched(path: Path, zones: Sequence[ZoneLayout]) -> None:
    """Raise InputError where the bitmaps of a watch are of less than the guest's `zones`."""
    pages = max((zone.end_pfn for zone in zones), default=0)
    with open_parquet(path, HOST_SCHEMA) as file:
        length = next((len(bits) for _, bits in _bits(file, path)), None)
    if length is not None and 8 * length < pages:
        raise InputError(
            f"{path}: it watched {format_size(length << 15)}, but the guest's memory reaches to "
            f"{format_size(pages << 12)}: is it another guest's, or was memory plugged meanwhile?"
        )


def add_host(writer: TraceWriter, path: Path, clock: Clock) -> None:
    """Add what a watch sampled to a bundle, by the clock that relates the two. O(samples). Raises InputError.

    Whether it watched all of the guest is for `check_watched` to tell before.
    """
    table = read_host(path)
    samples = table.filter(table["rss_kib"].is_valid())
    times = clock.guest_times(samples["time"].to_numpy())
    measured = {name: samples[name] for name in ("ram_resident_kib", "rss_kib")}
    writer.add_residency(residency_table(times, measured))
    seen = samples["ram_resident_kib"].is_valid()
    state = pa.table({"time": times, **{name: samples[name] for name in HOST_COLUMNS}}).filter(seen)
    if state.num_rows:
        writer.add_host_state(state)
    discards = table.select(list(_DISCARDED)).drop_null()
    if discards.num_rows:
        told = clock.guest_times(discards[_DISCARDED[0]].to_numpy())
        columns = [told, *(discards[name] for name in _DISCARDED[1:])]
        writer.add_reported(pa.table(columns, names=["time", "pfn", "pages", "ret"]).sort_by("time"))
    with open_parquet(path, HOST_SCHEMA) as file:
        writer.add_residency_bitmaps(_bitmaps(file, path, clock))


def _bitmaps(file: pq.ParquetFile, path: Path, clock: Clock) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    length = None
    for time, bits in _bits(file, path):
        if len(bits) != (length := len(bits) if length is None else length):
            raise InputError(f"{path}: its bitmaps are of different lengths: watch again")
        yield int(clock.guest_times(time)[0]), np.frombuffer(bits, np.uint8)


# One at a time: of a guest of 256 GiB each takes 8 MiB.
def _bits(file: pq.ParquetFile, path: Path) -> Iterator[tuple[NDArray[np.int64], pa.Buffer]]:
    for batch in read_batches(file, path, _BITMAPS, 1):
        if (bits := batch["bits"][0].as_buffer()) is not None:
            yield batch["time"].to_numpy(), bits
