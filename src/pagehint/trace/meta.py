"""meta.json of a bundle: what was recorded, of which guest, how, and what was lost."""

import dataclasses
import json
import types
import typing
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from pagehint.errors import InputError, printable
from pagehint.proc.zoneinfo import ZoneLayout
from pagehint.trace.events import MAX_ORDER, MAX_PFN, Event
from pagehint.units import LONGEST_TIME

__all__ = ["FORMAT", "VERSION", "Clock", "GuestReporting", "Lost", "Meta", "ZoneLayout", "read_meta", "write_meta"]

FORMAT = "pagetrace"
VERSION = 1
_MOST_BYTES = 1 << 26
_MOST_CPUS = 1 << 16
_MOST_NODES = 1 << 10
_MOST_BLOCKS = 1 << 20
_MOST = 1 << 62  # of what is added up in 64 bits
_T = TypeVar("_T")


@dataclass(frozen=True)
class Clock:
    """host_ns = h0_ns + offset_ns + (1 + drift) * (guest_ns - g0_ns): the host's wall clock from the guest's."""

    g0_ns: int
    h0_ns: int
    offset_ns: float
    drift: float


@dataclass(frozen=True)
class GuestReporting:
    """Free page reporting in the recorded guest; None where it isn't known."""

    on: bool
    order: int | None = None
    delay_ns: int | None = None
    capacity: int | None = None
    device_load_ns: int | None = None


@dataclass(frozen=True)
class Lost:
    """Events that the recording misses.

    `by_cpu` are counted per CPU; `overwritten` were overwritten before the first event that was kept, or belong to
    no known CPU; `uncounted` is the number of places where events were lost and the recorder doesn't say how many.
    """

    by_cpu: dict[str, int] = field(default_factory=dict)
    overwritten: int = 0
    uncounted: int = 0

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
    event names), `cpus` and its part of `anomalies` (counts of odd things, by kind). `level` is "page", or
    "zone" where of allocations and frees only those of large blocks were recorded; `system` holds short files of the
    guest's /proc and /sys, by path.
    """

    recorder: str
    source: str
    kernel: str | None = None
    page_size: int = 4096
    pageblock_order: int | None = None
    zones: list[ZoneLayout] = field(default_factory=list)
    clock: Clock | None = None
    reporting: GuestReporting | None = None
    lost: Lost = field(default_factory=Lost)
    cpus: int = 0
    events: dict[str, int] = field(default_factory=dict)
    first_ns: int | None = None
    last_ns: int | None = None
    pfn_end: int = 0
    anomalies: dict[str, int] = field(default_factory=dict)
    level: str | None = None
    system: dict[str, str] = field(default_factory=dict)

    @property
    def num_events(self) -> int:
        """Rows of events.parquet."""
        return sum(self.events.values())

    @property
    def span_pages(self) -> int:
        """One past the guest's last pfn: of the zones, or of the events where the zones aren't known."""
        return max([self.pfn_end, *(zone.end_pfn for zone in self.zones)])


def write_meta(meta: Meta, path: Path) -> None:
    """Write meta.json."""
    text = json.dumps({"format": FORMAT, "version": VERSION, **dataclasses.asdict(meta)}, indent=1)
    path.write_text(text + "\n", encoding="utf-8")


def read_meta(path: Path) -> Meta:
    """Read meta.json. Raises InputError where it isn't one, or one of a newer version."""
    try:
        with path.open("rb") as file:
            data = json.loads(file.read(_MOST_BYTES))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not JSON ({error}): the bundle is damaged, import it again") from None
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise InputError(f'{path}: not the meta.json of a trace bundle: "format" is not "{FORMAT}"')
    version = data.get("version")
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise InputError(f'{path}: "version" is {version!r}, expected {VERSION}')
    if version > VERSION:
        raise InputError(f"{path}: version {version} is newer than this pagehint reads ({VERSION}): upgrade pagehint")
    meta = _dataclass(Meta, {key: data[key] for key in data if key not in ("format", "version")}, f"{path}: ")
    _check(meta, str(path))
    return meta


