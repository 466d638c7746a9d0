"""What a recording has measured: residency on the host's side, and what is backed at the start."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pagehint.host.backing import AREA_PAGES
from pagehint.host.blocks import PAGE_BYTES
from pagehint.host.costs import Costs
from pagehint.host.model import ModelHost
from pagehint.replays.scan import FREE_AT_START
from pagehint.replays.start import MOST_PAGES, Start, check_trace
from pagehint.replays.states import NO_MEMORY, SNAPSHOT_READ, mark_time
from pagehint.trace.bundle import Trace
from pagehint.units import format_size

__all__ = ["AtStart", "backed_at_start", "guest_host", "measured_residency", "resident_beyond", "seen_page_size"]

_USUAL_PAGE_SIZE = "THP"  # QEMU and Cloud Hypervisor ask for huge pages, and many hosts give them to anybody
# x86's boot loaders put the packed kernel at 1 MiB, and it unpacks itself to 16 MiB: what lies below was touched.
_LOADED_PAGES = 4096


@dataclass(frozen=True)
class AtStart:
    """What is backed at a time (bool a page, as the recording has the pages), and how that is known.

    `doubt`: by how much it may be off, a sentence; None where it was recorded.
    """

    time: int
    backed: NDArray[np.bool_]
    page_size: str
    source: str
    recorded: bool
    doubt: str | None = None


def backed_at_start(trace: Trace, start: Start, free_backed: bool | None) -> AtStart:
    """The first residency bitmap after the initial snapshot was read, else by the setting for free memory.

    None: free memory is backed, but for two cases. Where the recording begins with the guest's boot, only what lies
    below 16 MiB is, where x86's kernels are loaded: so it was in nine of nine recordings of QEMU guests. Where the
    guest has allocated little since its boot, and reported nothing, blocks of the largest order beyond that are not:
    so it was, within 2 to 8 MiB, in twelve of twelve that began seconds after boot.
    """
    found = _first_bitmap(trace, start.pages)
    if found is not None:
        time, backed = found
        backed &= ~start.seen.at_start.hole
        return AtStart(time, backed, _page_size(trace, backed), f"recorded at {time / 1e9:.2f} s", True)
    booting = start.seen.at_start.booting and free_backed is None
    hardly_used = free_backed is None and not booting and _hardly_used(trace, start)
    backed = start.assumed_backed(not booting if free_backed is None else free_backed, not hardly_used)
    if booting or hardly_used:
        backed[:_LOADED_PAGES] |= start.seen.at_start.states[:_LOADED_PAGES] != NO_MEMORY
    if booting:
        what = (
            "used memory, no free memory but that below 16 MiB, where the kernel was loaded, as it begins with the "
            "guest's boot"
        )
    elif hardly_used:
        what = (
            "used memory, and free memory but for the largest blocks above 16 MiB, as the guest has hardly used its "
            "memory since its boot"
        )
    elif free_backed is False:
        what = "used memory, no free memory"
    else:
        what = "used and free memory"
    doubt = None if booting or free_backed is not None else _doubt(trace, start, backed, hardly_used)
    return AtStart(trace.meta.first_ns, backed, _USUAL_PAGE_SIZE, f"assumed: {what}", False, doubt)


# Half of the pages that are free now at the most were ever allocated, and then mostly the same ones again.
def _hardly_used(trace: Trace, start: Start) -> bool:
    allocated = None if trace.snapshot is None else trace.snapshot.allocated()
    free = int((start.seen.at_start.states == FREE_AT_START).sum())
    return allocated is not None and 2 * allocated < free and not start.seen.at_start.reported.any()


# By how much that may be off.
def _doubt(trace: Trace, start: Start, backed: NDArray[np.bool_], hardly_used: bool) -> str:
    free = start.seen.at_start.states == FREE_AT_START
    kept, out = int((free & backed).sum()), int((free & ~backed).sum())
    text = f"of free memory {format_size(kept * PAGE_BYTES)} count as resident at the start"
    if not hardly_used:
        return (
            f"{text}: what of them the guest has never used is so much too many until it is used or given back "
            "(`pagehint run --no-free-backed`: none of it)"
        )
    allocated = 0 if trace.snapshot is None else trace.snapshot.allocated() or 0
    more = format_size(min(out, allocated) * PAGE_BYTES)
    return (
        f"{text}: if the guest has used more of it before, up to {more} more may be "
        "(`pagehint run --free-backed`: all of it)"
    )


def seen_page_size(trace: Trace) -> str:
    """By which pages the recorded guest's host backed it, as far as that shows: 4KiB or THP."""
    found = _first_bitmap(trace, min(trace.meta.span_pages, MOST_PAGES))
    return _USUAL_PAGE_SIZE if found is None else _page_size(trace, found[1])


