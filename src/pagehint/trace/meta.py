"""meta.json of a bundle: what was recorded, of which guest, how, and what was lost."""

import dataclasses
import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from pagehint.errors import InputError, printable
from pagehint.inputs import read_input
from pagehint.kernel.orders import MOST_ORDER
from pagehint.kernel.reporting import MAINLINE_CAPACITY, MAINLINE_DELAY
from pagehint.proc.zoneinfo import ZoneLayout, check_apart
from pagehint.trace.events import MAX_PFN, MAX_TIME, Event
from pagehint.units import LONGEST_TIME

__all__ = [
    "FORMAT",
    "MAX_CPUS",
    "SHUFFLE",
    "VERSION",
    "Clock",
    "GuestReporting",
    "Level",
    "Lost",
    "Meta",
    "ZoneLayout",
    "has_checksum",
    "read_meta",
    "write_meta",
]

FORMAT = "pagetrace"
VERSION = 1
MAX_CPUS = 1 << 13
"""No kernel is built for more CPUs."""
SHUFFLE = "/sys/module/page_alloc/parameters/shuffle"
"""Of `Meta.system`: whether a kernel shuffles its free lists, Y or N."""

_MOST_NODES = 1 << 10
_MOST_ZONES = 1 << 12
_MOST_BATCH, _MOST_LISTED = 1 << 16, 1 << 32  # pages, as a CPU's lists take them
_MOST = 1 << 62  # of what is counted: it is added up in 64 bits
_MOST_DRIFT = 0.01

Level = Literal["page", "zone"]
"""Whether all allocations and frees were recorded, or only those of large blocks, where they reach a zone's lists."""

_Count = Annotated[int, msgspec.Meta(ge=0, le=_MOST)]
_Time = Annotated[int, msgspec.Meta(ge=-MAX_TIME, le=MAX_TIME)]
_Order = Annotated[int, msgspec.Meta(ge=0, le=MOST_ORDER)]
_Cpu = Annotated[str, msgspec.Meta(pattern=r"^[0-9]{1,6}$")]
_Letter = Annotated[str, msgspec.Meta(pattern=f"^[{''.join(event.letter for event in Event)}]$")]


@dataclass(frozen=True)
class Clock:
    """host_ns = h0_ns + offset_ns + (1 + drift) * (guest_ns - g0_ns): the host's wall clock from the guest's.

    `method`: how it was found; `error_ns`: how far off it may be; None where it was measured. Raises
    InputError for a time, an offset or a drift that no pair of clocks has.
    """

    g0_ns: _Time
    h0_ns: _Time
    offset_ns: float
    drift: float
    method: str | None = None
    error_ns: float | None = None

    def __post_init__(self) -> None:
        for name, time in (("g0_ns", self.g0_ns), ("h0_ns", self.h0_ns)):
            if abs(time) > MAX_TIME:
                raise InputError(f"{name} {time} of the clock is absurd")
        if not abs(self.offset_ns) <= MAX_TIME or not math.isfinite(self.offset_ns):
            raise InputError(f"offset_ns {self.offset_ns} of the clock is absurd")
        if not abs(self.drift) <= _MOST_DRIFT:
            raise InputError(f"drift {self.drift} of the clock is absurd: expected -{_MOST_DRIFT} to {_MOST_DRIFT}")

    def guest_times(self, host: NDArray[np.int64]) -> NDArray[np.int64]:
        """Guest ns of host ns; the large part is subtracted as integers, so that nothing is rounded away."""
        since = (host - self.h0_ns).astype(np.float64)
        guest: NDArray[np.int64] = self.g0_ns + np.rint((since - self.offset_ns) / (1 + self.drift)).astype(np.int64)
        return guest


@dataclass(frozen=True)
class GuestReporting:
    """Free page reporting in the recorded guest; None where it isn't known.

    `parameters` are all that the guest's module page_reporting has, by name.
    """

    on: bool | None = None
    order: _Order | None = None
    delay_ns: Annotated[int, msgspec.Meta(ge=0, le=LONGEST_TIME)] | None = None
    capacity: Annotated[int, msgspec.Meta(ge=1, le=1 << 20)] | None = None
    device_load_ns: _Time | None = None
    parameters: dict[str, _Time] = field(default_factory=dict)

    @property
    def usual_delay(self) -> int:
        """How long it waited (ns), or mainline's does."""
        return MAINLINE_DELAY if self.delay_ns is None else self.delay_ns

    @property
    def usual_capacity(self) -> int:
        """How many blocks the guest's device took at a time, or as many as Linux' does."""
        return self.capacity or MAINLINE_CAPACITY


