"""What each of several runs is done with: which design, with which settings."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from inspect import signature
from itertools import product
from typing import Any

from pagehint.errors import InputError, printable
from pagehint.hinting.design import Design
from pagehint.hinting.designs.registry import NONE, all_settings, find_design, is_design, label_of
from pagehint.hinting.setting import Setting
from pagehint.kernel.reporting import MAINLINE_CAPACITY
from pagehint.replays.start import guest_reporting
from pagehint.trace.bundle import Trace
from pagehint.units import check_kind, format_count, several, shown

__all__ = ["CAPACITY", "OWN_PRICE", "Plan", "grid_of", "in_words", "kind_of", "kinds_of", "no_hinting", "plans_of"]

CAPACITY = "capacity"
"""The device's own setting, beside the design's."""
OWN_PRICE = "price"
"""A design's setting of this name is the run's price of memory, unless it is given."""
_DEVICE_CAPACITY: Setting = Setting.count(MAINLINE_CAPACITY, "How many blocks the device takes at a time.", 1, 1 << 20)
_DEVICE_CAPACITY.name = CAPACITY


def in_words(design: str, values: Mapping[str, Any], words: Mapping[str, Setting]) -> str:
    """A design and what it is set to: "reporting, order 9 (2 MiB), delay 2 s, 32 blocks".

    `words`: the settings by name. Values that are None, or of none of them, are left out.
    """
    parts = [words[name].words(value) for name, value in values.items() if name in words and value is not None]
    if CAPACITY in values:
        parts.append(format_count(values[CAPACITY], "block"))
    return ", ".join([design, *parts])


@dataclass(frozen=True)
class Plan:
    """What a run is done with: a design (its name or class; ``none``: none), its settings, the device's capacity."""

    design: str | type[Design]
    settings: Mapping[str, Any]
    capacity: int

    @property
    def label(self) -> str:
        """The design's."""
        return label_of(kind_of(self.design))

    @property
    def chosen(self) -> dict[str, Any]:
        """The settings by which plans are told apart: without the guest's timer, which is as it was recorded."""
        return {name: value for name, value in self.settings.items() if not name.startswith("timer_")}

    def make(self, price: float | None = None) -> Design | None:
        """The design, as it is at its start; where it has a price of memory that nobody set, with this one."""
        kind = kind_of(self.design)
        if kind is None:
            return None
        try:
            return kind(**(self if price is None else self.at_prices([price])[0]).settings)
        except InputError:
            raise
        except Exception as error:
            raise InputError(f"{kind.label}: can't be made: {type(error).__name__}: {error}") from error

    def at_prices(self, prices: Sequence[float]) -> list["Plan"]:
        """The same with each of these prices, but 0, of memory; itself, if its design has none, or was given one."""
        kind = kind_of(self.design)
        if kind is None or OWN_PRICE not in kind.settings or OWN_PRICE in self.settings:
            return [self]
        return [replace(self, settings={**self.settings, OWN_PRICE: price}) for price in prices if price] or [self]


def kind_of(design: str | type[Design] | None) -> type[Design] | None:
    """The class of a design by its name; None: no hinting. Raises InputError for what is no design."""
    if design is None or isinstance(design, str):
        return None if design is None else find_design(design)
    if not is_design(design):
        raise InputError(f"{shown(design)} is no design: expected a name, or a class that derives from Design")
    return design


def kinds_of(designs: Sequence[str | type[Design] | Design | None]) -> list[type[Design] | None]:
    """The classes of designs, which tables and pages tell apart by their labels; made ones may be several of a class.

    Raises InputError where they can't be told apart.
    """
    kinds: list[type[Design] | None] = []
    known: dict[str, tuple[type[Design] | None, bool]] = {}
    for each in designs:
        kind, named = (type(each), False) if isinstance(each, Design) else (kind_of(each), True)
        before, named_before = known.get(label_of(kind), (kind, False))
        if before is not kind:
            raise InputError(f"two designs have the label {shown(label_of(kind))}: give each one of its own")
        if named and named_before:
            raise InputError(f"{printable(label_of(kind))} is there twice: name each once")
        known[label_of(kind)] = (kind, named or named_before)
        kinds.append(kind)
    return kinds