def guest_host(
    trace: Trace,
    page_size: str | None = None,
    costs: Costs | None = None,
    memory: int | str | None = None,
    capacity: int | None = None,
    khugepaged: bool = False,
) -> ModelHost:
    """A modelled host such as the recorded guest had, where nothing else is given; see `ModelHost`.

    The page size is that which the recording shows (THP where it shows none), the capacity its device's (else 32).
    Raises InputError.
    """
    check_trace(trace)
    page_size = seen_page_size(trace) if page_size is None else page_size
    capacity = trace.meta.known_reporting.usual_capacity if capacity is None else capacity
    return ModelHost(page_size, costs, memory, capacity, khugepaged)


def _first_bitmap(trace: Trace, pages: int) -> tuple[int, NDArray[np.bool_]] | None:
    found = _first_bits(trace)
    if found is None:
        return None
    backed = np.zeros(pages, np.bool_)
    known = np.unpackbits(found[1])[:pages]
    backed[: len(known)] = known
    return found[0], backed


def _first_bits(trace: Trace) -> tuple[int, NDArray[np.uint8]] | None:
    return trace.once("first bitmap", lambda: _read_first_bitmap(trace))


def _read_first_bitmap(trace: Trace) -> tuple[int, NDArray[np.uint8]] | None:
    after = trace.meta.first_ns
    if (read := mark_time(trace, SNAPSHOT_READ)) is not None:
        after = max(after, read)
    for time, bits in trace.residency_bitmaps():
        if after <= time <= trace.meta.last_ns:
            return time, bits
    return None


# Huge pages show in a residency bitmap: nearly every aligned 2 MiB that has any page has them all.
def _page_size(trace: Trace, backed: NDArray[np.bool_]) -> str:
    if trace.residency is not None and pc.count(trace.residency.column("memfd_kib")).as_py():
        return "4KiB"
    areas = backed[: len(backed) // AREA_PAGES * AREA_PAGES].reshape(-1, AREA_PAGES)
    some, whole = areas.any(axis=1).sum(), areas.all(axis=1).sum()
    return "THP" if some and whole >= 0.9 * some else "4KiB"


def measured_residency(trace: Trace) -> pa.Table | None:
    """Resident guest memory as it was measured: time (ns), resident (bytes); None where the recording has none.

    Without what lies beyond the guest's zones; see `resident_beyond`.
    """
    if trace.residency is None:
        return None
    known = trace.residency.filter(pc.is_valid(trace.residency.column("ram_resident_kib")))
    if not known.num_rows:
        return None
    resident = pc.multiply(known.column("ram_resident_kib"), 1024)
    resident = pc.max_element_wise(pc.subtract(resident, resident_beyond(trace)), 0)
    return pa.table({"time": known.column("time"), "resident": resident})


def resident_beyond(trace: Trace) -> int:
    """Bytes of the guest's RAM beyond its last zone that were resident at the first residency bitmap.

    Firmware wrote them, where `mem=` and the like keep the guest from what lies there: it neither uses nor tells them.
    """
    found = _first_bits(trace)
    if found is None or trace.residency is None:
        return 0
    row = int(np.searchsorted(trace.residency.column("time").to_numpy(), found[0]))
    sample = trace.residency.slice(row, 1).to_pylist()
    if not sample or sample[0]["time"] != found[0] or sample[0]["ram_resident_kib"] is None:
        return 0
    return max(int(sample[0]["ram_resident_kib"]) * 1024 - int(np.bitwise_count(found[1]).sum()) * PAGE_BYTES, 0)