@dataclass(frozen=True)
class Lost:
    """Events that the recording misses.

    `by_cpu` are counted per CPU; `overwritten` were overwritten before the first event that was kept, or belong to
    no known CPU; `uncounted` is the number of places where events were lost and the recorder doesn't say how many.
    """

    by_cpu: dict[_Cpu, _Count] = field(default_factory=dict)
    overwritten: _Count = 0
    uncounted: _Count = 0

    @property
    def total(self) -> int:
        """Events known to be lost, not counting the `uncounted` places."""
        return sum(self.by_cpu.values()) + self.overwritten

    def __bool__(self) -> bool:
        return bool(self.total or self.uncounted)


@dataclass(frozen=True)
class Meta:
    """What meta.json says. Times are ns of the guest's clock.

    The writer fills in `events` (counts by letter), `first_ns`, `last_ns`, `pfn_end` (one past the last page that an
    event names), `cpus` (0: not known), `crc32` (of the other files, by path in the bundle) and its part of
    `anomalies` (counts of odd things, by kind). `level` is "page", or "zone" where of allocations and frees only those
    of large blocks were recorded; `system` holds short files of the guest's /proc and /sys, by path.
    """

    recorder: str
    source: str
    kernel: str | None = None
    page_size: Annotated[int, msgspec.Meta(ge=512, le=1 << 30)] = 4096
    pageblock_order: _Order | None = None
    zones: Annotated[list[ZoneLayout], msgspec.Meta(max_length=_MOST_ZONES)] = field(default_factory=list)
    clock: Clock | None = None
    reporting: GuestReporting | None = None
    lost: Lost = field(default_factory=Lost)
    cpus: Annotated[int, msgspec.Meta(ge=0, le=MAX_CPUS)] = 0
    events: dict[_Letter, _Count] = field(default_factory=dict)
    first_ns: _Time = 0
    last_ns: _Time = 0
    pfn_end: Annotated[int, msgspec.Meta(ge=0, le=MAX_PFN + (1 << MOST_ORDER))] = 0
    anomalies: dict[str, _Count] = field(default_factory=dict)
    level: Level | None = None
    system: dict[str, str] = field(default_factory=dict)
    crc32: dict[str, Annotated[int, msgspec.Meta(ge=0, lt=1 << 32)]] = field(default_factory=dict)

    @property
    def num_events(self) -> int:
        """Rows of events.parquet."""
        return sum(self.events.values())

    def has(self, event: Event) -> bool:
        """Whether any such event was recorded."""
        return bool(self.events.get(event.letter))

    @property
    def shuffles(self) -> bool:
        """Whether the guest's kernel is known to shuffle its free lists."""
        return self.system.get(SHUFFLE) == "Y"

    @property
    def known_reporting(self) -> GuestReporting:
        """`reporting`; where the recording tells nothing of it, one of which nothing is known."""
        return self.reporting or GuestReporting()

    @property
    def span_pages(self) -> int:
        """One past the guest's last pfn: of the zones, or of the events where the zones aren't known."""
        return max([self.pfn_end, *(zone.end_pfn for zone in self.zones)])


def has_checksum(name: str) -> bool:
    """Whether a path in a bundle may be one of `Meta.crc32`: a table but the events, or a file of a folder in it."""
    folder, slash, file = name.rpartition("/")
    if any(not part or part.startswith(".") for part in ([folder, file] if slash else [file])) or "/" in folder:
        return False
    return bool(slash) or (name.endswith(".parquet") and name != "events.parquet")


def write_meta(meta: Meta, path: Path) -> None:
    """Write meta.json. What is no text of it, as in a name that isn't UTF-8, is replaced."""
    data = {"format": FORMAT, "version": VERSION, **dataclasses.asdict(meta)}
    text = json.dumps(data, indent=1, ensure_ascii=False)  # an escaped one is not replaced
    path.write_text(text + "\n", encoding="utf-8", errors="replace")