def _check(meta: Meta, where: str) -> None:
    if meta.page_size < 512 or meta.page_size & (meta.page_size - 1):
        raise InputError(f"{where}: page_size is {meta.page_size}, expected a power of two from 512")
    for index, zone in enumerate(meta.zones):
        if zone.start_pfn < 0 or zone.spanned < 1 or zone.end_pfn > MAX_PFN + 1:
            pages = f"start_pfn {zone.start_pfn}, spanned {zone.spanned}"
            raise InputError(f"{where}: zones[{index}]: {pages}: expected 1 to {MAX_PFN + 1} pages from pfn 0 on")
    for key, value, least, most in _ranges(meta):
        if value is not None and not least <= value <= most:
            raise InputError(f"{where}: {key} is {value}, expected {least} to {most}")
    for letter, count in meta.events.items():
        if len(letter) != 1 or ord(letter) not in list(Event) or count < 0:
            raise InputError(f"{where}: events has {count} of {letter!r}: expected letters of events, and counts")
    if meta.num_events and (meta.first_ns is None or meta.last_ns is None):
        raise InputError(f"{where}: first_ns or last_ns is missing")
    if meta.first_ns is not None and meta.last_ns is not None and meta.last_ns < meta.first_ns:
        raise InputError(f"{where}: last_ns is {meta.last_ns}, expected first_ns, {meta.first_ns}, or more")
    if any(not cpu.isdecimal() for cpu in meta.lost.by_cpu):
        raise InputError(f"{where}: lost.by_cpu: expected numbers of CPUs as keys")


def _ranges(meta: Meta) -> Iterator[tuple[str, int | None, int, int]]:
    """The key of a number, the number, and the least and most it may be."""
    yield "pageblock_order", meta.pageblock_order, 0, MAX_ORDER
    yield "cpus", meta.cpus, 0, _MOST_CPUS
    yield "pfn_end", meta.pfn_end, 0, MAX_PFN + (1 << MAX_ORDER)
    if meta.reporting is not None:
        yield "reporting.order", meta.reporting.order, 0, MAX_ORDER
        yield "reporting.delay_ns", meta.reporting.delay_ns, 0, LONGEST_TIME
        yield "reporting.capacity", meta.reporting.capacity, 1, _MOST_BLOCKS
        yield "reporting.device_load_ns", meta.reporting.device_load_ns, -_MOST, _MOST
    yield "first_ns", meta.first_ns, -_MOST, _MOST
    yield "last_ns", meta.last_ns, -_MOST, _MOST
    yield "lost.overwritten", meta.lost.overwritten, 0, _MOST
    yield "lost.uncounted", meta.lost.uncounted, 0, _MOST
    for cpu, number in meta.lost.by_cpu.items():
        yield f"lost.by_cpu.{cpu}", number, 0, _MOST
    for kind, number in meta.anomalies.items():
        yield f"anomalies.{kind}", number, 0, _MOST
    for index, zone in enumerate(meta.zones):
        yield f"zones[{index}].node", zone.node, 0, _MOST_NODES - 1
        yield f"zones[{index}].present", zone.present, 0, zone.spanned
        yield f"zones[{index}].managed", zone.managed, 0, zone.spanned
        yield f"zones[{index}].min", zone.min, 0, zone.spanned
        yield f"zones[{index}].low", zone.low, zone.min, zone.spanned
        yield f"zones[{index}].high", zone.high, zone.low, zone.spanned
        for name in ("pcp_high", "pcp_batch", "cpus"):
            yield f"zones[{index}].{name}", getattr(zone, name), 0, MAX_PFN


def _dataclass(kind: type[_T], data: Any, where: str) -> _T:
    if not isinstance(data, dict):
        raise InputError(f"{where.rstrip(': .')} is {_short(data)}, expected an object")
    hints = typing.get_type_hints(kind)
    values: dict[str, Any] = {}
    for item in dataclasses.fields(kind):  # type: ignore[arg-type]
        if item.name in data:
            values[item.name] = _value(hints[item.name], data[item.name], f"{where}{item.name}")
        elif item.default is dataclasses.MISSING and item.default_factory is dataclasses.MISSING:
            raise InputError(f"{where}{item.name} is missing")
    return kind(**values)


def _value(hint: Any, value: Any, where: str) -> Any:
    if isinstance(hint, types.UnionType):
        if value is None:
            return None
        hint = typing.get_args(hint)[0]
    if dataclasses.is_dataclass(hint):
        return _dataclass(hint, value, f"{where}.")  # type: ignore[arg-type]
    origin = typing.get_origin(hint)
    if origin is list and isinstance(value, list):
        return [_value(typing.get_args(hint)[0], entry, f"{where}[{index}]") for index, entry in enumerate(value)]
    if origin is dict and isinstance(value, dict):
        return {key: _value(typing.get_args(hint)[1], entry, f"{where}.{key}") for key, entry in value.items()}
    if hint is float and type(value) is int:
        return float(value)
    if origin is None and type(value) is hint:
        if hint is int and not -(2**63) <= value < 2**63:
            raise InputError(f"{where} is {_short(value)}: it doesn't fit in 64 bits")
        return printable(value) if hint is str else value
    raise InputError(f"{where} is {_short(value)}, expected {getattr(origin or hint, '__name__', hint)}")


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