def grid_of(settings: Any) -> dict[str, list[Any]]:
    """The values of each setting that has any; one may be given alone. Raises InputError for what is none by name."""
    check_kind("settings", settings, Mapping | None, "values by name, such as {'order': [9, 5]}")
    grid = {name: several(values) for name, values in (settings or {}).items()}
    return {name: values for name, values in grid.items() if values}


def no_hinting(trace: Trace) -> Plan:
    """Nothing is given back, and the device is the recorded guest's."""
    return Plan(NONE, {}, trace.meta.known_reporting.usual_capacity)


def plans_of(
    trace: Trace,
    designs: Sequence[str | type[Design] | Design | None],
    settings: Mapping[str, Sequence[Any]],
    options: Mapping[str, str] | None = None,
) -> list[Plan]:
    """Each design with each combination of the settings that it has (and of ``capacity``); ``none`` once.

    What is not given is as the recorded guest had it, where that is known, else the design's default; one that is made
    already has its settings, and its plans make more like it. ``options``: the values are texts of these options of a
    command line. Raises InputError for a setting that none of them has.
    """
    kinds = kinds_of(designs)
    settings = grid_of(settings)
    check_kind("options", options, Mapping | None, "options of a command line by name, or None")
    named = [kind for design, kind in zip(designs, kinds, strict=True) if not isinstance(design, Design)]
    _check_known(named, len(named) < len(designs), settings, options or {})
    usual = trace.meta.known_reporting.usual_capacity
    guest = guest_reporting(trace)
    plans = []
    for design, found in zip(designs, kinds, strict=True):
        kind: str | type[Design]
        defaults: dict[str, Any] = {}
        varied: Mapping[str, Setting] = {}
        if isinstance(design, Design):
            _check_made(design)
            kind, defaults = type(design), design.values()
        elif design is None or found is None:
            plans.append(no_hinting(trace))
            continue
        else:
            kind, varied = design, found.settings
            defaults = guest.values() if found is type(guest) else {}
        for values in _combinations(varied, settings, options):
            capacity = values.pop(CAPACITY, usual)
            plans.append(Plan(kind, {**defaults, **values}, capacity))
    return plans


# Another is made of its settings for each run: what else it was made of would be lost.
def _check_made(design: Design) -> None:
    for name, taken in signature(type(design)).parameters.items():
        if taken.kind not in (taken.VAR_POSITIONAL, taken.VAR_KEYWORD) and name not in design.settings:
            raise InputError(f"{type(design).__name__} is made of {name!r} too, which is no setting: declare it as one")


def _check_known(
    kinds: Sequence[type[Design] | None], made: bool, settings: Mapping[str, Any], options: Mapping[str, str]
) -> None:
    known = [name for kind in kinds if kind is not None for name in (*kind.settings, CAPACITY)]
    known = list(dict.fromkeys([*known, CAPACITY] if made else known))
    for name in settings:
        if name not in known and not kinds:
            raise InputError(f"{name}: designs that are made have their settings: give names or classes to set it")
        if name not in known:
            expected = f"expected some of {', '.join(known)}" if known else "it has none"
            which = " or ".join(map(label_of, kinds))
            raise InputError(f"{options.get(name, name)} is no setting of {which}: {expected}")


def _combinations(
    own: Mapping[str, Setting], settings: Mapping[str, Sequence[Any]], options: Mapping[str, str] | None
) -> Iterator[dict[str, Any]]:
    known = {**{name: own[name] for name in all_settings() if name in own}, **own}
    varied: dict[str, list[Any]] = {}
    for name, setting in {**known, CAPACITY: _DEVICE_CAPACITY}.items():
        if given := settings.get(name):
            if options is None:
                values = map(setting.parse, given)
            else:
                values = map(partial(setting.read, options.get(name, name)), given)
            varied[name] = list(dict.fromkeys(values))  # what is given twice is one setting
    for combination in product(*varied.values()):
        yield dict(zip(varied, combination, strict=True))