def read_meta(path: Path) -> Meta:
    """Read meta.json. Raises InputError where it isn't one, or one of a newer version."""
    text = read_input(path)
    try:
        data = _known(msgspec.json.decode(text))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not JSON ({error}): the bundle is damaged, import it again") from None
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise InputError(f'{path}: not the meta.json of a trace bundle: "format" is not "{FORMAT}"')
    version = data.get("version")
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise InputError(f'{path}: "version" is {version!s:.40}, expected {VERSION}')
    if version > VERSION:
        raise InputError(
            f"{path}: version {version!s:.40} is newer than this pagehint reads ({VERSION}): upgrade pagehint"
        )
    try:
        meta = msgspec.convert(data, Meta)
    except msgspec.ValidationError as error:
        what, _, place = str(error).partition(" - at ")
        place = place.replace("`key` in ", "a key of ").replace("`$.", "").replace("`$", "").strip("`")
        raise InputError(f"{path}: {place}: {what}") from None
    if data.get("cpus") == 0 and meta.num_events:
        raise InputError(f"{path}: cpus is 0, expected 1 or more")
    if meta.num_events and not {"first_ns", "last_ns"} <= data.keys():
        raise InputError(f"{path}: first_ns or last_ns is missing")
    if meta.num_events and not meta.zones and "pfn_end" not in data:
        raise InputError(f"{path}: pfn_end is missing, and no zones tell where the guest's memory ends")
    _check(meta, str(path))
    return dataclasses.replace(
        meta,
        recorder=printable(meta.recorder),
        source=printable(meta.source),
        kernel=None if meta.kernel is None else printable(meta.kernel),
        anomalies={printable(kind): count for kind, count in meta.anomalies.items()},
        zones=[dataclasses.replace(zone, name=printable(zone.name)) for zone in meta.zones],
    )


# Without the keys whose value is null: they are not known, as those that are not there.
def _known(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _known(each) for key, each in value.items() if each is not None}
    return [_known(each) for each in value] if isinstance(value, list) else value


def _check(meta: Meta, where: str) -> None:
    if meta.page_size & (meta.page_size - 1):
        raise InputError(f"{where}: page_size is {meta.page_size}, expected a power of two from 512")
    for index, zone in enumerate(meta.zones):
        _check_zone(zone, f"{where}: zones[{index}]")
    check_apart(meta.zones, where)
    for cpu in meta.lost.by_cpu:
        if int(cpu) >= MAX_CPUS:
            raise InputError(f"{where}: lost.by_cpu has a CPU {cpu}, expected 0 to {MAX_CPUS - 1}")
    for name in meta.crc32:
        if not has_checksum(name):
            raise InputError(f"{where}: crc32 names {name[:80]!r}, which is no file of a bundle: import it again")
    if meta.last_ns < meta.first_ns:
        raise InputError(f"{where}: last_ns is {meta.last_ns}, expected first_ns, {meta.first_ns}, or more")


def _check_zone(zone: ZoneLayout, where: str) -> None:
    if zone.start_pfn < 0 or zone.spanned < 1 or zone.end_pfn > MAX_PFN + 1:
        pages = f"start_pfn {zone.start_pfn!s:.40}, spanned {zone.spanned!s:.40}"
        raise InputError(f"{where}: {pages}: expected 1 to {MAX_PFN + 1} pages from pfn 0 on")
    for name, least, most in (
        ("node", 0, _MOST_NODES - 1),
        ("present", 0, zone.spanned),
        ("managed", 0, zone.present),
        ("min", 0, _MOST),
        ("low", zone.min, _MOST),
        ("high", zone.low, _MOST),
        ("boost", 0, _MOST),
        ("cpus", 0, MAX_CPUS),
        ("pcp_batch", 0, _MOST_BATCH),
        *((name, 0, _MOST_LISTED) for name in ("pcp_high", "pcp_high_min")),
        ("pcp_high_max", (zone.pcp_high_max and zone.pcp_high_min) or 0, _MOST_LISTED),
    ):
        value = getattr(zone, name)
        if value is not None and not least <= value <= most:
            raise InputError(f"{where}.{name} is {value!s:.40}, expected {least} to {most}")
    if not all(0 <= pages <= _MOST for pages in zone.protection or ()):
        raise InputError(f"{where}.protection: a number that no kernel has")
